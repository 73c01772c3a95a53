"""Trees: built by neighbor joining, read, written, rooted, fitted, compared and summarized."""

from pyphylo.tree._distances import robinson_foulds_many
from pyphylo.tree._fit import Residuals
from pyphylo.tree._rooting import AncestorDeviations
from pyphylo.tree.bme import balanced_length, balanced_minimum_evolution, search_balanced
from pyphylo.tree.consensus import greedy_consensus, majority_consensus
from pyphylo.tree.nj import bionj, neighbor_joining
from pyphylo.tree.tree import Tree
from pyphylo.tree.upgma import upgma

__all__ = [
    "AncestorDeviations",
    "Residuals",
    "Tree",
    "balanced_length",
    "balanced_minimum_evolution",
    "bionj",
    "greedy_consensus",
    "majority_consensus",
    "neighbor_joining",
    "robinson_foulds_many",
    "search_balanced",
    "upgma",
]
