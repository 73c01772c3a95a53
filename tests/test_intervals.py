"""Error bars and limits of identities and distances, and what they cover."""

from __future__ import annotations

import json
import math
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import t

import pyphylo as pp
from pyphylo import _reference
from pyphylo._reference import Sampled
from pyphylo.cli import main
from pyphylo.simulate import simulate_history
from pyphylo.simulate._draws import zipf
from pyphylo.stats import distance_intervals, similarity_intervals
from pyphylo.stats._moments import Moments, limits, moments_without_each

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
GENES = [f"g{i:02}" for i in range(12)]


@st.composite
def populations(draw):
    """Three models that lack a gene now and then, of two probes and more."""
    found = {}
    for m in range(3):
        cells = {}
        missing = draw(st.integers(-6, 3))
        for i, g in enumerate(GENES):
            if i < missing:
                continue
            counts = draw(st.lists(st.integers(0, 4), min_size=3, max_size=3))
            if sum(counts) < 2:
                counts = [2, 1, 0]
            cells[g] = Sampled({a: c for a, c in zip("abc", counts, strict=True) if c})
        found[f"m{m}"] = cells
    return found


def table_of(found):
    rows = [
        (m, GENES.index(g), a, c)
        for m, cells in enumerate(found.values())
        for g, cell in cells.items()
        for a, c in cell.counts.items()
    ]
    return pp.AlleleTable.from_counts(list(found), GENES, *zip(*rows, strict=True))


def by_hand(a, b, estimator):
    """S, its jackknife error and skewness, in plain loops over the oracle."""
    shared = [g for g in GENES if g in a and g in b]

    def identity(genes):
        return _reference.nei_similarity(
            {g: a[g] for g in genes}, {g: b[g] for g in genes}, estimator
        )

    s = identity(shared)
    without = [identity([h for h in shared if h != g]) for g in shared]
    if any(map(math.isnan, [s, *without])):
        return s, math.nan, math.nan
    n = len(shared)
    mean = sum(without) / n
    squares = sum((x - mean) ** 2 for x in without)
    cubes = sum((x - mean) ** 3 for x in without)
    return s, math.sqrt((n - 1) / n * squares), -cubes / squares**1.5 if squares > 1e-20 else 0.0


@quick
@given(populations(), st.sampled_from(["plugin", "unbiased"]))
def test_the_jackknife_is_that_of_explicit_samples(found, estimator):
    table = table_of(found)
    got = similarity_intervals(table, estimator=estimator)
    names = list(found)
    for k, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
        s, error, skewness = by_hand(found[names[i]], found[names[j]], estimator)
        assert got.pairs[k] == (names[i], names[j])
        assert got.estimate.condensed[k] == pytest.approx(s, rel=1e-12, nan_ok=True)
        assert got.se.condensed[k] == pytest.approx(error, rel=1e-9, abs=1e-12, nan_ok=True)
        if math.isnan(error) or error < 1e-9:
            continue
        low, high = got.low.condensed[k], got.high.condensed[k]
        reach = t.ppf(0.975, got.genes[k] - 1)
        for limit, quantile in ((low, reach), (high, -reach)):
            z = (s - limit) / error
            if limit > 0:  # else it was cut off there
                most = 3 * (math.sqrt(reach**2 + 1.6 / 3) - reach)  # leaves 0.2 under the root
                k = max(-most, min(skewness, most))
                bent = z + k * z**2 / 3 + k**2 * z**3 / 27 + k / 6
                assert bent == pytest.approx(quantile, rel=1e-5, abs=1e-5)


@quick
@given(
    st.floats(-1, 1),
    st.floats(0.01, 1),
    st.floats(-2, 2),
    st.integers(8, 300),
    st.floats(0.5, 0.99),
)
def test_limits_are_ordered_and_turn_over_with_the_skewness(s, error, skewness, genes, level):
    def of(s, skewness):
        one = Moments(*(np.array([x]) for x in (s, 0.0, error, skewness)))
        low, high = limits(one, np.array([genes]), level)
        return low[0], high[0]

    low, high = of(s, skewness)
    assert low < high
    turned = of(-s, -skewness)
    assert turned == pytest.approx((-high, -low), rel=1e-9, abs=1e-9)
    wider, wide = limits(
        Moments(*(np.array([x]) for x in (s, 0.0, error, skewness))),
        np.array([genes]),
        (1 + level) / 2,
    )
    assert wider[0] < low < high < wide[0]


@quick
@given(st.floats(-5, 5), st.integers(8, 300), st.floats(0.5, 0.99))
def test_no_skewness_makes_a_limit_leap(skewness, genes, level):
    def away(skewness):
        one = Moments(*(np.array([x]) for x in (0.0, 0.0, 1.0, skewness)))
        return np.abs(np.concatenate(limits(one, np.array([genes]), level)))

    quantile = t.ppf((1 + level) / 2, genes - 1)
    assert (away(skewness) <= 1.6 * quantile + 1).all()
    assert (np.abs(away(skewness + 0.01) - away(skewness)) < 0.1).all()


