"""Compiling kernels with Numba, and keeping the machine code."""

from __future__ import annotations

import functools
import os
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numba

from pyphylo._user_folder import private_folder, user_cache
from pyphylo.errors import InputError, PyphyloWarning

__all__ = ["compiled", "compiled_bare"]

_F = TypeVar("_F", bound=Callable[..., Any])


def compiled(function: _F) -> _F:
    """Compile on first call, without the GIL; keep the machine code in a folder of the user's own.

    Numba keeps it as pickles, which run code when they are read: so the folder has mode 0700
    and is this user's, ``pyphylo/numba`` in the user's cache folder, or ``pyphylo-UID`` in
    NUMBA_CACHE_DIR. Where there is none, every process compiles anew, and one warning says so.
    """
    return _compiled(function, {})


def compiled_bare(function: _F) -> _F:
    """As `compiled`, for a kernel that makes no array, only looks at parts of those it is given.

    Numba then leaves out the counting of references, which costs as much as reading
    a few cache lines wherever a part of an array is looked at.
    """
    return _compiled(function, {"_nrt": False})


def _compiled(function: _F, options: dict[str, Any]) -> _F:
    with _setting:
        given = numba.config.CACHE_DIR
        folder = _folder(given)
        if folder is None:
            kernel: _F = numba.njit(nogil=True, **options)(function)
            return kernel
        # Read while the dispatcher is made; other packages' functions keep their own place.
        numba.config.CACHE_DIR = str(folder)
        try:
            kernel = numba.njit(cache=True, nogil=True, **options)(function)
        except RuntimeError:
            kernel = numba.njit(nogil=True, **options)(function)
        finally:
            numba.config.CACHE_DIR = given
    return kernel


_setting = threading.Lock()


@functools.cache
def _folder(given: str) -> Path | None:
    """The folder of compiled code; None, with a warning, where there is none to be trusted."""
    try:
        if not given:
            return private_folder(user_cache() / "numba")
        user = f"-{os.getuid()}" if hasattr(os, "getuid") else ""
        return private_folder(Path(given) / f"pyphylo{user}")
    except (OSError, InputError) as error:
        reason = f"{error.filename!r} {error.strerror}" if isinstance(error, OSError) else error
        warnings.warn(
            f"no folder for compiled code can be used ({reason}), so every process compiles the "
            "kernels anew, which takes seconds; set NUMBA_CACHE_DIR to a folder of your own",
            PyphyloWarning,
            stacklevel=5,
        )
        return None
