"""A store at an address that fsspec knows: object stores, and file systems behind a URL.

Object stores put an object whole or not at all, so a put is the atomic write; on other file
systems a file is written under another name and moved. Nothing can be locked: who comes second
with a file that is there already leaves it. Each request is a round trip, so files are read many
at a time where the file system can.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from pyphylo._shard_seal import SEAL_BYTES, footer_bytes
from pyphylo._storage import Kind, Stamp, StorageError, is_shard_file
from pyphylo._user_folder import user_cache
from pyphylo.errors import InputError, PyphyloError

__all__ = ["RemoteStorage"]

_OBJECT_STORES = frozenset(
    ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "tos", "hf", "memory")
)
"""Protocols whose put is all or nothing."""
_TAIL_BYTES = 1 << 14
"""Of a shard, read to find its footer: those of stores as they are made have 2 to 10 KB."""
_LOOKS = 100
_RANGE_BYTES = 1 << 23
_BATCH_FILES = 64
_BATCH_BYTES = 1 << 26
_VERSION_KEYS = (
    "ETag",
    "etag",
    "md5Hash",
    "generation",
    "blob_id",
    "content_md5",
    "LastModified",
    "last_modified",
    "updated",
    "modified",
    "mtime",
    "created",
    "ino",
)
"""What file systems call that which changes when a file is replaced."""


class RemoteStorage:
    """A folder at an address.

    Parameters
    ----------
    address : str
        ``protocol://…``, without passwords: those belong into the environment or the settings
        of the protocol's own package.

    Raises
    ------
    InputError
        When the address cannot be used, or a package is missing.
    StorageError
        When the file system cannot be reached.
    """

    locks = False

    def __init__(self, address: str) -> None:
        _check_address(address)
        self._fs, root = _file_system(address)
        self._root = root.rstrip("/")
        if not self._root.strip("/"):
            raise InputError(f"store {address!r} names no folder: add one, as in {address}store")
        protocols = self._fs.protocol
        self._protocols = {protocols} if isinstance(protocols, str) else set(protocols)
        if self._protocols & {"file", "local"}:
            address = self._fs.unstrip_protocol(self._root)  # the path absolute
        self.place = address.rstrip("/")
        self._puts_whole = bool(self._protocols & _OBJECT_STORES)
        self._held: dict[str, list[str]] | None = None
        self._sizes: dict[str, int | None] = {}
        self._stamps: dict[str, Stamp] = {}
        self._footers: dict[str, tuple[Stamp, bytes]] = {}

    @property
    def address(self) -> str:
        """The address."""
        return self.place

    def full(self, name: str) -> str:
        """The address of a file."""
        return f"{self.place}/{name}"

    def beside(self, suffix: str) -> Path:
        """In the user's cache folder, in a folder that is named by a digest of the address."""
        readable = re.sub(r"[^A-Za-z0-9._-]+", "_", self.place).strip("._-")[-48:]
        digest = hashlib.sha256(self.place.encode()).hexdigest()[:16]
        return user_cache() / "stores" / f"{readable}-{digest}" / f"store{suffix}"

    # -- looking -----------------------------------------------------------------------

    def kind(self) -> Kind:
        """What there is; object stores have no empty folders."""
        try:
            entries = self._listed("")
        except FileNotFoundError:
            return "absent"
        except NotADirectoryError:
            return "file"
        is_itself = [entry["name"].rstrip("/") for entry in entries] == [self._root]
        return "file" if is_itself and entries[0]["type"] == "file" else "folder"

    def has_file(self, name: str) -> bool:
        """Whether there is a file of that name. One round trip."""
        path = self._path(name)
        try:
            with self._telling("read"):
                self._fs.invalidate_cache()
                return bool(self._fs.info(path)["type"] == "file")
        except (FileNotFoundError, NotADirectoryError):
            return False

    def names(self, folder: str = "") -> list[str]:
        """Names in a folder, sorted; none where it is absent."""
        if self._held is None:
            return sorted(self._entries(folder))
        if folder not in self._held:
            self._held[folder] = sorted(self._entries(folder))
        return self._held[folder]

    def stamps(self, folder: str) -> dict[str, Stamp]:
        """Size and a digest of what the file system says of each Parquet file's version."""
        return {
            name: self._stamps[self._in(folder, name)]
            for name in self._entries(folder)
            if is_shard_file(name)
        }

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """Look at each folder once."""
        self._held = {}
        try:
            yield
        finally:
            self._held = None

    def _entries(self, folder: str) -> list[str]:
        """What is directly in a folder, and notes of each file how large and which it is."""
        path = self._path(folder)
        try:
            entries = self._listed(folder)
        except (FileNotFoundError, NotADirectoryError):
            return []
        found = []
        for entry in entries:
            whole = entry["name"].rstrip("/")
            if whole == path:
                continue  # an object that stands for the folder, or a file in its place
            name = whole.rpartition("/")[2]
            found.append(name)
            self._sizes[self._in(folder, name)] = entry.get("size")
            self._stamps[self._in(folder, name)] = _stamp(entry)
        return found

    def _listed(self, folder: str) -> list[dict[str, Any]]:
        """The entries of a folder, looked at now.

        Raises
        ------
        FileNotFoundError
            When it is absent.
        """
        path = self._path(folder)
        for _ in range(_LOOKS):
            try:
                with self._telling("read"):
                    self._fs.invalidate_cache()
                    entries: list[dict[str, Any]] = self._fs.ls(path, detail=True)
                    return entries
            except FileNotFoundError:
                # What another process moved into place meanwhile is not found either.
                if self._puts_whole or not self._fs.isdir(path):
                    raise
        raise StorageError(self._refusal("read", OSError(f"{path!r} changes all the time")))

    # -- reading -----------------------------------------------------------------------

    def read(self, name: str, what: str) -> bytes:
        """A file's bytes."""
        try:
            with self._telling("read"):
                return bytes(self._fs.cat_file(self._path(name)))
        except FileNotFoundError:
            raise InputError(f"{what} file {self.full(name)!r} does not exist") from None

    def footers(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The ends of files, as far as they were not read before; those of a listed folder."""
        wanted = list(names)
        unread = [name for name in wanted if not self._is_known(name)]
        for name, tail in self._tails(unread):
            self._footers[name] = (self._stamps.get(name, []), tail)
        return ((name, self._footers[name][1]) for name in wanted)

    def _is_known(self, name: str) -> bool:
        known = self._footers.get(name)
        return known is not None and known[0] == self._stamps.get(name)

    def _tails(self, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
        """Of each file its footer and what is before it of a seal's length."""
        starts = [self._tail_start(name, _TAIL_BYTES) for name in names]
        longer: list[tuple[str, int | None]] = []
        for (name, tail), start in zip(self._fetched(names, starts), starts, strict=True):
            footer = footer_bytes(tail)
            length = SEAL_BYTES + (footer or 0)
            if footer is not None and start is not None and length > len(tail):
                longer.append((name, self._tail_start(name, length)))
            else:
                yield name, tail[-length:] if footer is not None else tail
        yield from self._fetched([name for name, _ in longer], [start for _, start in longer])

    def _tail_start(self, name: str, length: int) -> int | None:
        size = self._sizes.get(name)
        return None if size is None or size <= length else size - length

    def sources(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Whole files, as many at a time as are small together."""
        for batch in self._batches(names):
            # Of a range nobody asks for the size first; large files may come in several.
            starts = [0 if 0 < (self._sizes.get(n) or 0) <= _RANGE_BYTES else None for n in batch]
            yield from self._fetched(batch, starts)

    def _batches(self, names: Iterable[str]) -> Iterator[list[str]]:
        batch: list[str] = []
        held = 0
        for name in names:
            size = self._sizes.get(name) or 0
            if batch and (len(batch) == _BATCH_FILES or held + size > _BATCH_BYTES):
                yield batch
                batch, held = [], 0
            batch.append(name)
            held += size
        if batch:
            yield batch

    def _fetched(
        self, names: Sequence[str], starts: Sequence[int | None]
    ) -> Iterator[tuple[str, bytes]]:
        """Files from where they start to their ends, at once where the file system can."""
        if not names:
            return
        paths = [self._path(name) for name in names]
        with self._telling("read"):
            parts = self._fs.cat_ranges(paths, list(starts), [None] * len(paths))
        for name, part in zip(names, parts, strict=True):
            if isinstance(part, BaseException):
                raise StorageError(f"{self.full(name)!r} cannot be read: {_reason(part)}")
            yield name, bytes(part)

    # -- writing -----------------------------------------------------------------------

    def make(self) -> None:
        """Make folders where there are such; never a bucket."""
        if not self._puts_whole:
            with self._telling("written"):
                self._fs.makedirs(self._path("shards"), exist_ok=True)

    def put(self, name: str, data: bytes, *, replace: bool = True) -> bool:
        """Put a file whole; one that was there first stays, where that is asked."""
        if not replace and self.has_file(name):
            return False
        with self._telling("written"):
            if not self._puts_whole:
                self._put_and_move(name, data)
            elif replace or not self._created(name, data):
                if not replace and self.has_file(name):
                    return False
                self._fs.pipe_file(self._path(name), data)
        return True

    def _created(self, name: str, data: bytes) -> bool:
        """Put a file on condition that there is none; whether that is known to have worked."""
        try:
            self._fs.pipe_file(self._path(name), data, mode="create")
        except Exception:  # it exists, or the store or its package knows no such condition
            return False
        return True

    def _put_and_move(self, name: str, data: bytes) -> None:
        """Write under a name that no other process has, and move."""
        path = self._path(name)
        part = f"{path}.{uuid.uuid4().hex[:8]}.part"
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        try:
            self._fs.pipe_file(part, data)
            self._fs.mv(part, path)
        except BaseException:
            with suppress(Exception):
                self._fs.rm_file(part)
            raise

    def remove(self, name: str) -> None:
        """Remove a file, which may be gone already."""
        with suppress(FileNotFoundError), self._telling("written"):
            self._fs.rm_file(self._path(name))

    def check_writable(self) -> None:
        """Only a write tells."""

    def lock(self, name: str = "") -> AbstractContextManager[None]:
        """There is none."""
        return nullcontext()

    # -- helpers -----------------------------------------------------------------------

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}" if name else self._root

    @staticmethod
    def _in(folder: str, name: str) -> str:
        return f"{folder}/{name}" if folder else name

    @contextmanager
    def _telling(self, done: str) -> Iterator[None]:
        """Errors of any package as one kind; that something is not there is for the caller."""
        try:
            yield
        except (FileNotFoundError, NotADirectoryError) as error:
            if done == "read":
                raise
            raise StorageError(self._refusal(done, error)) from None
        except PyphyloError:
            raise
        except Exception as error:
            raise StorageError(self._refusal(done, error)) from None

    def _refusal(self, done: str, error: BaseException) -> str:
        return f"store {self.place!r} cannot be {done}: {_reason(error)}"


def _check_address(address: str) -> None:
    """Refuse what holds a secret, without repeating it, and what is no folder."""
    scheme, _, rest = address.partition("://")
    user, at, place = rest.rpartition("@")
    if at and ":" in user:
        raise InputError(
            f"store '{scheme}://…@{place}' may hold a password (':' before '@'), which would be "
            "written into logs: leave it out, and give it by the environment or by fsspec's "
            "settings (docs/cluster.md)"
        )
    if "::" in rest or "?" in rest or "#" in rest:
        shown = re.split(r"::|\?|#", rest)[0]
        raise InputError(
            f"store '{scheme}://{shown}…' has a query or a second address, which may hold a key "
            "and names no folder: leave out what follows"
        )


def _file_system(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    try:
        from fsspec.core import url_to_fs
    except ImportError:
        raise InputError(
            f"store {address!r} is an address, which needs fsspec: pip install 'pyphylo[remote]'"
        ) from None
    try:
        return url_to_fs(address)  # type: ignore[no-any-return]
    except ImportError as error:
        raise InputError(
            f"store {address!r} needs the package of its protocol: {_line(error)} (pip install)"
        ) from None
    except ValueError as error:
        raise InputError(f"store {address!r}: {_line(error)}") from None
    except Exception as error:
        raise StorageError(f"store {address!r} cannot be reached: {_reason(error)}") from None


def _stamp(entry: dict[str, Any]) -> Stamp:
    """Size and version of a listed file."""
    told = {key: str(entry[key]) for key in _VERSION_KEYS if entry.get(key) is not None}
    # Where nothing tells versions apart, each look is taken for a new one.
    text = repr(sorted(told.items())) if told else uuid.uuid4().hex
    return [entry.get("size"), hashlib.sha256(text.encode()).hexdigest()[:16]]


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {_line(error)}"


def _line(error: BaseException) -> str:
    """What an error says, but for what an address in it may hold of secrets."""
    text = " ".join(str(error).split())
    text = re.sub(r"//[^/\s@]*:[^/\s@]*@", "//…@", text)
    text = re.sub(r"(://[^\s?]*)\?[^\s'\"]+", r"\1?…", text)
    return text[:300] or "no reason given"
