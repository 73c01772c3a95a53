"""One shard of a store as a Parquet file: rows, and in its footer what they are."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pyphylo._formats import check_format_version
from pyphylo._names import check_names
from pyphylo._populations import format_version, schema_of, table_columns
from pyphylo._shard_seal import BROKEN, is_sealed, is_whole, sealed
from pyphylo._version import __version__
from pyphylo.errors import FileFormatError
from pyphylo.io._bounded_parquet import check_rows, decoded_strings
from pyphylo.sampling.base import ModelIdentity

__all__ = [
    "FORMAT",
    "VERSIONS",
    "DamagedShardError",
    "Shard",
    "ShardNote",
    "json_bytes",
    "read_metadata",
    "read_shard",
    "shard_bytes",
]

FORMAT = "pyphylo-store"
VERSIONS = (1, 2)


class DamagedShardError(FileFormatError):
    """A shard that is not what was written; one of a newer version is none."""


@dataclass(frozen=True)
class Shard:
    """One model's population as stored.

    Parameters
    ----------
    identity : ModelIdentity
    facts : mapping
        What the sampler found worth keeping (first token ids, BOS).
    table : pyarrow.Table
        Columns gene (int32, position in the genome), probe (int32),
        completion (string), in that order of rows; or, with probabilities,
        gene, completion, probability (float64), draws (int32), undecided and
        pruned (float64).
    """

    identity: ModelIdentity
    facts: Mapping[str, Any]
    table: pa.Table


@dataclass(frozen=True)
class ShardNote:
    """What a shard's footer says of it."""

    identity: ModelIdentity
    facts: Mapping[str, Any]


def shard_bytes(
    identity: ModelIdentity,
    table: pa.Table,
    facts: Mapping[str, Any],
    config: Mapping[str, Any],
    genome: str,
) -> bytes:
    """The file of a shard: the same bytes for the same population, whenever and wherever.

    Parameters
    ----------
    genome : str
        The genome's digest.
    """
    metadata = {
        "format": FORMAT,
        "version": format_version(config),
        "pyphylo": __version__,
        "identity": identity.to_dict(),
        "sampling": config,
        "genome": genome,
        "facts": dict(facts),
        "seal": 1,
    }
    table = table.cast(schema_of(config)).replace_schema_metadata({"pyphylo": json_bytes(metadata)})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sealed(sink.getvalue())


def read_shard(
    path: Path | str,
    data: bytes,
    config: Mapping[str, Any],
    genome: str,
    genes: int,
    *,
    counting_only: bool,
) -> Shard:
    """A shard, checked.

    Parameters
    ----------
    path : Path or str
        What errors name.
    data : bytes
        The file.
    config, genome : mapping, str
        The store's configuration, and its genome's digest.
    genes : int
        How many the genome has.
    counting_only : bool
        Without the columns probe and pruned, completions dictionary-encoded.

    Raises
    ------
    FileFormatError
        When it is damaged, or of another store.
    """
    if is_sealed(data) and not is_whole(data):
        raise _damaged(path, BROKEN)
    try:
        source = pa.BufferReader(data)
        with pq.ParquetFile(source, read_dictionary=["completion"]) as handle:
            schema = handle.metadata.schema.to_arrow_schema()
            # First: a newer version has columns of its own.
            note = _parse_metadata(path, schema, is_sealed(data), config, genome)
            expected = schema_of(config)
            if not schema.equals(expected):
                raise _damaged(path, f"its columns are not {', '.join(expected.names)}")
            check_rows(path, handle, len(data), 8 * len(schema))
            table = handle.read(
                columns=table_columns(config) if counting_only else None,
                use_threads=False,
            )
        _check_utf8(path, table.column("completion"))
        if not counting_only:
            at = table.schema.get_field_index("completion")
            texts = decoded_strings(path, table.column(at), len(data))
            table = table.set_column(at, expected.field("completion"), texts)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None
    if any(c.null_count for c in table.columns):
        raise _damaged(path, "it holds nulls")
    column = table.column("gene")
    limits = (pc.min(column).as_py(), pc.max(column).as_py())
    if len(column) and not 0 <= limits[0] <= limits[1] < genes:
        raise _damaged(path, "a gene outside the genome")
    return Shard(note.identity, note.facts, table)


def read_metadata(
    path: Path | str, end: bytes, config: Mapping[str, Any], genome: str
) -> ShardNote:
    """What the footer says; `end` is the file's last bytes, with all of the footer and the seal."""
    if is_sealed(end) and not is_whole(end, ends_only=True):
        raise _damaged(path, BROKEN)
    try:
        schema = pq.read_schema(pa.BufferReader(end))
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _damaged(path, error) from None
    return _parse_metadata(path, schema, is_sealed(end), config, genome)


def _parse_metadata(
    path: Path | str, schema: Any, has_seal: bool, config: Mapping[str, Any], genome: str
) -> ShardNote:
    try:
        metadata = json.loads((schema.metadata or {})[b"pyphylo"])
        if metadata["format"] != FORMAT:
            raise _damaged(path, "its footer is not that of a shard")
        check_format_version(f"shard {str(path)!r}", metadata["version"], VERSIONS)
        # Files of before there were seals do not speak of one.
        if ("seal" in metadata) != has_seal:
            raise _damaged(path, BROKEN)
        identity, facts = ModelIdentity(**metadata["identity"]), metadata["facts"]
        if not all(isinstance(value, str) for value in identity.to_dict().values()):
            raise _damaged(path, "its model's identity is no text")
        if not isinstance(facts, dict):
            raise _damaged(path, "its facts are no JSON object")
        check_names([identity.name], "model")
        _check_origin(path, metadata["genome"], metadata["sampling"], config, genome)
        return ShardNote(identity, facts)
    except FileFormatError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None


def _check_origin(
    path: Path | str, of: object, sampled: object, config: Mapping[str, Any], genome: str
) -> None:
    """Refuse a shard copied from a store of other genes or settings.

    It is not damaged, so nothing takes its place; but its numbers of genes would mean others here.
    """
    if not isinstance(sampled, dict):
        raise _damaged(path, "its settings are no JSON object")
    keys = sorted(config.keys() | sampled.keys())
    # A setting that is absent is one that is None, as where a store is opened.
    differs = next((key for key in keys if sampled.get(key) != config.get(key)), None)
    if of != genome:
        why = "is of another genome than the store"
    elif differs is not None:
        why = f"was sampled with {differs}={sampled.get(differs)!r}, not {config.get(differs)!r}"
    else:
        return
    raise FileFormatError(f"shard {str(path)!r} {why}: move it to a store of its own")


def _check_utf8(path: Path | str, column: Any) -> None:
    """Refuse texts that are none: Parquet says that they are UTF-8, and nobody checks."""
    for chunk in column.chunks:
        texts = chunk.dictionary if pa.types.is_dictionary(chunk.type) else chunk
        try:
            texts.validate(full=True)
        except pa.ArrowInvalid as error:
            raise _damaged(path, error) from None


def _damaged(path: Path | str, why: object) -> DamagedShardError:
    reason = " ".join(str(why).split())
    return DamagedShardError(
        f"shard {str(path)!r} is damaged ({reason}): the command that made it makes this one again"
    )


def json_bytes(value: object) -> bytes:
    """JSON as a store holds it: keys sorted, any text."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1)
    return (text + "\n").encode("utf-8", "backslashreplace")
