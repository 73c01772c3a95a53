"""Nei's identity between models: validation here, arithmetic in the core."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo._matrix import LabelledMatrix
from pyphylo._memory import require_memory
from pyphylo._names import whole_number
from pyphylo._version import __version__
from pyphylo.errors import InputError, PyphyloWarning

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from pyphylo.alleles import AlleleTable

__all__ = ["RectangularSimilarity", "SimilarityMatrix", "nei_similarity"]

_ESTIMATORS = {"plugin": _core.Estimator.plugin, "unbiased": _core.Estimator.unbiased}
_NAMED = 5
"""How many names an error or a warning lists before it counts the rest."""


class SimilarityMatrix(LabelledMatrix):
    """Similarities of models, 1 on the diagonal.

    Parameters
    ----------
    values : array_like of float32 or float64
        Square, shape (n, n), or condensed (upper triangle by rows, as
        `scipy.spatial.distance.squareform` has it).
    ids : sequence of str
        Names of the n models.
    allow_nan : bool
        Accept pairs that share no gene.
    provenance : mapping, optional

    Raises
    ------
    InputError
        Not square, not symmetric beyond rounding, negative, infinite or NaN:
        the pair is named.
    """

    kind = "similarity"
    diagonal = 1.0


class RectangularSimilarity:
    """Similarities of some models (rows) to others (columns); it has no diagonal.

    Attributes
    ----------
    ids : tuple of str
        Row models.
    other_ids : tuple of str
        Column models.
    values : ndarray of float64, shape (rows, columns)
    """

    def __init__(
        self, values: NDArray[np.float64], ids: tuple[str, ...], other_ids: tuple[str, ...]
    ) -> None:
        self.values = values
        self.ids = ids
        self.other_ids = other_ids

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The matrix, for `numpy.asarray`."""
        return np.array(self.values, dtype=dtype, copy=bool(copy) or None)

    def __repr__(self) -> str:
        return f"RectangularSimilarity({len(self.ids)} x {len(self.other_ids)} models)"

    def to_frame(self) -> pd.DataFrame:
        """The matrix as a pandas DataFrame."""
        import pandas as pd

        rows, columns = list(self.ids), list(self.other_ids)
        frame: pd.DataFrame = pd.DataFrame(self.values, index=rows, columns=columns)
        return frame


