"""Pictures of admixture graphs: the tree of the larger shares, and dashed edges from the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from pyphylo.errors import InputError
from pyphylo.plot._canvas import Canvas
from pyphylo.plot._drawing import MIN_FONT, Drawing, font_size, line_width
from pyphylo.plot._layout import rectangular
from pyphylo.plot._rectangular import draw_rectangular
from pyphylo.plot._style import readable
from pyphylo.plot._text import text_width
from pyphylo.plot._types import Bools, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyphylo.stats._admixture_graph import AdmixtureGraph

__all__ = ["admixture_figure", "plot_admixture"]

_COLOURS = ("#D55E00", "#0072B2", "#8800FF")
_BOWS = (26.0, 12.0, 50.0, 80.0, 120.0, 170.0)
"""How far an edge may swing out to the left before it comes in, in points; likeliest first."""
_LEANS = (0.35, 0.05, 0.7)
"""How far an edge may follow the page before it turns."""
_STEPS = 80
_CLEAR = 2.0
"""Between an edge and names, in points."""
_AIR = 1.5
"""Around a label, in points."""


def plot_admixture(
    graph: AdmixtureGraph,
    *,
    families: Mapping[str, str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    ladderize: bool = True,
) -> Axes:
    """Draw an admixture graph: a tree with dashed edges.

    Every mixture descends, in the tree, from its larger share; a dashed edge leads to it from
    the place of the smaller one, which it is labelled with.

    Parameters
    ----------
    graph : AdmixtureGraph
        As `pyphylo.fit_admixture` makes it.
    families, ladderize
        As in `plot_tree`.
    ax : matplotlib.axes.Axes, optional
        Where to draw. By default a figure of a fitting size is made.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        When it is no admixture graph.
    """
    from pyphylo.stats._admixture_graph import AdmixtureGraph

    if not isinstance(graph, AdmixtureGraph):
        raise InputError(f"plot_admixture draws what fit_admixture gives, not {graph!r:.60}")
    tree, nodes = graph._tree()
    drawing = Drawing.of(tree, families, ladder=ladderize, show_support=False, unit="drift (f2)")
    if graph.edges:
        note = "dashed: the smaller share of a mixture"
        drawing = replace(drawing, notes=(*drawing.notes, note))
    canvas = draw_rectangular(drawing, ax, title)
    x, y = rectangular(drawing.walk, drawing.lengths, drawing.n_tips)
    place = {int(node): k for k, node in enumerate(nodes)}
    at = canvas.ax.transData - canvas.points
    xy = at.transform(np.stack([x, y], axis=1))
    names, branches = _names(canvas, drawing, xy), _branch_boxes(drawing, xy)
    for number, edge in enumerate(graph.edges):  # shares join the names that edges keep off
        start, end = xy[place[edge.parents[1]]], xy[place[edge.node]]
        curve = _clearest(start, end, names)
        colour = _COLOURS[number % len(_COLOURS)]
        _dashes(canvas, curve, colour, drawing.n_tips)
        _label(
            canvas,
            curve,
            f"{1 - edge.weight.estimate:.0%}",
            colour,
            drawing.n_tips,
            names,
            branches,
        )
    canvas.title(title)
    return canvas.ax


def admixture_figure(
    graph: AdmixtureGraph,
    *,
    families: Mapping[str, str] | None = None,
    title: str | None = None,
    ladderize: bool = True,
) -> Figure:
    """A figure of a fitting size with an admixture graph on it; see `plot_admixture`."""
    ax = plot_admixture(graph, families=families, title=title, ladderize=ladderize)
    return ax.figure  # type: ignore[return-value]  # made by new_axes, so no subfigure


def _clearest(start: Floats, end: Floats, names: list[Floats]) -> Floats:
    """The curve, of several, that runs least over names; of equals the likeliest."""
    curves = [_curve(start, end, bow, lean) for bow in _BOWS for lean in _LEANS]
    boxes = np.array(names).reshape(-1, 4)
    low, high = boxes[:, :2] - _CLEAR, boxes[:, 2:] + _CLEAR

    def covered(curve: Floats) -> float:
        # The ends are where they must be: by their own models.
        points = curve[5:-5, None, :]
        inside: Bools = np.all((points > low) & (points < high), axis=2)
        return float(np.any(inside, axis=1).sum()) + (1e3 if curve[:, 0].min() < 0 else 0.0)

    return min(curves, key=covered)


def _curve(start: Floats, end: Floats, bow: float, lean: float) -> Floats:
    """Points on a cubic curve that leaves along the way up the page and comes in from the left."""
    out = np.array([bow, 0.0])
    t = np.linspace(0, 1, _STEPS)[:, None]
    first = start - 0.35 * out + lean * (end - start) * np.array([0.0, 1.0])
    second = end - out
    made: Floats = (1 - t) ** 3 * start + t**3 * end
    made += 3 * t * (1 - t) ** 2 * first + 3 * t**2 * (1 - t) * second
    return made


def _dashes(canvas: Canvas, curve: Floats, colour: str, n_tips: int) -> None:
    width = line_width(n_tips) + 0.2
    canvas.ax.plot(
        curve[:, 0],
        curve[:, 1],
        color=colour,
        lw=width,
        ls=(0, (3.5, 2)),
        transform=canvas.points,
        clip_on=False,
        zorder=2.2,
    )
    # An arrow head where the mixture is, in the direction of the last stretch.
    way = curve[-1] - curve[-6]
    way /= max(float(np.hypot(*way)), 1e-9)
    across = np.array([-way[1], way[0]])
    size = 2.6 + 1.2 * width
    head = np.stack([curve[-1], curve[-1] - size * way + 0.45 * size * across,
                     curve[-1] - size * way - 0.45 * size * across])  # fmt: skip
    canvas.ax.fill(
        head[:, 0],
        head[:, 1],
        color=colour,
        lw=0,
        transform=canvas.points,
        clip_on=False,
        zorder=2.6,
    )


def _label(
    canvas: Canvas,
    curve: Floats,
    text: str,
    colour: str,
    n_tips: int,
    names: list[Floats],
    branches: list[Floats],
) -> None:
    """The share on its edge, where it covers least: names far rather than branches."""
    size = max(font_size(n_tips) - 1.0, MIN_FONT + 0.5)
    half = np.array([text_width(text, size) / 2 + _AIR, 0.5 * size + _AIR])
    best, least = _STEPS // 2, np.inf
    for k in sorted(range(6, _STEPS - 8), key=lambda k: abs(k - _STEPS // 2)):
        low, high = curve[k] - half, curve[k] + half
        inside = half[0] <= curve[k][0] <= canvas.width - half[0]
        covered = 30 * sum(_overlap(low, high, box) for box in names)
        covered += sum(_overlap(low, high, box) for box in branches) + (0 if inside else 1e5)
        if covered < least - 1e-9:
            best, least = k, covered
    low, high = curve[best] - half, curve[best] + half
    names.append(np.concatenate([low, high]))
    canvas.text(
        float(curve[best][0]),
        float(curve[best][1]) - 0.36 * size,
        text,
        size,
        ha="center",
        color=readable(colour),
        zorder=4,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8, "alpha": 0.92},
    )


def _overlap(low: Floats, high: Floats, box: Floats) -> float:
    wide = np.minimum(high, box[2:]) - np.maximum(low, box[:2])
    return float(wide[0] * wide[1]) if (wide > 0).all() else 0.0


def _names(canvas: Canvas, drawing: Drawing, xy: Floats) -> list[Floats]:
    """Boxes of the tips' marks and names, in points: left, bottom, right, top."""
    boxes = []
    for text in canvas.ax.texts:
        if text.get_transform() == canvas.ax.transData:
            box = text.get_window_extent().transformed(canvas.points.inverted())
            boxes.append(np.array([box.x0, box.y0, box.x1, box.y1]))
    half = 0.3 * font_size(drawing.n_tips)
    boxes.extend(np.concatenate([at - half, at + half]) for at in xy[: drawing.n_tips])
    return boxes


def _branch_boxes(drawing: Drawing, xy: Floats) -> list[Floats]:
    """Boxes of branches, along and across."""
    boxes = []
    for child, parent in enumerate(drawing.parent[:-1].tolist()):
        (x0, y0), (x1, y1) = xy[parent].tolist(), xy[child].tolist()
        boxes.append(np.array([x0, y1 - 0.4, x1, y1 + 0.4]))
        boxes.append(np.array([x0 - 0.4, min(y0, y1), x0 + 0.4, max(y0, y1)]))
    return boxes
