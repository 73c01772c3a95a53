"""How much each measurement would reduce the expected squared error: rank-one updates."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

from pyphylo.predict._prior import Prior

__all__ = ["Gains", "left_out_variance"]

Array = NDArray[np.float64]


class Gains:
    """Expected squared errors of benchmarks that were measured on the same models.

    Of features F with posterior covariance P and own variances v, scores have the posterior
    covariance ``C = F P F' + diag(v)``. To measure c takes ``C[:, c] C[c, :] / C[c, c]`` from it,
    and so leaves c itself without error.

    Invariant between the steps: `projected` is F P; `variance` the diagonal of F P F';
    `weight` is 0 for what is measured; and `spread[c]`, for every c, the weighted sum over
    the models i that are not of ``(F P F')[i, c]^2``.

    Parameters
    ----------
    prior : Prior
        Of n models and d features.
    measured : ndarray of bool, shape (n,)

    Notes
    -----
    Time O(n d^2 + d^3) to begin with and O(n d) a measurement; memory 8 n d bytes.
    """

    def __init__(self, prior: Prior, measured: NDArray[np.bool_]) -> None:
        self.prior = prior
        self.measured = measured.copy()
        F = prior.features
        self.projected = F @ _posterior(F[measured], prior.own[measured])
        self.variance = np.einsum("ij,ij->i", self.projected, F)
        self.weigh(np.ones(len(F)))

    def weigh(self, weight: Array) -> None:
        """Set each model's weight in the error; what is measured has none."""
        self.weight = np.where(self.measured, 0.0, weight)
        F = self.prior.features
        self._gram = (F * self.weight[:, None]).T @ F
        self.spread = np.einsum("ij,ij->i", self.projected @ self._gram, self.projected)

    def totals(self) -> Array:
        """Variance of each model's score, were it not measured."""
        return np.asarray(self.variance + self.prior.own)

    def error(self) -> float:
        """Weighted sum of the variances of all scores that are not measured."""
        return float(self.weight @ self.totals())

    def of_each(self) -> Array:
        """By how much measuring each model reduces `error`; 0 for what is measured."""
        total = self.totals()
        others = self.spread - self.weight * self.variance**2
        # Rounding may leave a sum of squares just below 0
        gain = np.maximum(others, 0.0) / total + self.weight * total
        return np.where(self.measured, 0.0, gain)

    def measure(self, c: int) -> None:
        """Take the measurement of a model; nothing where it was measured."""
        if self.measured[c]:
            return
        features = self.prior.features[c]
        direction = self.projected[c].copy()
        shared = self.projected @ features
        total = shared[c] + self.prior.own[c]
        share = shared / total
        # projected' = projected - share direction'; the quadratic form follows
        g = self._gram @ direction
        self.spread += share * (share * (direction @ g) - 2 * (self.projected @ g))
        self.projected -= np.outer(share, direction)
        self.variance = np.maximum(self.variance - share * shared, 0.0)
        # c leaves the sum
        self.spread -= self.weight[c] * (self.projected @ features) ** 2
        self._gram -= self.weight[c] * np.outer(features, features)
        self.weight[c] = 0.0
        self.measured[c] = True


def left_out_variance(prior: Prior, measured: NDArray[np.bool_], folds: NDArray[np.intp]) -> Array:
    """Variance of each measured score given those of the other folds; NaN elsewhere.

    Time O(f d^3 + n d^2) for f folds.
    """
    found = np.full(len(folds), np.nan)
    F = prior.features
    for fold in np.unique(folds[measured]):
        rest = measured & (folds != fold)
        inside = np.flatnonzero(measured & (folds == fold))
        P = _posterior(F[rest], prior.own[rest])
        found[inside] = np.einsum("ij,jk,ik->i", F[inside], P, F[inside], optimize=True)
        found[inside] += prior.own[inside]
    return found


def _posterior(rows: Array, own: Array) -> Array:
    """Covariance of the features' weights, unit at first, given scores of some rows.

    Of fewer rows than features, ``I - A' (A A' + v)^-1 A``; else ``(I + A' v^-1 A)^-1``.
    """
    n, d = rows.shape
    if n == 0:
        return np.eye(d)
    if n < d:
        right = cho_solve(cho_factor(rows @ rows.T + np.diag(own), lower=True), rows)
        return np.asarray(np.eye(d) - rows.T @ right)
    precision = np.eye(d) + (rows / own[:, None]).T @ rows
    return np.asarray(cho_solve(cho_factor(precision, lower=True), np.eye(d)))
