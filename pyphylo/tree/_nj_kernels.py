"""Neighbor joining and BIONJ, compiled: exact.

What is minimised
-----------------
With `live` live nodes, `c = live - 2`, float64 row sums `R` and stored distances `d`,

    Q(i, j) = c d(i, j) - (R_i + R_j)          rounded to float64 after each operation,

which is the same number for (i, j) and (j, i). The pair with the smallest Q is joined; among
equals the one whose places come first, lexicographically. A tip's place is its place in the
matrix, a new node takes the smaller place of the two it joins. Nothing here reorders or fuses
arithmetic, so the slow version in `_reference.py` makes the same choices bit for bit.

Nodes are numbered by age
-------------------------
Tips in order, then joined nodes as they come; a pair belongs to its younger node. Rows are kept
as `_nj_rows.py` describes: no live node's row changes until gaps are closed.

How the pair is found is told in `_nj_search.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled, compiled_bare
from pyphylo.tree import _nj_rows, _nj_search
from pyphylo.tree._intrinsics import larger
from pyphylo.tree._nj_rows import BLOCK, DEAD

__all__ = ["DONE", "OVERFLOW", "join_all"]

DONE = 0
OVERFLOW = -1

_LEADING = 16
"""Joins for which leads are kept."""


@compiled_bare
def _join_rows(
    first: NDArray[Any],
    second: NDArray[Any],
    joined: NDArray[Any],
    R: NDArray[np.float64],
    distance: float,
    counted: NDArray[np.float64],
) -> float:
    """The new node's row and the other row sums; the largest |distance| made.

    Both joined nodes are dead already. Dead nodes get +inf, and zero in `counted`, the row that
    is summed.
    """
    size = 0.0
    for k in range(R.shape[0]):
        x = np.float64(first[k])
        y = np.float64(second[k])
        dead = R[k] == DEAD
        joined[k] = np.inf if dead else 0.5 * ((x + y) - distance)
        stored = np.float64(joined[k])
        counted[k] = 0.0 if dead else stored
        R[k] = DEAD if dead else R[k] + ((stored - x) - y)
        size = larger(0.0 if dead else abs(stored), size)
    return size


@compiled_bare
def _weight(
    first: NDArray[Any], second: NDArray[Any], R: NDArray[np.float64], between: float, live: int
) -> float:
    """BIONJ's weight of the first of two joined nodes, from their variances; both are dead."""
    if between == 0.0:
        return 0.5
    total = 0.0
    for k in range(R.shape[0]):
        if R[k] != DEAD:
            total += np.float64(second[k]) - np.float64(first[k])
    weight = 0.5 + total / (2.0 * (live - 2) * between)
    return min(max(weight, 0.0), 1.0)


@compiled_bare
def _join_weighted(
    first: NDArray[Any],
    second: NDArray[Any],
    joined: NDArray[Any],
    variances: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    R: NDArray[np.float64],
    branches: tuple[float, float],
    between: float,
    weight: float,
    counted: NDArray[np.float64],
) -> float:
    """As `_join_rows`, with BIONJ's weight; also the new node's row of variances.

    `branches` are the lengths above the two, `between` their variance.
    """
    size = 0.0
    rest = 1.0 - weight
    own = variances[0]
    other = variances[1]
    new = variances[2]
    for k in range(R.shape[0]):
        x = np.float64(first[k])
        y = np.float64(second[k])
        if R[k] == DEAD:
            joined[k] = np.inf
            new[k] = 0.0
            counted[k] = 0.0
            continue
        joined[k] = weight * (x - branches[0]) + rest * (y - branches[1])
        stored = np.float64(joined[k])
        counted[k] = stored
        R[k] = R[k] + ((stored - x) - y)
        size = max(size, abs(stored))
        new[k] = (weight * own[k] + rest * other[k]) - weight * rest * between
    return size


