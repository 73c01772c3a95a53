"""Roots that metadata know: declared bases, and dates."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pyphylo.errors import InputError
from pyphylo.tree._graph import TreeGraph
from pyphylo.tree.tree import Tree

__all__ = [
    "declared_parents",
    "founders_in",
    "knows_parents",
    "knows_root",
    "metadata_rows",
    "root_by",
]

Rows = Mapping[str, Mapping[str, Any]]


def root_by(tree: Tree, metadata: Any) -> Tree:
    """The same tree, rooted where the metadata say that it began.

    Founders are the declared bases (``base_model``) in the tree that declare none in it
    themselves. One founder: the root is there. Several: in the middle of the
    longest path between two of them. None: at the model with the earliest ``date``.

    Parameters
    ----------
    tree : Tree
        With all branch lengths. Ancestors may be labels of internal nodes.
    metadata : mapping of str to mapping, or DataFrame
        As `pyphylo.io.metadata.read_metadata` gives it, or with a column ``model``; with
        ``base_model`` or ``date`` (as year-month-day).

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
    founders = founders_in(names, metadata_rows(metadata))
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


def metadata_rows(metadata: Any) -> Rows:
    """Each model's row, by name; of a DataFrame with a column ``model`` without empty cells."""
    if isinstance(metadata, Mapping):
        return metadata
    if not hasattr(metadata, "columns") or "model" not in metadata.columns:
        raise InputError(
            "metadata must map models to their rows, or be a DataFrame with a column 'model', "
            f"not {type(metadata).__name__}"
        )
    rows: dict[str, dict[str, Any]] = {}
    for record in metadata.to_dict("records"):
        model = str(record.pop("model"))
        if model in rows:
            raise InputError(f"model {model!r} occurs twice in the metadata")
        rows[model] = {k: v for k, v in record.items() if v is not None and v == v and v != ""}
    return rows


def declared_parents(rows: Rows) -> dict[str, str]:
    """The ``base_model`` of every model that declares one.

    Raises
    ------
    InputError
        When a model descends from itself: the cycle is named.
    """
    declared = {
        model: str(row["base_model"]) for model, row in rows.items() if row.get("base_model")
    }
    done: set[str] = set()
    for start in declared:
        line: dict[str, None] = {}  # in order
        model = start
        while model in declared and model not in done and model not in line:
            line[model] = None
            model = declared[model]
        if model in line:
            members = list(line)
            cycle = [*members[members.index(model) :], model]
            raise InputError(
                f"base_model goes round in a circle: {' -> '.join(map(repr, cycle))}; "
                "a model cannot descend from itself: correct one of these rows"
            )
        done.update(line)
    return declared


def knows_parents(names: Collection[str], rows: Rows) -> bool:
    """Whether one of these models declares another of them as its base."""
    return any(m in names and base in names for m, base in declared_parents(rows).items())


def knows_root(names: Collection[str], rows: Rows) -> bool:
    """Whether `founders_in` finds where a tree of these models began."""
    return knows_parents(names, rows) or any(rows.get(name, {}).get("date") for name in names)


def founders_in(names: Collection[str], rows: Rows) -> list[str]:
    """Where a tree of these models began, by name; see `root_by`."""
    if not knows_root(names, rows):
        raise InputError(
            "the metadata know no root: no model of the tree declares another of it as "
            "base_model, and none has a date; name the root instead"
        )
    declared = {
        model: base
        for model, base in declared_parents(rows).items()
        if model in names and base in names
    }
    if declared:
        return sorted(set(declared.values()) - set(declared))
    dates = [(str(rows[name]["date"]), name) for name in names if rows.get(name, {}).get("date")]
    return [min(dates)[1]]
