"""Alleles in whatever form people have them, handed to the core a slice at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo.errors import InputError

__all__ = ["Strings", "Texts", "allele_column", "one_array", "texts_of"]

Strings: TypeAlias = Any
"""A pyarrow string, large_string or dictionary array of strings."""


class Texts:
    """Texts that are read a slice at a time.

    Parameters
    ----------
    size : int
    column : callable
        The texts of rows [start, stop) as the core takes them.
    """

    def __init__(self, size: int, column: Callable[[int, int], _core.AlleleColumn]) -> None:
        self._size = size
        self.column = column

    def __len__(self) -> int:
        return self._size


def texts_of(alleles: Any) -> Texts:
    """Any sequence of strings: Arrow, NumPy (str, StringDType, object), pandas, lists.

    Raises
    ------
    InputError
        When they cannot be strings; a null, or a value that is no string, is
        found when its slice is read, and named by its row.
    """
    if isinstance(alleles, str):
        raise InputError(f"alleles must be a sequence of strings, not one string {alleles!r}")
    if isinstance(alleles, pa.Array):
        return _arrow_texts(pa.chunked_array([alleles]))
    if hasattr(alleles, "__arrow_c_stream__"):
        try:
            return _arrow_texts(pa.chunked_array(alleles))
        except pa.ArrowException as error:
            raise InputError(f"alleles must be strings: {error}") from None
    if hasattr(alleles, "__array__"):
        return _numpy_texts(np.asarray(alleles))
    return _python_texts(alleles if isinstance(alleles, Sequence) else list(alleles))


def one_array(chunked: Any) -> Any:
    """A pyarrow chunked array as one array; no copy where it has one chunk."""
    if chunked.num_chunks == 1:
        return chunked.chunk(0)
    if pa.types.is_dictionary(chunked.type):
        chunked = chunked.unify_dictionaries()
    return pa.concat_arrays(chunked.chunks) if chunked.chunks else pa.array([], chunked.type)


def allele_column(strings: Strings) -> _core.AlleleColumn:
    """The core's view of an Arrow array without nulls; no copy but of view and odd types."""
    if pa.types.is_dictionary(strings.type):
        codes = strings.indices.to_numpy(zero_copy_only=False).astype(np.int32, copy=False)
        values = strings.dictionary.cast(pa.large_string())
        return _core.AlleleColumn.dictionary(codes, *_buffers(values, np.int64))
    if pa.types.is_string(strings.type):
        return _core.AlleleColumn.utf8(*_buffers(strings, np.int32))
    return _core.AlleleColumn.utf8(*_buffers(strings.cast(pa.large_string()), np.int64))


def _buffers(
    strings: Strings, offset_type: type[np.int32] | type[np.int64]
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Offsets and bytes of an Arrow string array, without a copy."""
    _, offsets, data = strings.buffers()
    start, length = strings.offset, len(strings)
    if offsets is None or length == 0:
        return np.zeros(length + 1, offset_type), np.empty(0, np.uint8)
    positions = np.frombuffer(offsets, offset_type)[start : start + length + 1]
    return positions, np.empty(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)


def _arrow_texts(strings: Any) -> Texts:
    if len(strings) == 0:
        strings = pa.chunked_array([], pa.large_string())
    kind = strings.type.value_type if pa.types.is_dictionary(strings.type) else strings.type
    if not _is_text(kind) and not pa.types.is_null(kind):
        raise InputError(f"alleles must be strings, not Arrow's {kind}")
    if pa.types.is_dictionary(strings.type):
        strings = _plain_dictionaries(strings)
    if strings.null_count:
        row = strings.is_null().to_pylist().index(True)
        raise _null(row)

    def column(start: int, stop: int) -> _core.AlleleColumn:
        return allele_column(one_array(strings.slice(start, stop - start)))

    return Texts(len(strings), column)


def _is_text(kind: Any) -> bool:
    view = getattr(pa.types, "is_string_view", lambda _: False)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or view(kind))


def _plain_dictionaries(strings: Any) -> Any:
    """The chunks with dictionaries of large strings; decoded where a dictionary holds nulls."""
    if any(chunk.dictionary.null_count for chunk in strings.chunks):
        return strings.cast(pa.large_string())
    return pa.chunked_array(
        pa.DictionaryArray.from_arrays(
            chunk.indices.cast(pa.int32()), chunk.dictionary.cast(pa.large_string())
        )
        for chunk in strings.chunks
    )


def _numpy_texts(array: NDArray[Any]) -> Texts:
    if array.ndim != 1:
        raise InputError(f"alleles must be one-dimensional, not of shape {array.shape}")
    if array.dtype.kind != "U":
        return _python_texts(array)
    width = max(1, array.dtype.itemsize // 4)

    def column(start: int, stop: int) -> _core.AlleleColumn:
        part = np.ascontiguousarray(array[start:stop], dtype=f"=U{width}")
        return _core.AlleleColumn.ucs4(part.view(np.uint32), width)

    return Texts(len(array), column)


def _python_texts(values: Any) -> Texts:
    """Python strings, through Arrow; also NumPy's StringDType, which Arrow reads directly."""

    def column(start: int, stop: int) -> _core.AlleleColumn:
        part = values[start:stop]
        try:
            strings = pa.array(part, type=pa.large_string(), from_pandas=False)
        except (pa.ArrowException, TypeError, UnicodeEncodeError):
            strings = _one_by_one(part, start)
        if strings.null_count:
            raise _null(start + strings.is_null().to_pylist().index(True))
        return allele_column(strings)

    return Texts(len(values), column)


def _one_by_one(values: Any, start: int) -> Strings:
    """The values as Arrow strings, the first that is none refused by its row."""
    texts = list(values)
    for row, text in enumerate(texts, start):
        if text is None:
            raise _null(row)
        if not isinstance(text, str):
            raise InputError(f"row {row}: alleles must be strings, not {text!r}")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(
                f"row {row}: the allele {text!r} holds half a surrogate pair"
            ) from None
    return pa.array(texts, type=pa.large_string())


def _null(row: int) -> InputError:
    return InputError(f"row {row}: the allele is null; an empty completion is the allele ''")
