"""Least squares branch lengths of a given topology, and what they leave unexplained.

The path between two tips is the sum of its branches, so lengths are a linear regression on the
incidence of paths and branches. The incidence is never formed: its products with vectors are path
lengths and sums over the pairs that a branch parts, and its normal matrix has a closed form
(`normal_matrix`); each takes O(n^2). The matrix is solved once, by Cholesky, and the solution
corrected by the residuals of the distances themselves, so that digits lost in the normal
equations come back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyphylo._memory import require_memory
from pyphylo.errors import InputError, WorkError
from pyphylo.tree._changes import has_unary
from pyphylo.tree._checks import require_lengths
from pyphylo.tree._compare import check_same_tips

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["Distances", "Residuals", "fit", "residuals"]

_PIVOT = 1e-7
"""Square root of the smallest share of a branch that the others may leave of its equation."""
_ROUNDING = 1e-12
"""Signs of numbers this much smaller than the largest are not trusted."""
_CORRECTIONS = 2

_Array = NDArray[np.float64]


class Distances(Protocol):
    """What `DistanceMatrix` has."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def values(self) -> NDArray[np.floating[Any]]: ...


@dataclass(frozen=True, eq=False)
class Residuals:
    """What a tree leaves unexplained of distances.

    Attributes
    ----------
    tips : tuple of str
        Rows and columns of `matrix`, in the tree's order.
    matrix : ndarray, shape (n_tips, n_tips)
        Distance less path length, of each pair; NaN for pairs of weight 0 whose distance
        is unknown.
    per_tip : ndarray, shape (n_tips,)
        Root of the weighted mean of a tip's squared residuals; NaN without pairs.
    rms : float
        The same over all pairs.
    sum_of_squares : float
        Weighted, over pairs: what `Tree.fit` makes smallest.
    r_squared : float
        Share of the weighted variance of the distances that the paths explain; can be
        negative where lengths were not fitted. NaN where all distances are equal.
    stress : float
        Root of the weighted squared residuals over the squared distances (Kruskal's
        stress 1, with the distances in the denominator); NaN where all are 0.
    """

    tips: tuple[str, ...]
    matrix: _Array
    per_tip: _Array
    rms: float
    sum_of_squares: float
    r_squared: float
    stress: float


def fit(
    self: Tree, D: Distances, weights: str | ArrayLike = "equal", *, nonnegative: bool = False
) -> Tree:
    """The same tree with the branch lengths that fit distances best.

    They minimise the sum of ``w_ij (d_ij - p_ij)^2`` over pairs of tips, p being path
    lengths.

    Parameters
    ----------
    D : DistanceMatrix
        Of the same tips, in any order.
    weights : {"equal", "inverse_square"} or array_like, shape (n_tips, n_tips)
        "equal": ordinary least squares. "inverse_square": 1 / d^2 (Fitch & Margoliash
        1967). Or a symmetric matrix in the order of ``D.ids``; pairs of weight 0 do not
        count, and may be NaN in D.
    nonnegative : bool
        Find the best lengths that are at least 0, exactly, by block principal pivoting.

    Returns
    -------
    Tree
        Supports and labels are kept. The root divides its branch in the same proportion
        as before, nodes with one child vanish, and lengths need not be known before.

    Raises
    ------
    InputError
        When tips and ids differ, a distance that counts is not finite (or is 0, for
        "inverse_square"), or the weights leave a length undetermined.
    MemoryError
        When the equations do not fit: about 128 n_tips^2 bytes.

    Notes
    -----
    The normal equations are formed in O(n^2), as sums over pairs of subtrees, and solved
    in O(n^3) by Cholesky.

    References
    ----------
    Cavalli-Sforza & Edwards (1967), Am J Hum Genet 19, 233-257.
    Bryant & Waddell (1998), Mol Biol Evol 15(10), 1346-1359.
    """
    if has_unary(self):
        return fit(self.shear(self.tips), D, weights, nonnegative=nonnegative)
    length = _fitted_lengths(self, D, weights, nonnegative)
    return type(self)(self.tips, self.parent, length, self.support, self.labels)


