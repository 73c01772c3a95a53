"""The backends by name, imported when first used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from pyphylo._names import did_you_mean
from pyphylo.errors import InputError
from pyphylo.sampling.base import Sampler

__all__ = [
    "available_backends",
    "backend_target",
    "check_mode",
    "create_sampler",
    "register_backend",
    "takes_names_verbatim",
]

_BACKENDS: dict[str, str] = {
    "hf": "pyphylo.sampling.hf:HuggingFaceSampler",
    "openai": "pyphylo.sampling.openai:OpenAISampler",
    "vllm": "pyphylo.sampling.vllm:VLLMSampler",
}


def register_backend(name: str, target: str) -> None:
    """Make a backend known.

    Parameters
    ----------
    name : str
        What callers pass as ``backend=``.
    target : str
        ``"module:attribute"`` of a callable ``(name, spec, **options) -> Sampler``,
        imported on first use.
    """
    module, _, attribute = target.partition(":")
    if not name or not module or not attribute:
        raise InputError(f'a backend is registered as name, "module:attribute", not {target!r}')
    if _BACKENDS.get(name, target) != target:
        raise InputError(f"backend {name!r} is registered already, as {_BACKENDS[name]}")
    _BACKENDS[name] = target


def available_backends() -> tuple[str, ...]:
    """The names of all registered backends."""
    return tuple(sorted(_BACKENDS))


def backend_target(name: str) -> str:
    """Where a known backend is, as `register_backend` was told."""
    return _BACKENDS[name]


def create_sampler(backend: str, name: str, spec: str, **options: Any) -> Sampler:
    """A sampler of the model `spec`, whose tip is called `name`.

    Raises
    ------
    InputError
        When the backend is unknown (a close name is suggested) or the model is.
    """
    return _factory(backend)(name, spec, **options)


def takes_names_verbatim(backend: str) -> bool:
    """Whether a model's name means nothing here, neither path nor pattern: a server knows it.

    Such a backend has a true attribute ``verbatim_names``.
    """
    return bool(getattr(_factory(backend), "verbatim_names", False))


def check_mode(backend: str, mode: str) -> None:
    """Refuse a mode that a backend cannot do.

    Such a backend has an attribute ``modes`` with those that it can.

    Raises
    ------
    InputError
    """
    known = getattr(_factory(backend), "modes", (mode,))
    if mode not in known:
        raise InputError(
            f"backend {backend!r} cannot do mode {mode!r}; it can: {', '.join(map(repr, known))}; "
            "backend 'hf' can all"
        )


def _factory(backend: str) -> Callable[..., Sampler]:
    if backend not in _BACKENDS:
        known = ", ".join(map(repr, available_backends()))
        hint = did_you_mean(backend, _BACKENDS)
        raise InputError(f"unknown backend {backend!r}; known: {known}{hint}")
    module, _, attribute = _BACKENDS[backend].partition(":")
    factory: Callable[..., Sampler] = getattr(import_module(module), attribute)
    return factory
