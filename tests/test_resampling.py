"""Replicates against explicit resampling, and against themselves under every way of running."""

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
from pyphylo._reference import Sampled
from pyphylo.resampling import gene_weights, resample_similarity, similarity_errors

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
INSTRUCTION_SETS = _core.detected_instruction_sets()


@st.composite
def wide_populations(draw):
    """One n a model, up to 65,535: numerators far beyond 16 bits."""
    genes = [f"g{i}" for i in range(draw(st.integers(1, 4)))]
    populations = {}
    for m in range(draw(st.integers(1, 5))):
        n = draw(st.sampled_from([2, 127, 128, 181, 182, 65_535]))
        populations[f"m{m}"] = {}
        for g in genes:
            if draw(st.integers(0, 4)):
                k = draw(st.integers(0, n))
                cell = {"a": k, "b": n - k}
                populations[f"m{m}"][g] = Sampled({a: c for a, c in cell.items() if c})
    return populations


def draw_weights(data, genes, largest=3):
    rows = st.lists(st.integers(0, largest), min_size=genes, max_size=genes)
    return np.array(data.draw(st.lists(rows, min_size=1, max_size=20)), np.int64).reshape(-1, genes)


def resampled(population, genes, weights):
    """The population in which each gene occurs as often as its weight says."""
    return {
        f"{gene}, {copy}": population[gene]
        for gene, weight in zip(genes, weights, strict=True)
        for copy in range(weight)
        if gene in population
    }


def expected(populations, genes, weights, estimator="plugin"):
    """Condensed S of each replicate, by the oracle."""
    values = []
    for row in weights:
        models = [resampled(p, genes, row) for p in populations.values()]
        values.append(
            [
                _reference.nei_similarity(a, b, estimator)
                for i, a in enumerate(models)
                for b in models[i + 1 :]
            ]
        )
    return np.array(values).reshape(len(weights), -1)


