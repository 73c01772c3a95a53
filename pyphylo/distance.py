"""Nei's distance, and the matrix in which ids travel with the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pyphylo import _core
from pyphylo._compare import Comparison, Output, named_result, with_known
from pyphylo._matrix import LabelledMatrix
from pyphylo._memory import require_memory
from pyphylo._ray_cluster import ray_options
from pyphylo._rectangular import RectangularMatrix
from pyphylo._version import __version__
from pyphylo.errors import InputError
from pyphylo.similarity import RectangularSimilarity, SimilarityMatrix

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = ["DistanceMatrix", "RectangularDistance", "nei_distance"]

_SLICE = 1 << 20
"""Values whose logarithm is taken at once."""


class DistanceMatrix(LabelledMatrix):
    """Distances of models, 0 on the diagonal.

    Parameters
    ----------
    values : array_like of float32 or float64
        Square, shape (n, n), or condensed (upper triangle by rows, as
        `scipy.spatial.distance.squareform` has it).
    ids : sequence of str
        Names of the n models.
    allow_nan : bool
        Accept pairs whose distance is unknown. No tree can be drawn of them.
    provenance : mapping, optional

    Raises
    ------
    InputError
        Not square, not symmetric beyond rounding, negative, infinite or NaN:
        the pair is named.
    """

    kind = "distance"
    diagonal = 0.0

    def _diagonal_hint(self, values: NDArray[Any]) -> str:
        if np.allclose(np.diagonal(values), 1.0):
            return "; is this a similarity matrix? Say so (--similarity, SimilarityMatrix)"
        return ""

    def to_skbio(self) -> Any:
        """The matrix as scikit-bio's DistanceMatrix."""
        try:
            from skbio import DistanceMatrix as SkbioMatrix
        except ImportError:
            raise InputError("to_skbio needs scikit-bio: pip install 'pyphylo[bio]'") from None
        return SkbioMatrix(self.values, self.ids)


class RectangularDistance(RectangularMatrix):
    """Distances of some models (rows) to others (columns); it has no diagonal."""


def nei_distance(
    table_or_S: AlleleTable | SimilarityMatrix | RectangularSimilarity,
    other: AlleleTable | None = None,
    *,
    estimator: str = "plugin",
    floor: float = 1e-10,
    n_threads: int = 0,
    dtype: DTypeLike | None = None,
    condensed: bool = False,
    out: Output = None,
    max_memory: int | str | None = None,
    device: str = "cpu",
    known: DistanceMatrix | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    num_cpus: float | None = None,
    max_retries: int | None = None,
) -> Any:
    """Nei's genetic distance ``D = -log(max(S, floor))``.

    Parameters
    ----------
    table_or_S : AlleleTable, SimilarityMatrix or RectangularSimilarity
        Similarities are taken as they are, in their own layout; all other arguments but `floor`
        are then of no use, and refused.
    other : AlleleTable, optional
        Compare the models of the table (rows) with those of `other` (columns).
    estimator, n_threads, dtype, condensed, out, max_memory, device
        As in `nei_similarity`. From a table the logarithm is taken as each
        similarity is found, so the similarities take no memory. It is always the
        core's, within 1 ulp, with the same bits everywhere.
    floor : float
        Similarities below it count as it, so that the distance stays finite.
    known : DistanceMatrix, optional
        Of some of the table's models, by the same estimator and floor: only
        pairs that it does not have are computed.
    engine, ray_address, num_cpus, max_retries
        As in `nei_similarity`: workers of a Ray cluster compute the rows.

    Returns
    -------
    DistanceMatrix, or RectangularDistance where the similarities are of two tables
        Zero on the diagonal, and where an unbiased similarity exceeds 1. NaN
        where the similarity is.

    Raises
    ------
    InputError, MemoryError, WorkError
        As in `nei_similarity`.
    """
    if isinstance(floor, bool) or not isinstance(floor, (int, float)) or not 0 < floor <= 1:
        raise InputError(f"floor must be above 0 and at most 1, not {floor!r}")
    options = ray_options(engine, address=ray_address, num_cpus=num_cpus, max_retries=max_retries)
    if isinstance(table_or_S, (SimilarityMatrix, RectangularSimilarity)):
        given = (other, dtype, out, known, options)
        if condensed or any(x is not None for x in given):
            raise InputError("of similarities, distances have the same layout and type")
        return _of_similarities(table_or_S, float(floor))
    comparison = Comparison.checked(
        table_or_S,
        other,
        quantity="distance",
        estimator=estimator,
        n_threads=n_threads,
        dtype=dtype,
        condensed=condensed,
        out=out,
        max_memory=max_memory,
        device=device,
        ray=options,
        floor=float(floor),
    )
    if known is not None:
        values = with_known(comparison, known, DistanceMatrix)
    else:
        values = comparison.values()
    if other is not None:
        return RectangularDistance(values, table_or_S.models, other.models)
    provenance = {
        **table_or_S.provenance,
        "pyphylo": __version__,
        "estimator": estimator,
        "floor": floor,
    }
    return named_result(DistanceMatrix._trusted(values, table_or_S.models, provenance), comparison)


def _of_similarities(S: SimilarityMatrix | RectangularSimilarity, floor: float) -> Any:
    """Distances in the layout and type of the similarities."""
    stored = S.stored if isinstance(S, SimilarityMatrix) else S.values
    require_memory(stored.nbytes, f"{' x '.join(map(str, stored.shape))} distances")
    values = np.empty(stored.shape, stored.dtype)
    for start in range(0, len(stored), max(1, _SLICE // max(1, stored[:1].size))):
        part = slice(start, start + max(1, _SLICE // max(1, stored[:1].size)))
        rows = np.array(stored[part], dtype=np.float64, order="C")
        _core.take_distances(rows, floor)
        values[part] = rows
    if isinstance(S, RectangularSimilarity):
        return RectangularDistance(values, S.ids, S.other_ids)
    if values.ndim == 2:
        np.fill_diagonal(values, 0.0)
    return DistanceMatrix._trusted(values, S.ids, {**S.provenance, "floor": floor})
