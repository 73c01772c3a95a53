"""A Ray cluster as the engine "ray" uses it: which one, what its tasks take, how they end."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import os
import socket
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn

from pyphylo._names import whole_number
from pyphylo.errors import InputError, PyphyloError, PyphyloWarning, WorkError

__all__ = ["POLL_SECONDS", "RayCluster", "RayOptions", "connected", "raise_cause", "ray_options"]

POLL_SECONDS = 0.2
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
        GPUs that a task takes, or the share of one; by default what `connected` is told.
    num_cpus : float
        Cores that a task takes.
    max_retries : int
        How many workers a piece of work may lose before it is given up, less one.
    """

    address: str | None = None
    num_gpus: float | None = None
    num_cpus: float = 1.0
    max_retries: int = _MAX_RETRIES


def ray_options(
    engine: str,
    *,
    address: str | None,
    num_cpus: float | None,
    max_retries: int | None,
    num_gpus: float | None = None,
) -> RayOptions | None:
    """Options as callers give them; None for the engine "local".

    Raises
    ------
    InputError
        When one cannot be or is of the other engine, or Ray is not installed.
    """
    if engine == "local":
        given = {"num_gpus": num_gpus, "num_cpus": num_cpus, "max_retries": max_retries}
        for name, value in {"ray_address": address, **given}.items():
            if value is not None:
                raise InputError(f"{name}={value!r} is an option of engine 'ray', not 'local'")
        return None
    if engine != "ray":
        raise InputError(f"unknown engine {engine!r}; known: 'local', 'ray'")
    if importlib.util.find_spec("ray") is None:
        raise InputError("engine 'ray' needs Ray: pip install 'pyphylo[ray]'")
    return RayOptions(
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
def connected(options: RayOptions, *, wants_gpu: bool = False) -> Iterator[RayCluster]:
    """A cluster, disconnected from at the end; one that was started for this run ends with it.

    Parameters
    ----------
    options : RayOptions
    wants_gpu : bool
        Whether a task takes a GPU where the cluster has any and the options do not say.

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
        yield RayCluster(options, wants_gpu=wants_gpu, is_ours=False)
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
                log_to_driver=False,  # would go to stdout, between what programs read
                logging_level="ERROR",
                **({"include_dashboard": False} if is_ours else {}),
            )
    except Exception as error:  # Ray raises of every kind
        line = next(iter(str(error).splitlines()), type(error).__name__)
        what = "no Ray cluster could be started" if is_ours else f"no Ray cluster at {address!r}"
        raise WorkError(f"{what}: {line}") from None
    try:
        yield RayCluster(options, wants_gpu=wants_gpu, is_ours=is_ours)
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


class RayCluster:
    """Where a run's tasks go. Made by `connected`.

    Attributes
    ----------
    is_ours : bool
        Whether it was started for this run, so that it gets no more machines than it has.
    max_retries : int
    slots : int
        Tasks that it runs at once, as it is now; at least 1.
    """

    def __init__(self, options: RayOptions, *, wants_gpu: bool, is_ours: bool) -> None:
        import ray

        self.is_ours = is_ours
        self.max_retries = options.max_retries
        totals = ray.cluster_resources()
        gpus = options.num_gpus
        if gpus is None:
            gpus = 1.0 if wants_gpu and totals.get("GPU") else 0.0
        self._wanted = {"CPU": options.num_cpus, "GPU": gpus}
        slots = min(
            (int(totals.get(kind, 0) / number) for kind, number in self._wanted.items() if number),
            default=1,
        )
        self.slots = max(1, slots)
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
        if self.is_ours:
            raise InputError(f"{line}: ask for less")
        warnings.warn(f"{line}: the work waits until one joins", PyphyloWarning, stacklevel=4)

    def task(self, function: Any) -> Any:
        """A function as a task. Ray never retries it: what was lost is known to the caller."""
        import ray

        return ray.remote(
            num_cpus=self._wanted["CPU"],
            num_gpus=self._wanted["GPU"],
            max_retries=0,
            scheduling_strategy="SPREAD",
        )(function)

    def stop(self, tasks: Collection[Any]) -> None:
        """End tasks of a cluster that stays: asked first, so nobody is cut off while writing.

        A cluster of this run's own ends with it, workers and all. Ray 2.60 sometimes aborts
        the driver where tasks are cancelled, so that is left to clusters that stay.
        """
        import ray

        if self.is_ours or not tasks:
            return
        for task in tasks:
            ray.cancel(task, force=False)
        _, running = ray.wait(list(tasks), num_returns=len(tasks), timeout=_CANCEL_SECONDS)
        for task in running:
            ray.cancel(task, force=True)


def raise_cause(error: Any) -> NoReturn:
    """Raise what a task raised: as it is where it speaks for itself.

    Parameters
    ----------
    error : ray.exceptions.RayTaskError
    """
    cause = error.cause
    if isinstance(cause, (OSError, MemoryError, PyphyloError)):
        raise cause from None
    raise WorkError(f"a Ray worker failed: {type(cause).__name__}: {cause}") from None