def quiet(call, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        return call(*arguments, **options)


@quick
@given(
    integer_populations() | wide_populations() | mixed_populations(),
    st.sampled_from(["plugin", "unbiased"]),
    st.data(),
)
def test_replicates_equal_explicit_resampling(populations, estimator, data):
    table = table_of(populations)
    weights = draw_weights(data, len(table.genes))
    try:
        replicates = quiet(
            resample_similarity, table, weights, estimator=estimator, dtype="float64"
        )
    except pp.InputError as error:
        assert estimator == "unbiased"
        assert "two probes" in str(error)
        return
    oracle = expected(populations, table.genes, weights, estimator)
    np.testing.assert_allclose(replicates.array(), oracle, rtol=1e-12, atol=0)


def counts_of(models, genes, n, missing=0.0, seed=0, alleles=60):
    rng = np.random.default_rng(seed)
    counts = np.zeros((models, genes, alleles), np.int64)
    for m in range(models):
        for g in range(genes):
            if rng.random() >= missing:
                draws = (rng.zipf(1.6, n) - 1) % alleles
                np.add.at(counts[m, g], draws, 1)
    return counts


def table_from(counts):
    m, g, a = np.nonzero(counts)
    names = [f"m{i}" for i in range(len(counts))], [f"g{i}" for i in range(counts.shape[1])]
    return pp.AlleleTable.from_counts(*names, m, g, [f"a{i:02}" for i in a], counts[m, g, a])


def exact(counts, weights, unbiased=False):
    """S of each replicate from whole numbers, one division and one root at the end."""
    first, second = np.triu_indices(len(counts), 1)
    present = (counts.sum(2) > 0).astype(np.int64)
    squares = (counts**2).sum(2)
    n = counts.sum(2).max(1)
    scale = np.ones(len(counts))
    if unbiased:
        squares = squares - n[:, None] * present
        scale = n / (n - 1)
    rows = []
    for w in weights:
        numerators = np.zeros((len(counts), len(counts)), np.int64)
        for g in range(counts.shape[1]):
            numerators += w[g] * (counts[:, g] @ counts[:, g].T)
        selves = ((squares * w) @ present.T).astype(float) * scale[:, None]
        product = selves[first, second] * selves[second, first]
        with np.errstate(invalid="ignore", divide="ignore"):
            S = numerators[first, second] / np.sqrt(product)
        rows.append(np.where(product > 0, S, np.nan))
    return np.array(rows)


SHAPES = {
    "narrow": (300, 9, 8, 0.0, 3),
    "ragged": (120, 7, 8, 0.3, 3),
    "counts above 127": (100, 5, 181, 0.0, 3),
    "wide counts": (100, 5, 1000, 0.1, 3),
    "wide weights": (100, 5, 8, 0.1, 40_000),
    "wide sums": (60, 3, 181, 0.0, 30_000),
}


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_integer_tables_are_exact_in_every_way_of_running(shape, unbiased, monkeypatch):
    models, genes, n, missing, largest = SHAPES[shape]
    counts = counts_of(models, genes, n, missing)
    table = table_from(counts)
    weights = np.random.default_rng(1).integers(0, largest + 1, (19, genes))
    weights[3] = 0
    weights[4] = 1
    options = {"estimator": "unbiased" if unbiased else "plugin", "dtype": "float64"}
    oracle = exact(counts, weights, unbiased)
    for name in INSTRUCTION_SETS:
        monkeypatch.setenv("PYPHYLO_ISA", name)
        found = quiet(resample_similarity, table, weights, **options).array()
        assert np.array_equal(found, oracle, equal_nan=True), name
    three = quiet(resample_similarity, table, weights, n_threads=3, **options)
    assert np.array_equal(three.array(), oracle, equal_nan=True)
    small = quiet(resample_similarity, table, weights, max_memory=5 * 8 * 44_850, **options)
    blocks = list(small.blocks())
    assert [first for first, _ in blocks] == list(range(0, 19, len(blocks[0][1])))
    assert np.array_equal(np.concatenate([b for _, b in blocks]), oracle, equal_nan=True)
    options["dtype"] = "float32"
    single = quiet(resample_similarity, table, weights, **options).array()
    assert np.array_equal(single, oracle.astype(np.float32), equal_nan=True)
    ones = quiet(pp.nei_similarity, table, estimator=options["estimator"]).values
    assert np.array_equal(ones[np.triu_indices(models, 1)], oracle[4], equal_nan=True)


def test_many_models_are_split_by_columns_alone():
    counts = counts_of(3100, 2, 3, seed=5)
    weights = np.array([[1, 2]])
    found = resample_similarity(table_from(counts), weights, dtype="float64", n_threads=2)
    assert np.array_equal(found.array(), exact(counts, weights))


def test_float_tables_do_not_depend_on_threads_or_instruction_set(monkeypatch):
    counts = counts_of(130, 6, 20, 0.2, seed=2)
    counts[3, 2] *= 3
    table = table_from(counts)
    weights = gene_weights(6, n=9)
    runs = []
    for name in INSTRUCTION_SETS:
        monkeypatch.setenv("PYPHYLO_ISA", name)
        for threads in (1, 3):
            runs.append(
                resample_similarity(table, weights, dtype="float64", n_threads=threads).array()
            )
    assert all(np.array_equal(runs[0], run, equal_nan=True) for run in runs)
    ones = resample_similarity(table, np.ones((1, 6), int), dtype="float64").array()[0]
    S = quiet(pp.nei_similarity, table).values[np.triu_indices(130, 1)]
    np.testing.assert_allclose(ones, S, rtol=1e-13, atol=0)


def test_gene_weights():
    weights = gene_weights(128, n=50, seed=3)
    assert weights.shape == (50, 128)
    assert weights.dtype == np.int64
    assert (weights.sum(1) == 128).all()
    assert np.array_equal(weights[:20], gene_weights(128, n=20, seed=3))
    assert not np.array_equal(weights, gene_weights(128, n=50, seed=4))
    # Each gene's count is binomial(128 x 50, 1/128): its standard deviation is 7.
    assert (np.abs(weights.sum(0) - 50) < 35).all()
    assert gene_weights(5, "jackknife").tolist() == (1 - np.eye(5, dtype=int)).tolist()
    assert gene_weights(5, "jackknife", block=2).tolist() == [
        [0, 0, 1, 1, 1],
        [1, 1, 0, 0, 1],
        [1, 1, 1, 1, 0],
    ]
    assert gene_weights(0, n=3).shape == (3, 0)
    assert gene_weights(0, "jackknife").shape == (0, 0)


def test_a_seed_means_the_same_draws_for_ever():
    assert gene_weights(6, n=3, seed=0).tolist() == [
        [2, 2, 1, 0, 0, 1],
        [2, 1, 1, 0, 1, 1],
        [1, 2, 0, 0, 1, 2],
    ]


def random_table(models=20, genes=12, missing=0.2, n=10):
    return table_from(counts_of(models, genes, n, missing, seed=7, alleles=12))


def test_iterating_yields_matrices():
    table = random_table()
    replicates = resample_similarity(table, n=21, seed=1, max_memory=190 * 4 * 9)
    assert len(replicates) == 21
    assert replicates.weights.tolist() == gene_weights(12, n=21, seed=1).tolist()
    rows = [r.condensed for r in replicates]
    assert np.array_equal(np.array(rows), replicates.array(), equal_nan=True)
    for _, replicate in zip(range(3), replicates, strict=False):
        S = replicate.matrix()
        assert isinstance(S, pp.SimilarityMatrix)
        assert S.ids == table.models
        assert S.dtype == np.float32
        assert np.array_equal(np.asarray(replicate), S.values, equal_nan=True)
        condensed = S.values[np.triu_indices(20, 1)]
        assert np.array_equal(condensed, replicate.condensed, equal_nan=True)
    assert S.provenance["resampling"] == {"method": "bootstrap", "n": 21, "seed": 1}
    assert S.provenance["replicate"] == 2


def test_a_replicate_is_the_similarity_of_the_chosen_genes():
    table = random_table(missing=0.0)
    weights = np.zeros((2, 12), int)
    weights[0, [1, 4, 5]] = 1
    weights[1, :6] = 1
    replicates = resample_similarity(table, weights, dtype="float64")
    for replicate, genes in zip(replicates, (["g1", "g4", "g5"], table.genes[:6]), strict=True):
        chosen = pp.nei_similarity(table.select(genes=genes))
        assert np.array_equal(replicate.matrix().values, chosen.values)


def test_distances():
    table = random_table()
    replicates = resample_similarity(table, n=5, dtype="float64")
    S = replicates.array()
    with np.errstate(invalid="ignore"):
        oracle = np.array(
            [math.nan if math.isnan(s) else _reference.nei_distance(s, 0.3) for s in S.ravel()]
        )
    D = replicates.distances(floor=0.3)
    np.testing.assert_allclose(D.array().ravel(), oracle, rtol=1e-14, atol=0)
    assert not np.signbit(D.array()).any()
    first = next(iter(D)).matrix()
    assert isinstance(first, pp.DistanceMatrix)
    assert first.provenance["floor"] == 0.3
    single = resample_similarity(table, n=5).distances(0.3).array()
    assert np.array_equal(single, D.array().astype(np.float32), equal_nan=True)


def test_a_replicate_without_common_genes_is_nan():
    counts = np.zeros((3, 2, 2), np.int64)
    counts[0, :, 0] = counts[1, 0, 0] = counts[2, 1, 1] = 4
    S = resample_similarity(table_from(counts), [[1, 0], [0, 1], [2, 1]]).array()
    nan = math.nan
    np.testing.assert_array_equal(S, [[1, nan, nan], [nan, 0, nan], [1, 0, nan]])


def test_one_model_and_no_genes():
    one = pp.AlleleTable.from_counts(["a"], ["g"], [0], [0], ["x"], [3])
    assert resample_similarity(one, n=4).array().shape == (4, 0)
    assert similarity_errors(one).similarity.shape == (0,)
    empty = pp.AlleleTable.from_counts(["a", "b"], [], [], [], [], [])
    assert np.isnan(resample_similarity(empty, n=4).array()).all()
    assert resample_similarity(empty, n=4).array().shape == (4, 1)
    assert np.isnan(similarity_errors(empty).similarity_error).all()
    assert resample_similarity(one, np.zeros((0, 1), int)).array().shape == (0, 0)


# -- errors ----------------------------------------------------------------------------


def jackknife(values, full, sizes):
    """Pseudo-values of Busing et al. (1999), as they are written there."""
    total = sum(sizes)
    h = [total / m for m in sizes]
    g = len(sizes)
    corrected = g * full - sum((1 - m / total) * v for m, v in zip(sizes, values, strict=True))
    pseudo = [hj * full - (hj - 1) * v for hj, v in zip(h, values, strict=True)]
    variance = sum((p - corrected) ** 2 / (hj - 1) for p, hj in zip(pseudo, h, strict=True)) / g
    return corrected, math.sqrt(variance)


@quick
@given(integer_populations() | mixed_populations(), st.integers(1, 3))
def test_jackknife_equals_pseudo_values(populations, block):
    table = table_of(populations)
    genes = table.genes
    floor = 0.05
    errors = similarity_errors(table, "jackknife", block=block, floor=floor)
    models = list(populations.values())
    pairs = [(a, b) for i, a in enumerate(models) for b in models[i + 1 :]]
    for pair, (a, b) in enumerate(pairs):
        shared = [g for g in genes if g in a and g in b]
        blocks = [genes[k : k + block] for k in range(0, len(genes), block)]
        left_out = [[g for g in part if g in shared] for part in blocks]
        left_out = [part for part in left_out if part]
        without = [
            _reference.nei_similarity({g: c for g, c in a.items() if g not in part}, b)
            for part in left_out
        ]
        full = _reference.nei_similarity(a, b)
        if math.isnan(full) or len(left_out) < 2:
            assert math.isnan(errors.similarity_error[pair])
            assert math.isnan(errors.distance_error[pair])
            continue
        sizes = [len(part) for part in left_out]
        for name, f in (
            ("similarity", float),
            ("distance", lambda s: _reference.nei_distance(s, floor)),
        ):
            corrected, error = jackknife([f(s) for s in without], f(full), sizes)
            value = getattr(errors, name)[pair]
            bias, found = (getattr(errors, f"{name}_{w}")[pair] for w in ("bias", "error"))
            np.testing.assert_allclose(value, f(full), rtol=1e-12, atol=1e-15)
            np.testing.assert_allclose(value - bias, corrected, rtol=1e-9, atol=1e-12)
            np.testing.assert_allclose(found, error, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("missing", [0.0, 0.25])
@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
def test_errors_equal_the_spread_of_all_replicates(missing, estimator):
    table = random_table(70, 12, missing)
    full = pp.nei_similarity(table, estimator=estimator).values[np.triu_indices(70, 1)]
    errors = similarity_errors(table, "bootstrap", n=40, seed=2, estimator=estimator, n_threads=2)
    replicates = resample_similarity(table, n=40, seed=2, estimator=estimator, dtype="float64")
    assert np.array_equal(errors.similarity, full, equal_nan=True)
    for name, source in (("similarity", replicates), ("distance", replicates.distances())):
        values = source.array()
        bias, error = (getattr(errors, f"{name}_{w}") for w in ("bias", "error"))
        mean = getattr(errors, name) + bias
        np.testing.assert_allclose(mean, np.nanmean(values, 0), rtol=1e-12, atol=1e-15)
        spread = np.nanstd(values, 0, ddof=1)
        np.testing.assert_allclose(error, spread, rtol=1e-9, atol=1e-9)
    one = similarity_errors(table, "bootstrap", n=40, seed=2, estimator=estimator, n_threads=1)
    assert np.array_equal(one.distance_error, errors.distance_error, equal_nan=True)


def test_errors_have_the_same_bits_in_every_instruction_set(monkeypatch):
    table = random_table(60, 12, 0.2)
    found = []
    for name in INSTRUCTION_SETS:
        monkeypatch.setenv("PYPHYLO_ISA", name)
        errors = [similarity_errors(table, method, n=20) for method in ("jackknife", "bootstrap")]
        found.append(np.concatenate([e.to_frame().iloc[:, 2:].to_numpy() for e in errors]))
    assert all(np.array_equal(found[0], other, equal_nan=True) for other in found)


def test_errors_are_those_of_repeated_experiments():
    """Over genes drawn anew, S spreads as the jackknife says of one draw."""
    rng = np.random.default_rng(11)
    n, genes, runs = 64, 60, 60
    S, error = [], []
    for _ in range(runs):
        p = rng.dirichlet(np.full(8, 0.4), genes)
        q = 0.5 * p + 0.5 * rng.dirichlet(np.full(8, 0.4), genes)
        counts = np.stack([rng.multinomial(n, p), rng.multinomial(n, q)])
        errors = similarity_errors(table_from(counts))
        S.append(errors.similarity[0])
        error.append(errors.similarity_error[0])
    assert np.mean(error) == pytest.approx(np.std(S, ddof=1), rel=0.3)


def test_error_matrices():
    table = random_table(6)
    errors = similarity_errors(table)
    square = errors.square("similarity")
    S = pp.nei_similarity(table).values
    assert np.array_equal(square, S, equal_nan=True)
    D = errors.square("distance_error")
    assert (np.diagonal(D) == 0).all()
    assert np.array_equal(D, D.T, equal_nan=True)
    frame = errors.to_frame()
    assert list(frame.columns[:3]) == ["model", "other", "similarity"]
    assert frame.iloc[0][["model", "other"]].tolist() == ["m0", "m1"]
    assert frame.distance_error[0] == D[0, 1]
    with pytest.raises(pp.InputError, match="'variance'"):
        errors.square("variance")


def test_models_that_agree_have_no_error():
    counts = counts_of(1, 8, 10, seed=3)
    errors = similarity_errors(table_from(np.concatenate([counts, counts])), "bootstrap", n=30)
    assert errors.similarity.tolist() == [1.0]
    assert errors.similarity_error.tolist() == errors.distance_error.tolist() == [0.0]


# -- bad calls ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        ([[1, 1]], r"replicates x 12 genes, not 1 x 2"),
        ([1] * 12, "not 12"),
        ([[0.5] * 12], "whole numbers, not float64"),
        ([[1] * 11 + [-2]], "gene 11 in replicate 0 is -2"),
        (np.full((1, 12), 2**63, np.uint64), "gene 0 in replicate 0 is 9223372036854775808"),
    ],
)
def test_bad_weights(weights, match):
    with pytest.raises(pp.InputError, match=match):
        resample_similarity(random_table(), weights)


