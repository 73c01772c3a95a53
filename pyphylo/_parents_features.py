"""What is known of a model's possible parents: distances, declared kin, sizes; never names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyphylo.io.metadata import Lineage

__all__ = ["FEATURES", "SCALE", "Alternatives", "Kin", "Models"]

FEATURES = ("excess", "affinity", "position", "size")
"""Columns of `Alternatives.features`, in order."""

_NEAREST = 64
"""Alternatives weighed, the nearest: a parent is hardly ever farther down the list."""
SCALE = 0.2
"""Excess of distance beyond which further distance says less and less."""
_LARGEST = 2.0
"""Difference of log sizes beyond which sizes are simply different."""
_FEWEST = 3
"""Bases and children that must be known before their mean distances are compared."""


@dataclass(frozen=True, eq=False)
class Models:
    """All models of a matrix, by number.

    Attributes
    ----------
    distances : ndarray of float64, shape (n, n)
        NaN where unknown.
    parent : ndarray of int64, shape (n,)
        Declared parent; -1 where none is declared, -2 where it is not here.
    log_size : ndarray of float64, shape (n,)
        NaN where unknown.
    first_day, last_day : ndarray of int64, shape (n,)
        Days that the date allows; the whole calendar where it is unknown.
    candidate : ndarray of bool, shape (n,)
    """

    distances: NDArray[np.float64]
    parent: NDArray[np.int64]
    log_size: NDArray[np.float64]
    first_day: NDArray[np.int64]
    last_day: NDArray[np.int64]
    candidate: NDArray[np.bool_]

    @classmethod
    def of(
        cls,
        distances: NDArray[np.float64],
        ids: tuple[str, ...],
        lineage: Lineage,
        candidates: tuple[str, ...] | None,
    ) -> Models:
        """Names become numbers here, and play no further part."""
        number = {name: i for i, name in enumerate(ids)}
        n = len(ids)
        parent = np.full(n, -1, np.int64)
        log_size = np.full(n, np.nan)
        first, last = np.zeros(n, np.int64), np.full(n, np.iinfo(np.int64).max)
        for i, name in enumerate(ids):
            if name in lineage.parents:
                parent[i] = number.get(lineage.parents[name], -2)
            if name in lineage.sizes:
                log_size[i] = np.log(lineage.sizes[name])
            if name in lineage.dates:
                first[i], last[i] = (day.toordinal() for day in lineage.dates[name])
        candidate = np.full(n, candidates is None)
        if candidates is not None:
            candidate[[number[name] for name in candidates]] = True
        return cls(distances, parent, log_size, first, last, candidate)


@dataclass(frozen=True, eq=False)
class Alternatives:
    """Models one of which may be a model's parent, nearest first (ties: in the matrix's order).

    Attributes
    ----------
    models : ndarray of int64, shape (k,)
    features : ndarray of float64, shape (k, len(FEATURES))
    nearest : float
        Distance of the first.
    """

    models: NDArray[np.int64]
    features: NDArray[np.float64]
    nearest: float


class Kin:
    """Who is declared to descend from whom, with some models' declarations hidden.

    Bases are models that others are declared to descend from and that declare no
    parent themselves; children declare one.
    """

    def __init__(self, models: Models, hidden: NDArray[np.int64] | list[int]) -> None:
        self.models = models
        self.parent = models.parent.copy()
        self.parent[hidden] = -1
        self.children = np.flatnonzero(self.parent >= 0)
        """Those whose parent is here; the pairs are (children, parent[children])."""
        n = len(self.parent)
        has_child = np.zeros(n, bool)
        has_child[self.parent[self.children]] = True
        self.is_child = self.parent != -1
        self.is_base = has_child & ~self.is_child

    def alternatives(self, child: int) -> Alternatives:
        """The models that may be the parent of `child`, and what is known of each."""
        row = self.models.distances[child]
        eligible = self._eligible(child)
        near = np.flatnonzero(eligible)
        near = near[np.argsort(row[near], kind="stable")[:_NEAREST]]
        if not len(near):
            return Alternatives(near, np.empty((0, len(FEATURES))), np.nan)
        nearest = float(row[near[0]])
        features = np.stack(
            [
                np.log1p((row[near] - nearest) / SCALE),
                self._affinity(child, near),
                self._position(child, near),
                self._size_difference(child, near),
            ],
            axis=1,
        )
        return Alternatives(near, features, nearest)

    def _eligible(self, child: int) -> NDArray[np.bool_]:
        """Candidates but the model itself, its declared descendants and later models."""
        models = self.models
        eligible: NDArray[np.bool_] = models.candidate & np.isfinite(models.distances[child])
        eligible &= models.first_day <= models.last_day[child]
        below = [child]
        while below:
            eligible[below] = False
            below = self.children[np.isin(self.parent[self.children], below)].tolist()
        return eligible

    def _affinity(self, child: int, near: NDArray[np.int64]) -> NDArray[np.float64]:
        """Mean distance to known bases less that to known children, own kin left out.

        What was tuned resembles what was tuned elsewhere, a base resembles bases.
        Less than among the other alternatives: more like a base.
        """
        if self.is_base.sum() < _FEWEST or self.is_child.sum() < _FEWEST:
            return np.zeros(len(near))
        rows = self.models.distances[near]
        use = np.isfinite(rows)
        use[:, child] = False
        use[np.arange(len(near)), near] = False
        place = {model: k for k, model in enumerate(near.tolist())}
        for q in self.children.tolist():
            p = int(self.parent[q])
            if p in place:
                use[place[p], q] = False
            if q in place:
                use[place[q], p] = False
        means = []
        for members in (self.is_base, self.is_child):
            chosen = use & members
            count = chosen.sum(axis=1)
            total = np.where(chosen, rows, 0.0).sum(axis=1)
            means.append(np.where(count > 0, total / np.maximum(count, 1), np.nan))
        affinity = means[0] - means[1]
        middle = np.nanmedian(affinity) if np.isfinite(affinity).any() else 0.0
        centred: NDArray[np.float64] = np.nan_to_num(affinity - middle)
        return centred

    def _position(self, child: int, near: NDArray[np.int64]) -> NDArray[np.float64]:
        """How much nearer than the model an alternative is to all others, weighted mean.

        For a parent whose child drifted away it is the length of that drift, for a
        sibling the difference of two such lengths, in a tree of either. Others
        weigh by their similarity to both.
        """
        mine, theirs = self.models.distances[child], self.models.distances[near]
        gap = mine - theirs
        with np.errstate(invalid="ignore"):
            weight = np.exp(-mine - theirs)
        weight[~np.isfinite(gap)] = 0.0
        weight[:, child] = 0.0
        weight[np.arange(len(near)), near] = 0.0
        total: NDArray[np.float64] = weight.sum(axis=1)
        summed = np.where(weight > 0, weight * np.nan_to_num(gap), 0.0).sum(axis=1)
        position: NDArray[np.float64] = np.zeros(len(near))
        np.divide(summed, total, out=position, where=total > 0)
        return position

    def _size_difference(self, child: int, near: NDArray[np.int64]) -> NDArray[np.float64]:
        """Absolute difference of log sizes; 0 where one is unknown."""
        difference = np.abs(self.models.log_size[near] - self.models.log_size[child])
        bounded: NDArray[np.float64] = np.minimum(np.nan_to_num(difference), _LARGEST)
        return bounded
