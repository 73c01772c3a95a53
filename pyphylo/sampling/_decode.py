"""Completions of many prompts from few forward passes, with draws fixed in advance.

The probes of a gene share its prompt, and many share their first tokens. So each prompt is
run once, the first tokens of all its probes are drawn from that one row of logits, and
equal prefixes go on as one row of the batch until every probe in it is decided. Draw `t`
of probe `p` is a number given beforehand, so which rows share a batch changes rounding
and nothing else.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from pyphylo.sampling._forward import Branches, Forward
from pyphylo.sampling._load import is_out_of_memory
from pyphylo.sampling._token_text import TokenText, is_long_enough

__all__ = ["BadLogitsError", "GeneLogitsError", "Job", "StopRule", "draw_tokens", "run_jobs"]

_DRAW_CELLS = 1 << 23
"""Probabilities turned into float64 at once (64 MiB)."""


class BadLogitsError(Exception):
    """A model's logits are no distribution: NaN, infinite or all impossible."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


class GeneLogitsError(Exception):
    """`BadLogitsError` with the gene that it happened in."""

    def __init__(self, gene: int) -> None:
        super().__init__(gene)
        self.gene = gene


@dataclass(frozen=True)
class StopRule:
    """When a completion is done.

    Parameters
    ----------
    chars : int
        Complete characters after leading spaces, then newlines, are stripped.
    max_new_tokens : int
    end_tokens : frozenset of int
        A completion ends before such a token, which adds no text.
    temperature : float
        Divides the logits.
    """

    chars: int
    max_new_tokens: int
    end_tokens: frozenset[int]
    temperature: float


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
    def cells(self) -> int:
        """Tokens held at once at worst, when every probe is a row of its own."""
        return len(self.uniforms) * self.row_cells

    @property
    def row_cells(self) -> int:
        """Tokens of one row at its longest."""
        return len(self.prompt) + int(self.uniforms.shape[1])

    def pieces(self, n_probes: int) -> Iterator[Job]:
        """The job cut into jobs of at most `n_probes` probes."""
        for start in range(0, len(self.uniforms), n_probes):
            part = self.uniforms[start : start + n_probes]
            yield replace(self, first=self.first + start, uniforms=part)


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
    """Complete every job, in batches of at most `batch_tokens` tokens held by each worker.

    Parameters
    ----------
    forward : Forward
        Calibrated.
    jobs : sequence of Job
    text : TokenText
    rule : StopRule
    batch_tokens : int
        Bound on rows x tokens, were every probe a row of its own. When an
        accelerator runs out of memory all the same, batches are halved.
    done : callable
        Called with each finished job and its completions, in any order, from
        the calling thread.
    workers : int
        Threads that take batches side by side. The batches do not depend on it.

    Raises
    ------
    GeneLogitsError
        When logits are no distribution.
    RuntimeError
        The device's own, when one probe of one gene does not fit.
    """
    pending = deque(_plan(jobs, batch_tokens, same_length=not forward.pads))
    if workers > 1 and len(pending) > 1:
        _run_side_by_side(forward, pending, text, rule, done, workers)
        return
    while pending:
        batch = pending.popleft()
        completions = _try_batch(forward, batch, text, rule)
        if completions is None:
            # Whatever is as large as what did not fit would not fit either.
            limit = sum(job.cells for job in batch) // 2
            rest = [job for waiting in (batch, *pending) for job in waiting]
            pending = deque(_plan(rest, limit, same_length=not forward.pads))
            continue
        for job, texts in zip(batch, completions, strict=True):
            done(job, texts)


