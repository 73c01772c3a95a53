"""Draws, batches, and models whose padding or cache cannot be trusted."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

from pyphylo.sampling._decode import Job, draw_tokens, run_jobs
from pyphylo.sampling._forward import Forward, calibrated_forward
from pyphylo.sampling._stop import BadLogitsError, StopRule
from pyphylo.sampling._token_text import token_text
from pyphylo.sampling.streams import uniforms

RULE = StopRule(chars=3, max_new_tokens=4, end_tokens=frozenset({1}), temperature=1.0)
LAST = float(np.nextafter(1.0, 0.0))


@given(
    logits=st.lists(
        st.one_of(st.floats(-30, 30, width=32), st.just(-np.inf)), min_size=1, max_size=20
    ).filter(lambda row: max(row) > -np.inf),
    u=st.one_of(st.floats(0, 1, exclude_max=True), st.sampled_from([0.0, LAST])),
    temperature=st.sampled_from([0.1, 0.7, 1.0, 3.0]),
)
def test_draws_are_quantiles(logits: list[float], u: float, temperature: float) -> None:
    """The token whose stretch of the cumulative distribution holds u, and never an impossible."""
    (drawn,) = draw_tokens(torch.tensor([logits]), temperature, [np.array([u])])
    token = int(drawn[0])
    top = max(logits)
    weights = [np.exp((np.float64(x) - top) / temperature) for x in logits]
    below, total = sum(weights[:token]), sum(weights)
    assert weights[token] > 0
    assert below - 1e-12 * total <= u * total <= below + weights[token] + 1e-12 * total


def test_draws_at_the_edges() -> None:
    logits = torch.tensor([[-np.inf, 0.0, -np.inf, 0.0, -np.inf]])
    (drawn,) = draw_tokens(logits, 1.0, [np.array([0.0, 0.4999, 0.5, LAST])])
    assert drawn.tolist() == [1, 1, 3, 3]


def test_the_last_draw_finds_a_possible_token() -> None:
    """However the total rounds, u * total stays below it."""
    rng = np.random.default_rng(0)
    logits = torch.as_tensor(rng.normal(size=(500, 37)), dtype=torch.float32)
    logits[:, -3:] = -np.inf
    drawn = draw_tokens(logits, 1.0, [np.array([LAST])] * 500)
    assert {int(row[0]) for row in drawn} == {33}


def test_rows_of_different_numbers_of_draws() -> None:
    logits = torch.tensor([[0.0, 0.0], [0.0, -np.inf]])
    drawn = draw_tokens(logits, 1.0, [np.array([0.1, 0.9, 0.2]), np.array([0.99])])
    assert [row.tolist() for row in drawn] == [[0, 1, 0], [0]]


@pytest.mark.parametrize("bad", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, -np.inf]])
def test_logits_that_are_no_distribution(bad: list[float]) -> None:
    with pytest.raises(BadLogitsError) as caught:
        draw_tokens(torch.tensor([[0.0, 1.0], bad]), 1.0, [np.zeros(1), np.zeros(1)])
    assert caught.value.row == 1


class _Setup:
    """A tiny model, its tokenizer's text and prompts of several lengths."""

    def __init__(self, folder: Any) -> None:
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.text = token_text(tokenizer)
        prompts = ["The quick brown", "Let", "日本語の", "x + 1 > x, so"]
        self.prompts = [tokenizer(prompt)["input_ids"] for prompt in prompts]

    def jobs(self, n_probes: int = 6) -> list[Job]:
        return [
            Job(i, 0, prompt, uniforms(0, "key", f"g{i}", n_probes, RULE.max_new_tokens))
            for i, prompt in enumerate(self.prompts)
        ]

    def run(self, forward: Forward, batch_tokens: int = 10_000) -> dict[int, list[str]]:
        said: dict[int, dict[int, list[str]]] = {}

        def done(job: Job, texts: list[str]) -> None:
            said.setdefault(job.gene, {})[job.first] = texts

        run_jobs(forward, self.jobs(), self.text, RULE, batch_tokens, done)
        return {
            gene: [text for first in sorted(parts) for text in parts[first]]
            for gene, parts in said.items()
        }


@pytest.fixture(scope="module")
def setup(checkpoint: Any) -> _Setup:
    return _Setup(checkpoint("llama"))


class _IgnoresMask(transformers.LlamaForCausalLM):
    """Takes a mask and looks at the padding all the same."""

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        past_key_values: Any = None,
        use_cache: Any = None,
    ) -> Any:
        return super().forward(
            input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache
        )


