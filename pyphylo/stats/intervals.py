"""Standard errors and confidence intervals of Nei's identity and distance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo._compare import ESTIMATORS, some_names, usable_cells
from pyphylo._matrix import LabelledMatrix
from pyphylo._names import check_two_models, did_you_mean, whole_number
from pyphylo.alleles import AlleleTable
from pyphylo.distance import DistanceMatrix
from pyphylo.errors import InputError
from pyphylo.similarity import SimilarityMatrix
from pyphylo.stats._cells import present_cells
from pyphylo.stats._moments import limits, moments_of_pairs, shared_genes

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LEAST_GENES",
    "ErrorMatrix",
    "Intervals",
    "distance_intervals",
    "pair_names",
    "similarity_intervals",
]

_Floats = NDArray[np.float64]

LEAST_GENES = 8
"""Genes below which intervals of 95% cover the truth less than nine times in ten."""
_METHODS = ("jackknife", "bootstrap")


class ErrorMatrix(LabelledMatrix):
    """Standard errors of a matrix's numbers; 0 on the diagonal."""

    kind = "standard error"
    diagonal = 0.0


@dataclass(frozen=True, eq=False)
class Intervals:
    """Numbers of all pairs with their standard errors and confidence limits.

    Attributes
    ----------
    estimate, low, high : DistanceMatrix or SimilarityMatrix
    se : ErrorMatrix
    genes : ndarray of int64, shape (pairs,)
        Genes that both models of a pair have; condensed.
    pairs : tuple of (str, str)
        Those that were asked for, all by default.
    kind : {"distance", "similarity"}
    method : {"jackknife", "bootstrap"}
    estimator : {"plugin", "unbiased"}
    level : float
    """

    estimate: LabelledMatrix
    se: ErrorMatrix
    low: LabelledMatrix
    high: LabelledMatrix
    genes: NDArray[np.int64]
    places: NDArray[np.int64]
    """Of the pairs that were asked for, in the upper triangle by rows."""
    kind: str
    method: str
    estimator: str
    level: float

    @property
    def ids(self) -> tuple[str, ...]:
        """The models of the matrices."""
        return self.estimate.ids

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The pairs that were asked for, the model that comes first in the table first."""
        rows, columns = np.triu_indices(len(self.ids), 1)
        chosen = zip(rows[self.places].tolist(), columns[self.places].tolist(), strict=True)
        return tuple((self.ids[i], self.ids[j]) for i, j in chosen)

    def __repr__(self) -> str:
        return (
            f"Intervals({len(self.places)} pairs, {self.kind}, {self.estimator}, {self.method}, "
            f"level {self.level:g})"
        )

    def to_frame(self) -> pd.DataFrame:
        """One row a pair: model, other, genes, estimate, se, low, high."""
        import pandas as pd

        rows, columns = np.triu_indices(len(self.ids), 1)
        names = np.asarray(self.ids, dtype=object)
        values: dict[str, Any] = {
            "model": names[rows[self.places]],
            "other": names[columns[self.places]],
            "genes": self.genes[self.places],
        }
        for name in ("estimate", "se", "low", "high"):
            values[name] = getattr(self, name).condensed[self.places]
        frame: pd.DataFrame = pd.DataFrame(values)
        return frame


def distance_intervals(
    table: AlleleTable,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    estimator: str = "unbiased",
    method: str = "jackknife",
    level: float = 0.95,
    n: int = 1000,
    seed: int = 0,
    floor: float = 1e-10,
    n_threads: int = 0,
) -> Intervals:
    r"""Nei's distances with standard errors and confidence intervals over genes.

    The limits are those of `similarity_intervals`, taken through
    :math:`D = -\log S`; the standard error is that of S divided by S, so that it
    stays what it is where an unbiased S reaches 1 and D ends at 0.

    Parameters
    ----------
    table : AlleleTable
    pairs : sequence of (str, str), optional
        Pairs of models by name. By default all.
    estimator : {"unbiased", "plugin"}
        As in `nei_similarity`. Intervals of the plug-in are about its own mean,
        which sampling pushes away from the truth: they cover the truth only
        where probes are many.
    method : {"jackknife", "bootstrap"}
        Over genes: each left out once, or drawn anew with replacement.
    level : float
        Between 0 and 1.
    n, seed : int
        Replicates of the bootstrap, and their seed.
    floor : float
        Of S before the logarithm is taken.
    n_threads : int
        0: all that this process may use. The result does not depend on it.

    Returns
    -------
    Intervals
        Errors and limits are NaN where a pair shares no allele, or leaving a gene
        out leaves no identity. An upper limit of :math:`-\log` `floor` says that S
        may be 0: there is none.

    Raises
    ------
    InputError
        When a name or an argument is none; when a pair shares fewer than eight
        genes; under ``"unbiased"`` when a model has no gene with two probes.
    MemoryError
        When the work would not fit, with the number of bytes.

    Notes
    -----
    Covered is the distance over the population of prompts that the genes are a random
    sample of, not the one over these genes alone, which is known better: so gene choice and
    finite probes both count. See `similarity_intervals` for the method and its cost.

    Examples
    --------
    >>> history = pp.simulate.simulate_history(5, seed=2)
    >>> pp.distance_intervals(history.table)
    Intervals(10 pairs, distance, unbiased, jackknife, level 0.95)
    """
    floor = _checked_floor(floor)
    found = similarity_intervals(
        table,
        pairs,
        estimator=estimator,
        method=method,
        level=level,
        n=n,
        seed=seed,
        n_threads=n_threads,
    )
    ids, origin = found.ids, found.estimate.provenance
    nearest, distance, farthest = (
        _distances(matrix, floor) for matrix in (found.high, found.estimate, found.low)
    )
    s = np.maximum(found.estimate.condensed, floor)
    errors = ErrorMatrix._trusted(found.se.condensed / s, ids, origin)
    return Intervals(
        distance,
        errors,
        nearest,
        farthest,
        found.genes,
        found.places,
        "distance",
        found.method,
        found.estimator,
        found.level,
    )


def similarity_intervals(
    table: AlleleTable,
    pairs: Sequence[tuple[str, str]] | None = None,
    *,
    estimator: str = "unbiased",
    method: str = "jackknife",
    level: float = 0.95,
    n: int = 1000,
    seed: int = 0,
    n_threads: int = 0,
) -> Intervals:
    r"""Nei's identities with standard errors and confidence intervals over genes.

    Parameters are those of `distance_intervals`, and so is what is covered.
    Limits may exceed 1, as an unbiased identity may; none is below 0.

    Notes
    -----
    Standard errors and skewness come from the replicates of the resampling kernel,
    which are summed up as they are formed. Limits are the quantiles of Student's t with
    genes - 1 degrees of freedom, taken back through Hall's (1992, J. R. Stat. Soc. B
    54:221) cubic transformation, which removes the skewness that sums over
    few, unequal genes have.

    O(replicates x genes x pairs) time, 64 bytes a pair; the jackknife has a
    replicate a gene. Tukey (1958) Ann. Math. Stat. 29:614; Efron (1979) Ann. Stat. 7:1;
    Nei (1978) Genetics 89:583.
    """
    if method not in _METHODS:
        raise InputError(f"unknown method {method!r}; known: 'jackknife', 'bootstrap'")
    if not isinstance(level, (int, float)) or not 0 < level < 1:
        raise InputError(f"level must be between 0 and 1, not {level!r}")
    if not isinstance(estimator, str) or estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator {estimator!r}; known: 'plugin', 'unbiased'")
    n = whole_number(n, "n", 2)
    table, wanted = _chosen(table, pairs)
    if estimator == "unbiased":
        table = AlleleTable(usable_cells(table, 3), table.provenance)
    shared = shared_genes(present_cells(table._core))
    _require_genes(table, wanted, shared)
    moments = moments_of_pairs(
        table,
        shared,
        method=method,
        n=n,
        seed=seed,
        estimator=estimator,
        n_threads=n_threads,
    )
    # Genes that all say 0 do not show how S spreads: that is not to be sure of it.
    moments.error[moments.estimate == 0] = np.nan
    low, high = limits(moments, shared, level)
    origin = {**table.provenance, "estimator": estimator, "level": level, "intervals": method}
    estimate, lower, upper = (
        SimilarityMatrix._trusted(values, table.models, origin)
        for values in (moments.estimate, np.maximum(low, 0.0), np.maximum(high, 0.0))
    )
    return Intervals(
        estimate,
        ErrorMatrix._trusted(moments.error, table.models, origin),
        lower,
        upper,
        shared,
        wanted,
        "similarity",
        method,
        estimator,
        float(level),
    )


def _chosen(
    table: Any, pairs: Sequence[tuple[str, str]] | None
) -> tuple[AlleleTable, NDArray[np.int64]]:
    """The table of the models in question, and where the pairs are in its upper triangle."""
    if not isinstance(table, AlleleTable):
        raise InputError(f"intervals need an AlleleTable, not {type(table).__name__}")
    if pairs is None:
        n = len(table.models)
        check_two_models(n)
        return table, np.arange(n * (n - 1) // 2)
    names = pair_names(table, pairs)
    wanted = {name for pair in names for name in pair}
    models = [name for name in table.models if name in wanted]
    place = {name: i for i, name in enumerate(models)}
    ends = np.sort([[place[a], place[b]] for a, b in names], axis=1)
    i, j = ends[:, 0], ends[:, 1]
    return table.select(models=models), i * (2 * len(models) - i - 1) // 2 + j - i - 1


def pair_names(table: AlleleTable, pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The pairs, each of two different models of the table."""
    names = [_pair(pair, table) for pair in pairs]
    if not names:
        raise InputError("pairs is empty: name pairs of models, or leave it out for all")
    return names


