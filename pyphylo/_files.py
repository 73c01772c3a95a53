"""Files replaced atomically, and read with errors that name them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pyphylo.errors import InputError

__all__ = ["atomic_path", "atomic_write_bytes", "check_target", "read_bytes"]


def read_bytes(path: str | Path, what: str) -> bytes:
    """The bytes of a file that the caller named; `what` says what it should be."""
    try:
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{what} file {str(path)!r} does not exist") from None
    except IsADirectoryError:
        raise InputError(f"{what} file {str(path)!r} is a folder") from None
    except PermissionError:
        raise InputError(f"{what} file {str(path)!r} may not be read") from None


def check_target(path: str | Path, *, follow: bool = True) -> Path:
    """The file that a path names; refused where none can be put there.

    A file is written by renaming: that would replace a device or a pipe. Links are followed;
    without `follow` a link that the path itself names is what will be replaced.
    """
    plain = Path(path)
    target = Path(os.path.realpath(path if follow else plain.parent))
    if not follow:
        target /= plain.name
    if target.is_dir():
        raise InputError(f"cannot write {str(path)!r}: it is a folder")
    if target.exists() and not target.is_file():
        raise InputError(f"cannot write {str(path)!r}: it is not a regular file")
    if not target.parent.is_dir():
        raise InputError(f"cannot write {str(path)!r}: its folder does not exist")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise InputError(f"cannot write {str(path)!r}: its folder may not be written to")
    return target


def atomic_path(
    path: str | Path, write: Callable[[Path], None], *, durable: bool = True, follow: bool = True
) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it into place.

    The bytes are on the disk before the name changes, so a reader sees the old
    file or the whole new one. On any failure the temporary file is removed.
    Its name is fixed, so what a killed process leaves is overwritten by the next.
    What is not `durable` waits for no disk: a file that can be made again, and
    that its reader checks, for a power cut may leave it damaged. `follow` is `check_target`'s.
    """
    target = check_target(path, follow=follow)
    part = target.with_name(target.name + ".part")
    try:
        if part.is_symlink():  # of somebody else: what it leads to is not ours to write
            part.unlink()
        write(part)
        if durable:
            with part.open("rb+") as handle:
                os.fsync(handle.fileno())
        part.replace(target)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # Libraries that write streams do not know which file it is.
            reason = os.strerror(error.errno) if error.errno else str(error)
            raise OSError(error.errno, reason, str(path)) from error
        raise
    if durable:
        _sync_folder(target.parent)


def atomic_write_bytes(path: str | Path, data: bytes, *, follow: bool = True) -> None:
    """Replace a file by `data`, atomically; `follow` is `check_target`'s."""
    atomic_path(path, lambda part: _write(part, data), follow=follow)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; not every system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
