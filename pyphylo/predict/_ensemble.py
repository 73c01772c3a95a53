"""Five views of the same matrix, averaged: what `BenchmarkRegressor` fits in every fold.

Linear in the distances to landmark models, linear in the similarities, the kernel
that the similarities themselves are (Nystroem's approximation over the landmarks),
and support vectors with a Gaussian kernel on either. Their errors differ: the
linear ones reach beyond the scores seen, the support vectors ignore odd benchmarks.
Everything fitted is plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh, solve
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVR

__all__ = ["Average", "Panel", "fit_averages"]

Array = NDArray[np.float64]

_RIDGE_DISTANCE, _RIDGE_SIMILARITY, _RIDGE_KERNEL = 0.01, 0.03, 0.1
"""Penalties at stiffness 1, in units of a row's mean squared length."""

_SVR_BOUND, _SVR_TUBE = 1.5, 0.1
"""Bound and tube of the support vectors at stiffness 1, scores having unit deviation."""


@dataclass
class Panel:
    """What is known of some models: their relation to the landmarks, their covariates."""

    distances: Array
    similarities: Array
    covariates: Array

    def take(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Panel:
        """Some rows, against some of the landmarks."""
        return Panel(
            self.distances[np.ix_(rows, columns)],
            self.similarities[np.ix_(rows, columns)],
            self.covariates[rows],
        )

    def of_distances(self) -> Array:
        """Distances and covariates side by side."""
        return np.hstack([self.distances, self.covariates])

    def of_similarities(self) -> Array:
        """Similarities and covariates side by side."""
        return np.hstack([self.similarities, self.covariates])


@dataclass
class Vectors:
    """Support vectors of one benchmark on one of the two views."""

    rows: Array
    dual: Array
    gamma: float
    intercept: float

    def predict(self, features: Array) -> Array:
        """Targets of new rows."""
        return np.asarray(rbf_kernel(features, self.rows, self.gamma) @ self.dual + self.intercept)


@dataclass
class Average:
    """The mean of the five for each of b benchmarks: linear parts added up, two kernel parts."""

    on_distances: Array
    on_similarities: Array
    intercept: Array
    by_distance: list[Vectors]
    by_similarity: list[Vectors]

    def predict(self, panel: Panel) -> Array:
        """Targets, shape (models, benchmarks)."""
        near, far = panel.of_similarities(), panel.of_distances()
        linear = far @ self.on_distances + near @ self.on_similarities + self.intercept
        return np.asarray(
            (
                linear
                + np.column_stack([v.predict(far) for v in self.by_distance])
                + np.column_stack([v.predict(near) for v in self.by_similarity])
            )
            / 5.0
        )


def fit_averages(
    panel: Panel,
    among: Array,
    targets: Array,
    stiffness: tuple[float, ...],
    support: int,
    random: np.random.RandomState,
) -> list[Average]:
    """One average for each stiffness, on the rows that have each target.

    Parameters
    ----------
    panel : Panel
        Of n models and r landmarks.
    among : ndarray of shape (r, r)
        Similarities among the landmarks.
    targets : ndarray of shape (n, b)
        NaN where unknown; every column has at least one.
    stiffness : tuple of float
        Factors of all penalties.
    support : int
        Most rows that the support vectors are fitted on (a random draw of them beyond).

    Notes
    -----
    Time O(n r^2 + r^3) for each pattern of missing targets and O(support^2 r) for each
    target; memory O(n r + support^2).
    """
    far, near = panel.of_distances(), panel.of_similarities()
    root = _inverse_root(among, near.shape[1])
    known = ~np.isnan(targets)
    b = targets.shape[1]
    linear = [(np.zeros((far.shape[1], b)), np.zeros((near.shape[1], b)), np.zeros(b))
              for _ in stiffness]  # fmt: skip
    vectors: list[tuple[list[Vectors], list[Vectors]]] = [([], []) for _ in stiffness]
    for pattern in np.unique(known, axis=1).T:
        which = np.flatnonzero((known == pattern[:, None]).all(axis=0))
        y = targets[np.ix_(pattern, which)]
        parts = zip(
            _ridges(far[pattern], y, [_RIDGE_DISTANCE * s for s in stiffness]),
            _ridges(near[pattern], y, [_RIDGE_SIMILARITY * s for s in stiffness]),
            _ridges(near[pattern] @ root, y, [_RIDGE_KERNEL * s for s in stiffness]),
            linear,
            strict=True,
        )
        for (w_far, c_far), (w_near, c_near), (w_kernel, c_kernel), into in parts:
            into[0][:, which] = w_far
            into[1][:, which] = w_near + root @ w_kernel
            into[2][which] = c_far + c_near + c_kernel
    for j in range(b):
        rows = np.flatnonzero(known[:, j])
        if len(rows) > support:
            rows = np.sort(random.choice(rows, support, replace=False))
        bounds = [_SVR_BOUND / s for s in stiffness]
        for view, features in enumerate((far[rows], near[rows])):
            for i, fitted in enumerate(_support_vectors(features, targets[rows, j], bounds)):
                vectors[i][view].append(fitted)
    return [Average(*a, *v) for a, v in zip(linear, vectors, strict=True)]


def _inverse_root(among: Array, width: int) -> Array:
    """R with R R' the pseudo-inverse of the landmarks' kernel; covariates pass through."""
    r = len(among)
    values, basis = eigh((among + among.T) / 2)
    # Of ragged or unbiased tables the kernel may be slightly indefinite: those directions are noise
    kept = values > 1e-8 * max(values[-1], 1e-300)
    root = np.zeros((width, int(kept.sum()) + width - r))
    root[:r, : kept.sum()] = basis[:, kept] / np.sqrt(values[kept])
    root[r:, kept.sum() :] = np.eye(width - r)
    return root


def _ridges(A: Array, y: Array, penalties: list[float]) -> list[tuple[Array, Array]]:
    """Weights and intercepts of ridge regressions, in the smaller of the two spaces."""
    centre, level = A.mean(axis=0), y.mean(axis=0)
    A = A - centre
    dual = len(A) <= A.shape[1]
    gram = A @ A.T if dual else A.T @ A
    unit = max(np.trace(gram) / len(A), 1e-300)
    fitted = []
    for penalty in penalties:
        damped = gram + penalty * unit * np.eye(len(gram))
        if dual:
            w = A.T @ solve(damped, y - level, assume_a="pos")
        else:
            w = solve(damped, A.T @ (y - level), assume_a="pos")
        fitted.append((w, level - centre @ w))
    return fitted


def _support_vectors(A: Array, y: Array, bounds: list[float]) -> list[Vectors]:
    """One regression for each bound, the kernel computed once."""
    spread = A.var() * A.shape[1]
    gamma = 1.0 / spread if spread > 0 else 1.0
    K = rbf_kernel(A, gamma=gamma)
    level, scale = float(y.mean()), float(y.std()) or 1.0
    fitted = []
    for bound in bounds:
        machine = SVR(kernel="precomputed", C=bound, epsilon=_SVR_TUBE).fit(K, (y - level) / scale)
        dual = np.zeros(len(y))
        dual[machine.support_] = machine.dual_coef_[0]
        # Scores that all lie inside the tube leave no support vector: one without weight stands in
        used = machine.support_ if len(machine.support_) else np.array([0])
        fitted.append(
            Vectors(
                A[used],
                dual[used] * scale,
                gamma,
                float(machine.intercept_[0]) * scale + level,
            )
        )
    return fitted
