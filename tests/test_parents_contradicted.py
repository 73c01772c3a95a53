"""Declared parents put to the bootstrap: the p-value against loops, truth kept, lies found."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

import pyphylo as pp
from pyphylo._parents_bootstrap import _p_value
from pyphylo.simulate import simulate_history

N = 200


def slow_p_value(seen, sample, genes):
    """One declared distance (first) and its rivals', by loops."""
    lags = [[row[0] - x for x in row] for row in sample.tolist()]
    means = [sum(column) / len(column) for column in zip(*lags, strict=True)]
    slack = math.sqrt(2 * math.log(math.log(genes)))
    observed = [seen[0] - x for x in seen]
    reached = 0
    for row in lags:
        best = 0.0
        for k, (lag, mean) in enumerate(zip(row, means, strict=True)):
            spread = math.sqrt(sum((other[k] - mean) ** 2 for other in lags) / len(lags))
            clearly_farther = observed[k] < -slack * spread
            best = max(best, lag - mean + (observed[k] if clearly_farther else 0.0))
        reached += best >= max(observed) - 1e-12
    return (1 + reached) / (1 + len(lags))


@pytest.mark.parametrize("seed", range(5))
def test_p_value_equals_loops(seed):
    rng = np.random.default_rng(seed)
    seen = rng.uniform(0.2, 0.5, 6)
    sample = seen + rng.normal(0, 0.08, (60, 6))
    assert _p_value(seen, sample, 128) == slow_p_value(seen, sample, 128)


def test_p_values_of_a_true_hypothesis_are_not_too_small():
    """The parent ties with its rivals: at level 0.1 about a tenth is rejected, or fewer."""
    rng = np.random.default_rng(1)
    p = []
    for _ in range(300):
        genes = rng.normal(0.3, 0.5, (128, 5))
        weights = rng.multinomial(128, np.full(128, 1 / 128), N) / 128
        p.append(_p_value(genes.mean(axis=0), weights @ genes, 128))
    assert 0.02 < np.mean(np.array(p) <= 0.1) < 0.14


def test_replicates_without_a_value_say_nothing():
    seen = np.array([0.5, 0.1])
    sample = np.array([[0.5, 0.1], [np.nan, 0.1], [0.52, 0.12], [0.48, np.nan]])
    assert _p_value(seen, sample, 10) == 1 / 5
    assert math.isnan(_p_value(np.array([np.nan, 0.1]), sample, 10))


@pytest.fixture(scope="module")
def lies():
    """A history with true declarations but for some childless models, and these."""
    made = simulate_history(60, 128, seed=5, living=0.7, declared=1.0)
    metadata = made.metadata.set_index("model")
    parents = set(metadata["base_model"].dropna())
    childless = [m for m in made.models if m not in parents and made.parents[m] is not None]
    lied = {}
    for model in childless[:4]:
        # Someone far up or beside the line: a declared child of theirs is nearer to neither.
        others = [m for m in made.models if m not in lied and m != made.parents[model]]
        D = pp.nei_distance(made.table)
        lied[model] = max((m for m in others if m != model), key=lambda m: D[model, m])
        metadata.loc[model, "base_model"] = lied[model]
    return made, metadata.reset_index(), lied


def test_lies_are_found_and_truth_is_kept(lies):
    made, metadata, lied = lies
    frame = pp.contradicted_parents(made.table, metadata, n=2000)
    assert set(lied) <= set(frame["model"])
    assert (frame["q_value"] <= 0.05).all()
    assert (frame["distance_nearest"] < frame["distance_declared"]).all()
    # A true pair may fall only to a true child of the model, whose own declaration is a lie.
    for row in frame.itertuples():
        if row.model not in lied:
            assert row.nearest in lied
            assert made.parents[row.nearest] == row.model


def test_all_pairs_on_request(lies):
    made, metadata, _ = lies
    frame = pp.contradicted_parents(made.table, metadata, n=N, alpha=1)
    assert list(frame.columns) == [
        "model", "base_model", "nearest", "p_value", "distance_declared", "distance_nearest",
        "q_value",
    ]  # fmt: skip
    declared = metadata.set_index("model")["base_model"].dropna()
    assert dict(zip(frame["model"], frame["base_model"], strict=True)) == declared.to_dict()
    assert frame["q_value"].is_monotonic_increasing
    assert (frame["q_value"] >= frame["p_value"]).all()
    D = pp.nei_distance(made.table)
    for row in frame.itertuples():
        assert row.distance_declared == D[row.model, row.base_model]
        assert row.distance_nearest == D[row.model, row.nearest]
    pd.testing.assert_frame_equal(
        frame, pp.contradicted_parents(made.table, metadata, n=N, alpha=1), check_exact=True
    )


def test_blocks_of_children_change_nothing(lies, monkeypatch):
    made, metadata, _ = lies
    whole = pp.contradicted_parents(made.table, metadata, n=50, alpha=1)
    monkeypatch.setattr("pyphylo._parents_bootstrap._TOGETHER", 7)
    parts = pp.contradicted_parents(made.table, metadata, n=50, alpha=1)
    pd.testing.assert_frame_equal(whole, parts, check_exact=True)


def table_of(words):
    return pp.AlleleTable.from_records(
        [(m, f"g{g}", w) for m, ws in words.items() for g in range(3) for w in ws]
    )


def test_candidates_kin_and_parents_elsewhere():
    table = table_of({"p": "aaab", "c": "aabb", "sister": "aabb", "x": "abbb", "y": "cccc"})
    rows = {"c": {"base_model": "p"}, "y": {"base_model": "gone"}}
    frame = pp.contradicted_parents(table, rows, n=20, alpha=1)
    assert frame[["model", "nearest"]].to_numpy().tolist() == [["c", "sister"]]
    frame = pp.contradicted_parents(table, rows, ["p", "x"], n=20, alpha=1)
    assert frame["nearest"].tolist() == ["x"]
    rows["sister"] = {"base_model": "p"}
    frame = pp.contradicted_parents(table, rows, n=20, alpha=1)
    assert set(frame["nearest"]) == {"x"}
    frame = pp.contradicted_parents(table, rows, ["p"], n=20, alpha=1)
    assert frame["nearest"].isna().all()
    assert frame["p_value"].tolist() == [1.0, 1.0]
    assert len(pp.contradicted_parents(table, {"c": {"base_model": "gone"}}, n=20)) == 0


def test_too_few_replicates_warn(lies):
    made, metadata, _ = lies
    with pytest.warns(pp.PyphyloWarning, match="9 replicates cannot show .* take n="):
        assert len(pp.contradicted_parents(made.table, metadata, n=9)) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"alpha": 0}, "alpha must be above 0 and at most 1, not 0"),
        ({"n": 0}, "n must be a whole number of at least 1"),
        ({"candidates": ["zz"]}, "candidate 'zz' is not in the table"),
        ({"metadata": {"p": {"base_model": "p"}}}, "cannot descend from itself"),
        ({"table": ()}, "needs an AlleleTable, not tuple"),
    ],
)
def test_refused(options, message):
    arguments = {"table": table_of({"p": "ab", "c": "aa"}), "metadata": {"p": {}}, **options}
    with pytest.raises(pp.InputError, match=message):
        pp.contradicted_parents(**arguments)
