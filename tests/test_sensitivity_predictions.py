"""What each setting moves of predictions: against predictions made one by one, and refusals."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.plot import sensitivity_figure
from pyphylo.predict import BenchmarkRegressor
from pyphylo.stats._predicted import prediction_measures

QUICK = {"chars": [2], "draws": 1, "progress": False}
PREDICTIONS = [
    "prediction_mae", "prediction_mae_change", "prediction_r", "prediction_r_change",
    "predictions_moved",
]  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore:.*has only .* score:pyphylo.PyphyloWarning")


@pytest.fixture(scope="module")
def world():
    """A simulated history, two benchmarks that drift down the same tree, and families."""
    history = pp.simulate.simulate_history(
        24, 48, 16, family_size=1000, living=1.0, drift=(0.05, 0.3), seed=5
    )
    random = np.random.default_rng(6)
    level: dict[str, np.ndarray] = {}
    for name in history.nodes.node:  # parents first
        parent = history.parents[name]
        start = np.zeros(2) if parent is None else level[parent]
        level[name] = start + random.normal(0, 0.5, 2)
    scores = pd.DataFrame(
        {name: expit(level[name]) for name in history.models}, index=["mmlu", "gsm8k"]
    ).T
    scores.iloc[3, 1] = np.nan
    scores.iloc[5] = np.nan
    models = sorted(history.models)
    family = [f"family {k // 4}" for k in random.permutation(24)]
    return history.table, scores, pd.DataFrame({"model": models, "family": family})


@pytest.fixture(scope="module")
def found(world):
    table, scores, metadata = world
    return pp.sensitivity(
        table,
        indices=["jsd"],
        probes=[2],
        metadata=metadata,
        scores=scores,
        **QUICK,
    )


def by_hand(D, scores, groups):
    """Leave-group-out predictions with the estimator itself."""
    names = [name for name in D.ids if scores.loc[name].notna().any()]
    told = pd.DataFrame(np.nan, index=names, columns=scores.columns)
    for left in sorted({groups[name] for name in names}):
        new = [name for name in names if groups[name] == left]
        train = [name for name in names if groups[name] != left]
        rows, columns = ([D.ids.index(m) for m in x] for x in (new, train))
        model = BenchmarkRegressor().fit(
            D.filter(train).values, scores.loc[train], groups=[groups[m] for m in train]
        )
        told.loc[new] = model.predict(D.values[np.ix_(rows, columns)])
    return told


def test_predictions_are_those_of_the_estimator(world, found):
    table, scores, metadata = world
    family = metadata.set_index("model").family.to_dict()
    told = {
        "nei": by_hand(pp.nei_distance(table), scores, family),
        "jsd": by_hand(pp.genetic_distance(table, index="jsd"), scores, family),
    }
    truth = scores.loc[told["nei"].index]
    known = truth.notna()
    expected = {}
    for name, each in told.items():
        frame = each.where(known)
        expected[name] = {
            "predictions_moved": (frame - told["nei"]).abs().mean().mean(),
            "prediction_mae": (frame - truth).abs().mean().mean(),
            "prediction_r": np.mean([frame[c].corr(truth[c]) for c in truth]),
        }
    at = found.set_index(["kind", "measure"]).estimate
    for kind, name in (("baseline", "nei"), ("index", "jsd")):
        for measure, value in expected[name].items():
            assert at[kind, measure] == pytest.approx(value, abs=1e-9), (kind, measure)
        for measure in ("prediction_mae", "prediction_r"):
            change = expected[name][measure] - expected["nei"][measure]
            assert at[kind, f"{measure}_change"] == pytest.approx(change, abs=1e-9)


def test_every_setting_has_limits_and_fewer_probes_move_more(found):
    rows = found[found.measure.isin(PREDICTIONS)]
    assert sorted(rows.measure.unique()) == PREDICTIONS
    assert len(rows) == 5 * found.drop_duplicates(["kind", "value"]).shape[0]
    assert np.isfinite(rows[["estimate", "se", "low", "high"]]).all(axis=None)
    at = rows.set_index(["kind", "measure"]).estimate
    assert at["baseline", "predictions_moved"] == 0
    assert at["probes", "predictions_moved"] > at["genes", "predictions_moved"] > 0
    assert at["baseline", "prediction_r"] > 0.2  # there is something to predict


def test_without_scores_nothing_else_changes(world, found):
    table, _, metadata = world
    without = pp.sensitivity(table, indices=["jsd"], probes=[2], metadata=metadata, **QUICK)
    rest = found[~found.measure.isin(PREDICTIONS)].reset_index(drop=True)
    pd.testing.assert_frame_equal(without, rest)


def test_groups_are_the_same_under_every_setting_and_may_be_named(world):
    table, scores, _ = world
    halves = {name: str(i % 5) for i, name in enumerate(sorted(table.models))}
    options = {"indices": [], "probes": [], **QUICK}
    one = pp.sensitivity(table, scores=scores, groups=halves, **options)
    told = by_hand(pp.nei_distance(table), scores, halves)
    truth = scores.loc[told.index]
    at = one.set_index(["kind", "measure"]).estimate
    mae = (told - truth).abs().mean().mean()
    assert at["baseline", "prediction_mae"] == pytest.approx(mae, abs=1e-9)
    percent = pp.sensitivity(table, scores=100 * scores, unit="percent", groups=halves, **options)
    pd.testing.assert_frame_equal(one, percent, rtol=1e-3, atol=1e-4)
    series = pp.sensitivity(table, scores=scores.mmlu, groups=halves, **options)
    mapping = pp.sensitivity(table, scores=scores.mmlu.dropna().to_dict(), groups=halves, **options)
    pd.testing.assert_frame_equal(series, mapping)


def test_a_store_of_fewer_models_is_compared_on_those(world):
    table, scores, metadata = world
    few = table.select(models=list(table.models)[:16])
    options = {"indices": [], "probes": [], "metadata": metadata, **QUICK}
    found = pp.sensitivity({"a": table, "b": few}, scores=scores, **options)
    at = found.set_index(["kind", "measure"]).estimate
    assert at["store", "predictions_moved"] == 0  # the same samples, the same models
    assert at["store", "prediction_mae"] != at["baseline", "prediction_mae"]
    family = metadata.set_index("model").family
    only = [name for name in table.models if family[name] == family.iloc[0]]
    with pytest.raises(InputError, match=r"store 'b': all models with scores are of one group"):
        pp.sensitivity({"a": table, "b": table.select(models=only)}, scores=scores, **options)


@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 1000))
def test_measures_of_predictions(n, k, seed):
    random = np.random.default_rng(seed)
    truth, base, own = random.random((3, n, k))
    truth[random.random((n, k)) < 0.3] = np.nan
    base[np.isnan(truth)] = np.nan
    moved, r, r_change, mae, mae_change = prediction_measures(truth, base, own)
    frames = [pd.DataFrame(x).where(~np.isnan(truth)) for x in (truth, base, own)]
    with np.errstate(all="ignore"):
        expected = (frames[2] - frames[1]).abs().mean().mean()
        error = (frames[2] - frames[0]).abs().mean().mean()
        before = (frames[1] - frames[0]).abs().mean().mean()
    for value, other in ((moved, expected), (mae, error), (mae_change, error - before)):
        assert value == pytest.approx(other, nan_ok=True, abs=1e-12)
    enough = [c for c in range(k) if frames[0][c].notna().sum() > 2]
    if not enough:
        assert np.isnan([r, r_change]).all()
        return
    assert r == pytest.approx(np.mean([frames[2][c].corr(frames[0][c]) for c in enough]))
    was = np.mean([frames[1][c].corr(frames[0][c]) for c in enough])
    assert r_change == pytest.approx(r - was, abs=1e-9)


def test_no_scores_say_nothing():
    assert np.isnan(prediction_measures(*np.empty((3, 4, 0)))).all()


def test_refusals(world):
    table, scores, metadata = world
    bad = scores.copy()
    bad.iloc[0, 0] = 1.4
    name = table.models[0]
    for match, options in (
        ("outside", {"scores": bad}),
        ("no model with scores is in the matrix", {"scores": {"nobody": 0.5}}),
        ("not numbers", {"scores": pd.DataFrame({"x": ["a"]}, index=[name])}),
        ("must be a DataFrame", {"scores": [0.5]}),
        ("'fraction' or 'percent'", {"scores": scores, "unit": "points"}),
        ("so it is of fractions", {"scores": scores, "unit": "percent"}),
        ("groups must be", {"scores": scores, "groups": "family"}),
        ("no group for", {"scores": scores, "groups": {name: "x"}}),
        ("all models with scores are of one group", {"scores": {name: 0.5}, "groups": "model"}),
        ("give scores too", {"groups": "model"}),
    ):
        with pytest.raises(InputError, match=match):
            pp.sensitivity(table, **QUICK, **options)
    known = metadata.iloc[1:]
    with (  # clades instead of families, and all models here are one
        pytest.warns(PyphyloWarning, match="name no family of"),
        pytest.raises(InputError, match="of one group \\('clade 1'\\)"),
    ):
        pp.sensitivity(table, indices=[], probes=[], metadata=known, scores=scores, **QUICK)


def test_the_figure_has_panels_of_predictions(found):
    figure = sensitivity_figure(found)
    titles = [ax.get_title() for ax in figure.axes]
    assert [t.split("\n")[1] for t in titles if t.startswith("predictions")] == [
        "r with scores", "error (MAE)", "mean change",
    ]  # fmt: skip
    error, change = figure.axes[-2:]
    assert error.get_xlim()[1] == change.get_xlim()[1] < 1
    top = found[found.measure.isin(["prediction_mae", "predictions_moved"])].high.max()
    assert top <= change.get_xticks()[-1]


def test_command(world, tmp_path, capsys):
    table, scores, metadata = world
    table.save(tmp_path / "t.npz")
    lab = {name: f"lab {k % 3}" for k, name in enumerate(table.models)}
    metadata.assign(lab=metadata.model.map(lab)).to_csv(tmp_path / "models.csv", index=False)
    (100 * scores).rename_axis("model").to_csv(tmp_path / "scores.csv")
    words = [
        "sensitivity", tmp_path / "t.npz", "--chars", "2", "--indices", "nei", "--probes", "4",
        "--draws", "1", "--metadata", tmp_path / "models.csv", "-o", tmp_path / "o.csv",
        "--figure", tmp_path / "o.svg",
    ]  # fmt: skip
    words = [str(word) for word in words]
    given = ["--scores", str(tmp_path / "scores.csv"), "--unit", "percent"]
    assert main([*words, *given]) == 0
    shown = capsys.readouterr().out
    assert "moved" in shown
    assert "MAE" in shown
    frame = pd.read_csv(tmp_path / "o.csv")
    direct = pp.sensitivity(
        table,
        indices=[],
        probes=[4],
        metadata=metadata,
        scores=scores,
        **QUICK,
    )
    np.testing.assert_allclose(frame.estimate, direct.estimate, atol=1e-4)
    assert "r with scores" in (tmp_path / "o.svg").read_text(encoding="utf-8")
    assert main([*words, *given, "--groups", "lab", "--target", "mmlu", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["rows"]
    single = pp.sensitivity(table, indices=[], probes=[4], scores=scores.mmlu, groups=lab, **QUICK)
    mae = [row["estimate"] for row in rows if row["measure"] == "prediction_mae"]
    assert mae == pytest.approx(
        single[single.measure == "prediction_mae"].estimate.tolist(), abs=1e-4
    )
    for options, match in (
        (["--groups", "model"], "give --scores FILE too"),
        (["--scores", str(tmp_path / "none.csv")], "none.csv"),
        ([*given, "--target", "arc"], "arc"),
        ([*given[:2]], "percent"),
        ([*given, "--groups", "nothing"], "no model has a value"),
    ):
        assert main([*words, *options]) == 2
        assert match in capsys.readouterr().err
