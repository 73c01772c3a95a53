"""How often the test of one model finds a difference of a given size."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo._names import whole_number
from pyphylo.alleles import AlleleTable
from pyphylo.errors import InputError
from pyphylo.stats._two_samples import kernel_variance, null_factor
from pyphylo.stats.variance import usable_terms

__all__ = ["GeneSpreads", "same_model_power"]

_Floats = NDArray[np.float64]


def same_model_power(
    table: AlleleTable,
    similarity: float,
    *,
    genes: int | None = None,
    probes: int = 32,
    other_probes: int | None = None,
    level: float = 0.05,
) -> float:
    r"""How likely `same_model` tells two models of a given similarity apart.

    Parameters
    ----------
    table : AlleleTable
        Of the model, or models like it: the allele frequencies at stake. Sampled cells of
        four probes and more, or exact ones.
    similarity : float
        Nei's identity of the two, of their true frequencies.
    genes : int, optional
        By default those of the table.
    probes, other_probes : int
        Of each gene in the two stores; the same by default.
    level : float
        P-value below which models are called different.

    Returns
    -------
    float

    Raises
    ------
    InputError
        When a number is out of range; when a model has no gene of four probes.

    Notes
    -----
    The difference is taken to be noise on log probabilities, of one size for all
    alleles, as quantisation makes it: a gene's squared distance is then in proportion
    to :math:`V = \sum p^2 - 2 \sum p^3 + (\sum p^2)^2`, which is also what its variance
    under the null is in proportion to. Normal approximation of the statistic, a sum over genes.

    Examples
    --------
    >>> table = pp.simulate.simulate_table(20)
    >>> round(pp.same_model_power(table, 0.99), 2)
    0.9
    """
    _check_share(similarity, "similarity")
    _check_share(level, "level")
    if not isinstance(table, AlleleTable):
        raise InputError(f"power needs an AlleleTable, not {type(table).__name__}")
    n = whole_number(probes, "probes", 2)
    m = n if other_probes is None else whole_number(other_probes, "other_probes", 2)
    terms = usable_terms(table)
    usable = ~np.isnan([one.probes for one in terms])
    moments = np.stack(
        [
            np.array([getattr(one, name) for one in terms])[usable]
            for name in ("square", "cube", "fourth", "squared")
        ]
    )
    n_genes = len(table.genes) if genes is None else whole_number(genes, "genes", 1)
    sizes = np.array([[n], [m]], np.float64)
    return GeneSpreads.of(moments, sizes, n_genes / moments.shape[1]).power(similarity, level)


@dataclass(frozen=True)
class GeneSpreads:
    """What the power depends on, summed over genes.

    Attributes
    ----------
    square : float
        Sum over genes of sum p^2.
    v : float
        Sum over genes of V.
    null : float
        Variance of the statistic where the models are one.
    added : float
        What noise of variance 1 on the log probabilities adds to it.
    """

    square: float
    v: float
    null: float
    added: float

    @classmethod
    def of(cls, moments: _Floats, probes: _Floats, copies: float = 1.0) -> GeneSpreads:
        """From sum p^2, sum p^3, sum p^4, (sum p^2)^2, shape (4, genes), and probes, (2, genes).

        With p' = p + d, d = p (e - sum p e) and e of variance 1: sum d^2 is V on
        average, and the variance of d under p is
        sum p^3 - 3 sum p^4 + 3 sum p^2 sum p^3 - (sum p^2)^3.
        """
        square, cube, fourth, squared = moments
        n, m = probes
        v = kernel_variance(square, cube, squared)
        own = np.maximum(cube - 3 * fourth + 3 * square * cube - square * squared, 0.0)
        return cls(
            copies * float(square.sum()),
            copies * float(v.sum()),
            copies * float((null_factor(n, m) * v).sum()),
            copies * float((4 * (1 / n + 1 / m) * own).sum()),
        )

    def power(self, similarity: float, level: float) -> float:
        """The chance of a p-value of at most `level`; NaN where nothing varies.

        The mean of D is the sum of the self terms less twice the products: 2 J (1 - S).
        """
        from scipy.stats import norm

        if self.v <= 0 or self.square <= 0:
            return float("nan")
        shift = 2 * self.square * (1 - similarity)
        critical = float(norm.isf(level)) * math.sqrt(self.null)
        spread = math.sqrt(self.null + self.added * shift / self.v)
        return float(norm.cdf((shift - critical) / spread))

    def detectable(self, level: float, power: float) -> float:
        """The largest similarity that is told from 1 with this power; NaN where there is none."""
        if not self.power(0.0, level) >= power:
            return float("nan")
        low, high = 0.0, 1.0
        while high - low > 1e-6:
            middle = (low + high) / 2
            if self.power(middle, level) >= power:
                low = middle
            else:
                high = middle
        return low


def _check_share(value: float, name: str) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
        raise InputError(f"{name} must be between 0 and 1, not {value!r}")
