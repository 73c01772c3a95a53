"""Where a root goes: next to an outgroup, or where tips are most nearly at one distance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError
from pyphylo.tree import _changes
from pyphylo.tree._checks import require_lengths
from pyphylo.tree._compare import count_members

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["AncestorDeviations", "ancestor_deviations", "rooted"]

_METHODS = ("midpoint", "mad")
_EQUAL = 1e-12
"""Mean squared deviations this close are equal: their sums round in the sixteenth digit."""


@dataclass(frozen=True, eq=False)
class AncestorDeviations:
    """How far from a clock a tree is with its root on each branch.

    Attributes
    ----------
    deviation : ndarray, shape (n_nodes,)
        The smallest ancestor deviation with the root on the branch above each node: 0
        is an exact clock, 1 the most. NaN at the root. Halves of one branch, beside a
        root of two children or a node with one child, have the same.
    branch : int
        The node below the best branch.
    above : float
        Distance of the best root from that node.
    ambiguity : float
        The smallest deviation divided by that of the next branch: near 0 where one
        branch is much better, 1 where two are equal, as beside a root on a node.
    """

    deviation: NDArray[np.float64]
    branch: int
    above: float
    ambiguity: float


def rooted(tree: Tree, where: str | None, tip: str | None, outgroup: Iterable[str] | None) -> Tree:
    """See `Tree.root_at`."""
    if sum(given is not None for given in (where, tip, outgroup)) != 1:
        raise InputError(
            'say where the root goes: "midpoint", "mad", the name of a tip, or outgroup=[tips]'
        )
    if isinstance(outgroup, str):
        raise InputError(f"outgroup is a list of tips; for {outgroup!r} alone, use tip=")
    members = None if outgroup is None else tree._members(outgroup)
    method = where if where in _METHODS else None
    name = tip if where is None else where
    if members is None and method is None:
        tree.index(str(name))
    if tree.n_tips == 1:
        return tree
    if _changes.has_unary(tree):
        tree = tree.shear(tree.tips)
    above = None
    if members is not None:
        node = _outgroup_branch(tree, members)
    elif method == "midpoint":
        require_lengths(tree, "the midpoint", "root at a tip instead")
        node, above = _changes.midpoint(tree._flat)
    elif method == "mad":
        best = ancestor_deviations(tree)
        node, above = best.branch, best.above
    else:
        node = tree.index(str(name))
    return type(tree)(*_changes.place_root(tree._flat, node, above))


def ancestor_deviations(self: Tree) -> AncestorDeviations:
    """How far the tree is from a clock with its root on each branch.

    With a root, two tips at distance d have an ancestor at distance x from one; its
    deviation is ``|2 x / d - 1|``. That of a branch is the root of the mean square over all
    pairs of tips (those at distance 0 left out), at the best place on it. The branch with
    the smallest is where ``root_at("mad")`` puts the root; among equals, the one whose side
    without the first tip by name has the first name. O(n^2) time, O(n) memory.

    Returns
    -------
    AncestorDeviations
        The deviation of every branch, the best place, and how ambiguous it is.

    Raises
    ------
    InputError
        When a length is unknown or negative, or all are 0.

    References
    ----------
    Tria, Landan & Dagan (2017), Nat Ecol Evol 1, 0193.
    """
    from pyphylo.tree._tree_kernels import branch_deviations, branches

    require_lengths(self, "minimal ancestor deviation", "root elsewhere, or fit lengths first",
                    negative=False)  # fmt: skip
    if self.n_tips < 2:
        raise InputError(f"a tree of {self.n_tips} tip has no branch for a root")
    stands = branches(self.parent, self.n_tips, False)
    own = np.flatnonzero(stands == np.arange(self.n_nodes))
    length = np.zeros(self.n_nodes)
    np.add.at(length, stands[stands >= 0], self.length[stands >= 0])
    mean_square, above = branch_deviations(self.parent, length, self.n_tips)
    if np.isnan(mean_square[own]).any():
        raise InputError(
            "all tips are at distance 0 of each other, so no root is better than another; "
            "root at a tip instead"
        )
    squares = mean_square[own]
    best = _first_by_name(self, own[squares <= squares.min() + _EQUAL])
    others = squares[own != best]
    deviation = np.full(self.n_nodes, np.nan)
    deviation[stands >= 0] = np.sqrt(mean_square[stands[stands >= 0]])
    least, second = mean_square[best], others.min(initial=np.inf)
    if not len(others):
        ambiguity = 0.0
    else:
        ambiguity = 1.0 if second <= least + _EQUAL else float(np.sqrt(least / second))
    return AncestorDeviations(deviation, best, float(above[best]), ambiguity)


def _first_by_name(tree: Tree, nodes: NDArray[np.int64]) -> int:
    """Of branches, the one whose side without the first tip has the first name, then is smallest.

    So the choice is the same however the tree is rooted and numbered.
    """
    if len(nodes) == 1:
        return int(nodes[0])
    from pyphylo.tree._tree_kernels import sides

    rank = np.empty(tree.n_tips, np.int64)
    rank[sorted(range(tree.n_tips), key=tree.tips.__getitem__)] = np.arange(tree.n_tips)
    low, _, size = sides(tree.parent, rank)
    return int(min(nodes.tolist(), key=lambda v: (low[v], size[v])))


def _outgroup_branch(tree: Tree, members: NDArray[np.bool_]) -> int:
    """The node above which a branch parts the members from all other tips.

    Raises
    ------
    InputError
        Where there is none; then tips on the smallest side that holds all members are
        named.
    """
    of = tree._layout
    n, k = tree.n_tips, int(members.sum())
    if k == n:
        raise InputError("the outgroup holds every tip; leave those of the ingroup out")
    count, size = count_members(members, of)[:-1], of.size[:-1]
    below = np.where(count == k, size - k, n)
    beyond = np.where(count == 0, n - size - k, n)
    node = int(np.minimum(below, beyond).argmin())
    in_the_way = min(int(below[node]), int(beyond[node]))
    if in_the_way:
        side = np.zeros(n, np.bool_)
        side[tree.tips_below(node)] = True
        if below[node] > beyond[node]:
            side = ~side
        names = sorted(tree.tips[tip] for tip in np.flatnonzero(side & ~members))
        told = ", ".join(map(repr, names[:3])) + (", …" if len(names) > 3 else "")
        raise InputError(
            f"no branch parts the outgroup of {k} tips from the others: {in_the_way} more "
            f"would come with them ({told}); add these, or leave tips out"
        )
    return node
