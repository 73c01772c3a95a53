"""Completions as JSON lines: ``{"model": …, "gene": …, "completion": …}``, plain or gzipped."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pyphylo._expansion import GZIP_MAGIC, gunzipped
from pyphylo._files import close_paths, naming
from pyphylo._names import clean_text, did_you_mean
from pyphylo._storage import storage_at
from pyphylo.errors import FileFormatError, InputError
from pyphylo.genome import Genome
from pyphylo.io._spool import Spool, scratch_folder
from pyphylo.sampling.base import ModelIdentity
from pyphylo.store import SampleStore

__all__ = ["import_completions"]

_DIGEST_ROWS = 1 << 16
"""Rows that are packed at once."""
_KEYS = ("model", "gene", "completion")


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
        with naming(path), Path(path).open("rb") as raw:
            zipped = raw.peek(2)[:2] == GZIP_MAGIC
            lines: Iterable[bytes] = gunzipped(path, raw) if zipped else raw
            for number, line in enumerate(lines, 1):
                try:
                    row = json.loads(line)
                except (ValueError, RecursionError):
                    row = None
                if isinstance(row, dict):
                    yield number, row
                elif line.strip():
                    yield number, json_object(line, f"{str(path)!r}, line {number}")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FileFormatError(f"{str(path)!r} is damaged after line {number}: {error}") from None
    except FileNotFoundError:
        raise InputError(f"file {str(path)!r} does not exist{close_paths(path)}") from None
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


class _Numbers:
    """Names and their numbers, in order of first appearance."""

    def __init__(self) -> None:
        self._met: dict[str, int] = {}
        self._clean: dict[str, int] = {}
        self.find = self._met.get

    @property
    def names(self) -> list[str]:
        return list(self._clean)

    def add(self, name: str) -> int:
        """The number of a name as the file has it; half a character counts as U+FFFD."""
        number = self._clean.setdefault(clean_text(name), len(self._clean))
        self._met[name] = number
        return number


@dataclass(frozen=True)
class Completions:
    """What a file holds: names in order of first appearance, and the rows, by their numbers."""

    models: Sequence[str]
    genes: Sequence[str]
    rows: Spool

    def table(self, model: int, positions: NDArray[np.int32]) -> pa.Table:
        """Columns gene, probe, completion of a model, sorted by gene, then probe.

        Probes are numbered within a gene, in the order of the file. `positions` says where
        in the genome each of the file's genes is.
        """
        numbers, texts = self.rows.rows(model)
        genes = positions[numbers]
        order = np.argsort(genes, kind="stable")
        ordered = genes[order]
        first = np.searchsorted(ordered, ordered, side="left")
        probes = (np.arange(len(ordered)) - first).astype(np.int32)
        return pa.table({"gene": ordered, "probe": probes, "completion": texts.take(order)})


def read_completions(path: str | Path, rows: Spool) -> Completions:
    """Read a file of completions into a spool, each line checked.

    O(lines) time, and what the spool takes of memory.

    Raises
    ------
    InputError, FileFormatError
        As `json_lines` does; when a line lacks a key, or has something else than text there.
    """
    models, genes = _Numbers(), _Numbers()
    find_model, find_gene, add = models.find, genes.find, rows.add
    for number, row in json_lines(path):
        try:
            # A name that was met before needs no look.
            model, gene, text = find_model(row["model"]), find_gene(row["gene"]), row["completion"]
        except (KeyError, TypeError):
            model = gene = text = None
        if model is None or gene is None or type(text) is not str:
            _check_row(path, number, row)
            model, gene, text = models.add(row["model"]), genes.add(row["gene"]), row["completion"]
        add(model, gene, text)
    if not models.names:
        raise FileFormatError(f"{str(path)!r} holds no completions")
    return Completions(models.names, genes.names, rows)


def _check_row(path: str | Path, number: int, row: Mapping[str, Any]) -> None:
    for key in _KEYS:
        if not isinstance(row.get(key), str):
            problem = "is not a string" if key in row else "is missing"
            hint = "" if key in row else did_you_mean(key, row)
            raise FileFormatError(f"{str(path)!r}, line {number}: key {key!r} {problem}{hint}")
    if not row["model"] or not row["gene"]:
        raise FileFormatError(f"{str(path)!r}, line {number}: model and gene need a name")


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
        The models that were new, or whose shard was damaged. One that the store holds
        with the very same completions is passed over.

    Raises
    ------
    InputError
        When a gene is not in the genome, or a model is in the store with other
        completions.

    Notes
    -----
    O(rows) time. Memory for some hundred thousand rows and those of the largest model; what
    is more waits in a file without a name beside the store, about as large as the texts with
    12 bytes a row.
    """
    storage = storage_at(store)
    with Spool(scratch_folder(storage.beside(""))) as rows:
        found = read_completions(path, rows)
        genome = _genome_for(found.genes, store, genome)
        positions = _positions(found.genes, genome, path)
        opened = SampleStore.open_or_create(store, genome, {"mode": "import"})
        identities = {
            name: ModelIdentity(name, _digest(found.table(k, positions)), "import", "", "")
            for k, name in enumerate(found.models)
        }
        with opened.looked_through():
            fresh = {
                name: identity for name, identity in identities.items() if not opened.has(identity)
            }
        numbers = {name: k for k, name in enumerate(found.models)}
        for name, identity in fresh.items():
            table = found.table(numbers[name], positions)
            with opened.locked(name):
                if not opened.has(identity):  # or another process was quicker
                    opened.write_table(identity, table, {})
    return opened, list(fresh)


def _positions(genes: Sequence[str], genome: Genome, path: str | Path) -> NDArray[np.int32]:
    """Where in the genome each gene is."""
    places = {gene: i for i, gene in enumerate(genome.genes)}
    for gene in genes:
        if gene not in places:
            raise InputError(
                f"{str(path)!r}: gene {gene!r} is not in the genome; import into a new store, or "
                "name a genome that has it (--genome)"
            )
    return np.array([places[gene] for gene in genes], dtype=np.int32)


def _genome_for(genes: Sequence[str], store: str | Path, genome: Genome | None) -> Genome:
    if genome is not None:
        return genome
    if storage_at(store).has_file("manifest.json"):
        return SampleStore.open(store).genome
    return Genome(genes, [None] * len(genes))


def _digest(table: pa.Table) -> str:
    """A digest of all rows; probes follow from the order of genes.

    Of the genes' numbers, then of each text its length in 8 bytes and itself.
    """
    state = hashlib.sha256(table.column("gene").to_numpy().tobytes())
    for batch in table.select(["completion"]).to_batches(max_chunksize=_DIGEST_ROWS):
        state.update(_packed(batch.column(0)).tobytes())
    return f"sha256:{state.hexdigest()}"


def _packed(texts: pa.StringArray) -> NDArray[np.uint8]:
    """Of each text its length in 8 bytes, then itself."""
    _, offsets, data = texts.buffers()
    ends = np.frombuffer(offsets, np.int32)[texts.offset :][: len(texts) + 1].astype(np.int64)
    lengths = np.diff(ends)
    starts = ends[:-1] - ends[0] + 8 * np.arange(len(texts))
    packed = np.empty(lengths.sum() + 8 * len(texts), np.uint8)
    is_text = np.ones(len(packed), np.bool_)
    is_text[starts[:, None] + np.arange(8)] = False
    packed[~is_text] = lengths.astype("<i8").view(np.uint8)
    if len(packed) > 8 * len(texts):
        packed[is_text] = np.frombuffer(data, np.uint8)[ends[0] : ends[-1]]
    return packed
