"""One model against all others: similarities, their errors and replicates over genes.

What one pass over the table gives, numerators and self terms gene by gene, is enough for all
of these: a replicate is another weighted sum of the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo._compare import ESTIMATORS, usable_cells
from pyphylo._memory import require_memory
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = ["OneAgainstAll", "distance_errors"]

_Floats = NDArray[np.float64]

_AT_ONCE = 32
"""Replicates that are formed together."""
_ARRAYS = 10
"""Arrays of 8 bytes a model and gene that are held at once, at most."""


class OneAgainstAll:
    """Nei's identity of one model with each of a table's, itself included.

    Parameters
    ----------
    table : AlleleTable
    row : int
        The model.
    estimator : {"plugin", "unbiased"}
    n_threads : int
    stacklevel : int
        Of the warning of dropped cells.

    Attributes
    ----------
    numerators : ndarray of float64, shape (models, genes)
        Of each gene, the products summed over alleles.
    own, others : ndarray of float64, shape (models, genes)
        The self terms of this model and of the others, 0 where one of the two
        lacks the gene. `own` has a single row where all its rows are the same.
    shared : ndarray of bool, shape (models, genes)
    own_scale : float
    scales : ndarray of float64, shape (models,)
        What sums of self terms are multiplied by.

    Notes
    -----
    O(nnz + models x genes) time, 80 bytes a model and gene in all.
    """

    def __init__(
        self, table: AlleleTable, row: int, estimator: str, n_threads: int, stacklevel: int
    ) -> None:
        if not isinstance(estimator, str) or estimator not in ESTIMATORS:
            raise InputError(f"unknown estimator {estimator!r}; known: 'plugin', 'unbiased'")
        needed = 8 * _ARRAYS * len(table.models) * len(table.genes)
        require_memory(needed, f"the products of one model with {len(table.models)}, by gene,")
        core = usable_cells(table, stacklevel + 1) if estimator == "unbiased" else table._core
        self.numerators, terms, present, self.scales = _core.gene_products(
            core, row, ESTIMATORS[estimator], n_threads
        )
        self.own_scale = float(self.scales[row])
        has = present.view(np.bool_)
        self.shared: NDArray[np.bool_] = has & has[row]
        # One row does for all where they lack the same genes, or none.
        alike = bool((self.shared == self.shared[0]).all())
        self.own: _Floats = np.where(self.shared[:1] if alike else self.shared, terms[row], 0.0)
        self.others: _Floats = np.where(self.shared, terms, 0.0)

    def select(self, rows: NDArray[np.intp]) -> None:
        """Keep some of the models, in the given order."""
        self.numerators, self.shared = self.numerators[rows], self.shared[rows]
        self.others, self.scales = self.others[rows], self.scales[rows]
        if len(self.own) > 1:
            self.own = self.own[rows]

    def similarities(self) -> _Floats:
        """The identities, shape (models,); NaN without a common gene or with a zero self term."""
        return self._identities(lambda terms: terms.sum(axis=1), self.scales)

    def without_each_gene(self) -> _Floats:
        """The identities with one gene left out, shape (models, genes)."""
        return self._identities(
            lambda terms: terms.sum(axis=1, keepdims=True) - terms, self.scales[:, None]
        )

    def replicates(self, weights: NDArray[np.int64]) -> Iterator[_Floats]:
        """The identities with genes counted another number of times, some replicates at a time.

        Sums of integer tables are exact, others are added gene by gene in one fixed
        order: no library of linear algebra, whose bits depend on its threads.

        Parameters
        ----------
        weights : ndarray of int, shape (replicates, genes)

        Yields
        ------
        ndarray of float64, shape (up to 32, models)
        """
        for start in range(0, len(weights), _AT_ONCE):
            part = weights[start : start + _AT_ONCE].astype(np.float64)
            yield self._weighted(part)

    def _weighted(self, weights: _Floats) -> _Floats:
        return self._identities(lambda terms: np.einsum("bg,mg->bm", weights, terms), self.scales)

    def _identities(self, summed: Callable[[_Floats], _Floats], scales: _Floats) -> _Floats:
        """The operations of the kernel of all pairs, in its order, on sums over genes."""
        product = (summed(self.own) * self.own_scale) * (summed(self.others) * scales)
        defined = product > 0
        found: _Floats = np.full(product.shape, np.nan)
        root = np.sqrt(np.where(defined, product, 1.0))
        return np.divide(summed(self.numerators), root, out=found, where=defined)


def distance_errors(
    similarity: _Floats, without: _Floats, shared: NDArray[np.bool_], floor: float
) -> NDArray[np.float64]:
    r"""Standard errors over genes of :math:`-\log S`, shape (models,): the jackknife's of S by S.

    Not the jackknife of the logarithms: where one gene has all common alleles, S without it
    is 0, and the floor, a convention, would be the error.

    Parameters
    ----------
    similarity : ndarray, shape (models,)
    without : ndarray, shape (models, genes)
        The similarities with one gene left out.
    shared : ndarray of bool, shape (models, genes)
        Genes that are part of each sample.
    floor : float
        Of S, above 0.

    Returns
    -------
    ndarray
        NaN with fewer than two genes, where a similarity without a gene is NaN, and at
        S = 0: genes that all say the same nothing do not show how they spread.
        Tukey (1958) Ann. Math. Stat. 29:614.
    """
    n = shared.sum(axis=1)
    enough = n > 1
    genes = np.maximum(n, 2)
    x = np.where(shared, without - similarity[:, None], 0.0)
    mean = x.sum(axis=1) / genes
    squares = (np.where(shared, x - mean[:, None], 0.0) ** 2).sum(axis=1)
    errors: _Floats = np.sqrt((genes - 1) / genes * squares) / np.maximum(similarity, floor)
    errors[~enough | (similarity == 0)] = np.nan
    return errors
