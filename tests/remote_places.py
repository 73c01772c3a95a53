"""Folders and addresses that a store may be at, and file systems that misbehave on request.

Each is a real fsspec file system; what a test does to files goes past pyphylo.
"""

from __future__ import annotations

import errno
import uuid
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

KINDS = ("local", "file", "memory", "unruly")


class UnrulyFileSystem(MemoryFileSystem):
    """No object store as far as anyone knows: a put may break off and leave half a file."""

    protocol = "unruly"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    breaks_at: ClassVar[str | None] = None
    """Of paths that hold this, the put fails."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if self.breaks_at is not None and self.breaks_at in path:
            super().pipe_file(path, value[: len(value) // 2])
            raise OSError("connection reset by peer")
        super().pipe_file(path, value, mode, **kwargs)


class ObjectFileSystem(MemoryFileSystem):
    """Puts whole objects, as an object store does, and counts requests.

    ``before_put`` is called once, with the next path that is about to be put.
    """

    protocol = ("objects", "s3")
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    before_put: ClassVar[Callable[[str], None] | None] = None
    requests: ClassVar[Counter[str]] = Counter()
    conditions: ClassVar[bool] = True
    """Whether a put may be on condition that nothing is there."""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return "/" + str(path).removeprefix("objects://").strip("/")

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        self.requests["put"] += 1
        hook, type(self).before_put = type(self).before_put, None
        if hook is not None:
            hook(path)
        if mode == "create" and not self.conditions:
            raise OSError(errno.ENOSYS, "a header implies functionality that is not implemented")
        super().pipe_file(path, value, mode, **kwargs)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        self.requests["ls"] += 1
        return super().ls(path, detail, **kwargs)

    def info(self, path: str, **kwargs: Any) -> Any:
        self.requests["info"] += 1
        return super().info(path, **kwargs)

    def cat_ranges(self, paths: list[str], starts: Any, ends: Any, **kwargs: Any) -> Any:
        self.requests["batch"] += 1
        self.requests["ranges"] += len(paths)
        return super().cat_ranges(paths, starts, ends, **kwargs)


fsspec.register_implementation("unruly", UnrulyFileSystem, clobber=True)
fsspec.register_implementation("objects", ObjectFileSystem, clobber=True)


class Place:
    """Where a store may be: its address, and its files as they are."""

    def __init__(self, kind: str, tmp_path: Path, folder: Path | None = None) -> None:
        self.kind = kind
        self.folder = folder or tmp_path / f"at-{kind}"
        self.address: Any = self.folder
        if kind == "file":
            self.address = self.folder.as_uri()
        elif kind != "local":
            self.address = f"{kind}://{uuid.uuid4().hex}/store"
        self._fs, self._root = fsspec.core.url_to_fs(str(self.address))

    def files(self) -> dict[str, bytes]:
        """All files by their names in the store."""
        paths = self._fs.find(self._root)
        return {path[len(self._root) + 1 :]: self._fs.cat_file(path) for path in sorted(paths)}

    def put(self, name: str, data: bytes) -> None:
        path = f"{self._root}/{name}"
        self._fs.makedirs(path.rpartition("/")[0], exist_ok=True)
        self._fs.pipe_file(path, data)

    def remove(self, name: str) -> None:
        self._fs.rm_file(f"{self._root}/{name}")

    def shards(self) -> list[str]:
        return [name for name in self.files() if name.startswith("shards/")]
