"""Inputs from seeds: bytes changed blindly, and changed where a format has its joints."""

from __future__ import annotations

import gzip
import io
import json
import random
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Mutation", "blind", "in_json", "in_json_lines", "in_zip", "zipped"]

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]

LONGEST = 1 << 18
"""Bytes of an input: longer ones are cut, for speed; bombs are seeds of their own tests."""

_NUMBERS = (
    b"0", b"-1", b"1e999", b"-1e999", b"NaN", b"nan", b"inf", b"1_0", b"0x10", b"2147483648",
    b"9223372036854775808", b"-9223372036854775809", b"18446744073709551616", b"1e-400",
    b"9" * 400, b"9" * 5000, b"4294967295", b"\xd9\xa3", b"1.", b".5", b"+",
)  # fmt: skip
_PIECES = (
    b"\0", b"\r\n", b"\r", b"\n", b"\t", b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\\ud800",
    b"\xed\xa0\x80", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\x1b[2J", b'"', b"'", b"''",
    b",", b";", b":", b"(", b")", b"[", b"]", b"{", b"}", b"<", b">", b"&", b"&lt;", b"&#0;",
    b"<!DOCTYPE a [<!ENTITY b 'c'>]>", b"<![CDATA[", b"]]>", b"<!--", b"null", b"true", b"../../x",
    b"/etc/passwd", b"=1+1", b"#NEXUS", b"BEGIN TREES;", b"TRANSLATE", b"END;", b"[&support=",
    b"<clade>", b"</clade>", b"<phylogeny>", b"e\xcc\x81", b"\xc3\xa9", b"\xf0\x9f\x8f\xb3",
)  # fmt: skip


def blind(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """One to six changes anywhere."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 3, 6))):
        _CHANGES[rng.randrange(len(_CHANGES))](rng, found, others)
        del found[LONGEST:]
    return bytes(found)


def _span(rng: random.Random, data: bytearray) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 1, 2, 4, 8, 64, 1024)))


def _flip(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((0, 1, 127, 128, 255, rng.randrange(256)))


def _cut(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    start, stop = _span(rng, data)
    del data[start:stop]


def _end(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    del data[rng.randrange(len(data) + 1) :]


def _repeat(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    start, stop = _span(rng, data)
    data[start:start] = bytes(data[start:stop]) * rng.choice((1, 2, 8, 64, 2048))


def _insert(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    start, stop = _span(rng, data)
    piece = rng.choice(rng.choice((_NUMBERS, _PIECES)))
    data[start : rng.choice((start, stop))] = piece * rng.choice((1, 1, 1, 2, 16, 4096))


def _word(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    start, _ = _span(rng, data)
    width = rng.choice((1, 2, 4, 8))
    value = rng.choice((0, 1, (1 << (8 * width)) - 1, 1 << (8 * width - 1), rng.getrandbits(16)))
    data[start : start + width] = (value % (1 << (8 * width))).to_bytes(width, "little")


def _cross(rng: random.Random, data: bytearray, others: Sequence[bytes]) -> None:
    other = rng.choice(others)
    start, stop = _span(rng, bytearray(other))
    at = rng.randrange(len(data) + 1)
    data[at:at] = other[start : rng.choice((stop, len(other)))]


_CHANGES = (_flip, _flip, _cut, _end, _repeat, _insert, _insert, _insert, _word, _cross)

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 1.5, float("nan"),
    float("inf"), "", "x", "\0", "\ud800", "\u202e", "\x1b]0;x\a", "../../x", "a" * 5000, [], {},
    [[]], [None], {"": None}, {"a": {"b": []}}, [0] * 100, ["x", 1], "NaN", "1e999",
)  # fmt: skip


def _changed(rng: random.Random, value: Any) -> Any:
    """A JSON value with one node, key or item changed. Nesting of seeds is shallow."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        kind = rng.random()
        if kind < 0.1:
            return {k: v for k, v in value.items() if k != key}
        if kind < 0.2:
            return {**value, rng.choice(("", "\ud800", "a,none", key + "x")): value[key]}
        return {**value, key: _changed(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        kind = rng.random()
        if kind < 0.1:
            return value[:at] + value[at + 1 :]
        if kind < 0.2:
            return value + value[at:]
        return [*value[:at], _changed(rng, value[at]), *value[at + 1 :]]
    return rng.choice(_VALUES)


def in_json(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A node changed, in what is JSON still; or bytes, blindly."""
    if rng.random() < 0.4:
        return blind(rng, data, others)
    try:
        value = json.loads(data)
        for _ in range(rng.choice((1, 1, 2, 4))):
            value = _changed(rng, value)
        return json.dumps(value).encode()
    except (ValueError, RecursionError):
        return blind(rng, data, others)


def in_json_lines(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The same in one line of several."""
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = in_json(rng, lines[at], others)
    return b"\n".join(lines)


def zipped(mutation: Mutation) -> Mutation:
    """Half of the time compressed as gzip behind the change, a tenth of those cut or changed."""

    def changed(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
        found = mutation(rng, data, others)
        if rng.random() < 0.5:
            found = gzip.compress(found, 1)
            found = blind(rng, found, others) if rng.random() < 0.1 else found
        return found

    return changed


def in_zip(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A member of an archive changed, its check sum right; or bytes, blindly."""
    if rng.random() < 0.2:
        return blind(rng, data, others)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:  # a seed that was changed already
        return blind(rng, data, others)
    for _ in range(rng.choice((1, 1, 2))):
        name = rng.choice(list(members))
        members[name] = _member(rng, members[name], list(members.values()))
    if rng.random() < 0.1:
        members.pop(rng.choice(list(members)))
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as out:
        for name, content in members.items():
            out.writestr(name if rng.random() < 0.98 else "../../" + name, content)
    return sink.getvalue()


_SHAPES = (
    b"(3, 3)", b"(3,)", b"()", b"(0,)", b"(-1,)", b"(1000000000000,)", b"(3, 0)", b"(2, 2, 2)",
    b"(99999999999999999999,)", b"(True,)", b"(1073741824, 1073741824, 1073741824)",
)  # fmt: skip
_DTYPES = (
    b"<f8", b">f8", b"<f4", b"|u1", b"<i8", b"<U3", b"|O", b"|S2", b"|b1", b"<c16", b"<M8[ns]",
    b"|V8", b"<f2", b"<U99999999",
)  # fmt: skip


def _member(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A NumPy array with another header or other numbers, or JSON inside one changed."""
    head, newline, body = data.partition(b"\n")
    start, stop = head.find(b"{"), head.rfind(b"}")
    kind = rng.random()
    if kind < 0.25 or not newline or start < 0:
        return blind(rng, data, others)
    fields = head[start : stop + 1]
    if body[:1] == b"{":
        body = in_json(rng, body, others)
        fields = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }" % len(body)
    elif kind < 0.5 and b"(" in fields and b")" in fields:
        shape = fields[fields.index(b"(") : fields.index(b")") + 1]
        fields = fields.replace(shape, rng.choice(_SHAPES))
    elif kind < 0.7 and b"'descr': '" in fields:
        named = fields.split(b"'descr': '")[1].split(b"'")[0]
        fields = fields.replace(b"'" + named + b"'", b"'" + rng.choice(_DTYPES) + b"'")
    else:
        body = blind(rng, body, others)
    fields = fields[: 1 << 15]
    fields += b" " * (-(len(fields) + 11) % 64)
    return b"\x93NUMPY\x01\x00" + (len(fields) + 1).to_bytes(2, "little") + fields + b"\n" + body
