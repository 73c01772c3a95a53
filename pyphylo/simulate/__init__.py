"""Simulated populations: shaped like language models', or with a history that is known.

For benchmarks and tests. Every draw comes from a counter-based stream that is keyed by
the seed and by what is drawn.
"""

from pyphylo.simulate.history import History, simulate_history
from pyphylo.simulate.on_tree import TreePopulations, simulate_on_tree
from pyphylo.simulate.tables import family_of, simulate_distances, simulate_table

__all__ = [
    "History",
    "TreePopulations",
    "family_of",
    "simulate_distances",
    "simulate_history",
    "simulate_on_tree",
    "simulate_table",
]
