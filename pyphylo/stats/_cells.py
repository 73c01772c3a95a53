"""Which genes models have, and what each of their cells is made of."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = ["gene_of_entries", "kinds_of_cells", "present_cells", "probes_of_cells", "row_of"]


def row_of(core: _core.AlleleTable, model: int) -> slice:
    """The entries of one model."""
    begin, end = core.indptr[model : model + 2].tolist()
    return slice(begin, end)


def gene_of_entries(core: _core.AlleleTable) -> NDArray[np.int64]:
    """The gene of every entry of the table."""
    widths = np.diff(core.gene_offsets)
    gene_of_column: NDArray[np.int64] = np.repeat(np.arange(core.n_genes), widths)
    found: NDArray[np.int64] = gene_of_column[core.columns]
    return found


def present_cells(core: _core.AlleleTable) -> NDArray[np.bool_]:
    """Which genes a model has, shape (models, genes)."""
    model = np.repeat(np.arange(core.n_models), np.diff(core.indptr))
    present = np.zeros((core.n_models, core.n_genes), np.bool_)
    present[model, gene_of_entries(core)] = True
    return present


def probes_of_cells(core: _core.AlleleTable) -> NDArray[np.int64]:
    """Probes of every cell, shape (models, genes); 0 where it is missing or exact."""
    model = np.repeat(np.arange(core.n_models), np.diff(core.indptr))
    cells = model * core.n_genes + gene_of_entries(core)
    counted = np.bincount(cells, core.counts, minlength=core.n_models * core.n_genes)
    return counted.astype(np.int64).reshape(core.n_models, core.n_genes)


def kinds_of_cells(table: AlleleTable) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which models have exact cells and which have hybrid ones, shape (models,) each."""
    core = table._core
    present, probes = present_cells(core), probes_of_cells(core)
    hybrid = np.zeros(present.shape, np.bool_)
    models, genes, _ = core.hybrid_cells
    hybrid[models, genes] = True
    exact = present & (probes == 0) & ~hybrid
    some_exact: NDArray[np.bool_] = np.any(exact, axis=1)
    some_hybrid: NDArray[np.bool_] = np.any(hybrid, axis=1)
    return some_exact, some_hybrid
