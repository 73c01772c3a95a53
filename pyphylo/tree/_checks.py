"""What is asked of the arrays of a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["checked_parent", "per_node", "require_lengths"]


def checked_parent(parent: ArrayLike, n_tips: int) -> NDArray[np.int32]:
    given = np.asarray(parent)
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise InputError(
            f"parent must be a row of whole numbers, not of shape {given.shape} and {given.dtype}"
        )
    n = len(given)
    if n < n_tips or (n == n_tips and n_tips > 1):
        raise InputError(f"{n} nodes are too few for a tree of {n_tips} tips")
    if given[-1] != -1:
        raise InputError(f"the last node must be the root, with parent -1, not {given[-1]}")
    numbers = np.arange(n - 1)
    above = given[:-1].astype(np.int64)
    wrong = (above <= numbers) | (above >= n) | (above < n_tips)
    if wrong.any():
        node = int(np.flatnonzero(wrong)[0])
        raise InputError(
            f"node {node} has parent {above[node]}: a parent is an internal node ({n_tips} to "
            f"{n - 1}) with a larger number than its child"
        )
    childless = np.bincount(above, minlength=n)[n_tips:] == 0
    if childless.any():
        node = n_tips + int(np.flatnonzero(childless)[0])
        raise InputError(f"internal node {node} has no child")
    return given.astype(np.int32)


def per_node(name: str, given: ArrayLike | None, n: int) -> NDArray[np.float64]:
    if given is None:
        return np.full(n, np.nan)
    values = np.array(given, dtype=np.float64)
    if values.shape != (n,):
        raise InputError(f"{name} must have one value a node: {n}, not shape {values.shape}")
    if np.isinf(values).any():
        node = int(np.flatnonzero(np.isinf(values))[0])
        raise InputError(f"the {name} of node {node} is {values[node]}; NaN says unknown")
    return values


def require_lengths(tree: Tree, what: str, remedy: str, *, negative: bool = True) -> None:
    """Refuse a tree with branches of unknown length or, unless `negative`, below zero."""
    unknown = np.flatnonzero(np.isnan(tree.length))
    if len(unknown):
        raise InputError(
            f"{what} needs all branch lengths: {len(unknown)} are unknown, the first above "
            f"{_name(tree, int(unknown[0]))!r}; {remedy}"
        )
    below = np.flatnonzero(tree.length < 0)
    if len(below) and not negative:
        node = int(below[0])
        raise InputError(
            f"{what} needs lengths of at least 0: {len(below)} are negative, the first, "
            f"{tree.length[node]:g}, above {_name(tree, node)!r}; {remedy}"
        )


def _name(tree: Tree, node: int) -> str:
    return tree.label(node) or f"node {node}"
