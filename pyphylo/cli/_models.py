"""MODEL...: the models that `sample` and `run` take, and what happens to those that fail."""

from __future__ import annotations

import argparse

from pyphylo.errors import InputError

__all__ = ["add_many", "add_models", "model_specs"]


def add_models(parser: argparse.ArgumentParser) -> None:
    """MODEL arguments and files of them."""
    parser.add_argument(
        "models",
        nargs="*",
        metavar="MODEL",
        help="hub id (org/name@revision, org/name@step*), folder of a model, adapter or "
        "checkpoints, GGUF file, or @FILE of such lines; label=MODEL renames",
    )
    parser.add_argument(
        "--models",
        dest="model_files",
        action="append",
        default=[],
        metavar="FILE",
        help="a file of models, one a line, # starts a comment; same as @FILE",
    )


def add_many(parser: argparse.ArgumentParser) -> None:
    """What a model that cannot be sampled does to the others, and what is kept of the others."""
    parser.add_argument(
        "--strict",
        action="store_true",
        help="stop at the first model that cannot be sampled (default: the others go on)",
    )
    parser.add_argument(
        "--max-cache-gb",
        type=float,
        metavar="G",
        help="between models, remove what this run fetched from the hub, oldest first, until its "
        "cache is within G gigabytes",
    )
    parser.add_argument(
        "--no-read-ahead",
        dest="read_ahead",
        action="store_false",
        help="do not fetch and read the next model's files while one is sampled",
    )


def model_specs(args: argparse.Namespace) -> list[str]:
    """All that was named, files last."""
    specs = [*args.models, *(f"@{path}" for path in args.model_files)]
    if not specs:
        raise InputError("no models: give MODEL, or --models FILE")
    return specs
