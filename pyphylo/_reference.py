"""The method in plain dicts and loops: the oracle of every kernel, never used in earnest.

Populations are ``{model: {gene: Cell}}``. A cell is ``Sampled({allele: count})``,
``Exact({allele: probability})`` or ``Hybrid({allele: probability}, {allele: draws}, mass)``; a gene
that a model lacks is absent. Sums of counts are
Python integers and frequencies exact fractions, so nothing here rounds before the last step;
roots and logarithms are decimals of a hundred digits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import TypeAlias

__all__ = [
    "Cell",
    "Exact",
    "Hybrid",
    "Populations",
    "Sampled",
    "allele",
    "genetic_distance",
    "nei_distance",
    "nei_similarity",
    "numerator",
]


@dataclass(frozen=True)
class Sampled:
    """A cell of counted alleles."""

    counts: Mapping[str, int]

    @property
    def n(self) -> int:
        """Probes."""
        return sum(self.counts.values())

    def frequencies(self) -> dict[str, Fraction]:
        """The share of each allele."""
        return {allele: Fraction(count, self.n) for allele, count in self.counts.items()}

    def self_term(self, estimator: str) -> Fraction:
        """Sum p^2, or Nei's (1978) (n sum p^2 - 1) / (n - 1)."""
        square = sum((p * p for p in self.frequencies().values()), Fraction(0))
        return square if estimator == "plugin" else (self.n * square - 1) / (self.n - 1)


@dataclass(frozen=True)
class Exact:
    """A cell of known probabilities."""

    probabilities: Mapping[str, float]

    @property
    def n(self) -> int:
        """As many probes as one likes."""
        return 1 << 62

    def frequencies(self) -> dict[str, Fraction]:
        """The probabilities."""
        return {allele: Fraction(p) for allele, p in self.probabilities.items()}

    def self_term(self, estimator: str) -> Fraction:
        """Sum p^2, whatever the estimator."""
        return sum((p * p for p in self.frequencies().values()), Fraction(0))


@dataclass(frozen=True)
class Hybrid:
    """A cell of decided probabilities, and of draws inside the mass left undecided."""

    decided: Mapping[str, float]
    counts: Mapping[str, int]
    undecided: float

    @property
    def n(self) -> int:
        """Draws."""
        return sum(self.counts.values())

    def frequencies(self) -> dict[str, Fraction]:
        """What is decided, and the undecided mass as the draws share it."""
        return {
            allele: Fraction(self.decided.get(allele, 0))
            + Fraction(self.undecided) * Fraction(self.counts.get(allele, 0), max(1, self.n))
            for allele in self.decided.keys() | self.counts.keys()
        }

    def self_term(self, estimator: str) -> Fraction:
        """Sum p^2; unbiased less r^2 (1 - sum f^2) / (m - 1), what the draws' variance adds."""
        square = sum((p * p for p in self.frequencies().values()), Fraction(0))
        if estimator == "plugin":
            return square
        drawn = sum((Fraction(c, self.n) ** 2 for c in self.counts.values()), Fraction(0))
        return square - Fraction(self.undecided) ** 2 * (1 - drawn) / (self.n - 1)


Cell: TypeAlias = Sampled | Exact | Hybrid
Populations: TypeAlias = Mapping[str, Mapping[str, Cell]]


def allele(text: str, preset: str = "paper", chars: int = 4) -> str:
    """The allele of a completion."""
    return (text.lstrip(" ").lstrip("\n") if preset == "paper" else text)[:chars]


def _usable(cells: Mapping[str, Cell], estimator: str) -> dict[str, Cell]:
    """The cells that have a self term: under "unbiased" those of one probe or draw have none."""
    least = 2 if estimator == "unbiased" else 0
    return {gene: cell for gene, cell in cells.items() if cell.n >= least}


def numerator(a: Mapping[str, Sampled], b: Mapping[str, Sampled]) -> int:
    """Sum over genes and alleles of the products of counts."""
    return sum(
        count * b[gene].counts.get(allele, 0)
        for gene in a.keys() & b.keys()
        for allele, count in a[gene].counts.items()
    )


def nei_similarity(
    a: Mapping[str, Cell], b: Mapping[str, Cell], estimator: str = "plugin"
) -> float:
    """Nei's identity of two populations, as independent; NaN without a common gene."""
    a, b = _usable(a, estimator), _usable(b, estimator)
    shared = a.keys() & b.keys()
    top = Fraction(0)
    for gene in shared:
        p, q = a[gene].frequencies(), b[gene].frequencies()
        top += sum((p[x] * q[x] for x in p.keys() & q.keys()), Fraction(0))
    self_a = sum((a[gene].self_term(estimator) for gene in shared), Fraction(0))
    self_b = sum((b[gene].self_term(estimator) for gene in shared), Fraction(0))
    if self_a <= 0 or self_b <= 0:
        return math.nan
    return float(top) / math.sqrt(self_a) / math.sqrt(self_b)


_DIGITS = 100
"""Of the decimals that roots and logarithms are taken in: cancellation leaves enough of them."""


def _decimals(cell: Cell) -> dict[str, Decimal]:
    return {a: Decimal(p.numerator) / p.denominator for a, p in cell.frequencies().items()}


def _sum(values: Iterable[Decimal]) -> Decimal:
    return sum(values, Decimal(0))


def _entropy(frequencies: Iterable[Decimal]) -> Decimal:
    """In bits."""
    return -_sum(p * p.ln() for p in frequencies) / Decimal(2).ln()


def _gene_distance(a: Cell, b: Cell, index: str) -> Decimal:
    """One gene's term of `genetic_distance`.

    With whole cells ``unshared`` is Nei, Tajima & Tateno's (1983) 1 - sum sqrt(p q): its 1 is
    the mean of what the alleles of either cell add up to, so pruned mass is not counted.
    """
    p, q = _decimals(a), _decimals(b)
    alleles = sorted(p.keys() | q.keys())
    pairs = [(p.get(x, Decimal(0)), q.get(x, Decimal(0))) for x in alleles]
    if index == "rogers":
        return (_sum((x - y) ** 2 for x, y in pairs) / 2).sqrt()
    if index == "jsd":
        middle = _entropy((x + y) / 2 for x, y in pairs)
        return middle - (_entropy(p.values()) + _entropy(q.values())) / 2
    unshared = _sum((x + y) / 2 - (x * y).sqrt() for x, y in pairs)
    if index == "da":
        return unshared
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494")
    return 2 / pi * (2 * max(unshared, Decimal(0))).sqrt()


def genetic_distance(a: Mapping[str, Cell], b: Mapping[str, Sampled | Exact], index: str) -> float:
    """Mean of an index over the genes that both have; NaN without one."""
    shared = a.keys() & b.keys()
    if not shared:
        return math.nan
    with localcontext() as context:
        context.prec = _DIGITS
        total = _sum(_gene_distance(a[gene], b[gene], index) for gene in sorted(shared))
        return float(total / len(shared))


def nei_distance(similarity: float, floor: float = 1e-10) -> float:
    """Minus the logarithm, no less than 0."""
    return max(0.0, -math.log(max(similarity, floor)))
