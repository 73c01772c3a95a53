"""Resampling of genes: bootstrap, jackknife, any weights; replicates one by one, or their spread.

Genes are the sample: a replicate is the similarity of all models with genes counted
another number of times. All replicates are formed at once from each pair's numerators
gene by gene, so hundreds cost little more than one.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from pyphylo import _core
from pyphylo._compare import ESTIMATORS, usable_cells
from pyphylo._gene_weights import checked_weights, gene_weights
from pyphylo._matrix import LabelledMatrix, square_of
from pyphylo._memory import human_bytes, require_memory
from pyphylo._names import whole_number
from pyphylo._version import __version__
from pyphylo.errors import InputError
from pyphylo.similarity import SimilarityMatrix

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable

__all__ = [
    "Replicate",
    "Replicates",
    "SimilarityErrors",
    "gene_weights",
    "resample_similarity",
    "similarity_errors",
]

_BLOCK_BYTES = 256 * 2**20
"""Replicates that are held at once, unless the caller says how much."""
_TOGETHER = 8
"""Replicates that the kernel forms at a time: blocks of a multiple of it waste nothing."""


@dataclass(frozen=True, eq=False)
class Replicate:
    """One replicate of all pairs.

    Attributes
    ----------
    index : int
    weights : ndarray of int64, shape (genes,)
    ids : tuple of str
    condensed : ndarray of float32 or float64, shape (pairs,)
        The upper triangle by rows, as `scipy.spatial.distance.squareform` has it.
    kind : {"similarity", "distance"}
    """

    index: int
    weights: NDArray[np.int64]
    ids: tuple[str, ...]
    condensed: NDArray[Any]
    kind: str
    provenance: dict[str, Any]

    def matrix(self) -> Any:
        """A condensed SimilarityMatrix or DistanceMatrix; NaN where a pair is undefined."""
        matrix_type: type[LabelledMatrix] = SimilarityMatrix
        if self.kind == "distance":
            from pyphylo.distance import DistanceMatrix

            matrix_type = DistanceMatrix
        provenance = {**self.provenance, "replicate": self.index}
        return matrix_type._trusted(self.condensed, self.ids, provenance)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """The square matrix, for `numpy.asarray`."""
        if copy is False:
            raise ValueError("a replicate is condensed: its square matrix is a copy")
        square: NDArray[Any] = self.matrix().values
        return square.astype(square.dtype if dtype is None else dtype)


class Replicates:
    """Similarities (or distances) of all pairs, in replicates that are formed when asked for.

    Iterating yields a `Replicate` at a time, in order, a block of them in
    memory. A second iteration forms them again, with the same bits.

    Attributes
    ----------
    ids : tuple of str
    weights : ndarray of int64, shape (replicates, genes)
    kind : {"similarity", "distance"}
    dtype : numpy.dtype
    n_pairs : int
    """

    def __init__(
        self,
        core: _core.Resampling,
        ids: tuple[str, ...],
        weights: NDArray[np.int64],
        dtype: np.dtype[Any],
        *,
        n_threads: int,
        max_memory: int | None,
        provenance: dict[str, Any],
        floor: float = 0.0,
    ) -> None:
        self._core = core
        self._threads = n_threads
        self._max_memory = max_memory
        self._floor = floor
        self.ids = ids
        self.weights = weights
        self.dtype = dtype
        self.kind = "distance" if floor > 0 else "similarity"
        self.n_pairs: int = core.n_pairs
        self.provenance = provenance

    def __len__(self) -> int:
        return len(self.weights)

    def __repr__(self) -> str:
        return f"Replicates({len(self)} of the {self.kind} of {len(self.ids)} models, {self.dtype})"

    def __iter__(self) -> Iterator[Replicate]:
        for first, values in self.blocks():
            for index, condensed in enumerate(values, first):
                yield Replicate(
                    index, self.weights[index], self.ids, condensed, self.kind, self.provenance
                )

    def blocks(self) -> Iterator[tuple[int, NDArray[Any]]]:
        """Yield the first replicate of a block and its values, shape (replicates, pairs).

        Pairs are in the order of the upper triangle by rows. A block takes at
        most `max_memory`, beside those that the caller keeps.
        """
        at_once = self._replicates_at_once()
        for first in range(0, len(self), at_once):
            yield first, self._values(first, min(first + at_once, len(self)))

    def array(self) -> NDArray[Any]:
        """All replicates at once, shape (replicates, pairs).

        Raises
        ------
        MemoryError
            When they would not fit, with the number of bytes.
        """
        return self._values(0, len(self))

    def distances(self, floor: float = 1e-10) -> Replicates:
        """The same replicates as distances ``-log(max(S, floor))``, as `nei_distance` has them."""
        return Replicates(
            self._core,
            self.ids,
            self.weights,
            self.dtype,
            n_threads=self._threads,
            max_memory=self._max_memory,
            provenance={**self.provenance, "floor": floor},
            floor=_checked_floor(floor),
        )

    def _replicates_at_once(self) -> int:
        one = max(1, self.n_pairs * self.dtype.itemsize)
        limit = _BLOCK_BYTES if self._max_memory is None else self._max_memory
        if one > limit and self._max_memory is not None:
            raise InputError(
                f"one replicate of {len(self.ids)} models takes {human_bytes(one)}, more than "
                f"max_memory={human_bytes(limit)}: allow more, or select fewer models"
            )
        at_once = max(1, limit // one)
        return at_once if at_once < _TOGETHER else at_once // _TOGETHER * _TOGETHER

    def _values(self, first: int, last: int) -> NDArray[Any]:
        needed = (last - first) * self.n_pairs * self.dtype.itemsize
        require_memory(needed, f"{last - first} replicates of {self.n_pairs} pairs")
        form = self._core.replicates_f32 if self.dtype == np.float32 else self._core.replicates_f64
        return form(first, last, self._floor, self._threads)


@dataclass(frozen=True, eq=False)
class SimilarityErrors:
    """Estimates of all pairs, their biases and standard errors.

    Attributes
    ----------
    ids : tuple of str
    method : {"jackknife", "bootstrap"}
    n_replicates : int
    similarity, similarity_bias, similarity_error : ndarray of float64, shape (pairs,)
        Condensed: the upper triangle by rows. The bias-corrected estimate is
        ``similarity - similarity_bias``.
    distance, distance_bias, distance_error : ndarray of float64, shape (pairs,)
        The same of ``D = -log(max(S, floor))``, over the replicates' own logarithms: where
        some replicate has no common allele, the floor, a convention, makes most of the
        error. `distance_intervals` has ``similarity_error / similarity`` in its place.
    """

    ids: tuple[str, ...]
    method: str
    n_replicates: int
    similarity: NDArray[np.float64]
    similarity_bias: NDArray[np.float64]
    similarity_error: NDArray[np.float64]
    distance: NDArray[np.float64]
    distance_bias: NDArray[np.float64]
    distance_error: NDArray[np.float64]

    _NAMES = (
        "similarity",
        "similarity_bias",
        "similarity_error",
        "distance",
        "distance_bias",
        "distance_error",
    )

    def square(self, name: str) -> NDArray[np.float64]:
        """One of the arrays as a square matrix; the diagonal is 1 for "similarity", else 0."""
        if name not in self._NAMES:
            raise InputError(f"there is no array {name!r}; there are {', '.join(self._NAMES)}")
        return square_of(getattr(self, name), len(self.ids), float(name == "similarity"))

    def to_frame(self) -> pd.DataFrame:
        """One row a pair: model, other, and the six arrays."""
        import pandas as pd

        rows, columns = np.triu_indices(len(self.ids), 1)
        names = np.asarray(self.ids, dtype=object)
        columns_of: dict[str, Any] = {"model": names[rows], "other": names[columns]}
        columns_of.update({name: getattr(self, name) for name in self._NAMES})
        frame: pd.DataFrame = pd.DataFrame(columns_of)
        return frame


def resample_similarity(
    table: AlleleTable,
    weights: ArrayLike | None = None,
    *,
    method: str = "bootstrap",
    n: int = 100,
    seed: int = 0,
    estimator: str = "plugin",
    dtype: DTypeLike = "float32",
    n_threads: int = 0,
    max_memory: int | None = None,
) -> Replicates:
    r"""Nei's identity of all pairs, over replicates that weight the genes.

    .. math:: S_{bij} = \frac{\sum_g w_{bg} N_{gij}}
              {\sqrt{\sum_g w_{bg} J_{ig} \sum_g w_{bg} J_{jg}}}

    Parameters
    ----------
    table : AlleleTable
    weights : array_like of int, shape (replicates, genes), optional
        How often each gene counts, none negative. By default `gene_weights`
        of `method`, `n` and `seed`, which `weights` replaces.
    method : {"bootstrap", "jackknife"}
    n : int
        Replicates of the bootstrap.
    seed : int
    estimator : {"plugin", "unbiased"}
        As in `nei_similarity`.
    dtype : {"float32", "float64"}
        float32 is rounded from float64.
    n_threads : int
        0: all that this process may use. The result does not depend on it.
    max_memory : int, optional
        Bytes of replicates that are formed at once; 256 MiB by default, or one
        replicate where that is more.

    Returns
    -------
    Replicates
        Sums run over the genes that both models of a pair have. A replicate
        that leaves a pair without such a gene, or with a self term of zero,
        has NaN there.

    Raises
    ------
    InputError
        When no model is left, weights do not fit the table, or a weighted
        numerator could exceed 2^53.
    MemoryError
        When the work would not fit, with the number of bytes.

    Notes
    -----
    Over an integer table (one n a model) all sums are exact integers: weights
    of one give the bits of `nei_similarity`. O(replicates x genes x pairs)
    time. The first replicates of a pair cost as much as the similarity; each
    further one costs a multiply-add a gene and pair. Efron (1979) Ann. Stat. 7:1.
    """
    _check_call(table, estimator)
    n_threads = whole_number(n_threads, "n_threads", 0)
    wanted = _float_type(dtype)
    if max_memory is not None:
        max_memory = _byte_count(max_memory)
    if weights is None:
        checked = gene_weights(len(table.genes), method, n, seed)
        origin: Any = {"method": method, "n": len(checked), "seed": seed}
    else:
        checked = checked_weights(weights, len(table.genes))
        origin = "weights"
    core = usable_cells(table, 3) if estimator == "unbiased" else table._core
    checked.setflags(write=False)
    return Replicates(
        _prepared(core, estimator, checked),
        table.models,
        checked,
        wanted,
        n_threads=n_threads,
        max_memory=max_memory,
        provenance=_provenance(table, estimator, origin),
    )


def similarity_errors(
    table: AlleleTable,
    method: str = "jackknife",
    *,
    n: int = 100,
    seed: int = 0,
    block: int = 1,
    estimator: str = "plugin",
    floor: float = 1e-10,
    n_threads: int = 0,
) -> SimilarityErrors:
    """Standard errors of every pair's similarity and distance, genes being the sample.

    Parameters
    ----------
    table : AlleleTable
    method : {"jackknife", "bootstrap"}
        The jackknife leaves out each block of genes once; the bootstrap draws
        genes with replacement.
    n, seed : int
        Replicates of the bootstrap, and their seed.
    block : int
        Genes that the jackknife leaves out together. Larger blocks where
        neighbouring genes are alike.
    estimator : {"plugin", "unbiased"}
        As in `nei_similarity`.
    floor : float
        Of the distance, as in `nei_distance`.
    n_threads : int
        0: all that this process may use. The result does not depend on it.

    Returns
    -------
    SimilarityErrors
        NaN where a pair has no error: without a common gene, or with a single
        block of them. Genes that a pair does not share are no part of its
        sample. A jackknife with a replicate that is undefined for a pair gives
        it NaN; a bootstrap leaves such replicates out.

    Notes
    -----
    Replicates are summed up as they are formed: 48 bytes a pair, whatever
    their number. Bootstrap: standard deviation over replicates, bias their mean
    less the estimate (Efron 1979, Ann. Stat. 7:1). Jackknife: Quenouille (1956)
    Biometrika 43:353, Tukey (1958) Ann. Math. Stat. 29:614; blocks of unequal
    size, as where genes are missing, after Busing, Meijer & van der Leeden
    (1999) Stat. Comput. 9:3.
    """
    _check_call(table, estimator)
    n_threads = whole_number(n_threads, "n_threads", 0)
    floor = _checked_floor(floor)
    weights = gene_weights(len(table.genes), method, n, seed, block)
    pairs = len(table.models) * (len(table.models) - 1) // 2
    require_memory(48 * pairs, f"errors of {pairs} pairs")
    core = usable_cells(table, 3) if estimator == "unbiased" else table._core
    # The first replicate is the estimate itself.
    weights = np.concatenate([np.ones((1, len(table.genes)), np.int64), weights])
    arrays = _prepared(core, estimator, weights).errors(method == "jackknife", floor, n_threads)
    return SimilarityErrors(table.models, method, len(weights) - 1, *arrays)


def _check_call(table: Any, estimator: Any) -> None:
    if not hasattr(table, "_core") or not hasattr(table, "genes"):
        raise InputError(f"resampling needs an AlleleTable, not {type(table).__name__}")
    if not table.models:
        raise InputError("the allele table has no models")
    if not isinstance(estimator, str) or estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator {estimator!r}; known: 'plugin', 'unbiased'")


def _checked_floor(floor: float) -> float:
    if not 0 < floor <= 1:
        raise InputError(f"floor must be above 0 and at most 1, not {floor!r}")
    return float(floor)


def _float_type(dtype: DTypeLike) -> np.dtype[Any]:
    wanted = np.dtype(dtype)
    if wanted not in (np.float32, np.float64):
        raise InputError(f"dtype must be float32 or float64, not {wanted}")
    return wanted


def _byte_count(value: Any) -> int:
    try:
        count = 0 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        count = 0
    if count < 1:
        raise InputError(f"max_memory must be a whole number of bytes, not {value!r}")
    return count


def _prepared(
    core: _core.AlleleTable, estimator: str, weights: NDArray[np.int64]
) -> _core.Resampling:
    """The kernel with its working memory, which is stated before it is taken."""

    def claim(needed: int) -> None:
        require_memory(needed, f"working arrays of {len(weights)} replicates")

    return _core.Resampling(core, ESTIMATORS[estimator], weights, claim)


def _provenance(table: AlleleTable, estimator: str, origin: Any) -> dict[str, Any]:
    return {
        **table.provenance,
        "pyphylo": __version__,
        "estimator": estimator,
        "resampling": origin,
    }
