"""Checks that every room makes of names and whole numbers."""

from __future__ import annotations

import difflib
import operator
from collections.abc import Iterable
from typing import Any

from pyphylo.errors import InputError

__all__ = [
    "check_names",
    "check_two_models",
    "clean_text",
    "close_names",
    "did_you_mean",
    "whole_number",
]


def check_names(names: Iterable[str], what: str) -> tuple[str, ...]:
    """The names as a tuple: non-empty strings, each once, encodable as UTF-8.

    Parameters
    ----------
    names : iterable of str
        Also an Arrow or NumPy array of strings; the names come out as plain `str`.
    what : str
        What they name ("model", "gene"), for the error.
    """
    if isinstance(names, str):
        raise InputError(f"{what} names must be a sequence of strings, not one string {names!r}")
    # An Arrow array gives scalars of its own, a NumPy array strings of its own.
    given: list[Any] = list(names.to_pylist() if hasattr(names, "to_pylist") else names)
    # All at once where nothing is wrong; else one by one, to say what is.
    if set(map(type, given)) == {str} and _all_good(given):
        return tuple(given)
    checked: list[str] = []
    seen: set[str] = set()
    for item in given:
        if not isinstance(item, str) or not item:
            raise InputError(f"a {what} name must be a non-empty string, not {item!r}")
        name = str.__str__(item)
        try:
            name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{what} name {name!r} holds half a surrogate pair") from None
        if name in seen:
            raise InputError(f"{what} {name!r} occurs twice; names must be unique")
        seen.add(name)
        checked.append(name)
    return tuple(checked)


def _all_good(names: list[str]) -> bool:
    different = set(names)
    if len(different) < len(names) or "" in different:
        return False
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        return False
    return True


def clean_text(text: str) -> str:
    """The text with every lone surrogate (half a character, cut off) as U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def close_names(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> list[str]:
    """Up to three known names that are close to one that is not; capitals do not count.

    None where `name` is no string. `cutoff` is the least ratio of `difflib`.
    """
    if not isinstance(name, str):
        return []
    spelt: dict[str, list[str]] = {}
    for each in known:
        spelt.setdefault(each.lower(), []).append(each)
    lower = difflib.get_close_matches(name.lower(), spelt, n=3, cutoff=cutoff)
    return [each for low in lower for each in spelt[low]][:3]


def did_you_mean(name: object, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The end of an error's text that names `close_names`; empty where there are none."""
    close = close_names(name, known, cutoff=cutoff)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def whole_number(value: Any, name: str, least: int) -> int:
    """The value as an int (NumPy's count too), refused where it is none, too small or too large."""
    try:
        number = least - 1 if isinstance(value, bool) else operator.index(value)
    except TypeError:
        number = least - 1
    if number < least:
        raise InputError(f"{name} must be a whole number of at least {least}, not {value!r}")
    if number >= 2**31:
        raise InputError(f"{name} must be a whole number below 2^31, not {value!r}")
    return number


def check_two_models(n: int) -> None:
    """Refuse a table whose models make no pair."""
    if n == 0:
        raise InputError("there is no model yet: sample some, or import completions, first")
    if n == 1:
        raise InputError("1 model has no pair to compare: sample or import another one")
