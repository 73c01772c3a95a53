"""``pyphylo import``: completions from a file into a store."""

from __future__ import annotations

import argparse
from typing import Any

from pyphylo.cli._common import Outcome, add_json, genome_at

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="completions from a file into a store",
        description='Import JSON lines {"model": …, "gene": …, "completion": …}, plain or gzipped.',
        epilog="example: pyphylo import completions.jsonl.gz --store store",
    )
    parser.add_argument("completions", metavar="FILE", help="one completion a line")
    parser.add_argument(
        "--store",
        required=True,
        metavar="DIR",
        help="a folder, or an address such as s3://bucket/store",
    )
    parser.add_argument("--genome", metavar="G", help="the prompts, where they are known")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.io.completions import import_completions

    genome = None if args.genome is None else genome_at(args.genome)
    store, imported = import_completions(args.completions, args.store, genome)
    total = len(store.models)
    data = {
        "store": str(store.path),
        "imported": imported,
        "models": total,
        "genes": len(store.genome),
    }
    held = f"{total} models, {len(store.genome)} genes in {store.path}"
    return Outcome(f"{len(imported)} models imported; {held}", data)
