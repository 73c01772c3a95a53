"""What `BenchmarkRegressor` expects of scores before it has seen them: a Gaussian process.

Each of its three ridge regressions is the mean of a process whose covariance is the
product of what the regression reads of two models. Their average has these columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cholesky, solve_triangular

from pyphylo.predict._ensemble import PENALTIES, Panel, inverse_root

__all__ = ["Prior", "own_factor", "prior_of"]

Array = NDArray[np.float64]

_MEAN_VARIANCE = 1.0
"""Of the common mean, in units of the signal's: with logits of unit variance, scores of
which nothing is known spread about evenly over the range."""

_FACTORS = (1.0, 3.0, 10.0, 30.0)
"""Of the models' own variances, to choose from: penalties that predict best are lower than
variances that are honest of kin."""


@dataclass
class Prior:
    """Covariance of the scores of n models, in units of the signal's mean variance.

    It is ``features @ features.T + diag(own)``: what models share, and what each has to
    itself, of which its relatives tell nothing.
    """

    features: Array
    own: Array


def prior_of(panel: Panel, landmarks: NDArray[np.intp], stiffness: float) -> Prior:
    """The prior of all models of a panel.

    Parameters
    ----------
    panel : Panel
        Of n models against r landmarks, which are among them.
    landmarks : ndarray of int, shape (r,)
        Their rows.
    stiffness : float
        Of the regression: its penalties are shares of the variance that is a model's own.

    Notes
    -----
    Time O(n r^2 + r^3), memory O(n r). With all models as landmarks the kernel is exact;
    otherwise what the landmarks do not tell of a similarity counts as the model's own.
    """
    near = panel.of_similarities()
    root = inverse_root(panel.similarities[landmarks], near.shape[1])
    kernel = near @ root
    # Of a similarity kernel the diagonal is 1; covariates lengthen both sides alike
    whole = 1.0 + (panel.covariates**2).sum(axis=1)
    missed = np.maximum(whole - (kernel**2).sum(axis=1), 0.0)
    parts, scales = [], []
    for part in (panel.of_distances(), near, kernel):
        centred = part - part.mean(axis=0)
        length = float((centred**2).sum() / len(part))
        scale = 1 / (len(PENALTIES) * length) if length > 0 else 0.0
        parts.append(centred * np.sqrt(scale))
        scales.append(scale)
    common = np.full((len(near), 1), np.sqrt(_MEAN_VARIANCE))
    own = stiffness * float(np.mean(PENALTIES)) + scales[-1] * missed
    return Prior(np.hstack([*parts, common]), own)


def own_factor(prior: Prior, targets: Array, most: int) -> float:
    """By how much models' own variances are larger than the penalties say: the likeliest.

    The likelihood of all benchmarks together, each with a signal variance of its own
    (profiled out), over at most so many rows of each, evenly spaced.

    Parameters
    ----------
    prior : Prior
    targets : ndarray of shape (n, b)
        Scores on the link's scale, NaN where unknown.
    most : int
    """
    likelihood = np.zeros(len(_FACTORS))
    for y in targets.T:
        rows = np.flatnonzero(~np.isnan(y))
        rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), most)).astype(np.intp)]
        shared = prior.features[rows] @ prior.features[rows].T
        deviation = y[rows] - y[rows].mean()
        for i, factor in enumerate(_FACTORS):
            root = cholesky(shared + np.diag(factor * prior.own[rows]), lower=True)
            z = solve_triangular(root, deviation, lower=True)
            signal = max(float(z @ z) / len(rows), 1e-300)
            likelihood[i] -= len(rows) / 2 * np.log(signal) + np.log(root.diagonal()).sum()
    return _FACTORS[int(likelihood.argmax())]
