"""The engine "ray": the models of a run spread over the workers of a Ray cluster.

One task is one model, or the models that share weights. Tasks are never retried by Ray: which
models a lost worker leaves is known here, and only those go to another.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import socket
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from pyphylo._names import whole_number
from pyphylo.errors import InputError, PyphyloError, PyphyloWarning, WorkError
from pyphylo.sampling._ray_worker import Errand, Message, Wanted, run_errand
from pyphylo.sampling._requests import RequestSampler
from pyphylo.sampling.base import Sampler, SamplingConfig
from pyphylo.sampling.events import Reporter
from pyphylo.sampling.registry import backend_target
from pyphylo.store import SampleStore

__all__ = ["Cluster", "RayOptions", "check_samplers", "connected"]

_POLL_SECONDS = 0.2
_CANCEL_SECONDS = 5.0
_CONNECT_SECONDS = 10.0
_MAX_RETRIES = 3


@dataclass(frozen=True)
class RayOptions:
    """How a run uses a cluster.

    Attributes
    ----------
    address : str or None
        Of a cluster; by default the one in ``RAY_ADDRESS``, else one on this machine that
        lives as long as the run.
    num_gpus : float or None
        GPUs that a task takes, or the share of one; by default 1 where the cluster has
        any and the device may be one, else 0.
    num_cpus : float
        Cores that a task takes: how many models are in a machine's memory at once.
    max_retries : int
        How many workers a model may lose before it is kept out, less one.
    """

    address: str | None = None
    num_gpus: float | None = None
    num_cpus: float = 1.0
    max_retries: int = _MAX_RETRIES

    @classmethod
    def checked(
        cls,
        address: str | None,
        num_gpus: float | None,
        num_cpus: float | None,
        max_retries: int | None,
        device: str,
    ) -> RayOptions:
        """Options as callers give them.

        Raises
        ------
        InputError
            When one cannot be, or Ray is not installed.
        """
        if importlib.util.find_spec("ray") is None:
            raise InputError("engine 'ray' needs Ray: pip install 'pyphylo[ray]'")
        if ":" in device:
            raise InputError(
                f"device {device!r}: Ray says which GPU a worker gets; pass device='cuda'"
            )
        return cls(
            address,
            None if num_gpus is None else _share(num_gpus, "num_gpus"),
            1.0 if num_cpus is None else _share(num_cpus, "num_cpus", above_zero=True),
            _MAX_RETRIES if max_retries is None else whole_number(max_retries, "max_retries", 0),
        )


def _share(value: Any, name: str, *, above_zero: bool = False) -> float:
    """A number of cores or GPUs, of which Ray takes fractions below 1 only."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    is_whole = number == math.floor(number) if math.isfinite(number) else False
    if not (is_whole or 0 < number < 1) or number < 0 or (above_zero and number == 0):
        least = "above 0 and at most 1" if above_zero else "0 to 1"
        raise InputError(f"{name} must be {least}, or a whole number, not {value!r}")
    return number


@contextlib.contextmanager
def connected(options: RayOptions, device: str) -> Iterator[Cluster]:
    """A cluster, disconnected from at the end; one that was started for this run ends with it.

    Raises
    ------
    InputError
        When this process is connected to a cluster already and another is named, or a
        task wants more than any machine of the cluster has.
    WorkError
        When there is no cluster at the address, or none can be started.
    """
    import ray

    if ray.is_initialized():
        if options.address is not None:
            raise InputError(
                f"ray_address={options.address!r}, but this process is connected to a Ray cluster "
                "already: leave ray_address out, or call ray.shutdown() before"
            )
        yield Cluster(options, device, is_ours=False)
        return
    address = options.address or os.environ.get("RAY_ADDRESS") or "local"
    is_ours = address == "local"
    if is_ours:
        # A cluster for the length of a run reports to nobody; whoever wants that sets it.
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    _check_reachable(address)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of Ray's own defaults to come
            ray.init(
                address=address,
                log_to_driver=False,  # would go to stdout, between the events
                logging_level="ERROR",
                **({"include_dashboard": False} if is_ours else {}),
            )
    except Exception as error:  # Ray raises of every kind
        line = next(iter(str(error).splitlines()), type(error).__name__)
        what = "no Ray cluster could be started" if is_ours else f"no Ray cluster at {address!r}"
        raise WorkError(f"{what}: {line}") from None
    try:
        yield Cluster(options, device, is_ours=is_ours)
    finally:
        ray.shutdown()


