"""Walks over trees, compiled: branches, path lengths, splits as intervals, ancestor deviations.

Numbering is that of `Tree`: tips first, every parent after its children, the root last. A loop
upwards through the numbers meets children before parents, a loop downwards parents first, so
nothing recurses and nothing needs a stack.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = [
    "branch_deviations",
    "branches",
    "children_of",
    "compare_splits",
    "crossing_sums",
    "day_table",
    "path_lengths",
    "sides",
    "spans",
]

_NO_DISTANCE = 1e-100
"""Path lengths up to this part of the longest branch count as none: their inverse squares would
overflow."""


@compiled
def children_of(parent: NDArray[np.int32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The children of v are ``below[first[v]:first[v + 1]]``."""
    n = len(parent)
    first = np.zeros(n + 1, np.int64)
    for v in range(n - 1):
        first[parent[v] + 1] += 1
    for v in range(n):
        first[v + 1] += first[v]
    free = first[:n].copy()
    below = np.empty(n - 1, np.int64)
    for v in range(n - 1):
        below[free[parent[v]]] = v
        free[parent[v]] += 1
    return first, below


@compiled
def branches(parent: NDArray[np.int32], n_tips: int, rooted: bool) -> NDArray[np.int64]:
    """Of each node, the node that stands for the branch above it; -1 above all tips.

    Nodes with one child are points on a branch, which its lowest node stands for. A root
    of two children is a point on a branch too, unless `rooted`; the smaller of the two
    nodes stands for it, so that the branch of a tip is always its own.
    """
    n = len(parent)
    n_children = np.zeros(n, np.int64)
    only = np.full(n, -1)
    for v in range(n - 1):
        n_children[parent[v]] += 1
        only[parent[v]] = v
    stands = np.arange(n)
    for v in range(n):
        if n_children[v] == 1:
            stands[v] = stands[only[v]]
    top = n - 1
    while n_children[top] == 1:
        top = only[top]
    for v in range(top, n):
        # Only the nodes above `top` share its branch, and they lie on the way to the root.
        if stands[v] == top:
            stands[v] = -1
    if n_children[top] == 2 and not rooted:
        first = np.int64(-1)
        for v in range(top):
            if parent[v] == top:
                if first < 0:
                    first = stands[v]
                else:
                    low, high = min(first, stands[v]), max(first, stands[v])
                    for u in range(top):
                        if stands[u] == high:
                            stands[u] = low
    return stands


