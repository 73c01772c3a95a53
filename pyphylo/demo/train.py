"""A tokenizer and small language models, trained on the spot."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TypeVar

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from pyphylo.sampling._load import one_thread_each, quiet

__all__ = [
    "encode",
    "load_model",
    "new_model",
    "save_model",
    "side_by_side",
    "train",
    "train_tokenizer",
]

VOCABULARY = 1024

_T = TypeVar("_T")


def train_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 1,024 tokens; any text goes in and comes back."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False)


def encode(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> torch.Tensor:
    """The tokens of all texts, one after the other."""
    encoded = tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return torch.tensor([token for text in encoded for token in text.ids])


def new_model(vocabulary: int, seed: int) -> LlamaForCausalLM:
    """A Llama of half a million parameters, untrained.

    Two layers learn more in the same time than four do, and weights start three times
    larger than transformers would have them: narrow models learn sooner from there.
    """
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        initializer_range=0.06,
        bos_token_id=None,
        eos_token_id=None,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return LlamaForCausalLM(config)


def load_model(folder: Path) -> LlamaForCausalLM:
    """The model that `save_model` left."""
    with quiet():
        return LlamaForCausalLM.from_pretrained(folder, weights_only=True, dtype=torch.float32)


def save_model(folder: Path, model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Fill a folder so that transformers can load model and tokenizer from it."""
    with quiet():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


def train(
    model: LlamaForCausalLM,
    texts: Sequence[tuple[torch.Tensor, int]],
    steps: int,
    rate: float,
    length: int,
    seed: int,
    progress: Callable[[int], object],
) -> None:
    """Train a model in place, on windows drawn at random from each text.

    Parameters
    ----------
    model : LlamaForCausalLM
    texts : sequence of (tensor of int64, int)
        Tokens, and how many windows of them a batch has.
    steps : int
        Batches.
    rate : float
        The highest learning rate; it rises over the first tenth of the steps, then falls
        by a cosine to a tenth.
    length : int
        Tokens of a window.
    seed : int
        Fixes the windows.
    progress : callable
        Called with 1 after every step.
    """
    windows = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.01)
    warm = max(1, steps // 10)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / warm, 0.55 + 0.45 * math.cos(math.pi * max(0, step - warm) / steps)
        ),
    )
    span = torch.arange(length)
    model.train()
    for _ in range(steps):
        rows = [
            text[torch.randint(len(text) - length, (count, 1), generator=windows) + span]
            for text, count in texts
        ]
        batch = torch.cat(rows)
        model(input_ids=batch, labels=batch).loss.backward()
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        progress(1)
    model.eval()


class _StoppedError(Exception):
    """Another piece of the work failed, or the user stopped it."""


def side_by_side(
    pieces: Sequence[_T],
    work: Callable[[_T, Callable[[int], object]], None],
    progress: Callable[[int], object],
) -> Iterator[_T]:
    """Work on pieces in as many threads as torch has, each computing in one.

    Parameters
    ----------
    pieces : sequence
        Hashable.
    work : callable
        Given a piece, and a callable that it calls with the number of steps just
        finished; that callable raises when the work is to stop.
    progress : callable
        Called with steps finished, by one thread at a time.

    Yields
    ------
    piece
        Each as it is finished.

    Notes
    -----
    Small models gain nothing from several threads inside one operation, and no bit of
    a result depends on how many there are.
    """
    stopped = threading.Event()
    reporting = threading.Lock()

    def step(count: int) -> None:
        if stopped.is_set():
            raise _StoppedError
        with reporting:
            progress(count)

    with one_thread_each("cpu") as threads:
        pool = ThreadPoolExecutor(threads, thread_name_prefix="pyphylo-train")
        running = {pool.submit(work, piece, step): piece for piece in pieces}
        try:
            for finished in as_completed(running):
                finished.result()
                yield running[finished]
        finally:
            stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
