"""`sample` in its three modes, from checkpoints to tables and distances."""

from __future__ import annotations

import collections
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.sampling.base import SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler

PROMPTS = ["The quick brown fox", "Let x be", "def area(radius):\n   ", "日本語の", "The"]
GENOME = pp.Genome([f"g{i}" for i in range(len(PROMPTS))], PROMPTS)
RULE = pp.AlleleRule()


def alleles(texts: Any) -> dict[str, float]:
    found: collections.Counter[str] = collections.Counter()
    for text, mass in texts.items():
        found[RULE(text)] += mass
    return dict(found)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "mamba", "wordpiece"])
def test_modes_agree(checkpoint: Any, family: str) -> None:
    """Draws are of the exact distribution, as far as it was worked out, whatever the model."""
    sampler = HuggingFaceSampler("m", str(checkpoint(family)), device="cpu")
    n = 600
    limits = {"min_mass": 2e-3, "max_new_tokens": 3}
    exact = sampler.sample(GENOME, SamplingConfig(mode="exact", max_nodes=40, **limits))
    drawn = sampler.sample(GENOME, SamplingConfig(n, max_new_tokens=3))
    hybrid = sampler.sample(GENOME, SamplingConfig(n, mode="hybrid", **limits))
    p_values = []
    for gene, cell in enumerate(exact.decided):
        first = hybrid.decided[gene]
        assert first.undecided + math.fsum(first.probabilities.values()) == pytest.approx(1)
        for text, q in first.probabilities.items():
            assert q <= cell.probabilities.get(text, 0) + 1e-6
        known, q = alleles(cell.probabilities), alleles(first.probabilities)
        counts = collections.Counter(map(RULE, drawn.completions[gene]))
        inside = collections.Counter(map(RULE, hybrid.completions[gene]))
        for allele, p in known.items():
            # What was pruned may belong to any allele: it widens what is to be expected.
            for seen, low in ((counts, p), (inside, (p - q.get(allele, 0)) / first.undecided)):
                high = min(1.0, low + cell.pruned / (1 if seen is counts else first.undecided))
                low = min(max(low, 0.0), 1.0)
                p_values.append(scipy.stats.binom.sf(seen[allele] - 1, n, high))
                p_values.append(scipy.stats.binom.cdf(seen[allele], n, low))
    assert min(p_values) > 1e-3 / len(p_values)
    assert exact.completions == [[]] * len(PROMPTS)
    assert exact.facts == drawn.facts


@pytest.mark.parametrize("mode", ["exact", "hybrid"])
def test_batches_give_the_same_numbers(checkpoint: Any, mode: str) -> None:
    """One gene, four, and all of them at once."""
    genome = pp.Genome.default().head(32)
    longest = 64
    config = SamplingConfig(n_probes=4, mode=mode, min_mass=1e-3, max_nodes=None)
    readings = [
        HuggingFaceSampler(
            "m", str(checkpoint("llama")), device="cpu", batch_tokens=genes * 64 * longest
        ).sample(genome, config)
        for genes in (1, 4, 32)
    ]
    for other in readings[1:]:
        assert other.completions == readings[0].completions
        for a, b in zip(other.decided, readings[0].decided, strict=True):
            assert a.probabilities.keys() == b.probabilities.keys()
            for text, p in a.probabilities.items():
                assert p == pytest.approx(b.probabilities[text], abs=1e-6)
            assert (a.undecided, a.pruned) == pytest.approx((b.undecided, b.pruned), abs=1e-6)


def test_progress_counts_every_gene(checkpoint: Any) -> None:
    sampler = HuggingFaceSampler("m", str(checkpoint("llama")), device="cpu", batch_tokens=100)
    for mode in ("sample", "exact", "hybrid"):
        told: list[int] = []
        sampler.sample(GENOME, SamplingConfig(3, mode=mode), told.append)
        assert sum(told) == len(PROMPTS)


