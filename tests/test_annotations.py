"""Files for iTOL and Taxonium: what they say, and names that they can or cannot hold."""

import csv

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.errors import InputError
from pyphylo.io.annotations import write_itol, write_taxonium
from pyphylo.plot._style import family_style
from pyphylo.tree import Tree

TREE = Tree.from_newick("((a:1,'b, c':2)base:1,org/d:3);")
ROWS = {
    "a": {"family": "qwen", "params_b": "7", "note": "x\ty"},
    "b, c": {"family": "llama", "params_b": "1.5e1", "label": "B\nC"},
    "base": {"family": "old\tfamily", "date": "2023-01"},
    "absent": {"family": "none", "other": "1"},
}


def tables(folder):
    return {
        path.name: [line.split("\t") for line in path.read_text(encoding="utf-8").splitlines()]
        for path in folder.iterdir()
    }


def test_itol_files(tmp_path):
    files = write_itol(TREE, ROWS, tmp_path / "itol")
    found = tables(tmp_path / "itol")
    assert [path.name for path in files] == ["labels.txt", "family.txt", "bar_params_b.txt"]
    assert sorted(found) == sorted(path.name for path in files)
    assert found["labels.txt"] == [
        ["LABELS"],
        ["SEPARATOR TAB"],
        ["DATA"],
        ["a", "a"],
        ["b, c", "B C"],
        ["org/d", "org/d"],
        ["base", "base"],
    ]
    assert found["bar_params_b.txt"][-3:] == [["DATA"], ["a", "7"], ["b, c", "1.5e1"]]
    style = family_style(TREE.tips, {"a": "qwen", "b, c": "llama"})
    llama, qwen, other = (style.colour(code) for code in range(3))
    strip = found["family.txt"]
    assert strip[0] == ["DATASET_COLORSTRIP"]
    assert ["LEGEND_COLORS", llama, qwen, other] in strip
    assert ["LEGEND_LABELS", "llama", "qwen", "old family"] in strip
    assert strip[-4:] == [
        ["DATA"],
        ["a", qwen, "qwen"],
        ["b, c", llama, "llama"],
        ["base", other, "old family"],
    ]


@pytest.mark.parametrize("name", ["a\tb", "a\nb", "a\rb", "#a", " a", "a\u2028b", "\x00"])
def test_itol_refuses_names_that_it_cannot_hold(name, tmp_path):
    tree = Tree([name, "other"], [2, 2, -1])
    with pytest.raises(InputError, match="iTOL cannot hold names"):
        write_itol(tree, {}, tmp_path / "itol")
    assert not (tmp_path / "itol").exists()


def test_folders_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match="around it does not exist"):
        write_itol(TREE, {}, tmp_path / "no" / "itol")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="not a folder"):
        write_itol(TREE, {}, tmp_path / "file")


def test_columns_with_one_file_name_get_two(tmp_path):
    rows = {"a": {"x y": "1", "x/y": "2", "nan": "nan", "big": "1e999", "x_y": "1_0"}}
    files = write_itol(TREE, rows, tmp_path)
    assert [path.name for path in files] == ["labels.txt", "bar_x_y.txt", "bar_x_y_.txt"]


text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), min_size=1)


@settings(max_examples=80, deadline=None)
@given(st.lists(text, min_size=2, max_size=2, unique=True), text)
def test_taxonium_cells_survive(tmp_path_factory, names, cell):
    path = tmp_path_factory.mktemp("taxonium") / "meta.csv"
    write_taxonium(Tree(names, [2, 2, -1]), {names[0]: {"note": cell}}, path)
    with path.open(encoding="utf-8", newline="") as handle:
        assert list(csv.reader(handle)) == [["strain", "note"], [names[0], cell], [names[1], ""]]


def test_taxonium_has_a_key_of_its_own(tmp_path):
    with pytest.raises(InputError, match="column 'strain'"):
        write_taxonium(TREE, {"a": {"strain": "x"}}, tmp_path / "meta.csv")


def test_command(tmp_path, capsys):
    pp.DistanceMatrix(np.arange(1.0, 7.0), ["a", "b", "c", "d"]).save(tmp_path / "d.csv")
    (tmp_path / "m.csv").write_text("model,family,params_b\na,x,1\nb,y,2\n")
    call = ["tree", str(tmp_path / "d.csv"), "-o", str(tmp_path / "t.nex"), "--no-pictures"]
    call += ["--annotations", str(tmp_path / "notes")]
    assert main(call) == 2
    assert "--annotations needs --metadata" in capsys.readouterr().err
    assert main([*call, "--metadata", str(tmp_path / "m.csv")]) == 0
    names = {path.name for path in (tmp_path / "notes").iterdir()}
    assert names == {"labels.txt", "family.txt", "bar_params_b.txt", "taxonium.csv"}
    assert Tree.read(tmp_path / "t.nex").n_tips == 4
