"""The allele table of a store, kept beside it and refreshed by what changed.

Beside ``STORE`` lies ``STORE.KEY.alleles``, KEY telling allele rules apart (for a store at
an address, in the user's cache folder): an allele table file whose note also lists the
shards that it was made of, as the file system describes them. A shard is replaced whole,
so one that looks the same is the same. The file holds nothing that the store does not:
deleting it costs time only.
"""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo._version import __version__
from pyphylo.alleles import AlleleRule, AlleleTable
from pyphylo.errors import FileFormatError, InputError, PyphyloWarning

if TYPE_CHECKING:
    from pyphylo._storage import Stamp
    from pyphylo.store import SampleStore, Shard

__all__ = ["cache_path", "cached_table"]


@dataclass(frozen=True)
class _Kept:
    """What a cache file holds: a table, and of each shard file its model and description."""

    table: AlleleTable
    digest: str
    shards: dict[str, list[Any]]


def cached_table(store: SampleStore, rule: AlleleRule | None = None) -> AlleleTable:
    """The allele table of a store, from the file beside it as far as the store is unchanged.

    Equal to ``AlleleTable.from_store(store, rule)``. Only shards that are new or
    were replaced since are read; then the file is replaced, atomically.

    Parameters
    ----------
    store : SampleStore
    rule : AlleleRule, optional
        The paper's, by default. Each rule has a file of its own.

    Returns
    -------
    AlleleTable
        Its provenance also names ``"manifest"``, the digest of the store's
        manifest and shard files that it was made from.

    Raises
    ------
    InputError
        As `AlleleTable.from_store` does.

    Warns
    -----
    PyphyloWarning
        When the file was damaged, and is made anew; or when it cannot be
        written, so that every call counts anew what has changed.

    Notes
    -----
    O(shards + entries) time, with no shard opened when nothing has changed.
    """
    rule = AlleleRule() if rule is None else rule
    store.check_rule(rule)
    path = cache_path(store, rule)
    seen = store._stamps()
    digest = _digest(store, seen)
    kept = _read(path)
    if kept is not None and kept.digest == digest:
        return kept.table
    fresh = _refreshed(store, rule, seen, kept, digest)
    _write(path, fresh)
    return fresh.table


def cache_path(store: SampleStore, rule: AlleleRule | None = None) -> Path:
    """The file beside a store that keeps its allele table of a rule."""
    rule = AlleleRule() if rule is None else rule
    text = json.dumps(rule.to_dict(), sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:8]
    return store.beside(f".{key}.alleles")


def _digest(store: SampleStore, seen: dict[str, Stamp]) -> str:
    """Of what a table is made of: genome, configuration, shard files; and of who makes it."""
    described = [__version__, store.genome.digest, store.config, sorted(seen.items())]
    text = json.dumps(described, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _read(path: Path) -> _Kept | None:
    """What the file holds; None where there is none, or none that can be used."""
    try:
        table = AlleleTable.load(path)
        note = table.provenance.pop("cache")
        return _Kept(table, table.provenance["manifest"], dict(note))
    except FileFormatError as error:
        reason: object = error
    except InputError:
        return None  # there is none
    except (KeyError, TypeError, ValueError, AttributeError):
        reason = f"{str(path)!r} does not say which shards it was made of"
    except OSError as error:
        reason = error
    warnings.warn(
        f"the allele table kept beside the store cannot be used ({reason}); it is made anew",
        PyphyloWarning,
        stacklevel=3,
    )
    return None


def _refreshed(
    store: SampleStore,
    rule: AlleleRule,
    seen: dict[str, Stamp],
    kept: _Kept | None,
    digest: str,
) -> _Kept:
    """The table of the shards that are there, as few of them read as can be."""
    files: dict[str, str] = {}
    if kept is not None and _made_of(kept.table, store, rule):
        for name, (model, *state) in kept.shards.items():
            if seen.get(name) == state:
                files[model] = name
    missing = sorted(seen.keys() - set(files.values()))
    table = AlleleTable._of_shards(store, _shards_of(store, missing, files), rule)
    if kept is not None and len(files) > len(missing):
        table = _joined(kept.table, table, sorted(files))
    elif table.models != tuple(sorted(files)):
        table = table.select(models=sorted(files))
    table.provenance["manifest"] = digest
    return _Kept(table, digest, {name: [model, *seen[name]] for model, name in files.items()})


def _joined(old: AlleleTable, new: AlleleTable, models: list[str]) -> AlleleTable:
    """The given models in order, of two tables of one store; where both have one, the new one's.

    One join and one selection of rows: each goes once through all entries.
    """
    row = {name: i for i, name in enumerate(old.models)}
    row |= {name: len(old.models) + i for i, name in enumerate(new.models)}
    rows = np.array([row[name] for name in models], dtype=np.int64)
    genes = np.arange(len(old.genes), dtype=np.int64)
    core = old._core.concatenate(new._core).select(rows, genes)
    identities = old.provenance["models"] | new.provenance["models"]
    return AlleleTable(core, {**new.provenance, "models": {m: identities[m] for m in models}})


def _made_of(table: AlleleTable, store: SampleStore, rule: AlleleRule) -> bool:
    """Whether rows of a table and of the store go together."""
    wanted = {
        "pyphylo": __version__,
        "genome": store.genome.digest,
        "rule": rule.to_dict(),
        "sampling": store.config,
    }
    return all(table.provenance.get(key) == value for key, value in wanted.items())


def _shards_of(store: SampleStore, names: list[str], files: dict[str, str]) -> Iterator[Shard]:
    """Shards of some files, one at a time; in `files` is noted which model each is of."""
    for file, shard in zip(names, store._read_shards(names, counting_only=True), strict=True):
        name = shard.identity.name
        if name in files:
            raise FileFormatError(f"two shards are of model {name!r}: {files[name]} and {file}")
        files[name] = file
        yield shard


def _write(path: Path, kept: _Kept) -> None:
    """Replace the file; where that fails, work goes on without."""
    provenance = {**kept.table.provenance, "cache": kept.shards}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What lies beside a store may come with it, from anyone: a link is replaced, not followed.
        AlleleTable(kept.table._core, provenance)._write(path, durable=False, follow=False)
    except (OSError, InputError) as error:
        warnings.warn(
            f"the allele table cannot be kept beside the store ({error}), so every call counts "
            "alleles again",
            PyphyloWarning,
            stacklevel=3,
        )
