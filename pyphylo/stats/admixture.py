"""Admixture graphs: a tree of models in which some descend from two places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo._compare import some_names
from pyphylo._names import whole_number
from pyphylo.errors import InputError
from pyphylo.stats._admixture_graph import (
    AdmixtureEdge,
    AdmixtureGraph,
    Rival,
    branch_frame,
    node_frame,
)
from pyphylo.stats._f_panel import F2Panel, F2Source, rows_of
from pyphylo.stats._graph_fit import Fit, Metric
from pyphylo.stats._graph_residuals import pair_residuals, worst_residuals
from pyphylo.stats._graph_search import Candidate, Search, Target
from pyphylo.stats._graph_support import (
    REFITS,
    Support,
    errors,
    supported,
)
from pyphylo.stats._segments import Interval
from pyphylo.stats.merge import check_level

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable
    from pyphylo.tree.tree import Tree

__all__ = ["fit_admixture"]

MOST_EDGES = 3
_MOST_MODELS = 60
_LEAST_MODELS = 5
_LEAST_BLOCKS = 16
"""Of genes: six choose the first contrast, and three at a time try what was chosen."""


class _Step(NamedTuple):
    """A mixture that was tried, and what came of it."""

    best: Candidate
    support: Support
    others: list[Candidate]


def fit_admixture(
    table: AlleleTable,
    tree: Tree | None = None,
    *,
    models: Sequence[str] | None = None,
    base: str | None = None,
    edges: int = 3,
    alpha: float = 0.05,
    confidence: float = 0.95,
    weighting: str | None = None,
    blocks: int | None = None,
    n_threads: int = 0,
) -> AdmixtureGraph:
    r"""The tree of some models, and up to three admixture edges that the data call for.

    Parameters
    ----------
    table : AlleleTable
    tree : Tree, optional
        Of the models; its root and its shape count, its lengths do not. Named inner nodes
        are models at the end of a branch of length 0. By default the neighbor-joining tree
        of f2, formed anew without the models that are mixtures.
    models : sequence of str, optional
        5 to 60; by default the tree's, or all of the table.
    base : str, optional
        The model that the others were trained from: the root. Otherwise it is the tree's,
        or the middle of the longest path. The side of a branch that holds it is no mixture.
    edges : int
        How many admixture edges may be added, 0 to 3.
    alpha : float
        Level of the test that each of them has to pass; the first that does not ends the search.
    confidence : float
        Of the shares' limits.
    weighting : {"base", "plain", "pooled", "root"}, optional
        "base", the default where there is one: an allele counts 1 / (p + 0.01), p being its
        frequency in the base. Otherwise "plain". Weights that depend on the other models, as
        "pooled" ones do, and roots make f2 that does not add up along a tree: edges are
        found where there are none.
    blocks, n_threads
        As in `f2`.

    Returns
    -------
    AdmixtureGraph
        With edges that are supported; "no edge supported" refutes nothing.

    Raises
    ------
    InputError
        Too few or too many models, fewer than 16 genes or blocks, more edges than f2 of the
        models can tell, a tree of other models, or as `f2`.

    Notes
    -----
    Drifts of different branches are independent, so with the share x of a model's descent that
    passes a branch of drift c, :math:`f_2(i, j) = \sum c (x_i - x_j)^2`. Of a mixture
    of two points, the drift since is one branch, below it. Lengths :math:`c \ge 0` and shares are
    those of least squares, in units of the block jackknife's covariance with correlations
    shrunk (Schafer & Strimmer 2005): lengths by NNLS for given shares, shares one by one by
    bounded search.

    For a further edge each clade without the base, of at most half of the models, is taken out,
    and put back below all pairs of branches: at first to its mean f2 from the others alone, then
    the best of all clades to all of f2.

    The edge is tested on genes that did not choose it. On two fifths of the genes the best edge
    is sought, whichever it is, and the contrast of f2 formed that tells it from each of three
    graphs: that without it, and the two with either of its sources alone. The contrast is
    orthogonal to all that the rejected graph can fit, so its mean is 0 if that graph is right; it
    is evaluated on the third fifth. So are those chosen on three fifths on the fourth, and on
    four on the last. All three together are tested by Student's t over blocks. p is the largest
    of the three graphs'.

    Patterson et al. (2012) Genetics 192:1065; Pickrell & Pritchard (2012) PLoS Genet.
    8:e1002967. For n models, O(n) fits of O(n^2) f2 to O(n) lengths an edge, four times over for
    the test: 12 models take some seconds an edge, 50 about a minute.

    Examples
    --------
    >>> import pyphylo as pp
    >>> tree = pp.Tree.from_newick(
    ...     "(o:0.003,((a:0.1,m:0.02)p:0.2,(b:0.1,c:0.2):0.1,(d:0.2,e:0.1):0.2):0.003);"
    ... )
    >>> made = pp.simulate.simulate_on_tree(tree, 128, admixture={"m": ("b", 0.4)}, seed=1)
    >>> found = pp.fit_admixture(made.table, base="o", edges=1)
    >>> [(edge.target, edge.sources) for edge in found.edges]
    [(('m',), ('a', 'b'))]
    """
    edges = whole_number(edges, "edges", 0)
    if edges > MOST_EDGES:
        raise InputError(f"edges must be from 0 to {MOST_EDGES}, not {edges}")
    check_level(alpha, "alpha")
    check_level(confidence, "confidence")
    n_threads = whole_number(n_threads, "n_threads", 0)
    tree, names = _panel_of(table, tree, models, base, edges)
    source = _source(table, weighting, base)
    panel = source.panel(names, blocks, n_threads)
    if len(panel.sizes) < _LEAST_BLOCKS:
        raise InputError(
            f"an edge is tried on genes that did not choose it, which needs {_LEAST_BLOCKS} blocks "
            f"of genes; there are {len(panel.sizes)}: sample more genes, or give more blocks"
        )
    metric = Metric.of_blocks(panel.sums, panel.sizes, len(names))
    search = Search(metric, names, tree, base)
    start = search.start()
    steps = _steps(panel, search, start, edges, alpha)
    kept = [step for step in steps if step.support.p < alpha]
    fit = kept[-1].best.fit if kept else start
    return _result(panel, metric, search, start, fit, steps, kept, alpha, confidence, n_threads)


def _panel_of(
    table: AlleleTable,
    tree: Tree | None,
    models: Sequence[str] | None,
    base: str | None,
    edges: int,
) -> tuple[Tree | None, tuple[str, ...]]:
    """The tree, rooted and of the panel alone, and the panel's names; refused now if useless."""
    from pyphylo.alleles import AlleleTable
    from pyphylo.tree.ancestors import ancestors_as_tips
    from pyphylo.tree.tree import Tree

    if not isinstance(table, AlleleTable):
        raise InputError(f"fit_admixture needs an AlleleTable, not {type(table).__name__}")
    if tree is not None and not isinstance(tree, Tree):
        raise InputError(f"tree must be a Tree, not {type(tree).__name__}")
    if tree is not None:
        tree = ancestors_as_tips(tree)
    given = models if models is not None else table.models if tree is None else tree.tips
    names = tuple(dict.fromkeys(given))
    rows_of(table, names)
    if base is not None and base not in names:
        rows_of(table, [base])
        raise InputError(f"the base {base!r} must be one of the {len(names)} models of the graph")
    if not _LEAST_MODELS <= len(names) <= _MOST_MODELS:
        raise InputError(
            f"an admixture graph is fitted to {_LEAST_MODELS} to {_MOST_MODELS} models, not "
            f"{len(names)}: name those that matter (models=)"
        )
    pairs, needed = len(names) * (len(names) - 1) // 2, 2 * len(names) - 3 + 2 * edges
    if needed >= pairs:
        raise InputError(
            f"{edges} edges in a tree of {len(names)} models are {needed} numbers, and there are "
            f"{pairs} f2 to fit: take fewer edges, or more models"
        )
    if tree is not None:
        missing = [name for name in names if name not in tree.tips]
        if missing:
            raise InputError(f"the tree has no {some_names([repr(name) for name in missing])}")
        if len(names) < tree.n_tips:
            tree = tree.shear(names)
        if base is not None:
            tree = tree.root_at(tip=base)
    return tree, names


