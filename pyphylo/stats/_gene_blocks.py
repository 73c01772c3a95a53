"""An allele table in blocks of genes, each as sparse matrices of frequencies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._gene_diversity import Entries

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = ["GeneBlock", "gene_blocks", "gene_of_columns", "model_of_entries", "sums"]

_Floats = NDArray[np.float64]

_ENTRIES = 1 << 21
"""Entries of a block: its arrays are some 100 MB."""


@dataclass(frozen=True, eq=False)
class GeneBlock:
    """Some genes of a table.

    Attributes
    ----------
    first : int
        The first gene's number.
    n_models, n_genes : int
    model, gene, column : ndarray of int64, shape (entries,)
        Genes and columns are counted from the block's first.
    p : ndarray of float64, shape (entries,)
        Frequencies.
    gene_of_column : ndarray of int64, shape (columns,)
    entries : Entries
    """

    first: int
    n_models: int
    n_genes: int
    model: NDArray[np.int64]
    gene: NDArray[np.int64]
    column: NDArray[np.int64]
    p: _Floats
    gene_of_column: NDArray[np.int64]
    entries: Entries

    @property
    def n_columns(self) -> int:
        """Alleles of the block's genes."""
        return len(self.gene_of_column)

    def by_gene(self, column_values: _Floats) -> _Floats:
        """Sums over each gene's alleles."""
        return sums(self.gene_of_column, column_values, self.n_genes)

    def by_column(self, entry_values: _Floats) -> _Floats:
        """Sums over models."""
        return sums(self.column, entry_values, self.n_columns)

    def by_cell(self, entry_values: _Floats) -> _Floats:
        """Sums over each cell's alleles, shape (models, genes)."""
        total = sums(self.entries.cell, entry_values, self.n_models * self.n_genes)
        return total.reshape(self.n_models, self.n_genes)

    def present(self) -> NDArray[np.bool_]:
        """Which genes a model has, shape (models, genes)."""
        has: NDArray[np.bool_] = np.isfinite(self.entries.plugin)
        return has.reshape(self.n_models, self.n_genes)


def gene_blocks(table: AlleleTable) -> Iterator[GeneBlock]:
    """The table's genes in order, as many at a time as make some two million entries."""
    n_genes = len(table.genes)
    each = max(1, table.nnz // max(1, n_genes))
    step = max(1, _ENTRIES // each)
    for first in range(0, n_genes, step):
        genes = table.genes[first : first + step]
        part = table if step >= n_genes else table.select(genes=genes)
        yield _block(part, first)


def _block(part: AlleleTable, first: int) -> GeneBlock:
    core = part._core
    of_column = gene_of_columns(core)
    model = model_of_entries(core)
    column = core.columns.astype(np.int64)
    gene = of_column[column]
    entries = Entries(part, model, gene)
    return GeneBlock(
        first, core.n_models, core.n_genes, model, gene, column, entries.p, of_column, entries
    )


def sums(places: NDArray[np.int64], values: _Floats, n: int) -> _Floats:
    """Sums of values by place, shape (n,)."""
    total: NDArray[Any] = np.bincount(places, values, n)
    return total


def gene_of_columns(core: Any) -> NDArray[np.int64]:
    """The gene of every column."""
    of_column: NDArray[np.int64] = np.repeat(
        np.arange(core.n_genes, dtype=np.int64), np.diff(core.gene_offsets)
    )
    return of_column


def model_of_entries(core: Any) -> NDArray[np.int64]:
    """The model of every entry."""
    model: NDArray[np.int64] = np.repeat(
        np.arange(core.n_models, dtype=np.int64), np.diff(core.indptr)
    )
    return model
