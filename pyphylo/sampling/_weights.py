"""A model's weights in memory: loaded, lent to the next model that needs the same, freed.

Invariant: between two models a base holds the very tensors that were read from disk. An
adapter is put on beside them and taken off; whether that left every tensor, module and
setting of the base as it was is checked, not assumed, and a base that did change (some
adapters replace biases, embeddings or the head) is dropped and read again.
"""

from __future__ import annotations

import gc
import threading
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from pyphylo.errors import InputError, PyphyloError, WorkError
from pyphylo.sampling._adapter import adapter_folder
from pyphylo.sampling._load import load_model, quiet
from pyphylo.sampling._locate import AdapterLocation, ModelLocation
from pyphylo.sampling._packing import PackedLinears

__all__ = ["Weights"]

_CHECKSUM_WORDS = 1 << 24


class Weights:
    """The weights of one location, on one device or spread over all.

    Parameters
    ----------
    spec : str
        What the caller typed, for errors.
    location : ModelLocation
    dtype : str
    device : torch.device, or None to spread them over all there are
    trust_remote_code : bool
    """

    def __init__(
        self,
        spec: str,
        location: ModelLocation,
        dtype: str,
        device: torch.device | None,
        *,
        trust_remote_code: bool,
    ) -> None:
        self._spec = spec
        self._location = location
        self._dtype = dtype
        self._device = device
        self._trust_remote_code = trust_remote_code
        self._base: Any = None
        self._adapted: _Adapted | None = None
        self._known: _State | None = None  # of the base, where it was just seen to be so
        self._buffers: dict[str, tuple[int, int]] = {}
        self._counter = _TokenCounter()
        self._linears = PackedLinears()

    @property
    def tokens(self) -> int:
        """Tokens that went through the model so far, padding included."""
        return self._counter.tokens

    def model(self) -> Any:
        """The model, ready to run; loaded when first asked for.

        Raises
        ------
        InputError, WorkError
            As `load_model`; and when an adapter does not fit its base.
        """
        if self._base is None:
            self._base = load_model(
                self._spec,
                self._location,
                self._dtype,
                self._device,
                trust_remote_code=self._trust_remote_code,
            )
            self._buffers = _checksums(self._base.named_buffers())
        if self._location.adapter is not None and self._adapted is None:
            base, self._base = self._base, None  # half an adapter on it, it is of no use
            self._adapted = _Adapted(self._spec, base, self._location.adapter, self._known)
            self._base = base
        self._linears.pack(self._base)
        self._counter.watch(self._base)
        return self._base

    def hand_over(self, other: Weights) -> bool:
        """Give the base to another that needs the same; False where it would not be the same.

        The caller answers for the two being of the same weights, dtype and device.
        """
        known = None if self._adapted is None else self._adapted.before
        base = self._take_off()
        if base is None or other._base is not None:
            return False
        other._base, other._known, other._buffers = base, known, self._buffers
        return True

    def free(self) -> None:
        """Forget the weights; the next `model` loads them again."""
        self._counter.forget()
        self._linears.unpack()
        self._base = self._adapted = self._known = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _take_off(self) -> Any:
        """The base as it was read, no longer ours; None where it changed."""
        self._counter.forget()
        self._linears.unpack()
        base, adapted = self._base, self._adapted
        self._base = self._adapted = self._known = None
        if base is None or (adapted is not None and not adapted.take_off()):
            return None
        # Running a model writes to no parameter; some kinds keep what they computed in buffers.
        return base if _checksums(base.named_buffers()) == self._buffers else None


class _Adapted:
    """A base with an adapter on it."""

    def __init__(
        self, spec: str, base: Any, adapter: AdapterLocation, before: _State | None
    ) -> None:
        self._base = base
        self.before = before or _state(base)
        try:
            folder = adapter_folder(spec, adapter)
            with warnings.catch_warnings(), quiet(stderr=True):
                warnings.simplefilter("ignore")
                import peft

                self._wrapped = peft.PeftModel.from_pretrained(
                    base, str(folder), torch_device=str(base.device)
                )
                _check_applied(spec, self._wrapped, folder)
            base.eval()
        except PyphyloError:
            raise
        except Exception as error:
            line = next(iter(str(error).splitlines()), "")[:300]
            raise WorkError(
                f"adapter {spec!r} cannot be put on its base: {type(error).__name__}: {line}"
            ) from error

    def take_off(self) -> bool:
        """Remove the adapter; whether the base is what it was."""
        try:
            with quiet(stderr=True):
                self._wrapped.unload()
            return self.before.is_still(_state(self._base))
        except Exception:
            return False  # not every kind can be taken off: the base is read again


