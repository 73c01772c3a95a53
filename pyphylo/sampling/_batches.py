"""Jobs in batches that fit in memory: grouped by length, halved when they do not fit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Protocol, TypeVar

import torch

from pyphylo.sampling._load import is_out_of_memory

__all__ = ["BatchJob", "run_batches"]


class BatchJob(Protocol):
    """Work on one gene's prompt that takes rows of a batch."""

    @property
    def gene(self) -> int:
        """Position in the genome."""
        ...

    @property
    def first(self) -> int:
        """Tells the pieces of one job apart."""
        ...

    @property
    def prompt(self) -> Sequence[int]:
        """Token ids."""
        ...

    @property
    def rows(self) -> int:
        """Rows that it may take at once."""
        ...

    @property
    def row_cells(self) -> int:
        """Tokens of one row at its longest."""
        ...

    def pieces(self: JobT, rows: int) -> Iterator[JobT]:
        """The job as jobs of at most so many rows each."""
        ...


JobT = TypeVar("JobT", bound=BatchJob)
ResultT = TypeVar("ResultT")


def run_batches(
    jobs: Sequence[JobT],
    work: Callable[[Sequence[JobT]], Sequence[ResultT]],
    done: Callable[[JobT, ResultT], None],
    batch_tokens: int,
    *,
    same_length: bool,
    workers: int = 1,
) -> None:
    """Do every job, in batches of at most `batch_tokens` tokens held by each worker.

    Parameters
    ----------
    jobs : sequence of BatchJob
    work : callable
        From a batch of jobs to a result each.
    done : callable
        Called with each finished job and its result, in any order, from
        the calling thread.
    batch_tokens : int
        Bound on rows x tokens, were every row taken. When an accelerator runs
        out of memory all the same, batches are halved.
    same_length : bool
        Whether prompts of a batch must have one length.
    workers : int
        Threads that take batches side by side. The batches do not depend on it.

    Raises
    ------
    RuntimeError
        The device's own, when one row of one gene does not fit.
    """
    pending = deque(_plan(jobs, batch_tokens, same_length=same_length))
    if workers > 1 and len(pending) > 1:
        _run_side_by_side(pending, work, done, workers)
        return
    while pending:
        batch = pending.popleft()
        results = _try_batch(batch, work)
        if results is None:
            # Whatever is as large as what did not fit would not fit either.
            limit = sum(job.rows * job.row_cells for job in batch) // 2
            rest = [job for waiting in (batch, *pending) for job in waiting]
            pending = deque(_plan(rest, limit, same_length=same_length))
            continue
        for job, result in zip(batch, results, strict=True):
            done(job, result)


def _run_side_by_side(
    batches: Iterable[Sequence[JobT]],
    work: Callable[[Sequence[JobT]], Sequence[ResultT]],
    done: Callable[[JobT, ResultT], None],
    workers: int,
) -> None:
    """Batches on threads of their own; the first failure, or Ctrl-C, drops what has not begun."""
    pool = ThreadPoolExecutor(workers, thread_name_prefix="pyphylo-sample")
    try:
        running = {pool.submit(work, batch): batch for batch in batches}
        for finished in as_completed(running):
            for job, result in zip(running[finished], finished.result(), strict=True):
                done(job, result)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _try_batch(
    batch: Sequence[JobT], work: Callable[[Sequence[JobT]], Sequence[ResultT]]
) -> Sequence[ResultT] | None:
    """A batch's results, or None where it must be made smaller."""
    try:
        return work(batch)
    except RuntimeError as error:
        if not is_out_of_memory(error) or (len(batch) == 1 and batch[0].rows == 1):
            raise
    # Only here, with the error and its frames gone, are the batch's tensors free.
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return None


def _plan(jobs: Iterable[JobT], batch_tokens: int, *, same_length: bool) -> list[list[JobT]]:
    """Group jobs of similar length so that each group holds at most `batch_tokens` tokens."""
    pieces: list[JobT] = []
    for job in jobs:
        pieces.extend(job.pieces(max(1, batch_tokens // job.row_cells)))
    pieces.sort(key=lambda job: (len(job.prompt), job.gene, job.first))
    batches: list[list[JobT]] = []
    rows = 0
    for job in pieces:
        # Ascending length: every row of the group is padded to this one's.
        rows += job.rows
        fits = bool(batches) and rows * job.row_cells <= batch_tokens
        if fits and same_length:
            fits = len(batches[-1][-1].prompt) == len(job.prompt)
        if fits:
            batches[-1].append(job)
        else:
            batches.append([job])
            rows = job.rows
    return batches
