"""Names around an unrooted tree, none over another: pure numpy, in points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo.plot._types import Bools, Floats, Ints

__all__ = ["Labels", "box_corners", "place_labels"]

_CELL = 1.0
"""Side of a cell of the map of what is taken, in points."""

_PUSHES = np.unique(np.round(np.concatenate([np.arange(0, 24, 3), np.geomspace(24, 60, 6)])))
"""How far out a label may move, in points."""

_TURNS = np.deg2rad([0, 6, -6, 12, -12, 20, -20, 30, -30, 42, -42, 56, -56, 70, -70])
"""How far a label may turn away from its branch."""

_TURN_COST = 70.0
"""Points of moving out that one radian of turning is worth."""

_AIR = 0.7
"""Space kept free on either side of a label, in points."""


@dataclass(frozen=True)
class Labels:
    """Where labels go.

    Parameters
    ----------
    start : ndarray of float64, shape (n, 2)
        Middle of the end of each label that faces its tip.
    angle : ndarray of float64, shape (n,)
        Direction in which each label runs from there, in radians.
    placed : ndarray of bool, shape (n,)
        False for a label for which there is no room.
    """

    start: Floats
    angle: Floats
    placed: Bools


def place_labels(
    tips: Floats,
    angle: Floats,
    widths: Floats,
    height: float,
    gap: float,
    branches: Floats,
) -> Labels:
    """Find room for a label at every tip.

    A label runs on in the direction of its tip's branch. Where that is taken by a
    branch or a label, it moves out and turns, as little as will do; the line back to
    its tip must be free too. Labels are set from the outermost tip inwards.

    Parameters
    ----------
    tips : ndarray of float64, shape (n, 2)
    angle : ndarray of float64, shape (n,)
        Directions of the tips' branches, in radians.
    widths : ndarray of float64, shape (n,)
    height, gap : float
        Height of a label, and distance from tip to label, in points.
    branches : ndarray of float64, shape (m, 4)
        ``x0, y0, x1, y1`` of what no label may cover.

    Returns
    -------
    Labels
    """
    taken = _Taken(tips, branches, float(widths.max(initial=0.0)) + _PUSHES[-1] + gap + height)
    for tip in tips:
        taken.add(_disc(tip, gap * 0.7))
    # Until its label is set, each tip keeps the way out along its branch free for it.
    exits = [_ray(tip, a, 0.0, gap + height) for tip, a in zip(tips, angle, strict=True)]
    for way in exits:
        taken.add(way)
    pushes, turns = (grid.ravel() for grid in np.meshgrid(_PUSHES, _TURNS))
    cost = pushes + _TURN_COST * np.abs(turns)
    ranked = np.argsort(cost, kind="stable")
    pushes, turns = pushes[ranked], turns[ranked]

    start, direction = np.array(tips), np.array(angle)
    placed = np.zeros(len(tips), dtype=np.bool_)
    centre = tips.mean(axis=0) if len(tips) else np.zeros(2)
    for i in np.argsort(-np.hypot(*(tips - centre).T), kind="stable"):
        taken.remove(exits[i])
        taken.remove(_disc(tips[i], gap * 0.7))
        outline = _outline(float(widths[i]), height)
        found = _first_free(taken, tips[i], angle[i] + turns, pushes + gap, outline, gap)
        taken.add(_disc(tips[i], gap * 0.7))
        if found < 0:
            continue
        direction[i] = angle[i] + turns[found]
        along = np.array([np.cos(direction[i]), np.sin(direction[i])])
        start[i] = tips[i] + (gap + pushes[found]) * along
        placed[i] = True
        taken.add(_filled(start[i], direction[i], float(widths[i]), height))
        taken.add(_ray(tips[i], direction[i], 0.0, gap + pushes[found]))
    return Labels(start, direction, placed)


def box_corners(start: Floats, angle: Floats, widths: Floats, height: float) -> Floats:
    """Corners of each label, shape (n, 4, 2)."""
    along = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=-1) * height / 2
    end = start + along * widths[:, None]
    return np.stack([start - across, end - across, end + across, start + across], axis=1)


def _first_free(
    taken: _Taken, tip: Floats, angles: Floats, reach: Floats, outline: Floats, gap: float
) -> int:
    """The first of the candidates whose label and line back to the tip are free; -1: none."""
    batch = 24
    for first in range(0, len(angles), batch):
        part = slice(first, first + batch)
        along = np.exp(1j * angles[part])[:, None]
        points = complex(*tip) + along * (
            reach[part, None] + outline[None, :, 0] + 1j * outline[None, :, 1]
        )
        free = ~taken.any(points)
        for k in np.flatnonzero(free):
            way = _ray(tip, float(angles[first + k]), gap * 0.8, float(reach[first + k]))
            if not taken.any(way[None, :])[0]:
                return first + int(k)
    return -1


class _Taken:
    """A map of cells: how many things cover each."""

    def __init__(self, tips: Floats, branches: Floats, margin: float) -> None:
        points = np.concatenate([tips, branches[:, :2], branches[:, 2:]])
        self._low = points.min(axis=0) - margin
        shape = np.ceil((points.max(axis=0) + margin - self._low) / _CELL).astype(int) + 2
        self._count: NDArray[np.int16] = np.zeros(shape, dtype=np.int16)
        for x0, y0, x1, y1 in branches:
            steps = max(2, int(2 * np.hypot(x1 - x0, y1 - y0) / _CELL) + 1)
            t = np.linspace(0, 1, steps)
            self.add((x0 + t * (x1 - x0)) + 1j * (y0 + t * (y1 - y0)))

    def add(self, points: NDArray[np.complex128]) -> None:
        """Cover the cells that the points lie in."""
        self._count.ravel()[np.unique(self._cells(points))] += 1

    def remove(self, points: NDArray[np.complex128]) -> None:
        """Undo `add`."""
        self._count.ravel()[np.unique(self._cells(points))] -= 1

    def any(self, points: NDArray[np.complex128]) -> Bools:
        """Whether any point of each row lies in a covered cell."""
        hit: Bools = np.any(self._count.ravel()[self._cells(points)] > 0, axis=1)
        return hit

    def _cells(self, points: NDArray[np.complex128]) -> Ints:
        column = ((points.real - self._low[0]) / _CELL).astype(np.int64)
        row = ((points.imag - self._low[1]) / _CELL).astype(np.int64)
        cells: Ints = column * self._count.shape[1] + row
        return cells


def _ray(tip: Floats, angle: float, first: float, last: float) -> NDArray[np.complex128]:
    steps = np.arange(first, max(last, first + _CELL), _CELL / 2)
    points: NDArray[np.complex128] = complex(*tip) + steps * np.exp(1j * angle)
    return points


def _disc(tip: Floats, radius: float) -> NDArray[np.complex128]:
    ring = radius * np.exp(2j * np.pi * np.arange(12) / 12)
    return complex(*tip) + np.concatenate([[0], ring / 2, ring])


def _outline(width: float, height: float) -> Floats:
    """Points on the rim and the middle line of a label that starts at the origin."""
    half = height / 2 + _AIR
    x = np.arange(-_AIR, width + _AIR + _CELL, _CELL)
    ends = np.arange(-half, half + _CELL, _CELL)
    lines = [np.stack([x, np.full_like(x, y)], axis=1) for y in (-half, 0.0, half)]
    caps = [np.stack([np.full_like(ends, e), ends], axis=1) for e in (x[0], x[-1])]
    return np.concatenate([*lines, *caps])


def _filled(start: Floats, angle: float, width: float, height: float) -> NDArray[np.complex128]:
    """Points all over a label, half a cell apart."""
    x = np.arange(0, width + _CELL / 2, _CELL / 2)
    y = np.linspace(-height / 2, height / 2, max(2, int(2 * height / _CELL) + 1))
    grid = (x[:, None] + 1j * y[None, :]).ravel()
    points: NDArray[np.complex128] = complex(*start) + grid * np.exp(1j * angle)
    return points
