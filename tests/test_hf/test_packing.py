"""Packed weights: the same products but for rounding, and the model as it was afterwards."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.sampling import _packing
from pyphylo.sampling._packing import PackedLinears
from pyphylo.sampling.base import SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler

pytestmark = pytest.mark.skipif(
    not _packing._is_sound(), reason="this torch has no products by packed weights"
)


class Quantised(torch.Tensor):
    """As libraries of quantisation have them: a tensor that computes in its own way."""


def packed(model: Any) -> list[str]:
    """Names of the layers that multiply by packed weights."""
    return [name for name, module in model.named_modules() if "forward" in vars(module)]


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 70),
    st.integers(1, 70),
    st.lists(st.integers(0, 5), max_size=3),
    st.booleans(),
    st.booleans(),
    st.integers(0, 2**31),
)
def test_products_of_any_shape(
    inputs: int, outputs: int, shape: list[int], bias: bool, strided: bool, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = torch.nn.Linear(inputs, outputs, bias=bias)
    rows = torch.rand([*shape, 2, inputs], generator=generator)
    rows = rows[..., 1, :] if strided else rows
    linears = PackedLinears()
    with torch.inference_mode():
        expected = layer(rows)
        linears.pack(torch.nn.Sequential(layer))
        found = layer(rows)
        linears.unpack()
        assert torch.equal(layer(rows), expected)
    assert found.shape == expected.shape
    assert found.dtype == expected.dtype
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "bloom", "mamba"])
def test_models_say_the_same(family: str, checkpoint: Any) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(checkpoint(family)).eval()
    ids = torch.arange(5, 35).reshape(2, 15)
    linears = PackedLinears()
    with torch.inference_mode():
        expected = model(ids).logits
        linears.pack(model)
        assert len(packed(model)) > 4
        found = model(ids).logits
        linears.unpack()
        assert packed(model) == []
        assert torch.equal(model(ids).logits, expected)
    assert torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_weights_that_changed_are_packed_anew() -> None:
    layer = torch.nn.Linear(8, 8, bias=False)
    model = torch.nn.Sequential(layer)
    linears = PackedLinears()
    with torch.inference_mode():
        layer.weight.copy_(torch.eye(8))
        linears.pack(model)
        layer.weight.copy_(2 * torch.eye(8))
        linears.pack(model)  # they are packed already
        assert torch.equal(layer(torch.eye(8)), torch.eye(8))
        linears.unpack()
        linears.pack(model)
        assert torch.equal(layer(torch.eye(8)), 2 * torch.eye(8))


def test_layers_with_code_of_their_own_and_other_dtypes_are_left_alone() -> None:
    class Doubled(torch.nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * super().forward(x)

    plain, half = torch.nn.Linear(4, 4), torch.nn.Linear(4, 4, dtype=torch.bfloat16)
    wrapped, seen = torch.nn.Linear(4, 4), []
    own = wrapped.forward
    wrapped.forward = lambda x: (seen.append(1), own(x))[1]
    quantised = torch.nn.Linear(4, 4)
    quantised.weight = torch.nn.Parameter(quantised.weight.detach().as_subclass(Quantised))
    model = torch.nn.Sequential(plain, wrapped, Doubled(4, 4), half, quantised)
    linears = PackedLinears()
    linears.pack(model)
    assert packed(model) == ["0", "1"]
    with torch.inference_mode():
        wrapped(torch.ones(1, 4))
    assert seen == [1]
    linears.unpack()
    assert packed(model) == ["1"]


def test_where_memory_is_short_nothing_is_packed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(100, 10), torch.nn.Linear(10, 50))
    linears = PackedLinears()
    for free, names in ((2 * 6000 - 1, []), (2 * 6000, ["0", "1"]), (None, ["0", "1"])):
        monkeypatch.setattr(_packing, "available_bytes", lambda free=free: free)
        linears.pack(model)
        assert packed(model) == names
        linears.unpack()


def test_sampling_packs_and_draws_the_same(
    checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    genome, config = pp.Genome.default().head(8), SamplingConfig(16)
    sampler = HuggingFaceSampler("m", str(checkpoint("llama")), device="cpu")
    said = sampler.sample(genome, config)
    model = sampler._load().model
    assert "lm_head" in packed(model)
    sampler.close()
    assert packed(model) == []
    monkeypatch.setattr(_packing, "available_bytes", lambda: 0)
    assert sampler.sample(genome, config) == said
    assert packed(sampler._load().model) == []


def test_weights_are_handed_over_unpacked(adapter: Any, checkpoint: Any) -> None:
    pytest.importorskip("peft")
    base = HuggingFaceSampler("base", str(checkpoint("llama")), device="cpu")
    with_adapter = HuggingFaceSampler("adapter", str(adapter("a")), device="cpu")
    model = base._load().model
    names = packed(model)
    base.hand_over(with_adapter)
    assert packed(model) == []
    assert with_adapter._load().model is model
    now = packed(model)
    # The layers of the adapter are packed too, and what it is put on stays packed inside it.
    assert {name.replace(".base_layer", "") for name in now if "lora" not in name} == set(names)
    assert any("lora_A" in name for name in now)
    with_adapter.close()
    assert packed(model) == []
