"""Statistics over allele tables: how sure the numbers are, and what happened.

Names are imported when they are first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyphylo.stats.distilled import find_teacher as find_teacher
    from pyphylo.stats.fstatistics import f2 as f2
    from pyphylo.stats.fstatistics import f3 as f3
    from pyphylo.stats.fstatistics import f4 as f4
    from pyphylo.stats.merge import find_merge as find_merge

_LAZY = {
    "f2": "pyphylo.stats.fstatistics",
    "f3": "pyphylo.stats.fstatistics",
    "f4": "pyphylo.stats.fstatistics",
    "find_merge": "pyphylo.stats.merge",
    "find_teacher": "pyphylo.stats.distilled",
}

__all__ = [*_LAZY]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'pyphylo.stats' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY))
