"""The prediction of Yax, Oudeyer & Palminteri (2024), as they describe it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_array, check_is_fitted, column_or_1d

from pyphylo.errors import InputError
from pyphylo.predict._affinity import checked_matrix, distances_of, refuse_outside
from pyphylo.predict._saving import SavedAsArrays

__all__ = ["ReferenceRegressor"]

_BETA1, _BETA2, _TINY = 0.9, 0.999, 1e-8
"""Adam's constants (Kingma & Ba 2015), as every library has them."""


class ReferenceRegressor(SavedAsArrays, RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """PhyloLM's own predictor: independent components, one linear layer, a sigmoid.

    FastICA of the training rows and columns of the distance matrix; new rows are
    projected. Xavier's uniform start, squared error of the whole batch, Adam with
    an L2 penalty added to the gradient.

    Parameters
    ----------
    affinity : {"distance", "similarity"}
        What X holds. Similarities S become -log(S + 1e-10).
    n_components : int
        Of the components; no more than models and one less are taken.
    alpha : float
        L2 penalty of weights and bias.
    learning_rate : float
    n_steps : int
    random_state : int, RandomState or None
        Of FastICA's start and of the weights'.

    Attributes
    ----------
    components_ : ndarray of shape (n_components, n_models)
    mean_ : ndarray of shape (n_models,)
    coef_ : ndarray of shape (n_components,)
    intercept_ : float
    n_features_in_ : int

    Notes
    -----
    Time O(n^2 k) for n models and k components in each of FastICA's steps, memory
    O(n^2). All fitted state is plain arrays. Source: Yax, Oudeyer & Palminteri
    2024, arXiv 2404.04671, section on the prediction of benchmarks.
    """

    def __init__(
        self,
        affinity: str = "distance",
        *,
        n_components: int = 15,
        alpha: float = 0.01,
        learning_rate: float = 1e-3,
        n_steps: int = 1000,
        random_state: Any = 0,
    ) -> None:
        self.affinity = affinity
        self.n_components = n_components
        self.alpha = alpha
        self.learning_rate = learning_rate
        self.n_steps = n_steps
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.pairwise = True
        tags.input_tags.positive_only = True
        tags.non_deterministic = self.random_state is None
        return tags

    def fit(self, X: ArrayLike, y: ArrayLike) -> ReferenceRegressor:
        """Learn one benchmark's scores.

        Parameters
        ----------
        X : array_like of shape (n_models, n_models)
            Distances or similarities of the training models.
        y : array_like of shape (n_models,)
            Scores as fractions of 1.

        Raises
        ------
        InputError
            X is not square or negative, or a score is missing or outside [0, 1].
        """
        if y is None:
            raise InputError(
                "This ReferenceRegressor estimator requires y to be passed, but the target y is "
                "None"
            )
        distances = distances_of(checked_matrix(self, X, fitting=True), self.affinity)
        scores = column_or_1d(
            check_array(y, ensure_2d=False, dtype=np.float64, input_name="y"), warn=True
        )
        if len(scores) != len(distances):
            raise InputError(f"{len(distances)} models in X, {len(scores)} scores in y")
        refuse_outside(scores, "give fractions of 1")
        k = min(self.n_components, len(distances) - 1)
        ica = FastICA(k, whiten="unit-variance", random_state=self.random_state)
        with warnings.catch_warnings():
            # The method is FastICA's state after at most 200 steps, converged or not.
            warnings.simplefilter("ignore", ConvergenceWarning)
            sources = ica.fit_transform(distances)
        self.components_ = ica.components_
        self.mean_ = ica.mean_
        weights = self._adam(sources, scores, check_random_state(self.random_state))
        self.coef_, self.intercept_ = weights[:-1], float(weights[-1])
        return self

    def predict(self, X: ArrayLike) -> NDArray[np.float64]:
        """Scores of new models.

        Parameters
        ----------
        X : array_like of shape (n_new, n_models)
            Affinities of new models (rows) to the training models.

        Returns
        -------
        ndarray of shape (n_new,)
            In (0, 1).
        """
        check_is_fitted(self)
        distances = distances_of(checked_matrix(self, X, fitting=False), self.affinity)
        sources = (distances - self.mean_) @ self.components_.T
        return np.asarray(expit(sources @ self.coef_ + self.intercept_))

    def _adam(
        self, sources: NDArray[np.float64], y: NDArray[np.float64], random: np.random.RandomState
    ) -> NDArray[np.float64]:
        """Weights and, last, the bias after `n_steps` steps."""
        n, k = sources.shape
        xavier = np.sqrt(6.0 / (k + 1))
        bias = 1.0 / np.sqrt(k)
        weights = np.append(random.uniform(-xavier, xavier, k), random.uniform(-bias, bias))
        design = np.column_stack([sources, np.ones(n)])
        first = np.zeros(k + 1)
        second = np.zeros(k + 1)
        for step in range(1, self.n_steps + 1):
            p = expit(design @ weights)
            gradient = design.T @ ((p - y) * p * (1 - p)) * (2.0 / n) + self.alpha * weights
            first = _BETA1 * first + (1 - _BETA1) * gradient
            second = _BETA2 * second + (1 - _BETA2) * gradient**2
            root = np.sqrt(second / (1 - _BETA2**step)) + _TINY
            weights = weights - self.learning_rate * first / (1 - _BETA1**step) / root
        return weights