def residuals(self: Tree, D: Distances, weights: str | ArrayLike = "equal") -> Residuals:
    """What the path lengths leave unexplained of distances, by pair, by tip and in all.

    Parameters are those of `fit`; nothing is fitted. O(n_tips^2).

    Raises
    ------
    InputError
        As for `fit`, and when a branch has no length.
    """
    require_lengths(self, "comparing with distances", "fit them: tree.fit(D)")
    d, w = _aligned(self, D, weights)
    rest = d - self.patristic()
    used = w > 0
    squares = w * np.where(used, rest, 0.0) ** 2
    d = np.where(used, d, 0.0)
    mean = _ratio((w * d).sum(), w.sum())
    sum_of_squares = float(squares.sum())
    return Residuals(
        self.tips,
        rest,
        np.sqrt(_ratio(squares.sum(axis=1), w.sum(axis=1))),
        float(np.sqrt(_ratio(sum_of_squares, w.sum()))),
        sum_of_squares / 2,
        float(1 - _ratio(sum_of_squares, np.sum(w * (d - mean) ** 2, where=used))),
        float(np.sqrt(_ratio(sum_of_squares, (w * d**2).sum()))),
    )


def _ratio(part: Any, whole: Any) -> Any:
    whole = np.asarray(whole, np.float64)
    return np.divide(part, whole, out=np.full(whole.shape, np.nan), where=whole > 0)


def _fitted_lengths(
    tree: Tree, D: Distances, weights: str | ArrayLike, nonnegative: bool
) -> _Array:
    """Lengths of a tree in which no node has one child."""
    from pyphylo.tree._fit_kernels import normal_matrix
    from pyphylo.tree._tree_kernels import crossing_sums, path_lengths, spans

    d, w = _aligned(tree, D, weights)
    d = np.where(w > 0, d, 0.0)
    if tree.n_tips == 1:
        return np.zeros(1)
    # The branch of a root with two children is one unknown, at the first of the two.
    top = tree.children(tree.root) if tree.is_rooted else np.empty(0, np.int32)
    unknown = np.setdiff1d(np.arange(tree.n_nodes - 1), top[1:])
    m = len(unknown)
    require_memory(4 * 8 * m * m, f"the equations of {m} branch lengths")
    start, size, _ = spans(tree.parent, tree.n_tips)
    normal = normal_matrix(tree.parent, start, size, w)
    if len(top):
        normal = normal[np.ix_(unknown, unknown)]
    equations = _Equations(tree, unknown, normal)
    length = np.zeros(tree.n_nodes)
    wanted = crossing_sums(tree.parent, w * d)[unknown]
    free = equations.free(wanted) if nonnegative else np.ones(m, np.bool_)
    solve = equations.factored(free)
    for correction in range(1 + _CORRECTIONS):
        if correction:
            rest = w * (d - path_lengths(tree.parent, length, tree.n_tips))
            wanted = crossing_sums(tree.parent, rest)[unknown]
        length[unknown[free]] += solve(wanted[free])
    if nonnegative:
        np.maximum(length, 0.0, out=length)
    if len(top):
        length[top] = length[top[0]] * _shares(tree.length[top])
    return length


def _shares(halves: _Array) -> _Array:
    """How the root divides its branch: as before, or in the middle where that is unknown."""
    with np.errstate(invalid="ignore"):
        usable = (halves >= 0).all() and halves.sum() > 0
    return halves / halves.sum() if usable else np.full(2, 0.5)


class _Equations:
    """The normal equations, each unknown in units that make its own coefficient 1."""

    def __init__(self, tree: Tree, unknown: NDArray[np.int64], normal: _Array) -> None:
        self._tree, self._unknown = tree, unknown
        diagonal = np.diagonal(normal)
        if not (diagonal > 0).all():
            self._refuse(int(np.argmin(diagonal)))
        self._unit = 1 / np.sqrt(diagonal)
        normal *= self._unit
        normal *= self._unit[:, None]
        self._normal = normal

    def factored(self, free: NDArray[np.bool_]) -> Any:
        """A function that solves the equations of some unknowns, the others being 0."""
        from scipy.linalg import cho_solve
        from scipy.linalg.lapack import dpotrf

        part = self._normal if free.all() else self._normal[np.ix_(free, free)]
        if not len(part):
            return lambda wanted: wanted
        lower, info = dpotrf(part, lower=True)
        if info > 0:
            self._refuse(int(np.flatnonzero(free)[info - 1]))
        pivot = np.diagonal(lower)
        if pivot.min() < _PIVOT:
            self._refuse(int(np.flatnonzero(free)[pivot.argmin()]))
        unit = self._unit[free]
        return lambda wanted: unit * cho_solve((lower, True), unit * wanted, check_finite=False)

    def free(self, wanted: _Array) -> NDArray[np.bool_]:
        """Which unknowns are not 0 in the best solution without negative ones.

        Block principal pivoting: unknowns that are negative become 0, and those at 0 whose
        gradient is negative are freed, all at once as long as they get fewer, and else only
        the last one, which ends (Júdice & Pires 1994; Portugal, Júdice & Vicente 1994).
        """
        scaled = wanted * self._unit
        free = np.ones(len(wanted), np.bool_)
        fewest, chances = len(wanted) + 1, 3
        for _ in range(10 * len(wanted) + 100):
            x = np.zeros(len(wanted))
            x[free] = self.factored(free)(wanted[free]) / self._unit[free]
            gradient = self._normal @ x - scaled
            wrong = np.where(
                free,
                x < -_ROUNDING * np.abs(x).max(initial=0.0),
                gradient < -_ROUNDING * np.abs(scaled).max(),
            )
            n_wrong = int(wrong.sum())
            if not n_wrong:
                return free
            if n_wrong < fewest:
                fewest, chances = n_wrong, 3
            elif chances:
                chances -= 1
            else:
                wrong[: np.flatnonzero(wrong)[-1]] = False
            free = free ^ wrong
        raise WorkError(
            "no set of positive branch lengths was found: rounding decides; fit without "
            "nonnegative, or with equal weights"
        )

    def _refuse(self, at: int) -> None:
        node = int(self._unknown[at])
        name = self._tree.label(node) or f"node {node}"
        raise InputError(
            f"the length above {name!r} is not determined: the pairs that tell it from its "
            "neighbours have no weight, or nearly none; use weights='equal', or weigh more pairs"
        )


