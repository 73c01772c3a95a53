"""The scheduler: which models still need sampling, one after the other, each kept at once."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pyphylo._names import check_names
from pyphylo._ray_cluster import RayCluster, RayOptions, connected, ray_options
from pyphylo.errors import InputError, PyphyloError, WorkError
from pyphylo.genome import Genome
from pyphylo.sampling._each import is_stored, sample_each
from pyphylo.sampling._hub_cache import HubCacheBound
from pyphylo.sampling._requests import announce_requests, check_requests
from pyphylo.sampling.base import NoSuchModelError, Sampler, SamplingConfig
from pyphylo.sampling.events import Listener, ProgressBar, Reporter
from pyphylo.sampling.plan import in_order, parse_shard, split_models
from pyphylo.sampling.registry import check_mode, create_sampler, takes_names_verbatim
from pyphylo.sampling.specs import NamedModel, expand_models, split_label
from pyphylo.store import SampleStore, check_store_folder

__all__ = ["SamplingError", "name_models", "sample"]


class SamplingError(WorkError):
    """Some models could not be sampled; the others are in the store.

    Attributes
    ----------
    failures : dict of str to str
        Name of each model that failed, and why.
    store : SampleStore
    """

    def __init__(self, failures: Mapping[str, str], total: int, store: SampleStore) -> None:
        listed = "; ".join(f"{name}: {reason}" for name, reason in failures.items())
        super().__init__(f"{len(failures)} of {total} models could not be sampled: {listed}")
        self.failures = dict(failures)
        self.store = store


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
    pairs = []
    for given in specs:
        label, model = split_label(os.fspath(given))
        pairs.append((label or model, model))
    check_names((label for label, _ in pairs), "model")
    return dict(pairs)


def sample(
    models: Iterable[str | NamedModel] | Mapping[str, str],
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
    chat: str = "none",
    device: str = "auto",
    resume: bool = True,
    min_mass: float | None = None,
    max_nodes: int | None = None,
    strict: bool = False,
    shard: str | None = None,
    max_cache_gb: float | None = None,
    read_ahead: bool = True,
    on_event: Listener | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    num_gpus: float | None = None,
    num_cpus: float | None = None,
    max_retries: int | None = None,
    **options: Any,
) -> SampleStore:
    """Sample populations of models into a store.

    Parameters
    ----------
    models : iterable of str, or mapping of name to model
        Hub ids (``org/name@revision``), folders, GGUF files or adapters; in an
        iterable also ``label=MODEL``, ``org/name@PATTERN``, folders of checkpoints and
        ``@FILE``, as `pyphylo.sampling.specs.expand_models` reads them. A replica of a
        stored model needs another seed (and so another store).
    genome : Genome, optional
        The mathematics genome that ships with pyphylo, by default.
    store : path or str
        A folder, or an address that fsspec knows (``s3://…``): absent, empty, or a store
        of this genome and configuration.
    n_probes, mode, temperature, chars, max_new_tokens, seed, chat, min_mass, max_nodes
        See `SamplingConfig`.
    backend : str
        A registered backend.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ``"mps"``; ``"spread"`` lays a model
        too large for one GPU over all of them, then the CPU's memory.
    resume : bool
        Go on with a store that already holds shards; False refuses it.
    strict : bool
        Stop at the first model that cannot be sampled, before any work where that is
        known by then. By default such a model is kept out and the others go on.
    shard : str, optional
        ``"3/16"`` samples the third of sixteen parts of the models. Every part is given
        the same models and may share one store with the others, at the same time.
    max_cache_gb : float, optional
        Between models, remove what this run fetched from the hub, oldest first, until
        the hub's cache holds at most so many gigabytes.
    read_ahead : bool
        Fetch and read the next model's files while one is sampled.
    on_event : callable, optional
        Called with each event (a dict, see `pyphylo.sampling.events`).
    engine : {"local", "ray"}
        ``"local"``: one model after the other, in this process. ``"ray"``: models are spread
        over a Ray cluster whose machines share the store's file system; the store is
        the same, byte for byte. Nothing is read ahead then.
    ray_address, num_gpus, num_cpus, max_retries
        Of the engine ``"ray"``, see `pyphylo._ray_cluster.RayOptions`.
    **options
        Passed to the backend: ``dtype``, ``add_bos``, ``trust_remote_code``,
        ``batch_tokens``; ``base_url``, ``endpoint`` and others of the backend
        ``openai``, see `pyphylo.sampling.openai.OpenAISampler`; ``tensor_parallel`` and
        ``gpu_memory`` of the backend ``vllm``, see `pyphylo.sampling.vllm.VLLMSampler`.

    Returns
    -------
    SampleStore
        Holds every model that could be sampled; finished shards are not
        touched.

    Raises
    ------
    InputError
        Before any work: a model that is not there or named twice, none that can be
        used, a store of something else, a setting out of range.
    SamplingError
        After the other models are done: which failed, and why. A `WorkError`.
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
        n_probes=n_probes,
        temperature=temperature,
        chars=chars,
        max_new_tokens=max_new_tokens,
        seed=seed,
        mode=mode,
        chat=chat,
        min_mass=min_mass,
        max_nodes=max_nodes,
    )
    check_mode(backend, mode)
    part = None if shard is None else parse_shard(shard)
    ray_options = _ray_options(
        engine,
        device,
        max_cache_gb,
        address=ray_address,
        num_gpus=num_gpus,
        num_cpus=num_cpus,
        max_retries=max_retries,
    )
    cache = None if max_cache_gb is None else HubCacheBound(max_cache_gb)
    named = expand_models(models, verbatim=takes_names_verbatim(backend))
    if not named:
        raise InputError("no models were given")
    is_new = not check_store_folder(store)
    if config.chat != "none":
        # Part of a model's identity, for each brings a template of its own.
        options["chat"] = config.chat
    options["device"] = device
    ours = list(named) if part is None else split_models(named, part)
    samplers, failures = _find(ours, backend, options, strict=strict)
    if ray_options is not None:
        from pyphylo.sampling.ray_engine import check_samplers

        check_samplers(samplers)
    if is_new:
        # Where no more is wanted than the estimate, or less is allowed, none is made.
        check_requests(samplers, genome, config)
    opened = SampleStore.open_or_create(store, genome, config.to_dict())
    with opened.looked_through():
        missing = in_order([each for each in samplers if not is_stored(opened, each)])
    if not resume and len(missing) < len(samplers):
        raise InputError(
            f"store {str(store)!r} holds some of these models already, and resume=False"
        )
    estimate = announce_requests(missing, opened.genome, config, opened.beside(".unfinished"))
    with _cluster(missing, ray_options, device) as cluster, closing(ProgressBar()) as bar:
        reporter = Reporter([bar] if on_event is None else [bar, on_event], len(genome))
        reporter.plan(
            [sampler.identity.name for sampler in missing],
            stored=len(samplers) - len(missing),
            shard=None if part is None else str(part),
            estimate=estimate,
            store=str(opened.path),
            sampling=opened.config,
        )
        for name, reason in failures.items():
            reporter.failed(name, reason)
        if cluster is None:
            failures |= sample_each(
                missing, opened, config, reporter, cache, strict=strict, read_ahead=read_ahead
            )
        else:
            from pyphylo.sampling.ray_engine import sample_on_cluster

            failures |= sample_on_cluster(
                cluster,
                missing,
                {model.name: model.spec for model in ours},
                opened,
                config,
                reporter,
                backend=backend,
                options=options,
                strict=strict,
            )
        reporter.summary(
            failures,
            store=str(opened.path),
            models=list(opened.models),
            sampling=opened.config,
        )
    if failures:
        raise SamplingError(failures, len(ours), opened)
    return opened


