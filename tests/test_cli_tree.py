"""``pyphylo tree``: roots by an outgroup, and what is refused before anything is written."""

from __future__ import annotations

import json
import os

import pytest

import pyphylo as pp
from pyphylo.cli import main

TRUE = "((a:1,b:2):1,('c, d':1,midpoint:3):2,(e:1,f:1):4);"


@pytest.fixture
def matrix(tmp_path):
    pp.Tree.from_newick(TRUE).distance_matrix().save(tmp_path / "d.npz")
    return tmp_path / "d.npz"


def call(capsys, *argv):
    try:
        code = main(["tree", *map(str, argv)])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def planted(capsys, matrix, *options):
    """The tree that is written, and the JSON object."""
    out = matrix.with_name("t.nwk")
    code, text, err = call(capsys, matrix, "-o", out, "--no-pictures", "--json", *options)
    assert (code, err) == (0, "")
    return pp.Tree.read(out), json.loads(text)


def refused(capsys, matrix, message, *options):
    """Nothing is written, and one line says why."""
    before = sorted(matrix.parent.rglob("*"))
    code, out, err = call(capsys, matrix, "-o", matrix.with_name("t.nwk"), *options)
    assert (code, out) == (2, "")
    assert message in err
    assert sorted(matrix.parent.rglob("*")) == before
    return err


@pytest.mark.parametrize("method", ["nj", "bionj", "bme"])
@pytest.mark.parametrize(
    "outgroup", [["a", "b"], ["c, d", "midpoint", "e", "f"], ["e", "f", "e"], ["midpoint"]]
)
def test_an_outgroup_is_one_side_of_the_root(capsys, matrix, outgroup, method):
    tree, data = planted(capsys, matrix, "--outgroup", *outgroup, "--method", method)
    assert data["rooted"]
    sides = [{tree.tips[tip] for tip in tree.tips_below(v)} for v in tree.children(tree.root)]
    assert set(outgroup) in sides
    assert tree == pp.Tree.from_newick(TRUE).root_at(outgroup=outgroup) or method == "bme"
    one, other = tree.length[tree.children(tree.root)]
    assert one == pytest.approx(other)


def test_an_outgroup_may_be_given_piece_by_piece(capsys, matrix):
    whole = planted(capsys, matrix, "--outgroup", "a", "b")[0]
    assert planted(capsys, matrix, "--outgroup", "a", "--outgroup", "b")[0] == whole


def test_supports_stay_with_their_branches_under_an_outgroup(capsys, tmp_path):
    table = pp.simulate.simulate_table(12, 16, family_size=4, seed=1)
    table.save(tmp_path / "table.ppt")
    pp.nei_distance(table).save(tmp_path / "d.npz")
    tree = pp.bootstrap_support(table, pp.neighbor_joining(pp.nei_distance(table)), n=10)
    clade = min(tree.clades(), key=len)
    options = ("--bootstrap", 10, "--store", tmp_path / "table.ppt", "--outgroup", *clade)
    assert planted(capsys, tmp_path / "d.npz", *options)[0] == tree.root_at(outgroup=clade)


def test_outgroups_that_part_nothing_are_refused(capsys, matrix):
    refused(
        capsys, matrix, "2 more would come with them ('b', 'c, d')",
        "--outgroup", "a", "midpoint",
    )  # fmt: skip
    refused(capsys, matrix, "no model 'midpont' in the matrix; did you mean 'midpoint'?",
            "--outgroup", "a", "midpont")  # fmt: skip
    refused(capsys, matrix, "--outgroup names all 6 models",
            "--outgroup", *pp.Tree.from_newick(TRUE).tips)  # fmt: skip


def test_two_roots_are_refused(capsys, matrix):
    refused(capsys, matrix, "not allowed with argument", "--root", "mad", "--outgroup", "a")
    for root in (("--outgroup", "a"), ("--root", "mad")):
        refused(capsys, matrix, "takes --root midpoint or the name", "--living-ancestors", *root)


def test_an_unknown_root_is_refused_before_replicates(capsys, matrix):
    """The store is not even looked for."""
    for option in ("--root", "--outgroup"):
        refused(capsys, matrix, f"{option}: there is no model 'z'",
                option, "z", "--bootstrap", 5, "--store", "nowhere")  # fmt: skip


