"""Folders of the user's own: nobody else may write there, nor put another in their place."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pyphylo.errors import InputError

__all__ = ["private_folder", "user_cache"]


def user_cache() -> Path:
    """Where this user's programs keep what can be made again.

    Raises
    ------
    InputError
        When there is no home folder.
    """
    given = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(given) if given else Path.home() / ".cache") / "pyphylo"
    except RuntimeError:
        raise InputError("there is no home folder: set XDG_CACHE_HOME to a folder") from None


def private_folder(folder: Path) -> Path:
    """Make a folder with mode 0700, or check and close one that is there.

    Raises
    ------
    OSError
        When it cannot be made or written, belongs to someone else, is a link, or lies in a
        folder where anyone may take it away (writable by all, without the sticky bit).
    """
    folder = Path(os.path.abspath(folder))  # noqa: PTH100 -- links are not followed
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not hasattr(os, "getuid"):  # Windows: the profile's folders are the user's alone
        return folder
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid():
        raise PermissionError(None, "is not a folder of your own", str(folder))
    for above in folder.parents:
        mode = above.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            raise PermissionError(None, "may be written to by everyone", str(above))
    if stat.S_IMODE(state.st_mode) != 0o700:
        folder.chmod(0o700)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(None, "may not be written to", str(folder))
    return folder
