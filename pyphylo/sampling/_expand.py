"""Allele probabilities from logits: the tree of tokens, and draws inside what it leaves open.

A node is a sequence of new tokens that does not yet decide the allele; its mass is the
product of its tokens' probabilities. A token that ends the completion, or makes it long
enough, turns its share of a node's mass into a leaf: a text with a probability. What is
not followed is pruned: nodes whose mass is below `TreeRule.min_mass` or beyond the budget,
and texts that are less likely still. Masses are float64; the logits are the model's own.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import torch

from pyphylo.sampling._batches import run_batches
from pyphylo.sampling._decode import DRAW_CELLS, Job, follow, token_weights
from pyphylo.sampling._forward import Branches, Forward
from pyphylo.sampling._stop import GeneLogitsError, StopRule
from pyphylo.sampling._token_text import TokenText
from pyphylo.sampling._vocabulary import Vocabulary
from pyphylo.sampling.base import Decided

__all__ = ["TreeJob", "TreeRule", "run_hybrid", "run_trees"]

_ROWS = 64
"""Rows of a batch that one gene's tree is planned for; a wider level takes several passes."""


@dataclass(frozen=True)
class TreeRule:
    """Which part of the tree is looked at.

    Parameters
    ----------
    stop : StopRule
    min_mass : float
        Nodes whose mass is below are pruned; of texts after a node, which cost no
        forward pass, those below a tenth of it.
    max_nodes : int
        A node is expanded if it is among so many heaviest of those seen in its
        gene, up to its own level; the prompt's own logits are always looked at.
    """

    stop: StopRule
    min_mass: float
    max_nodes: int

    @property
    def least_leaf(self) -> float:
        """Texts below are pruned."""
        return self.min_mass / 10


@dataclass(frozen=True)
class TreeJob:
    """The whole tree of one gene.

    Parameters
    ----------
    gene : int
        Position in the genome.
    prompt : sequence of int
    row_cells : int
        Tokens of one row at its longest.
    rows : int
        Rows that it may take at once; nothing but speed and memory depends on it.
    """

    gene: int
    prompt: Sequence[int]
    row_cells: int
    rows: int = _ROWS

    @property
    def first(self) -> int:
        """A tree is one piece."""
        return 0

    def pieces(self, rows: int) -> Iterator[TreeJob]:
        """The one tree, with no more rows than that."""
        yield replace(self, rows=min(self.rows, rows))


@dataclass(frozen=True)
class _Node:
    """Tokens of one job that decide nothing yet."""

    job: int
    prefix: tuple[int, ...]
    mass: float


class _Cells:
    """The leaves of each job so far, and how many nodes were expanded."""

    def __init__(self, n: int) -> None:
        self.nodes = [0] * n
        # Few texts come from more than one node: lists for all of them cost more than the rest.
        self._first: list[dict[str, float]] = [{} for _ in range(n)]
        self._more: list[dict[str, list[float]]] = [{} for _ in range(n)]

    def add(self, job: int, text: str, mass: float) -> None:
        """One more leaf of a job."""
        first = self._first[job]
        if text in first:
            self._more[job].setdefault(text, [first[text]]).append(mass)
        else:
            first[text] = mass

    def probabilities(self, job: int) -> dict[str, float]:
        """Of each text, in the order of the texts; the sum does not depend on the order of work."""
        first, more = self._first[job], self._more[job]
        return {
            text: math.fsum(more[text]) if text in more else first[text] for text in sorted(first)
        }


def run_trees(
    forward: Forward,
    jobs: Sequence[TreeJob],
    text: TokenText,
    rule: TreeRule,
    batch_tokens: int,
    done: Callable[[TreeJob, Decided], None],
    workers: int = 1,
) -> None:
    """The allele probabilities of every job; see `run_batches`.

    Raises
    ------
    GeneLogitsError
        When logits are no distribution.
    """
    vocabulary = Vocabulary(text, rule.stop)

    def work(batch: Sequence[TreeJob]) -> list[Decided]:
        return _expand(forward, batch, vocabulary, rule)

    run_batches(jobs, work, done, batch_tokens, same_length=not forward.pads, workers=workers)


