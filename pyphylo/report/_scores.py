"""True benchmark scores beside those that distances predict."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.report._numbers import rounded

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.report._inputs import Material

__all__ = ["scores_shown"]


def scores_shown(
    found: Material, scores: Any, rows: Mapping[str, Mapping[str, Any]], unit: str | None
) -> dict[str, Any] | None:
    """True and predicted scores of each benchmark, in fractions of 1; notes say which have none."""
    table, unit = _table(found, scores, unit)
    # A frame has NaN where a table had an empty cell.
    given = {name: row.get("family") for name, row in rows.items()}
    families = {name: text for name, text in given.items() if isinstance(text, str) and text}
    scored = list(table.index)
    known = all(name in families for name in scored)
    groups: Any = {name: families[name] for name in scored} if known else "clade:0.5"
    frame = _predicted(found, table, groups, unit)
    if frame is None:
        return None
    number = {name: i for i, name in enumerate(found.tree.tips)}
    targets = []
    for target, part in frame.groupby("target", sort=False):
        part = part[part["estimator"] == "BenchmarkRegressor"].dropna(subset=["true", "predicted"])
        targets.append(
            {
                "name": str(target),
                "tip": [number[name] for name in part["model"]],
                **{key: rounded(part[key], 5) for key in ("true", "predicted", "lower", "upper")},
            }
        )
    return {"targets": targets, "groups": "families" if known else "clades within 0.5"}


def _predicted(found: Material, table: pd.DataFrame, groups: Any, unit: str) -> Any:
    """Predictions of the benchmarks that can be learnt; the rest of the page needs none of them."""
    from pyphylo.predict.benchmark import BenchmarkRegressor
    from pyphylo.predict.evaluate import UntrainableError, cross_validate_scores

    empty = [name for name in table.columns if not table[name].notna().any()]
    for name in empty:
        found.notes.append(f"Scores of {name!r} are not shown: no model here has one.")
    table = table.drop(columns=empty)
    distances = found.distances.filter(list(table.index))
    again = False
    while table.shape[1]:
        try:
            with warnings.catch_warnings():
                if again:  # what is warned of was said at the first try
                    warnings.simplefilter("ignore", PyphyloWarning)
                return cross_validate_scores(
                    distances,
                    table,
                    groups=groups,
                    estimators={"BenchmarkRegressor": BenchmarkRegressor()},
                    baselines=False,
                    unit=unit,
                    n_bootstrap=0,
                )
        except UntrainableError as error:
            found.notes.append(f"Scores are not shown: {error}.")
            if error.benchmark is None:
                break
            table = table.drop(columns=error.benchmark)
            again = True
    return None


def _table(found: Material, scores: Any, unit: str | None) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    from pyphylo.io.scores import read_scores
    from pyphylo.predict.matching import match_scores

    if isinstance(scores, pd.DataFrame):
        frame = scores.set_index("model") if "model" in scores.columns else scores
        here = [name for name in found.tree.tips if name in frame.index]
        if not here:
            raise InputError("the scores name none of the models of the tree")
        _note_unknown(found, list(frame.index[~frame.index.isin(here)]))
        return frame.loc[here], unit or "fraction"
    if isinstance(scores, (str, os.PathLike)):
        scores = read_scores(Path(scores), unit=unit)
    matched = match_scores(scores, found.distances.ids)
    _note_unknown(found, list(matched.unmatched))
    return matched.scores, matched.unit


def _note_unknown(found: Material, names: Sequence[str]) -> None:
    if names:
        found.notes.append(
            f"Scores of {len(names)} names are not shown, which are no model's here "
            f"({_some(names)})."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