@pytest.mark.parametrize("method", ["jackknife", "bootstrap"])
def test_errors_are_those_of_the_resampling_kernel(method):
    table = simulate_history(6, 40, 8, seed=3).table
    expected = pp.similarity_errors(table, method, n=200, seed=5, estimator="unbiased")
    got = similarity_intervals(table, method=method, n=200, seed=5)
    np.testing.assert_allclose(got.se.condensed, expected.similarity_error, rtol=1e-9)
    np.testing.assert_array_equal(got.estimate.condensed, expected.similarity)


def test_distances_are_the_logarithms():
    table = simulate_history(5, 32, 8, seed=1).table
    s, d = similarity_intervals(table), distance_intervals(table)
    with np.errstate(divide="ignore"):
        upper = np.maximum(-np.log(np.maximum(s.low.condensed, 1e-10)), 0)
    np.testing.assert_allclose(d.high.condensed, upper)
    np.testing.assert_allclose(d.low.condensed, np.maximum(-np.log(s.high.condensed), 0))
    np.testing.assert_allclose(d.se.condensed, s.se.condensed / s.estimate.condensed)
    np.testing.assert_array_equal(
        d.estimate.condensed, pp.nei_distance(table, estimator="unbiased").condensed
    )
    assert (np.diagonal(d.se.values) == 0).all()
    assert isinstance(d.high, pp.DistanceMatrix)


@pytest.mark.parametrize("method", ["jackknife", "bootstrap"])
@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
def test_no_common_allele_is_no_certainty(method, estimator):
    """All genes say 0: how S spreads is unknown, not nothing."""
    rows = [(m, f"g{g}", f"{m if m != 'c' or g else 'a'}{k}") for m in "abc" for g in range(12)
            for k in (0, 0, 1)]  # fmt: skip
    table = pp.AlleleTable.from_records(rows)
    s = similarity_intervals(table, method=method, estimator=estimator).to_frame()
    d = distance_intervals(table, method=method, estimator=estimator).to_frame()
    assert (s["estimate"] > 0).tolist() == [False, True, False]
    assert (d["estimate"][[0, 2]] == -np.log(1e-10)).all()
    for frame in (s, d):
        assert frame.loc[[0, 2], ["se", "low", "high"]].isna().all(axis=None)
        assert frame.loc[1, ["se", "low", "high"]].notna().all()
    # One gene alone: S may be 0, and the floor stands for no upper limit of the distance.
    assert d["high"][1] == pytest.approx(-np.log(1e-10))


def test_pairs_are_those_that_were_asked_for():
    table = simulate_history(7, 32, 8, seed=1).table
    a, b, c = table.models[5], table.models[1], table.models[3]
    few = distance_intervals(table, [(a, b), (b, c)])
    assert few.pairs == ((b, a), (b, c))
    whole = distance_intervals(table).to_frame().set_index(["model", "other"])
    frame = few.to_frame().set_index(["model", "other"])
    np.testing.assert_array_equal(frame.to_numpy(), whole.loc[list(few.pairs)].to_numpy())


def test_replicas_have_no_distance_within_their_limits():
    exact = simulate_history(2, 60, 2, seed=2)
    p = exact.frequencies(exact.models[0])
    rng = np.random.default_rng(1)
    counts = rng.multinomial(16, p / p.sum(1, keepdims=True), size=(2, 60))
    model, gene, allele = np.nonzero(counts)
    table = pp.AlleleTable.from_counts(
        ["a", "b"],
        [f"g{i}" for i in range(60)],
        model,
        gene,
        [str(x) for x in allele],
        counts[model, gene, allele],
    )
    found = similarity_intervals(table)
    assert found.low["a", "b"] < 1 < found.high["a", "b"]
    assert distance_intervals(table).low["a", "b"] == 0
    assert distance_intervals(table).se["a", "b"] > 0
    assert similarity_intervals(table, estimator="plugin").high["a", "b"] < 1


def truth_of(history):
    """Identity of every pair over all genes that the simulator may draw.

    A drift of f takes the expected sum of squares J to f + (1 - f) J, and leaves what two
    descendants share at the J of their last common ancestor.
    """
    of, names = history._descent, history._names
    root = np.mean([(np.diff(zipf(k, 48), prepend=0.0) ** 2).sum() for k in range(6)])
    expected, above = [], []
    for v, parent in enumerate(of.parent):
        j = root if parent < 0 else expected[parent]
        f = history.drift[names[v]]
        expected.append(f + (1 - f) * j)
        above.append([v] if parent < 0 else [v, *above[parent]])
    nodes = [names.index(m) for m in history.models]
    truth = np.empty((5, 5))
    for i, v in enumerate(nodes):
        for j, w in enumerate(nodes):
            common = [x for x in above[v] if x in above[w]]
            shared = expected[common[0]] if common else root
            truth[i, j] = shared / math.sqrt(expected[v] * expected[w])
    return truth


