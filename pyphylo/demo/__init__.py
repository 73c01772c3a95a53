"""The demonstration: language models bred on the spot, and their tree found again."""

from pyphylo.demo.family import Family, breed, recovered_clades
from pyphylo.demo.plan import Budget

__all__ = ["Budget", "Family", "breed", "recovered_clades"]
