"""The unrooted tree."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pyphylo.plot._canvas import FOOT, Canvas, Legend, new_axes, room_for, support_level
from pyphylo.plot._drawing import MIN_FONT, Drawing, font_size, line_width, stroke, support_size
from pyphylo.plot._layout import branch_family, scale_bar
from pyphylo.plot._spread import GAP, WIDEST_NAME, Spread, first_scale, lay_out, spread
from pyphylo.plot._types import Floats, Ints

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_unrooted"]

_NARROWEST = 260.0


def draw_unrooted(drawing: Drawing, ax: Axes | None, title: str | None) -> Canvas:
    """Draw a tree without a root, names around it.

    The axes' coordinates are branch lengths in both directions.
    """
    size = _furniture(font_size(drawing.n_tips))
    if ax is None:
        canvas, legend, found = _on_own_figure(drawing, size, title)
    else:
        canvas = Canvas(ax)
        legend = Legend.flow(drawing.style, canvas.width, size)
        free = max(canvas.height - legend.height - FOOT * size, 20.0)
        found = _fitted(drawing, np.array([canvas.width, free]))

    free = canvas.height - legend.height - FOOT * size
    offset = (np.array([canvas.width, free]) - found.low - found.high) / 2
    offset[1] += FOOT * size
    found = _moved(found, offset)
    canvas.ax.set_xlim(-offset[0] / found.scale, (canvas.width - offset[0]) / found.scale)
    canvas.ax.set_ylim(-offset[1] / found.scale, (canvas.height - offset[1]) / found.scale)

    _leaders(canvas, drawing, found)
    _branches(canvas, drawing, found)
    _names(canvas, drawing, found)
    nodes = drawing.supported
    if len(nodes):
        levels = support_level(drawing.support[nodes])
        canvas.support_dots(found.xy[nodes], levels, support_size(drawing.n_tips, found.size))
    canvas.legend(legend, drawing.style)
    _foot(canvas, drawing, found, size)
    return canvas


def _furniture(size: float) -> float:
    return float(np.clip(size + 0.8, 6.5, 9.0))


def _on_own_figure(
    drawing: Drawing, size: float, title: str | None
) -> tuple[Canvas, Legend, Spread]:
    """The tree at a scale that suits it, and a canvas around it."""
    plane = lay_out(drawing, 1.35)
    found = spread(drawing, plane, first_scale(drawing, plane), font_size(drawing.n_tips))
    width, height = (found.high - found.low).tolist()
    width = max(width, _NARROWEST)
    legend = Legend.flow(drawing.style, width, size)
    return Canvas(new_axes(width, height + legend.height + FOOT * size, title)), legend, found


def _fitted(drawing: Drawing, room: Floats) -> Spread:
    """The tree at the largest scale, nearly, at which it and its names fit into `room` points."""
    plane = lay_out(drawing, float(room[0] / room[1]))
    extent = np.maximum(np.ptp(plane, axis=0), 1e-12)
    least = float(room.min())
    size = room_for(least, font_size(drawing.n_tips))
    widest = min(WIDEST_NAME, 0.28 * least)
    found = spread(drawing, plane, first_scale(drawing, plane), size, widest)
    for _ in range(6):
        around = (found.high - found.low) - extent * found.scale
        need = found.high - found.low
        if (need <= room + 0.5).all() and (need >= 0.97 * room).any():
            break
        scale = float(((room - around) / extent).min())
        scale = max(scale, 0.2 * found.scale, 0.1 * float((room / extent).min()))
        found = spread(drawing, plane, 0.995 * scale, size, widest)
    return found


def _moved(found: Spread, by: Floats) -> Spread:
    labels = replace(found.labels, start=found.labels.start + by)
    return replace(found, xy=found.xy + by, labels=labels, low=found.low + by, high=found.high + by)


def _branches(canvas: Canvas, drawing: Drawing, found: Spread) -> None:
    family = branch_family(drawing.parent, drawing.style.code, both_sides=True)
    colours = [drawing.style.colour(int(code)) for code in family[:-1]]
    segments = np.concatenate([found.xy[drawing.parent[:-1]], found.xy[:-1]], axis=1)
    width = line_width(drawing.n_tips)
    stroke(canvas.ax, segments, colours, width, canvas.points, capstyle="round")
    diameter = min(0.5 * found.size, 3.0) if found.names else 2.0
    for tips, style in drawing.tip_marks():
        canvas.dots(found.xy[tips], diameter, **style)


def _leaders(canvas: Canvas, drawing: Drawing, found: Spread) -> None:
    """Thin lines from tips to the labels that had to move out."""
    tips = found.xy[: len(found.labels.start)]
    away = np.hypot(*(found.labels.start - tips).T) > 2.2 * GAP * found.size
    moved: Ints = np.flatnonzero(found.labels.placed & away)
    end = (
        found.labels.start[moved]
        + 0.25
        * found.size
        * (tips[moved] - found.labels.start[moved])
        / np.maximum(np.hypot(*(tips[moved] - found.labels.start[moved]).T), 1e-9)[:, None]
    )
    segments = np.concatenate([tips[moved], end], axis=1)
    colours = [drawing.style.colour(int(code)) for code in drawing.style.code[moved]]
    stroke(canvas.ax, segments, colours, 0.35, canvas.points, zorder=0.9, alpha=0.5)


def _names(canvas: Canvas, drawing: Drawing, found: Spread) -> None:
    size = max(found.size, MIN_FONT)
    for tip in np.flatnonzero(found.labels.placed).tolist():
        colour = drawing.style.text_colour(int(drawing.style.code[tip]))
        start, angle = found.labels.start[tip], float(found.labels.angle[tip])
        canvas.turned(start, angle, found.names[tip], size, color=colour)


def _foot(canvas: Canvas, drawing: Drawing, found: Spread, size: float) -> None:
    bar = scale_bar(float(np.ptp(found.xy, axis=0).max()) / found.scale)
    end = 0.0
    if bar and drawing.to_scale and drawing.lengths.any():
        label = f"{bar:g} {drawing.unit}".rstrip()
        end = canvas.scale_bar(bar * found.scale, label, size) + 2 * size
    if len(drawing.supported):
        end = canvas.support_key(end, size)
    notes = list(drawing.notes)
    hidden = drawing.n_tips - int(found.labels.placed.sum())
    if hidden:
        notes.append(f"{hidden:,} of {drawing.n_tips:,} names left out")
    canvas.note(notes, size, end)
