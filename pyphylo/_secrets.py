"""Keys are kept out of what is printed, logged, recorded and raised."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import quote

__all__ = ["hide", "hide_key"]

_SHORTEST = 8
"""Characters of a value that is taken for a secret: a shorter one is found in any text."""
_PART = 6
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
    """The text without a key: whole, as a URL has it, or its start or end, as servers quote it."""
    if not key:
        return text
    for form in (key, quote(key, safe=""), quote(key)):
        text = text.replace(form, "[key]")
    if len(key) >= 2 * _SHORTEST:
        start, end = re.escape(key[:_SHORTEST]), re.escape(key[-_PART:])
        text = re.sub(rf"{start}[\w*.…+/=-]{{0,256}}|[\w*.…+/-]{{0,64}}{end}", "[key]", text)
    return text


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
