"""Predicted scores against true ones, by family: one panel a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pyphylo.errors import InputError
from pyphylo.plot._canvas import Canvas, Legend, new_axes
from pyphylo.plot._style import INK, MUTED, NO_FAMILY, FamilyStyle, family_style
from pyphylo.plot._text import fit_text, font

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_predictions", "prediction_figure"]

_SIDE = 215.0
"""Of a panel, in points."""
_LEFT, _BELOW, _ABOVE = 42.0, 36.0, 34.0
"""Room around a panel for its labels."""
_MARGIN, _TITLE = 10.0, 22.0
_SIZE = 8.0
_ABREAST = 3
_MOST_FAMILIES = 30
"""Families with a colour of their own; the smallest beyond share one."""
_CROWDED = 400
"""Models from which dots cover most of a panel."""
_COLUMNS = ("model", "target", "true", "predicted")


@dataclass(frozen=True)
class _Lumped(FamilyStyle):
    """Families of which the smallest are grey together, as models without one are."""

    rest: str = NO_FAMILY

    @property
    def legend(self) -> list[tuple[str, int]]:
        """Label and code of each legend entry."""
        return [(self.rest if code < 0 else name, code) for name, code in super().legend]


def prediction_figure(
    predictions: pd.DataFrame,
    *,
    families: Mapping[str, str] | None = None,
    estimator: str | None = None,
    title: str | None = None,
) -> Figure:
    """A panel for each benchmark, as `plot_predictions` draws it, and one legend.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As `pyphylo.cross_validate_scores` returns them: columns model, target, true,
        predicted and, where there are intervals, lower and upper.
    families : mapping of str to str, optional
        Family of models: colour and marker. By default the groups that were left out (column
        fold), if they are few.
    estimator : str, optional
        Whose predictions, where the frame has several; by default the first.
    title : str, optional

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    InputError
        When a column is missing, or no prediction has a true score beside it.
    """
    from matplotlib.figure import Figure

    frame = _drawable(predictions, estimator)
    targets = list(dict.fromkeys(frame["target"]))
    style, code = _style(frame, families)
    abreast = min(_ABREAST, len(targets))
    rows = -(-len(targets) // abreast)
    wide, tall = _LEFT + _SIDE, _BELOW + _SIDE + _ABOVE
    width = abreast * wide + 2 * _MARGIN + 4
    legend = Legend.flow(style, width - 2 * _MARGIN - _LEFT, _SIZE)
    head = _MARGIN + (_TITLE if title else 0.0)
    height = head + rows * tall + legend.height + _MARGIN
    fig = Figure(figsize=(width / 72, height / 72), facecolor="white")
    for k, target in enumerate(targets):
        row, column = divmod(k, abreast)
        x = _MARGIN + column * wide + _LEFT
        y = height - head - row * tall - _ABOVE - _SIDE
        ax = fig.add_axes((x / width, y / height, _SIDE / width, _SIDE / height), facecolor="none")
        _panel(ax, frame[frame["target"] == target], style, code, str(target))
    if legend.rows:
        box = (_MARGIN + _LEFT, _MARGIN, width - 2 * _MARGIN - _LEFT, legend.height)
        ax = fig.add_axes(
            (box[0] / width, box[1] / height, box[2] / width, box[3] / height), facecolor="none"
        )
        Canvas(ax, least=1.0).legend(legend, style)
    if title:
        fig.text(
            (_MARGIN + _LEFT) / width, 1 - (_MARGIN + 12) / height,
            fit_text(title, 12.0, width - 2 * _MARGIN - _LEFT, limit=len(title), bold=True),
            color=INK, fontproperties=font(12.0, bold=True), parse_math=False,
        )  # fmt: skip
    return fig


def plot_predictions(
    predictions: pd.DataFrame,
    *,
    families: Mapping[str, str] | None = None,
    estimator: str | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Axes:
    """Draw one benchmark's predicted scores over its true ones.

    Dots are models, bars their intervals, the line is where both scores are equal. A family
    has a colour, and a marker once colours are used up.

    Parameters
    ----------
    predictions : pandas.DataFrame
        As in `prediction_figure`, of one benchmark.
    families, estimator
        As in `prediction_figure`.
    ax : matplotlib.axes.Axes, optional
        By default a figure of a fitting size is made. A legend is added to neither.
    title : str, optional
        By default the benchmark.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        As `prediction_figure`, or when there are several benchmarks.
    """
    frame = _drawable(predictions, estimator)
    targets = list(dict.fromkeys(frame["target"]))
    if len(targets) > 1:
        raise InputError(
            f"{len(targets)} benchmarks in one panel: choose one of "
            f"{', '.join(map(repr, targets))}, or draw prediction_figure"
        )
    if ax is None:
        ax = new_axes(_SIDE, _SIDE, None, left=_LEFT, bottom=_BELOW, right=4, top=_ABOVE)
    style, code = _style(frame, families)
    _panel(ax, frame, style, code, str(targets[0]) if title is None else title)
    return ax


def _drawable(predictions: pd.DataFrame, estimator: str | None) -> pd.DataFrame:
    """Rows of one predictor, and one run of it, that have a true and a predicted score."""
    missing = [name for name in _COLUMNS if name not in predictions.columns]
    if missing:
        raise InputError(
            f"predictions have columns {', '.join(_COLUMNS)}; {missing[0]!r} is missing"
        )
    frame: pd.DataFrame = predictions
    if "estimator" in frame.columns and len(frame):
        wanted = frame["estimator"].iloc[0] if estimator is None else estimator
        known = list(dict.fromkeys(frame["estimator"]))
        if wanted not in known:
            raise InputError(f"no predictions of {wanted!r}; there are {known}")
        frame = frame[frame["estimator"] == wanted]
    if "repeat" in frame.columns:
        frame = frame[frame["repeat"] == frame["repeat"].min()]
    frame = frame[frame["true"].notna() & frame["predicted"].notna()]
    if frame.empty:
        raise InputError("no prediction has a true score beside it: there is nothing to draw")
    return frame


def _style(
    frame: pd.DataFrame, families: Mapping[str, str] | None
) -> tuple[FamilyStyle, dict[str, int]]:
    """Families, the smallest together where there are many, and the code of each model's."""
    models = list(dict.fromkeys(frame["model"]))
    if families is None:
        families = _folds(frame, len(models))
    style = family_style(models, families)
    if len(style.names) > _MOST_FAMILIES:
        sizes = np.bincount(style.code[style.code >= 0], minlength=len(style.names))
        small = np.argsort(-sizes, kind="stable")[_MOST_FAMILIES - 1 :]
        gone = set(small.tolist())
        kept = {
            model: style.names[code]
            for model, code in zip(models, style.code.tolist(), strict=True)
            if code >= 0 and code not in gone
        }
        few = family_style(models, kept)
        style = _Lumped(few.names, few.code, f"{len(small)} other families")
    return style, dict(zip(models, style.code.tolist(), strict=True))


