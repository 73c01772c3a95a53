"""When a completion is done, and what is wrong with logits that are no distribution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyphylo.sampling._token_text import TokenText, is_long_enough

__all__ = ["BadLogitsError", "GeneLogitsError", "StopRule", "finished_text"]


class BadLogitsError(Exception):
    """A model's logits are no distribution: NaN, infinite or all impossible."""

    def __init__(self, row: int) -> None:
        super().__init__(row)
        self.row = row


class GeneLogitsError(Exception):
    """`BadLogitsError` with the gene that it happened in."""

    def __init__(self, gene: int) -> None:
        super().__init__(gene)
        self.gene = gene


@dataclass(frozen=True)
class StopRule:
    """When a completion is done.

    Parameters
    ----------
    chars : int
        Complete characters after leading spaces, then newlines, are stripped.
    max_new_tokens : int
    end_tokens : frozenset of int
        A completion ends before such a token, which adds no text.
    temperature : float
        Divides the logits.
    """

    chars: int
    max_new_tokens: int
    end_tokens: frozenset[int]
    temperature: float


def finished_text(
    prompt: Sequence[int], new: Sequence[int], text: TokenText, rule: StopRule
) -> str | None:
    """The completion that the tokens `new` make, or None where it must go on."""
    if new[-1] in rule.end_tokens:
        return text.added(prompt, new[:-1], final=True)
    last = len(new) >= rule.max_new_tokens
    if last or is_long_enough(text.added(prompt, new, final=False), rule.chars):
        return text.added(prompt, new, final=True)
    return None
