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
    from pyphylo._nearest import nearest as nearest
    from pyphylo._table_cache import cached_table as cached_table
    from pyphylo.alleles import AlleleRule as AlleleRule
    from pyphylo.alleles import AlleleTable as AlleleTable
    from pyphylo.distance import DistanceMatrix as DistanceMatrix
    from pyphylo.distance import nei_distance as nei_distance
    from pyphylo.genome import Genome as Genome
    from pyphylo.indices import genetic_distance as genetic_distance
    from pyphylo.resampling import gene_weights as gene_weights
    from pyphylo.resampling import resample_similarity as resample_similarity
    from pyphylo.resampling import similarity_errors as similarity_errors
    from pyphylo.sampling.scheduler import sample as sample
    from pyphylo.similarity import SimilarityMatrix as SimilarityMatrix
    from pyphylo.similarity import nei_similarity as nei_similarity
    from pyphylo.store import SampleStore as SampleStore
    from pyphylo.tree.nj import neighbor_joining as neighbor_joining
    from pyphylo.tree.placement import Placement as Placement
    from pyphylo.tree.placement import place as place
    from pyphylo.tree.tree import Tree as Tree

_LAZY = {
    "AlleleRule": "pyphylo.alleles",
    "AlleleTable": "pyphylo.alleles",
    "DistanceMatrix": "pyphylo.distance",
    "Genome": "pyphylo.genome",
    "Placement": "pyphylo.tree.placement",
    "SampleStore": "pyphylo.store",
    "SimilarityMatrix": "pyphylo.similarity",
    "Tree": "pyphylo.tree.tree",
    "cached_table": "pyphylo._table_cache",
    "genetic_distance": "pyphylo.indices",
    "gene_weights": "pyphylo.resampling",
    "nearest": "pyphylo._nearest",
    "nei_distance": "pyphylo.distance",
    "nei_similarity": "pyphylo.similarity",
    "neighbor_joining": "pyphylo.tree.nj",
    "place": "pyphylo.tree.placement",
    "resample_similarity": "pyphylo.resampling",
    "sample": "pyphylo.sampling.scheduler",
    "similarity_errors": "pyphylo.resampling",
}
_LAZY_MODULES = ("simulate",)

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
