"""Completions as JSON lines: ``{"model": …, "gene": …, "completion": …}``, plain or gzipped."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pyphylo._expansion import GZIP_MAGIC, gunzipped
from pyphylo._names import clean_text
from pyphylo._storage import storage_at
from pyphylo.errors import FileFormatError, InputError
from pyphylo.genome import Genome
from pyphylo.sampling.base import ModelIdentity
from pyphylo.store import SampleStore

__all__ = ["ImportedRows", "import_completions", "json_lines", "json_object", "read_completions"]

_KEYS = ("model", "gene", "completion")


@dataclass
class ImportedRows:
    """Completions of one model, in the order of the file; probes are numbered within a gene."""

    genes: list[int] = field(default_factory=list)
    completions: list[str] = field(default_factory=list)

    def to_table(self) -> pa.Table:
        """Columns gene, probe, completion, sorted by gene, then probe."""
        genes = np.array(self.genes, dtype=np.int32)
        order = np.argsort(genes, kind="stable")
        ordered = genes[order]
        first = np.searchsorted(ordered, ordered, side="left")
        probes = (np.arange(len(ordered)) - first).astype(np.int32)
        texts = pa.array(self.completions, pa.string()).take(pa.array(order))
        return pa.table({"gene": ordered, "probe": probes, "completion": texts})


def json_lines(path: str | Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Line number and object of every line that is not blank.

    Raises
    ------
    InputError, FileFormatError
        When the file cannot be read, is cut, or a line is not a JSON object.
    """
    number = 0
    try:
        # Looked at, not read twice: it may be a pipe.
        with Path(path).open("rb") as raw:
            zipped = raw.peek(2)[:2] == GZIP_MAGIC
            lines: Iterable[bytes] = gunzipped(path, raw) if zipped else raw
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, json_object(line, f"{str(path)!r}, line {number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{str(path)!r} is damaged after line {number}: {error}") from None
    except FileNotFoundError:
        raise InputError(f"file {str(path)!r} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{str(path)!r} is a folder, not a file") from None
    except PermissionError:
        raise InputError(f"file {str(path)!r} may not be read") from None


def json_object(line: bytes | str, where: str) -> dict[str, Any]:
    """The JSON object in a line; `where` says in an error which line it is."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise FileFormatError(f"{where}: not JSON ({error})") from None
    if not isinstance(row, dict):
        raise FileFormatError(f"{where}: expected a JSON object, not {type(row).__name__}")
    return row


def read_completions(path: str | Path) -> tuple[list[str], dict[str, ImportedRows]]:
    """Genes in order of first appearance, and each model's rows.

    O(lines) time and memory.
    """
    genes: dict[str, int] = {}
    rows: dict[str, ImportedRows] = {}
    for number, row in json_lines(path):
        for key in _KEYS:
            if not isinstance(row.get(key), str):
                problem = "is not a string" if key in row else "is missing"
                raise FileFormatError(f"{str(path)!r}, line {number}: key {key!r} {problem}")
        if not row["model"] or not row["gene"]:
            raise FileFormatError(f"{str(path)!r}, line {number}: model and gene need a name")
        model = rows.setdefault(clean_text(row["model"]), ImportedRows())
        model.genes.append(genes.setdefault(clean_text(row["gene"]), len(genes)))
        model.completions.append(clean_text(row["completion"]))
    if not rows:
        raise FileFormatError(f"{str(path)!r} holds no completions")
    return list(genes), rows


def import_completions(
    path: str | Path, store: str | Path, genome: Genome | None = None
) -> tuple[SampleStore, list[str]]:
    """Put a file of completions into a store.

    Parameters
    ----------
    path : path
        JSON lines, plain or gzipped. Ragged is fine: any number of probes, genes
        missing.
    store : path or str
        A folder, or an address that fsspec knows: absent, empty, or a store of
        completions imported earlier.
    genome : Genome, optional
        The prompts, where known. By default the store's, or for a new store
        the genes of the file with unknown prompts.

    Returns
    -------
    store : SampleStore
    imported : list of str
        The models that were new. One that the store holds with the very same
        completions is passed over.

    Raises
    ------
    InputError
        When a gene is not in the genome, or a model is in the store with other
        completions.
    """
    genes, rows = read_completions(path)
    genome = _genome_for(genes, store, genome)
    positions = {gene: i for i, gene in enumerate(genome.genes)}
    for gene in genes:
        if gene not in positions:
            raise InputError(
                f"{str(path)!r}: gene {gene!r} is not in the genome; import into a new store, or "
                "name a genome that has it (--genome)"
            )
    tables = {}
    for name, model in rows.items():
        model.genes = [positions[genes[gene]] for gene in model.genes]
        table = model.to_table()
        tables[name] = (ModelIdentity(name, _digest(table), "import", "", ""), table)
    opened = SampleStore.open_or_create(store, genome, {"mode": "import"})
    fresh = [name for name, (identity, _) in tables.items() if not opened.has(identity)]
    for name in fresh:
        opened.write_table(*tables[name], {})
    return opened, fresh


def _genome_for(genes: list[str], store: str | Path, genome: Genome | None) -> Genome:
    if genome is not None:
        return genome
    if storage_at(store).has_file("manifest.json"):
        return SampleStore.open(store).genome
    return Genome(genes, [None] * len(genes))


def _digest(table: pa.Table) -> str:
    """A digest of all rows; probes follow from the order of genes."""
    state = hashlib.sha256(table.column("gene").to_numpy().tobytes())
    for text in table.column("completion").to_pylist():
        encoded = text.encode()
        state.update(len(encoded).to_bytes(8, "little") + encoded)
    return f"sha256:{state.hexdigest()}"
