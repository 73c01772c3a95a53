"""From declared pairs to a rule that proposes parents: weights, calibration, threshold.

Every number of the rule comes from the declared pairs, or from the constants below;
what is asked of a pair is always asked with its own declaration hidden.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo._parents_choice import Examples, fit, probabilities
from pyphylo._parents_features import FEATURES, SCALE, Alternatives, Kin, Models

__all__ = ["FEWEST_PAIRS", "LeaveOut", "Proposal", "Rule", "learn", "leave_out", "pairs_of"]

FEWEST_PAIRS = 10
"""Pairs that teach a rule; below, the default rule is used."""
_MOST_PAIRS = 200
"""Pairs used, spread evenly over the matrix: more would hardly change four weights."""
_ONE_BY_ONE = 60
"""Pairs up to which each is left out by itself; beyond, in so many folds:"""
_FOLDS = 10
_RIDGE = 0.3
"""Penalty of squared weights of standardised features: that of a tenth of an example or so."""
_CALIBRATION_RIDGE = 1.0
"""Pull of the calibration towards none (slope 1, shift 0)."""
_BEYOND = 2.0
"""A parent farther than any declared one is possible; so many times as far, it is not here."""
_FAR = 2.0
"""The same without declared pairs: a Nei's identity of e^-2."""
_DEFAULT = {"excess": -4.5, "affinity": 0.0, "position": 11.0, "size": -1.5}
"""Half the weights that simulated histories give: real distances are less like a tree's."""


_EXCESS = FEATURES.index("excess")


@dataclass(frozen=True)
class Proposal:
    """The likeliest parent of a model; -1 where nothing is eligible."""

    parent: int
    confidence: float


@dataclass(frozen=True, eq=False)
class Rule:
    """How parents are proposed.

    Attributes
    ----------
    weights : ndarray of float64, shape (len(FEATURES),)
    far : float
        Distance of the alternative "the parent is not here".
    shift, slope : float
        Calibration: the log odds of a proposal are ``shift + slope * log odds``.
    threshold : float
        Least confidence of an answer.
    n_pairs : int
        Declared pairs it was learned from; 0: the default rule.
    """

    weights: NDArray[np.float64]
    far: float
    shift: float = 0.0
    slope: float = 1.0
    threshold: float = 0.0
    n_pairs: int = 0

    @classmethod
    def default(cls, threshold: float) -> Rule:
        """A rule that knows no declared pair."""
        return cls(np.array([_DEFAULT[name] for name in FEATURES]), _FAR, threshold=threshold)

    def propose(self, alternatives: Alternatives) -> Proposal:
        """The likeliest alternative, the nearer of equals, and its confidence.

        One more alternative is a model that is not here: like the likeliest one in
        all but its distance.
        """
        if not len(alternatives.models):
            return Proposal(-1, 0.0)
        best = int((alternatives.features @ self.weights).argmax())
        elsewhere = alternatives.features[best].copy()
        beyond = self.far - alternatives.nearest
        elsewhere[_EXCESS] = math.copysign(math.log1p(abs(beyond) / SCALE), beyond)
        features = np.vstack([alternatives.features, elsewhere])
        share = probabilities(features, self.weights, np.ones(len(features), bool))
        odds = self.shift + self.slope * _logit(float(share[best]))
        return Proposal(int(alternatives.models[best]), 1 / (1 + math.exp(-odds)))


@dataclass(frozen=True)
class LeaveOut:
    """Declared pairs, each proposed for with its declaration hidden, and how that ended."""

    right: list[bool]
    confidence: list[float]
    answered: list[bool]


def pairs_of(models: Models, hidden: list[int]) -> list[int]:
    """Models whose declared parent is a candidate at a known distance, thinned to a bound."""
    every = np.arange(len(models.parent))
    declared = (models.parent >= 0) & models.candidate[models.parent]
    declared &= np.isfinite(models.distances[every, models.parent])
    declared[hidden] = False
    children = np.flatnonzero(declared)
    if len(children) > _MOST_PAIRS:
        children = children[np.linspace(0, len(children) - 1, _MOST_PAIRS).astype(int)]
    return [int(child) for child in children]


