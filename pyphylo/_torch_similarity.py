"""Nei's identity on a torch device: for integer tables the same bits as the core's.

The numerators of all pairs are one matrix product of the (models x columns) counts with
their transpose. Only columns that two compared models may share enter; alleles private to a model
count in the self terms alone, which come from the core. The work goes tile by tile:

    for every tile of pairs (of a square call those on or below the diagonal)
        for every chunk of columns
            dense counts of the tile's rows, and of its columns: zero, then scatter the entries
            add their product (of every two digits) to the tile's float64 sums
        S = sum / sqrt(J_i J_j), and the tile leaves the device

What bounds it, for m models, K shared columns and tiles of T x T: the product needs m^2 K int8
operations (half a square, two each), 0.035 s at 10^15 a second for m = 10,000 and
K = 350,000. Making operands moves about 4 T K bytes a tile (written as zeros, read once) beside
2 T^2 K operations: under a tenth of the product's time at T = 8,192 and 1.5 TB/s. The
result, 8 bytes a pair, crosses the bus: 0.4 s for m = 10,000 at 2 GB/s, 0.03 s at 25. So columns
that few models have stay in the dense product, although a scatter over their pairs would do
less arithmetic: it could only save from the smallest of these.

The last step is IEEE arithmetic of float64, which CUDA keeps for +, x, / and sqrt (CUDA C++
Programming Guide, floating-point standard); it too is tried out once before it is trusted. Where
roots are not correctly rounded (torch's on x86 CPUs, by MKL's VML, are not) NumPy takes them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import DTypeLike, NDArray

from pyphylo import _core
from pyphylo._torch_device import (
    COLUMN_PAD,
    ROW_PAD,
    Plan,
    fixed_bytes,
    free_bytes,
    padded,
    plan_tiles,
)
from pyphylo._torch_products import Product, exact_mode, pick_product
from pyphylo.errors import InputError, WorkError

__all__ = ["Tile", "iter_tiles", "similarity_values"]

_STRIP = 1024
"""Rows of a diagonal tile that are multiplied at once, with the columns up to their end."""
_EXACT_LIMIT = 1 << 53
_TORCH_DTYPES = {np.dtype(np.float64): torch.float64, np.dtype(np.float32): torch.float32}

Tile = tuple[int, int, int, int, NDArray[Any]]
"""(row_begin, row_end, column_begin, column_end, values) of a block of the result."""


@dataclass(frozen=True)
class _Block:
    """A run of the table's models."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin

    @property
    def rows(self) -> int:
        """Of the block's matrices."""
        return padded(self.size, ROW_PAD)


@dataclass(frozen=True)
class _Entries:
    """The shared columns' entries on the device, sorted by model as the table has them."""

    n_columns: int
    indptr: NDArray[np.int64]
    models: torch.Tensor
    columns: torch.Tensor
    values: torch.Tensor
    largest: int
    """The largest count (0 of frequencies)."""


def similarity_values(
    table: _core.AlleleTable,
    estimator: str,
    split: int,
    device: str | torch.device,
    dtype: DTypeLike = np.float64,
    *,
    plan: Plan | None = None,
    product: str | None = None,
) -> NDArray[Any]:
    """All similarities as one array; arguments as of `iter_tiles`.

    Returns
    -------
    ndarray of `dtype`, shape (models, models) or (split, models - split)
    """
    rows, columns = _sides(table, split)
    values = np.empty((rows.size, columns.size), dtype)
    whole = torch.from_numpy(values)
    tiles = iter_tiles(table, estimator, split, device, dtype, plan=plan, product=product)
    for top, bottom, left, right, tile in tiles:
        block = torch.from_numpy(tile)
        whole[top:bottom, left:right] = block
        if split < 0 and top != left:
            whole[left:right, top:bottom] = block.T
    return values


