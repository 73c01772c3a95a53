"""Resampling of genes: time and peak memory, one thread."""

from __future__ import annotations

import pyphylo as pp

from . import simulated


class Replicates:
    """A hundred bootstrap replicates of all pairs, a block at a time."""

    params = (simulated.MODELS, ["plugin", "unbiased"])
    param_names = ("models", "estimator")
    timeout = 1200

    def setup(self, n_models, estimator):
        self.table = simulated.table(n_models)

    def time_blocks(self, n_models, estimator):
        self._all(estimator)

    def peakmem_blocks(self, n_models, estimator):
        self._all(estimator)

    def _all(self, estimator):
        for _ in pp.resample_similarity(self.table, estimator=estimator, n_threads=1).blocks():
            pass


class Errors:
    """Standard errors of all pairs."""

    params = (simulated.MODELS, ["jackknife", "bootstrap"])
    param_names = ("models", "method")
    timeout = 1200

    def setup(self, n_models, method):
        self.table = simulated.table(n_models)

    def time_errors(self, n_models, method):
        pp.similarity_errors(self.table, method, n_threads=1)

    def peakmem_errors(self, n_models, method):
        pp.similarity_errors(self.table, method, n_threads=1)
