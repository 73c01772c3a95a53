"""Pictures of similarity matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from pyphylo.errors import InputError
from pyphylo.plot._canvas import Canvas, Legend, new_axes
from pyphylo.plot._drawing import MIN_FONT, font_size, line_width, stroke
from pyphylo.plot._layout import (
    branch_family,
    drawn_lengths,
    elbows,
    preorder,
    rectangular,
    tip_order,
)
from pyphylo.plot._style import INK, MISSING, MUTED, FamilyStyle, family_style
from pyphylo.plot._text import fit_text, font, text_width
from pyphylo.plot._types import Floats, SimilarityLike, TreeLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.path import Path

__all__ = ["heatmap_figure", "plot_heatmap"]

_MAP = "viridis"
_PITCH = 1.25
"""Side of a cell that has a name, in font sizes."""

_CROWDED = 1.8
"""Cells take names in the size that a tree of so many times more tips has."""

_STRIP = 6.0
_STRIP_GAP = 2.0
_PAD = 4.0
_BAR = 10.0
_BAR_GAP = 14.0
_BAR_WORDS = 46.0
"""Room for the ticks and the label of the colour bar, in points."""

_CROWN = 64.0
"""Height of the tree above the cells, in points, with the space below it."""

_LARGEST = 1150.0
_SMALLEST = 250.0
_LONGEST_NAME = 170.0

_SHARP = 1024
"""Most pixels a side of the image of the cells."""


def plot_heatmap(
    similarity: SimilarityLike,
    *,
    order: TreeLike | None = None,
    families: Mapping[str, str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    ladderize: bool = True,
    dendrogram: bool = True,
) -> Axes:
    """Draw a similarity matrix.

    Parameters
    ----------
    similarity : pyphylo.SimilarityMatrix
        Square, with ``ids`` and ``values``; NaN is shown in grey.
    order : pyphylo.tree.Tree, optional
        Rows and columns follow the tips of this tree as `plot_tree` draws them; models
        that it lacks are left out. By default they follow ``similarity.ids``.
    families : mapping of str to str, optional
        Family of each model, shown as a strip along both sides.
    ax : matplotlib.axes.Axes, optional
        Holds the square of cells; names stand left of and below it, the tree and the legend
        above, the colour bar on the right. By default a figure of a fitting size is made.
    title : str, optional
    ladderize : bool
        Whether the tree's smaller subtrees come first, as in `plot_tree`.
    dendrogram : bool
        Whether the tree of `order` is drawn above the cells.

    Returns
    -------
    matplotlib.axes.Axes
        Coordinates are numbers of columns and rows, counted from 0.

    Raises
    ------
    InputError
        When the matrix is not square or empty, a tip of the tree is not in it, or a family is
        not a string.
    """
    ids, values = _ordered(similarity, order, ladderize)
    style = family_style(ids, families)
    n = len(ids)
    crown = _CROWN if dendrogram and order is not None and n > 1 else 0.0
    if ax is None:
        ax = _fitting_axes(ids, style, title, crown)
    ax.set_box_aspect(1)
    ax.apply_aspect()
    canvas = Canvas(ax)
    strip = _STRIP + _STRIP_GAP if style.names else 0.0
    cell = (canvas.width - strip) / n
    low, high = _cells(canvas, values, strip / cell)
    if style.names:
        _strips(canvas, style, cell)
    _names(canvas, ids, style, cell, strip)
    _colour_bar(canvas, low, high, has_missing=bool(np.isnan(values).any()))
    legend = Legend.flow(style, canvas.width, _furniture(n))
    if crown and order is not None:
        _dendrogram(canvas, order, style, ladderize, strip, crown)
    canvas.legend(legend, style, top=canvas.height + crown + legend.height)
    canvas.title(title, above=crown + legend.height)
    return ax


def heatmap_figure(
    similarity: SimilarityLike,
    *,
    order: TreeLike | None = None,
    families: Mapping[str, str] | None = None,
    title: str | None = None,
    ladderize: bool = True,
    dendrogram: bool = True,
) -> Figure:
    """A figure of a fitting size with a similarity matrix on it; see `plot_heatmap`."""
    ax = plot_heatmap(
        similarity,
        order=order,
        families=families,
        title=title,
        ladderize=ladderize,
        dendrogram=dendrogram,
    )
    return ax.figure  # type: ignore[return-value]  # made by new_axes, so no subfigure


def _ordered(
    similarity: SimilarityLike, order: TreeLike | None, ladder: bool
) -> tuple[tuple[str, ...], Floats]:
    """Names and values in the order in which they are drawn; what is not finite is NaN."""
    ids = tuple(similarity.ids)
    values = np.array(similarity.values, dtype=np.float64)
    if values.shape != (len(ids), len(ids)) or not ids:
        raise InputError(
            f"a heat map needs a square matrix with a name a row; this one has {len(ids)} names "
            f"and the shape {values.shape}"
        )
    values[~np.isfinite(values)] = np.nan
    if order is None:
        return ids, values
    tips = tuple(order.tips)
    index = {name: row for row, name in enumerate(ids)}
    missing = [tip for tip in tips if tip not in index]
    if missing:
        some = ", ".join(map(repr, missing[:3])) + (", ..." if len(missing) > 3 else "")
        raise InputError(
            f"{len(missing)} tips of the tree are not in the similarity matrix ({some}): "
            f"pass the tree that was made from it"
        )
    drawn = [tips[tip] for tip in tip_order(preorder(order, ladder=ladder), len(tips)).tolist()]
    rows = np.array([index[tip] for tip in drawn])
    return tuple(drawn), values[np.ix_(rows, rows)]


def _name_size(n: int) -> float:
    return font_size(round(_CROWDED * n))


def _furniture(n: int) -> float:
    return float(np.clip(font_size(n) + 0.8, 6.5, 9.0))


def _fitting_axes(
    ids: tuple[str, ...], style: FamilyStyle, title: str | None, crown: float
) -> Axes:
    n = len(ids)
    size = _name_size(n)
    side = float(np.clip(n * size * _PITCH, _SMALLEST, _LARGEST))
    beside = _PAD + max(text_width(fit_text(name, size, _LONGEST_NAME), size) for name in ids)
    legend = Legend.flow(style, side, _furniture(n))
    return new_axes(
        side,
        side,
        title,
        left=beside,
        bottom=beside,
        right=_BAR_GAP + _BAR + _BAR_WORDS,
        top=crown + legend.height,
    )


def _cells(canvas: Canvas, values: Floats, strip: float) -> tuple[float, float]:
    """Draw the matrix; returns the values at the ends of the colour map."""
    from matplotlib import colormaps
    from matplotlib.colors import Normalize

    n = len(values)
    known = values[np.isfinite(values)]
    low = float(np.floor(10 * known.min(initial=0.9))) / 10
    high = float(known.max(initial=1.0))
    means, side = _averaged(values)
    colours = colormaps[_MAP].with_extremes(bad=MISSING)
    # Coloured here, cell by cell: matplotlib would do it for each pixel of the output. Few
    # cells get several pixels each, so that viewers that smooth images smooth their rims only.
    image = colours(Normalize(low, high)(np.ma.masked_invalid(means)), bytes=True)
    pixels = max(1, min(16, _SHARP // n))
    canvas.ax.imshow(
        image.repeat(pixels, axis=0).repeat(pixels, axis=1),
        interpolation="none",
        aspect="auto",
        extent=(-0.5, side - 0.5, side - 0.5, -0.5),
    )
    canvas.ax.set_xlim(-0.5 - strip, n - 0.5)
    canvas.ax.set_ylim(n - 0.5 + strip, -0.5)
    return low, high


def _averaged(values: Floats) -> tuple[Floats, int]:
    """At most `_SHARP` cells a side, and how many of the given cells that side is long.

    Where there are more, the known values of square blocks are averaged.
    """
    n = len(values)
    if n <= _SHARP:
        return values, n
    block = -(-n // _SHARP)
    starts = np.arange(0, n, block)
    known = np.isfinite(values)

    def total(cells: Floats) -> Floats:
        return np.add.reduceat(np.add.reduceat(cells, starts, axis=0), starts, axis=1)

    counts = total(known.astype(np.float64))
    image = np.full(counts.shape, np.nan)
    np.divide(total(np.where(known, values, 0.0)), counts, out=image, where=counts > 0)
    return image, block * len(starts)


def _strips(canvas: Canvas, style: FamilyStyle, cell: float) -> None:
    """A bar of each run of one family, left of the rows and below the columns."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    starts = np.flatnonzero(np.diff(style.code, prepend=-2))
    ends = np.append(starts[1:], len(style.code))
    bars: dict[int, list[Path]] = {}
    for first, last in zip(starts.tolist(), ends.tolist(), strict=True):
        low, high = cell * first, cell * last
        left = _STRIP + _STRIP_GAP
        bars.setdefault(int(style.code[first]), []).extend(
            _box(*corners)
            for corners in (
                (0.0, canvas.height - high, _STRIP, canvas.height - low),
                (left + low, 0.0, left + high, _STRIP),
            )
        )
    for code, boxes in sorted(bars.items()):
        path = Path.make_compound_path(*boxes)
        patch = PathPatch(path, facecolor=style.colour(code), linewidth=0, transform=canvas.points)
        patch.set_clip_on(False)
        canvas.ax.add_artist(patch)


