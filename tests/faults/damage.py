"""Every byte of every file of a store, changed one at a time; and every length it can be cut to."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pyphylo as pp
from pyphylo._table_cache import cached_table
from pyphylo.errors import PyphyloError
from pyphylo.sampling.base import Decided, ModelIdentity, Population, SamplingConfig
from pyphylo.store import SampleStore

__all__ = ["Damaged", "damages", "make_files", "told"]


@dataclass(frozen=True)
class Damaged:
    """A file and how to read it; a reader raises, naming the file, or gives what was stored."""

    kind: str
    path: Path
    read: Callable[[], object]
    whole: object


def make_files(folder: Path) -> list[Damaged]:
    """A file of each kind that a store, a table and a matrix leave."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    genome = pp.Genome(["g", "h"], ["one", "two"])
    found = []
    for mode, extra in (("sample", None), ("hybrid", [Decided({"ab": 0.5}, 0.5, 0.0)] * 2)):
        place = folder / mode
        store = SampleStore.open_or_create(
            place, genome, SamplingConfig(n_probes=2, mode=mode).to_dict()
        )
        for name in ("a", "b"):
            identity = ModelIdentity(name, "r", "drawn", "float32")
            population = Population([["ab", f"{name}c"], ["", "d"]], {"n": 2}, decided=extra)
            path = Path(store.write(identity, population))
        found.append(
            Damaged(f"shard, {mode}", path, _reader(place, "b"), _reader(place, "b")()),
        )
        found.append(
            Damaged(f"listing, {mode}", path, _lister(place), ("a", "b")),
        )
    place = folder / "sample"
    for name in ("manifest.json", "genome.jsonl"):
        found.append(Damaged(name, place / name, _opener(place), _opener(place)()))
    store = SampleStore.open(place)
    table = cached_table(store)
    kept = folder / "table.alleles"
    table.save(kept)
    found.append(Damaged("allele table", kept, lambda: pp.AlleleTable.load(kept), table))
    matrix = folder / "d.npz"
    D = pp.nei_distance(table)
    D.save(matrix)
    found.append(Damaged("matrix .npz", matrix, _matrix(matrix), _matrix(matrix)()))
    return found


def _reader(place: Path, name: str) -> Callable[[], object]:
    def read() -> object:
        shard = SampleStore.open(place).read(name)
        return shard.identity, dict(shard.facts), shard.table

    return read


def _lister(place: Path) -> Callable[[], object]:
    return lambda: SampleStore.open(place).models


def _opener(place: Path) -> Callable[[], object]:
    def read() -> object:
        store = SampleStore.open(place)
        return store.config, store.genome.genes, store.genome.prompts

    return read


def _matrix(path: Path) -> Callable[[], object]:
    def read() -> object:
        found = pp.DistanceMatrix.load(path)
        return found.ids, found.values.tolist()

    return read


def damages(data: bytes, *, every: int = 1, start: int = 0) -> Iterator[bytes]:
    """The bytes with one changed, in one bit and in all; and cut short before it."""
    for at in range(start, len(data), every):
        for mask in (1 << (at % 8), 0xFF):
            yield data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
        yield data[:at]


def told(file: Damaged, data: bytes) -> bool:
    """Whether damage was named; False where what is read is right all the same.

    Raises
    ------
    AssertionError
        When something else is read, or the error does not name the file.
    """
    file.path.write_bytes(data)
    try:
        found = file.read()
    except PyphyloError as error:
        place = file.path.parent if file.path.suffix in (".jsonl", ".json") else file.path
        assert str(place) in str(error), str(error)
        return True
    assert found == file.whole, (file.kind, found)
    return False
