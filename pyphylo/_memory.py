"""Memory is stated before it is taken; what does not fit is refused with the number."""

from __future__ import annotations

import operator
import os
import re
from pathlib import Path

from pyphylo.errors import InputError

__all__ = ["available_bytes", "byte_count", "human_bytes", "require_memory"]

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}

# Asking the system takes longer than a small piece of work itself: so little is always there.
ASKED_FROM = 8 << 20


def available_bytes() -> int | None:
    """Memory that may be taken without swapping; None where the system does not say."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError, AttributeError):
        return None


def byte_count(value: int | str, name: str) -> int:
    """A number of bytes as people give it: 500000000, "500 MB", "1GiB"."""
    if isinstance(value, str):
        found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", value)
        unit = found[2].upper().removesuffix("BYTES") if found else ""
        if found and unit in _UNITS and float(found[1]) > 0:
            return int(float(found[1]) * _UNITS[unit])
    elif not isinstance(value, bool):
        try:
            if operator.index(value) > 0:
                return operator.index(value)
        except TypeError:
            pass
    raise InputError(
        f"{name} must be a number of bytes, such as 500000000 or '1GiB', not {value!r}"
    )


def human_bytes(count: int) -> str:
    """A byte count as people write it: 1.5 GiB."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def require_memory(needed: int, what: str, limit: int | None = None) -> None:
    """Raise MemoryError unless `needed` bytes are within `limit`, and available if not few."""
    if limit is not None and needed > limit:
        raise MemoryError(
            f"{what} need {human_bytes(needed)}, more than the {human_bytes(limit)} allowed"
        )
    if needed < ASKED_FROM:
        return
    available = available_bytes()
    if available is not None and needed > available:
        raise MemoryError(
            f"{what} need {human_bytes(needed)}, but only {human_bytes(available)} of memory are "
            "available: select fewer models"
        )
