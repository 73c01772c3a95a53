"""What notebooks show of genomes, tables, matrices and trees.

Every text that comes from outside is escaped, here and nowhere else: `_text` is the only way
from a name to a page. Nothing has a style sheet, a script or an address.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from pyphylo._matrix import LabelledMatrix
    from pyphylo.alleles import AlleleTable
    from pyphylo.genome import Genome
    from pyphylo.tree.tree import Tree

__all__ = ["genome_html", "matrix_html", "table_html", "tree_html"]

_PROMPTS, _MODELS, _GENES, _SQUARE = 6, 10, 5, 8
"""How many of each are shown."""
_LABELLED = 150
"""Tips up to which a tree has names; a larger one is drawn without."""
_DRAWN = 2000
"""Tips up to which a tree is drawn."""
_LONG = 60
"""Characters of a text that are shown."""


def genome_html(genome: Genome) -> str:
    """The first prompts of a genome."""
    rows = [
        (gene, "(unknown)" if prompt is None else prompt)
        for gene, prompt in zip(genome.genes[:_PROMPTS], genome.prompts, strict=False)
    ]
    return _page(repr(genome), _table(["gene", "prompt"], rows, len(genome) > len(rows)))


def table_html(table: AlleleTable) -> str:
    """The commonest allele of the first models at the first genes, and its share."""
    models, genes = table.models[:_MODELS], table.genes[:_GENES]
    frame = table.select(models=models, genes=genes).to_frame()
    weight = "probability" if "probability" in frame else "count"
    columns = (frame[name].tolist() for name in ("model", "gene", "allele", weight))
    held: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for model, gene, allele, value in zip(*columns, strict=True):
        held.setdefault((model, gene), []).append((value, allele))
    cells = {key: _commonest(cell, exact=weight != "count") for key, cell in held.items()}
    rows = [(model, *(cells.get((model, gene), "") for gene in genes)) for model in models]
    more = len(table.models) > len(models) or len(table.genes) > len(genes)
    return _page(
        f"{table!r}: the commonest allele, and its share", _table(["", *genes], rows, more)
    )


def _commonest(cell: Sequence[tuple[float, str]], *, exact: bool) -> str:
    """The allele that a model says most at a gene, the first of equals, and how often."""
    value, allele = max(cell, key=lambda entry: entry[0])
    total = 1.0 if exact else sum(entry[0] for entry in cell)
    return f"{allele!r} {value / total:.0%}"


def matrix_html(matrix: LabelledMatrix) -> str:
    """The corner of a matrix."""
    ids = matrix.ids[:_SQUARE]
    corner = matrix.filter(ids).values
    rows = [
        (name, *(f"{value:.4g}" for value in row)) for name, row in zip(ids, corner, strict=True)
    ]
    return _page(repr(matrix), _table(["", *ids], rows, len(matrix.ids) > len(ids)))


def tree_html(tree: Tree) -> str:
    """The tree as a picture, its scale below it."""
    if tree.n_tips > _DRAWN:
        return _page(f"{tree!r}: too large to be drawn here; see pyphylo.write_report", "")
    title = repr(tree)
    if tree.n_tips > _LABELLED:
        title += ": too many tips to name them here; see pyphylo.write_report"
    # A tall picture is scrolled where it stands, so that the cells around it stay in sight.
    return _page(
        title, f'<div style="max-height: 45em; overflow: auto">{_tree_picture(tree)}</div>'
    )


def _tree_picture(tree: Tree) -> str:
    """A phylogram in SVG: a path of all branches, a text a model, dots and figures of support."""
    from pyphylo.plot._layout import drawn_lengths, preorder, rectangular, scale_bar

    title, named = repr(tree), tree.n_tips <= _LABELLED
    names: Sequence[str] = tree.tips if named else ()
    if named:
        tree, names = _with_rows(tree)
    walk = preorder(tree, ladder=True)
    lengths = drawn_lengths(tree.length)[0]
    x, y = rectangular(walk, lengths, tree.n_tips)
    step = 15.0 if named else max(600.0 / tree.n_tips, 1.0)
    longest = max(map(len, map(_short, names)), default=0)
    width, height = 420.0, step * tree.n_tips + 30
    bar, span = scale_bar(float(x.max())), float(x.max()) or 1.0
    x, y = 5 + x * (width - 10) / span, (y + 0.7) * step
    wide, high = f"{width + 7.5 * longest:.0f}", f"{height:.0f}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{wide}" height="{high}" '
        f'viewBox="0 0 {wide} {high}" font-family="sans-serif" font-size="12" fill="currentColor">',
        f"<title>{_text(title)}</title>",
        f'<path fill="none" stroke="currentColor" d="{_branches(tree, x, y)}"/>',
    ]
    if named:
        parts += [
            f'<text x="{x[v] + 4:.1f}" y="{y[v] + 4:.1f}">{_text(name)}</text>'
            for v, name in enumerate(names)
        ]
        parts += [
            f'<circle cx="{x[v]:.1f}" cy="{y[v]:.1f}" r="2.5"><title>support {support:.2g}</title>'
            f'</circle><text x="{x[v] - 4:.1f}" y="{y[v] - 3:.1f}" font-size="9" '
            f'text-anchor="end">{support:.2g}</text>'
            for v, support in enumerate(tree.support)
            if np.isfinite(support)
        ]
    if bar:
        end, low = 5 + bar * (width - 10) / span, height - 14
        parts.append(
            f'<path fill="none" stroke="currentColor" d="M5 {low:.0f}H{end:.1f}"/>'
            f'<text x="5" y="{height - 2:.0f}">{bar:g}</text>'
        )
    return "".join([*parts, "</svg>"])


def _with_rows(tree: Tree) -> tuple[Tree, list[str]]:
    """The tree with a tip of length 0 at each named inner node, and what its tips are called.

    A name then has a row of its own, however short the branches around it are.
    """
    from pyphylo.tree.tree import Tree

    n = tree.n_tips
    inner = [v for v in range(n, tree.n_nodes) if tree.label(v) is not None]
    shift, rows = len(inner), n + len(inner)
    up = np.where(tree.parent < 0, -1, tree.parent + shift)
    parent = np.concatenate([up[:n], np.array(inner, dtype=np.int64) + shift, up[n:]])
    none = np.full(shift, np.nan)
    wider = Tree(
        map(str, range(rows)),
        parent,
        np.concatenate([tree.length[:n], np.zeros(shift), tree.length[n:]]),
        np.concatenate([tree.support[:n], none, tree.support[n:]]),
    )
    return wider, [*tree.tips, *(str(tree.label(v)) for v in inner)]


def _branches(tree: Tree, x: np.ndarray, y: np.ndarray) -> str:
    """From each node back to its parent's place, then up or down to it."""
    up = tree.parent
    return "".join(
        f"M{x[v]:.1f} {y[v]:.1f}H{x[up[v]]:.1f}V{y[up[v]]:.1f}" for v in range(tree.n_nodes - 1)
    )


def _page(title: str, body: str) -> str:
    return f"<div><p>{_text(title, len(title))}</p>{body}</div>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], more: bool) -> str:
    """A table whose first column is of names; `more` says that not all is shown."""
    lines = "".join(
        f'<tr><th scope="row">{_text(row[0])}</th>'
        + "".join(f"<td>{_text(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    columns = "".join(f'<th scope="col">{_text(name)}</th>' for name in head)
    end = "<p>…</p>" if more else ""
    head_row = f"<thead><tr>{columns}</tr></thead>"
    return f'<table cellpadding="4">{head_row}<tbody>{lines}</tbody></table>{end}'


def _text(text: str, longest: int = _LONG) -> str:
    """A text as a page may hold it."""
    return escape(_short(text, longest), quote=True)


def _short(text: str, longest: int = _LONG) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
