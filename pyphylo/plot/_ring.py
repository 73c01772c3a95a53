"""Names on a ring around an unrooted tree: room for all of them, however crowded the tips."""

from __future__ import annotations

import numpy as np

from pyphylo.plot._labels import Labels
from pyphylo.plot._types import Floats, Ints

__all__ = ["isotonic", "ring", "ring_labels", "space_out"]

_SAMPLES = 2048
_SMOOTHING = 0.2
"""Standard deviation (radians) of the Gaussian that rounds the ring's corners."""


def ring_labels(
    nodes: Floats, tips: Floats, angle: Floats, order: Ints, pitch: float, margin: float
) -> Labels:
    """Labels on a convex ring around a tree, in the order in which the tips follow each other.

    Each label stands across the ring. Among all ways to keep the order and a
    distance of `pitch`, labels take the one closest, in least squares, to where their tips'
    branches point. Where the ring is too short for all, every second is left out, or
    two of three, and so on.

    Parameters
    ----------
    nodes : ndarray of float64, shape (n_nodes, 2)
        What the ring goes around, in points.
    tips : ndarray of float64, shape (n, 2)
    angle : ndarray of float64, shape (n,)
        Directions of the tips' branches, in radians.
    order : ndarray of int64, shape (n,)
        The tips, counterclockwise.
    pitch, margin : float
        Least distance between labels, and between tree and ring, in points.

    Returns
    -------
    Labels
    """
    points, normal, along = ring(nodes, margin)
    perimeter = float(along[-1])
    every = max(1, int(np.ceil(len(order) * pitch / perimeter)))
    shown = order[: len(order) - len(order) % every or None : every]

    outwards = tips[shown] - points[:-1].mean(axis=0)
    outwards /= np.maximum(np.hypot(*outwards.T), 1e-9)[:, None]
    wanted = np.stack([np.cos(angle[shown]), np.sin(angle[shown])], axis=1) + outwards
    place = space_out(_seen_at(points, along, tips[shown], wanted), perimeter, pitch)

    start, direction = np.array(tips), np.array(angle)
    placed = np.zeros(len(tips), dtype=np.bool_)
    placed[shown] = True
    for axis in (0, 1):
        start[shown, axis] = np.interp(place, along, points[:, axis])
    direction[shown] = np.interp(place, along, normal)
    return Labels(start, direction, placed)


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


def space_out(wanted: Floats, perimeter: float, pitch: float) -> Floats:
    """Places on a closed curve, in the given order, at least `pitch` apart.

    Parameters
    ----------
    wanted : ndarray of float64, shape (n,)
        Where each would be best, in ``[0, perimeter)``; ``n * pitch <= perimeter``.
    perimeter, pitch : float

    Returns
    -------
    ndarray of float64, shape (n,)
        The places nearest to `wanted` in least squares, with the curve cut open where
        the wish leaves the widest gap. O(n) after a sort of the gaps.
    """
    n = len(wanted)
    gaps = np.diff(wanted, append=wanted[:1])
    gaps -= perimeter * np.round(gaps / perimeter)
    first = (int(np.argmax(gaps)) + 1) % n
    unrolled = wanted[first] + np.concatenate([[0.0], np.cumsum(np.roll(gaps, -first)[:-1])])
    # Less the room that those before it take, places only have to grow: isotonic regression.
    room = pitch * np.arange(n)
    slack = perimeter - n * pitch
    free = isotonic(unrolled - room)
    low = float(np.clip(np.median(free) - slack / 2, free[0], max(free[0], free[-1] - slack)))
    places = np.empty(n)
    places[(first + np.arange(n)) % n] = np.clip(free, low, low + max(slack, 0.0)) + room
    return np.mod(places, perimeter)


def isotonic(values: Floats) -> Floats:
    """The numbers nearest to `values` in least squares that never fall.

    Pool adjacent violators, O(n). `scipy.optimize.isotonic_regression` does the
    same, but importing it takes longer than drawing the tree.
    """
    # Invariant: the blocks' means grow, and each block is the best constant for its values.
    totals: list[float] = []
    counts: list[int] = []
    for value in values.tolist():
        total, count = value, 1
        while totals and totals[-1] * count >= total * counts[-1]:
            total += totals.pop()
            count += counts.pop()
        totals.append(total)
        counts.append(count)
    return np.repeat(np.array(totals) / np.array(counts), counts)


def _seen_at(points: Floats, along: Floats, tips: Floats, direction: Floats) -> Floats:
    """Where on the ring each tip looks in its direction."""
    sight = points[None, :-1] - tips[:, None]
    cross = direction[:, None, 0] * sight[..., 1] - direction[:, None, 1] * sight[..., 0]
    ahead = (direction[:, None] * sight).sum(axis=-1)
    off = np.abs(np.arctan2(cross, ahead))
    seen: Floats = along[off.argmin(axis=1)]
    return seen
