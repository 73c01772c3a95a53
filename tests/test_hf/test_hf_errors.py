"""What cannot be sampled is refused by one line that names it, and nothing else is printed."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers
from tokenizers import normalizers
from transformers.utils import logging

from pyphylo.errors import InputError, WorkError
from pyphylo.genome import Genome
from pyphylo.sampling._load import quiet
from pyphylo.sampling.base import SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler

GENOME = Genome(["good", "other"], ["The quick", "Let x be"])
CONFIG = SamplingConfig(n_probes=2)


def sample(folder: Path, genome: Genome = GENOME, **options: Any) -> list[list[str]]:
    sampler = HuggingFaceSampler("tiny", str(folder), device="cpu", **options)
    return sampler.sample(genome, CONFIG).completions


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder: Path, change: Any) -> None:
    path = folder / "model.safetensors"
    weights = safetensors.torch.load_file(path)
    change(weights)
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})


OWN_CODE = """
from pathlib import Path
from transformers import LlamaConfig, LlamaForCausalLM

Path(r"{mark}").write_text("was here")

class OwnConfig(LlamaConfig):
    model_type = "own-model"

class OwnModel(LlamaForCausalLM):
    config_class = OwnConfig
"""


@pytest.fixture
def with_own_code(own_copy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that comes with Python code, which leaves a mark when run."""
    folder = Path(own_copy("llama"))
    (folder / "own.py").write_text(OWN_CODE.format(mark=tmp_path / "mark"))
    edit(
        folder / "config.json",
        model_type="own-model",
        auto_map={"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    )
    monkeypatch.setattr(
        "transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules")
    )
    return folder


def test_code_of_a_model_is_not_run(with_own_code: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"needs Python code of its own; .* trust_remote_code"):
        sample(with_own_code)
    assert not (tmp_path / "mark").exists()


def test_code_of_a_model_is_run_when_trusted(with_own_code: Path, tmp_path: Path) -> None:
    assert len(sample(with_own_code, trust_remote_code=True)) == 2
    assert (tmp_path / "mark").exists()


def test_unknown_architecture(own_copy: Any) -> None:
    folder = own_copy("llama")
    edit(folder / "config.json", model_type="never-heard-of")
    with pytest.raises(InputError, match=r"cannot be sampled: transformers .* a newer one may"):
        sample(folder)


def test_encoder_decoder(own_copy: Any) -> None:
    folder = own_copy("llama")
    edit(folder / "config.json", model_type="t5", architectures=["T5ForConditionalGeneration"])
    with pytest.raises(InputError, match="no causal language model of its architecture"):
        sample(folder)


def test_missing_tokenizer(own_copy: Any) -> None:
    folder = own_copy("llama")
    for path in folder.glob("token*"):
        path.unlink()
    with pytest.raises(InputError, match="has no usable tokenizer"):
        sample(folder)


def test_missing_weights_are_not_made_up(own_copy: Any) -> None:
    folder = own_copy("llama")
    edit_weights(folder, lambda weights: weights.pop("lm_head.weight"))
    with pytest.raises(WorkError, match=r"lacks weights .*: lm_head\.weight \(1 in all\)"):
        sample(folder)


def test_tied_weights_are_not_missing(checkpoint: Any) -> None:
    """GPT-2's head is its embedding; the file has one of them."""
    weights = safetensors.torch.load_file(checkpoint("gpt2") / "model.safetensors")
    assert "lm_head.weight" not in weights
    assert len(sample(checkpoint("gpt2"))) == 2


def test_damaged_weights(own_copy: Any) -> None:
    folder = own_copy("llama")
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(WorkError, match="its weights cannot be loaded: "):
        sample(folder)


def test_weights_of_another_shape(own_copy: Any) -> None:
    folder = own_copy("llama")
    edit(folder / "config.json", intermediate_size=64)
    found = r"shapes than its config says: model\.layers\.0\.mlp\.down_proj\.weight, .* in all"
    with pytest.raises(WorkError, match=f"model {str(folder)!r}: .*{found}"):
        sample(folder)


def test_the_reason_is_told_where_it_is_in_another_line(own_copy: Any) -> None:
    folder = own_copy("llama")
    edit(folder / "config.json", num_attention_heads=7)
    with pytest.raises(InputError, match="not a multiple of the number of attention heads"):
        sample(folder)


def test_nan_names_the_gene(own_copy: Any) -> None:
    """An embedding of one gene's token is NaN: the others' are not to blame."""
    folder = own_copy("llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    bad = tokenizer("Let x be")["input_ids"][0]
    assert bad not in tokenizer("The quick")["input_ids"]

    def spoil(weights: dict[str, torch.Tensor]) -> None:
        weights["model.embed_tokens.weight"][bad] = torch.nan

    edit_weights(folder, spoil)
    with pytest.raises(WorkError, match="gene 'other': the logits are no distribution"):
        sample(folder)


def test_prompts_longer_than_the_context(checkpoint: Any) -> None:
    long = Genome(["short", "long"], ["The", "fox " * 100])
    with pytest.raises(InputError, match=r"gene 'long': .* than the 96 that model"):
        sample(checkpoint("gpt2"), long)


def test_prompts_that_just_fit(checkpoint: Any) -> None:
    """Absolute positions: one more would be outside the table."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint("gpt2"))
    room = 96 - (CONFIG.max_new_tokens - 1)
    text = next(t for t in ("!" * n for n in range(200)) if len(tokenizer(t)["input_ids"]) == room)
    folder = checkpoint("gpt2")
    assert len(sample(folder, Genome(["g"], [text]))) == 1
    with pytest.raises(InputError, match="gene 'g'"):
        sample(folder, Genome(["g"], [text + "!" * 8]))


def test_prompts_that_become_nothing(own_copy: Any) -> None:
    """A BOS does not stand in for a prompt that the tokenizer drops."""
    folder = own_copy("llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace("~", "")
    tokenizer.save_pretrained(folder)
    genome = Genome(["good", "empty"], ["The", "~~"])
    for add_bos in (None, True):
        with pytest.raises(InputError, match="gene 'empty': its prompt '~~' becomes no token"):
            sample(folder, genome, add_bos=add_bos)


def test_prompts_that_are_unknown_or_no_text(checkpoint: Any) -> None:
    with pytest.raises(InputError, match="gene 'none' has no prompt"):
        sample(checkpoint("llama"), Genome(["none"], [None]))
    with pytest.raises(InputError, match=r"gene 'half': .* half a surrogate pair"):
        sample(checkpoint("llama"), Genome(["half"], ["a\ud800b"]))


def test_bos_that_a_tokenizer_lacks(own_copy: Any) -> None:
    folder = own_copy("llama")
    edit(folder / "tokenizer_config.json", bos_token=None)
    with pytest.raises(InputError, match="its tokenizer has no BOS token"):
        sample(folder, add_bos=True)


def test_tokenizer_of_a_larger_model(own_copy: Any) -> None:
    folder = own_copy("llama")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"[new {i}]" for i in range(20)])
    tokenizer.save_pretrained(folder)
    with pytest.raises(InputError, match=r"gene 'g': .* do not belong together"):
        sample(folder, Genome(["g"], ["see [new 19]"]))


def test_end_tokens_behind_a_prompt_are_left_off(own_copy: Any) -> None:
    """Some tokenizers close every text; a model that is to go on must not see that."""
    from tokenizers import processors

    folder = own_copy("llama")
    before = HuggingFaceSampler("tiny", str(folder), device="cpu")
    ids = before.sample(GENOME, CONFIG).facts["first_token_ids"]
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    tokenizer.save_pretrained(folder)
    after = HuggingFaceSampler("tiny", str(folder), device="cpu")
    facts = after.sample(GENOME, CONFIG).facts
    assert facts["first_token_ids"] == [0, *ids]
    assert facts["bos_added"] is True


@pytest.mark.parametrize("device", ["nowhere", "cuda:99"])
def test_devices_that_are_not_there(device: str, checkpoint: Any) -> None:
    sampler = HuggingFaceSampler("tiny", str(checkpoint("llama")), device=device)
    with pytest.raises(InputError, match=f"device {device!r} cannot be used"):
        sampler.sample(GENOME, CONFIG)


def test_nothing_is_printed(checkpoint: Any, capfd: pytest.CaptureFixture[str]) -> None:
    checkpoint("mistral")
    capfd.readouterr()
    sample(checkpoint("mistral"))
    assert capfd.readouterr() == ("", "")


def interrupted_in_silence() -> None:
    with quiet(stderr=True):
        warnings.warn("unheard", stacklevel=1)
        assert logging.get_verbosity() == logging.ERROR
        assert not logging.is_progress_bar_enabled()
        raise KeyboardInterrupt


def test_quiet_puts_everything_back() -> None:
    verbosity = logging.get_verbosity()
    logging.set_verbosity_info()
    try:
        with pytest.raises(KeyboardInterrupt):
            interrupted_in_silence()
        assert logging.get_verbosity() == logging.INFO
        assert logging.is_progress_bar_enabled()
        with pytest.warns(UserWarning, match="heard"):
            warnings.warn("heard", stacklevel=1)
    finally:
        logging.set_verbosity(verbosity)


def test_interrupts_pass_through(checkpoint: Any) -> None:
    def interrupt(genes: int) -> None:
        raise KeyboardInterrupt

    sampler = HuggingFaceSampler("tiny", str(checkpoint("llama")), device="cpu")
    with pytest.raises(KeyboardInterrupt):
        sampler.sample(GENOME, CONFIG, interrupt)
    assert len(sampler.sample(GENOME, CONFIG).completions) == 2
