"""Tiny models with real tokenizers, made on the spot: no network, a second in all.

Weights are random but wide (``initializer_range``), so that distributions are peaked
and a mistake in masks, positions or caches moves them far.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers as tk
import torch
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = [
    "The quick brown fox jumps over the lazy dog, and then the dog sleeps.",
    "Let x be a real number. Then x + 1 > x, so the set has no largest element.",
    "def area(radius):\n    return 3.14159 * radius ** 2\n\n\nprint(area(2))",
    "Grüße aus Zürich! Œuvre, naïve, façade — “quoted” … and a résumé.",
    "日本語の文章と中文的句子。한국어 문장도 있습니다。",
    "Emoji 🙂🚀🦊🇨🇭 are long in UTF-8; so are 𓀀 and 𐍈.",
    "    four spaces, a\ttab\n\n\nand newlines\r\n",
] * 3


def _train(tokenizer: tk.Tokenizer, trainer: Any) -> tk.Tokenizer:
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def byte_level(add_bos: bool = False) -> tk.Tokenizer:
    """GPT-2's kind, with added tokens that are and are not special."""
    tokenizer = tk.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    _train(tokenizer, trainer)
    tokenizer.add_tokens([tk.AddedToken("    "), tk.AddedToken("[plain 日]"), "\n\n\n"])
    tokenizer.add_special_tokens(["<|control|>"])
    return _with_bos(tokenizer) if add_bos else tokenizer


def metaspace(add_bos: bool = True) -> tk.Tokenizer:
    """Llama's kind: U+2581 for spaces, bytes for what is unknown, first space stripped."""
    tokenizer = tk.Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))  # noqa: S106
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("\u2581", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    special = ["<unk>", "<s>", "</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=420,
        special_tokens=[*special, *(f"<0x{byte:02X}>" for byte in range(256))],
        limit_alphabet=60,
        show_progress=False,
    )
    _train(tokenizer, trainer)
    return _with_bos(_only_special(tokenizer, special)) if add_bos else tokenizer


def unigram() -> tk.Tokenizer:
    """T5's and ALBERT's kind: a Unigram model with the Metaspace decoder."""
    tokenizer = tk.Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=200,
        special_tokens=["<unk>", "<s>", "</s>"],
        unk_token="<unk>",  # noqa: S106
        show_progress=False,
    )
    return _train(tokenizer, trainer)


def wordpiece() -> tk.Tokenizer:
    """BERT's kind, whose decoder puts spaces between words and cleans up before commas."""
    tokenizer = tk.Tokenizer(models.WordPiece(unk_token="<unk>"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=260, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False
    )
    return _train(tokenizer, trainer)


def _only_special(tokenizer: tk.Tokenizer, special: list[str]) -> tk.Tokenizer:
    """The trainer marks byte tokens as special; in real tokenizers they are ordinary."""
    import json

    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = [t for t in spec["added_tokens"] if t["content"] in special]
    return tk.Tokenizer.from_str(json.dumps(spec))


def _with_bos(tokenizer: tk.Tokenizer) -> tk.Tokenizer:
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return tokenizer


def wrapped(tokenizer: tk.Tokenizer, **options: Any) -> Any:
    """The tokenizer as transformers sees it."""
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",  # noqa: S106
        eos_token="</s>",  # noqa: S106
        **options,
    )


SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.35,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": None,
}


def llama(vocab_size: int, **options: Any) -> Any:
    return transformers.LlamaConfig(vocab_size=vocab_size, **(SMALL | options))


def gpt2(vocab_size: int) -> Any:
    return transformers.GPT2Config(
        vocab_size=vocab_size,
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=96,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
    )


def mistral(vocab_size: int) -> Any:
    """Sliding-window attention, shorter than the prompts."""
    return transformers.MistralConfig(
        vocab_size=vocab_size, sliding_window=5, **(SMALL | {"bos_token_id": 1, "eos_token_id": 2})
    )


