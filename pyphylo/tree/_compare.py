"""Clades and bipartitions, compared exactly and without recursion.

The clade of a node is a span of the display order, so counting its members is a difference of
two prefix sums. Bipartitions are compared as by Day (1985): number the tips along one tree,
starting behind a tip that both trees have; then of every branch of that tree, the side without
that tip is an interval of numbers, and a side in another tree is the same set exactly when it
has the same first and last number and as many tips as lie between them.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    """

    def __init__(self, tips: Sequence[str], parent: NDArray[np.int32], of: Layout) -> None:
        self._tips = tips
        self._parent: list[int] = parent.tolist()
        self._layout = of
        self._first = min(range(len(tips)), key=tips.__getitem__)
        rank = np.argsort(of.order)
        number = (rank - rank[self._first]) % len(tips)
        self._number = dict(zip(tips, number.tolist(), strict=True))
        # -1 where a branch parts off fewer than two tips.
        self._keys = self._keys_under(self._number)
        self.count = len(np.unique(self._keys[self._keys >= 0]))

    def shared_with(self, other: Splits) -> int:
        """How many bipartitions two trees share."""
        return len(np.unique(self._keys[self.found_in(other) & (self._keys >= 0)]))

    def found_in(self, other: Splits) -> NDArray[np.bool_]:
        """Of each node, whether the bipartition above it is in another tree (trivial ones are)."""
        check_same_tips(self._number.keys(), other._number.keys())
        found: NDArray[np.bool_] = np.isin(self._keys, other._keys_under(self._number))
        return found | (self._keys < 0)

    def _keys_under(self, number: dict[str, int]) -> NDArray[np.int64]:
        """One integer per node: the interval that its side without the first tip fills.

        -1 where that side fills no interval, or one of the two sides has fewer than two tips.
        """
        n = len(self._tips)
        low, high, size = self._sides([number[tip] for tip in self._tips])
        usable = (high - low + 1 == size) & (size >= 2) & (size <= n - 2)
        return np.where(usable, low * n + high, -1)

    def _sides(
        self, number: list[int]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Smallest and largest number, and number of tips, on each side without the first tip."""
        n_tips, n = len(self._tips), len(self._parent)
        low = [*number, *([n_tips] * (n - n_tips))]
        high = [*number, *([-1] * (n - n_tips))]
        for v in range(n - 1):
            p = self._parent[v]
            low[p] = min(low[p], low[v])
            high[p] = max(high[p], high[v])
        size = self._layout.size.tolist()

        # Above the first tip, the side without it is what lies beyond the branch.
        path = [self._first]
        while path[-1] != n - 1:
            path.append(self._parent[path[-1]])
        first, children = self._layout.first_child, self._layout.children
        beyond = (n_tips, -1, 0)
        turned = [beyond]
        for p, v in zip(path[:0:-1], path[-2::-1], strict=True):
            for child in children[first[p] : first[p + 1]].tolist():
                if child != v:
                    beyond = (
                        min(beyond[0], low[child]),
                        max(beyond[1], high[child]),
                        beyond[2] + size[child],
                    )
            turned.append(beyond)
        for v, side in zip(reversed(path), turned, strict=True):
            low[v], high[v], size[v] = side
        return np.array(low), np.array(high), np.array(size)
