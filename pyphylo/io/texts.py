"""Texts to cut prompts from: plain text, JSON lines, CSV and TSV, data sets of the Hub.

Files are UTF-8, with or without a byte order mark, plain or gzipped, and are
read whole.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import importlib
import io
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from pyphylo._expansion import GZIP_MAGIC, gunzipped
from pyphylo._files import read_bytes
from pyphylo._gene_cutting import TextSource, digest_of_texts
from pyphylo._names import clean_text, did_you_mean
from pyphylo.errors import FileFormatError, InputError, WorkError
from pyphylo.io.completions import json_object

__all__ = ["UNITS", "read_csv", "read_dataset", "read_json_lines", "read_plain", "read_texts"]

UNITS = ("paragraph", "line", "file")
"""What one text of a plain file is."""

_DELIMITERS = {".csv": ",", ".tsv": "\t"}


def read_texts(
    path: str | Path,
    *,
    field: str | Sequence[str] = "text",
    unit: str = "paragraph",
    max_texts: int | None = None,
) -> TextSource:
    """Read the texts of a file, by the end of its name.

    Parameters
    ----------
    path : path
        ``.jsonl`` or ``.ndjson``: JSON lines; ``.csv`` and ``.tsv``: a table with
        a header; any other: plain text. Each may end in ``.gz``.
    field : str or sequence of str
        The key of JSON lines, or the column of a table; of several names, the
        first that the first row has.
    unit : {"paragraph", "line", "file"}
        What one text of a plain file is; paragraphs end at blank lines.
    max_texts : int, optional
        Only the first ones.

    Raises
    ------
    InputError
        When the file cannot be read.
    FileFormatError
        When it is not UTF-8 or not well formed, or lacks the field: those it
        has are listed.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    suffix = next((s for s in reversed(suffixes) if s != ".gz"), "")
    if suffix in (".jsonl", ".ndjson"):
        return read_json_lines(path, field, max_texts)
    if suffix in _DELIMITERS:
        return read_csv(path, field, max_texts, delimiter=_DELIMITERS[suffix])
    return read_plain(path, unit, max_texts)


def read_plain(
    path: str | Path, unit: str = "paragraph", max_texts: int | None = None
) -> TextSource:
    """The paragraphs or lines of a text file, or all of it as one text."""
    if unit not in UNITS:
        raise InputError(f"unknown unit {unit!r}; known: {', '.join(map(repr, UNITS))}")

    def texts(content: str) -> Iterable[str]:
        content = content.replace("\r\n", "\n")
        separators = {"paragraph": "\n\n", "line": "\n"}
        pieces = content.split(separators[unit]) if unit in separators else [content]
        return (piece.strip("\n") for piece in pieces if piece.strip())

    return _from_file(path, {"kind": "text", "unit": unit}, texts, max_texts)


def read_json_lines(
    path: str | Path, field: str | Sequence[str] = "text", max_texts: int | None = None
) -> TextSource:
    """One text a line, under a key of its JSON object; null is no text."""
    facts = {"kind": "jsonl"}

    def rows(content: str) -> Iterator[tuple[str, dict[str, Any]]]:
        for number, line in enumerate(content.split("\n"), 1):
            if line.strip():
                where = f"{str(path)!r}, line {number}"
                yield where, json_object(line, where)

    return _from_file(path, facts, lambda content: _column(rows(content), field, facts), max_texts)


def read_csv(
    path: str | Path,
    field: str | Sequence[str] = "text",
    max_texts: int | None = None,
    *,
    delimiter: str = ",",
) -> TextSource:
    """One text a row, in a named column; an empty cell is no text."""
    facts = {"kind": "tsv" if delimiter == "\t" else "csv"}

    def texts(content: str) -> Iterator[str]:
        reader = csv.reader(io.StringIO(content, newline=""), delimiter=delimiter, strict=True)
        try:
            header = next(reader, [])
            facts["field"] = column = _field_of(header, field, f"{str(path)!r}, line 1", "column")
            if header.count(column) > 1:
                raise FileFormatError(f"{str(path)!r}: the first line names {column!r} twice")
            position = header.index(column)
            for cells in reader:
                if cells and len(cells) != len(header):
                    raise FileFormatError(
                        f"{str(path)!r}, line {reader.line_num}: {len(cells)} cells, not "
                        f"{len(header)}"
                    )
                if cells and cells[position]:
                    yield cells[position]
        except csv.Error as error:
            raise FileFormatError(f"{str(path)!r}, line {reader.line_num}: {error}") from None

    limit = csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    try:
        return _from_file(path, facts, texts, max_texts)
    finally:
        csv.field_size_limit(limit)


