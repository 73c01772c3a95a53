"""Similarity and simulation: time and peak memory."""

from __future__ import annotations

import pyphylo as pp

from . import simulated


class Similarity:
    """All pairs of a table's models. One call a sample: each has its own fresh table."""

    params = (simulated.MODELS, ["plugin", "unbiased"])
    param_names = ("models", "estimator")
    timeout = 600
    number = 1
    warmup_time = 0

    def setup(self, n_models, estimator):
        self.table = simulated.fresh(simulated.table(n_models))

    def time_square(self, n_models, estimator):
        pp.nei_similarity(self.table, estimator=estimator, n_threads=1)

    def peakmem_square(self, n_models, estimator):
        pp.nei_similarity(self.table, estimator=estimator, n_threads=1)


class Layouts:
    """Results of each type and layout, and a second thread."""

    params = (simulated.MODELS, ["float64", "float32"], [False, True], [1, 2])
    param_names = ("models", "dtype", "condensed", "threads")
    timeout = 600
    number = 1
    warmup_time = 0

    def setup(self, n_models, dtype, condensed, threads):
        self.table = simulated.fresh(simulated.table(n_models))
        self.options = {"dtype": dtype, "condensed": condensed, "n_threads": threads}

    def time_layout(self, n_models, dtype, condensed, threads):
        pp.nei_similarity(self.table, **self.options)

    def peakmem_layout(self, n_models, dtype, condensed, threads):
        pp.nei_similarity(self.table, **self.options)


class Distance:
    """Distances, whose logarithm is taken as each similarity is found."""

    params = (simulated.MODELS,)
    param_names = ("models",)
    timeout = 600
    number = 1
    warmup_time = 0

    def setup(self, n_models):
        self.table = simulated.fresh(simulated.table(n_models))

    def time_distance(self, n_models):
        pp.nei_distance(self.table, n_threads=1)


class Rectangular:
    """Ten new models against a table."""

    params = (simulated.MODELS,)
    param_names = ("models",)
    timeout = 600
    number = 1
    warmup_time = 0

    def setup(self, n_models):
        whole = simulated.table(n_models + 10)
        self.new = whole.select(models=whole.models[:10])
        self.old = whole.select(models=whole.models[10:])

    def time_rectangular(self, n_models):
        pp.nei_similarity(self.new, other=self.old, n_threads=1)


class Simulation:
    """A table from nothing, most of it spent in counting its rows."""

    params = (simulated.MODELS,)
    param_names = ("models",)
    timeout = 600

    def time_table(self, n_models):
        pp.simulate.simulate_table(n_models)

    def peakmem_table(self, n_models):
        pp.simulate.simulate_table(n_models)