def _source(table: AlleleTable, weighting: str | None, base: str | None) -> F2Source:
    if weighting is None:
        weighting = "plain" if base is None else "base"
    if weighting != "base":
        return F2Source(table, weighting, 3)
    if base is None:
        raise InputError('weighting="base" weights alleles by their frequency in base=: name it')
    return F2Source(table, "pooled", 3, base)


def _steps(panel: F2Panel, search: Search, start: Fit, edges: int, alpha: float) -> list[_Step]:
    """Edges one by one, until one is not supported."""
    steps: list[_Step] = []
    now = start
    targets: tuple[Target, ...] = ()
    while len(steps) < edges:
        found = search.extended(targets)
        if not found:
            break
        support = supported(panel, search.names, search.tree, search.base, now, targets)
        steps.append(_Step(found[0], support, found[1:]))
        if not support.p < alpha:
            break
        now, targets = found[0].fit, found[0].targets
    return steps


def _result(
    panel: F2Panel,
    metric: Metric,
    search: Search,
    start: Fit,
    fit: Fit,
    steps: list[_Step],
    kept: list[_Step],
    alpha: float,
    confidence: float,
    n_threads: int,
) -> AdmixtureGraph:
    names = search.names
    length_se, share_se = errors(panel, fit)
    reach = _reach(len(panel.sizes), confidence)
    found = tuple(
        _edge(names, fit, step, share_se, reach, _rivals(metric, names, step, alpha))
        for step in kept
    )
    places, quads = worst_residuals(panel, [start.fitted, fit.fitted], n_threads)
    return AdmixtureGraph(
        models=names,
        base=search.base,
        outcome="admixture" if found else "no edge supported",
        reason=_reason(found, steps, alpha),
        edges=found,
        nodes=node_frame(names, fit.graph),
        branches=branch_frame(names, fit, length_se, search.base),
        steps=_step_frame(names, start, steps, kept),
        residuals=pair_residuals(names, metric, fit.fitted),
        worst=quads[1],
        worst_of_tree=quads[0],
        n_residuals=places,
        score=fit.score,
        genes=panel.n_genes,
        blocks=len(panel.sizes),
    )


