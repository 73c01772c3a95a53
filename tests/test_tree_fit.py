"""Least squares lengths against the dense regression on paths, and what they leave over."""

import itertools
import math

import numpy as np
import pytest
from drawn_trees import caterpillar, random_tree, rehung, slow_branches, slow_distances, trees
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import nnls

import pyphylo as pp
from pyphylo.errors import InputError
from pyphylo.tree import Tree

FEW = settings(max_examples=60, deadline=None)


def regression(tree, D, W=None):
    """One row a pair of tips, one column a branch of the unrooted tree; weighted."""
    splits = list(slow_branches(tree))
    pairs = list(itertools.combinations(range(len(D.ids)), 2))
    values, W = D.values, np.ones((len(D),) * 2) if W is None else W
    A = np.array([
        [any({D.ids[i]} <= side and D.ids[j] not in side for side in split) for split in splits]
        for i, j in pairs
    ], float).reshape(len(pairs), len(splits))  # fmt: skip
    weight = np.sqrt(np.array([W[i, j] for i, j in pairs]))
    d = np.array([values[i, j] for i, j in pairs])
    return splits, A * weight[:, None], d * weight


def slow_fit(tree, D, W=None, nonnegative=False):
    splits, A, d = regression(tree, D, W)
    if not splits:
        return {}
    x = nnls(A, d)[0] if nonnegative else np.linalg.lstsq(A, d, rcond=None)[0]
    return dict(zip(splits, x.tolist(), strict=True))


@st.composite
def problems(draw, smallest=1):
    tree = draw(trees(smallest=smallest))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    n = tree.n_tips
    values = rng.uniform(0.2, 1.0, (n, n))
    values = values + values.T
    np.fill_diagonal(values, 0)
    names = [tree.tips[i] for i in rng.permutation(n)]
    return tree, pp.DistanceMatrix(values, names), rng


@FEW
@given(problems(), st.booleans())
def test_equal_weights(problem, nonnegative):
    tree, D, _ = problem
    fitted = tree.fit(D, nonnegative=nonnegative)
    assert slow_branches(fitted) == pytest.approx(
        slow_fit(tree, D, nonnegative=nonnegative), abs=1e-9
    )
    assert fitted.tips == tree.tips
    if nonnegative:
        assert (fitted.length >= 0).all()


@FEW
@given(problems(), st.booleans())
def test_inverse_squares_as_weights(problem, nonnegative):
    tree, D, _ = problem
    with np.errstate(divide="ignore"):
        W = np.asarray(D.values) ** -2.0
    fitted = tree.fit(D, "inverse_square", nonnegative=nonnegative)
    assert slow_branches(fitted) == pytest.approx(slow_fit(tree, D, W, nonnegative), abs=1e-9)


@FEW
@given(problems(smallest=2), st.booleans())
def test_given_weights(problem, nonnegative):
    tree, D, rng = problem
    W = rng.uniform(0.01, 9, (len(D),) * 2)
    W += W.T
    fitted = tree.fit(D, W, nonnegative=nonnegative)
    assert slow_branches(fitted) == pytest.approx(slow_fit(tree, D, W, nonnegative), abs=1e-8)


@FEW
@given(trees(lengths=st.floats(0, 5)), st.sampled_from([False, True]))
def test_additive_distances_give_their_tree_back(tree, nonnegative):
    fitted = tree.fit(tree.distance_matrix(), nonnegative=nonnegative)
    assert slow_distances(fitted) == pytest.approx(slow_distances(tree), abs=1e-9)
    rest = fitted.residuals(tree.distance_matrix())
    assert np.abs(rest.matrix).max() < 1e-9
    assert fitted.is_rooted == tree.shear(tree.tips).is_rooted


def test_large_additive_distances():
    rng = np.random.default_rng(1)
    for tree in (random_tree(400, rng), rehung(caterpillar(400, rng), rng)):
        for weights in ("equal", "inverse_square"):
            fitted = tree.fit(tree.distance_matrix(), weights)
            np.testing.assert_allclose(fitted.length, tree.length, rtol=1e-9, atol=1e-9)


