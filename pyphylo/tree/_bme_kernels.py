"""Balanced minimum evolution, compiled: averages between subtrees, and the moves of the search.

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
average that contains the branch: `_shift` adds it, in O(n x diameter) instead of O(n^2).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = ["add_tips", "branch_lengths", "fill_averages", "interchange", "path_sums", "regraft"]

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


@compiled
def _sibling(parent: _Ints, child: _Ints, v: int) -> int:
    """The other child of v's parent."""
    p = parent[v]
    return int(child[p, 1] if child[p, 0] == v else child[p, 0])


@compiled
def _parts(parent: _Ints, child: _Ints, subtree: int) -> tuple[int, int]:
    """The two subtrees that one falls into at its upper node; -1 where it is a tip."""
    v = subtree >> 1
    if subtree & 1 == 0:
        if child[v, 0] < 0:
            return -1, -1
        return 2 * child[v, 0], 2 * child[v, 1]
    p = parent[v]
    if p == 0:
        return -1, -1
    return 2 * _sibling(parent, child, v), 2 * p + 1


@compiled
def _preorder(child: _Ints, order: _Ints, start: _Ints, stop: _Ints) -> int:
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
    count = _preorder(child, order, start, stop)
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
                row[f] = 0.5 * (row[parent[f]] + row[_sibling(parent, child, f)])
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
        beside = A[_sibling(parent, child, f)]
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
            c = _sibling(parent, child, v)
            lengths[v] = A[v, v] - 0.5 * (A[a, b] + A[c, p])
        elif a >= 0:
            lengths[v] = 0.5 * ((A[v, a] + A[v, b]) - A[a, b])
        else:
            c = _sibling(parent, child, v)
            lengths[v] = 0.5 * ((A[v, c] + A[v, p]) - A[c, p])
        total += lengths[v]
    return total


