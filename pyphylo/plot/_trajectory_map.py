"""Pictures of training runs on a map of models: the checkpoints' path among all others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo.plot._canvas import Canvas
from pyphylo.plot._map import (
    Names,
    foot,
    known_distances,
    map_canvas,
    map_of,
    on_page,
    others_dots,
)
from pyphylo.plot._style import INK, family_style
from pyphylo.plot._text import fit_text
from pyphylo.plot._types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyphylo.distance import DistanceMatrix

__all__ = ["plot_trajectory_map", "trajectory_map_figure"]

_PATH = "#B2182B"


def plot_trajectory_map(
    distances: DistanceMatrix,
    checkpoints: str | Sequence[str],
    *,
    steps: Sequence[float] | None = None,
    families: Mapping[str, str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    unit: str = "Nei distance",
) -> Axes:
    """Draw the path of a run over a map of all models, from checkpoint to checkpoint.

    The map is the plane in which the models' distances are most nearly as given
    (multidimensional scaling, SMACOF from the classical solution); how nearly, it says: the
    stress is the root of the squared error over the sum of squared distances.

    Parameters
    ----------
    distances : DistanceMatrix
        Of all models to be shown, the checkpoints among them.
    checkpoints, steps
        As in `pyphylo.trajectory`. Each is labelled with its step.
    families : mapping of str to str, optional
        Family of each other model; those without one are grey.
    ax : matplotlib.axes.Axes, optional
        Where to draw. By default a figure is made.
    title : str, optional
    unit : str
        Written at the scale bar.

    Returns
    -------
    matplotlib.axes.Axes
        One unit is as long across as up. Names that would cover others are left out,
        and it is said how many; steps are never.

    Raises
    ------
    InputError
        Not a DistanceMatrix, an unknown distance, or as `pyphylo.trajectory`.

    Notes
    -----
    O(models^2) a round; some 200 models take a second. de Leeuw (1977), in Recent
    Developments in Statistics, 133-145.
    """
    from pyphylo.stats.trajectories import _places, _run

    values = known_distances(distances)
    run = _run(checkpoints, distances.ids)
    where, _ = _places(run, steps)
    flat, stress = map_of(values)
    ids = distances.ids
    rows = [ids.index(name) for name in run]
    others = [row for row in range(len(ids)) if row not in set(rows)]
    style = family_style([ids[row] for row in others], families)
    canvas, legend, size = map_canvas(style, len(ids), ax, title)
    xy, scale = on_page(canvas, flat, ids, size, legend)
    marker = 0.55 * size
    others_dots(canvas, xy[others], style, marker)
    path = xy[rows]
    _arrows(canvas, path, marker)
    names = Names(canvas, size, marker, xy, legend)
    names.keep_off(_along(path))
    for at, step in zip(path, where.tolist(), strict=True):
        names.beside(at, _step_text(step), must=True, color=_PATH)
    hidden = 0
    for row, code in zip(others, style.code.tolist(), strict=True):
        text = fit_text(ids[row], size, 0.3 * canvas.width)
        colour = style.text_colour(code) if code >= 0 else INK
        hidden += not names.beside(xy[row], text, must=False, color=colour)
    canvas.legend(legend, style)
    foot(canvas, scale, legend.size, unit, stress, hidden)
    canvas.title(title)
    return canvas.ax


def trajectory_map_figure(
    distances: DistanceMatrix,
    checkpoints: str | Sequence[str],
    *,
    steps: Sequence[float] | None = None,
    families: Mapping[str, str] | None = None,
    title: str | None = None,
    unit: str = "Nei distance",
) -> Figure:
    """A figure with the map on it; see `plot_trajectory_map`."""
    ax = plot_trajectory_map(
        distances, checkpoints, steps=steps, families=families, title=title, unit=unit
    )
    return ax.figure  # type: ignore[return-value]  # made by new_axes, so no subfigure


def _arrows(canvas: Canvas, path: Floats, marker: float) -> None:
    """The way from each checkpoint to the next, and a dot for each; the last one is larger."""
    from matplotlib.patches import FancyArrowPatch

    for start, end in itertools.pairwise(path):
        long = float(np.hypot(*(end - start)))
        if long < marker:
            continue
        patch = FancyArrowPatch(
            tuple(start),
            tuple(end),
            arrowstyle="-|>",
            mutation_scale=float(np.clip(0.35 * long, 4.0, 9.0)),
            shrinkA=0.3 * marker,
            shrinkB=0.5 * marker,
            linewidth=1.2,
            color=_PATH,
            transform=canvas.points,
            zorder=3,
        )
        patch.set_clip_on(False)
        canvas.ax.add_patch(patch)
    canvas.dots(path, marker, color=_PATH, zorder=3.5)
    ends: dict[str, Any] = {
        "facecolors": "#FFFFFF",
        "edgecolors": _PATH,
        "linewidths": 1.2,
        "zorder": 3.6,
    }
    canvas.dots(path[:1], 1.15 * marker, **ends)


def _along(path: Floats) -> Floats:
    """Small boxes along the way, which names keep off."""
    boxes = []
    for start, end in itertools.pairwise(path):
        count = max(2, int(np.hypot(*(end - start)) / 4))
        for part in np.linspace(0, 1, count):
            at = start + part * (end - start)
            boxes.append(np.concatenate([at - 1.0, at + 1.0]))
    return np.array(boxes).reshape(-1, 4)


def _step_text(step: float) -> str:
    """1000 as 1000, 143000 as 143k."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if step >= 10 * unit and (step / unit * 10) % 1 == 0:
            return f"{step / unit:g}{name}"
    return f"{step:g}"
