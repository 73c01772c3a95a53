"""Families to colours and markers, safe for the colour-blind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pyphylo.errors import InputError
from pyphylo.plot._types import Ints

__all__ = [
    "INK",
    "LONE",
    "MISSING",
    "MUTED",
    "NO_FAMILY",
    "N_HUES",
    "FamilyStyle",
    "family_style",
    "readable",
]

INK = "#333333"
"""Branches above more than one family, and all text that belongs to none."""

MUTED = "#767676"
"""Notes."""

LONE = "#BCBCBC"
"""Tips without a family."""

MISSING = "#D0D0D0"
"""Cells of a heat map that have no value."""

NO_FAMILY = "no family"

# Six hues of Okabe & Ito (2008) that show on white (black is for mixed branches, and their
# yellow is too pale), then four more, searched for: under simulated protanopia, deuteranopia
# and tritanopia (Machado et al. 2009) no two of all, greys included, come closer than 14 in
# CIE Lab, where about 2 can just be told apart.
_HUES = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#8800FF",
    "#663300",
    "#778844",
    "#4400AA",
)
N_HUES = len(_HUES)
"""Colours of families; after so many they are used again, with other markers."""

_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">", "h", "*")

_CONTRAST = 4.5
"""Least contrast of text on white (WCAG 2, level AA)."""


@dataclass(frozen=True)
class FamilyStyle:
    """How families are drawn.

    Parameters
    ----------
    names : tuple of str
        The families, sorted.
    code : ndarray of int64, shape (n_tips,)
        Index of each tip's family in `names`, -1 for a tip without one.
    """

    names: tuple[str, ...]
    code: Ints

    def colour(self, code: int) -> str:
        """Colour of a family's marker and branches; -1: no family, -2: more than one."""
        if code < 0:
            return INK if code == -2 or not self.names else LONE
        return _HUES[code % len(_HUES)]

    def text_colour(self, code: int) -> str:
        """Colour of a family's names, dark enough to be read on white."""
        return readable(self.colour(code)) if self.names else INK

    def marker(self, code: int) -> str:
        """Marker of a family: another one each time that the colours are used up."""
        return _MARKERS[max(code, 0) // len(_HUES) % len(_MARKERS)]

    @property
    def legend(self) -> list[tuple[str, int]]:
        """Label and code of each legend entry; empty where no tip has a family."""
        if not self.names:
            return []
        entries = [(name, code) for code, name in enumerate(self.names)]
        return [*entries, (NO_FAMILY, -1)] if (self.code < 0).any() else entries


def family_style(tips: Sequence[str], families: Mapping[str, str] | None) -> FamilyStyle:
    """Families of the tips; names in `families` that are no tips are passed over.

    Raises
    ------
    InputError
        When a family is neither a string nor missing (None, NaN or "").
    """
    found = [_family_of(tip, families) for tip in tips]
    names = tuple(sorted({name for name in found if name}))
    index = {name: code for code, name in enumerate(names)}
    return FamilyStyle(names, np.array([index.get(name, -1) for name in found], dtype=np.int64))


def readable(colour: str) -> str:
    """A colour, darkened until its contrast with white is that of readable text."""
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    while 1.05 / (_luminance(rgb) + 0.05) < _CONTRAST:
        rgb = rgb * 0.96
    return "#" + "".join(f"{round(255 * part):02X}" for part in rgb.tolist())


def _luminance(rgb: np.ndarray[tuple[int], np.dtype[np.float64]]) -> float:
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def _family_of(tip: str, families: Mapping[str, str] | None) -> str:
    family = families.get(tip) if families else None
    if family is None or family != family:  # NaN: how a data frame says that there is none
        return ""
    if not isinstance(family, str):
        raise InputError(f"the family of {tip!r} must be a string, not {family!r}")
    return family
