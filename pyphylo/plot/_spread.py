"""A tree without a root spread out in the plane, and the names around it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pyphylo.plot._drawing import Drawing, font_size
from pyphylo.plot._labels import Labels, Tips, box_corners, place_labels, pull_labels
from pyphylo.plot._layout import equal_angle, equal_daylight, tip_order, towards_daylight
from pyphylo.plot._ring import ring_labels
from pyphylo.plot._text import fit_text, text_width
from pyphylo.plot._types import Bools, Floats, Ints

__all__ = ["GAP", "WIDEST_NAME", "Spread", "first_scale", "lay_out", "spread"]

_MOST_NAMES = 400
"""Tips above which names are left out."""

_MOST_AT_TIPS = 60
"""Tips up to which all names are tried at the tips themselves before a ring is."""

_DAYLIGHT = 1.2e8
"""Nodes squared times sweeps of the daylight layout that a picture may cost."""

_MOST_SWEEPS = 30
"""By then most layouts have settled."""

_PARTS = (0.1, 0.1, 0.2, 0.3, 0.5, 1.0)
"""How far the sweeps go towards equal daylight, after each of which a layout is tried."""

_CROWDING = 0.4
"""Cost of a layout in which all tips lie on others; that of leaders is a few tenths."""

_RUN = 3
"""Least number of neighbours whose names leave the ring together."""

WIDEST_NAME = 150.0
_LARGEST = 1150.0
_HEIGHT = 1.1
"""Height of a label, in font sizes."""

GAP = 0.75
"""Distance from tip to label, in font sizes."""

_MARGIN = 2.0
"""Distance from tree to ring, in font sizes."""


@dataclass(frozen=True)
class Spread:
    """A tree spread out, in points.

    Parameters
    ----------
    xy : ndarray of float64, shape (n_nodes, 2)
    scale : float
        Points per unit of branch length.
    size : float
        Font size of the names.
    names : tuple of str
        As drawn; empty where there are none.
    labels : Labels
    low, high : ndarray of float64, shape (2,)
        Corners of what everything covers.
    """

    xy: Floats
    scale: float
    size: float
    names: tuple[str, ...]
    labels: Labels
    low: Floats
    high: Floats


def lay_out(drawing: Drawing, ratio: float) -> Floats:
    """Coordinates of the nodes, turned to fill a box of a ratio of sides.

    Equal angles leave every tip a free way out, but crowd tips; equal daylight spreads them,
    but may fold tips back towards the tree, out of reach for their names. Of some layouts
    between the two, the one is taken that crowds tips least and whose names would need the
    cheapest leaders (see `pyphylo.plot._ring.ring_labels`). Trees too large for names get
    equal daylight, or equal angles where that takes too long.

    Returns
    -------
    ndarray of float64, shape (n_nodes, 2)
        In units of branch length.
    """
    walk, lengths, n = drawing.walk, drawing.lengths, drawing.n_tips
    if n > _MOST_NAMES:
        sweeps = min(_MOST_SWEEPS, int(_DAYLIGHT / len(drawing.parent) ** 2))
        if sweeps:
            return _turned(equal_daylight(walk, lengths, n, sweeps), ratio)
        return _turned(equal_angle(walk, lengths, n), ratio)
    best, least = np.zeros((len(drawing.parent), 2)), np.inf
    for layout in towards_daylight(walk, lengths, n, _PARTS):
        plane = _turned(layout, ratio)
        scale, size = first_scale(drawing, plane), font_size(n)
        _, strain = _ring(drawing, plane, scale, size)
        strain += _CROWDING * _crowding(plane[:n] * scale, _HEIGHT * size)
        if strain < least:
            best, least = plane, strain
    return best


def first_scale(drawing: Drawing, plane: Floats) -> float:
    """A scale at which names should find room."""
    n = drawing.n_tips
    wanted = np.clip(0.55 * n * font_size(n), 230.0, _LARGEST)
    extent = float(np.ptp(plane, axis=0).max())
    return float(wanted) / extent if extent > 0 else 1.0


def spread(
    drawing: Drawing, plane: Floats, scale: float, size: float, widest: float = WIDEST_NAME
) -> Spread:
    """Set a tree of given coordinates at a scale, and names around it.

    Parameters
    ----------
    plane : ndarray of float64, shape (n_nodes, 2)
        In units of branch length.
    scale : float
        Points per unit.
    size, widest : float
        Font size, and width to which names are cut, in points.
    """
    n = drawing.n_tips
    xy = plane * scale
    named = n <= _MOST_NAMES
    names = tuple(fit_text(name, size, widest) for name in drawing.names) if named else ()
    widths = np.array([text_width(name, size) for name in names])
    angle = _tip_angles(drawing, plane)
    if named:
        labels = _labels(drawing, plane, scale, widths, size)
        boxes = box_corners(labels.start, labels.angle, widths, _HEIGHT * size)
        covered = np.concatenate([xy, boxes[labels.placed].reshape(-1, 2)])
    else:
        labels = Labels(xy[:n], angle, np.zeros(n, dtype=np.bool_))
        covered = xy
    low, high = covered.min(axis=0) - 2, covered.max(axis=0) + 2
    return Spread(xy, scale, size, names, labels, low, high)


def _labels(drawing: Drawing, plane: Floats, scale: float, widths: Floats, size: float) -> Labels:
    """Labels at the tips where there is room for all of them, else on a ring.

    From the ring, names go back to their tips where there is room for some neighbours.
    """
    n = drawing.n_tips
    xy = plane * scale
    angle, branches = _tip_angles(drawing, plane), _branches(drawing, xy)
    tips = Tips(xy[:n], angle, widths, _HEIGHT * size, GAP * size, branches)
    if n <= _MOST_AT_TIPS:
        labels = place_labels(tips)
        if labels.placed.all():
            return labels
    around, _ = _ring(drawing, plane, scale, size)
    movable = np.ones(n, dtype=np.bool_)
    while True:
        labels, at_tip = pull_labels(around, movable, tips)
        together = _in_runs(at_tip, tip_order(drawing.walk, n))
        if (together == at_tip).all():
            return labels
        # Fewer each time, so this ends.
        movable = together


def _ring(drawing: Drawing, plane: Floats, scale: float, size: float) -> tuple[Labels, float]:
    xy, n = plane * scale, drawing.n_tips
    order, angle = tip_order(drawing.walk, n), _tip_angles(drawing, plane)
    branches = _branches(drawing, xy)
    return ring_labels(xy, xy[:n], angle, order, branches, _HEIGHT * size, _MARGIN * size)


def _crowding(tips: Floats, pitch: float) -> float:
    """How much nearer than `pitch` tips are to the tip next to them: 0 for not, 1 for all."""
    apart = np.hypot(*(tips[:, None] - tips[None]).transpose(2, 0, 1))
    np.fill_diagonal(apart, np.inf)
    return float(np.maximum(1 - apart.min(axis=1) / pitch, 0.0).mean())


def _in_runs(chosen: Bools, order: Ints) -> Bools:
    """The chosen that follow each other, `_RUN` at least, on a circle."""
    row = chosen[order]
    kept = np.zeros_like(row)
    for first in range(_RUN):
        run = np.logical_and.reduce([np.roll(row, k - first) for k in range(_RUN)])
        kept |= run
    out = np.zeros_like(chosen)
    out[order] = kept
    return out


def _tip_angles(drawing: Drawing, plane: Floats) -> Floats:
    """Directions of the tips' branches."""
    n = drawing.n_tips
    along = plane[:n] - plane[drawing.parent[:n]]
    angle: Floats = np.arctan2(along[:, 1], along[:, 0])
    return angle


def _branches(drawing: Drawing, xy: Floats) -> Floats:
    return np.concatenate([xy[drawing.parent[:-1]], xy[:-1]], axis=1)


def _turned(plane: Floats, ratio: float) -> Floats:
    """The coordinates, turned to the angle at which they best fill a box of a ratio of sides."""
    best, least = plane, np.inf
    for angle in np.deg2rad(np.arange(0, 180, 5)):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        turned = plane @ turn
        width, height = np.ptp(turned, axis=0)
        need = max(width / ratio, height)
        if need < least * (1 - 1e-9):
            best, least = turned, need
    return best
