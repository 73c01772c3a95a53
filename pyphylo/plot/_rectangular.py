"""The rectangular phylogram."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pyphylo.plot._canvas import FOOT, Canvas, Legend, new_axes, support_level
from pyphylo.plot._drawing import MIN_FONT, Drawing, font_size, line_width, stroke, support_size
from pyphylo.plot._layout import branch_family, elbows, rectangular, scale_bar, tip_order
from pyphylo.plot._style import INK
from pyphylo.plot._text import fit_text, font, text_width
from pyphylo.plot._types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_rectangular"]

_PITCH = 1.28
"""Distance between tips, in font sizes."""

_TALLEST = 24 * 72.0
_WIDTH = 7.5 * 72.0
_NAME_SHARE = 0.45
"""Share of the width that a name may take before it is cut."""


def draw_rectangular(drawing: Drawing, ax: Axes | None, title: str | None) -> Canvas:
    """Draw a tree from its root on the left to its tips on the right.

    The axes' coordinates are the distance from the root and the number of the tip.
    """
    n = drawing.n_tips
    canvas = Canvas(new_axes(*_size(drawing), title=title) if ax is None else ax)
    furniture = _furniture(min(font_size(n), canvas.height / 12))
    legend = Legend.flow(drawing.style, canvas.width, furniture)
    foot = FOOT * furniture
    pitch = max(canvas.height - legend.height - foot, 20.0) / n
    size = float(np.clip(pitch / _PITCH, MIN_FONT, 9.5))
    every = max(1, math.ceil(MIN_FONT * 1.1 / pitch))

    x, y = rectangular(drawing.walk, drawing.lengths, n)
    order = tip_order(drawing.walk, n)
    shown = order[::every]
    marker = min(0.5 * size, 0.75 * pitch)
    gap = 0.5 * marker + 0.45 * size
    names = {int(t): fit_text(drawing.names[t], size, _NAME_SHARE * canvas.width) for t in shown}
    # Names closer than the font is high would cover branches: they go into a column of their own.
    column = every > 1
    at = np.full(n, x.max()) if column else x[:n]
    scale = _points_per_unit(at, names, size, canvas.width - gap - marker)
    left = 0.5 * marker / scale
    canvas.ax.set_xlim(-left, canvas.width / scale - left)
    canvas.ax.set_ylim(n - 0.5 + foot / pitch, -0.5 - legend.height / pitch)

    _branches(canvas, drawing, x, y)
    if column:
        colours = [drawing.style.colour(int(code)) for code in drawing.style.code[shown]]
        lines = np.stack([x[shown] + gap / scale, y[shown], at[shown], y[shown]], axis=1)
        stroke(canvas.ax, lines, colours, 0.25, alpha=0.5, zorder=0.9)
    _tips(canvas, drawing, x, y, marker)
    for tip, name in names.items():
        canvas.ax.text(
            float(at[tip]) + gap / scale,
            float(y[tip]) + 0.36 * size / pitch,
            name,
            color=drawing.style.text_colour(int(drawing.style.code[tip])),
            fontproperties=font(size),
            va="baseline",
            parse_math=False,
        )
    if len(drawing.supported):
        _support(canvas, drawing, x, y, size)
        if not column:
            _support_numbers(canvas, drawing, x, y, scale, size)
    canvas.legend(legend, drawing.style)
    _foot(canvas, drawing, x, scale, furniture, every)
    return canvas


def _size(drawing: Drawing) -> tuple[float, float]:
    """Width and height in points of axes that suit a tree."""
    size = font_size(drawing.n_tips)
    rows = max(drawing.n_tips, 3) * size * _PITCH
    legend = Legend.flow(drawing.style, _WIDTH, _furniture(size))
    return _WIDTH, min(rows + legend.height + FOOT * _furniture(size), _TALLEST)


def _furniture(size: float) -> float:
    """Font size of the legend, scale bar and notes."""
    return float(np.clip(size + 0.8, 6.5, 9.0))


def _points_per_unit(x: Floats, names: dict[int, str], size: float, width: float) -> float:
    """The largest scale at which every name ends inside `width` points."""
    tips = np.array(list(names))
    room = width - np.array([text_width(name, size) for name in names.values()])
    far = x[tips] > 0
    scales = room[far] / x[tips][far]
    return float(scales.min(initial=width / x.max())) if x.max() > 0 else width


def _branches(canvas: Canvas, drawing: Drawing, x: Floats, y: Floats) -> None:
    family = branch_family(drawing.parent, drawing.style.code)
    colours = [drawing.style.colour(int(code)) for code in family]
    stroke(
        canvas.ax,
        elbows(drawing.parent, drawing.n_tips, x, y),
        colours[:-1] + colours[drawing.n_tips :],
        line_width(drawing.n_tips),
        capstyle="projecting",
    )


def _tips(canvas: Canvas, drawing: Drawing, x: Floats, y: Floats, size: float) -> None:
    for tips, style in drawing.tip_marks():
        xy = np.stack([x[tips], y[tips]], axis=1)
        canvas.dots(xy, size, transform=canvas.ax.transData, **style)


def _support(canvas: Canvas, drawing: Drawing, x: Floats, y: Floats, size: float) -> None:
    """A dot at every node that has a support."""
    nodes = drawing.supported
    levels = support_level(drawing.support[nodes])
    xy = np.stack([x[nodes], y[nodes]], axis=1)
    canvas.support_dots(
        xy, levels, support_size(drawing.n_tips, size), transform=canvas.ax.transData
    )


def _support_numbers(
    canvas: Canvas, drawing: Drawing, x: Floats, y: Floats, scale: float, size: float
) -> None:
    """The support in numbers, where the branch has room for it."""
    small = max(MIN_FONT, 0.72 * size)
    for node in drawing.supported.tolist():
        text = f"{100 * drawing.support[node]:.0f}"
        room = scale * (x[node] - x[drawing.parent[node]]) - 0.5 * size
        if text_width(text, small) + 1 <= room:
            canvas.ax.annotate(
                text,
                (x[node], y[node]),
                xytext=(-0.32 * size, 1.2),
                textcoords="offset points",
                ha="right",
                va="baseline",
                color=INK,
                fontproperties=font(small),
                parse_math=False,
            )


def _foot(
    canvas: Canvas, drawing: Drawing, x: Floats, scale: float, size: float, every: int
) -> None:
    bar = scale_bar(float(x.max())) if drawing.to_scale else 0.0
    end = 0.0
    if bar:
        end = canvas.scale_bar(bar * scale, f"{bar:g} {drawing.unit}".rstrip(), size) + 2 * size
    if len(drawing.supported):
        end = canvas.support_key(end, size)
    notes = list(drawing.notes)
    if every > 1:
        notes.append(f"1 name in {every} shown")
    canvas.note(notes, size, end)
