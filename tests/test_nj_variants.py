"""BIONJ, UPGMA, and distances in other storage."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import squareform
from test_nj import DECIMAL, REAL, TIED, as_mappings, joins_of, matrix

import pyphylo as pp
from pyphylo.cli import tree as command
from pyphylo.tree._reference import join_all
from pyphylo.tree.build import METHODS, build_tree

FEW = settings(max_examples=60, deadline=None)


@FEW
@given(st.one_of(TIED, DECIMAL, REAL))
def test_bionj_has_the_bits_of_the_oracle(values):
    tree = pp.bionj(matrix(values), negative="keep")
    assert joins_of(tree) == as_mappings(join_all(values.tolist(), variances=True))


@FEW
@given(st.one_of(TIED, DECIMAL))
def test_bionj_in_float32_has_the_bits_of_the_oracle(values):
    stored = values.astype(np.float32).astype(float)
    tree = pp.bionj(matrix(values), negative="keep", dtype="float32")
    oracle = join_all(stored.tolist(), store=lambda value: float(np.float32(value)), variances=True)
    assert joins_of(tree) == as_mappings(oracle)


def test_bionj_is_near_exact_arithmetic():
    values = pp.simulate.simulate_distances(6, kind="language-models", seed=3).values
    found = joins_of(pp.bionj(matrix(values), negative="keep"))
    oracle = as_mappings(join_all(values.tolist(), Fraction, variances=True))
    assert [set(join) for join in found] == [set(join) for join in oracle]
    for join, exact in zip(found, oracle, strict=True):
        for child, length in join.items():
            assert length == pytest.approx(float(exact[child]), rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("n", [4, 5, 30, 200])
@pytest.mark.parametrize("method", [m for m in METHODS if m != "upgma"])
def test_true_trees_are_found(method, n):
    true = pp.neighbor_joining(pp.simulate.simulate_distances(n, seed=n))
    length = np.maximum(true.length, 0.01)
    true = pp.Tree(true.tips, true.parent, length)
    found = build_tree(true.distance_matrix(), method)[0]
    assert found.robinson_foulds(true) == 0
    np.testing.assert_allclose(found.patristic(), true.patristic(), atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_upgma_is_average_linkage(n, seed):
    values = np.random.default_rng(seed).random((n, n))
    values = np.triu(values, 1) + np.triu(values, 1).T
    tree = pp.upgma(matrix(values))
    assert tree.is_rooted
    # By definition: two tips part at the mean distance between the sides that they are on.
    heights = tree.depths()[0] - tree.depths()
    np.testing.assert_allclose(heights[:n], 0, atol=1e-12)
    for node in range(n, tree.n_nodes):
        left, right = (tree.tips_below(child) for child in tree.children(node))
        assert heights[node] == pytest.approx(values[np.ix_(left, right)].mean() / 2, abs=1e-12)


def test_upgma_of_distances_that_overflow():
    with pytest.raises(pp.WorkError, match=r"up to 1\.7e\+308 overflow float64 sums of 5 models"):
        pp.upgma(matrix(1.7e308 * (1 - np.eye(5))))


def test_upgma_of_ties_and_twins():
    assert pp.upgma(matrix(np.zeros((5, 5)))).length.tolist() == [0.0] * 9
    tree = pp.upgma(pp.DistanceMatrix([4.0], ["a", "b"]))
    assert tree.newick() == "(a:2,b:2);"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_condensed_distances_give_the_same_tree(method, dtype):
    square = pp.simulate.simulate_distances(60).values.astype(dtype)
    ids = [f"m{i}" for i in range(60)]
    condensed = pp.DistanceMatrix._trusted(squareform(square, checks=False), tuple(ids), {})
    assert condensed.stored.ndim == 1
    tree = build_tree(pp.DistanceMatrix(square, ids), method)[0]
    assert build_tree(condensed, method)[0].newick() == tree.newick()


def test_what_no_tree_can_be_built_of():
    for method in ("bionj", "upgma"):
        with pytest.raises(pp.InputError, match=f"{method} needs a DistanceMatrix, not list"):
            getattr(pp, method)([[0, 1], [1, 0]])
        with pytest.raises(pp.InputError, match="at least two models, not 1"):
            getattr(pp, method)(pp.DistanceMatrix([[0.0]], ["a"]))
    triangle = np.arange(1.0, 11.0)
    triangle[8] = np.nan
    for values in (triangle, squareform(triangle)):
        D = pp.DistanceMatrix._trusted(values, tuple("abcde"), {})
        with pytest.raises(pp.InputError, match="between 'c' and 'e' is nan: a tree needs every"):
            pp.upgma(D)
    with pytest.raises(pp.InputError, match="one of nj, bionj, upgma, bme, not 'wpgma'"):
        build_tree(pp.DistanceMatrix([1.0], ["a", "b"]), "wpgma")


def test_the_command_line_offers_every_method():
    assert command._METHODS == METHODS
