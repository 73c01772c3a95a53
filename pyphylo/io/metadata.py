"""Metadata of models: CSV with a column ``model`` and any others (family, base_model, …)."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from pyphylo._files import read_bytes
from pyphylo.errors import FileFormatError

__all__ = ["read_families", "read_metadata"]


def read_metadata(path: str | Path) -> dict[str, dict[str, str]]:
    """Each model's row, by name; empty cells are left out.

    Raises
    ------
    FileFormatError
        When there is no column ``model``, a row is ragged, or a model repeats;
        the line is named.
    """
    try:
        text = read_bytes(path, "metadata").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{str(path)!r} is not UTF-8 text: {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: dict[str, dict[str, str]] = {}
    try:
        header = next(reader, [])
        if "model" not in header:
            raise FileFormatError(f"{str(path)!r}: the first line names no column 'model'")
        for fields in reader:
            if not fields:
                continue
            where = f"{str(path)!r}, line {reader.line_num}"
            if len(fields) != len(header):
                raise FileFormatError(f"{where}: {len(fields)} cells, not {len(header)}")
            row = {key: value for key, value in zip(header, fields, strict=True) if value}
            model = row.pop("model", "")
            if not model or model in rows:
                raise FileFormatError(f"{where}: model {model!r} is empty or occurs twice")
            rows[model] = row
    except csv.Error as error:
        raise FileFormatError(f"{str(path)!r}, line {reader.line_num}: {error}") from None
    return rows


def read_families(path: str | Path) -> dict[str, str]:
    """The family of each model that has one."""
    return {name: row["family"] for name, row in read_metadata(path).items() if "family" in row}
