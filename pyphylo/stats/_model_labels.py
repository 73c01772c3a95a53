"""What a caller says of models: groups and scores, by name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._names import did_you_mean
from pyphylo.errors import InputError

__all__ = ["group_codes", "known_rows", "score_values"]


def group_codes(groups: Any, models: Sequence[str]) -> tuple[NDArray[np.int64], list[str]]:
    """The group of each model as a number, -1 without one, and the groups' names, sorted.

    Parameters
    ----------
    groups : mapping or pandas.Series
        Name of a model to name of its group; None, NaN or "" for none. Names that are
        no models are passed over.
    """
    given = _by_model(groups, "groups")
    found: list[str | None] = []
    for model in models:
        value = given.get(model)
        if value is None or value != value or value == "":
            found.append(None)
        elif isinstance(value, str):
            found.append(value)
        else:
            raise InputError(f"the group of model {model!r} must be a string, not {value!r}")
    names = sorted({name for name in found if name is not None})
    if not names:
        raise InputError("groups give none of the table's models a group: check their names")
    number = {name: code for code, name in enumerate(names)}
    return np.array([-1 if name is None else number[name] for name in found], np.int64), names


def score_values(scores: Any, models: Sequence[str]) -> NDArray[np.float64]:
    """The score of each model, NaN without one.

    Parameters
    ----------
    scores : mapping or pandas.Series
        Name of a model to a finite number; None or NaN for none. Names that are no models
        are passed over.
    """
    given = _by_model(scores, "scores")
    values: NDArray[np.float64] = np.full(len(models), np.nan)
    for row, model in enumerate(models):
        value = given.get(model)
        if value is None or value != value:
            continue
        try:
            values[row] = float(value)
        except (TypeError, ValueError):
            values[row] = math.inf
        if math.isinf(values[row]):
            raise InputError(f"the score of model {model!r} must be a number, not {value!r}")
    known = int(np.isfinite(values).sum())
    if known < 3:
        raise InputError(
            f"scores are known of {known} of the table's {len(models)} models: at least three "
            "are needed; check the names"
        )
    return values


def known_rows(names: Iterable[str], models: Sequence[str], what: str) -> list[int]:
    """The rows of models by name, in the order given; the first that is unknown is refused."""
    number = {model: row for row, model in enumerate(models)}
    rows = []
    for name in names:
        if name not in number:
            hint = did_you_mean(name, models)
            raise InputError(f"{what} {name!r} is none of the table's {len(models)} models{hint}")
        rows.append(number[name])
    return rows


def _by_model(given: Any, what: str) -> Mapping[str, Any]:
    if isinstance(given, Mapping):
        return given
    if hasattr(given, "index") and hasattr(given, "to_dict") and not hasattr(given, "columns"):
        if not given.index.is_unique:
            twice = given.index[given.index.duplicated()][0]
            raise InputError(f"{what}: model {twice!r} occurs twice")
        found: dict[str, Any] = given.to_dict()
        return found
    raise InputError(
        f"{what} must be a mapping from model to value or a pandas Series, "
        f"not {type(given).__name__}"
    )
