"""``pyphylo same``: whether two stores are of one model."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import Outcome, add_json, add_threads, positive, whole
from pyphylo.cli._model import finite, rule_of
from pyphylo.cli._tables import aligned
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable
    from pyphylo.stats.same import SameModel

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="whether two stores of one genome are of one model",
        description="Test models of two stores of one genome: a served model against its "
        "weights, a quantised one against the original. Under the null, probes may be "
        "exchanged between the stores within each gene. q_value: with the false discovery rate "
        "over all pairs controlled. detectable: the similarity that would have been told from 1 "
        "with a chance of 0.8.",
        epilog="example: pyphylo same weights served --model gpt2 --model gpt2-server",
    )
    parser.add_argument("first", metavar="STORE_A", help="a folder or an address")
    parser.add_argument("second", metavar="STORE_B", help="may be STORE_A, with two --model")
    parser.add_argument(
        "--model",
        action="append",
        default=[],
        metavar="NAME",
        help="once: this model of both; twice: the first of STORE_A, the second of STORE_B. By "
        "default every model that both have, or the only one of each",
    )
    parser.add_argument("--level", type=float, default=0.05, metavar="P", help="default 0.05")
    parser.add_argument(
        "--exchanges",
        type=positive,
        metavar="N",
        help="at most; default 9999, more for over 500 pairs",
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="default 0")
    parser.add_argument("--preset", choices=("paper", "colab"), default="paper", help="allele rule")
    parser.add_argument("--chars", type=positive, default=4, metavar="N", help="allele length")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.stats.same import same_model

    if len(args.model) > 2:
        raise InputError(f"--model is given {len(args.model)} times; a pair is two models")
    pairs = [(args.model[0], args.model[-1])] if args.model else None
    first, second = _table(args, args.first, 0), _table(args, args.second, -1)
    found = same_model(
        first,
        second,
        pairs,
        level=args.level,
        n=args.exchanges,
        seed=args.seed,
        n_threads=args.threads,
    )
    rows = [
        {key: _plain(value) for key, value in row.items()}
        for row in found.to_frame().to_dict("records")
    ]
    data = {"stores": [args.first, args.second], "level": args.level, "pairs": rows}
    return Outcome(_text(found), data)


def _table(args: argparse.Namespace, path: str, which: int) -> AlleleTable:
    """The store's table; of the model in question alone, where one is named and there."""
    from pyphylo.cli._plan import table_at

    table = table_at(path, rule_of(args))
    wanted = args.model[which : which + 1 or None]
    return table.select(models=wanted) if wanted and wanted[0] in table.models else table


def _plain(value: Any) -> Any:
    """A value as JSON can hold it."""
    return finite(value) if isinstance(value, float) else value


def _text(found: SameModel) -> str:
    header = ["models", "genes", "probes", "similarity", "p", "q", "", "detectable"]
    rows = []
    for k, (model, other) in enumerate(found.pairs):
        rows.append(
            [
                model if model == other else f"{model}, {other}",
                f"{found.genes[k]}",
                f"{found.probes[0, k]:.4g}, {found.probes[1, k]:.4g}",
                *(f"{one[k]:.4f}" for one in (found.similarity, found.p_value, found.q_value)),
                "different" if found.different[k] else "not told apart",
                f"{found.detectable[k]:.4f}",
            ]
        )
    return aligned(header, rows)
