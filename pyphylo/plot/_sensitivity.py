"""What each setting moves: one row a setting, one panel a measure."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo.errors import InputError
from pyphylo.plot._style import INK, MUTED, readable
from pyphylo.plot._text import fit_text, font, text_width

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["sensitivity_figure"]

_TITLES = {
    "robinson_foulds": "tree:\nRobinson-Foulds",
    "quartets": "tree:\nquartets",
    "distance_correlation": "distances:\nSpearman",
    "nearest_kept": "nearest\nrelative kept",
    "nearest_5_kept": "nearest 5\nkept",
    "families_whole": "families that\nare a clade",
    "parents_nearest": "parents that\nare nearest",
    "prediction_r": "predictions:\nr with scores",
    "prediction_mae": "predictions:\nerror (MAE)",
    "predictions_moved": "predictions:\nmean change",
}
"""Measures that are drawn, in this order."""

_IN_SCORES = ("prediction_mae", "predictions_moved")
"""Measures in units of scores, which have an axis of their own, in common."""

_KINDS = {
    "baseline": ("baseline", "#333333"),
    "chars": ("characters", "#0072B2"),
    "index": ("index", "#D55E00"),
    "probes": ("probes", "#009E73"),
    "genes": ("genes", "#CC79A7"),
    "store": ("store", "#E69F00"),
}
"""Words and colour of a kind of setting."""

_SIZE = 8.0
_ROW, _GAP = 12.0, 7.0
"""Height of a row and of the space between kinds, in points."""
_PANEL, _SPACE, _MARGIN = 92.0, 14.0, 10.0
_HEAD, _FOOT = 30.0, 18.0
_LABEL = 130.0
"""Widest name of a setting, in points."""
_COLUMNS = ("kind", "value", "measure", "estimate", "low", "high")


def sensitivity_figure(found: pd.DataFrame, *, title: str | None = None) -> Figure:
    """Draw what `pyphylo.sensitivity` found: a row a setting, a panel a measure.

    Dots are estimates, lines their limits; the grey line of a panel is where the baseline is.
    Measures that the frame does not have get no panel.

    Parameters
    ----------
    found : pandas.DataFrame
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When a column is missing, or there is nothing to draw.
    """
    from matplotlib.figure import Figure

    missing = [name for name in _COLUMNS if name not in found.columns]
    if missing:
        raise InputError(f"what sensitivity() returns has a column {missing[0]!r}; here is none")
    measures = [name for name in _TITLES if (found["measure"] == name).any()]
    if not measures:
        raise InputError("there is no measure to draw: the frame has no row of one")
    settings = list(dict.fromkeys(zip(found["kind"], found["value"].map(str), strict=True)))
    heights = _heights([kind for kind, _ in settings])
    names = [_name(kind, value) for kind, value in settings]
    left = max(text_width(name, _SIZE) for name in names) + 6 + _MARGIN
    tall = float(heights[-1]) + _ROW
    head = _HEAD + (20.0 if title else 0.0)
    width = left + len(measures) * (_PANEL + _SPACE) + _MARGIN
    height = _MARGIN + head + tall + _FOOT + _MARGIN
    fig = Figure(figsize=(width / 72, height / 72), facecolor="white")
    colours = [_KINDS.get(kind, ("", INK))[1] for kind, _ in settings]
    in_scores = _round_above(found[found["measure"].isin(_IN_SCORES)])
    for k, measure in enumerate(measures):
        x = left + k * (_PANEL + _SPACE)
        ax = fig.add_axes(
            (x / width, (_MARGIN + _FOOT) / height, _PANEL / width, tall / height),
            facecolor="none",
        )
        most = in_scores if measure in _IN_SCORES else 1.0
        _panel(ax, found[found["measure"] == measure], settings, heights, colours, most)
        ax.set_title(_TITLES[measure], color=INK, fontproperties=font(_SIZE, bold=True), pad=5)
        if k == 0:
            ax.set_yticks(heights, names, fontproperties=font(_SIZE))
            for label, colour in zip(ax.get_yticklabels(), colours, strict=True):
                label.set_color(readable(colour))
                label.set_parse_math(False)
        else:
            ax.set_yticks([])
    if title:
        fig.text(
            _MARGIN / width, 1 - (_MARGIN + 12) / height,
            fit_text(title, 12.0, width - 2 * _MARGIN, limit=len(title), bold=True),
            color=INK, fontproperties=font(12.0, bold=True), parse_math=False,
        )  # fmt: skip
    return fig


def _panel(
    ax: Any,
    rows: pd.DataFrame,
    settings: list[tuple[str, str]],
    heights: Any,
    colours: list[str],
    most: float,
) -> None:
    """One measure of all settings, on an axis up to `most`."""
    by: dict[tuple[str, str], Any] = {
        (str(row.kind), str(row.value)): row for row in rows.itertuples()
    }
    ax.set_ylim(heights[-1] + _ROW / 2, -_ROW / 2)
    baseline = next((row.estimate for key, row in by.items() if key[0] == "baseline"), None)
    if baseline is not None:
        ax.axvline(baseline, color="#D0D0D0", lw=1, zorder=0)
    least = 0.0
    for setting, y, colour in zip(settings, heights, colours, strict=True):
        row = by.get(setting)
        if row is None:
            continue
        if np.isfinite(row.low) and np.isfinite(row.high):
            ax.plot([row.low, row.high], [y, y], color=colour, lw=1.2, solid_capstyle="butt")
            least = min(least, row.low)
        ax.plot([row.estimate], [y], "o", color=colour, ms=4, mew=0, clip_on=False)
        least = min(least, row.estimate)
    margin = 0.03 * most
    ax.set_xlim(-margin if least >= 0 else least - margin, most + margin)
    ticks = [0, most / 2, most]
    ax.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontproperties=font(_SIZE))
    ax.tick_params(colors=INK, width=0.6, length=2.5)
    ax.tick_params(axis="y", length=0, pad=4)
    for side, spine in ax.spines.items():
        spine.set_visible(side == "bottom")
        spine.set_edgecolor(MUTED)
        spine.set_linewidth(0.6)


def _round_above(rows: pd.DataFrame) -> float:
    """The least of 1, 2 or 5 times a power of ten, up to 1, that no limit exceeds."""
    top = float(rows[["estimate", "high"]].max(axis=None)) if len(rows) else 1.0
    steps = [step * 10.0**power for power in range(-3, 0) for step in (1, 2, 5)]
    return next((step for step in steps if step >= top), 1.0)


def _heights(kinds: list[str]) -> Any:
    """Where each row is, from the top down in points; kinds are set apart."""
    steps = [0.0] + [_ROW + (_GAP if kind != before else 0) for before, kind in pairwise(kinds)]
    return np.cumsum(steps)


def _name(kind: str, value: str) -> str:
    """A setting in words."""
    word = _KINDS.get(kind, (kind, ""))[0]
    if kind == "baseline":
        return word
    name = f"1 {word[:-1]}" if (kind, value) == ("chars", "1") else f"{value} {word}"
    if kind in ("index", "store"):
        name = value if kind == "index" else f"{word} {value}"
    return fit_text(name, _SIZE, _LABEL)
