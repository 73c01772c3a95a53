"""What any predictor must beat: mean of the training fold, parameters, relatives.

Each takes training rows and rows to predict and says scores as fractions of 1, NaN
where it has nothing to go by.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BASELINES", "Known", "grouped_errors"]

Rows = NDArray[np.intp]
Predictor = Callable[[Rows, Rows], NDArray[np.float64]]


@dataclass
class Known:
    """One benchmark's scores and what else is known of the models.

    `parents` holds each model's base model as a row, -1 where unknown; `params_b`
    billions of parameters, NaN where unknown.
    """

    scores: NDArray[np.float64]
    distances: NDArray[np.float64]
    params_b: NDArray[np.float64] | None = None
    parents: NDArray[np.intp] | None = None

    def mean(self, train: Rows, test: Rows) -> NDArray[np.float64]:
        """The mean score of the training rows."""
        return np.full(len(test), float(self.scores[train].mean()))

    def parameters(self, train: Rows, test: Rows) -> NDArray[np.float64]:
        """A line through score against log parameters."""
        out = np.full(len(test), np.nan)
        if self.params_b is None:
            return out
        size = np.log(self.params_b)
        train = train[~np.isnan(size[train])]
        if len(train) < 3 or np.ptp(size[train]) == 0:
            return out
        slope, intercept = np.polyfit(size[train], self.scores[train], 1)
        return np.asarray(np.clip(slope * size[test] + intercept, 0.0, 1.0))

    def nearest(self, train: Rows, test: Rows) -> NDArray[np.float64]:
        """The score of the nearest training model."""
        closest = self.distances[np.ix_(test, train)].argmin(axis=1)
        return np.asarray(self.scores[train[closest]])

    def same_base(self, train: Rows, test: Rows) -> NDArray[np.float64]:
        """The base model's score, or the mean of its other fine-tunes."""
        out = np.full(len(test), np.nan)
        if self.parents is None:
            return out
        for i, row in enumerate(test):
            parent = self.parents[row]
            if parent < 0:
                continue
            own = train[train == parent]
            kin = own if len(own) else train[self.parents[train] == parent]
            if len(kin):
                out[i] = self.scores[kin].mean()
        return out


BASELINES: dict[str, Callable[[Known, Rows, Rows], NDArray[np.float64]]] = {
    "fold mean": Known.mean,
    "parameters only": Known.parameters,
    "nearest relative": Known.nearest,
    "same base model": Known.same_base,
}


def grouped_errors(
    predict: Predictor, scores: NDArray[np.float64], rows: Rows, folds: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Errors on rows whose fold was left out, of those that could be predicted."""
    errors = []
    for fold in np.unique(folds):
        train, test = rows[folds != fold], rows[folds == fold]
        if len(train) < 3:
            continue
        errors.append(predict(train, test) - scores[test])
    found = np.concatenate(errors) if errors else np.zeros(0)
    return np.asarray(found[~np.isnan(found)])
