"""The page: markup, style, script and data put together so that nothing in the data can run.

Data are inert: JSON in a block of type ``application/json``, in which no ``<`` occurs. The
content security policy names the digests of the one script and the one style sheet, so that
nothing else runs or is loaded, whatever the data say.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from typing import Any

__all__ = ["assemble", "inert_json", "policy", "script", "style"]

_SCRIPTS = (
    "data.js",
    "colour.js",
    "pens.js",
    "layout.js",
    "canvas.js",
    "tree.js",
    "heat.js",
    "scatter.js",
    "views.js",
    "panel.js",
    "descent.js",
    "table.js",
    "save.js",
    "main.js",
)
"""In the order in which they are joined into one script."""


def assemble(payload: dict[str, Any], title: str) -> str:
    """The whole page as text."""
    program, sheet = script(), style()
    page = _asset("page.html")
    # One pass over the marks, so that none in what is put in is taken for one of the page.
    parts = {
        "policy": policy(program, sheet),
        "title": html.escape(title),
        "style": sheet,
        "data": inert_json(payload),
        "script": program,
    }
    pieces = page.split("@@")
    return "".join(
        piece if number % 2 == 0 else parts[piece] for number, piece in enumerate(pieces)
    )


def script() -> str:
    """The program of the page, in a scope of its own."""
    return "(() => {\n'use strict';\n" + "\n".join(map(_asset, _SCRIPTS)) + "})();\n"


def style() -> str:
    """The style sheet of the page."""
    return _asset("page.css")


def policy(program: str, sheet: str) -> str:
    """A content security policy under which this script and this style sheet alone count."""
    return (
        f"default-src 'none'; script-src '{_digest(program)}'; style-src '{_digest(sheet)}'; "
        "base-uri 'none'; form-action 'none'"
    )


def inert_json(payload: Any) -> str:
    """JSON that can stand in a page: no character of it begins or ends markup.

    Raises
    ------
    ValueError
        When a number is not finite: JSON has no such.
    """
    text = json.dumps(payload, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _digest(text: str) -> str:
    raw = hashlib.sha256(text.encode("utf-8")).digest()
    return f"sha256-{base64.b64encode(raw).decode('ascii')}"


def _asset(name: str) -> str:
    return files("pyphylo.report").joinpath(name).read_text(encoding="utf-8")
