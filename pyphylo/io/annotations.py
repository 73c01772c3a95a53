"""Metadata beside a tree, for the viewers iTOL and Taxonium.

Rows of metadata are as `pyphylo.io.metadata.read_metadata` gives them; models that are
not in the tree are passed over. Ancestors that are inner nodes are annotated, too.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pyphylo._files import atomic_write_bytes
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["Rows", "write_itol", "write_taxonium"]

Rows = Mapping[str, Mapping[str, str]]
_BAR = "#0072B2"
_KEY = "strain"
"""The column by which Taxonium joins metadata to a tree."""
_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]")
"""What ends a line or a cell in some reader."""


def write_itol(tree: Tree, metadata: Rows, directory: str | Path) -> list[Path]:
    """Write annotation files to be dropped onto a tree in iTOL.

    ``labels.txt`` (column ``label``, otherwise the name), ``family.txt`` (a strip in
    the colours of pyphylo's pictures) where families are known, and ``bar_COLUMN.txt``
    for each column of which all known values are numbers.

    Parameters
    ----------
    tree : Tree
    metadata : mapping of model to mapping of column to text
    directory : str or Path
        Made where it does not exist.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    InputError
        When a line of iTOL's cannot hold a name: it has no way to write tabs, line
        breaks and other control characters, nor a name that begins with ``#``.
    """
    names = _annotated(tree)
    for name in names:
        if _BREAKS.search(name) or name.startswith("#") or name.strip() != name:
            raise InputError(
                f"{name!r}: iTOL cannot hold names with tabs, line breaks, blanks at an end or "
                "a # at the start; rename it"
            )
    rows = {name: metadata.get(name, {}) for name in names}
    texts = {"labels.txt": _labels(rows)}
    if any(row.get("family") for row in rows.values()):
        texts["family.txt"] = _strip(tree, rows)
    for column in _numeric_columns(rows):
        stem = "bar_" + re.sub(r"[^\w.-]", "_", column)
        while f"{stem}.txt" in texts:
            stem += "_"
        texts[f"{stem}.txt"] = _bars(column, rows)
    folder = _made(directory)
    for file, text in texts.items():
        atomic_write_bytes(folder / file, text.encode())
    return [folder / file for file in texts]


def write_taxonium(tree: Tree, metadata: Rows, path: str | Path) -> None:
    """Write metadata for Taxonium, which reads it beside a Newick file.

    A CSV file, in UTF-8, replaced atomically: column ``strain`` with the names in the
    tree, then the columns of `metadata`; cells are quoted where they have to be.

    Raises
    ------
    InputError
        When `metadata` has a column ``strain`` of its own.
    """
    names = _annotated(tree)
    columns = _columns(metadata.get(name, {}) for name in names)
    if _KEY in columns:
        raise InputError(f"the metadata has a column {_KEY!r}, which is the tree's; rename it")
    text = io.StringIO(newline="")
    # Line ends as RFC 4180 has them: only so is a lone carriage return quoted, too.
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([_KEY, *columns])
    for name in names:
        row = metadata.get(name, {})
        writer.writerow([name, *(row.get(column, "") for column in columns)])
    atomic_write_bytes(path, text.getvalue().encode())


def _annotated(tree: Tree) -> list[str]:
    """Tips, and ancestors that are inner nodes; each name once."""
    labels = (label for label in tree.labels if label)
    return list(dict.fromkeys([*tree.tips, *labels]))


def _columns(rows: Iterable[Mapping[str, str]]) -> list[str]:
    return list(dict.fromkeys(column for row in rows for column in row))


def _numeric_columns(rows: Rows) -> list[str]:
    found = []
    for column in _columns(rows.values()):
        cells = [row[column] for row in rows.values() if row.get(column)]
        if cells and all(_is_finite(cell) for cell in cells):
            found.append(column)
    return [column for column in found if column not in ("family", "label", "base_model")]


def _is_finite(cell: str) -> bool:
    return _NUMBER.fullmatch(cell) is not None and math.isfinite(float(cell))


def _made(directory: str | Path) -> Path:
    folder = Path(directory)
    try:
        folder.mkdir(exist_ok=True)
    except FileExistsError:
        raise InputError(f"cannot write to {str(directory)!r}: it is not a folder") from None
    except FileNotFoundError:
        raise InputError(
            f"cannot make {str(directory)!r}: the folder around it does not exist"
        ) from None
    return folder


def _table(kind: str, options: list[tuple[str, ...]], data: list[tuple[str, ...]]) -> str:
    """A file of iTOL's; what is only shown has blanks in the place of tabs and line breaks."""
    lines = [kind, "SEPARATOR TAB"]
    lines += ["\t".join(_BREAKS.sub(" ", cell) for cell in row) for row in options]
    lines += ["DATA"]
    lines += ["\t".join(_BREAKS.sub(" ", cell) for cell in row) for row in data]
    return "\n".join(lines) + "\n"


def _labels(rows: Rows) -> str:
    return _table("LABELS", [], [(name, row.get("label") or name) for name, row in rows.items()])


def _strip(tree: Tree, rows: Rows) -> str:
    from pyphylo.plot._style import family_style

    families = {name: row["family"] for name, row in rows.items() if row.get("family")}
    # As in the pictures, colours go by the tips' families; those of ancestors alone follow.
    style = family_style(tree.tips, families)
    others = sorted(set(families.values()) - set(style.names))
    colours = {name: style.colour(code) for code, name in enumerate([*style.names, *others])}
    if not style.names:
        colours = dict.fromkeys(others, _BAR)
    return _table(
        "DATASET_COLORSTRIP",
        [
            ("DATASET_LABEL", "family"),
            ("COLOR", _BAR),
            ("LEGEND_TITLE", "family"),
            ("LEGEND_SHAPES", *("1" for _ in colours)),
            ("LEGEND_COLORS", *colours.values()),
            ("LEGEND_LABELS", *colours),
        ],
        [(name, colours[family], family) for name, family in families.items()],
    )


def _bars(column: str, rows: Rows) -> str:
    return _table(
        "DATASET_SIMPLEBAR",
        [("DATASET_LABEL", column), ("COLOR", _BAR)],
        [(name, row[column].strip()) for name, row in rows.items() if row.get(column)],
    )