def nei_similarity(
    table: AlleleTable,
    other: AlleleTable | None = None,
    *,
    estimator: str = "plugin",
    n_threads: int = 0,
    device: str = "cpu",
) -> Any:
    r"""Nei's genetic identity between models.

    .. math:: S_{ij} = \frac{\sum_g \sum_a p_{iga} p_{jga}}{\sqrt{\sum_g J_{ig} \sum_g J_{jg}}}

    Parameters
    ----------
    table : AlleleTable
    other : AlleleTable, optional
        Compare the models of `table` (rows) with those of `other` (columns),
        every pair estimated as independent. By default all pairs of `table`.
    estimator : {"plugin", "unbiased"}
        The self term J of a cell: :math:`\sum p^2`, or for n probes Nei's
        (1978) :math:`(n \sum p^2 - 1)/(n - 1)`, which removes what sampling
        adds. Under ``"unbiased"`` a sampled cell of one probe counts as missing.
    n_threads : int
        0: all that this process may use. The result does not depend on it.
    device : str
        ``"cuda"`` or ``"cuda:N"`` multiplies on that GPU, through torch.
        Integer tables (one n a model) give the same bits as on the CPU,
        others the same to 1e-12. Only there does `n_threads` have no effect.

    Returns
    -------
    SimilarityMatrix, or RectangularSimilarity where `other` is given
        Genes missing in either model of a pair are left out of all three
        sums. A pair without a common gene, or with a self term of zero, is
        NaN, and a warning names it.

    Raises
    ------
    InputError
        When no model is left, a model has no gene with two probes under
        ``"unbiased"``, numerators could exceed 2^53, or the device is not there.
    MemoryError
        When the result would not fit, or a GPU the least part of the work,
        with the number of bytes.
    WorkError
        When a GPU fails the trial of its arithmetic.

    Notes
    -----
    Numerators and self terms of an integer table (one n a model) are exact
    integers. O(sum over alleles of models-having-it squared) time; 8 bytes a
    pair beside the table. Nei (1972) Am. Nat. 106:283; Nei (1978) Genetics
    89:583.
    """
    for given in (table,) if other is None else (table, other):
        if not hasattr(given, "_core"):
            raise InputError(f"nei_similarity needs an AlleleTable, not {type(given).__name__}")
    if not isinstance(estimator, str) or estimator not in _ESTIMATORS:
        raise InputError(f"unknown estimator {estimator!r}; known: 'plugin', 'unbiased'")
    n_threads = whole_number(n_threads, "n_threads", 0)
    gpu = _gpu(device)
    joined = table if other is None else table.join(other)
    rows = len(table.models)
    if not rows or (other is not None and not other.models):
        raise InputError("the allele table has no models")
    columns = rows if other is None else len(other.models)
    require_memory(8 * rows * columns, f"{rows} x {columns} similarities")
    core = _usable_cells(joined) if estimator == "unbiased" else joined._core
    split = -1 if other is None else rows
    if gpu is None:
        values = _core.nei_similarity(core, _ESTIMATORS[estimator], split, n_threads)
    else:
        from pyphylo._torch_similarity import similarity_values

        values = similarity_values(core, estimator, split, gpu)
    column_ids = table.models if other is None else other.models
    _warn_of_nan(values, table.models, column_ids)
    if other is not None:
        return RectangularSimilarity(values, table.models, column_ids)
    provenance = {**joined.provenance, "pyphylo": __version__, "estimator": estimator}
    return SimilarityMatrix._trusted(values, table.models, provenance)


def _gpu(device: Any) -> torch.device | None:
    """The GPU that is meant, checked; None for the CPU, for which torch is not loaded."""
    if device == "cpu":
        return None
    from pyphylo._torch_device import resolve_device

    found = resolve_device(device)
    return None if found.type == "cpu" else found


def _usable_cells(table: AlleleTable) -> _core.AlleleTable:
    """The table without cells too small for an unbiased self term; says what was dropped."""
    core = table._core.drop_single_probe_cells()
    before, after = table.summary()[1], core.summary()[1]
    if before == after:
        return core
    empty = (np.diff(core.indptr) == 0) & (np.diff(table._core.indptr) > 0)
    if empty.any():
        raise InputError(
            "the unbiased estimator needs two probes of a gene; no gene has them in "
            f"{_some([repr(table.models[i]) for i in np.flatnonzero(empty)])}: "
            "drop these models or use estimator='plugin'"
        )
    warnings.warn(
        f"{after - before} cells have a single probe and count as missing under 'unbiased'",
        PyphyloWarning,
        stacklevel=3,
    )
    return core


def _warn_of_nan(
    values: NDArray[np.float64], ids: tuple[str, ...], column_ids: tuple[str, ...]
) -> None:
    if not np.isnan(values.sum()):
        return
    pairs = np.argwhere(np.isnan(values))
    if ids is column_ids:
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
    named = _some([f"{ids[i]!r} and {column_ids[j]!r}" for i, j in pairs[:_NAMED]], len(pairs))
    warnings.warn(
        f"the similarity is NaN, for want of common genes or of repeated alleles, of {named}",
        PyphyloWarning,
        stacklevel=3,
    )


def _some(names: list[str], total: int | None = None) -> str:
    """A few names, and how many more there are."""
    total = len(names) if total is None else total
    listed = ", ".join(names[:_NAMED])
    return listed if total <= _NAMED else f"{listed} and {total - _NAMED} more"