def iter_tiles(
    table: _core.AlleleTable,
    estimator: str,
    split: int,
    device: str | torch.device,
    dtype: DTypeLike = np.float64,
    *,
    plan: Plan | None = None,
    product: str | None = None,
) -> Iterator[Tile]:
    """Similarities in tiles, as they leave the device.

    Parameters
    ----------
    table : _core.AlleleTable
        Under ``"unbiased"`` without sampled cells of one probe.
    estimator : {"plugin", "unbiased"}
    split : int
        The first `split` models against the others; negative: all against all.
    device : str or torch.device
    dtype : float64 or float32
        float32 is rounded from float64.
    plan : Plan, optional
        How to cut the work; by default what the device's free memory allows.
    product : str, optional
        Which of `_torch_products.PRODUCTS` to use; by default the cheapest that passes its trial.

    Yields
    ------
    Tile
        Bounds within the result, and the values. A square call gives the
        tiles on and below the diagonal, row by row; those on it are full.

    Raises
    ------
    InputError
        When a numerator could exceed 2^53.
    MemoryError
        When the smallest tile does not fit the device, with the number.
    WorkError
        When the device multiplies integers wrongly.

    Notes
    -----
    Integer tables: exact. Float tables: a sum of t non-negative terms has a relative error of
    at most (t + 3) 2^-53, under 1e-12 up to 9,000 alleles that two models share.
    """
    device = torch.device(device)
    rows, columns = _sides(table, split)
    try:
        with exact_mode(device):
            work, plan = _prepare(table, estimator, split, device, plan, product)
        # Not across a yield: what the caller does in between is its own.
        for row, column in _tiles(rows, columns, plan.side, symmetric=split < 0):
            with exact_mode(device):
                tile = work.tile(row, column).to(_TORCH_DTYPES[np.dtype(dtype)]).cpu().numpy()
            yield (
                row.begin - rows.begin,
                row.end - rows.begin,
                column.begin - columns.begin,
                column.end - columns.begin,
                tile,
            )
    except torch.cuda.OutOfMemoryError as error:
        raise MemoryError(
            f"device {str(device)!r} ran out of memory that was free at the start: "
            "does another program use it?"
        ) from error


def _prepare(
    table: _core.AlleleTable,
    estimator: str,
    split: int,
    device: torch.device,
    plan: Plan | None,
    product: str | None,
) -> tuple[_Work, Plan]:
    """What is refused, then what all tiles share."""
    probes, _, bound = table.summary()
    if bound > _EXACT_LIMIT:
        reached = "2^63" if bound == 2**63 - 1 else str(bound)
        raise InputError(
            f"the numerators of this table may reach {reached}, above 2^53, and would not be "
            "exact: use fewer probes or genes"
        )
    if not _arithmetic(device)[0]:
        raise WorkError(
            f"device {str(device)!r} does not multiply and divide as IEEE 754 has it: "
            "use device='cpu'"
        )
    whole = bool((probes >= 0).all())
    largest = int(table.counts.max(initial=0)) if whole else 0
    way = pick_product(device, largest, product if whole else "float64")
    terms, pattern_of = _core.self_terms(table, getattr(_core.Estimator, estimator))
    if plan is None:
        longer = max(block.size for block in _sides(table, split))
        cell = way.n_digits(largest) * way.dtype.itemsize
        fixed = fixed_bytes(table) + terms.nbytes
        plan = plan_tiles(longer, table.n_columns, cell, fixed, free_bytes(device), device)
    entries = _shared_entries(table, split, device, frequencies=not whole)
    work = _Work(
        entries,
        way,
        _chunks(entries, plan.width, way),
        torch.tensor(terms, device=device),
        torch.tensor(pattern_of.astype(np.int64), device=device),
    )
    return work, plan


def _sides(table: _core.AlleleTable, split: int) -> tuple[_Block, _Block]:
    """Row models and column models of a call."""
    n = table.n_models
    return (_Block(0, n), _Block(0, n)) if split < 0 else (_Block(0, split), _Block(split, n))


def _tiles(
    rows: _Block, columns: _Block, side: int, *, symmetric: bool
) -> Iterator[tuple[_Block, _Block]]:
    for top in range(rows.begin, rows.end, side):
        row = _Block(top, min(top + side, rows.end))
        stop = row.end if symmetric else columns.end
        for left in range(columns.begin, stop, side):
            yield row, _Block(left, min(left + side, columns.end))


