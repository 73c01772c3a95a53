"""Metadata as columns that the page colours by."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pyphylo.report._numbers import rounded

__all__ = ["columns_of"]

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?(?:[T ].*)?")

Rows = Mapping[str, Mapping[str, Any]]


def columns_of(rows: Rows, names: Sequence[str]) -> list[dict[str, Any]]:
    """Each column of the metadata, in the order in which they first occur.

    Parameters
    ----------
    rows : mapping of str to mapping
        Cells by model and column; what a model lacks is missing.
    names : sequence of str
        The models, in the order of the tree.

    Returns
    -------
    list of dict
        ``name`` and ``kind``. Of kind "number": ``values``, None where missing: columns in
        which every cell is a finite number, or every cell a date (year, month or day; the
        ``values`` are years, and ``texts`` is what was written), and more than two
        differ. Otherwise "text": ``levels``, the most frequent first, and ``codes``, -1
        where missing.
    """
    headings = list(dict.fromkeys(key for name in names for key in rows.get(name, ())))
    return [
        _column(heading, [rows.get(name, {}).get(heading) for name in names])
        for heading in headings
    ]


def _column(heading: str, cells: list[Any]) -> dict[str, Any]:
    numbers = [_number(cell) for cell in cells]
    given = [cell for cell in cells if not _is_missing(cell)]
    known = [number for number in numbers if number is not None]
    if len(known) == len(given) and len(set(known)) > 2:
        values = rounded([math.nan if number is None else number for number in numbers], 10)
        return {"name": heading, "kind": "number", "values": values}
    years = [_year(cell) for cell in cells]
    dates = [year for year in years if year is not None]
    if len(dates) == len(given) and len(set(dates)) > 2:
        written = ["" if _is_missing(cell) else str(cell) for cell in cells]
        return {"name": heading, "kind": "number", "values": years, "texts": written}
    texts = ["" if _is_missing(cell) else str(cell) for cell in cells]
    counts: dict[str, int] = {}
    for text in texts:
        if text:
            counts[text] = counts.get(text, 0) + 1
    levels = sorted(counts, key=lambda level: (-counts[level], level))
    code = {level: number for number, level in enumerate(levels)}
    return {
        "name": heading,
        "kind": "text",
        "levels": levels,
        "codes": [code.get(text, -1) for text in texts],
    }


def _is_missing(cell: Any) -> bool:
    return cell is None or cell != cell or str(cell) == ""


def _year(cell: Any) -> float | None:
    """The year of a date and how much of it has passed, by the first day that is meant."""
    match = None if _is_missing(cell) else _DATE.fullmatch(str(cell))
    if match is None:
        return None
    year, month, day = int(match[1]), int(match[2] or 1), int(match[3] or 1)
    try:
        passed = datetime.date(year, month, day) - datetime.date(year, 1, 1)
    except ValueError:
        return None
    return round(year + passed.days / 366, 4)


def _number(cell: Any) -> float | None:
    if _is_missing(cell) or isinstance(cell, bool):
        return None
    try:
        # What Python alone reads as a number, 1_5, is a name.
        value = float(str(cell).replace("_", "?"))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
