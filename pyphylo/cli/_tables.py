"""Tables of text for people."""

from __future__ import annotations

from typing import Any

from pyphylo._terminal import shown

__all__ = ["aligned"]


def aligned(header: list[str], rows: list[list[Any]]) -> str:
    """A table as text: names first, flush left, then numbers, flush right."""
    cells = [[shown(str(cell), "") for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    )
