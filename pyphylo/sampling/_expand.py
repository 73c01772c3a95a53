"""Allele probabilities from logits: the tree of tokens, and what its first level decides.

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
from pyphylo.sampling._decode import DRAW_CELLS, Job, follow
from pyphylo.sampling._forward import Branches, Forward
from pyphylo.sampling._stop import BadLogitsError, GeneLogitsError, StopRule
from pyphylo.sampling._token_text import TokenText
from pyphylo.sampling._vocabulary import Split, Vocabulary
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
        gene, up to its own level.
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
    """The leaves of each job so far."""

    def __init__(self, n: int) -> None:
        self._leaves: list[dict[str, list[float]]] = [{} for _ in range(n)]

    def add(self, job: int, text: str, mass: float) -> None:
        """One more leaf of a job."""
        self._leaves[job].setdefault(text, []).append(mass)

    def probabilities(self, job: int) -> dict[str, float]:
        """Of each text, in the order of the texts; the sum does not depend on the order of work."""
        leaves = self._leaves[job]
        return {text: math.fsum(leaves[text]) for text in sorted(leaves)}


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
    """What first tokens decide, and probes drawn inside the rest; see `run_batches`.

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
    """The trees of one batch, a level at a time.

    Invariant: after level `t` each node of at least `min_mass` with fewer than `t` tokens is
    expanded or pruned for good, and `nodes` are those of `t` tokens.
    """
    cells = _Cells(len(jobs))
    budgets = [_Budget(rule.max_nodes) for _ in jobs]
    expanded = [0] * len(jobs)
    levels = _Levels(forward, [job.prompt for job in jobs], sum(job.rows for job in jobs))
    nodes = [_Node(job, (), 1.0) for job in range(len(jobs))]
    while nodes:
        children: list[_Node] = []
        for part, logits in levels.logits(nodes):
            for first, masses in _masses(part, logits, jobs, rule):
                parents = part[first : first + len(masses)]
                split = _split(parents, masses, jobs, vocabulary, rule)
                for row, said, mass in split.leaves:
                    cells.add(parents[row].job, said, mass)
                for row, token, mass in split.nodes:
                    parent = parents[row]
                    children.append(_Node(parent.job, (*parent.prefix, token), mass))
        for node in nodes:
            expanded[node.job] += 1
        nodes = _heaviest(children, budgets)
    results = []
    for job, count in enumerate(expanded):
        found = cells.probabilities(job)
        pruned = max(0.0, 1.0 - math.fsum(found.values()))
        results.append(Decided(found, undecided=0.0, pruned=pruned, nodes=count))
    return results


@torch.inference_mode()
def _decide_and_draw(
    forward: Forward,
    jobs: Sequence[Job],
    text: TokenText,
    vocabulary: Vocabulary,
    rule: TreeRule,
) -> list[tuple[list[str], Decided]]:
    """The probes of one batch, drawn inside what the first tokens leave undecided.

    Which tokens decide depends on the logits alone, never on a draw: given the decided
    probabilities, draws are independent and of the distribution of the rest.
    """
    branches = forward.start([job.prompt for job in jobs])
    cells = _Cells(len(jobs))
    roots = [_Node(job, (), 1.0) for job in range(len(jobs))]
    rest = branches.logits.clone()
    left = [0.0] * len(jobs)
    for first, masses in _masses(roots, branches.logits, jobs, rule):
        part = slice(first, first + len(masses))
        taken = torch.zeros_like(masses, dtype=torch.bool)
        for row, said, mass in _split(roots[part], masses, jobs, vocabulary, rule, taken).leaves:
            cells.add(first + row, said, mass)
        # Where nothing is decided the cell is a sampled one, of no less than all mass.
        open_mass = masses.masked_fill_(taken, 0.0).sum(dim=1)
        left[part] = torch.where(taken.any(dim=1), open_mass, 1.0).tolist()
        rest[part].masked_fill_(taken.to(rest.device), -math.inf)
    rows = [job for job, mass in enumerate(left) if mass > 0]
    drawn = follow(branches, rest[rows], jobs, rows, text, rule.stop)
    return [
        (drawn[job], Decided(cells.probabilities(job), undecided=mass, pruned=0.0))
        for job, mass in enumerate(left)
    ]


def _masses(
    nodes: Sequence[_Node],
    logits: torch.Tensor,
    jobs: Sequence[Job] | Sequence[TreeJob],
    rule: TreeRule,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Masses of nodes with each next token, some nodes at a time; row `i` is of node `i`."""
    chunk = max(1, DRAW_CELLS // logits.shape[1])
    for first in range(0, len(nodes), chunk):
        part = nodes[first : first + chunk]
        try:
            masses = _shares(logits[first : first + chunk], rule.stop.temperature)
        except BadLogitsError as error:
            raise GeneLogitsError(jobs[part[error.row].job].gene) from None
        yield first, masses.mul_(masses.new_tensor([[node.mass] for node in part]))


def _split(
    nodes: Sequence[_Node],
    masses: torch.Tensor,
    jobs: Sequence[Job] | Sequence[TreeJob],
    vocabulary: Vocabulary,
    rule: TreeRule,
    taken: torch.Tensor | None = None,
) -> Split:
    """What becomes of those masses."""
    prompts = [jobs[node.job].prompt for node in nodes]
    prefixes = [node.prefix for node in nodes]
    return vocabulary.split(prompts, prefixes, masses, rule.least_leaf, rule.min_mass, taken)


def _shares(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Token probabilities in float64.

    Raises
    ------
    BadLogitsError
        When a row is no distribution.
    """
    device = torch.device("cpu") if logits.device.type == "mps" else logits.device
    weights = logits.to(device=device, dtype=torch.float64)
    weights = ((weights - weights.amax(dim=-1, keepdim=True)) / temperature).exp_()
    totals = weights.sum(dim=-1, keepdim=True)
    bad = torch.nonzero(~torch.isfinite(totals[:, 0]))
    if len(bad):
        raise BadLogitsError(int(bad[0, 0]))
    return weights.div_(totals)


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
        else:
            heapq.heappushpop(self._heaviest, entry)

    def affords(self, node: _Node) -> bool:
        """Whether a node that was seen is among the heaviest still."""
        return _weight(node) >= self._heaviest[0]


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
        self._prompts = forward.start(prompts)
        self._last: _Rows | None = None

    def logits(self, nodes: Sequence[_Node]) -> Iterator[tuple[Sequence[_Node], torch.Tensor]]:
        """The nodes of one level in parts, each with its logits, a row a node.

        `nodes` are children of those of the call before, by job and prefix.
        """
        if not nodes[0].prefix:
            yield nodes, self._prompts.logits
            return
        rows, self._last = self._last, None
        for start in range(0, len(nodes), self._max_rows):
            part = nodes[start : start + self._max_rows]
            if rows is None or len(part) < len(nodes):
                rows = _Rows.of_prompts(self._prompts.fork())
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
