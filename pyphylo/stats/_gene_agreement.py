r"""How far genes agree on who is near whom, and which of them agree most.

Of a gene g and models i, j let :math:`d_{gij} = (J_{gi} + J_{gj}) / 2 - N_{gij}`, Nei's (1972)
minimum distance: it adds up over genes. For each model i its distances to the others are
centred, the near ones weighing most (the r-th nearest 1 / r), for it is among near relatives
that parents and clades are told apart. What is left is the gene's view :math:`z_g`, a vector
over ordered pairs. A gene that is constant, or whose alleles are all private, has the same
distance everywhere: its view is 0.

All that is needed of views are their inner products Q, genes by genes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo._compare import usable_cells
from pyphylo._gene_diversity import Entries
from pyphylo._memory import require_memory
from pyphylo.similarity import nei_similarity
from pyphylo.stats._gene_blocks import gene_of_columns, model_of_entries

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = ["Agreement", "Cells", "likeness", "view_products"]

_Floats = NDArray[np.float64]

_NEAREST = 32
"""Partners of a model that are all looked at, from the nearest on."""
_FURTHER = 16
"""Partners that stand for all others, evenly over their ranks."""
_CAUTION = 0.25
"""Noise that is there whatever is chosen, in units of all genes' together: the smaller, the
sooner a gene of little signal is passed over for one of less noise."""


@dataclass(frozen=True, eq=False)
class Cells:
    """What the views of all genes are made of.

    Attributes
    ----------
    indptr, columns : ndarray of int64
    values : ndarray of float64
        Frequencies, in compressed sparse rows.
    gene_of_column : ndarray of int64
    self_terms : ndarray of float64, shape (models, genes)
        NaN where a cell is missing.
    similarity : ndarray of float64, shape (models, models)
        Over all genes; NaN is below all.
    """

    indptr: NDArray[np.int64]
    columns: NDArray[np.int64]
    values: _Floats
    gene_of_column: NDArray[np.int64]
    self_terms: _Floats
    similarity: _Floats

    @classmethod
    def of(cls, table: AlleleTable, estimator: str, n_threads: int, stacklevel: int) -> Cells:
        """The cells of a table; those without a self term count as missing."""
        from pyphylo.alleles import AlleleTable

        if estimator == "unbiased":
            table = AlleleTable(usable_cells(table, stacklevel + 1), table.provenance)
        core = table._core
        require_memory(
            8 * (6 * table.nnz + 3 * len(table.genes) ** 2 + len(table.models) ** 2),
            f"the agreement of {len(table.genes)} genes over {len(table.models)} models",
        )
        model, of_column = model_of_entries(core), gene_of_columns(core)
        columns = core.columns.astype(np.int64)
        entries = Entries(table, model, of_column[columns])
        own = entries.self_terms if estimator == "unbiased" else entries.plugin
        S = np.array(nei_similarity(table, estimator=estimator, n_threads=n_threads))
        return cls(
            core.indptr.astype(np.int64),
            columns,
            entries.p,
            of_column,
            own.reshape(len(table.models), len(table.genes)),
            np.where(np.isnan(S), -np.inf, S),
        )


@dataclass(frozen=True, eq=False)
class Agreement:
    r"""Inner products of genes' views, and what follows from them.

    The reference is the weighted sum of all views, where genes that are much alike share one
    weight: :math:`w_g = 1 / \sum_h \max(0, \rho_{gh})^2` with correlations :math:`\rho`, so
    that a gene asked ten times over does not become the truth. A gene is judged by the
    reference without itself.

    Attributes
    ----------
    signal : ndarray of float64, shape (genes,)
        Slope of the gene's view on the reference without itself; 0 for a gene of no view.
    noise : ndarray of float64, shape (genes,)
        What of its squared length the slope leaves.
    joint : ndarray of float64, shape (genes, genes)
        Inner products of what the slopes leave; `noise` on the diagonal.
    """

    signal: _Floats
    noise: _Floats
    joint: _Floats

    @classmethod
    def of(cls, products: _Floats) -> Agreement:
        """From inner products. O(genes^2) time."""
        squares = np.diag(products).copy()
        # A view that is rounding is none.
        seen = squares > 1e-20 * max(float(squares.max(initial=0.0)), 1e-300)
        sd = np.sqrt(np.where(seen, squares, 1.0))
        rho = np.where(seen[:, None] & seen, products / np.outer(sd, sd), 0.0)
        np.fill_diagonal(rho, 1.0)
        weight = np.where(seen, 1.0 / (np.maximum(rho, 0.0) ** 2).sum(axis=1), 0.0)
        with_all = products @ weight
        length = float(weight @ with_all)
        # The reference without gene g is r - w_g z_g.
        along = with_all - weight * squares
        rest = length - 2 * weight * with_all + weight**2 * squares
        signal = np.zeros(len(squares))
        np.divide(along, rest, out=signal, where=seen & (rest > 1e-12 * max(length, 1e-300)))
        noise = np.maximum(squares - signal * along, 0.0)
        joint = products - np.outer(signal, with_all) - np.outer(with_all, signal)
        joint += np.outer(signal, signal) * length
        np.fill_diagonal(joint, noise)
        return cls(signal, noise, joint)

    def greedy(self, n: int, allowed: NDArray[np.bool_]) -> NDArray[np.intp]:
        """Genes in the order in which they are chosen, `n` of those allowed, or all of them.

        Invariant: B and V are the summed signal and the noise of what is chosen, `shared` what
        each gene has in common with that noise. The next gene is that which makes B^2 / V
        largest, V having a floor in it. O(n genes) time.
        """
        floor = _CAUTION * float(self.noise.sum())
        B, V = 0.0, floor
        shared = np.zeros(len(self.signal))
        left = allowed.copy()
        order: list[int] = []
        for _ in range(min(n, int(allowed.sum()))):
            noise = np.maximum(V + self.noise + 2 * shared, max(floor, 1e-300))
            signal = B + self.signal
            gain = np.where(left, signal * np.abs(signal) / noise, -np.inf)
            g = int(np.argmax(gain))
            order.append(g)
            left[g] = False
            B, V = float(signal[g]), float(noise[g])
            shared += self.joint[g]
        return np.array(order, dtype=np.intp)


def likeness(products: _Floats, some: NDArray[np.intp], others: NDArray[np.intp]) -> float:
    """Correlation of the summed views of some genes and of others; 0 where one sum is nothing."""
    across = float(products[np.ix_(some, others)].sum())
    lengths = [float(products[np.ix_(genes, genes)].sum()) for genes in (some, others)]
    # Rounding: sums of views that cancel.
    if min(lengths) <= 1e-12 * float(np.trace(products)):
        return 0.0
    return across / float(np.sqrt(lengths[0] * lengths[1]))


def view_products(cells: Cells, rows: NDArray[np.intp]) -> _Floats:
    """Inner products of all genes' views over some of the models, shape (genes, genes).

    Models have up to 48 partners each: the 32 nearest, and 16 at even steps of the other
    ranks, which stand for those between. O(48 models x (entries a model + genes^2)) time.
    """
    from pyphylo.stats._agreement_kernels import gene_products

    n_genes = cells.self_terms.shape[1]
    products = np.zeros((n_genes, n_genes))
    own = np.zeros(len(cells.gene_of_column))
    chosen, weights = _ranks(len(rows) - 1)
    for i in rows:
        others = rows[rows != i]
        order = np.argsort(-cells.similarity[i, others], kind="stable")
        partners = others[order[chosen]].astype(np.int64)
        out = np.empty((len(partners), n_genes))
        gene_products(
            cells.indptr,
            cells.columns,
            cells.values,
            cells.gene_of_column,
            int(i),
            partners,
            own,
            out,
        )
        view = _view(cells.self_terms[i], cells.self_terms[partners], out, weights)
        products += view.T @ view
    return products


def _view(own: _Floats, others: _Floats, products: _Floats, weights: _Floats) -> _Floats:
    """One model's part of every gene's view, times the roots of the weights; missing is 0."""
    distance = (own + others) / 2 - products
    has = np.isfinite(distance)
    distance = np.where(has, distance, 0.0)
    w = np.where(has, weights[:, None], 0.0)
    total = w.sum(axis=0)
    mean = (w * distance).sum(axis=0) / np.where(total > 0, total, 1.0)
    view: _Floats = np.where(has, distance - mean, 0.0) * np.sqrt(weights)[:, None]
    return view


def _ranks(n: int) -> tuple[NDArray[np.intp], _Floats]:
    """Which of n partners, ordered by nearness, are looked at, and their weights; these add to 1.

    Rank r weighs 1 / r; one that stands for several has the weights of all.
    """
    weight = 1.0 / np.arange(1, n + 1)
    weight /= weight.sum()
    if n <= _NEAREST + _FURTHER:
        return np.arange(n), weight
    edges = np.linspace(_NEAREST, n, _FURTHER + 1).round().astype(np.intp)
    middles = (edges[:-1] + edges[1:] - 1) // 2
    sums = np.add.reduceat(weight, edges[:-1])
    return (
        np.concatenate([np.arange(_NEAREST), middles]),
        np.concatenate([weight[:_NEAREST], sums]),
    )
