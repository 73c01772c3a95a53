"""Real models, one family left out at a time: what is promised of both predictors."""

import numpy as np
import pandas as pd
import pytest

import pyphylo as pp
from pyphylo.predict import BenchmarkRegressor, ReferenceRegressor


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
