"""The vllm backend around vLLM itself: what it is given, and what is made of its answers."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import stub_vllm
import torch
import transformers

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.errors import InputError, WorkError
from pyphylo.sampling.base import SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler
from pyphylo.sampling.registry import create_sampler
from pyphylo.sampling.vllm import VLLMSampler, request_seed

GENOME = pp.Genome(
    ["a", "b", "c"], ["The quick brown", "Let x be a real number. Then", "日本語の文章"]
)
CONFIG = SamplingConfig(n_probes=5)


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = stub_vllm.module()
    monkeypatch.setitem(sys.modules, "vllm", module)
    return module


def sampler(folder: Path, **options: Any) -> VLLMSampler:
    return VLLMSampler("tiny", str(folder), **options)


def calls(made: VLLMSampler) -> list[Any]:
    """All requests so far, as (token ids, parameters)."""
    return [
        (prompt["prompt_token_ids"], params)
        for prompts, requests in made._engine.calls
        for prompt, params in zip(prompts, requests, strict=True)
    ]


def test_without_vllm_the_remedy_is_told(
    checkpoint: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(InputError, match=r"needs vLLM: pip install 'pyphylo\[vllm\]'"):
        sampler(checkpoint("llama"))
    with pytest.raises(InputError, match="needs vLLM"):
        pp.sample([str(checkpoint("llama"))], GENOME, store=tmp_path / "store", backend="vllm")
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("family", ["llama", "mistral", "gpt2"])
@pytest.mark.parametrize("add_bos", [None, True, False])
def test_prompts_are_the_token_ids_of_the_hf_backend(
    vllm: Any, checkpoint: Any, family: str, add_bos: bool | None
) -> None:
    ours = sampler(checkpoint(family), add_bos=add_bos)
    population = ours.sample(GENOME, CONFIG)
    theirs = HuggingFaceSampler("tiny", str(checkpoint(family)), device="cpu", add_bos=add_bos)
    facts = dict(theirs.sample(GENOME, SamplingConfig(n_probes=1)).facts)
    assert population.facts == facts | {"vllm_version": "0.32.0"}
    assert calls(ours)[0][0] == facts["first_token_ids"]
    assert [len(texts) for texts in population.completions] == [5] * 3
    assert ours.identity.tokenization == theirs.identity.tokenization
    assert ours.identity.revision == theirs.identity.revision
    assert ours.identity.engine == "vllm"
    assert ours.identity.key != theirs.identity.key


def test_a_request_asks_for_the_whole_distribution(vllm: Any, checkpoint: Any) -> None:
    made = sampler(checkpoint("llama"), tensor_parallel=2, gpu_memory=0.5)
    population = made.sample(GENOME, SamplingConfig(n_probes=7, temperature=0.5, seed=3))
    for gene, (_, params) in zip(GENOME.genes, calls(made), strict=True):
        assert params == stub_vllm.SamplingParams(
            n=7,
            temperature=0.5,
            top_p=1.0,
            top_k=-1,
            min_p=0.0,
            repetition_penalty=1.0,
            presence_penalty=0.0,
            frequency_penalty=0.0,
            max_tokens=5,
            seed=request_seed(3, made.identity.key, gene),
            ignore_eos=True,
            stop_token_ids=population.facts["end_token_ids"],
            detokenize=False,
            logprobs=0,
        )
    (options,) = vllm.LLM.made
    longest = max(len(prompt) for prompt, _ in calls(made))
    assert options == {
        "model": str(checkpoint("llama").resolve()),
        "revision": None,
        "tokenizer_revision": None,
        "dtype": "float32",
        "tensor_parallel_size": 2,
        "gpu_memory_utilization": 0.5,
        "trust_remote_code": False,
        "seed": 0,
        "generation_config": "vllm",
        "max_model_len": longest + 5,
        "max_num_seqs": 256,
        "max_num_batched_tokens": 256 * (longest + 5),
        "enforce_eager": True,
    }
    assert sampler(checkpoint("llama")).identity == made.identity


def test_seeds_are_keyed_by_seed_model_and_gene() -> None:
    keys = [(seed, key, gene) for seed in (0, 1) for key in "ab" for gene in ("g", "h", "é")]
    seeds = {request_seed(*key) for key in keys}
    assert len(seeds) == len(keys)
    assert all(0 <= seed < 2**62 for seed in seeds)
    # Stores are resumed: what a seed means never changes.
    assert request_seed(0, "a", "g") == 3275719749698895120


def plain_completion(
    tokenizer: Any, ends: list[int], prompt: list[int], tokens: list[int], chars: int
) -> str:
    """Tokens until an end, enough characters or none left; decoded behind their prompt."""
    before = tokenizer.decode(prompt, skip_special_tokens=True)
    text = ""
    for length, token in enumerate(tokens, 1):
        if token in ends:
            break
        known = [token for token in tokens[:length] if token < len(tokenizer)]
        text = tokenizer.decode([*prompt, *known], skip_special_tokens=True)[len(before) :]
        if len(text.lstrip(" ").lstrip("\n")) >= chars:
            break
    return text


@pytest.mark.parametrize("family", ["llama", "gpt2", "mistral"])
@pytest.mark.parametrize("chars", [1, 4])
def test_completions_are_cut_where_they_are_long_enough(
    vllm: Any, checkpoint: Any, family: str, chars: int
) -> None:
    made = sampler(checkpoint(family))
    config = SamplingConfig(n_probes=80, chars=chars, max_new_tokens=6)
    population = made.sample(GENOME, config)
    ends = population.facts["end_token_ids"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint(family))
    ((prompts, params),) = made._engine.calls
    # The stand-in draws by its seeds: the same tokens again.
    answers = made._engine.generate(prompts, params, use_tqdm=False)
    compared = cut = 0
    for texts, prompt, answer in zip(population.completions, prompts, answers, strict=True):
        for text, output in zip(texts, answer.outputs, strict=True):
            ids = prompt["prompt_token_ids"]
            expected = plain_completion(tokenizer, ends, ids, output.token_ids, chars)
            if "\ufffd" in expected:
                continue  # how many stand for broken characters is the decoder's own affair
            assert text == expected
            compared += 1
            cut += text != plain_completion(tokenizer, ends, ids, output.token_ids, 10**6)
    assert compared > 10
    assert cut > 5


def test_many_probes_are_asked_for_in_several_calls(
    vllm: Any, checkpoint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = sampler(checkpoint("gpt2")).sample(GENOME, CONFIG)
    monkeypatch.setattr("pyphylo.sampling.vllm._CALL_PROBES", 11)
    made, told = sampler(checkpoint("gpt2")), []
    assert made.sample(GENOME, CONFIG, told.append) == whole
    assert told == [2, 1]
    assert [len(prompts) for prompts, _ in made._engine.calls] == [2, 1]
    assert made.tokens > 3 * 5


def test_closing_ends_vllm_and_the_next_sample_starts_another(vllm: Any, checkpoint: Any) -> None:
    made = sampler(checkpoint("llama"))
    first = made.sample(GENOME, CONFIG)
    assert vllm.LLM.running == 1
    made.close()
    made.close()
    assert vllm.LLM.running == 0
    assert made.sample(GENOME, CONFIG) == first
    made.sample(GENOME.head(1), CONFIG)  # shorter: there is room
    assert len(vllm.LLM.made) == 2
    made.sample(GENOME, SamplingConfig(n_probes=5, max_new_tokens=9))
    assert (len(vllm.LLM.made), vllm.LLM.running) == (3, 1)


def test_nothing_is_said_on_stdout_and_no_setting_stays(
    vllm: Any,
    checkpoint: Any,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    sampler(checkpoint("llama")).sample(GENOME, CONFIG)
    os.write(1, b"still here")
    said = capfd.readouterr()
    assert said.out == "still here"
    assert "what a library says" in said.err
    settings = {name: value for name, value in os.environ.items() if name.startswith("VLLM_")}
    assert settings == {"VLLM_LOGGING_LEVEL": "DEBUG"}


def test_a_model_that_does_not_load_is_kept_out(vllm: Any, checkpoint: Any, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(checkpoint("llama"), tmp_path / "broken"))
    (broken / "model.safetensors").write_bytes(b"nothing")
    models = {"broken": str(broken), "good": str(checkpoint("llama"))}
    with pytest.raises(pp.WorkError, match=r"broken: model .* vLLM cannot load it \(.*stderr"):
        pp.sample(models, GENOME, store=tmp_path / "store", backend="vllm", n_probes=2)
    store = pp.SampleStore.open(tmp_path / "store")
    assert store.models == ("good",)
    assert store.identity("good").engine == "vllm"
    assert vllm.LLM.running == 0


def test_logits_that_are_no_distribution_are_told(vllm: Any, own_copy: Any) -> None:
    folder = own_copy("llama")
    weights = safetensors.torch.load_file(folder / "model.safetensors")
    weights["model.norm.weight"] = torch.full_like(weights["model.norm.weight"], torch.nan)
    safetensors.torch.save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(WorkError, match=r"gene 'a': the logits are no distribution .* float32"):
        sampler(folder).sample(GENOME, CONFIG)


def test_a_prompt_without_room_is_refused_before_vllm_starts(vllm: Any, checkpoint: Any) -> None:
    made = sampler(checkpoint("gpt2"))
    longer = pp.Genome(["long"], ["日本語の文章" * 30])
    with pytest.raises(InputError, match=r"gene 'long': its prompt of \d+ tokens .* the 95 that"):
        made.sample(longer, CONFIG)
    assert vllm.LLM.made == []


def test_a_prompt_that_just_fits_has_all_its_tokens(vllm: Any, checkpoint: Any) -> None:
    fits = pp.Genome(["fits"], ["!?" * 45 + "!"])
    made = sampler(checkpoint("gpt2"))
    population = made.sample(fits, SamplingConfig(n_probes=2, chars=99))
    assert len(population.facts["first_token_ids"]) + 5 == 96
    (options,) = vllm.LLM.made
    assert options["max_model_len"] == 96
    assert (options["max_num_seqs"], options["max_num_batched_tokens"]) == (85, 85 * 96)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"device": "cuda:1"}, "CUDA_VISIBLE_DEVICES"),
        ({"dtype": "float64"}, "float64: pass dtype='float32'"),
        ({"dtype": "int8"}, "unknown dtype"),
        ({"tensor_parallel": 0}, "tensor_parallel"),
        ({"gpu_memory": 0.0}, "gpu_memory"),
        ({"gpu_memory": 1.5}, "gpu_memory"),
        ({"chat": "template", "add_bos": True}, "leave add_bos unset"),
        ({"chat": "template"}, "no chat template"),
    ],
)
def test_options_out_of_range_are_refused(
    vllm: Any, checkpoint: Any, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match=reason):
        sampler(checkpoint("llama"), **options)


def test_what_only_the_hf_backend_reads_is_refused(
    vllm: Any, checkpoint: Any, tmp_path: Path
) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(b"GGUF0000")
    with pytest.raises(InputError, match="is a GGUF file: sample it with backend 'hf'"):
        VLLMSampler("tiny", str(file))
    made = sampler(checkpoint("llama"))
    with pytest.raises(InputError, match="mode 'exact' needs a model's logits"):
        made.sample(GENOME, SamplingConfig(mode="exact"))
    with pytest.raises(InputError, match=r"temperature 0\.005 is below 0\.01"):
        made.sample(GENOME, SamplingConfig(temperature=0.005))
    with pytest.raises(InputError, match="made with chat='none'"):
        made.sample(GENOME, SamplingConfig(chat="template"))
    with pytest.raises(
        InputError, match="backend 'vllm' cannot do mode 'hybrid'; it can: 'sample'"
    ):
        pp.sample(["no-such"], GENOME, store=tmp_path / "store", backend="vllm", mode="hybrid")
    assert vllm.LLM.made == []


def test_the_command_line(
    vllm: Any, checkpoint: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    genome = tmp_path / "genome.jsonl"
    GENOME.save(genome)
    argv = ["sample", f"tiny={checkpoint('llama')}", "--store", str(tmp_path / "store")]
    argv += ["--genome", str(genome), "--probes", "2", "--json"]
    assert main([*argv, "--backend", "vllm", "--tensor-parallel", "2", "--gpu-memory", "0.4"]) == 0
    events = [json.loads(line) for line in capfd.readouterr().out.splitlines()]
    assert events[-1]["ok"] is True
    (options,) = vllm.LLM.made
    assert (options["tensor_parallel_size"], options["gpu_memory_utilization"]) == (2, 0.4)
    # The same again: everything is there.
    assert main([*argv, "--backend", "vllm"]) == 0
    assert len(vllm.LLM.made) == 1
    capfd.readouterr()
    assert main([*argv, "--tensor-parallel", "2"]) == 2
    assert "--tensor-parallel goes with --backend vllm, not hf" in capfd.readouterr().err


def test_it_is_found_by_name(vllm: Any, checkpoint: Any) -> None:
    made = create_sampler("vllm", "tiny", str(checkpoint("llama")))
    assert isinstance(made, VLLMSampler)
    assert made.hub_snapshots == ()
