"""Genetic distances other than Nei's standard one: validation here, arithmetic in the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from pyphylo import _core
from pyphylo._compare import float_type, warn_of_nan
from pyphylo._memory import require_memory
from pyphylo._names import whole_number
from pyphylo._version import __version__
from pyphylo.distance import DistanceMatrix, RectangularDistance
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = ["INDICES", "genetic_distance"]

INDICES = {
    "da": _core.Index.da,
    "chord": _core.Index.chord,
    "rogers": _core.Index.rogers,
    "jsd": _core.Index.jsd,
}


def genetic_distance(
    table: AlleleTable,
    other: AlleleTable | None = None,
    *,
    index: str = "da",
    n_threads: int = 0,
    dtype: DTypeLike = "float64",
    condensed: bool = False,
) -> Any:
    r"""Mean over genes of a genetic distance between models' allele frequencies.

    For a gene in which two models have allele frequencies :math:`p_a` and :math:`q_a`:

    .. math::
        D_A &= 1 - \sum_a \sqrt{p_a q_a} \\
        D_{chord} &= \frac{2}{\pi} \sqrt{2 \left(1 - \sum_a \sqrt{p_a q_a}\right)} \\
        D_{Rogers} &= \sqrt{\frac{1}{2} \sum_a (p_a - q_a)^2} \\
        JSD &= \frac{1}{2} \sum_a \left(p_a \log_2 \frac{2 p_a}{p_a + q_a}
               + q_a \log_2 \frac{2 q_a}{p_a + q_a}\right)

    Parameters
    ----------
    table : AlleleTable
    other : AlleleTable, optional
        Compare the models of `table` (rows) with those of `other` (columns).
        By default all pairs of `table`.
    index : {"da", "chord", "rogers", "jsd"}
        Nei, Tajima & Tateno's D_A, Cavalli-Sforza & Edwards' chord distance,
        Rogers' distance, or the Jensen-Shannon divergence in bits. They lie in
        0..1, the chord distance in 0..0.9003. Nei's standard distance, a ratio
        of sums over genes, is `nei_distance`.
    n_threads : int
        0: all that this process may use. The result does not depend on it.
    dtype : {"float64", "float32"}
        Of the result; arithmetic is in float64.
    condensed : bool
        Keep only the upper triangle: half the memory of the square.

    Returns
    -------
    DistanceMatrix, or RectangularDistance where `other` is given
        Genes missing in either model of a pair are left out of its mean. A
        pair without a common gene is NaN, and a warning names it. The diagonal
        of a square result is 0. Models whose frequencies are equal are at 0,
        whatever their numbers of probes.

    Raises
    ------
    InputError
        Something other than an allele table, no models, an unknown index or
        dtype, or a condensed result of two tables.
    MemoryError
        When the result would not fit, with the number of bytes.

    Notes
    -----
    Sampling adds to every one of these: two samples of one population are
    apart by a positive distance that shrinks with the number of probes, and no
    unbiased form is offered. Compare only models of like numbers of probes, or
    use `nei_distance` with the unbiased estimator.

    Sums run over listed alleles. Where an exact cell was pruned, the mass that
    it lacks is neither given to the other alleles nor counted as a
    difference: 1 above is then the mean of what the listed alleles of either cell
    add up to, :math:`\sum_a (p_a + q_a) / 2`, so that
    :math:`D_A = \sum_a (\sqrt{p_a} - \sqrt{q_a})^2 / 2`, and cells with the
    same listed alleles are at 0. An allele that only one cell lists counts as
    absent from the other.

    A gene's term is right to 512 (k + 8) 2^-53 relative for the frequencies as
    float64, where a cell has k alleles: 1e-12 for ten of them, however close
    the cells; in practice a few 1e-16. A pair has the same
    bits in every call, whatever the other models, their order and the number
    of threads. O(pairs x genes + sum over alleles of models-having-it squared)
    time; at most 16 bytes a (model, gene), 16 a (gene, allele) and 32 an entry
    beside the table and the result.

    References
    ----------
    Nei, Tajima & Tateno (1983) J. Mol. Evol. 19:153-170. Cavalli-Sforza &
    Edwards (1967) Am. J. Hum. Genet. 19:233-257. Rogers (1972) Univ. Texas Publ.
    7213:145-153. Lin (1991) IEEE Trans. Inf. Theory 37:145-151.
    """
    for given in (table,) if other is None else (table, other):
        if not hasattr(given, "_core"):
            raise InputError(f"genetic_distance needs an AlleleTable, not {type(given).__name__}")
    if not isinstance(index, str) or index not in INDICES:
        known = ", ".join(map(repr, INDICES))
        raise InputError(f"unknown index {index!r}; known: {known}; for Nei's: nei_distance")
    n_threads = whole_number(n_threads, "n_threads", 0)
    kind = float_type(dtype)
    if condensed and other is not None:
        raise InputError("a condensed result is half of a square one: leave out `other`")
    rows = len(table.models)
    columns = rows if other is None else len(other.models)
    if not rows or not columns:
        raise InputError("the allele table has no models")
    joined = table if other is None else table.join(other)
    pairs = rows * (rows - 1) // 2 if condensed else rows * columns
    require_memory(kind.itemsize * pairs + _scratch_bytes(joined._core), f"{pairs} distances")
    split = -1 if other is None else rows
    values = _core.genetic_distance(
        joined._core, INDICES[index], split, condensed, kind == np.float32, n_threads
    )
    column_ids = table.models if other is None else other.models
    if np.isnan(values.sum()):
        warn_of_nan(
            values, table.models, column_ids, "distance", symmetric=other is None, stacklevel=2
        )
    if other is not None:
        return RectangularDistance(values, table.models, column_ids)
    provenance = {**joined.provenance, "pyphylo": __version__, "index": index}
    return DistanceMatrix._trusted(values, table.models, provenance)


def _scratch_bytes(core: _core.AlleleTable) -> int:
    """What the core takes beside the table and the result, at most."""
    return 16 * core.n_models * core.n_genes + 16 * core.n_columns + 32 * core.nnz
