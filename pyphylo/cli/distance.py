"""``pyphylo distance``: the distance matrix of a store."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import (
    Outcome,
    add_json,
    add_threads,
    check_outputs,
    existing_parent,
    positive,
    whole,
)
from pyphylo.cli._engine import add_comparing_engine, engine_options
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from pyphylo.alleles import AlleleTable
    from pyphylo.distance import DistanceMatrix
    from pyphylo.stats.intervals import Intervals

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="the distance matrix of a store",
        description="The genetic distances between all models of a store, in a file by suffix.",
        epilog="examples:\n  pyphylo distance store -o distances.npz\n"
        "  pyphylo distance store -o unbiased.csv --estimator unbiased --intervals limits.csv",
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
    parser.add_argument(
        "--dtype",
        choices=("float64", "float32"),
        default="float64",
        help="of the matrix: float64 (default), or half the memory",
    )
    parser.add_argument(
        "--max-memory",
        metavar="BYTES",
        help="such as 1GiB; larger matrices go to a .npy file, strip by strip",
    )
    add_comparing_engine(parser)
    bars = parser.add_argument_group("error bars")
    bars.add_argument(
        "--intervals",
        metavar="FILE",
        help="a .csv file with each pair's standard error and confidence limits over genes",
    )
    bars.add_argument("--method", choices=("jackknife", "bootstrap"), help="default jackknife")
    bars.add_argument("--level", type=float, metavar="P", help="of the limits; default 0.95")
    bars.add_argument("--replicates", type=positive, metavar="N", help="of the bootstrap: 1000")
    bars.add_argument("--seed", type=whole, metavar="N", help="of the bootstrap; default 0")
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
    bars = _interval_file(args)
    check_outputs([path for path in (target, names_file, bars) if path is not None], [])
    store = SampleStore.open(args.store)
    table = AlleleTable.from_store(store, AlleleRule(args.preset, chars=args.chars))
    if len(table.models) < 2:
        raise InputError(
            f"store {args.store!r} holds {len(table.models)} models; a distance needs two"
        )
    intervals = None if bars is None else _intervals(table, args)
    distances = _distances(table, args, target)
    if names_file is None:
        distances.save(target)
    else:
        _save_strict(distances, target, names_file)
    if bars is not None and intervals is not None:
        _save_intervals(intervals, bars)
    data = {
        "distances": str(target),
        "models": len(table.models),
        "genes": len(table.genes),
        "nnz": table.nnz,
        "index": args.index,
        **({"estimator": args.estimator or "plugin"} if args.index == "nei" else {}),
        **({} if names_file is None else {"names": str(names_file)}),
        **({} if bars is None else {"intervals": str(bars)}),
    }
    text = f"{len(table.models)} x {len(table.models)} distances in {target}"
    text += "" if names_file is None else f", names in {names_file}"
    return Outcome(text if bars is None else f"{text}, their limits in {bars}", data)


def _interval_file(args: argparse.Namespace) -> Path | None:
    """Where limits go; options of theirs are refused where there are none."""
    if args.intervals is None:
        for option in ("method", "level", "replicates", "seed"):
            if getattr(args, option) is not None:
                raise InputError(f"--{option} {getattr(args, option)} is an option of --intervals")
        return None
    if args.index != "nei":
        raise InputError(f"--intervals {args.intervals} is of --index nei, not of {args.index}")
    if args.method != "bootstrap":
        for option in ("replicates", "seed"):
            if getattr(args, option) is not None:
                raise InputError(
                    f"--{option} {getattr(args, option)} is an option of --method bootstrap"
                )
    target = existing_parent(args.intervals)
    if target.suffix.lower() != ".csv":
        raise InputError(f"--intervals {args.intervals!r}: limits are a .csv file")
    return target


def _intervals(table: AlleleTable, args: argparse.Namespace) -> Intervals:
    from pyphylo.stats.intervals import distance_intervals

    return distance_intervals(
        table,
        estimator=args.estimator or "plugin",
        method=args.method or "jackknife",
        level=0.95 if args.level is None else args.level,
        n=1000 if args.replicates is None else args.replicates,
        seed=args.seed or 0,
        n_threads=args.threads,
    )


def _save_intervals(intervals: Intervals, target: Path) -> None:
    from pyphylo._files import atomic_write_bytes
    from pyphylo.io._spreadsheet import frame_csv

    atomic_write_bytes(target, frame_csv(intervals.to_frame()))


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
