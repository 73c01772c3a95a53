"""Which of several candidates a model shares most drift with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo._compare import some_names
from pyphylo._names import whole_number
from pyphylo.errors import InputError
from pyphylo.stats._f_panel import F2Panel, F2Source, block_moments, rows_of
from pyphylo.stats._many_tests import benjamini_hochberg, holm
from pyphylo.stats._segments import delete_one, nonlinear_error
from pyphylo.stats.merge import check_level

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable

__all__ = ["TEACHER_OUTCOMES", "SharedDrift", "find_teacher"]

TEACHER_OUTCOMES = ("shares most drift", "none", "undecided")
_CONTROLS = {"holm": holm, "bh": benjamini_hochberg}


@dataclass(frozen=True, eq=False)
class SharedDrift:
    """What `find_teacher` found.

    Attributes
    ----------
    student, base : str
    outcome : {"shares most drift", "none", "undecided"}
    reason : str
        The outcome in a sentence.
    leader : str or None
        The candidate that shares most drift with the student; None for "none".
    rivals : tuple of str
        Candidates that cannot be told from the leader, by inner product or by direction.
    drift, drift_se, drift_p : float
        f2(base, student), its error, and p against > 0: whether the student has moved at all.
    candidates : pandas.DataFrame
        A row a candidate, the most drift shared first: model; shared, f3(base; student,
        model), se, z, p (one-sided) and p_adjusted; cosine and cosine_se, of the two
        directions away from the base, NaN where one of the two has not moved.
    contrasts : pandas.DataFrame
        A row for each other candidate: model; estimate of f4(student, base; leader, model),
        se, z, p (two-sided) and p_adjusted; cosine, the student's with the leader less that with
        the model, cosine_se, cosine_z, cosine_p and cosine_p_adjusted likewise, NaN where one of
        the three has not moved. Empty for "none".
    cosines : pandas.DataFrame
        Cosines of the drifts of student and candidates, labelled on both axes.
    genes, blocks : int
    """

    student: str
    base: str
    outcome: str
    reason: str
    leader: str | None
    rivals: tuple[str, ...]
    drift: float
    drift_se: float
    drift_p: float
    candidates: pd.DataFrame
    contrasts: pd.DataFrame
    cosines: pd.DataFrame
    genes: int
    blocks: int


def find_teacher(
    table: AlleleTable,
    student: str,
    base: str,
    *,
    candidates: Sequence[str] | None = None,
    alpha: float = 0.05,
    control: str = "holm",
    weighting: str = "pooled",
    blocks: int | None = None,
    n_threads: int = 0,
) -> SharedDrift:
    r"""Which candidate a student shares most drift with; never more than that.

    Parameters
    ----------
    table : AlleleTable
    student : str
        S.
    base : str
        O, what the student was trained from, or close to it.
    candidates : sequence of str, optional
        At least two; by default all other models. Contrasts against several do the work:
        fine-tunes of one base share drift without descent, so name models of the
        same kind as the suspected teacher.
    alpha : float
        Level, for all candidates together.
    control : {"holm", "bh"}
        Of the family-wise error, or of the false discovery rate.
    weighting, blocks, n_threads
        As in `f2`.

    Returns
    -------
    SharedDrift
        "shares most drift": for every other candidate X both f4(S, O; leader, X) and the
        leader's cosine less X's are significantly positive. "undecided": for some X one of
        the two is not; they are the rivals. "none": the student has not clearly moved away
        from the base, or shares no significant drift with any candidate.

    Raises
    ------
    InputError
        Fewer than two candidates, an unknown model or control, or as `f2`.
    MemoryError
        As `f3`.

    Notes
    -----
    The drift of X is :math:`d_X = p_X - p_O`. All inner products are unbiased:
    :math:`\langle d_S, d_X \rangle = f_3(O; S, X)`, :math:`|d_X|^2 = f_2(O, X)`, and
    :math:`f_4(S, O; A, X) = \langle d_S, d_A \rangle - \langle d_S, d_X \rangle`. Standard errors
    are jackknifed over blocks of genes. The leader is chosen by the data, so its contrasts are
    tested on two sides. An inner product grows with the candidate's own drift, and favours
    what went far; a cosine does not, but is noisy where a drift is short. So a leader is named
    only where both contrasts say so, each corrected for all candidates, which can only
    lower the share of wrong names. A candidate that has not moved from the base has no
    direction; against it the inner product decides alone.

    Shared drift is no proof of descent: like texts, like tasks and a common hidden
    ancestor give it too.
    """
    check_level(alpha, "alpha")
    n_threads = whole_number(n_threads, "n_threads", 0)
    if control not in _CONTROLS:
        known = ", ".join(map(repr, _CONTROLS))
        raise InputError(f"unknown control {control!r}; known: {known}")
    names = _candidates(table, student, base, candidates)
    panel = F2Source(table, weighting).panel([base, student, *names], blocks, n_threads)
    rows = np.arange(2, len(panel.models))
    drift, drift_se, _, drift_p = _tests(panel, panel.blocks_of(0, np.array([1])), "greater")
    shared, se, z, p = _tests(panel, panel.f3_blocks(0, 1, rows), "greater")
    adjusted = _CONTROLS[control](p)
    directions = _Directions.of(panel)
    cosines = directions.cosines
    order = np.argsort(-shared, kind="stable")
    ranked = _frame(
        [names[k] for k in order],
        shared=shared[order], se=se[order], z=z[order], p=p[order], p_adjusted=adjusted[order],
        cosine=cosines[0, 1:][order], cosine_se=directions.errors(panel)[order],
    )  # fmt: skip
    first = int(order[0])
    moved = bool(drift_p[0] < alpha) and not np.isnan(cosines[0, 0])
    led = moved and bool(adjusted[first] < alpha)
    leader, others = (names[first], order[1:]) if led else (None, order[:0])
    sums = panel.f4_blocks(1, 0, first + 2, others + 2)
    f4, f4_se, f4_z, f4_p = _tests(panel, sums, "two-sided")
    f4_adjusted = _CONTROLS[control](f4_p)
    nearer, nearer_se, nearer_z, nearer_p = directions.contrasts(panel, first, others)
    nearer_adjusted = _CONTROLS[control](nearer_p)
    contrasts = _frame(
        [names[k] for k in others],
        estimate=f4, se=f4_se, z=f4_z, p=f4_p, p_adjusted=f4_adjusted,
        cosine=nearer, cosine_se=nearer_se, cosine_z=nearer_z, cosine_p=nearer_p,
        cosine_p_adjusted=nearer_adjusted,
    )  # fmt: skip
    as_much = f4_adjusted >= alpha
    undirected = np.isnan(cosines[1 + others, 1 + others])
    as_near = ~undirected & ~((nearer_adjusted < alpha) & (nearer > 0))
    rivals = tuple(names[k] for k in others[as_much | as_near])
    if leader is None:
        outcome, reason = "none", _why_none(student, base, len(names), moved)
    else:
        outcome = "undecided" if rivals else "shares most drift"
        reason = _reason(student, leader, contrasts, as_much, as_near)
    return SharedDrift(
        student,
        base,
        outcome,
        reason,
        leader,
        rivals,
        float(drift[0]),
        float(drift_se[0]),
        float(drift_p[0]),
        ranked,
        contrasts,
        _square(cosines, [student, *names]),
        panel.n_genes,
        len(panel.sizes),
    )


def _candidates(
    table: AlleleTable, student: str, base: str, candidates: Sequence[str] | None
) -> list[str]:
    rows_of(table, [student, base])
    if student == base:
        raise InputError(f"{student!r} cannot be its own base")
    named = list(table.models if candidates is None else candidates)
    rows_of(table, named)
    names = [name for name in dict.fromkeys(named) if name not in (student, base)]
    if len(names) < 2:
        raise InputError(
            "one candidate proves nothing, because models of one base share drift without "
            f"descent: name two at least beside {student!r} and {base!r}, not {len(names)}"
        )
    return names


def _tests(
    panel: F2Panel, sums: NDArray[np.float64], side: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Mean, error, z and p (Student's t) of block sums."""
    mean, error = block_moments(sums, panel.sizes)
    return mean, error, *_judged(mean, error, len(panel.sizes), side)


