"""Declared parents, and those that distances propose beside them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pyphylo.errors import PyphyloWarning

if TYPE_CHECKING:
    from pyphylo.report._inputs import Material

__all__ = ["parents"]

_PROPOSE = 2000
"""Most models of which parents are proposed."""

_FOLDS = 5
"""Parts of the declared ones, each of which is asked for with its declarations hidden."""


def parents(found: Material, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Declared parents by name, proposed ones by number of the tip.

    Returns
    -------
    dict
        ``declared``, ``proposed``, ``likeliest`` and ``confidence``, of each model, None where
        there is none; the confidence is the likeliest parent's, too low for a proposal where
        there is none. Models that declare a parent are asked for too, as if they did not.

    Notes
    -----
    `pyphylo.propose_parents`, once for those that declare none and once for each fifth of
    the others; a second for 1,000 models.
    """
    tips = found.tree.tips
    declared = [rows.get(name, {}).get("base_model") for name in tips]
    texts = [str(cell) if isinstance(cell, str) and cell else None for cell in declared]
    proposed: list[int | None] = [None] * len(tips)
    likeliest: list[int | None] = [None] * len(tips)
    confidence: list[float | None] = [None] * len(tips)
    if len(tips) <= _PROPOSE:
        from pyphylo.parents import propose_parents

        number = {name: i for i, name in enumerate(tips)}
        known = [name for name, text in zip(tips, texts, strict=True) if text is not None]
        asked = [None, *(part for fold in range(_FOLDS) if (part := known[fold::_FOLDS]))]
        for models in asked:
            with warnings.catch_warnings():
                # That the metadata name none of the models, the page says already.
                warnings.simplefilter("ignore", PyphyloWarning)
                frame = propose_parents(found.distances, rows, models=models, evaluate=False)
            of_rows = frame[["model", "parent", "confidence"]].to_numpy().tolist()
            for (model, parent, sure), best in zip(of_rows, frame.attrs["likeliest"], strict=True):
                likeliest[number[model]] = None if best is None else number[best]
                if isinstance(parent, str):
                    proposed[number[model]] = number[parent]
                confidence[number[model]] = round(float(sure), 3) if sure == sure else None
    return {
        "declared": texts,
        "proposed": proposed,
        "likeliest": likeliest,
        "confidence": confidence,
    }
