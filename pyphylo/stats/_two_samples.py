"""Two stores' probes of one pair of models, gene by gene."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo.stats._cells import row_of

__all__ = ["TwoSamples", "exchange_p_value", "kernel_variance", "null_factor"]

_Floats = NDArray[np.float64]

_ROUNDING = 1e-10
"""How far sums of D that are equal may differ, relative to the sum of what they are made of."""


@dataclass(frozen=True, eq=False)
class TwoSamples:
    """Counts of the genes for which both have two probes or more.

    Attributes
    ----------
    gene : ndarray of int64, shape (alleles,)
        Of each allele that either said, its gene, counted among those kept; ascending.
    left, right : ndarray of int64, shape (alleles,)
        How often either said it.
    probes : ndarray of int64, shape (2, genes)
    """

    gene: NDArray[np.int64]
    left: NDArray[np.int64]
    right: NDArray[np.int64]
    probes: NDArray[np.int64]

    @classmethod
    def of(cls, core: _core.AlleleTable, a: int, b: int) -> TwoSamples:
        """Of two rows of a table of sampled cells."""
        rows = row_of(core, a), row_of(core, b)
        columns = [core.columns[row] for row in rows]
        union = np.union1d(*columns)
        counts = np.zeros((2, len(union)), np.int64)
        for side, row in enumerate(rows):
            counts[side, np.searchsorted(union, columns[side])] = core.counts[row]
        gene = np.searchsorted(core.gene_offsets, union, side="right") - 1
        probes = np.stack(
            [np.bincount(gene, side, minlength=core.n_genes).astype(np.int64) for side in counts]
        )
        kept = np.asarray((probes >= 2).all(axis=0))
        place = np.cumsum(kept) - 1
        chosen = kept[gene]
        left, right = counts[:, chosen]
        return cls(place[gene[chosen]], left, right, probes[:, kept])

    @property
    def n_genes(self) -> int:
        """Genes kept."""
        return int(self.probes.shape[1])

    def _by_gene(self, values: NDArray[np.int64] | _Floats) -> _Floats:
        total: _Floats = np.bincount(self.gene, values, minlength=self.n_genes).astype(float)
        return total

    def products(self) -> tuple[_Floats, _Floats, _Floats]:
        """Sums of products and the two unbiased self terms, gene by gene."""
        n, m = self.probes.astype(np.float64)
        own = (self._by_gene(self.left**2) - n) / (n * (n - 1))
        others = (self._by_gene(self.right**2) - m) / (m * (m - 1))
        return self._by_gene(self.left * self.right) / (n * m), own, others

    def squared_distances(self) -> _Floats:
        """D of every gene, the unbiased squared distance; its mean is 0 where both are one."""
        product, own, others = self.products()
        squares: _Floats = own + others - 2 * product
        return squares

    def pooled(self) -> tuple[_Floats, _Floats, _Floats, _Floats]:
        """Of both together, gene by gene: sum p^2, sum p^3, sum p^4 and the square of sum p^2.

        Unbiased where both are of one distribution; there are four probes at least.
        """
        size = self.probes.sum(axis=0).astype(np.float64)
        t = (self.left + self.right).astype(np.float64)
        two, three = t * (t - 1), t * (t - 1) * (t - 2)
        pairs = self._by_gene(two)
        square = pairs / (size * (size - 1))
        triples = self._by_gene(three)
        fours = self._by_gene(three * (t - 3))
        mixed = pairs**2 - self._by_gene(two**2) + fours
        cube = triples / (size * (size - 1) * (size - 2))
        all_four = size * (size - 1) * (size - 2) * (size - 3)
        return square, cube, fours / all_four, mixed / all_four

    def variances(self) -> _Floats:
        """Variance of D over all exchanges of probes, gene by gene, exactly."""
        square, cube, _, squared = self.pooled()
        variances: _Floats = null_factor(*self.probes) * kernel_variance(square, cube, squared)
        return variances

    def coincide(self) -> bool:
        """Whether both said the same equally often."""
        return np.array_equal(self.left, self.right)

    def log_chance(self) -> float:
        """Logarithm of the chance that an exchange gives just these counts."""
        from scipy.special import gammaln

        def choose(n: NDArray[np.int64], k: NDArray[np.int64]) -> float:
            return float((gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)).sum())

        return choose(self.left + self.right, self.left) - choose(
            self.probes.sum(axis=0), self.probes[0]
        )


def kernel_variance(square: _Floats, cube: _Floats, squared: _Floats) -> _Floats:
    """V = sum p^2 - 2 sum p^3 + (sum p^2)^2, the variance of the statistic's degenerate kernel."""
    v: _Floats = np.maximum(square - 2 * cube + squared, 0.0)
    return v


def null_factor(n: NDArray[np.int64] | float, m: NDArray[np.int64] | float) -> _Floats:
    """What V is multiplied by for the variance of D under the null, n and m being the probes."""
    n, m = np.asarray(n, np.float64), np.asarray(m, np.float64)
    factor: _Floats = 2 / (n * (n - 1)) + 2 / (m * (m - 1)) + 4 / (n * m)
    return factor


def exchange_p_value(
    samples: TwoSamples, n: int, enough: int, seed: int, names: tuple[str, str]
) -> tuple[float, int]:
    """P-value of sum D over random exchanges, and how many were made.

    Besag & Clifford (1991, Biometrika 78:301): drawing stops at `enough` exceedances, after
    l draws, with p = enough / l; after `n` draws with e exceedances p = (e + 1) / (n + 1).
    """
    from pyphylo.stats._exchange import exceedances

    # A gene at which all said the same has D = 0 in any exchange.
    varied = np.bincount(samples.gene, minlength=samples.n_genes) > 1
    chosen = varied[samples.gene]
    total = (samples.left + samples.right)[chosen]
    if not len(total):
        return 1.0, 0
    labels = np.repeat(np.arange(len(total)), total)
    starts = np.concatenate([[0], np.cumsum(samples.probes[:, varied].sum(axis=0))])
    distances = samples.squared_distances()[varied]
    product, own, others = samples.products()
    slack = _ROUNDING * float((own + others + 2 * product)[varied].sum() + 1)
    reached, made = exceedances(
        labels,
        starts,
        samples.probes[0][varied].copy(),
        total,
        float(distances.sum()) - slack,
        n,
        enough,
        _key(seed, names),
    )
    return (reached / made if reached == enough else (reached + 1) / (made + 1)), made


def _key(seed: int, names: tuple[str, str]) -> np.uint64:
    """Start of a pair's random stream, whatever other pairs are tested."""
    text = json.dumps(["pyphylo.same_model", seed, *names], ensure_ascii=True)
    digest = hashlib.blake2b(text.encode("ascii"), digest_size=8).digest()
    key: np.uint64 = np.uint64(int.from_bytes(digest, "little"))
    return key
