"""SampleStore: one genome, one sampling configuration, one Parquet shard a model.

A store is a folder, or an address that fsspec knows (``s3://…``), with::

    manifest.json            what it is; written last, so a folder with one is whole
    genome.jsonl
    shards/NAME-KEY.parquet  gene (position in the genome), probe, completion

Where probabilities were read (modes "exact" and "hybrid") the columns are gene,
completion, probability (what logits alone give this text), draws (completions drawn
inside the undecided mass that were this text), and of the gene's whole cell undecided
(that mass) and pruned (mass neither worked out nor drawn). Texts there end where every
allele rule that the store admits does.

Each file is put into place whole, so a killed run loses at most the shard in flight.
Nothing in a store depends on when, where or in what order its shards were made.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo._files import close_paths
from pyphylo._manifest import manifest_bytes, read_manifest
from pyphylo._populations import format_version, population_rows
from pyphylo._shard_files import (
    DamagedShardError,
    Shard,
    ShardNote,
    json_bytes,
    read_metadata,
    read_shard,
    shard_bytes,
)
from pyphylo._shard_seal import is_sealed
from pyphylo._storage import Stamp, Storage, is_shard_file, storage_at
from pyphylo.errors import FileFormatError, InputError, PyphyloWarning
from pyphylo.genome import Genome
from pyphylo.sampling.base import ModelIdentity, Population

if TYPE_CHECKING:
    import pyarrow as pa

    from pyphylo.alleles import AlleleRule

__all__ = ["SampleStore", "Shard"]

_BEGUN = re.compile(r"genome\.jsonl|(genome\.jsonl|manifest\.json)(\.[0-9a-f]+)?\.part|shards")
_SAMPLED_STRIP = (" ", "\n")
"""What a sampler strips before it counts characters."""


class SampleStore:
    """A folder of populations. Open one with `open`, or `open_or_create`.

    Attributes
    ----------
    path : Path or str
        The folder; a str where it is an address, such as ``s3://bucket/store``.
    genome : Genome
    config : dict
        The sampling configuration, or ``{"mode": "import", ...}``.
    """

    def __init__(self, path: str | Path, genome: Genome, config: Mapping[str, Any]) -> None:
        self._storage = storage_at(path)
        self.path = self._storage.place
        self.genome = genome
        self.config = dict(config)
        self._told: set[str] = set()

    @cached_property
    def _genome_digest(self) -> str:
        return self.genome.digest

    def __repr__(self) -> str:
        return f"SampleStore({str(self.path)!r}, {len(self.genome)} genes)"

    # -- opening -----------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | Path) -> SampleStore:
        """Open an existing store.

        Parameters
        ----------
        path : path or str
            A folder, or an address that fsspec knows.

        Raises
        ------
        InputError
            When there is no such folder, or it is not a store; when the address needs a
            package that is missing.
        """
        return cls._open(storage_at(path), path)

    @classmethod
    def _open(cls, storage: Storage, path: str | Path) -> SampleStore:
        if not storage.has_file("manifest.json"):
            kind = storage.kind()
            if kind == "file":
                raise InputError(f"{str(path)!r} is a file; a store is a folder")
            if kind == "absent":
                raise InputError(f"store {str(path)!r} does not exist{close_paths(path)}")
            raise InputError(
                f"folder {str(path)!r} is not a pyphylo store: it has no manifest.json"
            )
        data = storage.read("manifest.json", "manifest")
        digest, config = read_manifest(data, storage.full("manifest.json"))
        genome = Genome._from_jsonl(
            storage.read("genome.jsonl", "genome"), str(storage.full("genome.jsonl"))
        )
        if genome.digest != digest:
            raise FileFormatError(
                f"store {str(path)!r}: genome.jsonl was changed after the store was made"
            )
        return cls(storage.place, genome, config)

    @classmethod
    def open_or_create(
        cls, path: str | Path, genome: Genome, config: Mapping[str, Any]
    ) -> SampleStore:
        """Open the store at `path`, made new where the folder is absent or empty.

        Raises
        ------
        InputError
            When the folder is something else, or a store of another genome or
            configuration; the difference is named. When it may not be written to.
        """
        storage = storage_at(path)
        _check_folder(storage, path)
        storage.check_writable()
        if not storage.has_file("manifest.json"):
            with storage.lock():
                if not storage.has_file("manifest.json"):
                    cls._create(storage, genome, config)
        store = cls._open(storage, path)
        store._check_same(genome, config)
        return store

    @staticmethod
    def _create(storage: Storage, genome: Genome, config: Mapping[str, Any]) -> None:
        """Put the genome and then the manifest; where nothing locks, who comes first stays."""
        storage.make()
        data = genome._to_jsonl(genome.provenance)
        begun = not storage.put("genome.jsonl", data, replace=False)
        if begun and not storage.has_file("manifest.json"):
            storage.put("genome.jsonl", data)  # of a run that was killed here
        manifest = manifest_bytes(genome.digest, config)
        storage.put("manifest.json", manifest, replace=False)

    def _check_same(self, genome: Genome, config: Mapping[str, Any]) -> None:
        if genome.digest != self.genome.digest:
            raise InputError(
                f"store {str(self.path)!r} holds another genome "
                f"({_difference(self.genome, genome)}); use another folder{self._or_remove()}"
            )
        # The mode first: other settings follow from it.
        for key in sorted(self.config.keys() | config.keys(), key=lambda key: (key != "mode", key)):
            if self.config.get(key) != config.get(key):
                raise InputError(
                    f"store {str(self.path)!r} was sampled with {key}={self.config.get(key)!r}, "
                    f"not {config.get(key)!r}; use another folder or that setting"
                    f"{self._or_remove()}"
                )

    def _or_remove(self) -> str:
        return "" if self.models else ", or remove this one: it holds no model yet"

    # -- shards ------------------------------------------------------------------------

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models with a finished shard, sorted."""
        return tuple(sorted(self._shards()))

    def _shards(self) -> dict[str, str]:
        """The shard of each model, in ``shards``. Reads every shard's footer; O(models)."""
        found: dict[str, str] = {}
        for file, metadata in self._footers(self._files()):
            name = metadata.identity.name
            if name in found:
                raise FileFormatError(f"two shards are of model {name!r}: {found[name]} and {file}")
            found[name] = file
        return found

    def _files(self, start: str = "") -> list[str]:
        """Shard files whose names begin so, sorted."""
        names = self._storage.names("shards")
        found = islice(names, bisect_left(names, start), None)
        return list(filter(is_shard_file, takewhile(lambda name: name.startswith(start), found)))

    def _footers(self, files: Sequence[str]) -> Iterator[tuple[str, ShardNote]]:
        """What the footers of shards say."""
        footers = self._storage.footers([f"shards/{file}" for file in files])
        for file, (name, end) in zip(files, footers, strict=True):
            path = self._storage.full(name)
            yield file, read_metadata(path, end, self.config, self._genome_digest)

    def _stamps(self) -> dict[str, Stamp]:
        """Shard files, and what tells their versions apart."""
        return self._storage.stamps("shards")

    def identity(self, name: str) -> ModelIdentity | None:
        """The identity of a stored model; None where it has no shard whose footer is whole.

        Warns
        -----
        PyphyloWarning
            When the footer of a shard of this name is damaged.
        """
        for file in self._files(f"{_slug(name)}-"):
            note = self._note(file)
            if note is not None and note.identity.name == name:
                return note.identity
        return None

    def _find(self, name: str) -> tuple[str, ShardNote] | None:
        """The shard of a model, found by the part of its file name that the name fixes."""
        return next(self._found(name), None)

    def _found(self, name: str) -> Iterator[tuple[str, ShardNote]]:
        for file, metadata in self._footers(self._files(f"{_slug(name)}-")):
            if metadata.identity.name == name:
                yield file, metadata

    @contextmanager
    def looked_through(self) -> Iterator[None]:
        """Ask for many models: folders are listed once; at an address all are looked up at once."""
        with self._storage.held_still():
            if not self._storage.locks:
                self._shards()
            yield

    def has(self, identity: ModelIdentity) -> bool:
        """Whether this very model is stored, in a shard that is whole.

        Of a folder the shard is read; at an address, where files are not damaged on a disk
        of ours, its footer.

        Raises
        ------
        InputError
            When the name is taken by another revision, dtype or tokenization.

        Warns
        -----
        PyphyloWarning
            When the model's shard is damaged, and so is taken for absent.
        """
        ours = self.shard_name(identity) if self._storage.locks else None
        for file in self._files(f"{_slug(identity.name)}-"):
            note = self._note(file, whole=file == ours)
            if note is not None and note.identity.name == identity.name:
                self._check_identity(note.identity, identity)
                return True
        return False

    def _note(self, file: str, *, whole: bool = False) -> ShardNote | None:
        """What a shard says of itself; None where it is damaged, which is told once.

        Of a `whole` one all is read. File names are fixed by names of models, so a file whose
        footer cannot be read is of the model that it was looked up for.
        """
        try:
            if whole:
                ((name, data),) = self._storage.sources([f"shards/{file}"])
                # The seal is of all columns.
                shard = self._read_shard(
                    self._storage.full(name), data, counting_only=is_sealed(data)
                )
                note = ShardNote(shard.identity, shard.facts)
            else:
                ((_, note),) = self._footers([file])
        except FileFormatError as error:
            if not whole and not isinstance(error, DamagedShardError):
                raise
            if file not in self._told:
                self._told.add(file)
                # To who called `has` or `identity`.
                warnings.warn(f"{error}; it is taken for absent", PyphyloWarning, stacklevel=3)
            return None
        return note

    def _check_identity(self, stored: ModelIdentity, now: ModelIdentity) -> None:
        if stored != now:
            if now.engine == "import" == stored.engine:
                raise InputError(
                    f"store {str(self.path)!r} holds model {now.name!r} with other completions; "
                    "all of a model come from one file: use another folder, or remove "
                    f"shards/{self.shard_name(stored)} first"
                )
            old, new = stored.to_dict(), now.to_dict()
            key = next(key for key in old if old[key] != new[key])
            raise InputError(
                f"store {str(self.path)!r} holds model {now.name!r} with {key} {old[key]!r}, "
                f"now it has {new[key]!r}: give it another name (label=MODEL) or use another folder"
            )

    def read(self, name: str) -> Shard:
        """One model's population.

        Raises
        ------
        InputError
            When the store has no such model.
        FileFormatError
            When the shard is damaged.
        """
        found = self._find(name)
        # A file that somebody renamed is listed among the models, too.
        file = self._shards().get(name) if found is None else found[0]
        if file is None:
            raise InputError(f"store {str(self.path)!r} has no model {name!r}")
        return next(self._read_shards([file]))

    def shards(self) -> Iterator[Shard]:
        """Every population, in the order of `models`, one at a time in memory.

        Without the columns probe and pruned, and with completions dictionary-encoded: each
        text that a shard repeats comes once. From an address a few come at a time, 64 MiB
        of files at most or one.

        Raises
        ------
        FileFormatError
            When a shard is damaged.
        """
        files = [file for _, file in sorted(self._shards().items())]
        return self._read_shards(files, counting_only=True)

    def _read_shards(self, files: Sequence[str], *, counting_only: bool = False) -> Iterator[Shard]:
        """The populations of shard files, in their order."""
        for name, data in self._storage.sources([f"shards/{file}" for file in files]):
            yield self._read_shard(self._storage.full(name), data, counting_only=counting_only)

    def _read_shard(self, path: Path | str, data: bytes, *, counting_only: bool = False) -> Shard:
        origin = (self.config, self._genome_digest, len(self.genome))
        return read_shard(path, data, *origin, counting_only=counting_only)

    def has_shard(self, file: str) -> bool:
        """Whether there is a shard file of this name, see `shard_name`."""
        return self._storage.has_file(f"shards/{file}")

    # -- writing -----------------------------------------------------------------------

    @property
    def address(self) -> str:
        """The folder's absolute path or the address: the store as any process may open it."""
        return self._storage.address

    def beside(self, suffix: str) -> Path:
        """Where something is kept that belongs to the store but not into it.

        Beside a folder, ``STORE`` and the suffix; for an address in the user's cache
        folder. Nothing is made there.
        """
        return self._storage.beside(suffix)

    def locked(self, name: str) -> AbstractContextManager[None]:
        """Let no other process that asks for the lock of this model write its shard meanwhile.

        Shards of other models are written at the same time, and readers wait for nobody.
        Nobody can be kept out of an address: see `keep`.

        Raises
        ------
        WorkError
            When another holds it for two minutes.
        """
        return self._storage.lock(_slug(name))

    def keep(self, identity: ModelIdentity, population: Population) -> bool:
        """Store a population, unless another process has stored the model by now.

        A shard that `has` found damaged is replaced. Where nothing locks, two may store one
        model at a time. Of the same shard the first stays. Of two that differ in more than
        their content the one whose file name is smaller stays, whoever sees both: all come to
        the same.

        Returns
        -------
        bool
            Whether it was stored here.

        Raises
        ------
        InputError
            When it is not what the store's mode asks for, or another with the same name
            was stored meanwhile.
        """
        table = population_rows(population, self.config, identity.engine)
        damaged = self.shard_name(identity) in self._told
        here = self._put(identity, table, population.facts, replace=damaged)
        if not self._storage.locks:
            (_, stays), *others = self._found(identity.name)
            for file, _ in others:
                self._storage.remove(f"shards/{file}")
            self._check_identity(stays.identity, identity)
        return here

    def write(self, identity: ModelIdentity, population: Population) -> Path | str:
        """Store a population read for every gene; the shard is replaced atomically.

        Returns
        -------
        Path or str
            The shard.

        Raises
        ------
        InputError
            When it is not what the store's mode asks for.
        """
        table = population_rows(population, self.config, identity.engine)
        return self.write_table(identity, table, population.facts)

    def write_table(
        self, identity: ModelIdentity, table: pa.Table, facts: Mapping[str, Any]
    ) -> Path | str:
        """Store rows that may be ragged; see `Shard.table`."""
        self._put(identity, table, facts, replace=True)
        return self._storage.full(f"shards/{self.shard_name(identity)}")

    def _put(
        self,
        identity: ModelIdentity,
        table: pa.Table,
        facts: Mapping[str, Any],
        *,
        replace: bool,
    ) -> bool:
        data = shard_bytes(identity, table, facts, self.config, self._genome_digest)
        ours = self.shard_name(identity)
        here = self._storage.put(f"shards/{ours}", data, replace=replace)
        self._told.discard(ours)
        self._remove_damaged(identity.name)
        return here

    def _remove_damaged(self, name: str) -> None:
        """Remove what was found damaged of a model that is stored now, under another file name."""
        for file in [each for each in self._told if each.startswith(f"{_slug(name)}-")]:
            # It may have been made again by another process.
            if self._storage.has_file(f"shards/{file}") and self._note(file, whole=True) is None:
                self._storage.remove(f"shards/{file}")
            self._told.discard(file)

    def shard_name(self, identity: ModelIdentity) -> str:
        """File name of a shard: readable, and keyed by all that determines its content."""
        key = {
            "identity": identity.to_dict(),
            "sampling": self.config,
            "genome": self._genome_digest,
        }
        digest = hashlib.sha256(json_bytes(key)).hexdigest()[:16]
        return f"{_slug(identity.name)}-{digest}.parquet"

    # -- rules -------------------------------------------------------------------------

    def check_rule(self, rule: AlleleRule) -> None:
        """Refuse a rule that wants more characters than the probes were sampled for.

        Raises
        ------
        InputError
        """
        chars = self.config.get("chars")
        if chars is None:
            return
        if rule.chars > chars:
            raise InputError(
                f"store {str(self.path)!r} was sampled until {chars} characters; alleles of "
                f"{rule.chars} need a new store, sampled with chars={rule.chars}"
            )
        if rule.normalize is not None and format_version(self.config) > 1:
            raise InputError(
                f"the rule normalises to {rule.normalize}, but store {str(self.path)!r} keeps "
                f"{chars} characters of each text: alleles could come out too short"
            )
        if rule.strip != _SAMPLED_STRIP[: len(rule.strip)]:
            raise InputError(
                f"the rule strips {list(rule.strip)!r}, but the store's probes end {chars} "
                f"characters after {list(_SAMPLED_STRIP)!r}: alleles could come out too short"
            )


