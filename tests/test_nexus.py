"""NEXUS: every name, every bit, what other programs write, and every error with its place."""

import io

import pytest
from drawn_formats import HOSTILE, by_clade, caterpillar, labelled_trees
from hypothesis import given, settings
from hypothesis import strategies as st

from pyphylo.errors import FileFormatError
from pyphylo.io.nexus import format_nexus, parse_all
from pyphylo.io.trees import read_trees
from pyphylo.tree import Tree

FEW = settings(max_examples=150, deadline=None)


def parsed(text):
    return [Tree(*arrays) for arrays in parse_all(text)]


@FEW
@given(labelled_trees())
def test_round_trip_keeps_every_name_and_bit(tree):
    (again,) = parsed(format_nexus(tree))
    assert by_clade(again) == by_clade(tree)
    assert again == tree


@pytest.mark.parametrize("suffix", [".nex", ".NEXUS"])
@pytest.mark.parametrize("name", [*HOSTILE, "1", "2", "tree", "END"])
def test_files_keep_hostile_names(name, suffix, tmp_path):
    tree = Tree([name, "other"], [2, 2, -1], [0.1, 1e-300, 0])
    tree.write(tmp_path / f"tree{suffix}")
    again = Tree.read(tmp_path / f"tree{suffix}")
    assert again == tree
    assert again.tips[0] == name


@FEW
@given(st.text("(),:;[]'=ab 1*", max_size=30))
def test_any_text_is_a_tree_or_a_named_error(text):
    message, trees = "", []
    try:
        trees = parsed(f"#NEXUS\nbegin trees;\ntree {text}\nend;")
    except FileFormatError as error:
        message = str(error)
    assert message.startswith("line ") != bool(trees)
    for tree in trees:
        assert parsed(format_nexus(tree)) == [tree]


FOREIGN = """#nexus [a comment [in a comment]]
Begin taxa;
  Dimensions ntax=4;
  TaxLabels one 'two''s' three_3 [four?] '4 four';
End;
begin characters;
  format datatype=protein missing=? gap=-;
  matrix one MK-? 'two''s' MKLV;
end;
BEGIN TREES;
  Title 'some trees';
  Translate a one, b 'two''s',
    'c c' three_3, 4 '4 four',;
  tree first = [&R] [&lnP=-1] ((a[&rate=1]:1,b:[&x]2)0.5:3,'c c':4,4:5)root:0;
  UTREE * 'the second'=[&U](a,(b,4)inner[&support=0.75]);
END;
begin trees;
  tree third=(1:1,(2:2,3:3):1);
  tree * x =(4,a);
endblock;
"""


def test_what_other_programs_write(tmp_path):
    first, second, third, fourth = parsed(FOREIGN)
    assert first.newick() == "((one:1,'two''s':2)0.5:3,'three_3':4,'4 four':5)root;"
    assert second.newick() == "(one,('two''s','4 four')inner[&support=0.75]);"
    assert third.newick() == "(one:1,('two''s':2,'three_3':3):1);"
    assert fourth.newick() == "('4 four',a);"  # TRANSLATE holds in its own block
    path = tmp_path / "trees.nex"
    path.write_text(FOREIGN)
    assert read_trees(path) == [first, second, third, fourth]
    with pytest.raises(FileFormatError, match=r"trees\.nex: 4 trees, .*read_trees.*\[3\]"):
        Tree.read(path)


