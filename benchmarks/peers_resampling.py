"""A bootstrap over genes beside SciPy, one thread each.

SciPy gets the weighted tables ready made and forms numerators only; pyphylo starts from the
allele table and writes the similarity of every replicate.
"""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse
from side_by_side import Tool, compare
from suite import simulated

import pyphylo as pp


def weighted(table: pp.AlleleTable, weights: np.ndarray) -> scipy.sparse.csr_array:
    """The counts, each times its gene's weight."""
    counts = table.to_csr()
    gene = np.searchsorted(table._core.gene_offsets, counts.indices, side="right") - 1
    data = (counts.data * weights[gene]).astype(np.float32)
    return scipy.sparse.csr_array((data, counts.indices, counts.indptr), shape=counts.shape)


def check(replicates: pp.resampling.Replicates, counts: scipy.sparse.csr_array, left: list) -> None:
    """Every replicate has the bits that SciPy's whole numbers give."""
    pairs = np.triu_indices(counts.shape[0], 1)
    for replicate, part in zip(replicates, left, strict=True):
        numerators = (part @ counts.T).toarray()
        assert numerators.max() < 2**24  # exact in float32
        selves = np.diagonal(numerators).astype(np.float64)
        S = numerators[pairs] / np.sqrt(selves[pairs[0]] * selves[pairs[1]])
        assert np.array_equal(replicate.condensed, S.astype(np.float32))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[500])
    parser.add_argument("--genes", type=int, default=128)
    parser.add_argument("--replicates", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    for n in args.models:
        table = simulated.table(n, args.genes)

        def ours(table: pp.AlleleTable = table) -> pp.resampling.Replicates:
            replicates = pp.resample_similarity(table, n=args.replicates, n_threads=1)
            for _ in replicates.blocks():
                pass
            return replicates

        replicates = ours()
        counts = table.to_csr().astype(np.float32)
        left = [weighted(table, w) for w in replicates.weights]
        check(replicates, counts, left)

        def scipy_products(
            counts: scipy.sparse.csr_array = counts, left: list = left
        ) -> scipy.sparse.csr_array:
            for part in left:
                product = part @ counts.T
            return product

        compare(
            f"{args.replicates} replicates of {n} models x {args.genes} genes, {table.nnz} entries",
            {"pyphylo": Tool(ours), "scipy CSR @ CSR.T": Tool(scipy_products)},
            args.repeats,
        )


if __name__ == "__main__":
    main()
