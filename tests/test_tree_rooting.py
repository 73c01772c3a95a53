"""Roots: minimal ancestor deviation by its definition, outgroups by sets; what goes and stays."""

import itertools
import math
import time

import numpy as np
import pytest
from drawn_trees import (
    below,
    caterpillar,
    random_tree,
    rehung,
    slow_bipartitions,
    slow_branches,
    slow_distances,
    slow_sides,
    trees,
)
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyphylo.errors import InputError
from pyphylo.tree import Tree

FEW = settings(max_examples=80, deadline=None)


def slow_deviation(tree, side):
    """The ancestor deviation of the branch that ends in `side`, literally, and its best place.

    Tria, Landan & Dagan 2017: of tips b and c on the two sides, the ancestor is the root; of
    two on one side, the node of their path that is nearest to the root.
    """
    everything = frozenset(tree.tips)
    branches = slow_branches(tree)
    here = branches[frozenset((side, everything - side))]
    distance = slow_distances(tree)

    def to_end(tip, end):
        """From a tip to the end of the branch at `end`, by the branches between."""
        return sum(
            length
            for split, length in branches.items()
            if any(tip in part and part < end for part in split)
        )

    pairs = [(b, c, distance[frozenset((b, c))]) for b, c in itertools.combinations(everything, 2)]
    pairs = [(b, c, d) for b, c, d in pairs if d > 0]
    across = [
        (to_end(b, side) if b in side else to_end(c, side), d)
        for b, c, d in pairs
        if (b in side) != (c in side)
    ]
    weight = sum(2 / d**2 for _, d in across)
    height = sum((d - 2 * x) / d**2 for x, d in across) / weight if weight else 0.0
    height = min(max(height, 0.0), here)
    squares = [(2 * (x + height) / d - 1) ** 2 for x, d in across]
    for b, c, d in pairs:
        for end in (side, everything - side):
            if b in end and c in end:
                # The way from b to the root leaves the path to c behind what parts b from both.
                x = sum(
                    length
                    for split, length in branches.items()
                    if any(b in part and c not in part and part < end for part in split)
                )
                squares.append((2 * x / d - 1) ** 2)
    return math.sqrt(sum(squares) / len(pairs)), height


def test_deviations_of_a_larger_tree_equal_their_definition():
    tree = random_tree(25, np.random.default_rng(9))
    found = tree.ancestor_deviations()
    for node in range(tree.n_nodes - 1):
        deviation, above = slow_deviation(tree, below(tree, node))
        assert found.deviation[node] == pytest.approx(deviation, rel=1e-9)
        if node == found.branch:
            assert found.above == pytest.approx(above, rel=1e-9)
    assert found.deviation[found.branch] == np.nanmin(found.deviation)


LENGTHS = st.integers(0, 5) | st.floats(0.01, 9)


@FEW
@given(trees(smallest=2, largest=9, lengths=LENGTHS))
def test_deviations_equal_their_definition(tree):
    assume(max(slow_distances(tree).values()) > 0)
    found = tree.ancestor_deviations()
    everything = frozenset(tree.tips)
    slow = {
        side: slow_deviation(tree, side)
        for side in slow_sides(tree)
        if 0 < len(side) < len(everything)
    }
    for node in range(tree.n_nodes):
        side = below(tree, node)
        if side == everything:
            assert math.isnan(found.deviation[node])
        else:
            assert found.deviation[node] == pytest.approx(slow[side][0], abs=1e-6)
    best = below(tree, found.branch)
    assert found.above == pytest.approx(slow[best][1], abs=1e-6)
    by_branch = sorted(slow[min(split, key=sorted)][0] for split in slow_branches(tree))
    assert slow[best][0] == pytest.approx(by_branch[0], abs=1e-6)
    if len(by_branch) == 1:
        assert found.ambiguity == 0
    elif by_branch[1] > 1e-3:
        assert found.ambiguity == pytest.approx(by_branch[0] / by_branch[1], abs=1e-3)


@FEW
@given(trees(smallest=2, largest=9, lengths=LENGTHS), st.randoms(use_true_random=False))
def test_minimal_deviation_does_not_depend_on_the_rooting(tree, random):
    assume(max(slow_distances(tree).values()) > 0)
    rooted = tree.root_at("mad")
    assert_same_unrooted(tree, rooted)
    best = tree.ancestor_deviations()
    assert rooted.ancestor_deviations().deviation[rooted.children(rooted.root)] == pytest.approx(
        best.deviation[best.branch], abs=1e-6
    )
    again = rehung(tree, np.random.default_rng(random.randrange(99))).root_at("mad")
    assert set(again.clades()) == set(rooted.clades())
    assert slow_depths(again) == pytest.approx(slow_depths(rooted), abs=1e-6)


