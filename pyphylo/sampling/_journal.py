"""Answers kept gene by gene until a model is finished: what was paid for is not asked again."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pyphylo._files import append_bytes, atomic_write_bytes
from pyphylo.errors import InputError
from pyphylo.sampling._dialect import ENDPOINTS
from pyphylo.sampling._requests import Usage

__all__ = ["Journal", "Kept"]

_KEYS = {"gene", "completions", "endpoint", "keys_refused", "usage"}


@dataclass
class Kept:
    """What is known of a model that was begun.

    Attributes
    ----------
    completions : dict of str to list of str
        By gene, whole genes only.
    endpoint : str or None
        Which gave them; None: nothing is kept.
    keys_refused : tuple of str
    usage : Usage
        All requests so far, also those of genes that were not finished.
    """

    completions: dict[str, list[str]] = field(default_factory=dict)
    endpoint: str | None = None
    keys_refused: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)


class Journal:
    """A file of one JSON line a gene, gone once all genes are there.

    Parameters
    ----------
    path : Path
        Its name must tell apart whatever changes the answers.
    n_probes : int
        Of every gene.
    """

    def __init__(self, path: Path, n_probes: int) -> None:
        self._path = path
        self._n_probes = n_probes
        self._is_whole = False

    def read(self) -> Kept:
        """What is kept; a line that was cut off is not."""
        kept = Kept()
        for row in map(self._parsed, self._lines()):
            if row is not None:
                kept.completions[row["gene"]] = row["completions"]
                kept.endpoint = row["endpoint"]
                kept.keys_refused = tuple(row["keys_refused"])
                kept.usage = Usage(**row["usage"])
        return kept

    def add(
        self,
        gene: str,
        completions: list[str],
        endpoint: str,
        keys_refused: tuple[str, ...],
        usage: Usage,
    ) -> None:
        """Keep a gene."""
        if not self._is_whole:
            self._make_whole()
        row = {
            "gene": gene,
            "completions": completions,
            "endpoint": endpoint,
            "keys_refused": keys_refused,
            "usage": asdict(usage),
        }
        # Another process may have finished this model, or the last beside it, and the folder went.
        self._path.parent.mkdir(parents=True, exist_ok=True)
        append_bytes(self._path, json.dumps(row, ensure_ascii=True).encode("ascii") + b"\n")

    def remove(self) -> None:
        """All is finished; the folder goes with the last journal in it."""
        self._path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # other models are not finished
            self._path.parent.rmdir()

    def _make_whole(self) -> None:
        """Take out what was cut off when a run was killed: nothing can follow it."""
        whole = [line for line in self._lines() if self._parsed(line) is not None]
        folder = self._path.parent
        if folder.is_symlink():
            raise InputError(f"folder {str(folder)!r} is a link, which is not followed: remove it")
        folder.mkdir(parents=True, exist_ok=True)
        atomic_write_bytes(self._path, b"".join(line + b"\n" for line in whole), follow=False)
        self._is_whole = True

    def _lines(self) -> list[bytes]:
        return self._path.read_bytes().splitlines() if self._path.is_file() else []

    def _parsed(self, line: bytes) -> dict[str, Any] | None:
        """A line as it was written, or None."""
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return None
        return row if _is_row(row) and len(row["completions"]) == self._n_probes else None


def _is_row(row: Any) -> bool:
    """Whether it is what `Journal.add` writes: the file may be cut, changed, or someone else's."""
    if not isinstance(row, dict) or row.keys() != _KEYS:
        return False
    texts = (row["completions"], row["keys_refused"])
    if not all(isinstance(t, list) and all(isinstance(x, str) for x in t) for t in texts):
        return False
    if not isinstance(row["gene"], str) or row["endpoint"] not in ENDPOINTS[1:]:
        return False
    usage = row["usage"]
    if not isinstance(usage, dict) or usage.keys() != asdict(Usage()).keys():
        return False
    served = usage["served"]
    counts = [count for name, count in usage.items() if name != "served"]
    counts += served.values() if isinstance(served, dict) else [None]
    return all(type(count) is int and 0 <= count < 2**63 for count in counts)
