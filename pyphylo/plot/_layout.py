"""Where the nodes of a tree are drawn: pure functions over arrays, no recursion, no matplotlib.

A tree is given as in `pyphylo.tree.Tree`: the tips are ``0..n_tips-1``, every
child has a smaller number than its parent, and the root is the last node. So a
loop upwards over the numbers meets children before parents, a loop downwards parents
before children.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from pyphylo.plot._types import Bools, Floats, Ints, TreeLike

__all__ = [
    "Preorder",
    "branch_family",
    "drawn_lengths",
    "elbows",
    "equal_angle",
    "equal_daylight",
    "ladderize",
    "preorder",
    "rectangular",
    "scale_bar",
    "tip_order",
    "towards_daylight",
]

_FLOOR = 1e-7
"""Least branch in an unrooted layout, in parts of the longest: gives every branch a direction."""

_SETTLED = 0.01
"""The daylight sweeps end when no subtree was turned by more than this angle (radians)."""


@dataclass(frozen=True)
class Preorder:
    """The nodes of a tree from the root on, every subtree in one piece.

    Parameters
    ----------
    node : ndarray of int64, shape (n_nodes,)
        The node at each place.
    parent : ndarray of int64, shape (n_nodes,)
        The place of the parent of the node at each place; -1 at place 0, the root.
    size : ndarray of int64, shape (n_nodes,)
        Nodes in the subtree at each place, which fills places ``k..k+size[k]-1``.
    """

    node: Ints
    parent: Ints
    size: Ints

    def children(self, place: int) -> list[int]:
        """The places of the children of the node at a place, in display order."""
        found = []
        child, end = place + 1, place + int(self.size[place])
        while child < end:
            found.append(child)
            child += int(self.size[child])
        return found


def drawn_lengths(length: ArrayLike) -> tuple[Floats, bool, int]:
    """Branch lengths that can be drawn.

    Parameters
    ----------
    length : array_like, shape (n_nodes,)
        Branch lengths; the last is the root's, which is not drawn.

    Returns
    -------
    lengths : ndarray of float64
        Lengths that are finite and not negative: unknown and negative ones are 0.
        Where no branch has a length, all are 1.
    to_scale : bool
        False where no branch has a length.
    n_negative : int
        Branches drawn as 0 because their length is negative.
    """
    lengths = np.array(length, dtype=np.float64)
    branches = lengths[:-1]
    known = np.isfinite(branches)
    to_scale = bool(known.any()) or len(branches) == 0
    n_negative = int((branches[known] < 0).sum())
    drawn = np.where(known, np.maximum(branches, 0.0), 0.0) if to_scale else np.ones(len(branches))
    return np.append(drawn, 0.0), to_scale, n_negative


def ladderize(parent: ArrayLike, n_tips: int, children: Sequence[Sequence[int]]) -> list[list[int]]:
    """Children of each node, those with fewer tips first; equals keep their order."""
    tips = _tips_below(parent, n_tips)
    return [sorted(group, key=lambda child: tips[child]) for group in children]


def preorder(tree: TreeLike, *, ladder: bool = False) -> Preorder:
    """The nodes of a tree in display order, or smaller subtrees first. O(n_nodes)."""
    n = tree.n_nodes
    parents = np.asarray(tree.parent, dtype=np.int64).tolist()
    children: list[list[int]] = [[int(c) for c in tree.children(v)] for v in range(n)]
    if ladder:
        children = ladderize(parents, tree.n_tips, children)
    size = [1] * n
    for v in range(n - 1):
        size[parents[v]] += size[v]
    place, above, node = [0] * n, [-1] * n, [0] * n
    for v in range(n - 1, -1, -1):
        node[place[v]] = v
        start = place[v] + 1
        for child in children[v]:
            place[child] = start
            above[start] = place[v]
            start += size[child]
    nodes = np.array(node, dtype=np.int64)
    return Preorder(nodes, np.array(above, dtype=np.int64), np.array(size, dtype=np.int64)[nodes])


def tip_order(walk: Preorder, n_tips: int) -> Ints:
    """The tips as they follow each other down the page."""
    return walk.node[walk.node < n_tips]


def rectangular(walk: Preorder, lengths: Floats, n_tips: int) -> tuple[Floats, Floats]:
    """Layout of a phylogram.

    Parameters
    ----------
    walk : Preorder
    lengths : ndarray of float64, shape (n_nodes,)
        From `drawn_lengths`.
    n_tips : int

    Returns
    -------
    x, y : ndarray of float64, shape (n_nodes,)
        `x` is the distance from the root. `y` is the place of a tip among the
        tips, counted from 0, and the mean of the first and the last child of an
        internal node. O(n_nodes).
    """
    n = len(walk.node)
    nodes, above = walk.node.tolist(), walk.parent.tolist()
    x, low, high = [0.0] * n, [math.inf] * n, [-math.inf] * n
    for place in range(1, n):
        x[place] = x[above[place]] + float(lengths[nodes[place]])
    row = n_tips
    y = [0.0] * n
    for place in range(n - 1, -1, -1):
        if nodes[place] < n_tips:
            row -= 1
            y[place] = float(row)
        else:
            y[place] = (low[place] + high[place]) / 2
        if place:
            up = above[place]
            low[up] = min(low[up], y[place])
            high[up] = max(high[up], y[place])
    return _by_node(walk, np.array(x)), _by_node(walk, np.array(y))


def elbows(parent: ArrayLike, n_tips: int, x: Floats, y: Floats) -> Floats:
    """The lines of a phylogram.

    Returns
    -------
    ndarray of float64, shape (n_nodes - 1 + n_nodes - n_tips, 4)
        ``x0, y0, x1, y1`` of the branch above each node but the root, then of the line
        across the children of each inner node.
    """
    up = np.asarray(parent, dtype=np.int64)[:-1]
    along = np.stack([x[up], y[:-1], x[:-1], y[:-1]], axis=1)
    low, high = y.copy(), y.copy()
    np.minimum.at(low, up, y[:-1])
    np.maximum.at(high, up, y[:-1])
    inner = np.arange(n_tips, len(x))
    across = np.stack([x[inner], low[inner], x[inner], high[inner]], axis=1)
    return np.concatenate([along, across])


def equal_angle(walk: Preorder, lengths: Floats, n_tips: int) -> Floats:
    """Unrooted layout in which every tip is given the same angle.

    Each subtree gets a wedge as wide as its share of the tips, and its branch runs
    along the middle of it, so no two branches cross, nor do the tips' branches
    where they are drawn on outwards.

    Returns
    -------
    ndarray of float64, shape (n_nodes, 2)
        Coordinates; the root is at the origin. O(n_nodes).

    References
    ----------
    Felsenstein, Inferring Phylogenies (2004), chapter 34.
    """
    return _as_xy(walk, _equal_angle(walk, _with_floor(lengths), n_tips))


def equal_daylight(walk: Preorder, lengths: Floats, n_tips: int, sweeps: int = 20) -> Floats:
    """Unrooted layout in which the subtrees at a node are parted by equal gaps.

    The last of `towards_daylight`, which goes there in whole turns, until no subtree is turned
    by more than 0.01 radians, or for so many sweeps. (Turns at one node spoil the balance of
    others a little, so gaps become equal to some hundredths, not exactly.)
    """
    *_, last = towards_daylight(walk, lengths, n_tips, [1.0] * sweeps)
    return last


def towards_daylight(
    walk: Preorder, lengths: Floats, n_tips: int, parts: Sequence[float]
) -> Iterator[Floats]:
    """Unrooted layouts on the way from equal angles to equal daylight.

    The first is `equal_angle`, and each further one is a sweep over all nodes away from
    the one before. A node sees each subtree around it, the one towards the root included,
    under an angle; whole subtrees are turned about the node until the gaps between them
    (the daylight) are equal, or part of the way. Turning keeps the branch lengths. A node
    that sees no daylight is left as it is.

    Parameters
    ----------
    walk : Preorder
    lengths : ndarray of float64, shape (n_nodes,)
        From `drawn_lengths`.
    n_tips : int
    parts : sequence of float
        How much of each turn is made in each sweep, above 0 and at most 1.

    Yields
    ------
    ndarray of float64, shape (n_nodes, 2)
        Coordinates; the root is at the origin. At most ``1 + len(parts)`` times, each but
        the first O(n_nodes**2), in array operations.

    References
    ----------
    Felsenstein, Inferring Phylogenies (2004), chapter 34.
    """
    z = _equal_angle(walk, _with_floor(lengths), n_tips)
    yield _as_xy(walk, z)
    inner = [(int(p), walk.children(int(p))) for p in np.flatnonzero(walk.size > 1)]
    # A node with two neighbours is a point on a straight line: there is nothing to balance.
    inner = [(p, kids) for p, kids in inner if len(kids) + (p > 0) > 2]
    euler = _euler(walk)
    for part in parts:
        turned = [_balance(z, walk, euler, place, kids, part) for place, kids in inner]
        yield _as_xy(walk, z)
        if max(turned, default=0.0) < _SETTLED * part:
            break


def branch_family(parent: ArrayLike, tip_family: Ints, *, both_sides: bool = False) -> Ints:
    """The family of each branch: the one that all tips below it share.

    Parameters
    ----------
    parent : array_like of int, shape (n_nodes,)
    tip_family : ndarray of int64, shape (n_tips,)
        Any whole numbers of at least -1.
    both_sides : bool
        Whether it is enough that all tips on either side share one, as
        befits a tree without a root.

    Returns
    -------
    ndarray of int64, shape (n_nodes,)
        -2 where there is none. O(n_nodes * families).
    """
    up = np.asarray(parent, dtype=np.int64).tolist()
    n_tips = len(tip_family)
    kinds, code = np.unique(tip_family, return_inverse=True)
    counts = np.zeros((len(up), len(kinds)), dtype=np.int64)
    counts[np.arange(n_tips), code.ravel()] = 1
    for v in range(len(up) - 1):
        counts[up[v]] += counts[v]
    family = np.full(len(up), -2, dtype=np.int64)
    sides = [counts[-1] - counts, counts] if both_sides else [counts]
    for side in sides:
        pure = (side > 0).sum(axis=1) == 1
        family[pure] = kinds[side[pure].argmax(axis=1)]
    return family


def scale_bar(span: float) -> float:
    """A length of 1, 2 or 5 times a power of ten, between a tenth and a quarter of `span`."""
    if not (span > 0 and math.isfinite(span)):
        return 0.0
    target = span / 4
    power = 10.0 ** math.floor(math.log10(target))
    return max((m * power for m in (1, 2, 5) if m * power <= target), default=power)


def _tips_below(parent: ArrayLike, n_tips: int) -> list[int]:
    up = np.asarray(parent, dtype=np.int64).tolist()
    tips = [1] * n_tips + [0] * (len(up) - n_tips)
    for v in range(len(up) - 1):
        tips[up[v]] += tips[v]
    return tips


def _by_node(walk: Preorder, values: Floats) -> Floats:
    out = np.empty_like(values)
    out[walk.node] = values
    return out


def _as_xy(walk: Preorder, z: np.ndarray[tuple[int], np.dtype[np.complex128]]) -> Floats:
    moved = z - z[0]
    xy = np.empty((len(z), 2))
    xy[walk.node, 0] = moved.real
    xy[walk.node, 1] = moved.imag
    return xy


def _with_floor(lengths: Floats) -> Floats:
    longest = float(lengths.max(initial=0.0))
    return np.maximum(lengths, _FLOOR * longest if longest > 0 else 1.0)


def _equal_angle(
    walk: Preorder, lengths: Floats, n_tips: int
) -> np.ndarray[tuple[int], np.dtype[np.complex128]]:
    n = len(walk.node)
    above = walk.parent.tolist()
    is_tip: Bools = walk.node < n_tips
    tips_before = np.concatenate([[0], np.cumsum(is_tip)])
    # The wedge of a subtree holds the tips first..last-1 of n_tips that share the full circle.
    first = tips_before[:-1]
    last = tips_before[np.arange(n) + walk.size]
    steps = lengths[walk.node] * np.exp(1j * np.pi * (first + last) / n_tips)
    z: list[complex] = [0j] * n
    for place, step in enumerate(steps.tolist()):
        if place:
            z[place] = z[above[place]] + step
    return np.array(z, dtype=np.complex128)


def _euler(walk: Preorder) -> tuple[Ints, Ints]:
    """Times at which a walk around the tree enters and leaves each place."""
    n = len(walk.node)
    above = walk.parent.tolist()
    depth = [0] * n
    for place in range(1, n):
        depth[place] = depth[above[place]] + 1
    places = np.arange(n)
    # Before a place is entered, `place` others were, and all but its ancestors were left.
    enter = 2 * places - np.array(depth)
    return enter, enter + 2 * walk.size - 1


def _balance(
    z: np.ndarray[tuple[int], np.dtype[np.complex128]],
    walk: Preorder,
    euler: tuple[Ints, Ints],
    place: int,
    kids: list[int],
    part: float,
) -> float:
    """Turn the subtrees around a place towards equal daylight; returns the largest turn."""
    end = place + int(walk.size[place])
    sight = np.angle(z - z[place])
    # Along a branch that does not touch the place, the line of sight turns by less than half
    # a circle; summed along paths these turns give sights that do not jump at +-pi.
    turn = sight - sight[walk.parent]
    turn -= 2 * np.pi * np.round(turn / (2 * np.pi))
    turn[[0, place, *kids]] = 0.0
    steps = np.zeros(2 * len(z))
    steps[euler[0]] = turn
    steps[euler[1]] = -turn
    path = np.cumsum(steps)[euler[0]]

    arcs = []
    if place:
        up = int(walk.parent[place])
        rest = np.concatenate([path[:place], path[end:]]) - path[up]
        arcs.append((sight[up] + rest.min(), float(np.ptp(rest))))
    for kid in kids:
        seen = path[kid : kid + int(walk.size[kid])] - path[kid]
        arcs.append((sight[kid] + seen.min(), float(np.ptp(seen))))
    light = 2 * np.pi - sum(width for _, width in arcs)
    if light < 0:
        return 0.0

    # Invariant: `by` is what the arcs so far need; the first arc stays where it is. A gap lies
    # between none and all of the light, so one taken from angles is the nearest to half of it.
    largest, by = 0.0, 0.0
    fixed = kids if place else kids[1:]
    for kid, (before, width), (start, _) in zip(fixed, arcs, arcs[1:], strict=False):
        gap = light / 2 + math.remainder(start - before - width - light / 2, 2 * math.pi)
        by += light / len(arcs) - gap
        now = part * by
        below = slice(kid, kid + int(walk.size[kid]))
        z[below] = z[place] + (z[below] - z[place]) * complex(math.cos(now), math.sin(now))
        largest = max(largest, abs(now))
    return largest
