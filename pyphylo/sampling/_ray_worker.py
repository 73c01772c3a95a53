"""What runs inside a Ray worker: one group of models of the same weights, told of as it goes on.

A worker gets names, not samplers: it finds each model itself, in the driver's working folder,
and must find the very model that the driver found.
"""

from __future__ import annotations

import contextlib
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from pyphylo._version import __version__
from pyphylo.errors import InputError, PyphyloError, WorkError
from pyphylo.sampling._each import sample_each
from pyphylo.sampling.base import ModelIdentity, Sampler, SamplingConfig
from pyphylo.sampling.events import Spent, nothing_spent
from pyphylo.sampling.registry import create_sampler, register_backend
from pyphylo.store import SampleStore

__all__ = ["Errand", "Message", "Wanted", "run_errand"]

Message: TypeAlias = tuple[int, str, str, tuple[Any, ...]]
"""Number of the attempt, what happened ("started", "genes", "done", "failed"), model, details."""

_INTERVAL = 0.5
"""Seconds between two messages of a model's progress at least."""


@dataclass(frozen=True)
class Wanted:
    """A model, and what the driver found it to be."""

    name: str
    spec: str
    identity: ModelIdentity


@dataclass(frozen=True)
class Errand:
    """All that a worker must know.

    Attributes
    ----------
    store, folder : str
        The store and the working folder, absolute paths on the shared file system; the
        store may be an address.
    genome : str
        Digest of the store's genome.
    backend, target : str
        A backend's name and where it is, as `register_backend` takes them.
    """

    store: str
    folder: str
    genome: str
    config: SamplingConfig
    backend: str
    target: str
    options: Mapping[str, Any]
    strict: bool
    version: str = __version__


def run_errand(errand: Errand, attempt: int, models: list[Wanted], tell: Any) -> list[Message]:
    """Sample models one after the other.

    Parameters
    ----------
    errand : Errand
    attempt : int
        Goes into every message.
    models : list of Wanted
    tell : object with a method ``put_nowait``
        Takes messages while the work goes on. It may be gone: nothing depends on it.

    Returns
    -------
    list of Message
        What became of each model, again.

    Raises
    ------
    WorkError
        When this machine sees another store, or has another version of pyphylo.
    OSError
        When the store cannot be written.
    """
    if errand.version != __version__:
        raise WorkError(
            f"worker {platform.node()!r} has pyphylo {__version__}, the driver {errand.version}: "
            "install one version everywhere"
        )
    with contextlib.suppress(OSError):  # relative paths are then told to lead nowhere
        os.chdir(errand.folder)
    register_backend(errand.backend, errand.target)
    store = _opened(errand)
    line = _Line(attempt, tell)
    samplers = []
    for model in models:
        try:
            samplers.append(_found(errand, model))
        except PyphyloError as error:
            line.failed(model.name, str(error))
            if errand.strict:
                return line.outcomes
    sample_each(samplers, store, errand.config, line, None, strict=errand.strict, read_ahead=False)
    return line.outcomes


def _opened(errand: Errand) -> SampleStore:
    try:
        store = SampleStore.open(errand.store)
    except InputError as error:
        raise _not_shared(errand, str(error)) from None
    if store.genome.digest != errand.genome or store.config != errand.config.to_dict():
        raise _not_shared(errand, "it holds another genome or configuration there")
    return store


def _not_shared(errand: Errand, why: str) -> WorkError:
    return WorkError(
        f"worker {platform.node()!r} does not see the store at {errand.store!r} ({why}): put it on "
        "a file system that all machines of the cluster share, or at an address"
    )


def _found(errand: Errand, model: Wanted) -> Sampler:
    sampler = create_sampler(errand.backend, model.name, model.spec, **errand.options)
    here, there = sampler.identity.to_dict(), model.identity.to_dict()
    different = next((key for key in there if here[key] != there[key]), None)
    if different is not None:
        raise WorkError(
            f"model {model.spec!r} has {different} {here[different]!r} on worker "
            f"{platform.node()!r}, not {there[different]!r}: let all machines see the same files"
        )
    return sampler


class _Line:
    """A `ModelReporter` that puts what it is told on the line to the driver."""

    def __init__(self, attempt: int, tell: Any) -> None:
        self.outcomes: list[Message] = []
        self._attempt = attempt
        self._tell = tell
        self._tokens: Callable[[], int | None] = _unknown
        self._genes = 0
        self._told = 0.0

    def started(
        self,
        name: str,
        tokens: Callable[[], int | None],
        spent: Callable[[], Spent | None] = nothing_spent,
    ) -> None:
        self._tokens, self._genes, self._told = tokens, 0, time.monotonic()
        self._send("started", name)

    def advance(self, name: str, genes: int) -> None:
        self._genes += genes
        if time.monotonic() - self._told >= _INTERVAL:
            self._send_genes(name)

    def done(self, name: str, shard: str, *, here: bool = True) -> None:
        self._send_genes(name)
        self._settle("done", name, shard, here, platform.node())

    def failed(self, name: str, reason: str) -> None:
        self._settle("failed", name, reason)

    def _send_genes(self, name: str) -> None:
        genes, self._genes = self._genes, 0
        self._told = time.monotonic()
        if genes:
            self._send("genes", name, genes, self._tokens())

    def _settle(self, kind: str, name: str, *details: Any) -> None:
        self.outcomes.append((self._attempt, kind, name, details))
        self._send(kind, name, *details)

    def _send(self, kind: str, name: str, *details: Any) -> None:
        from ray.exceptions import RayError

        # Whoever keeps the messages may be lost like any worker: the driver then hears of the
        # outcomes when the errand is done.
        with contextlib.suppress(RayError):
            self._tell.put_nowait((self._attempt, kind, name, details))


def _unknown() -> int | None:
    return None
