"""Text that every Python installation carries, in kinds that look nothing like each other.

A branch of the demo's tree is trained on a kind that no other branch of it sees:
text reused on two branches would look like shared ancestry.
"""

from __future__ import annotations

import ast
import builtins
import calendar
import dis
import html.entities
import io
import json
import pydoc
import re
import tokenize
import types
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date
from importlib.util import find_spec
from typing import TypeGuard

from pyphylo.errors import WorkError

__all__ = ["KINDS", "passages"]

KIND_CHARACTERS = 240_000
"""Characters taken of a kind, at most."""

PASSAGE_CHARACTERS = 500
"""Characters of a passage, about: it ends with the line that reaches them."""

# Modules of the standard library that are present wherever Python runs. Each belongs to one kind,
# so that no two kinds share names or words more than Python itself makes them.
_MODULES = {
    "source": (
        "argparse", "asyncio.base_events", "asyncio.events", "asyncio.streams", "bdb", "cmd",
        "codecs", "configparser", "difflib", "email.message", "fractions", "ftplib", "http.client",
        "logging", "nntplib", "pdb", "shutil", "statistics", "tarfile",
    ),
    "docstrings": (
        "_pydecimal", "_pyio", "ast", "codeop", "collections", "contextlib", "copy", "csv",
        "dataclasses", "doctest", "email.headerregistry", "functools", "getpass", "gettext",
        "heapq", "http.cookiejar", "imaplib", "inspect", "ipaddress", "json.encoder", "mailbox",
        "optparse", "os", "pickle", "random", "smtplib", "socket", "string", "tempfile", "textwrap",
        "typing", "unittest.case", "unittest.mock", "urllib.parse", "uuid", "webbrowser",
    ),
    "bytecode": (
        "base64", "bisect", "cProfile", "calendar", "cgitb", "code", "concurrent.futures.process",
        "concurrent.futures.thread", "email.generator", "email.header", "fileinput", "fnmatch",
        "gzip", "http.cookies", "logging.config", "mimetypes", "netrc", "plistlib", "poplib",
    ),
    "syntax": (
        "asyncio.locks", "asyncio.queues", "asyncio.tasks", "email.utils", "filecmp", "html.parser",
        "lzma", "pprint", "queue", "quopri", "sched", "selectors", "shelve", "shlex",
    ),
    "tokens": (
        "bz2", "enum", "genericpath", "linecache", "posixpath", "profile", "pstats", "socketserver",
        "stat", "subprocess",
    ),
}  # fmt: skip


def _sources(kind: str) -> Iterator[str]:
    """The sources of a kind's modules; a module that a version of Python lacks is passed over."""
    for name in _MODULES[kind]:
        try:
            spec = find_spec(name)
        except ImportError:
            continue
        get_source = getattr(spec.loader, "get_source", None) if spec else None
        source = get_source(name) if get_source else None
        if source:
            yield source


