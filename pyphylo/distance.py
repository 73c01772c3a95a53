"""Nei's distance, and the matrix in which ids travel with the numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._matrix import LabelledMatrix
from pyphylo._memory import require_memory
from pyphylo.errors import InputError
from pyphylo.similarity import RectangularSimilarity, SimilarityMatrix, nei_similarity

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = ["DistanceMatrix", "nei_distance"]


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


def nei_distance(
    table_or_S: AlleleTable | SimilarityMatrix,
    *,
    estimator: str = "plugin",
    floor: float = 1e-10,
    n_threads: int = 0,
    device: str = "cpu",
) -> DistanceMatrix:
    """Nei's genetic distance ``D = -log(max(S, floor))``.

    Parameters
    ----------
    table_or_S : AlleleTable or SimilarityMatrix
    estimator : {"plugin", "unbiased"}
        As in `nei_similarity`; a SimilarityMatrix is taken as it is.
    floor : float
        Similarities below it count as it, so that the distance stays finite.
    n_threads : int
        0: all that this process may use.
    device : str
        As in `nei_similarity`. The logarithm is always taken on the CPU.

    Returns
    -------
    DistanceMatrix
        Zero on the diagonal, and where an unbiased similarity exceeds 1. NaN
        where the similarity is.
    """
    if not 0 < floor <= 1:
        raise InputError(f"floor must be above 0 and at most 1, not {floor!r}")
    if isinstance(table_or_S, RectangularSimilarity):
        raise InputError("a distance matrix is square; this similarity is of some models to others")
    if isinstance(table_or_S, SimilarityMatrix):
        S = table_or_S
    else:
        S = nei_similarity(table_or_S, estimator=estimator, n_threads=n_threads, device=device)
    require_memory(S.values.nbytes, f"{len(S)} x {len(S)} distances")
    D = np.maximum(S.values, S.dtype.type(floor))
    np.minimum(D, 1, out=D)
    np.log(D, out=D)
    # 0 - x, not -x: the distance of equal models is 0, not -0.
    np.subtract(0, D, out=D)
    np.fill_diagonal(D, 0.0)
    return DistanceMatrix._trusted(D, S.ids, {**S.provenance, "floor": floor})
