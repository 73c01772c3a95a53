"""Balanced minimum evolution: search, kernels and Pauplin's formula against slow definitions."""

import itertools
import math
from fractions import Fraction
from functools import lru_cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.distance import DistanceMatrix
from pyphylo.errors import InputError, WorkError
from pyphylo.tree import (
    Tree,
    _bme_addition,
    _bme_averages,
    _bme_kernels,
    balanced_length,
    balanced_minimum_evolution,
    bme,
    neighbor_joining,
    search_balanced,
)

FEW = settings(max_examples=40, deadline=None)


def matrix(values):
    values = np.asarray(values, dtype=float)
    return DistanceMatrix(values, [f"m{i}" for i in range(len(values))])


def symmetric(values):
    upper = np.triu(np.asarray(values, dtype=float), 1)
    return upper + upper.T


def random_distances(n, seed, most=None):
    rng = np.random.default_rng(seed)
    return symmetric(rng.random((n, n)) if most is None else rng.integers(0, most, (n, n)))


# Unrooted binary trees as sets of edges, tips being 0..n-1: slow, and nothing like the kernels.


def insert_tip(edges, where, tip, node):
    """The edges after `tip` was hung into the edge `where` at the new `node`."""
    a, b = where
    return (edges - {where}) | {(a, node), (b, node), (tip, node)}


def grown(n, places):
    """The tree in which tip k goes into edge number places[k - 3], edges taken in order."""
    edges = frozenset({(0, n), (1, n), (2, n)})
    for tip in range(3, n):
        ordered = sorted(edges)
        edges = insert_tip(edges, ordered[places[tip - 3] % len(ordered)], tip, n + tip - 2)
    return edges


def all_trees(n):
    for places in itertools.product(*(range(2 * k - 3) for k in range(3, n))):
        yield grown(n, places)


def around(edges):
    found = {}
    for a, b in edges:
        found.setdefault(a, []).append(b)
        found.setdefault(b, []).append(a)
    return found


def as_tree(edges, n):
    """A Tree with its root beside tip 0, numbered as `Tree` wants it."""
    neighbors = around(edges)
    root = neighbors[0][0]
    order, above, stack = [], {root: None}, [root]
    while stack:
        v = stack.pop()
        order.append(v)
        for u in neighbors[v]:
            if u != above[v]:
                above[u] = v
                stack.append(u)
    internal = [v for v in reversed(order) if v >= n]
    number = {**{i: i for i in range(n)}, **{v: n + k for k, v in enumerate(internal)}}
    parent = [-1] * len(order)
    for v in order[1:]:
        parent[number[v]] = number[above[v]]
    return Tree([f"m{i}" for i in range(n)], parent)


def exact_length(edges, values):
    """Pauplin's formula in fractions, over any tree: a node of k branches halves by k - 1."""
    neighbors = around(edges)
    total = Fraction(0)
    for i in range(len(values)):
        stack = [(i, None, Fraction(1))]
        while stack:
            v, came, weight = stack.pop()
            if v < len(values) and v != i:
                total += weight * Fraction(float(values[i][v]))
            else:
                weight /= 1 if v == i else len(neighbors[v]) - 1
                stack.extend((u, v, weight) for u in neighbors[v] if u != came)
    return total / 2


def component(neighbors, start, cut):
    seen, stack = {start}, [start]
    while stack:
        v = stack.pop()
        for u in neighbors[v]:
            if {v, u} != set(cut) and u not in seen:
                seen.add(u)
                stack.append(u)
    return seen


def regrafts(edges):
    """All trees one subtree move away; interchanges are among them."""
    neighbors = around(edges)
    for cut in edges:
        for kept, moved in (cut, cut[::-1]):
            if len(neighbors[kept]) == 1:
                continue
            rest = component(neighbors, kept, cut)
            p, q = (u for u in neighbors[kept] if u != moved)
            left = {e for e in edges if kept not in e}
            stay = {e for e in left if e[0] in rest}
            for where in [*stay, None]:
                joined = (p, q) if where is None else where
                yield frozenset(
                    (left | {(p, q)}) - {joined}
                    | {(joined[0], kept), (joined[1], kept), (moved, kept)}
                )


