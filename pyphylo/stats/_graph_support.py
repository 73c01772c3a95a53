"""Whether a mixture is worth adding: contrasts chosen on some genes and tried on others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo.stats._f_panel import F2Panel, block_moments
from pyphylo.stats._graph_fit import Fit, Metric, fit_shares, tangent
from pyphylo.stats._graph_model import Descent
from pyphylo.stats._graph_search import Candidate, Search, Target
from pyphylo.stats._segments import nonlinear_error

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["SHARE_BLOCKS", "Support", "contrast", "errors", "share_errors", "supported"]

_Floats = NDArray[np.float64]

PARTS = 5
"""Of the genes."""
FIRST = 2
"""Parts that choose the first contrast; what is tried on a further part, those before it choose."""
SHARE_BLOCKS = 32
"""Blocks, at most, of the jackknife that fits shares again."""


class Support(NamedTuple):
    """How far f2 contradicts the graph without a mixture, and the two with one parent of it.

    Attributes
    ----------
    z : tuple of float
        Against: the graph as it is; the target below its first source alone; below its
        second source alone.
    p : float
        The largest of the three, one-sided.
    """

    z: tuple[float, float, float]
    p: float


def supported(
    panel: F2Panel,
    names: Sequence[str],
    tree: Tree | None,
    base: str | None,
    now: Fit,
    targets: tuple[Target, ...],
) -> Support:
    """Test that the best further mixture is called for, whichever it is.

    Invariant: the contrast that is tried on a part of the blocks was chosen on earlier
    parts alone, and is orthogonal to all that the rejected graph can fit; so where that graph
    holds, its mean is 0 whatever the covariance is, and the sum over parts is a martingale.
    (Were all parts chosen by all others, each pair of parts would count twice.)
    """
    from scipy.special import stdtr

    part = np.arange(len(panel.sizes)) % PARTS
    values = np.zeros((3, len(panel.sizes)))
    for held in range(FIRST, PARTS):
        chosen, tried = part < held, part == held
        metric = Metric.of_blocks(panel.sums[:, chosen], panel.sizes[chosen], len(names))
        found = Search(metric, names, tree, base).extended(targets, 2)
        if not found:
            continue
        sums = panel.sums[:, tried]
        for k, null in enumerate(_rejected(metric, now, found[0])):
            values[k, tried] = contrast(metric, found[0].fit, null) @ sums
    used = part >= FIRST
    values = values[:, used]
    mean, error = block_moments(values, panel.sizes[used])
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(error > 0, mean / error, 0.0)
    p = stdtr(used.sum() - 1.0, -z)
    return Support((float(z[0]), float(z[1]), float(z[2])), float(p.max()))


def _rejected(metric: Metric, now: Fit, found: Candidate) -> Iterator[Fit]:
    """The graph without the new mixture, and with either of its parents alone, fitted."""
    yield fit_shares(metric, now.graph, now.weights)
    yield from single_parents(metric, found.fit, found.new)


def single_parents(metric: Metric, fit: Fit, target: Target) -> Iterator[Fit]:
    """A target below one source and below the other, fitted."""
    mixture = fit.graph.mixture_above(target[0])
    kept = np.array([v != mixture for v in fit.graph.mixed])
    for which in (0, 1):
        graph: Descent = fit.graph.without(mixture, which)
        yield fit_shares(metric, graph, fit.weights[kept])


def contrast(metric: Metric, better: Fit, null: Fit) -> _Floats:
    """The direction in f2 in which a fit leaves what a null can fit, as weights of f2.

    Its product with f2 is positive where `better` is right, 0 on average where the null is,
    and has a spread of about 1. Zeros where the two fit alike.
    """
    j = tangent(null)
    apart = better.fitted - null.fitted
    gram = metric.product(j, j)
    gram[np.diag_indices_from(gram)] += 1e-10 * np.trace(gram) / len(gram)
    rest = apart - j @ np.linalg.solve(gram, metric.product(j, apart))
    scale = float(metric.product(rest, rest))
    if scale <= 1e-9:
        return np.zeros_like(apart)
    made: _Floats = metric.inverse(rest) / np.sqrt(scale)
    return made


def errors(panel: F2Panel, metric: Metric, fit: Fit) -> tuple[_Floats, _Floats]:
    """Jackknife errors of lengths and shares, shapes (branches,) and (mixtures,).

    Of the fit made linear at its optimum, branches of length 0 held there: NaN.
    """
    j = tangent(fit)
    n = len(fit.lengths)
    free = np.ones(n, bool)
    if fit.graph.spare >= 0:
        free[fit.graph.spare] = False
    used = np.concatenate([fit.lengths[free] > 0, np.ones(len(fit.weights), bool)])
    j = j[:, used]
    gram = metric.product(j, j)
    scale = np.sqrt(np.diagonal(gram))
    influence = np.linalg.pinv(gram / np.outer(scale, scale), rcond=1e-9, hermitian=True)
    influence = (influence / scale[:, None]) @ (metric.inverse(j) / scale).T
    _, found = block_moments(influence @ panel.sums, panel.sizes)
    lengths = np.full(n, np.nan)
    shares = np.full(len(fit.weights), np.nan)
    places = np.flatnonzero(free)[fit.lengths[free] > 0]
    lengths[places] = found[: len(places)]
    shares[:] = found[len(places) :]
    return lengths, shares


def share_errors(panel: F2Panel, metric: Metric, fit: Fit) -> _Floats:
    """Jackknife errors of the shares, the graph fitted again without each of some 32 blocks."""
    if not len(fit.weights):
        return np.zeros(0)
    groups = np.array_split(np.arange(len(panel.sizes)), min(len(panel.sizes), SHARE_BLOCKS))
    found = []
    for group in groups:
        left = np.delete(panel.sums, group, axis=1).sum(axis=1)
        f2 = left / np.delete(panel.sizes, group).sum()
        found.append(fit_shares(metric.with_f2(f2), fit.graph, fit.weights).weights)
    sizes = np.array([panel.sizes[group].sum() for group in groups])
    return nonlinear_error(fit.weights, np.array(found).T, sizes)
