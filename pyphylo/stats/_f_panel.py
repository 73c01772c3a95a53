"""f2 of a panel of models by blocks of genes: what f3, f4 and all that follows is made of."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo._compare import some_names
from pyphylo._memory import require_memory
from pyphylo._names import did_you_mean, whole_number
from pyphylo.errors import InputError, PyphyloWarning

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = [
    "LEAST_BLOCKS",
    "WEIGHTINGS",
    "F2Panel",
    "F2Source",
    "block_ends",
    "block_moments",
    "rows_of",
]

WEIGHTINGS = ("pooled", "plain", "root")
LEAST_BLOCKS = 4
"""Fewer blocks of genes say nothing of how a statistic spreads."""
_MOST_BLOCKS = 128
"""Blocks that genes are laid into unless the caller says."""
_POOLED_FLOOR = 0.01
"""What is added to a pooled frequency before it divides."""
_PAIR_BYTES = 90
"""Of a pair in a frame of f2 of all pairs, and while it is made."""
_TOGETHER = 1 << 15
"""Quadruples that a thread takes at a time."""


@dataclass(frozen=True, eq=False)
class F2Panel:
    """f2 of all pairs of some models, summed over each block of genes.

    Attributes
    ----------
    models : tuple of str
    n_genes : int
        Genes that all of the models have.
    sizes : ndarray of int64, shape (blocks,)
        Genes of each block.
    sums : ndarray of float64, shape (pairs, blocks)
        Pairs i < j by rows; 8 bytes a pair and block.
    weighting : str
    """

    models: tuple[str, ...]
    n_genes: int
    sizes: NDArray[np.int64]
    sums: NDArray[np.float64]
    weighting: str

    def blocks_of(self, i: Any, j: Any) -> NDArray[np.float64]:
        """Block sums of f2 for arrays of models i and j; zeros where they are the same."""
        i, j = np.broadcast_arrays(np.asarray(i), np.asarray(j))
        low, high, n = np.minimum(i, j), np.maximum(i, j), len(self.models)
        place = low * (2 * n - low - 1) // 2 - low - 1 + high
        same = low == high
        values: NDArray[np.float64] = self.sums[np.where(same, 0, place)]
        values[same] = 0.0
        return values

    def f3_blocks(self, c: Any, a: Any, b: Any) -> NDArray[np.float64]:
        """Block sums of f3(c; a, b)."""
        total: NDArray[np.float64] = (
            self.blocks_of(c, a) + self.blocks_of(c, b) - self.blocks_of(a, b)
        )
        return total / 2

    def f4_blocks(self, a: Any, b: Any, c: Any, d: Any) -> NDArray[np.float64]:
        """Block sums of f4(a, b; c, d)."""
        total: NDArray[np.float64] = (
            self.blocks_of(a, d) + self.blocks_of(b, c) - self.blocks_of(a, c)
        ) - self.blocks_of(b, d)
        return total / 2

    def f4_moments(
        self, quadruples: NDArray[np.int64], n_threads: int = 0
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """f4 and its standard error for rows (a, b, c, d); f3(c; a, b) is f4(c, a; c, b)."""
        from pyphylo.stats._f_kernels import f4_moments

        estimates, variances = np.empty(len(quadruples)), np.empty(len(quadruples))

        def work(begin: int) -> None:
            part = slice(begin, begin + _TOGETHER)
            f4_moments(
                self.sums,
                len(self.models),
                quadruples[part],
                self.sizes,
                estimates[part],
                variances[part],
            )

        threads = n_threads or _core.available_threads()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(0, len(quadruples), _TOGETHER)))
        return estimates, np.sqrt(variances)


def block_moments(
    sums: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Means over genes and jackknife standard errors of block sums, shape (..., blocks).

    The delete-one-block jackknife for blocks of unequal sizes (Busing, Meijer & van der
    Leeden 1999) of a mean over genes: its pseudovalues are the means of the blocks.
    """
    n = sizes.sum()
    mean = sums.sum(axis=-1) / n
    apart = sums / sizes - mean[..., None]
    variance = (sizes / (n - sizes) * apart**2).sum(axis=-1) / len(sizes)
    return mean, np.sqrt(variance)


