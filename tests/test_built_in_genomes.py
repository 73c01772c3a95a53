"""The genome that ships with pyphylo."""

from __future__ import annotations

import itertools
import json
from importlib import resources

import pytest

from pyphylo.genome import Genome


@pytest.fixture(scope="module")
def genome() -> Genome:
    return Genome.default()


def test_has_128_genes_named_in_order(genome: Genome) -> None:
    assert genome.genes == tuple(f"math-{i:03d}" for i in range(128))
    assert genome.is_sampleable


def test_prompts_are_different_and_of_20_to_99_code_points(genome: Genome) -> None:
    lengths = {gene: len(prompt or "") for gene, prompt in genome}
    outside = {gene: length for gene, length in lengths.items() if not 20 <= length <= 99}
    assert not outside
    assert len(set(genome.prompts)) == 128


def test_no_prompt_starts_another(genome: Genome) -> None:
    ordered = sorted(genome.prompts, key=str)
    for shorter, longer in itertools.pairwise(ordered):
        assert not str(longer).startswith(str(shorter))


def test_prompts_start_with_text_and_do_not_end_in_a_space(genome: Genome) -> None:
    for gene, prompt in genome:
        assert prompt is not None
        assert prompt == prompt.lstrip(), gene
        assert not prompt.endswith((" ", "\t")), gene


def test_only_newlines_as_control_characters(genome: Genome) -> None:
    for gene, prompt in genome:
        text = str(prompt).replace("\n", "")
        assert text.isprintable(), gene


def test_cut_points_vary(genome: Genome) -> None:
    """Prompts end inside words, after punctuation and inside formulas."""
    last = [str(prompt)[-1] for prompt in genome.prompts]
    assert sum(c.isalpha() for c in last) >= 48
    assert sum(not c.isalnum() for c in last) >= 16
    open_formula = [str(prompt) for prompt in genome.prompts if str(prompt).count("$") % 2]
    assert len(open_formula) >= 8


def test_file_is_what_save_writes(genome: Genome) -> None:
    """One JSON object a line, ended by a single newline, UTF-8 without a byte order mark."""
    data = (resources.files("pyphylo") / "data" / "math.jsonl").read_bytes()
    lines = data.decode("utf-8").splitlines(keepends=True)
    assert len(lines) == 128
    assert all(line.endswith("}\n") for line in lines)
    rows = [json.loads(line) for line in lines]
    assert [(row["gene"], row["prompt"]) for row in rows] == list(genome)
    assert all(set(row) == {"gene", "prompt"} for row in rows)
