"""Figures into files: the same figure, the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo._files import atomic_path
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["DPI", "save_figure"]

DPI = 160
"""Pixels an inch in PNG files and in the images inside vector files."""

# None leaves out what would differ between two runs or two versions of matplotlib.
_METADATA: dict[str, dict[str, Any]] = {
    "svg": {"Date": None, "Creator": None},
    "png": {"Software": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

# Text stays text in SVG: names can be searched, selected and read aloud, files are a third of
# the size, and every viewer that lacks the named font has a sans-serif one of much the
# same (mostly a smaller) width; each label is anchored at its tip, so none shifts.
_SETTINGS: Any = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pyphylo",
    "pdf.fonttype": 42,
    "savefig.bbox": "standard",
    "savefig.facecolor": "auto",
}

_PNG = {"compress_level": 4}
"""Half the time of matplotlib's 6, for files a few percent larger."""


def save_figure(
    fig: Figure, path_without_suffix: str | Path, formats: Sequence[str] = ("svg", "png")
) -> tuple[Path, ...]:
    """Write a figure, one file a format, each replaced atomically.

    The bytes depend on the figure and the version of matplotlib only.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
    path_without_suffix : str or Path
        ``.svg`` and so on are appended.
    formats : sequence of {"svg", "png", "pdf"}

    Returns
    -------
    tuple of Path
        The files written, in the order of `formats`.

    Raises
    ------
    InputError
        When a format is unknown or the folder does not exist; nothing is written.
    """
    import matplotlib as mpl

    formats = (formats,) if isinstance(formats, str) else tuple(formats)
    for name in formats:
        if name not in _METADATA:
            known = ", ".join(map(repr, _METADATA))
            raise InputError(f"unknown picture format {name!r}; known: {known}")
    stem = Path(path_without_suffix)
    if not stem.parent.is_dir():
        raise InputError(f"cannot write {str(stem)!r}: its folder does not exist")
    paths = []
    for name in formats:
        path = stem.with_name(f"{stem.name}.{name}")
        with mpl.rc_context(_SETTINGS):
            atomic_path(path, partial(_write, fig, name))
        paths.append(path)
    return tuple(paths)


def _write(fig: Figure, name: str, path: Path) -> None:
    options: dict[str, Any] = {"pil_kwargs": _PNG} if name == "png" else {}
    fig.savefig(path, format=name, dpi=DPI, metadata=_METADATA[name], **options)
