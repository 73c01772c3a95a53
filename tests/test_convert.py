"""Trees from scikit-bio, Biopython and networkx: as they were, or refused with the reason."""

import io

import pytest
from drawn_formats import by_clade, caterpillar, labelled_trees
from hypothesis import given, settings

from pyphylo.errors import InputError
from pyphylo.tree import Tree

FEW = settings(max_examples=100, deadline=None)
LIBRARIES = {"skbio": "skbio", "biopython": "Bio.Phylo", "networkx": "networkx"}


def there_and_back(tree, library):
    pytest.importorskip(LIBRARIES[library])
    return getattr(Tree, f"from_{library}")(getattr(tree, f"to_{library}")())


@pytest.mark.parametrize("library", LIBRARIES)
@FEW
@given(tree=labelled_trees())
def test_round_trip_keeps_every_name_and_bit(library, tree):
    again = there_and_back(tree, library)
    assert by_clade(again) == by_clade(tree)
    assert again == tree


@pytest.mark.parametrize("library", LIBRARIES)
def test_deep_trees(library):
    # scikit-bio itself takes seconds for deeper ones.
    tree = caterpillar(4_000 if library == "skbio" else 20_000)
    assert there_and_back(tree, library) == tree


@pytest.mark.parametrize("library", LIBRARIES)
def test_what_is_no_tree_of_theirs(library):
    with pytest.raises(InputError, match=r"expected a .*, not str"):
        getattr(Tree, f"from_{library}")("(a,b);")


def test_nodes_of_scikit_bio():
    skbio = pytest.importorskip("skbio")
    text = "((a:1,b:2)95:3,'c d',e);"
    theirs = skbio.TreeNode.read([text])
    assert Tree.from_skbio(theirs).newick() == "((a:1,b:2)'95':3,'c d',e);"
    theirs.assign_supports()
    assert Tree.from_skbio(theirs).newick() == text
    with pytest.raises(InputError, match="below 'x', is a tip without a name"):
        Tree.from_skbio(skbio.TreeNode.read(["(a,(b,)x);"]))
    with pytest.raises(InputError, match="'a' occurs twice"):
        Tree.from_skbio(skbio.TreeNode.read(["(a,a);"]))
    theirs.children.append(theirs.children[0])
    with pytest.raises(InputError, match="is below two nodes, or below itself"):
        Tree.from_skbio(theirs)
    theirs = skbio.TreeNode.read(["(a,b);"])
    theirs.children[0].length = "long"
    with pytest.raises(InputError, match="above node 'a' must be a finite number, not 'long'"):
        Tree.from_skbio(theirs)


def test_clades_of_biopython():
    phylo = pytest.importorskip("Bio.Phylo")
    theirs = phylo.read(io.StringIO("((a:1,b:2)0.5:3,'c d',e)root;"), "newick")
    assert Tree.from_biopython(theirs).newick() == "((a:1,b:2)0.5:3,'c d',e)root;"
    theirs.root.clades[0].clades.append(theirs.root)
    with pytest.raises(InputError, match="node 'root' is below two nodes, or below itself"):
        Tree.from_biopython(theirs)


def test_graphs():
    networkx = pytest.importorskip("networkx")
    graph = networkx.Graph()
    graph.add_weighted_edges_from([("a", "x", 1), ("b", "x", 2), ("x", "y", 3), ("y", "c", 4)])
    graph.add_edge("y", "d", length=5, weight=6)
    assert Tree.from_networkx(graph).newick() == "(a:1,b:2,(c:4,d:5)y:3)x;"
    assert Tree.from_networkx(graph, "y").newick() == "((a:1,b:2)x:3,c:4,d:5)y;"
    assert Tree.from_networkx(networkx.Graph([(0, 1), (0, 2)])).tips == ("1", "2")
    one = networkx.Graph()
    one.add_node("alone")
    assert Tree.from_networkx(one).newick() == "alone;"


@pytest.mark.parametrize(
    ("kind", "edges", "message"),
    [
        ("Graph", [], "no node"),
        ("Graph", [("a", "b"), ("b", "c"), ("c", "a")], "a cycle through"),
        ("Graph", [("a", "b"), ("b", "b")], "a cycle through 'b' and 'b'"),
        ("MultiGraph", [("a", "b"), ("a", "b"), ("a", "c")], "joined twice"),
        ("Graph", [("a", "b"), ("b", "c"), ("x", "y")], "not connected: 2 nodes, 'x'"),
        ("DiGraph", [("a", "b"), ("b", "a")], "a cycle"),
        ("DiGraph", [("r", "s"), ("a", "b"), ("b", "a")], "not connected: 2 nodes, 'a'"),
        ("DiGraph", [("a", "b"), ("c", "b")], "'b' has 2 parents"),
        ("DiGraph", [("a", "b"), ("c", "d")], "2 nodes without a parent, \\['a', 'c'\\]"),
        ("Graph", [("r", 1), ("r", "1")], "'1' occurs twice"),
    ],
)
def test_graphs_that_are_no_trees(kind, edges, message):
    networkx = pytest.importorskip("networkx")
    graph = getattr(networkx, kind)()
    graph.add_edges_from(edges)
    with pytest.raises(InputError, match=message):
        Tree.from_networkx(graph)


def test_roots_and_values_that_cannot_be():
    networkx = pytest.importorskip("networkx")
    with pytest.raises(InputError, match="no node 'z' to be the root"):
        Tree.from_networkx(networkx.Graph([("a", "b"), ("b", "c")]), "z")
    with pytest.raises(InputError, match="root is 'a', not 'b'"):
        Tree.from_networkx(networkx.DiGraph([("a", "b"), ("a", "c")]), "b")
    graph = networkx.DiGraph([("a", "b"), ("a", "c")])
    graph["a"]["b"]["length"] = float("inf")
    with pytest.raises(InputError, match="above node 'b' must be a finite number, not inf"):
        Tree.from_networkx(graph)
    graph["a"]["b"]["length"] = 1
    graph.nodes["c"]["name"] = 7
    with pytest.raises(InputError, match="a node's name must be a string, not 7"):
        Tree.from_networkx(graph)
