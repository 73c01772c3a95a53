"""Parquet files: columns, types, values and metadata drawn; or bytes of a seed, blindly."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from mutate import blind, in_json

__all__ = ["parquet_bytes"]

_NAMES = ("model", "m0é", "m1é", "m2é", "gene", "probe", "completion", "x", "", "fullname", "ü\0")
_VALUES: tuple[tuple[Any, tuple[Any, ...]], ...] = (
    (pa.float64(), (0.0, 0.5, 1.0, float("nan"), float("inf"), -1.0, None)),
    (pa.int32(), (0, 1, 2, -1, 2**31 - 1, None)),
    (pa.int64(), (0, 1, 2**62, -(2**62), None)),
    (pa.string(), ("", "m0é", "m1é", "0.5", "a" * 300, "\u202e", None)),
    (pa.bool_(), (True, False, None)),
    (pa.binary(), (b"", b"\xff\xfe", None)),
    (pa.list_(pa.float64()), ([], [0.5, None], None)),
    (pa.struct([("a", pa.int32())]), ({"a": 1}, None)),
    (pa.timestamp("ns"), (0, 2**62, None)),
    (pa.decimal128(38, 10), (None,)),
    (pa.date64(), (0, 86_400_000 * 10**9, None)),
)


def parquet_bytes(rng: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """A file: of drawn columns, of a seed's with a column or the metadata changed, or of noise."""
    kind = rng.random()
    if not others:
        return _file(pa.table({"model": ["a", "b"], "mmlu": [0.5, 0.25]}), rng)
    if kind < 0.3:
        return blind(rng, data, others)
    try:
        table = pq.read_table(io.BytesIO(data))
        _ = table.column_names  # which may be no UTF-8
    except Exception:  # a seed that was changed already
        table = pa.table({})
    if kind < 0.5:
        rows = rng.choice((0, 1, 2, 3, 100))
        columns = [_column(rng, rows) for _ in range(rng.choice((0, 1, 2, 3, 4, 30)))]
        names = ["model"] * (rng.random() < 0.7) + [rng.choice(_NAMES) for _ in columns]
        table = pa.Table.from_arrays(columns, names=names[: len(columns)])
    elif kind < 0.8 and table.num_columns:
        at = rng.randrange(table.num_columns)
        column = _column(rng, table.num_rows)
        name = rng.choice((table.column_names[at], rng.choice(_NAMES)))
        field = pa.field(name, column.type, nullable=rng.random() < 0.5 or column.null_count > 0)
        table = table.set_column(at, field, column)
    metadata = {
        key: in_json(rng, value, others) if rng.random() < 0.5 else value
        for key, value in (table.schema.metadata or {}).items()
    }
    if rng.random() < 0.1:
        metadata = {b"pyphylo": json.dumps({"format": "pyphylo-store"}).encode()}
    return _file(table.replace_schema_metadata(metadata), rng)


def _column(rng: random.Random, rows: int) -> Any:
    kind, values = rng.choice(_VALUES)
    return pa.array([rng.choice(values) for _ in range(rows)], kind)


def _file(table: pa.Table, rng: random.Random) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, compression=rng.choice(("none", "zstd", "snappy")))
    return sink.getvalue()
