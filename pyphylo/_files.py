"""Files replaced atomically, and read with errors that name them."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path

from pyphylo._names import close_names
from pyphylo.errors import InputError, PyphyloError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "append_bytes",
    "atomic_path",
    "atomic_write_bytes",
    "check_target",
    "close_paths",
    "naming",
    "read_bytes",
]

_MANY_NAMES = 10_000
_LOST = (errno.EIO, errno.ENOSPC, errno.EDQUOT)
"""What a folder's fsync says when the rename may not last; others mean that it knows no fsync."""

_OPENED = (
    os.O_RDWR
    | os.O_CREAT
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
)
"""A link is not followed, and no pipe is waited for."""
_NO_FILE = (errno.ELOOP, errno.EMLINK, errno.ENXIO)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Let errors of reading and writing say which file it was: those of open files do not."""
    try:
        yield
    except OSError as error:
        # Without a number it is no word of the system's: of gzip, say, about what a file holds.
        if error.errno is None or error.filename is not None or isinstance(error, PyphyloError):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error


def read_bytes(path: str | Path, what: str) -> bytes:
    """The bytes of a file that the caller named; `what` says what it should be."""
    try:
        with naming(path):
            return Path(path).read_bytes()
    except FileNotFoundError:
        raise InputError(f"{what} file {str(path)!r} does not exist{close_paths(path)}") from None
    except IsADirectoryError:
        raise InputError(f"{what} file {str(path)!r} is a folder") from None
    except PermissionError:
        raise InputError(f"{what} file {str(path)!r} may not be read") from None


def close_paths(path: str | Path) -> str:
    """The end of an error's text: what lies there under a name close to the one that is missing.

    O(names) comparisons, of ten thousand at most.
    """
    missing = Path(path)
    try:
        found = islice(missing.parent.iterdir(), _MANY_NAMES)
        there = {each.name: str(missing.with_name(each.name)) for each in found}
    except (OSError, ValueError):  # a folder that is missing too, or no name at all
        return ""
    # Names are compared without their folder, whose letters would make all of them alike.
    close = [there[name] for name in close_names(missing.name, there)]
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


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
    No other process writes to it. What a killed one leaves is overwritten by the next where
    files can be locked; elsewhere it stays, under a name of its own.
    What is not `durable` waits for no disk: a file that can be made again, and
    that its reader checks, for a power cut may leave it damaged. `follow` is `check_target`'s.
    """
    target = check_target(path, follow=follow)
    part, held = _take_part(target)
    try:
        with naming(path):
            write(part)
            if durable:
                with part.open("rb+") as handle:
                    os.fsync(handle.fileno())
            part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    finally:
        if held is not None:
            os.close(held)
    if durable:
        _sync_folder(target.parent)


def _take_part(target: Path) -> tuple[Path, int | None]:
    """A temporary file that no living process but this has, and the open file that says so.

    Names are tried in turn, so a killed process's, whose lock is gone, is the next one's;
    where files cannot be locked, or somebody else's lies in the way, it is a name that nobody
    else comes upon.
    """
    turn = 0
    while True:
        part = target.with_name(f"{target.name}.{turn}.part" if turn else f"{target.name}.part")
        # Of somebody else: what a link leads to is not ours to write, and a pipe keeps waiting.
        if part.is_symlink() or part.is_fifo() or part.is_socket():
            with suppress(PermissionError):
                part.unlink()
        handle = _open_locked(part)
        if handle is None:
            return target.with_name(f"{target.name}.{os.urandom(4).hex()}.part"), None
        if handle >= 0:
            return part, handle
        turn += 1


def _open_locked(part: Path) -> int | None:
    """The file, open and locked; -1 where another has it, None where it cannot be had or locked."""
    if fcntl is None:
        return None
    while True:
        try:
            handle = os.open(part, _OPENED, 0o666)
        except OSError as error:
            # Another user's, or a folder, or what somebody put there between the two calls.
            if isinstance(error, (PermissionError, IsADirectoryError)) or error.errno in _NO_FILE:
                return None
            raise
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            return None
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Who had it may have put it into place between the two calls.
            if os.path.samestat(os.fstat(handle), part.stat()):
                return handle
            os.close(handle)
        except FileNotFoundError:
            os.close(handle)
        except BlockingIOError:
            os.close(handle)
            return -1
        except OSError:  # a file system without locks
            os.close(handle)
            part.unlink(missing_ok=True)
            return None


def atomic_write_bytes(path: str | Path, data: bytes, *, follow: bool = True) -> None:
    """Replace a file by `data`, atomically; `follow` is `check_target`'s."""
    atomic_path(path, lambda part: _write(part, data), follow=follow)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def append_bytes(path: str | Path, data: bytes) -> None:
    """Add to the end of a file, which is made where it is absent.

    Neither a link is followed nor a pipe waited for: the name was not given by the caller.
    """
    with naming(path), open(path, "ab", opener=_opened_plainly) as handle:
        handle.write(data)


def _opened_plainly(path: str, flags: int) -> int:
    return os.open(path, flags | (_OPENED & ~(os.O_RDWR | os.O_CREAT)), 0o666)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable; not every system lets a folder be opened."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        with naming(folder):
            os.fsync(handle)
    except OSError as error:
        if error.errno in _LOST:
            raise
    finally:
        os.close(handle)