def test_the_oracle_knows_all_trees_and_moves():
    assert [len({as_tree(t, n).newick() for t in all_trees(n)}) for n in (4, 5, 6)] == [3, 15, 105]
    for n in (4, 5, 6, 7):
        tree = grown(n, [0] * n)
        moved = {as_tree(t, n).newick() for t in regrafts(tree)} - {as_tree(tree, n).newick()}
        assert len(moved) == 2 * (n - 3) * (2 * n - 7)  # Allen & Steel 2001


SMALL = {
    **{f"real {n} {seed}": random_distances(n, seed) for n in (4, 5, 6, 7) for seed in range(3)},
    **{f"tied {n}": random_distances(n, 5, 4) for n in (5, 6, 7)},
    "zero": np.zeros((6, 6)),
    "one": 1 - np.eye(6),
}


@pytest.mark.parametrize("name", SMALL)
def test_no_neighbor_of_the_result_is_shorter(name):
    values = SMALL[name]
    n = len(values)
    trees = list(all_trees(n))
    of_shape = {as_tree(tree, n).newick(): tree for tree in trees}
    length = {tree: exact_length(tree, values) for tree in trees}
    starts = trees if n < 7 else trees[::45]
    for edges in starts:
        found = search_balanced(matrix(values), start=as_tree(edges, n), perturbations=0)
        shape = of_shape[as_tree_of(found.tree).newick()]
        assert found.start_length == pytest.approx(float(length[edges]), rel=1e-12, abs=1e-12)
        assert found.length == pytest.approx(float(length[shape]), rel=1e-12, abs=1e-12)
        least = min(exact_length(tree, values) for tree in regrafts(shape))
        assert float(length[shape] - least) <= 2e-12 * max(1, found.length)


def as_tree_of(tree):
    """Without lengths, with the root beside the first tip: one text for each shape."""
    return as_tree(edges_of(tree), tree.n_tips)


def edges_of(tree):
    return frozenset(
        (min(v, int(p)), max(v, int(p))) for v, p in enumerate(tree.parent[:-1].tolist())
    )


@pytest.mark.parametrize("name", SMALL)
def test_perturbations_find_the_shortest_of_all_small_trees(name):
    values = SMALL[name]
    shortest = min(exact_length(tree, values) for tree in all_trees(len(values)))
    found = search_balanced(matrix(values))
    assert found.length == pytest.approx(float(shortest), rel=1e-12, abs=1e-12)


@st.composite
def shapes(draw, most=26):
    """Trees of 3 to `most` tips, caterpillars among them."""
    n = draw(st.integers(3, most))
    if draw(st.booleans()):
        # Tip 0's edge comes first in order: each tip goes in beside it.
        return n, grown(n, [0] * n)
    return n, grown(n, draw(st.lists(st.integers(0, 2 * n), min_size=n - 3, max_size=n - 3)))


def slow_averages(values, parent, child):
    """A from its definition, by recursion over pairs of subtrees."""
    parent, child = parent.tolist(), child.tolist()

    def parts(v, above):
        if not above:
            return [(u, False) for u in child[v] if u >= 0], v
        p = parent[v]
        if p == 0:
            return [], 0
        return [(next(u for u in child[p] if u != v), False), (p, True)], None

    @lru_cache(None)
    def distance(x, y):
        for first, second in ((x, y), (y, x)):
            inside, _ = parts(*first)
            if inside:
                return sum(distance(part, second) for part in inside) / 2
        return Fraction(float(values[parts(*x)[1]][parts(*y)[1]]))

    def is_below(v, w):
        while v not in (-1, w):
            v = parent[v]
        return v == w

    A = np.zeros((len(parent), len(parent)))
    for e, f in itertools.product(range(1, len(parent)), repeat=2):
        A[e, f] = float(distance((e, e != f and is_below(f, e)), (f, is_below(e, f))))
    return A


def hung(n, edges):
    search = bme._Search(np.zeros((n, n)))
    bme._hang(as_tree(edges, n), [f"m{i}" for i in range(n)], search.parent, search.child)
    return search.parent, search.child


def filled(values, parent, child):
    A = np.zeros((len(parent), len(parent)))
    _bme_averages.fill_averages(values, parent, child, A)
    return A


def measured(values, parent, child):
    lengths = np.zeros(len(parent))
    return _bme_averages.branch_lengths(parent, child, filled(values, parent, child), lengths)


