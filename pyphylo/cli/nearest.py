"""``pyphylo nearest``: the closest relatives of one model, with error bars."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyphylo._terminal import shown
from pyphylo.cli._common import Outcome, whole
from pyphylo.cli._model import add_model_options, finite, rule_of, table_with_model
from pyphylo.cli._tables import aligned

if TYPE_CHECKING:
    from pyphylo._nearest import Relatives

__all__ = ["add_parser"]

_COLUMNS = ("similarity", "distance", "error", "lower", "upper")


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="the closest relatives of one model, with error bars",
        description="The models of a store by their distance to one model, the closest first. "
        "error is the distance's standard error over genes (jackknife), lower and upper are its "
        "95% limits. The store's allele table is kept beside it, so that the next call is quick.",
        epilog="example: pyphylo nearest gpt2 --store store -k 5",
    )
    parser.add_argument(
        "-k", type=whole, default=10, metavar="N", help="how many, 0: all (default 10)"
    )
    add_model_options(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo._nearest import nearest_relatives
    from pyphylo._table_cache import cached_table
    from pyphylo.store import SampleStore

    store = SampleStore.open(args.store)
    table = cached_table(store, rule_of(args))
    table, name, sampled = table_with_model(args, store, table)
    found = nearest_relatives(name, table, args.k, estimator=args.estimator, n_threads=args.threads)
    rows = _rows(found)
    data = {
        "model": name,
        "store": str(store.path),
        "sampled": sampled,
        "models": len(table.models),
        "genes": len(table.genes),
        "estimator": args.estimator,
        "nearest": [
            {"model": row[0], **dict(zip(_COLUMNS, map(finite, row[1:]), strict=True))}
            for row in rows
        ],
    }
    cells = [[row[0], *(f"{value:.4f}" for value in row[1:])] for row in rows]
    title = (
        f"{len(rows)} of {len(table.models) - 1} models, by their distance to {shown(name, '')}:"
    )
    return Outcome(f"{title}\n{aligned(['model', *_COLUMNS], cells)}", data)


def _rows(found: Relatives) -> list[tuple[Any, ...]]:
    numbers = (getattr(found, column).tolist() for column in _COLUMNS)
    return list(zip(found.names, *numbers, strict=True))
