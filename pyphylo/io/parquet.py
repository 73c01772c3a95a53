"""Parquet matrices: a column ``model``, then one column of numbers an id, in order.

The metadata ``pyphylo-matrix`` states the version of the format; where they do not, it is 1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pyphylo._files import atomic_path
from pyphylo._formats import check_format_version
from pyphylo.errors import FileFormatError
from pyphylo.io._bounded_parquet import read_flat
from pyphylo.io.raw import RawMatrix

if TYPE_CHECKING:
    from pyphylo._matrix import LabelledMatrix

__all__ = ["read", "write"]

_VERSION = 1


def write(matrix: LabelledMatrix, path: Path) -> None:
    """Write `matrix`; kind and provenance go into the file's metadata."""
    arrays = [pa.array(matrix.ids, pa.string()), *(pa.array(row) for row in matrix.values)]
    about = {"version": _VERSION, "kind": matrix.kind, "provenance": matrix.provenance}
    meta = json.dumps(about, sort_keys=True)
    table = pa.Table.from_arrays(arrays, names=["model", *matrix.ids])
    table = table.replace_schema_metadata({"pyphylo-matrix": meta})
    atomic_path(path, lambda part: pq.write_table(table, str(part), compression="zstd"))


def read(path: Path) -> RawMatrix:
    """Read a matrix; rows and columns must name the same models in the same order."""
    try:
        with pa.OSFile(str(path)) as source:
            # Not read_table: a model may be called "model", and columns of one name be two.
            with pq.ParquetFile(source) as handle:
                if handle.metadata.num_rows != handle.metadata.num_columns - 1:
                    raise FileFormatError(
                        f"{str(path)!r}: {handle.metadata.num_rows} rows, but "
                        f"{handle.metadata.num_columns - 1} columns behind 'model'"
                    )
            table = read_flat(path, source)
        models = table.column(0).to_pylist() if table.num_columns else []
    except (FileFormatError, MemoryError):
        raise
    except Exception as error:
        raise FileFormatError(f"{str(path)!r} is not a whole Parquet file: {error}") from None
    meta = _meta(table.schema.metadata or {}, path)
    names = table.schema.names
    if len(names) < 2 or names[0] != "model":
        raise FileFormatError(f"{str(path)!r}: the first column must be 'model', then one an id")
    if models != names[1:]:
        raise FileFormatError(f"{str(path)!r}: rows and columns must name the same models in order")
    columns = []
    for position, name in enumerate(names[1:], 1):
        column = table.column(position)
        if not pa.types.is_floating(column.type) and not pa.types.is_integer(column.type):
            raise FileFormatError(f"{str(path)!r}, column {name!r}: not numbers but {column.type}")
        columns.append(column.to_numpy())
    # Columns of a symmetric matrix are its rows; an asymmetric one is told by the caller's check.
    values = np.stack(columns, axis=1)
    return RawMatrix(names[1:], values, meta.get("kind"), meta.get("provenance", {}))


def _meta(metadata: Mapping[bytes, bytes], path: Path) -> dict[str, Any]:
    """What pyphylo wrote of the matrix; nothing in a file that another program wrote."""
    try:
        meta = dict(json.loads(metadata.get(b"pyphylo-matrix", b"{}")))
    except (ValueError, TypeError, RecursionError):
        raise FileFormatError(f"{str(path)!r}: its metadata are not pyphylo's") from None
    check_format_version(f"matrix file {str(path)!r}", meta.get("version", 1), (_VERSION,))
    return meta