def _reach(blocks: int, confidence: float) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(min(blocks, REFITS) - 1, (1 + confidence) / 2))


def _edge(
    names: tuple[str, ...],
    fit: Fit,
    step: _Step,
    share_se: NDArray[np.float64],
    reach: float,
    rivals: tuple[Rival, ...],
) -> AdmixtureEdge:
    """A step's mixture as it is in the final graph, the larger share first."""
    node, parents, share = _mixture(fit, step.best.new)
    se = float(share_se[fit.graph.mixed.index(node)])
    below = fit.graph.below()
    lengths, shares = fit.lengths, fit.graph.shares(fit.weights)
    below_it = [k for k, v in enumerate(fit.graph.branches) if fit.graph.parents[v] == (node,)]
    return AdmixtureEdge(
        node=node,
        parents=parents,
        target=_named(names, step.best.new),
        sources=_nearest(names, fit, step.best.new),
        clades=(
            tuple(names[row] for row in below[parents[0]] if row not in step.best.new),
            tuple(names[row] for row in below[parents[1]] if row not in step.best.new),
        ),
        weight=Interval(share, se, max(share - reach * se, 0.0), min(share + reach * se, 1.0)),
        apart=float((lengths * (shares[parents[0]] - shares[parents[1]]) ** 2).sum()),
        since=float(lengths[below_it].sum()),
        p=step.support.p,
        z=step.support.z,
        rivals=rivals,
    )


