"""Prompts cut out of texts: where a text may be cut, and which cuts become genes."""

from __future__ import annotations

import hashlib
import random
import unicodedata
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from pyphylo._names import clean_text, whole_number
from pyphylo._version import __version__
from pyphylo.errors import InputError

__all__ = ["CutOptions", "TextSource", "cut_places", "cut_prompts", "digest_of_texts"]


@dataclass(frozen=True)
class TextSource:
    """Texts, and where they are from.

    Parameters
    ----------
    name : str
        A file's name without its folder, or a data set's.
    texts : sequence of str
    sha256 : str
        Of the file's bytes, or of the texts (`digest_of_texts`).
    facts : mapping
        JSON types worth recording: the kind of source, the field that was read.
    """

    name: str
    texts: Sequence[str]
    sha256: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CutOptions:
    """How prompts are cut.

    Parameters
    ----------
    n : int
        Number of prompts.
    length : (int, int)
        Shortest length, and the first that is too long, in code points.
    seed : int
    per_text : int
        Prompts from one text at most.
    balance : bool
        Take texts from the sources in turn, whatever their sizes.
    """

    n: int = 128
    length: tuple[int, int] = (20, 100)
    seed: int = 0
    per_text: int = 1
    balance: bool = False

    def __post_init__(self) -> None:
        for name, least in (("n", 1), ("seed", 0), ("per_text", 1)):
            object.__setattr__(self, name, whole_number(getattr(self, name), name, least))
        try:
            low, high = (whole_number(end, "length", 1) for end in self.length)
        except (TypeError, ValueError):
            low = high = 0
        if low >= high:
            raise InputError(
                f"length must be (low, high) with 1 <= low < high, not {self.length!r}"
            )
        object.__setattr__(self, "length", (low, high))


def digest_of_texts(texts: Iterable[str]) -> str:
    """SHA-256 (hex) over texts in order, each behind its length."""
    state = hashlib.sha256()
    for text in texts:
        encoded = text.encode()
        state.update(len(encoded).to_bytes(8, "little") + encoded)
    return state.hexdigest()


def cut_places(text: str, low: int, high: int) -> list[int]:
    """Where a prompt that starts a text may end, in code points from its start.

    A prompt ends between two characters as people see them (extended grapheme
    clusters, Unicode Standard Annex 29), so never inside a letter and its
    accents, a Hangul syllable, a flag or a joined emoji, and never behind white
    space.

    Parameters
    ----------
    text : str
    low, high : int
        Shortest length, and the first that is too long.

    Returns
    -------
    list of int
        Ascending. O(high) time.
    """
    import regex

    # The slice may split the cluster at its end, but a cut there would be too long anyway.
    ends = (cluster.end() for cluster in regex.finditer(r"\X", text[:high]))
    return [end for end in ends if low <= end < high and not text[end - 1].isspace()]


def cut_prompts(
    sources: Sequence[TextSource], options: CutOptions
) -> tuple[list[str], dict[str, Any]]:
    """The prompts, and how they came about as JSON types.

    Raises
    ------
    InputError
        When a source holds no text, or fewer than `options.n` prompts can be cut.

    Notes
    -----
    Texts are sorted before they are shuffled, so their order does not matter.
    O(T log T) for T texts; a text is cut only when its turn comes.
    """
    usable, owner = _usable_texts(sources, options.length[0])
    rng = random.Random(options.seed)
    prompts = _PrefixFree()
    genes = [0] * len(sources)
    for text in _in_turn(usable, rng, options.balance):
        room = min(options.per_text, options.n - len(prompts))
        genes[owner[text]] += _cut_text(text, prompts, room, rng, options)
        if len(prompts) == options.n:
            break
    if len(prompts) < options.n:
        raise _too_few(sources, len(owner), len(prompts), options)
    return list(prompts), {
        "made by": f"pyphylo {__version__}",
        "n": options.n,
        "length": list(options.length),
        "seed": options.seed,
        "per_text": options.per_text,
        "balance": options.balance,
        "sources": [
            {
                "name": source.name,
                **source.facts,
                "sha256": source.sha256,
                "texts": len(source.texts),
                "usable": len(texts),
                "genes": count,
            }
            for source, texts, count in zip(sources, usable, genes, strict=True)
        ],
    }


