"""The alleles that tell most of a model, beside its relatives'."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable
    from pyphylo.store import SampleStore

__all__ = ["add_words", "telling_alleles"]

_GENES = 8
"""Alleles shown of a model, each of another gene."""

_LONGEST = 60
"""Characters of a completion that are shown."""


def telling_alleles(
    table: AlleleTable, relatives: NDArray[np.int64], prompts: Sequence[str | None]
) -> dict[str, Any]:
    """What a model says that most others do not, and how often its relatives say it.

    An allele of frequency p in the model and m on average over all models tells
    p log(p/m): its part of the divergence of the model from the mean (Kullback &
    Leibler 1951). The most telling allele of each gene is taken, and the most telling
    eight of those.

    Parameters
    ----------
    table : AlleleTable
        Its models in the order of the tree.
    relatives : ndarray of int64, shape (n_models, k)
        Models whose frequencies are shown beside.
    prompts : sequence of (str or None)
        Of each gene.

    Returns
    -------
    dict
        ``genes`` and ``prompts`` that are shown; ``rows``, of each model a list of
        [place in prompts, allele, frequency, mean, relatives' frequencies].

    Notes
    -----
    O(nnz log nnz) time.
    """
    core = table._core
    n, width = len(table.models), core.n_columns
    model = np.repeat(np.arange(n), np.diff(core.indptr))
    column = np.asarray(core.columns, dtype=np.int64)
    gene = np.searchsorted(core.gene_offsets, column, side="right") - 1
    frequency = _frequencies(core, model * len(table.genes) + gene)
    mean = np.bincount(column, frequency, width) / n
    tells = frequency * np.log(np.maximum(frequency, 1e-300) / np.maximum(mean[column], 1e-300))
    chosen = _best(model, gene, tells)
    key = model * width + column
    order = np.argsort(key)
    at = model[chosen]
    beside = np.zeros((len(chosen), relatives.shape[1]))
    for j in range(relatives.shape[1]):
        wanted = relatives[at, j] * width + column[chosen]
        place = np.minimum(np.searchsorted(key[order], wanted), len(key) - 1)
        found = order[place]
        beside[:, j] = np.where(key[found] == wanted, frequency[found], 0.0)
    import pyarrow as pa

    alleles = table.alleles().take(pa.array(column[chosen])).to_pylist()
    genes, number = np.unique(gene[chosen], return_inverse=True)
    rows: list[list[Any]] = [[] for _ in range(n)]
    for i, entry in enumerate(chosen.tolist()):
        rows[int(model[entry])].append(
            [
                int(number[i]),
                alleles[i],
                round(float(frequency[entry]), 3),
                round(float(mean[column[entry]]), 3),
                [round(value, 3) for value in beside[i].tolist()],
            ]
        )
    return {
        "genes": [table.genes[g] for g in genes.tolist()],
        "prompts": [prompts[g] or str(table.genes[g]) for g in genes.tolist()],
        "rows": rows,
    }


def add_words(telling: dict[str, Any], models: Sequence[str], store: SampleStore) -> None:
    """Put beside each allele the first completion of its model that begins so.

    By the paper's rule, as `cached_table` makes alleles. O(store) time, one model at a
    time in memory.
    """
    from pyphylo.alleles import AlleleRule

    rule = AlleleRule()
    rows = dict(zip(models, telling["rows"], strict=True))
    place = {gene: number for number, (gene, _) in enumerate(store.genome)}
    for shard in store.shards():
        wanted = rows.get(shard.identity.name, [])
        if not wanted:
            continue
        texts = shard.table.column("completion").combine_chunks()
        texts = texts.dictionary_decode() if hasattr(texts, "dictionary_decode") else texts
        alleles = np.asarray(rule.apply(texts).to_numpy(zero_copy_only=False), dtype=object)
        genes = shard.table.column("gene").to_numpy()
        for row in wanted:
            of_gene = np.flatnonzero(genes == place[telling["genes"][row[0]]])
            same = of_gene[alleles[of_gene] == row[1]]
            row.append(texts[int(same[0])].as_py()[:_LONGEST] if len(same) else None)


def _frequencies(core: Any, cell: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of each entry: its count by its cell's probes, or its probability."""
    counts = np.asarray(core.counts, dtype=np.float64)
    probes = np.bincount(cell, counts)[cell]
    frequency = np.divide(counts, probes, out=np.zeros(len(counts)), where=probes > 0)
    if core.probabilities.size:
        frequency = np.where(probes > 0, frequency, np.asarray(core.probabilities))
    return frequency


def _best(
    model: NDArray[np.int64], gene: NDArray[np.int64], tells: NDArray[np.float64]
) -> NDArray[np.int64]:
    """Entries, by model and then by how much they tell; one a gene, `_GENES` a model."""
    by_gene = np.lexsort((-tells, gene, model))
    first = np.ones(len(by_gene), dtype=bool)
    first[1:] = (np.diff(model[by_gene]) != 0) | (np.diff(gene[by_gene]) != 0)
    best = by_gene[first]
    best = best[tells[best] > 0]
    best = best[np.lexsort((-tells[best], model[best]))]
    start = np.searchsorted(model[best], model[best], side="left")
    return best[np.arange(len(best)) - start < _GENES]