def _judged(
    mean: NDArray[np.float64], error: NDArray[np.float64], blocks: int, side: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Z, and p by Student's t; NaN where there is no mean."""
    from scipy.special import stdtr

    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where((error == 0) & (mean == 0), 0.0, mean / error)
    p = np.asarray(stdtr(blocks - 1.0, -z if side == "greater" else -np.abs(z)), dtype=np.float64)
    return z, p if side == "greater" else 2.0 * p


@dataclass(frozen=True, eq=False)
class _Directions:
    """Directions away from the base, row 0 of the panel; the student is its row 1.

    A drift within two standard errors of 0 has no direction, and its cosines are NaN.
    """

    cosines: NDArray[np.float64]
    """Of all models but the base with each other."""
    without: NDArray[np.float64]
    """The student's with each candidate, without each block in turn."""

    @classmethod
    def of(cls, panel: F2Panel) -> _Directions:
        rows = np.arange(1, len(panel.models))
        inner = panel.f3_blocks(0, rows[:, None], rows[None, :]).sum(axis=-1)
        squares = panel.blocks_of(0, rows)
        mean, error = block_moments(squares, panel.sizes)
        moved = mean > 2 * error
        length = np.sqrt(np.where(moved, squares.sum(axis=-1), np.nan))
        cosines = inner / np.outer(length, length)
        np.fill_diagonal(cosines, np.where(moved, 1.0, np.nan))
        left = delete_one(panel.f3_blocks(0, 1, rows[1:]), panel.sizes)
        norms = delete_one(squares, panel.sizes)
        norms[~moved] = np.nan
        with np.errstate(invalid="ignore"):
            without = left / np.sqrt(norms[0] * norms[1:])
        return cls(cosines, without)

    def errors(self, panel: F2Panel) -> NDArray[np.float64]:
        """Of the student's cosines with the candidates."""
        return nonlinear_error(self.cosines[0, 1:], self.without, panel.sizes)

    def contrasts(
        self, panel: F2Panel, first: int, others: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """How much nearer the student's direction is to one candidate's: mean, error, z, p."""
        own = self.cosines[0, 1:]
        apart = own[first] - own[others]
        error = nonlinear_error(apart, self.without[first] - self.without[others], panel.sizes)
        return apart, error, *_judged(apart, error, len(panel.sizes), "two-sided")


def _frame(names: list[str], **columns: NDArray[np.float64]) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = pd.DataFrame({"model": pd.Series(names, dtype=object), **columns})
    return frame


def _square(cosines: NDArray[np.float64], names: list[str]) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = pd.DataFrame(cosines, index=names, columns=names)
    return frame


def _why_none(student: str, base: str, n: int, moved: bool) -> str:
    if not moved:
        return (
            f"{student!r} has not clearly moved away from {base!r} (f2 is not clearly above 0), so "
            "that it has no drift to share"
        )
    return f"{student!r} shares no significant drift with any of {n} candidates"


def _reason(
    student: str,
    leader: str,
    contrasts: pd.DataFrame,
    as_much: NDArray[np.bool_],
    as_near: NDArray[np.bool_],
) -> str:
    """The verdict on a leader: what shares as much, and what is as near, by name."""
    if not (as_much | as_near).any():
        return (
            f"{student!r} shares more drift with {leader!r} than with the other candidates, by "
            "inner product and by direction (cosine)"
        )
    models = contrasts["model"].to_numpy()
    apart = contrasts["cosine"].to_numpy()
    told = f"{student!r} shares drift with {leader!r}"
    if as_much.any():
        told += f", but no less with {_named(models[as_much])}, as far as seen"
    if np.isnan(apart[as_near]).any():
        return f"{told}; {leader!r} itself has not clearly moved, and has no direction"
    if (apart[as_near] < 0).any():
        nearest = str(models[int(np.nanargmin(apart))])
        return (
            f"{told}; the inner product is largest with {leader!r}, but by direction (cosine) "
            f"{nearest!r} is nearer"
        )
    only = as_near & ~as_much
    if only.any():
        told += f"; by direction (cosine) {leader!r} is not clearly nearer than "
        told += _named(models[only])
    return told


def _named(models: NDArray[np.object_]) -> str:
    return some_names([repr(str(name)) for name in models])
