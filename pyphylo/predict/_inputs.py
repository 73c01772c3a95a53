"""Scores, covariates and lineage as callers give them, matched to a matrix's models."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pyphylo.distance import DistanceMatrix
from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.predict.groups import some
from pyphylo.similarity import SimilarityMatrix

__all__ = ["FEW", "aligned_numbers", "labelled", "matched_scores", "parent_rows"]

FEW = 10
"""A benchmark of fewer scores is warned of."""


def labelled(D: Any) -> tuple[list[str], NDArray[Any], str]:
    """Names, values and affinity of a matrix that has names."""
    for kind, affinity in ((SimilarityMatrix, "similarity"), (DistanceMatrix, "distance")):
        if isinstance(D, kind):
            return list(D.ids), np.asarray(D.values), affinity
    raise InputError(
        f"D must be a DistanceMatrix or a SimilarityMatrix, not {type(D).__name__}: "
        "its names say which score is whose"
    )


def matched_scores(scores: Any, ids: Sequence[str], unit: str) -> pd.DataFrame:
    """Scores as fractions, one row for each id in the matrix's order, NaN where unknown.

    Parameters
    ----------
    scores : DataFrame, Series or mapping
        Indexed by model, or with a column ``model``; one column a benchmark. A
        mapping holds model -> score, or model -> {benchmark: score}.
    ids : sequence of str
    unit : {"fraction", "percent"}

    Raises
    ------
    InputError
        A value is outside the unit, a model has two different ones, a column holds
        text, or no model is in the matrix.
    """
    if unit not in ("fraction", "percent"):
        raise InputError(f"unit must be 'fraction' or 'percent', not {unit!r}")
    frame = _indexed(scores)
    for column in frame.columns:
        if not pd.api.types.is_numeric_dtype(frame[column]):
            raise InputError(f"scores of {column!r} are not numbers")
    frame = frame.astype(np.float64)
    top = 1.0 if unit == "fraction" else 100.0
    for column in frame.columns:
        wrong = frame.index[(frame[column] < 0) | (frame[column] > top)]
        if len(wrong):
            raise InputError(
                f"{column!r} of {some(list(wrong))} lies outside [0, {top:g}] (the first is "
                f"{frame.loc[[wrong[0]], column].iloc[0]}): pass unit='percent' (--unit), or "
                "mend the rows that mix units"
            )
    if unit == "percent":
        _check_percent(frame)
        frame = frame / 100.0
    frame = _without_repeats(frame)
    unknown = [name for name in frame.index if name not in set(ids)]
    if len(unknown) == len(frame):
        raise InputError(f"no model with scores is in the matrix: {some(unknown)}")
    if unknown:
        warnings.warn(
            f"scores of models that are not in the matrix are not used: {some(unknown)}",
            PyphyloWarning,
            stacklevel=3,
        )
    matched: pd.DataFrame = frame.reindex(list(ids))
    for column, count in matched.notna().sum().items():
        if count == 0:
            raise InputError(f"{column!r} has no score of any model in the matrix: leave it out")
        if count < FEW:
            warnings.warn(
                f"{column!r} has only {count} score{'s' * (count != 1)}: what is said of it means "
                "little",
                PyphyloWarning,
                stacklevel=3,
            )
    return matched


def aligned_numbers(values: Any, ids: Sequence[str], what: str) -> NDArray[np.float64] | None:
    """One number for each id from a mapping, a Series or a sequence; NaN where unknown."""
    if values is None:
        return None
    if hasattr(values, "to_dict"):
        values = values.to_dict()
    if isinstance(values, Mapping):
        return np.array([_number(values.get(name)) for name in ids])
    numbers = np.array([_number(value) for value in values])
    if len(numbers) != len(ids):
        raise InputError(f"{len(numbers)} values of {what} for {len(ids)} models")
    return numbers


def parent_rows(base_models: Any, ids: Sequence[str]) -> NDArray[np.intp] | None:
    """The row of each id's base model; -1 where unknown or not in the matrix."""
    if base_models is None:
        return None
    if hasattr(base_models, "to_dict"):
        base_models = base_models.to_dict()
    row = {name: i for i, name in enumerate(ids)}
    return np.array([row.get(base_models.get(name), -1) for name in ids], dtype=np.intp)


def _indexed(scores: Any) -> pd.DataFrame:
    frame: pd.DataFrame
    if isinstance(scores, pd.Series):
        frame = scores.to_frame(scores.name if scores.name is not None else "score")
    elif isinstance(scores, Mapping):
        nested = {
            model: dict(value) if isinstance(value, Mapping) else {"score": value}
            for model, value in scores.items()
        }
        frame = pd.DataFrame(list(nested.values()), index=list(nested))
    elif not isinstance(scores, pd.DataFrame):
        raise InputError(
            f"scores must be a DataFrame, a Series or a mapping, not {type(scores).__name__}"
        )
    else:
        frame = scores.set_index("model") if "model" in scores.columns else scores
    return frame


def _check_percent(frame: pd.DataFrame) -> None:
    """A column of percent in which nothing exceeds 1 is of fractions; a few such are suspect."""
    for column in frame.columns:
        values = frame[column]
        if values.max() <= 1:
            raise InputError(
                f"no score of {column!r} exceeds 1, so it is of fractions, not of percent: "
                "pass unit='fraction' (--unit), or mend the column"
            )
        low = frame.index[(values > 0) & (values <= 1)]
        if len(low):
            warnings.warn(
                f"{column!r} of {some(list(low))} is at most 1 in percent: fractions, among "
                "scores in percent?",
                PyphyloWarning,
                stacklevel=4,
            )


def _without_repeats(frame: pd.DataFrame) -> pd.DataFrame:
    repeated = frame.index[frame.index.duplicated()]
    if not len(repeated):
        return frame
    spread = frame.loc[repeated.unique()].groupby(level=0).nunique().max(axis=1)
    differing = list(spread.index[spread > 1])
    if differing:
        raise InputError(f"different scores of the same model: {some(differing)}; keep one each")
    return frame.groupby(level=0, sort=False).first()


def _number(value: Any) -> float:
    return float("nan") if value is None or value == "" else float(value)
