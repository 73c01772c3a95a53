"""Distances between trees that use lengths, quartets, or one tree against many."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError
from pyphylo.tree._checks import require_lengths
from pyphylo.tree._compare import check_same_tips

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = [
    "branch_score",
    "quartet_distance",
    "robinson_foulds_many",
    "weighted_robinson_foulds",
]


def robinson_foulds_many(
    tree: Tree, trees: Iterable[Tree], normalized: bool = True
) -> NDArray[np.float64]:
    """Robinson-Foulds distances of one tree to each of many.

    Exact: of every tree, the sides of its branches are looked up among the intervals of
    the first (Day 1985, J Classif 2, 7-28). O(n) a tree, and no tree is kept.

    Parameters
    ----------
    tree : Tree
    trees : iterable of Tree
        Of the same tips, in any order; may be a generator.
    normalized : bool
        Divide by the number of bipartitions in both trees; 0 where neither has any.

    Returns
    -------
    ndarray, shape (number of trees,)
        As `Tree.robinson_foulds` has them.

    Raises
    ------
    InputError
        When the tips of a tree differ; which tree, and some tips are named.
    """
    from pyphylo.tree._tree_kernels import compare_splits, day_table

    splits = tree._splits
    table = day_table(*splits.sides, tree.n_tips)
    count, _ = compare_splits(tree.parent, splits.number, table)
    distances = []
    for k, other in enumerate(trees):
        try:
            number = splits.numbers_of(other.tips)
        except InputError as error:
            raise InputError(f"tree {k} of the many: {error}") from None
        theirs, shared = compare_splits(other.parent, number, table)
        distance = count + theirs - 2 * shared
        distances.append(distance / max(1, count + theirs) if normalized else distance)
    return np.array(distances, np.float64)


def weighted_robinson_foulds(self: Tree, other: Tree) -> float:
    """The weighted Robinson-Foulds distance: summed differences of branch lengths.

    Over all bipartitions of the tips, those of single tips too; what a tree lacks has
    length 0 there. Roots do not count: the halves of a root's branch are added. In the
    units of the lengths. O(n log n), exact.

    Parameters
    ----------
    other : Tree
        Of the same tips, in any order.

    Raises
    ------
    InputError
        When the tips differ, or a branch has no length.

    References
    ----------
    Robinson & Foulds (1979), Lect Notes Math 748, 119-126.
    """
    return float(np.abs(_length_differences(self, other)).sum())


def branch_score(self: Tree, other: Tree) -> float:
    """The branch score distance: the root of the summed squared differences of lengths.

    Over the same bipartitions as `weighted_robinson_foulds`, with the same errors.

    References
    ----------
    Kuhner & Felsenstein (1994), Mol Biol Evol 11, 459-468; their score is its square.
    """
    return float(np.linalg.norm(_length_differences(self, other)))


def _length_differences(first: Tree, second: Tree) -> NDArray[np.float64]:
    """Of every bipartition of either tree, trivial ones too, second length less first.

    A bipartition that a tree lacks has length 0 there.
    """
    from pyphylo.tree._tree_kernels import sides

    for tree in (first, second):
        require_lengths(tree, "a distance of branch lengths", "use robinson_foulds, or fit lengths")
    splits = first._splits
    other_sides = sides(second.parent, splits.numbers_of(second.tips))
    mine, length = _keyed_lengths(first, *splits.sides)
    theirs, other_length = _keyed_lengths(second, *other_sides)
    order = np.argsort(mine)
    mine, length = mine[order], length[order]
    at = np.searchsorted(mine, theirs)
    found = at < len(mine)
    found[found] = mine[at[found]] == theirs[found]
    differences = -length
    differences[at[found]] += other_length[found]
    return np.concatenate((differences, other_length[~found]))


def _keyed_lengths(
    tree: Tree, low: NDArray[np.int64], high: NDArray[np.int64], size: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The interval that each branch's side fills, as one number, -1 where none, and its length."""
    from pyphylo.tree._tree_kernels import branches

    stands = branches(tree.parent, tree.n_tips, False)
    total = np.zeros(tree.n_nodes)
    np.add.at(total, stands[stands >= 0], tree.length[stands >= 0])
    own = np.flatnonzero(stands == np.arange(tree.n_nodes))
    key = np.where(high - low + 1 == size, low * tree.n_tips + high, -1)
    return key[own], total[own]


def quartet_distance(self: Tree, other: Tree, normalized: bool = True) -> float:
    """The quartet distance: sets of four tips that two trees resolve differently.

    A tree resolves four tips in one of three ways, or, at a node of more than three
    branches, not at all, which counts as a fourth. Roots and lengths do not count. Exact.

    Parameters
    ----------
    other : Tree
        Of the same tips, in any order.
    normalized : bool
        Divide by the number of sets of four tips; 0 where there are none.

    Raises
    ------
    InputError
        When the tips differ; some are named.

    Notes
    -----
    O(n^2) time; at two nodes that both have many children, each pair of their parts with
    tips in common takes as long as the smaller number of children. Memory is the most
    children of a node times n.

    References
    ----------
    Christiansen, Mailund, Pedersen, Randers & Stissing (2006), Algorithms Mol Biol 1, 16.
    """
    distance = _quartet_distance(self, other)
    return distance / max(1, math.comb(self.n_tips, 4)) if normalized else float(distance)


def _quartet_distance(first: Tree, second: Tree) -> int:
    """How many sets of four tips two trees resolve differently."""
    from pyphylo.tree._quartet_kernels import compare_quartets, resolved_quartets
    from pyphylo.tree._tree_kernels import spans

    check_same_tips(first._number.keys(), second._number.keys())
    if first.n_tips < 4:
        return 0
    place = np.array([second._number[tip] for tip in first.tips])
    start, size, order = spans(first.parent, first.n_tips)
    other_size = spans(second.parent, second.n_tips)[1]
    alike, unlike = compare_quartets(first.parent, start, size, order, second.parent, place)
    resolved = resolved_quartets(first.parent, size, first.n_tips)
    other_resolved = resolved_quartets(second.parent, other_size, second.n_tips)
    # Resolved in one tree only: neither alike nor unlike. Those differ, and so do the unlike.
    return int(resolved + other_resolved - 2 * alike - unlike)