@FEW
@given(shapes(), st.integers(0, 99))
def test_averages_equal_their_definition(shape, seed):
    n, edges = shape
    values = random_distances(n, seed)
    parent, child = hung(n, edges)
    A = filled(values, parent, child)
    np.testing.assert_allclose(A[1:, 1:], slow_averages(values, parent, child)[1:, 1:], atol=1e-14)
    length = float(exact_length(edges, values))
    assert measured(values, parent, child) == pytest.approx(length, rel=1e-13)


@FEW
@given(shapes(), st.integers(0, 99), st.lists(st.integers(0, 99), min_size=1, max_size=8))
def test_exchanges_keep_the_averages(shape, seed, draws):
    n, edges = shape
    values = random_distances(n, seed)
    parent, child = hung(n, edges)
    A = filled(values, parent, child)
    inner = [v for v in range(n, 2 * n - 2) if parent[v] != 0]
    done = []
    before = parent.copy(), child.copy()
    for number in draws if inner else []:
        inner = [v for v in range(n, 2 * n - 2) if parent[v] != 0]
        done.append((inner[number % len(inner)], number % 2))
        _bme_averages.swap(parent, child, A, *done[-1])
        np.testing.assert_allclose(A[1:, 1:], filled(values, parent, child)[1:, 1:], atol=1e-13)
    for v, side in reversed(done):
        _bme_averages.swap(parent, child, A, v, side)
    np.testing.assert_array_equal(parent, before[0])
    np.testing.assert_array_equal(child, before[1])


@FEW
@given(shapes(), st.integers(0, 99), st.sampled_from([None, 3]))
def test_moves_keep_the_averages_and_save_what_they_say(shape, seed, most):
    n, edges = shape
    values = random_distances(n, seed, most)
    parent, child = hung(n, edges)
    lengths = [measured(values, parent, child)]
    for move in (_bme_kernels.interchange, _bme_kernels.regraft):
        A = filled(values, parent, child)
        made = move(n, parent, child, A, 1e-12)
        np.testing.assert_allclose(
            A[1:, 1:], filled(values, parent, child)[1:, 1:], atol=1e-13 * (most or 1)
        )
        lengths.append(measured(values, parent, child))
        assert (lengths[-1] < lengths[-2]) == (made > 0)
    if n < 4:
        return
    A = filled(values, parent, child)
    was = parent.copy()
    kept, _ = _bme_kernels.perturb(n, parent, child, A, 1e-12, 20, 12, 1 + seed)
    np.testing.assert_allclose(
        A[1:, 1:], filled(values, parent, child)[1:, 1:], atol=1e-12 * (most or 1)
    )
    assert (measured(values, parent, child) < lengths[-1]) == (kept > 0)
    assert kept > 0 or (parent == was).all()


@FEW
@given(shapes(60), st.integers(0, 99), st.integers(0, 200))
def test_a_regraft_saves_what_was_computed(shape, seed, number):
    n, edges = shape
    values = random_distances(n, seed)
    parent, child = hung(n, edges)
    before = measured(values, parent, child)
    n_nodes = len(parent)
    queue = np.full(2 * n_nodes, 2 + number % (2 * n_nodes - 2), np.int64)
    queued = np.ones(2 * n_nodes, np.bool_)  # nothing else joins the queue
    made = np.empty(2 * n_nodes, np.int64)
    A = filled(values, parent, child)
    saved, moves, exchanges = _bme_kernels._settle(
        n, parent, child, A, 1e-12, queue, queued, 1, made
    )
    assert (saved < 0) == (moves == 1) == (exchanges > 0)
    after = measured(values, parent, child)
    assert after - before == pytest.approx(saved, rel=1e-9, abs=1e-13)


@FEW
@given(st.integers(3, 22), st.integers(0, 99), st.sampled_from([None, 3]))
def test_addition_takes_the_shortest_of_all_places(n, seed, most):
    values = random_distances(n, seed, most)
    parent, child = hung(n, grown(n, [0] * n))
    A = np.zeros((len(parent), len(parent)))
    _bme_addition.add_tips(values, parent, child, A)
    np.testing.assert_allclose(A[1:, 1:], filled(values, parent, child)[1:, 1:], atol=1e-12)
    # Take the last tip away again: where it was is where it costs least.
    edges = {(int(p), v) for v, p in enumerate(parent.tolist()) if p >= 0}
    neighbors = around(edges)
    if n == 3:
        return
    last, (node,) = n - 1, neighbors[n - 1]
    a, b = (u for u in neighbors[node] if u != last)
    fewer = frozenset({e for e in edges if node not in e} | {(a, b)})
    costs = [exact_length(insert_tip(fewer, e, last, node), values) for e in fewer]
    assert float(exact_length(edges, values) - min(costs)) <= 1e-12 * n * (most or 1)


