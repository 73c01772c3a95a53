"""The search for mixtures in a tree: which clade descends from points on which two branches."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo.stats._graph_fit import Fit, Metric, fit_lengths, fit_shares
from pyphylo.stats._graph_model import Descent

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["LEAST_REST", "Candidate", "Search", "Target", "least_on_simplex", "screen"]

_Floats = NDArray[np.float64]

Target = tuple[int, ...]
"""The models, ascending, that descend from a mixture."""

LEAST_REST = 3
"""Models that no mixture is above; fewer are no tree."""
_NODE_PAIRS = 60
"""Pairs of nodes whose branches are looked at more closely."""
_KEPT = 3
"""Pairs of branches of a target that are fitted to all of f2."""
_REFINED = 6
"""Graphs, the best at the shares of the screening, whose shares are fitted."""


class Place(NamedTuple):
    """A pair of branches, the share of the first one, and how badly it fits."""

    branches: tuple[int, int]
    weight: float
    loss: float


class Candidate(NamedTuple):
    """A fitted graph, and its mixtures in the order in which they were attached."""

    fit: Fit
    targets: tuple[Target, ...]
    new: Target


class Search:
    """Graphs for a panel.

    Parameters
    ----------
    metric : Metric
        Of all models.
    names : sequence of str
    tree : Tree or None
        What is left of it without the targets carries the mixtures; None: neighbor
        joining of f2 of the models that are left.
    base : str or None
        Where trees are rooted, so that it is below no mixture.
    """

    def __init__(
        self, metric: Metric, names: Sequence[str], tree: Tree | None, base: str | None
    ) -> None:
        self.metric = metric
        self.names = tuple(names)
        self.numbers = {name: k for k, name in enumerate(self.names)}
        self.tree = tree
        self.base = base
        self._trees: dict[Target, Tree] = {}
        self._square = np.zeros((len(self.names),) * 2)
        i, j = np.triu_indices(len(self.names), 1)
        self._square[i, j] = self._square[j, i] = np.maximum(metric.f2, 0.0)

    def tree_of(self, rows: Target) -> Tree:
        """The tree of some models, rooted at the base or in the middle."""
        if rows not in self._trees:
            names = [self.names[row] for row in rows]
            if self.tree is not None:
                made = self.tree if len(rows) == len(self.names) else self.tree.shear(names)
            else:
                made = _joined(self._square[np.ix_(rows, rows)], names, self.base)
            self._trees[rows] = made
        return self._trees[rows]

    def start(self) -> Fit:
        """The tree of all models, fitted."""
        graph = Descent.of_tree(self.tree_of(tuple(range(len(self.names)))), self.numbers)
        return fit_lengths(self.metric, graph, np.zeros(0))

    def extended(self, targets: tuple[Target, ...], wanted: int = _REFINED) -> list[Candidate]:
        """Graphs with one mixture more, the best first, shares of the best few fitted."""
        found: list[tuple[Fit, tuple[Target, ...], Target]] = []
        for new in self._new_targets(targets):
            orders = {(*targets, new), (new, *targets)}
            for order in sorted(orders, key=lambda made: made[-1] != new):
                for graph, weights in self.built(order):
                    found.append((fit_lengths(self.metric, graph, weights), order, new))
        found.sort(key=lambda made: made[0].score)
        fitted = [
            Candidate(fit_shares(self.metric, fit.graph, fit.weights), order, new)
            for fit, order, new in found[:wanted]
        ]
        return sorted(fitted, key=lambda made: made.fit.score)

    def built(self, targets: tuple[Target, ...]) -> list[tuple[Descent, _Floats]]:
        """Graphs of these mixtures; all but the last one at their best places."""
        everything = range(len(self.names))
        whole = self.tree_of(tuple(v for v in everything if not self._inside(v, targets)))
        graph, weights = Descent.of_tree(whole, self.numbers), np.zeros(0)
        stages = [(graph, weights)]
        for target in targets:
            graph, weights = stages[0]
            fit = fit_lengths(self.metric.part(graph.rows), graph, weights)
            clade = Descent.of_tree(self.tree_of(target), self.numbers)
            stages = [
                graph.attached(clade, place.branches, weights, place.weight)
                for place in screen(self.metric, fit, target)[:_KEPT]
            ]
            if not stages:
                return []
        return stages

    @staticmethod
    def _inside(model: int, targets: tuple[Target, ...]) -> bool:
        return any(model in target for target in targets)

    def _new_targets(self, targets: tuple[Target, ...]) -> list[Target]:
        """Clades of at most half of the models that no mixture is above, but the base's."""
        rest = tuple(v for v in range(len(self.names)) if not self._inside(v, targets))
        tree = self.tree_of(rest)
        clades = {
            tuple(sorted(self.numbers[tree.tips[tip]] for tip in tree.tips_below(v).tolist()))
            for v in range(tree.n_nodes - 1)
        }
        base = -1 if self.base is None else self.numbers[self.base]
        return sorted(
            clade
            for clade in clades
            if base not in clade and len(clade) <= min(len(rest) - LEAST_REST, len(rest) // 2)
        )


def _joined(distances: _Floats, names: list[str], base: str | None) -> Tree:
    from pyphylo.distance import DistanceMatrix
    from pyphylo.tree.nj import neighbor_joining
    from pyphylo.tree.tree import Tree

    if len(names) == 1:
        return Tree(names, [-1])
    tree = neighbor_joining(DistanceMatrix(distances, names), n_threads=1)
    return tree.root_at(tip=base) if base in names else tree.root_at("midpoint")


def screen(metric: Metric, fit: Fit, target: Target) -> list[Place]:
    r"""Pairs of branches for a target, the best first, from a fit of the other models.

    The f2 of a mixture :math:`\sum \lambda_v p_v` of nodes from a model j is
    :math:`\sum \lambda_v f_2(v, j)` and a constant. A point on a branch is a mixture of its
    ends. So the mean f2 of the target's models from each j is fitted by four nodes' distances
    with shares that are not negative and add up to 1, by weighted least squares about weighted
    means. Pairs of nodes first, then the branches at the best of them.
    """
    n, graph = len(metric.rows), fit.graph
    rows = graph.rows
    i, j = np.meshgrid(np.array(target), rows, indexing="ij")
    low, high = np.minimum(i, j), np.maximum(i, j)
    places = low * (2 * n - low - 1) // 2 - low - 1 + high
    seen = metric.f2[places].mean(axis=0)
    weight = 1 / (metric.se[places] ** 2).mean(axis=0)
    apart = graph.node_distances(fit.weights, fit.lengths) - seen
    apart -= (apart @ weight / weight.sum())[:, None]
    gram = (apart * weight) @ apart.T
    own = np.diagonal(gram)
    u, v = np.triu_indices(len(gram))
    width = own[u] + own[v] - 2 * gram[u, v]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((own[v] - gram[u, v]) / width, 0.0, 1.0)
    share = np.where(width > 0, share, 0.5)
    loss = share**2 * own[u] + (1 - share) ** 2 * own[v] + 2 * share * (1 - share) * gram[u, v]
    at: list[list[int]] = [[] for _ in range(graph.n_nodes)]
    for branch in graph.branches.tolist():
        at[branch].append(branch)
        at[graph.parents[branch][0]].append(branch)
    pairs = {
        (min(a, b), max(a, b))
        for k in np.argsort(loss, kind="stable")[:_NODE_PAIRS].tolist()
        for a in at[int(u[k])]
        for b in at[int(v[k])]
        if a != b
    }
    if not pairs:
        return []
    branches = np.array(sorted(pairs))
    upper = np.array([graph.parents[b][0] if len(graph.parents[b]) == 1 else -1
                      for b in range(graph.n_nodes)])  # fmt: skip
    nodes = np.stack(
        [branches[:, 0], upper[branches[:, 0]], branches[:, 1], upper[branches[:, 1]]], axis=1
    )
    best, shares = least_on_simplex(gram[nodes[:, :, None], nodes[:, None, :]])
    order = np.argsort(best, kind="stable")
    return [
        Place(
            (int(branches[k, 0]), int(branches[k, 1])),
            float(np.clip(shares[k, :2].sum(), 0.02, 0.98)),
            float(best[k]),
        )
        for k in order.tolist()
    ]


def least_on_simplex(gram: _Floats) -> tuple[_Floats, _Floats]:
    """The least x^T G x over x >= 0 that add up to 1, and x; shapes (k, m, m) to (k), (k, m).

    Over all supports: on each, x is proportional to G^-1 1, where that is not negative.
    """
    k, m, _ = gram.shape
    ridge = 1e-10 * np.trace(gram, axis1=1, axis2=2) / m + 1e-300
    best, shares = np.full(k, np.inf), np.zeros((k, m))
    for size in range(1, m + 1):
        for support in itertools.combinations(range(m), size):
            chosen = np.array(support)
            part = gram[:, chosen[:, None], chosen] + ridge[:, None, None] * np.eye(size)
            x = np.linalg.solve(part, np.ones((k, size, 1)))[..., 0]
            x /= x.sum(axis=1, keepdims=True)
            loss = np.einsum("ki,kij,kj->k", x, gram[:, chosen[:, None], chosen], x)
            better = (x >= 0).all(axis=1) & (loss < best)
            best[better] = loss[better]
            shares[better] = 0.0
            shares[np.ix_(better, chosen)] = x[better]
    return best, shares
