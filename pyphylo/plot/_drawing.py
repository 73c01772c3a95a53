"""What a picture of a tree is made from, whatever its layout."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo.plot._layout import Preorder, drawn_lengths, preorder
from pyphylo.plot._style import FamilyStyle, family_style
from pyphylo.plot._text import printable
from pyphylo.plot._types import Bools, Floats, Ints, TreeLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Transform

__all__ = ["MIN_FONT", "Drawing", "font_size", "line_width", "stroke", "support_size"]

MIN_FONT = 5.0
"""Smallest font, in points: below it names are thinned or left out."""


@dataclass(frozen=True)
class Drawing:
    """A tree and how it is to be drawn.

    Parameters
    ----------
    walk : Preorder
    parent : ndarray of int64, shape (n_nodes,)
    lengths : ndarray of float64, shape (n_nodes,)
        Finite, not negative.
    support : ndarray of float64, shape (n_nodes,)
        In parts of 1, NaN where there is none.
    names : tuple of str
        The tips' names as drawn.
    ancestors : ndarray of bool, shape (n_tips,)
        Tips that stand for a named inner node, on a branch of length 0 there.
    style : FamilyStyle
    unit : str
        What branch lengths count.
    to_scale : bool
    notes : tuple of str
        What the picture does not show.
    """

    walk: Preorder
    parent: Ints
    lengths: Floats
    support: Floats
    names: tuple[str, ...]
    ancestors: Bools
    style: FamilyStyle
    unit: str
    to_scale: bool
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        tree: TreeLike,
        families: Mapping[str, str] | None,
        *,
        ladder: bool,
        show_support: bool,
        unit: str,
    ) -> Drawing:
        """Prepare a tree; computes no coordinates."""
        n_leaves = tree.n_tips
        if any(getattr(tree, "labels", ())):
            from pyphylo.tree.ancestors import ancestors_as_tips

            labelled: Any = tree
            tree = ancestors_as_tips(labelled)
        tips = tuple(tree.tips)
        lengths, to_scale, n_negative = drawn_lengths(tree.length)
        support = np.array(tree.support, dtype=np.float64)
        support[: len(tips)] = np.nan
        support[-1] = np.nan
        if not show_support:
            support[:] = np.nan
        if np.nanmax(support, initial=0.0) > 1:
            support = support / 100
        notes = []
        if n_negative:
            branches = "branch" if n_negative == 1 else "branches"
            notes.append(f"{n_negative} negative {branches} drawn as 0")
        if not to_scale:
            notes.append("branches not to scale")
        elif len(tips) > 1 and not lengths.any():
            notes.append("all branches have length 0")
        if len(tips) > n_leaves:
            notes.append("rings: ancestors")
        return cls(
            walk=preorder(tree, ladder=ladder),
            parent=np.asarray(tree.parent, dtype=np.int64),
            lengths=lengths,
            support=support,
            names=tuple(map(printable, tips)),
            ancestors=np.arange(len(tips)) >= n_leaves,
            style=family_style(tips, families),
            unit=unit,
            to_scale=to_scale,
            notes=tuple(notes),
        )

    @property
    def n_tips(self) -> int:
        """Number of tips."""
        return len(self.names)

    @property
    def supported(self) -> Ints:
        """Internal nodes that have a support."""
        return np.flatnonzero(np.isfinite(self.support))

    @property
    def codes(self) -> list[int]:
        """Family codes that occur among the tips."""
        found: list[int] = np.unique(self.style.code).tolist()
        return found

    def tip_marks(self) -> Iterator[tuple[Ints, dict[str, Any]]]:
        """Tips that are marked alike, and how: filled, or as a ring for an ancestor."""
        for code in self.codes:
            colour, marker = self.style.colour(code), self.style.marker(code)
            fillings: tuple[dict[str, Any], ...] = (
                {"color": colour},
                {"facecolors": "#ffffff", "edgecolors": colour, "linewidths": 0.9},
            )
            for hollow, filling in enumerate(fillings):
                tips = np.flatnonzero((self.style.code == code) & (self.ancestors == bool(hollow)))
                if len(tips):
                    yield tips, {"marker": marker, "zorder": 2.5, **filling}


def font_size(n: int) -> float:
    """Font size in points for `n` names on a figure that is made for them."""
    return float(np.clip(9.5 - 3 * math.log10(max(n, 1) / 10), MIN_FONT + 0.1, 9.5))


def line_width(n: int) -> float:
    """Width of branches in points."""
    return float(np.clip(1.9 - 0.5 * math.log10(max(n, 1)), 0.4, 1.5))


def support_size(n: int, size: float) -> float:
    """Diameter in points of the dots that show support, beside names of a size.

    In crowded trees not much wider than branches are, which dots would hide.
    """
    return min(0.42 * size, 3.2 * line_width(n))


def stroke(
    ax: Axes,
    segments: Floats,
    colours: list[str],
    width: float,
    transform: Transform | None = None,
    **style: Any,
) -> None:
    """Draw line segments, shape (m, 4), as one path a colour."""
    from matplotlib.patches import PathPatch
    from matplotlib.path import Path

    colour = np.array(colours, dtype=object)
    for name in sorted(set(colours)):
        vertices = segments[colour == name].reshape(-1, 2)
        codes = np.tile(np.array([Path.MOVETO, Path.LINETO], dtype=np.uint8), len(vertices) // 2)
        path = Path(vertices, codes)
        path.should_simplify = False
        patch = PathPatch(path, fill=False, edgecolor=name, linewidth=width, **style)
        patch.set_transform(ax.transData if transform is None else transform)
        patch.set_clip_on(False)
        ax.add_artist(patch)
