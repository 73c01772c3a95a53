"""SampleStore: one genome, one sampling configuration, one Parquet shard a model.

A store is a folder::

    manifest.json            what it is; written last, so a folder with one is whole
    genome.jsonl
    shards/NAME-KEY.parquet  gene (position in the genome), probe, completion

Where probabilities were read (modes "exact" and "hybrid") the columns are gene,
completion, probability (what logits alone give this text), draws (completions drawn
inside the undecided mass that were this text), and of the gene's whole cell undecided
(that mass) and pruned (mass neither worked out nor drawn). Texts there end where every
allele rule that the store admits does.

Each file is written whole and renamed into place, so a killed run loses at most
the shard in flight. Nothing in a store depends on when, where or in what order
its shards were made.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pyphylo._files import atomic_path, atomic_write_bytes
from pyphylo._populations import format_version, population_rows, schema_of, table_columns
from pyphylo._version import __version__
from pyphylo.errors import FileFormatError, InputError, WorkError
from pyphylo.genome import Genome
from pyphylo.sampling.base import ModelIdentity, Population

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleRule

__all__ = ["SampleStore", "Shard"]

_FORMAT = "pyphylo-store"
_LOCK_SECONDS = 120
_VERSIONS = (1, 2)
_SAMPLED_STRIP = (" ", "\n")
"""What a sampler strips before it counts characters."""


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


class SampleStore:
    """A folder of populations. Open one with `open`, or `open_or_create`.

    Attributes
    ----------
    path : Path
    genome : Genome
    config : dict
        The sampling configuration, or ``{"mode": "import", ...}``.
    """

    def __init__(self, path: Path, genome: Genome, config: Mapping[str, Any]) -> None:
        self.path = path
        self.genome = genome
        self.config = dict(config)

    def __repr__(self) -> str:
        return f"SampleStore({str(self.path)!r}, {len(self.genome)} genes)"

    # -- opening -----------------------------------------------------------------------

    @classmethod
    def open(cls, path: str | Path) -> SampleStore:
        """Open an existing store.

        Raises
        ------
        InputError
            When there is no such folder, or it is not a store.
        """
        folder = _local(path)
        manifest_path = folder / "manifest.json"
        if not folder.is_dir():
            raise InputError(f"store {str(path)!r} does not exist")
        if not manifest_path.is_file():
            raise InputError(
                f"folder {str(path)!r} is not a pyphylo store: it has no manifest.json"
            )
        try:
            manifest = json.loads(manifest_path.read_bytes())
        except (ValueError, RecursionError):
            manifest = None
        if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
            raise FileFormatError(f"{str(manifest_path)!r} is not the manifest of a pyphylo store")
        if manifest.get("version") not in _VERSIONS:
            raise FileFormatError(
                f"store {str(path)!r} has version {manifest.get('version')!r}; this pyphylo reads "
                f"versions {' and '.join(map(str, _VERSIONS))}"
            )
        genome = Genome.load(folder / "genome.jsonl")
        if genome.digest != manifest.get("genome"):
            raise FileFormatError(
                f"store {str(path)!r}: genome.jsonl was changed after the store was made"
            )
        return cls(folder, genome, manifest["sampling"])

    @classmethod
    def open_or_create(
        cls, path: str | Path, genome: Genome, config: Mapping[str, Any]
    ) -> SampleStore:
        """Open the store at `path`, made new where the folder is absent or empty.

        Raises
        ------
        InputError
            When the folder is something else, or a store of another genome or
            configuration; the difference is named.
        """
        check_store_folder(path)
        folder = Path(path)
        if not (folder / "manifest.json").is_file():
            with _one_writer(folder):
                if not (folder / "manifest.json").is_file():
                    cls._create(folder, genome, config)
        store = cls.open(folder)
        store._check_same(genome, config)
        return store

    @staticmethod
    def _create(folder: Path, genome: Genome, config: Mapping[str, Any]) -> None:
        (folder / "shards").mkdir(parents=True, exist_ok=True)
        genome.save(folder / "genome.jsonl")
        manifest = {
            "format": _FORMAT,
            "version": format_version(config),
            "genome": genome.digest,
            "sampling": dict(config),
        }
        atomic_write_bytes(folder / "manifest.json", _json_bytes(manifest))

    def _check_same(self, genome: Genome, config: Mapping[str, Any]) -> None:
        if genome.digest != self.genome.digest:
            raise InputError(
                f"store {str(self.path)!r} holds another genome "
                f"({_difference(self.genome, genome)}); use another folder"
            )
        for key in sorted(self.config.keys() | config.keys()):
            if self.config.get(key) != config.get(key):
                raise InputError(
                    f"store {str(self.path)!r} was sampled with {key}={self.config.get(key)!r}, "
                    f"not {config.get(key)!r}; use another folder or that setting"
                )

    # -- shards ------------------------------------------------------------------------

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models with a finished shard, sorted."""
        return tuple(sorted(self._shards()))

    def _shards(self) -> dict[str, Path]:
        """The shard of each model. Reads every shard's footer; O(models)."""
        found: dict[str, Path] = {}
        folder = self.path / "shards"
        paths = sorted(folder.glob("*.parquet")) if folder.is_dir() else []
        for path in paths:
            name = _read_metadata(path).identity.name
            if name in found:
                raise FileFormatError(
                    f"two shards are of model {name!r}: {found[name].name} and {path.name}"
                )
            found[name] = path
        return found

    def identity(self, name: str) -> ModelIdentity | None:
        """The identity of a stored model; None where it has no shard."""
        path = self._find(name)
        return None if path is None else _read_metadata(path).identity

    def _find(self, name: str) -> Path | None:
        """The shard of a model, found by the part of its file name that the name fixes."""
        for path in sorted((self.path / "shards").glob(f"{_slug(name)}-*.parquet")):
            if _read_metadata(path).identity.name == name:
                return path
        return None

    def has(self, identity: ModelIdentity) -> bool:
        """Whether this very model is stored.

        Raises
        ------
        InputError
            When the name is taken by another revision, dtype or tokenization.
        """
        stored = self.identity(identity.name)
        if stored is None:
            return False
        if stored != identity:
            old, new = stored.to_dict(), identity.to_dict()
            key = next(key for key in old if old[key] != new[key])
            raise InputError(
                f"store {str(self.path)!r} holds model {identity.name!r} with {key} {old[key]!r}, "
                f"now it has {new[key]!r}: give it another name (label=MODEL) or use another folder"
            )
        return True

    def read(self, name: str) -> Shard:
        """One model's population.

        Raises
        ------
        InputError
            When the store has no such model.
        FileFormatError
            When the shard is damaged.
        """
        path = self._find(name)
        if path is None:
            raise InputError(f"store {str(self.path)!r} has no model {name!r}")
        return self._read_shard(path)

    def shards(self) -> Iterator[Shard]:
        """Every population, in the order of `models`, one at a time in memory.

        Without the columns probe and pruned, and with completions dictionary-encoded: each
        text that a shard repeats comes once.

        Raises
        ------
        FileFormatError
            When a shard is damaged.
        """
        for _, path in sorted(self._shards().items()):
            yield self._read_shard(path, counting_only=True)

    def _read_shard(self, path: Path, *, counting_only: bool = False) -> Shard:
        try:
            with pq.ParquetFile(
                str(path), read_dictionary=["completion"] if counting_only else None
            ) as handle:
                schema = handle.metadata.schema.to_arrow_schema()
                expected = schema_of(self.config)
                if not schema.equals(expected):
                    raise _damaged(path, f"its columns are not {', '.join(expected.names)}")
                metadata = _parse_metadata(path, schema)
                table = handle.read(
                    columns=table_columns(self.config) if counting_only else None,
                    use_threads=False,
                )
        except (pa.ArrowException, OSError) as error:
            raise _damaged(path, error) from None
        if any(c.null_count for c in table.columns):
            raise _damaged(path, "it holds nulls")
        genes = table.column("gene")
        limits = (pc.min(genes).as_py(), pc.max(genes).as_py())
        if len(genes) and not 0 <= limits[0] <= limits[1] < len(self.genome):
            raise _damaged(path, "a gene outside the genome")
        return Shard(metadata.identity, metadata.facts, table)

    def locked(self) -> AbstractContextManager[None]:
        """Let no other process that asks for this lock write meanwhile.

        Raises
        ------
        WorkError
            When another holds it for two minutes.
        """
        return _one_writer(self.path)

    def write(self, identity: ModelIdentity, population: Population) -> Path:
        """Store a population read for every gene; the shard is replaced atomically.

        Raises
        ------
        InputError
            When it is not what the store's mode asks for.
        """
        table = population_rows(population, self.config, identity.engine)
        return self.write_table(identity, table, population.facts)

    def write_table(
        self, identity: ModelIdentity, table: pa.Table, facts: Mapping[str, Any]
    ) -> Path:
        """Store rows that may be ragged; see `Shard.table`."""
        metadata = {
            "format": _FORMAT,
            "version": format_version(self.config),
            "pyphylo": __version__,
            "identity": identity.to_dict(),
            "sampling": self.config,
            "genome": self.genome.digest,
            "facts": dict(facts),
        }
        table = table.cast(schema_of(self.config)).replace_schema_metadata(
            {"pyphylo": _json_bytes(metadata)}
        )
        target = self.path / "shards" / self.shard_name(identity)
        target.parent.mkdir(exist_ok=True)
        atomic_path(target, lambda part: pq.write_table(table, str(part), compression="zstd"))
        return target

    def shard_name(self, identity: ModelIdentity) -> str:
        """File name of a shard: readable, and keyed by all that determines its content."""
        key = {
            "identity": identity.to_dict(),
            "sampling": self.config,
            "genome": self.genome.digest,
        }
        digest = hashlib.sha256(_json_bytes(key)).hexdigest()[:16]
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


