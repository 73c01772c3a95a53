"""The variance of Nei's identity, split into what genes and what probes add."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyphylo._compare import some_names
from pyphylo._names import check_two_models, whole_number
from pyphylo.alleles import AlleleTable
from pyphylo.errors import InputError
from pyphylo.stats._cells import kinds_of_cells
from pyphylo.stats._gene_terms import (
    LEAST_PROBES,
    ModelTerms,
    PairTerms,
    model_terms,
    pair_terms,
)
from pyphylo.stats.intervals import LEAST_GENES, pair_names

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["QUANTITIES", "VarianceComponents", "usable_terms", "variance_components"]

_Floats = NDArray[np.float64]

QUANTITIES = ("distance", "similarity")


@dataclass(frozen=True, eq=False)
class VarianceComponents:
    r"""Variances of the unbiased identity S of some pairs, as functions of genes and probes.

    With G genes and n probes of each in both models,

    .. math:: Var(S) = \frac{1}{G} \left( \sigma^2 + \frac{c_1}{n} + \frac{c_2}{n^2}
              + \frac{c_3}{n (n - 1)} \right)

    Attributes
    ----------
    pairs : tuple of (str, str)
    similarity : ndarray of float64, shape (pairs,)
        Unbiased identities.
    self_terms : ndarray of float64, shape (2, pairs)
        Mean over genes of the two models' sum p^2.
    genes : ndarray of int64, shape (pairs,)
        Genes that the estimates rest on.
    between : ndarray of float64, shape (pairs,)
        :math:`\sigma^2`, the variance of a gene's influence on S over prompts; an
        unbiased estimate, so it may be below 0 where it is small.
    within : ndarray of float64, shape (3, pairs)
        :math:`c_1, c_2, c_3`.
    observed : ndarray of float64, shape (pairs,)
        What probes added to the variance of S in the table.
    """

    pairs: tuple[tuple[str, str], ...]
    similarity: _Floats
    self_terms: _Floats
    genes: NDArray[np.int64]
    between: _Floats
    within: _Floats
    observed: _Floats

    def __repr__(self) -> str:
        return f"VarianceComponents({len(self.pairs)} pairs)"

    def __len__(self) -> int:
        return len(self.pairs)

    def error(
        self,
        genes: ArrayLike,
        probes: ArrayLike,
        *,
        quantity: str = "similarity",
        fixed_genes: bool = False,
    ) -> _Floats:
        """Root mean square error over the pairs, of the unbiased estimator.

        Parameters
        ----------
        genes, probes : array_like
            Broadcast against each other; probes may be infinite, and are 2 at least.
        quantity : {"similarity", "distance"}
        fixed_genes : bool
            Against the number that these very genes would give with endless
            probes. By default against that of all prompts that genes are drawn from.
        """
        variance = self._variance(genes, probes, quantity, fixed_genes)
        error: _Floats = np.sqrt(np.maximum(variance, 0.0))
        return error

    def plugin_error(
        self,
        genes: ArrayLike,
        probes: ArrayLike,
        *,
        quantity: str = "similarity",
        fixed_genes: bool = False,
    ) -> _Floats:
        """The same of the plug-in estimator, its bias included."""
        n = np.asarray(probes, np.float64)
        j = self.self_terms
        shape = (..., *[None] * n.ndim)
        inflated = j[shape] + (1 - j[shape]) / n
        shrunk = np.sqrt(np.prod(j, axis=0)[shape] / np.prod(inflated, axis=0))
        if quantity == "similarity":
            bias = self.similarity[shape] * (shrunk - 1)
            scale = shrunk**2
        else:
            bias, scale = np.log(shrunk), np.ones_like(shrunk)
        squares = np.nanmean(bias**2, axis=0)
        variance = self._variance(genes, probes, quantity, fixed_genes) * np.nanmean(scale, axis=0)
        error: _Floats = np.sqrt(squares + np.maximum(variance, 0.0))
        return error

    def _variance(
        self, genes: ArrayLike, probes: ArrayLike, quantity: str, fixed_genes: bool
    ) -> _Floats:
        """Mean over the pairs."""
        weights = _weights(self.similarity, quantity)
        n = np.asarray(probes, np.float64)
        if (n < 2).any():
            raise InputError("the unbiased estimator needs two probes a gene; ask for two or more")
        between = 0.0 if fixed_genes else max(float(np.nanmean(self.between * weights)), 0.0)
        c = np.nanmean(self.within * weights, axis=1)
        variance: _Floats = (between + c[0] / n + c[1] / n**2 + c[2] / (n * (n - 1))) / np.asarray(
            genes, np.float64
        )
        return variance

    def to_frame(self) -> pd.DataFrame:
        """One row a pair: names, similarity, genes, the components, and their share of the error.

        ``gene_se`` is what G genes with endless probes would leave as the standard
        error of S, ``probe_se`` what the table's probes add over these very genes.
        """
        import pandas as pd

        columns: dict[str, Any] = {
            "model": [a for a, _ in self.pairs],
            "other": [b for _, b in self.pairs],
            "similarity": self.similarity,
            "genes": self.genes,
            "between": self.between,
            **{f"within_{k + 1}": row for k, row in enumerate(self.within)},
            "gene_se": np.sqrt(np.maximum(self.between, 0) / self.genes),
            "probe_se": np.sqrt(np.maximum(self.observed, 0)),
        }
        frame: pd.DataFrame = pd.DataFrame(columns)
        return frame


def variance_components(
    table: AlleleTable,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    max_pairs: int = 2000,
) -> VarianceComponents:
    r"""Split the variance of the unbiased identity into genes and probes.

    S is a ratio of means over genes, so to first order its error is the mean over genes
    of :math:`z = S (N / \bar N - J / 2 \bar J - J' / 2 \bar J')`, N a gene's sum of products
    and J, J' its two unbiased self terms. The variance of z over genes is that of prompts
    and that of drawing n probes of each; the second is a polynomial of the gene's
    allele frequencies (N and J are U-statistics), of which falling factorials of counts
    give an unbiased estimate. The first is the rest.

    Parameters
    ----------
    table : AlleleTable
        Of sampled cells of four probes and more, or exact ones.
    pairs : sequence of (str, str), optional
        By default all pairs, or where there are more, `max_pairs` of them at
        even spaces.
    max_pairs : int

    Returns
    -------
    VarianceComponents

    Raises
    ------
    InputError
        When a model has hybrid cells, or no gene of four probes (which models), when a
        pair shares fewer than eight of them, or no model repeats an allele.

    Notes
    -----
    O(pairs x entries of a model) time. Hoeffding (1948) Ann. Math. Stat. 19:293;
    Nei & Roychoudhury (1974) Genetics 76:379.
    """
    if not isinstance(table, AlleleTable):
        raise InputError(f"variances need an AlleleTable, not {type(table).__name__}")
    max_pairs = whole_number(max_pairs, "max_pairs", 1)
    names = _pairs(table, pairs, max_pairs)
    models = [name for name in table.models if name in {m for pair in names for m in pair}]
    table = table.select(models=models)
    terms = usable_terms(table)
    place = {name: i for i, name in enumerate(models)}
    rows = [_components(terms[place[a]], terms[place[b]], (a, b)) for a, b in names]
    numbers = np.array(rows).T
    if np.isnan(numbers[0]).all():
        raise InputError(
            "no pair of models has an identity: alleles that a model repeats are wanting; sample "
            "more probes"
        )
    return VarianceComponents(
        tuple(names),
        numbers[0],
        numbers[1:3],
        numbers[3].astype(np.int64),
        numbers[4],
        numbers[5:8],
        numbers[8],
    )


def _weights(similarity: _Floats, quantity: str) -> _Floats:
    """What a variance of S is multiplied by."""
    if quantity not in QUANTITIES:
        raise InputError(f"unknown quantity {quantity!r}; known: 'similarity', 'distance'")
    if quantity == "similarity":
        return np.ones_like(similarity)
    return np.where(similarity > 0, 1 / np.where(similarity > 0, similarity, 1) ** 2, np.nan)


def _pairs(
    table: AlleleTable, pairs: Sequence[tuple[str, str]] | None, max_pairs: int
) -> list[tuple[str, str]]:
    if pairs is not None:
        return pair_names(table, pairs)
    n = len(table.models)
    check_two_models(n)
    rows, columns = np.triu_indices(n, 1)
    chosen = np.unique(np.linspace(0, len(rows) - 1, min(max_pairs, len(rows))).astype(int))
    return [
        (table.models[i], table.models[j])
        for i, j in zip(rows[chosen].tolist(), columns[chosen].tolist(), strict=True)
    ]


def usable_terms(table: AlleleTable) -> list[ModelTerms]:
    """Every model's terms, refused where there are none."""
    _, hybrid = kinds_of_cells(table)
    if hybrid.any():
        named = [repr(table.models[i]) for i in np.flatnonzero(hybrid)]
        raise InputError(
            "cells that are partly decided have no split into genes and probes: "
            f"{some_names(named)}; sample with mode='sample' or 'exact'"
        )
    terms = model_terms(table._core)
    few = [
        repr(name)
        for name, one in zip(table.models, terms, strict=True)
        if np.isnan(one.probes).all()
    ]
    if few:
        raise InputError(
            f"the split needs {LEAST_PROBES} probes of a gene; no gene has them in "
            f"{some_names(few)}: sample more probes, or leave these models out"
        )
    return terms


