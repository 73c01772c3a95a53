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
from pyphylo.sampling._endings import Endings
from pyphylo.sampling._forward import Branches, Forward
from pyphylo.sampling._stop import BadLogitsError, GeneLogitsError, StopRule
from pyphylo.sampling._token_text import TokenText

__all__ = ["DRAW_CELLS", "Job", "Weights", "draw_tokens", "follow", "run_jobs", "token_weights"]

DRAW_CELLS = 1 << 23
"""Probabilities turned into float64 at once (64 MiB)."""
_DRAW_CELLS_CPU = 1 << 18
"""Of those that are only drawn from, what a core's own cache holds (2 MiB)."""


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
    drawn = [i for i, given in enumerate(weights) if given is not None]
    open_ = _Open.prompts(jobs, drawn)
    endings = Endings(text, rule)
    standing = endings.start(len(drawn))
    uniforms = np.concatenate([job.uniforms for job in jobs])
    completions = [""] * len(uniforms)
    while open_.prefixes:
        draws = uniforms[open_.probes, len(open_.prefixes[0])]
        tokens = _draw_all(branches.logits, open_, draws, jobs, rule, weights)
        children, parents = open_.children(tokens)
        prompts = [jobs[job].prompt for job in children.jobs.tolist()]
        standing, said = endings.step(standing, parents, prompts, children.prefixes)
        for probe, node in zip(children.probes.tolist(), children.nodes.tolist(), strict=True):
            completions[probe] = said[node] or ""
        goes_on = np.array([text is None for text in said], dtype=bool)
        open_, standing = children.those(goes_on), standing.those(goes_on)
        if open_.prefixes:
            branches.advance(open_.rows.tolist(), [prefix[-1] for prefix in open_.prefixes])
            open_ = replace(open_, rows=np.arange(len(open_.prefixes)))
    ends = np.cumsum([len(job.uniforms) for job in jobs])
    return [
        completions[end - len(job.uniforms) : end] if given is not None else []
        for job, given, end in zip(jobs, weights, ends.tolist(), strict=True)
    ]


@dataclass(frozen=True)
class _Open:
    """Probes that are not done, and the nodes that they are in: those of one job that drew the
    same tokens so far, all of one number.

    Attributes
    ----------
    jobs, rows : ndarray of int, shape (nodes,)
        Which job each node is of, in ascending order, and its row of the last logits.
    prefixes : list of tuple of int
        The tokens drawn.
    probes, nodes : ndarray of int, shape (probes,)
        Which probe of all jobs, and its node, in ascending order.
    """

    jobs: NDArray[np.int64]
    rows: NDArray[np.int64]
    prefixes: list[tuple[int, ...]]
    probes: NDArray[np.int64]
    nodes: NDArray[np.int64]

    @classmethod
    def prompts(cls, jobs: Sequence[Job], drawn: Sequence[int]) -> _Open:
        """All probes of some jobs, none of which has drawn yet; row `i` is of job `i`."""
        sizes = np.array([len(job.uniforms) for job in jobs])
        of_job = np.repeat(np.arange(len(jobs)), sizes)
        probes = np.flatnonzero(np.isin(of_job, drawn))
        rows = np.array(drawn, dtype=np.int64)
        return cls(rows, rows, [()] * len(drawn), probes, np.searchsorted(rows, of_job[probes]))

    def children(self, tokens: NDArray[np.int64]) -> tuple[_Open, NDArray[np.int64]]:
        """After one token of each probe: the nodes by parent and token, and their parents.

        A child's row is its parent's.
        """
        order = np.lexsort((tokens, self.nodes))
        nodes, tokens = self.nodes[order], tokens[order]
        is_first = np.ones(len(order), dtype=bool)
        is_first[1:] = (nodes[1:] != nodes[:-1]) | (tokens[1:] != tokens[:-1])
        parents = nodes[is_first]
        prefixes = [
            (*self.prefixes[node], token)
            for node, token in zip(parents.tolist(), tokens[is_first].tolist(), strict=True)
        ]
        numbers = np.cumsum(is_first) - 1
        rows = self.rows[parents]
        return _Open(self.jobs[parents], rows, prefixes, self.probes[order], numbers), parents

    def those(self, kept: NDArray[np.bool_]) -> _Open:
        """Some of the nodes, with the probes in them."""
        number = np.cumsum(kept) - 1
        stays = kept[self.nodes]
        return _Open(
            self.jobs[kept],
            self.rows[kept],
            [prefix for prefix, keep in zip(self.prefixes, kept.tolist(), strict=True) if keep],
            self.probes[stays],
            number[self.nodes[stays]],
        )


def _draw_all(
    logits: torch.Tensor,
    open_: _Open,
    draws: NDArray[np.float64],
    jobs: Sequence[Job],
    rule: StopRule,
    weights: Sequence[Weights | None],
) -> NDArray[np.int64]:
    """One token for every probe, by its draw."""
    nodes = range(len(open_.prefixes))
    by_node = np.split(draws, np.searchsorted(open_.nodes, nodes[1:]))
    given = [
        (weights[job] or {}).get(prefix)
        for job, prefix in zip(open_.jobs.tolist(), open_.prefixes, strict=True)
    ]
    plain = [node for node in nodes if given[node] is None]
    rows = open_.rows[plain]
    is_all = len(rows) == len(logits) and np.array_equal(rows, np.arange(len(rows)))
    found: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(nodes)
    try:
        tokens = draw_tokens(
            logits if is_all else logits[torch.as_tensor(rows, device=logits.device)],
            rule.temperature,
            [by_node[node] for node in plain],
        )
    except BadLogitsError as error:
        raise GeneLogitsError(jobs[int(open_.jobs[plain[error.row]])].gene) from None
    for node, drawn in zip(plain, tokens, strict=True):
        found[node] = drawn
    known = [(node, row) for node, row in enumerate(given) if row is not None]
    chunk = max(1, DRAW_CELLS // logits.shape[1])
    for start in range(0, len(known), chunk):
        part = known[start : start + chunk]
        cdf = _cumulative(torch.stack([row for _, row in part]))
        few = _quantiles(cdf, [by_node[node] for node, _ in part])
        for (node, _), drawn in zip(part, few, strict=True):
            found[node] = drawn
    return np.concatenate(found)


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
    cells = _DRAW_CELLS_CPU if logits.device.type == "cpu" else DRAW_CELLS
    chunk = max(1, cells // logits.shape[1])
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
    weights = logits.to(device=device, dtype=torch.float64, copy=True)
    weights.sub_(weights.amax(dim=-1, keepdim=True))
    if temperature != 1:
        weights.div_(temperature)
    return weights.exp_()


def _cumulative(weights: torch.Tensor) -> torch.Tensor:
    """Running sums, on a CPU in place of the weights; impossible tokens add nothing."""
    if not weights.is_cuda:
        return weights.cumsum_(dim=-1)
    # A parallel sum rounds in any order, so it may rise where nothing is added.
    cdf = weights.cumsum(dim=-1)
    return cdf.masked_fill_(weights == 0, 0.0).cummax(dim=-1).values


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
