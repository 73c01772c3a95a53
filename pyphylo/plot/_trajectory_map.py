"""Pictures of training runs on a map of models: the checkpoints' path among all others."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo.errors import InputError
from pyphylo.plot._canvas import Canvas, Legend, new_axes
from pyphylo.plot._drawing import font_size
from pyphylo.plot._style import INK, MUTED, family_style
from pyphylo.plot._text import fit_text, text_width
from pyphylo.plot._types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyphylo.distance import DistanceMatrix

__all__ = ["map_of", "plot_trajectory_map", "trajectory_map_figure"]

_WIDTH, _HEIGHT = 500.0, 400.0
_PATH = "#B2182B"
_SIDES = 16
"""Places around a point at which its name may stand, at each of three distances."""
_AIR = 1.5
_FOOT = 2.2
"""Height of what stands below the map, in font sizes."""


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
    from pyphylo.distance import DistanceMatrix
    from pyphylo.stats.trajectories import _places, _run

    if not isinstance(distances, DistanceMatrix):
        raise InputError(f"a map is made of a DistanceMatrix, not {type(distances).__name__}")
    run = _run(checkpoints, distances.ids)
    where, _ = _places(run, steps)
    values = np.asarray(distances.values, dtype=np.float64)
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0].tolist()
        raise InputError(
            f"the distance of {distances.ids[i]!r} and {distances.ids[j]!r} is not known; leave "
            "one of them out"
        )
    flat, stress = map_of(values)
    ids = distances.ids
    rows = [ids.index(name) for name in run]
    others = [row for row in range(len(ids)) if row not in set(rows)]
    style = family_style([ids[row] for row in others], families)
    size = font_size(len(ids))
    canvas = Canvas(new_axes(_WIDTH, _HEIGHT, title) if ax is None else ax)
    legend = Legend.flow(style, canvas.width, size)
    xy, scale = _on_page(canvas, flat, size, legend.height)
    marker = 0.55 * size
    for code in np.unique(style.code).tolist():
        chosen = [row for row, own in zip(others, style.code.tolist(), strict=True) if own == code]
        canvas.dots(
            xy[chosen], marker, color=style.colour(code) if style.names else MUTED,
            marker=style.marker(code), zorder=2,
        )  # fmt: skip
    path = xy[rows]
    _arrows(canvas, path, marker)
    taken = [np.concatenate([at - 0.5 * marker, at + 0.5 * marker]) for at in xy]
    taken.extend(_along(path))
    hidden = 0
    for at, step in zip(path, where.tolist(), strict=True):
        _name(canvas, at, _step_text(step), size, marker, taken, must=True, color=_PATH)
    for row, code in zip(others, style.code.tolist(), strict=True):
        text = fit_text(ids[row], size, 0.3 * canvas.width)
        colour = style.text_colour(code) if code >= 0 else INK
        hidden += not _name(canvas, xy[row], text, size, marker, taken, must=False, color=colour)
    canvas.legend(legend, style)
    _foot(canvas, scale, size, unit, stress, hidden)
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


def map_of(distances: Floats) -> tuple[Floats, float]:
    """Points in the plane whose distances are nearly those given, and the stress.

    Starts from classical scaling, so it depends on the distances alone. The wider spread
    lies across.
    """
    from sklearn.manifold import smacof

    n = len(distances)
    if n < 3 or not distances.any():
        return np.stack([np.linspace(0, distances.max(), n), np.zeros(n)], axis=1), 0.0
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ distances**2 @ centring)
    start = vectors[:, -2:] * np.sqrt(np.maximum(values[-2:], 0))
    # The sign of an eigenvector is chance: the largest entry of each is made positive.
    start = start * np.sign(start[np.abs(start).argmax(axis=0), [0, 1]] + 1e-300)
    flat, _ = smacof(
        distances, n_components=2, init=start[:, ::-1], n_init=1, eps=1e-6, random_state=0
    )
    flat = flat - flat.mean(axis=0)
    _, _, turn = np.linalg.svd(flat, full_matrices=False)
    flat = flat @ turn.T
    between = np.hypot(*(flat[:, None] - flat).transpose(2, 0, 1))
    whole = float((distances**2).sum())
    stress = float(np.sqrt(((between - distances) ** 2).sum() / whole)) if whole else 0.0
    return flat, stress


def _on_page(canvas: Canvas, flat: Floats, size: float, above: float) -> tuple[Floats, float]:
    """The points in points of the page, and points a unit; room for names at the sides."""
    low, high = flat.min(axis=0), flat.max(axis=0)
    wide = np.maximum(high - low, 1e-12)
    foot = _FOOT * size
    room = np.array([canvas.width - 9 * size, canvas.height - foot - above - 4 * size])
    scale = float(np.min(np.maximum(room, 20.0) / wide))
    middle = np.array([canvas.width / 2, foot + (canvas.height - foot - above) / 2])
    canvas.ax.set_xlim(0, canvas.width)
    canvas.ax.set_ylim(0, canvas.height)
    return middle + (flat - (low + high) / 2) * scale, scale


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


def _along(path: Floats) -> list[Floats]:
    """Small boxes along the way, which names keep off."""
    boxes = []
    for start, end in itertools.pairwise(path):
        count = max(2, int(np.hypot(*(end - start)) / 4))
        for part in np.linspace(0, 1, count):
            at = start + part * (end - start)
            boxes.append(np.concatenate([at - 1.0, at + 1.0]))
    return boxes


def _name(
    canvas: Canvas,
    at: Floats,
    text: str,
    size: float,
    marker: float,
    taken: list[Floats],
    *,
    must: bool,
    color: str,
) -> bool:
    """A text beside a point, where it covers least; left out where it need not be, and covers."""
    half = np.array([text_width(text, size) / 2 + _AIR, 0.45 * size + _AIR])
    boxes = np.array(taken)
    best, least = at, np.inf
    for far in (1.0, 1.9, 3.2) if must else (1.0, 1.7):
        for side in range(_SIDES):
            angle = 2 * np.pi * side / _SIDES
            way = np.array([np.cos(angle), np.sin(angle)])
            centre = at + way * (half + far * 0.5 * marker + 0.5 * _AIR * far)
            low, high = centre - half, centre + half
            wide = np.minimum(high, boxes[:, 2:]) - np.maximum(low, boxes[:, :2])
            covered = float(np.prod(np.maximum(wide, 0), axis=1).sum())
            if (low < 0).any() or high[0] > canvas.width or high[1] > canvas.height:
                covered += 1e4
            if covered < least - 1e-9:
                best, least = centre, covered
    if least > 0.5 and not must:
        return False
    taken.append(np.concatenate([best - half, best + half]))
    canvas.text(
        float(best[0]), float(best[1]) - 0.36 * size, text, size, ha="center", color=color, zorder=5
    )
    return True


def _step_text(step: float) -> str:
    """1000 as 1000, 143000 as 143k."""
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if step >= 10 * unit and (step / unit * 10) % 1 == 0:
            return f"{step / unit:g}{name}"
    return f"{step:g}"


def _foot(canvas: Canvas, scale: float, size: float, unit: str, stress: float, hidden: int) -> None:
    from pyphylo.plot._layout import scale_bar

    bar = scale_bar(canvas.width / scale)
    end = canvas.scale_bar(bar * scale, f"{bar:g} {unit}".rstrip(), size) if bar else 0.0
    notes = [f"stress {stress:.2f}"]
    if hidden:
        notes.append(f"{hidden} {'name' if hidden == 1 else 'names'} not shown")
    canvas.note(notes, size, end + 2 * size)
