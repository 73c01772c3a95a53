"""Rows of alleles, from what people have, as the core takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from pyphylo import _core
from pyphylo._memory import require_memory
from pyphylo._names import check_names, clean_text
from pyphylo._texts import Strings, Texts, allele_column, texts_of
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleRule

__all__ = ["RowArrays", "add_counts", "gather_records", "require_rows"]

_BATCH = 65_536
"""Records that go to the core at once; no result depends on it."""
_SLICE = 1 << 17
"""Rows of arrays that go to the core at once: converted, they fit a second-level cache."""


@dataclass(frozen=True)
class RowArrays:
    """Row arrays of equal length, checked: positions in models and genes, texts, numbers."""

    models: NDArray[Any]
    genes: NDArray[Any]
    alleles: Texts
    values: Mapping[str, NDArray[Any]]

    @classmethod
    def of(
        cls,
        models: tuple[Sequence[str], ArrayLike],
        genes: tuple[Sequence[str], ArrayLike],
        alleles: Any,
        **values: ArrayLike,
    ) -> RowArrays:
        """Check all rows before any is used.

        Parameters
        ----------
        models, genes : (names, array of int)
            The names, and each row's position in them.
        alleles : sequence of str
        values : array of numbers
            By name; "counts" are whole, others lie in 0..1.
        """
        rows = cls(
            _index_array(models[1], len(models[0]), "model"),
            _index_array(genes[1], len(genes[0]), "gene"),
            texts_of(alleles),
            {
                what: _count_array(given) if what == "counts" else _fraction_array(given, what)
                for what, given in values.items()
            },
        )
        lengths = [len(rows.models), len(rows.genes), len(rows.alleles)]
        lengths += [len(array) for array in rows.values.values()]
        if len(set(lengths)) != 1:
            raise InputError(
                f"model_idx, gene_idx, alleles and {' and '.join(values)} must have one length, "
                f"not {', '.join(map(str, lengths))}"
            )
        return rows

    def add_to(self, builder: _core.TableBuilder, add: Callable[..., None]) -> None:
        """Call add(models, genes, alleles, *values, first_row) with slices that fit a cache."""
        for start in range(0, len(self.models), _SLICE):
            part = slice(start, min(start + _SLICE, len(self.models)))
            require_rows(builder, part.stop - start)
            add(
                np.ascontiguousarray(self.models[part], dtype=np.int32),
                np.ascontiguousarray(self.genes[part], dtype=np.int32),
                self.alleles.column(start, part.stop),
                *(
                    np.ascontiguousarray(
                        array[part], dtype=np.int64 if what == "counts" else np.float64
                    )
                    for what, array in self.values.items()
                ),
                start,
            )


def require_rows(builder: _core.TableBuilder, rows: int) -> None:
    """Raise MemoryError unless a table of the builder's rows, and so many more, can be made."""
    require_memory(builder.peak_bytes(rows), "the rows of the allele table read so far")


def gather_records(records: Any, rule: AlleleRule) -> _core.AlleleTable:
    """Count the alleles of (model, gene, completion) rows, or of an Arrow stream of them."""
    gatherer = _RecordGatherer(rule)
    if hasattr(records, "__arrow_c_stream__"):
        for batch in _arrow_batches(records):
            gatherer.add(*(batch.column(name) for name in ("model", "gene", "completion")))
    else:
        rows = iter(records)
        while chunk := list(islice(rows, _BATCH)):
            gatherer.add(*_columns_of(chunk))
    return gatherer.finish()


class _RecordGatherer:
    """Numbers models and genes as they appear and hands batches to the core."""

    def __init__(self, rule: AlleleRule) -> None:
        self._rule = rule
        self._builder = _core.TableBuilder()
        self._models: dict[str, int] = {}
        self._genes: dict[str, int] = {}

    def add(self, models: Any, genes: Any, completions: Any) -> None:
        alleles = self._rule.apply(completions)
        model_idx = _number(models, self._models, self._builder.add_models, "model")
        gene_idx = _number(genes, self._genes, self._builder.add_genes, "gene")
        add_counts(self._builder, model_idx, gene_idx, alleles)

    def finish(self) -> _core.AlleleTable:
        return self._builder.finish()


