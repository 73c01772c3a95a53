"""Axes measured in points, and the furniture of a tree: legend, scale bar, notes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo.plot._drawing import MIN_FONT
from pyphylo.plot._style import INK, MUTED, FamilyStyle
from pyphylo.plot._text import fit_text, font, text_width
from pyphylo.plot._types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

__all__ = ["FOOT", "Canvas", "Legend", "new_axes", "room_for", "support_level"]

_MARGIN = 10.0
_TITLE = 12.0
_ROW = 1.7
"""Height of a row of the legend, in font sizes."""

_ROWS = 8
"""Most rows of a legend."""

FOOT = 3.4
"""Height of what stands below a tree, in font sizes: two rows."""

_LEVELS = ((0.95, "#000000", "≥ 95"), (0.7, "#9A9A9A", "≥ 70"), (-np.inf, "#FFFFFF", "< 70"))
"""Least support, colour and name of the dots that show support."""


def new_axes(
    width: float,
    height: float,
    title: str | None,
    *,
    left: float = 0.0,
    bottom: float = 0.0,
    right: float = 0.0,
    top: float = 0.0,
) -> Axes:
    """Axes of a size in points on a figure of their own, with room around them and for a title."""
    from matplotlib.figure import Figure

    above = _MARGIN + (1.9 * _TITLE if title else 0) + top
    full_width = left + width + right + 2 * _MARGIN
    full_height = bottom + height + above + _MARGIN
    fig = Figure(figsize=(full_width / 72, full_height / 72), facecolor="white")
    return fig.add_axes(
        (
            (_MARGIN + left) / full_width,
            (_MARGIN + bottom) / full_height,
            width / full_width,
            height / full_height,
        ),
        facecolor="none",
    )


@dataclass(frozen=True)
class Legend:
    """Legend entries set in rows.

    Parameters
    ----------
    rows : list of list of (float, str, int or None)
        Place in the row in points, label and family code of each entry; no code: words alone.
    size : float
        Font size in points.
    """

    rows: list[list[tuple[float, str, int | None]]]
    size: float

    @classmethod
    def flow(cls, style: FamilyStyle, width: float, size: float) -> Legend:
        """Entries from left to right, in rows no wider than `width` points.

        Of more than `_ROWS` rows the first are kept, and it is said how many entries are not.
        """
        rows: list[list[tuple[float, str, int | None]]] = []
        x = np.inf
        for name, code in style.legend:
            label = fit_text(name, size, max(width - 2 * size, size))
            step = text_width(label, size) + 3.2 * size
            if x + step - 1.5 * size > width:
                rows.append([])
                x = 0.0
            rows[-1].append((x, label, code))
            x += step
        if len(rows) > _ROWS:
            hidden = sum(map(len, rows[_ROWS - 1 :]))
            rows = [*rows[: _ROWS - 1], [(0.0, f"and {hidden:,} more", None)]]
        return cls(rows, size)

    @property
    def height(self) -> float:
        """Height of all rows and the space below them, in points; 0 without entries."""
        return (len(self.rows) * _ROW + 0.8) * self.size if self.rows else 0.0


class Canvas:
    """Axes whose inside is drawn on in points, counted from the lower left corner.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        Cleared of its frame and ticks.
    least : float
        Axes that are smaller are drawn on as if they were so many points wide and high.
    """

    def __init__(self, ax: Axes, least: float = 40.0) -> None:
        from matplotlib.transforms import Affine2D

        ax.set_axis_off()
        box = ax.get_window_extent()
        scale = 72 / ax.figure.dpi
        self.ax = ax
        self.width = max(float(box.width) * scale, least)
        self.height = max(float(box.height) * scale, least)
        self.points: Transform = Affine2D().scale(1 / self.width, 1 / self.height) + ax.transAxes

    def text(self, x: float, y: float, text: str, size: float, **style: Any) -> None:
        """A line of text at a place in points, baseline at `y`."""
        style = {"color": INK, "va": "baseline", **style}
        self.ax.text(
            x, y, text, transform=self.points, fontproperties=font(size), parse_math=False, **style
        )

    def turned(self, at: Floats, angle: float, text: str, size: float, **style: Any) -> None:
        """A line of text that starts at a place and runs in a direction, never upside down.

        `at`, in points, is the middle of the end of the text that it starts from.
        """
        flip = math.cos(angle) < -1e-9
        reading = angle + math.pi if flip else angle
        # The baseline lies below the middle line, as seen by who reads the text.
        x = float(at[0]) + 0.36 * size * math.sin(reading)
        y = float(at[1]) - 0.36 * size * math.cos(reading)
        side = "right" if flip else "left"
        turn = {"rotation": math.degrees(reading), "rotation_mode": "anchor", "ha": side}
        self.text(x, y, text, size, **turn, **style)

    def dots(self, xy: Floats, size: float, *, marker: str = "o", **style: Any) -> None:
        """Markers of a diameter in points, at places in points."""
        style = {"linewidths": 0, "transform": self.points, **style}
        self.ax.scatter(xy[:, 0], xy[:, 1], s=size**2, marker=marker, clip_on=False, **style)

    def title(self, title: str | None, above: float = 0.0) -> None:
        """The title, cut to the width of the axes, `above` points and a little over them."""
        if title:
            self.ax.set_title(
                fit_text(title, _TITLE, self.width, limit=len(title), bold=True),
                loc="left",
                fontproperties=font(_TITLE, bold=True),
                color=INK,
                parse_math=False,
                pad=6,
                # In parts of the axes, as all else: a layout engine may move and scale them yet.
                y=1 + above / self.height,
            )

    def legend(self, legend: Legend, style: FamilyStyle, top: float | None = None) -> None:
        """The legend, from the top left corner down or from another height in points."""
        start = self.height if top is None else top
        for number, row in enumerate(legend.rows):
            y = start - (number + 0.8) * _ROW * legend.size
            for x, label, code in row:
                if code is None:
                    self.text(x, y - 0.36 * legend.size, label, legend.size, color=MUTED)
                    continue
                self.dots(
                    np.array([[x + 0.5 * legend.size, y]]),
                    0.9 * legend.size,
                    marker=style.marker(code),
                    color=style.colour(code),
                )
                self.text(x + 1.4 * legend.size, y - 0.36 * legend.size, label, legend.size)

    def scale_bar(self, width: float, label: str, size: float) -> float:
        """A scale bar in the lower left corner; returns where it ends, in points."""
        y = 0.7 * size
        x = [0.5, 0.5, 0.5, width + 0.5, width + 0.5, width + 0.5]
        ends = [y - 2, y + 2, y, y, y + 2, y - 2]
        self.ax.plot(x, ends, color=INK, lw=1, transform=self.points, clip_on=False)
        self.text(width + 0.7 * size, y - 0.36 * size, label, size)
        return width + 0.7 * size + text_width(label, size)

    def support_key(self, x: float, size: float) -> float:
        """What the dots of support mean, from `x` on; returns where it ends, in points."""
        y = 0.7 * size
        self.text(x, y - 0.36 * size, "support %", size)
        x += text_width("support %", size) + 0.9 * size
        for _, colour, label in _LEVELS:
            self.support_dots(np.array([[x, y]]), np.array([colour]), 0.6 * size)
            self.text(x + 0.7 * size, y - 0.36 * size, label, size)
            x += text_width(label, size) + 2.0 * size
        return x

    def support_dots(self, xy: Floats, colours: Any, size: float, **style: Any) -> None:
        """Dots in the colours of levels of support."""
        edge = min(0.5, 0.2 * size)
        self.dots(
            xy, size, facecolors=colours, edgecolors="#000000", linewidths=edge, zorder=3, **style
        )

    def note(self, notes: list[str], size: float, left: float) -> None:
        """Remarks in the lower right corner, above the foot's first row if `left` is too far."""
        text = "; ".join(notes)
        if text:
            room = self.width - left - size
            y = 0.34 * size if text_width(text, size) <= room else 2.0 * size
            text = fit_text(text, size, self.width, limit=len(text))
            self.text(self.width, y, text, size, ha="right", color=MUTED)


def room_for(least: float, size: float) -> float:
    """Font size of names on given axes with a smaller side of `least` points.

    In a small box long names in a large font would leave no room for what they name.
    """
    return float(np.clip(least / 45, MIN_FONT, max(size, MIN_FONT)))


def support_level(support: Floats) -> list[str]:
    """Colour of the dot of each support, given in parts of 1."""
    return [next(colour for least, colour, _ in _LEVELS if value >= least) for value in support]
