"""Spread and skewness of every pair over replicates, which are formed a block at a time.

What is kept of the replicates are sums of the first three powers of their difference from
the estimate: 40 bytes a pair, whatever their number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo._memory import require_memory
from pyphylo.alleles import AlleleTable
from pyphylo.resampling import gene_weights, resample_similarity

__all__ = ["Moments", "limits", "moments_of_pairs", "moments_without_each", "shared_genes"]

_Floats = NDArray[np.float64]

_PAIRS = 1 << 12
"""Pairs whose sums are brought up to date together: they stay in the cache."""

_LEAST = 0.2
"""Of 1 - |k| (q + |k| / 6), to skewness k and quantile q: limits then lie 1.6 quantiles away."""


@dataclass(frozen=True, eq=False)
class Moments:
    """Of every pair, arrays of one shape.

    Attributes
    ----------
    estimate, bias, error : ndarray of float64
        What all genes give, its bias, and its standard error.
    skewness : ndarray of float64
        Of the estimate's own distribution; O(1 / sqrt(genes)).
    """

    estimate: _Floats
    bias: _Floats
    error: _Floats
    skewness: _Floats


def moments_of_pairs(
    table: AlleleTable,
    shared: NDArray[np.int64],
    *,
    method: str,
    n: int,
    seed: int,
    estimator: str,
    n_threads: int,
) -> Moments:
    """Of Nei's identity of all pairs, over genes left out one by one or drawn anew.

    Parameters
    ----------
    table : AlleleTable
    shared : ndarray of int, shape (pairs,)
        Genes that both models of a pair have.
    method, n, seed, estimator, n_threads
        As in `similarity_errors`.

    Returns
    -------
    Moments
        Condensed. NaN where a pair has no identity; a jackknife with a
        replicate that has none gives NaN, a bootstrap leaves such replicates out.

    Notes
    -----
    O(replicates x genes x pairs) time in the resampling kernel, a few operations a replicate
    and pair here.
    """
    n_genes, pairs = len(table.genes), len(shared)
    require_memory(8 * 8 * pairs, f"error bars of {pairs} pairs")
    weights = gene_weights(n_genes, method, n, seed)
    # The first replicate is the estimate itself.
    weights = np.concatenate([np.ones((1, n_genes), np.int64), weights])
    replicates = resample_similarity(
        table, weights, estimator=estimator, dtype="float64", n_threads=n_threads
    )
    estimate = np.full(pairs, np.nan)
    sums = np.zeros((3, pairs))
    counts = np.zeros(pairs)
    for first, values in replicates.blocks():
        if first == 0:
            estimate[:] = values[0]
        for start in range(0, pairs, _PAIRS):
            part = slice(start, start + _PAIRS)
            x = values[1 if first == 0 else 0 :, part] - estimate[part]
            if method == "bootstrap":
                defined = ~np.isnan(x)
                counts[part] += defined.sum(axis=0)
                x = np.where(defined, x, 0.0)
            power = x.copy()
            for row in sums[:, part]:
                row += power.sum(axis=0)
                power *= x
    if method == "bootstrap":
        return _bootstrap(estimate, counts, sums)
    return _jackknife(estimate, shared.astype(np.float64), sums)


def moments_without_each(estimate: _Floats, without: _Floats, shared: NDArray[np.bool_]) -> Moments:
    """The jackknife of some statistics, shape (statistics,).

    Parameters
    ----------
    estimate : ndarray, shape (statistics,)
    without : ndarray, shape (statistics, genes)
        The statistics with one gene left out.
    shared : ndarray of bool, shape (statistics, genes)
        Genes that are part of each sample.
    """
    x = np.where(shared, without - estimate[:, None], 0.0)
    sums = np.stack([x.sum(axis=1), (x**2).sum(axis=1), (x**3).sum(axis=1)])
    return _jackknife(estimate, shared.sum(axis=1).astype(np.float64), sums)


def _jackknife(estimate: _Floats, genes: _Floats, sums: _Floats) -> Moments:
    """Tukey's (1958) error; the influence of a gene is minus (genes - 1) times its x."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, squares, cubes = _central(genes, sums)
        error = np.sqrt((genes - 1) / genes * squares)
        error[genes < 2] = np.nan
        skewness = np.where(squares > 0, -cubes / squares**1.5, 0.0)
        return Moments(estimate, (genes - 1) * mean, error, skewness)


def _bootstrap(estimate: _Floats, counts: _Floats, sums: _Floats) -> Moments:
    """Efron's (1979) error, divisor replicates - 1."""
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, squares, cubes = _central(counts, sums)
        error = np.sqrt(squares / (counts - 1))
        error[(counts < 2) | np.isnan(estimate)] = np.nan
        skewness = np.where(squares > 0, cubes / squares**1.5 * np.sqrt(counts), 0.0)
        return Moments(estimate, mean, error, skewness)


def _central(counts: _Floats, sums: _Floats) -> tuple[_Floats, _Floats, _Floats]:
    """The mean, and the sums of squares and cubes about it."""
    mean = sums[0] / counts
    squares = np.maximum(sums[1] - mean * sums[0], 0.0)
    cubes = sums[2] - 3 * mean * sums[1] + 2 * mean**2 * sums[0]
    return mean, squares, cubes


def limits(moments: Moments, genes: NDArray[np.int64], level: float) -> tuple[_Floats, _Floats]:
    r"""Lower and upper confidence limits of the estimates, corrected for skewness.

    With z the estimate's distance from the truth in standard errors and k its skewness,
    :math:`g(z) = z + k z^2 / 3 + k^2 z^3 / 27 + k / 6` has none to the order of
    :math:`1 / \sqrt{genes}` (Hall 1992, J. R. Stat. Soc. B 54:221); it is monotone, so the
    quantiles of Student's t with genes - 1 degrees of freedom go back through
    :math:`z = 3 ((1 + k (g - k / 6))^{1/3} - 1) / k`, with |k| so small
    that :math:`1 - |k| (|g| + |k| / 6)` is 0.2 or more: below 0.39 of 95 % limits.
    """
    from scipy.stats import t

    reach = np.asarray(t.ppf((1 + level) / 2, np.maximum(genes - 1, 1)), np.float64)
    low = moments.estimate - moments.error * _skewed(reach, moments.skewness)
    high = moments.estimate - moments.error * _skewed(-reach, moments.skewness)
    return low, high


def _skewed(quantile: _Floats, skewness: _Floats) -> _Floats:
    """The z of g(z) = quantile; without skewness the quantile itself.

    g is flat at z = -3 / k, where the root is of 0 and its inverse leaps: of 95 % limits, from 3
    to 8 standard errors where k moves from 0.4 to 0.5. No more skewness is corrected for than
    leaves `_LEAST` under the root.
    """
    q = np.abs(quantile)
    most = 3 * (np.sqrt(q * q + (1 - _LEAST) * 2 / 3) - q)
    straight = np.abs(skewness) < 1e-8
    k = np.where(straight, 1.0, np.clip(skewness, -most, most))
    bent = 3 / k * (np.cbrt(1 + k * (quantile - k / 6)) - 1)
    return np.where(straight, quantile, bent)


def shared_genes(present: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Genes that both models of each pair have, condensed; `present` is models x genes.

    Counts stay below 2^24, which float32 holds exactly.
    """
    n = len(present)
    wide = present.astype(np.float32)
    shared = np.empty(n * (n - 1) // 2, np.int64)
    begin = 0
    for i in range(n - 1):
        end = begin + n - 1 - i
        shared[begin:end] = wide[i + 1 :] @ wide[i]
        begin = end
    return shared
