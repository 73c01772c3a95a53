"""Parquet from anyone: what its footer promises is held against its size before it is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pyphylo._expansion import check_expansion
from pyphylo.errors import FileFormatError

__all__ = ["check_rows", "decoded_strings", "packed_size", "read_flat"]

_WIDTH = 8
"""Bytes of a number, or of where a text begins."""
_TEXTS = ("string", "binary", "large_string", "large_binary", "string_view", "binary_view")


def packed_size(source: Any) -> int:
    """The bytes of a file that is named, or in memory."""
    return Path(source).stat().st_size if isinstance(source, (str, Path)) else int(source.size())


def check_rows(path: str | Path, handle: pq.ParquetFile, packed: int, width: int) -> None:
    """Refuse more rows than a file of its size holds: few bytes can repeat a value for ever.

    `width` is the bytes of a row: of each column 8, or what a value has where that is fixed.
    """
    meta = handle.metadata
    groups = (meta.row_group(i).total_byte_size for i in range(meta.num_row_groups))
    check_expansion(path, packed, max(meta.num_rows * width, sum(groups)))


def decoded_strings(path: str | Path, column: Any, packed: int) -> Any:
    """A column that was read as dictionaries, as strings: each repeated as often as it occurs."""
    if not pa.types.is_dictionary(column.type):
        return column
    total = 0
    for chunk in column.chunks:
        lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
        total += pc.sum(lengths.take(chunk.indices)).as_py() or 0
        check_expansion(path, packed, total)
    return column.cast(column.type.value_type)


def read_flat(path: str | Path, source: Any, *, unread: str = "(nested)") -> pa.Table:
    """All columns of a file; in place of lists and other nested ones, a column of `unread`.

    Raises
    ------
    FileFormatError
        When it would come to far more than its size, or than there is memory.
    Exception
        When it is no whole Parquet file: `pyarrow.ArrowException` and `OSError`, but names
        that are no UTF-8 raise `UnicodeDecodeError`, and dates without a year `OverflowError`.
    """
    packed = packed_size(source)
    with pq.ParquetFile(source) as handle:
        schema, rows = handle.schema_arrow, handle.metadata.num_rows
        check_rows(path, handle, packed, sum(_width(field.type) for field in schema))
    texts = [field.name for field in schema if _is_text(field.type)]
    flat = [i for i, field in enumerate(schema) if not pa.types.is_nested(field.type)]
    with pq.ParquetFile(source, read_dictionary=texts) as handle:
        try:
            read = _read(handle, schema, flat)
        except pa.ArrowMemoryError as error:
            # The footer's sizes were plausible: a page's own header promises more.
            raise FileFormatError(
                f"{str(path)!r} is damaged, or this process has too little memory for it: {error}"
            ) from None
    if len(read) != len(flat):
        raise FileFormatError(f"{str(path)!r}: some of its columns have one name")
    columns = dict(zip(flat, read, strict=True))
    arrays = [
        decoded_strings(path, columns[i], packed)
        if i in columns
        else pa.chunked_array([pa.repeat(unread, rows)])
        for i in range(len(schema))
    ]
    return pa.Table.from_arrays(arrays, names=schema.names, metadata=schema.metadata)


def _read(handle: pq.ParquetFile, schema: Any, flat: Sequence[int]) -> list[Any]:
    """Columns by position: names may be empty, or occur twice."""
    if len(flat) == len(schema):
        return list(handle.read(use_threads=False).columns)
    names = [schema.names[i] for i in flat]
    return list(handle.read(columns=names, use_threads=False).columns)


def _is_text(kind: Any) -> bool:
    # Older versions of pyarrow know no views.
    return any(getattr(pa.types, f"is_{text}", _is_none)(kind) for text in _TEXTS)


def _is_none(kind: Any) -> bool:
    return False


def _width(kind: Any) -> int:
    """Bytes of a value, or more; of a text, those of where it begins."""
    fixed = pa.types.is_fixed_size_binary(kind) and not pa.types.is_decimal(kind)
    return max(_WIDTH, kind.byte_width) if fixed else _WIDTH
