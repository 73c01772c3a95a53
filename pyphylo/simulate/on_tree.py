"""Populations down any given tree: drift, selection, admixture, mutation, duplicates."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyphylo._memory import require_memory
from pyphylo._names import check_names, whole_number
from pyphylo.alleles import AlleleTable
from pyphylo.distance import DistanceMatrix
from pyphylo.errors import InputError
from pyphylo.simulate._branches import Branch, expected_identities, grown, in_order
from pyphylo.simulate._draws import Draws
from pyphylo.simulate._populations import Population, root_population
from pyphylo.simulate._tabled import counts_of, tabled, tabled_exactly
from pyphylo.simulate.history import LEAST_DRIFT, checked_share

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["TreePopulations", "simulate_on_tree"]

Node = str | int


def simulate_on_tree(
    tree: Tree,
    n_genes: int = 128,
    n_probes: int = 32,
    *,
    drift: float | Mapping[Node, float] | None = None,
    selection: Mapping[Node, tuple[Node | ArrayLike, float]] | None = None,
    admixture: Mapping[Node, tuple[Node, float]] | None = None,
    duplicates: Mapping[str, Node] | None = None,
    mutation: float = 0.0,
    n_alleles: int = 48,
    seed: int = 0,
) -> TreePopulations:
    r"""Populations down a given tree, and samples of its tips.

    A branch from node u down to v, of drift f, takes allele frequencies p(u) of each gene
    to p(v), in this order:

    .. math::
        p &= (1 - a)\, p(u) + a\, p(\text{source}) && \text{admixture of share } a \\
        p &\to (1 - m)\, p + m \cdot \text{a new allele} && \text{mutation } m \\
        p &\to (1 - s)\, p + s\, \tau, \quad E[p'] = p, \quad
            Var[p'] = f p (1 - p) && \text{selection of strength } s \text{, and drift}

    Selection of strength S toward a target :math:`\tau` acts all along the branch: in 8
    equal steps, selection and drift by turns, each of
    :math:`s = 1 - (1 - S)^{1/8}` and :math:`1 - (1 - f)^{1/8}`. So
    :math:`E[p(v)] = (1 - S)\, p(u) + S \tau` whatever the drift.

    Parameters
    ----------
    tree : Tree
        Rooted where the root population is. A node is named by its tip, its label, or
        its number in the tree.
    n_genes, n_probes : int
    drift : float or mapping of node to float, optional
        f of every branch, or of the branches above the nodes named: 0, or from 0.001 to
        below 1. By default, and of nodes that are not named, :math:`f = 1 - e^{-t}` of the
        branch's length t, so that lengths add up along a path.
    selection : mapping of node to (target, strength), optional
        On the branch above the node; the target is a node whose population does not
        depend on this branch, or frequencies of shape (n_genes, n_alleles). Strength is
        from 0 to 1.
    admixture : mapping of node to (source, share), optional
        The branch above the node begins with this share of the source's population.
    duplicates : mapping of str to node, optional
        More models by name, whose populations are those of nodes: copies of a tip, or an
        inner node that was released. Each is sampled by itself.
    mutation : float
        Share of each gene that turns into an allele nobody else has, on each branch.
    n_alleles : int
        Alleles of the root at a gene; their frequencies follow Zipf's law.
    seed : int
        Another seed, other populations. Gene g is the same whatever `n_genes` is, and a
        model's probes whatever other models there are.

    Returns
    -------
    TreePopulations

    Raises
    ------
    InputError
        A node that the tree does not have, a drift, share or target that is none, a length
        that is missing, a name that is taken, or populations that wait for each other.
    MemoryError
        When the frequencies would not fit.

    Notes
    -----
    Drift is that of `simulate_history` (Balding & Nichols 1995). Selection is the
    replicator equation (Taylor & Jonker 1978, Math. Biosci. 40:145) with the fitness
    :math:`w = 1 + s (\tau / p - 1)`, whose mean is 1, so that
    :math:`\Delta p = p (w - 1) = s (\tau - p)`; an allele of the target that is lost
    comes back, as by Wright's (1931) migration from a fixed source. What tells it from
    admixture is that it goes on while populations drift: along one branch frequencies
    tend to a balance about the target.

    O(nodes * genes * (alleles + 1 / drift)) time, eight times that where there is selection;
    8 bytes for each node, gene and allele.

    Examples
    --------
    >>> tree = pp.Tree.from_newick("((a:0.1,b:0.1)ab:0.2,(c:0.1,d:0.1):0.2);")
    >>> made = pp.simulate.simulate_on_tree(
    ...     tree, 64, selection={"b": ("c", 0.5)}, duplicates={"copy": "a"}, seed=1
    ... )
    >>> made
    TreePopulations(5 models on a tree of 4 tips, 64 genes)
    """
    from pyphylo.tree.tree import Tree

    if not isinstance(tree, Tree):
        raise InputError(f"tree must be a Tree, not {type(tree).__name__}")
    n_genes = whole_number(n_genes, "n_genes", 1)
    n_probes = whole_number(n_probes, "n_probes", 1)
    n_alleles = whole_number(n_alleles, "n_alleles", 1)
    seed = whole_number(seed, "seed", 0)
    mutation = checked_share(mutation, "mutation")
    nodes = _Nodes(tree)
    events = _Events(nodes, n_genes, n_alleles)
    branches = events.branches(tree, drift, selection or {}, admixture or {})
    copies = {name: nodes.number(of) for name, of in (duplicates or {}).items()}
    models = check_names([*tree.tips, *copies], "model")
    order = in_order(branches, nodes.names)
    width = n_alleles + (tree.n_nodes if mutation else 0)
    needed = 8 * tree.n_nodes * n_genes * n_alleles
    require_memory(needed, f"frequencies of {tree.n_nodes} populations over {n_genes} genes")
    root = root_population(seed, n_genes, n_alleles)
    populations = grown(branches, order, root, events.targets, mutation, seed)
    settings = {"n_probes": n_probes, "mutation": mutation, "n_alleles": n_alleles, "seed": seed}
    return TreePopulations(
        tree,
        models,
        (*range(tree.n_tips), *copies.values()),
        settings,
        nodes,
        branches,
        order,
        root,
        events.targets,
        populations,
        width,
    )


@dataclass(frozen=True, eq=False, repr=False)
class TreePopulations:
    """Populations down a tree, and what was sampled of them. Made by `simulate_on_tree`.

    Attributes
    ----------
    tree : Tree
        As it was given.
    models : tuple of str
        The tips, then the duplicates.
    table : AlleleTable
        Counts of the models.
    settings : dict
    """

    tree: Tree
    models: tuple[str, ...]
    _nodes_of_models: tuple[int, ...]
    settings: dict[str, Any]
    _nodes: _Nodes
    _branches: list[Branch]
    _order: list[int]
    _root: Population
    _targets: list[Population]
    _populations: list[Population]
    _width: int

    def __repr__(self) -> str:
        return (
            f"TreePopulations({len(self.models)} models on a tree of {self.tree.n_tips} tips, "
            f"{len(self._root.frequencies)} genes)"
        )

    @cached_property
    def table(self) -> AlleleTable:
        """Counts of the models."""
        n_probes, seed = self.settings["n_probes"], self.settings["seed"]
        counts = (
            counts_of(population.frequencies, n_probes, Draws(seed, "probes of", name))
            for name, population in zip(self.models, self._of_models, strict=True)
        )
        table = tabled(AlleleTable.from_counts, self.models, self._of_models, counts)
        table.provenance["simulation"] = dict(self.settings)
        return table

    def exact_table(self) -> AlleleTable:
        """The models' true frequencies, as exact cells."""
        return tabled_exactly(self.models, self._of_models, self.settings)

    def frequencies(self, node: Node | None = None) -> NDArray[np.float64]:
        """True allele frequencies of a node or duplicate; of the root by default.

        Shape (n_genes, alleles): the root's alleles, and where there are mutations one
        more for each node. Raises InputError where there is no such node.
        """
        if node is None:
            population = self._root
        elif node in self.models[self.tree.n_tips :]:
            population = self._of_models[self.models.index(str(node))]
        else:
            population = self._populations[self._nodes.number(node)]
        full = np.zeros((len(population.frequencies), self._width))
        full[:, population.alleles] = population.frequencies
        return full

    def drift(self, node: Node) -> float:
        """Amount f of the branch above a node; 0 of the root."""
        return self._branches[self._nodes.number(node)].drift

    def expected_identity(self) -> NDArray[np.float64]:
        r"""Expected :math:`\sum p q` of all pairs of models, given the root.

        Shape (models, models), means over genes; of a model with itself, and with its
        duplicates, the expected :math:`\sum p^2`. Exact, O(nodes^2) time and
        memory; the recursion is in docs/simulation.md.
        """
        expected = expected_identities(
            self._branches, self._order, self._root, self._targets, self.settings["mutation"]
        )
        of = np.array(self._nodes_of_models)
        identities: NDArray[np.float64] = expected[np.ix_(of, of)]
        return identities

    def expected_distances(self) -> DistanceMatrix:
        """Nei's distances of the expected identities: what more and more genes come to."""
        E = self.expected_identity()
        own = np.diagonal(E)
        values = np.maximum(-np.log(E / np.sqrt(own[:, None] * own)), 0.0)
        np.fill_diagonal(values, 0.0)
        return DistanceMatrix._trusted(values, self.models, {"simulation": dict(self.settings)})

    @property
    def _of_models(self) -> list[Population]:
        return [self._populations[v] for v in self._nodes_of_models]


class _Nodes:
    """Nodes of a tree by tip, label or number."""

    def __init__(self, tree: Tree) -> None:
        named = [*tree.tips, *(tree.labels)]
        self.names = [name if name else f"node {v}" for v, name in enumerate(named)]
        self._found: dict[str, list[int]] = {}
        for v, name in enumerate(named):
            if name:
                self._found.setdefault(name, []).append(v)

    def number(self, node: Any) -> int:
        """The node's number."""
        if isinstance(node, (int, np.integer)) and not isinstance(node, bool):
            if not 0 <= node < len(self.names):
                raise InputError(f"the tree has no node {node}: it has {len(self.names)}, from 0")
            return int(node)
        found = self._found.get(node, []) if isinstance(node, str) else []
        if len(found) != 1:
            what = f"{len(found)} nodes" if found else "no tip or label"
            raise InputError(f"the tree has {what} {node!r}; name a tip, a label or a number")
        return found[0]


class _Events:
    """What happens on branches, checked; targets that are no nodes."""

    def __init__(self, nodes: _Nodes, n_genes: int, n_alleles: int) -> None:
        self._nodes = nodes
        self._shape = n_genes, n_alleles
        self.targets: list[Population] = []

    def branches(
        self,
        tree: Tree,
        drift: float | Mapping[Node, float] | None,
        selection: Mapping[Node, tuple[Any, float]],
        admixture: Mapping[Node, tuple[Node, float]],
    ) -> list[Branch]:
        """One a node."""
        made = [
            Branch(int(parent), f)
            for parent, f in zip(tree.parent, self._drifts(tree, drift), strict=True)
        ]
        for v, source, share in self._each(tree, admixture, "admixture"):
            made[v] = made[v]._replace(source=self._nodes.number(source), share=share)
        for v, target, strength in self._each(tree, selection, "selection"):
            made[v] = made[v]._replace(target=self._target(target, v), strength=strength)
        return made

    def _each(self, tree: Tree, given: Any, what: str) -> list[tuple[int, Any, float]]:
        """Node, other population and amount of every event."""
        if not isinstance(given, Mapping):
            raise InputError(f"{what} maps nodes to (population, amount), not {given!r}")
        found: list[tuple[int, Any, float]] = []
        for node, event in given.items():
            v = self._nodes.number(node)
            if v == tree.root:
                raise InputError(f"{what} of {node!r}: the root has no branch above it")
            if not isinstance(event, (tuple, list)) or len(event) != 2:
                raise InputError(f"{what} of {node!r} must be (population, amount), not {event!r}")
            if any(v == u for u, _, _ in found):
                raise InputError(f"{what} of {node!r} is given twice")
            found.append((v, event[0], checked_share(event[1], f"{what} of {node!r}")))
        return found

    def _target(self, target: Any, v: int) -> int:
        """The number of a target, which may be frequencies."""
        if isinstance(target, (str, int, np.integer)):
            return self._nodes.number(target)
        p = np.array(target, dtype=np.float64)
        where = f"the target of {self._nodes.names[v]!r}"
        if p.shape != self._shape:
            raise InputError(
                f"{where} must be a node or frequencies of shape {self._shape}, not {p.shape}"
            )
        if not (p >= 0).all() or not np.allclose(p.sum(axis=1), 1, rtol=0, atol=1e-9):
            raise InputError(f"{where}: frequencies of a gene are at least 0 and add up to 1")
        p /= p.sum(axis=1, keepdims=True)
        self.targets.append(Population(np.arange(self._shape[1], dtype=np.int32), p))
        return len(self._nodes.names) + len(self.targets) - 1

    def _drifts(self, tree: Tree, drift: Any) -> list[float]:
        """Amount of the branch above every node; 0 at the root."""
        if isinstance(drift, Mapping):
            own = {self._nodes.number(node): f for node, f in drift.items()}
        elif drift is None:
            own = {}
        else:
            own = dict.fromkeys(range(tree.n_nodes), drift)
        amounts = []
        for v, t in enumerate(tree.length.tolist()):
            if v == tree.root:
                amounts.append(0.0)
            elif v in own:
                amounts.append(_drift(own[v], f"the drift of {self._nodes.names[v]!r}"))
            else:
                amounts.append(_drift_of(t, self._nodes.names[v]))
        return amounts


def _drift(f: Any, what: str) -> float:
    fine = isinstance(f, (int, float)) and not isinstance(f, bool)
    if not fine or not (f == 0 or LEAST_DRIFT <= f < 1):
        raise InputError(f"{what} must be 0 or from {LEAST_DRIFT} to below 1, not {f!r}")
    return float(f)


def _drift_of(t: float, name: str) -> float:
    """The drift of a branch's length."""
    if math.isnan(t):
        raise InputError(f"the branch of {name!r} has no length: give its drift, or fit lengths")
    f = -math.expm1(-t)
    if not (t == 0 or LEAST_DRIFT <= f < 1):
        raise InputError(
            f"the branch of {name!r} has length {t:g}, a drift of {f:g}; it must be 0, or from "
            f"{LEAST_DRIFT} to below 1: scale the lengths, or give drift="
        )
    return f
