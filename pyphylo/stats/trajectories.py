"""Checkpoints of one training run in order: where it went, and how fast."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._compare import ESTIMATORS, usable_cells
from pyphylo._names import check_names, whole_number
from pyphylo._one_against_all import OneAgainstAll, distance_errors
from pyphylo.errors import InputError
from pyphylo.stats._model_labels import known_rows

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable

__all__ = ["step_of", "trajectory"]

_Floats = NDArray[np.float64]

STEP = re.compile(r"(?:steps?|checkpoint|ckpt|iter(?:ation)?)[-_=]?(\d+)", re.IGNORECASE)
_FLOOR = 1e-10


def trajectory(
    table: AlleleTable,
    checkpoints: str | Sequence[str],
    references: Sequence[str] = (),
    *,
    steps: Sequence[float] | None = None,
    estimator: str = "unbiased",
    confidence: float = 0.95,
    n_threads: int = 0,
) -> pd.DataFrame:
    """Distances along a training run, and its speed.

    Parameters
    ----------
    table : AlleleTable
    checkpoints : str or sequence of str
        Models of the table, in the order of training; or a pattern (``*``, ``?``,
        ``[...]``), whose matches are put in natural order.
    references : sequence of str
        Other models of the table.
    steps : sequence of float, optional
        Where each checkpoint stands, increasing. By default the number behind ``step``,
        ``checkpoint`` or ``iter`` in its name (``org/name@step1000``), where all have
        one; else checkpoints are counted from 0.
    estimator : {"unbiased", "plugin"}
        As in `nei_similarity`. The plug-in estimator never sees two checkpoints as equal.
    confidence : float
        Of the limits, between 0 and 1.
    n_threads : int
        0: all that this process may use. The result does not depend on it.

    Returns
    -------
    pandas.DataFrame
        A row for each checkpoint and each of start, end, every reference, and from the
        second on the one before it:

        - checkpoint, step
        - to: "start", "end", "reference" or "previous"
        - other: the model that the distance is to
        - similarity; distance, error, lower, upper: Nei's distance, its standard error
          over genes (jackknife) and its limits
        - speed, speed_lower, speed_upper: of "previous", distance by step

        ``attrs["unit"]`` is "step", or "checkpoint" where these are counted.

    Raises
    ------
    InputError
        A checkpoint or reference that the table lacks (near names are proposed), that
        occurs twice, or fewer than two checkpoints; steps that do not increase; fewer than
        two genes, which give no error; models of which no gene has two probes, under
        ``"unbiased"`` (named).

    Notes
    -----
    A distance below 0, as noise makes it between checkpoints that do not differ, is given as
    0, and so is its lower limit; error and upper limit are those of the value as it was:
    an interval from 0 to little above says that nothing is known to have moved. Steps whose
    drift is within the noise have speeds that are noise.

    Quenouille (1956) Biometrika 43:353; Tukey (1958) Ann. Math. Stat. 29:614. One pass over
    the checkpoints' and references' entries for each of them.

    Examples
    --------
    >>> import pyphylo as pp
    >>> history = pp.simulate.simulate_history(12, 32, seed=2)
    >>> run = list(history.models[:3])
    >>> pp.trajectory(history.table, run)[["checkpoint", "to", "distance"]].round(2).head(3)
              checkpoint     to  distance
    0  family-0/model-00  start      0.00
    1  family-0/model-00    end      0.16
    2  family-0/model-01  start      0.31
    """
    import pandas as pd

    from pyphylo.alleles import AlleleTable

    if not isinstance(table, AlleleTable):
        raise InputError(f"trajectory needs an AlleleTable, not {type(table).__name__}")
    n_threads = whole_number(n_threads, "n_threads", 0)
    if not isinstance(estimator, str) or estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator {estimator!r}; known: 'plugin', 'unbiased'")
    if not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1, not {confidence!r}")
    run = _run(checkpoints, table.models)
    others = check_names(references, "reference")
    known_rows(others, table.models, "reference")
    where, unit = _places(run, steps)
    if len(table.genes) < 2:
        raise InputError(
            f"errors come from leaving out genes, and the table has {len(table.genes)}: sample "
            "two genes at least"
        )
    members = [*run, *(name for name in others if name not in set(run))]
    part = table.select(models=members)
    if estimator == "unbiased":
        part = AlleleTable(usable_cells(part, 2), part.provenance)
    reach = NormalDist().inv_cdf((1 + confidence) / 2)
    row = {name: number for number, name in enumerate(members)}
    k = len(run)
    rows: list[dict[str, Any]] = []

    def add(to: str, other: str, targets: list[int]) -> None:
        found = _distances(part, row[other], np.array(targets), estimator, n_threads)
        for place, target in enumerate(targets):
            rows.append(_row(run, where, target, to, other, found, place, reach))

    add("start", run[0], list(range(k)))
    add("end", run[-1], list(range(k)))
    for name in others:
        add("reference", name, list(range(k)))
    for number in range(1, k):
        add("previous", run[number - 1], [number])
    rows.sort(key=lambda made: made["position"])
    frame: pd.DataFrame = pd.DataFrame(rows).drop(columns="position")
    frame.attrs["unit"] = unit
    return frame


@dataclass(frozen=True, eq=False)
class _Found:
    """Of some models: similarity, distance as it was, and its standard error."""

    similarity: _Floats
    distance: _Floats
    error: _Floats


def _distances(
    table: AlleleTable, row: int, targets: NDArray[np.intp], estimator: str, n_threads: int
) -> _Found:
    """From one model to some; 0 without error to itself."""
    pairs = OneAgainstAll(table, row, estimator, n_threads, 3)
    pairs.select(targets)
    similarity = pairs.similarities()
    distance = _log(similarity)
    error = distance_errors(similarity, pairs.without_each_gene(), pairs.shared, _FLOOR)
    itself = targets == row
    return _Found(
        np.where(itself, 1.0, similarity),
        np.where(itself, 0.0, distance),
        np.where(itself, 0.0, error),
    )


def _log(similarity: _Floats) -> _Floats:
    """-log S; below 0 where an unbiased S is above 1, for an error at 0 must not vanish."""
    distance: _Floats = -np.log(np.maximum(similarity, _FLOOR))
    return distance


def _row(
    run: tuple[str, ...],
    where: _Floats,
    position: int,
    to: str,
    other: str,
    found: _Found,
    place: int,
    reach: float,
) -> dict[str, Any]:
    distance, error = float(found.distance[place]), float(found.error[place])
    # max(NaN, 0) would be NaN or 0 by the order: NumPy's keeps NaN.
    value = float(np.maximum(distance, 0.0))
    lower = float(np.maximum(distance - reach * error, 0.0))
    upper = float(np.maximum(distance + reach * error, 0.0))
    made = {
        "position": position,
        "checkpoint": run[position],
        "step": where[position],
        "to": to,
        "other": other,
        "similarity": float(found.similarity[place]),
        "distance": value,
        "error": error,
        "lower": lower,
        "upper": upper,
        "speed": np.nan,
        "speed_lower": np.nan,
        "speed_upper": np.nan,
    }
    if to == "previous":
        time = float(where[position] - where[position - 1])
        made |= {"speed": value / time, "speed_lower": lower / time, "speed_upper": upper / time}
    return made


def _run(checkpoints: str | Sequence[str], models: tuple[str, ...]) -> tuple[str, ...]:
    """The checkpoints by name, two at least, all in the table."""
    from pyphylo.sampling._revisions import natural_key

    if isinstance(checkpoints, str):
        matching = [name for name in models if fnmatchcase(name, checkpoints)]
        if len(matching) < 2:
            known_rows([] if matching else [checkpoints], models, "checkpoint")
            raise InputError(
                f"checkpoints {checkpoints!r} match one model, {matching[0]!r}: a run has two at "
                "least"
            )
        return tuple(sorted(matching, key=natural_key))
    run = check_names(checkpoints, "checkpoint")
    known_rows(run, models, "checkpoint")
    if len(run) < 2:
        raise InputError(f"a run has two checkpoints at least, not {len(run)}")
    return run


def step_of(name: str) -> float | None:
    """The training step that a checkpoint's name tells, None where it tells none.

    Examples
    --------
    >>> step_of("org/name@step1000-tokens4B"), step_of("out/checkpoint-50"), step_of("gpt2")
    (1000.0, 50.0, None)
    """
    found = STEP.findall(name)
    return float(found[-1]) if found else None


def _places(run: tuple[str, ...], steps: Sequence[float] | None) -> tuple[_Floats, str]:
    """Where each checkpoint stands, increasing, and in what unit."""
    if steps is None:
        read = [step_of(name) for name in run]
        if any(step is None for step in read):
            return np.arange(len(run), dtype=np.float64), "checkpoint"
        where = np.array(read, dtype=np.float64)
    else:
        if len(steps) != len(run):
            raise InputError(f"{len(run)} checkpoints need as many steps, not {len(steps)}")
        where = np.array([float(step) for step in steps])
    wrong = np.flatnonzero(~(np.diff(where) > 0) | ~np.isfinite(where[1:]))
    if len(wrong) or not np.isfinite(where[0]):
        at = int(wrong[0]) if len(wrong) else 0
        raise InputError(
            f"steps must increase: {run[at]!r} is at {where[at]:g}, and behind it "
            f"{run[at + 1]!r} at {where[at + 1]:g}; put the checkpoints in order, or give steps"
        )
    return where, "step"