def _mixture(fit: Fit, target: Target) -> tuple[int, tuple[int, int], float]:
    """The mixture above a target, its parents and the share of the first, which is the larger."""
    node = fit.graph.mixture_above(target[0])
    first, second = fit.graph.parents[node]
    share = float(fit.weights[fit.graph.mixed.index(node)])
    if share < 0.5:
        return node, (second, first), 1 - share
    return node, (first, second), share


def _nearest(names: tuple[str, ...], fit: Fit, target: Target) -> tuple[str, str]:
    """The model that is nearest to each source, of those that are not below the mixture."""
    _, parents, _ = _mixture(fit, target)
    distances = fit.graph.node_distances(fit.weights, fit.lengths)
    distances[:, list(target)] = np.inf
    first, second = (names[int(np.argmin(distances[parent]))] for parent in parents)
    return first, second


def _named(names: tuple[str, ...], target: Target) -> tuple[str, ...]:
    return tuple(names[row] for row in target)


def _rivals(metric: Metric, names: tuple[str, ...], step: _Step, alpha: float) -> tuple[Rival, ...]:
    """Other mixtures that fit as well: the difference of scores is within its error.

    The scores of two graphs differ by a sum over f2 that has the standard error
    2 sqrt(d^T Sigma^-1 d), d being the difference of what they fit (Vuong 1989).
    """
    from scipy.special import ndtr

    best = step.best
    seen = {(best.new, frozenset(_nearest(names, best.fit, best.new)))}
    found = []
    for other in step.others:
        sources = _nearest(names, other.fit, other.new)
        key = other.new, frozenset(sources)
        apart = other.fit.fitted - best.fit.fitted
        spread = 2 * np.sqrt(max(float(metric.product(apart, apart)), 0.0))
        more = other.fit.score - best.fit.score
        p = float(ndtr(-more / spread)) if spread > 0 else 0.5
        if key not in seen and p >= alpha:
            seen.add(key)
            found.append(Rival(_named(names, other.new), sources, other.fit.score, p))
    return tuple(found)


def _reason(found: tuple[AdmixtureEdge, ...], steps: list[_Step], alpha: float) -> str:
    if found:
        parts = [f"{edge} (p = {edge.p:.2g})" for edge in found]
        return "; ".join(parts)
    if not steps:
        return "no edge was sought"
    return (
        f"the tree fits, or too few genes say otherwise: the best edge has p = "
        f"{steps[0].support.p:.2g}, not below {alpha:g}"
    )


def _step_frame(
    names: tuple[str, ...], start: Fit, steps: list[_Step], kept: list[_Step]
) -> pd.DataFrame:
    """A row for the tree, and one for each edge that was tried."""
    import pandas as pd

    nothing = dict.fromkeys(("target", "source", "other_source"), "")
    rows: list[dict[str, object]] = [{"edges": 0, "score": start.score, "kept": True, **nothing}]
    for number, step in enumerate(steps, 1):
        best = step.best
        first, second = _nearest(names, best.fit, best.new)
        rows.append(
            {
                "edges": number,
                "score": best.fit.score,
                "kept": step in kept,
                "target": ", ".join(_named(names, best.new)),
                "source": first,
                "other_source": second,
                "z_without": step.support.z[0],
                "z_first_alone": step.support.z[1],
                "z_second_alone": step.support.z[2],
                "p": step.support.p,
            }
        )
    columns = ["edges", "score", "kept", "target", "source", "other_source"]
    columns += ["z_without", "z_first_alone", "z_second_alone", "p"]
    frame: pd.DataFrame = pd.DataFrame(rows).reindex(columns=columns)
    return frame