def _shared_entries(
    table: _core.AlleleTable, split: int, device: torch.device, *, frequencies: bool
) -> _Entries:
    """Entries of the columns that some compared pair might share, these renumbered."""
    lengths = torch.tensor(np.diff(table.indptr), device=device)
    models = torch.repeat_interleave(
        torch.arange(table.n_models, dtype=torch.int32, device=device),
        lengths,
        output_size=table.nnz,
    )
    columns = torch.tensor(table.columns, device=device)
    values = torch.tensor(table.counts, device=device)
    if frequencies:
        values = _frequencies(table, models, columns, values)
    if split < 0:
        shared = torch.bincount(columns, minlength=table.n_columns) > 1
    else:
        at = int(table.indptr[split])
        shared = torch.bincount(columns[:at], minlength=table.n_columns) > 0
        shared &= torch.bincount(columns[at:], minlength=table.n_columns) > 0
    number = (torch.cumsum(shared, 0) - 1).to(torch.int32)
    kept = shared[columns.long()]
    models, columns, values = models[kept], number[columns[kept].long()], values[kept]
    indptr = np.zeros(table.n_models + 1, np.int64)
    np.cumsum(torch.bincount(models, minlength=table.n_models).cpu().numpy(), out=indptr[1:])
    largest = 0 if frequencies or not len(values) else int(values.max())
    return _Entries(int(shared.sum()), indptr, models, columns, values, largest)