def _functions(code: types.CodeType) -> Iterator[types.CodeType]:
    """A code object and those nested in it, outermost first."""
    waiting = [code]
    while waiting:
        code = waiting.pop()
        yield code
        nested = [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        waiting.extend(reversed(nested))


def _is_documented(node: ast.AST) -> TypeGuard[ast.FunctionDef | ast.ClassDef | ast.Module]:
    return (
        isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
        and ast.get_docstring(node) is not None
    )


def _source() -> Iterator[str]:
    """Program text, without comments and docstrings."""
    for source in _sources("source"):
        tree = ast.parse(source)
        for node in ast.walk(tree):
            if _is_documented(node) and len(node.body) > 1:
                del node.body[0]
        yield ast.unparse(tree) + "\n"


def _docstrings() -> Iterator[str]:
    """What programmers explain."""
    for source in _sources("docstrings"):
        for node in ast.walk(ast.parse(source)):
            text = ast.get_docstring(node) if _is_documented(node) else None
            if text and len(text) > 60:
                yield text + "\n"


def _bytecode() -> Iterator[str]:
    """What the interpreter runs."""
    for source in _sources("bytecode"):
        for code in _functions(compile(source, "", "exec", dont_inherit=True, optimize=0)):
            lines = [f"Disassembly of {code.co_name}:"]
            for step in dis.get_instructions(code):
                value = _shown(step)
                lines.append(f"{step.offset:6} {step.opname:<24} {value[:40]}".rstrip())
            yield "\n".join(lines) + "\n"


def _shown(step: dis.Instruction) -> str:
    """An instruction's argument, without what differs from run to run: addresses, set orders."""
    if isinstance(step.argval, types.CodeType):
        return "<code>"
    if isinstance(step.argval, frozenset):
        return " ".join(sorted(map(repr, step.argval)))
    return step.argrepr


def _syntax() -> Iterator[str]:
    """What the parser sees."""
    for source in _sources("syntax"):
        for node in ast.parse(source).body:
            yield ast.dump(node, indent=1) + "\n"


def _tokens() -> Iterator[str]:
    """What the tokenizer sees."""
    for source in _sources("tokens"):
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            (row, column), name = token.start, tokenize.tok_name[token.type]
            yield f"{row},{column}:\t{name}\t{token.string[:30]!r}\n"


def _help() -> Iterator[str]:
    """What `help()` prints of the types that are built in."""
    for name, value in sorted(vars(builtins).items()):
        if isinstance(value, type) and value.__module__ == "builtins" and value.__name__ == name:
            text = pydoc.plain(pydoc.render_doc(value))
            # A list of subclasses, up to the next empty line, tells what else was imported.
            yield re.sub(r"(?m)^ \|  Built-in subclasses:\n(?: \|   .*\n)* \| *\n", "", text)


def _manual() -> Iterator[str]:
    """The language reference, as `help()` prints it."""
    try:
        from pydoc_data.topics import topics
    except ImportError:
        return
    for name in sorted(topics):
        yield topics[name].strip() + "\n"


def _names() -> Iterator[str]:
    """The names of characters."""
    for point in range(0x20, 0x1E00):
        name = unicodedata.name(chr(point), "")
        if name:
            yield f"{point:04X};{name};{unicodedata.category(chr(point))}\n"


def _properties() -> Iterator[str]:
    """How characters behave in text; none of them is among those named."""
    for point in range(0x1E00, 0xAC00):
        char = chr(point)
        if unicodedata.name(char, "CJK").split()[0] != "CJK":
            yield (
                f"U+{point:04x} category {unicodedata.category(char)} "
                f"direction {unicodedata.bidirectional(char)} "
                f"width {unicodedata.east_asian_width(char)} "
                f"combining {unicodedata.combining(char)}\n"
            )


def _entities() -> Iterator[str]:
    """Character references of HTML, as a table."""
    for name, text in sorted(html.entities.html5.items()):
        if name.endswith(";"):
            code = "".join(f"&#{ord(char)};" for char in text)
            yield f"<tr><td>&amp;{name}</td><td>{code}</td><td>{text}</td></tr>\n"


def _calendars() -> Iterator[str]:
    """A month a page, from 1900."""
    for year in range(1900, 2030):
        for month in range(1, 13):
            yield calendar.TextCalendar().formatmonth(year, month) + "\n"


def _dates() -> Iterator[str]:
    """One day after the other, in words."""
    for day in _days(date(1900, 1, 1), 1):
        ordinal = day.toordinal() - date(day.year, 1, 1).toordinal() + 1
        yield (
            f"{calendar.day_name[day.weekday()]} {day.day} {calendar.month_name[day.month]} "
            f"{day.year} is day {ordinal} of the year, in week {day.isocalendar()[1]}.\n"
        )


def _records() -> Iterator[str]:
    """Days as JSON."""
    for day in _days(date(1960, 1, 1), 5):
        record = {
            "date": day.isoformat(),
            "weekday": day.isoweekday(),
            "leap": calendar.isleap(day.year),
            "quarter": (day.month + 2) // 3,
        }
        yield json.dumps(record) + "\n"


def _days(first: date, step: int) -> Iterator[date]:
    for number in range(first.toordinal(), date(2030, 1, 1).toordinal(), step):
        yield date.fromordinal(number)


KINDS: dict[str, Callable[[], Iterator[str]]] = {
    "bytecode": _bytecode,
    "calendars": _calendars,
    "dates": _dates,
    "docstrings": _docstrings,
    "entities": _entities,
    "help": _help,
    "manual": _manual,
    "names": _names,
    "properties": _properties,
    "records": _records,
    "source": _source,
    "syntax": _syntax,
    "tokens": _tokens,
}
"""Each kind of text, as a function that yields pieces of it, always the same ones."""


def passages(kind: str) -> list[str]:
    """A kind's text, cut at line ends into passages, each different.

    Raises
    ------
    WorkError
        When this installation of Python carries too little of the text.
    """
    result: dict[str, None] = {}
    lines: list[str] = []
    length = total = 0
    for line in (line for piece in KINDS[kind]() for line in piece.splitlines(keepends=True)):
        lines.append(line)
        length += len(line)
        if length >= PASSAGE_CHARACTERS:
            result["".join(lines)] = None
            total += length
            lines, length = [], 0
        if total >= KIND_CHARACTERS:
            break
    if total < KIND_CHARACTERS // 4:
        raise WorkError(
            f"this installation of Python carries only {total} characters of the text "
            f"{kind!r} that the demo's models learn from, and {KIND_CHARACTERS // 4} are needed: "
            f"use a Python that has the sources of its standard library"
        )
    return list(result)
