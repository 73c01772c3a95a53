"""Are two stores of one model? A two-sample test over the probes of each gene."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._compare import some_names
from pyphylo._names import did_you_mean, whole_number
from pyphylo.alleles import AlleleTable
from pyphylo.errors import InputError
from pyphylo.stats._cells import kinds_of_cells
from pyphylo.stats._moments import limits, moments_without_each
from pyphylo.stats._two_samples import TwoSamples, exchange_p_value
from pyphylo.stats.intervals import LEAST_GENES
from pyphylo.stats.same_power import GeneSpreads

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SameModel", "same_model"]

_EXCHANGES = 9999
_ENOUGH = 100
"""Exceedances at which a p-value is known well enough: to a tenth of itself."""
_ALIKE = -5.0
"""Standard deviations below its mean that the statistic of independent samples never is."""
_COINCIDENCE = np.log(1e-6)
_SAME_SETTINGS = ("mode", "temperature", "max_new_tokens", "chat")
"""Settings of sampling of which another value makes another population."""


@dataclass(frozen=True, eq=False)
class SameModel:
    """What the test found, pair by pair.

    Attributes
    ----------
    pairs : tuple of (str, str)
        A model of the first table, and one of the second.
    genes : ndarray of int64
        Genes compared: those with two probes or more in both.
    probes : ndarray of float64, shape (2, pairs)
        Mean probes of a gene on either side.
    similarity, low, high : ndarray of float64
        Unbiased identity and its limits over genes, at 1 - `level`; limits are NaN with
        fewer than eight genes.
    statistic : ndarray of float64
        Sum over genes of the unbiased squared distance, in standard deviations of its
        null distribution.
    p_value : ndarray of float64
    q_value : ndarray of float64
        The same with the false discovery rate over all pairs controlled.
    different : ndarray of bool
        Whether the q-value is at most `level`.
    detectable : ndarray of float64
        Similarity at which the two would have been called different, before the
        correction for many pairs, with a chance of `power`; NaN where no difference is large
        enough.
    draws : ndarray of int64
        Exchanges that the p-value rests on.
    level, power : float
    """

    pairs: tuple[tuple[str, str], ...]
    genes: NDArray[np.int64]
    probes: NDArray[np.float64]
    similarity: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    statistic: NDArray[np.float64]
    p_value: NDArray[np.float64]
    q_value: NDArray[np.float64]
    different: NDArray[np.bool_]
    detectable: NDArray[np.float64]
    draws: NDArray[np.int64]
    level: float
    power: float

    def __repr__(self) -> str:
        return f"SameModel({len(self.pairs)} pairs, {int(self.different.sum())} different)"

    def to_frame(self) -> pd.DataFrame:
        """One row a pair, with the attributes as columns: model, other, genes, probes and so on."""
        import pandas as pd

        columns: dict[str, Any] = {
            "model": [a for a, _ in self.pairs],
            "other": [b for _, b in self.pairs],
            "genes": self.genes,
            "probes": self.probes[0],
            "other_probes": self.probes[1],
        }
        for name in ("similarity", "low", "high", "statistic", "p_value", "q_value"):
            columns[name] = getattr(self, name)
        columns["different"] = self.different
        columns["detectable"] = self.detectable
        columns["draws"] = self.draws
        frame: pd.DataFrame = pd.DataFrame(columns)
        return frame


def same_model(
    table: AlleleTable,
    other: AlleleTable | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    level: float = 0.05,
    power: float = 0.8,
    n: int | None = None,
    seed: int = 0,
    n_threads: int = 0,
) -> SameModel:
    r"""Test whether two samples are of one model: a permutation test of probes within genes.

    Under the null a gene's probes in both samples are draws of one distribution, so any
    exchange of them between the samples, numbers kept, is as likely as the one
    that was seen. The statistic is the sum over genes of the unbiased squared distance
    :math:`\sum_a (p_a - q_a)^2`, whose mean over exchanges is 0 whatever the probes on
    either side.

    Parameters
    ----------
    table, other : AlleleTable
        Of one genome and allele rule; sampled cells. By default both samples are
        in `table`.
    pairs : sequence of (str, str), optional
        A model of `table` and one of `other` each. By default models of one name in
        both, or the only model of each.
    level : float
        False discovery rate over the pairs (Benjamini & Hochberg 1995), which for
        one pair is the level of the test.
    power : float
        Chance for which `SameModel.detectable` is stated.
    n : int, optional
        Exchanges drawn at most; a pair that is plainly alike takes fewer. By default
        9,999, or pairs / level where that is more: with fewer, one pair alone could
        not be called different among so many.
    seed : int
    n_threads : int
        0: all that this process may use. The result does not depend on it.

    Returns
    -------
    SameModel
        A small q-value says that the two differ. A large one does not say that they
        are one: `detectable` says what would have been missed.

    Raises
    ------
    InputError
        When the tables are of different genomes (naming a gene), rules or
        settings of sampling; when cells are exact or hybrid, or no gene has two probes
        on both sides (naming the models); when both samples are of one random stream, by
        their seeds and models or by the sight of them.

    Notes
    -----
    Among quadratic statistics this one, every allele counted alike, has the most power
    against noise of one size on all log probabilities. The p-value is exact: exchanges
    are drawn from the hypergeometric distribution of each gene's counts, until 100 of
    them reach the statistic or `n` are made (Besag & Clifford 1991, Biometrika 78:301). A
    draw takes as many steps as the smaller side has probes. Samples whose statistic is
    five standard deviations *below* its mean share probes, and are refused.

    Benjamini & Hochberg (1995) J. R. Stat. Soc. B 57:289; Gretton et al. (2012) J. Mach.
    Learn. Res. 13:723, whose statistic this is for the kernel of equal alleles.

    Examples
    --------
    >>> history = pp.simulate.simulate_history(2, drift=0.01, seed=4)
    >>> first, second = history.models
    >>> pp.same_model(history.table, pairs=[(first, second)])
    SameModel(1 pairs, 1 different)
    """
    for name, value in (("level", level), ("power", power)):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < 1:
            raise InputError(f"{name} must be between 0 and 1, not {value!r}")
    n = None if n is None else whole_number(n, "n", 19)
    seed = whole_number(seed, "seed", 0)
    n_threads = whole_number(n_threads, "n_threads", 0)
    for given in (table, *(() if other is None else (other,))):
        if not isinstance(given, AlleleTable):
            raise InputError(f"the test needs AlleleTables, not {type(given).__name__}")
    joined, shift = _joined(table, other)
    names = _pairs(table, table if other is None else other, pairs, both=other is not None)
    _check_streams(table, table if other is None else other, names)
    rows = [(table.models.index(a), shift + (other or table).models.index(b)) for a, b in names]
    _check_cells(joined, sorted({row for pair in rows for row in pair}))
    samples = [TwoSamples.of(joined._core, *pair) for pair in rows]
    _check_genes(samples, names)
    statistic = np.array([_statistic(one) for one in samples])
    _check_overlap(samples, statistic, names)
    n = max(_EXCHANGES, math.ceil(len(names) / level)) if n is None else n
    tested = _p_values(samples, names, n, seed, n_threads)
    return _found(samples, names, statistic, tested, level, power)


def _found(
    samples: list[TwoSamples],
    names: list[tuple[str, str]],
    statistic: NDArray[np.float64],
    tested: list[tuple[float, int]],
    level: float,
    power: float,
) -> SameModel:
    from scipy.stats import false_discovery_control

    p_values = np.array([p for p, _ in tested])
    q_values = false_discovery_control(p_values, method="bh")
    similarity, low, high = np.array([_identity(one, 1 - level) for one in samples]).T
    return SameModel(
        tuple(names),
        np.array([one.n_genes for one in samples]),
        np.array([one.probes.mean(axis=1) for one in samples]).T,
        similarity,
        low,
        high,
        statistic,
        p_values,
        q_values,
        q_values <= level,
        np.array([_detectable(one, level, power) for one in samples]),
        np.array([made for _, made in tested]),
        float(level),
        float(power),
    )


def _joined(table: AlleleTable, other: AlleleTable | None) -> tuple[AlleleTable, int]:
    """One table of both, and the row of the first model of `other` in it."""
    if other is None:
        return table, 0
    for ours, theirs in ((table, other), (other, table)):
        known = set(theirs.genes)
        for gene in ours.genes:
            if gene not in known:
                # The provenance knows better, where it knows the prompts.
                table.join(other)
                raise InputError(
                    f"gene {gene!r} is in only one of the tables: compare stores of one genome, "
                    "or select(genes=...) those that both have"
                )
    return table.join(other), len(table.models)


def _pairs(
    table: AlleleTable,
    other: AlleleTable,
    pairs: Sequence[tuple[str, str]] | None,
    *,
    both: bool,
) -> list[tuple[str, str]]:
    if pairs is None:
        if not both:
            raise InputError("one table alone needs pairs=[(model, model), ...] to compare")
        known = set(other.models)
        names = [(name, name) for name in table.models if name in known]
        if not names and len(table.models) == len(other.models) == 1:
            names = [(table.models[0], other.models[0])]
        if not names:
            raise InputError(
                "the two have no model of one name: say which to compare, pairs=[(model, other)] "
                "(--model MODEL --model OTHER)"
            )
        return names
    found: list[tuple[str, str]] = []
    for pair in pairs:
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise InputError(f"a pair is two names of models, not {pair!r}")
        for name, where in zip(pair, (table, other), strict=True):
            if name not in where.models:
                hint = did_you_mean(name, where.models)
                which = "first" if where is table else "second"
                raise InputError(f"the {which} table has no model {name!r}{hint}")
        found.append((pair[0], pair[1]))
    if not found:
        raise InputError("pairs is empty: name models to compare")
    return found


def _check_streams(table: AlleleTable, other: AlleleTable, names: list[tuple[str, str]]) -> None:
    """Refuse settings that make two populations of one model, or one sample of two."""
    ours, theirs = (one.provenance.get("sampling") or {} for one in (table, other))
    for key in _SAME_SETTINGS:
        a, b = (one.get(key, "none" if key == "chat" else None) for one in (ours, theirs))
        if ours and theirs and "import" not in (ours.get("mode"), theirs.get("mode")) and a != b:
            raise InputError(
                f"the two were sampled with {key}={a!r} and {b!r}, so one model gives two "
                "populations: sample both alike"
            )
    for a, b in names:
        if table is other and a == b:
            raise InputError(f"model {a!r} is compared with its own sample: name another")
        known = [
            one.provenance.get("models", {}).get(name) for one, name in ((table, a), (other, b))
        ]
        seeds = ours.get("seed"), theirs.get("seed")
        one_model = known[0] is not None and known[0] == known[1]
        if one_model and seeds[0] is not None and seeds[0] == seeds[1]:
            raise InputError(
                f"both samples of {a!r} are of one random stream (seed {seeds[0]}), so they hold "
                "the same completions: sample one of them with another seed"
            )


def _check_cells(table: AlleleTable, rows: list[int]) -> None:
    """Refuse models that are not sampled."""
    exact, hybrid = kinds_of_cells(table)
    named = [repr(table.models[row]) for row in rows if exact[row] or hybrid[row]]
    if named:
        raise InputError(
            f"the test exchanges probes, and cells of {some_names(named)} are read from logits: "
            "sample with mode='sample'"
        )


def _check_genes(samples: list[TwoSamples], names: list[tuple[str, str]]) -> None:
    empty = [
        f"{a!r} and {b!r}" for (a, b), one in zip(names, samples, strict=True) if not one.n_genes
    ]
    if empty:
        raise InputError(
            f"no gene has two probes on both sides for {some_names(empty)}: sample two probes of "
            "each gene, or more"
        )


def _statistic(samples: TwoSamples) -> float:
    """Sum of D over its standard deviation under the null; 0 where nothing can vary."""
    spread = float(np.sqrt(samples.variances().sum()))
    return float(samples.squared_distances().sum()) / spread if spread > 0 else 0.0


def _check_overlap(
    samples: list[TwoSamples], statistic: NDArray[np.float64], names: list[tuple[str, str]]
) -> None:
    """Refuse samples that are more alike than independent ones ever are."""
    for one, z, (a, b) in zip(samples, statistic.tolist(), names, strict=True):
        if z < _ALIKE or (one.coincide() and one.log_chance() < _COINCIDENCE):
            raise InputError(
                f"the samples of {a!r} and {b!r} are more alike than independent draws can be "
                f"({z:.1f} standard deviations): they share probes or a random stream; sample one "
                "of them with another seed"
            )


def _p_values(
    samples: list[TwoSamples], names: list[tuple[str, str]], n: int, seed: int, n_threads: int
) -> list[tuple[float, int]]:
    """Of each pair the p-value and the number of exchanges; kernels run without the GIL."""
    from concurrent.futures import ThreadPoolExecutor

    from pyphylo import _core

    def test(at: int) -> tuple[float, int]:
        return exchange_p_value(samples[at], n, _ENOUGH, seed, names[at])

    threads = min(n_threads or _core.available_threads(), len(samples))
    if threads == 1:
        return [test(at) for at in range(len(samples))]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(test, range(len(samples))))


def _identity(samples: TwoSamples, level: float) -> tuple[float, float, float]:
    """Unbiased identity and its limits over genes."""
    terms = np.stack(samples.products())
    total = terms.sum(axis=1)
    if total[1] <= 0 or total[2] <= 0:
        return np.nan, np.nan, np.nan
    similarity = total[:1] / np.sqrt(total[1] * total[2])
    if samples.n_genes < LEAST_GENES:
        return float(similarity[0]), np.nan, np.nan
    rest = total[:, None] - terms
    defined = (rest[1] > 0) & (rest[2] > 0)
    product = np.where(defined, rest[1] * rest[2], 1.0)
    without = np.where(defined, rest[0] / np.sqrt(product), np.nan)
    moments = moments_without_each(similarity, without[None], np.ones((1, len(without)), np.bool_))
    low, high = limits(moments, np.array([samples.n_genes]), level)
    return float(similarity[0]), max(float(low[0]), 0.0), float(high[0])


def _detectable(samples: TwoSamples, level: float, power: float) -> float:
    """The similarity that the test would have told from 1."""
    spreads = GeneSpreads.of(np.stack(samples.pooled()), samples.probes.astype(np.float64))
    return spreads.detectable(level, power)
