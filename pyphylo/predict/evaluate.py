"""Predictors of scores judged on models whose kin they never saw."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from tqdm import tqdm

from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.predict._affinity import distances_of
from pyphylo.predict._inputs import aligned_numbers, labelled, matched_scores, parent_rows
from pyphylo.predict._intervals import conformal_radius
from pyphylo.predict.baselines import BASELINES, Known, grouped_errors
from pyphylo.predict.groups import group_names, join_groups, near_duplicates, pack_folds, some
from pyphylo.predict.metrics import score_metrics

__all__ = [
    "Task",
    "UntrainableError",
    "cross_validate_scores",
    "folds_of",
    "known_matrix",
    "refuse_one_group",
]

_INNER_FOLDS = 10

_LEAST = 3
"""Models that `ReferenceRegressor` takes at least."""


def cross_validate_scores(
    D: Any,
    scores: Any,
    *,
    groups: Any = "clade:0.5",
    estimators: Mapping[str, Any] | None = None,
    baselines: bool = True,
    covariates: Any = None,
    params_b: Any = None,
    base_models: Any = None,
    same: Any = (),
    join_leaks: bool = False,
    duplicate_within: float = 0.01,
    unit: str = "fraction",
    level: float = 0.9,
    intervals: bool = True,
    repeats: int = 1,
    n_bootstrap: int = 1000,
    seed: int = 0,
    progress: bool | None = None,
) -> pd.DataFrame:
    """Predict every score from models of other groups, and say how well that goes.

    Parameters
    ----------
    D : DistanceMatrix or SimilarityMatrix
    scores : DataFrame, Series or mapping
        One column a benchmark, NaN where unknown; indexed by model or with a column ``model``.
    groups : str, mapping or sequence
        What is left out together: a family of each model; ``"model"`` for one
        model at a time; ``"clade:0.5"`` for clades of the average-linkage tree
        cut at that distance.
    estimators : mapping of str to estimator, optional
        By default ``{"BenchmarkRegressor": ..., "ReferenceRegressor": ...}``. An
        estimator with several outputs learns all benchmarks together, others one at
        a time; `affinity` and `random_state` are set where there are such parameters.
    baselines : bool
        Add the mean of the training fold, a line through log parameters
        (needs `params_b`), the nearest relative, the same base model's score
        (needs `base_models`).
    covariates : array_like of shape (n_models, c), optional
        In the matrix's order, for estimators whose `fit` takes them.
    params_b, base_models : mapping, Series or sequence, optional
        Billions of parameters and name of the base model, by model.
    same : iterable of pairs of names
        Models that are one for the purpose of leaks, such as a model and its quantisation.
    join_leaks : bool
        Leave groups that share duplicates or `same` models out together. Otherwise a
        warning names them.
    duplicate_within : float
        Models within this distance count as duplicates.
    unit : {"fraction", "percent"}
        Of the scores. Predictions are fractions.
    level : float
        Of the intervals.
    intervals : bool
        Intervals also for predictors without `predict_interval`: from errors on
        groups left out inside each training fold, ten fits for one.
    repeats : int
        With other seeds (and other inner draws).
    n_bootstrap : int
        Resamples behind the intervals of correlations.
    seed : int
    progress : bool, optional
        Show a bar on stderr; by default on a terminal, once it takes half a second.

    Returns
    -------
    DataFrame
        A row for each model with a score, benchmark, predictor and repeat: model, target,
        estimator, repeat, fold (the group left out), true, predicted, lower, upper.
        ``attrs["metrics"]`` holds the rows of `score_metrics` as dicts, ``attrs["leaks"]`` the
        pairs of names that share a copy across folds, ``attrs["joined"]`` how many were joined.

    Raises
    ------
    InputError
        Scores cannot be used (see the message), or all scored models are of one group.

    Notes
    -----
    Everything that is fitted or chosen, intervals included, sees the training fold only.
    """
    ids, distances, values, affinity = known_matrix(D)
    table = matched_scores(scores, ids, unit)
    names, leaks = folds_of(groups, ids, distances, same, join_leaks, duplicate_within)
    Y = table.to_numpy(np.float64)
    refuse_one_group(table, names)
    task = Task(ids, distances, values, affinity, Y, names, level, intervals)
    task.covariates = None if covariates is None else np.asarray(covariates, dtype=np.float64)
    chosen = _default_estimators() if estimators is None else dict(estimators)
    parts = []
    hidden, delay = (None, 0.5) if progress is None else (not progress, 0.0)
    with tqdm(desc="left out", unit="group", disable=hidden, delay=delay) as bar:
        bar.total = repeats * sum(map(task.count, chosen.values()))
        task.bar = bar
        for repeat in range(repeats):
            for name, estimator in chosen.items():
                found = task.run(estimator, seed + repeat)
                parts.append(_frame(task, table.columns, name, repeat, found))
    if baselines:
        sizes = aligned_numbers(params_b, ids, "params_b")
        parents = parent_rows(base_models, ids)
        for name, rule in BASELINES.items():
            if (name == "parameters only" and sizes is None) or (
                name == "same base model" and parents is None
            ):
                continue
            found = task.run_baseline(rule, sizes, parents)
            parts.append(_frame(task, table.columns, name, 0, found))
    frame = pd.concat(parts, ignore_index=True)
    metrics = score_metrics(frame, level=level, n_bootstrap=n_bootstrap, seed=seed)
    frame.attrs["metrics"] = metrics.to_dict("records")
    frame.attrs["leaks"] = [] if join_leaks else [[ids[i], ids[j]] for i, j in leaks]
    frame.attrs["joined"] = len(leaks) if join_leaks else 0
    return frame


class Task:
    """One evaluation: the matrix, the scores and who is left out with whom."""

    def __init__(
        self,
        ids: list[str],
        distances: NDArray[np.float64],
        values: NDArray[np.float64],
        affinity: str,
        Y: NDArray[np.float64],
        names: NDArray[Any],
        level: float,
        intervals: bool,
    ) -> None:
        self.ids, self.distances, self.values, self.affinity = ids, distances, values, affinity
        self.Y, self.names, self.level, self.intervals = Y, names, level, intervals
        self.covariates: NDArray[np.float64] | None = None
        self.bar: Any = None

    def count(self, estimator: Any) -> int:
        """How many times `run` leaves a group out."""
        return sum(
            len(set(self.names[~np.isnan(self.Y[:, which]).all(axis=1)]))
            for which in self.together(estimator)
        )

    def together(self, estimator: Any) -> list[NDArray[np.intp]]:
        """Columns of benchmarks that are learnt at once."""
        from sklearn.utils import get_tags

        every = np.arange(self.Y.shape[1])
        return [every] if get_tags(estimator).target_tags.multi_output else list(every[:, None])

    def seeded(self, estimator: Any, seed: int) -> Any:
        """The estimator told what the matrix holds, and the seed."""
        from sklearn.base import clone

        settings = {
            key: value
            for key, value in (("affinity", self.affinity), ("random_state", seed))
            if key in estimator.get_params()
        }
        return clone(estimator).set_params(**settings)

    def run(self, estimator: Any, seed: int) -> NDArray[np.float64]:
        """Predicted, lower, upper: shape (3, models, benchmarks)."""
        estimator = self.seeded(estimator, seed)
        found = np.full((3, *self.Y.shape), np.nan)
        for which in self.together(estimator):
            rows = np.flatnonzero(~np.isnan(self.Y[:, which]).all(axis=1))
            for train, test in self._splits(rows):
                found[:, test[:, None], which] = self.predict(estimator, which, train, test)
                if self.bar is not None:
                    self.bar.update()
        return found

    def predict(
        self,
        estimator: Any,
        which: NDArray[np.intp],
        train: NDArray[np.intp],
        test: NDArray[np.intp],
    ) -> NDArray[np.float64]:
        """Predicted, lower, upper of some rows from others: shape (3, test, which)."""
        ways = self._with_intervals if hasattr(estimator, "predict_interval") else self._without
        return ways(estimator, which, train, test).reshape(3, len(test), len(which))

    def run_baseline(
        self,
        rule: Any,
        sizes: NDArray[np.float64] | None,
        parents: NDArray[np.intp] | None,
    ) -> NDArray[np.float64]:
        """As `run`, of one of the baselines."""
        found = np.full((3, *self.Y.shape), np.nan)
        for j, scores in enumerate(self.Y.T):
            known = Known(scores, self.distances, sizes, parents)
            for train, test in self._splits(np.flatnonzero(~np.isnan(scores))):
                found[:, test, j] = self._around(
                    functools.partial(rule, known), scores, train, test
                )
        return found

    def _splits(self, rows: NDArray[np.intp]) -> Any:
        for name in sorted(set(self.names[rows])):
            inside = self.names[rows] == name
            yield rows[~inside], rows[inside]

    def _extra(self, estimator: Any, rows: NDArray[np.intp]) -> dict[str, Any]:
        from sklearn.utils.validation import has_fit_parameter

        if self.covariates is None or not has_fit_parameter(estimator, "covariates"):
            return {}
        return {"covariates": self.covariates[rows]}

    def _fitted(self, estimator: Any, which: NDArray[np.intp], train: NDArray[np.intp]) -> Any:
        from sklearn.base import clone
        from sklearn.utils.validation import has_fit_parameter

        extra = self._extra(estimator, train)
        if has_fit_parameter(estimator, "groups"):
            extra["groups"] = self.names[train].astype(str)
        y = self.Y[np.ix_(train, which)]
        model = clone(estimator)
        return model.fit(
            self.values[np.ix_(train, train)], y[:, 0] if len(which) == 1 else y, **extra
        )

    def _with_intervals(
        self,
        estimator: Any,
        which: NDArray[np.intp],
        train: NDArray[np.intp],
        test: NDArray[np.intp],
    ) -> NDArray[np.float64]:
        model = self._fitted(estimator, which, train)
        X, extra = self.values[np.ix_(test, train)], self._extra(estimator, test)
        lower, upper = model.predict_interval(X, level=self.level, **extra)
        return np.stack([model.predict(X, **extra), lower, upper])

    def _without(
        self,
        estimator: Any,
        which: NDArray[np.intp],
        train: NDArray[np.intp],
        test: NDArray[np.intp],
    ) -> NDArray[np.float64]:
        """Of an estimator that says no interval; of several outputs only the prediction."""

        def predict(rows: NDArray[np.intp], new: NDArray[np.intp]) -> NDArray[np.float64]:
            model = self._fitted(estimator, which, rows)
            X = self.values[np.ix_(new, rows)]
            return np.asarray(model.predict(X, **self._extra(estimator, new)))

        if len(which) > 1:
            middle = predict(train, test)
            return np.stack([middle, np.full_like(middle, np.nan), np.full_like(middle, np.nan)])
        return self._around(predict, self.Y[:, which[0]], train, test)

    def _around(
        self,
        predict: Any,
        scores: NDArray[np.float64],
        train: NDArray[np.intp],
        test: NDArray[np.intp],
    ) -> NDArray[np.float64]:
        """Predictions, and intervals from errors on groups left out inside the training rows."""
        middle = predict(train, test)
        if not self.intervals:
            return np.stack([middle, np.full(len(test), np.nan), np.full(len(test), np.nan)])
        folds = pack_folds(self.names[train].astype(str), _INNER_FOLDS)
        errors = grouped_errors(predict, scores, train, folds)
        radius = conformal_radius(errors, self.level)
        return np.stack([middle, np.clip(middle - radius, 0, 1), np.clip(middle + radius, 0, 1)])


def folds_of(
    groups: Any,
    ids: list[str],
    distances: NDArray[np.float64],
    same: Any = (),
    join_leaks: bool = False,
    duplicate_within: float = 0.01,
) -> tuple[NDArray[Any], list[tuple[int, int]]]:
    """The group that each model is left out with, and copies that lay in two groups.

    Arguments are those of `cross_validate_scores`. Groups that share copies are joined, or a
    warning names them.
    """
    names = group_names(groups, ids, distances)
    pairs = near_duplicates(distances, duplicate_within) + _same_rows(same, ids)
    leaks = [(i, j) for i, j in pairs if names[i] != names[j]]
    if leaks and join_leaks:
        names = join_groups(names, leaks)
    elif leaks:
        shown = [f"{ids[i]} = {ids[j]}" for i, j in leaks]
        warnings.warn(
            f"{len(leaks)} pairs of the same or nearly the same model lie in two folds, so that "
            f"scores leak: {some(shown)}; pass join_leaks=True (--join-leaks) to leave them out "
            "together",
            PyphyloWarning,
            stacklevel=3,
        )
    return names, leaks


class UntrainableError(InputError):
    """Too few scores outside of one group: of a benchmark, or of all of them (None)."""

    def __init__(self, text: str, benchmark: Any = None) -> None:
        super().__init__(text)
        self.benchmark = benchmark


def refuse_one_group(table: pd.DataFrame, names: NDArray[Any]) -> None:
    """Without each group, every benchmark must keep three scores to train on."""
    known = table.notna().to_numpy()
    scored = names[known.any(axis=1)]
    if len(set(scored)) < 2:
        raise UntrainableError(
            f"all models with scores are of one group ({str(scored[0])!r}): nothing to train on"
        )
    for benchmark, column in zip(table.columns, known.T, strict=True):
        groups, sizes = np.unique(names[column].astype(str), return_counts=True)
        largest = int(sizes.argmax())
        rest = int(sizes.sum() - sizes[largest])
        if rest < _LEAST:
            raise UntrainableError(
                f"{benchmark!r} has {rest} scores of models outside the group "
                f"{str(groups[largest])!r}; {_LEAST} are the least to train on: leave the "
                "benchmark out, or choose smaller groups",
                benchmark,
            )


def known_matrix(
    D: Any,
) -> tuple[list[str], NDArray[np.float64], NDArray[np.float64], str]:
    """Names, distances, what the matrix itself holds, and which of the two that is."""
    ids, given, affinity = labelled(D)
    values = given.astype(np.float64)
    return ids, distances_of(values, affinity), values, affinity


def _same_rows(same: Any, ids: list[str]) -> list[tuple[int, int]]:
    row = {name: i for i, name in enumerate(ids)}
    pairs = []
    for pair in same:
        unknown = [name for name in pair if name not in row]
        if unknown or len(pair) != 2:
            raise InputError(f"same: {tuple(pair)!r} is no pair of models of the matrix")
        pairs.append((row[pair[0]], row[pair[1]]))
    return pairs


def _default_estimators() -> dict[str, Any]:
    from pyphylo.predict.benchmark import BenchmarkRegressor
    from pyphylo.predict.reference import ReferenceRegressor

    return {
        "BenchmarkRegressor": BenchmarkRegressor(),
        "ReferenceRegressor": ReferenceRegressor(),
    }


def _frame(
    task: Task, targets: Any, estimator: str, repeat: int, found: NDArray[np.float64]
) -> pd.DataFrame:
    parts = []
    for j, target in enumerate(targets):
        rows = np.flatnonzero(~np.isnan(task.Y[:, j]))
        parts.append(
            pd.DataFrame(
                {
                    "model": [task.ids[i] for i in rows],
                    "target": target,
                    "estimator": estimator,
                    "repeat": repeat,
                    "fold": task.names[rows],
                    "true": task.Y[rows, j],
                    "predicted": found[0, rows, j],
                    "lower": found[1, rows, j],
                    "upper": found[2, rows, j],
                }
            )
        )
    whole: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return whole
