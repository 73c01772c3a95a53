"""What happens on the branches of a given tree, carried out and expected."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError
from pyphylo.simulate._draws import Draws
from pyphylo.simulate._populations import Population, drift_step, mixed, mutated

__all__ = ["STEPS", "Branch", "expected_identities", "grown", "in_order"]

STEPS = 8
"""Steps of a branch under selection, in each of which selection and drift act once."""


class Branch(NamedTuple):
    """What happens above a node. Nodes are numbers; fixed targets are numbered after them.

    Attributes
    ----------
    parent : int
        -1 for the root.
    drift : float
        f of the whole branch.
    source, share : int, float
        Of admixture: what the branch begins with has `share` of the source. -1: none.
    target, strength : int, float
        Of selection: share of the way to the target. -1: none.
    """

    parent: int
    drift: float
    source: int = -1
    share: float = 0.0
    target: int = -1
    strength: float = 0.0

    @property
    def steps(self) -> tuple[int, float, float]:
        """Number of equal steps, the drift and the strength of each."""
        if self.target < 0:
            return 1, self.drift, 0.0
        return STEPS, _part(self.drift), _part(self.strength)


def _part(whole: float) -> float:
    """What, `STEPS` times over, makes the whole: 1 - (1 - whole)^(1 / STEPS)."""
    return 1.0 if whole == 1 else -math.expm1(math.log1p(-whole) / STEPS)


def in_order(branches: Sequence[Branch], names: Sequence[str]) -> list[int]:
    """Nodes such that each comes after its parent, its source and its target.

    Raises InputError where there is no such order, naming nodes that wait for each other.
    """
    n = len(branches)
    before = [
        {v for v in (branch.parent, branch.source, branch.target) if 0 <= v < n}
        for branch in branches
    ]
    after: list[list[int]] = [[] for _ in range(n)]
    for v, earlier in enumerate(before):
        for u in earlier:
            after[u].append(v)
    waits = [len(earlier) for earlier in before]
    ready = deque(v for v in range(n) if not waits[v])
    order = []
    while ready:
        v = ready.popleft()
        order.append(v)
        for w in after[v]:
            waits[w] -= 1
            if not waits[w]:
                ready.append(w)
    if len(order) < n:
        stuck = [names[v] for v in range(n) if waits[v]]
        raise InputError(
            f"populations wait for each other: {', '.join(map(repr, stuck[:6]))}; a source or "
            "target must not descend from the branch that it acts on"
        )
    return order


def grown(
    branches: Sequence[Branch],
    order: Sequence[int],
    root: Population,
    targets: Sequence[Population],
    mutation: float,
    seed: int,
) -> list[Population]:
    """The population of every node.

    Invariant: the populations of all earlier nodes of `order` are known. A branch begins
    with its parent's, mixed with its source's; some of it mutates; then selection and
    drift act, step by step.
    """
    populations: list[Population] = [root] * len(branches)
    known = [*populations, *targets]
    for v in order:
        branch = branches[v]
        if branch.parent < 0:
            continue
        at = known[branch.parent]
        if branch.source >= 0:
            at = mixed(known[branch.source], at, branch.share)
        if mutation > 0:
            at = mutated(at, np.int32(len(root.alleles) + v), mutation)
        steps, f, s = branch.steps
        for k in range(steps):
            if s > 0:
                at = mixed(known[branch.target], at, s)
            at = Population(at.alleles, drift_step(at.frequencies, f, Draws(seed, "branch", v, k)))
        known[v] = at
    return known[: len(branches)]


def expected_identities(
    branches: Sequence[Branch],
    order: Sequence[int],
    root: Population,
    targets: Sequence[Population],
    mutation: float,
) -> NDArray[np.float64]:
    """Expected identity of all nodes (and targets) given the root, means over genes.

    Invariant: rows and columns of all earlier nodes, and of targets, are right among
    themselves. `row` is the expected identity of what a branch is at with each of them, and
    `own` that with itself: mixing is linear in the one and quadratic in the other, and
    drift takes `own` to f + (1 - f) own and leaves `row` as it is.
    """
    n = len(branches)
    E = np.zeros((n + len(targets),) * 2)
    fixed = [next(v for v in order if branches[v].parent < 0), *range(n, len(E))]
    for i, p in zip(fixed, [root, *targets], strict=True):
        for j, q in zip(fixed, [root, *targets], strict=True):
            E[i, j] = (p.frequencies * q.frequencies).sum(axis=1).mean()
    for v in order:
        branch = branches[v]
        if branch.parent < 0:
            continue
        row, own = E[branch.parent].copy(), E[branch.parent, branch.parent]
        if branch.source >= 0:
            row, own = _mixed(row, own, E, branch.source, branch.share)
        row, own = (1 - mutation) * row, (1 - mutation) ** 2 * own + mutation**2
        steps, f, s = branch.steps
        for _ in range(steps):
            if s > 0:
                row, own = _mixed(row, own, E, branch.target, s)
            own = f + (1 - f) * own
        E[v] = E[:, v] = row
        E[v, v] = own
    return E


def _mixed(
    row: NDArray[np.float64], own: float, E: NDArray[np.float64], other: int, share: float
) -> tuple[NDArray[np.float64], float]:
    """Identities after mixing with a share of another population."""
    kept = 1 - share
    own = kept * kept * own + 2 * share * kept * row[other] + share * share * E[other, other]
    return kept * row + share * E[other], own
