"""Clades and bipartitions, compared exactly and without recursion.

The clade of a node is a span of the display order, so counting its members is a difference of
two prefix sums. Bipartitions are compared as by Day (1985): number the tips along one tree,
starting behind a tip that both trees have; then of every branch of that tree, the side without
that tip is an interval of numbers, and a side in another tree is the same set exactly when it
has the same first and last number and as many tips as lie between them.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError
from pyphylo.tree._arrays import Layout

__all__ = ["Splits", "check_same_tips", "count_members", "is_clade", "largest_clade"]


def count_members(members: NDArray[np.bool_], of: Layout) -> NDArray[np.int64]:
    """How many members are below each node."""
    before = np.concatenate(([0], np.cumsum(members[of.order])))
    counts: NDArray[np.int64] = before[of.start + of.size] - before[of.start]
    return counts


def is_clade(members: NDArray[np.bool_], of: Layout, rooted: bool) -> bool:
    """Whether the members are all tips below a node or, unrooted, on one side of a branch."""
    n, k = len(members), int(members.sum())
    count = count_members(members, of)
    below = (count == of.size) & (of.size == k)
    beyond = (count == 0) & (of.size == n - k)
    return bool(below.any() or (not rooted and beyond.any()))


def largest_clade(members: NDArray[np.bool_], of: Layout) -> int:
    """Tips on the largest side of a branch that holds only members."""
    n, k = len(members), int(members.sum())
    count = count_members(members, of)
    below = of.size[count == of.size]
    beyond = (n - of.size)[k - count == n - of.size]
    return int(max(below.max(), beyond.max(initial=0)))


def check_same_tips(
    mine: AbstractSet[str],
    theirs: AbstractSet[str],
    what: str = "the trees",
    where: tuple[str, str] = ("this tree", "the other"),
    remedy: str = "use shear on those of both",
) -> None:
    """Refuse different sets of tips, naming some."""
    if mine == theirs:
        return
    told = "; ".join(
        f"{len(names)} only in {place}: {', '.join(map(repr, names[:3]))}"
        + (", …" if len(names) > 3 else "")
        for names, place in zip((sorted(mine - theirs), sorted(theirs - mine)), where, strict=True)
        if names
    )
    raise InputError(f"{what} have different tips ({told}); {remedy}")


class Splits:
    """The bipartitions of a tree, to be found in others.

    Parameters
    ----------
    tips, parent, of
        As in `Tree`.

    Attributes
    ----------
    number : ndarray, one a tip
        Along the tree, from the first tip by name, which is 0.
    sides : (low, high, size), ndarrays, one a node
        Of the side without the first tip: the smallest and largest number, and how many.
    """

    def __init__(self, tips: tuple[str, ...], parent: NDArray[np.int32], of: Layout) -> None:
        from pyphylo.tree._tree_kernels import sides

        self._tips, self._parent = tips, parent
        first = min(range(len(tips)), key=tips.__getitem__)
        place = of.start[: len(tips)]
        self.number: NDArray[np.int64] = (place - place[first]) % len(tips)
        self._number_of = dict(zip(tips, self.number.tolist(), strict=True))
        self.sides = sides(parent, self.number)
        self._keys = self._usable(self.sides)
        self.count = len(np.unique(self._keys[self._keys >= 0]))

    def shared_with(self, other: Splits) -> int:
        """How many bipartitions two trees share."""
        return len(np.unique(self._keys[self.found_in(other) & (self._keys >= 0)]))

    def found_in(self, other: Splits) -> NDArray[np.bool_]:
        """Of each node, whether the bipartition above it is in another tree (trivial ones are)."""
        from pyphylo.tree._tree_kernels import sides

        number = self.numbers_of(other._tips)
        found: NDArray[np.bool_] = np.isin(self._keys, self._usable(sides(other._parent, number)))
        return found | (self._keys < 0)

    def numbers_of(self, tips: tuple[str, ...]) -> NDArray[np.int64]:
        """The numbers of another tree's tips, in its order; refused where the tips differ."""
        if tips == self._tips:
            return self.number
        check_same_tips(self._number_of.keys(), set(tips))
        return np.array([self._number_of[tip] for tip in tips])

    def _usable(
        self, sides: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    ) -> NDArray[np.int64]:
        """One integer per node: the interval that its side fills.

        -1 where it fills none, or the branch parts off fewer than two tips.
        """
        low, high, size = sides
        n = len(self._tips)
        usable = (high - low + 1 == size) & (size >= 2) & (size <= n - 2)
        keys: NDArray[np.int64] = np.where(usable, low * n + high, -1)
        return keys
