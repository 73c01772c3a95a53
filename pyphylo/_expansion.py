"""Limits on what compressed files of others may unpack to."""

from __future__ import annotations

import gzip
import io
from pathlib import Path
from typing import IO

from pyphylo.errors import FileFormatError

__all__ = ["FREE", "GZIP_MAGIC", "TIMES", "check_expansion", "gunzipped"]

GZIP_MAGIC = b"\x1f\x8b"

FREE = 256 << 20
"""Bytes that any file may unpack to."""
TIMES = 200
"""And beyond them this many times its size. Text packs to a tenth, repeated text to a fiftieth."""


def check_expansion(path: str | Path, packed: int, unpacked: int) -> None:
    """Refuse a file that unpacks to far more than it is.

    Parameters
    ----------
    path : str or Path
        What the error names.
    packed, unpacked : int
        Bytes.

    Raises
    ------
    FileFormatError
    """
    if unpacked > FREE and unpacked > TIMES * packed:
        raise FileFormatError(
            f"{str(path)!r} unpacks to more than {unpacked >> 20} MiB, over {TIMES} times its "
            "size: it is damaged, or made to fill the memory; if you trust it, pass it unpacked"
        )


class _Counting(io.RawIOBase):
    """A stream that counts what was read from it."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__()
        self._stream = stream
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        """Bytes, counted."""
        data = self._stream.read(size)
        self.count += len(data)
        return data


class _Gunzipped(io.RawIOBase):
    """What a gzip stream unpacks to, checked while it is read; it may be a pipe."""

    def __init__(self, path: str | Path, packed: IO[bytes]) -> None:
        super().__init__()
        self._path = path
        self._packed = _Counting(packed)
        self._unpacked = gzip.GzipFile(fileobj=self._packed, mode="rb")
        self._count = 0

    def readable(self) -> bool:
        """Yes."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill a buffer."""
        size: int = self._unpacked.readinto(buffer)
        self._count += size
        check_expansion(self._path, self._packed.count, self._count)
        return size


def gunzipped(path: str | Path, packed: IO[bytes]) -> io.BufferedReader:
    """The bytes that a gzip stream unpacks to, refused as by `check_expansion`.

    Raises `EOFError`, `zlib.error` or `gzip.BadGzipFile` where it is damaged.
    """
    return io.BufferedReader(_Gunzipped(path, packed), 1 << 17)
