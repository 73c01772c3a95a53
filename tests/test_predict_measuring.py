"""Which scores to measure next: the fast posterior against one refitted each time, and its use."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from scipy.stats import multivariate_normal
from test_predict_estimators import family_world

import pyphylo as pp
from pyphylo.predict import BenchmarkRegressor, measure_next
from pyphylo.predict import _ensemble as ensemble
from pyphylo.predict._gains import Gains, left_out_variance
from pyphylo.predict._prior import Prior, own_factor, prior_of
from pyphylo.predict.measuring import _score_variance


class Refitted:
    """The oracle: the whole covariance, solved anew for every question."""

    def __init__(self, prior, measured, weight):
        self.C = prior.features @ prior.features.T + np.diag(prior.own)
        self.measured = [int(i) for i in np.flatnonzero(measured)]
        self.weight = weight

    def variance(self, rows):
        """Of the scores of `rows` given the measured ones (0 for these)."""
        cross = self.C[np.ix_(rows, self.measured)]
        among = self.C[np.ix_(self.measured, self.measured)]
        told = cross @ np.linalg.solve(among, cross.T) if self.measured else 0.0
        return np.diag(self.C[np.ix_(rows, rows)] - told)

    def error(self):
        left = [i for i in range(len(self.C)) if i not in self.measured]
        return float(self.weight[left] @ self.variance(left)) if left else 0.0

    def of_each(self):
        before, gains = self.error(), np.zeros(len(self.C))
        for c in range(len(self.C)):
            if c not in self.measured:
                self.measured.append(c)
                gains[c] = before - self.error()
                self.measured.pop()
        return gains

    def measure(self, c):
        if c not in self.measured:
            self.measured.append(c)


@st.composite
def tasks(draw):
    """A prior with copies and models that share nothing, some measured, some of no interest."""
    n, d = draw(st.integers(1, 14)), draw(st.integers(1, 20))
    random = np.random.default_rng(draw(st.integers(0, 9999)))
    features = random.normal(size=(n, d)) * draw(st.sampled_from([0.01, 1.0, 30.0]))
    if n > 2 and draw(st.booleans()):
        features[1] = features[0]
        features[2] = 0.0
    own = random.uniform(0.01, 2.0, n)
    measured = random.random(n) < draw(st.sampled_from([0.0, 0.3, 0.9]))
    weight = random.choice([0.0, 0.2, 1.0], n)
    return Prior(features, own), measured, weight, random.permutation(n)[:6]


@settings(max_examples=150)
@given(tasks())
def test_rank_one_updates_are_the_posterior_refitted(task):
    prior, measured, weight, order = task
    fast, slow = Gains(prior, measured), Refitted(prior, measured, weight)
    fast.weigh(weight)
    for c in [None, *order]:
        if c is not None:
            fast.measure(c)
            slow.measure(c)
        tolerance = 1e-8 * (weight.sum() + 1) * (prior.features**2).sum(axis=1).max() + 1e-10
        assert fast.error() == pytest.approx(slow.error(), rel=1e-7, abs=tolerance)
        np.testing.assert_allclose(fast.of_each(), slow.of_each(), rtol=1e-6, atol=tolerance)
        left = np.flatnonzero(~fast.measured)
        np.testing.assert_allclose(
            fast.totals()[left], slow.variance(left), rtol=1e-6, atol=tolerance
        )


@settings(max_examples=60)
@given(tasks(), st.integers(1, 4))
def test_left_out_variances_are_those_given_the_other_folds(task, n_folds):
    prior, measured, weight, _ = task
    folds = np.arange(len(measured)) % n_folds
    found = left_out_variance(prior, measured, folds)
    assert (np.isnan(found) == ~measured).all()
    for i in np.flatnonzero(measured):
        slow = Refitted(prior, measured & (folds != folds[i]), weight)
        scale = (prior.features**2).sum(axis=1).max()
        assert found[i] == pytest.approx(slow.variance([i])[0], rel=1e-6, abs=1e-8 * scale)


def test_prior_is_the_covariance_of_the_three_ridges():
    distances, _, _ = family_world(30)
    S = np.exp(-distances)
    panel = ensemble.Panel(distances, S, np.zeros((30, 0)))
    prior = prior_of(panel, np.arange(30), 2.0)
    H = np.eye(30) - 1 / 30
    kernels = [H @ K @ H for K in (distances @ distances.T, S @ S.T, S)]
    # A thirtieth of a trace is the mean squared length; the common mean has unit variance
    expected = sum(K / (3 * np.trace(K) / 30) for K in kernels) + 1.0
    np.testing.assert_allclose(prior.features @ prior.features.T, expected, atol=1e-6)
    np.testing.assert_allclose(prior.own, 2.0 * (0.01 + 0.03 + 0.1) / 3, rtol=1e-6)


def test_what_landmarks_do_not_tell_is_a_models_own():
    distances, _, _ = family_world(60)
    S = np.exp(-distances)
    chosen = np.arange(0, 60, 3)
    panel = ensemble.Panel(distances[:, chosen], S[:, chosen], np.zeros((60, 0)))
    prior = prior_of(panel, chosen, 1.0)
    least = prior.own.min()
    np.testing.assert_allclose(prior.own[chosen], least, rtol=1e-6)
    others = np.setdiff1d(np.arange(60), chosen)
    explained = np.einsum(
        "ij,jk,ik->i", S[:, chosen], np.linalg.pinv(S[np.ix_(chosen, chosen)]), S[:, chosen]
    )
    ratio = (prior.own[others] - least) / (1 - explained[others])
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-5)


@settings(max_examples=40)
@given(n=st.integers(3, 30), b=st.integers(1, 3), seed=st.integers(0, 999))
def test_own_factor_is_the_likeliest(n, b, seed):
    random = np.random.default_rng(seed)
    prior = Prior(random.normal(size=(n, 5)), random.uniform(0.02, 0.1, n))
    y = prior.features @ random.normal(size=(5, b)) + random.normal(size=(n, b)) * random.random()
    y[0, 0] = np.nan

    def likelihood(factor):
        total = 0.0
        for column in y.T:
            known = ~np.isnan(column)
            C = prior.features @ prior.features.T + np.diag(factor * prior.own)
            C = C[np.ix_(known, known)]
            z = column[known] - column[known].mean()
            # Profiled: the density at the signal variance that makes it highest
            signal = z @ np.linalg.solve(C, z) / len(z)
            total += multivariate_normal(np.zeros(len(z)), signal * C).logpdf(z)
        return total

    found = [likelihood(factor) for factor in (1.0, 3.0, 10.0, 30.0)]
    chosen = (1.0, 3.0, 10.0, 30.0).index(own_factor(prior, y, 100))
    assert found[chosen] == pytest.approx(max(found), rel=1e-9)


def test_own_factor_tells_noise_from_kinship():
    distances, _, _ = family_world(200, 10)
    S = np.exp(-distances)
    prior = prior_of(ensemble.Panel(distances, S, np.zeros((200, 0))), np.arange(200), 1.0)
    random = np.random.default_rng(0)
    drawn = prior.features @ random.normal(size=(prior.features.shape[1], 2))
    noise = random.normal(size=(200, 2)) * np.sqrt(prior.own)[:, None]
    assert own_factor(prior, drawn + noise, 500) == 1.0
    assert own_factor(prior, drawn + noise * np.sqrt(10), 500) == 10.0
    assert own_factor(prior, drawn + noise * np.sqrt(10), 90) in (3.0, 10.0, 30.0)


@pytest.mark.parametrize(("middle", "variance"), [(0.0, 0.04), (-2.0, 0.5), (1.0, 3.0)])
def test_variance_of_a_score_is_that_of_draws(middle, variance):
    draws = expit(middle + np.sqrt(variance) * np.random.default_rng(0).normal(size=400_000))
    found = _score_variance(np.array([middle]), np.array([variance]), "logit")[0]
    assert found == pytest.approx(draws.var(), rel=0.02)
    assert _score_variance(np.array([middle]), np.array([variance]), "identity")[0] == variance


@pytest.fixture(scope="module")
def world():
    distances, scores, family = family_world(80, 8, seed=4)
    ids = [f"m{i}" for i in range(80)]
    frame = pd.DataFrame(scores, index=ids, columns=["x", "y"])
    families = {name: f"family {k}" for name, k in zip(ids, family, strict=True)}
    # The last two families and a third of the others are not measured
    frame.loc[[name for i, name in enumerate(ids) if family[i] > 5 or i % 3 == 0]] = np.nan
    return pp.DistanceMatrix(distances, ids), frame, families


def test_families_without_a_score_come_first(world):
    D, scores, families = world
    frame = measure_next(D, scores, 4, groups=families)
    assert {families[name] for name in frame.model[:2]} == {"family 6", "family 7"}
    assert (frame.reduction > 0).all()
    np.testing.assert_array_equal(frame.error_before[1:], frame.error_after[:-1])
    np.testing.assert_allclose(frame.reduction, frame.error_before - frame.error_after)
    assert frame.attrs["fitted"] == ["x", "y"]
    assert set(frame.model) <= set(scores.index[scores.x.isna()])
    percent = measure_next(D, scores * 100, 4, groups=families, unit="percent")
    # libsvm stops within 1e-3 of its optimum
    pd.testing.assert_frame_equal(frame, percent, rtol=1e-3)


def test_greedy_picks_are_those_of_a_search_over_refitted_posteriors(world, monkeypatch):
    """The same picks and errors with the oracle in the place of the fast updates."""
    from pyphylo.predict import measuring

    D, scores, families = world
    scores = scores.copy()
    scores.loc["m1", "y"] = np.nan
    fast = measure_next(D, scores, 3, groups=families)

    class Slow(Refitted):
        def __init__(self, prior, measured):
            super().__init__(prior, measured, np.ones(len(measured)))

        def weigh(self, weight):
            self.weight = weight

        def totals(self):
            # Of measured models it is 0, and by nothing divided; no weight of theirs counts
            return np.maximum(self.variance(range(len(self.C))), 1e-12)

    monkeypatch.setattr(measuring, "Gains", Slow)
    slow = measure_next(D, scores, 3, groups=families)
    assert fast.model.tolist() == slow.model.tolist()
    np.testing.assert_allclose(fast.error_before, slow.error_before, rtol=1e-5)
    np.testing.assert_allclose(fast.error_after, slow.error_after, rtol=1e-5)


def test_one_by_one_says_what_each_is_worth(world):
    D, scores, families = world
    alone = measure_next(D, scores, 20, joint=False, groups=families)
    assert alone.reduction.is_monotonic_decreasing
    assert alone.error_before.nunique() == 1
    first = measure_next(D, scores, 1, candidates=[alone.model[7]], groups=families)
    assert first.reduction[0] == pytest.approx(alone.reduction[7])
    # The second of an unknown family is worth much alone, and less after the first
    joint = measure_next(D, scores, 20, groups=families)
    kin = [name for name in alone.model if families[name] == families[alone.model[0]]]
    place = alone.model.tolist().index(kin[1])
    assert kin[1] not in joint.model.tolist()[: place + 1]


def test_interest_candidates_and_what_is_measured_already(world):
    D, scores, families = world
    mine = [name for name in D.ids if families[name] == "family 7"]
    frame = measure_next(D, scores, 2, interest=mine, groups=families)
    assert {families[name] for name in frame.model} == {"family 7"}
    others = [name for name in D.ids if families[name] in ("family 5", "family 6")]
    others = [name for name in others if np.isnan(scores.x[name])]
    frame = measure_next(D, scores, 2, interest=mine, candidates=others, groups=families)
    assert set(frame.model) <= set(others)
    everything = measure_next(D, scores, len(others), candidates=others, groups=families)
    assert sorted(everything.model) == sorted(others)
    rest = measure_next(D, scores, len(mine), interest=mine, candidates=mine, groups=families)
    assert rest.error_after.iloc[-1] == pytest.approx(0, abs=1e-9)


def test_costs_and_budget(world):
    D, scores, families = world
    costs = {name: 1.0 + (families[name] == "family 7") * 1000 for name in D.ids}
    free = measure_next(D, scores, 3, groups=families)
    dear = measure_next(D, scores, 3, costs=costs, groups=families)
    assert "family 7" in {families[name] for name in free.model}
    assert "family 7" not in {families[name] for name in dear.model}
    assert dear.cost.tolist() == [1.0] * 3
    poor = measure_next(D, scores, 10, costs=costs, budget=4.5, groups=families)
    assert len(poor) == 4
    assert poor.cost.sum() <= 4.5
    same = measure_next(D, scores, 3, costs=dict.fromkeys(D.ids, 7.0), groups=families)
    assert same.model.tolist() == free.model.tolist()


def test_without_any_score_each_family_is_begun(world):
    D, _, families = world
    frame = measure_next(D, n=8)
    assert len({families[name] for name in frame.model}) >= 6
    assert frame.attrs["fitted"] == []
    assert 0.2 < frame.error_before[0] < 0.4
    S = pp.SimilarityMatrix(np.exp(-D.values), D.ids)
    assert measure_next(S, n=8).model.tolist() == frame.model.tolist()


def test_few_scores_count_but_fit_nothing(world):
    D, scores, families = world
    few = scores.copy()
    known = few.index[few.x.notna()]
    few.loc[known[4:], "y"] = np.nan
    with pytest.warns(pp.PyphyloWarning, match="'y' has only 4 scores"):
        frame = measure_next(D, few, 2, groups=families)
    assert frame.attrs["fitted"] == ["x"]
    identity = BenchmarkRegressor(link="identity")
    with pytest.warns(pp.PyphyloWarning, match="only 4"):
        other = measure_next(D, few[["y"]], 1, groups=families, estimator=identity)
    assert other.attrs["fitted"] == []
    assert (other.error_after < other.error_before).all()


def test_covariates_are_part_of_the_prior(world):
    D, scores, families = world
    odd = np.zeros(80)
    odd[[6, 14]] = 8.0
    plain = measure_next(D, scores, 1, joint=False, candidates=["m6"], groups=families)
    told = measure_next(
        D, scores, 1, joint=False, candidates=["m6"], groups=families, covariates=odd
    )
    assert told.reduction[0] != pytest.approx(plain.reduction[0])


def test_expected_errors_are_about_what_is_found():
    """Where the world is one of families and their place, left-out errors are as large as said."""
    said, came = [], []
    for seed in range(6):
        distances, scores, family = family_world(90, 9, seed=seed)
        ids = [f"m{i}" for i in range(90)]
        train = np.flatnonzero(family < 6)
        known = pd.DataFrame(scores[train], index=[ids[i] for i in train])
        new = [ids[i] for i in np.flatnonzero(family >= 6)]
        groups = dict(zip(ids, family.tolist(), strict=True))
        D = pp.DistanceMatrix(distances, ids)
        said.append(measure_next(D, known, 1, interest=new, groups=groups).error_before[0])
        model = BenchmarkRegressor().fit(
            distances[np.ix_(train, train)], scores[train], groups=family[train]
        )
        X = distances[np.ix_(family >= 6, family < 6)]
        came.append(np.sqrt(((model.predict(X) - scores[family >= 6]) ** 2).mean()))
    assert 0.5 < np.mean(said) / np.mean(came) < 2


@pytest.mark.parametrize(
    ("settings_", "message"),
    [
        ({"n": 0}, "n=0 picks of"),
        ({"n": 500}, "n=500 picks of"),
        ({"interest": ["who"]}, "interest: not in the matrix: 'who'"),
        ({"interest": []}, "interest is empty"),
        ({"candidates": "m0"}, "list of names"),
        ({"candidates": ["m1"]}, "have all scores already: 'm1'"),
        ({"budget": 3}, "without costs"),
        ({"costs": {"m0": 1.0}}, "no cost above 0 of"),
        ({"costs": dict.fromkeys([f"m{i}" for i in range(80)], -1)}, "no cost above 0"),
        ({"costs": [2.0] * 80, "budget": 1}, "less than the cheapest"),
        ({"groups": "clade:x"}, "clade:HEIGHT"),
    ],
)
def test_bad_calls_are_named(world, settings_, message):
    D, scores, families = world
    with pytest.raises(pp.InputError, match=message):
        measure_next(D, scores, **{"groups": families, "n": 3, **settings_})


def test_bad_matrices_and_complete_scores_are_named(world):
    D, scores, families = world
    values = D.values.copy()
    values[3, 5] = values[5, 3] = np.nan
    with pytest.raises(pp.InputError, match="'m3' and 'm5' have no distance"):
        measure_next(pp.DistanceMatrix(values, D.ids, allow_nan=True), scores)
    with pytest.raises(pp.InputError, match="nothing is left to measure"):
        measure_next(D, scores.fillna(0.5), groups=families)
    with pytest.raises(pp.InputError, match="DistanceMatrix"):
        measure_next(D.values, scores)