@pytest.fixture
def models(checkpoint: Any) -> dict[str, str]:
    return {kind: str(checkpoint(kind)) for kind in ("llama", "gpt2", "mistral")}


@pytest.mark.parametrize("mode", ["exact", "hybrid"])
def test_from_models_to_a_tree(models: dict[str, str], tmp_path: Path, mode: str) -> None:
    options = {"device": "cpu", "min_mass": 1e-2, "n_probes": 6, "mode": mode}
    store = pp.sample(models, GENOME, store=tmp_path / "s", **options)
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "s" / "shards").iterdir()}
    again = pp.sample(models, GENOME, store=tmp_path / "s", **options)
    assert again.models == tuple(sorted(models))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    table = pp.AlleleTable.from_store(store)
    assert table.summary()[1] == 0
    frame = table.to_frame()
    assert ("draws" in frame) == (mode == "hybrid")
    if mode == "hybrid":
        # A cell whose first tokens decide nothing is a sampled one.
        frame["draws"] += frame["count"]
        frame["probability"] += frame["count"] / 6
        assert set(frame.groupby(["model", "gene"])["draws"].sum()) == {6}
        assert frame.groupby(["model", "gene"])["probability"].sum().to_numpy() == pytest.approx(1)
    S = pp.nei_similarity(table, estimator="unbiased")
    assert np.isfinite(S.values).all()
    tree = pp.neighbor_joining(pp.nei_distance(S))
    assert pp.bootstrap_support(table, tree, n=20, seed=0).tips == tree.tips


def test_the_command_line(models: dict[str, str], tmp_path: Path, capsys: Any) -> None:
    GENOME.save(tmp_path / "g.jsonl")
    given = [f"{name}={path}" for name, path in models.items()]
    common = ["--genome", str(tmp_path / "g.jsonl"), "--device", "cpu", "--json"]
    options = ["--mode", "exact", "--min-mass", "0.01", "--max-nodes", "30"]
    assert main(["run", *given, "--out", str(tmp_path / "run"), *common, *options]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["models"] == list(models)
    sampling = json.loads((tmp_path / "run" / "run.json").read_text())["sampling"]
    assert sampling == {
        "mode": "exact", "min_mass": 0.01, "max_nodes": 30, "temperature": 1.0, "chars": 4,
        "max_new_tokens": 5,
    }  # fmt: skip
    store = str(tmp_path / "s")
    hybrid = ["--mode", "hybrid", "--probes", "4", "--store", store]
    assert main(["sample", *given[:2], *common, *hybrid]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["sampling"]["min_mass"] == 1e-3
    # A model that the store lacks is read in the store's own mode.
    query = ["nearest", given[2], "--store", store, "--device", "cpu", "--json"]
    assert main(query) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["sampled"] is True
    assert pp.SampleStore.open(store).models == tuple(sorted(models))
    for wrong, message in (
        (["--max-nodes", "3"], "max_nodes is an option of mode exact or hybrid, not sample"),
        (["--min-mass", "0.1"], "min_mass is an option of mode exact or hybrid, not sample"),
        (["--mode", "exact", "--min-mass", "1"], "min_mass must be below 1"),
        (["--mode", "exact", "--min-mass", "nan"], "min_mass must be a number above 0"),
        (["--mode", "sample"], "sampled with mode='hybrid', not 'sample'"),
    ):
        argv = ["sample", *given, *common, "--store", store, *wrong, "--max-new-tokens", "4"]
        assert main(argv) == 2
        assert message in capsys.readouterr().err


def test_broken_models_are_reported(own_copy: Any, tmp_path: Path) -> None:
    import safetensors.torch
    import torch

    folder = own_copy("llama")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], math.nan)
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    for mode in ("exact", "hybrid"):
        with pytest.raises(pp.WorkError, match=r"gene 'g.': the logits are no distribution"):
            pp.sample([str(folder)], GENOME, store=tmp_path / mode, mode=mode, device="cpu")