@compiled
def _drop_joined(
    nodes: _nj_search.Nodes, m: int, fallen: NDArray[np.float64], kept: NDArray[np.int64]
) -> int:
    """Drop the joined of m nodes, keeping the order; write those that stay, and give their number.

    A block's new bound is the least of the blocks its nodes come from.
    """
    moved = np.empty(m, np.int64)
    live = 0
    for k in range(m):
        if nodes.R[k] != DEAD:
            kept[live] = k
            # Where the node goes, for partners.
            moved[k] = live
            live += 1
    for i in range(live):
        k = kept[i]
        nodes.u[i] = nodes.u[k]
        nodes.at[i] = nodes.at[k]
        nodes.place[i] = nodes.place[k]
        nodes.ident[i] = nodes.ident[k]
        nodes.low[i] = nodes.low[k]
        gone = nodes.R[nodes.partner[k]] == DEAD
        nodes.near[i] = np.inf if gone else nodes.near[k]
        nodes.partner[i] = 0 if gone else moved[nodes.partner[k]]
        for b in range((i + BLOCK - 1) // BLOCK):
            first = kept[b * BLOCK] // BLOCK
            last = kept[min(i, (b + 1) * BLOCK) - 1] // BLOCK
            least = np.inf
            for old in range(first, last + 1):
                least = min(least, nodes.bounds[k, old] - fallen[old])
            nodes.bounds[i, b] = least
    return live


@compiled
def join_all(
    n: int,
    D: NDArray[Any],
    V: NDArray[Any],
    nodes: _nj_search.Nodes,
    largest: float,
    live: int,
    kept: NDArray[np.int64],
    children: NDArray[np.int64],
    lengths: NDArray[np.float64],
) -> tuple[int, float]:
    """Join until gaps are to be closed, or three nodes are left, then those three.

    Parameters
    ----------
    n : int
        Tips.
    D : (n, N) array, overwritten, with N = columns(n)
        Distances of the live nodes, both ways.
    V : array as D, overwritten, or (0, 0)
        BIONJ's variances; without them, neighbor joining's averages are taken.
    nodes : _nj_search.Nodes, overwritten
        At first row sums, R / (n - 2), places, numbers, and what `scan_rows` found, of the tips.
    largest : float
        At least every absolute distance.
    live : int
        Nodes that are live: n at first, later what the last call left.
    kept : (N,) array, overwritten
        Where the answer is GAPS, which nodes stay.
    children, lengths : (n - 2, 3) arrays, filled
        Row t holds the children of node n + t and the branches above them; the
        third column is -1 and 0 in all rows but the last.

    Returns
    -------
    live : int
        Nodes whose gaps the caller is to close (`_core.close_gaps` with `nodes.at` and `kept`)
        before it calls again; DONE; or OVERFLOW where the search cannot go on.
    largest : float
        For the next call.

    Notes
    -----
    O(n^2) a join at worst, about O(n) on distances that resemble a tree.
    """
    N = D.shape[1]
    R = nodes.R
    blocks = nodes.bounds.shape[1]
    queue = np.empty((_nj_search.QUEUE + blocks, 2), np.int64)
    ends = np.empty((2, N), D.dtype)
    variances = np.empty((2, N if V.shape[0] > 0 else 0), D.dtype)
    scratch = np.empty(N)
    partial = np.empty(_nj_rows.PARTIAL)
    rises = np.zeros(blocks)
    fallen = np.zeros(blocks)
    m = live
    closed = live
    led = N + 1
    leads = np.empty(N // _nj_search.CHUNK + 1, np.int64)
    size_u = np.abs(nodes.u[:live]).max()
    if live < n:
        # Sums are taken afresh, which ends the rounding that updates gather.
        _nj_rows.sum_rows(D, nodes.at, R[:live], 0, live)
    while live > 3:
        c = float(live - 2)
        pair = (np.inf, -1, -1)
        young = m - 1 if live < n else -1
        if live < n:
            size_u = _nj_search.refresh_u(R[:m], nodes.u[:m], c, rises)
        pad = _nj_search.padding(largest, size_u, np.abs(fallen).max() + np.abs(rises).max())
        if live < n:
            for t in range(blocks):
                fallen[t] += rises[t] + pad
            # No d - u is below the floor, so no bound needs to be.
            _nj_search.lower(nodes.low[: m - 1], rises, pad, -(largest + 2.0 * size_u + pad))
            q = _nj_search.scan_row(
                D[nodes.at[m - 1], : m - 1], R[:m], nodes, m - 1, c, pad, fallen
            )
            pair = (q, m - 1, nodes.partner[m - 1])
        if (n - live) % _LEADING == 0 or led > m:
            _nj_search.choose_leads(nodes, m, c, leads)
            led = m
        q, a, b = _nj_search.find(D, nodes, m, c, pad, fallen, kept, queue, led, leads, young, pair)
        if not q < np.inf:
            return OVERFLOW, largest
        distance = np.float64(D[nodes.at[a], b])
        between = np.float64(V[nodes.at[a], b]) if V.shape[0] > 0 else 0.0
        if nodes.place[b] < nodes.place[a]:
            a, b = b, a

        delta = (R[a] - R[b]) / c
        step = n - live
        children[step, 0] = nodes.ident[a]
        children[step, 1] = nodes.ident[b]
        children[step, 2] = -1
        lengths[step, 0] = 0.5 * (distance + delta)
        lengths[step, 1] = 0.5 * (distance - delta)
        lengths[step, 2] = 0.0

        R[a] = DEAD
        R[b] = DEAD
        _nj_rows.distances_of(D, nodes.at, a, closed, ends[0, :m])
        _nj_rows.distances_of(D, nodes.at, b, closed, ends[1, :m])
        # Both were copied, so the new node's distances may overwrite one's.
        nodes.at[m] = nodes.at[a]
        joined = D[nodes.at[m], :m]
        if V.shape[0] > 0:
            _nj_rows.distances_of(V, nodes.at, a, closed, variances[0, :m])
            _nj_rows.distances_of(V, nodes.at, b, closed, variances[1, :m])
            weight = _weight(variances[0, :m], variances[1, :m], R[:m], between, live)
            size = _join_weighted(
                ends[0, :m],
                ends[1, :m],
                joined,
                (variances[0, :m], variances[1, :m], V[nodes.at[m], :m]),
                R[:m],
                (lengths[step, 0], lengths[step, 1]),
                between,
                weight,
                scratch[:m],
            )
        else:
            size = _join_rows(ends[0, :m], ends[1, :m], joined, R[:m], distance, scratch[:m])
        largest = max(largest, size)
        R[m] = _nj_rows.row_sum(scratch[:m], partial)
        nodes.u[m] = np.inf
        nodes.low[m] = np.inf
        nodes.near[m] = np.inf
        nodes.partner[m] = 0
        nodes.place[m] = nodes.place[a]
        nodes.ident[m] = n + step
        m += 1
        live -= 1
        if m == closed + _nj_rows.room(n, closed) and live > 3:
            return _drop_joined(nodes, m, fallen, kept), largest

    last = np.empty(3, np.int64)
    count = 0
    for k in range(m):
        if R[k] != DEAD:
            last[count] = k
            count += 1
    # By place, as every pair.
    for _ in range(2):
        for t in range(2):
            if nodes.place[last[t + 1]] < nodes.place[last[t]]:
                last[t], last[t + 1] = last[t + 1], last[t]
    d_xy = np.float64(D[nodes.at[max(last[0], last[1])], min(last[0], last[1])])
    d_xz = np.float64(D[nodes.at[max(last[0], last[2])], min(last[0], last[2])])
    d_yz = np.float64(D[nodes.at[max(last[1], last[2])], min(last[1], last[2])])
    for t in range(3):
        children[n - 3, t] = nodes.ident[last[t]]
    lengths[n - 3, 0] = 0.5 * ((d_xy + d_xz) - d_yz)
    lengths[n - 3, 1] = 0.5 * ((d_xy + d_yz) - d_xz)
    lengths[n - 3, 2] = 0.5 * ((d_xz + d_yz) - d_xy)
    return DONE, largest
