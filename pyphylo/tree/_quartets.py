"""Quartets of distances, compiled: delta scores and Q-residuals.

Of a quartet i, j, k, l the three sums d_ij + d_kl, d_ik + d_jl and d_il + d_jk are sorted. On a
tree the two larger ones are equal (the four-point condition), so

    delta = (largest - middle) / (largest - smallest)       between 0 and 1, 0 if all are equal
    q     = (largest - middle)^2

are 0 there. Sums that differ by less than `tolerance` times the largest count as equal.
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
_BATCH = 256
_LOW = np.uint64(0xFFFFFFFF)


@compiled
def _score(a: float, b: float, c: float, tolerance: float) -> tuple[float, float]:
    """Delta and q of three sums. No branch, so that loops over it take several at once."""
    low = a if a < b else b
    high = b if a < b else a
    largest = c if c > high else high
    smallest = c if c < low else low
    rest = c if c < high else high
    middle = rest if rest > low else low
    width = largest - smallest
    differs = width > tolerance * largest
    gap = largest - middle if differs else 0.0
    return np.divide(gap, width if differs else 1.0), gap * gap


@compiled
def _scores_of_rows(
    di: NDArray[np.float64],
    dj: NDArray[np.float64],
    dk: NDArray[np.float64],
    d_ij: float,
    d_ik: float,
    d_jk: float,
    tolerance: float,
    delta: NDArray[np.float64],
    q: NDArray[np.float64],
) -> None:
    """Delta and q of i, j, k with every l of a stretch, to which their distances are given."""
    for t in range(di.shape[0]):
        delta[t], q[t] = _score(d_ij + dk[t], d_ik + dj[t], di[t] + d_jk, tolerance)


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
def all_from(D: NDArray[np.float64], i: int, tolerance: float, sums: NDArray[np.float64]) -> None:
    """Add the scores of every quartet i < j < k < l to its four members.

    Parameters
    ----------
    D : (n, n) array
    i : int
        The first member.
    tolerance : float
    sums : (2, n) array, added to
        Of delta and of q.
    """
    n = D.shape[0]
    delta = np.empty(n)
    q = np.empty(n)
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
                tolerance,
                delta,
                q,
            )
            for t in range(m):
                sums[0, k + 1 + t] += delta[t]
                sums[1, k + 1 + t] += q[t]
            of_three = _total(delta[:m])
            q_of_three = _total(q[:m])
            for member in (i, j, k):
                sums[0, member] += of_three
                sums[1, member] += q_of_three


@compiled
def _word(key: Any, counter: Any) -> Any:
    """Random word number `counter` of the stream `key`: SplitMix64 (Steele et al. 2014)."""
    z = key + (counter + np.uint64(1)) * _GOLDEN
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@compiled
def _three_others(key: np.uint64, number: int, n: int, x: int) -> tuple[int, int, int]:
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
    tolerance : float
    moments : (4, n) array, filled
        Sums of delta, delta squared, q and q squared.
    """
    n = D.shape[0]
    sums = np.empty((3, _BATCH))
    for x in range(first, last):
        moments[:, x] = 0.0
        for start in range(0, n_quartets, _BATCH):
            m = min(_BATCH, n_quartets - start)
            # Far parts of a large matrix are waited for together, not one after the other.
            for t in range(m):
                i, j, k = _three_others(keys[x], start + t, n, x)
                sums[0, t] = np.float64(D[x, i]) + np.float64(D[j, k])
                sums[1, t] = np.float64(D[x, j]) + np.float64(D[i, k])
                sums[2, t] = np.float64(D[x, k]) + np.float64(D[i, j])
            for t in range(m):
                delta, q = _score(sums[0, t], sums[1, t], sums[2, t], tolerance)
                moments[0, x] += delta
                moments[1, x] += delta * delta
                moments[2, x] += q
                moments[3, x] += q * q
