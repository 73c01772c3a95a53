r"""Unbiased moments of allele frequencies, gene by gene, for one pair of models.

A cell of n probes gives, for the k-th power of an allele's frequency, the estimate
x (x - 1) ... (x - k + 1) / (n (n - 1) ... (n - k + 1)); its mean over samples is :math:`p^k`
exactly. Products of sums of such powers take probes that differ: of two alleles a, b the
estimate of :math:`p_a^j p_b^k` has n - j - ... in place of n, which is a factor that depends
on n alone, and where a = b a power of higher order. Exact cells are those of infinite n.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo.stats._cells import gene_of_entries, row_of

__all__ = ["LEAST_PROBES", "ModelTerms", "PairTerms", "model_terms", "pair_terms"]

_Floats = NDArray[np.float64]

LEAST_PROBES = 4
"""Probes without which a product of four frequencies has no unbiased estimate."""


@dataclass(frozen=True, eq=False)
class ModelTerms:
    """One model's entries and self terms.

    Attributes
    ----------
    columns, gene : ndarray of int, shape (entries,)
    powers : ndarray of float64, shape (4, entries)
        Estimates of p, p^2, p^3, p^4.
    probes : ndarray of float64, shape (genes,)
        Infinite where the cell is exact, NaN where it is missing.
    square, cube, fourth : ndarray of float64, shape (genes,)
        Sum p^2 (Nei's unbiased self term), sum p^3 and sum p^4.
    squared : ndarray of float64, shape (genes,)
        The square of sum p^2.
    """

    columns: NDArray[np.int64]
    gene: NDArray[np.int64]
    powers: _Floats
    probes: _Floats
    square: _Floats
    cube: _Floats
    fourth: _Floats
    squared: _Floats


@dataclass(frozen=True, eq=False)
class PairTerms:
    """Products of two models, p and q, shape (genes,) each.

    Attributes
    ----------
    product : ndarray
        N = sum p q.
    left, right : ndarray
        Sum p^2 q, and sum p q^2.
    squared : ndarray
        N^2.
    with_left, with_right : ndarray
        N sum p^2, and N sum q^2.
    """

    product: _Floats
    left: _Floats
    right: _Floats
    squared: _Floats
    with_left: _Floats
    with_right: _Floats


def model_terms(core: _core.AlleleTable) -> list[ModelTerms]:
    """Of every model; cells of fewer than four probes count as missing."""
    genes = gene_of_entries(core)
    values = core.entry_values()
    return [_of_model(core, genes, values, row_of(core, m)) for m in range(core.n_models)]


def _of_model(
    core: _core.AlleleTable, genes: NDArray[np.int64], values: _Floats, row: slice
) -> ModelTerms:
    n_genes = core.n_genes
    gene = genes[row]
    counts = core.counts[row].astype(np.float64)
    drawn = np.bincount(gene, counts, minlength=n_genes)
    probes = np.where(drawn > 0, drawn, np.inf)
    probes[np.bincount(gene, minlength=n_genes) == 0] = np.nan
    probes[probes < LEAST_PROBES] = np.nan
    kept = ~np.isnan(probes[gene])
    gene = gene[kept]
    powers = _powers(counts[kept], values[row][kept], probes[gene])
    square, cube, fourth = (_by_gene(gene, power, n_genes) for power in powers[1:])
    mixed = square**2 - _by_gene(gene, powers[1] ** 2, n_genes)
    with np.errstate(invalid="ignore"):
        factor = _without(probes, 0) * _without(probes, 1)
        factor /= _without(probes, 2) * _without(probes, 3)
    columns = core.columns[row][kept].astype(np.int64)
    squared = factor * mixed + fourth
    return ModelTerms(columns, gene, powers, probes, square, cube, fourth, squared)


def pair_terms(a: ModelTerms, b: ModelTerms) -> PairTerms:
    """Of two models; NaN where one of the two has no usable cell. O(entries log entries)."""
    n_genes = len(a.probes)
    _, here, there = np.intersect1d(a.columns, b.columns, assume_unique=True, return_indices=True)
    gene = a.gene[here]
    p, q = a.powers[:, here], b.powers[:, there]

    def total(values: _Floats) -> _Floats:
        return _by_gene(gene, values, n_genes)

    product, left, right = total(p[0] * q[0]), total(p[1] * q[0]), total(p[0] * q[1])
    with np.errstate(invalid="ignore"):
        two = _without(a.probes, 0) / _without(a.probes, 1)
        two = two * (_without(b.probes, 0) / _without(b.probes, 1))
        three_a = _without(a.probes, 0) / _without(a.probes, 2)
        three_b = _without(b.probes, 0) / _without(b.probes, 2)
    squared = two * (product**2 - total((p[0] * q[0]) ** 2)) + total(p[1] * q[1])
    with_left = three_a * (product * a.square - total(p[0] * p[1] * q[0])) + total(p[2] * q[0])
    with_right = three_b * (product * b.square - total(p[0] * q[0] * q[1])) + total(p[0] * q[2])
    return PairTerms(product, left, right, squared, with_left, with_right)


def _powers(counts: _Floats, values: _Floats, probes: _Floats) -> _Floats:
    """Estimates of the first four powers of each entry's frequency."""
    powers = np.empty((4, len(counts)))
    exact = np.isinf(probes)
    estimate = np.ones(len(counts))
    for k in range(4):
        with np.errstate(invalid="ignore"):
            drawn = (counts - k) / (probes - k)
        estimate = estimate * np.where(exact, values, drawn)
        powers[k] = estimate
    return powers


def _without(probes: _Floats, k: int) -> _Floats:
    """Probes less k; 1 for an exact cell, whose n cancels in every ratio."""
    return np.where(np.isinf(probes), 1.0, probes - k)


def _by_gene(gene: NDArray[np.int64], values: _Floats, n_genes: int) -> _Floats:
    total: _Floats = np.bincount(gene, values, minlength=n_genes).astype(np.float64, copy=False)
    return total