def test_an_outgroup_roots_known_ancestors(capsys, matrix):
    metadata = matrix.with_name("m.csv")
    metadata.write_text("model,base_model\nb,a\n")
    tree, data = planted(
        capsys, matrix, "--outgroup", "e", "f", "--living-ancestors", "--metadata", metadata
    )
    assert data["ancestors"] == ["a"]
    tops = [{tree.tips[tip] for tip in tree.tips_below(v)} for v in tree.children(tree.root)]
    assert {"e", "f"} in tops


# Before anything is written


def test_metadata_without_families_are_no_cause_for_a_warning(capsys, matrix):
    metadata = matrix.with_name("m.csv")
    metadata.write_text("model,date\nb,2024\n")
    planted(capsys, matrix, "--metadata", metadata)
    metadata.write_text("model,date\nz,2024\n")
    code, _, err = call(
        capsys, matrix, "-o", matrix.with_name("t.nwk"), "--no-pictures", "--metadata", metadata
    )
    assert code == 0
    assert "check the column 'model'" in err


def annotated(matrix, text="model,family,n\na,x,1\nb,y,2\n"):
    metadata = matrix.with_name("m.csv")
    metadata.write_text(text)
    return ("--metadata", metadata, "--annotations", matrix.with_name("notes"))


def test_annotations_fit_the_tree(capsys, matrix):
    tree, data = planted(capsys, matrix, *annotated(matrix))
    notes = matrix.with_name("notes")
    assert set(data["files"]) == {str(matrix.with_name("t.nwk")), *map(str, notes.iterdir())}
    assert len(data["files"]) == 7
    shown = pp.Tree.read(notes / "tree_ids.nwk")
    assert shown.tips == tuple(tip.replace(", ", "-") for tip in tree.tips)


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        (".nwk", "model,strain\na,x\n", "the metadata has a column 'strain'"),
        (".xml", "model,family\na,x\n", "phyloXML collapses white space"),
        (".jpg", "model,family\na,x\n", "trees are written by suffix (Newick .nwk"),
        ("", "model,family\na,x\n", "trees are written by suffix (Newick .nwk"),
    ],
)
def test_names_and_suffixes_are_refused_before_work(capsys, tmp_path, suffix, text, message):
    D = pp.DistanceMatrix([[0, 1, 2], [1, 0, 2], [2, 2, 0]], ["a", "b", "c  d"])
    D.save(tmp_path / "d.npz")
    notes = annotated(tmp_path / "d.npz", text)
    # The table is missing as well: that is found only when bootstraps are made ready.
    more = ("--bootstrap", 5, "--store", "nowhere")
    refused(capsys, tmp_path / "d.npz", message, "-o", tmp_path / f"t{suffix}", *notes, *more)


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("t.svg", "t.svg': it is a folder"),
        ("t_unrooted.png", "t_unrooted.png': it is a folder"),
        ("t_heatmap.svg", "t_heatmap.svg': it is a folder"),
        ("notes/labels.txt", "labels.txt': it is a folder"),
        ("notes/taxonium.tsv", "taxonium.tsv': it is a folder"),
        ("notes/tree_ids.nwk", "tree_ids.nwk': it is a folder"),
    ],
)
def test_folders_in_the_place_of_files(capsys, matrix, folder, message):
    (matrix.parent / folder).mkdir(parents=True)
    refused(capsys, matrix, message, *annotated(matrix))


def test_annotations_never_overwrite_what_is_read_or_the_tree(capsys, matrix):
    notes = matrix.with_name("notes")
    notes.mkdir()
    options = annotated(matrix)
    for name in ("tree_ids.nwk", "labels.txt"):
        refused(capsys, matrix, f"it would take the place of {str(notes / name)!r}",
                "-o", notes / name, "--no-pictures", *options)  # fmt: skip
    data = notes / "taxonium.tsv"
    pp.DistanceMatrix.load(matrix).save(data)
    refused(capsys, data, "take the place of", *options)
    matrix.with_name("file").touch()
    refused(
        capsys, matrix, "it is not a folder", *options, "--annotations", matrix.with_name("file")
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="everything may be written by root")
def test_folders_that_may_not_be_written_to(capsys, matrix):
    notes = matrix.with_name("notes")
    notes.mkdir(mode=0o555)
    refused(capsys, matrix, "its folder may not be written to", *annotated(matrix))
