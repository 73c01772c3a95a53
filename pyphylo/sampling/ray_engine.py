"""The engine "ray": the models of a run spread over the workers of a Ray cluster.

One task is one model, or the models that share weights. Tasks are never retried by Ray: which
models a lost worker leaves is known here, and only those go to another.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from pyphylo._ray_cluster import POLL_SECONDS, RayCluster, raise_cause
from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.sampling._ray_worker import Errand, Message, Wanted, run_errand
from pyphylo.sampling._requests import RequestSampler
from pyphylo.sampling.base import Sampler, SamplingConfig
from pyphylo.sampling.events import Reporter
from pyphylo.sampling.registry import backend_target
from pyphylo.store import SampleStore

__all__ = ["check_samplers", "sample_on_cluster"]


def sample_on_cluster(
    cluster: RayCluster,
    samplers: Sequence[Sampler],
    specs: Mapping[str, str],
    store: SampleStore,
    config: SamplingConfig,
    reporter: Reporter,
    *,
    backend: str,
    options: Mapping[str, Any],
    strict: bool,
) -> dict[str, str]:
    """Sample and store models, as many at a time as the cluster takes.

    Parameters
    ----------
    cluster : RayCluster
    samplers : sequence of Sampler
        Those that share weights side by side.
    specs : mapping of name to model

    Returns
    -------
    dict of str to str
        Which failed, and why.

    Raises
    ------
    OSError
        When a worker cannot write the store.
    WorkError
        When a worker cannot do any model at all.
    """
    errand = Errand(
        store.address,
        str(Path.cwd()),
        store.genome.digest,
        config,
        backend,
        backend_target(backend),
        dict(options),
        strict,
    )
    run = _Run(errand, store, reporter, cluster)
    try:
        for group in _groups(samplers, cluster.slots):
            run.submit([_wanted(each, specs) for each in group])
        run.finish()
    finally:
        run.close()
    return run.failures


def check_samplers(samplers: Sequence[Sampler]) -> None:
    """Refuse models that are asked of a server: their requests are counted in one process."""
    served = next((s.identity.name for s in samplers if isinstance(s, RequestSampler)), None)
    if served is not None:
        raise InputError(
            f"model {served!r} is behind a server, which one process can ask as fast as many: "
            "leave out engine='ray'"
        )


def _wanted(sampler: Sampler, specs: Mapping[str, str]) -> Wanted:
    name = sampler.identity.name
    return Wanted(name, specs[name], sampler.identity)


def _groups(samplers: Sequence[Sampler], slots: int) -> Iterator[list[Sampler]]:
    """Models of the same weights together, but no more of them than a worker's share."""
    share = -(-len(samplers) // slots)
    keyed = ((getattr(each, "weights_key", index), each) for index, each in enumerate(samplers))
    for _, same in groupby(keyed, key=lambda pair: pair[0]):
        group = [each for _, each in same]
        for start in range(0, len(group), share):
            yield group[start : start + share]


class _Run:
    """The tasks of one run. Every model is in one live attempt, or settled.

    Attributes
    ----------
    failures : dict of str to str
    """

    def __init__(
        self,
        errand: Errand,
        store: SampleStore,
        reporter: Reporter,
        cluster: RayCluster,
    ) -> None:
        import ray
        from ray.util.queue import Queue

        self.failures: dict[str, str] = {}
        self._store = store
        self._reporter = reporter
        self._cluster = cluster
        self._strict = errand.strict
        self._task = cluster.task(run_errand)
        self._errand = ray.put(errand)
        self._line = Queue(actor_options={"num_cpus": 0})
        self._attempts: dict[Any, int] = {}
        self._models: dict[int, dict[str, Wanted]] = {}  # by attempt: those not settled
        self._under_way: dict[int, str] = {}
        self._tokens: dict[str, int | None] = {}
        self._losses: Counter[str] = Counter()

    def submit(self, models: Sequence[Wanted]) -> None:
        """Let some worker sample these models."""
        attempt = len(self._models)
        self._models[attempt] = {model.name: model for model in models}
        ref = self._task.remote(self._errand, attempt, list(models), self._line)
        self._attempts[ref] = attempt

    def finish(self) -> None:
        """Wait for all models, or with `strict` for the first that fails."""
        import ray

        while self._attempts and not (self._strict and self.failures):
            ready, _ = ray.wait(list(self._attempts), timeout=POLL_SECONDS)
            self._hear()
            for ref in ready:
                self._end(ref)

    def close(self) -> None:
        """Stop what is still under way, unless it ends with the cluster."""
        left = list(self._attempts)
        self._attempts.clear()
        self._cluster.stop(left)
        if not self._cluster.is_ours:
            self._line.shutdown(force=True)

    def _hear(self) -> None:
        """Pass on what workers said meanwhile."""
        from ray.exceptions import RayError

        try:
            messages = self._line.get_nowait_batch(self._line.qsize())
        except RayError:
            return  # its worker was lost; outcomes come with the tasks' ends
        for message in messages:
            self._take(message)

    def _end(self, ref: Any) -> None:
        """A task is over, well or not."""
        import ray

        attempt = self._attempts.pop(ref)
        try:
            outcomes: list[Message] = ray.get(ref)
        except ray.exceptions.RayTaskError as error:
            raise_cause(error)
        except ray.exceptions.RayError as error:
            self._lose(attempt, type(error).__name__)
            return
        for message in outcomes:
            self._take(message)

    def _lose(self, attempt: int, how: str) -> None:
        """A worker is gone: what it had not finished goes to another.

        The model that it was at is taken for the cause; one that loses too many is kept
        out, and those that were to follow it are not held against it.
        """
        left = self._models[attempt]
        if not left:
            return
        name = self._under_way.get(attempt, next(iter(left)))
        self._losses[name] += 1
        if self._losses[name] > self._cluster.max_retries:
            times = self._losses[name]
            reason = f"its worker was lost {times} times ({how}): killed, or out of memory?"
            self._take((attempt, "failed", name, (reason,)))
        else:
            warnings.warn(
                f"model {name!r}: its worker was lost ({how}); another one takes it up",
                PyphyloWarning,
                stacklevel=2,
            )
        models, self._models[attempt] = list(left.values()), {}
        if models:
            self.submit(models)

    def _take(self, message: Message) -> None:
        """One message, unless its model is settled or its attempt was given up."""
        attempt, kind, name, details = message
        if name not in self._models[attempt]:
            return
        if kind == "started":
            self._under_way[attempt] = name
            self._begin(name)
        elif kind == "genes":
            genes, self._tokens[name] = details
            self._reporter.advance(name, genes)
        else:
            del self._models[attempt][name]
            self._under_way.pop(attempt, None)
            self._settle(kind, name, details)

    def _begin(self, name: str) -> None:
        self._tokens[name] = 0
        self._reporter.started(name, lambda: self._tokens[name])

    def _settle(self, kind: str, name: str, details: tuple[Any, ...]) -> None:
        if kind == "failed":
            self._fail(name, details[0])
            return
        shard, here, host = details
        if name not in self._tokens:  # who kept the messages was lost: this is the first we hear
            self._begin(name)
        if not self._store.has_shard(shard):
            self._fail(name, f"its shard was written by {host!r}, and is not in the store here")
            return
        self._reporter.done(name, shard, here=here)

    def _fail(self, name: str, reason: str) -> None:
        self.failures[name] = reason
        self._reporter.failed(name, reason)
