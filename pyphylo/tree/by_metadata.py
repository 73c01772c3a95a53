"""Roots that metadata know: declared bases, and dates."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pyphylo.errors import InputError
from pyphylo.io.metadata import Lineage, read_lineage
from pyphylo.tree._graph import TreeGraph
from pyphylo.tree.tree import Tree

__all__ = [
    "founders_in",
    "knows_parents",
    "knows_root",
    "root_by",
]


def root_by(tree: Tree, metadata: Any) -> Tree:
    """The same tree, rooted where the metadata say that it began.

    Founders are the declared bases (``base_model``) in the tree that declare none in it
    themselves. One founder: the root is there. Several: in the middle of the
    longest path between two of them. None: at the model with the earliest ``date``.

    Parameters
    ----------
    tree : Tree
        With all branch lengths. Ancestors may be labels of internal nodes.
    metadata : path, DataFrame, mapping or Lineage
        As `pyphylo.io.metadata.read_lineage` takes it; with ``base_model`` or ``date``.

    Returns
    -------
    Tree
        A founder that is a tip stays one, on a branch of length 0 at the root.

    Raises
    ------
    InputError
        When bases form a cycle (it is named), or neither bases nor dates are known of
        any model of the tree.

    Notes
    -----
    O(n). Supports stay with their branches.
    """
    graph = TreeGraph.of(tree)
    names = {name for name in graph.names if name is not None}
    founders = founders_in(names, read_lineage(metadata))
    if tree.n_nodes == 1:
        return tree
    nodes = [graph.node(name) for name in founders]
    root = nodes[0] if len(nodes) == 1 else graph.middle(nodes)
    beside = graph.neighbours()[root]
    if len(beside) == 1 and graph.names[root] is not None:
        (_, number) = beside[0]
        branch = graph.branches[number]
        root = graph.split(number, 0.0 if branch.a == root else branch.length)
    return graph.rooted(root, tree.tips)


def knows_parents(names: Collection[str], lineage: Lineage) -> bool:
    """Whether one of these models declares another of them as its base."""
    return any(m in names and base in names for m, base in lineage.parents.items())


def knows_root(names: Collection[str], lineage: Lineage) -> bool:
    """Whether `founders_in` finds where a tree of these models began."""
    return knows_parents(names, lineage) or any(name in lineage.dates for name in names)


def founders_in(names: Collection[str], lineage: Lineage) -> list[str]:
    """Where a tree of these models began, by name; see `root_by`."""
    if not knows_root(names, lineage):
        raise InputError(
            "the metadata know no root: no model of the tree declares another of it as "
            "base_model, and none has a date; name the root instead"
        )
    declared = {
        model: base for model, base in lineage.parents.items() if model in names and base in names
    }
    if declared:
        return sorted(set(declared.values()) - set(declared))
    return [min((lineage.dates[name], name) for name in names if name in lineage.dates)[1]]