def _components(a: ModelTerms, b: ModelTerms, names: tuple[str, str]) -> list[float]:
    shared = ~(np.isnan(a.probes) | np.isnan(b.probes))
    genes = int(shared.sum())
    if genes < LEAST_GENES:
        raise InputError(
            f"the split needs {LEAST_GENES} genes of {LEAST_PROBES} probes that both models have; "
            f"{names[0]!r} and {names[1]!r} share {genes}"
        )
    terms = pair_terms(a, b)
    means = [values[shared].mean() for values in (terms.product, a.square, b.square)]
    if means[1] <= 0 or means[2] <= 0:
        return [np.nan, means[1], means[2], genes, *[np.nan] * 5]
    root = float(np.sqrt(means[1] * means[2]))
    s = means[0] / root
    weights = np.array([1 / root, -s / (2 * means[1]), -s / (2 * means[2])])
    z = weights @ np.stack([terms.product, a.square, b.square])
    first_a, first_b, second_ab, second_a, second_b = (
        part[shared] for part in _parts(terms, a, b, weights)
    )
    n, m = a.probes[shared], b.probes[shared]
    added = first_a / n + first_b / m + second_ab / (n * m)
    added += second_a / (n * (n - 1)) + second_b / (m * (m - 1))
    within = [(first_a + first_b).mean(), second_ab.mean(), (second_a + second_b).mean()]
    between = float(z[shared].var(ddof=1) - added.mean())
    return [s, means[1], means[2], genes, between, *within, added.mean() / genes]


def _parts(terms: PairTerms, a: ModelTerms, b: ModelTerms, weights: _Floats) -> list[_Floats]:
    """Hoeffding's components of a gene's z: of one probe of either model, and of two.

    To be divided by n, m, n m, n (n - 1) and m (m - 1), n and m being the probes.
    """
    w, u, v = weights
    first_a = w * w * (terms.right - terms.squared) + 4 * u * u * (a.cube - a.squared)
    first_a += 4 * w * u * (terms.left - terms.with_left)
    first_b = w * w * (terms.left - terms.squared) + 4 * v * v * (b.cube - b.squared)
    first_b += 4 * w * v * (terms.right - terms.with_right)
    both = w * w * (terms.product - terms.left - terms.right + terms.squared)
    second_a = 2 * u * u * (a.square - 2 * a.cube + a.squared)
    second_b = 2 * v * v * (b.square - 2 * b.cube + b.squared)
    return [first_a, first_b, both, second_a, second_b]