def gemma2(vocab_size: int) -> Any:
    """Sliding and full attention in turn: a hybrid cache."""
    options = SMALL | {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    return transformers.Gemma2Config(
        vocab_size=vocab_size, sliding_window=5, head_dim=8, query_pre_attn_scalar=8, **options
    )


def bloom(vocab_size: int) -> Any:
    """ALiBi: no position ids, distances from the mask."""
    return transformers.BloomConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        n_layer=2,
        n_head=4,
        initializer_range=0.35,
        bos_token_id=0,
        eos_token_id=1,
    )


def mamba(vocab_size: int) -> Any:
    """A recurrent state in place of attention."""
    return transformers.MambaConfig(
        vocab_size=vocab_size,
        hidden_size=32,
        num_hidden_layers=2,
        state_size=8,
        initializer_range=0.5,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=None,
    )


def qwen2(vocab_size: int) -> Any:
    return transformers.Qwen2Config(
        vocab_size=vocab_size, tie_word_embeddings=False, use_sliding_window=False, **SMALL
    )


FAMILIES: dict[str, tuple[Callable[[int], Any], Callable[[], tk.Tokenizer]]] = {
    "llama": (llama, byte_level),
    "qwen2": (qwen2, byte_level),
    "gpt2": (gpt2, byte_level),
    "mistral": (mistral, metaspace),
    "gemma2": (gemma2, metaspace),
    "bloom": (bloom, byte_level),
    "mamba": (mamba, byte_level),
    "wordpiece": (llama, wordpiece),
    "unigram": (gpt2, unigram),
}


def save_model(
    folder: Path, config: Any, tokenizer: Any, *, seed: int = 0, dtype: str = "float32"
) -> Path:
    """A checkpoint with random weights."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = transformers.AutoModelForCausalLM.from_config(config)
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Tiny matrices: threads cost more than they bring."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def make_model() -> Callable[[str, Path], None]:
    """Make a family's model without logits beyond the tokenizer's own vocabulary."""

    def make(family: str, folder: Path) -> None:
        config, tokenizer = FAMILIES[family]
        bare = tokenizer()
        save_model(folder, config(bare.get_vocab_size(with_added_tokens=False)), wrapped(bare))

    return make


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's model, made when first asked for; not to be changed."""
    root = tmp_path_factory.mktemp("hf")

    def make(family: str) -> Path:
        folder = root / family
        if not folder.exists():
            config, tokenizer = FAMILIES[family]
            fast = wrapped(tokenizer())
            # Some logits beyond the tokenizer's vocabulary, as padded checkpoints have.
            save_model(folder, config(len(fast) + 6), fast)
        return folder

    return make


@pytest.fixture
def own_copy(checkpoint: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a family's folder, to be changed at will."""

    def copy(family: str) -> Path:
        return Path(shutil.copytree(checkpoint(family), tmp_path / family))

    return copy


@pytest.fixture(scope="session")
def tokenizer_of() -> Callable[[str], Any]:
    """A tokenizer by name, as transformers sees it."""
    makers = {f.__name__: f for f in (byte_level, metaspace, unigram, wordpiece)}
    made = {name: wrapped(maker()) for name, maker in makers.items()}
    return made.__getitem__


@pytest.fixture
def adapter(checkpoint: Any, tmp_path: Path) -> Callable[..., Path]:
    """Make an adapter of a base, its weights drawn from a seed."""

    def make(name: str, base: Path | None = None, seed: int = 0, **options: Any) -> Path:
        base = checkpoint("llama") if base is None else base
        options = {"r": 4, "target_modules": ["q_proj", "v_proj"], **options}
        from pyphylo.sampling._load import quiet

        with torch.random.fork_rng(), quiet():  # peft uses what transformers deprecates
            import peft

            torch.manual_seed(seed)
            model = transformers.AutoModelForCausalLM.from_pretrained(base)
            config = peft.LoraConfig(task_type="CAUSAL_LM", **options)
            wrapped = peft.get_peft_model(model, config)
            for parameter in wrapped.parameters():
                if parameter.requires_grad:  # B starts at zero: an adapter that does nothing
                    parameter.data.normal_(0, 0.3)
            folder = tmp_path / "adapters" / name
            wrapped.save_pretrained(folder, save_embedding_layers=False)
        return folder

    return make
