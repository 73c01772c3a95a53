"""Maps of models: the plane in which their distances are most nearly as given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pyphylo.errors import InputError
from pyphylo.plot._canvas import Canvas, Legend, new_axes, room_for
from pyphylo.plot._drawing import font_size
from pyphylo.plot._layout import scale_bar
from pyphylo.plot._style import INK, MUTED, family_style
from pyphylo.plot._text import fit_text, text_width
from pyphylo.plot._types import Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from pyphylo.distance import DistanceMatrix
    from pyphylo.plot._style import FamilyStyle

__all__ = [
    "Names",
    "foot",
    "known_distances",
    "map_canvas",
    "map_figure",
    "map_of",
    "on_page",
    "others_dots",
    "plot_map",
]

_SIDES = 16
"""Places around a point at which its name may stand, at each of some distances."""
_AIR = 1.5
_FOOT = 2.2
"""Height of what stands below the map, in font sizes."""
_MOST_NAMED = 600
"""Models above which no names are tried: there is no room, and it takes long to find that out."""
_MANY = 500
"""Models above which the map is settled sooner."""


def plot_map(
    distances: DistanceMatrix,
    *,
    families: Mapping[str, str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    unit: str = "Nei distance",
) -> Axes:
    """Draw models as points of a plane, as far apart as their distances say, nearly.

    The map is that of multidimensional scaling (SMACOF from the classical solution); how
    nearly distances are kept, it says: the stress is the root of the squared error over the
    sum of squared distances.

    Parameters
    ----------
    distances : DistanceMatrix
        All of them known.
    families : mapping of str to str, optional
        Family of each model: colour and marker; those without one are grey.
    ax : matplotlib.axes.Axes, optional
        Where to draw; everything stays inside, except the title. By default a figure of a
        fitting size is made.
    title : str, optional
    unit : str
        Written at the scale bar.

    Returns
    -------
    matplotlib.axes.Axes
        In points from the lower left corner; one unit is as long across as up. Names that
        would cover others or points are left out, and it is said how many.

    Raises
    ------
    InputError
        Not a DistanceMatrix, an unknown distance, or a family that is not a string.

    Notes
    -----
    O(models^2) a round; 2,000 models take some seconds. de Leeuw (1977), in Recent
    Developments in Statistics, 133-145.
    """
    flat, stress = map_of(known_distances(distances))
    ids = distances.ids
    style = family_style(ids, families)
    canvas, legend, size = map_canvas(style, len(ids), ax, title)
    xy, scale = on_page(canvas, flat, ids, size, legend)
    marker = 0.55 * size
    others_dots(canvas, xy, style, marker)
    names = Names(canvas, size, marker, xy, legend)
    hidden = 0
    for row, code in enumerate(style.code.tolist()):
        colour = style.text_colour(code) if code >= 0 else INK
        text = fit_text(ids[row], size, 0.3 * canvas.width)
        hidden += not names.beside(xy[row], text, must=False, color=colour)
    canvas.legend(legend, style)
    foot(canvas, scale, legend.size, unit, stress, hidden)
    canvas.title(title)
    return canvas.ax


def map_figure(
    distances: DistanceMatrix,
    *,
    families: Mapping[str, str] | None = None,
    title: str | None = None,
    unit: str = "Nei distance",
) -> Figure:
    """A figure of a fitting size with a map on it; see `plot_map`."""
    ax = plot_map(distances, families=families, title=title, unit=unit)
    return ax.figure  # type: ignore[return-value]  # made by new_axes, so no subfigure


def known_distances(distances: DistanceMatrix) -> Floats:
    """The square of distances, if all are known."""
    from pyphylo.distance import DistanceMatrix

    if not isinstance(distances, DistanceMatrix):
        raise InputError(f"a map is made of a DistanceMatrix, not {type(distances).__name__}")
    values = np.asarray(distances.values, dtype=np.float64)
    if not np.isfinite(values).all():
        i, j = np.argwhere(~np.isfinite(values))[0].tolist()
        raise InputError(
            f"the distance of {distances.ids[i]!r} and {distances.ids[j]!r} is not known; leave "
            "one of them out"
        )
    return values


def map_of(distances: Floats) -> tuple[Floats, float]:
    """Points in the plane whose distances are nearly those given, and the stress.

    Starts from classical scaling, so it depends on the distances alone. The wider spread
    lies across.
    """
    from scipy.linalg import eigh
    from sklearn.manifold import smacof

    n = len(distances)
    if n < 3 or not distances.any():
        return np.stack([np.linspace(0, distances.max(), n), np.zeros(n)], axis=1), 0.0
    inner = -0.5 * distances**2
    inner -= inner.mean(axis=0)
    inner -= inner.mean(axis=1)[:, None]
    values, vectors = eigh(inner, subset_by_index=[n - 2, n - 1])
    start = vectors * np.sqrt(np.maximum(values, 0))
    # The sign of an eigenvector is chance: the largest entry of each is made positive.
    start = start * np.sign(start[np.abs(start).argmax(axis=0), [0, 1]] + 1e-300)
    eps = 1e-6 if n <= _MANY else 1e-4
    flat, _ = smacof(
        distances, n_components=2, init=start[:, ::-1], n_init=1, eps=eps, random_state=0
    )
    flat = flat - flat.mean(axis=0)
    _, _, turn = np.linalg.svd(flat, full_matrices=False)
    flat = flat @ turn.T
    between = np.hypot(*(flat[:, None] - flat).transpose(2, 0, 1))
    whole = float((distances**2).sum())
    stress = float(np.sqrt(((between - distances) ** 2).sum() / whole)) if whole else 0.0
    return flat, stress


def map_canvas(
    style: FamilyStyle, n: int, ax: Axes | None, title: str | None
) -> tuple[Canvas, Legend, float]:
    """Given axes or ones that suit `n` models, the legend that fits there, and names' size."""
    size = float(np.clip(font_size(n) + 0.8, 6.5, 9.0))
    if ax is None:
        # Names need room; where there are none, points need less.
        grown = float(np.clip((n / 40) ** 0.3, 1.0, 2.2)) if n <= _MOST_NAMED else 1.4
        legend = Legend.flow(style, 500.0 * grown, size)
        ax = new_axes(500.0 * grown, 400.0 * grown + legend.height, title)
    canvas = Canvas(ax)
    names = room_for(1.15 * min(canvas.width, canvas.height), font_size(n))
    return canvas, Legend.flow(style, canvas.width, size), names


