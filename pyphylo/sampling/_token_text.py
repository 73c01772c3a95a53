"""What text new tokens add to a prompt.

Decoding a completion alone loses things: decoders of the SentencePiece family drop the
first space, and a character split over two tokens is two broken ones. So tokens are
turned into bytes by a table, where the tokenizer's decoder works token by token, and
the bytes are decoded together; for any other decoder the prompt is decoded with and
without the new tokens, and the difference is the text.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

__all__ = ["SuffixText", "TableText", "TokenText", "is_long_enough", "token_text"]

_METASPACE = "\u2581"
_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_UNFINISHED = "\ufffd"


class TokenText(Protocol):
    """Text that new tokens add to a prompt."""

    @property
    def kind(self) -> str:
        """How: "byte-level", "metaspace" or "suffix"."""
        ...

    def added(self, prompt: Sequence[int], new: Sequence[int], *, final: bool) -> str:
        """The text that the tokens `new` add after `prompt`.

        An unfinished character at the end is left out, or U+FFFD where `final`.
        Special tokens, and ids that the tokenizer does not know (logits are
        often padded beyond the vocabulary), add nothing.
        """
        ...


class TableText:
    """Tokens as bytes, by a table.

    Parameters
    ----------
    kind : str
    table : mapping of int to bytes
        What each token adds; absent ids add nothing.
    """

    def __init__(self, kind: str, table: Mapping[int, bytes]) -> None:
        self._kind = kind
        self._table = dict(table)

    @property
    def kind(self) -> str:
        """The tokenizer's family."""
        return self._kind

    @property
    def table(self) -> Mapping[int, bytes]:
        """Token id to the bytes it adds."""
        return self._table

    def added(self, prompt: Sequence[int], new: Sequence[int], *, final: bool) -> str:
        """See `TokenText.added`."""
        data = b"".join(self._table.get(token, b"") for token in new)
        return codecs.utf_8_decode(data, "replace", final)[0]


