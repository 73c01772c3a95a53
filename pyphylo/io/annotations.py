"""Metadata beside a tree, for the viewers iTOL and Taxonium.

Rows of metadata are as `pyphylo.io.metadata.read_metadata` gives them; models that are
not in the tree are passed over. Ancestors that are inner nodes are annotated, too.

Both viewers find a node by its name in the tree, and neither reads every name that Newick can
quote: Taxonium ends one at a comma whatever the quotes, iTOL takes ``a|b`` for the common
ancestor of two. Where a model has such a name, a tree with ids is written beside.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from pyphylo._files import atomic_write_bytes, check_target
from pyphylo.errors import InputError
from pyphylo.tree.newick import NUMBER

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["Rows", "annotation_paths", "viewer_ids", "write_itol", "write_taxonium"]

Rows = Mapping[str, Mapping[str, str]]
_BAR = "#0072B2"
_LOW, _MIDDLE = "#D55E00", "#FFFFFF"
_TREE = "tree_ids.nwk"
_KEY = "strain"
"""The column by which Taxonium joins metadata to a tree."""
_SAFE = re.compile(r"[A-Za-z0-9.@/+-]+")
"""Names that both viewers read as they stand, in the tree and in the files beside."""
_BREAKS = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
"""What ends a line or a cell in some reader."""


def write_itol(tree: Tree, metadata: Rows, directory: str | Path) -> list[Path]:
    """Write annotation files to be dropped onto a tree in iTOL.

    ``labels.txt`` (column ``label``, otherwise the name), ``family.txt`` (a strip in
    the colours of pyphylo's pictures) where families are known, ``metadata.txt`` (all
    columns), and for each column of which all known values are numbers
    ``bar_COLUMN.txt``, or ``gradient_COLUMN.txt`` where some are negative. They are for
    the tree as it is, or for ``tree_ids.nwk`` where that is among them: see `viewer_ids`.

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
        When a file cannot be put there; then none is written.

    Notes
    -----
    White space in what is shown becomes one blank; ``& < >`` are written as in HTML,
    for iTOL formats labels by tags.
    """
    return _write(directory, _itol_texts(tree, metadata))


def write_taxonium(tree: Tree, metadata: Rows, directory: str | Path) -> list[Path]:
    """Write metadata for Taxonium, which reads them beside a Newick file.

    ``taxonium.tsv``: column ``strain`` with the names in the tree, then ``model``, then the
    columns of `metadata`; white space in a cell becomes one blank. ``tree_ids.nwk``
    where it is needed: see `viewer_ids`; one folder can hold the files for both.

    Raises
    ------
    InputError
        When `metadata` has a column ``strain`` of its own, or a file cannot be put
        there; then none is written.
    """
    return _write(directory, _taxonium_texts(tree, metadata))


def annotation_paths(names: Sequence[str], metadata: Rows, directory: str | Path) -> list[Path]:
    """The files that both writers will write for a tree of these models.

    Raises
    ------
    InputError
        When one of the writers would refuse them.
    """
    from pyphylo.tree.tree import Tree

    # Which files there are depends on the models, not on the shape of their tree.
    n = len(names)
    star = Tree(names, [n] * n + [-1])
    texts = {**_itol_texts(star, metadata), **_taxonium_texts(star, metadata)}
    return _targets(directory, texts)


def viewer_ids(names: Iterable[str]) -> dict[str, str]:
    """For each name the one that it has in the files for viewers, all different.

    Names of ASCII letters, digits and ``. @ / + -`` are kept. In others, and in names that
    are numbers (which a node inside the tree would have for its support), anything else
    becomes a hyphen; of equal ones the second gets a ``-2``, and so on, in their order.
    """
    given = list(dict.fromkeys(names))
    ids = {name: name for name in given if _SAFE.fullmatch(name) and not NUMBER.fullmatch(name)}
    taken = set(ids)
    tried: dict[str, int] = {}
    for name in given:
        if name in taken:
            continue
        stem = re.sub(r"[^A-Za-z0-9.@/+]+", "-", name).strip("-") or "model"
        if NUMBER.fullmatch(stem):
            stem = f"model-{stem}"
        ids[name] = _free(stem, taken, tried)
    return {name: ids[name] for name in given}


def _free(stem: str, taken: set[str], tried: dict[str, int]) -> str:
    """The stem, or the first of stem-2, stem-3 … that is not taken; it then is."""
    number = tried.get(stem, 1)
    found = stem if number == 1 else f"{stem}-{number}"
    while found in taken:
        number += 1
        found = f"{stem}-{number}"
    tried[stem] = number
    taken.add(found)
    return found


def _targets(directory: str | Path, texts: Iterable[str]) -> list[Path]:
    """The paths of files in a folder that may have to be made; refused where one cannot be."""
    folder = Path(directory)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"cannot write to {str(directory)!r}: it is not a folder")
    if not folder.absolute().parent.is_dir():
        raise InputError(f"cannot make {str(directory)!r}: the folder around it does not exist")
    if folder.exists():
        for name in texts:
            check_target(folder / name)
    else:
        check_target(folder)
    return [folder / name for name in texts]


def _write(directory: str | Path, texts: Mapping[str, str]) -> list[Path]:
    paths = _targets(directory, texts)
    Path(directory).mkdir(exist_ok=True)
    for path, text in zip(paths, texts.values(), strict=True):
        atomic_write_bytes(path, text.encode())
    return paths


def _itol_texts(tree: Tree, metadata: Rows) -> dict[str, str]:
    """Files for iTOL, by name."""
    ids = viewer_ids(_annotated(tree))
    rows = {name: metadata.get(name, {}) for name in ids}
    columns = _columns(rows)
    texts = _tree_text(tree, ids)
    texts["labels.txt"] = _table(
        "LABELS", [], [(ids[name], _shown(row.get("label") or name)) for name, row in rows.items()]
    )
    if "family" in columns:
        texts["family.txt"] = _strip(tree, ids, columns["family"])
    if columns:
        texts["metadata.txt"] = _all_columns(ids, columns)
    taken: set[str] = set()
    tried: dict[str, int] = {}
    for column, cells in columns.items():
        if column in ("family", "label", "base_model") or not all(map(_is_finite, cells.values())):
            continue
        kind = "gradient" if any(float(cell) < 0 for cell in cells.values()) else "bar"
        # Some systems do not tell upper from lower case in the names of files.
        stem = f"{kind}_{re.sub(r'[^a-z0-9._-]', '_', column.lower())[:80]}"
        texts[f"{_free(stem, taken, tried)}.txt"] = _numbers(kind, column, ids, cells)
    return texts


def _taxonium_texts(tree: Tree, metadata: Rows) -> dict[str, str]:
    """Files for Taxonium, by name. It splits at every tab and line break, and knows no quotes."""
    ids = viewer_ids(_annotated(tree))
    columns = _columns({name: metadata.get(name, {}) for name in ids})
    if _KEY in columns:
        raise InputError(f"the metadata has a column {_KEY!r}, which is the tree's; rename it")
    lines = [[_KEY, "model", *columns]]
    lines += [
        [ids[name], name, *(cells.get(name, "") for cells in columns.values())] for name in ids
    ]
    text = "".join("\t".join(map(_flat, cells)) + "\n" for cells in lines)
    return {**_tree_text(tree, ids), "taxonium.tsv": text}


def _annotated(tree: Tree) -> list[str]:
    """Tips, and ancestors that are inner nodes; each name once."""
    labels = (label for label in tree.labels if label)
    return list(dict.fromkeys([*tree.tips, *labels]))


def _tree_text(tree: Tree, ids: Mapping[str, str]) -> dict[str, str]:
    """The tree by ids, where they are not the names."""
    from pyphylo.tree.tree import Tree

    if all(name == own for name, own in ids.items()):
        return {}
    tips = [ids[tip] for tip in tree.tips]
    labels = [ids[label] if label else None for label in tree.labels]
    return {_TREE: Tree(tips, tree.parent, tree.length, tree.support, labels).newick() + "\n"}


def _columns(rows: Rows) -> dict[str, dict[str, str]]:
    """Of each column the value of each model that has one."""
    columns: dict[str, dict[str, str]] = {}
    for name, row in rows.items():
        for column, cell in row.items():
            if cell:
                columns.setdefault(column, {})[name] = cell
    return columns


def _is_finite(cell: str) -> bool:
    return NUMBER.fullmatch(cell.strip()) is not None and math.isfinite(float(cell))


def _flat(text: str) -> str:
    """The text on one line without tabs."""
    return _BREAKS.sub(" ", text).strip()


def _shown(text: str) -> str:
    return escape(_flat(text), quote=False)


def _table(kind: str, options: Iterable[tuple[str, ...]], data: Iterable[tuple[str, ...]]) -> str:
    """A file of iTOL's: what it is, its settings, its rows."""
    lines = [kind, "SEPARATOR TAB", *map("\t".join, options), "DATA", *map("\t".join, data)]
    return "\n".join(lines) + "\n"


