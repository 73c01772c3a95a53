"""A stand-in for the package vllm: its calls and answers as 0.32 has them, the model itself by
transformers, one sequence after the other, in this process."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers


@dataclass
class SamplingParams:
    """Every key that a request may have; an unknown one is refused."""

    n: int
    temperature: float
    top_p: float
    top_k: int
    min_p: float
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    max_tokens: int
    seed: int
    ignore_eos: bool
    stop_token_ids: list[int]
    detokenize: bool
    logprobs: int


class LLM:
    """Loads, answers, and keeps a list of what it was asked."""

    running = 0
    made: list[dict[str, Any]] = []  # noqa: RUF012 -- of all

    def __init__(self, **options: Any) -> None:
        print("what a library says on stdout")
        LLM.made.append(options)
        self.calls: list[tuple[list[dict[str, Any]], list[SamplingParams]]] = []
        self._length = options["max_model_len"]
        self._model = transformers.AutoModelForCausalLM.from_pretrained(
            options["model"], dtype=getattr(torch, options["dtype"])
        ).eval()
        if self._length > self._model.config.max_position_embeddings:
            raise ValueError(f"max_model_len {self._length} is more than the model's")
        LLM.running += 1
        core = SimpleNamespace(shutdown=self._shutdown)
        self.llm_engine = SimpleNamespace(engine_core=core)

    def generate(
        self, prompts: list[dict[str, Any]], params: list[SamplingParams], *, use_tqdm: bool
    ) -> list[Any]:
        assert use_tqdm is False
        self.calls.append((prompts, params))
        return [
            SimpleNamespace(
                outputs=[self._complete(p["prompt_token_ids"], r, i) for i in range(r.n)]
            )
            for p, r in zip(prompts, params, strict=True)
        ]

    def _complete(self, prompt: list[int], request: SamplingParams, index: int) -> Any:
        draws = np.random.default_rng(request.seed + index)
        tokens: list[int] = []
        logprobs: list[dict[int, Any]] = []
        while len(tokens) < request.max_tokens and len(prompt) + len(tokens) < self._length:
            with torch.inference_mode():
                logits = self._model(torch.tensor([prompt + tokens])).logits[0, -1].double()
            weights = torch.softmax(logits / request.temperature, dim=-1).numpy()
            token = 0
            if np.isfinite(weights).all():
                token = int(draws.choice(len(weights), p=weights / weights.sum()))
            tokens.append(token)
            logprob = float(torch.log_softmax(logits, dim=-1)[token])
            logprobs.append({token: SimpleNamespace(logprob=logprob)})
            if token in request.stop_token_ids:
                break
        return SimpleNamespace(index=index, token_ids=tokens, logprobs=logprobs)

    def _shutdown(self) -> None:
        LLM.running -= 1


def module() -> ModuleType:
    """What ``import vllm`` gives, new."""
    LLM.running = 0
    LLM.made = []
    made = ModuleType("vllm")
    made.__spec__ = ModuleSpec("vllm", None)
    made.__version__ = "0.32.0"
    made.LLM = LLM
    made.SamplingParams = SamplingParams
    return made
