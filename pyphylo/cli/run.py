"""``pyphylo run``: from models to their tree in one command."""

from __future__ import annotations

import argparse
from typing import Any

from pyphylo.cli._common import (
    Outcome,
    add_json,
    add_sampling_options,
    add_threads,
    file_lines,
    sampling_options,
)
from pyphylo.cli._engine import add_sampling_engine, engine_options
from pyphylo.cli._estimate import or_estimate
from pyphylo.cli._models import add_many, add_models, model_specs

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="from models to their tree in one command; resumes",
        description="Sample models, measure their distances, join them into a tree and draw it.",
        epilog="examples:\n  pyphylo run gpt2 distilgpt2 EleutherAI/pythia-70m --out family\n"
        "  pyphylo run mine=checkpoints/final gpt2 --genome code --out family",
    )
    add_models(parser)
    parser.add_argument("--out", required=True, metavar="DIR", help="made where it is not there")
    parser.add_argument("--metadata", metavar="CSV", help="columns model, family: colours")
    parser.add_argument(
        "--estimator",
        choices=("plugin", "unbiased"),
        default="plugin",
        help="of distances: the paper's (default), or without what chance repeats add",
    )
    add_many(parser)
    add_sampling_engine(parser)
    add_sampling_options(parser)
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=or_estimate(_run))


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.io.metadata import read_families
    from pyphylo.run import run, warn_of_unused

    families = None if args.metadata is None else read_families(args.metadata)
    result = run(
        model_specs(args),
        args.out,
        families=families,
        estimator=args.estimator,
        n_threads=args.threads,
        strict=args.strict,
        max_cache_gb=args.max_cache_gb,
        read_ahead=args.read_ahead,
        **engine_options(args),
        **sampling_options(args),
    )
    if families is not None:
        warn_of_unused(families, result.tree.tips, args.metadata)
    data = {
        "out": args.out,
        "models": list(result.distances.ids),
        "newick": result.tree.newick(),
        "files": [str(path) for path in result.files],
    }
    text = f"a tree of {result.tree.n_tips} models:\n{file_lines(result.files)}"
    return Outcome(text, data)
