"""A tree with one more tip; which of a tree's branches are one, and which lie inside a clade."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyphylo.tree.tree import Tree

__all__ = ["branches", "insert_tip", "inside"]


def insert_tip(tree: Tree, name: str, node: int, above: float, pendant: float) -> Tree:
    """The tree with one more tip, its last, on the branch above a node.

    Both parts of the branch keep its support where they are internal. O(n_nodes).

    Parameters
    ----------
    tree : Tree
    name : str
    node : int
        Not the root.
    above : float
        Distance from the node to the attachment.
    pendant : float
        Length of the new tip's branch.
    """
    n_tips = tree.n_tips
    # The new tip comes after the others, and the new inner node right after the branch's lower
    # end, or first of all inner nodes: so children keep smaller numbers than their parents.
    joint = max(node + 2, n_tips + 1)
    old = np.arange(tree.n_nodes)
    moved = np.where(old < n_tips, old, np.where(old > node, old + 2, old + 1))
    if node < n_tips:
        moved = np.where(old < n_tips, old, old + 2)
    size = tree.n_nodes + 2
    parent = np.full(size, -1, np.int32)
    parent[moved[:-1]] = moved[tree.parent[:-1]]
    length, support = np.zeros(size), np.full(size, np.nan)
    length[moved], support[moved] = tree.length, tree.support
    parent[joint], parent[moved[node]], parent[n_tips] = parent[moved[node]], joint, joint
    length[joint], length[moved[node]], length[n_tips] = tree.length[node] - above, above, pendant
    support[joint] = tree.support[node]
    labels = list(tree.labels)
    labels.insert(joint - n_tips - 1, None)
    return Tree((*tree.tips, name), parent, length, support, labels)


def branches(tree: Tree) -> NDArray[np.int64]:
    """Of each node, one that names its branch of the unrooted tree.

    The two halves of a rooted tree's root branch are one branch, and so are the
    branches above a node and above its only child.
    """
    branch = np.arange(tree.n_nodes)
    first = tree._layout.first_child
    for node in np.flatnonzero(np.diff(first) == 1).tolist():
        branch[node] = branch[tree.children(node)[0]]
    if tree.is_rooted:
        one, other = tree.children(tree.root)
        branch[branch == branch[other]] = branch[one]
    return branch


def inside(tree: Tree, node: int) -> NDArray[np.bool_]:
    """Which nodes' branches lie inside the clade that the branch above `node` cuts off."""
    layout = tree._layout
    offset = layout.start - layout.start[node]
    below: NDArray[np.bool_] = (offset >= 0) & (offset < layout.size[node])
    below[node + 1 :] = False  # what begins at the same tip and is higher
    if not tree.is_rooted and 2 * layout.size[node] > tree.n_tips:
        return np.logical_not(below)
    return below
