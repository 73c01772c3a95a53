"""Names on a ring around an unrooted tree: room for all of them, however crowded the tips."""

from __future__ import annotations

import numpy as np

from pyphylo.plot._labels import Labels
from pyphylo.plot._slots import branches_crossed, choose_slots
from pyphylo.plot._types import Floats, Ints

__all__ = ["ring", "ring_labels"]

_SAMPLES = 2048
_SMOOTHING = 0.2
"""Standard deviation (radians) of the Gaussian that rounds the ring's corners."""

_FINE = 5
"""Slots to a label: how finely a label can be shifted along the ring."""

_BEND = 0.3
"""Cost of a leader at a right angle to its tip's branch, or to its label."""

_CROSSING = 1.0
"""Cost of a leader that crosses a branch; a leader as long as the ring's radius costs 1."""


def ring_labels(
    nodes: Floats,
    tips: Floats,
    angle: Floats,
    order: Ints,
    branches: Floats,
    pitch: float,
    margin: float,
) -> tuple[Labels, float]:
    """Labels on a convex ring around a tree, in the order in which the tips follow each other.

    Each label stands across the ring. Ways out from the tips that cross no branch reach
    the ring in the tips' order, so labels keep it; within that, and at a distance of
    `pitch`, they are where their leaders, straight lines from the tips, are cheapest in all:
    short, with few bends and next to no branch in the way. Where the ring is too short for
    all, every second is left out, or two of three, and so on.

    Parameters
    ----------
    nodes : ndarray of float64, shape (n_nodes, 2)
        What the ring goes around, in points.
    tips : ndarray of float64, shape (n, 2)
    angle : ndarray of float64, shape (n,)
        Directions of the tips' branches, in radians.
    order : ndarray of int64, shape (n,)
        The tips, counterclockwise.
    branches : ndarray of float64, shape (m, 4)
        ``x0, y0, x1, y1`` of each.
    pitch, margin : float
        Least distance between labels, and between tree and ring, in points.

    Returns
    -------
    labels : Labels
    strain : float
        Mean cost of a leader: what the layout of the tree asks of its names. O(n * m + n * slots).
    """
    points, normal, along = ring(nodes, margin)
    perimeter = float(along[-1])
    every = max(1, int(np.ceil(len(order) * pitch / perimeter)))
    shown = order[: len(order) - len(order) % every or None : every]

    n_slots = max(int(_FINE * perimeter / pitch), _FINE * len(shown))
    place = perimeter * np.arange(n_slots) / n_slots
    slots = np.stack([np.interp(place, along, points[:, axis]) for axis in (0, 1)], axis=1)
    facing = np.interp(place, along, normal)
    radius = perimeter / (2 * np.pi)
    cost = np.stack(
        [_leader_cost(tips[t], angle[t], branches, slots, facing, radius) for t in shown.tolist()]
    )
    chosen = choose_slots(cost, _FINE)

    start, direction = np.array(tips), np.array(angle)
    placed = np.zeros(len(tips), dtype=np.bool_)
    start[shown], direction[shown], placed[shown] = slots[chosen], facing[chosen], True
    strain = float(cost[np.arange(len(shown)), chosen].mean())
    return Labels(start, direction, placed), strain


def ring(nodes: Floats, margin: float) -> tuple[Floats, Floats, Floats]:
    """A smooth convex curve around points.

    The support function of the points (how far they reach in each direction) is smoothed,
    which keeps it the support function of a convex body, and raised until it covers
    the points again, by `margin` at least.

    Returns
    -------
    points : ndarray of float64, shape (m + 1, 2)
        Counterclockwise; the last is the first.
    normal : ndarray of float64, shape (m + 1,)
        Direction outwards at each, in radians, growing.
    along : ndarray of float64, shape (m + 1,)
        Length of the curve up to each.
    """
    normal = np.linspace(0, 2 * np.pi, _SAMPLES + 1)
    out = np.stack([np.cos(normal), np.sin(normal)], axis=1)
    reach = (nodes @ out[:-1].T).max(axis=0)
    waves = np.arange(_SAMPLES // 2 + 1)
    spectrum = np.fft.rfft(reach) * np.exp(-0.5 * (waves * _SMOOTHING) ** 2)
    smooth = np.fft.irfft(spectrum, _SAMPLES)
    slope = np.fft.irfft(spectrum * 1j * waves, _SAMPLES)
    smooth += max(float((reach - smooth).max()), 0.0) + margin
    smooth, slope = np.append(smooth, smooth[0]), np.append(slope, slope[0])
    points = smooth[:, None] * out + slope[:, None] * np.stack([-out[:, 1], out[:, 0]], axis=1)
    steps = np.hypot(*np.diff(points, axis=0).T)
    return points, normal, np.concatenate([[0.0], np.cumsum(steps)])


def _leader_cost(
    tip: Floats, angle: float, branches: Floats, slots: Floats, facing: Floats, radius: float
) -> Floats:
    """Cost of a straight line from a tip to each slot."""
    way = slots - tip
    length = np.hypot(way[:, 0], way[:, 1])
    towards = np.arctan2(way[:, 1], way[:, 0])
    bends = 2 - np.cos(towards - angle) - np.cos(towards - facing)
    crossed = branches_crossed(tip, branches, slots)
    cost: Floats = (length / radius) ** 2 + _BEND * bends + _CROSSING * crossed
    return cost