@dataclass(frozen=True)
class _State:
    """What a model is made of: the objects, the content of its tensors, its settings.

    Objects alone would not do: a tensor's data can be exchanged or written to past
    torch's count of writes.
    """

    modules: Mapping[str, Any]
    tensors: Mapping[str, Any]
    checksums: Mapping[str, tuple[int, int]]
    config: Mapping[str, Any]

    def is_still(self, other: _State) -> bool:
        """Whether nothing was replaced, added, removed or written to."""
        return (
            self.config == other.config
            and _same(self.modules, other.modules)
            and _same(self.tensors, other.tensors)
            and self.checksums == other.checksums
        )


def _state(model: Any) -> _State:
    tensors = dict(model.named_parameters(remove_duplicate=False))
    tensors |= dict(model.named_buffers(remove_duplicate=False))
    return _State(
        dict(model.named_modules(remove_duplicate=False)),
        tensors,
        _checksums(tensors.items()),
        model.config.to_dict(),
    )


def _checksums(tensors: Iterable[tuple[str, torch.Tensor]]) -> dict[str, tuple[int, int]]:
    return {name: _checksum(tensor) for name, tensor in tensors}


def _checksum(tensor: torch.Tensor) -> tuple[int, int]:
    """Two sums over a tensor's bits, of words and of neighbours; one pass where it lies."""
    raw = tensor.detach().reshape(-1).view(torch.uint8)
    words = raw.view(torch.int32) if raw.numel() % 4 == 0 else raw
    total = neighbours = 0
    for start in range(0, words.numel(), _CHECKSUM_WORDS):
        part = words[start : start + _CHECKSUM_WORDS]
        total += int(part.sum(dtype=torch.int64))
        neighbours += int((part[1:] ^ part[:-1]).sum(dtype=torch.int64)) * (start + 1)
    return total, neighbours


def _same(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return ours.keys() == theirs.keys() and all(ours[name] is theirs[name] for name in ours)


def _check_applied(spec: str, wrapped: Any, folder: Path) -> None:
    """Refuse an adapter of which a part found no place, or that lacks a part.

    peft starts what a file lacks from zeros and passes over what fits nowhere: the base
    would speak under the adapter's name.
    """
    import peft

    there = peft.load_peft_weights(str(folder), device="cpu").keys()
    wanted = peft.get_peft_model_state_dict(wrapped, save_embedding_layers=False).keys()
    prefix = "base_model.model."
    base = {name.replace(".base_layer.", ".") for name, _ in wrapped.named_parameters()}
    # Whole layers that were saved beside the adapter go into the base itself.
    extra = sorted(there - wanted - base - {prefix + "lm_head.weight"})
    absent = sorted(wanted - there)
    for names, what in ((absent, "lacks"), (extra, "has no place in its base for")):
        if names:
            raise InputError(
                f"adapter {spec!r} {what} {', '.join(names[:3])}"
                f"{' ...' if len(names) > 3 else ''} ({len(names)} in all): is it of another base?"
            )


class _TokenCounter:
    """Counts the tokens of every call of a model; calls may come from several threads."""

    def __init__(self) -> None:
        self.tokens = 0
        self._lock = threading.Lock()
        self._handle: Any = None

    def watch(self, model: Any) -> None:
        if self._handle is None:
            self._handle = model.register_forward_pre_hook(self._count, with_kwargs=True)

    def forget(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _count(self, module: Any, args: Any, kwargs: Mapping[str, Any]) -> None:
        ids = kwargs.get("input_ids", args[0] if args else None)
        if ids is not None:
            with self._lock:
                self.tokens += ids.numel()
