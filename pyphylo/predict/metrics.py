"""How good predictions are: correlation, error, coverage, with bootstrap intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

__all__ = ["score_metrics"]

_INTERVAL = (2.5, 97.5)
"""Percentiles of the bootstrap that are reported."""


def score_metrics(
    predictions: pd.DataFrame, *, level: float = 0.9, n_bootstrap: int = 1000, seed: int = 0
) -> pd.DataFrame:
    """Metrics of out-of-fold predictions, over all models and within each group.

    Parameters
    ----------
    predictions : DataFrame
        Columns target, estimator, repeat, fold, true, predicted, lower, upper, as
        `cross_validate_scores` returns them.
    level : float
        That lower and upper were made for; the interval score needs it.
    n_bootstrap : int
        Resamples of models behind each interval of a correlation; 0 for none.
    seed : int

    Returns
    -------
    DataFrame
        A row for each target, estimator, repeat and fold, and with fold ``"all"``
        for all of them pooled: n (models with both scores), unpredicted, r,
        r_lower, r_upper, spearman, spearman_lower, spearman_upper, mae, rmse, coverage,
        width, interval_score (Gneiting & Raftery 2007; less is better). Correlations of
        fewer than three models or of constants are NaN.
    """
    rows = []
    for key, part in predictions.groupby(["target", "estimator", "repeat"], sort=False):
        head = dict(zip(("target", "estimator", "repeat"), key, strict=True))
        folds = [("all", part), *part.groupby("fold", sort=True)]
        for fold, members in folds:
            times = n_bootstrap if fold == "all" else 0
            rows.append({**head, "fold": fold, **_of_rows(members, level, times, seed)})
    table: pd.DataFrame = pd.DataFrame(rows)
    return table


def _of_rows(frame: pd.DataFrame, level: float, n_bootstrap: int, seed: int) -> dict[str, Any]:
    table = frame[["true", "predicted", "lower", "upper"]].to_numpy(np.float64)
    scored = table[~np.isnan(table[:, 0])]
    both = scored[~np.isnan(scored[:, 1])]
    true, predicted, lower, upper = both.T
    error = predicted - true
    found: dict[str, Any] = {"n": len(both), "unpredicted": len(scored) - len(both)}
    random = np.random.default_rng(seed)
    draws = random.integers(0, max(len(both), 1), (n_bootstrap, len(both)))
    for name, a, b in (
        ("r", predicted, true),
        ("spearman", _ranks(predicted), _ranks(true)),
    ):
        found[name] = _correlation(a, b)
        # Ranks are taken once: a resample's ties keep the order that all models give them
        resampled = np.array([_correlation(a[draw], b[draw]) for draw in draws])
        resampled = resampled[~np.isnan(resampled)]
        bounds = np.percentile(resampled, _INTERVAL) if len(resampled) else (np.nan, np.nan)
        found[f"{name}_lower"], found[f"{name}_upper"] = map(float, bounds)
    found["mae"] = float(np.abs(error).mean()) if len(both) else np.nan
    found["rmse"] = float(np.sqrt((error**2).mean())) if len(both) else np.nan
    kept = ~(np.isnan(lower) | np.isnan(upper))
    true, lower, upper = true[kept], lower[kept], upper[kept]
    if not len(true):
        return {**found, "coverage": np.nan, "width": np.nan, "interval_score": np.nan}
    outside = np.maximum(lower - true, 0) + np.maximum(true - upper, 0)
    found["coverage"] = float((outside == 0).mean())
    found["width"] = float((upper - lower).mean())
    found["interval_score"] = float((upper - lower + 2 / (1 - level) * outside).mean())
    return found


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(pd.Series(values).rank().to_numpy(np.float64))


def _correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    if len(a) < 3:
        return float("nan")
    a, b = a - a.mean(), b - b.mean()
    length = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / length if length > 1e-12 * len(a) else float("nan")
