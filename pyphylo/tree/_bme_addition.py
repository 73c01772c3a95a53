"""The balanced tree that grows tip by tip, compiled; see `_bme_averages` for its arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled
from pyphylo.tree._bme_averages import parts, preorder, shift, sibling

__all__ = ["add_tips"]

_Ints = NDArray[np.int64]
_Floats = NDArray[np.float64]


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
    shift(parent, child, A, 2 * s, 0.5, change)
    first, second = parts(parent, child, 2 * s + 1)
    if first >= 0:
        shift(parent, child, A, first, 0.25, change)
        shift(parent, child, A, second, 0.25, change)
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
        count = preorder(child, order, start, stop)
        for t in range(count - 1, -1, -1):
            v = order[t]
            below[v] = D[tip, v] if v < n else 0.5 * (below[child[v, 0]] + below[child[v, 1]])
        best = order[0]
        above[best] = D[tip, 0]
        saved[best] = 0.0
        for t in range(1, count):
            v = order[t]
            p = parent[v]
            c = sibling(parent, child, v)
            above[v] = 0.5 * (above[p] + below[c])
            # From branch p on to v, passing c: the change as in `_walk`.
            saved[v] = saved[p] + 0.25 * ((A[p, c] + below[v]) - (above[p] + A[c, v]))
            if saved[v] < saved[best]:
                best = v
        _attach(D, parent, child, A, tip, n + tip - 2, below, above, best)
