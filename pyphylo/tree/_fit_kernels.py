"""The normal equations of least squares branch lengths, compiled."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled
from pyphylo.tree._tree_kernels import children_of

__all__ = ["normal_matrix"]


@compiled
def normal_matrix(
    parent: NDArray[np.int32],
    start: NDArray[np.int64],
    size: NDArray[np.int64],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Of two branches, the summed weights of the pairs of tips whose path takes both.

    No node may have one child. For nodes u and v, neither below the other, that is the
    weight between the tips below u and those below v, which is the sum of the weights
    between the children of u and v. For u above v it is the weight between the tips
    below v and those beyond u, which adds up on the way from the root to u. Nothing is
    subtracted, so small weights beside large ones keep their digits. O(n^2).

    Returns
    -------
    ndarray, shape (n_nodes - 1, n_nodes - 1)
    """
    n_tips, n = len(weights), len(parent)
    first, below = children_of(parent)

    N = np.zeros((n - 1, n - 1))
    N[:n_tips, :n_tips] = weights
    for v in range(n_tips):
        N[v, v] = 0.0
    for u in range(n_tips, n - 1):
        for at in range(first[u], first[u + 1]):
            child = below[at]
            for v in range(u):
                N[u, v] += N[child, v]
        for v in range(u):
            if start[u] <= start[v] < start[u] + size[u]:
                N[u, v] = 0.0
            N[v, u] = N[u, v]
    way = np.empty(n, np.int64)
    for v in range(n - 1):
        k = 0
        u = v
        while u >= 0:
            way[k] = u
            k += 1
            u = parent[u]
        beyond = 0.0
        for step in range(k - 1, 0, -1):
            p, u = way[step], way[step - 1]
            for at in range(first[p], first[p + 1]):
                if below[at] != u:
                    beyond += N[v, below[at]]
            # Read above: only branches beside the way; written here: those on it.
            N[v, u] = beyond
            N[u, v] = beyond
    return N
