"""Adapters: found with their base, put on it and taken off without a trace."""

from __future__ import annotations

import importlib.util
import json
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
import transformers

import pyphylo as pp
from pyphylo.errors import InputError, WorkError
from pyphylo.sampling import _weights
from pyphylo.sampling._load import load_model, quiet
from pyphylo.sampling._locate import locate_model
from pyphylo.sampling._weights import Weights
from pyphylo.sampling.hf import HuggingFaceSampler

needs_peft = pytest.mark.skipif(
    importlib.util.find_spec("peft") is None, reason="peft is not installed"
)

GENOME = pp.Genome.default().head(4)
FAST = {"n_probes": 6, "device": "cpu"}
CPU = torch.device("cpu")


def weights(folder: Path) -> Weights:
    return Weights("m", locate_model(str(folder)), "float32", CPU, trust_remote_code=False)


def bits(model: Any) -> dict[str, bytes]:
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    return {name: tensor.detach().numpy().tobytes() for name, tensor in state.items()}


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([[5, 6, 7, 8]])).logits


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Which weights are read from disk, in order; they are read all the same."""
    seen: list[str] = []

    def counted(spec: str, location: Any, *args: Any, **options: Any) -> Any:
        seen.append(location.weights_revision or location.revision)
        return load_model(spec, location, *args, **options)

    monkeypatch.setattr(_weights, "load_model", counted)
    return seen


@needs_peft
def test_the_adapter_counts(adapter, checkpoint):
    """Logits are those of peft's own way of running an adapter."""
    folder = adapter("a")
    ours = weights(folder).model()
    base = transformers.AutoModelForCausalLM.from_pretrained(checkpoint("llama"))
    plain = logits(base)
    with quiet():
        import peft

        theirs = peft.PeftModel.from_pretrained(base, folder).eval()
    assert torch.allclose(logits(ours), logits(theirs), rtol=1e-4, atol=1e-4)
    assert not torch.allclose(logits(ours), plain, atol=0.1)


@needs_peft
def test_the_base_is_restored_to_the_bit(adapter, checkpoint, loads):
    """From adapter to adapter to base: one load, and the very bits of a fresh one."""
    fresh = bits(weights(checkpoint("llama")).model())
    del loads[:]
    chain = [weights(adapter(name, seed=i)) for i, name in enumerate("abc")]
    chain.append(weights(checkpoint("llama")))
    seen = []
    for this, following in pairwise(chain):
        seen.append(logits(this.model()))
        assert this.hand_over(following)
        assert bits(following._base) == fresh
        this.free()
    assert len(loads) == 1
    assert not torch.equal(seen[0], seen[1])
    alone = [logits(weights(adapter(name, seed=i)).model()) for i, name in enumerate("abc")]
    assert all(torch.equal(x, y) for x, y in zip(seen, alone, strict=True))
    assert torch.equal(logits(chain[-1].model()), logits(weights(checkpoint("llama")).model()))


@needs_peft
@pytest.mark.parametrize(
    "options",
    [
        {"modules_to_save": ["lm_head"]},
        {"init_lora_weights": "pissa"},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["q_proj"], "trainable_token_indices": [5, 6]},
        {"use_dora": True},
        {"target_modules": ["q_proj"], "layers_to_transform": [1]},
    ],
    ids=lambda options: next(reversed(options)),
)
def test_adapters_that_may_change_the_base(options, adapter, checkpoint):
    """Whatever an adapter does to its base, the next model has the base of the disk."""
    fresh = bits(weights(checkpoint("llama")).model())
    first, then = weights(adapter("odd", **options)), weights(checkpoint("llama"))
    changed = logits(first.model())
    first.hand_over(then)
    first.free()
    assert bits(then.model()) == fresh
    assert not torch.equal(logits(then.model()), changed)


@needs_peft
def test_a_base_with_trained_biases_is_read_again(adapter, checkpoint, loads):
    first = weights(adapter("b", checkpoint("qwen2"), bias="all"))
    then = weights(checkpoint("qwen2"))
    first.model()
    assert not first.hand_over(then)  # peft writes the biases into the base
    first.free()
    assert bits(then.model()) == bits(weights(checkpoint("qwen2")).model())
    assert len(loads) == 3


@needs_peft
def test_a_base_is_loaded_once_for_all_its_adapters(adapter, checkpoint, loads, tmp_path):
    """In the order given bases alternate; in the order of the work they do not."""
    other = checkpoint("mistral")
    models = {
        "a1": adapter("a1", seed=1),
        "b1": adapter("b1", other, seed=2),
        "a2": adapter("a2", seed=3),
        "b2": adapter("b2", other, seed=4),
        "base": checkpoint("llama"),
    }
    store = pp.sample(
        {name: str(folder) for name, folder in models.items()},
        GENOME, store=tmp_path / "together", **FAST,
    )  # fmt: skip
    assert len(loads) == 2
    for name, folder in models.items():
        alone = pp.sample({name: str(folder)}, GENOME, store=tmp_path / f"alone-{name}", **FAST)
        assert alone.read(name).table == store.read(name).table
    shards = {name: store.read(name).table.column("completion").to_pylist() for name in models}
    assert len({tuple(texts) for texts in shards.values()}) == len(models)


