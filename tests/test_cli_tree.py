"""``pyphylo tree``: roots by an outgroup, and what is refused before anything is written."""

from __future__ import annotations

import json

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
