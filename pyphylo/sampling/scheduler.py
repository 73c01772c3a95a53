"""The scheduler: which models still need sampling, one after the other, each kept at once."""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pyphylo._names import check_names
from pyphylo._version import __version__
from pyphylo.errors import InputError, PyphyloError, WorkError
from pyphylo.genome import Genome
from pyphylo.sampling.base import Sampler, SamplingConfig
from pyphylo.sampling.registry import create_sampler
from pyphylo.store import SampleStore, check_store_folder

__all__ = ["name_models", "sample"]


def name_models(specs: Iterable[str | os.PathLike[str]]) -> dict[str, str]:
    """Tip names of models as typed on a command line.

    Parameters
    ----------
    specs : iterable of str
        ``MODEL`` (named as typed) or ``label=MODEL``. A text that is the path
        of an existing file or folder is never split.

    Returns
    -------
    dict of str to str
        Name to model, in order.
    """
    pairs: list[tuple[str, str]] = []
    for given in specs:
        spec = os.fspath(given)
        label, equals, model = spec.partition("=")
        if not equals or Path(spec).exists():
            label, model = spec, spec
        if not label or not model:
            raise InputError(f"{spec!r}: expected MODEL or label=MODEL")
        pairs.append((label, model))
    check_names((label for label, _ in pairs), "model")
    return dict(pairs)


def sample(
    models: Iterable[str] | Mapping[str, str],
    genome: Genome | None = None,
    *,
    store: str | Path,
    n_probes: int = 32,
    mode: str = "sample",
    backend: str = "hf",
    temperature: float = 1.0,
    chars: int = 4,
    max_new_tokens: int = 5,
    seed: int = 0,
    device: str = "auto",
    resume: bool = True,
    min_mass: float | None = None,
    max_nodes: int | None = None,
    **options: Any,
) -> SampleStore:
    """Sample populations of models into a store.

    Parameters
    ----------
    models : iterable of str, or mapping of name to model
        Hub ids (``org/name@revision``), folders or GGUF files; in an iterable
        also ``label=MODEL``. A replica of a stored model needs another seed
        (and so another store).
    genome : Genome, optional
        The mathematics genome that ships with pyphylo, by default.
    store : path
        A folder: absent, empty, or a store of this genome and configuration.
    n_probes, mode, temperature, chars, max_new_tokens, seed, min_mass, max_nodes
        See `SamplingConfig`.
    backend : str
        A registered backend.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``.
    resume : bool
        Go on with a store that already holds shards; False refuses it.
    **options
        Passed to the backend: ``dtype``, ``add_bos``, ``trust_remote_code``,
        ``batch_tokens``.

    Returns
    -------
    SampleStore
        Holds every model that could be sampled; finished shards are not
        touched.

    Raises
    ------
    InputError
        Before any work: an unknown or duplicate model, a store of something
        else, a setting out of range.
    WorkError
        After the other models are done: which failed, and why.
    """
    genome = Genome.default() if genome is None else genome
    if not isinstance(genome, Genome):
        raise InputError(f"genome must be a Genome, not {genome!r}; read one with Genome.load")
    if isinstance(models, str):
        models = [models]
    if not genome.is_sampleable:
        raise InputError(
            "the genome has genes without a prompt (it was imported): give one with prompts"
        )
    config = SamplingConfig(
        n_probes, temperature, chars, max_new_tokens, seed, mode, min_mass, max_nodes
    )
    named = dict(models) if isinstance(models, Mapping) else name_models(models)
    check_names(named, "model")
    if not named:
        raise InputError("no models were given")
    check_store_folder(store)
    samplers = [
        create_sampler(backend, name, spec, device=device, **options)
        for name, spec in tqdm(named.items(), "finding models", disable=_quiet(len(named)))
    ]
    opened = SampleStore.open_or_create(store, genome, config.to_dict())
    missing = [sampler for sampler in samplers if not opened.has(sampler.identity)]
    if not resume and len(missing) < len(samplers):
        raise InputError(
            f"store {str(store)!r} holds some of these models already, and resume=False"
        )
    failures = _sample_each(missing, opened, config)
    if failures:
        listed = "; ".join(f"{name}: {error}" for name, error in failures)
        raise WorkError(f"{len(failures)} of {len(named)} models could not be sampled: {listed}")
    return opened


def _sample_each(
    samplers: list[Sampler], store: SampleStore, config: SamplingConfig
) -> list[tuple[str, Exception]]:
    """Sample and store one model after the other; returns those that failed."""
    failures: list[tuple[str, Exception]] = []
    genes = len(store.genome)
    with tqdm(total=len(samplers) * genes, unit="gene", disable=None) as bar:
        for done, sampler in enumerate(samplers):
            bar.set_description(sampler.identity.name[-40:])
            started = time.time()
            try:
                population = sampler.sample(store.genome, config, _advance(bar))
                path = store.write(sampler.identity, population)
            except PyphyloError as error:
                failures.append((sampler.identity.name, error))
            else:
                _log(store.path, path.name, started)
            finally:
                sampler.close()
            bar.update((done + 1) * genes - bar.n)
    return failures


def _advance(bar: Any) -> Callable[[int], None]:
    def advance(genes: int) -> None:
        bar.update(genes)

    return advance


def _quiet(count: int) -> bool | None:
    """No bar for a few models; otherwise a bar on a terminal only."""
    return True if count < 20 else None


def _log(store: Path, shard: str, started: float) -> None:
    """What a store must not hold: when, where and how fast. Beside it, in ``STORE.log``."""
    row = {
        "shard": shard,
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.time() - started, 3),
        "host": platform.node(),
        "pid": os.getpid(),
        "pyphylo": __version__,
    }
    folder = store.resolve()
    try:
        with folder.with_name(folder.name + ".log").open("a", encoding="utf-8") as handle:
            handle.write(json.dumps(row) + "\n")
    except OSError:
        pass  # a log that cannot be written stops no work
