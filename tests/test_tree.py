"""Tree: its numbering, walks, rooting and comparisons, against sets and explicit paths."""

import itertools
import math
import sys
import time

import numpy as np
import pytest
from drawn_trees import (
    ancestors,
    below,
    random_tree,
    slow_bipartitions,
    slow_distances,
    slow_path,
    slow_sides,
    trees,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyphylo.errors import InputError
from pyphylo.tree import Tree

FEW = settings(max_examples=80, deadline=None)


@FEW
@given(trees())
def test_walks(tree):
    nodes = set(range(tree.n_nodes))
    for order, backwards in ((tree.preorder(), False), (tree.postorder(), True)):
        assert set(order.tolist()) == nodes
        assert len(order) == len(nodes)
        place = {int(node): i for i, node in enumerate(order)}
        for node in nodes - {tree.root}:
            assert (place[node] < place[int(tree.parent[node])]) == backwards
        for node in nodes:
            shown = [place[int(child)] for child in tree.children(node)]
            assert shown == sorted(shown)
    for node in nodes:
        children = tree.children(node).tolist()
        assert sorted(children) == np.flatnonzero(tree.parent == node).tolist()
        first = [min(tree.index(tip) for tip in below(tree, child)) for child in children]
        assert first == sorted(first)
        assert frozenset(tree.tips[tip] for tip in tree.tips_below(node)) == below(tree, node)
    shown = [node for node in tree.preorder().tolist() if node < tree.n_tips]
    assert tree.tips_below(tree.root).tolist() == shown


@FEW
@given(trees())
def test_depths_and_paths(tree):
    depth = tree.depths()
    for node in range(tree.n_nodes):
        assert depth[node] == sum(float(tree.length[v]) for v in ancestors(tree, node))
    paths = tree.patristic()
    for i, j in itertools.product(range(tree.n_tips), repeat=2):
        assert paths[i, j] == slow_path(tree, i, j)


@FEW
@given(trees())
def test_clades_and_bipartitions(tree):
    inner = range(tree.n_tips, tree.n_nodes - 1)
    assert list(tree.clades()) == [below(tree, node) for node in inner]
    everything = frozenset(tree.tips)
    whole = {frozenset((side, everything - side)) for side in tree.bipartitions()}
    assert whole == slow_bipartitions(tree)
    assert len(whole) == len(tree.bipartitions())


@FEW
@given(trees(smallest=2), st.data())
def test_monophyly_and_largest_clade(tree, data):
    tips = data.draw(st.sets(st.sampled_from(tree.tips), min_size=1))
    sides = slow_sides(tree)
    clades = {below(tree, node) for node in range(tree.n_nodes)}
    assert tree.is_monophyletic(tips) == (frozenset(tips) in sides)
    assert tree.is_monophyletic(tips, rooted=True) == (frozenset(tips) in clades)
    assert tree.largest_clade(tips) == max(len(side) for side in sides if side <= tips)


@st.composite
def tree_pairs(draw):
    first, second = draw(trees()), draw(trees())
    common = sorted(set(first.tips) & set(second.tips))
    return first.shear(common), second.shear(common)


@FEW
@given(tree_pairs())
def test_robinson_foulds_equals_set_difference(pair):
    first, second = pair
    mine, theirs = slow_bipartitions(first), slow_bipartitions(second)
    distance = len(mine ^ theirs)
    assert first.robinson_foulds(second, normalized=False) == distance
    assert second.robinson_foulds(first, normalized=False) == distance
    total = len(mine) + len(theirs)
    assert first.robinson_foulds(second) == (distance / total if total else 0)
    assert first.robinson_foulds(first) == 0
    in_second = first.branches_in(second)
    sides = slow_sides(second)
    for node in range(first.n_nodes):
        assert in_second[node] == (
            below(first, node) in sides or len(below(first, node)) in (1, first.n_tips - 1)
        )


def test_robinson_foulds_equals_scikit_bio():
    skbio = pytest.importorskip("skbio")
    rng = np.random.default_rng(5)
    shuffled = [random_tree(60, rng) for _ in range(4)]
    for first, second in itertools.pairwise(shuffled):
        mine, theirs = (
            skbio.TreeNode.read([tree.root_at("t0").newick()]).unrooted_copy()
            for tree in (first, second)
        )
        assert first.robinson_foulds(second, normalized=False) == mine.compare_rfd(theirs)
    assert random_tree(60, rng).robinson_foulds(shuffled[0]) > 0.5


def test_different_tips_are_named():
    first = Tree.from_newick("(a,b,c,d);")
    second = Tree.from_newick("(a,b,e);")
    differing = "2 only in this tree: 'c', 'd'; 1 only in the other: 'e'"
    with pytest.raises(InputError, match=differing):
        first.robinson_foulds(second)


@FEW
@given(trees(smallest=2), st.data())
def test_rooting_at_a_tip(tree, data):
    tip = data.draw(st.sampled_from(tree.tips))
    rooted = tree.root_at(tip)
    assert_same_unrooted(tree, rooted)
    assert rooted.is_rooted
    ends = rooted.children(rooted.root).tolist()
    assert rooted.index(tip) in ends
    assert rooted.length[ends[0]] == rooted.length[ends[1]]
    assert rooted == tree.root_at(tip=tip)


def assert_same_unrooted(tree, rooted):
    """Tips, paths, bipartitions and the support of each are the same."""
    assert rooted.tips == tree.tips
    assert slow_distances(rooted) == pytest.approx(slow_distances(tree))
    assert slow_bipartitions(rooted) == slow_bipartitions(tree)
    assert best_supports(rooted) == best_supports(tree)


def best_supports(tree):
    """The largest support of the branches that part the same tips."""
    best = {}
    everything = frozenset(tree.tips)
    for node in range(tree.n_tips, tree.n_nodes - 1):
        side = below(tree, node)
        split = frozenset((side, everything - side))
        if not math.isnan(tree.support[node]) and 2 <= len(side) <= tree.n_tips - 2:
            best[split] = max(best.get(split, 0), float(tree.support[node]))
    return best


@FEW
@given(trees(smallest=2, lengths=st.integers(0, 5) | st.floats(0, 9)))
def test_midpoint(tree):
    rooted = tree.root_at("midpoint")
    assert_same_unrooted(tree, rooted)
    assert rooted.is_rooted
    longest = max(slow_distances(tree).values())
    depth = rooted.depths()[: tree.n_tips]
    left, right = (rooted.tips_below(child) for child in rooted.children(rooted.root))
    assert depth[left].max() == pytest.approx(longest / 2)
    assert depth[right].max() == pytest.approx(longest / 2)
    assert (rooted.length >= 0).all()


@FEW
@given(trees(smallest=3, unary=False), st.data())
def test_midpoint_does_not_depend_on_the_rooting(tree, data):
    # Whole lengths have exact sums, and ties go by name.
    assume(not tree.is_rooted)
    other = tree.root_at(data.draw(st.sampled_from(tree.tips)))
    first, second = tree.root_at("midpoint"), other.root_at("midpoint")
    assert set(first.clades()) == set(second.clades())


def test_midpoint_takes_the_first_names_among_ties():
    star = Tree.from_newick("(d:1,c:1,b:1,a:1);")
    assert star.root_at("midpoint") == Tree.from_newick("((d:1,c:1,b:1):0,a:1);")
    uneven = Tree.from_newick("(a:1,b:2,c:5);")
    rooted = uneven.root_at("midpoint")
    assert rooted == Tree.from_newick("((a:1,b:2):1.5,c:3.5);")


def test_negative_lengths_survive_rooting():
    tree = Tree.from_newick("((a:2,b:3):-1,(c:4,d:1):0.5,e:1);")
    for rooted in (tree.root_at("midpoint"), tree.root_at("b")):
        assert slow_distances(rooted) == pytest.approx(slow_distances(tree))


def test_rooting_moves_supports_with_branches_and_labels_with_nodes():
    tree = Tree.from_newick("((a:1,b:1)x[&support=0.9]:1,(c:1,d:1)0.4:1,e:1)r;")
    rooted = tree.root_at("a")
    assert rooted == Tree.from_newick("(a:0.5,(b:1,((c:1,d:1)0.4:1,e:1)r[&support=0.9]:1)x:0.5);")
    again = rooted.root_at("e")
    assert again == Tree.from_newick("(((a:1,b:1)x[&support=0.9]:1,(c:1,d:1)0.4:1)r:0.5,e:0.5);")


def test_a_tip_called_midpoint():
    tree = Tree.from_newick("(midpoint:1,b:2,c:9);")
    at_tip = tree.root_at(tip="midpoint")
    assert at_tip == Tree.from_newick("(midpoint:0.5,(b:2,c:9):0.5);")
    assert tree.root_at("midpoint") == Tree.from_newick("((midpoint:1,b:2):3.5,c:5.5);")


def test_refusals_of_rooting():
    tree = Tree.from_newick("((a:1,b)inner:1,c:1);")
    with pytest.raises(InputError, match=r"1 are unknown, the first above 'b'"):
        tree.root_at("midpoint")
    with pytest.raises(InputError, match="no tip 'z'"):
        tree.root_at("z")
    with pytest.raises(InputError, match="where the root goes"):
        tree.root_at()
    with pytest.raises(InputError, match="where the root goes"):
        tree.root_at("a", tip="b")
    assert math.isnan(tree.root_at("b").length[tree.index("b")])


@FEW
@given(trees())
def test_ladderized_trees_show_small_clades_first(tree):
    shown = tree.ladderize()
    assert set(shown.clades()) == set(tree.clades())
    assert slow_distances(shown) == slow_distances(tree)
    assert shown.tips_below(shown.root).tolist() == list(range(tree.n_tips))
    for node in range(shown.n_nodes):
        sizes = [len(shown.tips_below(child)) for child in shown.children(node)]
        assert sizes == sorted(sizes)
    assert shown.ladderize() == shown


@FEW
@given(trees(), st.data())
def test_shearing(tree, data):
    kept = data.draw(st.sets(st.sampled_from(tree.tips), min_size=1))
    sheared = tree.shear(kept)
    assert sheared.tips == tuple(tip for tip in tree.tips if tip in kept)
    assert sheared.bipartitions() == {
        frozenset(min(halves, key=lambda half: min(kept) in half))
        for halves in (
            (side & kept, kept - side) for side in slow_sides(tree) if len(side & kept) >= 2
        )
        if len(halves[1]) >= 2
    }
    everywhere = slow_distances(tree)
    assert slow_distances(sheared) == pytest.approx(
        {pair: path for pair, path in everywhere.items() if pair <= kept}
    )
    n_children = np.bincount(sheared.parent[:-1], minlength=sheared.n_nodes)
    assert (n_children[sheared.n_tips :] >= 2).all()
    if len(tree.children(tree.root)) > 2 and len(kept) > 2:
        assert not sheared.is_rooted


def test_equality_ignores_numbering_but_not_content():
    text = "((a:1,b:2)0.5:3,c:1,(d:1,e:1)x:1);"
    tree = Tree.from_newick(text)
    renumbered = Tree(
        list("abcde"),
        [6, 6, 7, 5, 5, 7, 7, -1],
        [1, 2, 1, 1, 1, 1, 3, 0],
        [math.nan] * 6 + [0.5, math.nan],
        ["x", None, None],
    )
    assert tree == renumbered
    assert hash(tree) == hash(renumbered)
    for other in ("((a:1,b:2)0.5:3,c:1,(d:1,e:1)y:1);", text.replace("0.5", "0.6"), "(a,b);"):
        assert tree != Tree.from_newick(other)
    assert tree != text


def test_trees_are_immutable():
    tree = Tree.from_newick("(a:1,b:2);")
    with pytest.raises(ValueError, match="read-only"):
        tree.length[0] = 5
    with pytest.raises(AttributeError):
        tree.tips = ("x", "y")
    source = np.array([1.0, 2.0, 0.0])
    copied = Tree(["a", "b"], [2, 2, -1], source)
    source[0] = 7
    assert copied.length[0] == 1


def test_smallest_trees():
    for text, n_nodes, is_rooted in (("a;", 1, False), ("(a);", 2, False), ("(a:1,b:2);", 3, True)):
        tree = Tree.from_newick(text)
        assert (tree.n_nodes, tree.is_rooted, tree.newick()) == (n_nodes, is_rooted, text)
        assert tree.robinson_foulds(tree) == 0
        assert tree.is_monophyletic(["a"])
        assert tree.largest_clade(["a"]) == 1
        assert tree.shear(["a"]).tips == ("a",)
        assert tree.root_at("a").tips == tree.tips
    assert repr(tree) == "Tree(2 tips, rooted)"


NAN = math.nan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([], [-1]), "at least one tip"),
        ((["a", "a"], [2, 2, -1]), "'a' occurs twice"),
        ((["a", ""], [2, 2, -1]), "non-empty"),
        ((["a", "b"], [-1, 0]), "too few"),
        ((["a", "b"], [2, 2, 0]), "last node must be the root"),
        ((["a", "b"], [2, -1, -1]), "node 1 has parent -1"),
        ((["a", "b"], [2, 3, 3, 2, -1]), "node 3 has parent 2"),
        ((["a", "b"], [1, 2, -1]), "node 0 has parent 1"),
        ((["a", "b"], [2, 9, -1]), "node 1 has parent 9"),
        ((["a", "b"], [3, 3, 3, -1]), "internal node 2 has no child"),
        ((["a", "b"], [2.0, 2.0, -1.0]), "whole numbers"),
        ((["a", "b"], [[2, 2, -1]]), "whole numbers"),
        ((["a", "b"], [2, 2, -1], [1, 2]), "length must have one value a node: 3"),
        ((["a", "b"], [2, 2, -1], [1, math.inf, 0]), "length of node 1 is inf"),
        ((["a", "b"], [2, 2, -1], None, [NAN, 1, NAN]), "'b' has a support"),
        ((["a", "b"], [2, 2, -1], None, None, ["x", "y"]), "2 labels for 1"),
    ],
)
def test_malformed_arrays_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        Tree(*arguments)


