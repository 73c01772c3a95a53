"""What every next token makes of a completion, for the whole vocabulary at once.

Most of a model's many unlikely tokens decide the allele, and many decide the same one. So
for each state that a completion can be in (what is still stripped, how many characters are
missing, whether this token is the last) the vocabulary is numbered by the text that a
token would leave, once; the masses of all texts after a node are then one sum by number.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch

from pyphylo.sampling._stop import StopRule, finished_text
from pyphylo.sampling._token_text import TableText, TokenText

__all__ = ["NextTokens", "Split", "Vocabulary", "kept_text"]


def kept_text(said: str, chars: int) -> str:
    """What any allele rule that a store admits reads of a completion.

    That is `chars` characters, and the spaces and newlines before them.
    """
    body = said.lstrip(" ").lstrip("\n")
    return said[: len(said) - len(body) + chars]


@dataclass(frozen=True)
class Split:
    """What becomes of the mass of some nodes, one a row, with one token more.

    Attributes
    ----------
    leaves : list of (row, text, mass)
        Decided, as `kept_text` has it.
    nodes : list of (row, token, mass)
        Undecided.
    """

    leaves: list[tuple[int, str, float]]
    nodes: list[tuple[int, int, float]]


class _State(NamedTuple):
    """What of a completion matters to what a token makes of it."""

    strip: str
    """What is still stripped: " ", then newlines; newlines; or nothing."""
    missing: int
    last: bool


class NextTokens(NamedTuple):
    """The vocabulary in one state.

    Attributes
    ----------
    number : int tensor, shape (vocabulary,)
        Of the text that a token adds; ``len(texts)`` where it decides nothing.
    texts : list of str
    """

    number: torch.Tensor
    texts: list[str]


class _Numbered:
    """What was made of one table: kept for the next model with the same tokenizer.

    Attributes
    ----------
    said : list of (str, str)
        Of each token, the text without and with an unfinished character at its end.
    known : dict
    """

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []
        self.known: dict[tuple[frozenset[int], _State, int, torch.device], NextTokens] = {}


_NUMBERED: WeakKeyDictionary[TokenText, _Numbered] = WeakKeyDictionary()


class Vocabulary:
    """Splits masses by what tokens decide.

    Parameters
    ----------
    text : TokenText
    stop : StopRule
    """

    def __init__(self, text: TokenText, stop: StopRule) -> None:
        self._text = text
        self._stop = stop
        self._numbered = _NUMBERED.setdefault(text, _Numbered())

    def split(
        self,
        prompts: Sequence[Sequence[int]],
        prefixes: Sequence[Sequence[int]],
        masses: torch.Tensor,
        least_leaf: float,
        least_node: float,
        taken: torch.Tensor | None = None,
    ) -> Split:
        """Split the masses of next tokens.

        Parameters
        ----------
        prompts, prefixes : sequence of token ids, one a row
        masses : tensor, shape (rows, vocabulary)
            Of each prefix with each next token.
        least_leaf, least_node : float
            Texts and undecided tokens below are left out.
        taken : bool tensor, shape (rows, vocabulary), optional
            Where to mark the tokens whose mass is in the leaves.

        Notes
        -----
        O(rows * vocabulary), but for rows that end within a character, and
        tokenizers that have no table: there one decoding a token above `least_leaf`.
        """
        found = Split([], [])
        by_state: dict[_State, list[int]] = {}
        starts: list[str] = []
        for row, prefix in enumerate(prefixes):
            said, state = self._state(prompts[row], prefix)
            starts.append(said)
            if state is None:
                least = (least_leaf, least_node)
                self._split_one(prompts[row], prefix, row, masses[row], least, found, taken)
            else:
                by_state.setdefault(state, []).append(row)
        for state, rows in by_state.items():
            tokens = self._tokens(state, masses)
            for row, number, mass in _sums(rows, tokens, masses, least_leaf, taken):
                found.leaves.append((row, starts[row] + tokens.texts[number], mass))
            is_open = tokens.number == len(tokens.texts)
            part = masses[rows]
            where = torch.nonzero((part >= least_node) & is_open, as_tuple=True)
            for row, token, mass in _triples(where, part):
                found.nodes.append((rows[row], token, mass))
        return found

    def _split_one(
        self,
        prompt: Sequence[int],
        prefix: Sequence[int],
        row: int,
        masses: torch.Tensor,
        least: tuple[float, float],
        found: Split,
        taken: torch.Tensor | None,
    ) -> None:
        """One row, a token at a time."""
        least_leaf, least_node = least
        (where,) = torch.nonzero(masses >= min(least), as_tuple=True)
        for token, mass in zip(where.tolist(), masses[where].tolist(), strict=True):
            said = finished_text(prompt, [*prefix, token], self._text, self._stop)
            if said is None:
                if mass >= least_node:
                    found.nodes.append((row, token, mass))
            elif mass >= least_leaf:
                found.leaves.append((row, kept_text(said, self._stop.chars), mass))
                if taken is not None:
                    taken[row, token] = True

    def _state(self, prompt: Sequence[int], prefix: Sequence[int]) -> tuple[str, _State | None]:
        """The text so far, and its state; None where only single tokens can be looked at."""
        if not isinstance(self._text, TableText):
            return "", None
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        said = decoder.decode(b"".join(self._text.table.get(token, b"") for token in prefix))
        if decoder.getstate()[0]:
            return "", None
        body = said.lstrip(" ").lstrip("\n")
        strip = "" if body else "\n" if said.endswith("\n") else " "
        last = len(prefix) + 1 == self._stop.max_new_tokens
        return said, _State(strip, self._stop.chars - len(body), last)

    def _tokens(self, state: _State, masses: torch.Tensor) -> NextTokens:
        """The vocabulary in a state, numbered when first asked for."""
        key = (self._stop.end_tokens, state, masses.shape[1], masses.device)
        known = self._numbered.known
        if key not in known:
            known[key] = self._number(state, masses.shape[1], masses.device)
        return known[key]

    def _number(self, state: _State, size: int, device: torch.device) -> NextTokens:
        """Number the vocabulary by what its tokens leave of a completion in a state."""
        said = self._numbered.said
        if len(said) < size:
            table = self._text.table if isinstance(self._text, TableText) else {}
            self._numbered.said = said = [_both(table.get(token, b"")) for token in range(size)]
        numbers: dict[str, int] = {}
        codes = np.empty(size, dtype=np.int64)
        for token, (whole, final) in enumerate(said[:size]):
            left = self._left(token, whole, final, state)
            codes[token] = -1 if left is None else numbers.setdefault(left, len(numbers))
        codes[codes < 0] = len(numbers)
        return NextTokens(torch.as_tensor(codes, device=device), list(numbers))

    def _left(self, token: int, whole: str, final: str, state: _State) -> str | None:
        """What is kept of one token's text; None where the completion goes on."""
        if token in self._stop.end_tokens:
            return ""
        if state.last or len(_stripped(whole, state.strip)) >= state.missing:
            return final[: len(final) - len(_stripped(final, state.strip)) + state.missing]
        return None


def _both(data: bytes) -> tuple[str, str]:
    """A token's text without and with an unfinished character at its end."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    return decoder.decode(data), data.decode("utf-8", "replace")


def _stripped(text: str, strip: str) -> str:
    if strip == " ":
        text = text.lstrip(" ")
    return text.lstrip("\n") if strip else text


def _sums(
    rows: list[int],
    tokens: NextTokens,
    masses: torch.Tensor,
    least: float,
    taken: torch.Tensor | None,
) -> Iterator[tuple[int, int, float]]:
    """Row, number and mass of every text of at least `least`; marks the tokens that make them."""
    part = masses[rows]
    n = len(tokens.texts)
    sums = part.new_zeros(len(rows), n + 1).index_add_(1, tokens.number, part)
    kept = sums >= least
    kept[:, n] = False
    if taken is not None:
        taken[rows] = kept[:, tokens.number]
    for row, number, mass in _triples(torch.nonzero(kept, as_tuple=True), sums):
        yield rows[row], number, mass


def _triples(
    where: tuple[torch.Tensor, ...], values: torch.Tensor
) -> Iterator[tuple[int, int, float]]:
    rows, columns = where
    return zip(rows.tolist(), columns.tolist(), values[rows, columns].tolist(), strict=True)
