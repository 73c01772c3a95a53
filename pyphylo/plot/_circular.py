"""The tree around its root, with the names on a circle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyphylo.plot._canvas import FOOT, Canvas, Legend, new_axes, room_for, support_level
from pyphylo.plot._drawing import MIN_FONT, Drawing, font_size, line_width, stroke, support_size
from pyphylo.plot._labels import box_corners
from pyphylo.plot._layout import branch_family, rectangular, scale_bar, tip_order
from pyphylo.plot._text import fit_text, text_width
from pyphylo.plot._types import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["arc_path", "draw_circular", "polar"]

_PITCH = 1.2
"""Distance between names on the circle, in font sizes."""

_SMALLEST, _LARGEST = 150.0, 560.0
"""Radius of the circle on a figure of its own, in points."""

_WIDEST_NAME = 150.0
_NAME_SHARE = 0.25
"""Share of the smaller side of given axes that a name may take before it is cut."""

_NARROWEST = 260.0
_GAP = 0.7
"""Between the circle and its names, in font sizes."""

_HEIGHT = 1.1
"""Of a name, in font sizes."""

_QUARTER = math.pi / 4
"""Widest piece of an arc that one cubic curve is (it is off by 4e-6 of the radius)."""


@dataclass(frozen=True)
class _Ring:
    """Names around a circle, in points from its middle.

    Parameters
    ----------
    radius : float
        Of the circle that the farthest tips lie on.
    size : float
        Font size.
    shown : ndarray of int64
        Tips with a name.
    names : tuple of str
        Of these, as drawn.
    angle, start : ndarray of float64
        Of each: where it runs, shape (m,), and the middle of its near end, shape (m, 2).
    low, high : ndarray of float64, shape (2,)
        Corners of what everything covers.
    """

    radius: float
    size: float
    shown: Ints
    names: tuple[str, ...]
    angle: Floats
    start: Floats
    low: Floats
    high: Floats


def draw_circular(drawing: Drawing, ax: Axes | None, title: str | None) -> Canvas:
    """Draw a tree from its root in the middle to its tips outside.

    The axes' coordinates are branch lengths in both directions, the root at 0, 0.
    """
    size = float(np.clip(font_size(drawing.n_tips) + 0.8, 6.5, 9.0))
    r, angle = polar(drawing)
    if ax is None:
        radius = drawing.n_tips * font_size(drawing.n_tips) * _PITCH / (2 * math.pi)
        radius = float(np.clip(radius, _SMALLEST, _LARGEST))
        ring = _around(drawing, angle, radius, font_size(drawing.n_tips), _WIDEST_NAME)
        width, height = (ring.high - ring.low).tolist()
        width = max(width, _NARROWEST)
        legend = Legend.flow(drawing.style, width, size)
        canvas = Canvas(new_axes(width, height + legend.height + FOOT * size, title))
    else:
        canvas = Canvas(ax)
        legend = Legend.flow(drawing.style, canvas.width, size)
        free = max(canvas.height - legend.height - FOOT * size, 20.0)
        ring = _inside(drawing, angle, canvas.width, free)

    free = canvas.height - legend.height - FOOT * size
    centre = (np.array([canvas.width, free]) - ring.low - ring.high) / 2
    centre[1] += FOOT * size
    scale = ring.radius / (float(r.max()) or 1.0)
    canvas.ax.set_xlim(-centre[0] / scale, (canvas.width - centre[0]) / scale)
    canvas.ax.set_ylim(-centre[1] / scale, (canvas.height - centre[1]) / scale)

    xy = centre + scale * r[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    _leaders(canvas, drawing, ring, xy, centre)
    _branches(canvas, drawing, xy, scale * r, angle, centre)
    diameter = min(0.5 * ring.size, 0.6 * 2 * math.pi * ring.radius / drawing.n_tips)
    for tips, style in drawing.tip_marks():
        canvas.dots(xy[tips], max(diameter, 1.2), **style)
    _names(canvas, drawing, ring, centre)
    nodes = drawing.supported
    if len(nodes):
        canvas.support_dots(
            xy[nodes],
            support_level(drawing.support[nodes]),
            support_size(drawing.n_tips, ring.size),
        )
    canvas.legend(legend, drawing.style)
    _foot(canvas, drawing, ring, scale, size)
    return canvas


def polar(drawing: Drawing) -> tuple[Floats, Floats]:
    """Distance of each node from the root, and its direction in radians.

    The tips follow each other clockwise from the top, all as far apart; an inner node is in the
    middle between its first and its last child.
    """
    r, row = rectangular(drawing.walk, drawing.lengths, drawing.n_tips)
    return r, np.pi / 2 - 2 * np.pi * (row + 0.5) / drawing.n_tips


def arc_path(radius: Floats, start: Floats, stop: Floats, centre: Floats) -> tuple[Floats, Floats]:
    """Arcs around a point, as one path of cubic curves.

    Parameters
    ----------
    radius, start, stop : ndarray of float64, shape (m,)
        The arc from one angle to the other, in radians; at most once around.
    centre : ndarray of float64, shape (2,)

    Returns
    -------
    vertices : ndarray of float64, shape (k, 2)
    codes : ndarray of uint8, shape (k,)
        As matplotlib.path.Path takes them.
    """
    pieces = np.maximum(np.ceil(np.abs(stop - start) / _QUARTER), 1).astype(np.int64)
    arc = np.repeat(np.arange(len(radius)), pieces)
    part = np.arange(len(arc)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    step = ((stop - start) / pieces)[arc]
    first = start[arc] + part * step
    # The handles of a cubic curve that is nearest to an arc of this angle.
    handle = 4 / 3 * np.tan(step / 4)
    out = np.exp(1j * first), np.exp(1j * (first + step))
    corners = [out[0], out[0] * (1 + 1j * handle), out[1] * (1 - 1j * handle), out[1]]
    points = radius[arc, None] * np.stack(corners, axis=1)
    vertices = centre + np.stack([points.real, points.imag], axis=2).reshape(-1, 2)
    codes = np.tile(np.array([1, 4, 4, 4], dtype=np.uint8), len(arc))
    # A piece goes on where the one before it ended: its start is drawn only once.
    goes_on = np.repeat(part > 0, 4) & (codes == 1)
    return vertices[~goes_on], codes[~goes_on]


def _around(drawing: Drawing, angle: Floats, radius: float, largest: float, widest: float) -> _Ring:
    """The names at a circle of a radius: every one, or every second, and so on."""
    n = drawing.n_tips
    room = 2 * math.pi * radius
    every = max(1, math.ceil(1.1 * MIN_FONT * n / room))
    size = float(np.clip(room / n / _PITCH, MIN_FONT, largest))
    order = tip_order(drawing.walk, n)
    shown = order[: max(len(order) - len(order) % every, 1) : every]
    names = tuple(fit_text(drawing.names[tip], size, widest) for tip in shown.tolist())
    widths = np.array([text_width(name, size) for name in names])
    out = np.stack([np.cos(angle[shown]), np.sin(angle[shown])], axis=1)
    start = (radius + (_GAP + 0.25) * size) * out
    boxes = box_corners(start, angle[shown], widths, _HEIGHT * size).reshape(-1, 2)
    rim = np.array([[radius, radius], [-radius, -radius]])
    covered = np.concatenate([boxes, rim])
    low, high = covered.min(axis=0) - 2, covered.max(axis=0) + 2
    return _Ring(radius, size, shown, names, angle[shown], start, low, high)


def _inside(drawing: Drawing, angle: Floats, width: float, height: float) -> _Ring:
    """The largest circle, nearly, that fits with its names into a box of points."""
    least = min(width, height)
    widest = min(_WIDEST_NAME, _NAME_SHARE * least)
    radius, size = 0.5 * least, room_for(least, font_size(drawing.n_tips))
    ring = _around(drawing, angle, radius, size, widest)
    for _ in range(8):
        need = ring.high - ring.low
        if (need <= [width + 0.5, height + 0.5]).all():
            break
        over = float((need - [width, height]).max())
        radius = max(radius - 0.5 * over - 0.1, 0.15 * least)
        ring = _around(drawing, angle, radius, size, widest)
    return ring


def _branches(
    canvas: Canvas, drawing: Drawing, xy: Floats, r: Floats, angle: Floats, centre: Floats
) -> None:
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    family = branch_family(drawing.parent, drawing.style.code)
    width, up = line_width(drawing.n_tips), drawing.parent[:-1]
    out = np.stack([np.cos(angle), np.sin(angle)], axis=1)[:-1]
    along = np.concatenate([centre + r[up, None] * out, xy[:-1]], axis=1)
    colours = [drawing.style.colour(int(code)) for code in family]
    stroke(canvas.ax, along, colours[:-1], width, canvas.points, capstyle="projecting")

    low, high = angle.copy(), angle.copy()
    np.minimum.at(low, up, angle[:-1])
    np.maximum.at(high, up, angle[:-1])
    inner = np.arange(drawing.n_tips, len(r))
    for colour in sorted({colours[node] for node in inner}):
        mine = np.array([node for node in inner if colours[node] == colour])
        vertices, codes = arc_path(r[mine], low[mine], high[mine], centre)
        path = Path(vertices, codes)
        path.should_simplify = False
        patch = PathPatch(path, fill=False, edgecolor=colour, linewidth=width, capstyle="butt")
        patch.set_transform(canvas.points)
        patch.set_clip_on(False)
        canvas.ax.add_artist(patch)


def _leaders(canvas: Canvas, drawing: Drawing, ring: _Ring, xy: Floats, centre: Floats) -> None:
    """Thin lines from tips to names that stand farther out."""
    out = np.stack([np.cos(ring.angle), np.sin(ring.angle)], axis=1)
    start = xy[ring.shown] + 0.45 * ring.size * out
    end = centre + ring.start - 0.3 * ring.size * out
    far = ((end - start) * out).sum(axis=1) > ring.size
    lines = np.concatenate([start, end], axis=1)[far]
    colours = [drawing.style.colour(int(c)) for c in drawing.style.code[ring.shown[far]]]
    stroke(canvas.ax, lines, colours, 0.25, canvas.points, zorder=0.9, alpha=0.5)


def _names(canvas: Canvas, drawing: Drawing, ring: _Ring, centre: Floats) -> None:
    items = zip(ring.shown.tolist(), ring.names, ring.angle.tolist(), ring.start, strict=True)
    for tip, name, angle, start in items:
        colour = drawing.style.text_colour(int(drawing.style.code[tip]))
        canvas.turned(centre + start, angle, name, ring.size, color=colour)


def _foot(canvas: Canvas, drawing: Drawing, ring: _Ring, scale: float, size: float) -> None:
    bar = scale_bar(ring.radius / scale)
    end = 0.0
    if bar and drawing.to_scale and drawing.lengths.any():
        end = canvas.scale_bar(bar * scale, f"{bar:g} {drawing.unit}".rstrip(), size) + 2 * size
    if len(drawing.supported):
        end = canvas.support_key(end, size)
    notes = list(drawing.notes)
    every = round(drawing.n_tips / max(len(ring.shown), 1))
    if every > 1:
        notes.append(f"1 name in {every} shown")
    canvas.note(notes, size, end)