def caterpillar(n):
    return grown(n, [0] * n)


@FEW
@given(shapes(40), st.integers(0, 99), st.randoms(use_true_random=False))
def test_additive_distances_give_their_tree_back_from_any_start(shape, seed, random):
    # Local search by regrafts is consistent: Bordewich et al. 2009.
    n, edges = shape
    rng = np.random.default_rng(seed)
    bare = as_tree(edges, n)
    truth = Tree(bare.tips, bare.parent, rng.uniform(0.1, 1, bare.n_nodes))
    D = matrix(truth.patristic())
    places = [random.randrange(2 * n) for _ in range(n)]
    start = as_tree(grown(n, places), n)
    for options in ({}, {"start": start, "perturbations": 0}):
        tree = balanced_minimum_evolution(D, **options)
        assert tree.robinson_foulds(truth) == 0
        np.testing.assert_allclose(tree.patristic(), truth.patristic(), atol=1e-11)


def test_a_deep_start_is_improved():
    n = 300
    D = pp.simulate.simulate_distances(n, seed=1)
    start = as_tree(caterpillar(n), n)
    start = Tree(D.ids, start.parent)
    found = search_balanced(D, start=start, perturbations=0)
    assert found.start == "given"
    assert found.start_length == pytest.approx(balanced_length(start, D), rel=1e-12)
    assert found.length == pytest.approx(search_balanced(D).length, rel=1e-3)
    assert found.length < 0.5 * found.start_length


@pytest.mark.parametrize("kind", ["near-additive", "language-models"])
def test_the_saving_is_reported(kind):
    D = pp.simulate.simulate_distances(120, kind=kind, seed=4)
    joined = neighbor_joining(D)
    found = search_balanced(D, negative="keep")
    assert found.start_length == pytest.approx(balanced_length(joined, D), rel=1e-12)
    assert found.length == pytest.approx(balanced_length(found.tree, D), rel=1e-12)
    assert found.length == pytest.approx(found.tree.length.sum(), rel=1e-12)
    moves = found.interchanges + found.regrafts + found.perturbations
    assert (found.length < found.start_length) == (moves > 0)
    if kind == "language-models":
        assert found.length < 0.999 * found.start_length
    fewer = search_balanced(D, perturbations=0)
    assert fewer.perturbations == 0
    assert found.length <= fewer.length * (1 + 1e-12)


def skbio_trees():
    return pytest.importorskip("skbio.tree")


PEERS = [
    (100, "language-models", 1.0),
    (150, "near-additive", 0.0),
    (130, "near-additive", 0.5),
    (110, "language-models", 0.5),
]


@pytest.mark.parametrize(("n", "kind", "noise"), PEERS)
def test_never_longer_than_scikit_bio(n, kind, noise):
    skbio_tree = skbio_trees()
    for seed in range(3):
        D = pp.simulate.simulate_distances(n, kind=kind, seed=seed)
        rng = np.random.default_rng(seed)
        D = DistanceMatrix(
            symmetric(D.values * rng.uniform(1 - noise / 2, 1 + noise / 2, (n, n))), D.ids
        )
        theirs = skbio_tree.nni(skbio_tree.bme(D.to_skbio()), D.to_skbio(), balanced=True)
        length = balanced_length(Tree.from_newick(str(theirs)), D)
        assert search_balanced(D).length <= length * (1 + 1e-9)


@pytest.mark.parametrize("kind", ["near-additive", "language-models"])
def test_lengths_equal_scikit_bio(kind):
    skbio_tree = skbio_trees()
    D = pp.simulate.simulate_distances(60, kind=kind, seed=2)
    tree = balanced_minimum_evolution(D, negative="keep")
    # Nothing is left to interchange, so their branches are those of the same tree.
    theirs = skbio_tree.nni(tree.to_skbio(), D.to_skbio(), balanced=True, neg_as_zero=False)
    theirs = Tree.from_newick(str(theirs))
    assert tree.robinson_foulds(theirs) == 0
    order = [theirs.index(tip) for tip in tree.tips]
    np.testing.assert_allclose(
        tree.patristic(), theirs.patristic()[np.ix_(order, order)], atol=1e-10
    )