def read_dataset(
    name: str,
    field: str | Sequence[str] = "text",
    *,
    config: str | None = None,
    split: str = "train",
    revision: str | None = None,
    max_texts: int | None = 10_000,
) -> TextSource:
    """Texts of a data set that the ``datasets`` library can load.

    Parameters
    ----------
    name : str
        ``org/name`` on the Hub, or a folder of data files.
    field : str or sequence of str
        The column; of several names, the first that the first row has.
    config, split, revision : str, optional
        As `datasets.load_dataset` takes them.
    max_texts : int, optional
        Only the first ones, which alone are downloaded; None for all.

    Raises
    ------
    InputError
        When the library is not installed, there is no such data set, split or
        column: the columns that there are are listed.
    WorkError
        When the Hub cannot be reached.
    """
    try:
        library = importlib.import_module("datasets")
    except ImportError as error:
        raise InputError(
            f"data set {name!r}: the datasets library is needed and cannot be imported "
            f"({error}): pip install datasets"
        ) from None
    where = f"data set {name!r}, split {split!r}"
    facts: dict[str, Any] = {"kind": "dataset"}
    try:
        loaded = library.load_dataset(name, config, split=split, revision=revision, streaming=True)
        rows = ((f"{where}, row {number}", row) for number, row in enumerate(loaded))
        texts = [clean_text(text) for text in islice(_column(rows, field, facts), max_texts)]
    except (InputError, WorkError):
        raise
    except (FileNotFoundError, ValueError, RuntimeError) as error:
        raise InputError(f"{where} cannot be read: {error}") from None
    except OSError as error:
        raise WorkError(f"{where} cannot be reached: {error}") from None
    if not texts:
        raise InputError(f"{where} holds no text")
    optional = {"split": split, "config": config, "revision": revision, "max_texts": max_texts}
    facts |= {key: value for key, value in optional.items() if value is not None}
    # A local folder is named as a file is: without where it lies.
    shown = Path(name).name if Path(name).is_dir() else name
    return TextSource(shown, texts, digest_of_texts(texts), facts)


def _column(
    rows: Iterable[tuple[str, dict[str, Any]]], field: str | Sequence[str], facts: dict[str, Any]
) -> Iterator[str]:
    """The texts in a field of rows, each with where it stands; which field goes into `facts`."""
    for where, row in rows:
        # The first row decides for all.
        facts["field"] = name = _field_of(row, facts.get("field", field), where, "key")
        value = row[name]
        if value is not None and not isinstance(value, str):
            kind = type(value).__name__
            raise FileFormatError(
                f"{where}: key {name!r} holds no text but {str(value)[:40]!r} ({kind})"
            )
        if value is not None:
            yield value


def _field_of(row: Iterable[str], field: str | Sequence[str], where: str, what: str) -> str:
    wanted = [field] if isinstance(field, str) else list(field)
    there = list(row)
    for name in wanted:
        if name in there:
            return name
    raise FileFormatError(
        f"{where}: no text under {what} {_listed(wanted)}; there are: {_listed(there)} "
        f"(choose with --field){did_you_mean(wanted[0], there)}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _from_file(
    path: str | Path,
    facts: dict[str, Any],
    texts_in: Callable[[str], Iterable[str]],
    max_texts: int | None,
) -> TextSource:
    """The texts that `texts_in` finds in a file's text, with the digest of its bytes."""
    raw = read_bytes(path, "text")
    texts = list(islice(texts_in(_decoded(path, raw)), max_texts))
    if max_texts is not None:
        facts = {**facts, "max_texts": max_texts}
    if not texts:
        raise FileFormatError(f"{str(path)!r} holds no text")
    return TextSource(Path(path).name, texts, hashlib.sha256(raw).hexdigest(), facts)


def _decoded(path: str | Path, raw: bytes) -> str:
    if raw[:2] == GZIP_MAGIC:
        try:
            raw = gunzipped(path, io.BytesIO(raw)).read()
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise FileFormatError(f"{str(path)!r} is damaged: {error}") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # The codec counts from behind a byte order mark.
        place = error.start + len(raw) - len(error.object)
        line = raw.count(b"\n", 0, place) + 1
        raise FileFormatError(
            f"{str(path)!r} is not UTF-8 text: byte 0x{raw[place]:02x} at position {place} "
            f"(line {line}): {error.reason}"
        ) from None
