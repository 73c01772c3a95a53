"""Checkpoints with random weights and a tokenizer learnt on the spot, for measuring."""

from __future__ import annotations

import math
import sysconfig
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pyphylo.genome import Genome

__all__ = ["BILLION", "SMALL", "RandomModel"]

_ENTROPY = 3.0  # of normal logits; a little more comes out
_TEXT_BYTES = 1 << 23


@dataclass(frozen=True)
class RandomModel:
    """A Llama-like model, as large as it is said to be.

    Next tokens have an entropy of three to five nats, as those of real models have: how many
    probes of a gene go the same way, and so what there is to compute, depends on it.

    Parameters
    ----------
    vocabulary : int
        Tokens, and logits. The tokenizer is byte-level BPE learnt from the built-in
        genomes and the sources of Python's standard library; where these give
        fewer, logits beyond it are padding, as in real checkpoints.
    hidden_size, intermediate_size, num_hidden_layers : int
    num_attention_heads, num_key_value_heads : int
    """

    vocabulary: int
    hidden_size: int
    intermediate_size: int
    num_hidden_layers: int
    num_attention_heads: int
    num_key_value_heads: int

    def save(self, folder: Path, *, dtype: str = "float32", device: str = "cpu") -> Path:
        """Make the checkpoint, the same for the same sizes; its weights are drawn on `device`."""
        import torch
        import transformers

        from pyphylo.sampling._load import quiet

        sizes = asdict(self)
        config = transformers.LlamaConfig(
            vocab_size=sizes.pop("vocabulary"),
            tie_word_embeddings=False,
            bos_token_id=None,
            eos_token_id=0,
            pad_token_id=None,
            **sizes,
        )
        with quiet(), torch.random.fork_rng(), torch.device(device):
            torch.manual_seed(0)
            model = transformers.AutoModelForCausalLM.from_config(
                config, dtype=getattr(torch, dtype)
            )
            # Logits of a normal distribution, their input of length one a coordinate.
            spread = math.sqrt(2 * max(0.0, math.log(self.vocabulary) - _ENTROPY))
            torch.nn.init.normal_(model.lm_head.weight, 0.0, spread / math.sqrt(self.hidden_size))
            model.save_pretrained(folder)
            _tokenizer(self.vocabulary).save_pretrained(folder)
        return folder


SMALL = RandomModel(2048, 64, 192, 2, 4, 2)
"""Half a million parameters: what pyphylo itself costs."""
BILLION = RandomModel(32_768, 2048, 6144, 20, 32, 8)
"""About 1.1 billion parameters, as TinyLlama's are laid out."""


def _tokenizer(size: int) -> Any:
    import tokenizers
    import transformers
    from tokenizers import decoders, models, pre_tokenizers, trainers

    tokenizer = tokenizers.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<end>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(size), trainer)
    end = tokenizer.id_to_token(0)
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end)


def _texts(size: int) -> Iterator[str]:
    """Prompts, and of the standard library what so many tokens take."""
    for name in ("math", "code"):
        yield from (prompt for prompt in Genome.built_in(name).prompts if prompt)
    left = min(_TEXT_BYTES, 256 * size)
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        if left <= 0:
            return
        text = path.read_text("utf-8", "replace")
        left -= len(text)
        yield text
