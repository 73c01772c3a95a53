"""Trees: built by neighbor joining, read, written, rooted and compared."""

from pyphylo.tree.bme import balanced_length, balanced_minimum_evolution, search_balanced
from pyphylo.tree.nj import neighbor_joining
from pyphylo.tree.tree import Tree

__all__ = [
    "Tree",
    "balanced_length",
    "balanced_minimum_evolution",
    "neighbor_joining",
    "search_balanced",
]
