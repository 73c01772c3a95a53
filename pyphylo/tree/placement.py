"""Putting a new model into a tree that stays as it is, by least squares."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo._compare import some_names
from pyphylo._gene_weights import gene_weights
from pyphylo._names import check_names, did_you_mean, whole_number
from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.tree._insertion import branches, insert_tip, inside
from pyphylo.tree.tree import Tree

if TYPE_CHECKING:
    import os

    import pandas as pd

    from pyphylo.alleles import AlleleTable
    from pyphylo.store import SampleStore

__all__ = ["Candidate", "Placement", "place", "place_by_distances", "rows_of_tips"]

_Floats = NDArray[np.float64]

_FLOOR = 1e-10
_CLOSEST = 1e-3
"""Distances below this share of the mean weigh as much as it: weights stay finite."""
_LISTED = 10
"""Candidates that are always listed, where there are as many branches."""
_ROUNDING = 1e-24
"""Share of the weighted sum of squares that a residual may have through rounding."""


@dataclass(frozen=True)
class Candidate:
    """One branch on which the model may hang.

    Attributes
    ----------
    node : int
        The branch is the one above this node of the original tree.
    above : float
        Where on it: the attachment's distance from the node.
    pendant : float
        The model's distance from the attachment.
    residual : float
        Weighted sum of squares.
    ratio : float
        Share of this branch in the likelihoods of all branches, each at its best,
        of independent normal errors whose variance the best fit tells. Errors of
        tips that are relatives are not independent: a ratio is bolder than `support`.
    support : float
        Share of bootstrap replicates over genes in which this branch is the best;
        NaN without replicates.
    """

    node: int
    above: float
    pendant: float
    residual: float
    ratio: float
    support: float


@dataclass(frozen=True, eq=False)
class Placement:
    """Where a model hangs in a tree.

    Attributes
    ----------
    model : str
    tree : Tree
        The original with the model as its last tip.
    original : Tree
    candidates : tuple of Candidate
        Branches by their residuals, the best first: ten, and all others that were
        the best in a replicate. The two halves of a rooted tree's root branch are
        one, given by the better half.
    clade : tuple of str
        The tips below the best branch.
    clade_support : float
        Share of replicates in which the best branch is this one or lies inside
        the clade that it cuts off: the tips below it, or, in an unrooted tree,
        whichever side of it has fewer.
    n_replicates : int
    weighting : {"fitch-margoliash", "ordinary"}
    distances : ndarray of float64, shape (n_tips,)
        From the model to each tip of the original.
    """

    model: str
    tree: Tree
    original: Tree
    candidates: tuple[Candidate, ...]
    clade: tuple[str, ...]
    clade_support: float
    n_replicates: int
    weighting: str
    distances: _Floats

    def __repr__(self) -> str:
        return (
            f"Placement({self.model!r}, above node {self.node} of {self.original.n_tips} tips, "
            f"residual {self.residual:.4g}, support {self.support:.2f})"
        )

    @property
    def best(self) -> Candidate:
        """The first candidate."""
        return self.candidates[0]

    @property
    def node(self) -> int:
        """The node of the original tree below the best branch."""
        return self.best.node

    @property
    def above(self) -> float:
        """The attachment's distance from `node`."""
        return self.best.above

    @property
    def pendant(self) -> float:
        """Length of the model's own branch."""
        return self.best.pendant

    @property
    def residual(self) -> float:
        """Weighted sum of squares of the best branch."""
        return self.best.residual

    @property
    def support(self) -> float:
        """Share of replicates in which the best branch is this one; NaN without replicates."""
        return self.best.support

    def to_frame(self) -> pd.DataFrame:
        """One row a candidate: node, tips below it, above, pendant, residual, ratio, support."""
        import pandas as pd

        frame: pd.DataFrame = pd.DataFrame([vars(candidate) for candidate in self.candidates])
        sizes = self.original._layout.size[frame["node"].to_numpy()]
        frame.insert(1, "tips", sizes)
        return frame


