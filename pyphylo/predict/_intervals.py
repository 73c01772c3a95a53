"""Intervals from models left out by groups (conformal, CV+ over groups)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["conformal_radius", "held_out_line", "line"]


def conformal_radius(residuals: NDArray[np.float64], level: float) -> float:
    """The ceil((n + 1) level)-th smallest of n absolute residuals; the largest where n is small.

    Vovk, Gammerman & Shafer 2005; residuals of groups that the fit had not seen
    make it the CV+ of Barber et al. 2021 with groups as folds.
    """
    ordered = np.sort(np.abs(residuals[~np.isnan(residuals)]))
    if not len(ordered):
        return np.inf
    rank = int(np.ceil((len(ordered) + 1) * level))
    return float(ordered[min(rank, len(ordered)) - 1])


def line(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[float, float]:
    """Slope in [0, 2] and intercept of y on x, over the rows that have both.

    An average of penalized fits is drawn towards the mean; what rows left out say of
    its slope undoes that, and where they say that it knows nothing, slope 0 is the mean.
    """
    both = ~(np.isnan(x) | np.isnan(y))
    x, y = x[both], y[both]
    if len(x) < 10:
        return 1.0, 0.0
    deviation = x - x.mean()
    spread = float(deviation @ deviation)
    slope = float(np.clip(deviation @ (y - y.mean()) / spread, 0.0, 2.0)) if spread > 0 else 1.0
    return slope, float(y.mean() - slope * x.mean())


def held_out_line(
    x: NDArray[np.float64], y: NDArray[np.float64], folds: NDArray[Any]
) -> NDArray[np.float64]:
    """X put through `line`, each fold's by the line of the others."""
    moved = np.full(len(x), np.nan)
    for fold in np.unique(folds):
        inside = folds == fold
        slope, intercept = line(x[~inside], y[~inside])
        moved[inside] = slope * x[inside] + intercept
    return moved
