"""Compiling kernels with Numba, and keeping the machine code."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numba

from pyphylo.errors import PyphyloWarning

__all__ = ["compiled", "compiled_bare"]

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """Compile on first call, without the GIL; keep the machine code where a folder can be written.

    Numba tries NUMBA_CACHE_DIR, the package's ``__pycache__`` and the user's cache
    folder, and refuses with RuntimeError where none can be written. Then every
    process compiles anew, and one warning says so.
    """
    return _compiled(function, {})


def compiled_bare(function: _F) -> _F:
    """As `compiled`, for a kernel that makes no array, only looks at parts of those it is given.

    Numba then leaves out the counting of references, which costs as much as reading
    a few cache lines wherever a part of an array is looked at.
    """
    return _compiled(function, {"_nrt": False})


def _compiled(function: _F, options: dict[str, Any]) -> _F:
    try:
        kernel: _F = numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:
        _warn_once()
        kernel = numba.njit(nogil=True, **options)(function)
    return kernel


@functools.cache
def _warn_once() -> None:
    warnings.warn(
        "no folder for compiled code can be written, so every process compiles the kernels anew, "
        "which takes seconds; set NUMBA_CACHE_DIR to a folder that can be written",
        PyphyloWarning,
        stacklevel=5,
    )
