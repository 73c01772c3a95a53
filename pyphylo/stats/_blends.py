"""Arithmetic and geometric mixtures of two models, fitted to a third, on exact probabilities."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = ["BLEND", "OWN", "GeometricFit", "geometric_fit", "is_exact"]

_FLOOR = 1e-5
"""Probability of an allele that a cell does not list."""
BLEND, OWN = 0.6, 0.8
"""Own drift that a blend stays below, and that continued training leaves. On fine-tunes of one
small transformer averages of weights had 0.35 to 0.42, whatever the shares; all else 1.5 to 4.7."""
_LEAST_SPREAD = 0.05
"""Share times the other share, below which a blend is too near a parent to tell."""


@dataclass(frozen=True)
class GeometricFit:
    """How near a model is to the mixtures of two others; nats a gene.

    Attributes
    ----------
    weight : float
        Share of the first parent in the nearest geometric mixture, p proportional to
        a^weight b^(1 - weight), within 0..1.
    residual : float
        Mean over genes of the divergence KL(model || mixture).
    arithmetic_weight, arithmetic_residual : float
        The same of the nearest p = weight a + (1 - weight) b.
    to_parents : float
        Mean divergence from the nearer parent, as a measure for the residuals.
    advantage, se : float
        Arithmetic residual less the geometric one, and its standard error over genes.
    own, own_se : float
        The smaller residual over weight (1 - weight) D, D being the mean divergence between the
        parents, and its standard error over genes: how much the model has that no
        mixture gives, as a part of how much a mixture varies.
    """

    weight: float
    residual: float
    arithmetic_weight: float
    arithmetic_residual: float
    to_parents: float
    advantage: float
    se: float
    own: float
    own_se: float

    @property
    def kind(self) -> str:
        """How it came to lie there: "blend", "trained on", or "unclear".

        "blend": `own` is below 0.6 with its 95% limit, as an average's is. "trained on": above 0.8
        with its limit, as where a parent was trained on, also after an average.
        """
        reach = 1.96 * self.own_se
        if self.own + reach < BLEND:
            return "blend"
        return "trained on" if self.own - reach > OWN else "unclear"


def is_exact(table: AlleleTable) -> bool:
    """Whether every cell of the table is exact."""
    core = table._core
    return bool(core.probabilities.size) and not core.counts.any() and not core.draws.any()


def geometric_fit(table: AlleleTable, model: str, a: str, b: str) -> GeometricFit:
    """Fit both mixtures over the genes that the three models have.

    Alleles are those that any of the three lists; unlisted ones count 1e-5, then each cell is
    made to add up to 1. Both divergences are convex in the weight. O(alleles) a step.
    """
    core = table.select(models=[model, a, b])._core
    gene = np.repeat(np.arange(core.n_genes), np.diff(core.gene_offsets))
    p = np.zeros((3, core.n_columns))
    row = np.repeat(np.arange(3), np.diff(core.indptr))
    p[row, core.columns] = core.probabilities
    mass = _by_gene(p, gene, core.n_genes)
    shared: NDArray[np.bool_] = np.all(mass > 0, axis=0)
    kept = shared[gene]
    p = np.maximum(p, _FLOOR)[:, kept]
    gene = (np.cumsum(shared) - 1)[gene[kept]]
    n_genes = int(shared.sum())
    p /= _by_gene(p, gene, n_genes)[:, gene]
    of_model, of_a, of_b = p
    log_model, log_a, log_b = np.log(p)

    def arithmetic(x: float) -> NDArray[np.float64]:
        terms = of_model * (log_model - np.log(x * of_a + (1 - x) * of_b))
        divergence: NDArray[np.float64] = _by_gene(terms[None], gene, n_genes)[0]
        return divergence

    def geometric(x: float) -> NDArray[np.float64]:
        blend = x * log_a + (1 - x) * log_b
        whole = np.log(_by_gene(np.exp(blend)[None], gene, n_genes)[0])
        terms = of_model * (log_model - blend)
        divergence: NDArray[np.float64] = _by_gene(terms[None], gene, n_genes)[0] + whole
        return divergence

    weight, residual = _least(geometric)
    other_weight, other = _least(arithmetic)
    apart = other - residual
    between = _by_gene(
        np.stack([of_a * (log_a - log_b), of_b * (log_b - log_a)]), gene, n_genes
    ).mean(axis=0)
    nearer = (weight, residual) if residual.mean() <= other.mean() else (other_weight, other)
    own, own_se = _own_drift(*nearer, between)
    return GeometricFit(
        weight,
        float(residual.mean()),
        other_weight,
        float(other.mean()),
        float(min(arithmetic(1.0).mean(), arithmetic(0.0).mean())),
        float(apart.mean()),
        float(apart.std(ddof=1) / np.sqrt(n_genes)),
        own,
        own_se,
    )


def _own_drift(
    weight: float, residual: NDArray[np.float64], between: NDArray[np.float64]
) -> tuple[float, float]:
    """A residual as a part of how much a mixture varies, and its error over genes; NaN, unknown."""
    spread = weight * (1 - weight)
    scale = spread * float(between.mean())
    if spread < _LEAST_SPREAD or scale <= 0:
        return np.nan, np.nan
    own = float(residual.mean()) / scale
    apart = residual - own * spread * between
    return own, float(apart.std(ddof=1) / np.sqrt(len(apart)) / scale)


def _by_gene(
    values: NDArray[np.float64], gene: NDArray[np.int64], n_genes: int
) -> NDArray[np.float64]:
    return np.stack([np.bincount(gene, row, n_genes) for row in values])


def _least(
    divergence: Callable[[float], NDArray[np.float64]],
) -> tuple[float, NDArray[np.float64]]:
    """The weight in 0..1 of the least mean divergence, which is convex, and each gene's there."""
    from scipy.optimize import minimize_scalar

    found = minimize_scalar(
        lambda x: float(divergence(x).mean()), bounds=(0.0, 1.0), options={"xatol": 1e-6}
    )
    return float(found.x), divergence(float(found.x))
