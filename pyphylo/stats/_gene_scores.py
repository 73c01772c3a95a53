"""How well a gene alone predicts scores: a kernel regression, each model left out in turn."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyphylo.stats._gene_blocks import GeneBlock, sums

__all__ = ["score_r2"]

_Floats = NDArray[np.float64]


def score_r2(block: GeneBlock, score: _Floats, code: NDArray[np.int64]) -> _Floats:
    r"""Share of the scores' variance that a gene predicts, out of sample.

    A model's prediction is the mean score of the others, weighted by the probability
    :math:`N_{ij} = \sum_a p_{ia} p_{ja}` that model j gives the same allele at this gene,
    and one more model of mean score:

    .. math:: \hat y_i = \frac{\bar y + \sum_j N_{ij} y_j}{1 + \sum_j N_{ij}}

    All sums and means leave out model i and its group. The result is
    :math:`1 - \sum (y - \hat y)^2 / \sum (y - \bar y)^2`: 0 for a gene that says nothing,
    below 0 for one that misleads.

    Parameters
    ----------
    block : GeneBlock
    score : ndarray of float64, shape (models,)
        NaN where it is unknown: such models take no part.
    code : ndarray of int64, shape (models,)
        Groups that are left out whole; -1: a group of its own.

    Returns
    -------
    ndarray of float64, shape (genes,)
        NaN with fewer than three models, or where all have the same score.

    Notes
    -----
    Kernel regression after Nadaraya (1964) and Watson (1964), its kernel the gene's own
    identity. Sums over others are sums over all less those over one's group, so this takes
    O(entries log entries) time instead of a pass over pairs.
    """
    alone = code < 0
    code = np.where(alone, code.max() + 1 + np.cumsum(alone), code)
    n_groups = int(code.max()) + 1
    known = np.isfinite(score)
    has = block.present() & known[:, None]
    used = known[block.model]
    model, gene, column = (a[used] for a in (block.model, block.gene, block.column))
    p = block.p[used]
    group = code[model]
    pairs, place = np.unique(column * n_groups + group, return_inverse=True)
    # Centred, so that the rest after taking away one's own group has no digits to lose.
    y: _Floats = np.where(known, score, 0.0) - float(score[known].mean())

    def others(values: _Floats) -> _Floats:
        """Sums over each entry's allele of the models outside its group."""
        total = sums(column, values, block.n_columns)[column]
        return total - sums(place, values, len(pairs))[place]

    def by_cell(values: _Floats) -> _Floats:
        cell = model * block.n_genes + gene
        total = sums(cell, values, block.n_models * block.n_genes)
        return total.reshape(block.n_models, block.n_genes)

    weight = by_cell(p * others(p))
    weighted = by_cell(p * others(p * y[model]))
    mean = _mean_of_others(has, y, code, n_groups)
    predicted = (mean + weighted) / (1.0 + weight)
    told = has & np.isfinite(mean)
    miss = np.where(told, (y[:, None] - predicted) ** 2, 0.0).sum(axis=0)
    spread = np.where(told, (y[:, None] - mean) ** 2, 0.0).sum(axis=0)
    r2: _Floats = np.full(block.n_genes, np.nan)
    scale = float((y[known] ** 2).max())
    enough = (told.sum(axis=0) > 2) & (spread > 1e-12 * scale)
    np.divide(miss, spread, out=r2, where=enough)
    return 1.0 - r2


def _mean_of_others(
    has: NDArray[np.bool_], y: _Floats, code: NDArray[np.int64], n_groups: int
) -> _Floats:
    """Mean score of the models outside each model's group that have the gene; NaN for none."""
    count = np.zeros((n_groups, has.shape[1]))
    total = np.zeros((n_groups, has.shape[1]))
    np.add.at(count, code, has.astype(np.float64))
    np.add.at(total, code, has * y[:, None])
    n = count.sum(axis=0) - count[code]
    mean: _Floats = np.full(has.shape, np.nan)
    np.divide(total.sum(axis=0) - total[code], n, out=mean, where=n > 0)
    return mean
