"""Shards, events, what fails and what goes on: the scheduler over many models."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from hypothesis import given
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.sampling.plan import ModelShard, in_order, parse_shard, split_models
from pyphylo.sampling.scheduler import SamplingError
from pyphylo.sampling.specs import NamedModel

GENOME = pp.Genome.default().head(6)
FAST = {"n_probes": 3, "device": "cpu"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def models(checkpoint: Any) -> dict[str, str]:
    """Seven models under their names; three folders."""
    folders = [str(checkpoint(kind)) for kind in ("llama", "gpt2", "mistral")]
    return {f"m{i}": folders[i % 3] for i in range(7)}


# -- shards ------------------------------------------------------------------------------


@given(st.integers(0, 60), st.integers(1, 20), st.randoms())
def test_shards_are_a_partition_and_even(n, count, random):
    models = [NamedModel(f"step{i}", f"org/m@step{i}") for i in range(n)]
    random.shuffle(models)
    parts = [split_models(models, ModelShard(i + 1, count)) for i in range(count)]
    assert sorted(m.name for part in parts for m in part) == sorted(m.name for m in models)
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    order = {model: place for place, model in enumerate(models)}
    assert all(part == sorted(part, key=order.__getitem__) for part in parts)
    random.shuffle(models)  # a list in another order is split the same way
    assert [set(split_models(models, ModelShard(i + 1, count))) for i in range(count)] == [
        set(part) for part in parts
    ]


def test_adapters_of_a_base_stay_together(tmp_path):
    models = []
    for base, number in (("one", 4), ("two", 3)):
        for i in range(number):
            folder = tmp_path / f"{base}-{i}"
            folder.mkdir()
            config = {"peft_type": "LORA", "base_model_name_or_path": base}
            (folder / "adapter_config.json").write_text(json.dumps(config))
            models.insert(i * 2, NamedModel(f"{i}-{base}", str(folder)))
    models += [NamedModel("plain", "org/plain")]
    parts = [split_models(models, ModelShard(i, 2)) for i in (1, 2)]
    assert [{m.name[-3:] for m in part} for part in parts] == [{"one"}, {"two", "ain"}]
    # One base with more adapters than a shard's share is cut, so that no shard is idle.
    many = [m for m in models if m.name.endswith("one")]
    assert [len(split_models(many, ModelShard(i, 2))) for i in (1, 2)] == [2, 2]


@pytest.mark.parametrize(
    "text", ["0/4", "5/4", "3", "3/", "/4", "-1/4", "1/0", "a/b", "1/4/2", "1.0/4"]
)
def test_shards_that_are_none(text, models, tmp_path):
    with pytest.raises(pp.InputError, match=r"a shard is I/N, from 1/N to N/N"):
        pp.sample(models, GENOME, store=tmp_path / "s", shard=text, **FAST)
    assert not (tmp_path / "s").exists()


def test_shards_read():
    assert parse_shard(" 3/16 ") == ModelShard(3, 16)
    assert str(ModelShard(3, 16)) == "3/16"


def test_shards_at_once_into_one_store_are_a_single_run(models, tmp_path):
    """Two processes make the store, share it, and leave what one would have left."""
    listed = tmp_path / "models.txt"
    listed.write_text("".join(f"{name}={spec}\n" for name, spec in models.items()))
    genome = tmp_path / "genome.jsonl"
    GENOME.save(genome)
    command = [sys.executable, "-m", "pyphylo", "sample", f"@{listed}", "--genome", str(genome)]
    command += ["--probes", "3", "--device", "cpu", "--json", "--store", str(tmp_path / "shared")]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    processes = [
        subprocess.Popen(
            [*command, "--shard", f"{i}/2"], env=env, stdout=subprocess.PIPE, text=True
        )
        for i in (1, 2)
    ]
    outputs = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    done = [
        event["model"]
        for text in outputs
        for event in map(json.loads, text.splitlines())
        if event["event"] == "model_done"
    ]
    assert sorted(done) == sorted(models)
    pp.sample(models, GENOME, store=tmp_path / "single", **FAST)
    assert contents(tmp_path / "shared") == contents(tmp_path / "single")
    assert not (tmp_path / "shared.lock").exists()
    # Stores of their own merge by copying shards: a shard's name and bytes are its model's.
    for i in (1, 2):
        pp.sample(models, GENOME, store=tmp_path / f"own{i}", shard=f"{i}/2", **FAST)
    parts = [contents(tmp_path / f"own{i}") for i in (1, 2)]
    assert {name: data for part in parts for name, data in part.items()} == contents(
        tmp_path / "single"
    )


def test_more_shards_than_models(models, tmp_path):
    store = pp.sample(models, GENOME, store=tmp_path / "s", shard="8/8", **FAST)
    assert store.models == ()


def test_a_model_that_another_process_finished_is_not_sampled_again(models, tmp_path):
    events: list[dict[str, Any]] = []
    two = dict(list(models.items())[:2])

    def meddle(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "plan" and len(events) == 1:
            pp.sample(two, GENOME, store=tmp_path / "s", **FAST)

    pp.sample(two, GENOME, store=tmp_path / "s", on_event=meddle, **FAST)
    here = [event["sampled_here"] for event in events if event["event"] == "model_done"]
    assert here == [False, False]


# -- order -------------------------------------------------------------------------------


class _Keyed:
    def __init__(self, name: str, key: str | None) -> None:
        self.name = name
        if key is not None:
            self.weights_key = key


def test_the_same_weights_are_side_by_side():
    keys = ["x", None, "y", "x", None, "y", "x"]
    samplers = [_Keyed(str(i), key) for i, key in enumerate(keys)]
    assert [each.name for each in in_order(samplers)] == ["0", "3", "6", "1", "2", "5", "4"]


def test_the_same_weights_under_two_names_are_loaded_once(models, tmp_path, monkeypatch):
    from pyphylo.sampling import _weights

    seen = []
    load = _weights.load_model
    monkeypatch.setattr(
        _weights, "load_model", lambda spec, *a, **o: (seen.append(spec), load(spec, *a, **o))[1]
    )
    pp.sample(models, GENOME, store=tmp_path / "s", **FAST)
    assert len(seen) == 3


# -- events ------------------------------------------------------------------------------


def test_events(models, own_copy, tmp_path):
    """Each kind, in order, with the keys that the documentation lists."""
    broken = own_copy("llama")
    (broken / "model.safetensors").write_bytes(b"")
    named = {"broken": str(broken), **dict(list(models.items())[:2])}
    first = next(iter(models))
    pp.sample({first: models[first]}, GENOME, store=tmp_path / "s", **FAST)
    events: list[dict[str, Any]] = []
    with pytest.raises(SamplingError) as caught:
        pp.sample(named, GENOME, store=tmp_path / "s", on_event=events.append, **FAST)
    assert list(caught.value.failures) == ["broken"]
    kinds = [event["event"] for event in events]
    assert kinds == [
        *("plan", "model_started", "model_failed", "model_started"),
        *("genes",) * kinds.count("genes"),
        *("model_done", "summary"),
    ]
    assert json.loads(json.dumps(events)) == events
    plan, summary = events[0], events[-1]
    assert plan["to_sample"] == ["broken", "m1"]
    assert (plan["stored"], plan["genes"], plan["shard"]) == (1, len(GENOME), None)
    assert events[1] == {"event": "model_started", "model": "broken", "index": 1, "of": 2}
    assert events[2]["started"] is True
    assert "cannot be loaded" in events[2]["reason"]
    last = [event for event in events if event["event"] == "genes"][-1]
    assert (last["model"], last["done"], last["of"], last["seconds_left"]) == ("m1", 6, 6, 0)
    assert last["tokens"] > len(GENOME)
    done = events[-2]
    assert done["shard"] in {path.name for path in (tmp_path / "s" / "shards").iterdir()}
    assert done["tokens"] >= last["tokens"]
    assert done["sampled_here"] is True
    assert summary["ok"] is False
    assert summary["failed"] == {"broken": events[2]["reason"]}
    assert summary["models"] == ["m0", "m1"]
    assert summary["tokens"] == done["tokens"]


def documented() -> dict[str, set[str]]:
    """Event names and keys, as the table of the documentation has them."""
    page = Path(__file__).parents[2] / "docs" / "checkpoints.md"
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \|", page.read_text("utf-8"), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", keys)) for name, keys in rows}


def test_the_documentation_lists_every_key(models, own_copy, tmp_path):
    broken = own_copy("llama")
    (broken / "model.safetensors").write_bytes(b"")
    events: list[dict[str, Any]] = []
    with pytest.raises(SamplingError):
        pp.sample(
            {"broken": str(broken), "m0": models["m0"]}, GENOME, store=tmp_path / "s",
            on_event=events.append, **FAST,
        )  # fmt: skip
    assert {event["event"]: set(event) - {"event"} for event in events} == documented()


def run_json(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, list[Any], str]:
    code = main(["sample", *args, "--json", "--probes", "3", "--genes", "6", "--device", "cpu"])
    out, err = capsys.readouterr()
    return code, [json.loads(line) for line in out.splitlines()], err


def test_the_stream_is_all_of_stdout(models, own_copy, tmp_path, capsys):
    """Even where a model's own code prints."""
    folder = own_copy("llama")
    (folder / "own.py").write_text(
        "print('hello from the model')\n"
        "from transformers import LlamaConfig, LlamaForCausalLM\n"
        "class OwnConfig(LlamaConfig):\n    model_type = 'own-model'\n"
        "class OwnModel(LlamaForCausalLM):\n    config_class = OwnConfig\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config |= {
        "model_type": "own-model",
        "auto_map": {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnModel"},
    }
    (folder / "config.json").write_text(json.dumps(config))
    store = str(tmp_path / "s")
    code, events, err = run_json(
        capsys, f"own={folder}", f"m={models['m1']}", "--store", store, "--trust-remote-code"
    )
    assert code == 0
    assert "hello from the model" in err
    assert [event["event"] for event in events][-1] == "summary"
    assert events[-1]["models"] == ["m", "own"]
    code, events, err = run_json(capsys, f"m={models['m1']}", "--store", store)
    assert (code, err) == (0, "")
    assert [event["event"] for event in events] == ["plan", "summary"]
    assert events[0]["to_sample"] == []


def test_bad_calls_write_no_event(tmp_path, capsys):
    code, events, err = run_json(capsys, "./none", "--store", str(tmp_path / "s"))
    assert (code, events) == (2, [])
    assert err.startswith("pyphylo: error: model './none': no such file")
    code, events, err = run_json(capsys, "--store", str(tmp_path / "s"))
    assert (code, events) == (2, [])
    assert "give MODEL, or --models FILE" in err


# -- what fails --------------------------------------------------------------------------


def nan(folder: Path) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        model.get_input_embeddings().weight.fill_(torch.nan)
    model.save_pretrained(folder)


def no_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def cut_short(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def bad_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("token*"):
        path.unlink()


def slow_tokenizer_without_files(folder: Path) -> None:
    """A tokenizer class that has no fast version and finds nothing to read."""
    no_tokenizer(folder)
    config = {"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


def short_context(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8}))


BAD = {
    nan: "the logits are no distribution",
    no_weights: "has no weights",
    cut_short: "its weights cannot be loaded",
    bad_config: r"its config\.json cannot be read",
    no_tokenizer: "has no usable tokenizer",
    slow_tokenizer_without_files: "has no usable tokenizer",
    short_context: r"tokens .* than the 8 that model",
}


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_a_bad_model_is_kept_out_and_the_others_go_on(spoil, models, own_copy, tmp_path, capsys):
    folder = own_copy("llama")
    spoil(folder)
    capsys.readouterr()
    before, after = (f"{name}={models[name]}" for name in ("m1", "m2"))
    store = tmp_path / "s"
    code, events, err = run_json(capsys, before, f"bad={folder}", after, "--store", str(store))
    assert code == 1
    assert pp.SampleStore.open(store).models == ("m1", "m2")
    assert list(events[-1]["failed"]) == ["bad"]
    (failed,) = [event for event in events if event["event"] == "model_failed"]
    assert re.search(BAD[spoil], failed["reason"])
    assert err.startswith("pyphylo: error: 1 of 3 models could not be sampled: bad: ")
    # Strict: nothing behind it, and nothing at all where it is known before any work.
    strict = tmp_path / "strict"
    code, events, err = run_json(
        capsys, before, f"bad={folder}", after, "--store", str(strict), "--strict"
    )
    assert code in (1, 2)
    assert "bad" in err
    assert not strict.exists() or pp.SampleStore.open(strict).models == ("m1",)
    assert not events or list(events[-1]["failed"]) == ["bad"]


def test_tokenizers_without_a_fast_version_that_work_are_used(own_copy, tmp_path):
    """ByT5's tokenizer is Python alone: it is read by differences of texts."""
    folder = own_copy("llama")
    no_tokenizer(folder)
    transformers.ByT5Tokenizer(extra_ids=0).save_pretrained(folder)
    store = pp.sample({"slow": str(folder)}, GENOME, store=tmp_path / "s", **FAST)
    assert store.read("slow").facts["token_text"] == "suffix"  # noqa: S105


def test_nothing_usable_is_a_bad_call(own_copy, tmp_path):
    folder = own_copy("llama")
    no_weights(folder)
    with pytest.raises(pp.InputError, match="has no weights"):
        pp.sample({"a": str(folder), "b": str(folder)}, GENOME, store=tmp_path / "s", **FAST)
    assert not (tmp_path / "s").exists()


def test_any_failure_of_a_models_code_is_its_own(models, tmp_path, monkeypatch):
    from pyphylo.sampling.hf import HuggingFaceSampler

    sample = HuggingFaceSampler.sample

    def fails(self: Any, *args: Any, **options: Any) -> Any:
        if self.identity.name == "m1":
            raise IndexError("index out of range in self")
        return sample(self, *args, **options)

    monkeypatch.setattr(HuggingFaceSampler, "sample", fails)
    three = dict(list(models.items())[:3])
    with pytest.raises(pp.WorkError, match="m1: IndexError: index out of range in self"):
        pp.sample(three, GENOME, store=tmp_path / "s", **FAST)
    assert pp.SampleStore.open(tmp_path / "s").models == ("m0", "m2")


def test_a_store_that_cannot_be_written_stops_the_run(models, tmp_path):
    """It is no model's fault, and every other model would meet it too."""
    events: list[dict[str, Any]] = []

    def block(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "model_started":
            shards = tmp_path / "s" / "shards"
            shards.rmdir()
            shards.write_text("a file in the way")

    with pytest.raises(OSError, match=r"shards|folder|exist"):
        pp.sample(models, GENOME, store=tmp_path / "s", on_event=block, **FAST)
    assert [event["event"] for event in events].count("model_started") == 1


def test_run_makes_the_tree_of_the_others(models, own_copy, tmp_path, capsys):
    folder = own_copy("llama")
    nan(folder)
    out = tmp_path / "out"
    given = [f"{name}={models[name]}" for name in ("m0", "m1", "m2")]
    options = ["--probes", "3", "--genes", "6", "--device", "cpu", "--out", str(out)]
    assert main(["run", *given, f"bad={folder}", *options]) == 1
    err = capsys.readouterr().err
    assert "1 of 4 models could not be sampled: bad: " in err
    assert f"the tree in {str(out)!r} is of the other 3" in err
    assert set(pp.Tree.read(out / "tree.nwk").tips) == {"m0", "m1", "m2"}
