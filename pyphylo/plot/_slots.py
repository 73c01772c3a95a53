"""Which place of a closed curve each of a cyclic row of things is given."""

from __future__ import annotations

import numpy as np

from pyphylo.plot._types import Floats, Ints

__all__ = ["branches_crossed", "choose_slots", "slots_around"]

_ANCHORS = 4
"""Things that `choose_slots` tries to give their own best slot."""

_TOUCHING = 0.01
"""A branch that ends this near to a point, in points, starts there."""


def choose_slots(cost: Floats, apart: int) -> Ints:
    """Slots on a circle for things in a given cyclic order, at a low total cost.

    Parameters
    ----------
    cost : ndarray of float64, shape (n, n_slots)
        Cost of each slot for each thing; ``n * apart <= n_slots``.
    apart : int
        Least number of slots from one thing to the next.

    Returns
    -------
    ndarray of int64, shape (n,)
        The slots, which go once around in the order of the rows.

    Notes
    -----
    With the slot of one thing held, dynamic programming over the others finds the best in
    O(n * n_slots). A few things are held in their own best slot; from the best of these, all
    are turned together and others held in turn where they are, until nothing is gained.
    This need not end at the least cost of all: mostly where the circle is almost full, or where
    the order of the rows is not that of their best slots.
    """
    n, n_slots = cost.shape
    anchors = [k * n // _ANCHORS for k in range(min(n, _ANCHORS))]
    tries = [slots_around(cost, apart, anchor, int(cost[anchor].argmin())) for anchor in anchors]
    best, slots = min(tries, key=lambda found: found[0])
    held = 0
    while held < len(anchors):
        # On a full circle nothing can move with one held, but all can together.
        turned = np.mod(slots + np.arange(n_slots)[:, None], n_slots)
        slots = turned[int(cost[np.arange(n), turned].sum(axis=1).argmin())]
        anchor = (anchors[held] + n // (2 * _ANCHORS)) % n
        total, slots = slots_around(cost, apart, anchor, int(slots[anchor]))
        held = 0 if total < best * (1 - 1e-9) else held + 1
        best = min(best, total)
    return slots


def branches_crossed(origin: Floats, ends: Floats, targets: Floats) -> Ints:
    """How many branches the straight way from a point to far targets crosses.

    Parameters
    ----------
    origin : ndarray of float64, shape (2,)
    ends : ndarray of float64, shape (m, 4)
        ``x0, y0, x1, y1`` of each branch. Those that start at `origin` do not count.
    targets : ndarray of float64, shape (k, 2)
        Points beyond all branches.

    Returns
    -------
    ndarray of int64, shape (k,)
        O((m + k) log m): from the point a branch is seen as an arc, and a way crosses it
        when its direction lies in that arc.
    """
    away = ends - np.tile(origin, 2)
    apart = np.minimum(np.hypot(away[:, 0], away[:, 1]), np.hypot(away[:, 2], away[:, 3]))
    away = away[apart > _TOUCHING]
    first = np.arctan2(away[:, 1], away[:, 0])
    turn = np.arctan2(away[:, 3], away[:, 2]) - first
    turn -= 2 * np.pi * np.round(turn / (2 * np.pi))
    low, high = first + np.minimum(turn, 0), first + np.maximum(turn, 0)
    # The arcs begin and end within (-2 pi, 2 pi): a direction is met once in every turn.
    low, high = np.sort(low), np.sort(high)
    sight = np.arctan2(targets[:, 1] - origin[1], targets[:, 0] - origin[0])
    crossed = np.zeros(len(targets), dtype=np.int64)
    for shift in (-2 * np.pi, 0.0, 2 * np.pi):
        crossed += np.searchsorted(low, sight + shift) - np.searchsorted(high, sight + shift)
    return crossed


def slots_around(cost: Floats, apart: int, anchor: int, slot: int) -> tuple[float, Ints]:
    """The best slots of all that give one thing, the anchor, a certain slot.

    Returns
    -------
    total : float
        Their cost.
    slots : ndarray of int64, shape (n,)
    """
    n, n_slots = cost.shape
    turned = np.roll(np.roll(cost, -anchor, axis=0), -slot, axis=1)
    # Invariant: least[i, s] is the least cost of the things up to i with i at slot s or before.
    least = np.full((n, n_slots), np.inf)
    least[0] = turned[0, 0]
    for i in range(1, n):
        first, stop = i * apart, n_slots - (n - i) * apart + 1
        here = turned[i, first:stop] + least[i - 1, first - apart : stop - apart]
        least[i, first:stop] = np.minimum.accumulate(here)
        least[i, stop:] = least[i, stop - 1]
    slots = np.zeros(n, dtype=np.int64)
    edge = n_slots - apart
    for i in range(n - 1, 0, -1):
        # The first place at which the running minimum is what it is at the edge.
        slots[i] = np.searchsorted(-least[i], -least[i, edge])
        edge = int(slots[i]) - apart
    return float(least[n - 1, n_slots - apart]), np.roll(np.mod(slots + slot, n_slots), anchor)
