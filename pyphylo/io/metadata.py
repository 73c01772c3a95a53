"""Metadata of models: CSV with a column ``model`` and any others.

`Lineage` is what the columns ``base_model``, ``date`` and ``params_b`` say.
"""

from __future__ import annotations

import csv
import datetime
import io
import math
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pyphylo._files import read_bytes
from pyphylo._names import did_you_mean
from pyphylo.errors import FileFormatError, InputError, PyphyloWarning
from pyphylo.io._spreadsheet import unguarded

__all__ = [
    "Lineage",
    "lineage_of",
    "read_families",
    "read_lineage",
    "read_metadata",
    "warn_of_misnamed",
]

_LINEAGE = ("base_model", "date", "params_b")
_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?(?:[T ].*)?")


def read_metadata(path: str | Path) -> dict[str, dict[str, str]]:
    """Each model's row, by name; empty cells are left out.

    An apostrophe that keeps a spreadsheet from calculating a text is none of the text.

    Raises
    ------
    FileFormatError
        When there is no column ``model``, a row is ragged, or a model or a column
        repeats; the line is named.
    """
    try:
        text = read_bytes(path, "metadata").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{str(path)!r} is not UTF-8 text: {error}") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: dict[str, dict[str, str]] = {}
    try:
        header = list(map(unguarded, next(reader, [])))
        if "model" not in header:
            hint = did_you_mean("model", header)
            raise FileFormatError(f"{str(path)!r}: the first line names no column 'model'{hint}")
        repeated = [name for name, times in Counter(header).items() if name and times > 1]
        if repeated:
            raise FileFormatError(f"{str(path)!r}: column {repeated[0]!r} occurs twice")
        _warn_of_family(header, path)
        for fields in reader:
            if not fields:
                continue
            where = f"{str(path)!r}, line {reader.line_num}"
            if len(fields) != len(header):
                raise FileFormatError(f"{where}: {len(fields)} cells, not {len(header)}")
            cells = zip(header, map(unguarded, fields), strict=True)
            row = {key: value for key, value in cells if value}
            model = row.pop("model", "")
            if not model or model in rows:
                raise FileFormatError(f"{where}: model {model!r} is empty or occurs twice")
            rows[model] = row
    except csv.Error as error:
        raise FileFormatError(f"{str(path)!r}, line {reader.line_num}: {error}") from None
    return rows


def _warn_of_family(header: Sequence[str], path: str | Path) -> None:
    """Say so where a column is all but called family: it would be passed over without a word."""
    hint = "" if "family" in header else did_you_mean("family", header)
    if hint:
        warnings.warn(f"{str(path)!r} has no column 'family'{hint}", PyphyloWarning, stacklevel=3)


def read_families(path: str | Path) -> dict[str, str]:
    """The family of each model that has one."""
    return {name: row["family"] for name, row in read_metadata(path).items() if "family" in row}


@dataclass(frozen=True)
class Lineage:
    """What metadata say of the descent of models.

    Attributes
    ----------
    parents : dict of str to str
        The declared parent (``base_model``) of each model that declares one. It
        need not be among the models: then it says "the parent is not here".
    dates : dict of str to (date, date)
        First and last day that ``date`` allows: 2024-05 is a month.
    sizes : dict of str to float
        ``params_b``, parameters in billions.
    """

    parents: dict[str, str]
    dates: dict[str, tuple[datetime.date, datetime.date]]
    sizes: dict[str, float]


def read_lineage(metadata: Any, names: Iterable[str] | None = None) -> Lineage:
    """Declared parents, dates and sizes, checked.

    Parameters
    ----------
    metadata : path, DataFrame, mapping or Lineage
        A CSV file or a frame with a column ``model``, or rows by model; columns
        ``base_model``, ``date`` (YYYY, YYYY-MM or YYYY-MM-DD) and ``params_b``
        (billions), each of which may be missing or have empty cells.
    names : iterable of str, optional
        Models that the metadata are for: a warning is given when none is named.

    Raises
    ------
    InputError
        A model that descends from itself (the cycle is named), a date or a
        number of parameters that is none. `FileFormatError` as `read_metadata`.

    Notes
    -----
    O(rows) time.
    """
    if isinstance(metadata, Lineage):
        return metadata
    return lineage_of(*_rows(metadata), names)


def lineage_of(
    rows: Mapping[str, Mapping[str, Any]], where: str, names: Iterable[str] | None = None
) -> Lineage:
    """As `read_lineage`, of rows that were read; `where` is what errors call their source."""
    _warn_of_lineage(rows, where)
    parents, dates, sizes = {}, {}, {}
    for model, row in rows.items():
        if (text := _cell(row, "base_model")) is not None:
            parents[model] = text
        if (text := _cell(row, "date")) is not None:
            dates[model] = _days(text, f"{where}: the date of model {model!r}")
        if (text := _cell(row, "params_b")) is not None:
            sizes[model] = _size(text, f"{where}: params_b of model {model!r}")
    _refuse_cycle(parents, where)
    if names is not None:
        known = list(names)
        if rows and not set(rows) & set(known):
            warnings.warn(
                f"{where} names none of these models: check the column 'model'",
                PyphyloWarning,
                stacklevel=3,
            )
        else:
            warn_of_misnamed(rows, known, where)
    return Lineage(parents, dates, sizes)


