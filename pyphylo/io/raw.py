"""What a matrix reader returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

__all__ = ["RawMatrix"]


@dataclass(frozen=True)
class RawMatrix:
    """Ids and numbers as a file holds them.

    Parameters
    ----------
    ids : list of str
    values : ndarray, shape (n, n), or condensed where it is mapped
    kind : str or None
        "distance" or "similarity" where the file says so.
    provenance : mapping
    mapped : bool
        The numbers are still in the file, which pyphylo wrote itself.
    """

    ids: list[str]
    values: NDArray[Any]
    kind: str | None = None
    provenance: Mapping[str, Any] = field(default_factory=dict)
    mapped: bool = False