def _box(x0: float, y0: float, x1: float, y1: float) -> Path:
    from matplotlib.path import Path

    return Path([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)], closed=True)


def _names(
    canvas: Canvas, ids: tuple[str, ...], style: FamilyStyle, cell: float, strip: float
) -> None:
    size = float(np.clip(cell / _PITCH, MIN_FONT, 9.5))
    size = min(size, _name_size(len(ids)))
    every = max(1, int(np.ceil(1.1 * MIN_FONT / cell)))
    for number in range(0, len(ids), every):
        name = fit_text(ids[number], size, _LONGEST_NAME)
        colour = style.text_colour(int(style.code[number]))
        row = canvas.height - (number + 0.5) * cell
        column = strip + (number + 0.5) * cell
        canvas.text(-_PAD, row - 0.36 * size, name, size, ha="right", color=colour)
        canvas.text(
            column + 0.36 * size,
            -_PAD,
            name,
            size,
            ha="right",
            color=colour,
            rotation=90,
            rotation_mode="anchor",
        )
    if every > 1:
        place = (canvas.width + _BAR_GAP, canvas.height - _bar_height(canvas) - 32.0)
        canvas.text(*place, f"1 name\nin {every}\nshown", 7.5, va="top", color=MUTED)


def _dendrogram(
    canvas: Canvas,
    tree: TreeLike,
    style: FamilyStyle,
    ladder: bool,
    strip: float,
    crown: float,
) -> None:
    """The tree above the columns, its root on top, in the colours of families."""
    n = tree.n_tips
    walk = preorder(tree, ladder=ladder)
    lengths, _, _ = drawn_lengths(tree.length)
    depth, column = rectangular(walk, lengths if lengths.any() else np.ones_like(lengths), n)
    across = strip + (column + 0.5) * (canvas.width - strip) / n
    bottom, top = canvas.height + 5.0, canvas.height + crown - 4.0
    height = top - (top - bottom) * depth / depth.max()
    code = np.empty(n, dtype=np.int64)
    code[tip_order(walk, n)] = style.code
    colours = [style.colour(int(c)) for c in branch_family(tree.parent, code)]
    lines = elbows(tree.parent, n, height, across)[:, [1, 0, 3, 2]]
    stroke(
        canvas.ax,
        lines,
        colours[:-1] + colours[n:],
        0.7 * line_width(n),
        canvas.points,
        capstyle="projecting",
    )
    down = np.stack([across[:n], height[:n], across[:n], np.full(n, bottom)], axis=1)
    stroke(canvas.ax, down, colours[:n], 0.25, canvas.points, zorder=0.9, alpha=0.4)


