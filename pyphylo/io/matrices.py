"""Matrix files by suffix."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pyphylo._files import close_paths, naming
from pyphylo.errors import FileFormatError, InputError
from pyphylo.io.raw import RawMatrix

if TYPE_CHECKING:
    from pyphylo._matrix import LabelledMatrix

__all__ = ["MATRIX_SUFFIXES", "check_matrix_path", "read_matrix", "write_matrix"]

MATRIX_SUFFIXES = {
    ".npz": "pyphylo.io.npz",
    ".npy": "pyphylo.io.npy",
    ".phy": "pyphylo.io.phylip",
    ".csv": "pyphylo.io.csv_matrix",
    ".tsv": "pyphylo.io.csv_matrix",
    ".parquet": "pyphylo.io.parquet",
}


def check_matrix_path(path: str | Path) -> str:
    """The suffix of a matrix file, refused where no format has it."""
    suffix = Path(path).suffix.lower()
    if suffix not in MATRIX_SUFFIXES:
        raise InputError(
            f"{str(path)!r}: a matrix file ends in {' '.join(MATRIX_SUFFIXES)}, not {suffix!r}"
        )
    return suffix


def read_matrix(path: str | Path, kind: str, *, strict: bool = False) -> RawMatrix:
    """Ids and numbers of a matrix file, unchecked but for its form.

    Raises
    ------
    FileFormatError
        When the file is not of its format, or says that it holds another kind.
    """
    suffix = check_matrix_path(path)
    if Path(path).is_dir():
        raise InputError(f"matrix file {str(path)!r} is a folder")
    if not Path(path).exists():
        raise InputError(f"matrix file {str(path)!r} does not exist{close_paths(path)}")
    read: Callable[..., RawMatrix] = import_module(MATRIX_SUFFIXES[suffix]).read
    with naming(path):
        raw = read(Path(path), **_options(path, suffix, strict))
    if not isinstance(raw.provenance, dict):
        raise FileFormatError(f"{str(path)!r}: its provenance is no JSON object")
    if raw.kind is not None and raw.kind != kind:
        raise FileFormatError(
            f"{str(path)!r} holds a {raw.kind} matrix where a {kind} matrix is wanted"
        )
    return raw


def write_matrix(matrix: LabelledMatrix, path: str | Path, *, strict: bool = False) -> None:
    """Write a matrix file; it is replaced atomically.

    Raises
    ------
    InputError
        When the format cannot hold a model's name; the reason is given.
    """
    suffix = check_matrix_path(path)
    write: Callable[..., None] = import_module(MATRIX_SUFFIXES[suffix]).write
    write(matrix, Path(path), **_options(path, suffix, strict))


def _options(path: str | Path, suffix: str, strict: bool) -> dict[str, bool]:
    if strict and suffix != ".phy":
        raise InputError(f"{str(path)!r}: strict is of PHYLIP files; name it .phy")
    return {"strict": True} if strict else {}
