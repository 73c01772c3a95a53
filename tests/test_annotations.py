"""Files for iTOL and Taxonium: what they say, and names that they can or cannot hold."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.errors import InputError
from pyphylo.io.annotations import (
    annotation_paths,
    viewer_ids,
    write_itol,
    write_taxonium,
)
from pyphylo.plot._style import family_style
from pyphylo.tree import Tree

TREE = Tree.from_newick("((a:1,'b, c':2)base:1,org/d:3);")
ROWS = {
    "a": {"family": "qwen", "params_b": "7", "note": "x\ty", "gain": "-1"},
    "b, c": {"family": "llama", "params_b": "1.5e1", "label": "<b>B</b>\nC", "gain": "2"},
    "base": {"family": "old\tfamily", "date": "2023-01"},
    "absent": {"family": "none", "other": "1"},
}


def tables(folder):
    return {
        path.name: [line.split("\t") for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
        for path in folder.iterdir()
    }


def test_itol_files(tmp_path):
    files = write_itol(TREE, ROWS, tmp_path / "itol")
    found = tables(tmp_path / "itol")
    assert [path.name for path in files] == [
        "tree_ids.nwk", "labels.txt", "family.txt", "metadata.txt", "bar_params_b.txt",
        "gradient_gain.txt",
    ]  # fmt: skip
    assert sorted(found) == sorted(path.name for path in files)
    assert found["tree_ids.nwk"] == [["((a:1,b-c:2)base:1,org/d:3);"]]
    assert found["labels.txt"] == [
        ["LABELS"],
        ["SEPARATOR TAB"],
        ["DATA"],
        ["a", "a"],
        ["b-c", "&lt;b&gt;B&lt;/b&gt; C"],
        ["org/d", "org/d"],
        ["base", "base"],
    ]
    assert found["bar_params_b.txt"][-3:] == [["DATA"], ["a", "7"], ["b-c", "1.5e1"]]
    assert found["gradient_gain.txt"][0] == ["DATASET_GRADIENT"]
    assert found["gradient_gain.txt"][-3:] == [["DATA"], ["a", "-1"], ["b-c", "2"]]
    fields = ["FIELD_LABELS", "family", "params_b", "note", "gain", "label", "date"]
    assert found["metadata.txt"][:4] == [["METADATA"], ["SEPARATOR TAB"], fields, ["DATA"]]
    assert found["metadata.txt"][4] == ["a", "qwen", "7", "x y", "-1", "", ""]
    style = family_style(TREE.tips, {"a": "qwen", "b, c": "llama"})
    llama, qwen, other = (style.colour(code) for code in range(3))
    strip = found["family.txt"]
    assert strip[0] == ["DATASET_COLORSTRIP"]
    assert ["LEGEND_COLORS", llama, qwen, other] in strip
    assert ["LEGEND_LABELS", "llama", "qwen", "old family"] in strip
    assert strip[-4:] == [
        ["DATA"],
        ["a", qwen, "qwen"],
        ["b-c", llama, "llama"],
        ["base", other, "old family"],
    ]


def test_taxonium_files(tmp_path):
    files = write_taxonium(TREE, ROWS, tmp_path)
    assert [path.name for path in files] == ["tree_ids.nwk", "taxonium.tsv"]
    found = tables(tmp_path)["taxonium.tsv"]
    assert found == [
        ["strain", "model", "family", "params_b", "note", "gain", "label", "date"],
        ["a", "a", "qwen", "7", "x y", "-1", "", ""],
        ["b-c", "b, c", "llama", "1.5e1", "", "2", "<b>B</b> C", ""],
        ["org/d", "org/d", "", "", "", "", "", ""],
        ["base", "base", "old family", "", "", "", "", "2023-01"],
    ]


def test_names_that_viewers_read_need_no_other_tree(tmp_path):
    tree = Tree.from_newick("((org/a-7b@main:1,b.Q4:2)x+y:1,c:3);")
    assert [path.name for path in write_itol(tree, {}, tmp_path)] == ["labels.txt"]
    assert [path.name for path in write_taxonium(tree, {}, tmp_path)] == ["taxonium.tsv"]
    assert [line[0] for line in tables(tmp_path)["labels.txt"][3:]] == [*tree.tips, "x+y"]


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@settings(max_examples=150, deadline=None)
@given(st.lists(text | st.sampled_from(["a_b", "a b", "a-b", "a-b-2", "7", "1e5"]), unique=True))
def test_ids_are_different_and_read_as_they_stand(names):
    ids = viewer_ids(names)
    assert list(ids) == names
    assert len(set(ids.values())) == len(names)
    for name, own in ids.items():
        assert re.fullmatch(r"[A-Za-z0-9.@/+-]+", own)
        assert Tree.from_newick(f"((a,b){own});").labels[0] == own
        if re.fullmatch(r"[A-Za-z][A-Za-z0-9.@/+-]*", name):
            assert own == name


@settings(max_examples=60, deadline=None)
@given(st.lists(text, min_size=3, max_size=3, unique=True), text)
def test_every_row_has_a_node_of_the_tree(tmp_path_factory, names, cell):
    """Read as Taxonium does: lines, tabs, no quotes."""
    folder = tmp_path_factory.mktemp("taxonium")
    tree = Tree(names[:2], [2, 2, -1], support=[np.nan, np.nan, 0.5], labels=[names[2]])
    write_taxonium(tree, {names[0]: {"note": cell, "n": "1"}}, folder)
    lines = tables(folder)["taxonium.tsv"]
    assert {len(line) for line in lines} == {2 + ("n" in lines[0]) + ("note" in lines[0])}
    used = folder / "tree_ids.nwk"
    shown = Tree.read(used) if used.exists() else tree
    assert [line[0] for line in lines[1:]] == [*shown.tips, shown.labels[0]]
    assert "'" not in shown.newick()
    assert shown.support[2] == 0.5


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "#a", " a", "a|b", "a\u2028b", "\x00", "a'b"])
def test_names_that_no_viewer_reads_get_ids(name, tmp_path):
    files = write_itol(Tree([name, "other"], [2, 2, -1]), {}, tmp_path)
    assert files[0].name == "tree_ids.nwk"
    assert set(Tree.read(files[0]).tips) == {viewer_ids([name])[name], "other"}


def test_folders_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="around it does not exist"):
        write_itol(TREE, {}, tmp_path / "no" / "itol")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"):
        write_taxonium(TREE, {}, tmp_path / "file")
    (tmp_path / "itol" / "family.txt").mkdir(parents=True)
    with pytest.raises(InputError, match=r"family\.txt': it is a folder"):
        write_itol(TREE, ROWS, tmp_path / "itol")
    assert [path.name for path in (tmp_path / "itol").iterdir()] == ["family.txt"]


def test_columns_with_one_file_name_get_two(tmp_path):
    rows = {
        "a": {"x y": "1", "X/Y": "2", "nan": "nan", "big": "1e999", "x_y": "1_0", "é" * 300: "3"}
    }
    files = write_itol(Tree.from_newick("(a,b);"), rows, tmp_path)
    names = ["labels.txt", "metadata.txt", "bar_x_y.txt", "bar_x_y-2.txt", f"bar_{'_' * 80}.txt"]
    assert [path.name for path in files] == names


def test_bootstrap_in_metadata_leaves_the_supports_alone(tmp_path):
    write_itol(Tree.from_newick("(a,b);"), {"a": {"Bootstrap": "x"}}, tmp_path)
    assert tables(tmp_path)["metadata.txt"][2] == ["FIELD_LABELS", "Bootstrap value"]


def test_taxonium_has_a_key_of_its_own(tmp_path):
    with pytest.raises(InputError, match="column 'strain'"):
        write_taxonium(TREE, {"a": {"strain": "x"}}, tmp_path / "meta")
    assert not (tmp_path / "meta").exists()


def test_paths_are_known_before_there_is_a_tree(tmp_path):
    names = [*TREE.tips, "base"]
    planned = annotation_paths(names, ROWS, tmp_path)
    assert not list(tmp_path.iterdir())
    written = [*write_itol(TREE, ROWS, tmp_path), *write_taxonium(TREE, ROWS, tmp_path)]
    assert set(planned) == set(written) == set(tmp_path.iterdir())


def test_command(tmp_path, capsys):
    pp.DistanceMatrix(np.arange(1.0, 7.0), ["a", "b", "c", "d"]).save(tmp_path / "d.csv")
    (tmp_path / "m.csv").write_text("model,family,params_b\na,x,1\nb,y,2\n")
    call = ["tree", str(tmp_path / "d.csv"), "-o", str(tmp_path / "t.nex"), "--no-pictures"]
    call += ["--annotations", str(tmp_path / "notes")]
    assert main(call) == 2
    assert "--annotations needs --metadata" in capsys.readouterr().err
    assert main([*call, "--metadata", str(tmp_path / "m.csv")]) == 0
    names = {path.name for path in (tmp_path / "notes").iterdir()}
    assert names == {
        "labels.txt", "family.txt", "metadata.txt", "bar_params_b.txt", "taxonium.tsv"
    }  # fmt: skip
    assert Tree.read(tmp_path / "t.nex").n_tips == 4
