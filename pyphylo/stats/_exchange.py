r"""Probes of two stores exchanged gene by gene: the statistic's null distribution, compiled.

Of a gene, allele a was said t_a times in all, x_a times by the first store (n probes) and
t_a - x_a times by the other (m). The statistic is the unbiased squared distance

.. math:: D = \frac{A - n}{n (n-1)} + \frac{A' - m}{m (m-1)} - 2 \frac{B - A}{n m}

with :math:`A = \sum x^2`, :math:`B = \sum x t` and :math:`A' = \sum t^2 - 2 B + A`: a
permutation changes A and B only. Given t, which probes are the first store's is a draw of n
of the n + m without replacement.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = ["exceedances"]


@compiled
def _mixed(state: np.uint64) -> np.uint64:
    """The output function of SplitMix64 (Steele, Lea & Flood 2014)."""
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: np.uint64 = z ^ (z >> np.uint64(31))
    return mixed


@compiled
def exceedances(
    labels: NDArray[np.int64],
    starts: NDArray[np.int64],
    first: NDArray[np.int64],
    totals: NDArray[np.int64],
    observed: float,
    most: int,
    enough: int,
    key: np.uint64,
) -> tuple[int, int]:
    """How many permutations reach the observed statistic, and how many were made.

    Parameters
    ----------
    labels : ndarray of int64, shape (probes of all genes,)
        The allele of every probe; those of gene g are ``labels[starts[g]:starts[g + 1]]``.
        Shuffled in place.
    first : ndarray of int64, shape (genes,)
        How many of a gene's probes are the first store's, n.
    totals : ndarray of int64, shape (alleles,)
        t of each allele; an allele is of one gene.
    observed : float
        Sum over genes of D, less what a rounding error could be.
    most, enough : int
        Permutations at most, and exceedances at which to stop.
    key : uint64
        Of the random stream.

    Notes
    -----
    Invariant: before a gene's draws, `labels` holds its probes in some order, which the
    draws before have made a random one, and x is 0; after k draws the first k places hold a
    random sample, x its counts, A and B their sums. The smaller side is drawn, so that
    a permutation takes min(n, m) steps a gene. Draws are (r >> 32) * k >> 32 of 64-bit
    numbers r: chances differ from 1 / k by less than 2^-32.
    """
    n_genes = len(first)
    x = np.zeros(len(totals), np.int64)
    # D of the drawn side as a A - b B + c, gene by gene.
    a, b, c = np.empty(n_genes), np.empty(n_genes), np.empty(n_genes)
    drawn = np.empty(n_genes, np.int64)
    for g in range(n_genes):
        size = starts[g + 1] - starts[g]
        n = min(first[g], size - first[g])
        m = size - n
        drawn[g] = n
        squares = 0
        for k in range(starts[g], starts[g + 1]):
            squares += totals[labels[k]]
        a[g] = 1.0 / (n * (n - 1)) + 1.0 / (m * (m - 1)) + 2.0 / (n * m)
        b[g] = 2.0 / (m * (m - 1)) + 2.0 / (n * m)
        c[g] = (squares - m) / (m * (m - 1)) - 1.0 / (n - 1)
    state = key
    reached = 0
    for made in range(1, most + 1):
        total = 0.0
        for g in range(n_genes):
            begin, end = starts[g], starts[g + 1]
            square = product = 0
            for k in range(begin, begin + drawn[g]):
                state += np.uint64(0x9E3779B97F4A7C15)
                high = _mixed(state) >> np.uint64(32)
                at = k + np.int64((high * np.uint64(end - k)) >> np.uint64(32))
                allele = labels[at]
                labels[at] = labels[k]
                labels[k] = allele
                square += 2 * x[allele] + 1
                product += totals[allele]
                x[allele] += 1
            for k in range(begin, begin + drawn[g]):
                x[labels[k]] = 0
            total += a[g] * square - b[g] * product + c[g]
        if total >= observed:
            reached += 1
            if reached == enough:
                return reached, made
    return reached, most