def _frequencies(
    table: _core.AlleleTable, models: torch.Tensor, columns: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """Counts over their cell's probes; the probabilities of exact cells."""
    offsets = torch.tensor(table.gene_offsets, device=counts.device)
    gene = torch.searchsorted(offsets, columns.long(), right=True) - 1
    cell = models.long() * table.n_genes + gene
    probes = torch.zeros(table.n_models * table.n_genes, dtype=torch.int64, device=counts.device)
    probes.index_add_(0, cell, counts.long())
    sampled = counts.to(torch.float64) / probes[cell].clamp(min=1)
    if not table.probabilities.size:
        return sampled
    return torch.where(counts > 0, sampled, torch.tensor(table.probabilities, device=counts.device))


def _chunks(entries: _Entries, width: int, way: Product) -> list[_Block]:
    """Runs of columns within which every sum of products stays exact.

    By Cauchy and Schwarz no sum of two models exceeds the larger of their sums of squares.
    Chunks that might are halved; one column never does.
    """
    top = way.largest_digit(entries.largest)
    waiting = [
        _Block(begin, min(begin + width, entries.n_columns))
        for begin in range(0, entries.n_columns, width)
    ][::-1]
    chunks = []
    while waiting:
        chunk = waiting.pop()
        if chunk.size * top**2 <= way.limit or _largest_square(entries, chunk, way) <= way.limit:
            chunks.append(chunk)
            continue
        middle = (chunk.begin + chunk.end) // 2
        waiting += [_Block(middle, chunk.end), _Block(chunk.begin, middle)]
    return chunks


def _largest_square(entries: _Entries, chunk: _Block, way: Product) -> int:
    """The largest sum of squared digits that a model has in a chunk."""
    inside = (entries.columns >= chunk.begin) & (entries.columns < chunk.end)
    models, counts = entries.models[inside].long(), entries.values[inside].long()
    largest = 0
    for digit in way.digits(counts, way.n_digits(entries.largest)):
        squares = torch.zeros(len(entries.indptr) - 1, dtype=torch.int64, device=models.device)
        squares.index_add_(0, models, digit * digit)
        largest = max(largest, int(squares.max()))
    return largest


@dataclass(frozen=True)
class _Work:
    """All that tiles are made of."""

    entries: _Entries
    way: Product
    chunks: list[_Block]
    terms: torch.Tensor
    pattern_of: torch.Tensor

    def tile(self, rows: _Block, columns: _Block) -> torch.Tensor:
        """Similarities of two blocks of models; a block's with itself are 1 on the diagonal."""
        sums = self.numerators(rows, columns)[: rows.size, : columns.size]
        terms = self.self_terms(rows, columns) * self.self_terms(columns, rows).T
        # Both operands of the division are tensors: a scalar one would be inverted and multiplied.
        ratio = sums / _root(terms)
        tile = torch.where(terms > 0, ratio, torch.nan)
        if rows == columns:
            tile = torch.tril(tile, -1)
            tile = tile + tile.T
            tile.fill_diagonal_(1.0)
        return tile

    def self_terms(self, ours: _Block, theirs: _Block) -> torch.Tensor:
        """The first block's self terms over the genes shared with each model of the second."""
        terms = self.terms[ours.begin : ours.end]
        if terms.shape[1] == 1:
            return terms.expand(-1, theirs.size)
        return terms.index_select(1, self.pattern_of[theirs.begin : theirs.end])

    def numerators(self, rows: _Block, columns: _Block) -> torch.Tensor:
        """Sums of products, padded with zeros; of a block with itself at least the lower half.

        Invariant: every sum so far is a whole number below 2^53 (of a float table, any number),
        every product a whole number within the limit of its type, so additions are exact.
        """
        shape = (rows.rows, columns.rows)
        sums = torch.zeros(shape, dtype=torch.float64, device=self.terms.device)
        for chunk in self.chunks:
            ours = self.dense(rows, chunk)
            theirs = ours if rows == columns else self.dense(columns, chunk)
            for i, a in enumerate(ours):
                for j, b in enumerate(theirs):
                    weight = float(1 << (self.way.bits * (i + j)))
                    for begin, end, stop in _strips(rows, columns):
                        part = self.way.multiply(a[begin:end], b[:stop])
                        sums[begin:end, :stop].add_(part, alpha=weight)
        return sums

    def dense(self, block: _Block, chunk: _Block) -> list[torch.Tensor]:
        """The counts of a block of models in a chunk of columns, one matrix a digit."""
        entries = self.entries
        run = slice(int(entries.indptr[block.begin]), int(entries.indptr[block.end]))
        columns = entries.columns[run]
        inside = torch.nonzero((columns >= chunk.begin) & (columns < chunk.end)).squeeze(1)
        width = padded(chunk.size, COLUMN_PAD)
        models = entries.models[run][inside].long() - block.begin
        places = models * width + (columns[inside].long() - chunk.begin)
        values = entries.values[run][inside]
        digits = []
        for digit in self.way.digits(values, self.way.n_digits(entries.largest)):
            flat = torch.zeros(block.rows * width, dtype=self.way.dtype, device=values.device)
            # No place occurs twice, so the order of writing is of no account.
            flat.scatter_(0, places, digit.to(self.way.dtype))
            digits.append(flat.view(block.rows, width))
        return digits


def _strips(rows: _Block, columns: _Block) -> Iterator[tuple[int, int, int]]:
    """(first row, last row, last column) of the products that a tile needs."""
    if rows != columns:
        yield 0, rows.rows, columns.rows
        return
    for begin in range(0, rows.rows, _STRIP):
        end = min(begin + _STRIP, rows.rows)
        yield begin, end, end


def _root(terms: torch.Tensor) -> torch.Tensor:
    """Square roots, correctly rounded; NaN of negative terms."""
    if _arithmetic(terms.device)[1]:
        return torch.sqrt(terms)
    with np.errstate(invalid="ignore"):
        return torch.from_numpy(np.sqrt(terms.cpu().numpy())).to(terms.device)


@functools.cache
def _arithmetic(device: torch.device) -> tuple[bool, bool]:
    """Whether float64 products, quotients and their rounding to float32 are IEEE's; and roots."""
    rng = np.random.default_rng(1)
    scale = 2.0 ** rng.integers(-20, 1, (2, 1 << 14))
    a, b = rng.integers(1, 1 << 53, scale.shape).astype(np.float64) * scale
    x, y = (torch.tensor(part, device=device) for part in (a, b))
    ratio = x / y
    same = (
        np.array_equal((x * y).cpu().numpy(), a * b)
        and np.array_equal(ratio.cpu().numpy(), a / b)
        and np.array_equal(ratio.to(torch.float32).cpu().numpy(), (a / b).astype(np.float32))
    )
    # Of the CPU's roots so few may be wrong that the trial misses them.
    roots = device.type != "cpu" and np.array_equal(torch.sqrt(x).cpu().numpy(), np.sqrt(a))
    return same, roots
