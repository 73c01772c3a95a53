"""The predictor of benchmark scores that this package stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted

from pyphylo.errors import InputError
from pyphylo.predict._affinity import checked_matrix, near_and_far, refuse_outside, scale_of
from pyphylo.predict._covariates import Covariates
from pyphylo.predict._ensemble import Panel, fit_average
from pyphylo.predict._intervals import conformal_radius, held_out_line, line, others_mean
from pyphylo.predict._saving import SavedAsArrays
from pyphylo.predict.groups import clade_groups, pack_folds

__all__ = ["BenchmarkRegressor"]

_LINKS = ("logit", "identity")
_EDGE = 0.01
"""Scores nearer to 0 or 1 than this count as this far from it before the logit."""

_CLADE_HEIGHT = 0.5
"""Where no groups are given: models within this distance are left out together."""


class BenchmarkRegressor(SavedAsArrays, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Scores on benchmarks from distances to models whose scores are known.

    The average of five regressions (linear in distances, in similarities and in the
    similarities' own kernel; support vectors on either), then straightened: groups of
    models left out inside the training set tell by how much the average draws
    predictions to the mean, and how far they miss.

    Parameters
    ----------
    link : {"logit", "identity"}
        Under ``"logit"`` scores are fractions of 1 and predictions lie in (0, 1).
    affinity : {"distance", "similarity"}
        What X holds. Distances D count as similarities exp(-D) where these are
        needed.
    stiffness : tuple of float
        Factors of all penalties to choose from, by the error on groups left out.
    n_folds : int
        Most inner folds; groups are packed into them whole.
    max_landmarks : int
        Models whose columns are read. Beyond that many, as many are drawn.
    max_support : int
        Models that the support vectors are fitted on. Beyond, as many are drawn.
    random_state : int, RandomState or None
        Of those draws; of no effect where there are fewer models.

    Attributes
    ----------
    landmarks_ : ndarray of int
        Columns of X that predictions read.
    unit_ : float
        Distances D count as similarities ``exp(-D / unit_)``: 1 but for distances whose median
        exceeds 2, which are not Nei's.
    stiffness_ : float
        The one chosen.
    slope_, intercept_ : ndarray of shape (n_benchmarks,)
        Of the line that straightens the average, on the link's scale.
    reach_ : float
        Median distance of training models to the nearest landmark outside their fold. Models
        that far from all training models are straightened in full, nearer ones in proportion.
    raw_held_out_ : ndarray of shape (n_models, n_benchmarks)
        What the average says of training models, on the link's scale, fitted without
        their fold.
    held_out_ : ndarray of shape (n_models, n_benchmarks)
        The same on the scale of scores, straightened by the line of the other folds
        (which were themselves predicted with this one at hand).
    residuals_ : ndarray of shape (n_scored, n_benchmarks)
        Scores less what is said of them so, on the link's scale, of models with a score.
    folds_ : ndarray of int, shape (n_models,)
        The inner fold of each model; -1 where it has no score.
    n_features_in_ : int

    Notes
    -----
    For n models, r landmarks, s support rows, b benchmarks with p patterns of missing
    scores and f folds: time O(f p (n r^2 + r^3) + f b s^2 r), memory 8 n (4 r + s)
    bytes beside X. All fitted state is plain arrays; `save` and `load` use no pickle.
    """

    def __init__(
        self,
        link: str = "logit",
        affinity: str = "distance",
        *,
        stiffness: tuple[float, ...] = (0.3, 1.0, 3.0),
        n_folds: int = 8,
        max_landmarks: int = 256,
        max_support: int = 500,
        random_state: Any = 0,
    ) -> None:
        self.link = link
        self.affinity = affinity
        self.stiffness = stiffness
        self.n_folds = n_folds
        self.max_landmarks = max_landmarks
        self.max_support = max_support
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = True
        tags.input_tags.positive_only = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = True
        return tags

    def fit(
        self,
        X: ArrayLike,
        y: ArrayLike,
        covariates: ArrayLike | None = None,
        groups: ArrayLike | None = None,
    ) -> BenchmarkRegressor:
        """Learn from models whose scores are known.

        Parameters
        ----------
        X : array_like of shape (n_models, n_models)
            Distances or similarities.
        y : array_like of shape (n_models,) or (n_models, n_benchmarks)
            Scores; NaN where one was not measured.
        covariates : array_like of shape (n_models, n_covariates), optional
            Such as log parameters, tokens, dates; NaN where unknown.
        groups : array_like of shape (n_models,), optional
            Families, left out together to choose, straighten and calibrate. By
            default clades of models within a distance of 0.5.

        Raises
        ------
        InputError
            X is not square or negative, no score is known of a benchmark, or under the
            logit a score lies outside [0, 1].
        """
        if self.link not in _LINKS:
            raise InputError(f"link must be 'logit' or 'identity', not {self.link!r}")
        if y is None:
            raise InputError(
                "This BenchmarkRegressor estimator requires y to be passed, but the target y is "
                "None"
            )
        X = checked_matrix(self, X, fitting=True)
        scores = self._checked_scores(y, len(X))
        random = check_random_state(self.random_state)
        scored = np.flatnonzero(~np.isnan(scores).all(axis=1))
        self.landmarks_ = _drawn(scored, self.max_landmarks, random)
        self.unit_ = scale_of(X[:, self.landmarks_], self.affinity)
        self._covariates = Covariates(covariates, len(X))
        panel = self._panel(X, covariates)
        panel = panel.take(scored, np.arange(len(self.landmarks_)))
        targets = self.to_link(scores[scored])
        own = np.searchsorted(scored, self.landmarks_)
        names = self._groups(panel, own, None if groups is None else np.asarray(groups), scored)
        folds = pack_folds(names, self.n_folds)
        self.folds_ = np.full(len(X), -1, dtype=np.intp)
        self.folds_[scored] = folds
        held_out = self._choose(panel, own, targets, folds, random)
        self._average = fit_average(
            panel,
            panel.similarities[own],
            targets,
            (self.stiffness_,),
            self.max_support,
            random,
        )
        nearest = _to_others(panel.distances, folds, own)
        moved = self._straighten(held_out, targets, names, folds, nearest)
        self.raw_held_out_ = np.full((len(X), targets.shape[1]), np.nan)
        self.raw_held_out_[scored] = held_out
        self.held_out_ = self.raw_held_out_.copy()
        self.held_out_[scored] = self._from_link(moved)
        return self

    def predict(self, X: ArrayLike, covariates: ArrayLike | None = None) -> NDArray[np.float64]:
        """Scores of new models.

        Parameters
        ----------
        X : array_like of shape (n_new, n_models)
            Affinities of new models (rows) to the training models; no diagonal.
        covariates : array_like of shape (n_new, n_covariates), optional
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_new,) or (n_new, n_benchmarks), as y in `fit`
        """
        return self._shaped(self._from_link(self.link_values(X, covariates)))

    def predict_interval(
        self, X: ArrayLike, covariates: ArrayLike | None = None, *, level: float = 0.9
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lower and upper ends of intervals that hold the score with probability `level`.

        Calibrated on groups left out inside the training set: they hold for models of
        groups that were not trained on, as far as those are like the groups that were.
        """
        if not 0 < level < 1:
            raise InputError(f"level must lie between 0 and 1, not {level!r}")
        middle = self.link_values(X, covariates)
        radius = np.array([conformal_radius(r, level) for r in self.residuals_.T])
        lower, upper = self._from_link(middle - radius), self._from_link(middle + radius)
        if self.link == "logit":
            # Scores beyond the edge counted as on it: what reaches the edge goes all the way
            lower = np.where(lower <= _EDGE * (1 + 1e-9), 0.0, lower)
            upper = np.where(1 - upper <= _EDGE * (1 + 1e-9), 1.0, upper)
        return self._shaped(lower), self._shaped(upper)

    def _checked_scores(self, y: ArrayLike, n: int) -> NDArray[np.float64]:
        scores = check_array(
            y, ensure_2d=False, dtype=np.float64, ensure_all_finite="allow-nan", input_name="y"
        )
        if scores.ndim > 2 or len(scores) != n:
            raise InputError(f"{n} models in X, y of shape {scores.shape}: one row a model")
        self._one_benchmark = scores.ndim == 1
        scores = scores.reshape(n, -1)
        for j, column in enumerate(scores.T):
            if np.isnan(column).all():
                raise InputError(f"benchmark {j} has no score at all: leave it out")
        if self.link == "logit":
            refuse_outside(scores, "give fractions of 1, or pass link='identity'")
        return np.asarray(scores)

    def _panel(self, X: NDArray[np.float64], covariates: ArrayLike | None) -> Panel:
        """What the five regressions read of X, rows against the landmarks."""
        near, far = near_and_far(X[:, self.landmarks_], self.affinity, self.unit_)
        return Panel(far, near, self._covariates.columns(covariates, len(X)))

    def _groups(
        self,
        panel: Panel,
        own: NDArray[np.intp],
        groups: NDArray[Any] | None,
        scored: NDArray[np.intp],
    ) -> NDArray[Any]:
        """The group of each scored model; single models where all are of one group."""
        if groups is not None:
            if len(groups) <= scored[-1]:
                raise InputError(f"{len(groups)} groups: give one for each row of X")
            names = np.asarray(groups[scored].astype(str))
        else:
            clades = clade_groups(panel.distances[own], _CLADE_HEIGHT)
            names = clades[panel.distances.argmin(axis=1)]
            names[own] = clades
        if len(np.unique(names)) < 2:
            names = np.arange(len(scored)).astype(str)
        return names

    def _choose(
        self,
        panel: Panel,
        own: NDArray[np.intp],
        targets: NDArray[np.float64],
        folds: NDArray[np.intp],
        random: np.random.RandomState,
    ) -> NDArray[np.float64]:
        """Set the stiffness; its predictions for each fold from the others, on the link's scale.

        The columns of the models left out are left out too, as they are for new models.
        """
        held_out = np.full((len(self.stiffness), *targets.shape), np.nan)
        for fold in np.unique(folds):
            inside = np.flatnonzero(folds == fold)
            outside = np.flatnonzero(folds != fold)
            columns = np.flatnonzero(folds[own] != fold)
            enough = (~np.isnan(targets[outside])).sum(axis=0) > 1
            if not (enough.any() and len(columns)):
                continue
            average = fit_average(
                panel.take(outside, columns),
                panel.similarities[np.ix_(own[columns], columns)],
                targets[np.ix_(outside, enough)],
                tuple(self.stiffness),
                self.max_support,
                random,
            )
            found = average.predict(panel.take(inside, columns))
            for i in range(len(self.stiffness)):
                held_out[i][np.ix_(inside, enough)] = found[:, i]
        scale = np.nanstd(self._from_link(targets), axis=0)
        error = np.abs(self._from_link(held_out) - self._from_link(targets))
        error /= np.where(scale > 0, scale, 1.0)
        known = ~np.isnan(error)
        mean = np.where(known, error, 0.0).sum(axis=(1, 2)) / np.maximum(known.sum(axis=(1, 2)), 1)
        best = int(mean.argmin())
        self.stiffness_ = float(self.stiffness[best])
        return np.asarray(held_out[best])

    def _straighten(
        self,
        held_out: NDArray[np.float64],
        targets: NDArray[np.float64],
        names: NDArray[Any],
        folds: NDArray[np.intp],
        nearest: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Set the lines; the held-out predictions moved by those of the other folds.

        `nearest` is each model's distance to the nearest landmark outside its fold.
        """
        known = nearest[np.isfinite(nearest)]
        self.reach_ = float(np.median(known)) if len(known) else 0.0
        self.slope_, self.intercept_ = np.ones(targets.shape[1]), np.zeros(targets.shape[1])
        moved = np.empty_like(targets)
        for j, y in enumerate(targets.T):
            x = held_out[:, j] - others_mean(y, folds)
            self.slope_[j], intercept = line(x, y, names)
            # The line is of deviations from the mean: what new models are given has it in it
            self.intercept_[j] = intercept - self.slope_[j] * np.nanmean(y)
            moved[:, j] = held_out_line(x, y, names, folds)
        moved = held_out + self._strangeness(nearest) * (moved - held_out)
        self.residuals_ = targets - moved
        return np.asarray(moved)

    def _strangeness(self, nearest: NDArray[np.float64]) -> NDArray[np.float64]:
        """By how much a model is as far from the training models as groups left out were."""
        if self.reach_ <= 0:
            return np.ones((len(nearest), 1))
        return np.asarray(np.clip(nearest / self.reach_, 0.0, 1.0)[:, None])

    def link_values(self, X: ArrayLike, covariates: ArrayLike | None = None) -> NDArray[np.float64]:
        """Predictions on the link's scale (logits of scores), shape (n_new, n_benchmarks)."""
        check_is_fitted(self)
        X = checked_matrix(self, X, fitting=False)
        panel = self._panel(X, covariates)
        raw = self._average.predict(panel)[:, 0]
        line = raw * self.slope_ + self.intercept_
        return np.asarray(raw + self._strangeness(panel.distances.min(axis=1)) * (line - raw))

    def to_link(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores on the link's scale; under the logit kept 0.01 from the ends."""
        if self.link == "identity":
            return scores
        return np.asarray(logit(np.clip(scores, _EDGE, 1 - _EDGE)))

    def _from_link(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values if self.link == "identity" else np.asarray(expit(values))

    def _shaped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        return values[:, 0] if self._one_benchmark else values


def _drawn(rows: NDArray[np.intp], most: int, random: np.random.RandomState) -> NDArray[np.intp]:
    """At most so many of the rows, in order."""
    if len(rows) <= most:
        return rows
    return np.sort(random.choice(rows, most, replace=False))


def _to_others(
    distances: NDArray[np.float64], folds: NDArray[np.intp], own: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Distance of each row to the nearest landmark that is not of its fold; inf without one."""
    found = np.full(len(folds), np.inf)
    for fold in np.unique(folds):
        columns = distances[:, folds[own] != fold]
        if columns.shape[1]:
            inside = folds == fold
            found[inside] = columns[inside].min(axis=1)
    return found
