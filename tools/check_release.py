"""See that the version is the same wherever it stands, and can be released.

    python tools/check_release.py            while working
    python tools/check_release.py v0.1.0     for a tag: the changelog must have a day for it

pyphylo/_version.py states the version; CMake and pyproject.toml read it from there.
"""

from __future__ import annotations

import datetime
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:(?:a|b|rc)\d+)?")


def found(path: str, pattern: str) -> str:
    """The first group of a pattern in a file; "" where it is not there."""
    match = re.search(pattern, (ROOT / path).read_text(encoding="utf-8"), re.MULTILINE)
    return match[1] if match else ""


def wrong(tag: str | None) -> Iterator[str]:
    """What does not agree, a line each."""
    version = found("pyphylo/_version.py", r'^__version__ = "(.+)"$')
    if not VERSION.fullmatch(version):
        yield f"pyphylo/_version.py: {version!r} is no semantic version"
    cited = found("CITATION.cff", r'^version: "(.+)"$')
    if cited != version:
        yield f"CITATION.cff has version {cited!r}, pyphylo/_version.py {version!r}"
    entry = found("CHANGELOG.md", r"^## (\[.+\].*)$")
    if not entry.startswith(f"[{version}]"):
        yield f"CHANGELOG.md begins with {entry!r}, not with [{version}]"
    if tag is None:
        return
    if tag != f"v{version}":
        yield f"the tag is {tag!r}, the version {version!r}: tag v{version}"
    day = entry.partition("] - ")[2]
    try:
        datetime.date.fromisoformat(day)
    except ValueError:
        yield f"CHANGELOG.md: {entry!r} has no day; write ## [{version}] - YYYY-MM-DD"
    if found("CITATION.cff", r'^date-released: "(.+)"$') != day:
        yield f"CITATION.cff: date-released is not the changelog's {day!r}"


def main() -> int:
    """0 where all agrees."""
    tag = sys.argv[1].removeprefix("refs/tags/") if len(sys.argv) > 1 else None
    lines = list(wrong(tag))
    print("\n".join(lines) or "the version is the same everywhere")
    return bool(lines)


if __name__ == "__main__":
    sys.exit(main())