def run_hybrid(
    forward: Forward,
    jobs: Sequence[Job],
    text: TokenText,
    rule: TreeRule,
    batch_tokens: int,
    done: Callable[[Job, tuple[list[str], Decided]], None],
    workers: int = 1,
) -> None:
    """What a small tree decides, and probes drawn inside the rest; see `run_batches`.

    Raises
    ------
    GeneLogitsError
        When logits are no distribution.
    """
    vocabulary = Vocabulary(text, rule.stop)

    def work(batch: Sequence[Job]) -> list[tuple[list[str], Decided]]:
        return _decide_and_draw(forward, batch, text, vocabulary, rule)

    run_batches(jobs, work, done, batch_tokens, same_length=not forward.pads, workers=workers)


@torch.inference_mode()
def _expand(
    forward: Forward, jobs: Sequence[TreeJob], vocabulary: Vocabulary, rule: TreeRule
) -> list[Decided]:
    """The trees of one batch."""
    levels = _Levels(forward, [job.prompt for job in jobs], sum(job.rows for job in jobs))
    cells = _walk(levels, jobs, vocabulary, rule, None)
    results = []
    for job in range(len(jobs)):
        found = cells.probabilities(job)
        pruned = max(0.0, 1.0 - math.fsum(found.values()))
        results.append(Decided(found, undecided=0.0, pruned=pruned, nodes=cells.nodes[job]))
    return results


@torch.inference_mode()
def _decide_and_draw(
    forward: Forward,
    jobs: Sequence[Job],
    text: TokenText,
    vocabulary: Vocabulary,
    rule: TreeRule,
) -> list[tuple[list[str], Decided]]:
    """The probes of one batch, drawn inside what the tree leaves undecided.

    What the tree decides depends on the logits alone, never on a draw: given the decided
    probabilities, draws are independent and of the distribution of the rest.
    """
    levels = _Levels(forward, [job.prompt for job in jobs], sum(job.rows for job in jobs))
    weights: list[dict[tuple[int, ...], torch.Tensor]] = [{} for _ in jobs]
    cells = _walk(levels, jobs, vocabulary, rule, weights)
    decided = []
    for job, rows in enumerate(weights):
        found = cells.probabilities(job)
        # Where nothing is decided the cell is a sampled one, of no less than all mass.
        left = _pass_up(rows) if found else 1.0
        decided.append(Decided(found, undecided=left, pruned=0.0, nodes=cells.nodes[job]))
    some = [
        rows if cell.undecided > 0 else None for rows, cell in zip(weights, decided, strict=True)
    ]
    drawn = follow(levels.prompts, jobs, text, rule.stop, some)
    return list(zip(drawn, decided, strict=True))


def _pass_up(weights: dict[tuple[int, ...], torch.Tensor]) -> float:
    """Give each token that leads to an expanded node what that node has left; returns all of it.

    Drawing by these weights, from the prompt on, is drawing from the undecided mass.
    """
    for prefix in sorted(weights, key=len, reverse=True):
        if prefix:
            weights[prefix[:-1]][prefix[-1]] = weights[prefix].sum()
    return float(weights[()].sum())


def _walk(
    levels: _Levels,
    jobs: Sequence[Job] | Sequence[TreeJob],
    vocabulary: Vocabulary,
    rule: TreeRule,
    weights: Sequence[dict[tuple[int, ...], torch.Tensor]] | None,
) -> _Cells:
    """The leaves of all jobs, a level at a time.

    Invariant: after level `t` each node of at least `min_mass` with fewer than `t` tokens is
    expanded or pruned for good, and `nodes` are those of `t` tokens. In `weights`, if given, is
    for each expanded node the mass of every next token that is in no leaf.
    """
    cells = _Cells(len(jobs))
    budgets = [_Budget(rule.max_nodes) for _ in jobs]
    nodes = [_Node(job, (), 1.0) for job in range(len(jobs))]
    while nodes:
        children: list[_Node] = []
        for part, logits in levels.logits(nodes):
            for parents, masses in _masses(part, logits, jobs, rule):
                taken = None if weights is None else torch.zeros_like(masses, dtype=torch.bool)
                prompts = [jobs[node.job].prompt for node in parents]
                prefixes = [node.prefix for node in parents]
                split = vocabulary.split(
                    prompts, prefixes, masses, rule.least_leaf, rule.min_mass, taken
                )
                for row, said, mass in split.leaves:
                    cells.add(parents[row].job, said, mass)
                for row, token, mass in split.nodes:
                    children.append(_Node(parents[row].job, (*prefixes[row], token), mass))
                if weights is not None and taken is not None:
                    masses.masked_fill_(taken, 0.0)
                    for node, rest in zip(parents, masses, strict=True):
                        weights[node.job][node.prefix] = rest
        for node in nodes:
            cells.nodes[node.job] += 1
        nodes = _heaviest(children, budgets)
    return cells


