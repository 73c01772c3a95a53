"""Evaluation: folds, leaks, baselines, metrics against libraries, what is refused."""

import functools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import pearsonr, spearmanr
from test_predict_estimators import family_world

import pyphylo as pp
from pyphylo.predict import BenchmarkRegressor, clade_groups, score_metrics
from pyphylo.predict._intervals import conformal_radius, held_out_line, line, others_mean
from pyphylo.predict.groups import join_groups, pack_folds

QUICK = {"estimators": {}, "n_bootstrap": 0}


@pytest.fixture(scope="module")
def world():
    distances, scores, family = family_world()
    ids = [f"m{i}" for i in range(len(scores))]
    frame = pd.DataFrame(scores, index=ids, columns=["x", "y"])
    frame.loc["m7", "y"] = np.nan
    families = {name: f"family {k}" for name, k in zip(ids, family, strict=True)}
    return pp.DistanceMatrix(distances, ids), frame, families


def test_folds_hold_out_whole_families_and_lose_no_score(world):
    D, scores, families = world
    estimators = {"ours": BenchmarkRegressor(stiffness=(1.0,))}
    frame = pp.cross_validate_scores(
        D, scores, groups=families, estimators=estimators, n_bootstrap=20
    )
    assert set(frame.estimator) == {"ours", "fold mean", "nearest relative"}
    ours = frame[frame.estimator == "ours"]
    assert len(ours) == int(scores.notna().sum().sum()) == 119
    assert (ours.fold == ours.model.map(families)).all()
    where = zip(ours.model, ours.target, strict=True)
    assert ours.true.tolist() == [scores.loc[model, target] for model, target in where]
    assert (ours.lower < ours.predicted).all()
    assert (ours.predicted < ours.upper).all()
    train = [m for m in D.ids if families[m] != "family 2"]
    new = [m for m in D.ids if families[m] == "family 2"]
    by_hand = BenchmarkRegressor(stiffness=(1.0,)).fit(
        D.filter(train).values, scores.loc[train], groups=[families[m] for m in train]
    )
    rows = [[D.ids.index(m) for m in names] for names in (new, train)]
    expected = by_hand.predict(D.values[np.ix_(*rows)])
    found = ours[(ours.fold == "family 2") & (ours.target == "x")].predicted
    np.testing.assert_allclose(found, expected[:, 0])
    again = pp.cross_validate_scores(
        D, scores, groups=families, estimators=estimators, n_bootstrap=20
    )
    assert frame.equals(again)
    pd.testing.assert_frame_equal(
        pd.DataFrame(frame.attrs["metrics"]), pd.DataFrame(again.attrs["metrics"])
    )


def test_a_bar_shows_how_far_it_is(world, capsys):
    D, scores, families = world
    estimators = {"ours": BenchmarkRegressor(stiffness=(1.0,))}
    settings_ = {"groups": families, "estimators": estimators, "n_bootstrap": 0}
    pp.cross_validate_scores(D, scores, progress=True, **settings_)
    assert "left out: 100%" in capsys.readouterr().err
    pp.cross_validate_scores(D, scores, progress=False, **settings_)
    assert capsys.readouterr().err == ""


def test_a_benchmark_must_be_known_outside_of_each_group(world):
    D, scores, families = world
    inside = [name for name in D.ids if families[name] == "family 1"]
    one = scores.assign(z=scores["x"].where(scores.index.isin([*inside, "m0", "m2"])))
    with pytest.raises(pp.InputError, match=r"'z' has 2 scores of models outside .*'family 1'"):
        pp.cross_validate_scores(D, one, groups=families, **QUICK)


def test_baselines_by_hand(world):
    D, scores, _ = world
    parents = {"m6": "m0", "m12": "m1"}
    sizes = {name: 1.0 + i for i, name in enumerate(D.ids)}
    frame = pp.cross_validate_scores(
        D, scores[["x"]], groups="model", base_models=parents, params_b=sizes, **QUICK
    ).set_index(["estimator", "model"])
    x = scores["x"]
    assert frame.predicted["fold mean", "m3"] == pytest.approx(x.drop("m3").mean())
    values = D.values.copy()
    np.fill_diagonal(values, np.inf)
    closest = D.ids[values[3].argmin()]
    assert frame.predicted["nearest relative", "m3"] == x[closest]
    assert frame.predicted["same base model", "m6"] == x["m0"]
    assert np.isnan(frame.predicted["same base model", "m5"])
    rest = [name for name in D.ids if name != "m3"]
    slope, level = np.polyfit(np.log([sizes[name] for name in rest]), x[rest], 1)
    assert frame.predicted["parameters only", "m3"] == pytest.approx(slope * np.log(4) + level)


