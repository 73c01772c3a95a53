"""Tables of simulated populations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pyphylo.alleles import AlleleTable
from pyphylo.simulate._draws import Draws, allele_texts, numbered
from pyphylo.simulate._populations import Population, picked

__all__ = ["counts_of", "tabled", "tabled_exactly"]


def counts_of(p: NDArray[np.float64], n_probes: int, draws: Draws) -> NDArray[np.int64]:
    """How often each allele is drawn: a row a gene, `n_probes` draws each."""
    u = draws.uniform(len(p), n_probes)
    cells = np.arange(len(p))[:, None] * p.shape[1] + picked(p, u)
    counts: NDArray[np.int64] = np.bincount(cells.ravel(), minlength=p.size).reshape(p.shape)
    return counts


def tabled(
    make: Any,
    models: Sequence[str],
    populations: Sequence[Population],
    values: Iterator[NDArray[Any]],
) -> AlleleTable:
    """A table by a constructor of `AlleleTable`; `values` are of every model a row a gene."""
    genes, alleles, entries, sizes = [], [], [], []
    n_genes = 0
    for population, rows in zip(populations, values, strict=True):
        n_genes = len(rows)
        gene, column = np.nonzero(rows)
        genes.append(gene.astype(np.int32))
        alleles.append(population.alleles[column])
        entries.append(rows[gene, column])
        sizes.append(len(gene))
    text: pa.DictionaryArray = allele_texts(np.concatenate(alleles))
    table: AlleleTable = make(
        models,
        numbered("gene", n_genes),
        np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        np.concatenate(genes),
        text,
        np.concatenate(entries),
    )
    return table


def tabled_exactly(
    models: Sequence[str], populations: Sequence[Population], settings: Mapping[str, Any]
) -> AlleleTable:
    """The populations' true frequencies, as exact cells, with what was simulated as provenance."""
    values = (population.frequencies for population in populations)
    table = tabled(AlleleTable.from_probabilities, models, populations, values)
    table.provenance["simulation"] = {**settings, "n_probes": None}
    return table
