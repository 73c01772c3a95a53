"""How much of what is read off a distance matrix changes from one setting to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo.simulate._draws import Draws
from pyphylo.stats._predicted import prediction_measures

if TYPE_CHECKING:
    from pyphylo.stats._predicted import Scored
    from pyphylo.tree.tree import Tree

__all__ = ["MEASURES", "Estimates", "Kinship", "View", "groups_of", "jackknifed", "moved"]

_Floats = NDArray[np.float64]

MEASURES = {
    "robinson_foulds": (0.0, 1.0),
    "quartets": (0.0, 1.0),
    "distance_correlation": (-1.0, 1.0),
    "nearest_kept": (0.0, 1.0),
    "nearest_5_kept": (0.0, 1.0),
    "families_whole": (0.0, 1.0),
    "families_whole_change": (-1.0, 1.0),
    "parents_nearest": (0.0, 1.0),
    "parents_nearest_change": (-1.0, 1.0),
    "predictions_moved": (0.0, 1.0),
    "prediction_r": (-1.0, 1.0),
    "prediction_r_change": (-2.0, 2.0),
    "prediction_mae": (0.0, 1.0),
    "prediction_mae_change": (-1.0, 1.0),
}
"""What is measured, and its range."""

_NEAREST = 5
_MOST_FOR_QUARTETS = 300
"""Models above which comparing quartets would take most of the time."""
_GROUPS = 30
"""Groups of models that the jackknife leaves out, at most."""


@dataclass(frozen=True)
class Kinship:
    """What metadata say: the family of models, and the parent of models."""

    family: Mapping[str, str]
    parent: Mapping[str, str]

    def families_of(self, ids: Sequence[str]) -> list[list[str]]:
        """Families that a tree could break up: two models inside or more, two outside."""
        members: dict[str, list[str]] = {}
        for name in ids:
            if name in self.family:
                members.setdefault(self.family[name], []).append(name)
        return [inside for inside in members.values() if 2 <= len(inside) <= len(ids) - 2]


@dataclass(frozen=True, eq=False)
class View:
    """What is read off distances. `ids` are sorted, so that ties go to the first by name."""

    values: _Floats
    ids: tuple[str, ...]
    kinship: Kinship
    scored: Scored | None = None
    of: View | None = None
    """The view of more models that it is a part of."""

    def without(self, group: NDArray[np.int64]) -> View:
        """The same without some models; of the tree, they are pruned, of predictions left out.

        Built anew, trees could differ at many branches for one model less, which a
        jackknife would take for an error many times too large.
        """
        kept = np.setdiff1d(np.arange(len(self.ids)), group)
        ids = tuple(self.ids[i] for i in kept)
        return View(self.values[np.ix_(kept, kept)], ids, self.kinship, self.scored, self)

    @cached_property
    def tree(self) -> Tree:
        """The neighbor-joining tree."""
        if self.of is not None:
            return self.of.tree.shear(self.ids)
        from pyphylo.distance import DistanceMatrix
        from pyphylo.tree.nj import neighbor_joining

        return neighbor_joining(DistanceMatrix._trusted(self.values, self.ids, {}), n_threads=1)

    @cached_property
    def truth(self) -> _Floats:
        """Scores, NaN where unknown; no columns where there are none."""
        return np.empty((len(self.ids), 0)) if self.scored is None else self.scored.truth(self.ids)

    @cached_property
    def predicted(self) -> _Floats:
        """What is predicted of each score, as `truth`."""
        if self.scored is None:
            return self.truth
        if self.of is not None:
            place = {name: i for i, name in enumerate(self.of.ids)}
            return self.of.predicted[[place[name] for name in self.ids]]
        return self.scored.predicted(self.values, self.ids)

    @cached_property
    def ranks(self) -> _Floats:
        """Ranks of the distances of all pairs, ties shared, less their mean."""
        from scipy.stats import rankdata

        ranks: _Floats = rankdata(self.values[np.triu_indices(len(self.ids), 1)])
        ranks -= ranks.mean()
        return ranks

    @cached_property
    def nearest(self) -> NDArray[np.int64]:
        """The nearest models of each, up to `_NEAREST`, the nearest first."""
        away = self.values.copy()
        np.fill_diagonal(away, np.inf)
        k = min(_NEAREST, len(self.ids) - 1)
        order: NDArray[np.int64] = np.argsort(away, axis=1, kind="stable")[:, :k]
        return order

    @cached_property
    def families_whole(self) -> float:
        """Share of the families that are a clade of their own; NaN where there are none."""
        families = self.kinship.families_of(self.ids)
        return _mean([self.tree.is_monophyletic(inside) for inside in families])

    @cached_property
    def parents_nearest(self) -> float:
        """Share of the declared parents that are their child's nearest; NaN without any."""
        place = {name: i for i, name in enumerate(self.ids)}
        parent = self.kinship.parent
        return _mean(
            [
                self.ids[self.nearest[i, 0]] == parent[name]
                for name, i in place.items()
                if parent.get(name) in place
            ]
        )


