"""The text that tokens add, against the tokenizers' own decoding."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import tokenizers as tk
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models

from pyphylo.sampling._endings import Endings
from pyphylo.sampling._stop import StopRule, finished_text
from pyphylo.sampling._token_text import SuffixText, TableText, is_long_enough, token_text

KINDS = {
    "byte_level": "byte-level",
    "metaspace": "metaspace",
    "unigram": "metaspace",
    "wordpiece": "suffix",
}


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request: pytest.FixtureRequest, tokenizer_of: Any) -> Any:
    return tokenizer_of(request.param)


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_kinds(name: str, kind: str, tokenizer_of: Any) -> None:
    text = token_text(tokenizer_of(name))
    assert text.kind == kind
    assert isinstance(text, SuffixText if kind == "suffix" else TableText)


@given(data=st.data())
def test_added_text_is_what_decoding_adds(data: st.DataObject, tokenizer: Any) -> None:
    """For any tokens after any prompt, but where broken characters are counted differently."""
    prompt = tokenizer("The quick", add_special_tokens=False)["input_ids"]
    new = data.draw(st.lists(st.integers(0, len(tokenizer) - 1), max_size=12))
    before = tokenizer.decode(prompt, skip_special_tokens=True)
    both = tokenizer.decode(
        [*prompt, *new], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    added = token_text(tokenizer).added(prompt, new, final=True)
    if "\ufffd" in both and "<0x41>" in tokenizer.get_vocab():
        assert "\ufffd" in added
    else:
        assert before + added == both


@given(text=st.text(max_size=12), cut=st.integers(0, 40))
def test_encoded_text_comes_back(text: str, cut: int, tokenizer_of: Any) -> None:
    """A byte-level tokenizer loses nothing; what is cut off inside a character is left out."""
    tokenizer = tokenizer_of("byte_level")
    reader = token_text(tokenizer)
    ids = [
        token
        for token in tokenizer(text, add_special_tokens=False)["input_ids"]
        if token not in tokenizer.all_special_ids
    ]
    if "<" not in text:
        assert reader.added((), ids, final=True) == text
        assert text.startswith(reader.added((), ids[:cut], final=False))


@pytest.mark.parametrize("name", ["byte_level", "metaspace"])
def test_unfinished_characters(name: str, tokenizer_of: Any) -> None:
    """Left out while tokens may come, one U+FFFD at the end."""
    tokenizer = tokenizer_of(name)
    reader = token_text(tokenizer)
    assert isinstance(reader, TableText)
    token_of = {data: token for token, data in reader.table.items()}
    rocket = [token_of[bytes([byte])] for byte in "🚀".encode()]
    for n in (1, 2, 3):
        assert reader.added((), rocket[:n], final=False) == ""
        assert reader.added((), rocket[:n], final=True) == "\ufffd"
    assert reader.added((), rocket, final=False) == "🚀"
    wrong = [rocket[0], token_of[b"a"]]
    assert reader.added((), wrong, final=False) == "\ufffda"


def test_leading_space_is_kept(tokenizer_of: Any) -> None:
    """Decoded alone it would be stripped."""
    tokenizer = tokenizer_of("metaspace")
    token = next(i for t, i in tokenizer.get_vocab().items() if re.match("\u2581[a-z]", t))
    assert not tokenizer.decode([token]).startswith(" ")
    assert token_text(tokenizer).added([5], [token], final=True).startswith(" ")


@pytest.mark.parametrize("name", KINDS)
def test_special_and_unknown_ids_add_nothing(name: str, tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of(name)
    prompt = tokenizer("The quick", add_special_tokens=False)["input_ids"]
    silent = [*tokenizer.all_special_ids, len(tokenizer), len(tokenizer) + 1000]
    assert token_text(tokenizer).added(prompt, silent, final=True) == ""


def test_added_tokens_are_literal(tokenizer_of: Any) -> None:
    tokenizer = tokenizer_of("byte_level")
    ids = tokenizer.convert_tokens_to_ids(["    ", "[plain 日]", "<|control|>", "\n\n\n"])
    assert token_text(tokenizer).added((), ids, final=True) == "    [plain 日]\n\n\n"


def test_a_table_that_disagrees_is_not_used() -> None:
    """A decoder that looks like the known ones but says something else is read by difference."""
    bare = tk.Tokenizer(models.WordLevel({"a": 0, "\u2581b": 1, "x\u2581": 2}, unk_token="a"))  # noqa: S106
    bare.decoder = decoders.Sequence(
        [decoders.Strip(" ", 1, 0), decoders.Replace("\u2581", " "), decoders.Strip(" ", 2, 0)]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=bare)
    reader = token_text(tokenizer)
    assert tokenizer.decode([0, 1]) == "ab"
    assert reader.kind == "suffix"
    assert reader.added([0], [1], final=True) == "b"


def test_no_decoder_is_read_by_difference() -> None:
    bare = tk.Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))  # noqa: S106
    reader = token_text(transformers.PreTrainedTokenizerFast(tokenizer_object=bare))
    assert reader.kind == "suffix"
    assert reader.added([0], [1, 0], final=True) == " b a"


@pytest.mark.parametrize(
    ("text", "chars", "enough"),
    [
        ("abcd", 4, True),
        ("abc", 4, False),
        ("  abc", 4, False),
        (" \n\nabcd", 4, True),
        ("\n abc", 4, True),  # newlines go after spaces, so the space behind one stays
        ("\n abc", 5, False),
        ("", 1, False),
        ("日本", 2, True),
    ],
)
def test_long_enough(text: str, chars: int, enough: bool) -> None:
    assert is_long_enough(text, chars) is enough


def test_equal_tokenizers_share_what_was_made_of_them(tokenizer_of: Any) -> None:
    """By content: a copy is the same, another special token is another tokenizer."""
    first = tokenizer_of("byte_level")
    copy = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tk.Tokenizer.from_str(first.backend_tokenizer.to_str()),
        bos_token=first.bos_token,
        eos_token=first.eos_token,
    )
    assert token_text(copy) is token_text(first)
    assert token_text(tokenizer_of("metaspace")) is not token_text(first)
    copy.add_special_tokens({"additional_special_tokens": ["quick"]})
    changed = token_text(copy)
    assert changed is not token_text(first)
    assert changed.added((), copy.convert_tokens_to_ids(["quick"]), final=True) == ""


E_ACUTE, SUN = "é".encode(), "日".encode()
PIECES = [b"a", b" ", b"  b", b"\n", b" \n", b"\n\nc", b"xyz", b"", b"\xff", E_ACUTE]
PIECES += [E_ACUTE[:1], E_ACUTE[1:], SUN[:2], b"d" + SUN[:1]]


@given(
    prefixes=st.lists(
        st.lists(st.integers(0, len(PIECES) + 2), min_size=4, max_size=4), min_size=1, max_size=6
    ),
    chars=st.integers(1, 4),
    has_table=st.booleans(),
)
def test_endings_are_those_of_each_completion_alone(
    prefixes: list[list[int]], chars: int, has_table: bool
) -> None:
    """Step by step, whatever tokens came before; END ends, ids beyond the table add nothing."""
    table = TableText("byte-level", dict(enumerate(PIECES)))
    text = table if has_table else _NoTable(table)
    rule = StopRule(chars, 4, frozenset({len(PIECES)}), 1.0)
    endings = Endings(text, rule)
    standing = endings.start(1)
    parents = np.zeros(len(prefixes), np.int64)
    alive = [tuple(tokens) for tokens in prefixes]
    for t in range(1, 5):
        starts = [tokens[:t] for tokens in alive]
        standing, said = endings.step(standing, parents, [[0]] * len(alive), starts)
        assert said == [finished_text([0], start, table, rule) for start in starts]
        kept = np.array([text is None for text in said], dtype=bool)
        standing = standing.those(kept)
        alive = [tokens for tokens, keep in zip(alive, kept.tolist(), strict=True) if keep]
        parents = np.arange(len(alive))
    assert not alive


class _NoTable:
    """A reader whose tokens are not told apart."""

    kind = "suffix"

    def __init__(self, table: TableText) -> None:
        self._table = table

    def added(self, prompt: Any, new: Any, *, final: bool) -> str:
        return self._table.added(prompt, new, final=final)