def _run_side_by_side(
    forward: Forward,
    batches: Iterable[Sequence[Job]],
    text: TokenText,
    rule: StopRule,
    done: Callable[[Job, list[str]], None],
    workers: int,
) -> None:
    """Batches on threads of their own; the first failure, or Ctrl-C, drops what has not begun."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pyphylo-sample")
    try:
        running = {pool.submit(_complete, forward, batch, text, rule): batch for batch in batches}
        for finished in as_completed(running):
            for job, texts in zip(running[finished], finished.result(), strict=True):
                done(job, texts)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _try_batch(
    forward: Forward, batch: Sequence[Job], text: TokenText, rule: StopRule
) -> list[list[str]] | None:
    """A batch's completions, or None where it must be made smaller."""
    try:
        return _complete(forward, batch, text, rule)
    except RuntimeError as error:
        if not is_out_of_memory(error) or (len(batch) == 1 and len(batch[0].uniforms) == 1):
            raise
    # Only here, with the error and its frames gone, are the batch's tensors free.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _plan(jobs: Iterable[Job], batch_tokens: int, *, same_length: bool) -> list[list[Job]]:
    """Group jobs of similar length so that each group holds at most `batch_tokens` tokens."""
    pieces: list[Job] = []
    for job in jobs:
        pieces.extend(job.pieces(max(1, batch_tokens // job.row_cells)))
    pieces.sort(key=lambda job: (len(job.prompt), job.gene, job.first))
    batches: list[list[Job]] = []
    rows = 0
    for job in pieces:
        # Ascending length: every row of the group is padded to this one's.
        rows += len(job.uniforms)
        fits = bool(batches) and rows * job.row_cells <= batch_tokens
        if fits and same_length:
            fits = len(batches[-1][-1].prompt) == len(job.prompt)
        if fits:
            batches[-1].append(job)
        else:
            batches.append([job])
            rows = len(job.uniforms)
    return batches


@torch.inference_mode()
def _complete(
    forward: Forward, jobs: Sequence[Job], text: TokenText, rule: StopRule
) -> list[list[str]]:
    """The completions of one batch.

    Invariant: after step `t` every probe is either in `completions` or in exactly one
    open node, whose prefix is its first `t + 1` tokens.
    """
    completions = [[""] * len(job.uniforms) for job in jobs]
    branches = forward.start([job.prompt for job in jobs])
    nodes = [
        _Node(job=i, row=i, prefix=(), probes=np.arange(len(job.uniforms)))
        for i, job in enumerate(jobs)
    ]
    for step in range(rule.max_new_tokens):
        last = step == rule.max_new_tokens - 1
        children = _grow(branches, nodes, jobs, step, rule)
        nodes = []
        for child in children:
            said = _decided(child, jobs[child.job].prompt, text, rule, last=last)
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
    branches: Branches, nodes: Sequence[_Node], jobs: Sequence[Job], step: int, rule: StopRule
) -> list[_Node]:
    """Draw one token for every probe of every node; equal tokens of a node are one child."""
    draws = [jobs[node.job].uniforms[node.probes, step] for node in nodes]
    try:
        drawn = draw_tokens(branches.logits, rule.temperature, draws)
    except BadLogitsError as error:
        raise GeneLogitsError(jobs[nodes[error.row].job].gene) from None
    children = []
    for node, tokens in zip(nodes, drawn, strict=True):
        for token in np.unique(tokens):
            children.append(
                replace(
                    node,
                    prefix=(*node.prefix, int(token)),
                    probes=node.probes[tokens == token],
                )
            )
    return children


def _decided(
    node: _Node, prompt: Sequence[int], text: TokenText, rule: StopRule, *, last: bool
) -> str | None:
    """The completion of a node's probes, or None where it must go on."""
    if node.prefix[-1] in rule.end_tokens:
        return text.added(prompt, node.prefix[:-1], final=True)
    if last or is_long_enough(text.added(prompt, node.prefix, final=False), rule.chars):
        return text.added(prompt, node.prefix, final=True)
    return None


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
    chunk = max(1, _DRAW_CELLS // logits.shape[1])
    drawn: list[NDArray[np.int64]] = []
    for start in range(0, len(uniforms), chunk):
        part = uniforms[start : start + chunk]
        cdf = _cumulative(logits[start : start + chunk], temperature)
        totals = cdf[:, -1:]
        bad = torch.nonzero(~torch.isfinite(totals[:, 0]))
        if len(bad):
            raise BadLogitsError(start + int(bad[0, 0]))
        targets = torch.as_tensor(_rectangle(part), device=cdf.device) * totals
        # u <= 1 - 2**-53, so u * total rounds below the total and a possible token is found.
        found = torch.searchsorted(cdf, targets, right=True).cpu().numpy()
        drawn.extend(row[: len(u)] for row, u in zip(found, part, strict=True))
    return drawn


def _cumulative(logits: torch.Tensor, temperature: float) -> torch.Tensor:
    """Running sums of unnormalised probabilities, in float64; impossible tokens add nothing."""
    device = torch.device("cpu") if logits.device.type == "mps" else logits.device
    weights = logits.to(device=device, dtype=torch.float64)
    weights = ((weights - weights.amax(dim=-1, keepdim=True)) / temperature).exp_()
    cdf = weights.cumsum(dim=-1)
    if cdf.is_cuda:
        # A parallel sum rounds in any order, so it may rise where nothing is added.
        cdf = cdf.masked_fill_(weights == 0, 0.0).cummax(dim=-1).values
    return cdf


def _rectangle(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Rows of different lengths as one array, filled up with zeros."""
    filled = np.zeros((len(rows), max(map(len, rows))))
    for target, row in zip(filled, rows, strict=True):
        target[: len(row)] = row
    return filled
