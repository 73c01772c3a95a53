"""The text that tokens add, against the tokenizers' own decoding."""

from __future__ import annotations

import re
from typing import Any

import pytest
import tokenizers as tk
import transformers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models

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
