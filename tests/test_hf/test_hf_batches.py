"""What batches hold, where weights lie, and that neither changes an allele."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import pyphylo as pp
from pyphylo.sampling import _budget
from pyphylo.sampling._budget import cache_bytes, tokens_that_fit
from pyphylo.sampling._load import _device_map
from pyphylo.sampling._locate import locate_model
from pyphylo.sampling.base import SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler
from pyphylo.sampling.streams import uniforms

ROUNDING = 1e-5


class _Logits:
    """Logits after token ids, by one whole forward pass each."""

    def __init__(self, folder: Path) -> None:
        self._model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self._known: dict[tuple[int, ...], np.ndarray] = {}

    @torch.inference_mode()
    def edges(self, ids: tuple[int, ...]) -> np.ndarray:
        """Where each token's stretch of the draws ends."""
        if ids not in self._known:
            logits = self._model(torch.tensor([ids]), use_cache=False).logits[0, -1]
            self._known[ids] = torch.softmax(logits.double(), -1).cumsum(-1).numpy()
        return self._known[ids]


def nearest_boundary(
    logits: _Logits, prompt: Sequence[int], draws: Sequence[float], ends: frozenset[int]
) -> float:
    """How near any draw of a probe comes to another token."""
    ids, nearest = tuple(prompt), 1.0
    for u in draws:
        edges = logits.edges(ids)
        token = int(np.searchsorted(edges, u, side="right"))
        nearest = min(nearest, float(np.abs(edges - u).min()))
        if token in ends:
            break
        ids = (*ids, token)
    return nearest


def different(one: list[list[str]], other: list[list[str]]) -> list[tuple[int, int]]:
    """Gene and probe of the completions that are not the same."""
    return [
        (gene, probe)
        for gene, (ours, theirs) in enumerate(zip(one, other, strict=True))
        for probe, (a, b) in enumerate(zip(ours, theirs, strict=True))
        if a != b
    ]


@pytest.mark.parametrize("family", ["llama", "gemma2", "mamba", "wordpiece"])
def test_batches_and_resumed_runs_draw_the_same(
    family: str, checkpoint: Any, tmp_path: Path
) -> None:
    """Of 1, 4 and 32 genes: but for draws within rounding of a boundary, which are few."""
    genome, config = pp.Genome.default().head(32), SamplingConfig(8, seed=2)
    folder = checkpoint(family)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    prompts = [tokenizer(prompt)["input_ids"] for prompt in genome.prompts]
    # A gene holds its probes, each of at most so many tokens.
    one = config.n_probes * (max(map(len, prompts)) + config.max_new_tokens)
    said, passes = [], []
    for genes in (1, 4, 32):
        sampler = HuggingFaceSampler("m", str(folder), device="cpu", batch_tokens=genes * one)
        calls: list[int] = []
        sampler.load()
        sampler._load().model.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        said.append(sampler.sample(genome, config).completions)
        passes.append(len(calls))
    assert passes[0] > passes[1] > passes[2]

    options = {"n_probes": 8, "seed": 2, "device": "cpu"}
    other = str(checkpoint("gpt2"))
    pp.sample({"other": other}, genome, store=tmp_path / "s", **options)
    store = pp.sample({"other": other, "m": str(folder)}, genome, store=tmp_path / "s", **options)
    said.append(np.array(store.read("m").table["completion"]).reshape(32, 8).tolist())

    logits, near = _Logits(folder), set()
    ends = frozenset({tokenizer.eos_token_id})
    for one_run, other_run in itertools.combinations(said, 2):
        for gene, probe in different(one_run, other_run):
            draws = uniforms(2, sampler.identity.key, genome.genes[gene], 8, config.max_new_tokens)
            assert nearest_boundary(logits, prompts[gene], draws[probe], ends) < ROUNDING
            near.add((gene, probe))
    print(f"{family}: {len(near)} of {32 * 8} completions lie within {ROUNDING} of a boundary")
    assert len(near) <= 3


@pytest.mark.parametrize("family", ["llama", "gpt2", "qwen2", "mistral", "gemma2"])
def test_cache_bytes_are_those_of_the_cache(family: str, checkpoint: Any) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint(family)).eval()
    n = 4  # sliding windows hold no more
    with torch.inference_mode():
        cache = model(torch.tensor([range(10, 10 + n)]), use_cache=True).past_key_values
    held = sum(x.numel() * x.element_size() for pair in cache for x in pair[:2])
    assert cache_bytes(model) == held / n


def test_less_memory_means_smaller_batches(
    checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint("llama")).eval()
    found = []
    for free in (None, 10**12, 4 * 10**6, 10**6, 1):
        monkeypatch.setattr(_budget, "available_bytes", lambda free=free: free)
        found.append([tokens_that_fit(model, 10, workers) for workers in (1, 2)])
    assert found[:2] == [[1 << 13] * 2] * 2
    for one, two in found[2:4]:
        assert one // 2 - 1 <= two <= one // 2 + 1
    (small, _), (tiny, _) = found[2:4]
    assert 3 * tiny <= small <= 5 * tiny
    # Keys and values three times over, and the logits of a row, fit in half of it.
    row = 2 * 4 * model.config.vocab_size
    assert (small * (3 * cache_bytes(model) + row // 10)) <= 2 * 10**6
    assert found[4] == [1, 1]


def test_weights_spread_over_devices_say_the_same(checkpoint: Any) -> None:
    """On a machine without accelerators all layers lie in the CPU's memory."""
    genome, config = pp.Genome.default().head(4), SamplingConfig(8)
    plain, spread = (
        HuggingFaceSampler("m", str(checkpoint("llama")), device=device)
        for device in ("cpu", "spread")
    )
    assert plain.identity == spread.identity
    said = spread.sample(genome, config)
    assert said == plain.sample(genome, config)
    spread.close()
    assert spread.sample(genome, config) == said


def test_weights_that_cannot_be_moved_go_straight_to_their_device(checkpoint: Any) -> None:
    """Quantised ones refuse to be moved; on a GPU the others save the way too."""
    plain = locate_model(str(checkpoint("llama")))
    quantised = dataclasses.replace(
        plain, config={**plain.config, "quantization_config": {"quant_method": "bitsandbytes"}}
    )
    cpu, cuda = torch.device("cpu"), torch.device("cuda", 1)
    assert _device_map(plain, cpu) is None
    assert _device_map(quantised, cpu) == {"": cpu}
    assert _device_map(quantised, cuda) == _device_map(plain, cuda) == {"": cuda}
    assert _device_map(dataclasses.replace(plain, gguf_file="m.gguf"), cuda) is None
    assert _device_map(plain, None) == _device_map(quantised, None) == "auto"
