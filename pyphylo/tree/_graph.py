"""A tree without a root: nodes, some of them named, and branches between them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from pyphylo._names import did_you_mean
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["Branch", "Contraction", "TreeGraph"]


class Branch(NamedTuple):
    """A branch between two nodes."""

    a: int
    b: int
    length: float
    support: float = math.nan


class TreeGraph:
    """Named and nameless nodes, and branches that make a tree of them.

    Attributes
    ----------
    names : list of (str or None)
        Of the nodes; leaves all have one.
    branches : list of Branch
    """

    def __init__(self, names: Sequence[str | None], branches: Sequence[Branch]) -> None:
        self.names = list(names)
        self.branches = list(branches)

    @classmethod
    def of(cls, tree: Tree) -> TreeGraph:
        """A tree's nodes in its numbering, without nameless ones at the root that it can miss.

        Of a root between two branches, these become one; of their supports, the larger.
        """
        names = [tree.label(v) for v in range(tree.n_nodes)]
        length, support = tree.length.tolist(), tree.support.tolist()
        up = tree.parent.tolist()
        top = tree.root
        while names[top] is None and len(tree.children(top)) == 1:
            top = int(tree.children(top)[0])
        branches = [Branch(v, up[v], length[v], support[v]) for v in range(top)]
        if names[top] is None and len(tree.children(top)) == 2:
            x, y = tree.children(top).tolist()
            supports = [s for s in (support[x], support[y]) if not math.isnan(s)]
            branches = [branch for branch in branches if branch.b != top]
            joined = length[x] + length[y]
            branches.append(Branch(x, y, joined, max(supports, default=math.nan)))
            top -= 1
        return cls(names[: top + 1], branches)

    def node(self, name: str) -> int:
        """The node of a name."""
        if name not in self.names:
            hint = did_you_mean(name, filter(None, self.names))
            raise InputError(f"the tree has no model {name!r}{hint}")
        return self.names.index(name)

    def neighbours(self) -> list[list[tuple[int, int]]]:
        """Of every node, its neighbours and the branches to them."""
        beside: list[list[tuple[int, int]]] = [[] for _ in self.names]
        for number, branch in enumerate(self.branches):
            beside[branch.a].append((branch.b, number))
            beside[branch.b].append((branch.a, number))
        return beside

    def walk(self, start: int) -> tuple[list[int], list[int], list[int]]:
        """All nodes from `start` outwards; of each node the one before it, and the branch to it.

        Both are -1 for `start`.
        """
        beside = self.neighbours()
        before, through = [-1] * len(self.names), [-1] * len(self.names)
        order = [start]
        for v in order:  # grows while it is read
            for w, number in beside[v]:
                if number != through[v]:
                    before[w], through[w] = v, number
                    order.append(w)
        return order, before, through

    def split(self, number: int, from_a: float) -> int:
        """Put a nameless node on a branch, so far from its end `a`; the node's number."""
        a, b, length, support = self.branches[number]
        node = len(self.names)
        self.names.append(None)
        self.branches[number] = Branch(a, node, from_a, support)
        self.branches.append(Branch(node, b, length - from_a, support))
        return node

    def middle(self, nodes: Sequence[int]) -> int:
        """A node in the middle of the longest path between two of these nodes, made there.

        Negative branches count as 0. Of equally long paths one whose ends come early.
        """
        first, _ = self._farthest(nodes[0], nodes)
        last, half = self._farthest(first, nodes)
        _, before, through = self.walk(first)
        v, left = last, half / 2
        while v != first:
            branch = self.branches[through[v]]
            if left <= max(branch.length, 0.0):
                above = min(left, branch.length) if branch.length > 0 else branch.length
                from_a = above if branch.a == v else branch.length - above
                return self.split(through[v], from_a)
            left -= max(branch.length, 0.0)
            v = before[v]
        return first

    def _farthest(self, start: int, among: Sequence[int]) -> tuple[int, float]:
        order, before, through = self.walk(start)
        depth = [0.0] * len(self.names)
        for v in order[1:]:
            depth[v] = depth[before[v]] + max(self.branches[through[v]].length, 0.0)
        far = max(among, key=depth.__getitem__)
        return far, depth[far]

    def rooted(self, root: int, order: Sequence[str]) -> Tree:
        """The Tree with this node as its root; tips in the order of their names in `order`.

        A named leaf is a tip, except at the root; a named node with others below it is
        an internal node of that label.
        """
        from pyphylo.tree.tree import Tree

        walked, before, through = self.walk(root)
        has_children = set(before) | {root}
        place = {name: k for k, name in enumerate(order)}
        tips = [v for v in walked if v not in has_children]
        tips.sort(key=lambda v: place[str(self.names[v])])
        internal = [v for v in reversed(walked) if v in has_children]
        nodes = tips + internal if len(walked) > 1 else [root]
        number = {v: k for k, v in enumerate(nodes)}
        above = [self.branches[through[v]] if through[v] >= 0 else None for v in nodes]
        support = [math.nan if b is None else b.support for b in above]
        n_tips = max(len(tips), 1)
        support[:n_tips] = [math.nan] * n_tips
        return Tree(
            [str(self.names[v]) for v in nodes[:n_tips]],
            [number.get(before[v], -1) for v in nodes],
            [0.0 if b is None else b.length for b in above],
            support,
            [self.names[v] for v in nodes[n_tips:]],
        )


class Contraction:
    """Nodes that become one; of two names never."""

    def __init__(self, names: Sequence[str | None]) -> None:
        self.names = list(names)
        self._into = list(range(len(names)))

    def find(self, v: int) -> int:
        """The node that stands for v."""
        while self._into[v] != v:
            self._into[v] = self._into[self._into[v]]
            v = self._into[v]
        return v

    def join(self, v: int, w: int) -> bool:
        """Make one node of two, unless both have a name."""
        a, b = self.find(v), self.find(w)
        if a != b:
            if self.names[a] is not None and self.names[b] is not None:
                return False
            self._into[a] = b
            self.names[b] = self.names[a] if self.names[b] is None else self.names[b]
        return True

    def applied(self, branches: Sequence[Branch]) -> TreeGraph:
        """The graph of the nodes that are left, in their order."""
        left = [v for v in range(len(self._into)) if self._into[v] == v]
        number = {v: k for k, v in enumerate(left)}
        kept = []
        for branch in branches:
            a, b = self.find(branch.a), self.find(branch.b)
            if a != b:
                kept.append(branch._replace(a=number[a], b=number[b]))
        return TreeGraph([self.names[v] for v in left], kept)
