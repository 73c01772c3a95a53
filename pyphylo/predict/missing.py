"""Scores that were never measured, predicted from those that were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from pyphylo.errors import InputError
from pyphylo.predict._inputs import matched_scores
from pyphylo.predict.evaluate import Task, known_matrix
from pyphylo.predict.groups import group_names

__all__ = ["predict_missing_scores"]


def predict_missing_scores(
    D: Any,
    scores: Any,
    *,
    estimator: Any = None,
    groups: Any = "clade:0.5",
    models: Sequence[str] | None = None,
    covariates: Any = None,
    unit: str = "fraction",
    level: float = 0.9,
    seed: int = 0,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Learn from all scores that are known and predict all that are not.

    Parameters
    ----------
    D : DistanceMatrix or SimilarityMatrix
    scores : DataFrame, Series or mapping
        As in `cross_validate_scores`.
    estimator : estimator, optional
        By default `BenchmarkRegressor`.
    groups : str, mapping or sequence
        As in `cross_validate_scores`, of the models with scores at least: they are left out
        together where intervals are calibrated.
    models : sequence of str, optional
        Whose missing scores are predicted; all by default.
    covariates : array_like of shape (n_models, c), optional
        In the matrix's order.
    unit : {"fraction", "percent"}
        Of the scores. Predictions are fractions.
    level : float
        Of the intervals.
    seed : int
    progress : bool, optional
        As in `cross_validate_scores`.

    Returns
    -------
    DataFrame
        A row for each missing score, in the matrix's order of models: model, target,
        predicted, lower, upper.

    Raises
    ------
    InputError
        Scores cannot be used, a benchmark has fewer than three, or no score is missing.

    Notes
    -----
    One fit and, for estimators without `predict_interval`, one for each of at most ten inner
    folds. An interval is for models of groups that were not trained on; where a model has
    kin with scores it is wider than it need be.
    """
    from pyphylo.predict.benchmark import BenchmarkRegressor

    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, not {level!r}")
    ids, distances, values, affinity = known_matrix(D)
    table = matched_scores(scores, ids, unit)
    Y = table.to_numpy(np.float64)
    known = ~np.isnan(Y)
    for benchmark, count in zip(table.columns, known.sum(axis=0).tolist(), strict=True):
        if count < 3:
            raise InputError(f"{benchmark!r} has too few scores to train on: {count}, not three")
    wanted = _wanted(ids, models, known)
    scored = known.any(axis=1)
    names = np.full(len(ids), "", dtype=object)
    names[scored] = _names_of(groups, ids, distances, scored)
    task = Task(ids, distances, values, affinity, Y, names, level, True)
    task.covariates = None if covariates is None else np.asarray(covariates, dtype=np.float64)
    machine = task.seeded(BenchmarkRegressor() if estimator is None else estimator, seed)
    found = np.full((3, *Y.shape), np.nan)
    hidden, delay = (None, 0.5) if progress is None else (not progress, 0.0)
    columns = task.together(machine)
    for which in tqdm(columns, desc="predicting", unit="fit", disable=hidden, delay=delay):
        train = np.flatnonzero(known[:, which].any(axis=1))
        test = np.flatnonzero(wanted[:, which].any(axis=1))
        if len(test):
            found[:, test[:, None], which] = task.predict(machine, which, train, test)
    rows, columns_of = np.nonzero(wanted)
    targets = list(table.columns)
    frame: pd.DataFrame = pd.DataFrame(
        {
            "model": [ids[i] for i in rows.tolist()],
            "target": [targets[j] for j in columns_of.tolist()],
            **{
                name: found[k, rows, columns_of]
                for k, name in enumerate(("predicted", "lower", "upper"))
            },
        }
    )
    return frame


def _wanted(
    ids: list[str], models: Sequence[str] | None, known: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Which scores are to be predicted."""
    chosen = np.ones(len(ids), dtype=np.bool_)
    if models is not None:
        row = {name: i for i, name in enumerate(ids)}
        unknown = [name for name in models if name not in row]
        if unknown:
            raise InputError(f"{unknown[0]!r} is no model of the matrix")
        chosen[:] = False
        chosen[[row[name] for name in models]] = True
    wanted = ~known & chosen[:, None]
    if not wanted.any():
        raise InputError("no score is missing: every model has one of every benchmark")
    return np.asarray(wanted)


def _names_of(
    groups: Any, ids: list[str], distances: NDArray[np.float64], scored: NDArray[np.bool_]
) -> NDArray[Any]:
    """The group of each model with scores; of others none need be known."""
    rows = np.flatnonzero(scored)
    if not isinstance(groups, str) and not hasattr(groups, "keys"):
        groups = list(groups)
        if len(groups) != len(ids):
            raise InputError(f"{len(groups)} groups for {len(ids)} models: give one each")
        groups = [groups[i] for i in rows]
    named = group_names(groups, [ids[i] for i in rows], distances[np.ix_(rows, rows)])
    return np.asarray(named, dtype=object)
