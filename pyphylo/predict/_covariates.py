"""What is known of models beside their distances: scaled, and filled where unknown."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyphylo.errors import InputError

__all__ = ["Covariates"]


class Covariates:
    """Scaling of covariates as the training models have them.

    An unknown value counts as the mean, and a column of its own says that it is unknown.

    Parameters
    ----------
    values : array_like of shape (n, c) or (n,), optional
    n : int
        Training models.
    """

    def __init__(self, values: ArrayLike | None, n: int) -> None:
        self.count = 0
        if values is None:
            return
        table = _table(values, n)
        empty = np.flatnonzero(np.isnan(table).all(axis=0))
        if len(empty):
            raise InputError(f"covariate {empty[0]} is unknown for every model: leave it out")
        self.count = table.shape[1]
        self.mean = np.nanmean(table, axis=0)
        spread = np.nanstd(table, axis=0)
        self.spread = np.where(spread > 0, spread, 1.0)
        self.flagged = np.isnan(table).any(axis=0)

    def columns(self, values: ArrayLike | None, n: int) -> NDArray[np.float64]:
        """Columns of unit deviation and flags, shape (n, c + flagged); (n, 0) without any."""
        if (values is not None) != (self.count > 0):
            raise InputError("covariates must be given to fit and to predict, or to neither")
        if values is None:
            return np.zeros((n, 0))
        table = _table(values, n)
        if table.shape[1] != self.count:
            raise InputError(f"{table.shape[1]} covariates; fit had {self.count}")
        unknown = np.isnan(table)
        scaled = np.where(unknown, 0.0, (table - self.mean) / self.spread)
        return np.hstack([scaled, unknown[:, self.flagged].astype(np.float64)])


def _table(values: ArrayLike, n: int) -> NDArray[np.float64]:
    table = np.asarray(values, dtype=np.float64)
    if table.ndim == 1:
        table = table[:, None]
    if table.ndim != 2 or len(table) != n:
        raise InputError(f"covariates of shape {table.shape} for {n} models: one row each")
    if np.isinf(table).any():
        row, column = np.argwhere(np.isinf(table))[0]
        raise InputError(f"covariate {column} of row {row} is infinite")
    return table
