"""Who descends from whom: models that are released one after the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo.simulate._draws import Draws, numbered

__all__ = ["Descent"]

_SIZES = (0.5, 1.0, 1.5, 3.0, 7.0, 8.0, 13.0, 34.0, 70.0)
"""Parameters of founders, in billions; descendants keep them."""


@dataclass(frozen=True)
class Descent:
    """A history without its alleles. Nodes are numbered as they were released.

    Attributes
    ----------
    parent : tuple of int
        -1 for a founder; of a merge, the parent with the larger share.
    other : tuple of int
        The second parent of a merge, -1 for every other node.
    share : tuple of float
        What a merge has of `parent`; 1 for every other node.
    founder : tuple of int
        The founder of a node's family (of `parent`'s, for a merge).
    hidden : tuple of bool
        Ancestors that are not in the table.
    order : tuple of int
        A random order of all nodes, in which they are named and tabled.
    """

    parent: tuple[int, ...]
    other: tuple[int, ...]
    share: tuple[float, ...]
    founder: tuple[int, ...]
    hidden: tuple[bool, ...]
    order: tuple[int, ...]

    @classmethod
    def draw(
        cls, n_models: int, family_size: int, living: float, admixed: float, seed: int
    ) -> Descent:
        """Release models until `n_models` of them are not hidden.

        Each step adds a node and makes at most one more of them visible, so the number
        is met exactly. A parent is chosen in proportion to its children, and one.
        """
        draws = Draws(seed, "descent")
        growing = _Growing()
        while len(growing.parent) - growing.n_hidden(living) < n_models:
            kind, first, second, share = draws.uniform(4).tolist()
            if not growing.parent or kind * family_size < 1:
                growing.add(-1)
                continue
            parent = growing.places[int(first * len(growing.places))]
            partners = growing.unrelated(parent) if draws.uniform(1)[0] < admixed else []
            if partners:
                growing.add(parent, partners[int(second * len(partners))], 0.5 + 0.25 * share)
            else:
                growing.add(parent)
        n = len(growing.parent)
        chance = np.where(growing.is_ancestor, draws.uniform(n), 2.0)
        hidden = np.zeros(n, bool)
        hidden[np.argsort(chance, kind="stable")[: growing.n_hidden(living)]] = True
        return cls(
            tuple(growing.parent),
            tuple(growing.other),
            tuple(growing.share),
            tuple(growing.founder),
            tuple(hidden.tolist()),
            tuple(np.argsort(draws.uniform(n), kind="stable").tolist()),
        )

    def __len__(self) -> int:
        return len(self.parent)

    def names(self) -> list[str]:
        """family/model of every node, models numbered within their family in random order."""
        founders = [v for v, parent in enumerate(self.parent) if parent < 0]
        family = dict(zip(founders, numbered("family", len(founders)), strict=True))
        models = numbered("model", max(np.bincount(self.founder).tolist()))
        seen = dict.fromkeys(founders, 0)
        names = [""] * len(self)
        for v in self.order:
            founder = self.founder[v]
            names[v] = f"{family[founder]}/{models[seen[founder]]}"
            seen[founder] += 1
        return names

    def living_ancestor(self) -> list[int]:
        """The nearest ancestor in the table, through larger shares; -1 where there is none."""
        nearest: list[int] = []
        for parent in self.parent:
            nearest.append(nearest[parent] if parent >= 0 and self.hidden[parent] else parent)
        return nearest

    def sizes(self, seed: int) -> list[float]:
        """Parameters of every node in billions, its founder's."""
        size = Draws(seed, "sizes").below(len(_SIZES), len(self))
        return [_SIZES[size[founder]] for founder in self.founder]


class _Growing:
    """The nodes so far."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.other: list[int] = []
        self.share: list[float] = []
        self.founder: list[int] = []
        self.is_ancestor: list[bool] = []
        self.places: list[int] = []
        """Every node once, and once more for each child."""

    def add(self, parent: int, other: int = -1, share: float = 1.0) -> None:
        node = len(self.parent)
        self.parent.append(parent)
        self.other.append(other)
        self.share.append(share)
        self.founder.append(node if parent < 0 else self.founder[parent])
        self.is_ancestor.append(False)
        self.places.append(node)
        for above in (parent, other):
            if above >= 0:
                self.is_ancestor[above] = True
                self.places.append(above)

    def n_hidden(self, living: float) -> int:
        """How many ancestors are not in the table."""
        return int((1 - living) * sum(self.is_ancestor) + 0.5)

    def unrelated(self, node: int) -> list[int]:
        """Nodes of the same family that neither descend from `node` nor it from them."""
        above: NDArray[np.bool_] = np.zeros(len(self.parent) + 1, bool)  # the last stands for -1
        below = above.copy()
        above[node] = below[node] = True
        for v in range(node, -1, -1):
            if above[v]:
                above[[self.parent[v], self.other[v]]] = True
        for v in range(node + 1, len(self.parent)):
            below[v] = below[self.parent[v]] or below[self.other[v]]
        family = self.founder[node]
        return [
            v for v, f in enumerate(self.founder) if f == family and not above[v] and not below[v]
        ]
