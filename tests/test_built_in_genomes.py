"""The genomes that ship with pyphylo, and what was measured of them."""

from __future__ import annotations

import itertools
import json
from importlib import resources

import pytest

from pyphylo._gene_cutting import cut_places
from pyphylo._gene_diversity import recorded_diversity
from pyphylo.errors import InputError
from pyphylo.genome import Genome, built_in_genomes


@pytest.fixture(scope="module", params=sorted(built_in_genomes()))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def genome(name: str) -> Genome:
    return Genome.built_in(name)


def test_has_128_genes_named_in_order(name: str, genome: Genome) -> None:
    assert genome.genes == tuple(f"{name}-{i:03d}" for i in range(128))
    assert genome.is_sampleable


def test_the_default_is_mathematics() -> None:
    assert Genome.default() == Genome.built_in("math")
    with pytest.raises(InputError, match=r"'maths'.*'math', 'code'"):
        Genome.built_in("maths")


def test_every_prompt_ends_where_a_text_may_be_cut(genome: Genome) -> None:
    for gene, prompt in genome:
        # One prompt of mathematics ends in an empty line, where an answer is to follow.
        text = str(prompt).rstrip("\n")
        assert len(text) in cut_places(f"{text} and so on", 20, 100), gene


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


def test_only_newlines_and_tabs_as_control_characters(genome: Genome) -> None:
    for gene, prompt in genome:
        text = str(prompt).replace("\n", "").replace("\t", "")
        assert text.isprintable(), gene


def test_cut_points_vary(genome: Genome) -> None:
    """Prompts end behind letters and behind punctuation."""
    last = [str(prompt)[-1] for prompt in genome.prompts]
    assert sum(c.isalpha() for c in last) >= 40
    assert sum(not c.isalnum() for c in last) >= 16


def test_math_is_cut_inside_formulas() -> None:
    prompts = map(str, Genome.built_in("math").prompts)
    assert sum(prompt.count("$") % 2 for prompt in prompts) >= 8


def test_diversity_over_pilot_models_is_recorded(genome: Genome) -> None:
    recorded = recorded_diversity(genome)
    assert recorded is not None
    assert recorded["models"] == len(recorded["pilots"]) == 12
    assert recorded["probes"] == [32, 32]
    assert recorded["sampling"]["n_probes"] == 32
    assert [row["gene"] for row in recorded["genes"]] == list(genome.genes)
    for key, low, high in (("alleles", 1, 32), ("within", 0, 1), ("between", -0.05, 1)):
        values = [row[key] for row in recorded["genes"]]
        assert all(low <= value <= high for value in values)
        assert recorded["mean"][key] == pytest.approx(sum(values) / 128, abs=1e-3)
    # Genes differ: a genome whose genes all told the same would tell nothing.
    between = sorted(row["between"] for row in recorded["genes"])
    assert between[-13] > 2 * between[12]
    assert recorded_diversity(genome.head(127)) is None


def test_file_is_what_save_writes(name: str, genome: Genome) -> None:
    """One JSON object a line, ended by a single newline, UTF-8 without a byte order mark."""
    data = (resources.files("pyphylo") / "data" / f"{name}.jsonl").read_bytes()
    lines = data.decode("utf-8").splitlines(keepends=True)
    assert len(lines) == 128
    assert all(line.endswith("}\n") for line in lines)
    rows = [json.loads(line) for line in lines]
    assert [(row["gene"], row["prompt"]) for row in rows] == list(genome)
    assert all(set(row) == {"gene", "prompt"} for row in rows)
