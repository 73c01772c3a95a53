"""Balanced averages between the subtrees of a tree, compiled, and how an exchange changes them.

The tree
--------
It hangs from tip 0. Tips are nodes 0..n-1, internal nodes n..2n-3; `parent` and `child` (two a
node, -1 where there is none; tip 0 has its one child first) hold the shape. The branch above
node v is called v, so branches are 1..2n-3. Cutting a branch leaves two subtrees: `2 * v` stands
for the one below and `2 * v + 1` for the one above, which holds tip 0.

The averages
------------
Two subtrees without a tip in common have the balanced average distance (Pauplin 2000)

    d(X, Y) = d_ij                           where X and Y are the tips i and j
            = (d(X1, Y) + d(X2, Y)) / 2      where X falls into X1 and X2 at its upper node

and the invariant of all that follows is

    A[e, f] = A[f, e] = d(X, Y), X and Y being the subtrees that branches e and f cut off from
                        each other's far side; e = f: the subtrees on both sides of e.

Moves exchange two subtrees at the ends of a branch. What they change in A is one weight in every
average that contains the branch: `shift` adds it, in O(n x diameter) instead of O(n^2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = [
    "branch_lengths",
    "fill_averages",
    "parts",
    "path_sums",
    "preorder",
    "shift",
    "sibling",
    "swap",
]

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


@compiled
def sibling(parent: _Ints, child: _Ints, v: int) -> int:
    """The other child of v's parent."""
    p = parent[v]
    return int(child[p, 1] if child[p, 0] == v else child[p, 0])


@compiled
def parts(parent: _Ints, child: _Ints, subtree: int) -> tuple[int, int]:
    """The two subtrees that one falls into at its upper node; -1 where it is a tip."""
    v = subtree >> 1
    if subtree & 1 == 0:
        if child[v, 0] < 0:
            return -1, -1
        return 2 * child[v, 0], 2 * child[v, 1]
    p = parent[v]
    if p == 0:
        return -1, -1
    return 2 * sibling(parent, child, v), 2 * p + 1


@compiled
def preorder(child: _Ints, order: _Ints, start: _Ints, stop: _Ints) -> int:
    """All nodes but tip 0 in `order`; those below v, itself included, from start[v] to stop[v]."""
    stack = np.empty(order.shape[0] + 1, np.int64)
    stack[0] = child[0, 0]
    waiting = 1
    count = 0
    while waiting > 0:
        waiting -= 1
        v = stack[waiting]
        start[v] = count
        order[count] = v
        count += 1
        if child[v, 0] >= 0:
            stack[waiting] = child[v, 1]
            stack[waiting + 1] = child[v, 0]
            waiting += 2
    for t in range(count - 1, -1, -1):
        v = order[t]
        stop[v] = start[v] + 1 if child[v, 0] < 0 else stop[child[v, 1]]
    return count


@compiled
def fill_averages(D: NDArray[Any], parent: _Ints, child: _Ints, A: _Floats) -> None:
    """All of A from its definition. O(n^2)."""
    n = D.shape[0]
    n_nodes = parent.shape[0]
    order = np.empty(n_nodes, np.int64)
    start = np.empty(n_nodes, np.int64)
    stop = np.empty(n_nodes, np.int64)
    path = np.empty(n_nodes, np.int64)
    count = preorder(child, order, start, stop)
    top = child[0, 0]
    # Rows of tips: subtrees below, upwards; then those above, which hold tip 0, downwards.
    for i in range(1, n):
        row = A[i]
        place = start[i]
        for t in range(count - 1, -1, -1):
            f = order[t]
            if start[f] <= place < stop[f]:
                continue
            if f < n:
                row[f] = D[i, f]
            else:
                row[f] = 0.5 * (row[child[f, 0]] + row[child[f, 1]])
        n_above = 0
        f = i
        while f != 0:
            path[n_above] = f
            n_above += 1
            f = parent[f]
        for t in range(n_above - 1, -1, -1):
            f = path[t]
            if f == top:
                row[f] = D[i, 0]
            else:
                row[f] = 0.5 * (row[parent[f]] + row[sibling(parent, child, f)])
    # Rows of internal branches against all that is not below them, upwards.
    for t in range(count - 1, -1, -1):
        f = order[t]
        if f < n:
            continue
        row = A[f]
        left = A[child[f, 0]]
        right = A[child[f, 1]]
        for u in range(start[f]):
            row[order[u]] = 0.5 * (left[order[u]] + right[order[u]])
        for u in range(stop[f], count):
            row[order[u]] = 0.5 * (left[order[u]] + right[order[u]])
    # And against what is below them, downwards.
    row = A[top]
    for u in range(count - 1, -1, -1):
        e = order[u]
        row[e] = D[0, e] if e < n else 0.5 * (row[child[e, 0]] + row[child[e, 1]])
    for t in range(1, count):
        f = order[t]
        if f < n:
            continue
        row = A[f]
        above = A[parent[f]]
        beside = A[sibling(parent, child, f)]
        for u in range(start[f], stop[f]):
            row[order[u]] = 0.5 * (above[order[u]] + beside[order[u]])


