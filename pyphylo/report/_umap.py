"""A second map, of neighbourhoods, by the optional package umap-learn."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.report._inputs import Material

__all__ = ["check_umap", "map_if_wanted", "neighbourhood_map"]

_LEAST = 5
"""Fewest models of which there are neighbourhoods to speak of."""


_UNASKED = 5000
"""Most models that are laid out without being asked for: some ten seconds."""


def map_if_wanted(found: Material, wanted: bool | None) -> NDArray[np.float64] | None:
    """The map where it is asked for, or nobody has decided and umap-learn is installed.

    Who has not asked for it gets the page also where the package does not work: a note says so.
    """
    if wanted:
        return neighbourhood_map(found.distances.values)
    if wanted is not None or find_spec("umap") is None or found.tree.n_tips > _UNASKED:
        return None
    try:
        return neighbourhood_map(found.distances.values)
    except (ImportError, AttributeError) as error:
        found.notes.append(f"There is no map by UMAP: the installed package umap fails ({error}).")
        return None


def check_umap() -> None:
    """Raise InputError where umap-learn is not installed."""
    if find_spec("umap") is None:
        raise InputError("a UMAP map needs the package umap-learn: pip install 'pyphylo[umap]'")


def neighbourhood_map(distances: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """Places of the models by UMAP, seeded; None of fewer than five.

    Parameters
    ----------
    distances : ndarray, shape (n, n)
        Where there is none, twice the largest known is taken.

    Notes
    -----
    McInnes, Healy & Melville (2018), arXiv 1802.03426. Places near each other are alike; how
    far apart groups are means little.
    """
    import umap

    n = len(distances)
    if n < _LEAST:
        return None
    square = np.array(distances, dtype=np.float64)
    known = np.isfinite(square)
    square[~known] = 2 * square[known].max(initial=0.5)
    with warnings.catch_warnings():
        # It says that a given matrix cannot be inverted, and what is deprecated inside it.
        warnings.simplefilter("ignore")
        made = umap.UMAP(
            metric="precomputed",
            n_neighbors=min(15, n - 1),
            init="random" if n < 20 else "spectral",
            random_state=0,
            n_jobs=1,
        )
        return np.asarray(made.fit_transform(square), dtype=np.float64)
