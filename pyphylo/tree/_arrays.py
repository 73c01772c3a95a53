"""A tree as flat arrays: display order and walks. No recursion, any depth.

Everywhere, nodes 0..n_tips-1 are the tips, every internal node has a larger number than all
its children, and the root is the last node. So a loop upwards through the numbers meets
children before parents, and a loop downwards parents before children.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layout", "TreeArrays", "depths", "layout", "numbered", "postorder"]


class TreeArrays(NamedTuple):
    """What a `Tree` is made of; `labels` are of the internal nodes, in order."""

    tips: Sequence[str]
    parent: Sequence[int]
    length: Sequence[float]
    support: Sequence[float]
    labels: Sequence[str | None]


class Layout(NamedTuple):
    """The display order: children by the smallest tip number below them.

    Attributes
    ----------
    first_child, children : ndarray
        The children of node v are ``children[first_child[v]:first_child[v + 1]]``.
    preorder : ndarray
        Parents before children.
    order : ndarray, per tip
        The tips in display order.
    start, size : ndarray, per node
        The tips below node v are ``order[start[v]:start[v] + size[v]]``.
    """

    first_child: NDArray[np.int64]
    children: NDArray[np.int32]
    preorder: NDArray[np.int32]
    order: NDArray[np.int64]
    start: NDArray[np.int64]
    size: NDArray[np.int64]


def layout(n_tips: int, parent: NDArray[np.int32]) -> Layout:
    """Lay a tree out. O(n log n)."""
    n = len(parent)
    up = parent.tolist()
    smallest = [*range(n_tips), *([n_tips] * (n - n_tips))]
    size = [*([1] * n_tips), *([0] * (n - n_tips))]
    for v in range(n - 1):
        p = up[v]
        smallest[p] = min(smallest[p], smallest[v])
        size[p] += size[v]
    children = np.lexsort((smallest[:-1], up[:-1]))
    n_children = np.bincount(parent[:-1], minlength=n)
    first_child = np.concatenate(([0], np.cumsum(n_children)))

    first, below = first_child.tolist(), children.tolist()
    start = [0] * n
    preorder: list[int] = []
    stack = [n - 1]
    n_seen = 0
    while stack:
        v = stack.pop()
        preorder.append(v)
        start[v] = n_seen
        if v < n_tips:
            n_seen += 1
        else:
            stack.extend(reversed(below[first[v] : first[v + 1]]))
    return Layout(
        first_child,
        children.astype(np.int32),
        np.array(preorder, np.int32),
        np.argsort(start[:n_tips]),
        np.array(start),
        np.array(size),
    )


def depths(parent: Sequence[int], length: Sequence[float]) -> list[float]:
    """Distance of every node from the root, adding downwards."""
    depth = [0.0] * len(parent)
    for v in range(len(parent) - 2, -1, -1):
        depth[v] = depth[parent[v]] + length[v]
    return depth


def postorder(of: Layout) -> NDArray[np.int32]:
    """All nodes, children before parents, in display order."""
    first, below = of.first_child.tolist(), of.children.tolist()
    backwards: list[int] = []
    stack = [len(first) - 2]
    while stack:
        v = stack.pop()
        backwards.append(v)
        stack.extend(below[first[v] : first[v + 1]])
    return np.array(backwards[::-1], np.int32)


def numbered(
    parent: Sequence[int],
    name: Sequence[str | None],
    length: Sequence[float],
    support: Sequence[float],
) -> TreeArrays:
    """Nodes that are given in preorder, numbered tips first and parents behind children.

    Tips come in the given order.
    """
    inner = set(parent)
    tips: list[int] = []
    closed: list[int] = []
    open_: list[int] = []  # the given node's ancestors, the root first
    for node, above in enumerate(parent):
        while open_ and open_[-1] != above:
            closed.append(open_.pop())
        (open_ if node in inner else tips).append(node)
    order = [*tips, *closed, *reversed(open_)]
    number = {node: place for place, node in enumerate(order)}
    number[-1] = -1
    n_tips = len(tips)
    return TreeArrays(
        [name[node] or "" for node in tips],
        [number[parent[node]] for node in order],
        [length[node] for node in order],
        [support[node] for node in order],
        [name[node] or None for node in order[n_tips:]],
    )