def test_the_best_nonnegative_lengths_of_a_large_tree():
    """The conditions of Karush, Kuhn and Tucker, which have one solution."""
    rng = np.random.default_rng(2)
    n = 120
    tree = random_tree(n, rng)
    noise = rng.uniform(0, 4, (n, n))
    D = pp.DistanceMatrix(tree.patristic() + np.triu(noise, 1) + np.triu(noise, 1).T, tree.tips)
    fitted = tree.fit(D, nonnegative=True)
    splits, A, d = regression(fitted, D)
    lengths = slow_branches(fitted)
    x = np.array([lengths[split] for split in splits])
    gradient = A.T @ (A @ x - d)
    assert (x == 0).sum() > 10
    assert (gradient[x == 0] > -1e-6).all()
    assert np.abs(gradient[x > 0]).max() < 1e-6
    assert (x >= 0).all()


@FEW
@given(problems(smallest=3), st.booleans())
def test_missing_pairs(problem, named):
    """A pair without weight may have any distance, even none."""
    tree, D, rng = problem
    i, j = rng.choice(len(D), 2, replace=False)
    W = np.ones((len(D),) * 2)
    W[i, j] = W[j, i] = 0
    values = D.values.copy()
    values[i, j] = values[j, i] = np.nan
    partial = pp.DistanceMatrix(values, D.ids, allow_nan=True)
    splits, A, _ = regression(tree, D, W)
    if np.linalg.matrix_rank(A) < len(splits):
        with pytest.raises(InputError, match="is not determined"):
            tree.fit(partial, W)
        return
    fitted = tree.fit(partial, W)
    assert slow_branches(fitted) == pytest.approx(slow_fit(tree, D, W), abs=1e-8)
    rest = fitted.residuals(partial, W)
    assert np.isnan(rest.matrix).sum() == 2
    assert not np.isnan(rest.per_tip).any()


@FEW
@given(problems(smallest=2), st.sampled_from(["equal", "inverse_square", "given"]))
def test_residuals(problem, weights):
    tree, D, _ = problem
    W = {
        "equal": lambda: np.ones((len(D),) * 2),
        "inverse_square": lambda: (np.asarray(D.values) + np.eye(len(D))) ** -2.0,
        "given": lambda: np.add.outer(*(np.arange(1.0, len(D) + 1),) * 2),
    }[weights]()
    paths = slow_distances(tree)
    rest = tree.residuals(D, W if weights == "given" else weights)
    names = tree.tips
    assert rest.tips == names
    pairs = []
    for (i, a), (j, b) in itertools.combinations(enumerate(names), 2):
        over = D[a, b] - paths[frozenset((a, b))]
        assert rest.matrix[i, j] == rest.matrix[j, i] == pytest.approx(over)
        pairs.append((a, b, W[D.ids.index(a), D.ids.index(b)], over, D[a, b]))
    total = sum(w for _, _, w, _, _ in pairs)
    squares = sum(w * over**2 for _, _, w, over, _ in pairs)
    mean = sum(w * d for *_, w, _, d in pairs) / total
    spread = sum(w * (d - mean) ** 2 for *_, w, _, d in pairs)
    assert rest.sum_of_squares == pytest.approx(squares)
    assert rest.rms == pytest.approx(math.sqrt(squares / total))
    assert rest.stress == pytest.approx(math.sqrt(squares / sum(w * d**2 for *_, w, _, d in pairs)))
    if len(pairs) > 1:
        assert rest.r_squared == pytest.approx(1 - squares / spread)
    for name, rms in zip(names, rest.per_tip, strict=True):
        own = [(w, over) for a, b, w, over, _ in pairs if name in (a, b)]
        expected = sum(w * over**2 for w, over in own) / sum(w for w, _ in own)
        assert rms == pytest.approx(math.sqrt(expected))


def test_fitting_never_explains_less():
    rng = np.random.default_rng(3)
    tree = random_tree(30, rng)
    noisy = tree.patristic() * (1 + 0.2 * np.triu(rng.normal(size=(30, 30)), 1))
    D = pp.DistanceMatrix(np.triu(noisy) + np.triu(noisy).T, tree.tips)
    start, free, positive = tree, tree.fit(D), tree.fit(D, nonnegative=True)
    sums = [some.residuals(D).sum_of_squares for some in (free, positive, start)]
    assert sums == sorted(sums)
    weighted = tree.fit(D, "inverse_square")
    assert (
        weighted.residuals(D, "inverse_square").sum_of_squares
        < free.residuals(D, "inverse_square").sum_of_squares
    )
    assert 0.7 < free.residuals(D).r_squared < 1