def slow_depths(tree):
    return dict(zip(tree.tips, tree.depths().tolist(), strict=False))


def assert_same_unrooted(tree, rooted):
    assert rooted.is_rooted
    assert rooted.tips == tree.tips
    assert slow_distances(rooted) == pytest.approx(slow_distances(tree))
    assert slow_bipartitions(rooted) == slow_bipartitions(tree)
    assert (rooted.length >= 0).all()


def clock(n, rng):
    """A tree whose tips are all as old: joined one pair after the other, going back in time."""
    parent, length = np.full(2 * n - 1, -1), np.zeros(2 * n - 1)
    alive, age = list(range(n)), np.zeros(2 * n - 1)
    for new in range(n, 2 * n - 1):
        age[new] = age[new - 1] + rng.exponential()
        for _ in range(2):
            v = alive.pop(rng.integers(len(alive)))
            parent[v], length[v] = new, age[new] - age[v]
        alive.append(new)
    return Tree([f"t{i}" for i in range(n)], parent, length)


@pytest.mark.parametrize("n", [2, 3, 10, 300])
def test_a_clock_gives_its_root_away(n):
    rng = np.random.default_rng(n)
    for _ in range(5):
        tree = clock(n, rng)
        found = rehung(tree, rng).root_at("mad")
        assert set(found.clades()) == set(tree.clades())
        assert slow_depths(found) == pytest.approx(slow_depths(tree), rel=1e-6)
        deviations = found.ancestor_deviations()
        assert deviations.deviation[deviations.branch] < 1e-6
        assert deviations.ambiguity < 1e-3


def test_ambiguity_of_trees_without_a_clock():
    two_places = Tree.from_newick("((a:1,b:1):1,(c:1,d:1):1,(e:1,f:1):1);")
    assert two_places.ancestor_deviations().ambiguity == 1
    assert two_places.root_at("mad") == Tree.from_newick(
        "(((a:1,b:1):1,(e:1,f:1):1):0,(c:1,d:1):1);"
    )
    drifting = Tree.from_newick("((a:1,b:2):1,(c:3,d:1):1,(e:5,f:1):2);")
    assert 0.3 < drifting.ancestor_deviations().ambiguity < 1


def test_tips_called_as_a_method():
    tree = Tree.from_newick("(mad:1,midpoint:2,c:9);")
    assert tree.root_at(tip="mad") == Tree.from_newick("(mad:0.5,(midpoint:2,c:9):0.5);")
    assert tree.root_at("mad").ancestor_deviations().deviation[0] > 0
    assert tree.root_at("mad") != tree.root_at(tip="mad")


def test_refusals_of_minimal_deviation():
    with pytest.raises(InputError, match=r"minimal ancestor deviation needs all .* 'b'"):
        Tree.from_newick("(a:1,b,c:1);").root_at("mad")
    with pytest.raises(InputError, match=r"1 are negative, the first, -1, above 'c'"):
        Tree.from_newick("(a:1,b:1,c:-1);").root_at("mad")
    with pytest.raises(InputError, match="all tips are at distance 0"):
        Tree.from_newick("(a:0,b:0,c:0);").root_at("mad")
    with pytest.raises(InputError, match="no branch"):
        Tree.from_newick("a;").ancestor_deviations()
    assert Tree.from_newick("a;").root_at("mad") == Tree.from_newick("a;")


def test_minimal_deviation_of_large_trees():
    rng = np.random.default_rng(8)
    tree = caterpillar(2000)
    found = tree.ancestor_deviations()
    # The middle of a comb is where its halves are as deep.
    assert 0 < found.deviation[found.branch] < found.deviation[0]
    assert set(rehung(tree, rng).root_at("mad").clades()) == set(tree.root_at("mad").clades())
    started = time.process_time()
    random_tree(2000, rng).root_at("mad")
    assert time.process_time() - started < 20


@FEW
@given(trees(smallest=2), st.data())
def test_outgroups(tree, data):
    everything = frozenset(tree.tips)
    tips = data.draw(
        st.frozensets(st.sampled_from(tree.tips), min_size=1, max_size=tree.n_tips - 1)
    )
    sides = slow_sides(tree)
    if tips in sides:
        rooted = tree.root_at(outgroup=iter(tips))
        assert_same_unrooted(tree, rooted)
        ends = rooted.children(rooted.root).tolist()
        assert {below(rooted, end) for end in ends} == {tips, everything - tips}
        assert rooted.length[ends[0]] == rooted.length[ends[1]]
    else:
        fewest = min(len(side - tips) for side in sides if tips < side)
        with pytest.raises(InputError, match=f"{fewest} more would come") as refused:
            tree.root_at(outgroup=tips)
        named = {name for name in everything if repr(name) in str(refused.value)}
        assert any(
            named <= side - tips and len(side - tips) == fewest for side in sides if tips < side
        )
        assert len(named) == min(3, fewest)


