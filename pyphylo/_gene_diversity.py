"""How much each gene tells: diversity of its alleles within models and between them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable
    from pyphylo.genome import Genome

__all__ = ["Entries", "GeneDiversity", "gene_diversity", "recorded_diversity"]

_DIGITS = 4


@dataclass(frozen=True)
class GeneDiversity:
    """Diversity of each gene over the models of a table.

    Attributes
    ----------
    genes : tuple of str
    n_models : int
    probes : (int, int)
        Fewest and most probes of a cell that has any; exact cells count 0.
    alleles : ndarray of float64, shape (genes,)
        Distinct alleles in a model's cell, averaged over the models that have
        one. It grows with the number of probes.
    within : ndarray of float64, shape (genes,)
        Expected heterozygosity: the probability that two probes of one model
        differ, averaged over models. Unbiased.
    between : ndarray of float64, shape (genes,)
        Variance of the allele frequencies between models, summed over alleles,
        with the sampling noise taken out: unbiased, so it may come out below 0.
        It is half the mean squared distance between two models' frequencies.

    NaN where no model, or for `between` fewer than two, can tell.
    """

    genes: tuple[str, ...]
    n_models: int
    probes: tuple[int, int]
    alleles: NDArray[np.float64]
    within: NDArray[np.float64]
    between: NDArray[np.float64]

    def to_dict(self) -> dict[str, Any]:
        """As JSON types, rounded to four digits: each gene's and the means over genes."""
        columns = {"alleles": self.alleles, "within": self.within, "between": self.between}
        return {
            "models": self.n_models,
            "probes": list(self.probes),
            "mean": {key: _rounded(_mean(values)) for key, values in columns.items()},
            "genes": [
                {"gene": gene, **{key: _rounded(values[g]) for key, values in columns.items()}}
                for g, gene in enumerate(self.genes)
            ],
        }


def gene_diversity(table: AlleleTable) -> GeneDiversity:
    """Diversity of each gene over the models of a table.

    Parameters
    ----------
    table : AlleleTable
        Sampled, exact and hybrid cells; missing cells are left out, and so are
        those with one draw from `within` and `between`.

    Returns
    -------
    GeneDiversity

    Raises
    ------
    InputError
        When the table is empty.

    Notes
    -----
    With ``J_i`` a model's unbiased self term and k models,
    ``within = 1 - mean J_i`` (Nei 1978) and
    ``between = mean J_i - mean_{i != j} sum_a p_ia p_ja`` (Nei's minimum genetic
    distance, averaged over pairs; Nei 1973). O(nnz) time and memory.
    """
    if not table.nnz:
        raise InputError("the table is empty: there is no diversity to measure")
    n_models, n_genes = len(table.models), len(table.genes)
    core = table._core
    model = np.repeat(np.arange(n_models), np.diff(core.indptr))
    gene = np.searchsorted(core.gene_offsets, core.columns, side="right") - 1
    entries = Entries(table, model, gene)
    shape = (n_models, n_genes)
    distinct = np.bincount(entries.cell, minlength=n_models * n_genes).reshape(shape)
    self_terms = entries.self_terms.reshape(shape)
    usable = np.isfinite(self_terms)
    k = usable.sum(axis=0)
    column_sums = np.bincount(
        core.columns,
        weights=np.where(usable[model, gene], entries.p, 0.0),
        minlength=core.n_columns,
    )
    column_squares = np.bincount(
        core.columns,
        weights=np.where(usable[model, gene], entries.p**2, 0.0),
        minlength=core.n_columns,
    )
    gene_of_column = np.searchsorted(core.gene_offsets, np.arange(core.n_columns), side="right") - 1
    # Over ordered pairs i != j: (sum_i p_i)^2 less the squares that are pairs with oneself.
    products = np.bincount(
        gene_of_column, weights=column_sums**2 - column_squares, minlength=n_genes
    )
    probes = entries.probes[entries.cell]
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.where(usable, self_terms, 0.0).sum(axis=0) / k
        present = (distinct > 0).sum(axis=0)
        return GeneDiversity(
            table.genes,
            n_models,
            (int(probes.min()), int(probes.max())),
            distinct.sum(axis=0) / present,
            1.0 - own,
            np.where(k > 1, own - products / (k * (k - 1.0)), np.nan),
        )


def recorded_diversity(genome: Genome) -> dict[str, Any] | None:
    """What was measured over pilot models of a genome that ships with pyphylo.

    Returns
    -------
    dict or None
        As `GeneDiversity.to_dict`, with ``pilots`` (each model's name and what
        it is) and ``sampling``; None for any other genome.
    """
    from pyphylo.genome import built_in_genomes

    for name in built_in_genomes():
        source = resources.files("pyphylo") / "data" / f"{name}.pilots.json"
        recorded: dict[str, Any] = json.loads(source.read_bytes())
        if recorded["genome"] == genome.digest:
            return recorded
    return None


class Entries:
    """The entries of a table by cell: frequencies, and each cell's self terms.

    Attributes
    ----------
    cell : ndarray of int64, shape (entries,)
        Model times genes, plus gene.
    p : ndarray of float64, shape (entries,)
    probes, plugin, self_terms : ndarray of float64, shape (cells,)
        Probes (0: exact, hybrid or missing), sum p^2 and its unbiased estimate; NaN
        where a cell is missing, and where it has one draw for the last.
    """

    def __init__(self, table: AlleleTable, model: NDArray[Any], gene: NDArray[Any]) -> None:
        core = table._core
        n_cells = len(table.models) * len(table.genes)
        self.cell = model * len(table.genes) + gene
        counts: NDArray[Any] = core.counts.astype(np.float64)
        n = self._sums(counts, n_cells)
        sampled = n[self.cell] > 0
        self.p = counts / np.maximum(n[self.cell], 1.0)
        # Noise comes from the draws: all of a sampled cell, those inside the undecided mass of
        # a hybrid one, none in an exact one.
        draws = counts
        undecided: NDArray[Any] = sampled.astype(np.float64)
        if core.probabilities.size:
            self.p = np.where(sampled, self.p, core.probabilities)
        if core.draws.size:
            draws = np.where(sampled, counts, core.draws.astype(np.float64))
            undecided = np.where(sampled, 1.0, table._undecided_of(model, gene))
        m = self._sums(draws, n_cells)
        mass = np.zeros(n_cells)
        mass[self.cell] = undecided
        f_squares = self._sums((draws / np.maximum(m[self.cell], 1.0)) ** 2, n_cells)
        noise = mass**2 * (1.0 - f_squares) / np.maximum(m - 1.0, 1.0)
        noise[(mass > 0) & (m < 2)] = np.nan
        self.probes = n
        self.plugin = self._sums(self.p**2, n_cells)
        self.plugin[self._sums(np.ones(len(self.p)), n_cells) == 0] = np.nan
        self.self_terms = self.plugin - noise

    def _sums(self, values: NDArray[Any], n_cells: int) -> NDArray[np.float64]:
        sums: NDArray[Any] = np.bincount(self.cell, weights=values, minlength=n_cells)
        return sums


def _mean(values: NDArray[np.float64]) -> float:
    """Over the genes that can tell; NaN where none can."""
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _rounded(value: float) -> float | None:
    return round(float(value), _DIGITS) if np.isfinite(value) else None
