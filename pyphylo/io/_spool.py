"""Rows put aside by model, in memory while they are few and then in a file without a name.

Rows of a model are added in any order among those of others and come back in their own. The
file is a row of segments, each of one model and with the place of that model's segment before
it: in memory is one number a model, and the rows that no segment holds yet.
"""

from __future__ import annotations

import os
import struct
import tempfile
from array import array
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pyphylo._files import naming
from pyphylo._names import clean_text

__all__ = ["Spool", "scratch_folder"]

_ROWS = 1 << 18
_CHARACTERS = 1 << 25
"""Rows and characters that are held before they become segments."""
_FILE_FROM = 1 << 26
"""Bytes of segments that stay in memory."""
_HEADER = struct.Struct("<qqq")
"""Of a segment: where the model's last one is (-1: none), rows, bytes of text."""


class Spool:
    """Rows (model, gene, text), the first two as numbers from 0 on.

    Parameters
    ----------
    folder : Path
        Where the file is made. It goes with the process, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = tempfile.SpooledTemporaryFile(_FILE_FROM, dir=str(folder))  # noqa: SIM115
        self._end = 0
        self._last = array("q")
        self._begin()

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def _begin(self) -> None:
        self._models = array("i")
        self._genes = array("i")
        self._texts: list[str] = []
        self._characters = 0

    def add(self, model: int, gene: int, text: str) -> None:
        """Add a row."""
        self._models.append(model)
        self._genes.append(gene)
        self._texts.append(text)
        self._characters += len(text)
        if len(self._texts) >= _ROWS or self._characters >= _CHARACTERS:
            self._put_aside()

    def rows(self, model: int) -> tuple[NDArray[np.int32], Any]:
        """Genes and texts of a model, in the order that they were added in.

        Returns
        -------
        genes : (n,) int32
        texts : pyarrow.ChunkedArray of string
        """
        self._put_aside()
        with naming(self._folder):
            return self._joined(self._last[model] if model < len(self._last) else -1)

    def _joined(self, place: int) -> tuple[NDArray[np.int32], Any]:
        """The segments of a model, of which the last is at a place."""
        genes, texts = [], []
        while place >= 0:
            self._file.seek(place)
            place, n_rows, n_bytes = _HEADER.unpack(self._file.read(_HEADER.size))
            genes.append(np.frombuffer(self._file.read(4 * n_rows), np.int32))
            offsets = self._file.read(4 * (n_rows + 1))
            data = self._file.read(n_bytes)
            buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
            texts.append(pa.Array.from_buffers(pa.string(), n_rows, buffers))
        found = np.concatenate([np.empty(0, np.int32), *reversed(genes)])
        return found, pa.chunked_array(texts[::-1], pa.string())

    def _put_aside(self) -> None:
        """Make a segment of each model that rows are held of."""
        if not self._texts:
            return
        models = np.frombuffer(self._models, np.int32)
        order = np.argsort(models, kind="stable")
        models = models[order]
        genes = np.frombuffer(self._genes, np.int32)[order]
        texts = _strings(self._texts).take(pa.array(order))
        _, offsets, data = texts.buffers()
        ends = np.frombuffer(offsets, np.int32, len(order) + 1)
        text = memoryview(data) if data is not None else memoryview(b"")
        starts = np.flatnonzero(np.r_[True, models[1:] != models[:-1]]).tolist()
        self._last.extend([-1] * (int(models[-1]) + 1 - len(self._last)))
        parts: list[Any] = []
        for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
            model, first, last = int(models[start]), int(ends[start]), int(ends[stop])
            parts += (
                _HEADER.pack(self._last[model], stop - start, last - first),
                genes[start:stop].tobytes(),
                (ends[start : stop + 1] - ends[start]).tobytes(),
                text[first:last],
            )
            self._last[model] = self._end
            self._end += _HEADER.size + 4 * (2 * (stop - start) + 1) + last - first
        with naming(self._folder):
            self._file.seek(0, os.SEEK_END)
            self._file.write(b"".join(parts))
        self._begin()


def _strings(texts: list[str]) -> Any:
    """The texts as an Arrow array; half a character becomes U+FFFD."""
    try:
        return pa.array(texts, pa.string())
    except UnicodeEncodeError:
        return pa.array([clean_text(text) for text in texts], pa.string())


def scratch_folder(near: Path) -> Path:
    """The folder that is or will be above a path, where it may be written to; else the system's."""
    folder = near.absolute().parent
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder if os.access(folder, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
