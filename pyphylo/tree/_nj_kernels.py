"""Neighbor joining and BIONJ, compiled: exact, with lazy bounds on the best partner of every row.

What is minimised
-----------------
With `m` live nodes, `c = m - 2`, float64 row sums `R` and stored distances `d`,

    Q(i, j) = c d(i, j) - (R_i + R_j)          rounded to float64 after each operation,

which is the same number for (i, j) and (j, i). The pair with the smallest Q is joined; among
equals the lexicographically smallest (i, j) with i < j. Nothing here reorders or fuses
arithmetic, so the slow version in `_reference.py` makes the same choices bit for bit.

How most of the matrix is skipped
---------------------------------
With u_k = R_k / c, minimising Q is minimising d(i, j) - u_i - u_j. A pair i < j belongs to row i,
whose slots beyond i are cut into blocks. In real numbers every live row i keeps

    low_i                       <= d(i, j) - u_j   for every live j > i
    bounds[b, i] - fallen[b]    <= d(i, j) - u_j   for every live j > i in block b

so that low_i - u_i bounds all of the row's pairs from below, and a partner whose Q is an upper
bound on the smallest. A join removes two nodes, which can only raise the right sides; it raises
the u_j of a block by at most some `rise`, by which the block's bounds fall (all at once: `fallen`
adds the rises up) and low_i by the largest of them; and it makes one new node, which is compared
with every row before it and is scanned itself. Only blocks whose bound undercuts the best
partner's Q are read again.

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

__all__ = ["BLOCK", "join_all", "padding", "scan_rows", "sum_rows"]

_DEAD = -np.inf
"""The row sum of a slot whose node was joined: it makes every Q of the slot +inf."""
_EPS = 2.0**-52
_TINY = 1e-300
"""Keeps the padding above zero where eps W underflows."""
BLOCK = 256
"""Slots that share a bound in every row."""
_CHUNK = 64


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
def sum_rows(D: NDArray[Any], R: NDArray[np.float64], first: int, last: int) -> None:
    """R[i] = sum of D[k, i] over all slots k of R in order, for first <= i < last.

    The diagonal must be zero. Adding row by row keeps each sum's order while
    neighbouring sums are taken together.
    """
    m = R.shape[0]
    target = R[first:last]
    target[:] = 0.0
    for k in range(m):
        row = D[k, first:last]
        for i in range(target.shape[0]):
            target[i] += row[i]


@compiled
def _smallest(row: NDArray[Any], R: NDArray[np.float64], c: float, own: float) -> float:
    """The smallest Q of a stretch of a row whose row sum is `own`."""
    best = np.inf
    for j in range(row.shape[0]):
        best = _smaller(c * row[j] - (own + R[j]), best)
    return best


@compiled
def _scan(
    row: NDArray[Any],
    R: NDArray[np.float64],
    c: float,
    k: int,
    own: float,
    limit: float,
    pad: float,
    bounds: NDArray[np.float64],
    fallen: NDArray[np.float64],
) -> tuple[float, float, int]:
    """Read the blocks of row k that may hold a pair with d - u_i - u_j <= limit.

    Returns the row's bound, the smallest Q read and the first slot that attains it. `own` is u_k.
    """
    m = R.shape[0]
    best = np.inf
    low = np.inf
    start = k + 1
    for b in range((k + 1) // BLOCK, (m + BLOCK - 1) // BLOCK):
        known = bounds[b, k] - fallen[b]
        if known - own <= limit:
            s = max(k + 1, b * BLOCK)
            e = min(m, (b + 1) * BLOCK)
            q = _smallest(row[s:e], R[s:e], c, R[k])
            known = (q / c + own) - pad
            bounds[b, k] = known + fallen[b]
            if q < best:
                best = q
                start = s
                limit = min(limit, q / c + pad)
        low = min(low, known)
    if best == np.inf:
        return low, best, k
    for s in range(start, min(m, start + BLOCK), _CHUNK):
        e = min(m, s + _CHUNK)
        if _smallest(row[s:e], R[s:e], c, R[k]) == best:
            for j in range(s, e):
                if c * row[j] - (R[k] + R[j]) == best:
                    return low, best, j
    return low, best, k


@compiled
def scan_rows(
    D: NDArray[Any],
    R: NDArray[np.float64],
    u: NDArray[np.float64],
    pad: float,
    low: NDArray[np.float64],
    bounds: NDArray[np.float64],
    near: NDArray[np.float64],
    partner: NDArray[np.int64],
    first: int,
    last: int,
) -> None:
    """Bounds and partner of the rows first <= i < last, all blocks read; nothing has fallen."""
    m = R.shape[0]
    c = float(m - 2)
    fallen = np.zeros(bounds.shape[0])
    for i in range(first, last):
        bounds[:, i] = -np.inf
        low[i], _, partner[i] = _scan(D[i, :m], R, c, i, u[i], np.inf, pad, bounds, fallen)
        near[i] = D[i, partner[i]]


@compiled
def _refresh_u(
    R: NDArray[np.float64], u: NDArray[np.float64], c: float, rises: NDArray[np.float64]
) -> float:
    """Set u = R / c and each block's largest rise of a u; the largest |u| before or after.

    A dead slot's u is -inf and a new node's old u is +inf: neither counts.
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
def _admit(
    low: NDArray[np.float64],
    bounds: NDArray[np.float64],
    partner: NDArray[np.int64],
    near: NDArray[np.float64],
    row: NDArray[Any],
    a: int,
    drop: float,
    floor: float,
    shift: float,
    fallen: float,
) -> None:
    """Lower the bounds of rows before the new node `a` by `drop`, and admit it to them.

    No bound falls below `floor`. The new node's terms are row[k] - shift; `bounds` and `fallen`
    are of its block. `near` is the distance to the partner.
    """
    for k in range(a):
        distance = np.float64(row[k])
        old = _larger(low[k] - drop, floor)
        new = distance - shift
        closer = new < old
        near[k] = distance if (closer or partner[k] == a) else near[k]
        partner[k] = a if closer else partner[k]
        low[k] = new if closer else old
        bounds[k] = _smaller(new + fallen, bounds[k])


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
def _join_rows(
    first: NDArray[Any],
    second: NDArray[Any],
    joined: NDArray[Any],
    R: NDArray[np.float64],
    distance: float,
) -> float:
    """The new node's distances and the other row sums; the largest |distance| made.

    Both joined nodes are dead already, and dead slots get +inf.
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
    variances: tuple[NDArray[Any], NDArray[Any]],
    R: NDArray[np.float64],
    branches: tuple[float, float],
    between: float,
    weight: float,
) -> float:
    """As `_join_rows`, with BIONJ's weight; also the new node's variances, over the first's.

    `branches` are the lengths above the two, `between` their variance.
    """
    size = 0.0
    rest = 1.0 - weight
    own = variances[0]
    other = variances[1]
    for k in range(R.shape[0]):
        x = np.float64(first[k])
        y = np.float64(second[k])
        if R[k] == _DEAD:
            joined[k] = np.inf
            continue
        joined[k] = weight * (x - branches[0]) + rest * (y - branches[1])
        stored = np.float64(joined[k])
        R[k] = R[k] + ((stored - x) - y)
        size = max(size, abs(stored))
        own[k] = (weight * own[k] + rest * other[k]) - weight * rest * between
    return size


@compiled
def _sum_live(row: NDArray[Any], R: NDArray[np.float64]) -> float:
    """Sum of a row over live slots, in order."""
    total = 0.0
    for k in range(R.shape[0]):
        total += 0.0 if R[k] == _DEAD else np.float64(row[k])
    return total


@compiled
def _close_gaps(square: NDArray[Any], keep: NDArray[np.int64]) -> None:
    """Move the rows and columns of `keep`, which ascends, to the front."""
    for i in range(keep.shape[0]):
        source = square[keep[i]]
        target = square[i]
        for j in range(keep.shape[0]):
            target[j] = source[keep[j]]


@compiled
def _compact(
    D: NDArray[Any],
    V: NDArray[Any],
    R: NDArray[np.float64],
    ident: NDArray[np.int64],
    keep: NDArray[np.int64],
) -> int:
    """Close the gaps that dead slots left, keeping the order; the number of slots now.

    Row sums are taken afresh, which ends the rounding that updates have gathered.
    """
    live = 0
    for k in range(R.shape[0]):
        if R[k] != _DEAD:
            keep[live] = k
            live += 1
    _close_gaps(D, keep[:live])
    if V.shape[0] > 0:
        _close_gaps(V, keep[:live])
    for i in range(live):
        D[i, i] = 0.0
        ident[i] = ident[keep[i]]
    sum_rows(D, R[:live], 0, live)
    for i in range(live):
        D[i, i] = np.inf
    return live


@compiled
def join_all(
    D: NDArray[Any],
    V: NDArray[Any],
    R: NDArray[np.float64],
    u: NDArray[np.float64],
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
    D : (n, n) array, overwritten
        Distances, symmetric, with +inf on the diagonal.
    V : (n, n) array, overwritten, or (0, 0)
        BIONJ's variances; without them, neighbor joining's averages are taken.
    R, u, low, near, partner : (n,) arrays, overwritten
    bounds : (blocks, n) array, overwritten
        Row sums, R / (n - 2), and what `scan_rows` found. Unused where n is 3.
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
    n = D.shape[0]
    ident = np.arange(n)
    rows = np.empty(n, np.int64)
    joined = np.empty(n, D.dtype)
    rises = np.zeros(bounds.shape[0])
    fallen = np.zeros(bounds.shape[0])
    m = n
    live = n
    a = -1
    size_u = np.abs(u).max()
    while live > 3:
        c = float(live - 2)
        if a >= 0:
            size_u = _refresh_u(R[:m], u[:m], c, rises)
        pad = padding(largest, size_u, np.abs(fallen).max() + np.abs(rises).max())
        if a >= 0:
            drop = rises[: (m + BLOCK - 1) // BLOCK].max() + pad
            for b in range(fallen.shape[0]):
                fallen[b] += rises[b] + pad
            # No d - u is below the floor, so no bound needs to be.
            floor = -(largest + 2.0 * size_u + pad)
            block = a // BLOCK
            _admit(
                low[:m], bounds[block], partner[:m], near[:m], D[a, :m], a, drop, floor,
                u[a] + pad, fallen[block],
            )  # fmt: skip
            for k in range(a, m):
                low[k] = max(low[k] - drop, floor)
            bounds[:, a] = -np.inf
            low[a], _, partner[a] = _scan(D[a, :m], R[:m], c, a, u[a], np.inf, pad, bounds, fallen)
            near[a] = D[a, partner[a]]

        # Rows are visited in order and only a smaller Q replaces the pair found: the pair is
        # lexicographically first among equals, for `_scan` returns the first slot of a row.
        bound = _best_partner(near[:m], partner[:m], R[:m], c)
        count = _candidates(low[:m], u[:m], bound / c + pad, rows)
        found = np.inf
        a = -1
        b = -1
        for t in range(count):
            k = rows[t]
            limit = bound / c + pad
            if low[k] - u[k] > limit:
                continue
            low[k], q, j = _scan(D[k, :m], R[:m], c, k, u[k], limit, pad, bounds, fallen)
            if q < c * near[k] - (R[k] + R[partner[k]]):
                partner[k] = j
                near[k] = D[k, j]
            bound = min(bound, q)
            if q < found:
                found = q
                a = k
                b = j
        if a < 0 or b <= a:
            return False

        distance = np.float64(D[a, b])
        delta = (R[a] - R[b]) / c
        step = n - live
        children[step, 0] = ident[a]
        children[step, 1] = ident[b]
        children[step, 2] = -1
        lengths[step, 0] = 0.5 * (distance + delta)
        lengths[step, 1] = 0.5 * (distance - delta)
        lengths[step, 2] = 0.0

        # The new node takes a's slot, b's slot dies.
        R[a] = _DEAD
        R[b] = _DEAD
        if V.shape[0] > 0:
            between = np.float64(V[a, b])
            weight = _weight(V[a, :m], V[b, :m], R[:m], between, live)
            size = _join_weighted(
                D[a, :m],
                D[b, :m],
                joined[:m],
                (V[a, :m], V[b, :m]),
                R[:m],
                (lengths[step, 0], lengths[step, 1]),
                between,
                weight,
            )
            V[:m, a] = V[a, :m]
        else:
            size = _join_rows(D[a, :m], D[b, :m], joined[:m], R[:m], distance)
        largest = max(largest, size)
        R[a] = _sum_live(joined[:m], R[:m])
        D[a, :m] = joined[:m]
        D[:m, a] = joined[:m]
        u[a] = np.inf
        ident[a] = n + step
        live -= 1
        if 5 * live <= 4 * m:
            m = _compact(D, V, R[:m], ident, rows)
            u[:m] = R[:m] / (live - 2)
            size_u = np.abs(u[:m]).max()
            rises[:] = 0.0
            fallen[:] = 0.0
            pad = padding(largest, size_u, 0.0)
            scan_rows(D, R[:m], u[:m], pad, low, bounds, near, partner, 0, m)
            a = -1

    last = np.empty(3, np.int64)
    count = 0
    for k in range(m):
        if R[k] != _DEAD:
            last[count] = k
            count += 1
    x = last[0]
    y = last[1]
    z = last[2]
    d_xy = np.float64(D[x, y])
    d_xz = np.float64(D[x, z])
    d_yz = np.float64(D[y, z])
    for t in range(3):
        children[n - 3, t] = ident[last[t]]
    lengths[n - 3, 0] = 0.5 * ((d_xy + d_xz) - d_yz)
    lengths[n - 3, 1] = 0.5 * ((d_xy + d_yz) - d_xz)
    lengths[n - 3, 2] = 0.5 * ((d_xz + d_yz) - d_xy)
    return True
