"""The error that genes and probes leave, as a map."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from pyphylo.errors import InputError
from pyphylo.plot._canvas import new_axes
from pyphylo.plot._style import INK, MUTED
from pyphylo.plot._text import fit_text, font, text_width
from pyphylo.plot._types import Floats

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

__all__ = ["plot_surface", "surface_figure"]

_MAP = "viridis_r"
_WIDTH, _HEIGHT = 380.0, 280.0
_SIZE = 9.0
_EDGE = 0.03
"""Of the axes: labels nearer to an edge are left out."""
_NOTE = "lines: expected error"
_STRONG = "#D55E00"
_COLUMNS = ("genes", "probes", "error")


def plot_surface(
    surface: pd.DataFrame,
    *,
    wanted: float | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw the expected error over numbers of genes and of probes.

    Parameters
    ----------
    surface : pandas.DataFrame
        What `pyphylo.stats.planning.error_surface` gives: a full grid, with columns
        genes, probes, error.
    wanted : float, optional
        An error whose line is drawn strongly.
    ax : matplotlib.axes.Axes, optional
        By default a figure of a fitting size is made.
    title : str, optional

    Returns
    -------
    matplotlib.axes.Axes
        Both axes are logarithmic.

    Raises
    ------
    InputError
        When the frame is no full grid of at least 2 x 2.
    """
    missing = [name for name in _COLUMNS if name not in surface.columns]
    if missing:
        raise InputError(f"a surface has columns genes, probes, error; {missing[0]!r} is missing")
    grid = surface.pivot_table(index="genes", columns="probes", values="error")
    genes, probes = grid.index.to_numpy(float), grid.columns.to_numpy(float)
    error = grid.to_numpy(float)
    if min(error.shape) < 2 or not np.isfinite(error).all() or (error <= 0).any():
        raise InputError("a surface is a full grid of two genes and two probes or more, errors > 0")
    if ax is None:
        ax = new_axes(_WIDTH, _HEIGHT, title, left=44, bottom=36, right=14, top=0 if title else 16)
    # Before labels are placed, which takes the lengths of lines as they are drawn.
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(probes[0], probes[-1])
    ax.set_ylim(genes[0], genes[-1])
    levels = _levels(float(error.min()), float(error.max()))
    fill = np.geomspace(error.min(), error.max() * (1 + 1e-9) + 1e-300, 64)
    ax.contourf(probes, genes, np.log(error), levels=np.log(fill), cmap=_MAP)
    strong = wanted if wanted is not None and error.min() < wanted < error.max() else None
    # A thin line under the strong one would have its label crossed out.
    thin = [level for level in levels if strong is None or not math.isclose(level, strong)]
    if thin:
        lines = ax.contour(probes, genes, error, levels=thin, colors=INK, linewidths=0.6)
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.9, "pad": 0.8}
        # Not inline: a line keeps its ends where its label is left out.
        for text in ax.clabel(lines, fmt="%g", fontsize=_SIZE - 1, colors=INK, inline=False):
            text.set_bbox(box)
            if not _inside(ax, text):
                text.remove()
    if strong is not None:
        line = ax.contour(probes, genes, error, levels=[strong], colors=_STRONG, linewidths=2)
        box = {"facecolor": "white", "edgecolor": _STRONG, "linewidth": 0.8, "pad": 1.5}
        for text in ax.clabel(line, fmt="%g", fontsize=_SIZE - 1, colors=INK, inline_spacing=2):
            text.set_bbox(box)
            text.set_zorder(4)
    ax.set_xticks(probes, _thinned(probes, _width(ax)), fontproperties=font(_SIZE))
    ax.set_yticks(genes, [f"{g:g}" for g in genes], fontproperties=font(_SIZE))
    ax.minorticks_off()
    ax.set_xlabel("probes of each gene", color=INK, fontproperties=font(_SIZE))
    ax.set_ylabel("genes", color=INK, fontproperties=font(_SIZE))
    ax.annotate(
        _NOTE,
        (1, 1),
        (0, 6),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        color=MUTED,
        fontproperties=font(_SIZE - 1),
    )
    ax.tick_params(colors=INK, width=0.6)
    for spine in ax.spines.values():
        spine.set_edgecolor(MUTED)
    if title:
        room = _width(ax) - text_width(_NOTE, _SIZE - 1) - 2 * _SIZE
        ax.set_title(
            fit_text(title, 12.0, room, limit=len(title), bold=True),
            loc="left",
            color=INK,
            fontproperties=font(12.0, bold=True),
            parse_math=False,
        )
    return ax


def surface_figure(
    surface: pd.DataFrame, *, wanted: float | None = None, title: str | None = None
) -> Figure:
    """A figure with the surface on it; see `plot_surface`."""
    ax = plot_surface(surface, wanted=wanted, title=title)
    return ax.figure  # type: ignore[return-value]  # made by new_axes, so no subfigure


def _thinned(values: Floats, width: float) -> list[str]:
    """Labels of values on a logarithmic axis of a width in points; "" for those without room."""
    where = width * np.log(values / values[0]) / np.log(values[-1] / values[0])
    labels, end = [""] * len(values), -np.inf
    last = f"{values[-1]:g}"
    limit = width - text_width(last, _SIZE) / 2 - 4
    for k, value in enumerate(values[:-1]):
        half = text_width(f"{value:g}", _SIZE) / 2
        if where[k] - half >= end and where[k] + half <= limit:
            labels[k], end = f"{value:g}", float(where[k]) + half + 4
    return [*labels[:-1], last]


def _width(ax: Axes) -> float:
    """Of axes, in points."""
    return float(ax.get_window_extent().width) * 72 / ax.figure.dpi


def _inside(ax: Axes, text: Text) -> bool:
    """Whether a label's middle is well inside the axes: at a corner it would be cut."""
    x, y = ax.transAxes.inverted().transform(ax.transData.transform(text.get_position()))
    return bool(_EDGE < x < 1 - _EDGE and _EDGE < y < 1 - _EDGE)


def _levels(least: float, most: float) -> list[float]:
    """1, 1.5, 2, 3, 5, 7 times powers of ten between two errors."""
    steps = [
        digit * 10.0**power
        for power in range(int(np.floor(np.log10(least))), int(np.ceil(np.log10(most))) + 1)
        for digit in (1, 1.5, 2, 3, 5, 7)
    ]
    return [round(step, 12) for step in steps if least < step < most] or [(least * most) ** 0.5]
