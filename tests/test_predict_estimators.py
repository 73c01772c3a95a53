"""The estimators: scikit-learn's checks, each part against a library's, bad input."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVR
from sklearn.utils.estimator_checks import parametrize_with_checks

from pyphylo.errors import InputError
from pyphylo.predict import BenchmarkRegressor, ReferenceRegressor
from pyphylo.predict import _ensemble as ensemble

OUTSIDE = "its y lies outside [0, 1], where no score is"
OUTSIDE_CHECKS = (
    "check_dict_unchanged",
    "check_dont_overwrite_parameters",
    "check_dtype_object",
    "check_estimators_dtypes",
    "check_estimators_fit_returns_self",
    "check_estimators_overwrite_params",
    "check_f_contiguous_array_estimator",
    "check_fit2d_predict1d",
    "check_fit_check_is_fitted",
    "check_fit_idempotent",
    "check_fit_score_takes_y",
    "check_methods_sample_order_invariance",
    "check_methods_subset_invariance",
    "check_n_features_in",
    "check_n_features_in_after_fitting",
    "check_readonly_memmap_input",
    "check_regressor_data_not_an_array",
    "check_regressor_multioutput",
    "check_regressors_int",
    "check_regressors_no_decision_function",
    "check_regressors_train",
    "check_supervised_y_2d",
)


def family_world(n=60, families=6, benchmarks=2, seed=0):
    """Models around family centres; distances, scores that follow a direction, families."""
    random = np.random.default_rng(seed)
    family = np.arange(n) % families
    place = random.normal(size=(families, 4))[family] + 0.5 * random.normal(size=(n, 4))
    distances = np.sqrt(((place[:, None] - place[None]) ** 2).sum(axis=2)) / 4
    scores = expit(place @ random.normal(size=(4, benchmarks)) * 0.5)
    return distances, scores, family


@parametrize_with_checks(
    [BenchmarkRegressor(link="identity"), BenchmarkRegressor("identity", "similarity")]
)
def test_identity_link_passes_every_check(estimator, check):
    check(estimator)


def outside_checks(estimator):
    return dict.fromkeys(OUTSIDE_CHECKS, OUTSIDE)


@parametrize_with_checks(
    [BenchmarkRegressor(), ReferenceRegressor()], expected_failed_checks=outside_checks
)
def test_scores_only_estimators_pass_checks_of_scores(estimator, check):
    check(estimator)


def test_adam_is_torchs():
    torch = pytest.importorskip("torch")
    random = np.random.default_rng(1)
    sources, y = random.normal(size=(20, 5)), random.random(20)
    start = np.random.RandomState(3)
    first = np.append(start.uniform(-1, 1, 5), start.uniform(-(5**-0.5), 5**-0.5))
    weights = torch.tensor(first, requires_grad=True)
    steps = torch.optim.Adam([weights], lr=0.02, weight_decay=0.05)
    design = torch.tensor(np.column_stack([sources, np.ones(20)]))
    for _ in range(200):
        steps.zero_grad()
        ((torch.sigmoid(design @ weights) - torch.tensor(y)) ** 2).mean().backward()
        steps.step()
    ours = ReferenceRegressor(alpha=0.05, learning_rate=0.02, n_steps=200)
    found = ours._adam(sources, y, np.random.RandomState(3))
    # Xavier's bound for five inputs and one output is 1
    np.testing.assert_allclose(found, weights.detach().numpy(), rtol=1e-9, atol=1e-12)


def test_reference_is_its_seed():
    distances, scores, _ = family_world()
    one, again, other = (
        ReferenceRegressor(random_state=seed).fit(distances, scores[:, 0]).predict(distances)
        for seed in (1, 1, 2)
    )
    assert (one == again).all()
    assert not np.allclose(one, other)


@settings(max_examples=25, deadline=None)
@given(n=st.integers(4, 30), r=st.integers(2, 40), seed=st.integers(0, 999))
def test_ridge_is_sklearns_in_either_space(n, r, seed):
    random = np.random.default_rng(seed)
    A, y = random.normal(size=(n, r)), random.normal(size=(n, 2))
    centred = ensemble._Centred(A)
    unit = (centred.rows**2).sum() / n
    expected = Ridge(0.1 * unit, solver="svd").fit(A, y)
    np.testing.assert_allclose(
        centred.ridge(y - y.mean(axis=0), 0.1), expected.coef_.T, rtol=1e-7, atol=1e-9
    )


def test_average_is_the_mean_of_five_library_fits():
    distances, scores, _ = family_world(40)
    S, y = np.exp(-distances), scores[:, 0]
    train, new = np.arange(30), np.arange(30, 40)
    rows = ensemble.Panel(distances, S, np.zeros((40, 0)))
    found = ensemble.fit_average(
        rows.take(train, train),
        S[:30, :30],
        y[:30, None],
        (0.5, 2.0),
        100,
        np.random.RandomState(0),
    ).predict(rows.take(new, train))[:, :, 0]
    for i, factor in enumerate((0.5, 2.0)):
        parts = []
        for penalty, F in ((0.01, distances), (0.03, S)):
            A, B = F[:30, :30], F[30:, :30]
            unit = ((A - A.mean(axis=0)) ** 2).sum() / 30
            parts.append(Ridge(penalty * factor * unit).fit(A, y[:30]).predict(B))
            machine = SVR(C=1.5 / factor, gamma="scale").fit(
                A, (y[:30] - y[:30].mean()) / y[:30].std()
            )
            parts.append(machine.predict(B) * y[:30].std() + y[:30].mean())
        H = np.eye(30) - 1 / 30
        K = H @ S[:30, :30] @ H
        centred_new = (S[30:, :30] - S[:30, :30].mean(axis=0)) @ H
        kernel = KernelRidge(alpha=0.1 * factor * np.trace(K) / 30, kernel="precomputed")
        parts.append(kernel.fit(K, y[:30] - y[:30].mean()).predict(centred_new) + y[:30].mean())
        np.testing.assert_allclose(found[:, i], np.mean(parts, axis=0), rtol=1e-6)


def test_support_vectors_are_a_draw_where_there_are_many():
    distances, scores, family = family_world(90)
    small = BenchmarkRegressor(max_support=20, max_landmarks=15).fit(
        distances, scores, groups=family
    )
    assert len(small.landmarks_) == 15
    assert max(len(v.rows) for v in small._average.by_distance) <= 20
    again = clone(small).fit(distances, scores, groups=family)
    assert (small.predict(distances) == again.predict(distances)).all()


def test_beats_the_mean_on_families_left_out_and_covers():
    distances, scores, family = family_world(120, 10, seed=3)
    predicted, inside = np.full(scores.shape, np.nan), []
    for name in range(10):
        train, new = family != name, family == name
        model = BenchmarkRegressor().fit(
            distances[np.ix_(train, train)], scores[train], groups=family[train]
        )
        X = distances[np.ix_(new, train)]
        predicted[new] = model.predict(X)
        lower, upper = model.predict_interval(X, level=0.9)
        assert (lower < predicted[new]).all()
        assert (predicted[new] < upper).all()
        inside.append((lower <= scores[new]) & (scores[new] <= upper))
    assert np.abs(predicted - scores).mean() < 0.5 * np.abs(scores - scores.mean(axis=0)).mean()
    assert 0.8 <= np.concatenate(inside).mean() <= 0.99


def test_inner_predictions_never_saw_their_group():
    """Scores of a group changed: what the average says of it with it left out stays."""
    distances, scores, family = family_world()
    moved = scores.copy()
    moved[family == 2] = 1 - moved[family == 2]
    one, two = (
        BenchmarkRegressor(stiffness=(1.0,)).fit(distances, y, groups=family).raw_held_out_
        for y in (scores, moved)
    )
    np.testing.assert_array_equal(one[family == 2], two[family == 2])
    assert not np.allclose(one[family == 1], two[family == 1])


def test_strangers_are_straightened_in_full_and_copies_not_at_all():
    distances, scores, family = family_world()
    model = BenchmarkRegressor().fit(distances, scores, groups=family)
    # Each fold is a family: the nearest model of another one
    other = [distances[i, family != family[i]].min() for i in range(len(family))]
    assert model.reach_ == pytest.approx(np.median(other))

    def raw(X):
        return model._average.predict(model._panel(X, None))[:, 0]

    np.testing.assert_allclose(model.link_values(distances), raw(distances))
    far = np.maximum(distances, model.reach_)
    straight = raw(far) * model.slope_ + model.intercept_
    np.testing.assert_allclose(model.link_values(far), straight)
    half = distances.copy()
    np.fill_diagonal(half, model.reach_ / 2)
    half = np.maximum(half, model.reach_ / 2)
    middle = (raw(half) + raw(half) * model.slope_ + model.intercept_) / 2
    np.testing.assert_allclose(model.link_values(half), middle)
    assert not np.allclose(straight, raw(far))


def test_straightened_predictions_by_hand():
    """The line, from what was left out to what new models are given."""
    distances, scores, family = family_world(benchmarks=1)
    model = BenchmarkRegressor(stiffness=(1.0,)).fit(distances, scores[:, 0], groups=family)
    y, raw = logit(scores[:, 0]), model.raw_held_out_[:, 0]
    rest = np.array([y[family != name].mean() for name in family])
    # Six families of ten: all weigh the same
    slope = np.clip(np.polyfit(raw - rest, y, 1)[0], 1, 2)
    shift = y.mean() - slope * (raw - rest).mean()
    assert model.slope_[0] == pytest.approx(slope)
    far = np.maximum(distances, model.reach_)  # strangers: straightened in full
    average = model._average.predict(model._panel(far, None))[:, 0, 0]
    by_hand = expit(shift + slope * (average - y.mean()))
    np.testing.assert_allclose(model.predict(far), by_hand)


def test_weak_benchmarks_do_not_fall_to_the_mean_of_the_fold():
    """Family levels that nothing tells, and within families a weak signal.

    The mean of the others is low where a family is high: falling back to it ranks models
    worse than chance.
    """
    found, means = [], []
    for seed in range(4):
        distances, _, family = family_world(72, 6, seed=seed)
        random = np.random.default_rng(seed)
        level = random.normal(size=6)[family]
        # Nearness to the first models is what tells a little
        near = -distances[:, :6].mean(axis=1)
        y = expit(0.5 * level + 0.5 * (near - near.mean()) / near.std() + random.normal(size=72))
        predicted, mean = np.empty(72), np.empty(72)
        for name in range(6):
            new = family == name
            model = BenchmarkRegressor().fit(
                distances[np.ix_(~new, ~new)], y[~new], groups=family[~new]
            )
            predicted[new], mean[new] = model.predict(distances[np.ix_(new, ~new)]), y[~new].mean()
        found.append(np.corrcoef(predicted, y)[0, 1])
        means.append(np.corrcoef(mean, y)[0, 1])
    assert np.mean(means) < -0.2
    assert np.mean(found) > 0.1


def test_missing_scores_change_no_other_benchmark():
    distances, scores, family = family_world()
    whole = BenchmarkRegressor(stiffness=(1.0,)).fit(distances, scores, groups=family)
    holes = scores.copy()
    holes[::3, 1] = np.nan
    holed = BenchmarkRegressor(stiffness=(1.0,)).fit(distances, holes, groups=family)
    np.testing.assert_allclose(whole.predict(distances)[:, 0], holed.predict(distances)[:, 0])
    assert np.isfinite(holed.predict(distances)).all()


def test_similarities_and_their_distances_predict_alike():
    distances, scores, family = family_world()
    S = np.exp(-distances)
    by_distance = BenchmarkRegressor().fit(distances, scores, groups=family).predict(distances)
    by_similarity = (
        BenchmarkRegressor(affinity="similarity").fit(S, scores, groups=family).predict(S)
    )
    # libsvm stops within 1e-3 of its optimum
    np.testing.assert_allclose(by_distance, by_similarity, atol=1e-3)


def test_covariates_that_tell_the_score_are_used():
    distances, _, family = family_world(80, 8)
    size = np.random.default_rng(5).normal(size=80)
    scores = expit(size)
    train, new = family < 6, family >= 6
    X, Z = distances[np.ix_(train, train)], distances[np.ix_(new, train)]
    blind = BenchmarkRegressor().fit(X, scores[train], groups=family[train])
    told = BenchmarkRegressor().fit(X, scores[train], groups=family[train], covariates=size[train])
    error = np.abs(told.predict(Z, covariates=size[new]) - scores[new]).mean()
    assert error < 0.5 * np.abs(blind.predict(Z) - scores[new]).mean()
    with pytest.raises(InputError, match="to fit and to predict"):
        told.predict(Z)


def test_pipelines_grid_search_and_cross_validation_slice_both_sides():
    distances, scores, family = family_world()
    y = scores[:, 0]
    by_family = GroupKFold(6)
    predicted = cross_val_predict(
        BenchmarkRegressor(), distances, y, cv=by_family.split(distances, y, family)
    )
    by_hand = np.full(len(y), np.nan)
    for train, new in by_family.split(distances, y, family):
        model = BenchmarkRegressor().fit(distances[np.ix_(train, train)], y[train])
        by_hand[new] = model.predict(distances[np.ix_(new, train)])
    np.testing.assert_array_equal(predicted, by_hand)
    pipe = make_pipeline(FunctionTransformer(np.sqrt), BenchmarkRegressor())
    search = GridSearchCV(
        BenchmarkRegressor(), {"stiffness": [(0.3,), (100.0,)]}, cv=3, error_score="raise"
    )
    assert search.fit(distances, y).best_params_ == {"stiffness": (0.3,)}
    assert pipe.fit(distances, y).predict(distances).shape == y.shape


@pytest.mark.parametrize("estimator", [BenchmarkRegressor(), ReferenceRegressor()])
def test_bad_input_is_named(estimator):
    distances, scores, _ = family_world(20)
    y = scores[:, 0]
    with pytest.raises(InputError, match="square matrix"):
        clone(estimator).fit(distances[:, :5], y)
    with pytest.raises(InputError, match=r"62\.5.*row 3"):
        clone(estimator).fit(distances, np.where(np.arange(20) == 3, 62.5, y))
    with pytest.raises(InputError, match="Negative values"):
        clone(estimator).fit(distances - 1, y)
    with pytest.raises(InputError, match="affinity must be"):
        clone(estimator).set_params(affinity="cosine").fit(distances, y)
    with pytest.raises(InputError, match="diagonal of zeros"):
        clone(estimator).set_params(affinity="similarity").fit(distances, y)
    fitted = clone(estimator).fit(distances, y)
    assert ((fitted.predict(distances) > 0) & (fitted.predict(distances) < 1)).all()


def test_a_benchmark_without_scores_is_refused():
    distances, scores, _ = family_world(20)
    scores[:, 1] = np.nan
    with pytest.raises(InputError, match="benchmark 1 has no score"):
        BenchmarkRegressor().fit(distances, scores)


def test_kernel_of_the_vectors_is_on_the_training_scale():
    distances, scores, _ = family_world(30)
    vectors = ensemble._support_vectors(distances, scores[:, 0], [1.0])
    expected = rbf_kernel(distances, vectors.rows, vectors.gamma) @ vectors.dual
    np.testing.assert_allclose(vectors.predict(distances), expected + vectors.intercept)
    assert vectors.gamma == pytest.approx(1 / (30 * distances.var()))


def test_intervals_that_reach_the_edge_hold_scores_of_none():
    distances, scores, family = family_world(benchmarks=1)
    low = np.where(scores[:, 0] < 0.5, 0.001, scores[:, 0])
    fitted = BenchmarkRegressor().fit(distances, low, groups=family)
    lower, upper = fitted.predict_interval(distances)
    reaches = lower == 0
    assert reaches.any()
    assert (lower[~reaches] > 0.01).all()
    assert (upper < 1).any()
    nothing = BenchmarkRegressor().fit(distances, np.zeros(60), groups=family)
    lower, upper = nothing.predict_interval(distances)
    assert (lower == 0).all()
    assert (upper > 0).all()
    everything = BenchmarkRegressor().fit(distances, np.ones(60), groups=family)
    assert (everything.predict_interval(distances)[1] == 1).all()
    straight = BenchmarkRegressor("identity").fit(distances, np.ones(60), groups=family)
    assert straight.predict_interval(distances)[0] == pytest.approx(np.ones(60))
