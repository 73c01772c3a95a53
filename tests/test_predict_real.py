"""Real models, one family left out at a time: what is promised of both predictors."""

import numpy as np
import pandas as pd
import pytest

import pyphylo as pp
from pyphylo.predict import BenchmarkRegressor, ReferenceRegressor, measure_next


@pytest.fixture(scope="module")
def real(shared_data):
    folder = shared_data / "phylolm"
    D = pp.nei_distance(pp.SimilarityMatrix.load(folder / "math_similarity.csv"))
    scores = pd.read_csv(folder / "scores.csv")
    families = pd.read_csv(folder / "models.csv").set_index("model").family
    return D, scores, families


def pooled(frame):
    metrics = pd.DataFrame(frame.attrs["metrics"])
    return metrics[metrics.fold == "all"].set_index(["estimator", "target"])


def test_reference_is_the_published_method(real):
    D, scores, families = real
    frame = pp.cross_validate_scores(
        D, scores[["model", "arc", "mmlu"]], groups=families, baselines=False, intervals=False,
        estimators={"reference": ReferenceRegressor()}, repeats=4, n_bootstrap=0,
    )  # fmt: skip
    r = pooled(frame).r
    assert r["reference", "arc"].between(0.80, 0.845).all()
    assert r["reference", "mmlu"].between(0.86, 0.90).all()


@pytest.fixture(scope="module")
def judged(real):
    D, scores, families = real
    return pooled(
        pp.cross_validate_scores(
            D, scores, groups=families, estimators={"ours": BenchmarkRegressor()}, n_bootstrap=0
        )
    )


@pytest.mark.parametrize(
    ("target", "r", "mae"),
    [("arc", 0.825, 0.058), ("mmlu", 0.882, 0.074), ("gsm8k", 0.664, 0.190)],
)
def test_better_than_the_reference_on_every_benchmark(judged, target, r, mae):
    assert judged.r["ours", target] > r
    assert judged.mae["ours", target] < mae


def test_intervals_cover_and_are_narrow(judged):
    n = judged.loc["ours"].n
    assert 0.85 <= np.average(judged.loc["ours"].coverage, weights=n) <= 0.95
    width = np.average(judged.loc["ours"].width, weights=n)
    assert width <= 0.7 * np.average(judged.loc["fold mean"].width, weights=n)


def test_picks_to_begin_with_beat_random_ones(real):
    """Ten models measured of one half, the other half predicted: over ten halvings."""
    D, scores, _ = real
    scores = scores.set_index("model").dropna()
    D = D.filter([name for name in D.ids if name in scores.index])
    Y = scores.loc[list(D.ids)].to_numpy()

    def error(train, wanted):
        model = BenchmarkRegressor().fit(D.values[np.ix_(train, train)], Y[train])
        return np.abs(model.predict(D.values[np.ix_(wanted, train)]) - Y[wanted]).mean()

    ours, drawn = [], []
    for seed in range(10):
        order = np.random.default_rng(seed).permutation(len(Y))
        wanted, rest = order[: len(Y) // 2], order[len(Y) // 2 :]
        names = np.array(D.ids)
        frame = measure_next(D, n=10, interest=names[wanted], candidates=names[rest])
        ours.append(error([D.ids.index(name) for name in frame.model], wanted))
        drawn.append(error(rest[:10], wanted))
    assert np.mean(ours) < 0.9 * np.mean(drawn)
