"""Completions of many prompts from few forward passes, with draws fixed in advance.

The probes of a gene share its prompt, and many share their first tokens. So each prompt is
run once, the first tokens of all its probes are drawn from that one row of logits, and
equal prefixes go on as one row of the batch until every probe in it is decided. Draw `t`
of probe `p` is a number given beforehand, so which rows share a batch changes rounding
and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from pyphylo.sampling._batches import run_batches
from pyphylo.sampling._forward import Branches, Forward
from pyphylo.sampling._stop import BadLogitsError, GeneLogitsError, StopRule, finished_text
from pyphylo.sampling._token_text import TokenText

__all__ = ["DRAW_CELLS", "Job", "Weights", "draw_tokens", "follow", "run_jobs", "token_weights"]

DRAW_CELLS = 1 << 23
"""Probabilities turned into float64 at once (64 MiB)."""


@dataclass(frozen=True)
class Job:
    """Some probes of one gene.

    Parameters
    ----------
    gene : int
        Position in the genome.
    first : int
        The first of its probes.
    prompt : sequence of int
    uniforms : ndarray of float64, shape (probes, max_new_tokens)
    """

    gene: int
    first: int
    prompt: Sequence[int]
    uniforms: NDArray[np.float64]

    @property
    def rows(self) -> int:
        """Rows at worst, when every probe is one of its own."""
        return len(self.uniforms)

    @property
    def row_cells(self) -> int:
        """Tokens of one row at its longest."""
        return len(self.prompt) + int(self.uniforms.shape[1])

    def pieces(self, rows: int) -> Iterator[Job]:
        """The job cut into jobs of at most `rows` probes."""
        for start in range(0, len(self.uniforms), rows):
            part = self.uniforms[start : start + rows]
            yield replace(self, first=self.first + start, uniforms=part)


Weights: TypeAlias = Mapping[tuple[int, ...], torch.Tensor]
"""Unnormalised token probabilities (float64) after some prefixes of new tokens."""


@dataclass(frozen=True)
class _Node:
    """Probes of one job that drew the same tokens so far; row `row` of the last logits."""

    job: int
    row: int
    prefix: tuple[int, ...]
    probes: NDArray[np.intp]


def run_jobs(
    forward: Forward,
    jobs: Sequence[Job],
    text: TokenText,
    rule: StopRule,
    batch_tokens: int,
    done: Callable[[Job, list[str]], None],
    workers: int = 1,
) -> None:
    """Complete every job; see `run_batches`.

    Parameters
    ----------
    forward : Forward
        Calibrated.
    jobs : sequence of Job
    text : TokenText
    rule : StopRule
    batch_tokens, done, workers
        As `run_batches` takes them; a job's result is its completions.

    Raises
    ------
    GeneLogitsError
        When logits are no distribution.
    RuntimeError
        The device's own, when one probe of one gene does not fit.
    """

    def work(batch: Sequence[Job]) -> list[list[str]]:
        return _complete(forward, batch, text, rule)

    run_batches(jobs, work, done, batch_tokens, same_length=not forward.pads, workers=workers)


@torch.inference_mode()
def _complete(
    forward: Forward, jobs: Sequence[Job], text: TokenText, rule: StopRule
) -> list[list[str]]:
    """The completions of one batch."""
    branches = forward.start([job.prompt for job in jobs])
    return follow(branches, jobs, text, rule, [{}] * len(jobs))


def follow(
    branches: Branches,
    jobs: Sequence[Job],
    text: TokenText,
    rule: StopRule,
    weights: Sequence[Weights | None],
) -> list[list[str]]:
    """Draw the completions of jobs, whose prompts are the rows of `branches`.

    Invariant: after step `t` every probe is either in `completions` or in exactly one open
    node, whose prefix is its first `t + 1` tokens.

    Parameters
    ----------
    branches : Branches
        Row `i` ends with the prompt of job `i`.
    jobs : sequence of Job
    text : TokenText
    rule : StopRule
    weights : sequence of mapping or None, one a job
        After some of its prefixes, what tokens are drawn by, in place of the
        logits. Of a job that has None, nothing is drawn.

    Returns
    -------
    list of list of str
        The completions of every job.
    """
    nodes = [
        _Node(job=i, row=i, prefix=(), probes=np.arange(len(job.uniforms)))
        for i, job in enumerate(jobs)
        if weights[i] is not None
    ]
    completions: list[list[str]] = [[] for _ in jobs]
    for node in nodes:
        completions[node.job] = [""] * len(node.probes)
    while nodes:
        children = _grow(branches.logits, nodes, jobs, rule, weights)
        nodes = []
        for child in children:
            said = finished_text(jobs[child.job].prompt, child.prefix, text, rule)
            if said is None:
                nodes.append(child)
                continue
            for probe in child.probes:
                completions[child.job][probe] = said
        if not nodes:
            break
        branches.advance([node.row for node in nodes], [node.prefix[-1] for node in nodes])
        nodes = [replace(node, row=row) for row, node in enumerate(nodes)]
    return completions


def _grow(
    logits: torch.Tensor,
    nodes: Sequence[_Node],
    jobs: Sequence[Job],
    rule: StopRule,
    weights: Sequence[Weights | None],
) -> list[_Node]:
    """Draw one token for every probe of every node; equal tokens of a node are one child."""
    draws = [jobs[node.job].uniforms[node.probes, len(node.prefix)] for node in nodes]
    given = [(weights[node.job] or {}).get(node.prefix) for node in nodes]
    plain = [i for i, row in enumerate(given) if row is None]
    rows = [nodes[i].row for i in plain]
    try:
        found = draw_tokens(
            logits if len(rows) == len(logits) else logits[rows],
            rule.temperature,
            [draws[i] for i in plain],
        )
    except BadLogitsError as error:
        raise GeneLogitsError(jobs[nodes[plain[error.row]].job].gene) from None
    drawn = dict(zip(plain, found, strict=True))
    for i, row in enumerate(given):
        if row is not None:
            (drawn[i],) = _quantiles(_cumulative(row[None]), [draws[i]])
    children = []
    for i, node in enumerate(nodes):
        tokens = drawn[i]
        for token in np.unique(tokens):
            children.append(
                replace(
                    node,
                    prefix=(*node.prefix, int(token)),
                    probes=node.probes[tokens == token],
                )
            )
    return children


def draw_tokens(
    logits: torch.Tensor, temperature: float, uniforms: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.int64]]:
    """Tokens at given quantiles of each row's distribution.

    Parameters
    ----------
    logits : tensor, shape (rows, vocabulary)
    temperature : float
    uniforms : sequence of ndarray, one a row
        In [0, 1).

    Returns
    -------
    list of ndarray
        Token ids, shaped as `uniforms`. Token `i` is drawn by `u` when
        ``cdf[i - 1] <= u * total < cdf[i]``, in float64.

    Raises
    ------
    BadLogitsError
        When a row is no distribution.
    """
    chunk = max(1, DRAW_CELLS // logits.shape[1])
    drawn: list[NDArray[np.int64]] = []
    for start in range(0, len(uniforms), chunk):
        part = uniforms[start : start + chunk]
        cdf = _cumulative(token_weights(logits[start : start + chunk], temperature))
        bad = torch.nonzero(~torch.isfinite(cdf[:, -1]))
        if len(bad):
            raise BadLogitsError(start + int(bad[0, 0]))
        drawn.extend(_quantiles(cdf, part))
    return drawn


def token_weights(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Unnormalised probabilities in float64, the largest 1; NaN where they are none."""
    device = torch.device("cpu") if logits.device.type == "mps" else logits.device
    weights = logits.to(device=device, dtype=torch.float64)
    return ((weights - weights.amax(dim=-1, keepdim=True)) / temperature).exp_()


def _cumulative(weights: torch.Tensor) -> torch.Tensor:
    """Running sums; impossible tokens add nothing."""
    cdf = weights.cumsum(dim=-1)
    if cdf.is_cuda:
        # A parallel sum rounds in any order, so it may rise where nothing is added.
        cdf = cdf.masked_fill_(weights == 0, 0.0).cummax(dim=-1).values
    return cdf


def _quantiles(
    cdf: torch.Tensor, uniforms: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.int64]]:
    """The tokens of each row in whose stretch of the running sums the draws fall."""
    targets = torch.as_tensor(_rectangle(uniforms), device=cdf.device) * cdf[:, -1:]
    # u <= 1 - 2**-53, so u * total rounds below the total and a possible token is found.
    found = torch.searchsorted(cdf, targets, right=True).cpu().numpy()
    return [row[: len(u)] for row, u in zip(found, uniforms, strict=True)]


def _rectangle(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Rows of different lengths as one array, filled up with zeros."""
    filled = np.zeros((len(rows), max(map(len, rows))))
    for target, row in zip(filled, rows, strict=True):
        target[: len(row)] = row
    return filled
