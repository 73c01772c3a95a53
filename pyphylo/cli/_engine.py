"""--engine and what goes with it: where work is done, here or on a cluster."""

from __future__ import annotations

import argparse
from typing import Any

from pyphylo.cli._common import whole

__all__ = ["add_comparing_engine", "add_sampling_engine", "engine_options"]


def add_sampling_engine(parser: argparse.ArgumentParser) -> None:
    """Where models are sampled: here, one after the other, or on a cluster."""
    group = _added(
        parser, "one model after the other, here", "spread over a Ray cluster", "a model", "a model"
    )
    group.add_argument(
        "--num-gpus",
        type=float,
        metavar="N",
        help="ray: GPUs a model takes, or the share of one (default 1 where there are any)",
    )


def add_comparing_engine(parser: argparse.ArgumentParser) -> None:
    """Where models are compared."""
    _added(
        parser, "here", "rows spread over a Ray cluster, the same bits", "a worker", "a row's work"
    )


def _added(parser: argparse.ArgumentParser, local: str, ray: str, taker: str, retried: str) -> Any:
    """What every engine takes; the texts say what it is that is spread."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help=f"local (default): {local}; ray: {ray}",
    )
    group.add_argument(
        "--ray-address",
        metavar="A",
        help="of a Ray cluster (default: RAY_ADDRESS, else one on this machine for this run)",
    )
    group.add_argument(
        "--num-cpus", type=float, metavar="N", help=f"ray: cores {taker} takes (default 1)"
    )
    group.add_argument(
        "--max-retries",
        type=whole,
        metavar="N",
        help=f"ray: how often {retried} is taken up again whose worker was lost (default 3)",
    )
    return group


def engine_options(args: argparse.Namespace) -> dict[str, Any]:
    """The options of the engine that the command has, as Python takes them."""
    names = ("engine", "ray_address", "num_gpus", "num_cpus", "max_retries")
    return {name: getattr(args, name) for name in names if hasattr(args, name)}
