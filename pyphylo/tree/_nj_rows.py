"""The distances that neighbor joining works on: filled, summed, and rid of joined nodes.

Nodes are numbered by age: tips in order, then joined nodes as they come. `at` says in which row
of memory a node's distances lie. Between tips they are what was given, both ways, with zeros in
the diagonal. A joined node's distances to all older nodes overwrite a row of one of the two
joined; no other row is written to. So

    D[at[i], j] is the distance of i and j where j < i, or i and j are both among the `closed`
    first nodes, which were there when gaps were last closed,

and a node's distances lie in its row up to those nodes and down its column from there on. When
columns run out, or a quarter as many nodes have come as there were, the columns of joined nodes
are dropped and every distance stands both ways again.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled, compiled_bare
from pyphylo.tree._intrinsics import larger

__all__ = [
    "BLOCK",
    "DEAD",
    "PARTIAL",
    "close_gaps",
    "columns",
    "distances_of",
    "fill_from_condensed",
    "fill_from_square",
    "mirror",
    "room",
    "row_sum",
    "sum_rows",
]

BLOCK = 256
"""Nodes that share a bound in every row."""
DEAD = -np.inf
"""The row sum of a joined node: it makes every Q of the node +inf."""
PARTIAL = 64
"""Sums that a row's sum is made of."""
_TILE = 128


@compiled_bare
def columns(n: int) -> int:
    """Columns that memory is taken for: n tips and some joined nodes, in whole lines."""
    return -(-(n + max(1, n // 4)) // 16) * 16


@compiled_bare
def room(n: int, live: int) -> int:
    """Joins before gaps are closed, where `live` of n tips and their joins are left."""
    return max(1, min(columns(n) - live, live // 4))


@compiled_bare
def _copy(source: NDArray[Any], target: NDArray[Any]) -> float:
    """Copy a stretch of a row; its largest absolute value, +inf among them. NaN must not occur."""
    size = 0.0
    for k in range(source.shape[0]):
        target[k] = source[k]
        size = larger(abs(np.float64(target[k])), size)
    return float(size)


@compiled_bare
def fill_from_square(square: NDArray[Any], D: NDArray[Any], first: int, last: int) -> float:
    """Copy the rows first <= i < last; their largest absolute value."""
    n = square.shape[0]
    size = 0.0
    for i in range(first, last):
        size = max(size, _copy(square[i], D[i, :n]))
        D[i, i] = 0.0
    return size


@compiled_bare
def fill_from_condensed(
    condensed: NDArray[Any], D: NDArray[Any], n: int, first: int, last: int
) -> float:
    """As `fill_from_square`, from the upper triangle by rows; columns are filled with the rows.

    Fills D[i, j] and D[j, i] for first <= i < last and j > i, in tiles, so that the mirror
    image is taken from cache.
    """
    size = 0.0
    for top in range(first, last, _TILE):
        bottom = min(last, top + _TILE)
        for left in range(top, n, _TILE):
            right = min(n, left + _TILE)
            for i in range(top, bottom):
                begin = max(left, i + 1)
                if begin < right:
                    source = i * n - i * (i + 1) // 2 - i - 1
                    part = condensed[source + begin : source + right]
                    size = max(size, _copy(part, D[i, begin:right]))
            for j in range(left, right):
                for i in range(top, min(bottom, j)):
                    D[j, i] = D[i, j]
        for i in range(top, bottom):
            D[i, i] = 0.0
    return size


@compiled_bare
def row_sum(row: NDArray[Any], partial: NDArray[np.float64]) -> float:
    """Sum of a row: 64 sums of every 64th value, those halved by pairs, and the last few values.

    One running sum would wait for every addition; many keep a fixed order and need not.
    `partial` has their shape, (64,).
    """
    for k in range(PARTIAL):
        partial[k] = 0.0
    whole = row.shape[0] // PARTIAL * PARTIAL
    for start in range(0, whole, PARTIAL):
        part = row[start : start + PARTIAL]
        for k in range(PARTIAL):
            partial[k] += part[k]
    half = PARTIAL
    while half > 1:
        half //= 2
        for k in range(half):
            partial[k] += partial[half + k]
    total = partial[0]
    for k in range(whole, row.shape[0]):
        total += row[k]
    return float(total)


@compiled
def sum_rows(
    D: NDArray[Any], at: NDArray[np.int64], R: NDArray[np.float64], first: int, last: int
) -> None:
    """R[i] = the sum of node i's distances, for first <= i < last, when gaps are closed."""
    partial = np.empty(PARTIAL)
    for i in range(first, last):
        R[i] = row_sum(D[at[i], : R.shape[0]], partial)


@compiled_bare
def distances_of(
    D: NDArray[Any], at: NDArray[np.int64], a: int, closed: int, out: NDArray[Any]
) -> None:
    """Distances of node a to all others; its own entry is undefined."""
    known = max(a, closed)
    row = D[at[a]]
    for k in range(known):
        out[k] = row[k]
    for k in range(max(a + 1, known), out.shape[0]):
        out[k] = D[at[k], a]


@compiled_bare
def mirror(D: NDArray[Any], at: NDArray[np.int64], keep: NDArray[np.int64], closed: int) -> None:
    """Let the nodes of `keep`, which ascends, know their distances to those from `closed` on."""
    live = keep.shape[0]
    old = np.searchsorted(keep, closed)
    for left in range(old, live, _TILE):
        right = min(live, left + _TILE)
        for top in range(0, right, _TILE):
            for i in range(top, min(right, top + _TILE)):
                row = D[at[keep[i]]]
                for j in range(max(left, i + 1), right):
                    row[keep[j]] = D[at[keep[j]], keep[i]]


@compiled_bare
def close_gaps(row: NDArray[Any], keep: NDArray[np.uint32], own: int) -> None:
    """Move the columns of `keep`, which ascends, to the front of a row, and zero to `own`.

    In place, for columns only move to the front. Eight are read before any of them is written,
    so that they can be moved together.
    """
    whole = keep.shape[0] // 8 * 8
    for j in range(0, whole, 8):
        source = keep[j : j + 8]
        target = row[j : j + 8]
        x0 = row[source[0]]
        x1 = row[source[1]]
        x2 = row[source[2]]
        x3 = row[source[3]]
        x4 = row[source[4]]
        x5 = row[source[5]]
        x6 = row[source[6]]
        x7 = row[source[7]]
        target[0] = x0
        target[1] = x1
        target[2] = x2
        target[3] = x3
        target[4] = x4
        target[5] = x5
        target[6] = x6
        target[7] = x7
    for j in range(whole, keep.shape[0]):
        row[j] = row[keep[j]]
    row[own] = 0.0
