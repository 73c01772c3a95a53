"""Lengths and shares of a graph of descent, fitted to f2 by generalised least squares."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo.stats._graph_model import Descent, pair_places

__all__ = ["Fit", "Metric", "fit_lengths", "fit_shares", "tangent"]

_Floats = NDArray[np.float64]

_FLOOR = 0.05
"""Least error of an f2, in parts of the median one."""
_MOST_SHRUNK = 0.98
_CYCLES = 30
_SETTLED = 1e-7
"""Part of the score by which a cycle over the shares must improve it."""


class Metric:
    r"""f2 of all pairs of a panel, and the inverse of their covariance.

    The covariance is the block jackknife's, its correlations shrunk toward 0 by an
    intensity estimated from the blocks (Schafer & Strimmer 2005, Stat. Appl. Genet. Mol. Biol.
    4:32): :math:`\Sigma = S (\rho I + (1 - \rho) U U^T) S`. Its inverse is applied by Woodbury's
    identity, in O(pairs x blocks).

    Attributes
    ----------
    rows : ndarray of int64
        The models' numbers in the panel, ascending.
    f2, se : ndarray, shape (pairs,)
    rho : float
        1: correlations are passed over.
    """

    def __init__(
        self, rows: NDArray[np.int64], f2: _Floats, se: _Floats, rho: float, inner: _Floats
    ) -> None:
        self.rows, self.f2, self.se, self.rho = rows, f2, se, rho
        self._p = inner

    @classmethod
    def of_blocks(cls, sums: _Floats, sizes: NDArray[np.int64], n: int) -> Metric:
        """From sums over blocks of genes, shape (pairs, blocks), of n models."""
        total = sizes.sum()
        f2: _Floats = sums.sum(axis=1) / total
        apart = (sums / sizes - f2[:, None]) * np.sqrt(sizes / (total - sizes) / len(sizes))
        spread = np.sqrt((apart**2).sum(axis=1))
        # Models that never differ have no error; they do not pin the whole graph down.
        known = spread[spread > 0]
        se = np.maximum(spread, _FLOOR * float(np.median(known)) if len(known) else 1.0)
        u = apart / se[:, None]
        rho = _shrinkage(u)
        inner = u.T @ u
        inner[np.diag_indices_from(inner)] += rho / (1 - rho)
        # P P^T = U (rho/(1-rho) I + U^T U)^-1 U^T
        half = np.linalg.solve(np.linalg.cholesky(inner), u.T).T
        return cls(np.arange(n), f2, se, rho, half)

    def part(self, rows: NDArray[np.int64]) -> Metric:
        """Of some of the models, correlations passed over: for searching."""
        places = pair_places(rows, len(self.rows))
        return Metric(rows, self.f2[places], self.se[places], 1.0, np.zeros((len(places), 0)))

    def halves(self, x: _Floats) -> tuple[_Floats, _Floats]:
        """Two parts of x: x^T Sigma^-1 y is the first's product less the second's."""
        scaled = (x.T / self.se).T / np.sqrt(self.rho)
        return scaled, self._p.T @ scaled

    def product(self, x: _Floats, y: _Floats) -> _Floats:
        """x^T Sigma^-1 y."""
        (a, p), (b, q) = self.halves(x), self.halves(y)
        made: _Floats = a.T @ b - p.T @ q
        return made

    def inverse(self, y: _Floats) -> _Floats:
        """Sigma^-1 y."""
        a, p = self.halves(y)
        made: _Floats = ((a - self._p @ p).T / self.se).T / np.sqrt(self.rho)
        return made


def _shrinkage(u: _Floats) -> float:
    """Sum of the variances of off-diagonal correlations over the sum of their squares.

    `u` has rows of length 1: the correlation of two rows is their product, a sum over
    blocks of terms t, whose variance is about sum (t - mean)^2.
    """
    gram = u.T @ u
    own = (u**2).sum(axis=1)
    squares = float((gram**2).sum() - own @ own)
    if squares <= 0:
        return _MOST_SHRUNK
    # Over pairs and blocks, t^2 adds up to (sum over rows of u^2)^2 less what a row makes alone.
    column = (u**2).sum(axis=0)
    terms = float((column**2).sum() - (u**4).sum())
    variance = terms - squares / u.shape[1]
    return float(np.clip(variance / squares, 1 - _MOST_SHRUNK, _MOST_SHRUNK))


@dataclass(frozen=True, eq=False)
class Fit:
    """A graph fitted to f2.

    Attributes
    ----------
    graph : Descent
    weights : ndarray, shape (mixtures,)
    lengths : ndarray, shape (branches,)
    fitted : ndarray, shape (pairs,)
    score : float
        Squared residual in units of the covariance.
    """

    graph: Descent
    weights: _Floats
    lengths: _Floats
    fitted: _Floats
    score: float


def fit_lengths(metric: Metric, graph: Descent, weights: _Floats) -> Fit:
    """Least squares of the lengths, which are not negative, at given shares."""
    from scipy.linalg import cholesky, solve_triangular
    from scipy.optimize import nnls

    design = graph.design(weights)
    used = np.ones(design.shape[1], bool)
    if graph.spare >= 0:
        used[graph.spare] = False
    x = design[:, used]
    (a, p), (b, q) = metric.halves(x), metric.halves(metric.f2)
    gram = a.T @ a - p.T @ p
    gram[np.diag_indices_from(gram)] += 1e-10 * np.trace(gram) / len(gram)
    root = cholesky(gram)
    target = solve_triangular(root, a.T @ b - p.T @ q, trans="T")
    found, _ = nnls(root, target, maxiter=50 * len(gram))
    lengths = np.zeros(design.shape[1])
    lengths[used] = found
    fitted = design @ lengths
    return Fit(graph, weights, lengths, fitted, _score(metric, fitted))


def _score(metric: Metric, fitted: _Floats) -> float:
    apart = metric.f2 - fitted
    return float(metric.product(apart, apart))


def fit_shares(metric: Metric, graph: Descent, weights: _Floats) -> Fit:
    """Least squares of lengths and shares: each share in turn, lengths refitted at every trial."""
    best = fit_lengths(metric, graph, weights)
    for _ in range(_CYCLES if len(weights) > 1 else 1):
        before = best.score
        for k in range(len(weights)):
            made = _with_share(metric, best, k)
            if made.score < best.score:
                best = made
        if before - best.score <= _SETTLED * before:
            break
    return best


def _with_share(metric: Metric, fit: Fit, k: int) -> Fit:
    """The best fit of all values of one share."""
    from scipy.optimize import minimize_scalar

    def trial(w: float) -> Fit:
        moved = fit.weights.copy()
        moved[k] = w
        return fit_lengths(metric, fit.graph, moved)

    found = minimize_scalar(
        lambda w: trial(w).score, bounds=(0.0, 1.0), method="bounded", options={"xatol": 1e-4}
    )
    return trial(float(found.x))


def tangent(fit: Fit) -> _Floats:
    """How fitted f2 moves with lengths and shares, shape (pairs, branches + mixtures)."""
    design = fit.graph.design(fit.weights)
    if fit.graph.spare >= 0:
        design = np.delete(design, fit.graph.spare, axis=1)
    columns = [design]
    for k in range(len(fit.weights)):
        # f2 is quadratic in a share: a central difference is exact.
        moved = []
        for step in (0.25, -0.25):
            weights = fit.weights.copy()
            weights[k] += step
            moved.append(fit.graph.design(weights) @ fit.lengths)
        columns.append(((moved[0] - moved[1]) / 0.5)[:, None])
    return np.concatenate(columns, axis=1)