def test_inexact_sums_are_refused():
    table = random_table(3, n=10, missing=0.0)
    weights = np.ones((3, 12), np.int64)
    weights[2, 5] = 2**47
    with pytest.raises(
        pp.InputError, match=r"replicate 2 may reach 14073748835533900, above 2\^53"
    ):
        resample_similarity(table, weights)
    weights[2, 5] = 2**62
    with pytest.raises(pp.InputError, match=r"may reach 2\^63"):
        resample_similarity(table, weights)
    weights[2, 5] = 2**46
    counts = counts_of(3, 12, 10, 0.0, seed=7, alleles=12)
    found = resample_similarity(table, weights, dtype="float64").array()
    assert np.array_equal(found, exact(counts, weights))


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"method": "boot"}, "'bootstrap', 'jackknife'"),
        ({"n": 0}, "n must be"),
        ({"seed": -1}, "seed must be"),
        ({"estimator": "nei"}, "'plugin', 'unbiased'"),
        ({"dtype": "float16"}, "float32 or float64"),
        ({"n_threads": -1}, "n_threads"),
        ({"max_memory": 0}, "max_memory must be"),
        ({"max_memory": 1.5}, "max_memory must be"),
    ],
)
def test_bad_options(options, match):
    with pytest.raises(pp.InputError, match=match):
        resample_similarity(random_table(), **options)


