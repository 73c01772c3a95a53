"""Trees: built by neighbor joining, read, written, rooted and compared."""

from pyphylo.tree.nj import neighbor_joining
from pyphylo.tree.tree import Tree

__all__ = ["Tree", "neighbor_joining"]
