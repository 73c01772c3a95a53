"""Newick: every name, every bit, every error with its place; and what other readers make of it."""

import io
import math

import numpy as np
import pytest
from drawn_formats import HOSTILE, by_clade, labelled_trees
from hypothesis import given, settings
from hypothesis import strategies as st

from pyphylo.errors import FileFormatError, InputError
from pyphylo.io.trees import read_trees
from pyphylo.tree import Tree

FEW = settings(max_examples=150, deadline=None)


@FEW
@given(labelled_trees())
def test_round_trip_keeps_every_name_and_bit(tree):
    again = Tree.from_newick(tree.newick())
    assert by_clade(again) == by_clade(tree)
    assert again.newick() == tree.newick()
    assert again == tree
    assert again.tips == tuple(tree.tips[tip] for tip in tree.tips_below(tree.root))


@FEW
@given(st.text("(),:;[]'ab 1.", max_size=30))
def test_any_text_is_a_tree_or_a_named_error(text):
    message = ""
    try:
        tree = Tree.from_newick(text)
    except FileFormatError as error:
        message = str(error)
    if message:
        assert message.startswith("line 1, column ")
    else:
        assert Tree.from_newick(tree.newick()) == tree


@pytest.mark.parametrize("name", HOSTILE)
def test_files_keep_hostile_names(name, tmp_path):
    tree = Tree([name, "other"], [2, 2, -1], [0.1, 1e-300, 0])
    path = tmp_path / "tree.nwk"
    tree.write(path)
    assert Tree.read(path) == tree
    assert Tree.read(path).tips[0] == name


def test_plain_names_are_not_quoted():
    text = "(org/a-7b@main:0.1,b.Q4:1e-05,(x+y:1,z:2)99:3);"
    assert Tree.from_newick(text).newick() == text


def test_what_unquoted_and_quoted_labels_mean():
    tree = Tree.from_newick("((a_b,'c d')0.75,(e,f)inner,(g,h)'95')root;")
    assert tree.tips == ("a_b", "c d", "e", "f", "g", "h")
    assert tree.labels == (None, "inner", "95", "root")
    assert tree.support[6:].tolist()[:1] == [0.75]
    assert np.isnan(tree.support[7:]).all()
    assert np.isnan(tree.length[:-1]).all()
    assert tree.newick() == "(('a_b','c d')0.75,(e,f)inner,(g,h)'95')root;"


def test_spaces_comments_and_signs():
    text = "[&R] (a [a [nested] comment] : [x] 1. ,\n\tb:-.5e+1,[y]c:nan)\n[&other=x]; [end]\n"
    assert Tree.from_newick(text) == Tree.from_newick("(a:1,b:-5,c);")


def test_byte_order_mark_in_a_file(tmp_path):
    path = tmp_path / "bom.nwk"
    path.write_bytes(b"\xef\xbb\xbf(a:1,b:2);")
    assert Tree.read(path).tips == ("a", "b")


def test_label_and_support_together():
    tree = Tree(list("abc"), [3, 3, 4, 4, -1], None, [math.nan] * 3 + [0.5, math.nan], ["x", None])
    assert tree.newick() == "((a,b)x[&support=0.5],c);"
    assert Tree.from_newick(tree.newick()) == tree


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1, column 1: there is no tree"),
        (" \n[only a comment]\n", "line 3, column 1: there is no tree"),
        ("(a,b)", "line 1, column 6: the ; that ends a tree is missing"),
        ("((a,\n b);", "line 2, column 4: 1 \\( without their \\), the innermost at line 1, co"),
        ("(a,(b,c)", "line 1, column 9: 1 \\( without their \\)"),
        ("(a,b));", "line 1, column 6: a \\) without its \\("),
        ("a,b;", "line 1, column 2: a comma outside"),
        ("(a,,b);", "line 1, column 4: expected a tip's name or \\( but found ','"),
        ("(a,);", "line 1, column 4: expected a tip's name"),
        ("();", "line 1, column 2: expected a tip's name"),
        ("(a,'');", "line 1, column 4: .*an empty name"),
        ("(a,b)(c,d);", "line 1, column 6: a \\( is out of place"),
        ("(a:1:2,b);", "line 1, column 5: a : is out of place"),
        ("(two words,b);", "line 1, column 6: .*single quotes"),
        ("(a:1 x,b);", "line 1, column 6"),
        ("(a:x,b);", "line 1, column 4: the length 'x' is not a number"),
        ("(a:1_0,b);", "the length '1_0' is not a number"),
        ("(a:inf,b);", "the length 'inf' is not a number"),
        ("(a:,b);", "line 1, column 4: expected a length but found ','"),
        ("(a:'1',b);", "line 1, column 4: expected a length"),
        ("(a:1e999,b);", "line 1, column 4: the length 1e999 is too large"),
        ("(a,b)[&support=x];", "line 1, column 6: the support 'x' is not a number"),
        ("(a,\n'b", "line 2, column 1: a quoted name is not closed"),
        ("(a,b[x;", "line 1, column 5: a comment is not closed"),
        ("(a,b]);", "line 1, column 5: a \\] without"),
        ("(a,\n(b,a));", "line 2, column 4: tip 'a' occurs twice, first at line 1, column 2"),
    ],
)
def test_errors_name_the_place(text, message, tmp_path):
    with pytest.raises(FileFormatError, match=message):
        Tree.from_newick(text)
    path = tmp_path / "bad.nwk"
    path.write_text(text, encoding="utf-8", newline="")
    with pytest.raises(FileFormatError, match=r"bad\.nwk: .*" + message):
        Tree.read(path)


