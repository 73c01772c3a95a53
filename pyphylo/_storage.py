"""Where a store's files are: a folder of this machine, or an address that fsspec knows.

A store is small files in one folder and its folder ``shards``. Files are replaced whole; a
reader sees the old one or the new one. `LocalStorage` is a folder, with a lock and with what
belongs to the store but not into it (log, tables, unfinished answers) beside it.
`pyphylo._remote_storage.RemoteStorage` is an address.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, Protocol

from pyphylo._files import atomic_write_bytes, naming, read_bytes
from pyphylo._shard_seal import SEAL_BYTES, footer_bytes
from pyphylo.errors import InputError, WorkError

__all__ = [
    "Kind",
    "LocalStorage",
    "Stamp",
    "Storage",
    "StorageError",
    "is_address",
    "is_shard_file",
    "storage_at",
]

Kind = Literal["absent", "file", "folder"]

Stamp = list[Any]
"""What tells one version of a file from another; plain JSON."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""Two letters at least: one is a drive."""
_LOCK_SECONDS = 120
_END_BYTES = 1 << 14
"""That most footers fit into."""


class StorageError(WorkError, OSError):
    """A store's files cannot be reached or written; no model's fault."""


class Storage(Protocol):
    """A folder of files. Names are relative to it, with ``/`` between their parts."""

    @property
    def place(self) -> Path | str:
        """The folder or address, as the caller gave it."""
        ...

    @property
    def address(self) -> str:
        """The same for any process, whatever its working folder."""
        ...

    def full(self, name: str) -> Path | str:
        """Where a file is."""
        ...

    def beside(self, suffix: str) -> Path:
        """A local path for what belongs to the store but not into it. Nothing is made there."""
        ...

    def kind(self) -> Kind:
        """What there is."""
        ...

    def has_file(self, name: str) -> bool:
        """Whether there is a file of that name."""
        ...

    def names(self, folder: str = "") -> list[str]:
        """Names in a folder, sorted, without the folder's own; none where it is absent."""
        ...

    def stamps(self, folder: str) -> dict[str, Stamp]:
        """The Parquet files of a folder, by their names in it."""
        ...

    def read(self, name: str, what: str) -> bytes:
        """A file; `what` says what it should be.

        Raises
        ------
        InputError
            When there is none.
        """
        ...

    def footers(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The ends of Parquet files one after the other: footer, and seal where there is one."""
        ...

    def sources(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Parquet files one after the other."""
        ...

    def check_writable(self) -> None:
        """Refuse a place that is known to take no files.

        Raises
        ------
        InputError
        """
        ...

    def make(self) -> None:
        """Make the folder and its ``shards``, where folders are made."""
        ...

    def put(self, name: str, data: bytes, *, replace: bool = True) -> bool:
        """Write a file whole, or leave what was there; False: a file was, and was to stay."""
        ...

    def remove(self, name: str) -> None:
        """Remove a file, which may be gone already."""
        ...

    def lock(self, name: str = "") -> AbstractContextManager[None]:
        """Keep out other processes that ask for the lock of this name, where there is such a thing.

        Raises
        ------
        WorkError
            When another holds it for two minutes.
        """
        ...

    @property
    def locks(self) -> bool:
        """Whether `lock` keeps anyone out."""
        ...

    def held_still(self) -> AbstractContextManager[None]:
        """Take a folder's names for the same from the first look on."""
        ...


def is_shard_file(name: str) -> bool:
    """Whether a file of the folder is a shard; what systems put beside one begins with a dot."""
    return name.endswith(".parquet") and not name.startswith(".")


def is_address(path: str | os.PathLike[str]) -> bool:
    """Whether it has a scheme, such as ``s3://``; the drive in ``C:/x`` is none."""
    return _ADDRESS.match(str(path)) is not None


def storage_at(path: str | os.PathLike[str]) -> Storage:
    """The storage of a folder or an address.

    Raises
    ------
    InputError
        When it is an address that cannot be used, or needs a package that is missing.
    """
    text = str(path)
    if is_address(text):
        from pyphylo._remote_storage import RemoteStorage

        return RemoteStorage(text)
    _refuse_mangled(text)
    return LocalStorage(Path(path))


def _refuse_mangled(text: str) -> None:
    """Refuse what would become a folder of a strange name in the working folder."""
    if re.match(r"[a-z0-9]+::", text) and "://" in text:
        raise InputError(f"store {text!r} chains addresses; name the last of them alone")
    scheme = re.match(r"([a-z][a-z0-9+.-]+):/[^/]", text)
    if scheme and not Path(f"{scheme[1]}:").exists():
        raise InputError(
            f"store {text!r} is an address that lost a slash (a Path takes one away): pass "
            f"{scheme[1]}:// as a str, or ./{text} for a folder of that name"
        )


class LocalStorage:
    """A folder of a file system.

    Parameters
    ----------
    folder : Path
    """

    locks = True

    def __init__(self, folder: Path) -> None:
        self.place = folder
        self._held: dict[str, list[str]] | None = None

    @property
    def address(self) -> str:
        """The absolute path, links followed."""
        return str(self.place.resolve())

    def full(self, name: str) -> Path:
        """Where a file is."""
        return self.place / name

    def beside(self, suffix: str) -> Path:
        """``STORE`` and the suffix."""
        folder = self.place.resolve()
        return folder.with_name(folder.name + suffix)

    def kind(self) -> Kind:
        """What there is."""
        try:
            # One look: another process may make it between two.
            mode = self.place.stat().st_mode
        except (FileNotFoundError, NotADirectoryError, ValueError):
            return "absent"
        return "folder" if stat.S_ISDIR(mode) else "file"

    def has_file(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return (self.place / name).is_file()

    def names(self, folder: str = "") -> list[str]:
        """Names in a folder, sorted; none where it is absent."""
        if self._held is not None and folder in self._held:
            return self._held[folder]
        try:
            names = sorted(os.listdir(self.place / folder))  # noqa: PTH208
        except (FileNotFoundError, NotADirectoryError):
            names = []
        if self._held is not None:
            self._held[folder] = names
        return names

    def stamps(self, folder: str) -> dict[str, Stamp]:
        """Size, time of change in nanoseconds and inode of each Parquet file."""
        found: dict[str, Stamp] = {}
        path = self.place / folder
        if not path.is_dir():
            return found
        with os.scandir(path) as entries:
            for entry in entries:
                if is_shard_file(entry.name):
                    state = entry.stat()
                    found[entry.name] = [state.st_size, state.st_mtime_ns, state.st_ino]
        return found

    def read(self, name: str, what: str) -> bytes:
        """A file's bytes."""
        return read_bytes(self.place / name, what)

    def sources(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The files' bytes."""
        for name in names:
            with naming(self.place / name):
                data = (self.place / name).read_bytes()
            yield name, data

    def footers(self, names: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """The files' ends."""
        return ((name, _end(self.place / name)) for name in names)

    def check_writable(self) -> None:
        """Refuse a folder that may not be written to, or where no lock can be put beside it."""
        folder = self.place.resolve()
        for each in (folder / "shards", folder, folder.parent, *folder.parent.parents):
            if each.is_dir() and not os.access(each, os.W_OK | os.X_OK):
                raise InputError(
                    f"store {str(self.place)!r} cannot be written: folder {str(each)!r} is "
                    "read-only here; name a store in a folder that you may write to"
                )
            if each.is_dir() and each not in (folder, folder / "shards"):
                return

    def make(self) -> None:
        """Make the folder and its ``shards``."""
        (self.place / "shards").mkdir(parents=True, exist_ok=True)

    def put(self, name: str, data: bytes, *, replace: bool = True) -> bool:
        """Write a temporary file beside it and rename; who does not replace holds the lock."""
        target = self.place / name
        if not replace and target.exists():
            return False
        if target.parent != self.place and target.parent.is_symlink():
            raise InputError(
                f"store {str(self.place)!r}: its folder {target.parent.name!r} is a link, and a "
                "store is written in one place: let the store itself be the link"
            )
        target.parent.mkdir(exist_ok=True)
        # A store may come from anyone: what a link in it leads to is not to be written.
        atomic_write_bytes(target, data, follow=False)
        return True

    def remove(self, name: str) -> None:
        """Remove a file, which may be gone already."""
        (self.place / name).unlink(missing_ok=True)

    @contextmanager
    def lock(self, name: str = "") -> Iterator[None]:
        """Let one process at a time write; the lock is a file beside the store.

        The system lets go of it when its process ends, however that ends.
        """
        from filelock import FileLock, Timeout

        lock = self.beside(f".{name}.lock" if name else ".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(lock, timeout=_LOCK_SECONDS):
                try:
                    yield
                finally:
                    # Whoever waits holds the file open and looks again: it is of no more use.
                    # Windows removes no file that is open.
                    with suppress(PermissionError):
                        lock.unlink(missing_ok=True)
        except Timeout:
            raise WorkError(
                f"store {str(self.place)!r} is being written by another process for "
                f"{_LOCK_SECONDS} s: if there is none, delete {str(lock)!r}"
            ) from None

    @contextmanager
    def held_still(self) -> Iterator[None]:
        """Look at each folder once."""
        self._held = {}
        try:
            yield
        finally:
            self._held = None


def _end(path: Path) -> bytes:
    """The end of a Parquet file: its footer with the seal before it, or more."""
    with naming(path), path.open("rb") as handle:
        size = handle.seek(0, os.SEEK_END)
        length = min(size, _END_BYTES)
        while True:
            handle.seek(size - length)
            end = handle.read(length)
            wanted = min(size, (footer_bytes(end) or 0) + SEAL_BYTES)
            if wanted <= length:
                return end
            length = wanted