def block_ends(n_genes: int, blocks: int | None) -> NDArray[np.int64]:
    """Last gene + 1 of each block; blocks are runs of genes whose sizes differ by one at most.

    Raises
    ------
    InputError
        When there are too few genes for a jackknife.
    """
    wanted = min(n_genes, _MOST_BLOCKS) if blocks is None else whole_number(blocks, "blocks", 1)
    if n_genes < LEAST_BLOCKS:
        raise InputError(
            f"a jackknife over {n_genes} genes says nothing of an error: at least {LEAST_BLOCKS} "
            "are needed that all models have; sample more genes, or leave out models that lack them"
        )
    if not LEAST_BLOCKS <= wanted <= n_genes:
        raise InputError(
            f"blocks must be from {LEAST_BLOCKS} to the number of genes, {n_genes}, not {wanted}"
        )
    ends: NDArray[np.int64] = np.arange(1, wanted + 1, dtype=np.int64) * n_genes // wanted
    return ends


def rows_of(table: AlleleTable, names: Iterable[str]) -> NDArray[np.int64]:
    """Rows of models by name.

    Raises
    ------
    InputError
        For a name that the table does not have, with names that are close.
    """
    place = {name: row for row, name in enumerate(table.models)}
    rows = []
    for name in names:
        row = place.get(name) if isinstance(name, str) else None
        if row is None:
            hint = did_you_mean(name, table.models)
            raise InputError(f"there is no model {name!r} among {len(table.models)}{hint}")
        rows.append(row)
    return np.array(rows, dtype=np.int64)


class F2Source:
    """A table made ready for f2: cells that can be unbiased, and a weight for each allele.

    Parameters
    ----------
    table : AlleleTable
        Frequencies are pooled over all of its models, whichever are then asked for.
    weighting : {"pooled", "plain", "root"}
    stacklevel : int
        Of warnings, from the caller's caller on.
    base : str, optional
        Under "pooled": frequencies are this model's alone.

    Raises
    ------
    InputError
        When some model has no gene with two probes, or under "root" a cell that is not
        exact; models are named.
    """

    def __init__(
        self, table: AlleleTable, weighting: str, stacklevel: int = 2, base: str | None = None
    ) -> None:
        if not hasattr(table, "_core"):
            raise InputError(f"f-statistics need an AlleleTable, not {type(table).__name__}")
        if weighting not in WEIGHTINGS:
            known = ", ".join(map(repr, WEIGHTINGS))
            raise InputError(f"unknown weighting {weighting!r}; known: {known}")
        self.table = table
        self.weighting = weighting
        self._core = _usable(table, stacklevel + 1)
        if weighting == "root":
            _require_exact(table)
        self._model = np.repeat(np.arange(self._core.n_models), np.diff(self._core.indptr))
        self._gene = _gene_of_columns(self._core)[self._core.columns]
        self.present: NDArray[np.bool_] = np.zeros((len(table.models), len(table.genes)), bool)
        self.present[self._model, self._gene] = True
        of = slice(None) if base is None else self._model == rows_of(table, [base])[0]
        self._weights = self._pooled(of) if weighting == "pooled" else np.ones(self._core.n_columns)

    def _pooled(self, of: slice | NDArray[np.bool_]) -> NDArray[np.float64]:
        """1 / (p + 0.01), p being an allele's mean frequency over the models with its gene.

        Parameters
        ----------
        of : slice or ndarray of bool
            The entries that count.
        """
        core = self._core
        values = core.entry_values()
        if not core.probabilities.size or core.counts.any():
            cell = self._model * core.n_genes + self._gene
            n = np.bincount(cell, core.counts, core.n_models * core.n_genes)[cell]
            values = np.divide(values, n, out=values.copy(), where=n > 0)
        sums = np.bincount(core.columns[of], values[of], core.n_columns)
        here = np.zeros_like(self.present)
        here[self._model[of], self._gene[of]] = True
        holders = here.sum(axis=0)[_gene_of_columns(core)]
        weights: NDArray[np.float64] = 1 / (sums / np.maximum(holders, 1) + _POOLED_FLOOR)
        return weights

    def moments(
        self, rows: NDArray[np.int64] | None, blocks: int | None, n_threads: int
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int32], NDArray[np.int32]]:
        """f2, standard error, genes and blocks of all pairs of the rows (None: of all models).

        A pair's are over the genes that both have.
        """
        core, weights = self._core, self._weights
        if rows is not None:
            core, weights = self._selected(rows, np.arange(core.n_genes))
        ends = block_ends(core.n_genes, blocks)
        pairs = core.n_models * (core.n_models - 1) // 2
        require_memory(_PAIR_BYTES * pairs, f"f2 of {pairs} pairs of models")
        f2, variance, genes, used = _core.f2_moments(
            core, weights, ends, self.weighting == "root", n_threads
        )
        return f2, np.sqrt(variance, out=variance), genes, used

    def panel(
        self, models: Sequence[str], blocks: int | None, n_threads: int, stacklevel: int = 2
    ) -> F2Panel:
        """f2 of all pairs of some models by blocks, over the genes that all of them have."""
        rows = rows_of(self.table, models)
        present = self.present[rows]
        genes = np.flatnonzero(present.all(axis=0))
        if len(genes) < present.shape[1]:
            self._tell_missing(tuple(models), present, len(genes), stacklevel + 1)
        ends = block_ends(len(genes), blocks)
        pairs = len(rows) * (len(rows) - 1) // 2
        require_memory(
            8 * pairs * len(ends), f"f2 of {pairs} pairs of models by {len(ends)} blocks of genes"
        )
        chosen, weights = self._selected(rows, genes)
        sums = _core.f2_blocks(chosen, weights, ends, self.weighting == "root", n_threads)
        sizes = np.diff(ends, prepend=0)
        return F2Panel(tuple(models), len(genes), sizes, sums, self.weighting)

    def _selected(
        self, rows: NDArray[np.int64], genes: NDArray[np.int64]
    ) -> tuple[_core.AlleleTable, NDArray[np.float64]]:
        """Some models and genes (ascending), and the weights of the alleles that they have."""
        wanted = np.zeros(self._core.n_models, bool)
        wanted[rows] = True
        kept = np.zeros(self._core.n_genes, bool)
        kept[genes] = True
        # Genes keep their order, so what is left of the columns is in theirs.
        used = np.zeros(self._core.n_columns, bool)
        used[self._core.columns[wanted[self._model] & kept[self._gene]]] = True
        return self._core.select(rows, genes.astype(np.int64)), self._weights[used]

    def _tell_missing(
        self, models: tuple[str, ...], present: NDArray[np.bool_], kept: int, stacklevel: int
    ) -> None:
        """Which models cost how many genes."""
        lacking = (~present).sum(axis=1)
        worst = [i for i in np.argsort(-lacking, kind="stable").tolist() if lacking[i]]
        names = some_names([f"{models[i]!r} ({lacking[i]})" for i in worst])
        warnings.warn(
            f"{present.shape[1] - kept} of {present.shape[1]} genes are left out, because not all "
            f"{len(models)} models have them (with two probes or draws); lacking: {names}",
            PyphyloWarning,
            stacklevel=stacklevel,
        )


