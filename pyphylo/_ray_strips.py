"""Large comparisons over a Ray cluster: rows are computed by its workers and put together here.

The bits are those of one process. What fixes the order of the sums is the plan of the whole
call (which alleles are multiplied densely), so every worker packs the whole table once, by the very
same plan, and computes only some rows of it. Results are sent back and written here: a worker that
was taken for lost and was not has nothing to spoil.
"""

from __future__ import annotations

import platform
import tempfile
import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyphylo import _core
from pyphylo._memory import human_bytes, require_memory
from pyphylo._ray_cluster import POLL_SECONDS, RayCluster, RayOptions, connected, raise_cause
from pyphylo._version import __version__
from pyphylo.errors import PyphyloWarning, WorkError

if TYPE_CHECKING:
    from pyphylo._compare import Comparison

__all__ = ["Call", "compared", "cut_rows", "row_items"]

_PIECE_BYTES = 64 << 20
"""Of results that one task sends back, as far as a strip of rows is not more."""
_PIECES_A_SLOT = 8
"""Tasks that a worker gets at least, where there are so many strips: the last ones end together."""
_TASKS_A_SLOT = 2
"""Handed out at once, so that no worker waits for the next."""

Rows = tuple[int, int]
"""First row, and the one after the last: whole strips of the core's."""


@dataclass(frozen=True)
class Call:
    """A comparison as the core and a worker know it.

    Attributes
    ----------
    split : int
        Models that are rows, the others being columns; -1: all are both.
    twice : bool
        Of a square call: whole rows, each pair computed in both of its rows, as a local call
        writes them to a file. Otherwise rows of the condensed triangle.
    """

    estimator: str
    split: int
    twice: bool
    quantity: str
    floor: float
    dtype: str
    threads: int
    max_memory: int | None = None

    @property
    def triangular(self) -> bool:
        """Whether a row has only the columns after it."""
        return self.split < 0 and not self.twice

    def packed(self, table: _core.AlleleTable, claim: Callable[[int], None]) -> Any:
        """The table, ready for any rows of the call to be computed."""
        return _core.PackedComparison(
            table,
            getattr(_core.Estimator, self.estimator),
            self.split,
            self.twice,
            self.threads,
            getattr(_core.Quantity, self.quantity),
            self.floor,
            self.dtype == "float32",
            claim,
        )


# -- in a worker -----------------------------------------------------------------------


@dataclass(frozen=True)
class _Errand:
    """All that a worker must know; `key` tells runs apart."""

    key: str
    call: Call
    columns: int
    version: str = __version__


_HELD: dict[str, Any] = {}
"""What this process has packed last, by the run's key: the next task needs it again."""


def run_rows(errand: _Errand, table: list[Any], begin: int, end: int) -> tuple[NDArray[Any], bool]:
    """Compute some rows.

    Parameters
    ----------
    errand : _Errand
    table : list of one reference
        To the bytes of a table file, fetched by whoever has not packed it yet.
    begin, end : int

    Returns
    -------
    ndarray of float32 or float64
        As `Call` says, flat.
    bool
        Whether one may be NaN.

    Raises
    ------
    WorkError
        When this machine has another version of pyphylo.
    MemoryError
        When the table does not fit here, with the number of bytes and the machine.
    """
    if errand.version != __version__:
        raise WorkError(
            f"worker {platform.node()!r} has pyphylo {__version__}, the driver {errand.version}: "
            "install one version everywhere"
        )
    call = errand.call
    values = np.empty(row_items(call, errand.columns, begin, end), call.dtype)
    any_nan = _packed_here(errand, table).compute(begin, end, call.threads, values)
    return values, any_nan


def _packed_here(errand: _Errand, table: list[Any]) -> Any:
    """The comparison that this process keeps from task to task."""
    if errand.key not in _HELD:
        import ray

        _HELD.clear()
        _HELD[errand.key] = errand.call.packed(
            _read(ray.get(table[0])), lambda work: _claim(work, errand.call.max_memory)
        )
    return _HELD[errand.key]


def _claim(work: int, limit: int | None) -> None:
    require_memory(work, f"comparisons on worker {platform.node()!r}", limit)


