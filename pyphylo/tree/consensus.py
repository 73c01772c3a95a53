"""Consensus trees: what many trees of the same tips have in common."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError
from pyphylo.tree._changes import renumber
from pyphylo.tree._compare import check_same_tips
from pyphylo.tree.tree import Tree

__all__ = ["greedy_consensus", "majority_consensus"]

_SEED = 0x9E3779B97F4A7C15
_FEWEST_ROWS = 1024


def majority_consensus(
    trees: Iterable[Tree], threshold: float = 0.5, *, rooted: bool = False
) -> Tree:
    """The tree of all branches that most trees have.

    Parameters
    ----------
    trees : iterable of Tree
        Of the same tips, in any order; may be a generator. At least one.
    threshold : float, 0.5 to 1
        A branch is taken when more than this share of the trees has it; with 1, when all
        have it (the strict consensus).
    rooted : bool
        False: branches are bipartitions of the tips, and roots do not count. True: they
        are clades, below the roots that the trees have.

    Returns
    -------
    Tree
        Tips are those of the first tree. Supports are shares of the trees, 0 to 1, and
        lengths means over the trees that have the branch, where it has a length. The
        root is a node of many children unless `rooted`.

    Raises
    ------
    InputError
        When there is no tree, the tips of a tree differ (which, and some tips are named),
        or the threshold is out of range.

    Notes
    -----
    A set of tips is known by 128 random bits, the exclusive or of those of its tips, which
    are the same in every run. That two of m different branches look the same has a
    probability of at most m^2 / 2^129: 10^-24 for ten million. O(n) time a tree; memory is
    that of the different branches, and of the tips' order in each tree that had a new one.

    References
    ----------
    Margush & McMorris (1981), Bull Math Biol 43, 239-244.
    Amenta, Clarke & St. John (2003), WABI, 216-227: counting with hashed bipartitions.
    """
    if not 0.5 <= threshold <= 1:
        raise InputError(
            f"threshold must lie between 0.5 and 1, not {threshold}: below, branches can exclude "
            "each other; greedy_consensus takes what fits of these"
        )
    counted = _counted(trees, rooted)
    count = counted.count
    chosen = (count > threshold * counted.n_trees) | (count == counted.n_trees)
    return counted.tree_of(np.flatnonzero(chosen))


def greedy_consensus(trees: Iterable[Tree], *, rooted: bool = False) -> Tree:
    """The extended majority-rule consensus: branches by falling support, as long as they fit.

    Holds all branches of `majority_consensus`, and then others that contradict none taken
    before. Of equally frequent ones, those of earlier trees come first.

    Parameters
    ----------
    trees : iterable of Tree
        Of the same tips, in any order; may be a generator. At least one.
    rooted : bool
        Whether branches are clades, below the roots that the trees have, or bipartitions.

    Returns
    -------
    Tree
        As from `majority_consensus`; mostly resolved.

    Raises
    ------
    InputError
        When there is no tree, or the tips of a tree differ.

    Notes
    -----
    After counting (see `majority_consensus`), O(k) for each branch tried that has k tips
    on the side without the first tip, or below it where rooted; none is tried once the
    tree is resolved.

    References
    ----------
    Felsenstein, PHYLIP (consense), "majority rule extended".
    Bryant (2003), DIMACS Ser Discrete Math Theor Comput Sci 61, 163-184.
    """
    counted = _counted(trees, rooted)
    # Entries are in order of the trees that had them first; the sort keeps that.
    return counted.tree_of(np.argsort(-counted.count, kind="stable"))


def _counted(trees: Iterable[Tree], rooted: bool) -> _Counts:
    counts: _Counts | None = None
    for tree in trees:
        if counts is None:
            counts = _Counts(tree, rooted)
        counts.add(tree)
    if counts is None:
        raise InputError("a consensus needs at least one tree")
    return counts


class _Counts:
    """The different branches of the trees so far: how often, how long, and where first seen."""

    def __init__(self, first: Tree, rooted: bool) -> None:
        self._tips, self._number = first.tips, first._number
        self._rooted = rooted
        n = len(first.tips)
        random = np.random.default_rng(_SEED)
        self._tip_keys = random.integers(0, 2**64, (n, 2), dtype=np.uint64)
        self.n_trees = 0
        self._n_entries = 0
        self._rows = np.full(_FEWEST_ROWS, -1)
        self._keys = np.empty((_FEWEST_ROWS // 2, 2), np.uint64)
        self._count = np.zeros(_FEWEST_ROWS // 2, np.int64)
        self._sums = np.zeros(_FEWEST_ROWS // 2)
        self._measured = np.zeros(_FEWEST_ROWS // 2, np.int64)
        # Where each entry is a span of a line-up of the tips: (tree, start, size, is_turned).
        self._seen: list[NDArray[np.int64]] = []
        self._orders: list[NDArray[np.int32]] = []
        self._tip_sums, self._tip_measured = np.zeros(n), np.zeros(n, np.int64)

    @property
    def count(self) -> NDArray[np.int64]:
        """How many trees have each branch."""
        return self._count[: self._n_entries]

    def add(self, tree: Tree) -> None:
        """Count the branches of one more tree."""
        from pyphylo.tree._split_kernels import add_splits, splits
        from pyphylo.tree._tree_kernels import branches, spans

        n = len(self._tips)
        place = self._places(tree)
        stands = branches(tree.parent, n, self._rooted)
        start, size, order = spans(tree.parent, n)
        zero = -1 if self._rooted else int(place.argmin())
        largest = n - 1 if self._rooted else n - 2
        nodes, keys, turned, length = splits(
            tree.parent, tree.length, stands, size, self._tip_keys[place], largest, zero
        )
        self._reserve(len(nodes))
        born = np.empty(len(nodes), np.int64)
        before = self._n_entries
        self._n_entries = add_splits(
            self._rows, self._keys, before, self._count, self._sums, self._measured,
            keys, length[nodes], born,
        )  # fmt: skip
        born = born[: self._n_entries - before]
        if len(born):
            which = nodes[born]
            tree_number = np.full(len(born), len(self._orders))
            self._seen.append(
                np.column_stack((tree_number, start[which], size[which], turned[born]))
            )
            self._orders.append(place[order].astype(np.int32))
        measured = ~np.isnan(length[:n]) & (stands[:n] == np.arange(n))
        self._tip_sums[place[measured]] += length[:n][measured]
        self._tip_measured[place[measured]] += 1
        self.n_trees += 1

    def _places(self, tree: Tree) -> NDArray[np.int64]:
        """Of the tree's tips, their numbers in the first tree."""
        if tree.tips == self._tips:
            return np.arange(len(self._tips))
        try:
            check_same_tips(
                self._number.keys(), tree._number.keys(), where=("the first", "this one")
            )
        except InputError as error:
            raise InputError(f"tree {self.n_trees}: {error}") from None
        return np.array([self._number[tip] for tip in tree.tips])

    def _reserve(self, n_more: int) -> None:
        """Make room, so that the table stays at most half full."""
        from pyphylo.tree._split_kernels import enter

        needed = 2 * (self._n_entries + n_more)
        if needed <= len(self._rows):
            return
        n_rows = 1 << (needed - 1).bit_length()
        self._rows = np.full(n_rows, -1)
        for name in ("_keys", "_count", "_sums", "_measured"):
            setattr(self, name, _grown(getattr(self, name), n_rows // 2))
        enter(self._rows, self._keys, 0, self._n_entries)

    def tree_of(self, entries: NDArray[np.int64]) -> Tree:
        """The tree of those of the branches, tried in this order, that fit to those before."""
        from pyphylo.tree._split_kernels import join_compatible

        n = len(self._tips)
        if n == 1:
            return Tree(self._tips, [-1])
        seen = np.concatenate((*self._seen, np.empty((0, 4), np.int64)))[entries]
        needed, tree = np.unique(seen[:, 0], return_inverse=True)
        orders = np.empty((len(needed), n), np.int32)
        for row, number in enumerate(needed):
            orders[row] = self._orders[number]
        most = max(n - 2 if self._rooted else n - 3, 0)
        start, span = np.ascontiguousarray(seen[:, 1]), np.ascontiguousarray(seen[:, 2])
        up, chosen = join_compatible(orders, tree.reshape(-1), start, span, seen[:, 3] > 0, most)
        taken = entries[chosen]
        unknown = np.full(1, np.nan)
        length = np.concatenate((
            _means(self._tip_sums, self._tip_measured),
            unknown,
            _means(self._sums[taken], self._measured[taken]),
        ))  # fmt: skip
        if n == 2 and not self._rooted:
            # One branch, counted at either tip: the root goes to its middle.
            length[:2] = _means(self._tip_sums.sum(keepdims=True), self._tip_measured.sum()) / 2
        support = np.concatenate((np.full(n, np.nan), unknown, self._count[taken] / self.n_trees))
        new = np.array(renumber(n, up.tolist()))
        old = np.argsort(new)
        parent = np.where(up[old] >= 0, new[up[old]], -1)
        return Tree(self._tips, parent, length[old], support[old])


def _grown(array: NDArray[Any], n: int) -> NDArray[Any]:
    larger = np.zeros((n, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def _means(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    means = np.full(len(sums), np.nan)
    np.divide(sums, counts, out=means, where=counts > 0)
    return means
