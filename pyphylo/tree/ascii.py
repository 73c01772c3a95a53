"""Trees drawn in plain characters, for terminals and logs."""

from __future__ import annotations

import numpy as np

from pyphylo._terminal import shown
from pyphylo.errors import InputError
from pyphylo.tree.tree import Tree

__all__ = ["draw_ascii"]

MOST_TIPS = 1000


def draw_ascii(tree: Tree, width: int = 30) -> str:
    r"""A tree as text, one line a tip.

    Tips stand in the tree's display order; branches are drawn to scale, as far as
    whole characters allow. Where a branch has no length, all tips end in one column.

    Parameters
    ----------
    tree : Tree
        Of at most 1,000 tips.
    width : int
        Columns that the branches take; more only in trees too deep for it.

    Returns
    -------
    str
        Lines joined by newlines, without one at the end. Characters of names that
        a terminal would not print are escaped.

    Raises
    ------
    InputError
        When the tree has too many tips, or `width` is not positive.

    Examples
    --------
    >>> from pyphylo.tree.tree import Tree
    >>> print(draw_ascii(Tree.from_newick("((a:1,b:1):2,(c:2,d:1):1);"), width=12))
    /-------+---- a
    |       \---- b
    \---+-------- c
        \---- d
    """
    if width < 1:
        raise InputError(f"width must be at least 1, not {width}")
    if tree.n_tips > MOST_TIPS:
        raise InputError(
            f"a tree of {tree.n_tips} tips is too large to be drawn in characters (at most "
            f"{MOST_TIPS}): plot it instead"
        )
    rows, columns = _rows(tree), _columns(tree, width)
    canvas = [[" "] * (max(columns) + 1) for _ in range(tree.n_tips)]
    for node in range(tree.n_tips, tree.n_nodes):
        _draw_node(canvas, node, tree, rows, columns)
    lines = [""] * tree.n_tips
    for tip, name in enumerate(tree.tips):
        branches = "".join(canvas[rows[tip]][: columns[tip] + 1])
        lines[rows[tip]] = f"{branches} {shown(name, '')}"
    return "\n".join(lines)


def _rows(tree: Tree) -> list[int]:
    """The line of each node: a tip's own, an internal node's in the middle of its children's."""
    rows = [0] * tree.n_nodes
    for row, tip in enumerate(tree.tips_below(tree.root).tolist()):
        rows[tip] = row
    for node in range(tree.n_tips, tree.n_nodes):
        children = tree.children(node)
        rows[node] = (rows[children[0]] + rows[children[-1]]) // 2
    return rows


def _columns(tree: Tree, width: int) -> list[int]:
    """The column of each node, at least two beyond its parent's.

    Those two are why no two branches ever cross: at a tip's line, ancestors
    stand to the left of it and nothing else is on that line.
    """
    to_scale = not np.isnan(tree.length).any()
    depths = tree.depths() if to_scale else _steps(tree)
    deepest = max(float(depths.max()), 0.0)
    scale = width / deepest if deepest > 0 else 0.0
    columns = [0] * tree.n_nodes
    for node in range(tree.n_nodes - 2, -1, -1):
        columns[node] = max(columns[tree.parent[node]] + 2, round(float(depths[node]) * scale))
    if not to_scale:
        columns[: tree.n_tips] = [max(columns)] * tree.n_tips
    return columns


def _steps(tree: Tree) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Branches between each node and the root."""
    steps = np.zeros(tree.n_nodes)
    for node in range(tree.n_nodes - 2, -1, -1):
        steps[node] = steps[tree.parent[node]] + 1
    return steps


def _draw_node(
    canvas: list[list[str]], node: int, tree: Tree, rows: list[int], columns: list[int]
) -> None:
    """The vertical line at a node, and the branches that leave it to the right."""
    column, children = columns[node], tree.children(node).tolist()
    first, last = rows[children[0]], rows[children[-1]]
    for row in range(first, last + 1):
        canvas[row][column] = "|"
    for child in children:
        row = rows[child]
        for x in range(column + 1, columns[child] + (child < tree.n_tips)):
            canvas[row][x] = "-"
        canvas[row][column] = "+"
    canvas[first][column], canvas[last][column] = "/", "\\"
    if node != tree.root:
        canvas[rows[node]][column] = "+"
