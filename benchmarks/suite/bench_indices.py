"""Genetic distances beside Nei's: time and peak memory."""

from __future__ import annotations

import pyphylo as pp

from . import simulated


class Indices:
    """All pairs of a table's models, one thread."""

    params = (simulated.MODELS, ["da", "chord", "rogers", "jsd"])
    param_names = ("models", "index")
    timeout = 600

    def setup(self, n_models, index):
        self.table = simulated.table(n_models)

    def time_square(self, n_models, index):
        pp.genetic_distance(self.table, index=index, n_threads=1)

    def peakmem_square(self, n_models, index):
        pp.genetic_distance(self.table, index=index, n_threads=1)

    def peakmem_condensed_float32(self, n_models, index):
        pp.genetic_distance(self.table, index=index, n_threads=1, dtype="float32", condensed=True)
