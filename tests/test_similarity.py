"""The kernels against the oracle, and against themselves under every way of running."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import integer_populations, mixed_populations, table_of

import pyphylo as pp
from pyphylo import _core, _reference

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def similarity(table, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        return np.asarray(pp.nei_similarity(table, **options))


def numerators_of(table, threads=1):
    n = len(table.models)
    out = np.empty((n, n), np.int64)
    plugin, numerator = _core.Estimator.plugin, _core.Quantity.numerator
    _core.compare(table._core, plugin, -1, threads, numerator, 0.0, out, lambda _: None)
    return out.tolist()


def expected(populations, estimator, others=None):
    rows, columns = list(populations.values()), list((others or populations).values())
    S = np.array([[_reference.nei_similarity(a, b, estimator) for b in columns] for a in rows])
    if others is None:
        np.fill_diagonal(S, 1.0)
    return S


@quick
@given(integer_populations(), st.integers(1, 3))
def test_numerators_are_exact(populations, threads):
    table = table_of(populations)
    cells = list(populations.values())
    assert numerators_of(table, threads) == [
        [_reference.numerator(a, b) for b in cells] for a in cells
    ]


@quick
@given(integer_populations(), st.sampled_from(["plugin", "unbiased"]))
def test_integer_tables_equal_the_oracle(populations, estimator):
    S = similarity(table_of(populations), estimator=estimator)
    np.testing.assert_allclose(S, expected(populations, estimator), rtol=1e-12, atol=0)


@quick
@given(mixed_populations())
def test_float_tables_equal_the_oracle(populations):
    S = similarity(table_of(populations))
    np.testing.assert_allclose(S, expected(populations, "plugin"), rtol=1e-12, atol=0)


@quick
@given(mixed_populations())
def test_float_tables_unbiased(populations):
    table = table_of(populations)
    lost = [
        m
        for m, cells in populations.items()
        if cells and not any(cell.n > 1 for cell in cells.values())
    ]
    if lost:
        with pytest.raises(pp.InputError, match=lost[0]):
            similarity(table, estimator="unbiased")
        return
    S = similarity(table, estimator="unbiased")
    np.testing.assert_allclose(S, expected(populations, "unbiased"), rtol=1e-11, atol=0)


@quick
@given(integer_populations(), integer_populations(), st.sampled_from(["plugin", "unbiased"]))
def test_rectangular_equals_the_oracle(rows, columns, estimator):
    S = similarity(table_of(rows), other=table_of(columns), estimator=estimator)
    np.testing.assert_allclose(S, expected(rows, estimator, columns), rtol=1e-12, atol=0)


def random_table(seed, models=70, genes=9, n=32, missing=0.0):
    rng = np.random.default_rng(seed)
    model, gene, allele = [], [], []
    for m in range(models):
        for g in range(genes):
            if rng.random() < missing:
                continue
            model += [m] * n
            gene += [g] * n
            allele += [f"a{k}" for k in rng.zipf(1.7, n) % 50]
    names = [f"m{i}" for i in range(models)], [f"g{i}" for i in range(genes)]
    return pp.AlleleTable.from_counts(*names, model, gene, allele, np.ones(len(model), int))


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_threads_do_not_change_bits(missing):
    table = random_table(1, missing=missing)
    one = similarity(table, n_threads=1)
    for threads in (0, 2, 3, 8):
        assert np.array_equal(one, similarity(table, n_threads=threads), equal_nan=True)
    assert np.array_equal(one, one.T, equal_nan=True)


def test_rows_of_a_square_call_equal_a_rectangular_call():
    table = random_table(2, missing=0.2)
    half = table.select(models=table.models[:20])
    rest = table.select(models=table.models[20:])
    square = similarity(table)
    assert np.array_equal(square[:20, 20:], similarity(half, other=rest))


def test_wide_counts_use_wide_sums():
    big = 2**16
    table = pp.AlleleTable.from_counts(["a", "b"], ["g"], [0, 1], [0, 0], ["x", "x"], [big, big])
    assert table.summary()[2] == big * big > 2**31
    assert numerators_of(table) == [[big * big] * 2] * 2
    assert similarity(table).tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_inexact_numerators_are_refused():
    n = 2**31 - 1
    table = pp.AlleleTable.from_counts(["a", "b"], ["g"], [0, 1], [0, 0], ["x", "x"], [n, n])
    with pytest.raises(pp.InputError, match=r"2\^53"):
        pp.nei_similarity(table)


def test_nothing_in_common_is_nan_by_name():
    table = pp.AlleleTable.from_counts(
        ["left", "right", "both"], ["g", "h"], [0, 1, 2, 2], [0, 1, 0, 1], ["x"] * 4, [3, 3, 3, 3]
    )
    with pytest.warns(pp.PyphyloWarning, match="'left' and 'right'$"):
        S = pp.nei_similarity(table)
    assert math.isnan(S["left", "right"])
    assert S["left", "both"] == S["right", "both"] == 1.0
    D = pp.nei_distance(S)
    assert math.isnan(D["left", "right"])
    assert D.filter(["left", "both"]).values.tolist() == [[0, 0], [0, 0]]


def test_one_probe_is_too_few_for_unbiased():
    table = pp.AlleleTable.from_counts(["a", "b"], ["g"], [0, 1], [0, 0], ["x", "x"], [1, 2])
    with pytest.raises(pp.InputError, match="'a'"):
        pp.nei_similarity(table, estimator="unbiased")
    ragged = pp.AlleleTable.from_counts(
        ["a", "b"], ["g", "h"], [0, 0, 1, 1], [0, 1, 0, 1], ["x"] * 4, [1, 2, 2, 2]
    )
    with pytest.warns(pp.PyphyloWarning, match="1 cells"):
        S = pp.nei_similarity(ragged, estimator="unbiased")
    assert S["a", "b"] == 1.0


def test_unbiased_removes_what_sampling_adds():
    """Two samples of one population: plug-in is too low, unbiased is 1 within its error."""
    rng = np.random.default_rng(3)
    genes, n = 400, 16
    p = rng.dirichlet(np.full(20, 0.3), genes)
    draws = np.stack([rng.multinomial(n, p) for _ in range(2)])
    m, g, a = np.nonzero(draws)
    names = [f"g{i}" for i in range(genes)]
    table = pp.AlleleTable.from_counts(
        ["a", "b"], names, m, g, [f"x{i}" for i in a], draws[m, g, a]
    )
    assert pp.nei_similarity(table)["a", "b"] < 0.95
    assert abs(pp.nei_similarity(table, estimator="unbiased")["a", "b"] - 1) < 0.02


def test_distance():
    table = random_table(4)
    S, D = pp.nei_similarity(table), pp.nei_distance(table)
    assert pp.nei_distance(S) == D
    oracle = [[_reference.nei_distance(s) for s in row] for row in S.values.tolist()]
    np.testing.assert_allclose(D.values, oracle, rtol=1e-12, atol=0)
    assert not np.signbit(D.values).any()
    assert (np.diagonal(D.values) == 0).all()


def test_distance_floor_and_excess():
    S = pp.SimilarityMatrix([[1, 0, 1.02], [0, 1, 1], [1.02, 1, 1]], ["a", "b", "c"])
    D = pp.nei_distance(S)
    assert D["a", "b"] == pytest.approx(-math.log(1e-10))
    assert D["a", "c"] == D["b", "c"] == 0
    with pytest.raises(pp.InputError, match="floor"):
        pp.nei_distance(S, floor=0)


@pytest.mark.parametrize("threads", [-1, 1.5, True])
def test_bad_threads(threads):
    with pytest.raises(pp.InputError, match="n_threads"):
        pp.nei_similarity(random_table(5, models=2), n_threads=threads)


def test_unknown_estimator():
    with pytest.raises(pp.InputError, match="'plugin', 'unbiased'"):
        pp.nei_similarity(random_table(5, models=2), estimator="nei")


def test_anything_but_a_table_is_refused():
    with pytest.raises(pp.InputError, match="not ndarray"):
        pp.nei_similarity(np.eye(3))
    with pytest.raises(pp.InputError, match="not ndarray"):
        pp.nei_distance(np.eye(3))
    with pytest.raises(pp.InputError, match="not square"):
        pp.DistanceMatrix([[0, 1], [2]], ["a", "b"])


def test_no_models():
    empty = pp.AlleleTable.from_counts([], ["g"], [], [], [], [])
    with pytest.raises(pp.InputError, match="no models"):
        pp.nei_similarity(empty)