def _strip(tree: Tree, ids: Mapping[str, str], families: Mapping[str, str]) -> str:
    from pyphylo.plot._style import family_style

    # As in the pictures, colours go by the tips' families; those of ancestors alone follow.
    style = family_style(tree.tips, families)
    others = sorted(set(families.values()) - set(style.names))
    colours = {name: style.colour(code) for code, name in enumerate([*style.names, *others])}
    if not style.names:
        colours = dict.fromkeys(others, _BAR)
    options = [
        ("DATASET_LABEL", "family"),
        ("COLOR", _BAR),
        ("LEGEND_TITLE", "family"),
        ("LEGEND_SHAPES", *("1" for _ in colours)),
        ("LEGEND_COLORS", *colours.values()),
        ("LEGEND_LABELS", *map(_shown, colours)),
    ]
    rows = [(ids[name], colours[family], _shown(family)) for name, family in families.items()]
    return _table("DATASET_COLORSTRIP", options, rows)


def _all_columns(ids: Mapping[str, str], columns: Mapping[str, Mapping[str, str]]) -> str:
    # A field called "bootstrap" would take the place of the tree's supports.
    labels = [f"{name} value" if name.lower() == "bootstrap" else name for name in columns]
    rows = [
        (ids[name], *(_shown(cells.get(name, "")) for cells in columns.values())) for name in ids
    ]
    return _table("METADATA", [("FIELD_LABELS", *map(_shown, labels))], rows)


def _numbers(kind: str, column: str, ids: Mapping[str, str], cells: Mapping[str, str]) -> str:
    options: list[tuple[str, ...]] = [("DATASET_LABEL", _shown(column)), ("COLOR", _BAR)]
    rows = [(ids[name], cell.strip()) for name, cell in cells.items()]
    if kind == "bar":
        return _table("DATASET_SIMPLEBAR", options, rows)
    options += [("COLOR_MIN", _LOW), ("COLOR_MAX", _BAR)]
    options += [("USE_MID_COLOR", "1"), ("COLOR_MID", _MIDDLE)]
    return _table("DATASET_GRADIENT", options, rows)