@compiled
def spans(
    parent: NDArray[np.int32], n_tips: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """A line-up of the tips in which every clade is a span: first place, size and the tips.

    Going downwards, every node takes the next free place of its parent's span.
    """
    n = len(parent)
    size = np.zeros(n, np.int64)
    size[:n_tips] = 1
    for v in range(n - 1):
        size[parent[v]] += size[v]
    start = np.zeros(n, np.int64)
    free = np.zeros(n, np.int64)
    for v in range(n - 2, -1, -1):
        p = parent[v]
        start[v] = free[v] = free[p]
        free[p] += size[v]
    order = np.empty(n_tips, np.int64)
    for tip in range(n_tips):
        order[start[tip]] = tip
    return start, size, order


@compiled
def path_lengths(
    parent: NDArray[np.int32], length: NDArray[np.float64], n_tips: int
) -> NDArray[np.float64]:
    """Path lengths between all tips, shape (n_tips, n_tips), symmetric to the last bit.

    Upwards through the nodes, a span is grown child by child: `met` tips of v have been
    gone through, and `height` is the distance of each to the highest node reached. Two
    tips meet where the spans of two children are put together.
    """
    start, _, order = spans(parent, n_tips)
    n = len(parent)
    height = np.zeros(n_tips)
    paths = np.zeros((n_tips, n_tips))
    met = np.zeros(n, np.int64)
    met[:n_tips] = 1
    # `spans` lets later children come first, so spans are filled from their ends.
    for v in range(n - 1):
        p = parent[v]
        first, last = start[v], start[v] + met[v]
        for a in range(first, last):
            height[a] += length[v]
        for a in range(first, last):
            i, rise = order[a], height[a]
            for b in range(last, last + met[p]):
                j = order[b]
                paths[i, j] = paths[j, i] = rise + height[b]
        met[p] += met[v]
    return paths


@compiled
def crossing_sums(parent: NDArray[np.int32], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Of each node, the sum of a symmetric matrix over pairs of a tip below it and one beyond.

    For one tip c at a time, `beside[p]` gathers what lies below the ancestors p of c, but
    not on the way to c; going down that way adds up what lies beyond. Only sums are
    taken, no differences, so that large values do not drown small ones. O(n^2).
    """
    n_tips, n = len(values), len(parent)
    sums = np.zeros(n)
    beside = np.zeros(n)
    way = np.empty(n, np.int64)
    is_way = np.zeros(n, np.bool_)
    for c in range(n_tips):
        k = _way_up(parent, c, way, is_way)
        beside[:n_tips] = values[c]
        beside[n_tips:] = 0.0
        for v in range(n - 1):
            if not is_way[v]:
                beside[parent[v]] += beside[v]
        beyond = 0.0
        for step in range(k - 1, 0, -1):
            beyond += beside[way[step]]
            sums[way[step - 1]] += beyond
        for step in range(k):
            is_way[way[step]] = False
    return sums


@compiled
def _way_up(
    parent: NDArray[np.int32], tip: int, way: NDArray[np.int64], is_way: NDArray[np.bool_]
) -> int:
    """Note the nodes from a tip to the root, and count them."""
    k = 0
    v = tip
    while v >= 0:
        way[k] = v
        is_way[v] = True
        k += 1
        v = parent[v]
    return k


@compiled
def branch_deviations(
    parent: NDArray[np.int32], length: NDArray[np.float64], n_tips: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean squared ancestor deviation with the root on each branch, and where it is smallest.

    The deviation of a pair at distance d, from an ancestor at distance x of one of the
    two, is |2 x / d - 1|. For the pairs that a branch parts and a root h above its lower
    node, the squares add up to

        q0 - 4 h q1 + 4 h^2 q2,

    where q0, q1, q2 are sums over these pairs of (1 - 2 y / d)^2, (1 - 2 y / d) / d and
    1 / d^2, y being the distance of the lower tip to the lower node. With one tip c at a
    time, all its branches take sums of 1 / d and 1 / d^2 over the tips beyond, which are
    gathered as in `crossing_sums`. Pairs on the same side have as ancestor the node where
    they meet on the way to the root: of a node's pairs, all but those with a tip in the
    root's direction. O(n^2) time, O(n) memory.

    Returns
    -------
    (mean_square, above), ndarray, one a node
        `above` is the best distance of the root from the node. NaN where no pair has a
        distance.
    """
    n = len(parent)
    q0, q1, q2 = np.zeros(n), np.zeros(n), np.zeros(n)
    inverse, square, count = np.empty(n), np.empty(n), np.empty(n)
    distance = np.empty(n)
    way = np.empty(n, np.int64)
    is_way = np.zeros(n, np.bool_)
    least = length[: n - 1].max() * _NO_DISTANCE
    n_pairs = 0.0
    for c in range(n_tips):
        k = _way_up(parent, c, way, is_way)
        distance[c] = 0.0
        for step in range(1, k):
            distance[way[step]] = distance[way[step - 1]] + length[way[step - 1]]
        for v in range(n - 2, -1, -1):
            if not is_way[v]:
                distance[v] = distance[parent[v]] + length[v]
        for v in range(n):
            far = v < n_tips and v != c and distance[v] > least
            inverse[v] = 1.0 / distance[v] if far else 0.0
            square[v] = inverse[v] * inverse[v]
            count[v] = 1.0 if far else 0.0
        for v in range(n - 1):
            if not is_way[v]:
                p = parent[v]
                inverse[p] += inverse[v]
                square[p] += square[v]
                count[p] += count[v]
        one, two, tips = 0.0, 0.0, 0.0
        for step in range(k - 1, 0, -1):
            one += inverse[way[step]]
            two += square[way[step]]
            tips += count[way[step]]
            v = way[step - 1]
            y = distance[v]
            q0[v] += tips - 4.0 * y * (one - y * two)
            q1[v] += one - 2.0 * y * two
            q2[v] += two
        n_pairs += tips
        for step in range(k):
            is_way[way[step]] = False

    # Of each node, its pairs by direction: `up` those parted by the branch above, seen from
    # the node, `down` the same pairs seen from the parent, `met` all pairs that meet there.
    above = np.zeros(n)
    parted = np.zeros(n)
    down = np.zeros(n)
    met = q0 * 0.5
    met[:n_tips] = 0.0
    met[n - 1] = 0.0
    for v in range(n - 1):
        total = length[v]
        h = q1[v] / (2.0 * q2[v]) if q2[v] > 0.0 else 0.0
        above[v] = min(max(h, 0.0), total)
        parted[v] = _parted(q0[v], q1[v], q2[v], above[v])
        down[v] = _parted(q0[v], q1[v], q2[v], total)
        met[parent[v]] += 0.5 * down[v]
    below = np.zeros(n)
    for v in range(n - 1):
        if v >= n_tips:
            below[v] += max(met[v] - q0[v], 0.0)
        below[parent[v]] += below[v]
    beyond = np.zeros(n)
    mean_square = np.full(n, np.nan)
    for v in range(n - 2, -1, -1):
        p = parent[v]
        # below[root] has no pairs of its own yet; below[p] has those that miss p's branch.
        own = 0.0 if p == n - 1 else max(met[p] - q0[p], 0.0)
        beyond[v] = beyond[p] + (below[p] - own - below[v]) + max(met[p] - down[v], 0.0)
        if n_pairs > 0.0:
            mean_square[v] = max(below[v] + beyond[v] + parted[v], 0.0) / (0.5 * n_pairs)
    return mean_square, above


@compiled
def _parted(q0: float, q1: float, q2: float, h: float) -> float:
    return max(q0 - 4.0 * h * (q1 - h * q2), 0.0)


@compiled
def sides(
    parent: NDArray[np.int32], number: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Smallest and largest number, and count, of the tips on the side of each branch without 0.

    `number` is a permutation, one a tip. The root gets an empty side.
    """
    n_tips, n = len(number), len(parent)
    low = np.full(n, n_tips)
    high = np.full(n, -1)
    size = np.zeros(n, np.int64)
    zero = 0
    for tip in range(n_tips):
        low[tip] = high[tip] = number[tip]
        size[tip] = 1
        if number[tip] == 0:
            zero = tip
    way = np.empty(n, np.int64)
    is_way = np.zeros(n, np.bool_)
    k = _way_up(parent, zero, way, is_way)
    # The nodes above tip 0 gather only what does not lie on the way to it.
    low[zero], high[zero], size[zero] = n_tips, -1, 0
    for v in range(n - 1):
        if not is_way[v]:
            p = parent[v]
            low[p] = min(low[p], low[v])
            high[p] = max(high[p], high[v])
            size[p] += size[v]
    first, last, count = n_tips, -1, 0
    for step in range(k - 1, -1, -1):
        v = way[step]
        own_low, own_high, own_size = low[v], high[v], size[v]
        low[v], high[v], size[v] = first, last, count
        first = min(first, own_low)
        last = max(last, own_high)
        count += own_size
    return low, high, size


@compiled
def day_table(
    low: NDArray[np.int64], high: NDArray[np.int64], size: NDArray[np.int64], n_tips: int
) -> NDArray[np.int64]:
    """The intervals of a tree's sides, to be looked up by their ends (Day 1985).

    Row k holds the one interval stored under k, (low, high), or (-1, -1). From large to
    small, an interval goes under its low end if that row is free, else under its high
    end. That row is free: of intervals with the same low end only the largest is stored
    under it; two nested ones that share the high end do not both share a low end with a
    larger one; and two that only touch in k would overlap.
    """
    table = np.full((n_tips, 2), -1)
    order = np.argsort(-size, kind="mergesort")
    for v in order:
        if size[v] < 2 or size[v] > n_tips - 2:
            continue
        row = low[v]
        if table[row, 0] >= 0:
            if table[row, 0] == low[v] and table[row, 1] == high[v]:
                continue
            row = high[v]
        table[row, 0] = low[v]
        table[row, 1] = high[v]
    return table


@compiled
def compare_splits(
    parent: NDArray[np.int32], number: NDArray[np.int64], table: NDArray[np.int64]
) -> tuple[int, int]:
    """How many bipartitions a tree has, and how many of them a table. O(n)."""
    n_tips = len(number)
    stands = branches(parent, n_tips, False)
    low, high, size = sides(parent, number)
    count, shared = 0, 0
    for v in range(n_tips, len(parent)):
        if stands[v] != v or size[v] < 2 or size[v] > n_tips - 2:
            continue
        count += 1
        a, b = low[v], high[v]
        if b - a + 1 == size[v]:
            at_low = table[a, 0] == a and table[a, 1] == b
            at_high = table[b, 0] == a and table[b, 1] == b
            if at_low or at_high:
                shared += 1
    return count, shared
