"""UPGMA (Sokal & Michener 1958): rooted trees in which all models are equally far from the root."""

from __future__ import annotations

import numpy as np

from pyphylo._matrix import triangle_of
from pyphylo._memory import require_memory
from pyphylo.errors import WorkError
from pyphylo.tree._given import Distances, checked_stored
from pyphylo.tree.tree import Tree

__all__ = ["upgma"]


def upgma(D: Distances) -> Tree:
    """The tree of average linkage: the two closest clusters are joined until one is left.

    Parameters
    ----------
    D : DistanceMatrix
        At least two models; symmetric.

    Returns
    -------
    Tree
        Rooted; every tip is as far from the root as every other, half the mean
        distance between the models on its two sides. Tips are in the order of
        ``D.ids``.

    Raises
    ------
    InputError
        When D is not a DistanceMatrix, has fewer than two models or holds a value
        that is not finite (the pair is named).
    WorkError
        When distances are so large that sums overflow.
    MemoryError
        When the working copy does not fit.

    Notes
    -----
    SciPy's nearest-neighbour chain: O(n^2) time, 4 n^2 bytes. It takes a clock for
    granted, which models do not keep; neighbor joining does not.

    References
    ----------
    Sokal & Michener (1958), Univ Kansas Sci Bull 38, 1409-1438.
    Muellner (2011), arXiv 1109.2378.
    """
    from scipy.cluster.hierarchy import linkage

    ids, values = checked_stored(D, "upgma")
    n = len(ids)
    require_memory(8 * n * (n - 1) // 2, f"the distances of {n} models to be joined")
    triangle = values if values.ndim == 1 else triangle_of(values)
    # SciPy weights by sizes of clusters, and joins what is not there where that overflows.
    if triangle.max() > np.finfo(np.float64).max / n:
        raise WorkError(
            f"distances up to {triangle.max():g} overflow float64 sums of {n} models; scale them "
            "down"
        )
    merges = linkage(triangle.astype(np.float64, copy=False), method="average")
    children = merges[:, :2].astype(np.int64)
    height = np.concatenate([np.zeros(n), merges[:, 2] / 2])
    parent = np.full(2 * n - 1, -1, np.int32)
    parent[children] = np.arange(n, 2 * n - 1)[:, None]
    length = np.zeros(2 * n - 1)
    length[:-1] = height[parent[:-1]] - height[:-1]
    return Tree(ids, parent, np.maximum(length, 0.0))
