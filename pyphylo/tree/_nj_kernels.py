"""Neighbor joining and BIONJ, compiled: exact, with lazy bounds on the best partner of every row.

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
as `_nj_rows.py` describes: no row ever changes until gaps are closed.

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
most eps W, so bounds are lowered by pad = 8 eps W: a block is then skipped only if none of its
pairs can attain the smallest Q, and ties are decided among pairs that were all read.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numba
import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

from pyphylo._jit import compiled, compiled_bare
from pyphylo.tree import _nj_rows
from pyphylo.tree._nj_rows import BLOCK, DEAD

__all__ = ["Nodes", "join_all", "padding", "scan_rows"]

_EPS = 2.0**-52
_TINY = 1e-300
"""Keeps the padding above zero where eps W underflows."""
_AHEAD = 6
"""Blocks asked for before they are read."""
_LINE = 64
"""Bytes that memory hands out at once."""
_CHUNK = 64
"""Rows that are passed over together."""
_LEADING = 16
"""Joins for which leads are kept."""
_QUEUE = 512
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


def _select(builder: Any, comparison: str, left: Any, right: Any) -> Any:
    # Plain comparisons do not become vector reductions, because NaN and -0.0 would have to
    # keep their place. Neither occurs in what is reduced here, and saying so changes no value.
    flags = ("nnan", "nsz")
    chosen = builder.fcmp_ordered(comparison, left, right, flags=flags)
    return builder.select(chosen, left, right, flags=flags)


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _smaller(typing_context: Any, left: Any, right: Any) -> Any:
    """The smaller of two float64 that are not NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _select(builder, "<", *arguments)

    return numba.float64(numba.float64, numba.float64), generate


