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

__all__ = ["REFITS", "Support", "contrast", "errors", "supported"]

_Floats = NDArray[np.float64]

PARTS = 5
"""Of the genes."""
FIRST = 2
"""Parts that choose the first contrast; what is tried on a further part, those before it choose."""
REFITS = 32
"""Of the jackknife that fits the graph again, at most."""


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


def errors(panel: F2Panel, fit: Fit) -> tuple[_Floats, _Floats]:
    """Jackknife errors of lengths and shares, shapes (branches,) and (mixtures,).

    The graph is fitted again without each of some 32 runs of blocks, covariance and all: at a
    covariance that is held, errors come out a third too small. Lengths of 0 have NaN.
    """
    groups = np.array_split(np.arange(len(panel.sizes)), min(len(panel.sizes), REFITS))
    lengths, shares = [], []
    for group in groups:
        sums, sizes = np.delete(panel.sums, group, axis=1), np.delete(panel.sizes, group)
        metric = Metric.of_blocks(sums, sizes, len(panel.models))
        without = fit_shares(metric, fit.graph, fit.weights)
        lengths.append(without.lengths)
        shares.append(without.weights)
    sizes = np.array([panel.sizes[group].sum() for group in groups])
    of_lengths = nonlinear_error(fit.lengths, np.array(lengths).T, sizes)
    of_lengths[fit.lengths == 0] = np.nan
    return of_lengths, nonlinear_error(fit.weights, np.array(shares).T, sizes)