def _masses(
    nodes: Sequence[_Node],
    logits: torch.Tensor,
    jobs: Sequence[Job] | Sequence[TreeJob],
    rule: TreeRule,
) -> Iterator[tuple[Sequence[_Node], torch.Tensor]]:
    """Some nodes at a time with the masses of each with each next token, a row a node.

    `logits` has a row a node as well.
    """
    chunk = max(1, DRAW_CELLS // logits.shape[1])
    for first in range(0, len(nodes), chunk):
        part = nodes[first : first + chunk]
        masses = token_weights(logits[first : first + chunk], rule.stop.temperature)
        totals = masses.sum(dim=1, keepdim=True)
        bad = torch.nonzero(~torch.isfinite(totals[:, 0]))
        if len(bad):
            raise GeneLogitsError(jobs[part[int(bad[0, 0])].job].gene)
        yield part, masses.mul_(masses.new_tensor([[node.mass] for node in part]) / totals)


class _Budget:
    """The heaviest nodes seen in one gene, so many of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heaviest: list[tuple[float, tuple[int, ...]]] = []

    def see(self, node: _Node) -> None:
        """Take note of a node."""
        entry = _weight(node)
        if len(self._heaviest) < self._most:
            heapq.heappush(self._heaviest, entry)
        elif self._most > 0:
            heapq.heappushpop(self._heaviest, entry)

    def affords(self, node: _Node) -> bool:
        """Whether a node that was seen is among the heaviest still."""
        return self._most > 0 and _weight(node) >= self._heaviest[0]


def _weight(node: _Node) -> tuple[float, tuple[int, ...]]:
    """What nodes are ordered by: of equal masses one is taken first, always the same."""
    return node.mass, node.prefix


def _heaviest(nodes: Sequence[_Node], budgets: Sequence[_Budget]) -> list[_Node]:
    """The nodes of one level that are to be expanded, in a fixed order.

    A child is never heavier than its node, so every node that a search from the heaviest
    on would expand with the same budget is among them.
    """
    for node in nodes:
        budgets[node.job].see(node)
    kept = [node for node in nodes if budgets[node.job].affords(node)]
    return sorted(kept, key=lambda node: (node.job, node.prefix))


class _Levels:
    """Logits after nodes, level after level, in passes of at most `max_rows` rows.

    A level continues the rows of the level before where both fit in one pass. Otherwise
    each pass starts again from the prompts, whose keys and values are kept, and goes down
    the tokens that its nodes share.
    """

    def __init__(self, forward: Forward, prompts: Sequence[Sequence[int]], max_rows: int) -> None:
        self._max_rows = max(max_rows, 1)
        self.prompts = forward.start(prompts)
        self._last: _Rows | None = None

    def logits(self, nodes: Sequence[_Node]) -> Iterator[tuple[Sequence[_Node], torch.Tensor]]:
        """The nodes of one level in parts, each with its logits, a row a node.

        `nodes` are children of those of the call before, by job and prefix.
        """
        if not nodes[0].prefix:
            yield nodes, self.prompts.logits
            return
        rows, self._last = self._last, None
        for start in range(0, len(nodes), self._max_rows):
            part = nodes[start : start + self._max_rows]
            if rows is None or len(part) < len(nodes):
                rows = _Rows.of_prompts(self.prompts.fork())
            rows.reach(part)
            yield part, rows.branches.logits
        if len(nodes) <= self._max_rows:
            self._last = rows


class _Rows:
    """Branches, and which node each row is."""

    def __init__(self, branches: Branches, row: dict[tuple[int, tuple[int, ...]], int]) -> None:
        self.branches = branches
        self._row = row

    @classmethod
    def of_prompts(cls, branches: Branches) -> _Rows:
        """Row `i` is the prompt of job `i`."""
        return cls(branches, {(job, ()): job for job in range(len(branches.logits))})

    def reach(self, nodes: Sequence[_Node]) -> None:
        """Go on to some nodes of one length, whose ancestors the rows are."""
        length = len(next(iter(self._row))[1])
        for end in range(length + 1, len(nodes[0].prefix) + 1):
            keys = list(dict.fromkeys((node.job, node.prefix[:end]) for node in nodes))
            parents = [self._row[job, prefix[:-1]] for job, prefix in keys]
            self.branches.advance(parents, [prefix[-1] for _, prefix in keys])
            self._row = {key: row for row, key in enumerate(keys)}
