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
from pyphylo.tree._intrinsics import LANES, larger
from pyphylo.tree._nj_rows import BLOCK, DEAD, whole

__all__ = ["DONE", "OVERFLOW", "join_all"]

DONE = 0
OVERFLOW = -1

_LEADING = 8
"""Joins for which leads are kept."""


@compiled_bare
def _join_rows(
    first: NDArray[Any],
    second: NDArray[Any],
    R: NDArray[np.float64],
    distance: float,
    partial: NDArray[np.float64],
) -> float:
    """Write the new node's row over the first, and the other row sums; the largest |distance| made.

    Both joined nodes are dead already. Dead nodes get +inf. `partial` becomes what the row's sum is
    halved from.
    """
    size = 0.0
    partial[:] = 0.0
    for s in range(0, R.shape[0], LANES):
        one = first[s : s + LANES]
        two = second[s : s + LANES]
        sums = R[s : s + LANES]
        for k in range(LANES):
            x = np.float64(one[k])
            y = np.float64(two[k])
            dead = sums[k] == DEAD
            one[k] = np.inf if dead else 0.5 * ((x + y) - distance)
            stored = np.float64(one[k])
            partial[k] += 0.0 if dead else stored
            sums[k] = DEAD if dead else sums[k] + ((stored - x) - y)
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
    own: NDArray[Any],
    other: NDArray[Any],
    R: NDArray[np.float64],
    branches: tuple[float, float],
    between: float,
    weight: float,
    partial: NDArray[np.float64],
) -> float:
    """As `_join_rows`, with BIONJ's weight; also the new node's row of variances, over the first's.

    `own` and `other` are the rows of variances, `branches` the lengths above the two, `between`
    their variance.
    """
    size = 0.0
    rest = 1.0 - weight
    partial[:] = 0.0
    for k in range(R.shape[0]):
        x = np.float64(first[k])
        y = np.float64(second[k])
        if R[k] == DEAD:
            first[k] = np.inf
            own[k] = 0.0
            continue
        first[k] = weight * (x - branches[0]) + rest * (y - branches[1])
        stored = np.float64(first[k])
        partial[k % LANES] += stored
        R[k] = R[k] + ((stored - x) - y)
        size = max(size, abs(stored))
        own[k] = (weight * own[k] + rest * other[k]) - weight * rest * between
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
    for i in range(live):
        nodes.R[i] = nodes.R[kept[i]]
    _clear(nodes, live, m)
    return live


@compiled_bare
def _clear(nodes: _nj_search.Nodes, first: int, last: int) -> None:
    """Make places of nodes what they are behind the last one."""
    for k in range(first, last):
        nodes.R[k] = DEAD
        nodes.u[k] = -np.inf
        nodes.low[k] = np.inf
        nodes.near[k] = np.inf
        nodes.partner[k] = 0


@compiled
def join_all(
    n: int,
    D: NDArray[Any],
    V: NDArray[Any],
    nodes: _nj_search.Nodes,
    largest: float,
    live: int,
    fresh: bool,
    kept: NDArray[np.int64],
    children: NDArray[np.int64],
    lengths: NDArray[np.float64],
) -> tuple[int, float]:
    """Join until gaps are to be closed, or three nodes are left, then those three.

    Parameters
    ----------
    n : int
        Tips.
    D : (n, pitch) array, overwritten, with pitch >= N = columns(n)
        Distances of the live nodes, both ways.
    V : array as D, overwritten, or (0, 0)
        BIONJ's variances; without them, neighbor joining's averages are taken.
    nodes : _nj_search.Nodes, overwritten
        At first row sums, R / (n - 2), places, numbers, and what `scan_rows` found, of the tips.
    largest : float
        At least every absolute distance.
    live : int
        Nodes that are live: n at first, later what the last call left.
    fresh : bool
        Whether row sums are taken anew.
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
    R = nodes.R
    N = R.shape[0]
    blocks = nodes.bounds.shape[1]
    queue = np.empty((_nj_search.QUEUE + blocks, 2), np.int64)
    found = np.empty(_nj_search.QUEUE + blocks)
    partial = np.empty(LANES)
    fallen = np.zeros(blocks)
    m = live
    closed = live
    led = N + 1
    leads = np.empty(N // LANES + 1, np.int64)
    if fresh:
        _nj_rows.sum_rows(D, nodes.at, R[:live], 0, live)
    while live > 3:
        c = float(live - 2)
        pair = (np.inf, -1, -1)
        young = m - 1 if live < n else -1
        pad = _nj_search.padding(largest, fallen)
        if live < n:
            # No d - u is below this, so no bound needs to be.
            floor = -(5.0 * largest + pad)
            _nj_search.refresh(nodes, m, c, pad, floor, fallen)
            q = _nj_search.scan_row(D[nodes.at[m - 1]], nodes, m - 1, c, pad, fallen)
            pair = (q, m - 1, nodes.partner[m - 1])
        if (n - live) % _LEADING == 0 or led > m:
            _nj_search.choose_leads(nodes, m, c, leads)
            led = m
        q, a, b = _nj_search.find(
            D, nodes, m, c, pad, fallen, kept, queue, found, led, leads, young, pair
        )
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
        taken = whole(m)
        _nj_rows.complete_row(D, nodes.at, a, closed, m)
        _nj_rows.complete_row(D, nodes.at, b, closed, m)
        first = D[nodes.at[a], :taken]
        second = D[nodes.at[b], :taken]
        if V.shape[0] > 0:
            _nj_rows.complete_row(V, nodes.at, a, closed, m)
            _nj_rows.complete_row(V, nodes.at, b, closed, m)
            own = V[nodes.at[a], :taken]
            other = V[nodes.at[b], :taken]
            weight = _weight(own, other, R[:taken], between, live)
            size = _join_weighted(
                first,
                second,
                own,
                other,
                R[:taken],
                (lengths[step, 0], lengths[step, 1]),
                between,
                weight,
                partial,
            )
        else:
            size = _join_rows(first, second, R[:taken], distance, partial)
        largest = max(largest, size)
        R[m] = _nj_rows.halved(partial)
        nodes.at[m] = nodes.at[a]
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
