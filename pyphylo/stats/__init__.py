"""Statistics over allele tables: how sure numbers are, and what happened between models.

Names are imported when they are first used (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyphylo.stats._sensitivity import sensitivity as sensitivity
    from pyphylo.stats.admixture import fit_admixture as fit_admixture
    from pyphylo.stats.distilled import find_teacher as find_teacher
    from pyphylo.stats.fstatistics import f2 as f2
    from pyphylo.stats.fstatistics import f3 as f3
    from pyphylo.stats.fstatistics import f4 as f4
    from pyphylo.stats.gene_information import gene_information as gene_information
    from pyphylo.stats.gene_selection import GeneSelection as GeneSelection
    from pyphylo.stats.gene_selection import select_genes as select_genes
    from pyphylo.stats.intervals import Intervals as Intervals
    from pyphylo.stats.intervals import distance_intervals as distance_intervals
    from pyphylo.stats.intervals import similarity_intervals as similarity_intervals
    from pyphylo.stats.merge import find_merge as find_merge
    from pyphylo.stats.planning import SamplingPlan as SamplingPlan
    from pyphylo.stats.planning import plan_sampling as plan_sampling
    from pyphylo.stats.same import SameModel as SameModel
    from pyphylo.stats.same import same_model as same_model
    from pyphylo.stats.same_power import same_model_power as same_model_power
    from pyphylo.stats.trajectories import trajectory as trajectory
    from pyphylo.stats.variance import VarianceComponents as VarianceComponents
    from pyphylo.stats.variance import variance_components as variance_components

_LAZY = {
    "GeneSelection": "pyphylo.stats.gene_selection",
    "Intervals": "pyphylo.stats.intervals",
    "SameModel": "pyphylo.stats.same",
    "SamplingPlan": "pyphylo.stats.planning",
    "VarianceComponents": "pyphylo.stats.variance",
    "distance_intervals": "pyphylo.stats.intervals",
    "f2": "pyphylo.stats.fstatistics",
    "f3": "pyphylo.stats.fstatistics",
    "f4": "pyphylo.stats.fstatistics",
    "find_merge": "pyphylo.stats.merge",
    "find_teacher": "pyphylo.stats.distilled",
    "fit_admixture": "pyphylo.stats.admixture",
    "gene_information": "pyphylo.stats.gene_information",
    "plan_sampling": "pyphylo.stats.planning",
    "same_model": "pyphylo.stats.same",
    "same_model_power": "pyphylo.stats.same_power",
    "select_genes": "pyphylo.stats.gene_selection",
    "sensitivity": "pyphylo.stats._sensitivity",
    "similarity_intervals": "pyphylo.stats.intervals",
    "trajectory": "pyphylo.stats.trajectories",
    "variance_components": "pyphylo.stats.variance",
}

__all__ = sorted(_LAZY)


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY])
