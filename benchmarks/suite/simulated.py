"""Sizes of the profile, and simulated tables that a clock can start with."""

from __future__ import annotations

import os
from functools import cache

import pyphylo as pp
from pyphylo.cli.bench import SIZES

MODELS = SIZES[os.environ.get("PYPHYLO_BENCH", "fast")]


@cache
def table(n_models: int, n_genes: int = 128) -> pp.AlleleTable:
    """A simulated table; call `fresh` on it before the clock starts."""
    return pp.simulate.simulate_table(n_models, n_genes)


def fresh(table: pp.AlleleTable) -> pp.AlleleTable:
    """A copy that holds sparse rows only, nothing that a kernel kept for later calls."""
    return table.select(models=table.models)
