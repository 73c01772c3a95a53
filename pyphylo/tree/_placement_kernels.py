"""Least squares attachment of a new tip to every branch of a tree, in two walks.

A side of a branch is summed up by three numbers: the total weight W of its tips, the weighted
mean M of ``distance to the new tip - path to the tip`` seen from a node, and the weighted sum C
of squares about that mean. Walking over a branch takes its length off M and leaves W and C; two
sides are put together by adding W, C and the squares between their means. Nothing is ever
subtracted from a sum, so no digits cancel, however deep the tree. After Balaban et al. (2020),
Syst. Biol. 69:566 (APPLES), whose sums are of raw squares.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = ["best_edges", "fit_edges"]

_Floats = NDArray[np.float64]
_Nodes = NDArray[np.int32]

_RELATIVE = 1e-10
_ABSOLUTE = 1e-24
"""Residuals that differ by less are equal: relative to the least, and to the sum of squares."""


@compiled
def _add(sides: _Floats, v: int, weight: float, mean: float, scatter: float) -> None:
    """Put a side together with that of node v, in place."""
    if weight == 0.0:
        return
    together = sides[v, 0] + weight
    apart = mean - sides[v, 1]
    sides[v, 2] += scatter + sides[v, 0] * (weight / together) * apart * apart
    sides[v, 1] += (weight / together) * apart
    sides[v, 0] = together


@compiled
def _attach(
    wa: float, ma: float, wb: float, mb: float, length: float
) -> tuple[float, float, float]:
    """The point on a branch, the pendant length, and what is added to the two sides' scatter.

    Minimises ``wa (ma - x - y)^2 + wb (mb - length + x - y)^2`` over 0 <= x <= length and
    y >= 0. It is convex, so a minimum outside lies on one of the three borders.
    """
    far = mb - length
    longest = max(length, 0.0)
    x, y = (ma - far) / 2, (ma + far) / 2
    if 0.0 <= x <= longest and y >= 0.0:
        return x, y, 0.0
    total = wa + wb
    x = min(max((wa * ma - wb * far) / total, 0.0), longest)
    y = 0.0
    least = wa * (ma - x) ** 2 + wb * (far + x) ** 2
    for end in (0.0, longest):
        height = max((wa * (ma - end) + wb * (far + end)) / total, 0.0)
        excess = wa * (ma - end - height) ** 2 + wb * (far + end - height) ** 2
        if excess < least:
            x, y, least = end, height, excess
    return x, y, least


@compiled
def _sum_sides(
    parent: _Nodes,
    length: _Floats,
    distance: _Floats,
    weight: _Floats,
    below: _Floats,
    outside: _Floats,
    later: _Floats,
) -> None:
    """Sum up both sides of every branch.

    Parameters
    ----------
    parent, length : ndarray, shape (n_nodes,)
    distance, weight : ndarray of float64, shape (n_tips,)
    below : ndarray of float64, shape (n_nodes, 3), filled
        W, M, C of the tips below each node, seen from the node.
    outside : ndarray of float64, shape (n_nodes, 3), filled
        The same of all other tips, seen from the node's parent.
    later : ndarray of float64, shape (n_nodes, 3)
        Working memory.
    """
    n, n_tips = len(parent), len(distance)
    below[:], later[:] = 0.0, 0.0
    for v in range(n_tips):
        below[v, 0] = weight[v]
        below[v, 1] = distance[v]
    # Upwards. below[p] holds the children of p so far: the siblings before v.
    for v in range(n - 1):
        p = parent[v]
        for k in range(3):
            outside[v, k] = below[p, k]
        _add(below, p, below[v, 0], below[v, 1] - length[v], below[v, 2])
    # Downwards. later[p] holds the children of p so far: the siblings after v.
    for v in range(n - 2, -1, -1):
        p = parent[v]
        _add(outside, v, later[p, 0], later[p, 1], later[p, 2])
        if p < n - 1:
            _add(outside, v, outside[p, 0], outside[p, 1] - length[p], outside[p, 2])
        _add(later, p, below[v, 0], below[v, 1] - length[v], below[v, 2])


@compiled
def _fit(
    length: _Floats,
    below: _Floats,
    outside: _Floats,
    above: _Floats,
    pendant: _Floats,
    residual: _Floats,
) -> float:
    """Attach to every branch with tips of weight on both sides; the least residual, or inf."""
    least = np.inf
    for v in range(len(length) - 1):
        wa, wb = below[v, 0], outside[v, 0]
        residual[v] = np.inf
        if wa > 0.0 and wb > 0.0:
            x, y, excess = _attach(wa, below[v, 1], wb, outside[v, 1], length[v])
            above[v], pendant[v] = x, y
            residual[v] = below[v, 2] + outside[v, 2] + excess
            least = min(least, residual[v])
    return least


@compiled
def _first(residual: _Floats, least: float, distance: _Floats, weight: _Floats) -> int:
    """The first node whose residual equals the least but for rounding; -1 where all are inf."""
    if not np.isfinite(least):
        return -1
    scale = 0.0
    for tip in range(len(distance)):
        scale += weight[tip] * distance[tip] * distance[tip]
    limit = least + _RELATIVE * least + _ABSOLUTE * scale
    for v in range(len(residual) - 1):
        if residual[v] <= limit:
            return v
    return -1


@compiled
def fit_edges(
    parent: _Nodes,
    length: _Floats,
    distance: _Floats,
    weight: _Floats,
    above: _Floats,
    pendant: _Floats,
    residual: _Floats,
) -> int:
    """Attach a new tip to every branch; return the best one's node.

    Parameters
    ----------
    parent : ndarray of int32, shape (n_nodes,)
        Children have smaller numbers than their parents.
    length : ndarray of float64, shape (n_nodes,)
    distance, weight : ndarray of float64, shape (n_tips,)
        From the new tip to each; tips of weight 0 do not count.
    above, pendant, residual : ndarray of float64, shape (n_nodes,), filled
        Of the branch above each node: the attachment's distance from the node, the
        new tip's from the attachment, and the weighted sum of squares. inf where one
        side of the branch has no weight, and at the root.

    Returns
    -------
    int
        -1 where no branch can be fitted. Of equals, the lowest number. O(n_nodes).
    """
    n = len(parent)
    below, outside, later = np.empty((n, 3)), np.zeros((n, 3)), np.empty((n, 3))
    _sum_sides(parent, length, distance, weight, below, outside, later)
    residual[n - 1] = np.inf
    least = _fit(length, below, outside, above, pendant, residual)
    return _first(residual, least, distance, weight)


@compiled
def best_edges(
    parent: _Nodes, length: _Floats, distances: _Floats, weights: _Floats, best: NDArray[np.int64]
) -> None:
    """The best branch of each replicate, as `fit_edges` returns it.

    `distances` and `weights` have shape (replicates, n_tips), `best` (replicates,).
    """
    n = len(parent)
    below, outside, later = np.empty((n, 3)), np.zeros((n, 3)), np.empty((n, 3))
    above, pendant, residual = np.empty(n), np.empty(n), np.empty(n)
    for b in range(len(distances)):
        _sum_sides(parent, length, distances[b], weights[b], below, outside, later)
        least = _fit(length, below, outside, above, pendant, residual)
        best[b] = _first(residual, least, distances[b], weights[b])
