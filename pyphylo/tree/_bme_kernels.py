"""Moves that make the balanced tree shorter, compiled; see `_bme_averages` for its arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled
from pyphylo.tree._bme_averages import parts, sibling, swap

__all__ = ["interchange", "perturb", "regraft"]

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


@compiled
def interchange(n_tips: int, parent: _Ints, child: _Ints, A: _Floats, tolerance: float) -> int:
    """Nearest neighbor interchanges, the one that saves most first; how many were made.

    Stops where none saves more than `tolerance`, or after as many as there are nodes. A
    must be filled and is kept. Of equals the first by branch is made. O(n x diameter) a move.
    """
    for made in range(parent.shape[0]):
        best = -tolerance
        branch = -1
        side = 0
        for v in range(n_tips, parent.shape[0]):
            p = parent[v]
            if p == 0:
                continue
            a, b = child[v]
            c = sibling(parent, child, v)
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
        swap(parent, child, A, branch, side)
    return int(parent.shape[0])


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
) -> int:
    """Exchange two subtrees, given by their branches, that lie at different ends of `center`.

    Returns the exchange: twice the branch, plus the side.
    """
    p = parent[center]
    inner, outer = moved, passed
    if child[center, 0] != inner and child[center, 1] != inner:
        inner, outer = passed, moved
    side = 0 if child[center, 0] == inner else 1
    # Exchanging the subtree above p with one below is exchanging the other two.
    if outer == p:
        side = 1 - side
    swap(parent, child, A, center, side)
    return 2 * center + side


@compiled
def _enqueue(
    parent: _Ints,
    child: _Ints,
    v: int,
    queue: _Ints,
    queued: NDArray[np.bool_],
    head: int,
    count: int,
) -> int:
    """Append the subtrees around branch v that do not wait already; how many wait now."""
    size = queue.shape[0]
    p = parent[v]
    around = (v, child[v, 0], child[v, 1], sibling(parent, child, v), p)
    for e in around:
        for subtree in (2 * e, 2 * e + 1):
            if not queued[subtree]:
                queued[subtree] = True
                queue[(head + count) % size] = subtree
                count += 1
    return count


@compiled
def _settle(
    n_tips: int,
    parent: _Ints,
    child: _Ints,
    A: _Floats,
    tolerance: float,
    queue: _Ints,
    queued: NDArray[np.bool_],
    count: int,
    made: _Ints,
) -> tuple[float, int, int]:
    """Move each waiting subtree where it saves most, if that is more than `tolerance`.

    The first `count` of `queue`, a ring, wait; what was around a node that was passed
    waits again. Stops when `made` could overflow.

    Returns
    -------
    saved : float, negative
    moves : int
    exchanges : int
        How many entries of `made` were filled: each is what `_pass_node` returned.
    """
    n_nodes = parent.shape[0]
    head = 0
    corner = np.zeros((n_nodes, 3))
    at = np.empty((2, n_nodes), np.int64)
    came = np.empty((2, n_nodes), np.int64)
    share = np.empty((2, n_nodes))
    near = np.empty((2, n_nodes))
    saved = np.empty((2, n_nodes))
    way = np.empty(n_nodes, np.int64)
    best = np.zeros(2, np.int64)
    _corners(n_tips, child, A, corner)
    total = 0.0
    moves = 0
    exchanges = 0
    while count > 0 and exchanges + n_nodes <= made.shape[0]:
        subtree = queue[head]
        head = (head + 1) % queue.shape[0]
        count -= 1
        queued[subtree] = False
        moved = subtree >> 1
        one, other = parts(parent, child, subtree ^ 1)
        if one < 0:
            continue
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
        total += saved[s, best[s]]
        # The nodes on the way, from the last back to the first, are passed from the first on.
        steps = 0
        t = best[s]
        while t > 0:
            way[steps] = t
            steps += 1
            t = came[s, t]
        for k in range(steps - 1, -1, -1):
            t = way[k]
            center = at[s, came[s, t]] >> 1
            # Entries come in pairs: the other of the pair is what is passed.
            twin = t + 1 if t & 1 else t - 1
            made[exchanges] = _pass_node(parent, child, A, center, moved, at[s, twin] >> 1)
            exchanges += 1
            count = _enqueue(parent, child, center, queue, queued, head, count)
        _corners(n_tips, child, A, corner)
        moves += 1
    return total, moves, exchanges


@compiled
def regraft(n_tips: int, parent: _Ints, child: _Ints, A: _Floats, tolerance: float) -> int:
    """Subtree pruning and regrafting; how many moves were made.

    Each subtree, in the order of branches, goes where it saves most, if that is more than
    `tolerance`; subtrees beside which something moved are looked at again. If no move was
    made, none saves more. A must be filled and is kept. O(n) to look at a subtree,
    O(n x diameter) for each node that one passes.
    """
    n_nodes = parent.shape[0]
    queue = np.empty(2 * n_nodes, np.int64)
    queued = np.ones(2 * n_nodes, np.bool_)
    queue[: 2 * n_nodes - 2] = np.arange(2, 2 * n_nodes)
    made = np.empty(16 * n_nodes, np.int64)
    _, moves, _ = _settle(n_tips, parent, child, A, tolerance, queue, queued, 2 * n_nodes - 2, made)
    return moves


@compiled
def perturb(
    n_tips: int,
    parent: _Ints,
    child: _Ints,
    A: _Floats,
    tolerance: float,
    tries: int,
    strength: int,
    seed: int,
) -> tuple[int, int]:
    """Exchange at random near a random branch, move subtrees back into place, keep what is shorter.

    Escapes from a tree that no single move shortens. A must be filled and is kept.

    Returns
    -------
    kept, seed : int
        How many tries were kept; the state of the generator (Park & Miller 1988).
    """
    n_nodes = parent.shape[0]
    queue = np.empty(2 * n_nodes, np.int64)
    queued = np.zeros(2 * n_nodes, np.bool_)
    exchanged = np.empty(strength, np.int64)
    made = np.empty(8 * n_nodes, np.int64)
    kept = 0
    for _ in range(tries):
        queued[:] = False
        count = 0
        change = 0.0
        seed = seed * 48271 % 2147483647
        v = n_tips + seed % (n_nodes - n_tips)
        if parent[v] == 0:
            v = child[v, 0] if child[v, 0] >= n_tips else child[v, 1]
        for k in range(strength):
            seed = seed * 48271 % 2147483647
            side = (seed >> 8) & 1
            b = child[v, side]
            a = child[v, 1 - side]
            c = sibling(parent, child, v)
            p = parent[v]
            change += 0.25 * ((A[a, c] + A[b, p]) - (A[a, b] + A[c, p]))
            swap(parent, child, A, v, side)
            exchanged[k] = 2 * v + side
            count = _enqueue(parent, child, v, queue, queued, 0, count)
            around = (a, b, c, p)
            # One of the four as good as any; stay where it has no two ends to exchange at.
            u = around[(seed >> 9) & 3]
            if u >= n_tips and parent[u] != 0:
                v = u
        saved, _, exchanges = _settle(
            n_tips, parent, child, A, tolerance, queue, queued, count, made
        )
        if change + saved < -tolerance:
            kept += 1
            continue
        for k in range(exchanges - 1, -1, -1):
            swap(parent, child, A, made[k] >> 1, made[k] & 1)
        for k in range(strength - 1, -1, -1):
            swap(parent, child, A, exchanged[k] >> 1, exchanged[k] & 1)
    return kept, seed
