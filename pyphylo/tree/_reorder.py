"""Distances in another order of models, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = ["reorder"]

_LINE = 16
"""Columns taken together: in the triangle's rows they are neighbours, in one or two cache lines."""


@compiled
def reorder(condensed: NDArray[Any], place: NDArray[np.int64], target: NDArray[Any]) -> None:
    """The square of a triangle by rows, item i at place[i], with a diagonal of zeros.

    Rows of the square are filled one after the other, for the items of a few neighbouring columns
    at a time: neither the triangle's columns nor the square's then jump through memory.
    """
    n = place.shape[0]
    for start in range(0, n, _LINE):
        stop = min(start + _LINE, n)
        for j in range(start):
            before = j * (2 * n - j - 1) // 2 - j - 1
            column = place[j]
            for i in range(start, stop):
                target[place[i], column] = condensed[before + i]
        for i in range(start, stop):
            row = target[place[i]]
            row[place[i]] = 0.0
            for j in range(start, i):
                row[place[j]] = condensed[j * (2 * n - j - 1) // 2 - j - 1 + i]
            before = i * (2 * n - i - 1) // 2 - i - 1
            for j in range(i + 1, n):
                row[place[j]] = condensed[before + j]
