"""Similarity beside SciPy and scikit-learn, one thread each; peers get their input ready made."""

from __future__ import annotations

import argparse
import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import scipy.sparse
import simulated
from side_by_side import compare
from sklearn.metrics.pairwise import cosine_similarity

import pyphylo as pp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--genes", type=int, default=128)
    for n in (args := parser.parse_args()).models:
        table = simulated.table(n, args.genes)
        counts = table.to_csr().astype(np.float64)

        def scipy_product(counts: scipy.sparse.csr_array = counts) -> object:
            dense = (counts @ counts.T).toarray()
            norm = np.sqrt(np.diagonal(dense))
            return dense / norm / norm[:, None]

        def ours(table: pp.AlleleTable = table) -> object:
            return pp.nei_similarity(table, n_threads=1)

        np.testing.assert_allclose(ours().values, scipy_product(), rtol=1e-12)
        compare(
            f"{n} models x {args.genes} genes, {table.nnz} entries",
            {
                "pyphylo": ours,
                "scipy CSR @ CSR.T": scipy_product,
                "sklearn cosine_similarity": lambda c=counts: cosine_similarity(c),
            },
        )


if __name__ == "__main__":
    main()
