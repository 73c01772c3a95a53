"""Populations down a history: the root's frequencies, mixtures, mutation, drift."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo.simulate._descent import Descent
from pyphylo.simulate._draws import Draws, zipf

__all__ = [
    "Population",
    "drift_step",
    "drifted",
    "mixed",
    "mutated",
    "picked",
    "root_population",
    "tail_weights",
]

_STICKS = 256
"""Draws of a step whose weights are random, at most."""


class Population(NamedTuple):
    """Allele frequencies: the numbers of alleles, and a row of frequencies for each gene."""

    alleles: NDArray[np.int32]
    frequencies: NDArray[np.float64]


def root_population(seed: int, n_genes: int, n_alleles: int) -> Population:
    """The distribution from which all founders drift: Zipf's law, of a gene's own exponent."""
    cumulative = [
        zipf(int(Draws(seed, "root", g).below(6, 1)[0]), n_alleles) for g in range(n_genes)
    ]
    frequencies = np.diff(np.stack(cumulative), axis=1, prepend=0.0)
    return Population(np.arange(n_alleles, dtype=np.int32), frequencies)


def drifted(
    descent: Descent, f: list[float], root: Population, mutation: float, seed: int
) -> tuple[Population, ...]:
    """The population of every node, and last the root's."""
    populations: list[Population] = []
    for v, parent in enumerate(descent.parent):
        start = root if parent < 0 else populations[parent]
        if descent.other[v] >= 0:
            start = mixed(start, populations[descent.other[v]], descent.share[v])
        if mutation > 0:
            start = mutated(start, np.int32(len(root.alleles) + v), mutation)
        draws = Draws(seed, "drift", v)
        populations.append(Population(start.alleles, drift_step(start.frequencies, f[v], draws)))
    return (*populations, root)


def mutated(p: Population, new: np.int32, mutation: float) -> Population:
    """A population of which a share of each gene has turned into a new allele."""
    kept = (1 - mutation) * p.frequencies
    return Population(
        np.append(p.alleles, new), np.column_stack([kept, np.full(len(kept), mutation)])
    )


def mixed(a: Population, b: Population, share: float) -> Population:
    """A share of the first, the rest of the second."""
    alleles = np.union1d(a.alleles, b.alleles)
    both = np.zeros((len(a.frequencies), len(alleles)))
    both[:, np.searchsorted(alleles, a.alleles)] = share * a.frequencies
    both[:, np.searchsorted(alleles, b.alleles)] += (1 - share) * b.frequencies
    return Population(alleles, both)


def drift_step(p: NDArray[np.float64], f: float, draws: Draws) -> NDArray[np.float64]:
    """Frequencies after a drift of f; every row (gene) by itself.

    p' = sum of w_k over draws k of an allele from p. Whatever the weights w, where they
    add up to 1, and their squares to f on average, E[p'] = p and Var[p'] = f p (1 - p).
    """
    if f == 0:
        return p
    n_sticks = min(math.ceil(4 / f), _STICKS)
    tail = tail_weights(f)
    n_genes, n_alleles = p.shape
    u = draws.uniform(n_genes, 2 * n_sticks + len(tail))
    left = np.exp(np.cumsum(np.log1p(-u[:, :n_sticks]), axis=1) * (f / (1 - f)))
    weights = np.empty((n_genes, n_sticks + len(tail)))
    weights[:, 0] = 1 - left[:, 0]
    weights[:, 1:n_sticks] = left[:, :-1] - left[:, 1:]
    weights[:, n_sticks:] = left[:, -1:] * tail
    cells = np.arange(n_genes)[:, None] * n_alleles + picked(p, u[:, n_sticks:])
    moved = np.bincount(cells.ravel(), weights.ravel(), minlength=p.size).reshape(p.shape)
    # Rounding: a row adds up to 1 within some ulps, and to at most 1 it must.
    frequencies: NDArray[np.float64] = moved / moved.sum(axis=1, keepdims=True)
    return frequencies


def tail_weights(f: float) -> NDArray[np.float64]:
    """As few weights as can be that add up to 1, and their squares to f; all but one equal."""
    n = math.ceil(1 / f - 1e-9) - 1
    equal = (n + math.sqrt(max(0.0, n * (f * (n + 1) - 1)))) / (n * (n + 1))
    return np.append(np.full(n, equal), 1 - n * equal)


def picked(p: NDArray[np.float64], u: NDArray[np.float64]) -> NDArray[np.int64]:
    """For each number in [0, 1) the allele that it falls to, by rows.

    Rows are laid one after the other, 2 apart, and searched at once. The numbers are kept
    2^-32 below 1, so that rounding takes none out of its row.
    """
    n_genes, n_alleles = p.shape
    shift = 2.0 * np.arange(n_genes)[:, None]
    edges = np.cumsum(p, axis=1)
    edges /= edges[:, -1:]
    place = np.searchsorted((edges + shift).ravel(), (u * (1 - 2.0**-32) + shift).ravel(), "right")
    alleles: NDArray[np.int64] = place.reshape(u.shape) - n_alleles * np.arange(n_genes)[:, None]
    return alleles
