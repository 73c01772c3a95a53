"""What `BenchmarkRegressor` expects of scores before it has seen them: a Gaussian process.

Each of its three ridge regressions is the mean of a process whose covariance is the
product of what the regression reads of two models. Their average has these columns.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo.predict._ensemble import PENALTIES, Panel, inverse_root

__all__ = ["Prior", "prior_of"]

Array = NDArray[np.float64]

_MEAN_VARIANCE = 1.0
"""Of the common mean, in units of the signal's: with logits of unit variance, scores of
which nothing is known spread about evenly over the range."""


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
