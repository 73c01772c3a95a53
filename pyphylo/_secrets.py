"""Keys are kept out of what is printed, logged, recorded and raised."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import quote

__all__ = ["hide", "hide_key", "hide_key_in_data"]

_SHORTEST = 8
"""Characters of a value that is taken for a secret: a shorter one is found in any text."""
_RANDOM = 16
"""Characters of a key that is told from a word."""
_PART = 6
_END = 9
_WORD = r"(?:[A-Z]?[a-z]+|[A-Z]+)"
_PLAIN = re.compile(rf"(?:{_WORD}(?:[ ._-]{_WORD})*)?[ ._-]?\d*")
_IS_SECRET = re.compile(r"(?:^|_)(?:API_?KEY|KEY|TOKEN|SECRET|PASSWORD|PASSWD)$", re.I)
_IN_URL = re.compile(r"//[^/\s@'\"]{0,128}:[^/\s@'\"]{0,256}@")
_QUERY = re.compile(
    r"([?&;](?:[\w.-]{0,64}[_-])?(?:api_?-?key|key|token|secret|password|sig|signature)=)[^&;\s'\"]+",
    re.I,
)
_BEARER = re.compile(r"\b(bearer|basic)(\s+)[\w.~+/=-]{8,}", re.I)
_KNOWN = re.compile(r"\b(?:hf_[A-Za-z0-9]{20,}|sk-[A-Za-z0-9_-]{16,})")
"""Tokens of the Hub, keys of OpenAI and of those who write theirs alike."""


def hide_key(text: str, key: str) -> str:
    """A message without a key: whole, as a URL has it, or its start or end, as servers quote it.

    A key that is shorter than 8 characters hides nothing, and stays.
    """
    if len(key) < _SHORTEST:
        return text
    text = _without_forms(text, key)
    if len(key) >= _RANDOM:
        start, end, last = (
            re.escape(part) for part in (key[:_SHORTEST], key[-_END:], key[-_PART:])
        )
        text = re.sub(
            rf"{start}[\w*.…+/=-]{{8,256}}|[\w*.…+/-]{{0,64}}{end}|[*.…]{{2,64}}{last}",
            "[key]",
            text,
        )
    return text


def hide_key_in_data(text: str, key: str) -> str:
    """A completion without a key that nobody but a holder of the key could have written.

    What a model says must not depend on whose key asked it: a key that may occur in a text by
    chance (`EMPTY`, `local-development`, `password1234567890`) takes nothing out of it. One that
    looks random goes whole, as a URL has it, and by its last nine characters.
    """
    if len(key) < _RANDOM or _is_plain(key):
        return text
    text = _without_forms(text, key)
    end = key[-_END:]
    return text if _is_plain(end) else text.replace(end, "[key]")


def _without_forms(text: str, key: str) -> str:
    for form in (key, quote(key, safe=""), quote(key)):
        text = text.replace(form, "[key]")
    return text


def _is_plain(text: str) -> bool:
    """Whether it may be said by chance: words, then a number or none, or a number alone."""
    return _PLAIN.fullmatch(text) is not None


def hide(text: str) -> str:
    """The text without the environment's secrets and without what looks like one.

    Secrets of the environment are the values of variables whose names end in KEY, TOKEN,
    SECRET or PASSWORD. O(text times such variables).
    """
    for name, value in _secrets():
        text = text.replace(value, f"[{name}]")
    text = _IN_URL.sub("//…@", text)
    text = _QUERY.sub(r"\1…", text)
    text = _BEARER.sub(r"\1\2[key]", text)
    return _KNOWN.sub("[key]", text)


def _secrets() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        if _IS_SECRET.search(name) and len(value) >= _SHORTEST and os.sep not in value[:1]:
            yield name, value
