"""What metadata say, and what of it fits these models."""

from __future__ import annotations

import difflib
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pyphylo._names import did_you_mean
from pyphylo.errors import InputError, PyphyloWarning

__all__ = ["column_number", "headings_of", "metadata_notes", "metadata_rows", "tip_number"]

Rows = Mapping[str, Mapping[str, Any]]

_READ = ("family", "base_model", "date", "params_b", "run", "step")
"""Columns that mean something to the report; all others are only coloured by."""

_NAMED = 3


def metadata_rows(metadata: Any) -> Rows:
    """Metadata as rows by model; what it says of descent is checked on the way."""
    from pyphylo.io.metadata import read_lineage, read_metadata

    with warnings.catch_warnings():
        # Of columns whose names are almost ones that are read, the page's notes speak.
        warnings.simplefilter("ignore", PyphyloWarning)
        if isinstance(metadata, (str, os.PathLike)):
            metadata = read_metadata(Path(metadata))
        read_lineage(metadata)
    if isinstance(metadata, Mapping):
        return metadata
    return {row.pop("model"): row for row in metadata.to_dict("records")}


def metadata_notes(rows: Rows, tips: Sequence[str]) -> list[str]:
    """What of the metadata is of no model here, and which columns look misspelt."""
    notes = []
    here = set(tips)
    strange = [name for name in rows if name not in here]
    if rows and len(strange) == len(rows):
        notes.append(
            f"The metadata name none of these models (but {_guessed(strange, tips)}): check the "
            "column 'model'."
        )
    elif strange:
        are = "model of the metadata is" if len(strange) == 1 else "models of the metadata are"
        notes.append(f"{len(strange)} {are} not in the tree ({_guessed(strange, tips)}).")
    headings = headings_of(rows)
    lacking = {_plain(name): name for name in _READ if name not in headings}
    for heading in headings:
        if heading in _READ:
            continue
        close = difflib.get_close_matches(_plain(heading), lacking, n=1, cutoff=0.8)
        if close:
            notes.append(
                f"The column {heading!r} is only coloured by; did you mean {lacking[close[0]]!r}?"
            )
    return notes


def headings_of(rows: Rows) -> list[str]:
    """The columns of the metadata."""
    return list(dict.fromkeys(str(key) for row in rows.values() for key in row))


def column_number(name: str, names: Sequence[str]) -> int:
    """The place of a column by its name.

    Raises
    ------
    InputError
        When there is none; near names are proposed.
    """
    if name in names:
        return names.index(name)
    if not names:
        raise InputError(f"there is no column {name!r} to colour by: give metadata")
    known = "" if (hint := did_you_mean(name, names)) else f"; known: {', '.join(names)}"
    raise InputError(f"the metadata have no column {name!r}{hint}{known}")


def tip_number(name: str, tips: Sequence[str]) -> int:
    """The place of a model by its name; InputError with near names where there is none."""
    if name in tips:
        return tips.index(name)
    hint = did_you_mean(name, tips)
    raise InputError(f"model {name!r} is none of the tree's {len(tips)} models{hint}")


def _guessed(strange: Sequence[str], tips: Iterable[str]) -> str:
    """The first few unknown names, with what may have been meant."""
    known = list(tips)
    told = [f"{name!r}{did_you_mean(name, known).replace('; ', ', ')}" for name in strange[:_NAMED]]
    return "; ".join(told) + ("; ..." if len(strange) > _NAMED else "")


def _plain(heading: str) -> str:
    return re.sub(r"[\W_]+", "", heading.lower())