def place(
    model: str | AlleleTable,
    table: AlleleTable | SampleStore | str | os.PathLike[str],
    tree: Tree,
    *,
    weighting: str = "fitch-margoliash",
    estimator: str = "plugin",
    n: int = 100,
    seed: int = 0,
    n_threads: int = 0,
) -> Placement:
    r"""Put one model into a tree, which otherwise stays as it is.

    Of all branches, points :math:`x` on them and lengths :math:`y \ge 0` of the
    model's own branch, those are chosen that minimise

    .. math:: \sum_i w_i (d_i - \text{path}_i)^2

    over the tree's tips, :math:`d_i` being Nei's distance from the model to a tip.

    Parameters
    ----------
    model : str or AlleleTable
        A model of `table` by name, or a table of one model that `table` does not have.
    table : AlleleTable, SampleStore or path of a store
        Has every tip of the tree; its other models are ignored. Of a store, the
        table that `cached_table` keeps beside it.
    tree : Tree
        At least two tips, all branch lengths known. Rooted or not; nodes may have
        any number of children, lengths may be zero.
    weighting : {"fitch-margoliash", "ordinary"}
        :math:`w_i = 1 / d_i^2`, which trusts small distances more as their errors are
        smaller (those below a thousandth of the mean weigh as much as it), or 1.
    estimator : {"plugin", "unbiased"}
        As in `nei_distance`; the one that the tree was made with.
    n : int
        Bootstrap replicates over genes, for the supports; 0: none.
    seed : int
        Of the replicates.
    n_threads : int
        0: all that this process may use. The result does not depend on it.

    Returns
    -------
    Placement
        Residuals that differ by rounding alone are equal; of equal branches (such as
        those around a node at which the model hangs) the one of the lowest node is
        chosen. On a branch of negative length the model hangs at its lower end.

    Raises
    ------
    InputError
        When the model or a tip is unknown or without data, the model is a tip of
        the tree already, a branch has no length, or an argument is unknown.

    Notes
    -----
    O(nnz + models x genes + replicates (genes x models + tips)) time. Balaban, Sarmashghi &
    Mirarab (2020) Syst. Biol. 69:566; Fitch & Margoliash (1967) Science 155:279; Efron
    (1979) Ann. Stat. 7:1.
    """
    from pyphylo._nearest import table_and_row
    from pyphylo._one_against_all import OneAgainstAll

    n, seed = whole_number(n, "n", 0), whole_number(seed, "seed", 0)
    n_threads = whole_number(n_threads, "n_threads", 0)
    _check_weighting(weighting)
    _check_tree(tree)
    known, row = table_and_row(model, table)
    name = known.models[row]
    _check_new(name, tree)
    rows = rows_of_tips(tree, known)
    pairs = OneAgainstAll(known, row, estimator, n_threads, 3)
    pairs.select(rows)
    similarities = pairs.similarities()
    _core.take_distances(similarities, _FLOOR)
    weights = gene_weights(len(known.genes), "bootstrap", n, seed) if n else np.empty((0, 0), int)
    replicates = pairs.replicates(weights) if n else iter(())
    return _placed(name, similarities, tree, weighting, _distances(replicates), n_threads)


def place_by_distances(
    model: str,
    distances: Mapping[str, float],
    tree: Tree,
    *,
    weighting: str = "fitch-margoliash",
) -> Placement:
    """Put one model into a tree by its distances to the tips.

    As `place`, of distances that are known already, so without supports.

    Parameters
    ----------
    model : str
    distances : mapping of tip to float
        To every tip of the tree; other names are ignored. NaN: unknown.
    tree : Tree
    weighting : {"fitch-margoliash", "ordinary"}
    """
    (model,) = check_names([model], "model")
    _check_weighting(weighting)
    _check_tree(tree)
    _check_new(model, tree)
    for tip in tree.tips:
        if tip not in distances:
            raise InputError(f"no distance from {model!r} to the tip {tip!r} is given")
    values = np.array([float(distances[tip]) for tip in tree.tips])
    bad = np.isinf(values) | (values < 0)
    if bad.any():
        i = int(bad.argmax())
        raise InputError(
            f"the distance from {model!r} to {tree.tips[i]!r} is {values[i]:g}; it must be a "
            "number of at least 0"
        )
    return _placed(model, values, tree, weighting, iter(()), 1)


def _check_weighting(weighting: Any) -> None:
    if weighting not in ("fitch-margoliash", "ordinary"):
        raise InputError(f'weighting must be "fitch-margoliash" or "ordinary", not {weighting!r}')


def _check_tree(tree: Any) -> None:
    if not isinstance(tree, Tree):
        raise InputError(f"place needs a Tree, not {type(tree).__name__}: Tree.read(path)")
    if tree.n_tips < 2:
        raise InputError(f"the tree has one tip, {tree.tips[0]!r}: there is no branch to place on")
    unknown = np.flatnonzero(np.isnan(tree.length))
    if len(unknown):
        node = int(unknown[0])
        raise InputError(
            f"placing needs all branch lengths: {len(unknown)} are unknown, the first above "
            f"{tree.label(node) or f'node {node}'!r}; fit them to the distances first"
        )


def _check_new(name: str, tree: Tree) -> None:
    if name in tree._number:
        raise InputError(
            f"{name!r} is a tip of the tree already; to place it again, take it out first: "
            f"tree.shear(tip for tip in tree.tips if tip != {name!r})"
        )