def check_store_folder(path: str | Path) -> bool:
    """Refuse a folder that is neither absent, empty, nor a store of ours (begun or whole).

    And one that may not be written to. Returns whether a whole store is there.
    """
    storage = storage_at(path)
    _check_folder(storage, path)
    storage.check_writable()
    return storage.has_file("manifest.json")


def _check_folder(storage: Storage, path: str | Path) -> None:
    kind = storage.kind()
    if kind == "file":
        raise InputError(f"{str(path)!r} is a file; a store is a folder")
    if kind == "absent" or storage.has_file("manifest.json"):
        return
    # A run killed while it made the store leaves these, and no manifest.
    foreign = [name for name in storage.names() if not _BEGUN.fullmatch(name)]
    if storage.names("shards"):
        foreign.append("shards")
    # Another process may have made the store between the two looks.
    if foreign and not storage.has_file("manifest.json"):
        raise InputError(
            f"folder {str(path)!r} is not a pyphylo store and not empty (it holds {foreign[0]!r}); "
            "name another folder"
        )


def _slug(name: str) -> str:
    """The start of a shard's file name: safe on any file system, fixed by the model's name."""
    readable = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[-48:] or "model"
    return f"{readable}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _difference(ours: Genome, theirs: Genome) -> str:
    """Where two genomes first differ."""
    if len(ours) != len(theirs):
        return f"{len(ours)} genes, not {len(theirs)}"
    pairs: Sequence[tuple[Any, Any]] = list(zip(ours, theirs, strict=True))
    gene = next(a[0] for a, b in pairs if a != b)
    return f"they differ from gene {gene!r} on"