def _check_reachable(address: str) -> None:
    """Refuse host:port where nobody listens: Ray itself tries for minutes."""
    host, _, port = address.rpartition(":")
    if not host or "/" in host or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise WorkError(f"no Ray cluster at {address!r}: {error}") from None


class Cluster:
    """Where a run's models are sampled. Made by `connected`.

    Parameters
    ----------
    options : RayOptions
    device : str
        As `pyphylo.sample` takes it.
    is_ours : bool
        Whether it was started for this run, so that it gets no more machines than it has.
    """

    def __init__(self, options: RayOptions, device: str, *, is_ours: bool) -> None:
        import ray

        self._is_ours = is_ours
        self._max_retries = options.max_retries
        totals = ray.cluster_resources()
        gpus = options.num_gpus
        if gpus is None:
            gpus = 1.0 if totals.get("GPU") and device in ("auto", "cuda") else 0.0
        self._wanted = {"CPU": options.num_cpus, "GPU": gpus}
        self._slots = min(
            (int(totals.get(kind, 0) / number) for kind, number in self._wanted.items() if number),
            default=1,
        )
        self._check()

    def _check(self) -> None:
        """Refuse tasks that would wait for ever; where machines may still come, say so."""
        import ray

        machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if any(all(m.get(k, 0) >= n for k, n in self._wanted.items()) for m in machines):
            return
        wanted = " and ".join(f"num_{k.lower()}s={n:g}" for k, n in self._wanted.items() if n)
        most = ", ".join(
            f"{max((m.get(k, 0) for m in machines), default=0):g} {k}s" for k in self._wanted
        )
        line = f"no machine of the Ray cluster has {wanted} (the most on one: {most})"
        if self._is_ours:
            raise InputError(f"{line}: ask for less")
        warnings.warn(f"{line}: models wait until one joins", PyphyloWarning, stacklevel=4)

    def sample_each(
        self,
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
        run = _Run(errand, store, reporter, self._wanted, self._max_retries)
        try:
            for group in _groups(samplers, max(1, self._slots)):
                run.submit([_wanted(each, specs) for each in group])
            run.finish()
        finally:
            # A cluster of this run's own ends with it, workers and all. Ray 2.60 sometimes aborts
            # the driver where tasks are cancelled, so that is left to clusters that stay.
            if not self._is_ours:
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
        wanted: Mapping[str, float],
        max_retries: int,
    ) -> None:
        import ray
        from ray.util.queue import Queue

        self.failures: dict[str, str] = {}
        self._store = store
        self._reporter = reporter
        self._max_retries = max_retries
        self._strict = errand.strict
        self._task = ray.remote(
            num_cpus=wanted["CPU"],
            num_gpus=wanted["GPU"],
            max_retries=0,
            scheduling_strategy="SPREAD",
        )(run_errand)
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
            ready, _ = ray.wait(list(self._attempts), timeout=_POLL_SECONDS)
            self._hear()
            for ref in ready:
                self._end(ref)

    def close(self) -> None:
        """Stop what is still under way: asked first, so that nobody is cut off while writing."""
        import ray

        left = list(self._attempts)
        self._attempts.clear()
        for ref in left:
            ray.cancel(ref, force=False)
        if left:
            _, running = ray.wait(left, num_returns=len(left), timeout=_CANCEL_SECONDS)
            for ref in running:
                ray.cancel(ref, force=True)
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
            cause = error.cause
            if isinstance(cause, (OSError, PyphyloError)):
                raise cause from None
            raise WorkError(f"a Ray worker failed: {type(cause).__name__}: {cause}") from None
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
        if self._losses[name] > self._max_retries:
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