def test_what_stays_when_lengths_are_fitted():
    D = pp.DistanceMatrix([[0, 4, 8], [4, 0, 8], [8, 8, 0]], ["a", "b", "c"])
    for before, after in (
        ("((a,b)0.5,c)x;", "((a:2,b:2)0.5:3,c:3)x;"),
        ("((a,b):1,c:3);", "((a:2,b:2):1.5,c:4.5);"),
        ("((a,b),(c)y);", "((a:2,b:2):3,c:3);"),
    ):
        fitted, wanted = Tree.from_newick(before).fit(D), Tree.from_newick(after)
        np.testing.assert_allclose(fitted.length, wanted.length, rtol=1e-12)
        bare = np.zeros(fitted.n_nodes)
        assert Tree(fitted.tips, fitted.parent, bare, fitted.support, fitted.labels) == Tree(
            wanted.tips, wanted.parent, bare, wanted.support, wanted.labels
        )
    two = Tree.from_newick("(b,a);").fit(D.filter(["a", "b"]))
    assert two == Tree.from_newick("(b:2,a:2);")
    alone = pp.DistanceMatrix([[0.0]], ["a"])
    assert Tree.from_newick("a;").fit(alone) == Tree.from_newick("a;")
    rest = Tree.from_newick("a;").residuals(alone)
    assert math.isnan(rest.rms)
    assert math.isnan(rest.r_squared)


def test_distances_as_they_are_kept():
    """Condensed and single precision matrices give the same lengths."""
    rng = np.random.default_rng(4)
    tree = random_tree(20, rng)
    D = tree.distance_matrix()
    single = pp.DistanceMatrix(D.condensed.astype(np.float32), D.ids)
    np.testing.assert_allclose(tree.fit(single).length, tree.length, atol=1e-6)


ABC = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        ([[0, 1, 1], [1, 0, 0], [1, 0, 0]], "inverse_square", "between 'b' and 'c' is 0"),
        ([[0, 1, 1], [1, 0, math.nan], [1, math.nan, 0]], "equal", "'b' and 'c' is nan: give"),
        (np.ones((3, 3)) - np.eye(3), "squares", '"equal", "inverse_square" or a matrix'),
        (np.ones((3, 3)) - np.eye(3), np.ones((2, 2)), r"shape \(3, 3\)"),
        (np.ones((3, 3)) - np.eye(3), [[0, 1, 2], [1, 0, 1], [1, 1, 0]], "'a' and 'c' is 2, the"),
        (np.ones((3, 3)) - np.eye(3), -np.ones((3, 3)), "at least 0"),
        (np.ones((3, 3)) - np.eye(3), np.zeros((3, 3)), "length above 'a' is not determined"),
        (np.ones((3, 3)) - np.eye(3), [[0, 1, 0], [1, 0, 0], [0, 0, 0]], "is not determined"),
        (np.ones((3, 3)) - np.eye(3), [[0, 1, 1], [1, 0, 0], [1, 0, 0]], "is not determined"),
    ],
)
def test_refusals(values, weights, message):
    D = pp.DistanceMatrix(values, ABC, allow_nan=True)
    with pytest.raises(InputError, match=message):
        Tree.from_newick("(a,b,c);").fit(D, weights)


def test_refusals_of_other_models_and_things():
    D = pp.DistanceMatrix(np.ones((3, 3)) - np.eye(3), ABC)
    with pytest.raises(InputError, match="1 only in the tree: 'd'; 1 only in the matrix: 'c'"):
        Tree.from_newick("(a,b,d);").fit(D)
    with pytest.raises(InputError, match="not ndarray; wrap it"):
        Tree.from_newick("(a,b,c);").fit(D.values)
    with pytest.raises(InputError, match="the first above 'c'; fit them"):
        Tree.from_newick("(a:1,b:1,c);").residuals(D)