def _gene_of_columns(core: _core.AlleleTable) -> NDArray[np.int64]:
    return np.repeat(np.arange(core.n_genes), np.diff(core.gene_offsets))


def _usable(table: AlleleTable, stacklevel: int) -> _core.AlleleTable:
    """The table without cells of one probe; says what was dropped."""
    core = table._core.drop_single_probe_cells()
    if core.nnz == table._core.nnz:
        return core
    empty = np.flatnonzero((np.diff(core.indptr) == 0) & (np.diff(table._core.indptr) > 0))
    if empty.size:
        raise InputError(
            "f-statistics take out what sampling adds, which needs two probes of a gene; no gene "
            f"has them in {some_names([repr(table.models[i]) for i in empty])}: sample more "
            "probes, or leave these models out"
        )
    dropped = core.summary()[1] - table.summary()[1]
    warnings.warn(
        f"{dropped} cells have fewer than two probes or draws and count as missing",
        PyphyloWarning,
        stacklevel=stacklevel,
    )
    return core


def _require_exact(table: AlleleTable) -> None:
    core = table._core
    drawn = core.counts > 0
    models = np.repeat(np.arange(core.n_models), np.diff(core.indptr))
    unfit = np.unique(models[drawn])
    if core.draws.size:
        unfit = np.union1d(unfit, core.hybrid_cells[0])
    if unfit.size:
        raise InputError(
            "weighting 'root' needs probabilities, because the root of a drawn frequency has a bias"
            f"; {some_names([repr(table.models[i]) for i in unfit])} were drawn: sample with "
            "mode='exact', or use weighting='pooled'"
        )