def coverage(histories, repeats, genes, probes):
    """Shares of intervals that cover, squared errors of both estimators, over simulations."""
    rng = np.random.default_rng(7)
    hits, errors, plugin_errors = [], [], []
    for seed in range(histories):
        history = simulate_history(5, genes * repeats, 2, family_size=5, seed=seed)
        truth = truth_of(history)
        p = [history.frequencies(m) for m in history.models]
        c = [rng.multinomial(probes, x / x.sum(1, keepdims=True)) for x in p]
        plugin = [(x**2).sum(1).reshape(repeats, genes) / probes**2 for x in c]
        own = [(probes * x - 1) / (probes - 1) for x in plugin]
        for i in range(5):
            for j in range(i):
                top = (c[i] * c[j]).sum(1).reshape(repeats, genes) / probes**2
                terms = np.stack([top, own[i], own[j]])
                total = terms.sum(axis=2)
                s = total[0] / np.sqrt(total[1] * total[2])
                rest = total[:, :, None] - terms
                without = rest[0] / np.sqrt(rest[1] * rest[2])
                moments = moments_without_each(s, without, np.ones_like(top, bool))
                low, high = limits(moments, np.full(repeats, genes), 0.95)
                hits.append((low < truth[i, j]) & (truth[i, j] < high))
                errors.append((s - truth[i, j]) ** 2)
                biased = top.sum(1) / np.sqrt(plugin[i].sum(1) * plugin[j].sum(1))
                plugin_errors.append((biased - truth[i, j]) ** 2)
    return np.mean(hits), np.sqrt(np.mean(errors)), np.sqrt(np.mean(plugin_errors))


def test_intervals_cover_the_truth_over_genes():
    """Five models, 128 genes, 180 simulations; a quarter of the probes for the same error."""
    covered, unbiased, _ = coverage(3, 60, 128, 8)
    assert 0.93 <= covered <= 0.97
    covered, _, plugin = coverage(3, 60, 128, 32)
    assert 0.93 <= covered <= 0.97
    assert unbiased <= plugin


def test_intervals_cover_with_few_genes():
    covered, _, _ = coverage(4, 100, 24, 16)
    assert 0.92 <= covered <= 0.98


def wrong(call, *parts):
    with pytest.raises(pp.InputError) as caught:
        call()
    for part in parts:
        assert part in str(caught.value)


def test_what_cannot_be_is_refused():
    table = simulate_history(3, 32, 4, seed=0).table
    a, b, _ = table.models
    wrong(lambda: distance_intervals(table, [(a, "family-0/model-9")]), "family-0/model-9", "did")
    wrong(lambda: distance_intervals(table, [(a, a)]), "two models")
    wrong(lambda: distance_intervals(table, []), "empty")
    wrong(lambda: distance_intervals(table, [a]), "two names")
    wrong(lambda: distance_intervals(table, method="tukey"), "tukey", "jackknife")
    wrong(lambda: distance_intervals(table, level=95), "level", "95")
    wrong(lambda: distance_intervals(table, floor=0), "floor")
    wrong(lambda: distance_intervals(table, estimator="best"), "best")
    wrong(lambda: distance_intervals(table.select(models=[a])), "1 model has no pair")
    wrong(lambda: distance_intervals("table"), "AlleleTable")
    few = table.select(genes=table.genes[:7])
    wrong(lambda: distance_intervals(few), "needs 8 genes", "there are 7", repr(a))
    single = simulate_history(3, 32, 1, seed=0).table
    wrong(lambda: distance_intervals(single), "two probes", "family-0/model")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert distance_intervals(single, estimator="plugin").pairs[0] == (a, b)


def test_the_command_writes_limits(tmp_path, capsys):
    history = simulate_history(3, 16, 4, seed=1)
    rows = history.table.to_frame()
    lines = [
        json.dumps({"model": model, "gene": gene, "completion": allele})
        for model, gene, allele, count in rows.itertuples(index=False)
        for _ in range(count)
    ]
    (tmp_path / "c.jsonl").write_text("\n".join(lines) + "\n")
    store, out, limits_file = (str(tmp_path / name) for name in ("store", "d.csv", "limits.csv"))
    assert main(["import", str(tmp_path / "c.jsonl"), "--store", store]) == 0
    call = ["distance", store, "-o", out, "--estimator", "unbiased"]
    assert main([*call, "--intervals", limits_file, "--level", "0.9"]) == 0
    assert "limits.csv" in capsys.readouterr().out
    written = pd.read_csv(limits_file)
    table = pp.AlleleTable.from_store(pp.SampleStore.open(store))
    expected = distance_intervals(table, level=0.9).to_frame()
    pd.testing.assert_frame_equal(written, expected, rtol=1e-14)
    for wrong_options, word in (
        (["--level", "0.9"], "--intervals"),
        (["--intervals", limits_file, "--seed", "1"], "bootstrap"),
        (["--intervals", str(tmp_path / "x.npz")], ".csv"),
        (["--intervals", out], "take the place"),
    ):
        assert main([*call, *wrong_options]) == 2
        assert word in capsys.readouterr().err
    assert main(["distance", store, "-o", out, "--index", "da", "--intervals", limits_file]) == 2
