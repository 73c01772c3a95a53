"""What commands built on f-statistics share: their options, and numbers as JSON."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import candidate_names, positive
from pyphylo.cli._model import add_model_options, finite, rule_of, table_with_model
from pyphylo.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable

__all__ = ["add_f_options", "candidates_of", "f_table", "records"]


def add_f_options(parser: argparse.ArgumentParser, metavar: str = "MODEL") -> None:
    """The model, the candidates, and how f-statistics are formed."""
    parser.add_argument(
        "--candidates", metavar="TXT", help="models, one a line (default: all others)"
    )
    parser.add_argument("--alpha", type=float, default=0.05, metavar="A", help="default 0.05")
    parser.add_argument(
        "--weighting",
        choices=("pooled", "plain", "root"),
        default="pooled",
        help="of alleles: by 1 / (pooled p + 0.01) (default); none; none, on square roots of "
        "probabilities (stores sampled with --mode exact)",
    )
    parser.add_argument(
        "--blocks",
        type=positive,
        metavar="N",
        help="blocks of genes of the jackknife (default: one a gene, 128 at most)",
    )
    add_model_options(parser, metavar=metavar, estimator=False)


def candidates_of(args: argparse.Namespace) -> list[str] | None:
    """The names in --candidates."""
    return None if args.candidates is None else candidate_names(args.candidates)


def f_table(args: argparse.Namespace, *others: str | None) -> tuple[AlleleTable, str]:
    """The store's table with the model in it, and its name; other names are checked before work."""
    from pyphylo._table_cache import cached_table
    from pyphylo.stats._f_panel import rows_of
    from pyphylo.store import SampleStore

    store = SampleStore.open(args.store)
    table = cached_table(store, rule_of(args))
    named = [name for name in (*others, *(candidates_of(args) or ())) if name is not None]
    with _in_store(str(store.path)):
        rows_of(table, [name for name in named if name != args.model])
    table, name, _ = table_with_model(args, store, table)
    return table, name


@contextmanager
def _in_store(path: str) -> Iterator[None]:
    try:
        yield
    except InputError as error:
        raise InputError(f"store {path!r}: {error}") from None


def records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a frame as JSON types; what is not finite is None."""
    rows = []
    for row in frame.itertuples(index=False):
        values = (finite(value) if isinstance(value, float) else value for value in row)
        rows.append(dict(zip(frame.columns, values, strict=True)))
    return rows
