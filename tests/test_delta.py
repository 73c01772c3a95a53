"""Delta scores: the compiled quartets against loops over all of them."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.errors import InputError
from pyphylo.tree import _quartets
from pyphylo.tree.delta import delta_scores

FEW = settings(max_examples=60, deadline=None)


def matrix(values, **options):
    values = np.asarray(values)
    return pp.DistanceMatrix(values, [f"m{i}" for i in range(len(values))], **options)


def quartet_scores(d, i, j, k, m, tolerance=0):
    """Delta, gap and width of four models: their three sums, sorted."""
    smallest, middle, largest = sorted((d[i][j] + d[k][m], d[i][k] + d[j][m], d[i][m] + d[j][k]))
    if largest == smallest or largest - smallest <= tolerance:
        return 0.0, 0.0, 0.0
    return (largest - middle) / (largest - smallest), largest - middle, largest - smallest


def slow_scores(values, tolerance=0):
    """Delta, weighted delta and Q-residual over all quartets of each model."""
    n = len(values)
    d = values.tolist()
    scores = [[] for _ in range(n)]
    for quartet in itertools.combinations(range(n), 4):
        for model in quartet:
            scores[model].append(quartet_scores(d, *quartet, tolerance))
    delta, gap, width = np.array(scores).transpose(2, 0, 1)
    scale = (values.sum() / (n * (n - 1)) or 1.0) ** 2
    weighted = [g / w if w else 0.0 for g, w in zip(gap.sum(1), width.sum(1), strict=True)]
    return {
        "delta": delta.mean(1),
        "weighted": np.array(weighted),
        "q_residual": (gap**2).mean(1) / scale,
    }


def assert_scores(found, expected, **tolerances):
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, **tolerances)


def symmetric(entries, n):
    values = np.zeros((n, n))
    values[np.triu_indices(n, 1)] = entries
    return values + values.T


@st.composite
def matrices(draw, values, largest=11):
    n = draw(st.integers(4, largest))
    n_pairs = n * (n - 1) // 2
    return symmetric(draw(st.lists(values, min_size=n_pairs, max_size=n_pairs)), n)


@FEW
@given(
    st.one_of(matrices(st.integers(0, 3)), matrices(st.integers(0, 1000))),
    st.sampled_from([0, 1, 2.5, 300]),
)
def test_all_quartets_equal_loops(values, tolerance):
    found = delta_scores(matrix(values), tolerance=tolerance)
    assert_scores(found, slow_scores(values, tolerance), rtol=1e-13, atol=1e-15)
    assert (found[["error", "weighted_error", "q_error"]] == 0).all(axis=None)
    assert (found["quartets"] == math.comb(len(values) - 1, 3)).all()
    assert found["model"].tolist() == [f"m{i}" for i in range(len(values))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [5, 12, 40])
def test_more_models_equal_loops(n, dtype):
    values = symmetric(np.random.default_rng(n).integers(1, 500, n * (n - 1) // 2), n)
    values = (values / 64).astype(dtype)
    expected = slow_scores(values.astype(float))
    square = matrix(values)
    assert_scores(delta_scores(square), expected, rtol=1e-12)
    condensed = pp.DistanceMatrix._trusted(square.condensed, square.ids, {})
    assert_scores(delta_scores(condensed), expected, rtol=1e-12)


def test_four_models_by_hand():
    # d01 + d23 = 4, d02 + d13 = 6, d03 + d12 = 9: (9 - 6) / (9 - 4).
    values = symmetric([1, 2, 4, 5, 4, 3], 4)
    found = delta_scores(matrix(values))
    assert found["delta"].tolist() == [0.6] * 4
    assert found["weighted"].tolist() == [0.6] * 4
    assert delta_scores(matrix(values), tolerance=5)["delta"].tolist() == [0.0] * 4
    assert delta_scores(matrix(values), tolerance=4.99)["delta"].tolist() == [0.6] * 4
    # The mean distance is 19 / 6.
    np.testing.assert_allclose(found["q_residual"], 9 / (19 / 6) ** 2)


def test_trees_have_none_and_boxes_have_some():
    tree = pp.simulate.simulate_distances(60, seed=1)
    exact = pp.neighbor_joining(tree)
    paths = pp.DistanceMatrix(exact.patristic(), exact.tips)
    found = delta_scores(paths)
    assert found["delta"].max() < 1e-12
    assert found["weighted"].max() < 1e-12
    assert found["q_residual"].max() < 1e-12
    assert delta_scores(tree)["delta"].min() > 0.001
    # A square of four models: both larger sums cannot be, one is alone.
    square = delta_scores(matrix(symmetric([1, 1, 2, 2, 1, 1], 4)))
    assert square["delta"].tolist() == [1.0] * 4


def test_equal_models_and_equal_distances():
    for n_quartets in (None, 3):
        none = delta_scores(matrix(np.zeros((5, 5))), n_quartets=n_quartets)
        assert (none.drop(columns=["model", "quartets"]) == 0).all(axis=None)
    star = delta_scores(matrix(1 - np.eye(6)))
    assert star["delta"].tolist() == [0.0] * 6
    # Two copies of every model: a quartet with a pair of copies is a tree.
    values = symmetric(np.random.default_rng(0).uniform(1, 2, 10), 5)
    twice = delta_scores(matrix(np.repeat(np.repeat(values, 2, 0), 2, 1)))
    assert twice["delta"][::2].to_numpy() == pytest.approx(twice["delta"][1::2].to_numpy())
    assert (twice["delta"][::2].to_numpy() < delta_scores(matrix(values))["delta"].to_numpy()).all()


def test_a_mixture_of_two_lineages_stands_out():
    """Distances of a model half way between two, in a tree of thirty."""
    exact = pp.neighbor_joining(pp.simulate.simulate_distances(30, seed=4))
    paths = exact.patristic()
    mixed = (paths[0] + paths[17]) / 2
    values = np.zeros((31, 31))
    values[:30, :30] = paths
    values[30, :30] = values[:30, 30] = mixed
    found = delta_scores(matrix(values))
    assert found["delta"].idxmax() == 30
    assert found["weighted"].idxmax() == 30
    assert found["q_residual"].idxmax() == 30


def drifted(rng, frequencies, f):
    """Frequencies after drift of F_ST f, each gene by itself (Balding & Nichols 1995)."""
    shape = frequencies * (1 - f) / f
    drawn = rng.gamma(np.maximum(shape, 1e-9)) + 1e-12
    return drawn / drawn.sum(1, keepdims=True)


def merged_models(seed, n_genes=400, n_alleles=30, n_probes=32):
    """A table of 36 models, four of them mixtures of two others; and which those are."""
    rng = np.random.default_rng(seed)
    root = np.tile(1 / np.arange(1, n_alleles + 1), (n_genes, 1))
    models = [drifted(rng, root / root.sum(1, keepdims=True), 0.2) for _ in range(3)]
    while len(models) < 32:
        models.append(drifted(rng, models[rng.integers(len(models))], rng.uniform(0.1, 0.3)))
    for _ in range(4):
        first, second = rng.choice(32, 2, replace=False)
        models.append(drifted(rng, (models[first] + models[second]) / 2, 0.1))
    counts = rng.multinomial(n_probes, np.stack(models))
    m, g, a = np.nonzero(counts)
    names = [f"m{i}" for i in range(36)], [f"g{i}" for i in range(n_genes)]
    table = pp.AlleleTable.from_counts(*names, m, g, [f"a{k}" for k in a], counts[m, g, a])
    return table, np.arange(36) >= 32


def test_mixtures_rank_first_among_models_that_drifted():
    from sklearn.metrics import roc_auc_score

    ranks = {"noisy": [], "delta": [], "weighted": []}
    for seed in range(6):
        table, mixed = merged_models(seed)
        D = pp.nei_distance(table)
        noise = float(np.median(pp.similarity_errors(table).distance_error))
        ranks["noisy"].append(roc_auc_score(mixed, delta_scores(D)["delta"]))
        found = delta_scores(D, tolerance=3 * noise)
        for name in ("delta", "weighted"):
            ranks[name].append(roc_auc_score(mixed, found[name]))
    mean = {name: np.mean(values) for name, values in ranks.items()}
    assert mean["delta"] > 0.9
    assert mean["weighted"] > 0.85
    assert mean["noisy"] < mean["delta"]


def identity(p, q):
    return (p * q).sum() / math.sqrt((p * p).sum() * (q * q).sum())


def test_merges_of_distant_models_rank_first_in_histories():
    """Of 512 genes, 5 in 100 models merges; parents at least 3/4 of the median distance apart."""
    distant, plain = [], []
    for seed in range(12):
        # One family, and several.
        history = pp.simulate.simulate_history(
            100, 512, admixed=0.05, family_size=(25, 1000)[seed % 2], seed=seed
        )
        D = pp.nei_distance(history.table)
        noise = float(np.median(pp.similarity_errors(history.table).distance_error))
        merged = np.array([name in history.admixed for name in D.ids])
        ranks = [
            delta_scores(D, tolerance=tolerance)["delta"].to_numpy()
            for tolerance in (3 * noise, 0.0)
        ]
        for i in np.flatnonzero(merged):
            merge = history.admixed[D.ids[i]]
            parents = [history.frequencies(name) for name in (merge.first, merge.second)]
            if -math.log(identity(*parents)) >= 0.75 * np.median(D.condensed):
                for scores, below in zip(ranks, (distant, plain), strict=True):
                    others = scores[~merged]
                    below.append((others < scores[i]).mean() + (others == scores[i]).mean() / 2)
    # The share of models that are no merges and score lower: the area under the curve.
    assert len(distant) >= 20
    assert np.mean(distant) > 0.9
    assert np.mean(plain) < np.mean(distant) - 0.1


@pytest.mark.parametrize("kind", ["near-additive", "language-models"])
def test_drawn_quartets_come_as_near_as_their_errors_say(kind):
    D = pp.simulate.simulate_distances(60, kind=kind, seed=2)
    exact, drawn = delta_scores(D), delta_scores(D, n_quartets=2000, seed=1)
    assert (drawn["quartets"] == 2000).all()
    for name, error in (
        ("delta", "error"), ("weighted", "weighted_error"), ("q_residual", "q_error")
    ):  # fmt: skip
        off = (drawn[name] - exact[name]) / drawn[error]
        assert np.abs(off).max() < 4.5
        assert 0.7 < off.std() < 1.3
        assert abs(off.mean()) < 0.6


def test_drawn_quartets_equal_a_loop_over_the_same():
    D = pp.simulate.simulate_distances(9, seed=3)
    drawn = delta_scores(D, n_quartets=50, seed=7)
    keys = np.random.Philox(7).random_raw(9)
    for x in range(9):
        scores = []
        for number in range(50):
            others = _quartets._three_others(keys[x], number, 9, x)
            assert len({x, *others}) == 4
            assert max(others) < 9
            scores.append(quartet_scores(D.values.tolist(), x, *others))
        delta, gap, width = np.array(scores).T
        row = drawn.loc[x]
        assert row["delta"] == pytest.approx(delta.mean(), rel=1e-12)
        assert row["error"] == pytest.approx(delta.std(ddof=1) / math.sqrt(50), rel=1e-9)
        assert row["weighted"] == pytest.approx(gap.sum() / width.sum(), rel=1e-12)
        off = (gap - row["weighted"] * width) / width.mean()
        assert row["weighted_error"] == pytest.approx(off.std(ddof=1) / math.sqrt(50), rel=1e-9)
        q = (gap / D.condensed.mean()) ** 2
        assert row["q_residual"] == pytest.approx(q.mean(), rel=1e-12)
        assert row["q_error"] == pytest.approx(q.std(ddof=1) / math.sqrt(50), rel=1e-9)


def test_every_three_others_are_as_likely():
    n, draws = 7, 40_000
    for x in (0, 3, 6):
        counts = Counter(
            frozenset(_quartets._three_others(np.uint64(12345 + x), number, n, x))
            for number in range(draws)
        )
        assert set(counts) == {
            frozenset(three) for three in itertools.combinations(set(range(n)) - {x}, 3)
        }
        expected = draws / len(counts)
        chi_square = sum((found - expected) ** 2 / expected for found in counts.values())
        assert chi_square < 50  # 19 degrees of freedom: one in 10,000 is above


def test_more_than_200_models_are_drawn_and_seeded():
    D = pp.simulate.simulate_distances(201, kind="language-models", seed=5)
    one = delta_scores(D, n_threads=1)
    assert (one["quartets"] == 10_000).all()
    assert (one["error"] > 0).all()
    assert (one["error"] <= 0.005).all()
    assert one.equals(delta_scores(D, n_threads=3))
    assert not one.equals(delta_scores(D, seed=1))
    all_of_them = delta_scores(D.filter(D.ids[:200]), n_threads=1)
    assert (all_of_them["error"] == 0).all()
    assert all_of_them.equals(delta_scores(D.filter(D.ids[:200]), n_threads=3))


def test_asking_for_more_quartets_than_there_are_takes_all():
    D = pp.simulate.simulate_distances(8, seed=6)
    assert delta_scores(D, n_quartets=35).equals(delta_scores(D))
    assert (delta_scores(D, n_quartets=34)["error"] > 0).all()


def test_bad_calls_are_refused():
    D = pp.simulate.simulate_distances(6)
    for options, message in (
        ({"tolerance": -1}, "tolerance must be"),
        ({"tolerance": math.nan}, "tolerance must be"),
        ({"tolerance": "0.1"}, "tolerance must be"),
        ({"n_quartets": 1}, "n_quartets must be"),
        ({"n_quartets": 2.5}, "n_quartets must be"),
        ({"seed": -1}, "seed must be"),
        ({"n_threads": -1}, "n_threads must be"),
    ):
        with pytest.raises(InputError, match=message):
            delta_scores(D, **options)
    with pytest.raises(InputError, match="at least four models, not 3"):
        delta_scores(D.filter(D.ids[:3]))
    with pytest.raises(InputError, match="needs a DistanceMatrix, not list"):
        delta_scores([[0, 1], [1, 0]])
    values = D.values.copy()
    values[1, 4] = values[4, 1] = np.nan
    with pytest.raises(InputError, match="'m1' and 'm4' is nan: a quartet needs every pair"):
        delta_scores(matrix(values, allow_nan=True))


def test_memory_is_stated_before_it_is_taken(monkeypatch):
    D = pp.simulate.simulate_distances(6)
    monkeypatch.setattr("pyphylo._memory.ASKED_FROM", 0)
    monkeypatch.setattr("pyphylo._memory.available_bytes", lambda: 500)
    with pytest.raises(MemoryError, match=r"sums over the quartets of 6 models need 1\.1 KiB"):
        delta_scores(D)
