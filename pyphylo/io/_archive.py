"""Archives of NumPy arrays from anyone: read without pickle, and no further than they say."""

from __future__ import annotations

import io
import math
import sys
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pyphylo._expansion import check_expansion
from pyphylo.errors import FileFormatError

__all__ = ["read_arrays"]

_PLAIN = "biufcSU"
"""Kinds of arrays that are numbers or text."""

_PART = 1 << 20


def read_arrays(path: str | Path, source: IO[bytes]) -> dict[str, NDArray[Any]]:
    """The arrays of a ``.npz`` file, by name.

    A member's header is held against its length before anything is allocated, and the whole
    against the file's size.

    Parameters
    ----------
    path : str or Path
        What errors name.
    source : file
        Seekable.

    Raises
    ------
    FileFormatError
        When it is no whole archive of plain arrays, or unpacks to far more than it is.
    """
    packed = source.seek(0, io.SEEK_END)
    source.seek(0)
    try:
        with zipfile.ZipFile(source) as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            members = archive.infolist()
            check_expansion(path, packed, sum(member.file_size for member in members))
            return {m.filename.removesuffix(".npy"): _array(archive, m) for m in members}
    except (FileFormatError, MemoryError):
        raise
    except Exception as error:
        # NumPy evaluates headers as Python's tokenizer and parser let it, and zipfile has
        # errors of its own: whatever they raise, it is the file.
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        raise FileFormatError(f"{str(path)!r} is not a whole NumPy archive: {reason}") from None


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    with archive.open(member) as handle:
        version = npy.read_magic(handle)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{member.filename!r} is of version {version}")
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read_header(handle)
        is_plain = dtype.kind in _PLAIN and all(type(n) is int and n >= 0 for n in shape)
        if not is_plain:
            raise ValueError(f"{member.filename!r} holds no plain numbers or text")
        size = math.prod(shape) * dtype.itemsize
        if handle.tell() + size != member.file_size:
            raise ValueError(f"{member.filename!r} has {member.file_size} bytes, not {size}")
        data = _filled(handle, size)
    array: NDArray[Any] = np.frombuffer(data, dtype, math.prod(shape))
    if dtype.kind == "U":
        _check_characters(np.frombuffer(data, np.dtype(np.uint32).newbyteorder(dtype.byteorder)))
    return array.reshape(shape, order="F" if fortran else "C")


def _check_characters(points: NDArray[np.uint32]) -> None:
    """Refuse what Unicode lacks: NumPy makes strings of it that break whatever encodes them."""
    if points.max(initial=0) > sys.maxunicode:
        raise ValueError("a text holds what is no character")


def _filled(handle: IO[bytes], size: int) -> bytearray:
    """The rest of a member, of so many bytes: held once, and read to its end, where its sum is."""
    data = bytearray(size)
    at = 0
    while part := handle.read(_PART):
        if at + len(part) > size:
            raise ValueError("a member is longer than it says")
        data[at : at + len(part)] = part
        at += len(part)
    if at < size:
        raise ValueError("a member is shorter than it says")
    return data