def test_siblings_stand_in_for_a_base_model_without_a_score(world):
    D, scores, _ = world
    x = scores[["x"]].copy()
    x.loc["m0"] = np.nan
    frame = pp.cross_validate_scores(
        D, x, groups="model", base_models={"m6": "m0", "m12": "m0", "m18": "m0"}, **QUICK
    ).set_index(["estimator", "model"])
    expected = (x.loc["m12", "x"] + x.loc["m18", "x"]) / 2
    assert frame.predicted["same base model", "m6"] == pytest.approx(expected)


def test_duplicates_across_folds_are_named_or_joined(world):
    D, scores, families = world
    with pytest.warns(pp.PyphyloWarning, match=r"1 pairs .*m0 = m1"):
        frame = pp.cross_validate_scores(D, scores, groups=families, same=[("m0", "m1")], **QUICK)
    assert frame.attrs["leaks"] == [["m0", "m1"]]
    joined = pp.cross_validate_scores(
        D, scores, groups=families, same=[("m0", "m1")], join_leaks=True, **QUICK
    )
    folds = joined.set_index("model").fold
    assert set(folds["m0"]) == set(folds["m1"]) == {"family 0"}
    values = D.values.copy()
    values[0, 4] = values[4, 0] = 0.0
    with pytest.warns(pp.PyphyloWarning, match="m0 = m4"):
        pp.cross_validate_scores(pp.DistanceMatrix(values, D.ids), scores, groups=families, **QUICK)


def test_a_similarity_matrix_is_taken_as_one(world):
    D, scores, families = world
    S = pp.SimilarityMatrix(np.exp(-D.values), D.ids)
    settings_ = {"groups": families, "n_bootstrap": 0, "intervals": False}
    one, two = (
        pp.cross_validate_scores(
            M, scores, estimators={"ours": BenchmarkRegressor(stiffness=(1.0,))}, **settings_
        )
        for M in (D, S)
    )
    # libsvm stops within 1e-3 of its optimum
    np.testing.assert_allclose(one.predicted, two.predicted, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s * 100, "'x' of .* lies outside"),
        (lambda s: pd.concat([s, s.iloc[:1] / 2]), "different scores of the same model: 'm0'"),
        (lambda s: s.rename(index=lambda name: name + "?"), "no model with scores is in"),
        (lambda s: s.assign(z=np.nan), "'z' has no score"),
        (lambda s: s.assign(z="good"), "'z' are not numbers"),
        (lambda s: [0.5], "not list"),
    ],
)
def test_scores_that_cannot_be_used_are_named(world, change, message):
    D, scores, families = world
    with pytest.raises(pp.InputError, match=message):
        pp.cross_validate_scores(D, change(scores), groups=families, **QUICK)


def test_other_bad_calls_are_named(world):
    D, scores, families = world
    run = functools.partial(pp.cross_validate_scores, D, **QUICK)
    with pytest.raises(pp.InputError, match="of one group"):
        run(scores, groups=dict.fromkeys(D.ids, "all"))
    with pytest.raises(pp.InputError, match="no group for 'm5'"):
        run(scores, groups={k: v for k, v in families.items() if k != "m5"})
    with pytest.raises(pp.InputError, match="clade:HEIGHT"):
        run(scores, groups="clade:high")
    with pytest.raises(pp.InputError, match="no score of 'x' exceeds 1"):
        run(scores, groups=families, unit="percent")
    with pytest.raises(pp.InputError, match="no pair"):
        run(scores, groups=families, same=[("m0", "who")])
    with pytest.raises(pp.InputError, match="DistanceMatrix"):
        pp.cross_validate_scores(D.values, scores)


def test_warnings_name_what_is_left_out(world):
    D, scores, families = world
    with pytest.warns(pp.PyphyloWarning, match="not in the matrix are not used: 'stranger'"):
        pp.cross_validate_scores(
            D,
            pd.concat([scores, pd.DataFrame({"x": [0.5]}, index=["stranger"])]),
            groups=families,
            **QUICK,
        )
    few = scores.copy()
    few.iloc[5:, 1] = np.nan
    with pytest.warns(pp.PyphyloWarning, match="'y' has only 5 scores"):
        pp.cross_validate_scores(D, few, groups="model", **QUICK)


def test_percent_and_mappings_are_the_same_scores(world):
    D, scores, families = world
    plain = pp.cross_validate_scores(D, scores, groups=families, **QUICK)
    percent = pp.cross_validate_scores(D, scores * 100, groups=families, unit="percent", **QUICK)
    nested = pp.cross_validate_scores(D, scores.to_dict("index"), groups=families, **QUICK)
    np.testing.assert_allclose(plain.predicted, percent.predicted)
    assert plain.equals(nested)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(3, 40), seed=st.integers(0, 99))
