"""Versions of the formats of files: which are read, and what is said of one that is newer."""

from __future__ import annotations

from collections.abc import Iterable

from pyphylo._version import __version__
from pyphylo.errors import FileFormatError

__all__ = ["check_format_version"]


def check_format_version(what: str, found: object, known: Iterable[int]) -> None:
    """Refuse a file whose format this version of pyphylo does not know.

    Parameters
    ----------
    what : str
        The file, as an error names it: ``"store 'runs/store'"``.
    found : object
        The version that the file states.
    known : iterable of int
        Those that are read: every one that was ever written stays among them.

    Raises
    ------
    FileFormatError
        Of a newer version, with those that are read and the remedy; of what is no
        version, as damaged.
    """
    versions = sorted(known)
    if type(found) is int and found in versions:
        return
    if type(found) is not int or found < versions[-1]:
        raise FileFormatError(f"{what} is damaged: its format version is {found!r}")
    read = " and ".join(map(str, versions))
    raise FileFormatError(
        f"{what} has format version {found}; pyphylo {__version__} reads {read}: "
        "upgrade with pip install --upgrade pyphylo"
    )
