"""Predictions of scores under one setting, and how far they lie from another's."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError, PyphyloWarning

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.stats._moved import Kinship

__all__ = ["Scored", "prediction_measures"]

_Floats = NDArray[np.float64]

_CLADES = "clade:0.5"
"""What is left out together where not all families are known."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores, and what is left out together to predict them: the same under every setting.

    Attributes
    ----------
    scores : DataFrame
        Fractions, by model, one column a benchmark, NaN where unknown; models with any.
    groups : dict of str to str
        Of each of these models.
    """

    scores: pd.DataFrame
    groups: dict[str, str]

    @classmethod
    def of(cls, scores: pd.DataFrame, groups: Any, distances: Any, kinship: Kinship) -> Scored:
        """Scores of the baseline's models, and groups by its distances.

        Parameters
        ----------
        scores : DataFrame
            As `matched_scores` returns them.
        groups : str, mapping or None
            As `cross_validate_scores` takes them; None or "auto": families where all are known,
            else clades, joined where they share copies of a model.
        distances : DistanceMatrix
            Of the baseline.
        kinship : Kinship

        Raises
        ------
        InputError
            As `cross_validate_scores`.
        """
        from pyphylo.predict.evaluate import folds_of, refuse_one_group
        from pyphylo.predict.quantised import quantised_pairs

        table = scores.dropna(how="all")
        ids = list(table.index)
        own = distances.filter(ids).values
        automatic = groups is None or (isinstance(groups, str) and groups == "auto")
        if automatic:
            groups = _automatic(ids, kinship)
        same = quantised_pairs(ids, kinship.parent)
        names, _ = folds_of(groups, ids, own, same, automatic)
        refuse_one_group(table, names)
        return cls(table, dict(zip(ids, map(str, names), strict=True)))

    def require(self, models: Iterable[str], store: str) -> None:
        """Refuse models of another store that leave too little to train on."""
        from pyphylo.predict.evaluate import refuse_one_group

        here = set(models)
        table = self.scores[[name in here for name in self.scores.index]]
        table = table.dropna(axis=1, how="all")
        try:
            if not len(table):
                raise InputError("no model that it shares with the baseline has a score")
            refuse_one_group(table, np.array([self.groups[name] for name in table.index], object))
        except InputError as error:
            raise InputError(f"store {store!r}: {error}") from None

    def truth(self, ids: Sequence[str]) -> _Floats:
        """Scores of models, NaN where unknown, shape (models, benchmarks)."""
        known: _Floats = self.scores.reindex(list(ids)).to_numpy(np.float64)
        return known

    def predicted(self, values: _Floats, ids: Sequence[str]) -> _Floats:
        """What `BenchmarkRegressor` says of each score from models of other groups.

        Shape (models, benchmarks), NaN where there is no score. As many fits as groups.
        """
        from pyphylo.predict.benchmark import BenchmarkRegressor
        from pyphylo.predict.evaluate import Task

        rows = np.array([i for i, name in enumerate(ids) if name in self.groups])
        names = [ids[i] for i in rows]
        truth = self.truth(names)
        known = ~np.isnan(truth).all(axis=0)
        # Unbiased similarities above 1 are distances just below 0
        own = np.maximum(values[np.ix_(rows, rows)], 0.0)
        groups = np.array([self.groups[name] for name in names], dtype=object)
        task = Task(names, own, own, "distance", truth[:, known], groups, 0.9, False)
        found = np.full((len(ids), truth.shape[1]), np.nan)
        found[np.ix_(rows, known)] = task.run(BenchmarkRegressor(), 0)[0]
        return found


def _automatic(ids: Sequence[str], kinship: Kinship) -> Any:
    """Families where all are known, else clades."""
    from pyphylo.predict.groups import some

    missing = [name for name in ids if name not in kinship.family]
    if not missing:
        return {name: kinship.family[name] for name in ids}
    if kinship.family:
        warnings.warn(
            f"metadata name no family of {some(missing)}: clades within 0.5 are left out instead",
            PyphyloWarning,
            stacklevel=2,
        )
    return _CLADES


def prediction_measures(truth: _Floats, base: _Floats, own: _Floats) -> _Floats:
    """How far predictions moved, and how good they are.

    Parameters
    ----------
    truth, base, own : ndarray of float64, shape (models, benchmarks)
        Scores, what the baseline predicts, what the setting predicts. NaN where there is no score.

    Returns
    -------
    ndarray of float64, shape (5,)
        Means over benchmarks: mean absolute change; Pearson's r with the scores, the same less
        the baseline's; mean absolute error, the same less the baseline's. NaN where no benchmark
        says it (r: of fewer than three models, or of constants).
    """
    rows = []
    for score, before, after in zip(truth.T, base.T, own.T, strict=True):
        known = ~(np.isnan(score) | np.isnan(before) | np.isnan(after))
        if known.any():
            score, before, after = score[known], before[known], after[known]
            r, error = _correlation(score, after), float(np.abs(after - score).mean())
            rows.append(
                [
                    float(np.abs(after - before).mean()),
                    r,
                    r - _correlation(score, before),
                    error,
                    error - float(np.abs(before - score).mean()),
                ]
            )
    table = np.array(rows).reshape(-1, 5)
    said = ~np.isnan(table)
    with np.errstate(invalid="ignore"):
        means: _Floats = np.where(said, table, 0.0).sum(axis=0) / said.sum(axis=0)
    return means


def _correlation(a: _Floats, b: _Floats) -> float:
    if len(a) < 3:
        return np.nan
    a, b = a - a.mean(), b - b.mean()
    length = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / length if length > 1e-12 * len(a) else np.nan