def _warn_of_lineage(rows: Mapping[str, Mapping[str, Any]], where: str) -> None:
    """Say so where a column is all but called one of those that are read."""
    there = list(dict.fromkeys(str(name) for row in rows.values() for name in row))
    for column in _LINEAGE:
        # Near enough for a slip: "date" has many neighbours that are words of their own.
        hint = "" if column in there else did_you_mean(column, there, cutoff=0.8)
        if hint:
            warnings.warn(f"{where} has no column {column!r}{hint}", PyphyloWarning, stacklevel=4)


def warn_of_misnamed(rows: Iterable[str], models: Iterable[str], where: str) -> None:
    """Say so where metadata's name of a model is close to one of which they say nothing.

    Of all that are, the first is told. O(rows) comparisons of names at most.
    """
    given, known = set(rows), list(models)
    bare = [name for name in known if name not in given]
    here = set(known)
    for name in rows if bare else ():
        if name not in here and (hint := did_you_mean(name, bare, cutoff=0.75)):
            warnings.warn(
                f"{where} names a model {name!r} that is not here{hint}",
                PyphyloWarning,
                stacklevel=4,
            )
            return


def _rows(metadata: Any) -> tuple[Mapping[str, Mapping[str, Any]], str]:
    """Rows by model, and what to call their source in an error."""
    if isinstance(metadata, (str, Path)):
        return read_metadata(metadata), repr(str(metadata))
    if isinstance(metadata, Mapping):
        for model, row in metadata.items():
            if not isinstance(row, Mapping):
                raise InputError(
                    f"metadata of model {model!r} must be a mapping from column to value, "
                    f"not {type(row).__name__}"
                )
        return metadata, "metadata"
    if hasattr(metadata, "to_dict") and hasattr(metadata, "columns"):
        if "model" not in metadata.columns:
            hint = did_you_mean("model", map(str, metadata.columns))
            raise InputError(f"the metadata frame has no column 'model'{hint}")
        rows: dict[str, dict[str, Any]] = {}
        for row in metadata.to_dict("records"):
            model = row["model"]
            if not isinstance(model, str) or not model or model in rows:
                raise InputError(f"metadata: model {model!r} is empty or occurs twice")
            rows[model] = row
        return rows, "metadata"
    raise InputError(
        f"metadata must be a path, a DataFrame or rows by model, not {type(metadata).__name__}"
    )


def _cell(row: Mapping[str, Any], column: str) -> str | None:
    """The cell's text; None where it is empty (a frame's missing values too)."""
    value = row.get(column)
    if value is None or value != value or str(value).strip() in ("", "NaT", "<NA>"):
        return None
    return str(value) if column == "base_model" else str(value).strip()


def _days(text: str, what: str) -> tuple[datetime.date, datetime.date]:
    match = _DATE.fullmatch(text)
    try:
        if match is None:
            raise ValueError
        year, month = int(match[1]), int(match[2] or 1)
        first = datetime.date(year, month, int(match[3] or 1))
        if match[3]:
            return first, first
        if not match[2]:
            return first, datetime.date(year, 12, 31)
        after = datetime.date(year + month // 12, month % 12 + 1, 1)
        return first, after - datetime.timedelta(days=1)
    except (ValueError, OverflowError):
        raise InputError(f"{what} is {text!r}; write it as YYYY-MM-DD, YYYY-MM or YYYY") from None


def _size(text: str, what: str) -> float:
    try:
        size = float(text.replace("_", "?"))  # Python alone reads 1_5 as fifteen
    except ValueError:
        size = math.nan
    if not 0 < size < math.inf:
        raise InputError(f"{what} is {text!r}; it must be a number of billions above 0")
    return size


def _refuse_cycle(parents: Mapping[str, str], where: str) -> None:
    """Follow each model up once; a model met again on the same way closes a cycle."""
    done: set[str] = set()
    for model in parents:
        way: dict[str, None] = {}
        at: str | None = model
        while at is not None and at not in done:
            if at in way:
                names = list(way)
                cycle = [*names[names.index(at) :], at]
                shown = cycle if len(cycle) <= 6 else [*cycle[:4], "…", cycle[-1]]
                raise InputError(
                    f"{where}: a model cannot descend from itself, but base_model says "
                    + " from ".join(repr(name) if name != "…" else name for name in shown)
                )
            way[at] = None
            at = parents.get(at)
        done.update(way)