def test_one_tree_is_read_or_all(tmp_path):
    path = tmp_path / "two.nwk"
    path.write_text("(a,b); [second]\n('c d',a);\n")
    with pytest.raises(FileFormatError, match=r"line 2, column 1: text after .*read_trees"):
        Tree.from_newick(path.read_text())
    with pytest.raises(FileFormatError, match=r"two\.nwk: 2 trees, .*read_trees\(path\)\[0\]"):
        Tree.read(path)
    assert [tree.newick() for tree in read_trees(path)] == ["(a,b);", "('c d',a);"]
    path.write_text("(a,b);\n(c,d)")
    with pytest.raises(FileFormatError, match="line 2, column 6: the ; that ends"):
        read_trees(path)


def test_nexus_text_is_no_newick():
    with pytest.raises(FileFormatError, match="line 1, column 1: this is NEXUS"):
        Tree.from_newick("#NEXUS\nbegin trees;")


def test_files_that_are_no_trees(tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        Tree.read(tmp_path / "none.nwk")
    binary = tmp_path / "binary.nwk"
    binary.write_bytes(b"(a\xff,b);")
    with pytest.raises(FileFormatError, match="not UTF-8"):
        Tree.read(binary)
    tree = Tree.from_newick("(a,b);")
    for name in ("tree.svg", "tree", "tree.nwkk"):
        with pytest.raises(InputError, match=r"\(Newick \.nwk .*; NEXUS \.nex \.nexus; phyloXML"):
            tree.write(tmp_path / name)
    with pytest.raises(InputError, match="folder does not exist"):
        tree.write(tmp_path / "absent" / "tree.nwk")
    assert [path.name for path in tmp_path.iterdir()] == ["binary.nwk"]


# Other programs. Biopython ends a name at a line break and at a quote that starts it.
PORTABLE = [name for name in HOSTILE if "\n" not in name and not name.startswith("'")]


def portable_tree():
    rng = np.random.default_rng(1)
    tips = [*PORTABLE, "plain", "x_1", "it's 'so'"]
    parent, nodes = [-1] * len(tips), list(range(len(tips)))
    while len(nodes) > 1:
        for _ in range(min(3, len(nodes))):
            parent[nodes.pop(rng.integers(len(nodes)))] = len(parent)
        nodes.append(len(parent))
        parent.append(-1)
    n_internal = len(parent) - len(tips)
    support = [math.nan] * len(tips) + list(rng.uniform(size=n_internal - 1)) + [math.nan]
    return Tree(tips, parent, rng.uniform(size=len(parent)), support)


def test_scikit_bio_reads_what_we_write():
    skbio = pytest.importorskip("skbio")
    tree = portable_tree()
    read = skbio.TreeNode.read([tree.newick()], format="newick", convert_underscores=False)
    read.assign_supports()
    assert_same_as_skbio(tree, read)


def test_to_skbio():
    pytest.importorskip("skbio")
    tree = portable_tree()
    assert_same_as_skbio(tree, tree.to_skbio())


def assert_same_as_skbio(tree, node):
    found = {
        frozenset(tip.name for tip in inner.tips(include_self=True)): (inner.length, inner.support)
        for inner in node.traverse()
    }
    assert found == ours(tree)


def ours(tree):
    return {
        frozenset(tree.tips[tip] for tip in tree.tips_below(node)): (
            None if node == tree.root else float(tree.length[node]),
            None if math.isnan(tree.support[node]) else float(tree.support[node]),
        )
        for node in range(tree.n_nodes)
    }


def test_biopython_reads_what_we_write():
    phylo = pytest.importorskip("Bio.Phylo")
    tree = portable_tree()
    assert_same_as_biopython(tree, phylo.read(io.StringIO(tree.newick()), "newick"))


def test_to_biopython():
    pytest.importorskip("Bio.Phylo")
    tree = portable_tree()
    converted = tree.to_biopython()
    assert converted.rooted == tree.is_rooted
    assert_same_as_biopython(tree, converted)


def assert_same_as_biopython(tree, other):
    found = {
        frozenset(tip.name for tip in clade.get_terminals()): (
            clade.branch_length,
            clade.confidence,
        )
        for clade in other.find_clades()
    }
    assert found == ours(tree)


def test_to_networkx():
    networkx = pytest.importorskip("networkx")
    tree = Tree.from_newick("((a:1,b:2)0.5:3,c)root;")
    graph = tree.to_networkx()
    assert networkx.is_arborescence(graph)
    assert {graph.nodes[v]["name"] for v in graph if graph.out_degree(v) == 0} == {"a", "b", "c"}
    assert graph.nodes[tree.root]["name"] == "root"
    assert graph.nodes[3] == {"support": 0.5}
    assert graph.edges[3, 0]["length"] == 1
    assert "length" not in graph.edges[4, 2]
    lengths = networkx.shortest_path_length(graph.to_undirected(), 0, 1, weight="length")
    assert lengths == tree.patristic()[0, 1]


def test_what_scikit_bio_writes():
    pytest.importorskip("skbio")
    tree = Tree.from_newick("((org/a@1:0.1,(x:1,'c,d':2)0.5:3)0.25:1e-30,'(e)':4,f:5);")
    assert Tree.from_newick(str(tree.to_skbio())).robinson_foulds(tree) == 0
