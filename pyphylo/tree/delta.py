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
from pyphylo.tree._given import checked_square

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
    D: DistanceMatrix,
    *,
    tolerance: float = 0.0,
    n_quartets: int | None = None,
    seed: int = 0,
    n_threads: int = 0,
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
    tolerance : float
        Quartets whose largest and smallest sum differ by no more count as unresolved:
        their delta is 0. In units of the distances; two to four standard errors of them
        (`similarity_errors`) where they are estimates, for most quartets of noisy
        distances are noise.
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
            Its name.
        delta : float
            Mean over its quartets, 0 to 1.
        error : float
            Standard error that drawing quartets gives `delta`; 0 where all were seen.
        weighted, weighted_error : float
            Likewise the sum of (largest - middle) over the sum of (largest - smallest):
            the mean delta where each quartet has the weight of its width, so that narrow
            quartets, whose delta is noise, count little.
        q_residual, q_error : float
            Likewise the mean of (largest - middle)^2, of distances scaled to a mean of
            1 (Gray et al. 2010).
        quartets : int
            How many were looked at.

    Raises
    ------
    InputError
        When D is no DistanceMatrix, has fewer than four models or holds a value that is
        not finite (the pair is named), or an argument is not as above.
    MemoryError
        When a square of the distances does not fit.

    Notes
    -----
    O(n^4) for all quartets (65 million, 0.3 s, at 200 models), O(n n_quartets) for drawn
    ones. Sums that differ by no more than a few roundings of the stored numbers always
    count as equal, so that distances along a tree have a delta of 0.

    A mixture also raises the scores of its parents and of their other children, which are
    in the same quartets. What a model adds to all its distances alike (its drift, the
    estimator's self term) changes neither delta.

    A merge of near relatives hides among them. In simulated histories (`simulate_history`, 100
    models, one family or several, 512 genes, 5 in 100 merges, a tolerance of three median
    distance errors) merges of models at least 3/4 of the median distance apart rank with an
    AUC of .94, all merges with .84, those of models less than half of it apart with .60;
    with 128 genes and 10 in 100 merges it is .85, .71 and .41; without a tolerance .60,
    .56 and .47.

    References
    ----------
    Holland, Huber, Dress & Moulton (2002), Mol Biol Evol 19(12), 2051-2059.
    Gray, Bryant & Greenhill (2010), Phil Trans R Soc B 365, 3923-3933.
    """
    import pandas as pd

    ids, values = checked_square(D, "delta_scores", least=4, purpose="a quartet")
    tolerance = _checked_tolerance(tolerance)
    seed = whole_number(seed, "seed", 0)
    threads = whole_number(n_threads, "n_threads", 0) or _core.available_threads()
    n = len(ids)
    existing = math.comb(n - 1, 3)
    if n_quartets is None:
        wanted = existing if n <= _EXACT else min(_SAMPLED, existing)
    else:
        wanted = min(whole_number(n_quartets, "n_quartets", 2), existing)
    limits = (_ROUNDINGS * float(np.finfo(values.dtype).eps), tolerance)
    if wanted == existing:
        sums = _sums_of_all(values.astype(np.float64, copy=False), limits, threads)
        error = np.zeros((3, n))
    else:
        sums = _sums_of_sampled(values, wanted, seed, limits, threads)
        error = _errors(sums, wanted)
    # Of the pairs: the diagonal is zero. A matrix of zeros has nothing to scale.
    scale = (float(values.sum(dtype=np.float64)) / (n * (n - 1)) or 1.0) ** 2
    frame: pd.DataFrame = pd.DataFrame(
        {
            "model": list(ids),
            "delta": sums[0] / wanted,
            "error": error[0],
            "weighted": _ratio(sums[1], sums[2]),
            "weighted_error": error[1],
            "q_residual": sums[3] / wanted / scale,
            "q_error": error[2] / scale,
            "quartets": wanted,
        }
    )
    return frame


def _checked_tolerance(tolerance: float) -> float:
    if (
        isinstance(tolerance, bool)
        or not isinstance(tolerance, (int, float, np.floating))
        or not 0 <= tolerance < math.inf
    ):
        raise InputError(f"tolerance must be a number of at least 0, not {tolerance!r}")
    return float(tolerance)


def _sums_of_all(
    values: NDArray[np.float64], limits: tuple[float, float], threads: int
) -> NDArray[np.float64]:
    """Sums of delta, gap, width and gap squared over all quartets of each model: (4, n)."""
    from pyphylo.tree import _quartets

    n = len(values)
    require_memory(32 * n * n, f"sums over the quartets of {n} models")
    # Each first member has sums of its own, added up in order: threads change no bit.
    sums = np.zeros((n - 3, 4, n))
    _run(threads, [(_quartets.all_from, values, i, *limits, sums[i]) for i in range(n - 3)])
    total: NDArray[np.float64] = sums.sum(axis=0)
    return total


def _sums_of_sampled(
    values: NDArray[Any], n_quartets: int, seed: int, limits: tuple[float, float], threads: int
) -> NDArray[np.float64]:
    """Sums over random quartets of each model, shape (8, n): see `_quartets.sampled`."""
    from pyphylo.tree import _quartets

    n = len(values)
    keys = np.random.Philox(seed).random_raw(n)
    moments = np.empty((8, n))
    spans = [(first, min(first + _MODELS_A_TASK, n)) for first in range(0, n, _MODELS_A_TASK)]
    _run(
        threads,
        [(_quartets.sampled, values, *span, n_quartets, keys, *limits, moments) for span in spans],
    )
    return moments


def _run(threads: int, tasks: list[tuple[Any, ...]]) -> None:
    """Calls, each a function and its arguments, side by side."""
    with ThreadPoolExecutor(threads) as pool:
        waiting = [pool.submit(*task) for task in tasks]
        try:
            for done in waiting:
                done.result()
        finally:
            # After Ctrl-C only the calls being made are waited for.
            for left in waiting:
                left.cancel()


def _ratio(gap: NDArray[np.float64], width: NDArray[np.float64]) -> NDArray[np.float64]:
    """Gap by width; 0 where no quartet is resolved."""
    ratio: NDArray[np.float64] = np.divide(gap, width, out=np.zeros_like(gap), where=width > 0)
    return ratio


def _errors(moments: NDArray[np.float64], m: int) -> NDArray[np.float64]:
    """Standard errors of mean delta, of gap by width, and of mean gap squared: shape (3, n).

    Of the ratio R, as of a mean of (gap - R width) / mean width (Cochran 1977, section 2.11).
    """
    delta, gap, width, gap_2, delta_2, gap_width, width_2, gap_4 = moments / m
    ratio = _ratio(gap, width)
    spread = np.stack(
        [
            delta_2 - delta**2,
            _ratio(gap_2 - 2 * ratio * gap_width + ratio**2 * width_2, width**2),
            gap_4 - gap_2**2,
        ]
    )
    errors: NDArray[np.float64] = np.sqrt(np.maximum(spread, 0.0) / (m - 1))
    return errors
