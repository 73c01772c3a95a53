"""Tree files by suffix: Newick, NEXUS, phyloXML."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pyphylo._files import atomic_write_bytes, read_bytes
from pyphylo.errors import FileFormatError, InputError
from pyphylo.io import nexus, phyloxml
from pyphylo.tree import newick
from pyphylo.tree._arrays import TreeArrays

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["read_tree", "read_trees", "write_tree"]

_NEXUS = (".nex", ".nexus")
_PHYLOXML = (".xml", ".phyloxml")
_NO_TREES = (".csv", ".json", ".npy", ".npz", ".pdf", ".phy", ".png", ".svg", ".tsv")
"""Suffixes that promise something other than a tree."""


def read_trees(path: str | Path) -> list[Tree]:
    """Read all trees of a file.

    Parameters
    ----------
    path : str or Path
        ``.nex`` and ``.nexus`` are NEXUS, ``.xml`` and ``.phyloxml`` phyloXML, all
        others Newick, or NEXUS where they begin with ``#NEXUS``.

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
    if suffix in _PHYLOXML:
        return phyloxml.parse_all(data)
    text = data.decode("utf-8-sig")
    if suffix in _NEXUS or text.lstrip()[:6].upper() == "#NEXUS":
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
        When the suffix is not a tree's, or the format cannot hold a name.
    """
    suffix = Path(path).suffix.lower()
    if suffix in _NO_TREES:
        raise InputError(
            f"cannot write {str(path)!r}: trees are written as Newick (.nwk), NEXUS (.nex) or "
            "phyloXML (.xml)"
        )
    if suffix in _NEXUS:
        text = nexus.format_nexus(tree)
    elif suffix in _PHYLOXML:
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
