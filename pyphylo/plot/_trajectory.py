"""Pictures of training runs: distances and speed over steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo.errors import InputError
from pyphylo.plot._canvas import new_axes
from pyphylo.plot._style import INK, MUTED, N_HUES, FamilyStyle
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
_LINE = 1.72 * _SIZE
"""Height of a line of the key, in points."""
_MANY = 40
"""Checkpoints above which points have no markers."""
_CROWDED = 200
"""Checkpoints above which lines are thin and steps have no sides."""
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1.5, 1, 1.5)))
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

    _check(frame)
    above = _MARGIN + (_ABOVE if title else 0)
    width = _LEFT + _WIDTH + _NAMES + 2 * _MARGIN
    # The panel of distances grows with the key beside it.
    n_lines = len(frame.loc[frame["to"] != "previous", ["to", "other"]].drop_duplicates())
    tall = max(_HEIGHT, _LINE * n_lines - 0.5 * _HEIGHT - _GAP)
    height = above + tall + 0.5 * _HEIGHT + _GAP + _BELOW + _MARGIN
    fig = Figure(figsize=(width / 72, height / 72), facecolor="white")

    def panel(bottom: float, tall: float) -> Axes:
        left = (_MARGIN + _LEFT) / width
        return fig.add_axes((left, bottom / height, _WIDTH / width, tall / height))

    low = _MARGIN + _BELOW
    speed = panel(low, _HEIGHT / 2)
    distance = panel(low + _HEIGHT / 2 + _GAP, tall)
    plot_trajectory(frame, distance, speed)
    if title:
        distance.set_title(
            fit_text(title, 12.0, _WIDTH, limit=len(title), bold=True),
            loc="left",
            fontproperties=font(12.0, bold=True),
            color=INK,
            parse_math=False,
        )
    return fig


def plot_trajectory(
    frame: pd.DataFrame, distance: Axes | None = None, speed: Axes | None = None
) -> Axes:
    """Draw distances over steps, with their limits as bands, and the speed on axes of its own.

    Parameters
    ----------
    frame : pandas.DataFrame
        As `pyphylo.trajectory` makes it.
    distance : matplotlib.axes.Axes, optional
        The key stands right of them. By default a figure of a fitting size is made.
    speed : matplotlib.axes.Axes, optional
        By default speeds are not drawn.

    Returns
    -------
    matplotlib.axes.Axes
        Those of distances.

    Raises
    ------
    InputError
        When the frame lacks a column.
    """
    _check(frame)
    if distance is None:
        distance = new_axes(_WIDTH, _HEIGHT, None, left=_LEFT, bottom=_BELOW, right=_NAMES)
    far = frame[frame["to"] != "previous"]
    lines = list(dict.fromkeys(zip(far["to"], far["other"], strict=True)))
    labels = [
        fit_text(other if to == "reference" else f"{to} ({other})", _SIZE, _NAMES - 4 * _SIZE)
        for to, other in lines
    ]
    # In the order of the key: start and end first.
    style = FamilyStyle(tuple(labels), np.arange(len(labels), dtype=np.int64))
    for (to, other), code, label in zip(lines, style.code.tolist(), labels, strict=True):
        part = far[(far["to"] == to) & (far["other"] == other)]
        _line(distance, part, "distance", ("lower", "upper"), style, code, label)
    _finish(distance, "Nei distance to")
    # Names that start with _ would be left out: they are written into the key afterwards.
    drawn = distance.get_lines()[-len(lines) :]
    key = distance.legend(
        drawn,
        ["0"] * len(lines),
        loc="upper left",
        bbox_to_anchor=(1.01, 1.0),
        borderaxespad=0.0,
        frameon=False,
        prop=font(_SIZE),
        labelcolor=INK,
        handlelength=1.6,
    )
    for text, label in zip(key.get_texts(), labels, strict=True):
        text.set_parse_math(False)
        text.set_text(label)
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
    return distance


def _check(frame: pd.DataFrame) -> None:
    needed = ("step", "to", "other", "distance", "lower", "upper", "speed")
    for column in needed:
        if column not in frame.columns:
            raise InputError(
                f"a trajectory's frame has columns {', '.join(needed)}; {column!r} is missing"
            )


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
    colour, many = style.colour(code), len(x) > _CROWDED
    lower, upper = (part[name].to_numpy() for name in limits)
    ax.fill_between(x, lower, upper, color=colour, alpha=0.07 if many else 0.15, linewidth=0)
    ax.plot(
        x,
        part[column].to_numpy(),
        color=colour,
        lw=0.6 if many else 1.3,
        # Colours repeat after ten: another marker and other dashes then tell lines apart.
        ls=_DASHES[code // N_HUES % len(_DASHES)],
        marker=style.marker(code) if len(x) <= _MANY else None,
        ms=3.5,
        clip_on=False,
        label=label,
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
    if len(values) > _CROWDED:
        # Without the ways up and down, which would blacken all.
        ax.hlines(values, steps[:-1], steps[1:], color=INK, lw=1.2, capstyle="round")
    else:
        ax.plot(edges, np.repeat(values, 2), color=INK, lw=1.3)
    _finish(ax, f"distance a {unit}")


def _by_powers(ax: Axes, frame: pd.DataFrame) -> None:
    """A logarithmic axis of speeds: where steps grow by powers of ten, they fall by as many."""
    speeds = frame[["speed", "speed_upper"]].to_numpy().ravel()
    speeds = speeds[speeds > 0]
    if len(speeds):
        from matplotlib.ticker import LogFormatter

        ax.set_yscale("log", nonpositive="clip")
        ax.yaxis.set_major_formatter(LogFormatter())
        ax.yaxis.set_minor_formatter(LogFormatter(labelOnlyBase=False))
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
