"""Names around an unrooted tree, none over another: pure numpy, in points."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo.plot._types import Bools, Floats, Ints

__all__ = ["Labels", "Tips", "box_corners", "place_labels", "pull_labels"]

_CELL = 1.0
"""Side of a cell of the map of what is taken, in points."""

_PUSHES = np.unique(np.round(np.concatenate([np.arange(0, 24, 3), np.geomspace(24, 60, 6)])))
"""How far out a label may move, in points."""

_TURNS = np.deg2rad([0, 6, -6, 12, -12, 20, -20, 30, -30, 42, -42, 56, -56, 70, -70])
"""How far a label may turn away from its branch."""

_TURN_COST = 70.0
"""Points of moving out that one radian of turning is worth."""

_NEAT_PUSH = 12.0
_NEAT_TURN = np.deg2rad(20) + 1e-9
"""The most that a label with a place to fall back to moves out and turns."""

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


@dataclass(frozen=True)
class Tips:
    """The tips that labels belong to, in points.

    Parameters
    ----------
    xy : ndarray of float64, shape (n, 2)
    angle : ndarray of float64, shape (n,)
        Directions of the tips' branches, in radians.
    widths : ndarray of float64, shape (n,)
        Widths of the labels.
    height, gap : float
        Height of a label, and distance from tip to label.
    branches : ndarray of float64, shape (m, 4)
        ``x0, y0, x1, y1`` of what no label may cover.
    """

    xy: Floats
    angle: Floats
    widths: Floats
    height: float
    gap: float
    branches: Floats


def place_labels(tips: Tips) -> Labels:
    """Find room for a label at every tip.

    A label runs on in the direction of its tip's branch. Where that is taken by a
    branch or a label, it moves out and turns, as little as will do; the line back to
    its tip must be free too. Labels are set from the outermost tip inwards.
    """
    n = len(tips.xy)
    # Until its label is set, each tip keeps the way out along its branch free for it.
    ways = [
        _ray(tip, angle, 0.0, tips.gap + tips.height)
        for tip, angle in zip(tips.xy, tips.angle, strict=True)
    ]
    labels = Labels(np.array(tips.xy), np.array(tips.angle), np.zeros(n, dtype=np.bool_))
    _set(labels, np.ones(n, dtype=np.bool_), tips, ways, _moves(np.inf, np.inf))
    return labels


def pull_labels(labels: Labels, movable: Bools, tips: Tips) -> tuple[Labels, Bools]:
    """Take labels to their tips where there is room for them, and leave the others.

    As `place_labels`, but a label moves out and turns only a little, and covers no label nor
    leader (line from tip to label) of those that stay.

    Parameters
    ----------
    labels : Labels
        Where labels are.
    movable : ndarray of bool, shape (n,)
        Labels that may be taken to their tips.
    tips : Tips

    Returns
    -------
    labels : Labels
    at_tip : ndarray of bool, shape (n,)
        Those that were taken there.
    """
    ways = [_with_leader(labels, i, tips) for i in range(len(tips.xy))]
    pulled = Labels(np.array(labels.start), np.array(labels.angle), np.array(labels.placed))
    return pulled, _set(pulled, movable, tips, ways, _moves(_NEAT_PUSH, _NEAT_TURN))


def box_corners(start: Floats, angle: Floats, widths: Floats, height: float) -> Floats:
    """Corners of each label, shape (n, 4, 2)."""
    along = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    across = np.stack([-along[:, 1], along[:, 0]], axis=-1) * height / 2
    end = start + along * widths[:, None]
    return np.stack([start - across, end - across, end + across, start + across], axis=1)


def _set(
    labels: Labels,
    movable: Bools,
    tips: Tips,
    ways: list[NDArray[np.complex128]],
    moves: tuple[Floats, Floats],
) -> Bools:
    """Set labels at their tips, from the outermost tip inwards; returns which were set.

    `ways` is what each tip keeps covered until its label is set; `labels` is written to.
    """
    gap, (pushes, turns) = tips.gap, moves
    room = float(tips.widths.max(initial=0.0)) + float(pushes.max()) + gap + tips.height
    taken = _Taken(np.concatenate([tips.xy, labels.start]), tips.branches, room)
    for tip, way in zip(tips.xy, ways, strict=True):
        taken.add(_disc(tip, gap * 0.7))
        taken.add(way)
    done = np.zeros(len(tips.xy), dtype=np.bool_)
    centre = tips.xy.mean(axis=0) if len(tips.xy) else np.zeros(2)
    for i in np.argsort(-np.hypot(*(tips.xy - centre).T), kind="stable").tolist():
        if not movable[i]:
            continue
        tip, width = tips.xy[i], float(tips.widths[i])
        taken.remove(ways[i])
        taken.remove(_disc(tip, gap * 0.7))
        outline = _outline(width, tips.height)
        found = _first_free(taken, tip, tips.angle[i] + turns, pushes + gap, outline, gap)
        taken.add(_disc(tip, gap * 0.7))
        if found < 0:
            if labels.placed[i]:
                taken.add(ways[i])
            continue
        angle, reach = float(tips.angle[i] + turns[found]), float(gap + pushes[found])
        labels.angle[i] = angle
        labels.start[i] = tip + reach * np.array([np.cos(angle), np.sin(angle)])
        labels.placed[i] = done[i] = True
        taken.add(_filled(labels.start[i], angle, width, tips.height))
        taken.add(_ray(tip, angle, 0.0, reach))
    return done


def _moves(furthest: float, widest: float) -> tuple[Floats, Floats]:
    """How far a label may move out and turn, what costs least first."""
    grid = np.meshgrid(_PUSHES[furthest >= _PUSHES], _TURNS[np.abs(_TURNS) <= widest])
    pushes, turns = (side.ravel() for side in grid)
    ranked = np.argsort(pushes + _TURN_COST * np.abs(turns), kind="stable")
    return pushes[ranked], turns[ranked]


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

    def __init__(self, points: Floats, branches: Floats, margin: float) -> None:
        points = np.concatenate([points, branches[:, :2], branches[:, 2:]])
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


def _with_leader(labels: Labels, i: int, tips: Tips) -> NDArray[np.complex128]:
    """Points all over a label and the line from its tip; none where it is not placed."""
    if not labels.placed[i]:
        return np.empty(0, dtype=np.complex128)
    tip = complex(*tips.xy[i])
    way = complex(*labels.start[i]) - tip
    line = tip + way * np.linspace(0, 1, max(2, int(2 * abs(way) / _CELL)))
    box = _filled(labels.start[i], float(labels.angle[i]), float(tips.widths[i]), tips.height)
    return np.concatenate([line, box])


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
