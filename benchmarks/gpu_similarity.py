"""Similarity on a GPU beside the CPU core, the same bits checked first; for whoever has a GPU.

Times hold everything between the allele table and the NumPy array: entries to the device,
products, and the result back.
"""

from __future__ import annotations

import argparse

import numpy as np
import simulated
from side_by_side import compare

import pyphylo as pp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[1000, 5000, 10_000])
    parser.add_argument("--genes", type=int, default=128)
    parser.add_argument("--probes", type=int, default=32)
    parser.add_argument("--estimator", choices=("plugin", "unbiased"), default="plugin")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    for n in args.models:
        table = simulated.table(n, args.genes, args.probes)

        def on(device: str, table: pp.AlleleTable = table) -> pp.SimilarityMatrix:
            return pp.nei_similarity(table, estimator=args.estimator, device=device)

        assert np.array_equal(on("cpu").values, on(args.device).values, equal_nan=True)
        compare(
            f"{n} models x {args.genes} genes, {table.nnz} entries, {args.probes} probes",
            {args.device: lambda on=on: on(args.device), "CPU core": lambda on=on: on("cpu")},
            args.repeats,
        )


if __name__ == "__main__":
    main()