def _ray_options(
    engine: str, device: str, max_cache_gb: float | None, **given: Any
) -> RayOptions | None:
    """The options of the engine "ray"; None for the engine "local"."""
    if engine == "ray" and max_cache_gb is not None:
        raise InputError(
            "max_cache_gb bounds the cache of one process; with engine 'ray' each machine has its "
            "own: leave it out"
        )
    if engine == "ray" and ":" in device:
        raise InputError(f"device {device!r}: Ray says which GPU a worker gets; pass device='cuda'")
    return ray_options(engine, **given)


def _cluster(
    samplers: Sequence[Sampler], options: RayOptions | None, device: str
) -> AbstractContextManager[RayCluster | None]:
    """Where to sample; None for this process, and where there is nothing to do."""
    if options is None or not samplers:
        return nullcontext()
    return connected(options, wants_gpu=device in ("auto", "cuda", "spread"))


def _find(
    models: Sequence[NamedModel], backend: str, options: Mapping[str, Any], *, strict: bool
) -> tuple[list[Sampler], dict[str, str]]:
    """A sampler of each model that can be used, and why the others cannot."""
    found: list[Sampler] = []
    errors: dict[str, PyphyloError] = {}
    for model in tqdm(models, "finding models", disable=_quiet(len(models))):
        try:
            found.append(create_sampler(backend, model.name, model.spec, **options))
        except PyphyloError as error:
            errors[model.name] = _placed(model, error)
            if strict:
                raise errors[model.name] from None
    slips = [error for error in errors.values() if isinstance(error, NoSuchModelError)]
    if slips or (errors and not found):
        # Nothing was done yet and nothing will be: the call is to blame, or all it needs.
        raise _joined(slips or list(errors.values()))
    return found, {name: str(error) for name, error in errors.items()}


def _placed(model: NamedModel, error: PyphyloError) -> PyphyloError:
    """The error with the line that named the model, where a file did."""
    return type(error)(f"{model.origin}: {error}") if model.origin else error


def _joined(errors: Sequence[PyphyloError]) -> PyphyloError:
    """Several errors as one, each reason once, behind all models that it holds for."""
    models: dict[str, dict[str, None]] = {}
    for error in errors:
        model, colon, reason = str(error).partition(": ")
        if not colon:
            model, reason = "", model
        models.setdefault(reason, {})[model] = None
    texts = [
        f"{_and(list(named))}: {reason}" if any(named) else reason
        for reason, named in models.items()
    ]
    usage = all(isinstance(error, InputError) for error in errors)
    return (InputError if usage else WorkError)("; ".join(texts))


def _and(models: Sequence[str]) -> str:
    """``model 'a'``, ``model 'b'`` as ``models 'a', 'b'``, the first eight of them."""
    if len(models) == 1 or not all(model.startswith("model ") for model in models):
        return ", ".join(models)
    more = f" and {len(models) - 8} more" if len(models) > 8 else ""
    return f"models {', '.join(model.removeprefix('model ') for model in models[:8])}{more}"


def _quiet(count: int) -> bool | None:
    """No bar for a few models; otherwise a bar on a terminal only."""
    return True if count < 20 else None