def _read(data: NDArray[np.uint8]) -> _core.AlleleTable:
    """The table in the bytes of a file."""
    with tempfile.NamedTemporaryFile(suffix=".alleles") as file:
        file.write(data.data)
        file.flush()
        return _core.read_table(file.name)[0]


# -- in the driver ---------------------------------------------------------------------


def row_items(call: Call, columns: int, begin: int, end: int) -> int:
    """Results that some rows have; `columns` is the number of models that are columns."""
    if call.triangular:
        return (end - begin) * (2 * columns - begin - end - 1) // 2
    return (end - begin) * columns


def cut_rows(call: Call, rows: int, columns: int, slots: int) -> Iterator[Rows]:
    """Pieces of about as many results each: whole strips, in order, together all rows.

    Parameters
    ----------
    rows, columns : int
        Models.
    slots : int
        Tasks that run at once.
    """
    total = row_items(call, columns, 0, rows)
    most = min(_PIECE_BYTES // np.dtype(call.dtype).itemsize, total // (slots * _PIECES_A_SLOT))
    begin = 0
    for strip in range(0, rows, _core.STRIP_ROWS):
        end = min(strip + _core.STRIP_ROWS, rows)
        after = min(end + _core.STRIP_ROWS, rows)
        if end == rows or row_items(call, columns, begin, after) > most:
            yield begin, end
            begin = end


def compared(
    core: _core.AlleleTable, comparison: Comparison, options: RayOptions
) -> tuple[NDArray[Any], bool]:
    """What `Comparison` computes in this process, computed by a cluster.

    Parameters
    ----------
    core : AlleleTable
        Of all models, rows first.
    comparison : Comparison
    options : RayOptions

    Returns
    -------
    ndarray
        With the bits of a local call.
    bool
        Whether some may be NaN.

    Raises
    ------
    MemoryError
        When the result, what is under way, or a worker's share would not fit.
    WorkError
        When rows lost more workers than they may, or no cluster is there.
    """
    into_file = isinstance(comparison.out, Path)
    square = comparison.other is None
    call = Call(
        comparison.estimator,
        -1 if square else len(comparison.table.models),
        square and into_file and not comparison.condensed,
        comparison.quantity,
        comparison.floor,
        comparison.dtype.name,
        comparison.n_threads or max(1, int(options.num_cpus)),
        comparison.max_memory,
    )
    with connected(options) as cluster:
        run = _Run(core, comparison, call, cluster)
        if isinstance(comparison.out, Path):
            return _into_file(run, comparison, comparison.out), run.any_nan
        given = comparison.out
        values = np.empty(comparison.shape, comparison.dtype) if given is None else given
        if call.triangular and values.ndim == 2:
            np.fill_diagonal(values, 1.0 if call.quantity == "similarity" else 0.0)
            run.finish(lambda rows, part: _mirrored(values, rows, part))
        else:
            flat = values.reshape(-1)
            run.finish(lambda rows, part: _put(flat, run.items_before(rows), part))
        return values, run.any_nan


def _put(flat: NDArray[Any], start: int, part: NDArray[Any]) -> None:
    flat[start : start + len(part)] = part


def _mirrored(values: NDArray[Any], rows: Rows, part: NDArray[Any]) -> None:
    """Rows of the condensed triangle into a square, on both sides of its diagonal."""
    begin, end = rows
    start = 0
    for row in range(begin, end):
        right = values[row, row + 1 :]
        right[:] = part[start : start + len(right)]
        start += len(right)
        values[row + 1 : end, row] = values[row, row + 1 : end]
    values[end:, begin:end] = values[begin:end, end:].T


def _into_file(run: _Run, comparison: Comparison, path: Path) -> NDArray[Any]:
    """Fill a .npy file, which takes its place when it is whole."""
    from pyphylo.io.npy import replace_numbers

    def fill(part: Path) -> None:
        mapped = np.lib.format.open_memmap(part, "w+", comparison.dtype, comparison.shape)
        begin = mapped.offset
        del mapped
        with part.open("r+b") as handle:

            def write(rows: Rows, values: NDArray[Any]) -> None:
                handle.seek(begin + run.items_before(rows) * values.itemsize)
                handle.write(values.data)

            run.finish(write)

    replace_numbers(path, fill)
    mapped: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mapped


class _Run:
    """The tasks of one comparison. Every row is written, under way, or waits."""

    def __init__(
        self, core: _core.AlleleTable, comparison: Comparison, call: Call, cluster: RayCluster
    ) -> None:
        import ray

        self.any_nan = False
        self._call = call
        self._cluster = cluster
        rows = len(comparison.table.models)
        self._columns = rows if comparison.other is None else len(comparison.other.models)
        self._total = row_items(call, self._columns, 0, rows)
        self._waiting = deque(cut_rows(call, rows, self._columns, cluster.slots))
        data = _file_bytes(core)
        self._require_memory(core, comparison, len(data))
        self._table = [ray.put(data)]
        self._errand = ray.put(_Errand(uuid4().hex, call, self._columns))
        self._task = cluster.task(run_rows)
        self._under_way: dict[Any, Rows] = {}
        self._losses: Counter[Rows] = Counter()

    def _require_memory(self, core: _core.AlleleTable, comparison: Comparison, table: int) -> None:
        """State what this process takes, and on a cluster of its own what all of them do."""
        size = comparison.dtype.itemsize
        most = max(row_items(self._call, self._columns, *rows) for rows in self._waiting)
        at_once = min(len(self._waiting), _TASKS_A_SLOT * self._cluster.slots)
        mine = table + at_once * most * size
        comparison._claim(mine)
        if not self._cluster.is_ours:
            return
        call = self._call
        plan = _core.plan_similarity(core, call.split, call.threads, call.twice)
        workers = min(self._cluster.slots, len(self._waiting))
        # A worker has the table besides, and the rows that it computes.
        each = int(plan["bytes"]) + table + most * size
        result = 0 if comparison.out is not None else size * int(np.prod(comparison.shape))
        require_memory(
            result + mine + workers * each,
            f"{workers} workers of {human_bytes(each)} each, and their results,",
        )

    def items_before(self, rows: Rows) -> int:
        """Results of the rows before some."""
        return row_items(self._call, self._columns, 0, rows[0])

    def finish(self, write: Callable[[Rows, NDArray[Any]], None]) -> None:
        """Have all rows computed, each written when it comes."""
        import ray

        try:
            with tqdm(
                total=self._total,
                desc="comparing",
                unit="pair",
                unit_scale=True,
                disable=None,
                delay=0.5,
            ) as bar:
                while self._waiting or self._under_way:
                    self._hand_out()
                    ready, _ = ray.wait(list(self._under_way), timeout=POLL_SECONDS)
                    for task in ready:
                        bar.update(self._end(task, write))
        finally:
            self._cluster.stop(self._under_way)

    def _hand_out(self) -> None:
        while self._waiting and len(self._under_way) < _TASKS_A_SLOT * self._cluster.slots:
            rows = self._waiting.popleft()
            task = self._task.remote(self._errand, self._table, *rows)
            self._under_way[task] = rows

    def _end(self, task: Any, write: Callable[[Rows, NDArray[Any]], None]) -> int:
        """A task is over, well or not; how many results it brought."""
        import ray

        rows = self._under_way.pop(task)
        try:
            values, any_nan = ray.get(task)
        except ray.exceptions.RayTaskError as error:
            raise_cause(error)
        except ray.exceptions.RayError as error:
            self._lose(rows, type(error).__name__)
            return 0
        self.any_nan = self.any_nan or any_nan
        write(rows, values)
        return len(values)

    def _lose(self, rows: Rows, how: str) -> None:
        """A worker is gone: another one computes what it was at."""
        self._losses[rows] += 1
        what = f"rows {rows[0] + 1} to {rows[1]}"
        if self._losses[rows] > self._cluster.max_retries:
            raise WorkError(
                f"{what}: their worker was lost {self._losses[rows]} times ({how}): killed, or out "
                "of memory?"
            )
        warnings.warn(
            f"{what}: their worker was lost ({how}); another one takes them up",
            PyphyloWarning,
            stacklevel=2,
        )
        self._waiting.appendleft(rows)


def _file_bytes(core: _core.AlleleTable) -> NDArray[np.uint8]:
    """The file that a table is saved in."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "table.alleles"
        core.write("{}", str(path))
        return np.fromfile(path, np.uint8)
