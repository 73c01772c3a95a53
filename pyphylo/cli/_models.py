"""MODEL...: the models that `sample` and `run` take, and what happens to those that fail."""

from __future__ import annotations

import argparse
from typing import Any

from pyphylo.cli._common import whole
from pyphylo.errors import InputError

__all__ = ["add_engine", "add_many", "add_models", "engine_options", "model_specs"]


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


def add_engine(parser: argparse.ArgumentParser) -> None:
    """Where models are sampled: here, one after the other, or on a cluster."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="local (default): one model after the other, here; ray: spread over a Ray cluster",
    )
    group.add_argument(
        "--ray-address",
        metavar="A",
        help="of a Ray cluster (default: RAY_ADDRESS, else one on this machine for this run)",
    )
    group.add_argument(
        "--num-gpus",
        type=float,
        metavar="N",
        help="ray: GPUs a model takes, or the share of one (default 1 where there are any)",
    )
    group.add_argument(
        "--num-cpus", type=float, metavar="N", help="ray: cores a model takes (default 1)"
    )
    group.add_argument(
        "--max-retries",
        type=whole,
        metavar="N",
        help="ray: how often a model is taken up again whose worker was lost (default 3)",
    )


def engine_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `pyphylo.sample` takes, from the options of `add_engine`."""
    names = ("engine", "ray_address", "num_gpus", "num_cpus", "max_retries")
    return {name: getattr(args, name) for name in names}


def model_specs(args: argparse.Namespace) -> list[str]:
    """All that was named, files last."""
    specs = [*args.models, *(f"@{path}" for path in args.model_files)]
    if not specs:
        raise InputError("no models: give MODEL, or --models FILE")
    return specs
