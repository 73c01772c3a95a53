"""Similarity: time and peak memory."""

from __future__ import annotations

import simulated

import pyphylo as pp


class Similarity:
    """All pairs of a table's models, one thread."""

    params = (simulated.MODELS, ["plugin", "unbiased"])
    param_names = ("models", "estimator")
    timeout = 600

    def setup(self, n_models, estimator):
        self.table = simulated.table(n_models)

    def time_square(self, n_models, estimator):
        pp.nei_similarity(self.table, estimator=estimator, n_threads=1)

    def peakmem_square(self, n_models, estimator):
        pp.nei_similarity(self.table, estimator=estimator, n_threads=1)


class Rectangular:
    """Ten new models against a table."""

    params = (simulated.MODELS,)
    param_names = ("models",)

    def setup(self, n_models):
        whole = simulated.table(n_models + 10)
        self.new = whole.select(models=whole.models[:10])
        self.old = whole.select(models=whole.models[10:])

    def time_rectangular(self, n_models):
        pp.nei_similarity(self.new, other=self.old, n_threads=1)