def _number(names: Any, known: dict[str, int], announce: Any, what: str) -> NDArray[np.int32]:
    """Position of each name among all names so far, new ones announced to the core."""
    encoded = names.dictionary_encode()
    fresh = [name for name in encoded.dictionary.to_pylist() if name not in known]
    for name in check_names(fresh, what):
        known[name] = len(known)
    announce(fresh)
    position = np.array([known[n] for n in encoded.dictionary.to_pylist()], dtype=np.int32)
    indices: NDArray[np.int32] = position[encoded.indices.to_numpy(zero_copy_only=False)]
    return indices


def _columns_of(rows: list[Any]) -> tuple[Any, Any, Any]:
    """Arrow columns of (model, gene, completion) tuples."""
    for row in rows:
        fits = not isinstance(row, Mapping) and len(row) == 3
        if not fits or not all(isinstance(field, str) for field in row):
            raise InputError(f"a record must be (model, gene, completion), three strings: {row!r}")
    models, genes, texts = zip(*rows, strict=True)
    return pa.array(models), pa.array(genes), pa.array([clean_text(text) for text in texts])


def _arrow_batches(records: Any) -> Iterable[Any]:
    reader = pa.RecordBatchReader.from_stream(records)
    missing = {"model", "gene", "completion"} - set(reader.schema.names)
    if missing:
        raise InputError(f"the records lack the columns {sorted(missing)}")
    for batch in reader:
        if any(batch.column(name).null_count for name in ("model", "gene", "completion")):
            raise InputError("the records hold nulls in model, gene or completion: drop those rows")
        yield batch


def add_counts(
    builder: _core.TableBuilder,
    models: NDArray[np.int32],
    genes: NDArray[np.int32],
    alleles: Strings,
) -> None:
    """Add one probe for each row of a few; `alleles` is an Arrow array."""
    require_rows(builder, len(models))
    builder.add_counts(models, genes, allele_column(alleles), np.empty(0, np.int64))


def _index_array(values: ArrayLike, limit: int, what: str) -> NDArray[Any]:
    """Positions in names, of the type they came in."""
    array = _numbers(values, "iu", f"{what}_idx", "whole numbers")
    if array.size and (array.min() < 0 or array.max() >= limit):
        row = int(((array < 0) | (array >= limit)).argmax())
        if array[row] < 0:
            raise InputError(f"row {row}: {what}_idx {array[row]} is not a position")
        raise InputError(f"row {row}: {what} index {array[row]} is not in 0..{limit - 1}")
    return array


def _count_array(values: ArrayLike) -> NDArray[Any]:
    array = _numbers(values, "iu", "counts", "whole numbers")
    most = np.iinfo(np.int32).max
    if array.size and (array.min() < 0 or array.max() > most):
        row = int(((array < 0) | (array > most)).argmax())
        raise InputError(f"row {row}: count {array[row]} is not in 0..{most}")
    return array


def _fraction_array(values: ArrayLike, what: str) -> NDArray[Any]:
    array = _numbers(values, "iuf", what, "numbers")
    if array.size and not (array.min() >= 0 and array.max() <= 1):
        row = int((~((array >= 0) & (array <= 1))).argmax())
        one = {"probabilities": "probability", "undecided": "undecided mass"}[what]
        raise InputError(f"row {row}: {one} {array[row]} is not in 0..1")
    return array


def _numbers(values: ArrayLike, kinds: str, what: str, noun: str) -> NDArray[Any]:
    try:
        array = np.asarray(values)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{what} must be a one-dimensional array of {noun}: {error}") from None
    if array.ndim != 1 or (array.size and array.dtype.kind not in kinds):
        raise InputError(f"{what} must be a one-dimensional array of {noun}")
    return array if array.size else np.empty(0, np.int64)