def _folds(frame: pd.DataFrame, n_models: int) -> dict[str, str] | None:
    """The groups that were left out, unless these are single models or too many to tell."""
    if "fold" not in frame.columns:
        return None
    named = frame[["model", "fold"]].dropna().drop_duplicates("model")
    if not 1 < named["fold"].nunique() <= min(_MOST_FAMILIES, n_models // 2):
        return None
    return dict(zip(named["model"], named["fold"].map(str), strict=True))


def _panel(
    ax: Axes, frame: pd.DataFrame, style: FamilyStyle, code_of: Mapping[str, int], title: str
) -> None:
    """One benchmark."""
    true, predicted = (frame[name].to_numpy(np.float64) for name in ("true", "predicted"))
    ends = [true, predicted]
    bars = {"lower", "upper"} <= set(frame.columns)
    if bars:
        lower, upper = (frame[name].to_numpy(np.float64) for name in ("lower", "upper"))
        ends += [lower[~np.isnan(lower)], upper[~np.isnan(upper)]]
    span = np.concatenate(ends)
    pad = 0.03 * (float(np.ptp(span)) or 0.1)
    limits = (float(span.min()) - pad, float(span.max()) + pad)
    # What is crowded is drawn smaller and fainter, so that what lies below shows
    n = len(frame)
    crowded = n >= _CROWDED
    dashes = (0, (4, 3))
    colour = INK if crowded else MUTED
    ax.plot(limits, limits, color=colour, lw=0.8, ls=dashes, zorder=4 if crowded else 1)
    size = float(np.clip(6.5 * (60 / n) ** 0.25, 2.2, 6.0))
    faint = float(np.clip(0.42 * (100 / n) ** 0.5, 0.07, 0.42))
    codes = np.array([code_of[name] for name in frame["model"]], dtype=np.int64)
    groups, counts = np.unique(codes, return_counts=True)
    for code in groups[np.lexsort((-counts, groups >= 0))].tolist():
        mine = codes == code
        colour = style.colour(code)
        if bars:
            ax.vlines(
                true[mine], lower[mine], upper[mine],
                color=colour, lw=0.5 if crowded else 0.9, alpha=faint, zorder=2,
            )  # fmt: skip
        ax.scatter(
            true[mine], predicted[mine], s=size**2, marker=style.marker(code), color=colour,
            edgecolors="white", linewidths=0.2 if crowded else 0.4, zorder=3, clip_on=False,
        )  # fmt: skip
    ax.set_xlim(limits)
    ax.set_ylim(limits)
    _furnish(ax, title, _caption(frame, bars))


def _caption(frame: pd.DataFrame, bars: bool) -> str:
    """How good the predictions of a panel are."""
    true, predicted = (frame[name].to_numpy(np.float64) for name in ("true", "predicted"))
    words = []
    if len(true) > 2 and np.ptp(true) > 0 and np.ptp(predicted) > 0:
        words.append(f"r {np.corrcoef(true, predicted)[0, 1]:.2f}")
    words.append(f"mean error {np.abs(true - predicted).mean():.3f}")
    if bars:
        lower, upper = (frame[name].to_numpy(np.float64) for name in ("lower", "upper"))
        known = ~(np.isnan(lower) | np.isnan(upper))
        if known.any():
            inside = (lower <= true) & (true <= upper)
            words.append(f"bars hold {100 * inside[known].mean():.0f}%")
    return f"{len(true):,} models: " + ", ".join(words)


def _furnish(ax: Axes, title: str, caption: str) -> None:
    """Title, labels and ticks, in the style of all pictures."""
    from matplotlib.ticker import MaxNLocator

    box = ax.get_window_extent()
    width = float(box.width) * 72 / ax.figure.dpi

    def line(y: float, text: str, points: float, colour: str, bold: bool = False) -> None:
        ax.annotate(
            fit_text(text, points, width, limit=len(text), bold=bold), (0, 1), (0, y),
            xycoords="axes fraction", textcoords="offset points", parse_math=False,
            color=colour, fontproperties=font(points, bold=bold),
        )  # fmt: skip

    line(17, title, 10.0, INK, bold=True)
    line(6, caption, _SIZE - 0.5, MUTED)
    ax.set_xlabel("true", color=INK, fontproperties=font(_SIZE + 1), labelpad=3)
    ax.set_ylabel("predicted", color=INK, fontproperties=font(_SIZE + 1), labelpad=3)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(MUTED)
    ax.tick_params(colors=INK, labelsize=_SIZE, labelfontfamily="DejaVu Sans", width=0.6)
