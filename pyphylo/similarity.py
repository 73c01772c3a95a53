"""Nei's identity between models: validation here, arithmetic in the core."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from pyphylo._compare import Comparison, Output, named_result, with_known
from pyphylo._matrix import LabelledMatrix
from pyphylo._ray_cluster import ray_options
from pyphylo._rectangular import RectangularMatrix
from pyphylo._version import __version__

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = ["RectangularSimilarity", "SimilarityMatrix", "nei_similarity"]


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


class RectangularSimilarity(RectangularMatrix):
    """Similarities of some models (rows) to others (columns); it has no diagonal."""


def nei_similarity(
    table: AlleleTable,
    other: AlleleTable | None = None,
    *,
    estimator: str = "plugin",
    n_threads: int = 0,
    dtype: DTypeLike | None = None,
    condensed: bool = False,
    out: Output = None,
    max_memory: int | str | None = None,
    device: str = "cpu",
    known: SimilarityMatrix | None = None,
    engine: str = "local",
    ray_address: str | None = None,
    num_cpus: float | None = None,
    max_retries: int | None = None,
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
        adds. Under ``"unbiased"`` a cell of fewer than two probes or draws counts as missing.
    n_threads : int
        0: all that this process may use. The result does not depend on it.
    dtype : {"float64", "float32"}, optional
        Of the result, rounded from float64; by default float64, or that of `out`.
    condensed : bool
        Keep only the upper triangle, by rows: half the memory of the square.
    out : ndarray or path, optional
        An array to fill, of the result's shape (square, condensed or
        rectangular), float64 or float32, C-ordered; or a ``.npy`` file, written strip
        by strip and mapped into memory, for results larger than that.
    max_memory : int or str, optional
        Bytes that this call may take beside the table, such as ``"1GiB"``, its
        result included unless it is in `out`. By default what is available.
    device : str
        ``"cuda"`` or ``"cuda:N"`` multiplies on that GPU, through torch.
        Integer tables (one n a model) give the same bits as on the CPU,
        others the same to 1e-12. Only there does `n_threads` have no effect.
    known : SimilarityMatrix, optional
        Of some of the table's models, by the same estimator: only pairs that it
        does not have are computed.
    engine : {"local", "ray"}
        ``"ray"``: workers of a Ray cluster compute the rows, with the bits of a local call.
        `n_threads` is then of a worker (0: the cores that it takes), and `max_memory`
        of this process and of each worker.
    ray_address, num_cpus, max_retries
        Of the engine ``"ray"``, see `pyphylo._ray_cluster.RayOptions`.

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
        ``"unbiased"``, numerators could exceed 2^53, the tables are of different
        genomes, `out` is of the wrong shape or type, or the device is not there.
    MemoryError
        When the work or the result would not fit, with the number of bytes.
    WorkError
        When a GPU fails the trial of its arithmetic, or a cluster cannot be used.

    Notes
    -----
    Numerators and self terms of an integer table (one n a model) are exact
    integers: the same bits for any number of threads, instruction set and order
    of models. Alleles that many models have are multiplied densely, others as lists;
    `pyphylo info STORE` prints where the border lies and what the call takes.
    O(pairs x common alleles + sum over rare alleles of models-having-it squared +
    entries) time; beside the table and the result about 1 byte a model and common
    allele, 16 an entry, 10 a (gene, allele), and 400 a model and thread. Nei (1972)
    Am. Nat. 106:283; Nei (1978) Genetics 89:583.
    """
    options = ray_options(engine, address=ray_address, num_cpus=num_cpus, max_retries=max_retries)
    comparison = Comparison.checked(
        table,
        other,
        quantity="similarity",
        estimator=estimator,
        n_threads=n_threads,
        dtype=dtype,
        condensed=condensed,
        out=out,
        max_memory=max_memory,
        device=device,
        ray=options,
    )
    if known is not None:
        values = with_known(comparison, known, SimilarityMatrix)
    else:
        values = comparison.values()
    if other is not None:
        return RectangularSimilarity(values, table.models, other.models)
    provenance = {**table.provenance, "pyphylo": __version__, "estimator": estimator}
    return named_result(SimilarityMatrix._trusted(values, table.models, provenance), comparison)
