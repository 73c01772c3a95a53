"""NumPy arrays that are mapped into memory: for matrices larger than it.

``FILE.npy`` holds the numbers, square or condensed, ``FILE.npy.json`` the ids, the kind
and the provenance.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo._files import atomic_path, atomic_write_bytes
from pyphylo._formats import check_format_version
from pyphylo.errors import FileFormatError
from pyphylo.io.raw import RawMatrix

if TYPE_CHECKING:
    from pyphylo._matrix import LabelledMatrix

__all__ = ["read", "replace_numbers", "write", "write_names"]

_FORMAT = "pyphylo-mapped-matrix"
_VERSION = 1


def write(matrix: LabelledMatrix, path: Path) -> None:
    """Write the numbers and, beside them, the names."""
    if not _is_mapped_from(matrix, path):

        def fill(part: Path) -> None:
            with part.open("wb") as handle:
                np.save(handle, matrix.stored, allow_pickle=False)

        replace_numbers(path, fill)
    write_names(matrix, path)


def replace_numbers(path: Path, fill: Callable[[Path], None]) -> None:
    """Let `fill` write an array, which takes the place of the one in `path`, atomically.

    The names of the old one go first. Whoever is killed before the new names are there
    leaves a matrix that is refused, never one whose numbers bear the names of others.
    """

    def fill_and_forget(part: Path) -> None:
        fill(part)
        _beside(path).unlink(missing_ok=True)

    atomic_path(path, fill_and_forget)


def write_names(matrix: LabelledMatrix, path: Path) -> None:
    """Write the file that goes with the numbers in `path`."""
    about = {
        "format": _FORMAT,
        "version": _VERSION,
        "kind": matrix.kind,
        "ids": list(matrix.ids),
        "shape": list(matrix.stored.shape),
        "provenance": matrix.provenance,
    }
    atomic_write_bytes(_beside(path), json.dumps(about, sort_keys=True).encode())


def read(path: Path) -> RawMatrix:
    """Map a matrix that `write` wrote."""
    beside = _beside(path)
    try:
        about = json.loads(beside.read_bytes())
    except FileNotFoundError:
        raise FileFormatError(
            f"{str(path)!r} has no {beside.name!r} beside it, which names its models"
        ) from None
    except (ValueError, RecursionError):
        raise FileFormatError(f"{str(beside)!r} is not JSON") from None
    if not isinstance(about, dict) or about.get("format") != _FORMAT:
        raise FileFormatError(f"{str(beside)!r} does not say what {path.name!r} holds")
    check_format_version(f"matrix file {str(path)!r}", about.get("version"), (_VERSION,))
    if not _names_models(about):
        raise FileFormatError(f"{str(beside)!r} is damaged: it does not name the models")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of headers that Python 2 wrote
            values = np.lib.format.open_memmap(path, mode="r")
    except Exception as error:
        # Headers are read by Python's own tokenizer, which raises what it likes.
        raise FileFormatError(f"{str(path)!r} is not a whole NumPy array: {error}") from None
    if values.dtype not in (np.float32, np.float64) or list(values.shape) != about.get("shape"):
        raise FileFormatError(f"{str(path)!r} is not the array that {beside.name!r} describes")
    return RawMatrix(about["ids"], values, about.get("kind"), about["provenance"], mapped=True)


def _names_models(about: dict[str, Any]) -> bool:
    """Whether what lies beside the numbers is what `write_names` writes."""
    ids = about.get("ids")
    named = isinstance(ids, list) and all(isinstance(name, str) for name in ids)
    return named and isinstance(about.get("provenance"), dict)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _is_mapped_from(matrix: LabelledMatrix, path: Path) -> bool:
    """Whether the numbers are the file's already."""
    source = getattr(matrix.stored, "filename", None)
    return source is not None and path.exists() and Path(source).samefile(path)
