"""Cutting prompts out of texts: places, choice, balance; odd texts by hypothesis."""

from __future__ import annotations

import itertools
import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo._gene_cutting import CutOptions, TextSource, cut_places, cut_prompts

LOW, HIGH = 4, 12
FAMILY = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
FLAG = "\U0001f1e8\U0001f1ed"
PIECES = st.sampled_from(
    [
        "word",
        "a",
        " ",
        "  ",
        "\n",
        "\n\n",
        "\t",
        "\r\n",
        "\u00a0",
        "\u3000",
        "e\u0301",
        "\u0301",
        "\u0928\u093f",
        "\uac01",
        "\u1100\u1161\u11a8",
        FAMILY,
        FLAG,
        "\U0001f44d\U0001f3fd",
        "日本語",
        "Grüße",
        "}",
        "();",
        "\ufeff",
        "\u200b",
        "\x00",
        "\ud800",
    ]
)
ODD_TEXT = st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=14).map("".join))


def _splits_a_character(text: str, place: int) -> bool:
    """By rules simple enough to read: marks, joiners, modifiers, jamo, pairs of flag letters."""
    before, after = text[place - 1], text[place]
    if (before, after) == ("\r", "\n"):
        return True
    if unicodedata.category(before) == "Cc" or before in "\ufeff\u200b":
        return False
    if unicodedata.category(after) in ("Mn", "Me", "Mc") or after == "\u200d":
        return True
    if before == "\u200d" and after in FAMILY:
        return text[place - 2] in FAMILY and place >= 2
    if "\U0001f3fb" <= after <= "\U0001f3ff":
        return True
    if "\u1160" <= after <= "\u11ff" and "\u1100" <= before <= "\u11ff":
        return before <= after
    letters = 0
    while place > letters and "\U0001f1e6" <= text[place - letters - 1] <= "\U0001f1ff":
        letters += 1
    return letters % 2 == 1 and "\U0001f1e6" <= after <= "\U0001f1ff"


@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, min_size=1, max_size=14).map("".join))
@example("abc" + FAMILY * 3)
@example("abc" + FLAG * 4)
def test_places_are_between_characters_and_never_behind_white_space(text):
    text = text.replace("\ud800", "")
    expected = [
        place
        for place in range(LOW, min(HIGH, len(text) + 1))
        if not text[place - 1].isspace()
        and (place == len(text) or not _splits_a_character(text, place))
    ]
    assert cut_places(text, LOW, HIGH) == expected


@settings(max_examples=150, deadline=None)
@given(st.lists(ODD_TEXT, min_size=1, max_size=12), st.integers(0, 5), st.integers(1, 3))
def test_odd_texts(texts, seed, per_text):
    """Either an error that says so, or prompts with every property that is promised."""
    for n in range(6, 0, -1):
        options = {"n": n, "length": (LOW, HIGH), "seed": seed, "per_text": per_text}
        try:
            genome = pp.Genome.from_texts(texts, **options)
            break
        except pp.InputError as error:
            assert "can be cut" in str(error) or "holds no text" in str(error)
    else:
        return
    assert genome == pp.Genome.from_texts(texts[::-1] + texts, **options)
    clean = [
        text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").replace("\r\n", "\n")
        for text in texts
    ]
    for prompt in genome.prompts:
        assert LOW <= len(prompt) < HIGH
        assert not prompt[0].isspace()
        assert not prompt[-1].isspace()
        assert any(prompt in text.replace("\r", "\n") for text in clean)
        prompt.encode()
    for a, b in itertools.permutations(genome.prompts, 2):
        assert not a.startswith(b)


def test_lengths_are_spread_over_the_whole_range():
    texts = [f"{i:04d}" + "x" * 200 for i in range(800)]
    lengths = [len(p) for p in pp.Genome.from_texts(texts, n=800).prompts]
    assert (min(lengths), max(lengths)) == (20, 99)
    assert all(lengths.count(length) < 30 for length in set(lengths))
    assert 55 < sum(lengths) / 800 < 64


def test_a_prompt_that_starts_another_is_not_taken():
    texts = ["the same long beginning of text " * 3 + str(i) for i in range(50)]
    with pytest.raises(pp.InputError, match=r"only 1 different prompts.*50 texts.*per_text"):
        pp.Genome.from_texts(texts, n=2, length=(20, 60))
    short, long = "one two three four five", "one two three four five six seven eight"
    with pytest.raises(pp.InputError, match="only 1"):
        pp.Genome.from_texts([short, long], n=2, length=(20, 24))


def test_more_prompts_from_one_text_begin_at_lines_and_do_not_overlap():
    lines = [f"  line number {i} of a program" for i in range(30)]
    text = "\n".join(lines)
    for seed in range(20):
        prompts = pp.Genome.from_texts([text], n=5, length=(20, 80), per_text=5, seed=seed).prompts
        spans = sorted((text.index(p), text.index(p) + len(p)) for p in prompts)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))
        assert all(p.startswith("line number") for p in prompts)
    with pytest.raises(pp.InputError, match="only 1"):
        pp.Genome.from_texts([text], n=2, per_text=1)


def test_at_most_k_prompts_from_a_text():
    texts = ["\n".join(f"text {i}, line {j} and more of it" for j in range(9)) for i in range(4)]
    prompts = pp.Genome.from_texts(texts, n=12, length=(20, 30), per_text=3).prompts
    assert (
        sorted(int(p.removeprefix("text ")[0]) for p in prompts)
        == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3
    )


def _source(name: str, count: int) -> TextSource:
    return TextSource(name, [f"{name} {i} is a text of some length" for i in range(count)], name)


def test_balance_takes_sources_in_turn():
    sources = [_source("small", 10), _source("large", 1000), _source("medium", 100)]
    prompts, provenance = cut_prompts(sources, CutOptions(n=30, balance=True))
    assert [row["genes"] for row in provenance["sources"]] == [10, 10, 10]
    assert [p.split()[0] for p in prompts[:3]] == ["small", "large", "medium"]
    _, provenance = cut_prompts(sources, CutOptions(n=30))
    assert provenance["sources"][1]["genes"] > 20
    # A source that runs out leaves its turns to the others.
    _, provenance = cut_prompts(sources, CutOptions(n=60, balance=True))
    assert [row["genes"] for row in provenance["sources"]] == [10, 25, 25]


def test_a_text_of_two_sources_counts_for_the_first():
    sources = [_source("a", 5), TextSource("copy", _source("a", 5).texts, "")]
    _, provenance = cut_prompts(sources, CutOptions(n=5))
    assert [(r["usable"], r["genes"]) for r in provenance["sources"]] == [(5, 5), (0, 0)]


def test_an_empty_source_is_named():
    with pytest.raises(pp.InputError, match="'void' holds no text"):
        cut_prompts([_source("a", 5), TextSource("void", [" \n"], "")], CutOptions(n=1))
