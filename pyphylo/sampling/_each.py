"""One model after the other, each kept at once: what the scheduler does, and every worker."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pyphylo._files import append_bytes
from pyphylo._secrets import hide
from pyphylo._version import __version__
from pyphylo.errors import PyphyloError
from pyphylo.sampling._hub_cache import HubCacheBound
from pyphylo.sampling._read_ahead import reading_ahead
from pyphylo.sampling._requests import RequestSampler
from pyphylo.sampling.base import Sampler, SamplingConfig
from pyphylo.sampling.events import ModelReporter
from pyphylo.store import SampleStore

__all__ = ["is_stored", "sample_each"]


def sample_each(
    samplers: Sequence[Sampler],
    store: SampleStore,
    config: SamplingConfig,
    reporter: ModelReporter,
    cache: HubCacheBound | None,
    *,
    strict: bool,
    read_ahead: bool,
) -> dict[str, str]:
    """Sample and store one model after the other.

    Returns
    -------
    dict of str to str
        Which failed, and why; with `strict` at most one.

    Raises
    ------
    OSError
        When the store cannot be written.
    """
    failures: dict[str, str] = {}
    try:
        for place, sampler in enumerate(samplers):
            name, left = sampler.identity.name, samplers[place + 1 :]
            reporter.started(
                name,
                partial(getattr, sampler, "tokens", None),
                partial(getattr, sampler, "spent", None),
            )
            try:
                with reading_ahead(_unlike(sampler, left) if read_ahead else None):
                    _sample_one(sampler, store, config, reporter)
            except OSError:
                raise  # the store cannot be written, or nobody listens: no model's fault
            except Exception as error:
                # Code of any model may fail in any way; that is this model's end, not the run's.
                failures[name] = _reason(error)
                reporter.failed(name, failures[name])
                if strict:
                    break
            finally:
                _pass_weights(sampler, left[:1])
                sampler.close()
            if cache is not None:
                needed = {each for later in left for each in _snapshots(later)}
                cache.trim(_snapshots(sampler), needed)
    finally:
        for sampler in samplers:
            sampler.close()
    return failures


def _sample_one(
    sampler: Sampler, store: SampleStore, config: SamplingConfig, reporter: ModelReporter
) -> None:
    name = sampler.identity.name
    if is_stored(store, sampler):  # another process of the same store was quicker
        reporter.done(name, store.shard_name(sampler.identity), here=False)
        return
    started = time.time()
    population = sampler.sample(store.genome, config, partial(reporter.advance, name))
    # Two may be at one model where a cluster took a worker for lost that was not.
    with store.locked(name):
        here = not is_stored(store, sampler) and store.keep(sampler.identity, population)
    shard = store.shard_name(sampler.identity)
    if here:
        _log(store.beside(".log"), shard, started)
    reporter.done(name, shard, here=here)


def _unlike(sampler: Sampler, following: Sequence[Sampler]) -> Sampler | None:
    """The next sampler, unless it will be given this one's weights."""
    if not following:
        return None
    ours, theirs = (getattr(each, "weights_key", None) for each in (sampler, following[0]))
    return None if ours is not None and ours == theirs else following[0]


def _pass_weights(sampler: Sampler, following: Sequence[Sampler]) -> None:
    """Leave weights in memory to the next model where it needs the same."""
    hand_over = getattr(sampler, "hand_over", None)
    if hand_over is not None and following:
        hand_over(following[0])


def _snapshots(sampler: Sampler) -> tuple[tuple[str, str], ...]:
    return tuple(getattr(sampler, "hub_snapshots", ()))


def _reason(error: Exception) -> str:
    if isinstance(error, PyphyloError):
        return hide(str(error))
    line = hide(next((line for line in str(error).splitlines() if line.strip()), ""))
    return f"{type(error).__name__}: {line.strip()[:300]}" if line else type(error).__name__


def is_stored(store: SampleStore, sampler: Sampler) -> bool:
    """Whether this model's shard is there; of a server's model, by whatever it turned out to be."""
    if isinstance(sampler, RequestSampler):
        stored = store.identity(sampler.identity.name)
        if stored is not None:
            sampler.recognise(stored)
    return store.has(sampler.identity)


def _log(path: Path, shard: str, started: float) -> None:
    """What a store must not hold: when, where and how fast. Beside it, in ``STORE.log``."""
    row = {
        "shard": shard,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.time() - started, 3),
        "host": platform.node(),
        "pid": os.getpid(),
        "pyphylo": __version__,
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        append_bytes(path, f"{json.dumps(row)}\n".encode())
    except OSError:
        pass  # a log that cannot be written stops no work
