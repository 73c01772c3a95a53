"""What the pictures need to know of a tree and of a similarity matrix."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bools", "Floats", "Ints", "SimilarityLike", "TreeLike"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]


class TreeLike(Protocol):
    """A tree whose nodes are numbered tips first and children before parents, the root last."""

    @property
    def tips(self) -> Iterable[str]:
        """Names of the nodes ``0..n_tips-1``."""
        ...

    @property
    def n_tips(self) -> int:
        """Number of tips."""
        ...

    @property
    def n_nodes(self) -> int:
        """Number of tips and internal nodes."""
        ...

    @property
    def parent(self) -> NDArray[Any]:
        """Parent of each node, -1 at the root."""
        ...

    @property
    def length(self) -> NDArray[Any]:
        """Length of the branch above each node."""
        ...

    @property
    def support(self) -> NDArray[Any]:
        """Support of the branch above each node, NaN where there is none."""
        ...

    def children(self, node: int, /) -> Iterable[int]:
        """Children of a node, in display order."""
        ...


class SimilarityLike(Protocol):
    """A square matrix of similarities with the names of its rows."""

    @property
    def ids(self) -> tuple[str, ...]:
        """Names of rows and columns."""
        ...

    @property
    def values(self) -> NDArray[Any]:
        """Similarities, shape (n, n); NaN where there is none."""
        ...
