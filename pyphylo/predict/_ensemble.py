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
from scipy.linalg import cho_factor, cho_solve, eigh
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVR

__all__ = ["PENALTIES", "Average", "Panel", "fit_average", "inverse_root"]

Array = NDArray[np.float64]

_RIDGE_DISTANCE, _RIDGE_SIMILARITY, _RIDGE_KERNEL = 0.01, 0.03, 0.1
"""Penalties at stiffness 1, in units of a row's mean squared length."""

PENALTIES = (_RIDGE_DISTANCE, _RIDGE_SIMILARITY, _RIDGE_KERNEL)

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
    """Support vectors of one benchmark on one of the two views, one dual for each stiffness."""

    rows: Array
    dual: Array
    gamma: float
    intercept: Array

    def predict(self, features: Array) -> Array:
        """Targets of new rows, shape (models, stiffnesses)."""
        return np.asarray(rbf_kernel(features, self.rows, self.gamma) @ self.dual + self.intercept)


@dataclass
class Average:
    """The mean of the five, for each of s stiffnesses and b benchmarks.

    The linear parts are added up: weights of shape (features, s, b), intercept (s, b).
    """

    on_distances: Array
    on_similarities: Array
    intercept: Array
    by_distance: list[Vectors]
    by_similarity: list[Vectors]

    def predict(self, panel: Panel) -> Array:
        """Targets, shape (models, s, b)."""
        near, far = panel.of_similarities(), panel.of_distances()
        total = np.tensordot(far, self.on_distances, 1) + self.intercept
        total += np.tensordot(near, self.on_similarities, 1)
        for j, (distant, similar) in enumerate(
            zip(self.by_distance, self.by_similarity, strict=True)
        ):
            total[:, :, j] += distant.predict(far) + similar.predict(near)
        return np.asarray(total / 5.0)


def fit_average(
    panel: Panel,
    among: Array,
    targets: Array,
    stiffness: tuple[float, ...],
    support: int,
    random: np.random.RandomState,
) -> Average:
    """Fit the five for each stiffness, on the rows that have each target.

    Parameters
    ----------
    panel : Panel
        Of n models and r landmarks.
    among : ndarray of shape (r, r)
        Similarities among the landmarks.
    targets : ndarray of shape (n, b)
        NaN where unknown; every column has at least two values.
    stiffness : tuple of float
        Factors of all penalties.
    support : int
        Most rows that the support vectors are fitted on (a random draw of them beyond).

    Notes
    -----
    Time O(n r^2 + r^3) for each pattern of missing targets and O(support^2 (r + support))
    for each target; memory O(n r + support^2).
    """
    far, near = panel.of_distances(), panel.of_similarities()
    root = inverse_root(among, near.shape[1])
    known = ~np.isnan(targets)
    s, b = len(stiffness), targets.shape[1]
    on_far = np.zeros((far.shape[1], s, b))
    on_near = np.zeros((near.shape[1], s, b))
    intercept = np.zeros((s, b))
    for pattern in np.unique(known, axis=1).T:
        which = np.flatnonzero((known == pattern[:, None]).all(axis=0))
        y = targets[np.ix_(pattern, which)]
        level = y.mean(axis=0)
        rows_far, rows_near = _Centred(far[pattern]), _Centred(near[pattern])
        for i, factor in enumerate(stiffness):
            w_far = rows_far.ridge(y - level, _RIDGE_DISTANCE * factor)
            w_near = rows_near.ridge(y - level, _RIDGE_SIMILARITY * factor)
            w_near = w_near + rows_near.ridge(y - level, _RIDGE_KERNEL * factor, root)
            on_far[:, i, which], on_near[:, i, which] = w_far, w_near
            intercept[i, which] = 3 * level - rows_far.mean @ w_far - rows_near.mean @ w_near
    views: tuple[list[Vectors], list[Vectors]] = ([], [])
    for j in range(b):
        rows = np.flatnonzero(known[:, j])
        if len(rows) > support:
            rows = np.sort(random.choice(rows, support, replace=False))
        bounds = [_SVR_BOUND / factor for factor in stiffness]
        for view, features in zip(views, (far, near), strict=True):
            view.append(_support_vectors(features[rows], targets[rows, j], bounds))
    return Average(on_far, on_near, intercept, *views)


def inverse_root(among: Array, width: int) -> Array:
    """R with R R' the pseudo-inverse of the landmarks' kernel; covariates pass through."""
    r = len(among)
    values, basis = eigh((among + among.T) / 2)
    # Of ragged or unbiased tables the kernel may be slightly indefinite: those directions are noise
    kept = values > 1e-8 * max(values[-1], 1e-300)
    root = np.zeros((width, int(kept.sum()) + width - r))
    root[:r, : kept.sum()] = basis[:, kept] / np.sqrt(values[kept])
    root[r:, kept.sum() :] = np.eye(width - r)
    return root


class _Centred:
    """Rows less their mean; where there are more rows than features, only their products."""

    def __init__(self, A: Array) -> None:
        self.n = len(A)
        self.mean = A.mean(axis=0)
        self.rows = A - self.mean
        self.gram = self.rows.T @ self.rows if self.n > A.shape[1] else None

    def ridge(self, y: Array, penalty: float, root: Array | None = None) -> Array:
        """Weights on the features of the ridge regression on them (times `root`).

        The penalty is in units of the rows' mean squared length.
        """
        if self.gram is not None:
            products = self.rows.T @ y
            if root is None:
                return np.asarray(_damped_solve(self.gram, penalty, self.n, products))
            gram = root.T @ self.gram @ root
            return np.asarray(root @ _damped_solve(gram, penalty, self.n, root.T @ products))
        A = self.rows if root is None else self.rows @ root
        weights = A.T @ _damped_solve(A @ A.T, penalty, self.n, y)
        return np.asarray(weights if root is None else root @ weights)


def _damped_solve(gram: Array, penalty: float, n: int, right: Array) -> Array:
    unit = max(np.trace(gram) / n, 1e-300)
    damped = gram + penalty * unit * np.eye(len(gram))
    return np.asarray(cho_solve(cho_factor(damped, lower=True), right))


def _support_vectors(A: Array, y: Array, bounds: list[float]) -> Vectors:
    """One regression for each bound, the kernel computed once."""
    spread = A.var() * A.shape[1]
    gamma = 1.0 / spread if spread > 0 else 1.0
    K = rbf_kernel(A, gamma=gamma)
    level, scale = float(y.mean()), float(y.std()) or 1.0
    dual = np.zeros((len(y), len(bounds)))
    intercept = np.zeros(len(bounds))
    for i, bound in enumerate(bounds):
        machine = SVR(kernel="precomputed", C=bound, epsilon=_SVR_TUBE).fit(K, (y - level) / scale)
        dual[machine.support_, i] = machine.dual_coef_[0] * scale
        intercept[i] = float(machine.intercept_[0]) * scale + level
    # Scores that all lie inside the tube leave no support vector: the first row stands in
    used = np.union1d(np.flatnonzero(dual.any(axis=1)), [0])
    return Vectors(A[used], dual[used], gamma, intercept)
