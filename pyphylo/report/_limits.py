"""Intervals of the distances to the nearest relatives, where an allele table is at hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError
from pyphylo.report._numbers import packed

if TYPE_CHECKING:
    from pyphylo.report._inputs import Material

__all__ = ["counts_chance", "limits", "shown_estimator"]

_MOST = 2000
"""Most models of which intervals are computed: some ten seconds at 128 genes."""

_FLOOR = 1e-10
"""Of a similarity before its logarithm is taken."""

_SAME = 1e-6
"""Distances closer than this are taken for those of the same estimator."""


def limits(found: Material, index: NDArray[np.int64]) -> dict[str, str]:
    """Limits of 95% over genes, for each model and each of its relatives.

    Parameters
    ----------
    found : Material
        With a table; a note is added where there can be no limits.
    index : ndarray of int64, shape (n_models, k)
        The relatives.

    Returns
    -------
    dict
        ``lower`` and ``upper``, float32 of the shape of `index`; infinite where the similarity
        may be 0. Empty where the models are too many, the shown distances are not the table's,
        or genes are too few.
    """
    from pyphylo.stats.intervals import distance_intervals

    table, names = found.table, found.tree.tips
    if table is None or len(names) > _MOST:
        return {}
    estimator = shown_estimator(found)
    if estimator is None:
        found.notes.append(
            "No intervals are shown: the distances are not those of the alleles in the store."
        )
        return {}
    pairs = {(min(i, j), max(i, j)) for i, row in enumerate(index.tolist()) for j in row}
    asked = [(names[i], names[j]) for i, j in sorted(pairs)]
    try:
        known = distance_intervals(table, asked, estimator=estimator, floor=_FLOOR, n_threads=1)
    except InputError as error:
        found.notes.append(f"No intervals are shown: {error}.")
        return {}
    own = np.arange(len(names))[:, None]
    lower, upper = (np.asarray(part.values)[own, index] for part in (known.low, known.high))
    # The floor is there for the logarithm; a reader would take it for a limit.
    upper = np.where(upper >= -np.log(_FLOOR), np.inf, upper)
    return {
        key: packed(part.astype(np.float32)) for key, part in (("lower", lower), ("upper", upper))
    }


def shown_estimator(found: Material) -> str | None:
    """The estimator by which the first two models of the table have the distance shown."""
    from pyphylo.distance import nei_distance

    if found.table is None:
        return None
    pair = list(found.tree.tips[:2])
    shown = float(found.distances.filter(pair).values[0, 1])
    for estimator in ("plugin", "unbiased"):
        try:
            own = nei_distance(found.table.select(models=pair), estimator=estimator, n_threads=1)
        except InputError:
            continue
        if abs(float(own.values[0, 1]) - shown) < _SAME:
            return estimator
    return None


def counts_chance(found: Material) -> bool:
    """Whether the shown distances are known to part two samples of one model.

    Those of the plug-in estimator do, but where probabilities are exact.
    """
    from pyphylo.distance import nei_distance

    if found.table is None:
        return found.distances.provenance.get("estimator") == "plugin"
    if shown_estimator(found) != "plugin":
        return False
    table = found.table.select(models=list(found.tree.tips[:2]))
    try:
        unbiased = nei_distance(table, estimator="unbiased", n_threads=1)
    except InputError:
        # Cells of one probe: no estimator takes the chance away.
        return True
    plugin = nei_distance(table, estimator="plugin", n_threads=1)
    return not abs(float(unbiased.values[0, 1]) - float(plugin.values[0, 1])) < _SAME
