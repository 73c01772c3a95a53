"""Statistics over allele tables: how sure the numbers are, and what happened.

Names are imported when they are first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyphylo.stats.gene_information import gene_information as gene_information
    from pyphylo.stats.gene_selection import GeneSelection as GeneSelection
    from pyphylo.stats.gene_selection import select_genes as select_genes
    from pyphylo.stats.trajectory import trajectory as trajectory

_LAZY = {
    "GeneSelection": "pyphylo.stats.gene_selection",
    "gene_information": "pyphylo.stats.gene_information",
    "select_genes": "pyphylo.stats.gene_selection",
    "trajectory": "pyphylo.stats.trajectory",
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
