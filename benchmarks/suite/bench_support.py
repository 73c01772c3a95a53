"""Support of branches and delta scores: time and peak memory."""

from __future__ import annotations

import pyphylo as pp

from . import simulated


class Bootstrap:
    """A hundred replicates with their trees, both kinds of support."""

    params = (simulated.MODELS, [1, 2])
    param_names = ("models", "threads")
    timeout = 3600

    def setup(self, n_models, threads):
        self.table = simulated.table(n_models)
        self.tree = pp.neighbor_joining(pp.nei_distance(self.table))
        small = self.table.select(models=self.table.models[:8])
        pp.bootstrap_support(small, pp.neighbor_joining(pp.nei_distance(small)), n=1)  # compiles

    def time_supports(self, n_models, threads):
        pp.support_values(self.table, self.tree, n_threads=threads)

    def peakmem_supports(self, n_models, threads):
        pp.support_values(self.table, self.tree, n_threads=threads)


class Comparison:
    """Supports from given trees: the comparison alone."""

    params = (simulated.MODELS,)
    param_names = ("tips",)

    def setup(self, n):
        self.tree, *self.trees = [
            pp.neighbor_joining(pp.simulate.simulate_distances(n, seed=seed)) for seed in range(5)
        ]
        pp.support_from_trees(self.tree, self.trees)  # compiles

    def time_supports(self, n):
        pp.support_from_trees(self.tree, self.trees)


class Delta:
    """Every quartet of 200 models, and 10,000 quartets of each of more, one thread."""

    params = (sorted({200, *simulated.MODELS}),)
    param_names = ("models",)
    timeout = 600

    def setup(self, n):
        self.D = pp.simulate.simulate_distances(n, kind="language-models")
        small = self.D.filter(self.D.ids[:8])
        pp.delta_scores(small)  # compiles
        pp.delta_scores(small, n_quartets=10)

    def time_delta_scores(self, n):
        pp.delta_scores(self.D, n_threads=1)
