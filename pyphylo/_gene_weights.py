"""How often each gene counts in each replicate of a resampling."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyphylo._memory import require_memory
from pyphylo._names import whole_number
from pyphylo.errors import InputError

__all__ = ["checked_weights", "gene_weights"]


def gene_weights(
    n_genes: int, method: str = "bootstrap", n: int = 100, seed: int = 0, block: int = 1
) -> NDArray[np.int64]:
    """How often each gene counts in each replicate.

    Parameters
    ----------
    n_genes : int
    method : {"bootstrap", "jackknife"}
        ``"bootstrap"`` draws `n_genes` genes with replacement, so each row adds
        up to `n_genes`. ``"jackknife"`` leaves out each block of `block`
        neighbouring genes once (the last block may be shorter): weights are 0
        or 1, and there is a replicate a block.
    n : int
        Replicates of the bootstrap; the jackknife's follow from `block`.
    seed : int
        Of the bootstrap. The first replicates of a larger `n` are those of a
        smaller one.
    block : int
        Genes that the jackknife leaves out together.

    Returns
    -------
    ndarray of int64, shape (replicates, n_genes)

    Notes
    -----
    Draw k is ``(r_k >> 32) * n_genes >> 32`` of the raw 64-bit numbers r of
    ``numpy.random.Philox(seed)``, whose stream no version of NumPy changes. A
    gene's chance differs from 1 / n_genes by less than 2^-32.

    Efron (1979) Ann. Stat. 7:1; Quenouille (1956) Biometrika 43:353.

    Examples
    --------
    >>> gene_weights(4, "jackknife", block=2)
    array([[0, 0, 1, 1],
           [1, 1, 0, 0]])
    """
    n_genes = whole_number(n_genes, "n_genes", 0)
    n = whole_number(n, "n", 1)
    seed = whole_number(seed, "seed", 0)
    block = whole_number(block, "block", 1)
    if method == "jackknife":
        blocks = -(-n_genes // block)
        require_memory(8 * blocks * n_genes, f"weights of {blocks} replicates")
        left_out = np.arange(n_genes) // block
        kept: NDArray[np.int64] = (left_out != np.arange(blocks)[:, None]).astype(np.int64)
        return kept
    if method != "bootstrap":
        raise InputError(f"unknown method {method!r}; known: 'bootstrap', 'jackknife'")
    if block != 1:
        raise InputError(f"only the jackknife takes blocks; block is {block} for a bootstrap")
    require_memory(3 * 8 * n * n_genes, f"weights of {n} replicates")
    raw = np.random.Philox(seed).random_raw(n * n_genes) >> np.uint64(32)
    drawn = (raw * np.uint64(n_genes) >> np.uint64(32)).astype(np.int64).reshape(n, n_genes)
    drawn += np.arange(n)[:, None] * n_genes
    counts: NDArray[np.int64] = np.bincount(drawn.ravel(), minlength=n * n_genes).astype(np.int64)
    return counts.reshape(n, n_genes)


def checked_weights(weights: ArrayLike, n_genes: int) -> NDArray[np.int64]:
    """A copy of the weights, refused unless they are counts of the table's genes."""
    array = np.asarray(weights)
    if array.ndim != 2 or array.shape[1] != n_genes:
        shape = " x ".join(map(str, array.shape))
        raise InputError(f"weights must be replicates x {n_genes} genes, not {shape}")
    if array.dtype.kind not in "iub":
        raise InputError(f"weights must be whole numbers, not {array.dtype}")
    bad = array < 0 if array.dtype.kind == "i" else array > np.iinfo(np.int64).max
    if bad.any():
        b, g = (int(k) for k in np.argwhere(bad)[0])
        raise InputError(
            f"the weight of gene {g} in replicate {b} is {array[b, g]}; "
            "weights are numbers of at least 0 and below 2^63"
        )
    return np.array(array, dtype=np.int64, order="C")