class _PrefixFree:
    """Prompts in the order they came, none of which starts another."""

    def __init__(self) -> None:
        self._in_order: list[str] = []
        self._sorted: list[str] = []

    def __len__(self) -> int:
        return len(self._in_order)

    def __iter__(self) -> Iterator[str]:
        return iter(self._in_order)

    def add(self, prompt: str) -> bool:
        """Take the prompt, unless it starts one that is there or one there starts it.

        Sorted, what a prompt starts stands right behind it; and where none
        starts another, what starts it stands right before.
        """
        place = bisect_left(self._sorted, prompt)
        if place < len(self._sorted) and self._sorted[place].startswith(prompt):
            return False
        if place and prompt.startswith(self._sorted[place - 1]):
            return False
        self._sorted.insert(place, prompt)
        self._in_order.append(prompt)
        return True


def _usable_texts(
    sources: Sequence[TextSource], low: int
) -> tuple[list[list[str]], dict[str, int]]:
    """Each source's different texts of at least `low` characters, and the first source of each."""
    if not sources:
        raise InputError("no texts were given")
    usable: list[list[str]] = []
    owner: dict[str, int] = {}
    for number, source in enumerate(sources):
        texts = {_tidy(text) for text in source.texts}
        if not any(texts):
            raise InputError(f"source {source.name!r} holds no text")
        fresh = sorted(text for text in texts if len(text) >= low and text not in owner)
        owner.update(dict.fromkeys(fresh, number))
        usable.append(fresh)
    return usable, owner


def _tidy(text: str) -> str:
    """The text as prompts are cut from it: whole characters, one kind of line end, no margins."""
    return clean_text(text).replace("\r\n", "\n").replace("\r", "\n").strip("\ufeff").strip()


def _in_turn(usable: Sequence[Sequence[str]], rng: random.Random, balance: bool) -> Iterator[str]:
    """The texts in random order; balanced, one of each source in turn."""
    pools = usable if balance else [sorted(text for texts in usable for text in texts)]
    shuffled = [list(pool) for pool in pools]
    for pool in shuffled:
        rng.shuffle(pool)
    for turn in zip_longest(*shuffled):
        yield from (text for text in turn if text is not None)


def _cut_text(
    text: str, prompts: _PrefixFree, room: int, rng: random.Random, options: CutOptions
) -> int:
    """Add at most `room` prompts from one text, none over another; how many were added."""
    low, high = options.length
    taken: list[tuple[int, int]] = []
    for start in _starts(text, low, rng, options.per_text):
        length = _draw_length(text[start : start + high], low, high, rng)
        stop = start + (length or 0)
        if length is None or any(start < end and begin < stop for begin, end in taken):
            continue
        if prompts.add(text[start:stop]):
            taken.append((start, stop))
        if len(taken) == room:
            break
    return len(taken)


def _starts(text: str, low: int, rng: random.Random, per_text: int) -> Iterator[int]:
    """Where prompts of a text may begin: at its start, then at lines in random order."""
    lines = []
    if per_text > 1:
        start = 0
        for line in text.split("\n"):
            if line.strip():
                lines.append(start + len(line) - len(line.lstrip()))
            start += len(line) + 1
        lines = rng.sample(lines[1:], len(lines) - 1)
    for start in (0, *lines):
        # A mark without the letter that it belongs to is no start.
        if len(text) - start >= low and not unicodedata.category(text[start]).startswith("M"):
            yield start


def _draw_length(text: str, low: int, high: int, rng: random.Random) -> int | None:
    """A random length, moved back to the nearest place for a cut, or else forward."""
    length = rng.randrange(low, min(high, len(text) + 1))
    places = cut_places(text, low, high)
    before = [place for place in places if place <= length]
    if before:
        return before[-1]
    return places[0] if places else None


def _too_few(
    sources: Sequence[TextSource], usable: int, made: int, options: CutOptions
) -> InputError:
    low, high = options.length
    texts = sum(len(source.texts) for source in sources)
    return InputError(
        f"only {made} different prompts of {low} to {high - 1} characters can be cut from these "
        f"{texts} texts ({usable} are long enough and different); {options.n} were asked for: give "
        "more texts, a smaller n or more prompts from one text (per_text)"
    )
