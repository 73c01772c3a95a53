"""Tree files: written in the format of the suffix, read in that of the suffix or the content."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pyphylo._files import atomic_write_bytes, read_bytes
from pyphylo.errors import FileFormatError, InputError
from pyphylo.io import nexus, phyloxml
from pyphylo.tree import newick
from pyphylo.tree._arrays import TreeArrays

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["TREE_SUFFIXES", "check_tree_path", "read_tree", "read_trees", "write_tree"]

TREE_SUFFIXES = {
    "Newick": (".nwk", ".newick", ".tree", ".tre", ".treefile", ".nh", ".txt"),
    "NEXUS": (".nex", ".nexus"),
    "phyloXML": (".xml", ".phyloxml"),
}
_FORMAT = {suffix: kind for kind, suffixes in TREE_SUFFIXES.items() for suffix in suffixes}
_XML = re.compile(rb"(?:\xef\xbb\xbf)?\s*<|\xff\xfe|\xfe\xff")
"""How XML begins, and Newick does not: a name with a < at its start is quoted."""


def check_tree_path(path: str | Path, names: Iterable[str] = ()) -> str:
    """The format that a tree file's suffix names.

    Raises
    ------
    InputError
        When it names none, or one that cannot hold one of these names.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _FORMAT:
        known = "; ".join(f"{kind} {' '.join(ends)}" for kind, ends in TREE_SUFFIXES.items())
        raise InputError(
            f"cannot write {str(path)!r}: trees are written by suffix ({known}), not {suffix!r}"
        )
    if _FORMAT[suffix] == "phyloXML":
        for name in names:
            phyloxml.check_name(name, "tip")
    return _FORMAT[suffix]


def read_trees(path: str | Path) -> list[Tree]:
    """Read all trees of a file.

    Parameters
    ----------
    path : str or Path
        ``.nex`` and ``.nexus`` are NEXUS, ``.xml`` and ``.phyloxml`` phyloXML. All others
        are Newick, but NEXUS where they begin with ``#NEXUS``, phyloXML with ``<``.

    Returns
    -------
    list of Tree
        At least one, in the order of the file.

    Raises
    ------
    FileFormatError
        When the file is not of its format; line and column are named.
    """
    from pyphylo.tree.tree import Tree

    data = read_bytes(path, "tree")
    try:
        return [Tree(*arrays) for arrays in _parse(data, Path(path).suffix.lower())]
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path}: not UTF-8 text ({error})") from None
    except InputError as error:
        raise FileFormatError(f"{path}: {error}") from None


def _parse(data: bytes, suffix: str) -> list[TreeArrays]:
    kind = _FORMAT.get(suffix, "Newick")
    if kind == "phyloXML" or (kind == "Newick" and _XML.match(data)):
        return phyloxml.parse_all(data)
    text = data.decode("utf-8-sig")
    if kind == "NEXUS" or text.lstrip()[:6].upper() == "#NEXUS":
        return nexus.parse_all(text)
    return newick.parse_all(text)


def read_tree(path: str | Path) -> Tree:
    """Read a file of one tree; errors as of `read_trees`."""
    trees = read_trees(path)
    if len(trees) > 1:
        raise FileFormatError(
            f"{path}: {len(trees)} trees, where one is wanted; choose with "
            f"pyphylo.io.trees.read_trees(path)[0], the first, to [{len(trees) - 1}]"
        )
    return trees[0]


def write_tree(tree: Tree, path: str | Path) -> None:
    """Write a tree in the format of the suffix, in UTF-8; the file is replaced atomically.

    Raises
    ------
    InputError
        When the suffix is not a tree's (those that are are named), or the format
        cannot hold a name.
    """
    kind = check_tree_path(path)
    if kind == "NEXUS":
        text = nexus.format_nexus(tree)
    elif kind == "phyloXML":
        text = phyloxml.format_phyloxml(tree)
    else:
        text = f"{tree.newick()}\n"
    try:
        data = text.encode()
    except UnicodeEncodeError:
        broken = next(label for label in tree.labels if label and _is_broken(label))
        raise InputError(f"label {broken!r} holds half a surrogate pair") from None
    atomic_write_bytes(path, data)


def _is_broken(name: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in name)
