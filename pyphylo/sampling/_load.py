"""Loading tokenizer and weights, quietly, with errors that name the model."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import transformers

from pyphylo.errors import InputError, PyphyloError, WorkError
from pyphylo.sampling._adapter import adapter_folder, has_tokenizer
from pyphylo.sampling._locate import ModelLocation

__all__ = [
    "context_length",
    "end_token_ids",
    "is_out_of_memory",
    "load_configs",
    "load_model",
    "load_tokenizer",
    "one_thread_each",
    "quiet",
    "resolve_device",
]


@contextlib.contextmanager
def quiet(*, stderr: bool = False) -> Iterator[None]:
    """Silence transformers for a while: log lines, progress bars, Python warnings.

    Parameters
    ----------
    stderr : bool
        Also swallow what is written to `sys.stderr` (readers of GGUF draw a bar
        there that no setting turns off).

    Notes
    -----
    The settings are process-wide, so they are put back as they were on the way out.
    """
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    hub_bars = not are_progress_bars_disabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings(), contextlib.ExitStack() as stack:
            warnings.simplefilter("ignore")
            disable_progress_bars()
            if stderr:
                stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
            yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an environment variable may have fixed the bars
            if hub_bars:
                enable_progress_bars()


def resolve_device(device: str) -> torch.device | None:
    """``"auto"`` is the first of cuda, mps, cpu that is there; ``"spread"`` is None."""
    if device == "spread":
        return None
    if device == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        found = torch.device(device)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError, ValueError) as error:
        raise InputError(f"device {device!r} cannot be used: {_in_one_line(error)}") from None
    return found


def load_tokenizer(spec: str, location: ModelLocation, *, trust_remote_code: bool) -> Any:
    """The model's tokenizer; an adapter's own goes before its base's.

    Raises
    ------
    InputError
        When the model has none, or needs code of its own.
    """
    source, options = location.source, location.load_options()
    if location.adapter is not None and has_tokenizer(location.adapter):
        source, options = str(adapter_folder(spec, location.adapter)), {"local_files_only": True}
    with _errors_named(spec, "tokenizer"), quiet(stderr=True):
        return transformers.AutoTokenizer.from_pretrained(
            source, trust_remote_code=trust_remote_code, **options
        )


def load_configs(
    spec: str, location: ModelLocation, *, trust_remote_code: bool
) -> tuple[Any, Any | None]:
    """The model's config and, where it has one, its generation config; reads no weights.

    Raises
    ------
    InputError
        When transformers does not know the architecture, or it needs code of its own.
    WorkError
        When the config cannot be read.
    """
    options = location.load_options()
    with _errors_named(spec, "config"), quiet(stderr=True):
        config = transformers.AutoConfig.from_pretrained(
            location.source, trust_remote_code=trust_remote_code, **options
        )
        try:
            generation = transformers.GenerationConfig.from_pretrained(location.source, **options)
        except OSError:
            generation = None
    return config, generation


def load_model(
    spec: str,
    location: ModelLocation,
    dtype: str,
    device: torch.device | None,
    *,
    trust_remote_code: bool,
) -> Any:
    """The model in evaluation mode on `device`, or spread over all there are.

    Raises
    ------
    InputError
        When transformers has no causal language model of this architecture,
        or it needs code of its own.
    WorkError
        When weights are absent or damaged, or do not fit on the device.
    """
    device_map = _device_map(location, device)
    with _errors_named(spec, "weights"), quiet(stderr=True):
        model, info = transformers.AutoModelForCausalLM.from_pretrained(
            location.source,
            dtype=getattr(torch, dtype),
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are refused below, by name
            weights_only=True,
            **({} if device_map is None else {"device_map": device_map}),
            **location.load_options(),
        )
        _check_complete(spec, info)
        return (model.to(device) if device_map is None else model).eval()


def _device_map(location: ModelLocation, device: torch.device | None) -> Any:
    """Where weights go while they are read; None: to the CPU's memory, and on from there.

    Quantised weights cannot be moved later; others need not pass through that memory.
    """
    if device is None:
        return "auto"
    is_quantised = "quantization_config" in location.config
    if is_quantised or (device.type == "cuda" and location.gguf_file is None):
        return {"": device}
    return None


def end_token_ids(config: Any, generation_config: Any | None, tokenizer: Any) -> frozenset[int]:
    """Every token that ends a completion, as generation config, config and tokenizer say."""
    found: set[int] = set()
    for each in (generation_config, config, config.get_text_config()):
        ids = getattr(each, "eos_token_id", None)
        found.update(ids if isinstance(ids, list | tuple) else [] if ids is None else [ids])
    if tokenizer.eos_token_id is not None:
        found.add(tokenizer.eos_token_id)
    return frozenset(int(i) for i in found)


def context_length(config: Any) -> int | None:
    """Positions that a model was made for, where its config (or its language part's) says."""
    for each in (config, config.get_text_config()):
        for name in ("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx"):
            length = getattr(each, name, None)
            if isinstance(length, int) and length > 0:
                return length
    return None


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an accelerator ran out of memory (MPS says so with a plain RuntimeError)."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or (
        isinstance(error, RuntimeError) and "out of memory" in str(error).lower()
    )


