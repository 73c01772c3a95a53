"""Compiling kernels with Numba, and keeping the machine code."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import numba

from pyphylo.errors import PyphyloWarning

__all__ = ["compiled"]

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """Compile on first call, without the GIL; keep the machine code where a folder can be written.

    Numba tries NUMBA_CACHE_DIR, the package's ``__pycache__`` and the user's cache
    folder, and refuses with RuntimeError where none can be written. Then every
    process compiles anew, and one warning says so.
    """
    try:
        kernel: _F = numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:
        _warn_once()
        kernel = numba.njit(nogil=True)(function)
    return kernel


@functools.cache
def _warn_once() -> None:
    warnings.warn(
        "no folder for compiled code can be written, so every process compiles the kernels anew, "
        "which takes seconds; set NUMBA_CACHE_DIR to a folder that can be written",
        PyphyloWarning,
        stacklevel=4,
    )
