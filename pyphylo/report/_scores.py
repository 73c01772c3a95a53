"""True benchmark scores beside those that distances predict."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo.errors import InputError
from pyphylo.report._numbers import rounded

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.report._inputs import Material

__all__ = ["scores_shown"]


def scores_shown(
    found: Material, scores: Any, rows: Mapping[str, Mapping[str, Any]], unit: str | None
) -> dict[str, Any]:
    """True and predicted scores of each benchmark, in fractions of 1."""
    from pyphylo.predict.benchmark import BenchmarkRegressor
    from pyphylo.predict.evaluate import cross_validate_scores

    table, unit = _table(found, scores, unit)
    # A frame has NaN where a table had an empty cell.
    given = {name: row.get("family") for name, row in rows.items()}
    families = {name: text for name, text in given.items() if isinstance(text, str) and text}
    scored = list(table.index)
    known = all(name in families for name in scored)
    groups: Any = {name: families[name] for name in scored} if known else "clade:0.5"
    frame = cross_validate_scores(
        found.distances.filter(scored),
        table,
        groups=groups,
        estimators={"BenchmarkRegressor": BenchmarkRegressor()},
        baselines=False,
        unit=unit,
        n_bootstrap=0,
    )
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


def _table(found: Material, scores: Any, unit: str | None) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    from pyphylo.io.scores import read_scores
    from pyphylo.predict.matching import match_scores

    if isinstance(scores, pd.DataFrame):
        frame = scores.set_index("model") if "model" in scores.columns else scores
        here = [name for name in found.tree.tips if name in frame.index]
        if not here:
            raise InputError("the scores name none of the models of the tree")
        return frame.loc[here], unit or "fraction"
    if isinstance(scores, (str, os.PathLike)):
        scores = read_scores(Path(scores), unit=unit)
    matched = match_scores(scores, found.distances.ids)
    if matched.unmatched:
        found.notes.append(
            f"Scores of {len(matched.unmatched)} names are not shown, which are no model's here "
            f"({_some(matched.unmatched)})."
        )
    return matched.scores, matched.unit


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
