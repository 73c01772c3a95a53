"""Neighbor joining and BIONJ, compiled: exact, with lazy bounds on the best partner of every row.

What is minimised
-----------------
With `live` live nodes, `c = live - 2`, float64 row sums `R` and stored distances `d`,

    Q(i, j) = c d(i, j) - (R_i + R_j)          rounded to float64 after each operation,

which is the same number for (i, j) and (j, i). The pair with the smallest Q is joined; among
equals the one whose places come first, lexicographically. A tip's place is its place in the
matrix, a new node takes the smaller place of the two it joins. Nothing here reorders or fuses
arithmetic, so the slow version in `_reference.py` makes the same choices bit for bit.

Where distances lie
-------------------
Nodes are numbered by age: tips from the last to the first (which makes a condensed matrix read
backwards a triangle of rows), then joined nodes as they come. Node i's row holds its distances
to the nodes before it, row after row in one stretch of memory; a new node's row is put behind
the last. So a pair belongs to its younger node and no row ever changes. Rows of joined nodes
stay until memory for another row runs out or a fifth of the nodes are dead; then the gaps are
closed, and row sums are taken afresh, which ends the rounding that updates gather.

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
rows only blocks whose bound undercuts the best partner's Q are read again.

Every comparison of bounds leaves room for rounding. With W >= |d| + 2 |u| + |fallen| over all
live nodes and blocks, each of the fewer than eight operations between a Q and a bound errs by at
most eps W, so bounds are lowered by pad = 8 eps W: a block is then skipped only if none of its
pairs can attain the smallest Q, and ties are decided among pairs that were all read.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
from numba.extending import intrinsic
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = ["BLOCK", "capacity", "join_all", "pack_square", "padding", "scan_rows", "sum_rows"]

_DEAD = -np.inf
"""The row sum of a slot whose node was joined: it makes every Q of the slot +inf."""
_EPS = 2.0**-52
_TINY = 1e-300
"""Keeps the padding above zero where eps W underflows."""
BLOCK = 256
"""Nodes that share a bound in every row."""


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


@compiled
def padding(largest: float, size_u: float, fallen: float) -> float:
    """How far a bound is lowered for rounding: with |d| <= largest, |u| <= size_u, and `fallen`."""
    return 8.0 * _EPS * (largest + 2.0 * size_u + fallen) + _TINY


@compiled
def capacity(n: int) -> int:
    """Nodes whose rows memory is taken for: n tips and some new ones."""
    return n + max(1, n // 8)


@compiled
def _room(n: int, live: int) -> int:
    """Joins before gaps are closed, of `live` nodes without gaps."""
    return max(1, min(capacity(n) - live, live // 4))


@compiled
def _row(D: NDArray[Any], k: int) -> NDArray[Any]:
    """Distances of node k to the nodes before it."""
    start = k * (k - 1) // 2
    return D[start : start + k]


@compiled
def _between(D: NDArray[Any], i: int, j: int) -> float:
    """The distance of two nodes."""
    younger = max(i, j)
    return np.float64(D[younger * (younger - 1) // 2 + min(i, j)])


@compiled
def pack_square(square: NDArray[Any], D: NDArray[Any], first: int, last: int) -> None:
    """Fill the rows first <= k < last from a square matrix, the last tip first."""
    n = square.shape[0]
    for k in range(first, last):
        source = square[n - 1 - k]
        target = _row(D, k)
        for j in range(k):
            target[j] = source[n - 1 - j]


@compiled
def _row_sum(row: NDArray[Any]) -> float:
    """Sum of a row: eight sums of every eighth value, then those in pairs.

    One running sum would wait for every addition; eight keep a fixed order and do not.
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
def sum_rows(D: NDArray[Any], R: NDArray[np.float64], first: int, last: int) -> None:
    """R[i] = the sum of row i, then of the younger nodes' distances to i by age.

    For first <= i < last.
    """
    for k in range(first, R.shape[0]):
        row = _row(D, k)
        if k < last:
            R[k] = _row_sum(row)
        target = R[first : min(k, last)]
        part = row[first : min(k, last)]
        for i in range(target.shape[0]):
            target[i] += part[i]


@compiled
def _smallest(row: NDArray[Any], R: NDArray[np.float64], c: float, own: float) -> float:
    """The smallest Q of a stretch of a row whose row sum is `own`."""
    best = np.inf
    for j in range(row.shape[0]):
        best = _smaller(c * row[j] - (own + R[j]), best)
    return best


@compiled
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
    for j in range(first, last):
        if c * row[j] - (own + R[j]) == best and (found < 0 or place[j] < place[found]):
            found = j
    return found


