"""Parents of real language models: 33 declared pairs, each proposed for with its own hidden."""

from __future__ import annotations

import numpy as np
import pytest

import pyphylo as pp
from pyphylo.io.metadata import read_lineage

BASES = """
llama-7b llama-13b llama-2-7b-hf llama-2-13b-hf bloom-3b bloom-7b bloom-176b pythia-70m
pythia-160m pythia-410m pythia-1.4b pythia-2.8b pythia-6.9b pythia-12b opt-125m opt-350m opt-1.3b
opt-2.7b opt-6.7b opt-13b opt-30b opt-66b falcon-rw-1b falcon-rw-7b falcon-7b falcon-40b
falcon-180b Mistral-7B-v0.1 Mixtral-8x7B-v0.1 Qwen-1_8B Qwen-7B Qwen-14B Qwen-72B Qwen1.5-0.5B
Qwen1.5-1.8B Qwen1.5-4B Qwen1.5-7B Qwen1.5-14B Qwen1.5-32B Qwen1.5-72B gemma-2b gemma-7b ada
babbage curie davinci babbage-002 davinci-002
""".split()  # noqa: SIM905
"""Models that were trained from nothing."""


@pytest.fixture(scope="module")
def real(shared_data):
    """Distances, metadata and plausible bases: trained from nothing, or declared a parent."""
    S = pp.SimilarityMatrix.load(shared_data / "phylolm" / "math_similarity.csv")
    metadata = shared_data / "phylolm" / "models.csv"
    parents = read_lineage(metadata).parents
    assert len(parents) == 33
    return pp.nei_distance(S), metadata, sorted({*BASES, *parents.values()})


@pytest.mark.parametrize("by", ["model", "parent"])
def test_with_candidates_nine_in_ten_answers_are_right(real, by):
    D, metadata, bases = real
    found = pp.evaluate_parents(D, metadata, bases, by=by)
    assert found["pairs"] == 33
    assert found["precision"] >= 0.9
    assert found["coverage"] >= 0.65
    assert 0.7 < found["precision_lower"] < found["precision"]
    assert found["precision"] > found["nearest"]
    assert abs(found["mean_confidence"] - found["mean_right"]) < 0.1


@pytest.mark.parametrize("by", ["model", "parent"])
def test_without_candidates_seven_in_ten_answers_are_right(real, by):
    D, metadata, _ = real
    found = pp.evaluate_parents(D, metadata, by=by)
    assert found["precision"] >= 0.7
    assert found["coverage"] >= 0.4
    assert found["precision"] > found["nearest"] + 0.15
    assert abs(found["mean_confidence"] - found["mean_right"]) < 0.1


def test_scattered_declarations_teach_to_abstain(real):
    """Parents dealt out among the children at random: nothing can be learned, nothing is said."""
    D, metadata, bases = real
    parents = read_lineage(metadata).parents
    for seed in range(3):
        dealt = np.random.default_rng(seed).permutation(list(parents.values())).tolist()
        rows = {
            child: {"base_model": parent}
            for child, parent in zip(parents, dealt, strict=True)
            if child != parent
        }
        for candidates in (bases, None):
            found = pp.evaluate_parents(D, rows, candidates)
            assert found["answered"] <= 2
            assert found["mean_confidence"] < 0.3


def test_models_that_declare_no_parent_get_answers(real):
    D, metadata, bases = real
    declared = read_lineage(metadata).parents
    frame = pp.propose_parents(D, metadata, bases, evaluate=False).set_index("model")
    assert sorted([*frame.index, *declared]) == sorted(D.ids)
    tuned = frame.drop([name for name in bases if name in frame.index])
    assert tuned["parent"].notna().mean() > 0.65
    assert set(frame["parent"].dropna()) <= set(bases)
