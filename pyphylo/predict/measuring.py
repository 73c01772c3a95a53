"""Which scores are worth measuring next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit
from sklearn.base import clone
from sklearn.utils import check_random_state

from pyphylo.errors import InputError
from pyphylo.predict._affinity import near_and_far, scale_of
from pyphylo.predict._covariates import Covariates
from pyphylo.predict._ensemble import Panel
from pyphylo.predict._gains import Gains, left_out_variance
from pyphylo.predict._inputs import FEW, aligned_numbers, labelled, matched_scores
from pyphylo.predict._prior import Prior, own_factor, prior_of
from pyphylo.predict.benchmark import BenchmarkRegressor
from pyphylo.predict.groups import group_names, some

__all__ = ["measure_next"]

Array = NDArray[np.float64]

_UNKNOWN_VARIANCE = {"logit": 1.0, "identity": 1 / 16}
"""Of scores of which too few are known to tell, on the link's scale: of either a deviation of
a quarter of the range, near the middle."""

_NODES, _NODE_WEIGHTS = np.polynomial.hermite_e.hermegauss(15)


@dataclass
class _Belief:
    """Of one benchmark: signal variance, and each model's expected score, on the link's scale."""

    variance: float
    middle: Array


def measure_next(
    D: Any,
    scores: Any = None,
    n: int = 10,
    *,
    interest: Iterable[str] | None = None,
    candidates: Iterable[str] | None = None,
    costs: Any = None,
    budget: float | None = None,
    joint: bool = True,
    covariates: ArrayLike | None = None,
    groups: Any = "clade:0.5",
    unit: str = "fraction",
    estimator: BenchmarkRegressor | None = None,
) -> pd.DataFrame:
    """Models whose scores would most reduce the expected error of all predictions.

    Parameters
    ----------
    D : DistanceMatrix or SimilarityMatrix
    scores : DataFrame, Series or mapping, optional
        What is known, as for `cross_validate_scores`. Without any the picks are those
        to begin with, and errors those of a benchmark with a deviation of about 0.2.
    n : int
        Models to pick.
    interest : iterable of str, optional
        Models whose scores are wanted; by default all that lack one.
    candidates : iterable of str, optional
        Models that can be measured; by default all that lack a score.
    costs : mapping, Series or sequence, optional
        Of measuring each model, such as its parameters. The reduction of the mean
        squared error for each unit of cost is then what counts.
    budget : float, optional
        Most that all picks may cost together; fewer than `n` are returned where it ends.
    joint : bool
        Each pick knows the ones before. Otherwise every model is judged as if it alone were
        measured: the way to see what each is worth.
    covariates : array_like of shape (n_models, c), optional
        In the matrix's order, as in `BenchmarkRegressor.fit`.
    groups : str, mapping or sequence
        Left out together to fit and calibrate, as for `cross_validate_scores`.
    unit : {"fraction", "percent"}
        Of the scores. Errors are fractions.
    estimator : BenchmarkRegressor, optional
        Whose settings count.

    Returns
    -------
    DataFrame
        A row for each pick, in order: model, cost (if there are costs), error_before,
        error_after, reduction. Errors are roots of the expected squared error, in
        the mean over models of interest and benchmarks; a measured model's is 0.
        ``attrs["fitted"]`` names the benchmarks whose variance was fitted.

    Raises
    ------
    InputError
        A name is not in the matrix, a candidate has all scores, a cost is missing or not
        above 0, or there are fewer candidates than `n`.

    Notes
    -----
    A Gaussian process whose covariance is that of `BenchmarkRegressor`'s three ridge
    regressions, with the stiffness that it chose and a common mean that is not known.
    Picks are chosen with the regression's penalties as models' own variances; errors are
    said with the likeliest of four multiples of them, for all benchmarks together. The
    variance of each benchmark is set by the errors on groups left out
    inside the training set. Benchmarks of fewer than ten scores count as unfitted. Under the
    logit link each score's variance is that of the sigmoid of a Gaussian around the prediction.
    Benchmarks count as independent of each other, and a measurement gives a model all of them.

    The greedy choice reaches at least 1 - 1/e of the best reduction of n picks where
    gains only fall as more is measured (Krause, Singh & Guestrin 2008, J. Mach. Learn. Res.
    9:235), which a Gaussian process keeps up to a small excess (Das & Kempe 2008).

    For N models, r landmarks (at most `max_landmarks`, of all models), and p patterns of
    missing scores: time O(p (N r^2 + r^3 + n N r)) beside the fit, memory 24 N r (p + 2)
    bytes. Source of the criterion: Cohn, Ghahramani & Jordan 1996, J. Artif. Intell. Res. 4:129.
    """
    ids, values, affinity = labelled(D)
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0]
        raise InputError(f"{ids[i]!r} and {ids[j]!r} have no {affinity}: leave one of them out")
    table = pd.DataFrame(index=ids) if scores is None else matched_scores(scores, ids, unit)
    Y = table.to_numpy(np.float64) if table.shape[1] else np.full((len(ids), 1), np.nan)
    lacking = np.isnan(Y).any(axis=1)
    wanted = _chosen(interest, ids, lacking, "interest")
    open_to = _chosen(candidates, ids, lacking, "candidates")
    done = [ids[i] for i in np.flatnonzero(open_to & ~lacking)]
    if done:
        raise InputError(f"candidates that have all scores already: {some(done)}")
    price = _prices(costs, budget, ids, open_to)
    if not 1 <= n <= open_to.sum():
        raise InputError(f"n={n} picks of {open_to.sum()} candidates: ask for 1 to that many")
    settings = {"affinity": affinity}
    regressor = clone(estimator or BenchmarkRegressor()).set_params(**settings)
    enough = np.flatnonzero((~np.isnan(Y)).sum(axis=0) >= FEW)
    rows = np.flatnonzero(~np.isnan(Y[:, enough]).all(axis=1)) if len(enough) else enough
    if len(enough):
        _fit(regressor, values, Y, rows, enough, covariates, groups, ids)
    stiffness = regressor.stiffness_ if len(enough) else float(np.median(regressor.stiffness))
    prior = _prior(regressor, values, covariates, stiffness)
    factor = 1.0
    if len(enough):
        factor = own_factor(prior, regressor.to_link(Y[:, enough]), regressor.max_support)

    def gains_of(prior: Prior) -> list[Gains]:
        beliefs = _beliefs(regressor, prior, values, Y, rows, enough, covariates)
        return _weighed(prior, Y, beliefs, wanted, regressor.link)

    most = np.inf if budget is None else budget
    honest = Prior(prior.features, factor * prior.own)
    if joint:
        # The regression will read the picks with its own penalties, so by these they are chosen
        order = _greedy(gains_of(prior), open_to, price, n, most)
        picks = _judged(gains_of(honest), order)
    else:
        picks = _singly(gains_of(honest), open_to, price, n, most)
    scale = int(wanted.sum()) * Y.shape[1]
    frame: pd.DataFrame = pd.DataFrame(
        {
            "model": [ids[c] for c, _, _ in picks],
            "cost": [price[c] for c, _, _ in picks],
            "error_before": np.sqrt([before / scale for _, before, _ in picks]),
            "error_after": np.sqrt([after / scale for _, _, after in picks]),
        }
    )
    frame["reduction"] = frame.error_before - frame.error_after
    if costs is None:
        del frame["cost"]
    frame.attrs["fitted"] = [str(name) for name in table.columns.take(enough)]
    return frame


def _chosen(
    names: Iterable[str] | None, ids: list[str], default: NDArray[np.bool_], what: str
) -> NDArray[np.bool_]:
    """Which models are named; those of the default where nothing is said."""
    if names is None:
        if not default.any():
            raise InputError("every model has all its scores: nothing is left to measure")
        return default
    if isinstance(names, str):
        raise InputError(f"{what} must be a list of names, not the text {names!r}")
    named = set(names)
    unknown = sorted(named - set(ids))
    if unknown:
        raise InputError(f"{what}: not in the matrix: {some(unknown)}")
    if not named:
        raise InputError(f"{what} is empty: name models of the matrix")
    return np.array([name in named for name in ids])


def _prices(costs: Any, budget: float | None, ids: list[str], open_to: NDArray[np.bool_]) -> Array:
    price = aligned_numbers(costs, ids, "costs")
    if price is None:
        if budget is not None:
            raise InputError(f"budget={budget} without costs: give the cost of each model")
        return np.ones(len(ids))
    wrong = [ids[i] for i in np.flatnonzero(open_to & ~((price > 0) & np.isfinite(price)))]
    if wrong:
        raise InputError(
            f"no cost above 0 of {some(wrong)}: give one each, or leave them out of `candidates`"
        )
    if budget is not None and not budget >= price[open_to].min():
        raise InputError(
            f"budget={budget} is less than the cheapest candidate's cost, {price[open_to].min():g}"
        )
    return price


def _fit(
    regressor: BenchmarkRegressor,
    values: NDArray[Any],
    Y: Array,
    rows: NDArray[np.intp],
    which: NDArray[np.intp],
    covariates: ArrayLike | None,
    groups: Any,
    ids: list[str],
) -> None:
    X = values[np.ix_(rows, rows)].astype(np.float64)
    extra = None if covariates is None else np.asarray(covariates, dtype=np.float64)[rows]
    if isinstance(groups, str):
        names = group_names(groups, [ids[i] for i in rows], _distances(X, regressor.affinity))
    else:
        names = group_names(groups, ids, np.zeros((0, 0)))[rows]
    regressor.fit(X, Y[np.ix_(rows, which)], covariates=extra, groups=names.astype(str))


def _distances(X: Array, affinity: str) -> Array:
    return near_and_far(X, affinity, 1.0)[1]


def _prior(
    regressor: BenchmarkRegressor,
    values: NDArray[Any],
    covariates: ArrayLike | None,
    stiffness: float,
) -> Prior:
    """Of all models; the landmarks are drawn from all, for those without scores matter most."""
    n = len(values)
    random = check_random_state(regressor.random_state)
    most = min(n, regressor.max_landmarks)
    landmarks = np.sort(random.choice(n, most, replace=False)) if most < n else np.arange(n)
    columns = values[:, landmarks].astype(np.float64)
    near, far = near_and_far(columns, regressor.affinity, scale_of(columns, regressor.affinity))
    panel = Panel(far, near, Covariates(covariates, n).columns(covariates, n))
    return prior_of(panel, landmarks, stiffness)


def _beliefs(
    regressor: BenchmarkRegressor,
    prior: Prior,
    values: NDArray[Any],
    Y: Array,
    rows: NDArray[np.intp],
    enough: NDArray[np.intp],
    covariates: ArrayLike | None,
) -> list[_Belief]:
    """What the regression makes of each benchmark; of those with few scores, next to nothing."""
    found = []
    if len(enough):
        folds = np.full(len(Y), -1, dtype=np.intp)
        folds[rows] = regressor.folds_
        extra = None if covariates is None else np.asarray(covariates, dtype=np.float64)
        predicted = regressor.link_values(values[:, rows].astype(np.float64), extra)
        residuals = np.full((len(Y), len(enough)), np.nan)
        residuals[rows] = regressor.residuals_
    for j in range(Y.shape[1]):
        known = ~np.isnan(Y[:, j])
        if j in enough:
            k = int(np.searchsorted(enough, j))
            unit = left_out_variance(prior, known, folds)
            both = ~np.isnan(residuals[:, k]) & ~np.isnan(unit)
            variance = float((residuals[both, k] ** 2).sum() / unit[both].sum())
            found.append(_Belief(max(variance, 1e-12), predicted[:, k]))
            continue
        half = 0.5 if not known.any() else float(Y[known, j].mean())
        level = half if regressor.link == "identity" else float(logit(np.clip(half, 0.01, 0.99)))
        found.append(_Belief(_UNKNOWN_VARIANCE[regressor.link], np.full(len(Y), level)))
    return found


def _weighed(
    prior: Prior, Y: Array, beliefs: list[_Belief], wanted: NDArray[np.bool_], link: str
) -> list[Gains]:
    """One `Gains` for each pattern of missing scores, its benchmarks' weights added up."""
    patterns: dict[bytes, tuple[Gains, Array]] = {}
    for scores, belief in zip(Y.T, beliefs, strict=True):
        known = ~np.isnan(scores)
        key = known.tobytes()
        if key not in patterns:
            patterns[key] = (Gains(prior, known), np.zeros(len(Y)))
        gains, weight = patterns[key]
        total = gains.totals()
        spread = _score_variance(belief.middle, belief.variance * total, link)
        weight += np.where(wanted, spread / total, 0.0)
    for gains, weight in patterns.values():
        gains.weigh(weight)
    return [gains for gains, _ in patterns.values()]


