"""How fast alleles are read, and where the time goes, on one model."""

from __future__ import annotations

import contextlib
import statistics
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tqdm import tqdm

from pyphylo._version import __version__
from pyphylo.errors import InputError
from pyphylo.genome import Genome
from pyphylo.sampling.base import MODES, SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler

__all__ = ["Ledger", "bench_sampling"]


def bench_sampling(
    model: str | None = None,
    *,
    modes: Sequence[str] = ("sample",),
    n_genes: int = 32,
    n_probes: int = 32,
    threads: Sequence[int] = (1,),
    repeats: int = 3,
    device: str = "auto",
    dtype: str = "auto",
    batch_tokens: int | None = None,
    genome: Genome | None = None,
) -> list[dict[str, Any]]:
    """Measure how fast one model's alleles are read; the modes take turns.

    Parameters
    ----------
    model : str, optional
        As `HuggingFaceSampler` takes it; by default a small one with random
        weights (`pyphylo.bench.random_model.SMALL`), made for it.
    modes : sequence of {"sample", "exact", "hybrid"}
    n_genes : int
        The first so many of `genome`.
    n_probes : int
    threads : sequence of int
        Numbers of threads, on a CPU; 0: as many as torch takes.
    repeats : int
        After one that is not counted.
    device, dtype, batch_tokens
        As `HuggingFaceSampler` takes them.
    genome : Genome, optional
        By default the built-in one.

    Returns
    -------
    list of dict
        One for each number of threads and mode: ``version``, ``model``,
        ``mode``, ``device``, ``dtype``, ``threads``, ``genes``, ``probes``,
        ``load_seconds`` (tokenizer and weights), ``start_seconds`` (the repeat that
        is not counted), ``seconds`` (all repeats), ``genes_per_s`` and
        ``tokens_per_s`` (by the median), ``tokens_run`` (all that went
        through the model, padding and trials of the model included),
        ``tokens_needed`` (each prompt once, and each start of a completion that was looked
        at once), ``passes`` (calls of the model), ``forward_share`` (of the
        time of all threads, how much was spent in these calls; median).

    Raises
    ------
    InputError
        When the genome has fewer genes; as `HuggingFaceSampler` raises it.
    """
    for mode in modes:
        if mode not in MODES:
            raise InputError(f"mode must be one of {', '.join(MODES)}, not {mode!r}")
    genome = genome or Genome.default()
    if not 1 <= n_genes <= len(genome):
        raise InputError(f"the genome has {len(genome)} genes: n_genes cannot be {n_genes}")
    configs = [SamplingConfig(n_probes, mode=mode) for mode in modes]
    with contextlib.ExitStack() as stack:
        spec = model
        if spec is None:
            from pyphylo.bench.random_model import SMALL

            spec = str(SMALL.save(Path(stack.enter_context(TemporaryDirectory()))))
        sampler = HuggingFaceSampler(
            model or "random", spec, device=device, dtype=dtype, batch_tokens=batch_tokens
        )
        stack.callback(sampler.close)
        return _measured(sampler, genome.head(n_genes), configs, threads, repeats)


def _measured(
    sampler: HuggingFaceSampler,
    genome: Genome,
    configs: Sequence[SamplingConfig],
    threads: Sequence[int],
    repeats: int,
) -> list[dict[str, Any]]:
    start = time.perf_counter()
    device = sampler.load()
    load_seconds = time.perf_counter() - start
    results = []
    rounds = len(threads) * len(configs) * (1 + repeats)
    with tqdm(total=rounds, unit="run", disable=None) as bar:
        for n_threads in threads:
            with _torch_threads(n_threads) as in_use:
                runs: list[list[Ledger]] = [[] for _ in configs]
                for _ in range(1 + repeats):
                    for config, done in zip(configs, runs, strict=True):
                        ledger = Ledger(device)
                        ledger.sample(sampler, genome, config)
                        done.append(ledger)
                        bar.update()
            workers = in_use if device == "cpu" else 1
            for config, (first, *counted) in zip(configs, runs, strict=True):
                seconds = statistics.median(run.seconds for run in counted)
                share = statistics.median(run.forward_seconds / run.seconds for run in counted)
                last = counted[-1]
                results.append(
                    {
                        "version": __version__,
                        "model": sampler.identity.name,
                        "mode": config.mode,
                        "device": device,
                        "dtype": sampler.identity.dtype,
                        "threads": in_use,
                        "genes": len(genome),
                        "probes": config.n_probes,
                        "load_seconds": load_seconds,
                        "start_seconds": first.seconds,
                        "seconds": [run.seconds for run in counted],
                        "genes_per_s": len(genome) / seconds,
                        "tokens_per_s": last.tokens_run / seconds,
                        "tokens_run": last.tokens_run,
                        "tokens_needed": last.tokens_needed,
                        "passes": last.passes,
                        "forward_share": share / workers,
                    }
                )
    return results


@contextlib.contextmanager
def _torch_threads(n_threads: int) -> Iterator[int]:
    """Let torch have so many threads for a while; yields how many it has."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(n_threads or before)
    try:
        yield n_threads or before
    finally:
        torch.set_num_threads(before)


class Ledger:
    """What one reading of a genome cost.

    Parameters
    ----------
    device : str
        The model's, ``"cpu"`` or another.

    Attributes
    ----------
    seconds : float
    tokens_run, passes : int
    """

    def __init__(self, device: str) -> None:
        self._is_cuda = device.startswith("cuda")
        self._lock = threading.Lock()
        self._batches: list[Sequence[Sequence[int]]] = []
        self._spans: list[tuple[Any, Any]] = []
        self.seconds = 0.0
        self.tokens_run = 0

    def sample(self, sampler: HuggingFaceSampler, genome: Genome, config: SamplingConfig) -> None:
        """Read a genome; taking note is inside the clock."""
        before = sampler.tokens
        sampler.watch = self.watch
        try:
            start = time.perf_counter()
            sampler.sample(genome, config)
            self.seconds = time.perf_counter() - start
        finally:
            sampler.watch = None
        self.tokens_run = sampler.tokens - before

    @property
    def passes(self) -> int:
        """Calls of the model."""
        return len(self._spans)

    @property
    def tokens_needed(self) -> int:
        """Tokens that had to be run: of each sequence, those that no other one ran before."""
        known = {tuple(tokens) for batch in self._batches for tokens in batch}
        return sum(1 if tokens[:-1] in known else len(tokens) for tokens in known)

    @property
    def forward_seconds(self) -> float:
        """Time in calls of the model, all threads together; on CUDA, the device's own time."""
        if self._is_cuda:
            import torch

            torch.cuda.synchronize()
            return float(sum(a.elapsed_time(b) for a, b in self._spans)) / 1000
        return float(sum(b - a for a, b in self._spans))

    @contextlib.contextmanager
    def watch(self, sequences: Sequence[Sequence[int]]) -> Iterator[None]:
        """Around one call of the model, whose rows end these sequences."""
        start = self._now()
        yield
        span = start, self._now()
        with self._lock:
            self._spans.append(span)
            self._batches.append(sequences)

    def _now(self) -> Any:
        """A time; on CUDA, where the device is in its work, without waiting for it."""
        if not self._is_cuda:
            return time.perf_counter()
        import torch

        event: Any = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event
