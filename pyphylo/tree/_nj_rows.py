"""The distances that neighbor joining works on: where they lie, and their sums.

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

__all__ = [
    "BLOCK",
    "DEAD",
    "PARTIAL",
    "columns",
    "distances_of",
    "room",
    "row_sum",
    "sum_rows",
]

BLOCK = 256
"""Nodes that share a bound in every row."""
DEAD = -np.inf
"""The row sum of a joined node: it makes every Q of the node +inf."""
_FEW = 32
"""Joined nodes that are not worth closing gaps for."""
PARTIAL = 64
"""Sums that a row's sum is made of."""


@compiled_bare
def columns(n: int) -> int:
    """Columns that memory is taken for: n tips and some joined nodes, in whole lines."""
    return -(-(n + max(1, n // 4)) // 16) * 16


@compiled_bare
def room(n: int, live: int) -> int:
    """Joins before gaps are closed, where `live` of n tips and their joins are left.

    Of the last few nodes pairs tie, as those of a quartet always do: with sums that are fresh
    for every join, the tie is seen.
    """
    few = min(_FEW, live // 2) if live > 8 else 1
    return max(1, min(columns(n) - live, max(few, live // 4)))


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
