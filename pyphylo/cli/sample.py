"""``pyphylo sample``: populations of models into a store."""

from __future__ import annotations

import argparse
from typing import Any

from pyphylo.cli._common import Outcome, add_json, add_sampling_options, sampling_options

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="sample models into a store; resumes",
        description="Sample models into a store, one at a time in memory. Finished models are "
        "kept; run the same command again to go on.",
        epilog="example: pyphylo sample gpt2 distilgpt2 mine=checkpoints/final --store store",
    )
    parser.add_argument(
        "models",
        nargs="+",
        metavar="MODEL",
        help="hub id, folder or GGUF file; label=MODEL renames",
    )
    parser.add_argument("--store", required=True, metavar="DIR")
    add_sampling_options(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.sampling.scheduler import sample

    store = sample(args.models, store=args.store, **sampling_options(args))
    data = {"store": str(store.path), "models": list(store.models), "sampling": store.config}
    return Outcome(f"{len(store.models)} models in {store.path}", data)