def _pair(pair: Any, table: AlleleTable) -> tuple[str, str]:
    if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
        raise InputError(f"a pair is two names of models, not {pair!r}")
    for name in pair:
        if name not in table.models:
            hint = did_you_mean(name, table.models)
            raise InputError(f"the table has no model {name!r}{hint}")
    if pair[0] == pair[1]:
        raise InputError(f"a pair is two models, not {pair[0]!r} twice")
    return pair[0], pair[1]


def _require_genes(
    table: AlleleTable, wanted: NDArray[np.int64], shared: NDArray[np.int64]
) -> None:
    """Refuse pairs with too few genes for an interval."""
    few = wanted[shared[wanted] < LEAST_GENES]
    if not len(few):
        return
    rows, columns = np.triu_indices(len(table.models), 1)
    named = [f"{table.models[rows[k]]!r} and {table.models[columns[k]]!r}" for k in few[:6]]
    raise InputError(
        f"an interval over genes needs {LEAST_GENES} genes that both models have; there are "
        f"{shared[few[0]]} for {some_names(named, len(few))}: sample more genes, or leave these "
        "models out"
    )


def _distances(similarity: LabelledMatrix, floor: float) -> DistanceMatrix:
    """The bits of `nei_distance`."""
    values = similarity.condensed.copy()
    _core.take_distances(values, floor)
    return DistanceMatrix._trusted(
        values, similarity.ids, {**similarity.provenance, "floor": floor}
    )


def _checked_floor(floor: float) -> float:
    if not isinstance(floor, (int, float)) or not 0 < floor <= 1:
        raise InputError(f"floor must be above 0 and at most 1, not {floor!r}")
    return float(floor)
