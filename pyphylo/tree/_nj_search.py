"""The pair with the smallest Q, without reading most of the matrix.

How most of the matrix is skipped
---------------------------------
With u_k = R_k / c, minimising Q is minimising d(i, j) - u_i - u_j. A row is cut into blocks. In
real numbers every live row i keeps

    low_i                       <= d(i, j) - u_j   for every live j before i
    bounds[i, b] - fallen[b]    <= d(i, j) - u_j   for every live j before i in block b

so that low_i - u_i bounds all of the row's pairs from below, and a partner whose Q is an upper
bound on the smallest. A join removes two nodes, which can only raise the right sides, and raises
the u_j of a block by at most some `rise`, by which the block's bounds fall (all at once: `fallen`
adds the rises up) and low_i by the largest of them. The new node's row is read once. Of other
rows only blocks whose bound undercuts the best partner's Q are read again; which they are is
known some blocks ahead, so that memory is asked for them early.

Every comparison of bounds leaves room for rounding. With W >= |d| + 2 |u| + |fallen| over all
live nodes and blocks, each of the fewer than ten operations between a Q and a bound errs by at
most eps W / 2, so bounds are lowered by pad = 8 eps W: a block is then skipped only if none of its
pairs can attain the smallest Q, and ties are decided among pairs that were all read. A row of 4
or more live nodes has |u| < 2 max |d|, and no u rises by more than twice that.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled, compiled_bare
from pyphylo.tree._intrinsics import (
    LANES,
    at_most,
    first_bit,
    has_q,
    larger,
    least_q,
    prefetch,
    smaller,
)
from pyphylo.tree._nj_rows import BLOCK, DEAD, whole

__all__ = [
    "QUEUE",
    "Nodes",
    "Pair",
    "choose_leads",
    "find",
    "padding",
    "refresh",
    "scan_row",
    "scan_rows",
]

_EPS = 2.0**-52
_TINY = 1e-300
"""Keeps the padding above zero where eps W underflows."""
_AHEAD = 6
"""Blocks asked for before they are read."""
_LINE = 64
"""Bytes that memory hands out at once."""
QUEUE = 512
"""Blocks to be read that are gathered at a time."""
_READ = 32
"""Blocks of them that are read before the next are looked at."""


Pair = tuple[float, int, int]
"""A Q and the two nodes that have it, the younger first; -1 where there is none."""


class Nodes(NamedTuple):
    """What is known of every node, shape (N,) but for `bounds`, with N = columns(tips).

    Behind the last node: R and u -inf, low and near +inf, partner 0.
    """

    R: NDArray[np.float64]
    """Row sums; DEAD of a joined node."""
    u: NDArray[np.float64]
    """R / c, when it was last refreshed; +inf of a node made since, -inf of a joined one."""
    place: NDArray[np.int64]
    at: NDArray[np.int64]
    """The row of memory with the node's distances."""
    ident: NDArray[np.int64]
    """The node's number in the tree."""
    low: NDArray[np.float64]
    bounds: NDArray[np.float64]
    """Shape (N, blocks)."""
    near: NDArray[np.float64]
    """The distance to the partner."""
    partner: NDArray[np.int64]


@compiled_bare
def padding(largest: float, fallen: NDArray[np.float64]) -> float:
    """How far a bound is lowered for rounding: |d| <= largest, before blocks fall once more."""
    most = 0.0
    for b in range(fallen.shape[0]):
        most = max(most, abs(fallen[b]))
    return 8.0 * _EPS * (9.0 * largest + most) + _TINY


@compiled_bare
def _smallest(
    row: NDArray[Any], R: NDArray[np.float64], first: int, last: int, c: float, own: float
) -> float:
    """The smallest Q of row[first:last], whose row sum is `own`."""
    full = first + (last - first) // LANES * LANES
    part = row[first:full]
    sums = R[first:full]
    best = np.inf
    for j in range(part.shape[0]):
        best = smaller(c * part[j] - (own + sums[j]), best)
    if full < last:
        best = smaller(least_q(row, R, full, c, own, last - full), best)
    return best


@compiled_bare
def _first_of(
    row: NDArray[Any],
    R: NDArray[np.float64],
    place: NDArray[np.int64],
    c: float,
    own: float,
    best: float,
    first: int,
    last: int,
) -> int:
    """The node, first <= j < last, whose Q is `best`; among equals the first place."""
    found = -1
    for s in range(first, last, LANES):
        equal = has_q(row, R, s, c, own, best)
        while equal != np.uint64(0):
            j = s + first_bit(equal)
            equal &= equal - np.uint64(1)
            if j < last and (found < 0 or place[j] < place[found]):
                found = j
    return found


