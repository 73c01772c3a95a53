"""Neighbor joining and Newick."""

from __future__ import annotations

import pyphylo as pp

from . import simulated


class NeighborJoining:
    """A tree of simulated distances, one thread."""

    params = (simulated.MODELS, ["near-additive", "language-models"], ["float32", "float64"])
    param_names = ("tips", "kind", "dtype")
    timeout = 600

    def setup(self, n, kind, dtype):
        self.D = pp.simulate.simulate_distances(n, kind=kind)
        small = self.D.filter(self.D.ids[:4])
        pp.neighbor_joining(small, dtype=dtype)  # compiles

    def time_neighbor_joining(self, n, kind, dtype):
        pp.neighbor_joining(self.D, dtype=dtype, n_threads=1)


class Newick:
    """Text and back."""

    params = (simulated.MODELS,)
    param_names = ("tips",)

    def setup(self, n):
        self.tree = pp.neighbor_joining(pp.simulate.simulate_distances(n))
        self.text = self.tree.newick()

    def time_write(self, n):
        self.tree.newick()

    def time_read(self, n):
        pp.Tree.from_newick(self.text)
