"""How far a model is from the mixtures of two others, and which mixture is the nearest."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo.stats._f_panel import F2Panel, block_moments

__all__ = [
    "Interval",
    "delete_one",
    "distance_contrasts",
    "mixture_weight",
    "nonlinear_error",
    "segment_distances",
]


class Interval(NamedTuple):
    """An estimate, its jackknife error and limits."""

    estimate: float
    se: float
    lower: float
    upper: float


def delete_one(sums: NDArray[np.float64], sizes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Means over genes without each block in turn, shape (..., blocks)."""
    left: NDArray[np.float64] = sums.sum(axis=-1, keepdims=True) - sums
    left /= sizes.sum() - sizes
    return left


def nonlinear_error(
    whole: NDArray[np.float64], without: NDArray[np.float64], sizes: NDArray[np.int64]
) -> NDArray[np.float64]:
    """The delete-one-block jackknife for blocks of unequal sizes (Busing et al. 1999, eq. 4)."""
    h = sizes.sum() / sizes
    blocks = len(sizes)
    centre = blocks * whole - ((1 - 1 / h) * without).sum(axis=-1)
    pseudo = h * whole[..., None] - (h - 1) * without
    spread = ((pseudo - centre[..., None]) ** 2 / (h - 1)).sum(axis=-1) / blocks
    error: NDArray[np.float64] = np.sqrt(spread)
    return error


def _segment(
    to_a: NDArray[np.float64], to_b: NDArray[np.float64], a_to_b: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared distance of a point from the segment between a and b, from three squared distances.

    With the share of a, x = (to_b + a_to_b - to_a) / (2 a_to_b), between 0 and 1.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.clip((to_b + a_to_b - to_a) / (2 * a_to_b), 0.0, 1.0)
    share = np.where(a_to_b > 0, share, (to_a < to_b).astype(np.float64))
    distance: NDArray[np.float64] = (
        share * to_a + (1 - share) * to_b - share * (1 - share) * np.maximum(a_to_b, 0.0)
    )
    return distance


def segment_distances(
    panel: F2Panel, model: int, a: NDArray[np.int64], b: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Squared distance of a model from the nearest mixture of each pair (a, b)."""
    n = panel.sizes.sum()
    sides = [panel.blocks_of(*pair).sum(axis=-1) / n for pair in ((model, a), (model, b), (a, b))]
    return _segment(*sides)


def distance_contrasts(
    panel: F2Panel, model: int, first: tuple[int, int], a: NDArray[np.int64], b: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """How much farther than from `first` the model is from each pair (a, b), and the error."""
    n = panel.sizes.sum()
    i, j = np.append(a, first[0]), np.append(b, first[1])
    sums = [panel.blocks_of(*pair) for pair in ((model, i), (model, j), (i, j))]
    whole = _segment(*(part.sum(axis=-1) / n for part in sums))
    without = _segment(*(delete_one(part, panel.sizes) for part in sums))
    contrast = whole[:-1] - whole[-1]
    return contrast, nonlinear_error(contrast, without[:-1] - without[-1], panel.sizes)


def mixture_weight(panel: F2Panel, model: int, a: int, b: int, confidence: float) -> Interval:
    """Share of `a` in the nearest point of the line through a and b, by least squares.

    sum w (m - b)(a - b) / sum w (a - b)^2, both sums unbiased: f3(b; m, a) / f2(a, b).
    NaN where a and b cannot be told apart.
    """
    from scipy.special import stdtrit

    top, bottom = panel.f3_blocks(b, model, a), panel.blocks_of(a, b)
    mean, error = block_moments(bottom, panel.sizes)
    if not mean > 2 * error:
        return Interval(np.nan, np.nan, np.nan, np.nan)
    whole = np.asarray(top.sum() / bottom.sum())
    without = delete_one(top, panel.sizes) / delete_one(bottom, panel.sizes)
    se = float(nonlinear_error(whole, without, panel.sizes))
    reach = float(stdtrit(len(panel.sizes) - 1, (1 + confidence) / 2)) * se
    return Interval(float(whole), se, float(whole) - reach, float(whole) + reach)
