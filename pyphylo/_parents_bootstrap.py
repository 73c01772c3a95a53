"""Declared parents that the distances contradict, by resampling genes."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._names import check_names, did_you_mean, whole_number
from pyphylo.distance import DistanceMatrix, nei_distance
from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.io.metadata import read_lineage
from pyphylo.resampling import resample_similarity

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable

__all__ = ["contradicted_parents"]

_RIVALS = 16
"""Alternatives weighed against each declared parent, the nearest."""
_TOGETHER = 64
"""Children tested in one go, which bounds the models that a replicate is formed of."""


def contradicted_parents(
    table: AlleleTable,
    metadata: Any,
    candidates: Iterable[str] | None = None,
    *,
    n: int = 1000,
    seed: int = 0,
    alpha: float = 0.05,
    estimator: str = "plugin",
    n_threads: int = 0,
) -> pd.DataFrame:
    r"""Declared parents that are farther than another model, more than chance allows.

    Parameters
    ----------
    table : AlleleTable
    metadata : path, DataFrame, mapping or Lineage
        As in `propose_parents`; pairs of ``model`` and ``base_model`` that are both
        in the table are tested.
    candidates : iterable of str, optional
        Models that might be the parent instead. By default all, which calls a
        sibling that is nearer than the parent a contradiction too, unless it is
        declared to descend from that parent.
    n : int
        Bootstrap replicates, over genes: at least pairs / alpha, or no single pair can be
        listed (a warning says so).
    seed : int
    alpha : float
        Pairs with a q-value up to alpha are listed; 1: all pairs.
    estimator, n_threads
        As in `nei_distance`.

    Returns
    -------
    DataFrame
        model, base_model, nearest (the nearest other candidate; None where there is
        none), p_value, distance_declared, distance_nearest, q_value; the most contradicted first.

    Raises
    ------
    InputError
        An unknown candidate, a cycle in the metadata, n or alpha out of range.

    Notes
    -----
    The hypothesis: no candidate is nearer to the child than the declared parent.
    The statistic T is the declared distance less the smallest one. Replicates are
    shifted so that every candidate that might be as near as the parent is exactly as
    near on average, and each recomputes T; the p-value is
    ``(1 + #{T_b >= T}) / (1 + n)`` (Shimodaira & Hasegawa 1999, Mol. Biol. Evol. 16:1114).
    Candidates that are farther by more than ``sqrt(2 log log genes)`` standard errors keep their
    lag, as they would only blur the test (Hansen 2005, J. Bus. Econ. Stat. 23:365). Being chosen
    as the nearest of many is thus allowed for. q-values: Benjamini &
    Hochberg (1995) J. R. Stat. Soc. B 57:289, over all pairs tested.

    A parent is contradicted too where the child's own children are declared to descend from
    someone else: they are near to it, and taken for its parents.

    The sixteen nearest candidates of a child are weighed, with the declared parent. Declared
    descendants of the child, or of its declared parent, are no candidates.
    Replicates are formed in blocks, of the models concerned, 64 children at a time.
    """
    import pandas as pd

    n = whole_number(n, "n", 1)
    if isinstance(alpha, bool) or not 0 < alpha <= 1:
        raise InputError(f"alpha must be above 0 and at most 1, not {alpha!r}")
    if not hasattr(table, "models"):
        raise InputError(f"the test needs an AlleleTable, not {type(table).__name__}")
    names = table.models
    lineage = read_lineage(metadata, names)
    allowed = set(names) if candidates is None else set(check_names(candidates, "candidate"))
    missing = sorted(allowed - set(names))
    if missing:
        hint = did_you_mean(missing[0], names)
        raise InputError(f"candidate {missing[0]!r} is not in the table; leave it out{hint}")
    pairs = [
        (model, lineage.parents[model])
        for model in names
        if lineage.parents.get(model) in set(names)
    ]
    rows: list[dict[str, Any]] = []
    if alpha < 1 and len(pairs) > alpha * (1 + n):
        warnings.warn(
            f"{n} replicates cannot show that one of {len(pairs)} declared parents is contradicted "
            f"at alpha={alpha:g}: take n={math.ceil(len(pairs) / alpha)} or more",
            PyphyloWarning,
            stacklevel=2,
        )
    if pairs:
        D: DistanceMatrix = nei_distance(table, estimator=estimator, n_threads=n_threads)
        below = _descendants(lineage.parents)
        for start in range(0, len(pairs), _TOGETHER):
            part = [
                (child, parent, _rivals(D, child, parent, allowed, below))
                for child, parent in pairs[start : start + _TOGETHER]
            ]
            rows += _tested(table, D, part, n, seed, estimator, n_threads)
    columns = ["model", "base_model", "nearest", "p_value", "distance_declared", "distance_nearest"]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=columns).astype(
        dict.fromkeys(columns[:3], object) | dict.fromkeys(columns[3:], float)
    )
    frame["q_value"] = _adjusted(frame["p_value"].to_numpy())
    frame = frame.sort_values(["q_value", "p_value", "model"], kind="stable", ignore_index=True)
    if alpha < 1:
        frame = frame[frame["q_value"] <= alpha].reset_index(drop=True)
    return frame


def _descendants(parents: dict[str, str]) -> dict[str, set[str]]:
    """All declared descendants of each declared parent."""
    below: dict[str, set[str]] = {}
    for model in parents:
        at = parents.get(model)
        while at is not None:
            below.setdefault(at, set()).add(model)
            at = parents.get(at)
    return below


def _rivals(
    D: DistanceMatrix, child: str, parent: str, allowed: set[str], below: dict[str, set[str]]
) -> list[str]:
    """The nearest candidates that are neither the pair nor declared to descend from either."""
    row = D.values[D.ids.index(child)]
    out = {child, parent} | below.get(child, set()) | below.get(parent, set())
    order = np.argsort(row, kind="stable").tolist()
    near = (D.ids[k] for k in order if np.isfinite(row[k]))
    return [name for name in near if name in allowed and name not in out][:_RIVALS]


def _tested(
    table: AlleleTable,
    D: DistanceMatrix,
    part: list[tuple[str, str, list[str]]],
    n: int,
    seed: int,
    estimator: str,
    n_threads: int,
) -> list[dict[str, Any]]:
    """One row a pair."""
    used = {name for child, parent, rivals in part for name in (child, parent, *rivals)}
    chosen = [name for name in table.models if name in used]
    place = {name: k for k, name in enumerate(chosen)}
    m = len(chosen)

    def pair(a: str, b: str) -> int:
        i, j = sorted((place[a], place[b]))
        return i * (2 * m - i - 1) // 2 + j - i - 1

    wanted = [
        np.array([pair(child, other) for other in (parent, *rivals)])
        for child, parent, rivals in part
    ]
    drawn = [np.empty((n, len(places)), np.float32) for places in wanted]
    replicates = resample_similarity(
        table.select(models=chosen), n=n, seed=seed, estimator=estimator, n_threads=n_threads
    ).distances()
    for first, values in replicates.blocks():
        for kept, places in zip(drawn, wanted, strict=True):
            kept[first : first + len(values)] = values[:, places]
    rows = []
    for (child, parent, rivals), sample in zip(part, drawn, strict=True):
        seen = np.array([D[child, other] for other in (parent, *rivals)])
        rows.append(
            {
                "model": child,
                "base_model": parent,
                "nearest": rivals[0] if rivals else None,
                "p_value": _p_value(seen, sample.astype(np.float64), len(table.genes)),
                "distance_declared": float(seen[0]),
                "distance_nearest": float(seen[1]) if rivals else math.nan,
            }
        )
    return rows


def _p_value(seen: NDArray[np.float64], sample: NDArray[np.float64], genes: int) -> float:
    """Chance of the declared distance's lag; column 0 is the declared parent. NaN: unknown."""
    if not np.isfinite(seen[0]):
        return math.nan
    # A replicate without a gene that a pair shares says nothing of it: the estimate stands in.
    sample = np.where(np.isfinite(sample), sample, seen)
    lag = sample[:, :1] - sample
    shifted = lag - lag.mean(axis=0)
    error = shifted.std(axis=0)
    observed = seen[0] - seen
    slack = math.sqrt(2 * math.log(max(math.log(max(genes, 3)), 1.0 + 1e-12)))
    shifted += np.where(observed < -slack * error, observed, 0.0)
    reached = shifted.max(axis=1) >= observed.max() - 1e-12
    return float((1 + reached.sum()) / (1 + len(sample)))


def _adjusted(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """Benjamini and Hochberg's q-values; NaN stays."""
    from scipy.stats import false_discovery_control

    q = np.full(len(p), np.nan)
    known = np.isfinite(p)
    if known.any():
        q[known] = false_discovery_control(p[known])
    return q
