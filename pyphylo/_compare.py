"""All pairs of a table's models, into memory or a file: what similarity and distance share."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from pyphylo import _core
from pyphylo._files import check_target
from pyphylo._matrix import LabelledMatrix, triangle_of
from pyphylo._memory import byte_count, human_bytes, require_memory
from pyphylo._names import whole_number
from pyphylo.errors import InputError, PyphyloWarning

if TYPE_CHECKING:
    import torch

    from pyphylo._ray_cluster import RayOptions
    from pyphylo.alleles import AlleleTable

__all__ = [
    "ESTIMATORS",
    "Comparison",
    "Output",
    "float_type",
    "named_result",
    "some_names",
    "usable_cells",
    "warn_of_nan",
    "with_known",
]

ESTIMATORS = {"plugin": _core.Estimator.plugin, "unbiased": _core.Estimator.unbiased}
_NAMED = 5
"""How many names an error or a warning lists before it counts the rest."""
_SCAN = 1 << 22
"""Values looked through at once for NaN."""

Output: TypeAlias = NDArray[Any] | str | os.PathLike[str] | None


_M = TypeVar("_M", bound=LabelledMatrix)


@dataclass(frozen=True)
class Comparison:
    """What is wanted of which pairs, checked before any work.

    Attributes
    ----------
    table, other : AlleleTable
        All pairs of `table`, or its models (rows) against those of `other`.
    quantity : {"similarity", "distance"}
    floor : float
        Of distances.
    ray : RayOptions or None
        Of the cluster that computes; None: this process does.
    """

    table: AlleleTable
    other: AlleleTable | None
    quantity: str
    estimator: str
    n_threads: int
    dtype: np.dtype[Any]
    condensed: bool
    out: NDArray[Any] | Path | None
    max_memory: int | None
    device: torch.device | None
    floor: float = 0.0
    ray: RayOptions | None = None

    @classmethod
    def checked(
        cls,
        table: AlleleTable,
        other: AlleleTable | None,
        *,
        quantity: str,
        estimator: str,
        n_threads: int,
        dtype: DTypeLike | None,
        condensed: bool,
        out: Output,
        max_memory: int | str | None,
        device: Any,
        ray: RayOptions | None,
        floor: float = 0.0,
    ) -> Comparison:
        """A comparison of arguments as users give them; InputError where one cannot be."""
        for given in (table,) if other is None else (table, other):
            if not hasattr(given, "_core"):
                raise InputError(f"nei_{quantity} needs an AlleleTable, not {type(given).__name__}")
            if not given.models:
                raise InputError("the allele table has no models")
        if not isinstance(estimator, str) or estimator not in ESTIMATORS:
            raise InputError(f"unknown estimator {estimator!r}; known: 'plugin', 'unbiased'")
        if ray is not None and device != "cpu":
            raise InputError(
                f"device {device!r} is of engine 'local': Ray's workers multiply on their CPUs"
            )
        if condensed and other is not None:
            raise InputError("a condensed result is half of a square one: leave out `other`")
        n_threads = whole_number(n_threads, "n_threads", 0)
        limit = None if max_memory is None else byte_count(max_memory, "max_memory")
        rows, columns = len(table.models), len((other or table).models)
        place, kind = _checked_output(out, dtype)
        if isinstance(place, np.ndarray):
            condensed = condensed or (other is None and place.ndim == 1)
        shape = (rows * (rows - 1) // 2,) if condensed else (rows, columns)
        if isinstance(place, np.ndarray):
            _check_array(place, shape, kind, dtype)
        return cls(
            table,
            other,
            quantity,
            estimator,
            n_threads,
            kind,
            condensed,
            place,
            limit,
            _gpu(device),
            floor,
            ray,
        )

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the result."""
        rows = len(self.table.models)
        if self.condensed:
            return (rows * (rows - 1) // 2,)
        return rows, rows if self.other is None else len(self.other.models)

    def values(self) -> NDArray[Any]:
        """Compute. A result in a file is mapped, read-only."""
        values, any_nan = self._computed(5)
        if any_nan:
            self._warn(values, 4)
        return values

    def _computed(self, stacklevel: int) -> tuple[NDArray[Any], bool]:
        """Values, and whether one is NaN; `stacklevel` is of warnings of dropped cells."""
        joined = self.table if self.other is None else self.table.join(self.other)
        core = joined._core
        if self.estimator == "unbiased":
            core = usable_cells(joined, stacklevel)
        self._claim(0)
        if self.ray is not None:
            from pyphylo._ray_strips import compared

            return compared(core, self, self.ray)
        if isinstance(self.out, Path):
            return self._into_file(core, self.out)
        values = np.empty(self.shape, self.dtype) if self.out is None else self.out
        return values, self._into_array(core, values)

    def _warn(self, values: NDArray[Any], stacklevel: int) -> None:
        ids = self.table.models
        others = ids if self.other is None else self.other.models
        square = self.other is None
        warn_of_nan(values, ids, others, self.quantity, symmetric=square, stacklevel=stacklevel)

    def _empty(self) -> NDArray[Any]:
        size = self.dtype.itemsize * int(np.prod(self.shape))
        require_memory(size, f"{size} bytes of result", self.max_memory)
        return np.empty(self.shape, self.dtype)

    def _delivered(self, square: NDArray[Any]) -> NDArray[Any]:
        """Values of a whole square, in the layout and the place that are wanted."""
        values = triangle_of(square) if self.condensed else square
        if isinstance(self.out, Path):
            from pyphylo.io.npy import replace_numbers

            replace_numbers(self.out, lambda part: _save_array(part, values))
            mapped: NDArray[Any] = np.load(self.out, mmap_mode="r", allow_pickle=False)
            return mapped
        if self.out is None:
            return values
        self.out[...] = values
        return self.out

    @property
    def _split(self) -> int:
        return -1 if self.other is None else len(self.table.models)

    def _claim(self, work: int) -> None:
        """State the bytes of the work and of the result, and refuse what does not fit."""
        size = self.dtype.itemsize * int(np.prod(self.shape))
        mine = 0 if self.out is not None else size
        what = f"{' x '.join(map(str, self.shape))} {_PLURALS[self.quantity]}"
        if mine and self.max_memory is not None and mine + work > self.max_memory >= work:
            raise MemoryError(
                f"{what} need {human_bytes(mine + work)}, more than the "
                f"{human_bytes(self.max_memory)} allowed: give a file, "
                f"out='{self.quantity}.npy' (-o)"
                + (f", and they need {human_bytes(work)}" if work else "")
            )
        require_memory(mine + work, what, self.max_memory)

    def _into_array(self, core: _core.AlleleTable, values: NDArray[Any]) -> bool:
        """Fill an array; whether it holds NaN."""
        if self.device is not None:
            return self._from_device(core, values, self.device)
        quantity = getattr(_core.Quantity, self.quantity)
        estimator = ESTIMATORS[self.estimator]
        return _core.compare(
            core, estimator, self._split, self.n_threads, quantity, self.floor, values, self._claim
        )

    def _into_file(self, core: _core.AlleleTable, path: Path) -> tuple[NDArray[Any], bool]:
        """Fill a .npy file, strip by strip, which takes its place when it is whole."""
        from pyphylo.io.npy import replace_numbers

        any_nan = False

        def fill(part: Path) -> None:
            nonlocal any_nan
            mapped = np.lib.format.open_memmap(part, "w+", self.dtype, self.shape)
            if self.device is not None:
                any_nan = self._from_device(core, mapped, self.device)
                mapped.flush()
                return
            begin = mapped.offset
            del mapped
            with part.open("r+b") as handle:
                any_nan = _core.compare_to_file(
                    core,
                    ESTIMATORS[self.estimator],
                    self._split,
                    self.n_threads,
                    getattr(_core.Quantity, self.quantity),
                    self.floor,
                    handle.fileno(),
                    begin,
                    self.dtype == np.float32,
                    self.condensed,
                    self._claim,
                )

        replace_numbers(path, fill)
        return np.load(path, mmap_mode="r", allow_pickle=False), any_nan

    def _from_device(
        self, core: _core.AlleleTable, values: NDArray[Any], device: torch.device
    ) -> bool:
        from pyphylo._torch_similarity import iter_tiles

        any_nan = False
        n = len(self.table.models)
        for top, bottom, left, right, tile in iter_tiles(core, self.estimator, self._split, device):
            any_nan = any_nan or bool(np.isnan(tile).any())
            if self.quantity == "distance":
                _core.take_distances(tile, self.floor)
                if self.other is None and top == left:
                    np.fill_diagonal(tile, 0.0)
            if self.condensed:
                _put_condensed(values, n, top, left, tile)
                continue
            values[top:bottom, left:right] = tile
            if self.other is None and top != left:
                values[left:right, top:bottom] = tile.T
        return any_nan


def _save_array(path: Path, values: NDArray[Any]) -> None:
    with path.open("wb") as handle:
        np.save(handle, values, allow_pickle=False)


def with_known(comparison: Comparison, known: Any, wanted: type[LabelledMatrix]) -> NDArray[Any]:
    """All values of a square call, of which `known` has those of some models already.

    Only pairs of a new model with any other are computed: O(new x models) of them.
    """
    table, other = comparison.table, comparison.other
    if not isinstance(known, wanted):
        raise InputError(f"known must be a {wanted.__name__}, not {type(known).__name__}")
    if comparison.ray is not None:
        raise InputError("with known values little is left to compute: leave out engine='ray'")
    if other is not None:
        raise InputError("known values are of all pairs of one table: leave out `other`")
    if known.dtype.itemsize < comparison.dtype.itemsize:
        raise InputError(
            f"known holds {known.dtype}, which has not the bits of a {comparison.dtype} result: "
            f"ask for dtype='{known.dtype}'"
        )
    _check_origin(comparison, known)
    place = {name: i for i, name in enumerate(table.models)}
    strange = [name for name in known.ids if name not in place]
    if strange:
        raise InputError(f"known has models that the table lacks: {some_names(strange)}")
    old = np.array([place[name] for name in known.ids], dtype=np.intp)
    new = np.setdiff1d(np.arange(len(place)), old)
    plain = replace(comparison, out=None, condensed=False)
    values = plain._empty()
    values[np.ix_(old, old)] = known.values
    if len(new):
        fresh = table.select(models=[table.models[i] for i in new])
        values[np.ix_(new, new)] = replace(plain, table=fresh)._computed(5)[0]
    if len(new) and len(old):
        rest = table.select(models=list(known.ids))
        across = replace(plain, table=fresh, other=rest)._computed(5)[0]
        values[np.ix_(new, old)] = across
        values[np.ix_(old, new)] = across.T
    plain._warn(values, 4)
    return comparison._delivered(values)


def named_result(matrix: _M, comparison: Comparison) -> _M:
    """The matrix; where its numbers are in a file, its names are put beside them."""
    if isinstance(comparison.out, Path):
        from pyphylo.io.npy import write_names

        write_names(matrix, comparison.out)
    return matrix


def _check_origin(comparison: Comparison, known: LabelledMatrix) -> None:
    """Refuse known values that were found in another way."""
    wanted = {"estimator": comparison.estimator}
    if comparison.quantity == "distance":
        wanted["floor"] = comparison.floor  # type: ignore[assignment]
    for key in ("genome", "rule"):
        if key in comparison.table.provenance:
            wanted[key] = comparison.table.provenance[key]
    for key, value in wanted.items():
        found = known.provenance.get(key)
        if found is not None and found != value:
            raise InputError(f"known was computed with {key} {found!r}, not {value!r}")


_PLURALS = {"similarity": "similarities", "distance": "distances"}


def _put_condensed(
    values: NDArray[Any], n: int, top: int, left: int, tile: NDArray[np.float64]
) -> None:
    """A tile on or below the diagonal into the upper triangle by rows."""
    for k in range(tile.shape[1]):
        row = left + k
        first = max(0, row + 1 - top)
        begin = row * (2 * n - row - 1) // 2 + top + first - row - 1
        column = tile[first:, k]
        values[begin : begin + len(column)] = column


def _checked_output(
    out: Output, dtype: DTypeLike | None
) -> tuple[NDArray[Any] | Path | None, np.dtype[Any]]:
    """Where the result goes, and its type."""
    kind = float_type(dtype) if dtype is not None else np.dtype(np.float64)
    if out is None:
        return None, kind
    if isinstance(out, np.ndarray):
        return out, kind if dtype is not None else out.dtype
    if not isinstance(out, (str, os.PathLike)):
        raise InputError(f"out must be an array or the path of a .npy file, not {out!r}")
    path = Path(out)
    if path.suffix.lower() != ".npy":
        raise InputError(f"out {str(path)!r}: a result is mapped from a .npy file")
    check_target(path)
    return path, kind


def _check_array(
    out: NDArray[Any],
    shape: tuple[int, ...],
    kind: np.dtype[Any],
    dtype: DTypeLike | None,
) -> None:
    """Refuse an output array that cannot take the result."""
    if out.dtype not in (np.float32, np.float64):
        raise InputError(f"out must be float64 or float32, not {out.dtype}")
    if dtype is not None and out.dtype != kind:
        raise InputError(f"out is {out.dtype}, but dtype={kind.name!r} is asked for")
    if out.shape != shape:
        raise InputError(f"out must be of shape {shape}, not {out.shape}")
    if not out.flags.c_contiguous or not out.flags.writeable or not out.dtype.isnative:
        raise InputError("out must be C-ordered, writeable and of the machine's byte order")


def float_type(dtype: DTypeLike) -> np.dtype[Any]:
    """float32 or float64, or an error."""
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is None or kind not in (np.float32, np.float64):
        raise InputError(f"dtype must be 'float32' or 'float64', not {dtype!r}")
    return kind


def _gpu(device: Any) -> torch.device | None:
    """The GPU that is meant, checked; None for the CPU, for which torch is not loaded."""
    if isinstance(device, str) and device == "cpu":
        return None
    from pyphylo._torch_device import resolve_device

    found = resolve_device(device)
    return None if found.type == "cpu" else found


def usable_cells(table: AlleleTable, stacklevel: int) -> _core.AlleleTable:
    """The table without cells too small for an unbiased self term; says what was dropped."""
    core = table._core.drop_single_probe_cells()
    before, after = table.summary()[1], core.summary()[1]
    if before == after:
        return core
    empty = (np.diff(core.indptr) == 0) & (np.diff(table._core.indptr) > 0)
    if empty.any():
        raise InputError(
            "the unbiased estimator needs two probes of a gene; no gene has them in "
            f"{some_names([repr(table.models[i]) for i in np.flatnonzero(empty)])}: "
            "drop these models or use estimator='plugin'"
        )
    warnings.warn(
        f"{after - before} cells have fewer than two probes or draws and count as missing under "
        "'unbiased'",
        PyphyloWarning,
        stacklevel=stacklevel,
    )
    return core


def warn_of_nan(
    values: NDArray[Any],
    ids: tuple[str, ...],
    column_ids: tuple[str, ...],
    what: str,
    *,
    symmetric: bool,
    stacklevel: int,
) -> None:
    """Warn of pairs that have no value: the first few by name, and how many."""
    named: list[str] = []
    total = 0
    for rows, columns in _nan_pairs(values, len(ids), symmetric=symmetric):
        total += len(rows)
        for i, j in zip(rows[:_NAMED].tolist(), columns[:_NAMED].tolist(), strict=True):
            named.append(f"{ids[i]!r} and {column_ids[j]!r}")
    if not total:
        return
    why = "for want of common genes or of repeated alleles"
    warnings.warn(
        f"the {what} is NaN, {why}, of {some_names(named, total)}",
        PyphyloWarning,
        stacklevel=stacklevel + 1,
    )


def _nan_pairs(
    values: NDArray[Any], n: int, *, symmetric: bool
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.intp]]]:
    """Rows and columns of the pairs without a value, each pair once, some at a time."""
    i = np.arange(n)
    # Row i of the upper triangle begins after those of i longer ones.
    begins = i * (2 * n - i - 1) // 2
    flat = values.reshape(-1)
    for start in range(0, flat.size, _SCAN):
        places = np.flatnonzero(np.isnan(flat[start : start + _SCAN])) + start
        if values.ndim == 1:
            rows = np.searchsorted(begins, places, side="right") - 1
            yield rows, places - begins[rows] + rows + 1
            continue
        rows, columns = np.divmod(places, values.shape[1])
        kept = rows < columns if symmetric else np.ones(len(rows), bool)
        yield rows[kept], columns[kept]


def some_names(names: list[str], total: int | None = None) -> str:
    """A few names, and how many more there are."""
    total = len(names) if total is None else total
    listed = ", ".join(names[:_NAMED])
    return listed if total <= _NAMED else f"{listed} and {total - _NAMED} more"
