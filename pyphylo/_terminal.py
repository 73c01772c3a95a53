"""Text for a terminal or a log: nothing in it is obeyed, whoever wrote it."""

from __future__ import annotations

import re

__all__ = ["json_shown", "shown"]

_RISKY = re.compile(r"[^ -~]")


def shown(text: str, keep: str = "\n\t") -> str:
    """Text with every character that a terminal would not simply draw as its Python escape.

    Escape sequences, other control characters (C0, C1, delete), marks that turn the direction
    of writing or have no width, line and paragraph separators, halves of surrogate pairs: names
    and completions may hold them, and a terminal would obey. Letters of all scripts stay.

    Parameters
    ----------
    text : str
    keep : str
        Of these, what the text's own lines are made of.
    """

    def escaped(match: re.Match[str]) -> str:
        char = match[0]
        return char if char in keep or char.isprintable() else ascii(char)[1:-1]

    return _RISKY.sub(escaped, text)


def json_shown(text: str) -> str:
    """The same of JSON, which stays JSON and means the same."""

    def escaped(match: re.Match[str]) -> str:
        char = match[0]
        if char.isprintable():
            return char
        units = char.encode("utf-16-be", "surrogatepass").hex()
        return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))

    return _RISKY.sub(escaped, text)
