"""A conditional logit of parents: how much each kind of evidence weighs, learned from pairs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo._parents_features import FEATURES, Alternatives

__all__ = ["Examples", "fit", "probabilities"]

_STEPS = 50
_ENOUGH = 1e-9


@dataclass(frozen=True, eq=False)
class Examples:
    """Models of known parent with their alternatives, padded to one width.

    Attributes
    ----------
    features : ndarray of float64, shape (examples, k, features)
    valid : ndarray of bool, shape (examples, k)
    target : ndarray of int64, shape (examples,)
        Place of the parent among the alternatives.
    """

    features: NDArray[np.float64]
    valid: NDArray[np.bool_]
    target: NDArray[np.int64]

    @classmethod
    def of(cls, items: list[tuple[Alternatives, int]]) -> Examples:
        """Padded; those whose parent is not among the alternatives teach nothing."""
        items = [(a, p) for a, p in items if p in a.models]
        width = max((len(a.models) for a, _ in items), default=0)
        features = np.zeros((len(items), width, len(FEATURES)))
        valid = np.zeros((len(items), width), bool)
        target = np.zeros(len(items), np.int64)
        for row, (a, parent) in enumerate(items):
            features[row, : len(a.models)] = a.features
            valid[row, : len(a.models)] = True
            target[row] = int(np.flatnonzero(a.models == parent)[0])
        return cls(features, valid, target)


def probabilities(
    features: NDArray[np.float64], weights: NDArray[np.float64], valid: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Softmax of the weighted features over the last axis but one."""
    utility = np.where(valid, features @ weights, -np.inf)
    utility -= utility.max(axis=-1, keepdims=True)
    odds = np.exp(utility)
    share: NDArray[np.float64] = odds / odds.sum(axis=-1, keepdims=True)
    return share


def fit(examples: Examples, ridge: float) -> NDArray[np.float64]:
    """Weights of largest penalised likelihood (McFadden 1974), by Newton's steps.

    The penalty is ``ridge / 2`` times the squared weights of features scaled to
    unit standard deviation over all alternatives of all examples. It makes the
    objective strictly convex: the answer is unique.

    Notes
    -----
    O(steps x examples x alternatives x features^2).
    """
    n_features = examples.features.shape[2]
    if not len(examples.target):
        return np.zeros(n_features)
    scale = examples.features[examples.valid].std(axis=0)
    scale[scale < 1e-12] = np.inf
    X = examples.features / scale
    rows = np.arange(len(X))
    chosen = X[rows, examples.target]

    def loss(w: NDArray[np.float64]) -> float:
        p = probabilities(X, w, examples.valid)[rows, examples.target]
        return float(-np.log(np.maximum(p, 1e-300)).sum() + ridge / 2 * w @ w)

    weights = np.zeros(n_features)
    value = loss(weights)
    for _ in range(_STEPS):
        p = probabilities(X, weights, examples.valid)
        mean = np.einsum("nk,nkf->nf", p, X)
        gradient = (mean - chosen).sum(axis=0) + ridge * weights
        curvature = np.einsum("nk,nkf,nkg->fg", p, X, X, optimize=True) - mean.T @ mean
        step = np.linalg.solve(curvature + ridge * np.eye(n_features), gradient)
        size = 1.0
        # The objective is convex: a step that is short enough does not raise it.
        while (new := loss(weights - size * step)) > value and size > 1e-6:
            size /= 2
        weights = weights - size * step
        if value - new < _ENOUGH:
            break
        value = new
    unscaled: NDArray[np.float64] = weights / scale
    return unscaled
