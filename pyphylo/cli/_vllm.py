"""Options of models that vLLM loads."""

from __future__ import annotations

import argparse
from typing import Any

from pyphylo.errors import InputError

__all__ = ["add_vllm_options", "vllm_options"]

_BACKEND = "vllm"
_OPTIONS: tuple[tuple[str, Any, str, str], ...] = (
    ("--tensor-parallel", int, "N", "vllm: GPUs that every layer is split over (default 1)"),
    ("--gpu-memory", float, "P", "vllm: the share of a GPU's memory it may take (default 0.9)"),
)


def add_vllm_options(group: Any) -> None:
    """What ``--backend vllm`` takes beside the options of all; by default None."""
    for flag, kind, metavar, help_text in _OPTIONS:
        group.add_argument(flag, type=kind, metavar=metavar, help=help_text)


def vllm_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options that were given, as the backend takes them.

    Raises
    ------
    InputError
        When one was given for another backend.
    """
    given = {}
    for flag, *_ in _OPTIONS:
        name = flag.removeprefix("--").replace("-", "_")
        value = getattr(args, name)
        if value is None:
            continue
        if args.backend != _BACKEND:
            raise InputError(f"{flag} goes with --backend {_BACKEND}, not {args.backend}")
        given[name] = value
    return given