def _places(tree: Tree, D: Distances) -> NDArray[np.int64]:
    if not all(hasattr(D, name) for name in ("ids", "values")):
        raise InputError(
            f"a DistanceMatrix is needed, not {type(D).__name__}; wrap it: "
            "pp.DistanceMatrix(values, ids)"
        )
    if tuple(D.ids) == tree.tips:
        return np.arange(tree.n_tips)
    check_same_tips(
        tree._number.keys(),
        set(D.ids),
        "tree and distances",
        ("the tree", "the matrix"),
        "use tree.shear or D.filter",
    )
    place = {name: i for i, name in enumerate(D.ids)}
    return np.array([place[tip] for tip in tree.tips])


def _aligned(tree: Tree, D: Distances, weights: str | ArrayLike) -> tuple[_Array, _Array]:
    """Distances and weights in the tree's order; weights are 0 on the diagonal."""
    places = _places(tree, D)
    square = np.ix_(places, places)
    d = np.asarray(D.values, np.float64)[square]
    if isinstance(weights, str):
        w = _named_weights(tree, d, weights)
    else:
        w = _given_weights(D, weights)[square]
    np.fill_diagonal(w, 0.0)
    bad = ~np.isfinite(d) & (w > 0)
    if bad.any():
        i, j = (int(k) for k in np.argwhere(bad)[0])
        raise InputError(
            f"the distance between {tree.tips[i]!r} and {tree.tips[j]!r} is {d[i, j]}: give that "
            "pair the weight 0, or leave one of the two out"
        )
    return d, w


def _named_weights(tree: Tree, d: _Array, weights: str) -> _Array:
    if weights == "equal":
        return np.ones(d.shape)
    if weights != "inverse_square":
        raise InputError(
            f'weights must be "equal", "inverse_square" or a matrix of numbers, not {weights!r}'
        )
    zero = d == 0
    np.fill_diagonal(zero, False)
    if zero.any():
        i, j = (int(k) for k in np.argwhere(zero)[0])
        raise InputError(
            f"the distance between {tree.tips[i]!r} and {tree.tips[j]!r} is 0, and its inverse "
            "square has no end; use weights='equal', or leave one of the two out"
        )
    w = d.copy()
    np.fill_diagonal(w, 1.0)
    inverse: _Array = w**-2.0
    return inverse


def _given_weights(D: Distances, weights: ArrayLike) -> _Array:
    w = np.asarray(weights, np.float64)
    n = len(D.ids)
    if w.shape != (n, n):
        raise InputError(f"weights must have shape {(n, n)}, as the distances have, not {w.shape}")
    bad = ~(np.isfinite(w) & (w >= 0) & (w == w.T))
    np.fill_diagonal(bad, False)
    if bad.any():
        i, j = (int(k) for k in np.argwhere(bad)[0])
        raise InputError(
            f"the weight of {D.ids[i]!r} and {D.ids[j]!r} is {w[i, j]:g}, the other way round "
            f"{w[j, i]:g}; weights are symmetric, finite and at least 0"
        )
    return w
