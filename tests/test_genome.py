"""Genome: checks, digest, cutting prompts, files."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp

TEXTS = [f"text number {i}: " + "lorem ipsum dolor sit amet " * 6 for i in range(200)]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=6, unique=True), st.data())
def test_save_and_load(tmp_path_factory, genes, data):
    genes = [g.encode("utf-8", "replace").decode() + str(i) for i, g in enumerate(genes)]
    text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
    genome = pp.Genome(genes, [data.draw(text) for _ in genes])
    path = tmp_path_factory.mktemp("genome") / "g.jsonl"
    genome.save(path)
    assert pp.Genome.load(path) == genome
    assert pp.Genome.load(path).digest == genome.digest


def test_digest_depends_on_order_names_and_prompts():
    genomes = [
        pp.Genome(["a", "b"], ["x", "y"]),
        pp.Genome(["b", "a"], ["y", "x"]),
        pp.Genome(["a", "b"], ["y", "x"]),
        pp.Genome(["a", "c"], ["x", "y"]),
        pp.Genome(["a"], ["x"]),
        pp.Genome(["a", "b"], ["x", None]),
    ]
    assert len({genome.digest for genome in genomes}) == len(genomes)


def test_from_texts():
    genome = pp.Genome.from_texts(TEXTS, n=50, length=(20, 100), seed=3)
    assert len(genome) == 50
    assert all(20 <= len(prompt) < 100 for prompt in genome.prompts)
    assert all(any(text.startswith(prompt) for text in TEXTS) for prompt in genome.prompts)
    assert len(set(genome.prompts)) == 50
    assert genome == pp.Genome.from_texts(reversed(TEXTS), n=50, length=(20, 100), seed=3)
    assert genome != pp.Genome.from_texts(TEXTS, n=50, length=(20, 100), seed=4)
    assert len({len(prompt) for prompt in genome.prompts}) > 10
    assert genome.head(5).genes == genome.genes[:5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 201}, "only 200 different prompts"),
        ({"n": 0}, "at least 1"),
        ({"length": (100, 20)}, "length"),
        ({"length": (500, 600)}, "only 0"),
        ({"length": (20, 20)}, "length"),
        ({"length": (20.5, 30)}, "length"),
        ({"length": 20}, "length"),
        ({"per_text": 0}, "per_text"),
        ({"seed": -1}, "seed"),
    ],
)
def test_from_texts_refuses(options, message):
    with pytest.raises(pp.InputError, match=message):
        pp.Genome.from_texts(TEXTS, **options)


def test_provenance_travels_with_the_file_and_not_in_the_digest(tmp_path):
    genome = pp.Genome.from_texts(TEXTS, n=50, seed=3)
    genome.save(tmp_path / "g.jsonl")
    loaded = pp.Genome.load(tmp_path / "g.jsonl")
    assert loaded.provenance == genome.provenance
    assert loaded.provenance["seed"] == 3
    (source,) = loaded.provenance["sources"]
    assert (source["texts"], source["usable"], source["genes"]) == (200, 200, 50)
    bare = pp.Genome(genome.genes, genome.prompts)
    assert bare == loaded
    assert hash(bare) == hash(loaded)
    assert bare.digest == loaded.digest
    loaded.save(tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (tmp_path / "g.jsonl").read_bytes()
    assert loaded.head(4).provenance == {**genome.provenance, "first": 4}


def test_other_keys_of_a_genome_file_do_no_harm(tmp_path):
    path = tmp_path / "g.jsonl"
    path.write_text(
        '{"gene": "a", "prompt": "x", "provenance": "mine"}\n'
        '{"gene": "b", "prompt": "y", "provenance": {"seed": 1}, "topic": 7}\n'
    )
    assert pp.Genome.load(path) == pp.Genome("ab", "xy")
    assert pp.Genome.load(path).provenance == {}


@pytest.mark.parametrize(("texts", "message"), [("one string", "not one string"), ([], "no text")])
def test_from_texts_refuses_what_is_no_texts(texts, message):
    with pytest.raises(pp.InputError, match=message):
        pp.Genome.from_texts(texts)
    with pytest.raises(pp.InputError, match="text 1 is 7"):
        pp.Genome.from_texts(["a text that is long enough", 7])


@pytest.mark.parametrize(
    ("genes", "prompts", "message"),
    [
        ([], [], "empty"),
        (["a"], [], "1 genes, 0 prompts"),
        (["a", "a"], ["x", "y"], "'a' occurs twice"),
        ([""], ["x"], "non-empty"),
        (["a"], [""], "'a'"),
        ([1], ["x"], "1"),
    ],
)
def test_bad_genomes(genes, prompts, message):
    with pytest.raises(pp.InputError, match=message):
        pp.Genome(genes, prompts)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "empty"),
        (b'{"gene": "a", "prompt": "x"}\nnot json\n', "line 2: not JSON"),
        (b'\n["a"]\n', "line 2"),
        (b'{"gene": "a"}\n', "line 1.*'a'"),
        (b'{"gene": "a", "prompt": 3}\n', "line 1"),
        (b'{"gene": 3, "prompt": "x"}\n', "line 1"),
        (b'{"gene": "a", "prompt": "x"}\n{"gene": "a", "prompt": "x"}\n', "'a' occurs twice"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_bad_files(tmp_path, data, message):
    path = tmp_path / "g.jsonl"
    path.write_bytes(data)
    with pytest.raises(pp.FileFormatError, match=f"(?s)g.jsonl.*{message}"):
        pp.Genome.load(path)


def test_absent_file_and_folder(tmp_path):
    with pytest.raises(pp.InputError, match="does not exist"):
        pp.Genome.load(tmp_path / "none.jsonl")
    with pytest.raises(pp.InputError, match="folder"):
        pp.Genome.load(tmp_path)


def test_line_separators_inside_a_prompt_do_not_split_it(tmp_path):
    genome = pp.Genome(["a"], ["one\u2028two\x85three\nfour"])
    genome.save(tmp_path / "g.jsonl")
    assert pp.Genome.load(tmp_path / "g.jsonl") == genome
    (line,) = (tmp_path / "g.jsonl").read_text(encoding="utf-8").strip("\n").split("\n")
    assert json.loads(line) == {"gene": "a", "prompt": genome.prompts[0]}
