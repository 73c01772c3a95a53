"""How many tokens a batch may hold: by memory, not by count."""

from __future__ import annotations

from typing import Any

import torch

from pyphylo._memory import available_bytes

__all__ = ["cache_bytes", "tokens_that_fit"]

# More at once is no faster: a CPU's core is busy with a few hundred rows, and an accelerator
# is with some thousands.
_MOST_TOKENS = {"cpu": 1 << 13, "mps": 1 << 15}
_MOST_ELSEWHERE = 1 << 20
_SHARE = 0.5
_COPIES = 3
"""Of keys and values: those of a step, those picked for the next, and these one token longer."""
_LOGIT_COPIES = 2
_UNKNOWN = 1 << 20


def tokens_that_fit(model: Any, shortest: int, workers: int) -> int:
    """Tokens (rows times length) that each worker may hold, by the memory that is free now.

    Parameters
    ----------
    model : transformers causal language model
        In memory already.
    shortest : int
        Tokens of the shortest row: a row's logits are held besides.
    workers : int

    Notes
    -----
    An estimate: half of what is free, for keys and values and their copies and for logits.
    Where it was too bold, batches are halved.
    """
    device = model.device.type
    most = _MOST_TOKENS.get(device, _MOST_ELSEWHERE)
    free = _free_bytes(model.device)
    if free is None:
        return most
    config = model.config.get_text_config()
    logits = _LOGIT_COPIES * int(config.vocab_size) * _item_bytes(model)
    per_token = _COPIES * cache_bytes(model) + logits // max(1, shortest)
    return max(1, min(most, int(_SHARE * free / workers) // max(1, per_token)))


def cache_bytes(model: Any) -> int:
    """Bytes of keys and values of one token; a bold guess for models that say nothing of them."""
    config = model.config.get_text_config()
    layers = getattr(config, "num_hidden_layers", None)
    heads = getattr(config, "num_attention_heads", None)
    size = getattr(config, "hidden_size", None)
    if not layers or not size:
        return _UNKNOWN
    width = size
    if heads:
        groups = getattr(config, "num_key_value_heads", None) or heads
        width = groups * (getattr(config, "head_dim", None) or size // heads)
    return 2 * int(layers) * int(width) * _item_bytes(model)


def _item_bytes(model: Any) -> int:
    return int(model.dtype.itemsize)


def _free_bytes(device: torch.device) -> int | None:
    """What can be taken, with what torch keeps for itself and does not use."""
    if device.type == "cpu":
        return available_bytes()
    if device.type != "cuda":
        return None
    free, _ = torch.cuda.mem_get_info(device)
    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(free + kept)