@contextmanager
def _one_writer(folder: Path) -> Iterator[None]:
    """Let one process at a time write; the lock is a file beside the store, ``STORE.lock``."""
    from filelock import FileLock, Timeout

    resolved = folder.resolve()
    resolved.parent.mkdir(parents=True, exist_ok=True)
    lock = resolved.with_name(resolved.name + ".lock")
    try:
        with FileLock(lock, timeout=_LOCK_SECONDS):
            yield
            # Whoever waits holds the file open and looks again: it is of no more use.
            lock.unlink(missing_ok=True)
    except Timeout:
        raise WorkError(
            f"store {str(folder)!r} is being written by another process for {_LOCK_SECONDS} s: if "
            f"there is none, delete {str(lock)!r}"
        ) from None


def check_store_folder(path: str | Path) -> None:
    """Refuse a folder that is neither absent, empty, nor a store of ours (begun or whole)."""
    folder = _local(path)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(path)!r} is a file; a store is a folder")
    if not folder.is_dir() or (folder / "manifest.json").is_file():
        return
    # A run killed while it made the store leaves these, and no manifest.
    begun = {"genome.jsonl", "genome.jsonl.part", "manifest.json.part", "shards"}
    foreign = sorted(entry.name for entry in folder.iterdir() if entry.name not in begun)
    if (folder / "shards").is_dir() and any((folder / "shards").iterdir()):
        foreign.append("shards")
    # Another process may have made the store between the two looks.
    if foreign and not (folder / "manifest.json").is_file():
        raise InputError(
            f"folder {str(path)!r} is not a pyphylo store and not empty (it holds {foreign[0]!r}); "
            "name another folder"
        )


def _local(path: str | Path) -> Path:
    """The folder; an address would become one of a strange name in the working folder."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", str(path)):
        raise InputError(
            f"store {str(path)!r} is an address; a store is a folder: mount it, or sample into a "
            "folder and copy that"
        )
    return Path(path)


@dataclass(frozen=True)
class _Metadata:
    identity: ModelIdentity
    facts: Mapping[str, Any]


def _read_metadata(path: Path) -> _Metadata:
    try:
        return _parse_metadata(path, pq.read_schema(str(path)))
    except (pa.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def _parse_metadata(path: Path, schema: Any) -> _Metadata:
    try:
        metadata = json.loads((schema.metadata or {})[b"pyphylo"])
        if metadata["format"] != _FORMAT or metadata["version"] not in _VERSIONS:
            raise _damaged(path, "it is of another version")
        return _Metadata(ModelIdentity(**metadata["identity"]), metadata["facts"])
    except FileFormatError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, why: object) -> FileFormatError:
    reason = " ".join(str(why).split())
    return FileFormatError(f"shard {str(path)!r} is damaged ({reason}): delete it and sample again")


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


def _json_bytes(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1)
    return (text + "\n").encode("utf-8", "backslashreplace")