def _bar_height(canvas: Canvas) -> float:
    return min(canvas.height * 0.6, 200.0)


def _colour_bar(canvas: Canvas, low: float, high: float, *, has_missing: bool) -> None:
    """The colour bar, right of the upper half of the cells."""
    size = 7.5
    height = _bar_height(canvas)
    bar = canvas.ax.inset_axes(
        (
            1 + _BAR_GAP / canvas.width,
            1 - height / canvas.height,
            _BAR / canvas.width,
            height / canvas.height,
        )
    )
    bar.imshow(
        np.linspace(low, high, 256)[:, None],
        cmap=_MAP,
        vmin=low,
        vmax=high,
        extent=(0, 1, low, high),
        origin="lower",
        aspect="auto",
        interpolation="none",
    )
    bar.set_xticks([])
    bar.yaxis.tick_right()
    bar.tick_params(length=2, width=0.6, labelsize=size, colors=INK, pad=2)
    for spine in bar.spines.values():
        spine.set_linewidth(0.6)
        spine.set_edgecolor(INK)
    for label in bar.get_yticklabels():
        label.set_fontproperties(font(size))
    bar.yaxis.set_label_position("right")
    bar.set_ylabel("Nei similarity", fontproperties=font(size + 0.5), color=INK, labelpad=4)
    if has_missing:
        x = canvas.width + _BAR_GAP
        y = canvas.height - height - 2 * size
        canvas.dots(np.array([[x + 0.5 * size, y]]), 0.9 * size, marker="s", color=MISSING)
        canvas.text(x + 1.4 * size, y - 0.36 * size, "no value", size)