def learn(models: Models, hidden: list[int], precision: float, by: str = "model") -> Rule:
    """The rule that the declared pairs teach, `hidden` models' declarations unseen.

    The threshold is the lowest with which the calibrated confidences of the left-out
    pairs that reach it average at least `precision`.
    """
    children = pairs_of(models, hidden)
    if len(children) < FEWEST_PAIRS:
        return Rule.default(precision)
    seen = {q: Kin(models, [*hidden, q]).alternatives(q) for q in children}

    def taught(left_out: list[int]) -> Rule:
        out = set(left_out)
        items = [(seen[q], int(models.parent[q])) for q in children if q not in out]
        far = _BEYOND * max(
            float(models.distances[q, models.parent[q]]) for q in children if q not in out
        )
        return Rule(fit(Examples.of(items), _RIDGE), far)

    odds, right = [], []
    for fold in _folds(models, children, by):
        if len(fold) == len(children):
            return Rule.default(precision)
        rule = taught(fold)
        for q in fold:
            proposal = rule.propose(seen[q])
            odds.append(_logit(proposal.confidence))
            right.append(proposal.parent == models.parent[q])
    shift, slope = _calibrated(np.array(odds), np.array(right))
    sure = 1 / (1 + np.exp(-(shift + slope * np.array(odds))))
    whole = taught([])
    return Rule(whole.weights, whole.far, shift, slope, _threshold(sure, precision), len(children))


def leave_out(models: Models, hidden: list[int], precision: float, by: str) -> LeaveOut:
    """What rules that never saw a pair (by "parent": nor its siblings) propose for it.

    Nested: weights, calibration and threshold are learned anew for every fold,
    inside it by leaving out once more.
    """
    children = pairs_of(models, hidden)
    right, confidence, answered = [], [], []
    for fold in _folds(models, children, by):
        unseen = [*hidden, *fold]
        rule = learn(models, unseen, precision, by)
        for q in fold:
            proposal = rule.propose(Kin(models, unseen).alternatives(q))
            right.append(proposal.parent == int(models.parent[q]))
            confidence.append(proposal.confidence)
            answered.append(proposal.parent >= 0 and proposal.confidence >= rule.threshold)
    return LeaveOut(right, confidence, answered)


def _folds(models: Models, children: list[int], by: str) -> list[list[int]]:
    """What is left out together: each pair, each parent's children, or a tenth of these."""
    key: Callable[[int], int] = (lambda q: q) if by == "model" else lambda q: int(models.parent[q])
    groups: dict[int, list[int]] = {}
    for q in children:
        groups.setdefault(key(q), []).append(q)
    folds = list(groups.values())
    if len(folds) <= _ONE_BY_ONE:
        return folds
    return [[q for group in folds[k::_FOLDS] for q in group] for k in range(_FOLDS)]


def _logit(p: float) -> float:
    p = min(max(p, 1e-9), 1 - 1e-9)
    return math.log(p / (1 - p))


def _calibrated(odds: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Shift and slope of log odds that make them true (Platt 1999), pulled towards none."""
    from scipy.optimize import minimize

    sign = np.where(right, 1.0, -1.0)

    def loss(w: NDArray[np.float64]) -> float:
        miss = np.logaddexp(0, -sign * (w[0] + w[1] * odds)).sum()
        return float(miss + _CALIBRATION_RIDGE / 2 * (w[0] ** 2 + (w[1] - 1) ** 2))

    # A slope below 0 would turn the order round: evidence then decides nothing.
    found = minimize(loss, np.array([0.0, 1.0]), method="L-BFGS-B", bounds=[(None, None), (0, 3)])
    return float(found.x[0]), float(found.x[1])


def _threshold(sure: NDArray[np.float64], precision: float) -> float:
    """Halfway between the least confidence that is answered and the next below it."""
    ordered = np.sort(sure)[::-1]
    mean = np.cumsum(ordered) / np.arange(1, len(ordered) + 1)
    good = np.flatnonzero(mean >= precision)
    if not len(good):
        return max(precision, float(ordered[0]))
    last = int(good[-1])
    return float(ordered[last] + ordered[min(last + 1, len(ordered) - 1)]) / 2