def test_unknown_and_no_tips_are_refused():
    tree = Tree.from_newick("(a,b,c);")
    with pytest.raises(InputError, match="no tip 'z'"):
        tree.is_monophyletic(["a", "z"])
    with pytest.raises(InputError, match="no tips"):
        tree.largest_clade([])


def caterpillar(n):
    parent = [n, *range(n, 2 * n - 1), *range(n + 1, 2 * n - 1), -1]
    return Tree([f"model/{i}" for i in range(n)], parent, np.ones(2 * n - 1))


def test_trees_as_deep_as_they_have_tips(tmp_path):
    n = 20_000
    assert n > sys.getrecursionlimit()
    started = time.perf_counter()
    tree = caterpillar(n)
    path = tmp_path / "deep.nwk"
    tree.write(path)
    again = Tree.read(path)
    assert again == tree
    rooted = again.root_at("midpoint")
    assert rooted.depths().max() == n / 2
    assert tree.robinson_foulds(rooted) == 0
    assert tree.robinson_foulds(again.root_at("model/7000"), normalized=False) == 0
    assert tree.is_monophyletic(tree.tips[:500])
    assert tree.largest_clade(tree.tips[300:700]) == 1
    assert tree.ladderize().shear(tree.tips[::4]).n_tips == n // 4
    assert tree.shear(tree.tips[:1000]).patristic().max() == 1000
    assert len(tree.postorder()) == tree.n_nodes
    assert time.perf_counter() - started < 30
