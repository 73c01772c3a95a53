"""Pictures of training runs: distances and speed over steps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pyphylo.errors import InputError
from pyphylo.plot._style import INK, MUTED, FamilyStyle, family_style
from pyphylo.plot._text import fit_text, font

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_trajectory", "trajectory_figure"]

_WIDTH, _HEIGHT = 430.0, 190.0
"""Of the panel of distances, in points; that of speeds has half the height."""
_LEFT, _BELOW, _GAP, _ABOVE, _MARGIN = 56.0, 40.0, 16.0, 26.0, 10.0
_NAMES = 190.0
"""Room for the key, right of the panels."""
_SIZE = 8.0
_MANY = 40
"""Checkpoints above which points have no markers."""
_WIDE = 100.0
"""Ratio of the last step to the first above 0 from which the axis is logarithmic."""


def trajectory_figure(frame: pd.DataFrame, *, title: str | None = None) -> Figure:
    """A figure of a training run: distances over steps, and below them the speed.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `pyphylo.trajectory` makes it.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure
        With two axes, as `plot_trajectory` draws them.
    """
    from matplotlib.figure import Figure

    above = _MARGIN + (_ABOVE if title else 0)
    width = _LEFT + _WIDTH + _NAMES + 2 * _MARGIN
    height = above + 1.5 * _HEIGHT + _GAP + _BELOW + _MARGIN
    fig = Figure(figsize=(width / 72, height / 72), facecolor="white")

    def panel(bottom: float, tall: float) -> Axes:
        left = (_MARGIN + _LEFT) / width
        return fig.add_axes((left, bottom / height, _WIDTH / width, tall / height))

    low = _MARGIN + _BELOW
    speed = panel(low, _HEIGHT / 2)
    distance = panel(low + _HEIGHT / 2 + _GAP, _HEIGHT)
    plot_trajectory(frame, distance, speed)
    if title:
        distance.set_title(
            fit_text(title, 12.0, _WIDTH, limit=len(title)),
            loc="left",
            fontproperties=font(12.0, bold=True),
            color=INK,
            parse_math=False,
        )
    return fig


def plot_trajectory(frame: pd.DataFrame, distance: Axes, speed: Axes | None = None) -> None:
    """Draw distances over steps, with their limits as bands, and the speed on axes of its own.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `pyphylo.trajectory` makes it.
    distance : matplotlib.axes.Axes
    speed : matplotlib.axes.Axes, optional

    Raises
    ------
    InputError
        When the frame lacks a column.
    """
    needed = ("step", "to", "other", "distance", "lower", "upper", "speed")
    for column in needed:
        if column not in frame.columns:
            raise InputError(
                f"a trajectory's frame has columns {', '.join(needed)}; {column!r} is missing"
            )
    far = frame[frame["to"] != "previous"]
    lines = list(dict.fromkeys(zip(far["to"], far["other"], strict=True)))
    labels = [other if to == "reference" else f"{to} ({other})" for to, other in lines]
    style = family_style(labels, {label: label for label in labels})
    for (to, other), label, code in zip(lines, labels, style.code.tolist(), strict=True):
        part = far[(far["to"] == to) & (far["other"] == other)]
        _line(distance, part, "distance", ("lower", "upper"), style, code, label)
    _finish(distance, "Nei distance to")
    key = distance.legend(
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        frameon=False,
        prop=font(_SIZE),
        labelcolor=INK,
        handlelength=1.6,
    )
    for text in key.get_texts():
        text.set_parse_math(False)
    wide = _is_wide(frame)
    unit = str(frame.attrs.get("unit", "step"))
    panels = [distance] if speed is None else [distance, speed]
    if speed is not None:
        _speeds(speed, frame, unit)
    for ax in panels:
        if wide:
            ax.set_xscale("symlog", linthresh=wide)
            ax.xaxis.set_major_formatter("{x:g}")
        ax.set_xlim(frame["step"].min(), frame["step"].max())
    if speed is not None and wide:
        _by_powers(speed, frame)
    if speed is not None:
        distance.tick_params(labelbottom=False)
    last = panels[-1]
    last.set_xlabel(f"training {unit}", fontproperties=font(_SIZE + 1), color=INK)


def _line(
    ax: Axes,
    part: pd.DataFrame,
    column: str,
    limits: tuple[str, str],
    style: FamilyStyle,
    code: int,
    label: str,
) -> None:
    """One line, its points and its band."""
    x = part["step"].to_numpy()
    colour = style.colour(code)
    lower, upper = (part[name].to_numpy() for name in limits)
    ax.fill_between(x, lower, upper, color=colour, alpha=0.15, linewidth=0)
    ax.plot(
        x,
        part[column].to_numpy(),
        color=colour,
        lw=1.3,
        # Colours repeat after ten: another marker then tells lines apart.
        marker=style.marker(code) if len(x) <= _MANY else None,
        ms=3.5,
        clip_on=False,
        label=fit_text(label, _SIZE, _NAMES - 4 * _SIZE),
    )


def _speeds(ax: Axes, frame: pd.DataFrame, unit: str) -> None:
    """A level for each stretch between two checkpoints, with its limits."""
    steps = frame["step"].drop_duplicates().to_numpy()
    part = frame[frame["to"] == "previous"]
    values, low, high = (part[name].to_numpy() for name in ("speed", "speed_lower", "speed_upper"))
    edges = np.repeat(steps, 2)[1:-1]
    ax.fill_between(
        edges, np.repeat(low, 2), np.repeat(high, 2), color=INK, alpha=0.15, linewidth=0
    )
    ax.plot(edges, np.repeat(values, 2), color=INK, lw=1.3)
    _finish(ax, f"distance a {unit}")


def _by_powers(ax: Axes, frame: pd.DataFrame) -> None:
    """A logarithmic axis of speeds: where steps grow by powers of ten, they fall by as many."""
    speeds = frame[["speed", "speed_upper"]].to_numpy().ravel()
    speeds = speeds[speeds > 0]
    if len(speeds):
        ax.set_yscale("log", nonpositive="clip")
        ax.set_ylim(speeds.min() / 2, speeds.max() * 2)


def _finish(ax: Axes, label: str) -> None:
    """Axis, label and ticks, in the style of all pictures."""
    ax.set_ylim(bottom=0)
    ax.set_ylabel(label, fontproperties=font(_SIZE + 1), color=INK)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=INK, labelsize=_SIZE, labelfontfamily="DejaVu Sans")


def _is_wide(frame: pd.DataFrame) -> float:
    """The first step above 0 where a logarithmic axis is called for, else 0."""
    above = frame["step"].to_numpy()
    above = above[above > 0]
    if not len(above) or above.max() < _WIDE * above.min():
        return 0.0
    return float(above.min())