def test_nexus_is_known_by_its_head_too(tmp_path):
    path = tmp_path / "beast.tree"
    path.write_text("\ufeff\n#NEXUS\nbegin trees; tree t=(a,b); end;", encoding="utf-8")
    assert Tree.read(path).newick() == "(a,b);"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: a NEXUS file begins with #NEXUS"),
        ("(a,b);", "line 1, column 1: a NEXUS file begins"),
        ("#NEXUS\n", "line 2, column 1: there is no tree"),
        ("#NEXUS\nbegin trees;\nend;\n", "line 4, column 1: there is no tree"),
        ("#NEXUS\nbegin trees;\ntree t=(a,b);", "line 3, column 14: block TREES is not closed"),
        ("#NEXUS\nbegin trees;\ntree t=(a,b", "line 3, column 12: 1 \\( without their \\)"),
        ("#NEXUS\nbegin trees;\ntree t=(a,b)", "line 3, column 13: the ; that ends a tree"),
        ("#NEXUS\nbegin trees;\ntree t=(a,b));end;", "line 3, column 13: a \\) without its \\("),
        ("#NEXUS\nbegin trees;\ntree t=(a,a);end;", "line 3, column 11: tip 'a' occurs twice"),
        ("#NEXUS\nbegin trees;\ntranslate 1 a,2 a;\ntree t=(1,2);", "line 4, column 11: tip 'a'"),
        ("#NEXUS\nbegin trees;\ntranslate 1 a,2;", "line 3, column 15: TRANSLATE takes pairs"),
        ("#NEXUS\nbegin trees;\ntranslate 1 a,,2 b;", "line 3, column 15: TRANSLATE takes pairs"),
        ("#NEXUS\nbegin trees;\ntranslate 1 a 2 b;", "line 3, column 11: TRANSLATE takes pairs"),
        ("#NEXUS\nbegin trees;\ntranslate 1 a,1 b;", "line 3, column 15: TRANSLATE has '1' a sec"),
        ("#NEXUS\nbegin trees;\ntranslate 1 a", "line 3, column 14: the ; that ends translate"),
        ("#NEXUS\nbegin trees;\ntree t;", "line 3, column 7: TREE ends where = is expected"),
        ("#NEXUS\nbegin trees;\ntree t(a,b);", "line 3, column 7: expected = but found '\\('"),
        ("#NEXUS\nbegin trees;\ntree (a,b);", "line 3, column 6: expected a tree's name"),
        ("#NEXUS\nbegin trees;\nbegin taxa;", "line 3, column 1: BEGIN before block TREES"),
        ("#NEXUS\nend;", "line 2, column 1: end without BEGIN"),
        ("#NEXUS\ntree t=(a,b);", "line 2, column 1: expected BEGIN but found 'tree'"),
        ("#NEXUS\nbegin trees;\n[open", "line 3, column 1: a comment is not closed"),
        ("#NEXUS\nbegin taxa;\ntaxlabels 'a b;", "line 3, column 11: a quoted name is not closed"),
        ("#NEXUS\nbegin", "line 2, column 6: the ; that ends begin is missing"),
    ],
)
def test_errors_name_the_place(text, message, tmp_path):
    path = tmp_path / "bad.nex"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(FileFormatError, match=r"bad\.nex: " + message):
        Tree.read(path)


@given(st.integers(0, len(FOREIGN) - len("endblock;\n")))
@settings(max_examples=60, deadline=None)
def test_a_file_that_is_cut_off_is_refused_or_ends_a_block(place):
    message = ""
    try:
        trees = parsed(FOREIGN[:place])
    except FileFormatError as error:
        message = str(error)
    if message:
        assert message.startswith("line ")
    else:
        assert len(trees) == 2
        assert "third" not in FOREIGN[:place].lower()


def test_deep_trees(tmp_path):
    tree = caterpillar(20_000)
    tree.write(tmp_path / "deep.nex")
    assert Tree.read(tmp_path / "deep.nex") == tree


def test_biopython_reads_what_is_written():
    phylo = pytest.importorskip("Bio.Phylo")
    tree = Tree.from_newick("((org/name.v1:0.1,'two words':1e-05)0.75:0.25,(x-1:1,y_2:2):3,z:0.3);")
    theirs = phylo.read(io.StringIO(format_nexus(tree)), "nexus")
    lengths = {tip.name.strip("'"): tip.branch_length for tip in theirs.get_terminals()}
    assert lengths == dict(zip(tree.tips, tree.length[: tree.n_tips].tolist(), strict=True))
    assert [clade.confidence for clade in theirs.get_nonterminals()] == [None, 0.75, None]


def test_what_biopython_writes_is_read():
    # Its TAXLABELS are not quoted, so names with blanks or quotes are beyond it.
    phylo = pytest.importorskip("Bio.Phylo")
    tree = Tree.from_newick("((org/name.v1:0.5,b:1):0.25,(x-1:1,y.2:2):3,z:0.3);")
    text = io.StringIO()
    phylo.write([tree.to_biopython()], text, "nexus")
    assert parsed(text.getvalue()) == [tree]