def rows_of_tips(tree: Tree, table: AlleleTable) -> NDArray[np.intp]:
    """The rows of the tips; refused where one is absent or empty."""
    place_of = {name: i for i, name in enumerate(table.models)}
    absent = [tip for tip in tree.tips if tip not in place_of]
    if absent:
        raise InputError(
            f"there are no data of the tip {some_names([repr(tip) for tip in absent])}: sample "
            f"them, or take them out with tree.shear{did_you_mean(absent[0], table.models)}"
        )
    rows = np.array([place_of[tip] for tip in tree.tips], dtype=np.intp)
    empty = np.flatnonzero(np.diff(table._core.indptr)[rows] == 0)
    if len(empty):
        names = some_names([repr(tree.tips[i]) for i in empty])
        raise InputError(f"no gene has data of the tip {names}: take them out with tree.shear")
    return rows


def _distances(replicates: Iterator[_Floats]) -> Iterator[_Floats]:
    for values in replicates:
        _core.take_distances(values, _FLOOR)
        yield values


def _weights(distances: _Floats, weighting: str) -> tuple[_Floats, _Floats]:
    """Distances and weights, both 0 where a distance is unknown; of one replicate or many."""
    known = ~np.isnan(distances)
    values = np.where(known, distances, 0.0)
    if weighting == "ordinary":
        return values, known.astype(np.float64)
    count = np.maximum(known.sum(axis=-1, keepdims=True), 1)
    mean = values.sum(axis=-1, keepdims=True) / count
    mean = np.where(mean > 0, mean, 1.0)
    # In units of the mean: only the weights' ratios count, and none is too large for its square.
    return values, np.where(known, np.maximum(values / mean, _CLOSEST) ** -2.0, 0.0)


def _placed(
    name: str,
    distances: _Floats,
    tree: Tree,
    weighting: str,
    replicates: Iterator[_Floats],
    n_threads: int,
) -> Placement:
    unknown = np.isnan(distances)
    values, weights = _weights(distances, weighting)
    best, above, pendant, residual = _core.fit_edges(tree.parent, tree.length, values, weights)
    if best < 0:
        raise InputError(
            f"{name!r} cannot be compared with tips on both sides of any branch, for want of "
            "common genes"
        )
    if unknown.any():
        tips = [repr(tree.tips[i]) for i in np.flatnonzero(unknown)]
        warnings.warn(
            f"{name!r} is placed without the tips it has no distance to: {some_names(tips)}",
            PyphyloWarning,
            stacklevel=3,
        )
    branch = branches(tree)
    chosen = _replicate_branches(tree, weighting, replicates, n_threads)
    chosen = chosen[chosen >= 0]
    order = _order(residual, best, branch)
    supports = np.full(len(order), np.nan)
    clade_support = np.nan
    if len(chosen):
        counts = np.bincount(branch[chosen], minlength=tree.n_nodes)
        supports = counts[branch[order]] / len(chosen)
        within = inside(tree, best)
        clade_support = float((within[chosen] | (branch[chosen] == branch[best])).mean())
    ratios = _ratios(residual[order], values, weights)
    listed = (np.arange(len(order)) < _LISTED) | (supports > 0)
    order, ratios, supports = order[listed], ratios[listed], supports[listed]
    columns = (order, above[order], pendant[order], residual[order], ratios, supports)
    return Placement(
        name,
        insert_tip(tree, name, best, float(above[best]), float(pendant[best])),
        tree,
        tuple(Candidate(*row) for row in zip(*(c.tolist() for c in columns), strict=True)),
        tuple(tree.tips[tip] for tip in tree.tips_below(best)),
        clade_support,
        len(chosen),
        weighting,
        distances,
    )


def _replicate_branches(
    tree: Tree, weighting: str, replicates: Iterator[_Floats], n_threads: int
) -> NDArray[np.int64]:
    """The best node of each replicate, -1 where there is none."""
    found = [np.empty(0, np.int64)]
    for distances in replicates:
        values, weights = _weights(distances, weighting)
        found.append(_core.best_edges(tree.parent, tree.length, values, weights, n_threads))
    return np.concatenate(found)


def _order(residual: _Floats, best: int, branch: NDArray[np.int64]) -> NDArray[np.int64]:
    """Nodes of different branches by residual, the best one first."""
    order = np.argsort(residual, kind="stable")
    order = np.concatenate(([best], order[np.isfinite(residual[order])]))
    _, first = np.unique(branch[order], return_index=True)
    kept: NDArray[np.int64] = order[np.sort(first)]
    return kept


def _ratios(residuals: _Floats, distances: _Floats, weights: _Floats) -> _Floats:
    """Likelihoods of branches at their best, as shares; see `Candidate`."""
    least = residuals.min()
    variance = least / max(int((weights > 0).sum()) - 2, 1)
    # Of distances that fit exactly, residuals are rounding.
    variance = max(variance, _ROUNDING * float((weights * distances**2).sum()))
    if variance == 0:
        likelihoods = (residuals == least).astype(np.float64)
    else:
        likelihoods = np.exp((least - residuals) / (2 * variance))
    shares: _Floats = likelihoods / likelihoods.sum()
    return shares
