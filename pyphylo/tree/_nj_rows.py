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

Passes take 64 nodes at a time. Behind the last node, up to a multiple of 64, they find what a
joined node has: a row sum of -inf.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled, compiled_bare
from pyphylo.tree._intrinsics import LANES

__all__ = [
    "BLOCK",
    "DEAD",
    "columns",
    "complete_row",
    "halved",
    "pitch",
    "room",
    "sum_rows",
    "sums_afresh",
    "whole",
]

BLOCK = 256
"""Nodes that share a bound in every row."""
DEAD = -np.inf
"""The row sum of a joined node: it makes every Q of the node +inf."""
_FRESH = 64
"""Live nodes whose sums are always taken afresh when gaps are closed."""
_FEW = 32
"""Joined nodes that are not worth closing gaps for."""


@compiled_bare
def whole(nodes: int) -> int:
    """Nodes that a pass takes, for some that it is wanted for."""
    return -(-nodes // LANES) * LANES


@compiled_bare
def columns(n: int) -> int:
    """Columns that memory is taken for: n tips and some joined nodes, in whole lanes."""
    return whole(n + max(1, n // 5))


def pitch(n: int, itemsize: int) -> int:
    """Elements from one row of memory to the next: `columns`, as an odd number of lines.

    Rows an even number of lines apart share few places in a cache, and push each other out where
    columns are read.
    """
    line = 64 // itemsize
    return columns(n) + (line if columns(n) // line % 2 == 0 else 0)


@compiled_bare
def room(n: int, live: int) -> int:
    """Joins before gaps are closed, where `live` of n tips and their joins are left.

    Of the last few nodes pairs tie, as those of a quartet always do: with sums that are fresh
    for every join, the tie is seen.
    """
    few = min(_FEW, live // 2) if live > 8 else 1
    return max(1, min(columns(n) - live, max(few, live // 4)))


def sums_afresh(times: int, live: int) -> bool:
    """Whether row sums are taken afresh when gaps are closed, this being so the `times`-th time.

    That ends the rounding that updates gather, and reads all distances that are left.
    """
    return times % 2 == 0 or live <= _FRESH


@compiled_bare
def halved(partial: NDArray[np.float64]) -> float:
    """The sum of a row: 64 sums of every 64th value, shape (64,), are halved by pairs.

    One running sum would wait for every addition; many keep a fixed order and need not.
    """
    half = LANES
    while half > 1:
        half //= 2
        for k in range(half):
            partial[k] += partial[half + k]
    return float(partial[0])


@compiled
def sum_rows(
    D: NDArray[Any], at: NDArray[np.int64], R: NDArray[np.float64], first: int, last: int
) -> None:
    """R[i] = the sum of node i's distances, for first <= i < last, when gaps are closed."""
    partial = np.empty(LANES)
    n = R.shape[0]
    full = n // LANES * LANES
    for i in range(first, last):
        partial[:] = 0.0
        row = D[at[i]]
        for start in range(0, full, LANES):
            part = row[start : start + LANES]
            for k in range(LANES):
                partial[k] += part[k]
        for k in range(n - full):
            partial[k] += row[full + k]
        R[i] = halved(partial)


@compiled_bare
def complete_row(D: NDArray[Any], at: NDArray[np.int64], a: int, closed: int, m: int) -> None:
    """Write node a's distances to the nodes behind those its row knows, up to m, into its row.

    For a node that is being joined: its row is not read again.
    """
    row = D[at[a]]
    for k in range(max(a + 1, closed), m):
        row[k] = D[at[k], a]
