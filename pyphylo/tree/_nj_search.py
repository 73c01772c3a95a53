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
pairs can attain the smallest Q, and ties are decided among pairs that were all read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled, compiled_bare
from pyphylo.tree._intrinsics import larger, prefetch, smaller
from pyphylo.tree._nj_rows import BLOCK, DEAD

__all__ = [
    "CHUNK",
    "QUEUE",
    "Nodes",
    "Pair",
    "choose_leads",
    "find",
    "lower",
    "padding",
    "refresh_u",
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
CHUNK = 64
"""Rows that are passed over together."""
QUEUE = 512
"""Blocks to be read that are gathered at a time."""


Pair = tuple[float, int, int]
"""A Q and the two nodes that have it, the younger first; -1 where there is none."""


class Nodes(NamedTuple):
    """What is known of every node, shape (N,) but for `bounds`, with N = columns(tips)."""

    R: NDArray[np.float64]
    """Row sums."""
    u: NDArray[np.float64]
    """R / c, when it was last refreshed; +inf of a node made since."""
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
def padding(largest: float, size_u: float, fallen: float) -> float:
    """How far a bound is lowered for rounding: with |d| <= largest, |u| <= size_u, and `fallen`."""
    return 8.0 * _EPS * (largest + 2.0 * size_u + fallen) + _TINY


@compiled_bare
def _smallest(row: NDArray[Any], R: NDArray[np.float64], c: float, own: float) -> float:
    """The smallest Q of a stretch of a row whose row sum is `own`."""
    best = np.inf
    for j in range(row.shape[0]):
        best = smaller(c * row[j] - (own + R[j]), best)
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
    for s in range(first, last, CHUNK):
        e = min(last, s + CHUNK)
        if _smallest(row[s:e], R[s:e], c, own) == best:
            for j in range(s, e):
                if c * row[j] - (own + R[j]) == best and (found < 0 or place[j] < place[found]):
                    found = j
    return found


@compiled_bare
def scan_row(
    row: NDArray[Any],
    R: NDArray[np.float64],
    nodes: Nodes,
    i: int,
    c: float,
    pad: float,
    fallen: NDArray[np.float64],
) -> float:
    """Read the whole row of node i and set its bounds and partner; its smallest Q."""
    own = nodes.u[i]
    best = np.inf
    first = 0
    last = 0
    for s in range(0, i, BLOCK):
        e = min(i, s + BLOCK)
        q = _smallest(row[s:e], R[s:e], c, R[i])
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
    R = nodes.R[:n]
    fallen = np.zeros(nodes.bounds.shape[1])
    for i in range(first, last):
        scan_row(D[nodes.at[i], :i], R, nodes, i, float(n - 2), pad, fallen)


@compiled_bare
def refresh_u(
    R: NDArray[np.float64], u: NDArray[np.float64], c: float, rises: NDArray[np.float64]
) -> float:
    """Set u = R / c and each block's largest rise of a u; the largest |u| before or after.

    A dead node's u is -inf and a new node's old u is +inf: neither counts.
    """
    size = 0.0
    m = R.shape[0]
    share = 1.0 / c
    for b in range((m + BLOCK - 1) // BLOCK):
        sums = R[b * BLOCK : min(m, (b + 1) * BLOCK)]
        part = u[b * BLOCK : min(m, (b + 1) * BLOCK)]
        rise = -np.inf
        for k in range(sums.shape[0]):
            new = sums[k] * share
            old = part[k]
            dead = sums[k] == DEAD
            rise = larger(DEAD if dead else new - old, rise)
            size = larger(0.0 if dead else abs(new), size)
            size = larger(0.0 if (dead or old == np.inf) else abs(old), size)
            part[k] = new
        rises[b] = 0.0 if rise == -np.inf else rise
    return size


@compiled_bare
def lower(low: NDArray[np.float64], rises: NDArray[np.float64], pad: float, floor: float) -> None:
    """Lower every row's bound by the largest rise among the blocks it reaches into.

    No bound falls below `floor`.
    """
    m = low.shape[0]
    drop = -np.inf
    for b in range((m + BLOCK - 1) // BLOCK):
        drop = max(drop, rises[b])
        part = low[b * BLOCK : min(m, (b + 1) * BLOCK)]
        for k in range(part.shape[0]):
            part[k] = larger(part[k] - (drop + pad), floor)


@compiled_bare
def choose_leads(nodes: Nodes, m: int, c: float, leads: NDArray[np.int64]) -> None:
    """Write the row of every chunk whose partner has the smallest Q."""
    for s in range(0, m, CHUNK):
        best = np.inf
        leads[s // CHUNK] = s
        for k in range(s, min(m, s + CHUNK)):
            q = c * nodes.near[k] - (nodes.R[k] + nodes.R[nodes.partner[k]])
            if q < best:
                best = q
                leads[s // CHUNK] = k


@compiled_bare
def _best_partner(nodes: Nodes, m: int, c: float, led: int, leads: NDArray[np.int64]) -> float:
    """The smallest Q of a lead, or of one of the rows `led` to `m`, with its partner.

    Being the Q of a pair, it is an upper bound on the smallest of all. It is +inf for a dead
    row and for a dead partner, through their row sums.
    """
    best = np.inf
    for t in range((led + CHUNK - 1) // CHUNK):
        k = leads[t]
        best = min(best, c * nodes.near[k] - (nodes.R[k] + nodes.R[nodes.partner[k]]))
    for k in range(led, m):
        best = min(best, c * nodes.near[k] - (nodes.R[k] + nodes.R[nodes.partner[k]]))
    return best


@compiled_bare
def _candidates(
    low: NDArray[np.float64], u: NDArray[np.float64], limit: float, rows: NDArray[np.int64]
) -> int:
    """Write the rows whose bound does not exceed `limit`, ascending; how many there are."""
    count = 0
    for s in range(0, low.shape[0], CHUNK):
        own = low[s : min(low.shape[0], s + CHUNK)]
        other = u[s : min(low.shape[0], s + CHUNK)]
        least = np.inf
        for k in range(own.shape[0]):
            least = smaller(own[k] - other[k], least)
        if least <= limit:
            for k in range(own.shape[0]):
                rows[count] = s + k
                count += own[k] - other[k] <= limit
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
def _read_queue(
    D: NDArray[Any],
    nodes: Nodes,
    m: int,
    c: float,
    pad: float,
    fallen: NDArray[np.float64],
    queue: NDArray[np.int64],
    best: float,
    pair: Pair,
) -> tuple[float, Pair]:
    """Read the queued blocks; the least Q known to exist, and the best pair found by now."""
    R = nodes.R[:m]
    for t in range(min(_AHEAD, queue.shape[0])):
        _ask_for(D, nodes.at[queue[t, 0]], queue[t, 0], queue[t, 1])
    for t in range(queue.shape[0]):
        if t + _AHEAD < queue.shape[0]:
            i = queue[t + _AHEAD, 0]
            _ask_for(D, nodes.at[i], i, queue[t + _AHEAD, 1])
        i = queue[t, 0]
        b = queue[t, 1]
        known = nodes.bounds[i, b] - fallen[b]
        if known - nodes.u[i] <= best / c + pad:
            row = D[nodes.at[i], :i]
            s = b * BLOCK
            e = min(i, s + BLOCK)
            q = _smallest(row[s:e], R[s:e], c, R[i])
            known = (q / c + nodes.u[i]) - pad
            nodes.bounds[i, b] = known + fallen[b]
            if q <= best:
                best = q
                j = _first_of(row, R, nodes.place, c, R[i], q, s, e)
                nodes.partner[i] = j
                nodes.near[i] = row[j]
                if q < pair[0] or _comes_first(nodes.place, i, j, pair[1], pair[2]):
                    pair = (q, i, j)
        nodes.low[i] = min(nodes.low[i], known)
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
    led: int,
    leads: NDArray[np.int64],
    young: int,
    pair: Pair,
) -> Pair:
    """The pair with the smallest Q; `pair` is the best of row `young`, which was read."""
    best = _best_partner(nodes, m, c, led, leads)
    count = _candidates(nodes.low[:m], nodes.u[:m], best / c + pad, rows)
    queued = 0
    for t in range(count):
        i = rows[min(t + _AHEAD, count - 1)]
        prefetch(nodes.bounds, i * nodes.bounds.shape[1])
        i = rows[t]
        if i == young or nodes.low[i] - nodes.u[i] > best / c + pad:
            continue
        queued = _queue_row(i, nodes, best / c + pad, fallen, queue, queued)
        if queued >= QUEUE:
            best, pair = _read_queue(D, nodes, m, c, pad, fallen, queue[:queued], best, pair)
            queued = 0
    if queued > 0:
        best, pair = _read_queue(D, nodes, m, c, pad, fallen, queue[:queued], best, pair)
    return pair