@intrinsic  # type: ignore[untyped-decorator, unused-ignore]
def _larger(typing_context: Any, left: Any, right: Any) -> Any:
    """The larger of two float64 that are not NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _select(builder, ">", *arguments)

    return numba.float64(numba.float64, numba.float64), generate


@compiled_bare
def padding(largest: float, size_u: float, fallen: float) -> float:
    """How far a bound is lowered for rounding: with |d| <= largest, |u| <= size_u, and `fallen`."""
    return 8.0 * _EPS * (largest + 2.0 * size_u + fallen) + _TINY


@compiled_bare
def _smallest(row: NDArray[Any], R: NDArray[np.float64], c: float, own: float) -> float:
    """The smallest Q of a stretch of a row whose row sum is `own`."""
    best = np.inf
    for j in range(row.shape[0]):
        best = _smaller(c * row[j] - (own + R[j]), best)
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
    for s in range(first, last, _CHUNK):
        e = min(last, s + _CHUNK)
        if _smallest(row[s:e], R[s:e], c, own) == best:
            for j in range(s, e):
                if c * row[j] - (own + R[j]) == best and (found < 0 or place[j] < place[found]):
                    found = j
    return found


@compiled_bare
def _scan_row(
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
        _scan_row(D[nodes.at[i], :i], R, nodes, i, float(n - 2), pad, fallen)


@compiled_bare
def _refresh_u(
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
            rise = _larger(DEAD if dead else new - old, rise)
            size = _larger(0.0 if dead else abs(new), size)
            size = _larger(0.0 if (dead or old == np.inf) else abs(old), size)
            part[k] = new
        rises[b] = 0.0 if rise == -np.inf else rise
    return size


@compiled_bare
def _lower(low: NDArray[np.float64], rises: NDArray[np.float64], pad: float, floor: float) -> None:
    """Lower every row's bound by the largest rise among the blocks it reaches into.

    No bound falls below `floor`.
    """
    m = low.shape[0]
    drop = -np.inf
    for b in range((m + BLOCK - 1) // BLOCK):
        drop = max(drop, rises[b])
        part = low[b * BLOCK : min(m, (b + 1) * BLOCK)]
        for k in range(part.shape[0]):
            part[k] = _larger(part[k] - (drop + pad), floor)


@compiled_bare
def _choose_leads(nodes: Nodes, m: int, c: float, leads: NDArray[np.int64]) -> None:
    """Write the row of every chunk whose partner has the smallest Q."""
    for s in range(0, m, _CHUNK):
        best = np.inf
        leads[s // _CHUNK] = s
        for k in range(s, min(m, s + _CHUNK)):
            q = c * nodes.near[k] - (nodes.R[k] + nodes.R[nodes.partner[k]])
            if q < best:
                best = q
                leads[s // _CHUNK] = k


@compiled_bare
def _best_partner(nodes: Nodes, m: int, c: float, led: int, leads: NDArray[np.int64]) -> float:
    """The smallest Q of a lead, or of one of the rows `led` to `m`, with its partner.

    Being the Q of a pair, it is an upper bound on the smallest of all. It is +inf for a dead
    row and for a dead partner, through their row sums.
    """
    best = np.inf
    for t in range((led + _CHUNK - 1) // _CHUNK):
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
    for s in range(0, low.shape[0], _CHUNK):
        own = low[s : min(low.shape[0], s + _CHUNK)]
        other = u[s : min(low.shape[0], s + _CHUNK)]
        least = np.inf
        for k in range(own.shape[0]):
            least = _smaller(own[k] - other[k], least)
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
        least = _smaller(np.inf if taken else known, least)
    nodes.low[i] = least
    return count


@compiled_bare
def _ask_for(D: NDArray[Any], row: int, i: int, b: int) -> None:
    """Ask for the memory of block b of node i, whose distances lie in `row`."""
    for k in range(b * BLOCK, min(i, (b + 1) * BLOCK), _LINE // D.itemsize):
        _nj_rows.prefetch(D, row * D.shape[1] + k)


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
def _find(
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
        _nj_rows.prefetch(nodes.bounds, i * nodes.bounds.shape[1])
        i = rows[t]
        if i == young or nodes.low[i] - nodes.u[i] > best / c + pad:
            continue
        queued = _queue_row(i, nodes, best / c + pad, fallen, queue, queued)
        if queued >= _QUEUE:
            best, pair = _read_queue(D, nodes, m, c, pad, fallen, queue[:queued], best, pair)
            queued = 0
    if queued > 0:
        best, pair = _read_queue(D, nodes, m, c, pad, fallen, queue[:queued], best, pair)
    return pair


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
        size = _larger(0.0 if dead else abs(stored), size)
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
def _compact(
    D: NDArray[Any],
    V: NDArray[Any],
    nodes: Nodes,
    m: int,
    closed: int,
    fallen: NDArray[np.float64],
    keep: NDArray[np.int64],
    scratch: NDArray[np.float64],
    partial: NDArray[np.float64],
) -> int:
    """Close the gaps that joined nodes left, keeping the order; the number of nodes now.

    A block's new bound is the least of the blocks its nodes come from. Row sums are taken
    afresh, which ends the rounding that updates gather.
    """
    live = 0
    for k in range(m):
        if nodes.R[k] != DEAD:
            keep[live] = k
            # Where the node goes, for partners.
            scratch[k] = live
            live += 1
    _nj_rows.mirror(D, nodes.at, keep[:live], closed)
    if V.shape[0] > 0:
        _nj_rows.mirror(V, nodes.at, keep[:live], closed)
    for i in range(live):
        k = keep[i]
        nodes.u[i] = nodes.u[k]
        nodes.at[i] = nodes.at[k]
        nodes.place[i] = nodes.place[k]
        nodes.ident[i] = nodes.ident[k]
        nodes.low[i] = nodes.low[k]
        gone = nodes.R[nodes.partner[k]] == DEAD
        nodes.near[i] = np.inf if gone else nodes.near[k]
        nodes.partner[i] = 0 if gone else np.int64(scratch[nodes.partner[k]])
        for b in range((i + BLOCK - 1) // BLOCK):
            first = keep[b * BLOCK] // BLOCK
            last = keep[min(i, (b + 1) * BLOCK) - 1] // BLOCK
            least = np.inf
            for old in range(first, last + 1):
                least = min(least, nodes.bounds[k, old] - fallen[old])
            nodes.bounds[i, b] = least
    source = keep[:live].astype(np.uint32)
    for i in range(live):
        row = D[nodes.at[i]]
        _nj_rows.close_gaps(row, source, i)
        nodes.R[i] = _nj_rows.row_sum(row[:live], partial)
        if V.shape[0] > 0:
            _nj_rows.close_gaps(V[nodes.at[i]], source, i)
    fallen[:] = 0.0
    return live


@compiled
def join_all(
    n: int,
    D: NDArray[Any],
    V: NDArray[Any],
    nodes: Nodes,
    largest: float,
    children: NDArray[np.int64],
    lengths: NDArray[np.float64],
) -> bool:
    """Join until three nodes are left, then those three.

    Parameters
    ----------
    n : int
        Tips.
    D : (n, N) array, overwritten, with N = columns(n)
        Distances; those of the tips are filled.
    V : array as D, overwritten, or (0, 0)
        BIONJ's variances; without them, neighbor joining's averages are taken.
    nodes : Nodes, overwritten
        Row sums, R / (n - 2), places, numbers, and what `scan_rows` found, of the tips.
    largest : float
        At least every absolute distance.
    children, lengths : (n - 2, 3) arrays, filled
        Row t holds the children of node n + t and the branches above them; the
        third column is -1 and 0 in all rows but the last.

    Returns
    -------
    bool
        False where numbers overflowed and the search cannot go on.

    Notes
    -----
    O(n^2) a join at worst, about O(n) on distances that resemble a tree.
    """
    N = D.shape[1]
    R = nodes.R
    blocks = nodes.bounds.shape[1]
    rows = np.empty(N, np.int64)
    queue = np.empty((_QUEUE + blocks, 2), np.int64)
    ends = np.empty((2, N), D.dtype)
    variances = np.empty((2, N if V.shape[0] > 0 else 0), D.dtype)
    scratch = np.empty(N)
    partial = np.empty(_nj_rows.PARTIAL)
    rises = np.zeros(blocks)
    fallen = np.zeros(blocks)
    m = n
    live = n
    closed = n
    led = 0
    leads = np.empty(N // _CHUNK + 1, np.int64)
    size_u = np.abs(nodes.u[:n]).max()
    while live > 3:
        c = float(live - 2)
        pair = (np.inf, -1, -1)
        young = m - 1 if live < n else -1
        if live < n:
            size_u = _refresh_u(R[:m], nodes.u[:m], c, rises)
        pad = padding(largest, size_u, np.abs(fallen).max() + np.abs(rises).max())
        if live < n:
            for t in range(blocks):
                fallen[t] += rises[t] + pad
            # No d - u is below the floor, so no bound needs to be.
            _lower(nodes.low[: m - 1], rises, pad, -(largest + 2.0 * size_u + pad))
            q = _scan_row(D[nodes.at[m - 1], : m - 1], R[:m], nodes, m - 1, c, pad, fallen)
            pair = (q, m - 1, nodes.partner[m - 1])
        if (n - live) % _LEADING == 0 or led > m:
            _choose_leads(nodes, m, c, leads)
            led = m
        q, a, b = _find(D, nodes, m, c, pad, fallen, rows, queue, led, leads, young, pair)
        if not q < np.inf:
            return False
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
        row = nodes.at[a]
        nodes.at[m] = row
        joined = D[row, :m]
        if V.shape[0] > 0:
            _nj_rows.distances_of(V, nodes.at, a, closed, variances[0, :m])
            _nj_rows.distances_of(V, nodes.at, b, closed, variances[1, :m])
            weight = _weight(variances[0, :m], variances[1, :m], R[:m], between, live)
            size = _join_weighted(
                ends[0, :m],
                ends[1, :m],
                joined,
                (variances[0, :m], variances[1, :m], V[row, :m]),
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
            m = _compact(D, V, nodes, m, closed, fallen, rows, scratch, partial)
            closed = m
            led = N + 1

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
    return True