def test_clamping_sets_negative_lengths_to_zero():
    D = matrix(random_distances(40, 0))
    kept = balanced_minimum_evolution(D, negative="keep")
    clamped = balanced_minimum_evolution(D)
    assert kept.length.min() < 0
    np.testing.assert_array_equal(clamped.parent, kept.parent)
    np.testing.assert_array_equal(clamped.length, np.maximum(kept.length, 0))


def test_two_three_and_four_models():
    pair = search_balanced(matrix([[0, 3], [3, 0]]))
    assert pair.tree.patristic()[0, 1] == 3
    assert (pair.start_length, pair.length) == (3, 3)
    star = search_balanced(matrix(symmetric([[0, 3, 4], [0, 0, 5], [0, 0, 0]])))
    assert star.tree.length[:3].tolist() == [1, 2, 3]
    assert star.length == 6
    for pairing in range(3):
        values = np.full((4, 4), 4.0)
        for a, b in ([(0, 1), (2, 3)], [(0, 2), (1, 3)], [(0, 3), (1, 2)])[pairing]:
            values[a, b] = values[b, a] = 2
        np.fill_diagonal(values, 0)
        four = balanced_minimum_evolution(matrix(values))
        np.testing.assert_allclose(four.patristic(), values)


def test_duplicates_and_zero_distances():
    values = pp.simulate.simulate_distances(12, seed=3).values
    twice = np.kron(values, np.ones((2, 2)))
    found = search_balanced(matrix(twice), negative="keep")
    for i in range(12):
        assert found.tree.is_monophyletic([f"m{2 * i}", f"m{2 * i + 1}"])
    assert found.length == pytest.approx(search_balanced(matrix(values)).length, rel=1e-12)
    nothing = search_balanced(matrix(np.zeros((9, 9))))
    assert (nothing.length, nothing.interchanges, nothing.regrafts) == (0, 0, 0)
    assert (nothing.tree.length == 0).all()


def test_the_result_has_its_root_beside_the_first_tip():
    D = matrix(random_distances(20, 1))
    tree = balanced_minimum_evolution(D)
    assert tree.tips == D.ids
    assert tree.parent[0] == tree.root
    assert len(tree.children(tree.root)) == 3


def test_threads_and_layout_change_nothing():
    D = pp.simulate.simulate_distances(90, kind="language-models", seed=7)
    narrow = D.values.astype(np.float32)
    pairs = np.triu_indices(90, 1)
    wide = DistanceMatrix(narrow.astype(float), D.ids)
    first = search_balanced(wide, n_threads=1)
    for other, n_threads in (
        (wide, 2),
        (wide, 0),
        (DistanceMatrix(narrow, D.ids), 1),
        (DistanceMatrix(wide.values[pairs], D.ids), 3),
        (DistanceMatrix(narrow[pairs], D.ids), 1),
    ):
        again = search_balanced(other, n_threads=n_threads)
        assert again[1:] == first[1:]
        np.testing.assert_array_equal(again.tree.parent, first.tree.parent)
        np.testing.assert_array_equal(again.tree.length, first.tree.length)


def test_the_matrix_and_the_start_are_left_alone():
    D = matrix(random_distances(30, 1))
    before = D.values.copy()
    start = neighbor_joining(D)
    text = start.newick()
    balanced_minimum_evolution(D, start=start)
    np.testing.assert_array_equal(D.values, before)
    assert start.newick() == text


@pytest.mark.parametrize(
    "newick",
    [
        "(m3,m1,m4,m0,m5,m2);",
        "((m3,(m1,m4,m0)),((m5,m2)));",
        "(((((m0)),m1,m2),(m3,m4,m5)));",
        "((((((m5,m4),m3),m2),m1),m0));",
    ],
)
def test_any_start_will_do(newick):
    values = random_distances(6, 11)
    shortest = min(exact_length(tree, values) for tree in all_trees(6))
    found = search_balanced(matrix(values), start=Tree.from_newick(newick))
    assert found.length == pytest.approx(float(shortest), rel=1e-12)
    assert found.tree.tips == tuple(f"m{i}" for i in range(6))


def test_a_resolved_start_keeps_what_it_resolves():
    values = random_distances(6, 2)
    loose = Tree.from_newick("((m0,m1,m2),m3,(m4,m5));")
    resolved = Tree.from_newick("((m4,m5),m3,(m0,(m1,m2)));")
    found = search_balanced(matrix(values), start=loose)
    assert found.start_length == pytest.approx(balanced_length(resolved, matrix(values)))