def moved(base: View, view: View) -> _Floats:
    """The measures, in the order of `MEASURES`; NaN where one says nothing."""
    n = len(base.ids)
    tree = quartets = nearest_5 = np.nan
    if n > 3:
        tree = base.tree.robinson_foulds(view.tree)
    if 3 < n <= _MOST_FOR_QUARTETS:
        quartets = base.tree.quartet_distance(view.tree)
    spread = float(np.linalg.norm(base.ranks) * np.linalg.norm(view.ranks))
    correlation = float(base.ranks @ view.ranks) / spread if spread else np.nan
    nearest = float((base.nearest[:, 0] == view.nearest[:, 0]).mean())
    if n > _NEAREST + 1:
        both = base.nearest[:, :, None] == view.nearest[:, None, :]
        nearest_5 = float(both.any(axis=2).mean())
    return np.array(
        [
            tree,
            quartets,
            min(max(correlation, -1.0), 1.0),
            nearest,
            nearest_5,
            view.families_whole,
            view.families_whole - base.families_whole,
            view.parents_nearest,
            view.parents_nearest - base.parents_nearest,
            *prediction_measures(base.truth, base.predicted, view.predicted),
        ]
    )


@dataclass(frozen=True, eq=False)
class Estimates:
    """Measures with standard errors and limits, one each."""

    estimate: _Floats
    se: _Floats
    low: _Floats
    high: _Floats


def groups_of(n: int, seed: int) -> list[NDArray[np.int64]]:
    """The models that are left out together: each by itself, or at random in `_GROUPS` groups."""
    order = np.argsort(Draws(seed, "groups of models").uniform(n), kind="stable")
    return [np.sort(group) for group in np.array_split(order, min(n, _GROUPS))]


def jackknifed(
    measure: Callable[[int | None], _Floats],
    groups: Sequence[NDArray[np.int64]],
    level: float,
) -> Estimates:
    """Measures of all models, with the error that leaving out groups of them shows.

    `measure` is called with None for all models, and with k for all but those of group k.

    With m_j of n models in group j and h_j = n / m_j, pseudo-values h_j t - (h_j - 1) t_(j)
    vary around their weighted mean with variance se^2 (h_j - 1) each (Busing, Meijer & van der
    Leeden 1999, Stat. Comput. 9:3; for single models Tukey's 1958 jackknife). Limits are
    quantiles of Student's t with groups - 1 degrees of freedom, cut to the measure's range.
    """
    from scipy.special import stdtrit

    whole = measure(None)
    left_out = np.stack([measure(k) for k in range(len(groups))])
    sizes = np.array([len(group) for group in groups], float)[:, None]
    h = sizes.sum() / sizes
    g = len(groups)
    pseudo = h * whole - (h - 1) * left_out
    center = g * whole - ((1 - 1 / h) * left_out).sum(axis=0)
    se = np.sqrt(((pseudo - center) ** 2 / (h - 1)).mean(axis=0))
    reach = float(stdtrit(g - 1, (1 + level) / 2)) * se
    least, most = np.array(list(MEASURES.values())).T
    # Bounds of a measure are NaN where its error is.
    low, high = np.maximum(whole - reach, least), np.minimum(whole + reach, most)
    return Estimates(whole, se, low, high)


def _mean(values: Sequence[bool]) -> float:
    return float(np.mean(values)) if values else np.nan