@compiled
def _shift(
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
        first, second = _parts(parent, child, x)
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
        first, second = _parts(parent, child, stack[waiting])
        if first >= 0:
            stack[waiting] = second
            stack[waiting + 1] = first
            waiting += 2


@compiled
def _swap(parent: _Ints, child: _Ints, A: _Floats, v: int, side: int) -> None:
    """Exchange v's child on one side with v's sibling, and bring A up to date.

    ab|cd becomes ac|bd: b moves one branch away from a and c moves one nearer, and so on
    for the other three. Averages between the four, and inside them where v is not in
    between, stay.
    """
    p = parent[v]
    b = child[v, side]
    a = child[v, 1 - side]
    c = _sibling(parent, child, v)
    nearer = A[c] - A[b]
    _shift(parent, child, A, 2 * a, 0.25, nearer)
    _shift(parent, child, A, 2 * p + 1, -0.25, nearer)
    nearer = A[p] - A[a]
    _shift(parent, child, A, 2 * b, 0.25, nearer)
    _shift(parent, child, A, 2 * c, -0.25, nearer)
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
def interchange(
    n_tips: int, parent: _Ints, child: _Ints, A: _Floats, tolerance: float, most: int
) -> int:
    """Nearest neighbor interchanges, the one that saves most first; how many were made.

    Stops where none saves more than `tolerance`, or after `most`. A must be filled and
    is kept. Of equals the first by branch is made. O(n x diameter) a move.
    """
    for made in range(most):
        best = -tolerance
        branch = -1
        side = 0
        for v in range(n_tips, parent.shape[0]):
            p = parent[v]
            if p == 0:
                continue
            a, b = child[v]
            c = _sibling(parent, child, v)
            now = A[a, b] + A[c, p]
            with_a = 0.25 * ((A[b, c] + A[a, p]) - now)
            with_b = 0.25 * ((A[a, c] + A[b, p]) - now)
            if with_a < best:
                best = with_a
                branch = v
                side = 0
            if with_b < best:
                best = with_b
                branch = v
                side = 1
        if branch < 0:
            return made
        _swap(parent, child, A, branch, side)
    return most


@compiled
def _corners(n_tips: int, child: _Ints, A: _Floats, corner: _Floats) -> None:
    """The averages between the three branches that meet at each internal node."""
    for v in range(n_tips, child.shape[0]):
        corner[v, 0] = A[v, child[v, 0]]
        corner[v, 1] = A[v, child[v, 1]]
        corner[v, 2] = A[child[v, 0], child[v, 1]]


@compiled
def _walk(
    parent: _Ints,
    child: _Ints,
    A: _Floats,
    corner: _Floats,
    moved: int,
    behind: int,
    ahead: int,
    at: _Ints,
    came: _Ints,
    share: _Floats,
    near: _Floats,
    saved: _Floats,
) -> int:
    """What it saves to move a subtree onto each branch of another; the best entry, 0 for none.

    The branch `moved` ends between the branch `behind` and the subtree `ahead`, at whose
    branches it is tried. Each step passes one node: where the subtree x arrives by branch g and
    leaves by f, passing c, an interchange takes xB|cf to xf|cB (Bordewich et al. 2009), B being
    all that was passed before, without x:

        change = (d(B, c) + d(x, f) - d(x, B) - d(c, f)) / 4.

    Entry t is a branch (as the subtree ahead of it), with `came` the entry before,
    `near` = d(x, B) and `share` = the weight of x in the average A[g, c], where it
    stands in for the branch `behind`, so that

        d(B, c) = A[g, c] + share (A[behind, c] - A[moved, c]).

    `saved` sums the changes. O(size of the subtree).
    """
    of_moved = A[moved]
    of_behind = A[behind]
    at[0] = ahead
    came[0] = -1
    share[0] = 0.5
    near[0] = of_moved[behind]
    saved[0] = 0.0
    count = 1
    best = 0
    t = 0
    while t < count:
        g = at[t] >> 1
        # The two branches that leave, and A between the three.
        if at[t] & 1 == 0:
            first = child[g, 0]
            if first < 0:
                t += 1
                continue
            second = child[g, 1]
            up = 0
            g_first = corner[g, 0]
            g_second = corner[g, 1]
            apart = corner[g, 2]
        else:
            second = parent[g]
            if second == 0:
                t += 1
                continue
            k = 0 if child[second, 0] == g else 1
            first = child[second, 1 - k]
            up = 1
            g_first = corner[second, 2]
            g_second = corner[second, k]
            apart = corner[second, 1 - k]
        x_first = of_moved[first]
        x_second = of_moved[second]
        past_first = g_first + share[t] * (of_behind[first] - x_first)
        past_second = g_second + share[t] * (of_behind[second] - x_second)
        base = saved[t] - 0.25 * (near[t] + apart)
        at[count] = 2 * first
        saved[count] = base + 0.25 * (past_second + x_first)
        near[count] = 0.5 * (near[t] + x_second)
        at[count + 1] = 2 * second + up
        saved[count + 1] = base + 0.25 * (past_first + x_second)
        near[count + 1] = 0.5 * (near[t] + x_first)
        for e in range(count, count + 2):
            came[e] = t
            share[e] = 0.5 * share[t]
            if saved[e] < saved[best]:
                best = e
        count += 2
        t += 1
    return best


@compiled
def _pass_node(
    parent: _Ints, child: _Ints, A: _Floats, center: int, moved: int, passed: int
) -> None:
    """Exchange two subtrees, given by their branches, that lie at different ends of `center`."""
    p = parent[center]
    inner, outer = moved, passed
    if child[center, 0] != inner and child[center, 1] != inner:
        inner, outer = passed, moved
    side = 0 if child[center, 0] == inner else 1
    # Exchanging the subtree above p with one below is exchanging the other two.
    _swap(parent, child, A, center, 1 - side if outer == p else side)


@compiled
def regraft(n_tips: int, parent: _Ints, child: _Ints, A: _Floats, tolerance: float) -> int:
    """One round of subtree pruning and regrafting; how many moves were made.

    Each subtree, in the order of branches, goes where it saves most, if that is more than
    `tolerance`. A must be filled and is kept. O(n^2) to look, O(n x diameter) for each node
    that a subtree passes.
    """
    n_nodes = parent.shape[0]
    corner = np.zeros((n_nodes, 3))
    at = np.empty((2, n_nodes), np.int64)
    came = np.empty((2, n_nodes), np.int64)
    share = np.empty((2, n_nodes))
    near = np.empty((2, n_nodes))
    saved = np.empty((2, n_nodes))
    way = np.empty(n_nodes, np.int64)
    _corners(n_tips, child, A, corner)
    made = 0
    for subtree in range(2, 2 * n_nodes):
        moved = subtree >> 1
        one, other = _parts(parent, child, subtree ^ 1)
        if one < 0:
            continue
        best = np.zeros(2, np.int64)
        for s in range(2):
            behind = other if s == 0 else one
            ahead = one if s == 0 else other
            best[s] = _walk(
                parent,
                child,
                A,
                corner,
                moved,
                behind >> 1,
                ahead,
                at[s],
                came[s],
                share[s],
                near[s],
                saved[s],
            )
        s = 1 if saved[1, best[1]] < saved[0, best[0]] else 0
        if not saved[s, best[s]] < -tolerance:
            continue
        # The nodes on the way, from the last back to the first, are passed from the first on.
        steps = 0
        t = best[s]
        while t > 0:
            way[steps] = t
            steps += 1
            t = came[s, t]
        for k in range(steps - 1, -1, -1):
            t = way[k]
            before = came[s, t]
            # Children are entries in pairs: the other of the pair is what is passed.
            twin = t + 1 if t & 1 else t - 1
            _pass_node(parent, child, A, at[s, before] >> 1, moved, at[s, twin] >> 1)
        _corners(n_tips, child, A, corner)
        made += 1
    return made


@compiled
def _attach(
    D: NDArray[Any],
    parent: _Ints,
    child: _Ints,
    A: _Floats,
    tip: int,
    node: int,
    below: _Floats,
    above: _Floats,
    s: int,
) -> None:
    """Hang `tip` into branch s, whose upper half becomes the branch above `node`.

    `below` and `above` are the tip's averages to the subtrees on both sides of each branch.
    """
    # The tip's average to what each branch cuts off from it.
    far = below.copy()
    v = parent[s]
    while v != 0:
        far[v] = above[v]
        v = parent[v]
    old = A[s].copy()
    change = far - old
    _shift(parent, child, A, 2 * s, 0.5, change)
    first, second = _parts(parent, child, 2 * s + 1)
    if first >= 0:
        _shift(parent, child, A, first, 0.25, change)
        _shift(parent, child, A, second, 0.25, change)
    row = 0.5 * (old + far)
    row[tip] = above[s]
    stack = np.empty(parent.shape[0] + 1, np.int64)
    stack[0] = s
    waiting = 1
    while waiting > 0:
        waiting -= 1
        f = stack[waiting]
        row[f] = old[f]
        if child[f, 0] >= 0:
            stack[waiting] = child[f, 0]
            stack[waiting + 1] = child[f, 1]
            waiting += 2
    row[node] = 0.5 * (old[s] + above[s])
    A[node] = row
    A[:, node] = row
    far[node] = above[s]
    far[tip] = 0.5 * (above[s] + below[s])
    A[tip] = far
    A[:, tip] = far
    p = parent[s]
    child[p, 0 if child[p, 0] == s else 1] = node
    parent[node] = p
    child[node, 0] = s
    child[node, 1] = tip
    parent[s] = node
    parent[tip] = node


@compiled
def add_tips(D: NDArray[Any], parent: _Ints, child: _Ints, A: _Floats) -> None:
    """Greedy addition: each tip in order goes into the branch where the tree stays shortest.

    Fills `parent`, `child` and A (Desper & Gascuel 2002). Of equals the first branch in
    preorder is taken. O(n x diameter) a tip.
    """
    n = D.shape[0]
    n_nodes = parent.shape[0]
    A[:] = 0.0
    parent[:] = -1
    child[:] = -1
    child[0, 0] = n
    parent[n] = 0
    child[n, 0] = 1
    child[n, 1] = 2
    parent[1] = n
    parent[2] = n
    A[1, 2] = D[1, 2]
    A[1, n] = D[1, 0]
    A[2, n] = D[2, 0]
    A[1, 1] = 0.5 * (D[1, 2] + D[1, 0])
    A[2, 2] = 0.5 * (D[1, 2] + D[2, 0])
    A[n, n] = 0.5 * (D[1, 0] + D[2, 0])
    A[2, 1] = A[1, 2]
    A[n, 1] = A[1, n]
    A[n, 2] = A[2, n]
    order = np.empty(n_nodes, np.int64)
    start = np.empty(n_nodes, np.int64)
    stop = np.empty(n_nodes, np.int64)
    below = np.zeros(n_nodes)
    above = np.zeros(n_nodes)
    saved = np.zeros(n_nodes)
    for tip in range(3, n):
        count = _preorder(child, order, start, stop)
        for t in range(count - 1, -1, -1):
            v = order[t]
            below[v] = D[tip, v] if v < n else 0.5 * (below[child[v, 0]] + below[child[v, 1]])
        best = order[0]
        above[best] = D[tip, 0]
        saved[best] = 0.0
        for t in range(1, count):
            v = order[t]
            p = parent[v]
            c = _sibling(parent, child, v)
            above[v] = 0.5 * (above[p] + below[c])
            # From branch p on to v, passing c: the change as in `_walk`.
            saved[v] = saved[p] + 0.25 * ((A[p, c] + below[v]) - (above[p] + A[c, v]))
            if saved[v] < saved[best]:
                best = v
        _attach(D, parent, child, A, tip, n + tip - 2, below, above, best)


@compiled
def path_sums(
    D: NDArray[Any], neighbor: _Ints, first: _Ints, number: _Ints, weight: _Floats
) -> float:
    """Half the sum over ordered pairs of tips of d_ij times the weights of the nodes between.

    Parameters
    ----------
    D : (n, n) array
    neighbor, first : arrays
        Neighbors of node v are ``neighbor[first[v]:first[v + 1]]``.
    number : (n_nodes,) array
        A tip's place in D, for the tips, which are nodes 0 to n - 1.
    weight : (n_nodes,) array
        1 / (number of neighbors - 1) of the internal nodes.

    Notes
    -----
    O(n^2) time, O(n) memory: one walk from each tip.
    """
    n = D.shape[0]
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