def _score_variance(middle: Array, variance: Array, link: str) -> Array:
    """Variance of the score of a Gaussian on the link's scale (Gauss-Hermite, 15 nodes)."""
    if link == "identity":
        return variance
    nodes = expit(middle[:, None] + np.sqrt(variance)[:, None] * _NODES)
    share = _NODE_WEIGHTS / _NODE_WEIGHTS.sum()
    return np.asarray(((nodes - (nodes @ share)[:, None]) ** 2) @ share)


_Pick = tuple[int, float, float]
"""Row, squared error before, and after."""


def _greedy(
    gains: list[Gains], open_to: NDArray[np.bool_], price: Array, n: int, budget: float
) -> list[int]:
    """Row of each pick, each knowing the ones before."""
    left, picks = open_to.copy(), list[int]()
    while len(picks) < n:
        left &= price <= budget
        if not left.any():
            break
        worth = np.asarray(sum(g.of_each() for g in gains)) / price
        c = int(np.where(left, worth, -1.0).argmax())
        for g in gains:
            g.measure(c)
        picks.append(c)
        budget -= price[c]
        left[c] = False
    return picks


def _judged(gains: list[Gains], order: list[int]) -> list[_Pick]:
    """Squared error before and after each pick."""
    picks, before = list[_Pick](), sum(g.error() for g in gains)
    for c in order:
        for g in gains:
            g.measure(c)
        after = sum(g.error() for g in gains)
        picks.append((c, before, after))
        before = after
    return picks


def _singly(
    gains: list[Gains], open_to: NDArray[np.bool_], price: Array, n: int, budget: float
) -> list[_Pick]:
    """The same for each candidate alone, the most worth first."""
    before = sum(g.error() for g in gains)
    reduction = np.asarray(sum(g.of_each() for g in gains))
    picks = list[_Pick]()
    for c in np.argsort(-np.where(open_to, reduction / price, -1.0), kind="stable"):
        if len(picks) == n or not open_to[c]:
            break
        if price[c] <= budget:
            picks.append((int(c), before, max(before - float(reduction[c]), 0.0)))
            budget -= price[c]
    return picks
