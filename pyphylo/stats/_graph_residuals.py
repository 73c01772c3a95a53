"""What a fitted graph leaves: f2 of pairs, and the worst f3 and f4."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo.stats._f_panel import F2Panel
from pyphylo.stats._graph_fit import Metric

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Residual", "pair_residuals", "worst_residuals"]

_Floats = NDArray[np.float64]


class Residual(NamedTuple):
    """An f3 or f4 that a graph fits badly.

    Attributes
    ----------
    statistic : {"f3", "f4"}
    models : tuple of str
        Of f3, the target first.
    observed, fitted, z : float
        z is their difference in standard errors of the observed one.
    """

    statistic: str
    models: tuple[str, ...]
    observed: float
    fitted: float
    z: float


def pair_residuals(names: tuple[str, ...], metric: Metric, fitted: _Floats) -> pd.DataFrame:
    """A row a pair: observed and fitted f2, the jackknife error, and z; the worst first."""
    import pandas as pd

    i, j = np.triu_indices(len(names), 1)
    z = (metric.f2 - fitted) / metric.se
    order = np.argsort(-np.abs(z), kind="stable")
    frame: pd.DataFrame = pd.DataFrame(
        {
            "a": [names[k] for k in i[order].tolist()],
            "b": [names[k] for k in j[order].tolist()],
            "observed": metric.f2[order],
            "fitted": fitted[order],
            "se": metric.se[order],
            "z": z[order],
        }
    )
    return frame


def worst_residuals(
    panel: F2Panel, fits: Sequence[_Floats], n_threads: int
) -> tuple[int, list[Residual]]:
    """How many f3 and f4 there are, and of each fit the one that is farthest off in errors."""
    n = len(panel.models)
    quadruples = _all_f3_f4(n)
    observed, error = panel.f4_moments(quadruples, n_threads)
    floor = 0.05 * np.median(error[error > 0]) if (error > 0).any() else 1.0
    error = np.maximum(error, floor)
    found = []
    for fitted in fits:
        square = np.zeros((n, n))
        i, j = np.triu_indices(n, 1)
        square[i, j] = square[j, i] = fitted
        a, b, c, d = quadruples.T
        expected = (square[a, d] + square[b, c] - square[a, c] - square[b, d]) / 2
        z = (observed - expected) / error
        k = int(np.argmax(np.abs(z)))
        rows = quadruples[k].tolist()
        # f3(c; a, b) is f4(c, a; c, b).
        is_f3 = rows[0] == rows[2]
        members = [rows[0], rows[1], rows[3]] if is_f3 else rows
        found.append(
            Residual(
                "f3" if is_f3 else "f4",
                tuple(panel.models[row] for row in members),
                float(observed[k]),
                float(expected[k]),
                float(z[k]),
            )
        )
    return len(quadruples), found


def _all_f3_f4(n: int) -> NDArray[np.int64]:
    """Rows (c, a, c, b) of all f3 and (a, b, c, d) of all f4, each once up to sign."""
    four = np.array(list(itertools.combinations(range(n), 4)), dtype=np.int64).reshape(-1, 4)
    three = np.array(list(itertools.combinations(range(n), 3)), dtype=np.int64).reshape(-1, 3)
    f4 = [four[:, order] for order in ([0, 1, 2, 3], [0, 2, 1, 3], [0, 3, 1, 2])]
    f3 = [three[:, order] for order in ([0, 1, 0, 2], [1, 0, 1, 2], [2, 0, 2, 1])]
    return np.concatenate([*f3, *f4])
