"""``pyphylo distance``: the distance matrix of a store."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import Outcome, add_json, add_threads, existing_parent, positive
from pyphylo.cli._engine import add_comparing_engine, engine_options
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
    parser.add_argument(
        "store", metavar="STORE", help="a folder, or an address such as s3://bucket/store"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help=".npz .npy .phy .csv .tsv .parquet"
    )
    parser.add_argument(
        "--phylip-strict",
        action="store_true",
        help="a .phy file with names of ten columns; FILE.names.json tells which is which",
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
    add_comparing_engine(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.alleles import AlleleRule, AlleleTable
    from pyphylo.io.matrices import check_matrix_path
    from pyphylo.store import SampleStore

    _check(args)
    target = existing_parent(args.output)
    suffix = check_matrix_path(target)
    names_file = None
    if args.phylip_strict:
        if suffix != ".phy":
            raise InputError(f"--phylip-strict is a form of .phy files, not of {suffix}")
        names_file = existing_parent(f"{target}.names.json")
    store = SampleStore.open(args.store)
    table = AlleleTable.from_store(store, AlleleRule(args.preset, chars=args.chars))
    if len(table.models) < 2:
        raise InputError(
            f"store {args.store!r} holds {len(table.models)} models; a distance needs two"
        )
    distances = _distances(table, args, target)
    if names_file is None:
        distances.save(target)
    else:
        _save_strict(distances, target, names_file)
    data = {
        "distances": str(target),
        "models": len(table.models),
        "genes": len(table.genes),
        "nnz": table.nnz,
        "index": args.index,
        **({"estimator": args.estimator or "plugin"} if args.index == "nei" else {}),
        **({} if names_file is None else {"names": str(names_file)}),
    }
    text = f"{len(table.models)} x {len(table.models)} distances in {target}"
    return Outcome(text if names_file is None else f"{text}, names in {names_file}", data)


def _save_strict(distances: DistanceMatrix, target: Path, names_file: Path) -> None:
    """Write strict PHYLIP under short names, and which of them is which model."""
    import json

    from pyphylo._files import atomic_write_bytes
    from pyphylo.io.phylip import short_names

    names = short_names(distances.ids)
    text = json.dumps(names, ensure_ascii=False, indent=1)
    atomic_write_bytes(names_file, f"{text}\n".encode())
    type(distances)._trusted(distances.values, tuple(names), {}).save(target, strict=True)


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
    if args.engine != "local":
        raise InputError(f"--engine {args.engine} is of --index nei; {args.index} runs here only")


def _distances(table: AlleleTable, args: argparse.Namespace, target: Path) -> DistanceMatrix:
    from pyphylo.distance import nei_distance
    from pyphylo.indices import genetic_distance

    distances: DistanceMatrix
    if args.index != "nei":
        distances = genetic_distance(
            table, index=args.index, n_threads=args.threads, dtype=args.dtype
        )
        return distances
    with contextlib.redirect_stdout(sys.stderr):  # Ray prints of workers that it loses
        distances = nei_distance(
            table,
            estimator=args.estimator or "plugin",
            n_threads=args.threads,
            dtype=args.dtype,
            device=args.device,
            max_memory=args.max_memory,
            out=target if target.suffix.lower() == ".npy" else None,
            **engine_options(args),
        )
    return distances
