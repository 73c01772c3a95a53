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
        Candidates that cannot be told from the leader.
    candidates : pandas.DataFrame
        A row a candidate, the most drift shared first: model; shared, f3(base; student,
        model), se, z, p (one-sided) and p_adjusted; cosine and cosine_se, of the two
        directions away from the base, NaN where one of the two has not moved.
    contrasts : pandas.DataFrame
        A row for each other candidate: model; estimate of f4(student, base; leader, model),
        se, z, p (two-sided) and p_adjusted. Empty for "none".
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
        "shares most drift": f4(S, O; leader, X) is significantly positive for every
        other candidate X. "undecided": for some X it is not; they are the rivals.
        "none": the student shares no significant drift with any candidate.

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
    tested on two sides. An inner product grows with the candidate's own drift,
    the cosine does not; where they name different candidates, the reason says so.

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
    shared, se, z, p = _tests(panel, panel.f3_blocks(0, 1, rows), "greater")
    adjusted = _CONTROLS[control](p)
    cosines, errors = _cosines(panel)
    order = np.argsort(-shared, kind="stable")
    ranked = _frame(
        [names[k] for k in order],
        shared=shared[order], se=se[order], z=z[order], p=p[order], p_adjusted=adjusted[order],
        cosine=cosines[0, 1:][order], cosine_se=errors[order],
    )  # fmt: skip
    first = int(order[0])
    if adjusted[first] >= alpha:
        outcome, leader, rivals, others = "none", None, (), order[:0]
    else:
        leader, others = names[first], order[1:]
    sums = panel.f4_blocks(1, 0, first + 2, others + 2)
    f4, f4_se, f4_z, f4_p = _tests(panel, sums, "two-sided")
    f4_adjusted = _CONTROLS[control](f4_p)
    contrasts = _frame(
        [names[k] for k in others],
        estimate=f4, se=f4_se, z=f4_z, p=f4_p, p_adjusted=f4_adjusted,
    )  # fmt: skip
    if leader is not None:
        rivals = tuple(names[k] for k in others[f4_adjusted >= alpha])
        outcome = "undecided" if rivals else "shares most drift"
    return SharedDrift(
        student,
        base,
        outcome,
        _reason(student, outcome, leader, rivals, ranked),
        leader,
        rivals,
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
    from scipy.special import stdtr

    mean, error = block_moments(sums, panel.sizes)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where((error == 0) & (mean == 0), 0.0, mean / error)
    df = len(panel.sizes) - 1.0
    p = np.asarray(stdtr(df, -z if side == "greater" else -np.abs(z)), dtype=np.float64)
    return mean, error, z, p if side == "greater" else 2.0 * p


def _cosines(panel: F2Panel) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Cosines of the drifts of all models but the base, row 0; errors of the student's.

    NaN where a drift is within two standard errors of 0: it has no direction then.
    """
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
    return cosines, nonlinear_error(cosines[0, 1:], without, panel.sizes)


def _frame(names: list[str], **columns: NDArray[np.float64]) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = pd.DataFrame({"model": pd.Series(names, dtype=object), **columns})
    return frame


def _square(cosines: NDArray[np.float64], names: list[str]) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = pd.DataFrame(cosines, index=names, columns=names)
    return frame


def _reason(
    student: str, outcome: str, leader: str | None, rivals: tuple[str, ...], ranked: pd.DataFrame
) -> str:
    if leader is None:
        return f"{student!r} shares no significant drift with any of {len(ranked)} candidates"
    if outcome == "undecided":
        also = some_names([repr(name) for name in rivals])
        return f"{student!r} shares drift with {leader!r}, but no less with {also}, as far as seen"
    told = f"{student!r} shares more drift with {leader!r} than with the other candidates"
    cosine = ranked["cosine"].to_numpy()
    if not np.isnan(cosine).all():
        nearest = str(ranked["model"].iloc[int(np.nanargmax(cosine))])
        if nearest != leader:
            told += f"; by direction alone (cosine) {nearest!r} is nearer"
    return told