def test_other_bad_calls():
    table = random_table()
    with pytest.raises(pp.InputError, match="not ndarray"):
        resample_similarity(np.eye(3))
    with pytest.raises(pp.InputError, match="no models"):
        similarity_errors(pp.AlleleTable.from_counts([], ["g"], [], [], [], []))
    with pytest.raises(pp.InputError, match="floor"):
        similarity_errors(table, floor=0)
    with pytest.raises(pp.InputError, match="floor"):
        resample_similarity(table).distances(2)
    with pytest.raises(pp.InputError, match="only the jackknife"):
        gene_weights(4, block=2)
    with pytest.raises(pp.InputError, match=r"one replicate of 20 models takes 760 bytes"):
        next(resample_similarity(table, max_memory=100).blocks())


def test_what_does_not_fit_is_refused(monkeypatch):
    table = random_table()
    replicates = resample_similarity(table, n=50)
    monkeypatch.setattr("pyphylo._memory.available_bytes", lambda: 20_000)
    monkeypatch.setattr("pyphylo._memory.ASKED_FROM", 0)
    with pytest.raises(MemoryError, match=r"50 replicates of 190 pairs need 37.1 KiB"):
        replicates.array()
    with pytest.raises(MemoryError, match="working arrays"):
        resample_similarity(table, n=50)
