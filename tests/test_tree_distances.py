"""Distances within a tree and between trees, against their definitions over sets."""

import itertools
import math

import numpy as np
import pytest
from drawn_trees import (
    caterpillar,
    random_tree,
    rehung,
    slow_branches,
    slow_distances,
    slow_sides,
    trees,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.errors import InputError
from pyphylo.tree import Tree, robinson_foulds_many
from pyphylo.tree._tree_kernels import branches, spans

FEW = settings(max_examples=80, deadline=None)
NEXT_TO_NOTHING = 1e-9


@st.composite
def same_tips(draw, least=2, most=2, **of_trees):
    """Some trees of the same tips, each in an order of its own."""
    drawn = [draw(trees(**of_trees)) for _ in range(draw(st.integers(least, most)))]
    common = set.intersection(*(set(tree.tips) for tree in drawn))
    # t0 is everywhere.
    return [tree.shear(common) for tree in drawn]


@FEW
@given(trees())
def test_matrix_of_path_lengths(tree):
    D = tree.distance_matrix()
    assert isinstance(D, pp.DistanceMatrix)
    assert D.ids == tree.tips
    assert {
        frozenset(pair): D[pair] for pair in itertools.combinations(tree.tips, 2)
    } == slow_distances(tree)
    assert pp.DistanceMatrix(D.values, D.ids) == D


def test_matrix_of_odd_lengths():
    tree = Tree.from_newick("((a:2,b:3):-1,c:4,d);")
    paths = tree.patristic()
    assert np.isnan(paths[3]).sum() == 3
    assert paths[0, 2] == 5
    with pytest.raises(InputError, match=r"1 are unknown, the first above 'd'; fit them"):
        tree.distance_matrix()
    with pytest.raises(InputError, match="the distance of models 'a' and 'b' is -2"):
        Tree.from_newick("((a:-1,b:-1):3,c:4);").distance_matrix()
    assert Tree.from_newick("((a:2,b:3):-1,c:4);").distance_matrix()["a", "c"] == 5


@FEW
@given(trees())
def test_branches_stand_for_their_parts(tree):
    everything = frozenset(tree.tips)
    names = [frozenset(tree.tips[tip] for tip in tree.tips_below(v)) for v in range(tree.n_nodes)]
    for rooted in (False, True):
        stands = branches(tree.parent, tree.n_tips, rooted).tolist()
        for v, w in itertools.product(range(tree.n_nodes), repeat=2):
            both = {names[v], everything - names[v]} if not rooted else {names[v]}
            if names[v] == everything:
                assert stands[v] == -1
            elif stands[w] >= 0:
                assert (stands[v] == stands[w]) == (names[w] in both)
        for v, stand in enumerate(stands):
            assert stand <= v
            assert v >= tree.n_tips or stand in ((v,) if tree.n_tips > 2 else (v, 0, -1))


@FEW
@given(trees())
def test_spans_hold_the_tips_below(tree):
    start, size, order = spans(tree.parent, tree.n_tips)
    for v in range(tree.n_nodes):
        assert set(order[start[v] : start[v] + size[v]]) == set(tree.tips_below(v).tolist())


@FEW
@given(same_tips(lengths=st.integers(-1, 5)))
def test_differences_of_lengths_equal_those_of_sets(pair):
    first, second = pair
    mine, theirs = slow_branches(first), slow_branches(second)
    apart = [mine.get(split, 0) - theirs.get(split, 0) for split in mine.keys() | theirs.keys()]
    assert first.weighted_robinson_foulds(second) == sum(map(abs, apart))
    assert first.branch_score(second) == pytest.approx(math.sqrt(sum(x * x for x in apart)))
    assert first.weighted_robinson_foulds(first) == 0
    assert first.branch_score(first) == 0


def test_differences_of_lengths_equal_those_of_scikit_bio():
    skbio = pytest.importorskip("skbio")
    rng = np.random.default_rng(2)
    for first, second in itertools.pairwise([random_tree(40, rng) for _ in range(4)]):
        mine, theirs = (
            skbio.TreeNode.read([tree.newick()], convert_underscores=False)
            for tree in (first, second)
        )
        assert first.weighted_robinson_foulds(second) == pytest.approx(
            mine.compare_wrfd(theirs, metric="cityblock", rooted=False)
        )
        assert first.branch_score(second) == pytest.approx(
            mine.compare_wrfd(theirs, metric="euclidean", rooted=False)
        )


def test_lengths_are_needed_where_they_are_compared():
    tree = Tree.from_newick("(a:1,b:1,(c:1,d:1):1);")
    for compare in (tree.weighted_robinson_foulds, tree.branch_score):
        with pytest.raises(InputError, match=r"1 are unknown, the first above 'd'"):
            compare(Tree.from_newick("(a:1,b:1,(c:1,d):1);"))
        with pytest.raises(InputError, match="different tips"):
            compare(Tree.from_newick("(a:1,b:1,(c:1,e:1):1);"))


@FEW
@given(same_tips(least=1, most=5))
def test_one_against_many_equals_one_by_one(drawn):
    one, *_ = drawn
    for normalized in (False, True):
        distances = robinson_foulds_many(one, iter(drawn), normalized)
        assert distances.tolist() == [one.robinson_foulds(tree, normalized) for tree in drawn]


def test_one_against_none_and_against_a_stranger():
    tree = Tree.from_newick("(a,b,(c,d));")
    assert pp.robinson_foulds_many(tree, []).shape == (0,)
    with pytest.raises(InputError, match=r"tree 1 of the many: .*1 only in the other: 'e'"):
        robinson_foulds_many(tree, [tree, Tree.from_newick("(a,b,(c,e));")])


def test_one_against_many_alike_and_unlike():
    rng = np.random.default_rng(3)
    one = random_tree(300, rng)
    many = [rehung(one, rng), random_tree(300, rng), rehung(caterpillar(300), rng)]
    distances = robinson_foulds_many(one, many, normalized=False)
    assert distances[0] == 0
    assert distances[1] == one.robinson_foulds(many[1], normalized=False) > 400
    assert distances[2] == one.robinson_foulds(many[2], normalized=False) > 400


def topology(sides, four):
    """Which two of four tips a tree puts together with the first, if any."""
    first, *others = four
    for other in others:
        pair = frozenset((first, other))
        if any(side & frozenset(four) == pair for side in sides):
            return other
    return None


def slow_quartet_distance(first, second):
    mine, theirs = slow_sides(first), slow_sides(second)
    return sum(
        topology(mine, four) != topology(theirs, four)
        for four in itertools.combinations(sorted(first.tips), 4)
    )


@FEW
@given(same_tips(largest=10))
def test_quartet_distance_equals_counting_quartets(pair):
    first, second = pair
    expected = slow_quartet_distance(first, second)
    assert first.quartet_distance(second, normalized=False) == expected
    assert second.quartet_distance(first, normalized=False) == expected
    n_sets = math.comb(first.n_tips, 4)
    assert first.quartet_distance(second) == (expected / n_sets if n_sets else 0)
    assert first.quartet_distance(first) == 0


def star(n):
    return Tree([f"t{i}" for i in range(n)], [n] * n + [-1])


def test_quartets_of_polytomies():
    rng = np.random.default_rng(4)
    for n in (9, 10):
        bushy = [random_tree(n, rng).collapse(min_length=least) for least in (0.3, 0.6, 0.9, 1.1)]
        for first, second in itertools.product(bushy, repeat=2):
            second = rehung(second, rng)
            expected = slow_quartet_distance(first, second)
            assert first.quartet_distance(second, normalized=False) == expected
    resolved = random_tree(200, rng)
    assert resolved.quartet_distance(star(200)) == 1
    assert star(200).quartet_distance(star(200)) == 0


def test_quartets_of_larger_trees():
    """Known in closed form: two caterpillars that differ in the order of their last two clades."""
    n = 300
    first = caterpillar(n)
    names = list(first.tips)
    # Tips 100 and 101 change places: only quartets with both of them, one tip before and one
    # tip behind are resolved differently.
    names[100], names[101] = names[101], names[100]
    second = Tree(names, first.parent)
    assert first.quartet_distance(second, normalized=False) == 100 * (n - 102)
    # Random trees agree on about one quartet in three.
    rng = np.random.default_rng(6)
    assert 0.5 < random_tree(n, rng).quartet_distance(random_tree(n, rng)) < 0.8
    with pytest.raises(InputError, match="different tips"):
        first.quartet_distance(star(n - 1))


def test_deep_trees():
    n = 20_000
    rng = np.random.default_rng(7)
    deep = caterpillar(n, rng)
    other = rehung(deep, rng)
    assert robinson_foulds_many(deep, [other])[0] == 0
    assert deep.weighted_robinson_foulds(other) < NEXT_TO_NOTHING
    assert deep.branch_score(other) < NEXT_TO_NOTHING
    assert caterpillar(3000).patristic()[0, -1] == 3000
    assert caterpillar(500).quartet_distance(rehung(caterpillar(500), rng)) == 0
