"""P-values for many statistics that share their genes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["adjusted_below_zero", "benjamini_hochberg", "holm"]

_DRAWS = 4000
_BETA = 0.001
"""Chance that is spent on telling which statistics can matter."""
_TOGETHER = 4096
"""Statistics whose draws are formed at once."""


def holm(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's (1979) adjusted p-values: none of them is below alpha wrongly, but in alpha of cases.

    NaN stays, and is not counted.
    """
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(factors * p[order]))
    return adjusted


def benjamini_hochberg(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini & Hochberg's (1995) adjusted p-values, of the false discovery rate.

    NaN stays, and is not counted.
    """
    adjusted = np.full(p.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return adjusted


def adjusted_below_zero(
    sums: NDArray[np.float64], sizes: NDArray[np.int64], seed: int = 0
) -> NDArray[np.float64]:
    r"""P-values of means that are at least 0 against means below 0, for all of them together.

    Parameters
    ----------
    sums : ndarray of float64, shape (statistics, blocks)
        Each statistic's sums over the genes of a block.
    sizes : ndarray of int64, shape (blocks,)
    seed : int
        Of the draws.

    Returns
    -------
    ndarray of float64, shape (statistics,)
        If no mean is below 0, the least of them is below alpha in about alpha of
        cases, however the statistics are correlated.

    Notes
    -----
    The least z is compared with the least of many draws of a multivariate t with the
    statistics' own correlation: normal multipliers of the blocks, over the root of a
    chi-square. Statistics that are clearly above 0 cannot be the least one and are left out
    first, which spends 0.002 of the level (two-step: Romano, Shaikh & Wolf 2014,
    Econometrica 82:1979; multipliers: Chernozhukov, Chetverikov & Kato 2019, Rev. Econ.
    Stud. 86:1867). They get 1, and so does a statistic that does not vary and is not below 0.
    O(4,000 x statistics x blocks) time.
    """
    n, blocks = sizes.sum(), len(sizes)
    mean = sums.sum(axis=1) / n
    apart = sums / sizes - mean[:, None]
    apart *= np.sqrt(sizes / (n - sizes) / blocks)
    error = np.sqrt((apart**2).sum(axis=1))
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where((error == 0) & (mean == 0), 0.0, mean / error)
        directions = np.where(error[:, None] > 0, apart / error[:, None], 0.0).astype(np.float32)
    rng = np.random.default_rng(seed)
    multipliers = rng.standard_normal((_DRAWS, blocks), np.float32)
    scale = np.sqrt(rng.chisquare(blocks - 1, _DRAWS) / (blocks - 1))
    largest = _largest(multipliers, directions) / scale
    clear = 2 * np.quantile(largest, 1 - _BETA)
    kept = z < clear
    p = np.ones(len(z))
    largest = np.sort(_largest(multipliers, directions[kept]) / scale)
    above = _DRAWS - np.searchsorted(largest, -z[kept], side="left")
    p[kept] = np.minimum(1.0, (above + 1) / (_DRAWS + 1) + 2 * _BETA)
    return p


def _largest(
    multipliers: NDArray[np.float32], directions: NDArray[np.float32]
) -> NDArray[np.float64]:
    """The largest of all statistics in each draw."""
    largest = np.full(len(multipliers), -np.inf)
    for begin in range(0, len(directions), _TOGETHER):
        drawn = multipliers @ directions[begin : begin + _TOGETHER].T
        np.maximum(largest, drawn.max(axis=1), out=largest)
    return largest
