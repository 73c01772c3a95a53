"""Which models are left out together, and which must not be parted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError

__all__ = ["clade_groups", "group_names", "join_groups", "near_duplicates", "pack_folds", "some"]


def clade_groups(distances: NDArray[np.float64], cut: float) -> NDArray[np.str_]:
    """Clades of the average-linkage tree whose models lie within `cut` on average.

    Parameters
    ----------
    distances : ndarray of shape (n, n)
        The diagonal is not read.
    cut : float
        Height, in units of the distance, at which the tree is cut.

    Returns
    -------
    ndarray of str
        ``"clade 1"``, ``"clade 2"``, ... of each model.

    Notes
    -----
    Time and memory O(n^2) (nearest-neighbour chains, scipy).
    """
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if not cut >= 0:
        raise InputError(f"a clade's height must be 0 or more, not {cut!r}")
    if len(distances) < 2:
        return np.full(len(distances), "clade 1")
    # Unbiased similarities above 1 are distances just below 0
    symmetric = np.maximum((distances + distances.T) / 2, 0.0)
    np.fill_diagonal(symmetric, 0.0)
    tree = linkage(squareform(symmetric, checks=False), "average")
    labels = fcluster(tree, cut, "distance")
    return np.array([f"clade {label}" for label in labels])


def group_names(groups: Any, ids: Sequence[str], distances: NDArray[np.float64]) -> Any:
    """Each model's group as text, from any of the forms that a caller may give.

    Parameters
    ----------
    groups : str, mapping or sequence
        ``"model"``, ``"clade:HEIGHT"``, model -> name (mapping or pandas Series
        indexed by model), or one name for each id.
    """
    if isinstance(groups, str):
        kind, _, height = groups.partition(":")
        if groups == "model":
            return np.array(list(ids), dtype=object)
        try:
            return clade_groups(distances, float(height if kind == "clade" else "nan"))
        except ValueError:
            raise InputError(
                f"groups must be 'model', 'clade:HEIGHT' (such as 'clade:0.5'), a mapping or one "
                f"name a model, not {groups!r}"
            ) from None
    if hasattr(groups, "to_dict"):
        groups = groups.to_dict()
    if isinstance(groups, Mapping):
        unknown = [name for name in ids if name not in groups or _is_missing(groups[name])]
        if unknown:
            raise InputError(f"no group for {some(unknown)}: add it, or leave these models out")
        return np.array([str(groups[name]) for name in ids], dtype=object)
    names = [str(name) for name in groups]
    if len(names) != len(ids):
        raise InputError(f"{len(names)} groups for {len(ids)} models: give one each")
    return np.array(names, dtype=object)


def near_duplicates(distances: NDArray[np.float64], within: float = 0.01) -> list[tuple[int, int]]:
    """Pairs i < j of models that lie within a distance of each other."""
    i, j = np.nonzero(np.triu(distances <= within, 1))
    return list(zip(i.tolist(), j.tolist(), strict=True))


def join_groups(groups: NDArray[Any], pairs: Iterable[tuple[int, int]]) -> NDArray[Any]:
    """Groups merged wherever a pair spans two; the name that sorts first stays."""
    parent = {name: name for name in groups}

    def root(name: Any) -> Any:
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for i, j in pairs:
        a, b = sorted((root(groups[i]), root(groups[j])))
        parent[b] = a
    return np.array([root(name) for name in groups], dtype=object)


def pack_folds(groups: NDArray[Any], n_folds: int) -> NDArray[np.intp]:
    """Each row's fold: whole groups, the largest first, into the fold with fewest rows."""
    names, inverse, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    filled = np.zeros(min(n_folds, len(names)), dtype=np.int64)
    fold_of = np.empty(len(names), dtype=np.intp)
    for name in np.argsort(-sizes, kind="stable"):
        fold_of[name] = filled.argmin()
        filled[fold_of[name]] += sizes[name]
    return np.asarray(fold_of[inverse])


def _is_missing(value: Any) -> bool:
    return value is None or value != value


def some(names: Sequence[str], most: int = 8) -> str:
    """The first names, quoted, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(repr(name) for name in names[:most]) + more
