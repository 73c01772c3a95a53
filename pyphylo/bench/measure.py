"""How long calls take and how much memory they add."""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from pyphylo.errors import WorkError

__all__ = ["added_memory", "in_fresh_process", "repeated_seconds"]

_S = TypeVar("_S")
_T = TypeVar("_T")


def in_fresh_process(function: Callable[..., _T], *arguments: object) -> _T:
    """What a function returns in a process of its own, whose memory nobody has used before.

    The function is one that `pickle` can name; so are its arguments and its result.

    Raises
    ------
    WorkError
        When the process is killed. What the function raises is raised.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(function, *arguments).result()
        except BrokenProcessPool:
            raise WorkError(
                "the measuring process was killed, perhaps for want of memory: measure less"
            ) from None


def repeated_seconds(
    call: Callable[[_S], object], fresh: Callable[[], _S], repeats: int
) -> list[float]:
    """Seconds of each call; what it is called with is made anew, outside the clock."""
    seconds = []
    for _ in range(repeats):
        subject = fresh()
        start = time.perf_counter()
        result = call(subject)
        seconds.append(time.perf_counter() - start)
        del subject, result
    return seconds


def added_memory(call: Callable[[], object]) -> int:
    """Bytes by which a call raises this process's resident memory, at its highest.

    What the call returns counts. On Linux the highest mark is set back first; elsewhere a mark
    that earlier work left hides what stays below it, so call this in a fresh process.
    """
    _release_freed_memory()
    _reset_highest()
    before = _highest_resident()
    result = call()
    added = _highest_resident() - before
    del result
    return added


def _release_freed_memory() -> None:
    """Hand freed memory back to the system, or calls could reuse it without being noticed."""
    gc.collect()
    if sys.platform == "win32":
        return  # it is handed back there without being asked
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc has it
    if trim is not None:
        trim(0)


def _reset_highest() -> None:
    """Set the highest mark of resident memory to what is resident now, on Linux."""
    mark = Path("/proc/self/clear_refs")
    if mark.exists():
        mark.write_text("5")


def _highest_resident() -> int:
    """The highest mark of resident memory, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # Not getrusage: there a new program inherits the mark of the one that started it.
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
