"""Weights made on the spot: averages lie between their parents, students beside their teachers."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

import pyphylo as pp

pytest.importorskip("transformers")
sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))
from breeding import BASES, PANELS, breed, plan

CANDIDATES = ["A", "A2", "B", "C"]
SMALL = replace(
    BASES["gpt"], steps=300, tuning=40, tuning_rate=1e-3, batch=9, samples=192, width=128, layers=2
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of nine small models."""
    folder = tmp_path_factory.mktemp("bred")
    recipes = plan(PANELS[0], mix=True)
    kept = ("O", *CANDIDATES, "A-B", "SA", "AB50", "OA50")
    breed(folder, SMALL, {name: recipes[name] for name in kept}, 0, lambda _: None)
    return folder


@pytest.fixture(scope="module")
def table(made: Path) -> pp.AlleleTable:
    genome = pp.Genome.built_in("code").head(64)
    folders = {
        path.parent.name: str(path.parent) for path in sorted(made.glob("*/model.safetensors"))
    }
    store = pp.sample(
        folders, genome, store=made / "store", mode="exact", min_mass=0.02, device="cpu"
    )
    return pp.AlleleTable.from_store(store)


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["root", "pooled"])
def test_an_average_of_two_fine_tunes_is_their_merge(table, weighting):
    found = pp.find_merge(
        table, "AB50", candidates=CANDIDATES, base="O", weighting=weighting, n_threads=1
    )
    assert found.outcome == "merge"
    assert set(found.parents) == {"A", "B"}
    assert found.geometric.weight == pytest.approx(0.5, abs=0.1)
    assert found.geometric.residual < 0.6 * found.geometric.to_parents


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["root", "pooled", "plain"])
@pytest.mark.parametrize("model", ["A2", "A-B", "SA", "OA50"])
def test_what_is_no_average_is_not_called_a_merge(table, model, weighting):
    others = [name for name in CANDIDATES if name != model]
    found = pp.find_merge(
        table, model, candidates=others, base="O", weighting=weighting, n_threads=1
    )
    assert found.outcome != "merge"
    if model == "OA50" and weighting == "root":
        assert found.outcome == "partial return to the base"
        assert found.parents == ("A", "O")


@pytest.mark.slow
@pytest.mark.parametrize("weighting", ["root", "pooled"])
def test_a_student_shares_most_drift_with_its_teacher(table, weighting):
    found = pp.find_teacher(
        table, "SA", "O", candidates=CANDIDATES, weighting=weighting, n_threads=1
    )
    assert found.leader == "A"
    assert found.candidates.cosine.iloc[0] == found.candidates.cosine.max()
