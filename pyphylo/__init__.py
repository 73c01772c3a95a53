"""Family trees of language models from what they say.

A prompt is a gene, the start of a completion an allele, a model a population. From
allele frequencies come genetic distances, from distances a tree of models. The
method is PhyloLM (Yax, Oudeyer & Palminteri 2024, arXiv 2404.04671).

Importing this package loads numpy and the compiled core, nothing else: every
other name is imported when it is first used (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as _numpy  # noqa: F401  (the one library that is always loaded)

from pyphylo._locate_core import add_installed_core as _add_installed_core
from pyphylo._version import __version__
from pyphylo.errors import (
    FileFormatError,
    InputError,
    PyphyloError,
    PyphyloWarning,
    WorkError,
)

_add_installed_core(__path__)

from pyphylo import _core  # noqa: E402, F401

if TYPE_CHECKING:
    from pyphylo import simulate as simulate
    from pyphylo import stats as stats
    from pyphylo._nearest import nearest as nearest
    from pyphylo._table_cache import cached_table as cached_table
    from pyphylo.alleles import AlleleRule as AlleleRule
    from pyphylo.alleles import AlleleTable as AlleleTable
    from pyphylo.distance import DistanceMatrix as DistanceMatrix
    from pyphylo.distance import nei_distance as nei_distance
    from pyphylo.genome import Genome as Genome
    from pyphylo.indices import genetic_distance as genetic_distance
    from pyphylo.parents import contradicted_parents as contradicted_parents
    from pyphylo.parents import evaluate_parents as evaluate_parents
    from pyphylo.parents import propose_parents as propose_parents
    from pyphylo.predict import BenchmarkRegressor as BenchmarkRegressor
    from pyphylo.predict import ReferenceRegressor as ReferenceRegressor
    from pyphylo.predict import cross_validate_scores as cross_validate_scores
    from pyphylo.report import write_report as write_report
    from pyphylo.resampling import gene_weights as gene_weights
    from pyphylo.resampling import resample_similarity as resample_similarity
    from pyphylo.resampling import similarity_errors as similarity_errors
    from pyphylo.sampling.scheduler import sample as sample
    from pyphylo.similarity import SimilarityMatrix as SimilarityMatrix
    from pyphylo.similarity import nei_similarity as nei_similarity
    from pyphylo.stats._sensitivity import sensitivity as sensitivity
    from pyphylo.stats.admixture import fit_admixture as fit_admixture
    from pyphylo.stats.distilled import find_teacher as find_teacher
    from pyphylo.stats.fstatistics import f2 as f2
    from pyphylo.stats.fstatistics import f3 as f3
    from pyphylo.stats.fstatistics import f4 as f4
    from pyphylo.stats.gene_information import gene_information as gene_information
    from pyphylo.stats.gene_selection import select_genes as select_genes
    from pyphylo.stats.intervals import distance_intervals as distance_intervals
    from pyphylo.stats.intervals import similarity_intervals as similarity_intervals
    from pyphylo.stats.merge import find_merge as find_merge
    from pyphylo.stats.planning import plan_sampling as plan_sampling
    from pyphylo.stats.same import same_model as same_model
    from pyphylo.stats.same_power import same_model_power as same_model_power
    from pyphylo.stats.trajectories import trajectory as trajectory
    from pyphylo.stats.variance import variance_components as variance_components
    from pyphylo.store import SampleStore as SampleStore
    from pyphylo.tree._distances import robinson_foulds_many as robinson_foulds_many
    from pyphylo.tree.ancestors import contract_ancestors as contract_ancestors
    from pyphylo.tree.ancestors import lineage_depths as lineage_depths
    from pyphylo.tree.ancestors import living_ancestor_tree as living_ancestor_tree
    from pyphylo.tree.ancestors import parent_edges as parent_edges
    from pyphylo.tree.bme import balanced_length as balanced_length
    from pyphylo.tree.bme import balanced_minimum_evolution as balanced_minimum_evolution
    from pyphylo.tree.bme import search_balanced as search_balanced
    from pyphylo.tree.by_metadata import root_by as root_by
    from pyphylo.tree.consensus import greedy_consensus as greedy_consensus
    from pyphylo.tree.consensus import majority_consensus as majority_consensus
    from pyphylo.tree.delta import delta_scores as delta_scores
    from pyphylo.tree.nj import bionj as bionj
    from pyphylo.tree.nj import neighbor_joining as neighbor_joining
    from pyphylo.tree.placement import Placement as Placement
    from pyphylo.tree.placement import place as place
    from pyphylo.tree.support import bootstrap_support as bootstrap_support
    from pyphylo.tree.support import bootstrap_trees as bootstrap_trees
    from pyphylo.tree.support import support_from_trees as support_from_trees
    from pyphylo.tree.support import support_values as support_values
    from pyphylo.tree.tree import Tree as Tree
    from pyphylo.tree.upgma import upgma as upgma

_LAZY = {
    "write_report": "pyphylo.report",
    "AlleleRule": "pyphylo.alleles",
    "AlleleTable": "pyphylo.alleles",
    "BenchmarkRegressor": "pyphylo.predict",
    "ReferenceRegressor": "pyphylo.predict",
    "cross_validate_scores": "pyphylo.predict",
    "DistanceMatrix": "pyphylo.distance",
    "Genome": "pyphylo.genome",
    "Placement": "pyphylo.tree.placement",
    "SampleStore": "pyphylo.store",
    "SimilarityMatrix": "pyphylo.similarity",
    "Tree": "pyphylo.tree.tree",
    "balanced_length": "pyphylo.tree.bme",
    "balanced_minimum_evolution": "pyphylo.tree.bme",
    "bionj": "pyphylo.tree.nj",
    "bootstrap_support": "pyphylo.tree.support",
    "bootstrap_trees": "pyphylo.tree.support",
    "delta_scores": "pyphylo.tree.delta",
    "contradicted_parents": "pyphylo.parents",
    "evaluate_parents": "pyphylo.parents",
    "f2": "pyphylo.stats.fstatistics",
    "f3": "pyphylo.stats.fstatistics",
    "f4": "pyphylo.stats.fstatistics",
    "find_merge": "pyphylo.stats.merge",
    "fit_admixture": "pyphylo.stats.admixture",
    "find_teacher": "pyphylo.stats.distilled",
    "cached_table": "pyphylo._table_cache",
    "genetic_distance": "pyphylo.indices",
    "contract_ancestors": "pyphylo.tree.ancestors",
    "gene_weights": "pyphylo.resampling",
    "greedy_consensus": "pyphylo.tree.consensus",
    "majority_consensus": "pyphylo.tree.consensus",
    "lineage_depths": "pyphylo.tree.ancestors",
    "living_ancestor_tree": "pyphylo.tree.ancestors",
    "nei_distance": "pyphylo.distance",
    "nei_similarity": "pyphylo.similarity",
    "neighbor_joining": "pyphylo.tree.nj",
    "parent_edges": "pyphylo.tree.ancestors",
    "propose_parents": "pyphylo.parents",
    "nearest": "pyphylo._nearest",
    "place": "pyphylo.tree.placement",
    "resample_similarity": "pyphylo.resampling",
    "robinson_foulds_many": "pyphylo.tree._distances",
    "root_by": "pyphylo.tree.by_metadata",
    "sample": "pyphylo.sampling.scheduler",
    "search_balanced": "pyphylo.tree.bme",
    "sensitivity": "pyphylo.stats._sensitivity",
    "similarity_errors": "pyphylo.resampling",
    "support_from_trees": "pyphylo.tree.support",
    "support_values": "pyphylo.tree.support",
    "upgma": "pyphylo.tree.upgma",
    "distance_intervals": "pyphylo.stats.intervals",
    "similarity_intervals": "pyphylo.stats.intervals",
    "plan_sampling": "pyphylo.stats.planning",
    "same_model": "pyphylo.stats.same",
    "same_model_power": "pyphylo.stats.same_power",
    "variance_components": "pyphylo.stats.variance",
    "gene_information": "pyphylo.stats.gene_information",
    "select_genes": "pyphylo.stats.gene_selection",
    "trajectory": "pyphylo.stats.trajectories",
}
_LAZY_MODULES = ("simulate", "stats")

__all__ = [
    "FileFormatError",
    "InputError",
    "PyphyloError",
    "PyphyloWarning",
    "WorkError",
    "__version__",
    *_LAZY,
    *_LAZY_MODULES,
]


def __getattr__(name: str) -> Any:
    if name in _LAZY_MODULES:
        return import_module(f"pyphylo.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'pyphylo' has no attribute {name!r}")
    value = getattr(import_module(_LAZY[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(_LAZY) | set(_LAZY_MODULES))
