"""Which completions go on, for many at once.

Whether a token ends a completion depends on little: what is still stripped from its start, how
many characters are missing, and whether a character is unfinished. Where tokens are bytes by
a table, the first two are numbers, kept for each completion and looked up for each token;
completions with an unfinished character, and all of any other tokenizer, are decoded.
"""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from pyphylo.sampling._stop import StopRule, finished_text
from pyphylo.sampling._token_text import TableText, TokenText

__all__ = ["Endings", "Standing"]

_SPACES, _NEWLINES, _NOTHING = 0, 1, 2
"""What is still stripped: spaces, then newlines; newlines; nothing."""


@dataclass(frozen=True)
class Standing:
    """How completions stand, one an element.

    Attributes
    ----------
    strip : ndarray of int8
    missing : ndarray of int64
        Characters; at most 0 is enough.
    decoded : ndarray of bool
        Whether only their text tells: the other two mean nothing.
    """

    strip: NDArray[np.int8]
    missing: NDArray[np.int64]
    decoded: NDArray[np.bool_]

    def those(self, kept: NDArray[np.bool_]) -> Standing:
        """Some of them."""
        return Standing(self.strip[kept], self.missing[kept], self.decoded[kept])


@dataclass(frozen=True)
class _Pieces:
    """Every token of a table: whether it ends within a character; by what is still stripped,
    how many characters it adds and what is stripped after it.
    """

    is_cut: NDArray[np.bool_]
    chars: NDArray[np.int64]
    strip: NDArray[np.int8]


_PIECES: WeakKeyDictionary[TableText, _Pieces] = WeakKeyDictionary()


class Endings:
    """Tells which completions end.

    Parameters
    ----------
    text : TokenText
    rule : StopRule
    """

    def __init__(self, text: TokenText, rule: StopRule) -> None:
        self._text = text
        self._rule = rule
        self._ends = np.array(sorted(rule.end_tokens), dtype=np.int64)
        self._pieces: _Pieces | None = None
        if isinstance(text, TableText):
            self._pieces = _PIECES.get(text)
            if self._pieces is None:
                self._pieces = _PIECES[text] = _pieces(text)

    def start(self, n: int) -> Standing:
        """Of `n` completions without a token yet."""
        return Standing(
            np.full(n, _SPACES, np.int8),
            np.full(n, self._rule.chars, np.int64),
            np.full(n, self._pieces is None),
        )

    def step(
        self,
        before: Standing,
        parents: NDArray[np.int64],
        prompts: Sequence[Sequence[int]],
        prefixes: Sequence[tuple[int, ...]],
    ) -> tuple[Standing, list[str | None]]:
        """How completions stand after one token more, and the text of those that end.

        Parameters
        ----------
        before : Standing
        parents : ndarray of int
            Which element of `before` each was.
        prompts, prefixes : sequence of token ids
            Of each, all of one length; the last token is the new one.
        """
        tokens = np.array([prefix[-1] for prefix in prefixes], dtype=np.int64)
        after = self._after(before, parents, tokens)
        is_last = bool(prefixes) and len(prefixes[0]) >= self._rule.max_new_tokens
        has_ended = np.isin(tokens, self._ends) | is_last | (after.missing <= 0)
        said: list[str | None] = [None] * len(prefixes)
        for i in np.flatnonzero(has_ended | after.decoded).tolist():
            said[i] = finished_text(prompts[i], prefixes[i], self._text, self._rule)
        return after, said

    def _after(
        self, before: Standing, parents: NDArray[np.int64], tokens: NDArray[np.int64]
    ) -> Standing:
        strip, missing = before.strip[parents], before.missing[parents]
        decoded = before.decoded[parents]
        pieces = self._pieces
        if pieces is None:
            return Standing(strip, missing, decoded)
        # Ids beyond the table add nothing, as the row behind its last one says.
        known = np.minimum(tokens, len(pieces.is_cut) - 1)
        return Standing(
            pieces.strip[strip, known],
            missing - pieces.chars[strip, known],
            decoded | pieces.is_cut[known],
        )


def _pieces(text: TableText) -> _Pieces:
    size = max(text.table, default=-1) + 2
    is_cut = np.zeros(size, np.bool_)
    chars = np.zeros((3, size), np.int64)
    strip = np.repeat(np.array([[_SPACES], [_NEWLINES], [_NOTHING]], np.int8), size, axis=1)
    for token, data in text.table.items():
        whole, used = codecs.utf_8_decode(data, "replace", False)
        is_cut[token] = used < len(data)
        after_spaces = whole.lstrip(" ")
        for kind, left in ((_SPACES, after_spaces), (_NEWLINES, whole)):
            body = left.lstrip("\n")
            chars[kind, token] = len(body)
            strip[kind, token] = _NOTHING if body else _NEWLINES if left else kind
        chars[_NOTHING, token] = len(whole)
    return _Pieces(is_cut, chars, strip)