@compiled
def branch_lengths(parent: _Ints, child: _Ints, A: _Floats, lengths: _Floats) -> float:
    """The balanced length of every branch, which may be negative; their sum."""
    total = 0.0
    for v in range(1, parent.shape[0]):
        p = parent[v]
        a, b = child[v]
        if a >= 0 and p != 0:
            c = sibling(parent, child, v)
            lengths[v] = A[v, v] - 0.5 * (A[a, b] + A[c, p])
        elif a >= 0:
            lengths[v] = 0.5 * ((A[v, a] + A[v, b]) - A[a, b])
        else:
            c = sibling(parent, child, v)
            lengths[v] = 0.5 * ((A[v, c] + A[v, p]) - A[c, p])
        total += lengths[v]
    return total


@compiled
def shift(
    parent: _Ints, child: _Ints, A: _Floats, subtree: int, weight: float, change: _Floats
) -> None:
    """Add to all averages between a part of a subtree and what lies beyond an outer part of it.

    For every branch f in the subtree and every branch e on the way from f to the
    subtree's own, both included, at depth k below it: weight / 2^k x change[f].
    O(size of the subtree x its depth).
    """
    n_nodes = parent.shape[0]
    stack = np.empty(n_nodes + 1, np.int64)
    depth = np.empty(n_nodes + 1, np.int64)
    path = np.empty(n_nodes, np.int64)
    stack[0] = subtree
    depth[0] = 0
    waiting = 1
    while waiting > 0:
        waiting -= 1
        x = stack[waiting]
        k = depth[waiting]
        f = x >> 1
        path[k] = f
        amount = weight * change[f]
        row = A[f]
        for j in range(k + 1):
            e = path[j]
            value = row[e] + amount
            row[e] = value
            A[e, f] = value
            amount *= 0.5
        first, second = parts(parent, child, x)
        if first >= 0:
            stack[waiting] = second
            depth[waiting] = k + 1
            stack[waiting + 1] = first
            depth[waiting + 1] = k + 1
            waiting += 2


@compiled
def _meet(parent: _Ints, child: _Ints, A: _Floats, v: int, subtree: int, x: int, y: int) -> None:
    """A[v, f] for all branches f of a subtree, when x and y lie behind v. O(size)."""
    stack = np.empty(parent.shape[0] + 1, np.int64)
    stack[0] = subtree
    waiting = 1
    while waiting > 0:
        waiting -= 1
        f = stack[waiting] >> 1
        value = 0.5 * (A[x, f] + A[y, f])
        A[v, f] = value
        A[f, v] = value
        first, second = parts(parent, child, stack[waiting])
        if first >= 0:
            stack[waiting] = second
            stack[waiting + 1] = first
            waiting += 2


@compiled
def swap(parent: _Ints, child: _Ints, A: _Floats, v: int, side: int) -> None:
    """Exchange v's child on one side with v's sibling, and bring A up to date.

    ab|cd becomes ac|bd: b moves one branch away from a and c moves one nearer, and so on
    for the other three. Averages between the four, and inside them where v is not in
    between, stay.
    """
    p = parent[v]
    b = child[v, side]
    a = child[v, 1 - side]
    c = sibling(parent, child, v)
    nearer = A[c] - A[b]
    shift(parent, child, A, 2 * a, 0.25, nearer)
    shift(parent, child, A, 2 * p + 1, -0.25, nearer)
    nearer = A[p] - A[a]
    shift(parent, child, A, 2 * b, 0.25, nearer)
    shift(parent, child, A, 2 * c, -0.25, nearer)
    _meet(parent, child, A, v, 2 * a, b, p)
    _meet(parent, child, A, v, 2 * c, b, p)
    _meet(parent, child, A, v, 2 * b, a, c)
    _meet(parent, child, A, v, 2 * p + 1, a, c)
    A[v, v] = 0.25 * ((A[a, b] + A[c, b]) + (A[a, p] + A[c, p]))
    child[v, side] = c
    child[p, 0 if child[p, 0] == c else 1] = b
    parent[c] = v
    parent[b] = p


@compiled
def path_sums(
    D: NDArray[Any], neighbor: _Ints, first: _Ints, number: _Ints, weight: _Floats
) -> float:
    """Half the sum over ordered pairs of tips of d_ij times the weights of the nodes between.

    Parameters
    ----------
    D : square array, of n rows at least
    neighbor, first : arrays
        Neighbors of node v are ``neighbor[first[v]:first[v + 1]]``.
    number : (n,) array
        Each tip's place in D; the tips are nodes 0 to n - 1.
    weight : (n_nodes,) array
        1 / (number of neighbors - 1) of the internal nodes.

    Notes
    -----
    O(n^2) time, O(n) memory: one walk from each tip.
    """
    n = number.shape[0]
    n_nodes = weight.shape[0]
    stack = np.empty(n_nodes + 1, np.int64)
    came = np.empty(n_nodes + 1, np.int64)
    share = np.empty(n_nodes + 1)
    total = 0.0
    for i in range(n):
        row = D[number[i]]
        stack[0] = i
        came[0] = -1
        share[0] = 1.0
        waiting = 1
        part = 0.0
        while waiting > 0:
            waiting -= 1
            v = stack[waiting]
            source = came[waiting]
            passed = share[waiting]
            if v < n and v != i:
                part += passed * row[number[v]]
                continue
            if v >= n:
                passed *= weight[v]
            for t in range(first[v], first[v + 1]):
                if neighbor[t] != source:
                    stack[waiting] = neighbor[t]
                    came[waiting] = v
                    share[waiting] = passed
                    waiting += 1
        total += part
    return 0.5 * total
