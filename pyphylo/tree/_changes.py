"""Trees made from trees: rerooted, restricted, ladderized. On flat arrays, without recursion."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyphylo.errors import InputError
from pyphylo.tree._arrays import Layout, TreeArrays

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = [
    "collapse",
    "contract",
    "has_unary",
    "ladderize",
    "midpoint",
    "place_root",
    "renumber",
    "restrict",
]


def renumber(n_tips: int, parent: Sequence[int]) -> list[int]:
    """New numbers of all nodes that put children before parents; tips keep theirs."""
    waiting = [0] * len(parent)
    for p in parent:
        if p >= 0:
            waiting[p] += 1
    new = [-1] * len(parent)
    order = list(range(n_tips))
    for v in order:  # grows while it is read
        new[v] = v if v < n_tips else new[v]
        p = parent[v]
        if p < 0:
            continue
        waiting[p] -= 1
        if waiting[p] == 0:
            new[p] = len(order)
            order.append(p)
    return new


def _rebuilt(
    tips: Sequence[str],
    parent: Sequence[int],
    length: Sequence[float],
    support: Sequence[float],
    labels: Sequence[str | None],
) -> TreeArrays:
    """The same tree in canonical numbering; `labels` is per node here, tips included.

    What support came to a tip's branch, where nodes vanished, is dropped: it is certain.
    """
    new = renumber(len(tips), parent)
    order = sorted(range(len(parent)), key=new.__getitem__)
    return TreeArrays(
        tips,
        [new[parent[v]] if parent[v] >= 0 else -1 for v in order],
        [length[v] for v in order],
        [math.nan] * len(tips) + [support[v] for v in order[len(tips) :]],
        [labels[v] for v in order[len(tips) :]],
    )


def _stronger(a: float, b: float) -> float:
    """The larger support of two branches that become one; NaN only where neither has one."""
    return b if math.isnan(a) or b > a else a


def place_root(tree: TreeArrays, node: int, above: float | None) -> TreeArrays:
    """Root a tree on the branch above `node`.

    The branch is the one of the unrooted tree: a root with two children is in the
    middle of a branch, and both its halves count as that branch.

    Parameters
    ----------
    tree : TreeArrays
    node : int
        Not the root.
    above : float or None
        Distance from `node` to the new root; None for the middle.

    Returns
    -------
    TreeArrays
        With a root of two children. Lengths and supports stay with their branches,
        labels with their nodes; the label of a root that vanishes is dropped.
    """
    n = len(tree.parent)
    parent, length, support = list(tree.parent), list(tree.length), list(tree.support)
    labels: list[str | None] = [*([None] * len(tree.tips)), *tree.labels]
    root = n - 1
    top = [v for v in range(n - 1) if parent[v] == root]
    if len(top) == 2:
        # Take the old root out: one of its children hangs from the other, for the moment
        # even from a tip. It is put back as the new root.
        x, y = top
        parent[x] = y
        parent[y] = -1
        length[x] += length[y]
        support[x] = _stronger(support[x], support[y])
        if node == y:
            # The same branch, seen from its other end.
            node, above = x, None if above is None else length[x] - above
        labels[root] = None
    else:
        root = n
        parent.append(-1)
        length.append(0.0)
        support.append(math.nan)
        labels.append(None)

    total = length[node]
    lower = total / 2 if above is None else above
    v = parent[node]
    carried = (total - lower, support[node])
    parent[node] = root
    length[node] = lower
    up = root
    while v >= 0:
        # Turn the branch above v round: it now belongs to the node that was its parent.
        after = parent[v]
        parent[v], up = up, v
        carried, (length[v], support[v]) = (length[v], support[v]), carried
        v = after
    length[root], support[root] = 0.0, math.nan
    return _rebuilt(tree.tips, parent, length, support, labels)


def midpoint(tree: TreeArrays) -> tuple[int, float]:
    """The branch that holds the middle of the longest path between two tips.

    Among paths of equal length, the one whose ends come first by name; of a middle that lies
    on a node, the branch towards the end that comes first.

    Returns
    -------
    (node, above)
        The branch is above `node`, and the middle `above` higher than it.
    """
    tip, top, other = _longest_path(tree)
    rising = _climb(tree.parent, tip, top)
    falling = _climb(tree.parent, other, top)[::-1]
    half = sum(tree.length[v] for v in rising + falling) / 2
    walked = 0.0
    for v in rising:
        if walked + tree.length[v] >= half:
            return v, half - walked
        walked += tree.length[v]
    for v in falling[:-1]:
        if walked + tree.length[v] >= half:
            return v, tree.length[v] - (half - walked)
        walked += tree.length[v]
    v = falling[-1]
    return v, min(max(tree.length[v] - (half - walked), 0.0), max(tree.length[v], 0.0))


def _climb(parent: Sequence[int], node: int, top: int) -> list[int]:
    """The nodes from `node` up to the child of `top`."""
    path = []
    while node != top:
        path.append(node)
        node = parent[node]
    return path


def _longest_path(tree: TreeArrays) -> tuple[int, int, int]:
    """The ends of the longest path, the first by name first, and between them its highest node."""
    n_tips, n = len(tree.tips), len(tree.parent)
    by_name = sorted(range(n_tips), key=tree.tips.__getitem__)
    rank = [0] * n_tips
    for position, tip in enumerate(by_name):
        rank[tip] = position

    # Of every node, the two children with the farthest tips: (-distance, rank of the tip).
    none = (math.inf, n_tips)
    far = [(0.0, r) for r in rank] + [none] * (n - n_tips)
    second = [none] * n
    for v in range(n - 1):
        distance, name = far[v]
        entry = (distance - tree.length[v], name)
        p = tree.parent[v]
        if entry < far[p]:
            far[p], second[p] = entry, far[p]
        elif entry < second[p]:
            second[p] = entry
    _, ends, top = min(
        (far[v][0] + second[v][0], sorted((far[v][1], second[v][1])), v)
        for v in range(n_tips, n)
        if second[v] != none
    )
    return by_name[ends[0]], top, by_name[ends[1]]


def restrict(tree: TreeArrays, keep: Sequence[bool]) -> TreeArrays:
    """The tree of some tips: nodes left with one child vanish, their branches become one.

    A root of three or more children that is left with two is taken out, so that an
    unrooted tree stays unrooted.
    """
    n, n_tips = len(tree.parent), len(tree.tips)
    length, support = list(tree.length), list(tree.support)
    n_top = sum(p == n - 1 for p in tree.parent)
    # Of every node, what stands for it: the kept tip or branching below it, -1 for nothing.
    found: list[list[int]] = [[] for _ in range(n)]
    parent = [-1] * n
    root = -1
    for v in range(n):
        stand_in = v if (v < n_tips and keep[v]) or len(found[v]) > 1 else -1
        if stand_in == v:
            for child in found[v]:
                parent[child] = v
        elif found[v]:
            (stand_in,) = found[v]
            length[stand_in] += length[v]
            support[stand_in] = _stronger(support[stand_in], support[v])
        if v == n - 1:
            root = stand_in
        elif stand_in >= 0:
            found[tree.parent[v]].append(stand_in)
    if n_top > 2 and len(found[root]) == 2 and max(found[root]) >= n_tips:
        x, y = sorted(found[root])
        parent[x], parent[y] = y, -1
        length[x] += length[y]
        support[x] = _stronger(support[x], support[y])
        root = y
    length[root], support[root] = 0.0, math.nan

    old_tips = [v for v in range(n_tips) if keep[v]]
    internal = [v for v in range(n_tips, n) if parent[v] >= 0 or v == root]
    order = old_tips + internal
    place = {v: i for i, v in enumerate(order)}
    labels: list[str | None] = [*([None] * n_tips), *tree.labels]
    return _rebuilt(
        [tree.tips[v] for v in old_tips],
        [place[parent[v]] if parent[v] >= 0 else -1 for v in order],
        [length[v] for v in order],
        [support[v] for v in order],
        [labels[v] for v in order],
    )


def collapse(
    self: Tree, *, min_length: float | None = None, min_support: float | None = None
) -> Tree:
    """The tree without short or weakly supported internal branches, polytomies instead.

    Parameters
    ----------
    min_length : float
        Branches shorter than this go.
    min_support : float
        Branches with less support than this go. With both given, either is enough.

    Returns
    -------
    Tree
        The length of a branch that goes is dropped: paths that took it get shorter by as
        much, wherever the root is (`Tree.fit` estimates lengths afresh). Branches of
        unknown length or support stay, and so do the two of a rooted tree's root, since
        the root would go with them.

    Raises
    ------
    InputError
        When neither number is given, or one is NaN.
    """
    return type(self)(*contract(self._flat, _weak(self, min_length, min_support)))


def has_unary(tree: Tree) -> bool:
    """Whether a node has one child."""
    n_children = np.bincount(tree.parent[:-1], minlength=tree.n_nodes)
    return bool((n_children == 1).any())


def _weak(tree: Tree, min_length: float | None, min_support: float | None) -> list[bool]:
    """Of each node, whether `collapse` takes it out."""
    if min_length is None and min_support is None:
        raise InputError("say which branches go: min_length, min_support or both")
    gone = np.zeros(tree.n_nodes, np.bool_)
    for name, least, values in (
        ("min_length", min_length, tree.length),
        ("min_support", min_support, tree.support),
    ):
        if least is not None:
            if math.isnan(least):
                raise InputError(f"{name} must be a number, not {least}")
            gone |= values < least
    gone[: tree.n_tips] = False
    gone[-1] = False
    if tree.is_rooted:
        gone[tree.children(tree.root)] = False
    taken_out: list[bool] = gone.tolist()
    return taken_out


def contract(tree: TreeArrays, gone: Sequence[bool]) -> TreeArrays:
    """Take internal nodes other than the root out; their children hang from the parents."""
    n, n_tips = len(tree.parent), len(tree.tips)
    kept = [v for v in range(n) if not gone[v]]
    place = {v: i for i, v in enumerate(kept)}
    parent = list(tree.parent)
    for v in range(n - 2, -1, -1):
        # The parent has a larger number: if it goes, its own parent is one that stays.
        if gone[parent[v]]:
            parent[v] = parent[parent[v]]
    return TreeArrays(
        tree.tips,
        [place[parent[v]] if parent[v] >= 0 else -1 for v in kept],
        [tree.length[v] for v in kept],
        [tree.support[v] for v in kept],
        [tree.labels[v - n_tips] for v in kept[n_tips:]],
    )


def ladderize(tree: TreeArrays, of: Layout) -> TreeArrays:
    """Number the tips as they appear when smaller clades come first."""
    n_tips = len(tree.tips)
    first, below, size = of.first_child.tolist(), of.children.tolist(), of.size.tolist()
    order: list[int] = []
    stack = [len(tree.parent) - 1]
    while stack:
        v = stack.pop()
        if v < n_tips:
            order.append(v)
        else:
            by_size = sorted(below[first[v] : first[v + 1]], key=size.__getitem__)
            stack.extend(reversed(by_size))
    nodes = [*order, *range(n_tips, len(tree.parent))]
    return TreeArrays(
        [tree.tips[v] for v in order],
        [tree.parent[v] for v in nodes],
        [tree.length[v] for v in nodes],
        [tree.support[v] for v in nodes],
        tree.labels,
    )