def on_page(
    canvas: Canvas, flat: Floats, ids: Sequence[str], size: float, legend: Legend
) -> tuple[Floats, float]:
    """The points in points of the page, and points a unit; room for most names at the sides."""
    beside = 4.5 * size
    if len(ids) <= _MOST_NAMED:
        widths = [text_width(fit_text(name, size, 0.3 * canvas.width), size) for name in ids]
        beside = max(beside, min(float(np.median(widths)) + 2 * size, 0.16 * canvas.width))
    low, high = flat.min(axis=0), flat.max(axis=0)
    wide = np.maximum(high - low, 1e-12)
    under, above = _FOOT * legend.size, legend.height
    room = np.array([canvas.width - 2 * beside, canvas.height - under - above - 4 * size])
    scale = float(np.min(np.maximum(room, 20.0) / wide))
    middle = np.array([canvas.width / 2, under + (canvas.height - under - above) / 2])
    canvas.ax.set_xlim(0, canvas.width)
    canvas.ax.set_ylim(0, canvas.height)
    return middle + (flat - (low + high) / 2) * scale, scale


def others_dots(canvas: Canvas, xy: Floats, style: FamilyStyle, marker: float) -> None:
    """Markers of models in the colours of their families."""
    for code in np.unique(style.code).tolist():
        colour = style.colour(code) if style.names else MUTED
        chosen = xy[style.code == code]
        canvas.dots(chosen, marker, color=colour, marker=style.marker(code), zorder=2)


class Names:
    """Names beside the points of a map, each where it covers least.

    Parameters
    ----------
    canvas : Canvas
    size, marker : float
        Of the font and of the points' markers, in points of the page.
    xy : ndarray of float64, shape (n, 2)
        All points.
    legend : Legend
        Names keep off it and off the foot.
    """

    def __init__(
        self, canvas: Canvas, size: float, marker: float, xy: Floats, legend: Legend
    ) -> None:
        self._canvas, self._size, self._marker = canvas, size, marker
        self._low = np.array([0.0, 1.5 * legend.size])
        self._high = np.array([canvas.width, canvas.height - legend.height])
        self._crowded = len(xy) > _MOST_NAMED
        self._taken = np.concatenate([xy - 0.5 * marker, xy + 0.5 * marker], axis=1)

    def keep_off(self, boxes: Floats) -> None:
        """Names keep off these boxes too: left, bottom, right, top."""
        self._taken = np.concatenate([self._taken, np.asarray(boxes).reshape(-1, 4)])

    def beside(self, at: Floats, text: str, *, must: bool, color: str) -> bool:
        """Set a text beside a point; it is left out where it need not be there, and covers."""
        if self._crowded and not must:
            return False
        size, marker = self._size, self._marker
        half = np.array([text_width(text, size) / 2 + _AIR, 0.45 * size + _AIR])
        far = np.repeat((1.0, 1.9, 3.2) if must else (1.0, 1.7), _SIDES)
        angle = np.tile(2 * np.pi * np.arange(_SIDES) / _SIDES, len(far) // _SIDES)
        way = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        centre = at + way * (half + far[:, None] * 0.5 * (marker + 1.6 * _AIR))
        low, high = centre - half, centre + half
        wide = np.minimum(high[:, None], self._taken[:, 2:])
        wide -= np.maximum(low[:, None], self._taken[:, :2])
        covered = np.prod(np.maximum(wide, 0), axis=2).sum(axis=1)
        outside = ((low < self._low) | (high > self._high)).any(axis=1)
        covered = np.round(covered + 1e4 * outside, 9)
        best = int(covered.argmin())
        if covered[best] > 0.5 and not must:
            return False
        self.keep_off(np.concatenate([low[best], high[best]]))
        x, y = centre[best].tolist()
        self._canvas.text(x, y - 0.36 * size, text, size, ha="center", color=color, zorder=5)
        return True


def foot(canvas: Canvas, scale: float, size: float, unit: str, stress: float, hidden: int) -> None:
    """Scale bar, stress and how many names are left out."""
    bar = scale_bar(canvas.width / scale)
    end = canvas.scale_bar(bar * scale, f"{bar:g} {unit}".rstrip(), size) if bar else 0.0
    notes = [f"stress {stress:.2f}"]
    if hidden:
        notes.append(f"{hidden:,} {'name' if hidden == 1 else 'names'} not shown")
    canvas.note(notes, size, end + 2 * size)
