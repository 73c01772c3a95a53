"""Tables and matrices of the sizes and shapes that language models give."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

import pyphylo as pp

PROFILE = os.environ.get("PYPHYLO_BENCH", "fast")
MODELS = {"fast": [200], "regular": [200, 1000], "large_scale": [200, 1000, 5000, 10_000]}[PROFILE]


def table(n_models: int, n_genes: int = 128, n_probes: int = 32, seed: int = 0) -> pp.AlleleTable:
    """Families of 25 models that draw from their family's alleles, some common to all."""
    rng = np.random.default_rng(seed)
    family = rng.integers(0, max(1, n_models // 25), n_models)
    models, genes, codes = [], [], []
    for gene in range(n_genes):
        common = rng.zipf(1.5, (family.max() + 1, 48)) % 3000
        own = rng.integers(3000, 1_000_000, (n_models, 8))
        pick = (rng.random((n_models, n_probes)) ** 1.8 * 48).astype(int)
        code = np.take_along_axis(common[family], pick, axis=1)
        private = rng.random((n_models, n_probes)) < 0.07
        code[private] = own[np.nonzero(private)[0], rng.integers(0, 8, private.sum())]
        models.append(np.repeat(np.arange(n_models), n_probes))
        genes.append(np.full(n_models * n_probes, gene))
        codes.append(code.ravel())
    rows = (np.concatenate(part) for part in (models, genes, codes))
    model, gene, code = rows
    return pp.AlleleTable.from_counts(
        [f"m{i}" for i in range(n_models)],
        [f"g{i}" for i in range(n_genes)],
        model,
        gene,
        code.astype(str),
        np.ones(len(model), np.int64),
    )


def distances(n: int, seed: int = 0) -> NDArray[np.float64]:
    """Distances along a random tree, with noise: near-additive."""
    rng = np.random.default_rng(seed)
    points = np.cumsum(rng.exponential(0.1, (n, 6)), axis=0)[rng.permutation(n)]
    D = np.abs(points[:, None] - points[None]).sum(-1) ** 0.5
    D *= 1 + 0.05 * rng.random((n, n))
    D = (D + D.T) / 2
    np.fill_diagonal(D, 0)
    return D
