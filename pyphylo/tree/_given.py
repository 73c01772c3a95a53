"""Distances that trees are built from, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pyphylo._matrix import square_of
from pyphylo.errors import InputError

__all__ = ["Distances", "check_finite", "checked_square", "checked_stored"]

_ELEMENTS = 1 << 20
"""Distances checked at once, so that a check takes little memory beside them."""


class Distances(Protocol):
    """What a DistanceMatrix gives."""

    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def values(self) -> NDArray[np.floating[Any]]: ...


_WORDS = {2: "two", 4: "four"}


def checked_stored(
    D: Distances, caller: str, *, least: int = 2, purpose: str = "a tree", finite: bool = True
) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Names and distances as they are kept, square or condensed; all of them finite.

    With `finite=False` the caller sees to that by `check_finite`, where its own work tells.
    """
    # Where there is no `stored`, `values` is looked up once: it may be made at every look.
    values = getattr(D, "stored", None)
    if values is None:
        values = getattr(D, "values", None)
    if values is None or not hasattr(D, "ids"):
        raise InputError(
            f"{caller} needs a DistanceMatrix, not {type(D).__name__}; "
            "wrap it: pp.DistanceMatrix(values, ids)"
        )
    ids = tuple(D.ids)
    values = np.asarray(values)
    n = len(ids)
    if values.shape not in ((n, n), (n * (n - 1) // 2,)):
        raise InputError(f"{n} ids do not fit a matrix of shape {values.shape}")
    if n < least:
        raise InputError(f"{purpose} needs at least {_WORDS[least]} models, not {n}")
    if finite:
        check_finite(ids, values, purpose)
    return ids, values


def check_finite(ids: tuple[str, ...], values: NDArray[Any], purpose: str = "a tree") -> None:
    """Refuse distances, square or condensed, that are not all finite; the pair is named."""
    n = len(ids)
    flat = values.reshape(-1)
    for start in range(0, len(flat), _ELEMENTS):
        bad = ~np.isfinite(flat[start : start + _ELEMENTS])
        if bad.any():
            at = start + int(bad.argmax())
            i, j = divmod(at, n) if values.ndim == 2 else _pair(at, n)
            raise InputError(
                f"the distance between {ids[i]!r} and {ids[j]!r} is {flat[at]}: {purpose} needs "
                "every pair; leave one of the two out with D.filter(ids)"
            )


def checked_square(
    D: Distances, caller: str, *, least: int = 2, purpose: str = "a tree"
) -> tuple[tuple[str, ...], NDArray[Any]]:
    """Names and the square of their distances; all of them finite."""
    ids, values = checked_stored(D, caller, least=least, purpose=purpose)
    return ids, values if values.ndim == 2 else square_of(values, len(ids), 0.0)


def _pair(at: int, n: int) -> tuple[int, int]:
    """The row and column of a place in the upper triangle by rows."""
    i = 0
    while at >= n - 1 - i:
        at -= n - 1 - i
        i += 1
    return i, i + 1 + at
