"""Products of allele frequencies of some pairs of models, gene by gene, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = ["gene_products"]


@compiled
def gene_products(
    indptr: NDArray[np.int64],
    columns: NDArray[np.int64],
    values: NDArray[np.float64],
    gene_of_column: NDArray[np.int64],
    focal: int,
    partners: NDArray[np.int64],
    own: NDArray[np.float64],
    out: NDArray[np.float64],
) -> Any:
    """Sum of p q over the alleles of each gene, of one model and each of its partners.

    Invariant: `own`, of a value a column, is 0 before and after.

    Parameters
    ----------
    indptr, columns, values
        Frequencies by model, in compressed sparse rows.
    focal : int
    partners : ndarray, shape (partners,)
    own : ndarray, shape (columns,)
    out : ndarray, shape (partners, genes)
        Filled.
    """
    for at in range(indptr[focal], indptr[focal + 1]):
        own[columns[at]] = values[at]
    for row in range(len(partners)):
        out[row, :] = 0.0
        model = partners[row]
        for at in range(indptr[model], indptr[model + 1]):
            column = columns[at]
            out[row, gene_of_column[column]] += values[at] * own[column]
    for at in range(indptr[focal], indptr[focal + 1]):
        own[columns[at]] = 0.0
