"""What both estimators take: a matrix of distances or similarities, and scores."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.utils.validation import validate_data

from pyphylo.errors import InputError

__all__ = [
    "AFFINITIES",
    "FLOOR",
    "checked_matrix",
    "distances_of",
    "near_and_far",
    "refuse_outside",
    "scale_of",
]

AFFINITIES = ("distance", "similarity")

FLOOR = 1e-10
"""Added to a similarity before its logarithm is taken."""

_FAR = 2.0
"""Distances whose median exceeds this are not Nei's: exp(-D) would leave nothing of them."""


def checked_matrix(estimator: Any, X: Any, *, fitting: bool) -> NDArray[np.float64]:
    """X as finite float64, square when fitting, else one column for each training row."""
    affinity = estimator.affinity
    if affinity not in AFFINITIES:
        raise InputError(f"affinity must be 'distance' or 'similarity', not {affinity!r}")
    X = validate_data(estimator, X, reset=fitting, dtype=np.float64, ensure_min_samples=1)
    if fitting and X.shape[0] != X.shape[1]:
        raise InputError(
            f"X must be a square matrix of training models, not {X.shape[0]} x {X.shape[1]}"
        )
    if fitting and len(X) < 3:
        raise InputError(f"n_samples={len(X)}: three models are the least to fit on")
    if X.size and X.min() < 0:
        i, j = np.unravel_index(X.argmin(), X.shape)
        raise InputError(
            f"Negative values in data passed to {type(estimator).__name__}: "
            f"{X[i, j]!r} in row {i}, column {j}; a {affinity} is never below 0"
        )
    if fitting and affinity == "similarity" and not X.diagonal().any():
        raise InputError(
            "X has a diagonal of zeros, as distances do: pass affinity='distance', "
            "or similarities (pyphylo.nei_similarity)"
        )
    return np.asarray(X, dtype=np.float64)


def distances_of(X: NDArray[np.float64], affinity: str) -> NDArray[np.float64]:
    """X itself, or -log(X + 1e-10) of similarities."""
    return X if affinity == "distance" else -np.log(X + FLOOR)


def scale_of(columns: NDArray[np.float64], affinity: str) -> float:
    """The distance by which similarity falls to 1/e: 1, and more for distances not Nei's."""
    return max(1.0, float(np.median(columns)) / _FAR) if affinity == "distance" else 1.0


def near_and_far(
    columns: NDArray[np.float64], affinity: str, unit: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Similarities and distances, of either; distances D count as similarities exp(-D / unit)."""
    near = columns if affinity == "similarity" else np.exp(-columns / unit)
    return near, distances_of(columns, affinity)


def refuse_outside(y: NDArray[np.float64], remedy: str) -> None:
    """Scores are fractions of 1, or missing."""
    with np.errstate(invalid="ignore"):
        wrong = (y < 0) | (y > 1)
    if wrong.any():
        where = np.argwhere(wrong)[0]
        place = f"row {where[0]}" + (f", benchmark {where[1]}" if y.ndim == 2 else "")
        raise InputError(
            f"score {y[tuple(where)]!r} ({place}) lies outside [0, 1], and "
            f"{int(wrong.sum()) - 1} more do: {remedy}"
        )
