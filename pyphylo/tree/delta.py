"""Tree-likeness of distances, model by model: delta scores and Q-residuals."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo._memory import require_memory
from pyphylo._names import whole_number
from pyphylo.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.distance import DistanceMatrix

__all__ = ["delta_scores"]

_EXACT = 200
"""Models up to which every quartet is looked at, unless the caller says how many."""
_SAMPLED = 10_000
"""Quartets a model beyond: the standard error of numbers between 0 and 1 is then at most 0.005."""
_ROUNDINGS = 16
"""Roundings of the stored numbers within which two sums count as equal."""
_MODELS_A_TASK = 16
_ROWS = 1024
"""Rows checked at once, so that a check takes little memory beside the matrix."""


def delta_scores(
    D: DistanceMatrix, *, n_quartets: int | None = None, seed: int = 0, n_threads: int = 0
) -> pd.DataFrame:
    """How far the distances of each model are from those of a tree.

    On a tree, of the three sums d_ij + d_kl, d_ik + d_jl, d_il + d_jk of any four models
    the two larger ones are equal. A quartet's delta is (largest - middle) / (largest -
    smallest), between 0 and 1, and 0 where all are equal; a model's is the mean over
    the quartets that it is in. Models that descend from two lineages, as merges do,
    stand out with high ones.

    Parameters
    ----------
    D : DistanceMatrix
        Of at least four models.
    n_quartets : int, optional
        Quartets drawn at random for each model. By default all that there are, to 200
        models, and 10,000 beyond; where that many do not exist, all.
    seed : int
    n_threads : int
        0: all that this process may use. The result does not depend on it.

    Returns
    -------
    pandas.DataFrame
        A row a model, in the order of ``D.ids``, with the columns

        model : str
        delta : float
        error : float
            Standard error that drawing quartets gives `delta`; 0 where all were seen.
        q_residual, q_error : float
            Likewise the mean of (largest - middle)^2, of distances scaled to a mean of
            1 (Gray et al. 2010): quartets of short distances, in which noise decides
            delta, count little.
        quartets : int

    Raises
    ------
    InputError
        When D is no DistanceMatrix, has fewer than four models or holds a value that is
        not finite (the pair is named), or an argument is not as above.
    MemoryError
        When a square of the distances does not fit.

    Notes
    -----
    O(n^4) for all quartets (65 million, 0.2 s, at 200 models), O(n n_quartets) for drawn
    ones. Sums that differ by no more than a few roundings of the stored numbers count as
    equal, so that distances along a tree have a delta of 0.

    References
    ----------
    Holland, Huber, Dress & Moulton (2002), Mol Biol Evol 19(12), 2051-2059.
    Gray, Bryant & Greenhill (2010), Phil Trans R Soc B 365, 3923-3933.
    """
    import pandas as pd

    ids, values = _checked(D)
    seed = whole_number(seed, "seed", 0)
    threads = whole_number(n_threads, "n_threads", 0) or _core.available_threads()
    n = len(ids)
    existing = math.comb(n - 1, 3)
    if n_quartets is None:
        wanted = existing if n <= _EXACT else min(_SAMPLED, existing)
    else:
        wanted = min(whole_number(n_quartets, "n_quartets", 2), existing)
    tolerance = _ROUNDINGS * float(np.finfo(values.dtype).eps)
    if wanted == existing:
        mean = _sums_of_all(values.astype(np.float64, copy=False), tolerance, threads) / existing
        error = np.zeros((2, n))
    else:
        mean, error = _mean_of_sampled(values, wanted, seed, tolerance, threads)
    # Of the pairs: the diagonal is zero. A matrix of zeros has nothing to scale.
    scale = (float(values.sum(dtype=np.float64)) / (n * (n - 1)) or 1.0) ** 2
    frame: pd.DataFrame = pd.DataFrame(
        {
            "model": list(ids),
            "delta": mean[0],
            "error": error[0],
            "q_residual": mean[1] / scale,
            "q_error": error[1] / scale,
            "quartets": wanted,
        }
    )
    return frame


def _checked(D: Any) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Names and square of a matrix in which every distance is known."""
    if not all(hasattr(D, name) for name in ("ids", "values")):
        raise InputError(
            f"delta_scores needs a DistanceMatrix, not {type(D).__name__}; "
            "wrap it: pp.DistanceMatrix(values, ids)"
        )
    ids = tuple(D.ids)
    if len(ids) < 4:
        raise InputError(f"a quartet needs four models, and the matrix has {len(ids)}")
    values = np.asarray(D.values)
    for start in range(0, len(ids), _ROWS):
        bad = ~np.isfinite(values[start : start + _ROWS])
        if bad.any():
            i, j = (int(k) for k in np.argwhere(bad)[0])
            raise InputError(
                f"the distance between {ids[start + i]!r} and {ids[j]!r} is "
                f"{values[start + i, j]}: quartets need every pair; leave one of the two out with "
                "D.filter(ids)"
            )
    return ids, values


def _sums_of_all(
    values: NDArray[np.float64], tolerance: float, threads: int
) -> NDArray[np.float64]:
    """Sums of delta and of q over all quartets of each model, shape (2, n)."""
    from pyphylo.tree import _quartets

    n = len(values)
    require_memory(16 * n * n, f"sums over the quartets of {n} models")
    # Each first member has sums of its own, added up in order: threads change no bit.
    sums = np.zeros((n - 3, 2, n))
    with ThreadPoolExecutor(threads) as pool:
        waiting = [
            pool.submit(_quartets.all_from, values, i, tolerance, sums[i]) for i in range(n - 3)
        ]
        try:
            for done in waiting:
                done.result()
        finally:
            for left in waiting:
                left.cancel()
    total: NDArray[np.float64] = sums.sum(axis=0)
    return total


def _mean_of_sampled(
    values: NDArray[Any], n_quartets: int, seed: int, tolerance: float, threads: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means of delta and of q over random quartets of each model, and their standard errors."""
    from pyphylo.tree import _quartets

    n = len(values)
    keys = np.random.Philox(seed).random_raw(n)
    moments = np.empty((4, n))
    with ThreadPoolExecutor(threads) as pool:
        waiting = [
            pool.submit(
                _quartets.sampled,
                values,
                first,
                min(first + _MODELS_A_TASK, n),
                n_quartets,
                keys,
                tolerance,
                moments,
            )
            for first in range(0, n, _MODELS_A_TASK)
        ]
        try:
            for done in waiting:
                done.result()
        finally:
            for left in waiting:
                left.cancel()
    mean = moments[::2] / n_quartets
    spread = np.maximum(moments[1::2] / n_quartets - mean * mean, 0.0)
    return mean, np.sqrt(spread / (n_quartets - 1))
