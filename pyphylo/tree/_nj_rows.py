"""The distances that neighbor joining works on: filled, summed, and rid of joined nodes.

Nodes are numbered by age: tips in order, then joined nodes as they come. The square holds
between tips what it is given, both ways, and zeros in its diagonal. A joined node's row is put
behind the last and ends where its own column would begin; nothing is written into older rows. So

    D[i, j] is the distance of i and j wherever j < i, or both were there when gaps were last closed,

and a node's distances lie in its row up to the nodes of that moment, and down its column from
there on. When memory for another row runs out, or a fifth of the nodes are dead, rows and columns
of joined nodes are dropped and the square is whole again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = [
    "BLOCK",
    "DEAD",
    "capacity",
    "close_gaps",
    "distances_of",
    "fill_from_condensed",
    "fill_from_square",
    "room",
    "row_sum",
    "sum_live",
    "sum_rows",
]

BLOCK = 128
"""Nodes that share a bound in every row."""
DEAD = -np.inf
"""The row sum of a joined node: it makes every Q of the node +inf."""
_TILE = 64


@compiled
def capacity(n: int) -> int:
    """Rows and columns that memory is taken for: n tips and some joined nodes."""
    return n + max(1, n // 16)


@compiled
def room(n: int, live: int) -> int:
    """Joins before gaps are closed, where `live` of n tips and their joins are left."""
    return max(1, min(capacity(n) - live, live // 4))


@compiled
def fill_from_square(square: NDArray[Any], D: NDArray[Any], first: int, last: int) -> float:
    """Copy the rows first <= i < last; their largest absolute value, not finite if one is not."""
    n = square.shape[0]
    size = 0.0
    for i in range(first, last):
        target = D[i, :n]
        target[:] = square[i]
        target[i] = 0.0
        size = max(size, _largest(target))
    return size


@compiled
def fill_from_condensed(
    condensed: NDArray[Any], D: NDArray[Any], n: int, first: int, last: int
) -> float:
    """As `fill_from_square`, from the upper triangle by rows; columns are filled with the rows.

    Fills D[i, j] and D[j, i] for first <= i < last and j > i. The mirror image is written in
    tiles, which stay in cache.
    """
    size = 0.0
    for top in range(first, last, _TILE):
        bottom = min(last, top + _TILE)
        for i in range(top, bottom):
            start = i * n - i * (i + 1) // 2
            target = D[i, i + 1 : n]
            target[:] = condensed[start : start + n - i - 1]
            D[i, i] = 0.0
            size = max(size, _largest(target))
        for left in range(top, n, _TILE):
            for j in range(left, min(n, left + _TILE)):
                for i in range(top, min(bottom, j)):
                    D[j, i] = D[i, j]
    return size


@compiled
def _largest(row: NDArray[Any]) -> float:
    """The largest absolute value; not finite if one is not."""
    size = 0.0
    total = 0.0
    for k in range(row.shape[0]):
        value = abs(np.float64(row[k]))
        size = value if value > size else size
        total += value - value
    return size + total


@compiled
def row_sum(row: NDArray[Any]) -> float:
    """Sum of a row: eight sums of every eighth value, those in pairs, and the last few values.

    One running sum would wait for every addition; eight keep a fixed order and need not.
    """
    s0 = s1 = s2 = s3 = s4 = s5 = s6 = s7 = 0.0
    whole = row.shape[0] // 8 * 8
    for k in range(0, whole, 8):
        s0 += row[k]
        s1 += row[k + 1]
        s2 += row[k + 2]
        s3 += row[k + 3]
        s4 += row[k + 4]
        s5 += row[k + 5]
        s6 += row[k + 6]
        s7 += row[k + 7]
    total = ((s0 + s1) + (s2 + s3)) + ((s4 + s5) + (s6 + s7))
    for k in range(whole, row.shape[0]):
        total += row[k]
    return total


@compiled
def sum_live(row: NDArray[Any], R: NDArray[np.float64], scratch: NDArray[np.float64]) -> float:
    """Sum of a row in the order of `row_sum`, dead nodes counting nothing."""
    for k in range(row.shape[0]):
        scratch[k] = 0.0 if R[k] == DEAD else np.float64(row[k])
    return row_sum(scratch[: row.shape[0]])


@compiled
def sum_rows(D: NDArray[Any], R: NDArray[np.float64], first: int, last: int) -> None:
    """R[i] = the sum of row i, for first <= i < last, of a square without gaps."""
    for i in range(first, last):
        R[i] = row_sum(D[i, : R.shape[0]])


@compiled
def distances_of(D: NDArray[Any], a: int, closed: int, out: NDArray[Any]) -> None:
    """Distances of node a to all; `closed` nodes were there when gaps were last closed.

    Its own entry is undefined.
    """
    known = max(a, closed)
    out[:known] = D[a, :known]
    for k in range(max(a + 1, known), out.shape[0]):
        out[k] = D[k, a]


@compiled
def close_gaps(D: NDArray[Any], keep: NDArray[np.int64], closed: int) -> None:
    """Move rows and columns of `keep`, which ascends, to the front; make the square whole.

    In place: no number is written behind where it is still to be read from, because rows and
    columns only move to the front, and mirror images are written when all rows have moved.
    """
    live = keep.shape[0]
    old = 0
    for i in range(live):
        old += keep[i] < closed
    for i in range(live):
        source = D[keep[i]]
        target = D[i]
        for j in range(max(i, old)):
            target[j] = source[keep[j]]
        target[i] = 0.0
    for left in range(old, live, _TILE):
        right = min(live, left + _TILE)
        for top in range(0, right, _TILE):
            for i in range(top, min(right, top + _TILE)):
                for j in range(max(left, i + 1), right):
                    D[i, j] = D[j, i]
