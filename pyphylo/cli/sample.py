"""``pyphylo sample``: populations of models into a store."""

from __future__ import annotations

import argparse
import contextlib
import sys
from typing import Any

from pyphylo.cli._common import Outcome, add_sampling_options, sampling_options
from pyphylo.cli._engine import add_sampling_engine, engine_options
from pyphylo.cli._estimate import or_estimate
from pyphylo.cli._models import add_many, add_models, model_specs

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="sample models into a store; resumes",
        description="Sample models into a store, one at a time in memory. Finished models are "
        "kept; run the same command again to go on.",
        epilog="examples:\n"
        "  pyphylo sample gpt2 'EleutherAI/pythia-70m@step*' my=out/ --store store\n"
        "  pyphylo sample --models models.txt --store store --shard 3/16",
    )
    add_models(parser)
    parser.add_argument(
        "--store",
        required=True,
        metavar="DIR",
        help="a folder, or an address such as s3://bucket/store",
    )
    parser.add_argument(
        "--shard", metavar="I/N", help="only the I-th of N parts of the models; may share a store"
    )
    add_many(parser)
    add_sampling_engine(parser)
    add_sampling_options(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object a line as the work goes on"
    )
    parser.set_defaults(run=or_estimate(_run))


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.sampling.events import write_lines
    from pyphylo.sampling.scheduler import sample

    with contextlib.ExitStack() as stack:
        listener = None
        if args.json:
            listener = write_lines(sys.stdout)
            # What a library prints would stand between the events.
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
        store = sample(
            model_specs(args),
            store=args.store,
            shard=args.shard,
            strict=args.strict,
            max_cache_gb=args.max_cache_gb,
            read_ahead=args.read_ahead,
            **engine_options(args),
            on_event=listener,
            **sampling_options(args),
        )
    count = len(store.models)
    return Outcome(f"{count} model{'s' * (count != 1)} in {store.path}", streamed=True)
