"""f2, f3 and f4 over alleles (Patterson et al. 2012), with block-jackknife errors."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._names import whole_number
from pyphylo.errors import InputError
from pyphylo.stats._f_panel import F2Source, rows_of

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable

__all__ = ["f2", "f3", "f4"]


def f2(
    table: AlleleTable,
    pairs: Iterable[tuple[str, str]] | None = None,
    *,
    weighting: str = "pooled",
    blocks: int | None = None,
    n_threads: int = 0,
) -> pd.DataFrame:
    r"""Squared drift between pairs of models, unbiased.

    .. math::
        f_2(A, B) = \frac{1}{G} \sum_g \sum_a w_{ga}
            \left[ (p_{Aga} - p_{Bga})^2 - v_{Aga} - v_{Bga} \right]

    where :math:`v = p (1 - p) / (n - 1)` is what n probes add on average to the square.

    Parameters
    ----------
    table : AlleleTable
        Sampled, exact and hybrid cells, also mixed.
    pairs : iterable of (str, str), optional
        By default all pairs.
    weighting : {"pooled", "plain", "root"}
        w: "pooled", :math:`1 / (\bar p + 0.01)` with :math:`\bar p` the allele's mean
        frequency over all models of the table that have its gene, so that rare
        alleles count; "plain", 1; "root", 1 on square roots of the
        probabilities, for exact tables alone.
    blocks : int, optional
        Runs of neighbouring genes of like size that the jackknife leaves out one by
        one, at least 4. By default one a gene, 128 at most.
    n_threads : int
        0: all that this process may use. The result does not depend on it.

    Returns
    -------
    pandas.DataFrame
        A row a pair: a, b; estimate; se, its standard error (delete-one-block
        jackknife for blocks of unequal sizes); z, their ratio; p, of f2 = 0 against
        f2 > 0 by Student's t with blocks - 1 degrees of freedom; genes, that both
        models have, the only ones used; blocks, that hold any of them. NaN where
        there are too few.

    Raises
    ------
    InputError
        A model with no gene of two probes, fewer than 4 genes, an unknown model,
        or an argument out of range.
    MemoryError
        When the result would not fit.

    Notes
    -----
    Memory is some 90 bytes a pair (5,000 models: 12.5 million pairs, 1.1 GB).
    f2 by blocks, which f3 and f4 are made of, is only kept for the models that
    those are asked for. O(pairs x genes + sum over alleles of models-having-it
    squared) time.

    References
    ----------
    Patterson et al. (2012) Genetics 192:1065. Busing, Meijer & van der Leeden (1999)
    Stat. Comput. 9:3.
    """
    n_threads = whole_number(n_threads, "n_threads", 0)
    source = F2Source(table, weighting)
    if pairs is None:
        rows = np.arange(len(table.models))
        i = np.repeat(rows.astype(np.int32), rows[::-1])
        j = np.concatenate([rows[k + 1 :].astype(np.int32) for k in rows])
    else:
        chosen = _rows(table, pairs, 2, "pairs")
        rows = np.unique(chosen)
        i, j = np.searchsorted(rows, chosen).T
    if len(rows) < 2:
        raise InputError("f2 needs two models")
    some = None if pairs is None else rows
    estimate, error, genes, used = source.moments(some, blocks, n_threads)
    if pairs is not None:
        low, high = np.minimum(i, j), np.maximum(i, j)
        place = np.where(low == high, 0, low * (2 * len(rows) - low - 1) // 2 - low - 1 + high)
        estimate, error = (np.where(low == high, 0.0, part[place]) for part in (estimate, error))
        genes, used = genes[place], used[place]
    z, p = _tested(estimate, error, used, "greater")
    models = tuple(table.models[row] for row in rows.tolist())
    names = {"a": i, "b": j}
    return _frame(models, names, estimate=estimate, se=error, z=z, p=p, genes=genes, blocks=used)


def f3(
    table: AlleleTable,
    target: str,
    pairs: Iterable[tuple[str, str]] | None = None,
    *,
    candidates: Sequence[str] | None = None,
    weighting: str = "pooled",
    blocks: int | None = None,
    n_threads: int = 0,
) -> pd.DataFrame:
    r"""Whether a model is a mixture of two others: below zero where it lies between them.

    .. math::
        f_3(C; A, B) = \frac{1}{G} \sum_g \sum_a w_{ga} (p_C - p_A)(p_C - p_B)
                     = \frac{f_2(C, A) + f_2(C, B) - f_2(A, B)}{2}

    with what sampling C adds taken out.

    Parameters
    ----------
    table : AlleleTable
    target : str
        C.
    pairs : iterable of (str, str), optional
        (A, B); by default all pairs of `candidates`.
    candidates : sequence of str, optional
        By default all models but the target.
    weighting, blocks, n_threads
        As in `f2`.

    Returns
    -------
    pandas.DataFrame
        A row a pair: target, a, b; estimate, se, z; p, of f3 >= 0 against f3 < 0; not
        corrected for the number of pairs (`find_merge` is). ``frame.attrs`` has genes
        and blocks.

    Raises
    ------
    InputError
        As `f2`; also when fewer than two candidates are left.
    MemoryError
        When f2 of the models by blocks would not fit.

    Notes
    -----
    Only the genes that all models of the call have are used, so that f3 follows
    from f2 exactly; a warning names the models that cost genes. 8 bytes a pair of
    models and block are kept: 130 MB for 500 models and 128 blocks. A value that is not
    below zero refutes nothing: drift after the mixing hides it.
    """
    n_threads = whole_number(n_threads, "n_threads", 0)
    if pairs is not None and candidates is not None:
        raise InputError("give `pairs` or `candidates`, not both")
    rows_of(table, [target])
    if pairs is not None:
        chosen = _rows(table, pairs, 2, "pairs")
    else:
        others = [name for name in table.models if name != target]
        wanted = rows_of(table, others if candidates is None else candidates)
        wanted = wanted[wanted != rows_of(table, [target])[0]]
        if len(set(wanted.tolist())) < 2:
            raise InputError(f"f3 needs two candidates beside {target!r}, not {len(wanted)}")
        i, j = np.triu_indices(len(wanted), 1)
        chosen = np.column_stack([wanted[i], wanted[j]])
    row = np.broadcast_to(rows_of(table, [target]), (len(chosen),))
    quadruples = np.column_stack([row, chosen[:, 0], row, chosen[:, 1]])
    frame = _of_quadruples(table, quadruples, "less", weighting, blocks, n_threads)
    del frame["c"]
    frame.columns = ["target", "a", "b", *frame.columns[3:]]
    return frame


def f4(
    table: AlleleTable,
    quadruples: Iterable[tuple[str, str, str, str]],
    *,
    weighting: str = "pooled",
    blocks: int | None = None,
    n_threads: int = 0,
) -> pd.DataFrame:
    r"""Whether two models differ in the direction in which two others differ.

    .. math::
        f_4(A, B; C, D) = \frac{1}{G} \sum_g \sum_a w_{ga} (p_A - p_B)(p_C - p_D)
            = \frac{f_2(A, D) + f_2(B, C) - f_2(A, C) - f_2(B, D)}{2}

    Zero on average where A, B on one side and C, D on the other drifted
    independently.

    Parameters
    ----------
    table : AlleleTable
    quadruples : iterable of (str, str, str, str), or integer array of rows of the table
        (A, B, C, D). A model may stand on both sides: what sampling it adds is
        taken out.
    weighting, blocks, n_threads
        As in `f2`.

    Returns
    -------
    pandas.DataFrame
        A row a quadruple: a, b, c, d; estimate, se, z; p, two-sided. ``frame.attrs`` has
        genes and blocks, as in `f3`.

    Raises
    ------
    InputError, MemoryError
        As `f3`.
    """
    n_threads = whole_number(n_threads, "n_threads", 0)
    chosen = _rows(table, quadruples, 4, "quadruples")
    return _of_quadruples(table, chosen, "two-sided", weighting, blocks, n_threads)


def _of_quadruples(
    table: AlleleTable,
    quadruples: NDArray[np.int64],
    side: str,
    weighting: str,
    blocks: int | None,
    n_threads: int,
) -> pd.DataFrame:
    source = F2Source(table, weighting, stacklevel=3)
    wanted = np.unique(quadruples)
    models = [table.models[row] for row in wanted.tolist()]
    panel = source.panel(models, blocks, n_threads, stacklevel=3)
    placed = np.searchsorted(wanted, quadruples)
    estimate, error = panel.f4_moments(placed, n_threads)
    z, p = _tested(estimate, error, len(panel.sizes), side)
    names = dict(zip("abcd", placed.T, strict=True))
    frame = _frame(panel.models, names, estimate=estimate, se=error, z=z, p=p)
    frame.attrs.update(genes=panel.n_genes, blocks=len(panel.sizes), weighting=weighting)
    return frame


def _rows(table: AlleleTable, named: Any, width: int, what: str) -> NDArray[np.int64]:
    """Tuples of names, or an integer array of rows of the table, as rows of the table."""
    if isinstance(named, np.ndarray) and named.dtype.kind in "iu":
        given = named.astype(np.int64)
        if given.ndim != 2 or given.shape[1] != width:
            raise InputError(f"{what} must be of shape (n, {width}), not {given.shape}")
        if given.size and (given.min() < 0 or given.max() >= len(table.models)):
            raise InputError(
                f"{what} must hold rows of the table, 0 to {len(table.models) - 1}; "
                f"found {given.min()} to {given.max()}"
            )
    else:
        tuples = [tuple(entry) if not isinstance(entry, str) else (entry,) for entry in named]
        for entry in tuples:
            if len(entry) != width:
                raise InputError(f"each of {what} must name {width} models, not {entry!r}")
        names = [name for entry in tuples for name in entry]
        given = rows_of(table, names).reshape(-1, width)
    if not len(given):
        raise InputError(f"there are no {what}")
    return given


def _tested(
    estimate: NDArray[np.float64], error: NDArray[np.float64], blocks: Any, side: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The z and p of an estimate of 0; where the error is 0, z is 0 or infinite."""
    from scipy.special import stdtr

    with np.errstate(divide="ignore", invalid="ignore"):
        z = estimate / error
    z[(error == 0) & (estimate == 0)] = 0.0
    df = np.maximum(np.asarray(blocks) - 1.0, 1.0)
    if df.size and df.min() == df.max():
        df = df.flat[0]
    if side == "two-sided":
        return z, np.minimum(1.0, 2 * stdtr(df, -np.abs(z)))
    p: NDArray[np.float64] = stdtr(df, z if side == "less" else -z)
    return z, p


def _frame(models: tuple[str, ...], names: dict[str, NDArray[Any]], **columns: Any) -> pd.DataFrame:
    import pandas as pd

    known = pd.CategoricalDtype(list(models))
    frame: pd.DataFrame = pd.DataFrame(
        {
            **{key: pd.Categorical.from_codes(rows, dtype=known) for key, rows in names.items()},
            **columns,
        }
    )
    return frame
