"""``pyphylo distance``: the distance matrix of a store."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import Outcome, add_json, add_threads, existing_parent, positive
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from pyphylo.alleles import AlleleTable
    from pyphylo.distance import DistanceMatrix

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help="the distance matrix of a store"
    )
    parser.add_argument("store", metavar="STORE")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help=".npz .npy .phy .csv .tsv .parquet"
    )
    parser.add_argument(
        "--index",
        choices=("nei", "da", "chord", "rogers", "jsd"),
        default="nei",
        help="Nei's standard distance (default), Nei's D_A, chord, Rogers', Jensen-Shannon",
    )
    parser.add_argument(
        "--estimator", choices=("plugin", "unbiased"), help="of Nei's distance (default plugin)"
    )
    parser.add_argument("--preset", choices=("paper", "colab"), default="paper", help="allele rule")
    parser.add_argument("--chars", type=positive, default=4, metavar="N", help="allele length")
    add_threads(parser)
    parser.add_argument(
        "--device",
        default="cpu",
        metavar="D",
        help="cpu (default), cuda, cuda:1: where to multiply",
    )
    parser.add_argument("--dtype", choices=("float64", "float32"), default="float64")
    parser.add_argument(
        "--max-memory",
        metavar="BYTES",
        help="such as 1GiB; larger matrices go to a .npy file, strip by strip",
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.alleles import AlleleRule, AlleleTable
    from pyphylo.io.matrices import check_matrix_path
    from pyphylo.store import SampleStore

    _check(args)
    target = existing_parent(args.output)
    check_matrix_path(target)
    store = SampleStore.open(args.store)
    table = AlleleTable.from_store(store, AlleleRule(args.preset, chars=args.chars))
    if len(table.models) < 2:
        raise InputError(
            f"store {args.store!r} holds {len(table.models)} models; a distance needs two"
        )
    distances = _distances(table, args, target)
    distances.save(target)
    data = {
        "distances": str(target),
        "models": len(table.models),
        "genes": len(table.genes),
        "nnz": table.nnz,
        "index": args.index,
        **({"estimator": args.estimator or "plugin"} if args.index == "nei" else {}),
    }
    return Outcome(f"{len(table.models)} x {len(table.models)} distances in {target}", data)


def _check(args: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    if args.index == "nei":
        return
    for option in ("estimator", "max_memory"):
        if getattr(args, option):
            flag = "--" + option.replace("_", "-")
            raise InputError(
                f"{flag} {getattr(args, option)} is of --index nei; {args.index} has one form only"
            )
    if args.device != "cpu":
        raise InputError(f"--device {args.device} is of --index nei; {args.index} runs on the cpu")


def _distances(table: AlleleTable, args: argparse.Namespace, target: Path) -> DistanceMatrix:
    from pyphylo.distance import nei_distance
    from pyphylo.indices import genetic_distance

    distances: DistanceMatrix
    if args.index != "nei":
        distances = genetic_distance(
            table, index=args.index, n_threads=args.threads, dtype=args.dtype
        )
        return distances
    distances = nei_distance(
        table,
        estimator=args.estimator or "plugin",
        n_threads=args.threads,
        dtype=args.dtype,
        device=args.device,
        max_memory=args.max_memory,
        out=target if target.suffix.lower() == ".npy" else None,
    )
    return distances
