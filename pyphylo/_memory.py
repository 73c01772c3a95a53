"""Memory is stated before it is taken; what does not fit is refused with the number."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["available_bytes", "human_bytes", "require_memory"]


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


def human_bytes(count: int) -> str:
    """A byte count as people write it: 1.5 GiB."""
    value = float(count)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def require_memory(needed: int, what: str) -> None:
    """Raise MemoryError unless `needed` bytes are available."""
    available = available_bytes()
    if available is not None and needed > available:
        raise MemoryError(
            f"{what} need {human_bytes(needed)}, but only {human_bytes(available)} of memory are "
            "available: select fewer models"
        )