@needs_peft
def test_after_a_failure_the_base_is_read_again(adapter, own_copy, loads, tmp_path):
    """An adapter that fits nowhere is kept out; those around it are what they are alone."""
    bad = adapter("bad")
    data = safetensors.torch.load_file(bad / "adapter_model.safetensors")
    data = {name.replace("layers.1", "layers.7"): tensor for name, tensor in data.items()}
    safetensors.torch.save_file(data, bad / "adapter_model.safetensors")
    models = {"a": str(adapter("a", seed=1)), "bad": str(bad), "c": str(adapter("c", seed=2))}
    with pytest.raises(WorkError, match=r"1 of 3 .*'.*bad' lacks .*layers\.1.* of another base"):
        pp.sample(models, GENOME, store=tmp_path / "s", **FAST)
    alone = pp.sample({"c": models["c"]}, GENOME, store=tmp_path / "c", **FAST)
    together = pp.SampleStore.open(tmp_path / "s")
    assert together.models == ("a", "c")
    assert len(loads) == 3  # once for a and bad, again for c, and for c alone
    assert together.read("c").table == alone.read("c").table


@needs_peft
def test_shapes_of_another_base_are_refused(adapter, make_model, tmp_path):
    folder = adapter("a")
    data = safetensors.torch.load_file(folder / "adapter_model.safetensors")
    data = {name: tensor.repeat(2, 2) for name, tensor in data.items()}
    safetensors.torch.save_file(data, folder / "adapter_model.safetensors")
    with pytest.raises(WorkError, match=r"cannot be put on its base: "):
        weights(folder).model()


@needs_peft
def test_an_adapter_with_a_tokenizer_of_its_own(adapter, checkpoint, tmp_path):
    folder = adapter("a")
    plain = HuggingFaceSampler("x", str(folder), device="cpu")
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint("llama"))
    tokenizer.add_tokens(["The quick"])
    tokenizer.save_pretrained(folder)
    own = HuggingFaceSampler("x", str(folder), device="cpu")
    assert own.identity.revision != plain.identity.revision
    genome = pp.Genome(["g"], ["The quick"])
    config = pp.sampling.base.SamplingConfig(n_probes=2)
    assert own.sample(genome, config).facts["first_token_ids"] == [len(tokenizer) - 1]


# -- finding -----------------------------------------------------------------------------


@needs_peft
def test_revisions_of_adapters(adapter, own_copy, tmp_path):
    """Adapter and base count, where they lie does not."""
    base = own_copy("llama")
    folder = adapter("a", base)
    revision = locate_model(str(folder)).revision
    moved = Path(shutil.move(folder, tmp_path / "moved"))
    assert locate_model(str(moved)).revision == revision
    elsewhere = Path(shutil.move(base, tmp_path / "moved" / "base"))
    edit(moved, base_model_name_or_path="base")  # from where the adapter is
    assert locate_model(str(moved)).revision == revision
    edit(moved, lora_alpha=99)
    changed = locate_model(str(moved)).revision
    edit(elsewhere, "generation_config.json", eos_token_id=3)
    assert len({revision, changed, locate_model(str(moved)).revision}) == 3
    assert locate_model(str(moved)).weights_revision == locate_model(str(elsewhere)).revision


def edit(folder: Path, name: str = "adapter_config.json", **changes: Any) -> None:
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.fixture
def bare(tmp_path: Path, checkpoint: Any) -> Path:
    """An adapter's folder made by hand: enough to be found."""
    folder = tmp_path / "bare"
    folder.mkdir()
    config = {"peft_type": "LORA", "base_model_name_or_path": str(checkpoint("llama"))}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").write_bytes(b"w")
    return folder


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"peft_type": "PREFIX_TUNING"}, "of type 'PREFIX_TUNING', which changes no weights"),
        ({"peft_type": None}, "of type None"),
        ({"task_type": "SEQ_CLS"}, "does not continue text: its task is SEQ_CLS"),
    ],
)
def test_adapters_that_are_no_change_of_weights(changes, match, bare):
    edit(bare, **changes)
    with pytest.raises(InputError, match=match):
        locate_model(str(bare))


@needs_peft
@pytest.mark.parametrize(
    ("base", "match"),
    [
        (None, r"its adapter_config\.json names no base model"),
        ("/no/such/base", "its base '/no/such/base' cannot be used .*no such file or folder"),
    ],
)
def test_bases_that_are_not_there(base, match, bare):
    edit(bare, base_model_name_or_path=base)
    with pytest.raises(InputError, match=match):
        locate_model(str(bare))


@needs_peft
def test_an_adapter_on_an_adapter_is_refused(bare, adapter):
    edit(bare, base_model_name_or_path=str(adapter("a")))
    with pytest.raises(InputError, match="is an adapter itself; merge that"):
        locate_model(str(bare))


def test_a_model_and_an_adapter_in_one_folder_are_refused(bare, checkpoint):
    shutil.copy(checkpoint("llama") / "model.safetensors", bare)
    with pytest.raises(InputError, match=r"both a model \(model\.safetensors\) and an adapter"):
        locate_model(str(bare))


def test_without_peft_the_remedy_is_told(bare, monkeypatch):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "peft" else find_spec(name)
    )
    with pytest.raises(InputError, match=r"adapters need peft: pip install 'pyphylo\[peft\]'"):
        locate_model(str(bare))


def test_checksums_see_every_kind_of_change():
    tensor = torch.arange(1.0, 4001.0, dtype=torch.bfloat16).reshape(40, 100)
    before = _weights._checksum(tensor)
    assert _weights._checksum(tensor.clone()) == before
    flipped = tensor.clone()
    flipped.view(torch.int16)[7, 3] ^= 1
    swapped = tensor[[1, 0, *range(2, 40)]]
    assert before not in (_weights._checksum(flipped), _weights._checksum(swapped))
    for odd in (torch.tensor([1, 2, 3], dtype=torch.uint8), torch.tensor(2.5), torch.empty(0)):
        assert _weights._checksum(odd) == _weights._checksum(odd.clone())
