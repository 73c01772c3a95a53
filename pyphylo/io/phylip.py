"""PHYLIP distance matrices, relaxed and strict.

Relaxed names are of any length, without white space; strict ones fill ten columns with
printable ASCII but ``()[]:;,``, blanks inside allowed. Written square; read square or
lower-triangular (with or without its diagonal), rows wrapped over lines or not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo._files import atomic_path
from pyphylo.errors import FileFormatError, InputError
from pyphylo.io.raw import RawMatrix

if TYPE_CHECKING:
    from pyphylo._matrix import LabelledMatrix

__all__ = ["read", "short_names", "write"]

_STRICT = 10
"""Columns of a strict name."""
_FITS = re.compile(r"(?! )[^\x00-\x1f\x7f-\U0010ffff()\[\]:;,]{1,10}(?<! )")
"""Strict names. What they leave out, trees of PHYLIP's programs go by."""


def write(matrix: LabelledMatrix, path: Path, *, strict: bool = False) -> None:
    """Write `matrix`; names that a reader would split or cut off are refused."""
    (_check_strict if strict else _check_relaxed)(matrix.ids)
    width = _STRICT if strict else 0

    def fill(part: Path) -> None:
        with part.open("w", encoding="utf-8", newline="\n") as handle:
            handle.write(f"{len(matrix)}\n")
            for name, row in zip(matrix.ids, matrix.values, strict=True):
                numbers = map(repr, row.tolist())
                handle.write(" ".join([name.ljust(width), *numbers]) + "\n")

    atomic_path(path, fill)


def _check_relaxed(names: Sequence[str]) -> None:
    for name in names:
        if len(name.split()) != 1 or name.split()[0] != name or "\0" in name:
            raise InputError(
                f"{name!r}: a PHYLIP name cannot hold white space; rename it or write .csv or .npz"
            )


def _check_strict(names: Sequence[str]) -> None:
    long = [name for name in names if len(name) > _STRICT]
    if long:
        raise InputError(
            f"{len(long)} names are longer than the {_STRICT} characters of strict PHYLIP, "
            f"{', '.join(map(repr, long[:3]))} among them; rename them or write relaxed"
        )
    for name in names:
        if not _FITS.fullmatch(name):
            raise InputError(
                f"{name!r}: a strict PHYLIP name is printable ASCII without ()[]:;, and without "
                "blanks at its ends; rename it (pyphylo.io.phylip.short_names) or write .csv or "
                ".npz"
            )


def short_names(names: Iterable[str]) -> dict[str, str]:
    """A name that strict PHYLIP takes for each, all different: from short to full, in order.

    Names that fit are kept. Others lose what stands before their last slash and behind the
    tenth character, and what is not allowed becomes ``_``; of equal ones, the second
    ends in 2, and so on.
    """
    full = list(names)
    taken = {name for name in full if _FITS.fullmatch(name)}
    short: dict[str, str] = {}
    tried: dict[str, int] = {}
    for name in full:
        if name in taken:
            short[name] = name
            continue
        stem = re.sub(r"[^!-~]|[()\[\]:;,]", "_", name.rpartition("/")[2] or name)[:_STRICT]
        found, number = stem, tried.get(stem, 1)
        while found in taken or found in short:
            number += 1
            found = f"{stem[: _STRICT - len(str(number))]}{number}"
        tried[stem] = number
        short[found] = name
    return short


def read(path: Path, *, strict: bool = False) -> RawMatrix:
    """Read a matrix."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{str(path)!r} is not UTF-8 text: {error}") from None
    lines = text.split("\n")
    count = lines[0].split()
    if len(count) != 1 or not count[0].isascii() or not count[0].isdigit() or len(count[0]) > 9:
        raise FileFormatError(f"{str(path)!r}, line 1: the number of models must stand here alone")
    names, starts, rows = _rows(lines, int(count[0]), path, strict)
    return RawMatrix(names, _assemble(names, starts, rows, path))


def _rows(
    lines: list[str], n: int, path: Path, strict: bool
) -> tuple[list[str], list[int], list[list[float]]]:
    """Names, lines and numbers by row. A line whose first word is no number begins a row."""
    names: list[str] = []
    starts: list[int] = []
    rows: list[list[float]] = []
    for number, line in enumerate(lines[1:], 2):
        words = line.split()
        if not words:
            continue
        # Rows are full before the next begins, so a name may look like a number.
        if not rows or _is_full(rows, n) or not _is_number(words[0]):
            if strict:
                names.append(line[:_STRICT].strip())
                words = line[_STRICT:].split()
                if not names[-1]:
                    raise FileFormatError(
                        f"{str(path)!r}, line {number}: no name in the first {_STRICT} columns"
                    )
            else:
                names.append(words.pop(0))
            starts.append(number)
            rows.append([])
        if len(rows) > n:
            raise FileFormatError(
                f"{str(path)!r}, line {number}: more than the {n} models of line 1"
            )
        for word in words:
            if not _is_number(word):
                raise FileFormatError(
                    f"{str(path)!r}, line {number}: {word!r} is not a number (row {names[-1]!r})"
                )
            rows[-1].append(float(word))
    if len(rows) != n:
        raise FileFormatError(f"{str(path)!r} holds {len(rows)} rows, not the {n} of line 1")
    return names, starts, rows


def _is_full(rows: list[list[float]], n: int) -> bool:
    """Whether the last row is complete: n numbers, or as many as rows came before it."""
    if len(rows[0]) == 0:  # lower triangular: the first row has no number
        return len(rows[-1]) == len(rows) - 1
    return len(rows[-1]) == n


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word  # Python reads 1_0 as ten; a name may look so


def _assemble(
    names: list[str], starts: list[int], rows: list[list[float]], path: Path
) -> NDArray[np.float64]:
    n = len(names)
    lengths = [len(row) for row in rows]
    values = np.zeros((n, n))
    if lengths == [n] * n:
        values[:] = rows
    elif lengths == list(range(n)):
        for i, row in enumerate(rows):
            values[i, :i] = values[:i, i] = row
    elif lengths == list(range(1, n + 1)):
        for i, row in enumerate(rows):
            values[i, : i + 1] = values[: i + 1, i] = row
    else:
        i = next((i for i, length in enumerate(lengths) if length != n), 0)
        raise FileFormatError(
            f"{str(path)!r}, line {starts[i]}: row {names[i]!r} has {lengths[i]} numbers; a square "
            f"matrix has {n} in each row, a lower-triangular one as many as rows before it"
        )
    return values