def _check_complete(spec: str, info: dict[str, Any]) -> None:
    """Refuse weights that were made up: transformers fills absent ones with random numbers."""
    misfits = sorted(name for name, *_ in info.get("mismatched_keys") or ())
    if misfits:
        raise WorkError(
            f"model {spec!r}: weights have other shapes than its config says: {_some(misfits)}"
        )
    absent = sorted(info.get("missing_keys") or ())
    if absent:
        raise WorkError(
            f"model {spec!r}: the checkpoint lacks weights that a causal language model needs: "
            f"{_some(absent)}"
        )


def _some(names: Sequence[str]) -> str:
    """The first three, and how many there are."""
    return f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''} ({len(names)} in all)"


@contextlib.contextmanager
def _errors_named(spec: str, what: str) -> Iterator[None]:
    """Turn whatever loading raises into one line that names the model and the remedy."""
    try:
        yield
    except PyphyloError:
        raise
    except Exception as error:
        raise _named(spec, what, error) from error


def _named(spec: str, what: str, error: Exception) -> PyphyloError:
    text = str(error)
    if "trust_remote_code" in text:
        return InputError(
            f"model {spec!r} needs Python code of its own; if you trust its authors, "
            f"pass trust_remote_code"
        )
    if "Unrecognized configuration class" in text:
        return InputError(
            f"model {spec!r} cannot be sampled: transformers has no causal language model "
            f"of its architecture"
        )
    if "does not recognize this architecture" in text or "Unrecognized model in" in text:
        return InputError(
            f"model {spec!r} cannot be sampled: transformers {transformers.__version__} does not "
            f"know its architecture; a newer one may"
        )
    if is_out_of_memory(error):
        return WorkError(
            f"model {spec!r} does not fit in the device's memory: pass device='spread' or "
            f"device='cpu'"
        )
    if what == "tokenizer":
        return InputError(f"model {spec!r} has no usable tokenizer: {_in_one_line(error)}")
    return WorkError(f"model {spec!r}: its {what} cannot be loaded: {_in_one_line(error)}")


def _in_one_line(error: BaseException) -> str:
    """Of several lines the first may only say that the others tell why."""
    words = " ".join(str(error).split())
    return f"{type(error).__name__}: {words[:300]}" if words else type(error).__name__


@contextlib.contextmanager
def one_thread_each(device: str) -> Iterator[int]:
    """On a CPU, make torch compute each operation in one thread; yields how many it had.

    Many threads inside one small operation wait for each other at its end, and on a
    machine that does something else besides they wait by spinning: ten times slower was
    seen. Whole batches side by side need no waiting, and give the same bits for any
    number of threads.
    """
    threads = torch.get_num_threads()
    if device != "cpu":
        yield 1
        return
    torch.set_num_threads(1)
    try:
        yield threads
    finally:
        torch.set_num_threads(threads)
