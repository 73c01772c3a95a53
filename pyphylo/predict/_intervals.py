"""Intervals from models left out by groups (conformal, CV+ over groups)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["conformal_radius", "held_out_line", "line", "others_mean"]

_SHARED = 0.2
"""Share of an error that the models of a group have in common."""


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


def others_mean(y: NDArray[np.float64], folds: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of what is known in the other folds, for each row; NaN where nothing is."""
    mean = np.full(len(y), np.nan)
    for fold in np.unique(folds):
        rest = y[(folds != fold) & ~np.isnan(y)]
        mean[folds == fold] = rest.mean() if len(rest) else np.nan
    return mean


def line(
    x: NDArray[np.float64], y: NDArray[np.float64], groups: NDArray[Any]
) -> tuple[float, float]:
    """Slope in [1, 2] and intercept of y on x, over the rows that have both.

    x are deviations of predictions from the mean of what they were fitted on. Levels would
    not do: the mean without a group is low where the group is high, which alone bends every
    slope towards the negative. An average of penalized fits is drawn towards the mean, never
    away from it, so that a slope below 1 is chance in few groups. Errors are partly shared
    within a group: n models of one weigh as n / (1 + (n - 1) 0.2), never more than five
    (the random intercept of a group, its share of the variance fixed).
    """
    known = ~np.isnan(y)
    both = known & ~np.isnan(x)
    if both.sum() < 10:
        return 1.0, float(y[known].mean()) if known.any() else 0.0
    x, y = x[both], y[both]
    _, group, size = np.unique(groups[both], return_inverse=True, return_counts=True)
    weight = 1.0 / (1.0 + _SHARED * (size[group] - 1.0))
    weight /= weight.sum()
    deviation = x - weight @ x
    weighted = weight * deviation
    spread = float(weighted @ deviation)
    slope = float(np.clip(weighted @ y / spread, 1.0, 2.0)) if spread > 0 else 1.0
    return slope, float(weight @ y - slope * (weight @ x))


def held_out_line(
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    groups: NDArray[Any],
    folds: NDArray[Any],
) -> NDArray[np.float64]:
    """X put through `line`, each fold's by the line of the others."""
    moved = np.full(len(x), np.nan)
    for fold in np.unique(folds):
        inside = folds == fold
        slope, intercept = line(x[~inside], y[~inside], groups[~inside])
        moved[inside] = slope * x[inside] + intercept
    return moved
