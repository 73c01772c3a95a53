"""NumPy archives: never refuses a name, keeps every bit and the provenance.

Arrays: ``values`` (square), ``ids`` (text), ``id_bytes`` and ``id_offsets`` (the same ids as
UTF-8, which keeps what NumPy's fixed-width text would trim), ``meta`` (JSON). No pickle.
"""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._files import atomic_path
from pyphylo._formats import check_format_version
from pyphylo.errors import FileFormatError
from pyphylo.io._archive import read_arrays
from pyphylo.io.raw import RawMatrix

if TYPE_CHECKING:
    from pyphylo._matrix import LabelledMatrix

__all__ = ["read", "write"]

_FORMAT = "pyphylo-matrix"
_VERSION = 1


def write(matrix: LabelledMatrix, path: Path) -> None:
    """Write `matrix`; the same matrix gives the same bytes."""
    encoded = [name.encode() for name in matrix.ids]
    offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
    meta = {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": matrix.kind,
        "provenance": matrix.provenance,
    }
    arrays = {
        "values": matrix.values,
        "ids": np.array(matrix.ids, dtype=np.str_),
        "id_bytes": np.frombuffer(b"".join(encoded), np.uint8),
        "id_offsets": offsets,
        "meta": np.frombuffer(json.dumps(meta, sort_keys=True).encode(), np.uint8),
    }

    def fill(part: Path) -> None:
        with part.open("wb") as handle:
            np.savez(handle, **arrays)  # type: ignore[arg-type]

    atomic_path(path, fill)


def read(path: Path) -> RawMatrix:
    """Read any archive with ``values`` and ``ids``; pyphylo's own say more."""
    with path.open("rb") as handle:
        arrays = read_arrays(path, handle)
    if "values" not in arrays or not (
        "ids" in arrays or arrays.keys() >= {"id_bytes", "id_offsets"}
    ):
        raise FileFormatError(f"{str(path)!r} lacks the arrays 'values' and 'ids'")
    meta = _meta(arrays, path)
    return RawMatrix(
        _ids(arrays, path), arrays["values"], meta.get("kind"), meta.get("provenance", {})
    )


def _meta(arrays: dict[str, NDArray[Any]], path: Path) -> dict[str, Any]:
    if "meta" not in arrays:
        return {}
    try:
        meta = json.loads(arrays["meta"].tobytes())
    except (ValueError, RecursionError):
        raise FileFormatError(f"{str(path)!r}: its 'meta' is not JSON") from None
    if not isinstance(meta, dict) or meta.get("format") != _FORMAT:
        raise FileFormatError(f"{str(path)!r} is not a matrix file of pyphylo")
    check_format_version(f"matrix file {str(path)!r}", meta.get("version"), (_VERSION,))
    return meta


def _ids(arrays: dict[str, NDArray[Any]], path: Path) -> list[str]:
    if not arrays.keys() >= {"id_bytes", "id_offsets"}:
        return [str(name) for name in arrays["ids"].ravel().tolist()]
    data, offsets = arrays["id_bytes"].tobytes(), arrays["id_offsets"].tolist()
    try:
        return [data[a:b].decode() for a, b in itertools.pairwise(offsets)]
    except (UnicodeDecodeError, TypeError):
        raise FileFormatError(f"{str(path)!r}: its ids are damaged") from None
