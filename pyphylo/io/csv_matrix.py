"""CSV and TSV matrices: header ``model,id1,...``, one row an id, floats that round-trip."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pyphylo._files import atomic_path
from pyphylo.errors import FileFormatError, InputError
from pyphylo.io._spreadsheet import guarded, unguarded
from pyphylo.io.raw import RawMatrix

if TYPE_CHECKING:
    from pyphylo._matrix import LabelledMatrix

__all__ = ["read", "write"]

_FIELD_LIMIT = 1 << 20
"""Longest cell, in characters."""


def _delimiter(path: Path) -> str:
    return "\t" if path.suffix.lower() == ".tsv" else ","


def write(matrix: LabelledMatrix, path: Path) -> None:
    """Write `matrix`, numbers as the shortest decimals that read back to the same bits."""
    for name in matrix.ids:
        if "\0" in name or "\r" in name:
            raise InputError(
                f"{name!r}: CSV and TSV do not keep a zero byte or a carriage return; write .npz"
            )

    def fill(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="") as handle:
            writer = csv.writer(handle, delimiter=_delimiter(path), lineterminator="\n")
            writer.writerow(["model", *map(guarded, matrix.ids)])
            for name, row in zip(matrix.ids, matrix.values, strict=True):
                # As float64, exactly: what is read back equals what a float32 matrix holds.
                writer.writerow([guarded(name), *map(repr, row.tolist())])

    atomic_path(path, fill)


def read(path: Path) -> RawMatrix:
    """Read a matrix; rows and columns must name the same models in the same order."""
    limit = csv.field_size_limit(_FIELD_LIMIT)
    try:
        with path.open(encoding="utf-8-sig", newline="") as handle:
            return _parse(csv.reader(handle, delimiter=_delimiter(path), strict=True), path)
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{str(path)!r} is not UTF-8 text: {error}") from None
    except csv.Error as error:
        raise FileFormatError(f"{str(path)!r} is malformed: {error}") from None
    finally:
        csv.field_size_limit(limit)


def _parse(reader: csv._reader, path: Path) -> RawMatrix:  # type: ignore[name-defined]
    header = next(reader, None)
    if not header or len(header) < 2:
        raise FileFormatError(
            f"{str(path)!r}: the first line must be 'model', then one id a column"
        )
    ids = list(map(unguarded, header[1:]))
    # Before the square is allocated: each of its cells takes a character and a separator.
    if path.is_file() and path.stat().st_size < 2 * len(ids) ** 2:
        raise FileFormatError(
            f"{str(path)!r}: the matrix is not square: {len(ids)} columns, and too few bytes for "
            "as many rows"
        )
    values = np.empty((len(ids), len(ids)))
    row = 0
    for fields in reader:
        if not fields:
            continue
        where = f"{str(path)!r}, line {reader.line_num}"
        if row == len(ids):
            raise FileFormatError(f"{where}: a row more than the {len(ids)} columns")
        if unguarded(fields[0]) != ids[row]:
            raise FileFormatError(
                f"{where}: the row is of {fields[0]!r}, but column {row + 1} is of {ids[row]!r}; "
                "rows and columns must be in the same order"
            )
        if len(fields) != len(header):
            raise FileFormatError(f"{where}: {len(fields) - 1} numbers, not {len(ids)}")
        for column, text in enumerate(fields[1:]):
            try:
                # Python alone reads 1_0 as ten.
                values[row, column] = float(text.replace("_", "?"))
            except ValueError:
                raise FileFormatError(
                    f"{where}, column {ids[column]!r}: {text!r} is not a number"
                ) from None
        row += 1
    if row != len(ids):
        raise FileFormatError(f"{str(path)!r}: the matrix is not square: {row} x {len(ids)}")
    return RawMatrix(ids, values)