def test_metrics_are_scipys(n, seed):
    random = np.random.default_rng(seed)
    true, predicted = random.random(n), random.random(n).round(1)
    frame = pd.DataFrame(
        {
            "target": "t", "estimator": "e", "repeat": 0, "fold": "f",
            "true": true, "predicted": predicted,
            "lower": predicted - 0.2, "upper": predicted + 0.2,
        }
    )  # fmt: skip
    row = score_metrics(frame, level=0.8, n_bootstrap=50).iloc[0]
    if np.ptp(predicted) > 0:
        assert row.r == pytest.approx(pearsonr(true, predicted).statistic)
        assert row.spearman == pytest.approx(spearmanr(true, predicted).statistic)
        assert row.r_lower <= row.r_upper
    assert row.mae == pytest.approx(np.abs(true - predicted).mean())
    assert row.rmse == pytest.approx(np.sqrt(((true - predicted) ** 2).mean()))
    outside = [max(p - 0.2 - t, t - p - 0.2, 0) for t, p in zip(true, predicted, strict=True)]
    assert row.coverage == pytest.approx(np.mean([o == 0 for o in outside]))
    assert row.interval_score == pytest.approx(0.4 + 2 / 0.2 * np.mean(outside))


@settings(max_examples=50, deadline=None)
@given(errors=st.lists(st.floats(-5, 5), min_size=1, max_size=60), level=st.floats(0.05, 0.95))
def test_conformal_radius_leaves_out_few_enough(errors, level):
    radius = conformal_radius(np.array(errors), level)
    inside = sum(abs(e) <= radius for e in errors)
    assert inside >= min(len(errors), np.ceil((len(errors) + 1) * level))
    assert radius in [abs(e) for e in errors]


def test_lines_are_of_the_other_folds():
    random = np.random.default_rng(0)
    x = random.normal(size=60)
    folds = np.repeat(np.arange(3), 20)
    y = 1.5 * x + 0.3
    assert line(x, y, folds) == (pytest.approx(1.5), pytest.approx(0.3))
    assert line(x, -y, folds)[0] == 1.0
    assert line(x, 5 * y, folds)[0] == 2.0
    assert line(x[:5], y[:5], folds[:5]) == (1.0, pytest.approx(y[:5].mean()))
    y[folds == 0] += 9
    moved = held_out_line(x, y, folds, folds)
    np.testing.assert_allclose(moved[folds == 0], 1.5 * x[folds == 0] + 0.3)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 6), min_size=20, max_size=60), st.integers(0, 999))
def test_line_is_that_of_random_intercepts(groups, seed):
    """Against weights read off the inverse of the errors' covariance within each group."""
    random = np.random.default_rng(seed)
    groups = np.array(groups)
    x = random.normal(size=len(groups))
    y = 1.4 * x + 0.1 * random.normal(size=len(groups)) + 0.1 * groups
    weight = np.zeros(len(x))
    for name in set(groups):
        inside = np.flatnonzero(groups == name)
        shared = np.full((len(inside), len(inside)), 0.2) + 0.8 * np.eye(len(inside))
        weight[inside] = np.linalg.solve(shared, np.ones(len(inside)))
    slope, intercept = np.polyfit(x, y, 1, w=np.sqrt(weight))
    found = line(x, y, groups)
    assert found[0] == pytest.approx(np.clip(slope, 1, 2))
    if 1 < slope < 2:
        assert found[1] == pytest.approx(intercept)
    holes = np.append(y, np.nan), np.append(x, 1.0), np.append(groups, 0)
    assert line(holes[1], holes[0], holes[2]) == found


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=30), st.integers(0, 999))
def test_means_of_the_other_folds(folds, seed):
    random = np.random.default_rng(seed)
    folds = np.array(folds)
    y = np.where(random.random(len(folds)) < 0.3, np.nan, random.normal(size=len(folds)))
    for i, found in enumerate(others_mean(y, folds)):
        rest = [v for v, fold in zip(y, folds, strict=True) if fold != folds[i] and v == v]
        assert found == pytest.approx(np.mean(rest)) if rest else np.isnan(found)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 8), min_size=2, max_size=50), st.integers(2, 6))
def test_packing_keeps_groups_whole(groups, n_folds):
    groups = np.array(groups)
    folds = pack_folds(groups, n_folds)
    for name in set(groups):
        assert len(set(folds[groups == name])) == 1
    assert len(set(folds)) == min(n_folds, len(set(groups)))


def test_clades_and_joined_groups():
    D = np.array([[0, 0.1, 1, 1], [0.1, 0, 1, 1], [1, 1, 0, 0.3], [1, 1, 0.3, 0]])
    assert [len(set(clade_groups(D, cut))) for cut in (0.05, 0.2, 0.5, 2)] == [4, 3, 2, 1]
    joined = join_groups(np.array(["d", "c", "b", "a"], dtype=object), [(0, 1), (1, 3)])
    assert joined.tolist() == ["a", "a", "b", "a"]
