"""Graphs of descent with mixtures: nodes with one parent or two, and what f2 follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["Descent", "pair_places"]


def pair_places(rows: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Where the pairs of ascending rows stand among the pairs i < j, by rows, of n models."""
    i, j = np.triu_indices(len(rows), 1)
    low, high = rows[i], rows[j]
    places: NDArray[np.int64] = low * (2 * n - low - 1) // 2 - low - 1 + high
    return places


@dataclass(frozen=True, eq=False)
class Descent:
    """A rooted graph in which a node has one parent, or two whose mixture it is.

    Attributes
    ----------
    parents : tuple of tuple of int, one a node
        Empty at the root. Children follow their parents. A node with one parent has a
        branch above it, along which it drifts; one with two has none.
    tip : tuple of int, one a node
        The model's number in the panel; -1 at nodes that are no model.
    """

    parents: tuple[tuple[int, ...], ...]
    tip: tuple[int, ...]

    @classmethod
    def of_tree(cls, tree: Tree, numbers: dict[str, int]) -> Descent:
        """A tree; nameless nodes with one child vanish."""
        order = tree.preorder().tolist()
        place = {v: k for k, v in enumerate(order)}
        parents = tuple((place[int(tree.parent[v])],) if v != tree.root else () for v in order)
        tip = tuple(numbers[tree.tips[v]] if v < tree.n_tips else -1 for v in order)
        return cls(parents, tip)

    @property
    def n_nodes(self) -> int:
        """Number of nodes."""
        return len(self.parents)

    @cached_property
    def branches(self) -> NDArray[np.int64]:
        """The nodes that have a branch above them."""
        return np.array([v for v, up in enumerate(self.parents) if len(up) == 1], dtype=np.int64)

    @cached_property
    def mixed(self) -> tuple[int, ...]:
        """The nodes that have two parents, in order."""
        return tuple(v for v, up in enumerate(self.parents) if len(up) == 2)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """The models' numbers in the panel, ascending."""
        return np.array(sorted(t for t in self.tip if t >= 0), dtype=np.int64)

    @cached_property
    def tip_nodes(self) -> NDArray[np.int64]:
        """The nodes of the models, in the order of `rows`."""
        found = {t: v for v, t in enumerate(self.tip) if t >= 0}
        return np.array([found[t] for t in self.rows.tolist()], dtype=np.int64)

    @cached_property
    def spare(self) -> int:
        """Place among the branches of one at the root that the data cannot tell from another; -1.

        Of a root with two branches only the sum counts, mixtures or not: each model's shares of
        the two add up to 1.
        """
        below = [v for v, up in enumerate(self.parents) if 0 in up]
        if len(below) != 2 or any(len(self.parents[v]) == 2 for v in below):
            return -1
        return int(np.searchsorted(self.branches, below[0]))

    def shares(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """Share of each node's descent that passes each branch, shape (nodes, branches).

        Parameters
        ----------
        weights : ndarray of float64
            Share of the first parent of each of `mixed`.
        """
        x = np.zeros((self.n_nodes, len(self.branches)))
        column, mixture = 0, 0
        for v, up in enumerate(self.parents):
            if len(up) == 1:
                x[v] = x[up[0]]
                x[v, column] = 1.0
                column += 1
            elif up:
                w = weights[mixture]
                x[v] = w * x[up[0]] + (1 - w) * x[up[1]]
                mixture += 1
        return x

    def design(self, weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """f2 of all pairs of models for a unit of drift on each branch, shape (pairs, branches).

        Drifts of different branches are independent, so with shares x and lengths c
        f2(i, j) = sum over branches of c (x_i - x_j)^2.
        """
        x = self.shares(weights)[self.tip_nodes]
        i, j = np.triu_indices(len(x), 1)
        made: NDArray[np.float64] = (x[i] - x[j]) ** 2
        return made

    def node_distances(
        self, weights: NDArray[np.float64], lengths: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """f2 of every node from every model, shape (nodes, models)."""
        x = self.shares(weights) * np.sqrt(lengths)
        y = x[self.tip_nodes]
        between = (x**2).sum(1)[:, None] + (y**2).sum(1) - 2 * x @ y.T
        distances: NDArray[np.float64] = np.maximum(between, 0.0)
        return distances

    def attached(
        self, other: Descent, branches: tuple[int, int], weights: NDArray[np.float64], weight: float
    ) -> tuple[Descent, NDArray[np.float64]]:
        """With a tree below a mixture of points on two branches, and the weights of all mixtures.

        Branches are given by their lower nodes; `weight` is the first one's share. Where both
        are one, the first point lies above the second.
        """
        up = [list(above) for above in self.parents]
        tip = list(self.tip)
        points = []
        for branch in branches:
            points.append(len(up))
            up.append(list(up[branch]))
            up[branch] = [points[-1]]
            tip.append(-1)
        mixture = len(up)
        up.append(points)
        tip.append(-1)
        for above, t in zip(other.parents, other.tip, strict=True):
            up.append([mixture + 1 + p for p in above] or [mixture])
            tip.append(t)
        graph, order = _ordered(up, tip)
        known = dict(zip(self.mixed, weights.tolist(), strict=True)) | {mixture: weight}
        return graph, np.array([known[order[v]] for v in graph.mixed])

    def without(self, mixture: int, which: int) -> Descent:
        """With one parent (0 or 1) of a mixture alone."""
        up = list(self.parents)
        up[mixture] = (up[mixture][which],)
        return Descent(tuple(up), self.tip)

    def mixture_above(self, model: int) -> int:
        """The first mixture on the way from a model to the root; -1 where there is none."""
        v = self.tip.index(model)
        while len(self.parents[v]) == 1:
            v = self.parents[v][0]
        return v if self.parents[v] else -1

    def below(self) -> list[tuple[int, ...]]:
        """The models below each node, through mixtures too."""
        found: list[set[int]] = [{t} if t >= 0 else set() for t in self.tip]
        for v in range(self.n_nodes - 1, 0, -1):
            for p in self.parents[v]:
                found[p] |= found[v]
        return [tuple(sorted(models)) for models in found]


def _ordered(up: list[list[int]], tip: list[int]) -> tuple[Descent, list[int]]:
    """The graph with parents before children, and the old number of each node."""
    children: list[list[int]] = [[] for _ in up]
    waits = [len(above) for above in up]
    for v, above in enumerate(up):
        for p in above:
            children[p].append(v)
    order = [v for v, n in enumerate(waits) if n == 0]
    for v in order:  # grows while it is read
        for child in children[v]:
            waits[child] -= 1
            if not waits[child]:
                order.append(child)
    place = {v: k for k, v in enumerate(order)}
    parents = tuple(tuple(place[p] for p in up[v]) for v in order)
    return Descent(parents, tuple(tip[v] for v in order)), order
