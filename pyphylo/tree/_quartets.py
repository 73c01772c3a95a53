"""Quartets of distances, compiled: how far they are from the four-point condition.

Of a quartet i, j, k, l the three sums d_ij + d_kl, d_ik + d_jl and d_il + d_jk are sorted, with

    width = largest - smallest,    gap = largest - middle,    delta = gap / width.

On a tree the two larger sums are equal (the four-point condition), so gap and delta are 0. Sums of
which the outer two differ by no more than a tolerance say nothing: all three numbers are 0 then.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = ["all_from", "sampled"]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)
_BATCH = 256


@compiled
def _score(
    a: float, b: float, c: float, relative: float, tolerance: float
) -> tuple[float, float, float]:
    """Delta, gap and width of three sums. No branch, so that loops take several at once."""
    low = a if a < b else b
    high = b if a < b else a
    largest = c if c > high else high
    smallest = c if c < low else low
    rest = c if c < high else high
    middle = rest if rest > low else low
    width = largest - smallest
    differs = (width > relative * largest) & (width > tolerance)
    gap = largest - middle if differs else 0.0
    delta = np.divide(gap, width if differs else 1.0)
    return delta, gap, width if differs else 0.0


@compiled
def _scores_of_rows(
    di: NDArray[np.float64],
    dj: NDArray[np.float64],
    dk: NDArray[np.float64],
    d_ij: float,
    d_ik: float,
    d_jk: float,
    relative: float,
    tolerance: float,
    scores: NDArray[np.float64],
) -> None:
    """Delta, gap, width and gap squared of i, j, k with every l whose distances are given."""
    for t in range(di.shape[0]):
        delta, gap, width = _score(d_ij + dk[t], d_ik + dj[t], di[t] + d_jk, relative, tolerance)
        scores[0, t] = delta
        scores[1, t] = gap
        scores[2, t] = width
        scores[3, t] = gap * gap


@compiled
def _total(values: NDArray[np.float64]) -> float:
    """Sum of an array, which is overwritten: halves are added until few are left.

    Always in the same order, whatever a processor takes at once.
    """
    m = values.shape[0]
    while m > 8:
        half = m // 2
        for t in range(half):
            values[t] += values[m - half + t]
        m -= half
    total = 0.0
    for t in range(m):
        total += values[t]
    return total


@compiled
def all_from(
    D: NDArray[np.float64],
    i: int,
    relative: float,
    tolerance: float,
    sums: NDArray[np.float64],
) -> None:
    """Add the scores of every quartet i < j < k < l to its four members.

    Parameters
    ----------
    D : (n, n) array
    i : int
        The first member.
    relative, tolerance : float
        Widths up to `tolerance`, or `relative` times the largest sum, count as 0.
    sums : (4, n) array, added to
        Of delta, gap, width and gap squared.
    """
    n = D.shape[0]
    scores = np.empty((4, n))
    for j in range(i + 1, n - 2):
        for k in range(j + 1, n - 1):
            m = n - k - 1
            _scores_of_rows(
                D[i, k + 1 :],
                D[j, k + 1 :],
                D[k, k + 1 :],
                D[i, j],
                D[i, k],
                D[j, k],
                relative,
                tolerance,
                scores,
            )
            for s in range(4):
                of_l = sums[s, k + 1 :]
                row = scores[s, :m]
                for t in range(m):
                    of_l[t] += row[t]
                total = _total(row)
                sums[s, i] += total
                sums[s, j] += total
                sums[s, k] += total


@compiled
def _word(key: Any, counter: Any) -> Any:
    """Random word number `counter` of the stream `key`: SplitMix64 (Steele et al. 2014)."""
    z = key + (counter + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@compiled
def _three_others(key: Any, number: int, n: int, x: int) -> tuple[int, int, int]:
    """Three different items of n, none of them x, each such three as likely as another.

    A draw below m is the upper half of 32 random bits times m; its chance differs from 1 / m by
    less than 2^-32. Each further draw is made among those left, and moved past those taken.
    """
    first = _word(key, np.uint64(2 * number))
    second = _word(key, np.uint64(2 * number + 1))
    a = np.int64(((first >> _S32) * np.uint64(n - 1)) >> _S32)
    b = np.int64(((first & _LOW) * np.uint64(n - 2)) >> _S32)
    c = np.int64(((second >> _S32) * np.uint64(n - 3)) >> _S32)
    if b >= a:
        b += 1
    low, high = min(a, b), max(a, b)
    if c >= low:
        c += 1
    if c >= high:
        c += 1
    return a + (a >= x), b + (b >= x), c + (c >= x)


@compiled
def sampled(
    D: NDArray[Any],
    first: int,
    last: int,
    n_quartets: int,
    keys: NDArray[np.uint64],
    relative: float,
    tolerance: float,
    moments: NDArray[np.float64],
) -> None:
    """Sums over random quartets of each of the items first <= x < last.

    Parameters
    ----------
    D : (n, n) array
    first, last, n_quartets : int
    keys : (n,) array
        A key of its own for each item's stream.
    relative, tolerance : float
        As in `all_from`.
    moments : (8, n) array, filled
        Sums of delta, gap, width, gap^2, delta^2, gap width, width^2 and gap^4.
    """
    n = D.shape[0]
    sums = np.empty((3, _BATCH))
    for x in range(first, last):
        own = np.zeros(8)
        for start in range(0, n_quartets, _BATCH):
            m = min(_BATCH, n_quartets - start)
            # Far parts of a large matrix are waited for together, not one after the other.
            for t in range(m):
                i, j, k = _three_others(keys[x], start + t, n, x)
                sums[0, t] = np.float64(D[x, i]) + np.float64(D[j, k])
                sums[1, t] = np.float64(D[x, j]) + np.float64(D[i, k])
                sums[2, t] = np.float64(D[x, k]) + np.float64(D[i, j])
            for t in range(m):
                delta, gap, width = _score(sums[0, t], sums[1, t], sums[2, t], relative, tolerance)
                q = gap * gap
                own[0] += delta
                own[1] += gap
                own[2] += width
                own[3] += q
                own[4] += delta * delta
                own[5] += gap * width
                own[6] += width * width
                own[7] += q * q
        moments[:, x] = own
