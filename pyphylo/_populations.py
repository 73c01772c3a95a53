"""Populations as rows of a store's shards, and rows of shards as cells of an allele table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pyphylo import _core
from pyphylo._rows import RowArrays, add_counts
from pyphylo._texts import one_array
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleRule
    from pyphylo.sampling.base import Population

__all__ = ["add_shard", "format_version", "population_rows", "schema_of", "table_columns"]

_SAMPLED = pa.schema(
    [
        pa.field("gene", pa.int32(), nullable=False),
        pa.field("probe", pa.int32(), nullable=False),
        pa.field("completion", pa.string(), nullable=False),
    ]
)
_DECIDED = pa.schema(
    [
        pa.field("gene", pa.int32(), nullable=False),
        pa.field("completion", pa.string(), nullable=False),
        pa.field("probability", pa.float64(), nullable=False),
        pa.field("draws", pa.int32(), nullable=False),
        pa.field("undecided", pa.float64(), nullable=False),
        pa.field("pruned", pa.float64(), nullable=False),
    ]
)


def _is_decided(config: Mapping[str, Any]) -> bool:
    """Whether a store of this configuration holds probabilities."""
    return config.get("mode") in ("exact", "hybrid")


def format_version(config: Mapping[str, Any]) -> int:
    """The version of a store's format: 2 with probabilities, else 1."""
    return 2 if _is_decided(config) else 1


def schema_of(config: Mapping[str, Any]) -> Any:
    """The columns of a store's shards."""
    return _DECIDED if _is_decided(config) else _SAMPLED


def table_columns(config: Mapping[str, Any]) -> list[str]:
    """The columns that an allele table is made of."""
    drop = ("probe", "pruned")
    return [name for name in schema_of(config).names if name not in drop]


def population_rows(population: Population, config: Mapping[str, Any], engine: str) -> Any:
    """A population as a pyarrow table with a store's columns.

    Raises
    ------
    InputError
        When the store's mode needs probabilities that the population lacks, or
        the reverse.
    """
    mode = config.get("mode")
    if (population.decided is not None) != _is_decided(config):
        has = "no" if population.decided is None else "only"
        raise InputError(f"backend {engine!r} gives {has} probabilities, not what mode {mode!r} is")
    rows = _decided_rows(population) if _is_decided(config) else _sampled_rows(population)
    schema = schema_of(config)
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(schema)
    return pa.table(columns, schema=schema)


def _sampled_rows(population: Population) -> list[tuple[Any, ...]]:
    return [
        (gene, probe, completion)
        for gene, completions in enumerate(population.completions)
        for probe, completion in enumerate(completions)
    ]


def _decided_rows(population: Population) -> list[tuple[Any, ...]]:
    """Texts in order within a gene; a gene of which nothing is known keeps a row that says so."""
    rows: list[tuple[Any, ...]] = []
    for gene, cell in enumerate(population.decided or ()):
        draws = Counter(population.completions[gene])
        for text in sorted(cell.probabilities.keys() | draws.keys()) or [""]:
            probability = float(cell.probabilities.get(text, 0.0))
            rows.append((gene, text, probability, draws[text], cell.undecided, cell.pruned))
    return rows


def add_shard(builder: _core.TableBuilder, model: int, table: Any, rule: AlleleRule) -> None:
    """Add one model's rows, as a shard has them, to a table being built."""
    genes = one_array(table.column("gene")).to_numpy()
    alleles = rule.apply(one_array(table.column("completion")))
    models = np.full(len(genes), model, np.int32)
    if "probability" not in table.column_names:
        add_counts(builder, models, genes, alleles)
        return
    numbers = {
        name: one_array(table.column(column)).to_numpy()
        for name, column in (
            ("probabilities", "probability"),
            ("counts", "draws"),
            ("undecided", "undecided"),
        )
    }
    # The names themselves are in the builder: of them only the number is looked at.
    known = [""] * (model + 1), [""] * (int(genes.max(initial=-1)) + 1)
    rows = RowArrays.of((known[0], models), (known[1], genes), alleles, **numbers)
    rows.add_to(builder, builder.add_hybrid)
