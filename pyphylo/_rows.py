"""Rows of alleles, from what people have, as the core takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from pyphylo import _core
from pyphylo._names import check_names, clean_text
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleRule

__all__ = ["RowArrays", "Strings", "add_counts", "gather_records", "string_buffers"]

Strings: TypeAlias = Any
"""A pyarrow large_string array."""

_BATCH = 65_536
"""Records that go to the core at once; no result depends on it."""


@dataclass(frozen=True)
class RowArrays:
    """Row arrays of equal length, checked."""

    models: NDArray[np.int32]
    genes: NDArray[np.int32]
    alleles: Strings
    values: NDArray[Any]

    @classmethod
    def of(
        cls,
        model_idx: ArrayLike,
        gene_idx: ArrayLike,
        alleles: Any,
        values: ArrayLike,
        what: str,
        dtype: type[np.int64] | type[np.float64],
    ) -> RowArrays:
        strings = _large_strings(alleles)
        rows = cls(
            _index_array(model_idx, "model_idx"),
            _index_array(gene_idx, "gene_idx"),
            strings,
            _value_array(values, what, dtype),
        )
        lengths = (len(rows.models), len(rows.genes), len(strings), len(rows.values))
        if len(set(lengths)) != 1:
            raise InputError(
                f"model_idx, gene_idx, alleles and {what} must have one length, not "
                f"{', '.join(map(str, lengths))}"
            )
        return rows

    def batches(self) -> Iterable[RowArrays]:
        """Views of at most 2^24 rows, so that no copy is large."""
        size = 1 << 24
        for start in range(0, len(self.models), size):
            part = slice(start, start + size)
            yield RowArrays(
                self.models[part], self.genes[part], self.alleles[part], self.values[part]
            )


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
        add_counts(self._builder, model_idx, gene_idx, alleles, None)

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


def _large_strings(alleles: Any) -> Strings:
    """Any strings as one Arrow large_string array."""
    if isinstance(alleles, pa.ChunkedArray):
        alleles = alleles.combine_chunks()
    if not isinstance(alleles, pa.Array):
        array = np.asarray(alleles) if isinstance(alleles, np.ndarray) else alleles
        try:
            alleles = pa.array(array, type=pa.large_string(), from_pandas=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError, UnicodeEncodeError) as error:
            raise InputError(f"alleles must be strings: {error}") from None
    if alleles.null_count:
        row = alleles.is_null().to_pylist().index(True)
        raise InputError(f"row {row}: the allele is null; an empty completion is the allele ''")
    return alleles.cast(pa.large_string())


def string_buffers(strings: Strings) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Offsets and bytes of a large_string array, without a copy."""
    _, offsets, data = strings.buffers()
    start, length = strings.offset, len(strings)
    if offsets is None or length == 0:
        return np.zeros(length + 1, np.int64), np.empty(0, np.uint8)
    positions = np.frombuffer(offsets, np.int64)[start : start + length + 1]
    text = np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    return positions, text


def add_counts(
    builder: _core.TableBuilder,
    models: NDArray[np.int32],
    genes: NDArray[np.int32],
    alleles: Strings,
    counts: NDArray[np.int64] | None,
) -> None:
    offsets, data = string_buffers(alleles)
    builder.add_counts(
        models, genes, offsets, data, np.empty(0, np.int64) if counts is None else counts
    )


def _index_array(values: ArrayLike, what: str) -> NDArray[np.int32]:
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise InputError(f"{what} must be a one-dimensional array of whole numbers")
    wide = array.astype(np.int64)
    outside = (wide < 0) | (wide > np.iinfo(np.int32).max)
    if outside.any():
        row = int(outside.argmax())
        raise InputError(f"row {row}: {what} {wide[row]} is not a position")
    return np.ascontiguousarray(wide, dtype=np.int32)


def _value_array(
    values: ArrayLike, what: str, dtype: type[np.int64] | type[np.float64]
) -> NDArray[Any]:
    array = np.asarray(values)
    allowed = "iu" if dtype is np.int64 else "iuf"
    if array.ndim != 1 or (array.size and array.dtype.kind not in allowed):
        kind = "whole numbers" if dtype is np.int64 else "numbers"
        raise InputError(f"{what} must be a one-dimensional array of {kind}")
    return np.ascontiguousarray(array, dtype=dtype)
