"""Cells that a spreadsheet would take for formulas, written so that it does not.

A model's name may be ``=HYPERLINK(…)``, and a CSV file is opened with a double click. A text
that begins with one of ``= + - @``, their full-width forms, a tab or a line end gets an
apostrophe in front, as OWASP advises (CSV injection); one that has apostrophes in front of
such a character gets one more, so that taking one away gives back every text. Numbers stay.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["frame_csv", "guarded", "unguarded"]

_FORMULA = re.compile(r"'*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")


def guarded(text: str) -> str:
    """The text as a cell that no spreadsheet calculates."""
    return f"'{text}" if _FORMULA.match(text) else text


def unguarded(cell: str) -> str:
    """The text that `guarded` was given."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def frame_csv(frame: pd.DataFrame) -> bytes:
    """A frame as CSV, without its index, texts guarded."""

    def cell(value: Any) -> Any:
        return guarded(value) if isinstance(value, str) else value

    safe = frame.rename(columns=cell)
    for position, kind in enumerate(safe.dtypes):
        if kind.kind not in "biufcmM":
            safe.isetitem(position, safe.iloc[:, position].map(cell))
    text: str = safe.to_csv(index=False, lineterminator="\n")
    return text.encode()