@FEW
@given(shapes(30), st.integers(0, 99))
def test_balanced_length_equals_the_formula_in_fractions(shape, seed):
    n, edges = shape
    values = random_distances(n, seed)
    tree = as_tree(edges, n)
    length = float(exact_length(edges, values))
    assert balanced_length(tree, matrix(values)) == pytest.approx(length, rel=1e-13)
    rooted = tree.root_at(tip="m1")
    assert balanced_length(rooted, matrix(values)) == pytest.approx(length, rel=1e-13)
    # Tips in another order, and distances of more models.
    shown = rooted.ladderize()
    assert balanced_length(shown, matrix(values)) == pytest.approx(length, rel=1e-13)
    larger = matrix(np.pad(values, (0, 2)))
    assert balanced_length(tree, larger) == pytest.approx(length, rel=1e-13)


@pytest.mark.parametrize(
    "newick",
    ["(m0,m1,m2,m3,m4,m5);", "((m0,m1,m2,m3),(m4,m5));", "((m0,(m1,m2,m3)),m4,m5);"],
)
def test_balanced_length_of_unresolved_trees(newick):
    values = random_distances(6, 3)
    tree = Tree.from_newick(newick)
    edges = edges_of(tree.shear(tree.tips))
    if tree.is_rooted:
        left, right = (int(v) for v in tree.children(tree.root))
        edges = frozenset({e for e in edges if tree.root not in e} | {(left, right)})
    length = float(exact_length(edges, values))
    assert balanced_length(tree, matrix(values)) == pytest.approx(length, rel=1e-13)


def test_balanced_length_of_the_smallest_and_of_deep_trees():
    D = matrix([[0, 3], [3, 0]])
    assert balanced_length(Tree.from_newick("(m0,m1);"), D) == 3
    assert balanced_length(Tree.from_newick("(((m0),m1));"), D) == 3
    assert balanced_length(Tree(["m1"], [-1]), D) == 0
    assert balanced_length(Tree.from_newick("((m1));"), D) == 0
    # In a caterpillar of equal distances every inner branch is 0 and every outer one half.
    n = 1500
    assert balanced_length(as_tree(caterpillar(n), n), matrix(1 - np.eye(n))) == pytest.approx(
        n / 2, rel=1e-12
    )


def test_refusals_say_what_to_do():
    D = matrix(random_distances(5, 0))
    with pytest.raises(InputError, match=r"wrap it: pp\.DistanceMatrix\(values, ids\)"):
        balanced_minimum_evolution(D.values)
    with pytest.raises(InputError, match="at least two models"):
        balanced_minimum_evolution(matrix([[0.0]]))
    unknown = D.values.copy()
    unknown[1, 3] = unknown[3, 1] = math.nan
    with pytest.raises(InputError, match=r"'m1' and 'm3' is nan.*filter"):
        balanced_minimum_evolution(DistanceMatrix(unknown, D.ids, allow_nan=True))
    with pytest.raises(InputError, match="negative must be"):
        balanced_minimum_evolution(D, negative="zero")
    for option in ("n_threads", "perturbations"):
        for value in (-1, 1.5, True):
            with pytest.raises(InputError, match=option):
                balanced_minimum_evolution(D, **{option: value})
    with pytest.raises(InputError, match="start must be a Tree, not str"):
        balanced_minimum_evolution(D, start="(m0,m1);")
    with pytest.raises(InputError, match=r"'other' of start.*start\.shear"):
        balanced_minimum_evolution(D, start=Tree.from_newick("(m0,m1,m2,m3,m4,other);"))
    with pytest.raises(InputError, match=r"start lacks 'm3', 'm4'; D\.filter"):
        balanced_minimum_evolution(D, start=Tree.from_newick("(m0,m1,m2);"))
    with pytest.raises(InputError, match=r"'a', 'b', 'c' and 1 more of the tree.*shear"):
        balanced_length(Tree.from_newick("(a,b,c,d);"), D)


def test_overflow_is_an_error():
    huge = matrix(symmetric(np.full((5, 5), 1.7e308)))
    start = Tree.from_newick("(m0,m1,(m2,(m3,m4)));")
    for options in ({}, {"start": start}):
        with pytest.raises(WorkError, match="overflow"):
            balanced_minimum_evolution(huge, **options)