class SuffixText:
    """Text by difference: prompt and new tokens decoded, less the prompt decoded.

    Parameters
    ----------
    tokenizer : transformers tokenizer
    known : container of int
        Ids that the tokenizer can decode and that are not special.
    """

    def __init__(self, tokenizer: Any, known: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._known = frozenset(known)

    @property
    def kind(self) -> str:
        """Always "suffix"."""
        return "suffix"

    def added(self, prompt: Sequence[int], new: Sequence[int], *, final: bool) -> str:
        """See `TokenText.added`."""
        base = self._decode(prompt)
        full = self._decode([*prompt, *(token for token in new if token in self._known)])
        # Where decoding cleans up around the seam, what still agrees is the prompt.
        text = full[_shared(base, full) :]
        return text if final else text.rstrip(_UNFINISHED)

    def _decode(self, ids: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(
            list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return text


def is_long_enough(text: str, chars: int) -> bool:
    """Whether a completion has `chars` characters after leading spaces, then newlines, go."""
    return len(text.lstrip(" ").lstrip("\n")) >= chars


_MOST_KNOWN = 8
_KNOWN: dict[bytes, TableText] = {}
"""By digest of the tokenizer, the one used last at the end."""


def token_text(tokenizer: Any) -> TokenText:
    """The right reader of a tokenizer's tokens.

    A table is used where the fast tokenizer's decoder is one of those that work
    token by token, and only after it agreed with the tokenizer's own decoding of
    random sequences; anything else is read by difference.
    """
    special = special_ids(tokenizer)
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return _new_token_text(tokenizer, None, special)
    # Checkpoints of one family have one tokenizer: what was made of it is kept.
    digest = _digest(backend, special)
    known = _KNOWN.pop(digest, None)
    text = _new_token_text(tokenizer, backend, special) if known is None else known
    if isinstance(text, TableText):
        _KNOWN[digest] = text
        while len(_KNOWN) > _MOST_KNOWN:
            _KNOWN.pop(next(iter(_KNOWN)))
    return text


def _digest(backend: Any, special: frozenset[int]) -> bytes:
    """Equal for tokenizers whose tokens add the same text."""
    content = hashlib.sha256(backend.to_str().encode("utf-8", "surrogatepass"))
    content.update(json.dumps(sorted(special)).encode("ascii"))
    return content.digest()


def _new_token_text(tokenizer: Any, backend: Any, special: frozenset[int]) -> TokenText:
    vocabulary: Mapping[str, int] = (
        tokenizer.get_vocab() if backend is None else backend.get_vocab(with_added_tokens=True)
    )
    ordinary = {token: i for token, i in vocabulary.items() if i not in special}
    if backend is not None:
        text = _table_text(backend, ordinary)
        if text is not None and _agrees(text, backend):
            return text
    return SuffixText(tokenizer, ordinary.values())


def special_ids(tokenizer: Any) -> frozenset[int]:
    """Ids of tokens that stand for no text: BOS, EOS, padding, control tokens."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    marked = {i for i, token in added.items() if getattr(token, "special", False)}
    return frozenset(marked | set(tokenizer.all_special_ids))


def _table_text(backend: Any, ordinary: Mapping[str, int]) -> TableText | None:
    steps = _decoder_steps(backend)
    kinds = {step.get("type") for step in steps}
    if kinds == {"ByteLevel"} or kinds == {"ByteLevel", "Fuse"}:
        alphabet = _byte_alphabet()
        return TableText(
            "byte-level", {i: _byte_level(token, alphabet) for token, i in ordinary.items()}
        )
    if all(_is_metaspace_step(step) for step in steps) and kinds & {"Replace", "Metaspace"}:
        has_bytes = "ByteFallback" in kinds
        return TableText(
            "metaspace", {i: _metaspace(token, has_bytes) for token, i in ordinary.items()}
        )
    return None


def _decoder_steps(backend: Any) -> list[dict[str, Any]]:
    """The decoder's steps in order; none where the tokenizer has no decoder."""
    if backend.decoder is None:
        return []
    spec = json.loads(backend.decoder.__getstate__())
    steps: list[dict[str, Any]] = spec["decoders"] if spec["type"] == "Sequence" else [spec]
    return steps


def _is_metaspace_step(step: Mapping[str, Any]) -> bool:
    """Whether a step acts on each token alone, or only strips the start of the whole text."""
    match step:
        case {"type": "ByteFallback" | "Fuse"}:
            return True
        case {"type": "Metaspace", "replacement": replacement}:
            return bool(replacement == _METASPACE)
        case {"type": "Replace", "pattern": {"String": pattern}, "content": content}:
            return bool(pattern == _METASPACE and content == " ")
        case {"type": "Strip", "content": content, "stop": stop}:
            return bool(content == " " and stop == 0)
    return False


def _byte_alphabet() -> dict[str, int]:
    """The printable characters that stand for the 256 bytes (GPT-2, Radford et al. 2019)."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {chr(byte): byte for byte in printable}
    others = (byte for byte in range(256) if byte not in set(printable))
    alphabet.update((chr(256 + i), byte) for i, byte in enumerate(others))
    return alphabet


def _byte_level(token: str, alphabet: Mapping[str, int]) -> bytes:
    """A byte-level token's bytes; one with any other character (added tokens) is literal."""
    try:
        return bytes(alphabet[char] for char in token)
    except KeyError:
        return token.encode("utf-8", "replace")


def _metaspace(token: str, has_bytes: bool) -> bytes:
    """A SentencePiece token's bytes: one byte for ``<0x0A>``, else text with U+2581 as space."""
    match = _BYTE_TOKEN.fullmatch(token) if has_bytes else None
    if match is not None:
        return bytes([int(match[1], 16)])
    return token.replace(_METASPACE, " ").encode("utf-8", "replace")


def _agrees(text: TableText, backend: Any, n_sequences: int = 64, length: int = 6) -> bool:
    """Whether a table reads random sequences of whole-character tokens as the tokenizer does.

    Broken characters are left out: how many U+FFFD stand for one is the only point
    where decoders differ on purpose. So is the first space of a text.
    """
    whole = sorted(i for i, data in text.table.items() if _is_utf8(data))
    if not whole:
        return False
    for ids in np.random.default_rng(0).choice(whole, (n_sequences, length)).tolist():
        theirs = backend.decode(ids, skip_special_tokens=False)
        if theirs.lstrip(" ") != text.added((), ids, final=True).lstrip(" "):
            return False
    return True


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _shared(a: str, b: str) -> int:
    """How many characters two texts share at the start."""
    n = min(len(a), len(b))
    return n if a[:n] == b[:n] else next(i for i in range(n) if a[i] != b[i])
