"""Names as they can be drawn: any text in, something short and printable out."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.font_manager import FontProperties

__all__ = ["FONT", "MAX_NAME", "fit_text", "font", "printable", "text_width"]

FONT = "DejaVu Sans"
"""Comes with matplotlib, so pictures are the same everywhere."""

MAX_NAME = 44
"""Characters of a name that are drawn; the middle of a longer one is left out."""

_TOFU = "\N{WHITE SQUARE}"


def font(size: float, *, bold: bool = False) -> FontProperties:
    """The font at a size in points."""
    from matplotlib.font_manager import FontProperties

    return FontProperties(family=[FONT], size=size, weight="bold" if bold else "normal")


def printable(name: str, limit: int = MAX_NAME) -> str:
    """A name on one line, of at most `limit` characters that the font has.

    White space becomes a space, format characters go, and any other character that
    the font lacks or that XML forbids becomes a white square.
    """
    known = _known_characters()
    out = "".join(_drawn(char, known) for char in name)
    if len(out) <= limit:
        return out
    head = limit // 2
    return out[:head] + "…" + out[len(out) - (limit - 1 - head) :]


@lru_cache(maxsize=65536)
def text_width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line of text, in points."""
    from matplotlib.textpath import text_to_path

    if not text:
        return 0.0
    width, _, _ = text_to_path.get_text_width_height_descent(
        text, font(size, bold=bold), ismath=False
    )
    return float(width)


def fit_text(
    name: str, size: float, width: float, limit: int = MAX_NAME, *, bold: bool = False
) -> str:
    """A name as `printable` gives it, cut in the middle to be no wider than `width` points."""
    text = printable(name, limit)
    while len(text) > 3 and text_width(text, size, bold=bold) > width:
        text = printable(name, max(3, min(len(text) - 1, int(len(text) * 0.9))))
    return text


def _drawn(char: str, known: frozenset[int]) -> str:
    if char.isspace():
        return " "
    if not char.isprintable():
        return "" if unicodedata.category(char) == "Cf" else _TOFU
    return char if ord(char) in known else _TOFU


@lru_cache(maxsize=1)
def _known_characters() -> frozenset[int]:
    from matplotlib.font_manager import findfont, get_font

    return frozenset(get_font(findfont(font(10), fallback_to_default=False)).get_charmap())
