"""Whether a model is a merge of two others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo._compare import some_names
from pyphylo._names import whole_number
from pyphylo.errors import InputError
from pyphylo.stats._blends import GeometricFit, geometric_fit, is_exact
from pyphylo.stats._f_panel import F2Panel, F2Source, block_moments, rows_of
from pyphylo.stats._many_tests import adjusted_below_zero
from pyphylo.stats._segments import (
    Interval,
    distance_contrasts,
    mixture_weight,
    segment_distances,
)

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable

__all__ = ["MERGE_OUTCOMES", "Merge", "check_level", "find_merge"]

MERGE_OUTCOMES = (
    "merge",
    "partial return to the base",
    "trained on between",
    "none",
    "undecided",
)
_RIVALS = 512
"""Pairs, the nearest ones, that the leading pair is told apart from."""


@dataclass(frozen=True, eq=False)
class Merge:
    """What `find_merge` found.

    Attributes
    ----------
    model : str
    outcome : {"merge", "partial return to the base", "trained on between", "none", "undecided"}
    reason : str
        The outcome in a sentence.
    parents : tuple of str, or None
        The leading pair; of a partial return, the base is the second. None for "none".
    weight : Interval or None
        Share of the first parent: estimate, se, lower, upper.
    p : float
        Of the leading pair's f3 (for "none", of the least), corrected for the number of pairs.
    runner_up : tuple of str, or None
        The pair that is hardest to tell from the leading one.
    contrast, contrast_se, contrast_p : float
        How much farther the model is from the runner-up's mixtures (in f2), the
        standard error and p-value of that.
    rivals : tuple of pairs
        Pairs that cannot be told from the leading one.
    geometric : GeometricFit or None
        For exact tables.
    pairs : pandas.DataFrame
        All pairs by f3, the least first: a, b, estimate, se, z, p_adjusted, and distance,
        f2 from the nearest mixture.
    genes, blocks : int
    """

    model: str
    outcome: str
    reason: str
    p: float
    pairs: pd.DataFrame
    genes: int
    blocks: int
    parents: tuple[str, str] | None = None
    weight: Interval | None = None
    runner_up: tuple[str, str] | None = None
    contrast: float = np.nan
    contrast_se: float = np.nan
    contrast_p: float = np.nan
    rivals: tuple[tuple[str, str], ...] = ()
    geometric: GeometricFit | None = None


def find_merge(
    table: AlleleTable,
    model: str,
    *,
    candidates: Sequence[str] | None = None,
    base: str | None = None,
    alpha: float = 0.05,
    confidence: float = 0.95,
    weighting: str = "pooled",
    blocks: int | None = None,
    seed: int = 0,
    n_threads: int = 0,
) -> Merge:
    r"""Whether a model lies between two others, and between which.

    Parameters
    ----------
    table : AlleleTable
    model : str
    candidates : sequence of str, optional
        Possible parents; by default all other models.
    base : str, optional
        What the candidates were trained from. A model between a candidate and the base has
        gone back part of the way, which is not a merge; without the base it may pass
        for one, or stay undecided. It joins the candidates.
    alpha : float
        Level of both tests.
    confidence : float
        Of the weight's limits.
    weighting, blocks, n_threads
        As in `f2`.
    seed : int
        Of the draws that correct for the number of pairs.

    Returns
    -------
    Merge
        "none": no pair has a significantly negative f3, which refutes nothing: drift
        after a merge hides it, and so does an absent parent. "merge": the model is
        nearer to mixtures of the leading pair than to those of any other pair.
        "partial return to the base": the same, the base being one of the pair.
        "trained on between", of exact tables: either of these by the same tests, but what it
        has that no mixture of the two gives is more than averages of weights have
        (``geometric.kind``): one of the two was trained on, or it is a relative of theirs.
        Where that is unclear the outcome stays, and ``reason`` says so.
        "undecided": it lies between models, but pairs cannot be told apart; they are
        in ``rivals``.

    Raises
    ------
    InputError
        Fewer than two candidates, an unknown model, or as `f2`.
    MemoryError
        As `f3`.

    Notes
    -----
    1. f3(model; A, B) of all pairs. P-values are corrected for all pairs together, with
       their own correlation (see `f3`; multiplier bootstrap of the blocks): when no
       pair has the model between them, one is found in alpha of cases at most.
    2. Of a pair, the squared distance from the nearest mixture
       :math:`x A + (1 - x) B`, 0 <= x <= 1, follows from f2 of the three. The pair whose
       f3 is significant and whose distance is least leads. f3 alone cannot tell a parent from
       what descends from it; the distance can. It must be less than that of every
       other pair, by a one-sided jackknife test of level alpha each: where a wrong pair leads, the
       right one is among those that it must beat.
    3. The weight is that of least squares with plain weights (nearly unbiased),
       f3(B; model, A) / f2(A, B), with jackknife limits (Student's t).

    Patterson et al. (2012) Genetics 192:1065.
    """
    check_level(alpha, "alpha")
    check_level(confidence, "confidence")
    n_threads = whole_number(n_threads, "n_threads", 0)
    seed = whole_number(seed, "seed", 0)
    names = _candidates(table, model, candidates, base)
    panel = F2Source(table, weighting).panel([model, *names], blocks, n_threads)
    a, b = (side + 1 for side in np.triu_indices(len(names), 1))
    sums = panel.f3_blocks(0, a, b)
    p = adjusted_below_zero(sums, panel.sizes, seed)
    distance = segment_distances(panel, 0, a, b)
    found = np.flatnonzero(p < alpha)
    size = panel.n_genes, len(panel.sizes)
    pairs = _frame(panel, a, b, sums, p, distance)
    if not found.size:
        reason = (
            f"no two of {len(names)} candidates have {model!r} between them (p = {p.min():.2g} "
            f"for {len(p)} pairs)"
        )
        return Merge(model, "none", reason, float(p.min()), pairs, *size)
    leader = int(found[np.argmin(distance[found])])
    race = _race(panel, a, b, distance, leader, alpha)
    base_row = None if base is None else panel.models.index(base)
    first, second = int(a[leader]), int(b[leader])
    if first == base_row:
        first, second = second, first
    parents = panel.models[first], panel.models[second]
    outcome = _outcome(base_row, a, b, leader, race.tied)
    geometric = geometric_fit(table, model, *parents) if is_exact(table) else None
    if outcome != "undecided" and geometric is not None and geometric.kind == "trained on":
        outcome = "trained on between"
    rivals = tuple(_pair(panel, a, b, k) for k in race.tied)
    three = panel
    if weighting != "plain":
        three = F2Source(table, "plain").panel([model, *parents], blocks, n_threads)
    rows = [three.models.index(name) for name in (model, *parents)]
    return Merge(
        model,
        outcome,
        _reason(model, outcome, parents, rivals, geometric),
        float(p[leader]),
        pairs,
        *size,
        parents=parents,
        weight=mixture_weight(three, rows[0], rows[1], rows[2], confidence),
        runner_up=None if race.runner_up is None else _pair(panel, a, b, race.runner_up),
        contrast=race.contrast,
        contrast_se=race.se,
        contrast_p=race.p,
        rivals=rivals,
        geometric=geometric,
    )


def check_level(value: float, name: str) -> None:
    """Refuse what is no probability between 0 and 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise InputError(f"{name} must be between 0 and 1, not {value!r}")


def _candidates(
    table: AlleleTable, model: str, candidates: Sequence[str] | None, base: str | None
) -> list[str]:
    """Names of the candidates, each once, with the base and without the model."""
    rows_of(table, [model])
    named = list(table.models if candidates is None else candidates)
    if base is not None:
        named.append(base)
        if base == model:
            raise InputError(f"{model!r} cannot be its own base")
    rows_of(table, named)
    names = [name for name in dict.fromkeys(named) if name != model]
    if len(names) < 2:
        raise InputError(
            f"a merge has two parents: name two candidates beside {model!r} at least, not "
            f"{len(names)}"
        )
    return names


class _Race(NamedTuple):
    """How the leading pair stands against the others."""

    runner_up: int | None
    contrast: float
    se: float
    p: float
    tied: list[int]


def _race(
    panel: F2Panel,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    distance: NDArray[np.float64],
    leader: int,
    alpha: float,
) -> _Race:
    """Test that the model is nearer to the leading pair than to each of the nearest others."""
    from scipy.special import stdtr

    nearest = np.argsort(distance, kind="stable")[: _RIVALS + 1]
    others = nearest[nearest != leader]
    if not others.size:
        return _Race(None, np.nan, np.nan, np.nan, [])
    lead = int(a[leader]), int(b[leader])
    contrast, error = distance_contrasts(panel, 0, lead, a[others], b[others])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where((error == 0) & (contrast == 0), 0.0, contrast / error)
    p = stdtr(len(panel.sizes) - 1.0, -z)
    hardest = int(np.argmin(z))
    return _Race(
        int(others[hardest]),
        float(contrast[hardest]),
        float(error[hardest]),
        float(p[hardest]),
        others[p >= alpha].tolist(),
    )


def _outcome(
    base_row: int | None,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    leader: int,
    tied: list[int],
) -> str:
    pairs = [leader, *tied]
    if base_row is not None and all(base_row in (a[k], b[k]) for k in pairs):
        return "partial return to the base"
    return "undecided" if tied else "merge"


def _reason(
    model: str,
    outcome: str,
    parents: tuple[str, str],
    rivals: tuple[tuple[str, str], ...],
    geometric: GeometricFit | None,
) -> str:
    first, second = parents
    place = f"{model!r} lies between {first!r} and {second!r}"
    if outcome in ("merge", "trained on between"):
        place += ", nearer than to any other pair"
    if outcome == "partial return to the base":
        place = f"{model!r} lies between {first!r} and the base, {second!r}"
    if outcome == "trained on between" and geometric is not None:
        return (
            f"{place}, but has more of its own ({geometric.own:.2f} of what a mixture varies) "
            "than averages of weights have"
        )
    if outcome != "undecided":
        if geometric is not None and geometric.kind == "unclear":
            return (
                f"{place}; averaged or trained on, its residual ({geometric.own:.2f}) leaves open"
            )
        return place
    also = some_names([f"{i!r} and {j!r}" for i, j in rivals])
    return f"{model!r} lies between models, {first!r} and {second!r}, or as well {also}"


def _pair(panel: F2Panel, a: NDArray[np.int64], b: NDArray[np.int64], k: int) -> tuple[str, str]:
    return panel.models[int(a[k])], panel.models[int(b[k])]


def _frame(
    panel: F2Panel,
    a: NDArray[np.int64],
    b: NDArray[np.int64],
    sums: NDArray[np.float64],
    p: NDArray[np.float64],
    distance: NDArray[np.float64],
) -> pd.DataFrame:
    """All pairs, the least f3 first."""
    import pandas as pd

    estimate, error = block_moments(sums, panel.sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where((error == 0) & (estimate == 0), 0.0, estimate / error)
    order = np.argsort(estimate, kind="stable")
    known = pd.CategoricalDtype(list(panel.models))
    frame: pd.DataFrame = pd.DataFrame(
        {
            "a": pd.Categorical.from_codes(a[order], dtype=known),
            "b": pd.Categorical.from_codes(b[order], dtype=known),
            "estimate": estimate[order],
            "se": error[order],
            "z": z[order],
            "p_adjusted": p[order],
            "distance": distance[order],
        }
    )
    return frame
