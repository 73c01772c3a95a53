"""Training runs among the models: their checkpoints in order, how far they went, and how fast."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.report._limits import shown_estimator
from pyphylo.report._numbers import rounded

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.report._inputs import Material

__all__ = ["Run", "runs_among", "runs_shown"]

_MOST = 500
"""Most checkpoints of which intervals are computed."""

Rows = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Run:
    """Checkpoints of one run, two at least, by increasing step.

    Attributes
    ----------
    name : str
    tips : tuple of int
    steps : tuple of float
    """

    name: str
    tips: tuple[int, ...]
    steps: tuple[float, ...]


def runs_among(names: Sequence[str], rows: Rows) -> list[Run]:
    """The training runs that names or metadata tell of.

    Parameters
    ----------
    names : sequence of str
    rows : mapping of str to mapping
        Metadata. Where a model has a ``run`` and a number as ``step``, these count; else its
        name, if that has a step (``org/name@step1000``): what is before it names the
        run, and so does what is behind it where steps would else occur twice
        (``step100-seed1`` and ``step100-seed2``).

    Returns
    -------
    list of Run
        The longest first. Without those in which a step still occurs twice.
    """
    said: dict[str, list[tuple[float, int]]] = {}
    read: dict[str, list[tuple[float, int, str]]] = {}
    for tip, name in enumerate(names):
        row = rows.get(name, {})
        run, step = row.get("run"), _number(row.get("step"))
        if run is not None and run == run and str(run) and step is not None:
            said.setdefault(str(run), []).append((step, tip))
            continue
        parts = _parts(name)
        if parts is not None:
            before, found, behind = parts
            read.setdefault(before, []).append((found, tip, behind))
    groups = list(said.items())
    for before, members in read.items():
        if len({step for step, _, _ in members}) == len(members):
            groups.append((before, [(step, tip) for step, tip, _ in members]))
            continue
        apart: dict[str, list[tuple[float, int]]] = {}
        for step, tip, behind in members:
            apart.setdefault(f"{before}…{behind}", []).append((step, tip))
        groups.extend(apart.items())
    runs = []
    for name, group in groups:
        steps, tips = zip(*sorted(group), strict=True)
        if len(set(steps)) == len(steps) > 1:
            runs.append(Run(name, tips, steps))
    return sorted(runs, key=lambda run: (-len(run.tips), run.name))


def runs_shown(found: Material, rows: Rows) -> list[dict[str, Any]]:
    """Each run with each checkpoint's distance to the first, to the last and to the one before.

    Returns
    -------
    list of dict
        ``name``, ``tips``, ``steps``; ``start``, ``end``, ``previous`` and ``speed``
        (``previous`` by step); of the last two, the first is None. Where there is a table
        that has the shown distances, distances are unbiased ones whatever those are, and have
        limits of 95% over genes, as `pyphylo.trajectory` gives them: ``start_lower``,
        ``start_upper`` and so on. ``estimator`` is None where it is not known. By the
        plug-in estimator there is no speed: neighbours are as far apart as two samples of one
        model, so that it would tell little but how close checkpoints are.
    """
    runs = runs_among(found.tree.tips, rows)
    few = sum(len(run.tips) for run in runs) <= _MOST
    of_table = bool(runs) and few and shown_estimator(found) is not None
    return [_measured(found, run, of_table) for run in runs]


def _measured(found: Material, run: Run, of_table: bool) -> dict[str, Any]:
    names = [found.tree.tips[tip] for tip in run.tips]
    shown: dict[str, Any] = {
        "name": run.name,
        "tips": list(run.tips),
        "steps": rounded(run.steps, 10),
    }
    frame = _trajectory(found, run, names) if of_table else None
    if frame is None:
        return shown | _by_distances(found, run, names)
    for to, part in frame.groupby("to", sort=False):
        first = [] if len(part) == len(names) else [None]
        for key, column in (("", "distance"), ("_lower", "lower"), ("_upper", "upper")):
            shown[f"{to}{key}"] = [*first, *rounded(part[column])]
        if to == "previous":
            shown["speed"] = [*first, *rounded(part["speed"])]
    return shown | {"estimator": "unbiased"}


def _trajectory(found: Material, run: Run, names: Sequence[str]) -> pd.DataFrame | None:
    """None where alleles give no unbiased distances, or no errors of them."""
    from pyphylo.stats.trajectories import trajectory

    if found.table is None:
        return None
    try:
        with warnings.catch_warnings():
            # Which cells count as missing was said when distances were computed.
            warnings.simplefilter("ignore", PyphyloWarning)
            return trajectory(found.table, names, steps=run.steps, estimator="unbiased")
    except InputError:
        return None


def _by_distances(found: Material, run: Run, names: Sequence[str]) -> dict[str, Any]:
    square = np.asarray(found.distances.filter(names).values, dtype=np.float64)
    previous = np.diagonal(square, offset=1)
    estimator = found.distances.provenance.get("estimator")
    told = {
        "start": rounded(square[0]),
        "end": rounded(square[-1]),
        "previous": [None, *rounded(previous)],
        "estimator": estimator,
    }
    if estimator != "plugin":
        told["speed"] = [None, *rounded(previous / np.diff(run.steps))]
    return told


def _parts(name: str) -> tuple[str, float, str] | None:
    """What is before a name's step, the step, and what is behind it."""
    from pyphylo.stats.trajectories import STEP

    found = list(STEP.finditer(name))
    if not found:
        return None
    last = found[-1]
    before = re.sub(r"[-_/@=.: ]+$", "", name[: last.start()])
    return before, float(last[1]), name[last.end() :]


def _number(cell: Any) -> float | None:
    try:
        value = float(str(cell))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
