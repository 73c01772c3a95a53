"""Neighbor joining and Newick."""

from __future__ import annotations

import simulated

import pyphylo as pp


class NeighborJoining:
    """A tree of near-additive distances, one thread."""

    params = (simulated.MODELS, ["float32", "float64"])
    param_names = ("tips", "dtype")
    timeout = 600

    def setup(self, n, dtype):
        self.D = pp.DistanceMatrix(simulated.distances(n), [f"m{i}" for i in range(n)])
        small = self.D.filter(self.D.ids[:4])
        pp.neighbor_joining(small, dtype=dtype)  # compiles

    def time_neighbor_joining(self, n, dtype):
        pp.neighbor_joining(self.D, dtype=dtype, n_threads=1)


class Newick:
    """Text and back."""

    params = (simulated.MODELS,)
    param_names = ("tips",)

    def setup(self, n):
        D = pp.DistanceMatrix(simulated.distances(n), [f"m{i}" for i in range(n)])
        self.tree = pp.neighbor_joining(D)
        self.text = self.tree.newick()

    def time_write(self, n):
        self.tree.newick()

    def time_read(self, n):
        pp.Tree.from_newick(self.text)