def test_refusals_of_outgroups():
    tree = Tree.from_newick("((a,b),(c,d),e);")
    for outgroup, message in (
        (["a", "c"], r"2 more would come with them \('d', 'e'\)"),
        (["a", "b", "c", "d", "e"], "holds every tip"),
        ([], "no tips were given"),
        (["z"], "no tip 'z'"),
        ("a", "outgroup is a list of tips; for 'a' alone, use tip="),
    ):
        with pytest.raises(InputError, match=message):
            tree.root_at(outgroup=outgroup)
    for arguments in ({}, {"tip": "a", "outgroup": ["a"]}, {"where": "a", "tip": "a"}):
        with pytest.raises(InputError, match="where the root goes"):
            tree.root_at(**arguments)
    assert tree.root_at(outgroup=["a", "b"]) == Tree.from_newick("((a,b),((c,d),e));")
    assert tree.root_at(outgroup=["c", "d", "e"]) == tree.root_at(outgroup=["a", "b"])


@FEW
@given(trees(smallest=2), st.data())
def test_pruning_is_shearing_to_the_rest(tree, data):
    gone = data.draw(st.sets(st.sampled_from(tree.tips), max_size=tree.n_tips - 1))
    assert tree.prune(iter(gone)) == tree.shear(set(tree.tips) - gone)


def test_refusals_of_pruning():
    tree = Tree.from_newick("(a,b);")
    with pytest.raises(InputError, match="all tips would go"):
        tree.prune(["a", "b"])
    with pytest.raises(InputError, match="no tip 'z'"):
        tree.prune(["z"])


@FEW
@given(
    trees(lengths=st.integers(-1, 5)),
    st.none() | st.integers(0, 6),
    st.none() | st.sampled_from([0.5, 0.7, 2]),
)
def test_collapsing(tree, min_length, min_support):
    assume((min_length, min_support) != (None, None))
    result = tree.collapse(min_length=min_length, min_support=min_support)
    at_root = set(tree.children(tree.root).tolist()) if tree.is_rooted else set()
    kept = [
        node
        for node in range(tree.n_tips, tree.n_nodes - 1)
        if node in at_root
        or not (
            (min_length is not None and tree.length[node] < min_length)
            or (min_support is not None and tree.support[node] < min_support)
        )
    ]

    def content(some, nodes):
        return sorted(
            (sorted(below(some, v)), float(some.length[v]), str(some.support[v])) for v in nodes
        )

    assert content(result, range(result.n_tips, result.n_nodes - 1)) == content(tree, kept)
    assert result.tips == tree.tips
    assert result.length[: tree.n_tips].tolist() == tree.length[: tree.n_tips].tolist()
    if tree.is_rooted:
        assert result.is_rooted


def test_collapsing_keeps_what_is_not_known_and_names():
    tree = Tree.from_newick("(((a:1,b:1)0.2:3,c:1)x:0.1,d:1,(e:1,f:1)y);")
    assert tree.collapse(min_support=0.5) == Tree.from_newick(
        "((a:1,b:1,c:1)x:0.1,d:1,(e:1,f:1)y);"
    )
    assert tree.collapse(min_length=0.5) == Tree.from_newick("((a:1,b:1)0.2:3,c:1,d:1,(e:1,f:1)y);")
    assert tree.collapse(min_length=9) == Tree.from_newick("(a:1,b:1,c:1,d:1,(e:1,f:1)y);")
    with pytest.raises(InputError, match="which branches go"):
        tree.collapse()
    with pytest.raises(InputError, match="min_support must be a number"):
        tree.collapse(min_support=math.nan)


def test_deep_trees():
    n = 20_000
    tree = caterpillar(n)
    assert tree.collapse(min_length=2).n_nodes == n + 2
    assert tree.prune(tree.tips[:-3]).tips == tree.tips[-3:]
    deviations = caterpillar(6000).ancestor_deviations()
    assert 0 < deviations.deviation[deviations.branch] < deviations.deviation[0] < 1
    last = tree.root_at(outgroup=tree.tips[-10_000:])
    assert sorted(len(last.tips_below(end)) for end in last.children(last.root)) == [10_000] * 2
