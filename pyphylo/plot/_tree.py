"""Pictures of trees."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pyphylo.errors import InputError
from pyphylo.plot._circular import draw_circular
from pyphylo.plot._drawing import Drawing
from pyphylo.plot._rectangular import draw_rectangular
from pyphylo.plot._types import TreeLike
from pyphylo.plot._unrooted import draw_unrooted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["plot_tree", "tree_figure"]

_LAYOUTS = {
    "rectangular": draw_rectangular,
    "circular": draw_circular,
    "unrooted": draw_unrooted,
}


def plot_tree(
    tree: TreeLike,
    *,
    layout: str = "rectangular",
    families: Mapping[str, str] | None = None,
    ax: Axes | None = None,
    title: str | None = None,
    ladderize: bool = True,
    show_support: bool = True,
    unit: str = "Nei distance",
) -> Axes:
    """Draw a tree, branch lengths to scale.

    A branch has the colour of a family where all tips beyond it belong to that
    family. Negative branches are drawn as 0 and unknown ones too, unless all are unknown:
    then every branch is drawn with the same length. What a picture leaves out, it says.

    Parameters
    ----------
    tree : pyphylo.tree.Tree
    layout : {"rectangular", "circular", "unrooted"}
        ``"rectangular"`` and ``"circular"`` start from the tree's stored root: root the tree
        first if need be. ``"circular"`` has all names on a circle, thin lines leading to
        them. ``"unrooted"`` lies between the equal-angle and the equal-daylight layout, where
        names come closest to their tips; without names, above 400 tips, it is equal-daylight,
        and equal-angle above some 5,400, for which daylight takes too long.
    families : mapping of str to str, optional
        Family of each tip; tips without one are grey. Other names are passed over.
    ax : matplotlib.axes.Axes, optional
        Where to draw; everything stays inside, except the title. By default a
        figure of a fitting size is made (``.figure`` of what is returned).
    title : str, optional
    ladderize : bool
        Whether smaller subtrees come first, rather than the tree's own order.
    show_support : bool
        Whether supports are shown, where the tree has them.
    unit : str
        Written at the scale bar.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InputError
        When the layout is unknown or a family is not a string.
    """
    if layout not in _LAYOUTS:
        known = ", ".join(map(repr, _LAYOUTS))
        raise InputError(f"unknown tree layout {layout!r}; known: {known}")
    drawing = Drawing.of(tree, families, ladder=ladderize, show_support=show_support, unit=unit)
    canvas = _LAYOUTS[layout](drawing, ax, title)
    canvas.title(title)
    return canvas.ax


def tree_figure(
    tree: TreeLike,
    *,
    layout: str = "rectangular",
    families: Mapping[str, str] | None = None,
    title: str | None = None,
    ladderize: bool = True,
    show_support: bool = True,
    unit: str = "Nei distance",
) -> Figure:
    """A figure of a fitting size with a tree on it; see `plot_tree`."""
    ax = plot_tree(
        tree,
        layout=layout,
        families=families,
        title=title,
        ladderize=ladderize,
        show_support=show_support,
        unit=unit,
    )
    return ax.figure  # type: ignore[return-value]  # made by new_axes, so no subfigure