class _LosesRows(transformers.LlamaForCausalLM):
    """Its cache does not follow when rows are picked."""

    def forward(
        self,
        input_ids: Any,
        attention_mask: Any = None,
        position_ids: Any = None,
        past_key_values: Any = None,
        use_cache: Any = None,
    ) -> Any:
        output = super().forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
        )
        if output.past_key_values is not None:
            self.spoil(output.past_key_values)
        return output

    @staticmethod
    def spoil(cache: Any) -> None:
        cache.reorder_cache = lambda rows: cache.batch_select_indices(torch.zeros_like(rows))


class _CacheFails(_LosesRows):
    """Its cache cannot pick rows at all."""

    @staticmethod
    def spoil(cache: Any) -> None:
        def fail(rows: torch.Tensor) -> None:
            raise AttributeError("this layer has no such thing")

        cache.reorder_cache = fail


def _as(kind: type, model: Any) -> Any:
    changed = copy.deepcopy(model)
    changed.__class__ = kind
    return changed


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2", "mistral", "gemma2", "bloom"])
def test_sound_models_pad_and_cache(family: str, checkpoint: Any) -> None:
    """Attention of every kind is run the fast way."""
    made = _Setup(checkpoint(family))
    forward = calibrated_forward(made.model, made.prompts)
    assert (forward.pads, forward.caches) == (True, True)


@pytest.mark.parametrize(
    ("kind", "pads", "caches"),
    [(_IgnoresMask, False, True), (_LosesRows, True, False), (_CacheFails, True, False)],
)
def test_unsound_models_are_run_the_slow_way(
    kind: type, pads: bool, caches: bool, setup: _Setup
) -> None:
    """What a model gets wrong is found out and left unused: completions are the same."""
    forward = calibrated_forward(_as(kind, setup.model), setup.prompts)
    assert (forward.pads, forward.caches) == (pads, caches)
    assert setup.run(forward) == setup.run(calibrated_forward(setup.model, setup.prompts))


class _SmallDevice(transformers.LlamaForCausalLM):
    """Runs out of memory above some number of rows, as an accelerator does."""

    rows = 5
    refused = 0

    def forward(self, input_ids: Any, attention_mask: Any = None, **options: Any) -> Any:
        if len(input_ids) > self.rows:
            type(self).refused += 1
            raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")
        return super().forward(input_ids=input_ids, attention_mask=attention_mask, **options)


def test_batches_are_halved_until_they_fit(setup: _Setup) -> None:
    small = Forward(_as(_SmallDevice, setup.model))
    whole = setup.run(Forward(setup.model))
    assert setup.run(small) == whole
    assert _SmallDevice.refused > 0


def test_what_never_fits_is_an_error(setup: _Setup) -> None:
    nothing = _as(type("_NoDevice", (_SmallDevice,), {"rows": 0}), setup.model)
    with pytest.raises(RuntimeError, match="out of memory"):
        setup.run(Forward(nothing))


def test_a_model_is_tried_out_once_for_its_architecture(setup: _Setup) -> None:
    """Other weights run the same code; other lengths, settings, layers or foreign code do not."""

    def calls(model: Any, prompts: Any) -> int:
        seen: list[Any] = []
        handle = model.register_forward_pre_hook(lambda *args: seen.append(args))
        forward = calibrated_forward(model, prompts)
        handle.remove()
        assert (forward.pads, forward.caches) == (True, True)
        return len(seen)

    config = copy.deepcopy(setup.model.config)
    config.intermediate_size += 8  # a size that no other test has
    with torch.random.fork_rng():
        first, second = (transformers.LlamaForCausalLM(config).eval() for _ in range(2))
        config = copy.deepcopy(config)
        config.rope_parameters = {**config.rope_parameters, "rope_theta": 777.0}
        third = transformers.LlamaForCausalLM(config).eval()
    assert calls(first, setup.prompts) > 3
    assert calls(second, setup.prompts) == 0
    assert calls(second, [*setup.prompts, [*max(setup.prompts, key=len), 3]]) > 3
    assert calls(third, setup.prompts) > 3
    second.model.layers[0].mlp.act_fn = torch.nn.Identity()
    assert calls(second, setup.prompts) > 3
    own = _as(type("_Own", (transformers.LlamaForCausalLM,), {}), first)
    assert calls(own, setup.prompts) == calls(own, setup.prompts) > 3