@compiled
def _scan(
    row: NDArray[Any],
    R: NDArray[np.float64],
    place: NDArray[np.int64],
    c: float,
    own: float,
    limit: float,
    pad: float,
    bounds: NDArray[np.float64],
    fallen: NDArray[np.float64],
) -> tuple[float, float, int]:
    """Read the blocks of a row that may hold a pair with d - u_i - u_j <= limit.

    Returns the row's bound, the smallest Q read and the node that attains it, -1 where nothing
    was read. `own` is the row's u.
    """
    k = row.shape[0]
    best = np.inf
    low = np.inf
    first = 0
    last = 0
    for b in range((k + BLOCK - 1) // BLOCK):
        known = bounds[b] - fallen[b]
        if known - own <= limit:
            s = b * BLOCK
            e = min(k, s + BLOCK)
            q = _smallest(row[s:e], R[s:e], c, R[k])
            known = (q / c + own) - pad
            bounds[b] = known + fallen[b]
            if q < best:
                best = q
                first = s
                limit = min(limit, q / c + pad)
            if q <= best:
                last = e
        low = min(low, known)
    if best == np.inf:
        return low, best, -1
    return low, best, _first_of(row, R, place, c, R[k], best, first, last)


@compiled
def scan_rows(
    D: NDArray[Any],
    R: NDArray[np.float64],
    u: NDArray[np.float64],
    place: NDArray[np.int64],
    pad: float,
    low: NDArray[np.float64],
    bounds: NDArray[np.float64],
    near: NDArray[np.float64],
    partner: NDArray[np.int64],
    first: int,
    last: int,
) -> None:
    """Bounds and partner of the rows first <= i < last, all blocks read; nothing has fallen."""
    c = float(R.shape[0] - 2)
    fallen = np.zeros(bounds.shape[1])
    for i in range(first, last):
        row = _row(D, i)
        bounds[i, :] = -np.inf
        low[i], _, j = _scan(row, R, place, c, u[i], np.inf, pad, bounds[i], fallen)
        partner[i] = max(j, 0)
        near[i] = np.inf if j < 0 else row[j]


@compiled
def _refresh_u(
    R: NDArray[np.float64], u: NDArray[np.float64], c: float, rises: NDArray[np.float64]
) -> float:
    """Set u = R / c and each block's largest rise of a u; the largest |u| before or after.

    A dead node's u is -inf and a new node's old u is +inf: neither counts.
    """
    size = 0.0
    m = R.shape[0]
    for b in range((m + BLOCK - 1) // BLOCK):
        sums = R[b * BLOCK : min(m, (b + 1) * BLOCK)]
        part = u[b * BLOCK : min(m, (b + 1) * BLOCK)]
        rise = -np.inf
        for k in range(sums.shape[0]):
            new = sums[k] / c
            old = part[k]
            dead = sums[k] == _DEAD
            rise = _larger(_DEAD if dead else new - old, rise)
            size = _larger(0.0 if dead else abs(new), size)
            size = _larger(0.0 if (dead or old == np.inf) else abs(old), size)
            part[k] = new
        rises[b] = 0.0 if rise == -np.inf else rise
    return size


@compiled
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


@compiled
def _best_partner(
    near: NDArray[np.float64], partner: NDArray[np.int64], R: NDArray[np.float64], c: float
) -> float:
    """The smallest Q over each row's partner: an upper bound on the smallest Q of all.

    It is +inf for a dead row and for a dead partner, through their row sums.
    """
    best = np.inf
    for k in range(R.shape[0]):
        best = _smaller(c * near[k] - (R[k] + R[partner[k]]), best)
    return best


@compiled
def _candidates(
    low: NDArray[np.float64], u: NDArray[np.float64], limit: float, rows: NDArray[np.int64]
) -> int:
    """Write the rows whose bound does not exceed `limit`, ascending; how many there are."""
    count = 0
    for k in range(u.shape[0]):
        rows[count] = k
        if low[k] - u[k] <= limit:
            count += 1
    return count


@compiled
def _distances(D: NDArray[Any], a: int, out: NDArray[Any]) -> None:
    """Distances of node a to all nodes; its own entry is left."""
    out[:a] = _row(D, a)
    at = a * (a + 1) // 2 + a
    for k in range(a + 1, out.shape[0]):
        out[k] = D[at]
        at += k


@compiled
def _join_rows(
    first: NDArray[Any],
    second: NDArray[Any],
    joined: NDArray[Any],
    R: NDArray[np.float64],
    distance: float,
) -> float:
    """The new node's row and the other row sums; the largest |distance| made.

    Both joined nodes are dead already, and dead nodes get +inf.
    """
    size = 0.0
    for k in range(R.shape[0]):
        x = np.float64(first[k])
        y = np.float64(second[k])
        dead = R[k] == _DEAD
        joined[k] = np.inf if dead else 0.5 * ((x + y) - distance)
        stored = np.float64(joined[k])
        R[k] = _DEAD if dead else R[k] + ((stored - x) - y)
        size = _larger(0.0 if dead else abs(stored), size)
    return size


@compiled
def _weight(
    first: NDArray[Any], second: NDArray[Any], R: NDArray[np.float64], between: float, live: int
) -> float:
    """BIONJ's weight of the first of two joined nodes, from their variances; both are dead."""
    if between == 0.0:
        return 0.5
    total = 0.0
    for k in range(R.shape[0]):
        if R[k] != _DEAD:
            total += np.float64(second[k]) - np.float64(first[k])
    weight = 0.5 + total / (2.0 * (live - 2) * between)
    return min(max(weight, 0.0), 1.0)


@compiled
def _join_weighted(
    first: NDArray[Any],
    second: NDArray[Any],
    joined: NDArray[Any],
    variances: tuple[NDArray[Any], NDArray[Any], NDArray[Any]],
    R: NDArray[np.float64],
    branches: tuple[float, float],
    between: float,
    weight: float,
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
        if R[k] == _DEAD:
            joined[k] = np.inf
            new[k] = 0.0
            continue
        joined[k] = weight * (x - branches[0]) + rest * (y - branches[1])
        stored = np.float64(joined[k])
        R[k] = R[k] + ((stored - x) - y)
        size = max(size, abs(stored))
        new[k] = (weight * own[k] + rest * other[k]) - weight * rest * between
    return size


@compiled
def _sum_live(row: NDArray[Any], R: NDArray[np.float64], scratch: NDArray[np.float64]) -> float:
    """Sum of a row, dead nodes counting nothing, in the order of `_row_sum`."""
    for k in range(R.shape[0]):
        scratch[k] = 0.0 if R[k] == _DEAD else np.float64(row[k])
    return _row_sum(scratch[: R.shape[0]])


@compiled
def _close_gaps(triangle: NDArray[Any], keep: NDArray[np.int64]) -> None:
    """Move the rows of `keep`, which ascends, to the front, without the others' columns.

    In place: no number is written behind where it was read.
    """
    for i in range(keep.shape[0]):
        source = _row(triangle, keep[i])
        target = _row(triangle, i)
        for j in range(i):
            target[j] = source[keep[j]]


@compiled
def _compact(
    D: NDArray[Any],
    V: NDArray[Any],
    R: NDArray[np.float64],
    ident: NDArray[np.int64],
    place: NDArray[np.int64],
    keep: NDArray[np.int64],
) -> int:
    """Close the gaps that dead nodes left, keeping the order; the number of nodes now."""
    live = 0
    for k in range(R.shape[0]):
        if R[k] != _DEAD:
            keep[live] = k
            live += 1
    _close_gaps(D, keep[:live])
    if V.shape[0] > 0:
        _close_gaps(V, keep[:live])
    for i in range(live):
        ident[i] = ident[keep[i]]
        place[i] = place[keep[i]]
    sum_rows(D, R[:live], 0, live)
    return live


@compiled
def _comes_first(place: NDArray[np.int64], i: int, j: int, a: int, b: int) -> bool:
    """Whether the pair (i, j) comes before (a, b) by places."""
    low = min(place[i], place[j])
    other = min(place[a], place[b])
    if low != other:
        return low < other
    return max(place[i], place[j]) < max(place[a], place[b])


@compiled
def join_all(
    n: int,
    D: NDArray[Any],
    V: NDArray[Any],
    R: NDArray[np.float64],
    u: NDArray[np.float64],
    place: NDArray[np.int64],
    low: NDArray[np.float64],
    bounds: NDArray[np.float64],
    near: NDArray[np.float64],
    partner: NDArray[np.int64],
    largest: float,
    children: NDArray[np.int64],
    lengths: NDArray[np.float64],
) -> bool:
    """Join until three nodes are left, then those three.

    Parameters
    ----------
    n : int
        Tips.
    D : (N (N - 1) / 2,) array, overwritten, with N = capacity(n)
        Rows of distances; those of the tips, the last tip first, are filled.
    V : array as D, overwritten, or (0,)
        BIONJ's variances; without them, neighbor joining's averages are taken.
    R, u, place, low, near, partner : (N,) arrays, overwritten
    bounds : (N, blocks) array, overwritten
        Row sums, R / (n - 2), places, and what `scan_rows` found, of the tips.
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
    N = R.shape[0]
    ident = np.empty(N, np.int64)
    for k in range(n):
        ident[k] = n - 1 - k
    rows = np.empty(N, np.int64)
    first = np.empty(N, D.dtype)
    second = np.empty(N, D.dtype)
    first_variances = np.empty(N if V.shape[0] > 0 else 0, D.dtype)
    second_variances = np.empty(N if V.shape[0] > 0 else 0, D.dtype)
    scratch = np.empty(N)
    rises = np.zeros(bounds.shape[1])
    fallen = np.zeros(bounds.shape[1])
    m = n
    live = n
    full = n + _room(n, n)
    fresh = True
    size_u = np.abs(u[:n]).max()
    while live > 3:
        c = float(live - 2)
        if not fresh:
            size_u = _refresh_u(R[:m], u[:m], c, rises)
        pad = padding(largest, size_u, np.abs(fallen).max() + np.abs(rises).max())
        found = np.inf
        a = -1
        b = -1
        if not fresh:
            for t in range(fallen.shape[0]):
                fallen[t] += rises[t] + pad
            # No d - u is below the floor, so no bound needs to be.
            _lower(low[: m - 1], rises, pad, -(largest + 2.0 * size_u + pad))
            row = _row(D, m - 1)
            bounds[m - 1, :] = -np.inf
            low[m - 1], found, b = _scan(
                row, R[:m], place, c, u[m - 1], np.inf, pad, bounds[m - 1], fallen
            )
            if b < 0:
                return False
            a = m - 1
            partner[a] = b
            near[a] = row[b]

        # Every row that may hold the smallest Q is read; among equals the first pair stays.
        best = _best_partner(near[:m], partner[:m], R[:m], c)
        count = _candidates(low[:m], u[:m], best / c + pad, rows)
        for t in range(count):
            k = rows[t]
            limit = best / c + pad
            if k == a or low[k] - u[k] > limit:
                continue
            row = _row(D, k)
            low[k], q, j = _scan(row, R[:m], place, c, u[k], limit, pad, bounds[k], fallen)
            if j < 0:
                continue
            if q < c * near[k] - (R[k] + R[partner[k]]):
                partner[k] = j
                near[k] = row[j]
            best = min(best, q)
            if q < found or (q == found and _comes_first(place, k, j, a, b)):
                found = q
                a = k
                b = j
        if a < 0:
            return False
        if place[b] < place[a]:
            a, b = b, a

        distance = _between(D, a, b)
        delta = (R[a] - R[b]) / c
        step = n - live
        children[step, 0] = ident[a]
        children[step, 1] = ident[b]
        children[step, 2] = -1
        lengths[step, 0] = 0.5 * (distance + delta)
        lengths[step, 1] = 0.5 * (distance - delta)
        lengths[step, 2] = 0.0

        R[a] = _DEAD
        R[b] = _DEAD
        joined = _row(D, m)
        _distances(D, a, first[:m])
        _distances(D, b, second[:m])
        if V.shape[0] > 0:
            _distances(V, a, first_variances[:m])
            _distances(V, b, second_variances[:m])
            between = _between(V, a, b)
            weight = _weight(first_variances[:m], second_variances[:m], R[:m], between, live)
            size = _join_weighted(
                first[:m],
                second[:m],
                joined,
                (first_variances[:m], second_variances[:m], _row(V, m)),
                R[:m],
                (lengths[step, 0], lengths[step, 1]),
                between,
                weight,
            )
        else:
            size = _join_rows(first[:m], second[:m], joined, R[:m], distance)
        largest = max(largest, size)
        R[m] = _sum_live(joined, R[:m], scratch)
        u[m] = np.inf
        place[m] = place[a]
        ident[m] = n + step
        m += 1
        live -= 1
        fresh = m == full and live > 3
        if fresh:
            m = _compact(D, V, R[:m], ident, place, rows)
            full = m + _room(n, m)
            u[:m] = R[:m] / (live - 2)
            size_u = np.abs(u[:m]).max()
            rises[:] = 0.0
            fallen[:] = 0.0
            pad = padding(largest, size_u, 0.0)
            scan_rows(D, R[:m], u[:m], place, pad, low, bounds, near, partner, 0, m)

    last = np.empty(3, np.int64)
    count = 0
    for k in range(m):
        if R[k] != _DEAD:
            last[count] = k
            count += 1
    # By place, as every other pair.
    for _ in range(2):
        for i in range(2):
            if place[last[i + 1]] < place[last[i]]:
                last[i], last[i + 1] = last[i + 1], last[i]
    d_xy = _between(D, last[0], last[1])
    d_xz = _between(D, last[0], last[2])
    d_yz = _between(D, last[1], last[2])
    for t in range(3):
        children[n - 3, t] = ident[last[t]]
    lengths[n - 3, 0] = 0.5 * ((d_xy + d_xz) - d_yz)
    lengths[n - 3, 1] = 0.5 * ((d_xy + d_yz) - d_xz)
    lengths[n - 3, 2] = 0.5 * ((d_xz + d_yz) - d_xy)
    return True