@compiled_bare
def scan_row(
    row: NDArray[Any],
    nodes: Nodes,
    i: int,
    c: float,
    pad: float,
    fallen: NDArray[np.float64],
) -> float:
    """Read the whole row of node i and set its bounds and partner; its smallest Q."""
    R = nodes.R
    own = nodes.u[i]
    best = np.inf
    first = 0
    last = 0
    for s in range(0, i, BLOCK):
        e = min(i, s + BLOCK)
        q = _smallest(row, R, s, e, c, R[i])
        nodes.bounds[i, s // BLOCK] = ((q / c + own) - pad) + fallen[s // BLOCK]
        if q < best:
            best = q
            first = s
        if q <= best:
            last = e
    nodes.low[i] = (best / c + own) - pad
    nodes.partner[i] = 0
    nodes.near[i] = np.inf
    if best < np.inf:
        j = _first_of(row, R, nodes.place, c, R[i], best, first, last)
        nodes.partner[i] = j
        nodes.near[i] = row[j]
    return best


@compiled
def scan_rows(D: NDArray[Any], nodes: Nodes, n: int, pad: float, first: int, last: int) -> None:
    """Bounds and partner of the rows first <= i < last of n live nodes; nothing has fallen yet."""
    fallen = np.zeros(nodes.bounds.shape[1])
    for i in range(first, last):
        scan_row(D[nodes.at[i]], nodes, i, float(n - 2), pad, fallen)


@compiled_bare
def refresh(
    nodes: Nodes, m: int, c: float, pad: float, floor: float, fallen: NDArray[np.float64]
) -> None:
    """Set u = R / c, and let bounds fall.

    Blocks' fall by the largest rise of a u of theirs, rows' by the largest among the blocks they
    reach into. A dead node's u is -inf and a new node's old u is +inf: neither counts. No row's
    bound falls below `floor`.
    """
    share = 1.0 / c
    drop = -np.inf
    for b in range((m + BLOCK - 1) // BLOCK):
        end = min(whole(m), (b + 1) * BLOCK)
        sums = nodes.R[b * BLOCK : end]
        part = nodes.u[b * BLOCK : end]
        rise = -np.inf
        for k in range(sums.shape[0]):
            new = sums[k] * share
            rise = larger(DEAD if sums[k] == DEAD else new - part[k], rise)
            part[k] = new
        rise = 0.0 if rise == -np.inf else rise
        fallen[b] += rise + pad
        drop = max(drop, rise)
        fall = drop + pad
        low = nodes.low[b * BLOCK : end]
        for k in range(low.shape[0]):
            low[k] = larger(low[k] - fall, floor)


@compiled_bare
def choose_leads(nodes: Nodes, m: int, c: float, leads: NDArray[np.int64]) -> None:
    """Write the row of every 64 whose partner has the smallest Q."""
    for s in range(0, m, LANES):
        near = nodes.near[s : s + LANES]
        sums = nodes.R[s : s + LANES]
        partner = nodes.partner[s : s + LANES]
        best = np.inf
        for k in range(LANES):
            best = smaller(c * near[k] - (sums[k] + nodes.R[np.uint64(partner[k])]), best)
        k = 0
        while k < LANES - 1 and c * near[k] - (sums[k] + nodes.R[partner[k]]) != best:
            k += 1
        leads[s // LANES] = s + k


@compiled_bare
def _best_partner(nodes: Nodes, m: int, c: float, led: int, leads: NDArray[np.int64]) -> float:
    """The smallest Q of a lead, or of one of the rows `led` to `m`, with its partner.

    Being the Q of a pair, it is an upper bound on the smallest of all. It is +inf for a dead
    row and for a dead partner, through their row sums.
    """
    best = np.inf
    for t in range((led + LANES - 1) // LANES):
        k = leads[t]
        best = min(best, c * nodes.near[k] - (nodes.R[k] + nodes.R[nodes.partner[k]]))
    for k in range(led, m):
        best = min(best, c * nodes.near[k] - (nodes.R[k] + nodes.R[nodes.partner[k]]))
    return best


@compiled_bare
def _candidates(nodes: Nodes, m: int, limit: float, rows: NDArray[np.int64]) -> int:
    """Write the rows whose bound does not exceed `limit`, ascending; how many there are."""
    count = 0
    for s in range(0, m, LANES):
        found = at_most(nodes.low, nodes.u, s, limit)
        while found != np.uint64(0):
            rows[count] = s + first_bit(found)
            count += 1
            found &= found - np.uint64(1)
    while count > 0 and rows[count - 1] >= m:
        count -= 1  # with no limit all are candidates
    return count


@compiled_bare
def _comes_first(place: NDArray[np.int64], i: int, j: int, a: int, b: int) -> bool:
    """Whether the pair (i, j) comes before (a, b) by places."""
    low = min(place[i], place[j])
    other = min(place[a], place[b])
    if low != other:
        return bool(low < other)
    return bool(max(place[i], place[j]) < max(place[a], place[b]))


@compiled_bare
def _queue_row(
    i: int,
    nodes: Nodes,
    limit: float,
    fallen: NDArray[np.float64],
    queue: NDArray[np.int64],
    count: int,
) -> int:
    """Queue the blocks of row i that may hold a pair with d - u_i - u_j <= limit.

    The row's bound becomes the least of the blocks left out. Returns how many are queued now.
    """
    own = nodes.u[i]
    least = np.inf
    bounds = nodes.bounds[i]
    for b in range((i + BLOCK - 1) // BLOCK):
        known = bounds[b] - fallen[b]
        queue[count, 0] = i
        queue[count, 1] = b
        taken = known - own <= limit
        count += taken
        least = smaller(np.inf if taken else known, least)
    nodes.low[i] = least
    return count


@compiled_bare
def _ask_for(D: NDArray[Any], row: int, i: int, b: int) -> None:
    """Ask for the memory of block b of node i, whose distances lie in `row`."""
    for k in range(b * BLOCK, min(i, (b + 1) * BLOCK), _LINE // D.itemsize):
        prefetch(D, row * D.shape[1] + k)


@compiled_bare
def _drop_beyond(
    nodes: Nodes, limit: float, fallen: NDArray[np.float64], queue: NDArray[np.int64]
) -> int:
    """Move the queued blocks whose bound does not exceed `limit` to the front; their number.

    The bounds of the others return to their rows.
    """
    count = 0
    for t in range(queue.shape[0]):
        i = queue[t, 0]
        b = queue[t, 1]
        known = nodes.bounds[i, b] - fallen[b]
        taken = known - nodes.u[i] <= limit
        nodes.low[i] = smaller(np.inf if taken else known, nodes.low[i])
        queue[count, 0] = i
        queue[count, 1] = b
        count += taken
    return count


@compiled_bare
def _read_queue(
    D: NDArray[Any],
    nodes: Nodes,
    c: float,
    pad: float,
    fallen: NDArray[np.float64],
    queue: NDArray[np.int64],
    found: NDArray[np.float64],
    best: float,
    pair: Pair,
) -> tuple[float, Pair]:
    """Read the queued blocks; the least Q known to exist, and the best pair found by now.

    Some are read at a time whatever they hold: which has a smaller Q cannot be foreseen, and
    branches on it would have each block wait for the one before. `found` takes their Q.
    """
    R = nodes.R
    for start in range(0, queue.shape[0], _READ):
        part = queue[start : start + _READ]
        count = part.shape[0]
        if start > 0:
            count = _drop_beyond(nodes, best / c + pad, fallen, part)
        for t in range(min(_AHEAD, count)):
            _ask_for(D, nodes.at[part[t, 0]], part[t, 0], part[t, 1])
        for t in range(count):
            if t + _AHEAD < count:
                i = part[t + _AHEAD, 0]
                _ask_for(D, nodes.at[i], i, part[t + _AHEAD, 1])
            i = part[t, 0]
            b = part[t, 1]
            s = b * BLOCK
            q = _smallest(D[nodes.at[i]], R, s, min(i, s + BLOCK), c, R[i])
            best = smaller(q, best)
            found[t] = q
            known = (q / c + nodes.u[i]) - pad
            nodes.bounds[i, b] = known + fallen[b]
            nodes.low[i] = smaller(known, nodes.low[i])
        for t in range(count):
            if found[t] == best and best < np.inf:
                i = part[t, 0]
                row = D[nodes.at[i]]
                s = part[t, 1] * BLOCK
                j = _first_of(row, R, nodes.place, c, R[i], best, s, min(i, s + BLOCK))
                nodes.partner[i] = j
                nodes.near[i] = row[j]
                if best < pair[0] or _comes_first(nodes.place, i, j, pair[1], pair[2]):
                    pair = (best, i, j)
    return best, pair


@compiled_bare
def find(
    D: NDArray[Any],
    nodes: Nodes,
    m: int,
    c: float,
    pad: float,
    fallen: NDArray[np.float64],
    rows: NDArray[np.int64],
    queue: NDArray[np.int64],
    found: NDArray[np.float64],
    led: int,
    leads: NDArray[np.int64],
    young: int,
    pair: Pair,
) -> Pair:
    """The pair with the smallest Q; `pair` is the best of row `young`, which was read."""
    best = _best_partner(nodes, m, c, led, leads)
    count = _candidates(nodes, m, best / c + pad, rows)
    queued = 0
    for t in range(count):
        i = rows[min(t + _AHEAD, count - 1)]
        prefetch(nodes.bounds, i * nodes.bounds.shape[1])
        i = rows[t]
        if i == young or nodes.low[i] - nodes.u[i] > best / c + pad:
            continue
        queued = _queue_row(i, nodes, best / c + pad, fallen, queue, queued)
        if queued >= QUEUE:
            best, pair = _read_queue(D, nodes, c, pad, fallen, queue[:queued], found, best, pair)
            queued = 0
    if queued > 0:
        best, pair = _read_queue(D, nodes, c, pad, fallen, queue[:queued], found, best, pair)
    return pair
