"""Who is trained from whom, on what, for how long: the demo's tree before it grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pyphylo.errors import InputError
from pyphylo.tree.tree import Tree

__all__ = ["FAMILIES", "Budget", "Node", "breeding_plan", "tip_names", "true_tree"]

FAMILIES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "prose": ("manual", ("docstrings", "help")),
    "code": ("source", ("bytecode", "syntax")),
    "dates": ("dates", ("calendars", "records")),
    "characters": ("names", ("entities", "properties")),
}
"""Of each family: the kind of text on its own branch, and on those of its subfamilies."""

BATCH = 16
"""Windows of text a step."""


@dataclass(frozen=True)
class Budget:
    """How long the models are trained.

    Parameters
    ----------
    base, family, subfamily, tip : int
        Steps on a branch of each level: the true tree's branch lengths.
    base_rate, rate : float
        Learning rates of the base, and of every fine-tune.
    length : int
        Tokens of a window of text.
    """

    base: int = 500
    family: int = 140
    subfamily: int = 24
    tip: int = 8
    base_rate: float = 6e-3
    rate: float = 2e-3
    length: int = 64

    def __post_init__(self) -> None:
        for name in ("base", "family", "subfamily", "tip", "length"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be at least 1, not {getattr(self, name)!r}")


@dataclass(frozen=True)
class Node:
    """One model to be trained.

    Parameters
    ----------
    name : str
    parent : str or None
        The model that it is a fine-tune of; None for the base.
    family : str
        Empty for the base.
    texts : tuple of (str, int)
        Kinds of text, and how many windows of each a step takes.
    steps : int
    rate : float
    """

    name: str
    parent: str | None
    family: str
    texts: tuple[tuple[str, int], ...]
    steps: int
    rate: float


def breeding_plan(
    budget: Budget, families: Mapping[str, tuple[str, tuple[str, ...]]] = FAMILIES
) -> tuple[Node, ...]:
    """All models to train, parents first.

    The base learns a little of every kind. Each family goes on with text of its own,
    each subfamily with text of its own and as much of the family's, and the two
    tips of a subfamily with the same mix in another order.
    """
    kinds = [kind for stem, branches in families.values() for kind in (stem, *branches)]
    share = -(-BATCH // len(kinds))
    everything = tuple((kind, share) for kind in kinds)
    nodes = [Node("base", None, "", everything, budget.base, budget.base_rate)]
    for family, (stem, branches) in families.items():
        nodes.append(Node(family, "base", family, ((stem, BATCH),), budget.family, budget.rate))
        for kind in branches:
            name = f"{family}-{kind}"
            mix = ((kind, BATCH // 2), (stem, BATCH // 2))
            nodes.append(Node(name, family, family, mix, budget.subfamily, budget.rate))
            for twin in (1, 2):
                nodes.append(Node(f"{name}-{twin}", name, family, mix, budget.tip, budget.rate))
    return tuple(nodes)


def tip_names(plan: Sequence[Node]) -> tuple[str, ...]:
    """The models from which none descends, in the plan's order."""
    parents = {node.parent for node in plan}
    return tuple(node.name for node in plan if node.name not in parents)


def true_tree(plan: Sequence[Node]) -> Tree:
    """The tree that a plan breeds: the base is its root, and branch lengths are steps."""
    below: dict[str | None, list[str]] = {}
    for node in reversed(plan):
        children = below.get(node.name)
        shape = f"({','.join(reversed(children))})" if children else node.name
        branch = shape if node.parent is None else f"{shape}:{node.steps}"
        below.setdefault(node.parent, []).append(branch)
    return Tree.from_newick(f"{below[None][0]};")
