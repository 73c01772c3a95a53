"""The next model's files are read while one is sampled, and nothing depends on it."""

from __future__ import annotations

import json
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

import pyphylo as pp
from pyphylo.sampling import _read_ahead
from pyphylo.sampling._locate import locate_model
from pyphylo.sampling._read_ahead import read_model_files, reading_ahead
from pyphylo.sampling.hf import HuggingFaceSampler

GENOME = pp.Genome.default().head(3)
FAST = {"n_probes": 2, "device": "cpu"}


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.safetensors"))


def test_weights_are_read_whole(checkpoint):
    folder = checkpoint("llama")
    assert read_model_files(locate_model(str(folder)), threading.Event()) == size(folder)


def test_shards_are_read_as_the_index_names_them(tmp_path):
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    for number, name in enumerate(("one", "two", "three"), 1):
        (tmp_path / f"{name}.safetensors").write_bytes(bytes(1000 * number))
    assert read_model_files(locate_model(str(tmp_path)), threading.Event()) == 3000


def test_gguf_is_read(tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + bytes(100))
    assert read_model_files(locate_model(str(tmp_path / "m.gguf")), threading.Event()) == 104


def test_memory_is_asked_first(checkpoint, monkeypatch):
    location = locate_model(str(checkpoint("llama")))
    need = size(checkpoint("llama"))
    for free, expected in ((None, 0), (2 * need - 1, 0), (2 * need, need)):
        monkeypatch.setattr(_read_ahead, "available_bytes", lambda free=free: free)
        assert read_model_files(location, threading.Event()) == expected


def test_it_stops_when_told(checkpoint):
    stop = threading.Event()
    stop.set()
    assert read_model_files(locate_model(str(checkpoint("llama"))), stop) == 0


def test_every_model_but_the_first_is_read_before_its_turn(checkpoint, tmp_path, monkeypatch):
    models = {kind: str(checkpoint(kind)) for kind in ("llama", "gpt2", "mistral")}
    turns: list[tuple[str, str]] = []
    sample, read_ahead = HuggingFaceSampler.sample, HuggingFaceSampler.read_ahead
    read = {name: threading.Event() for name in models}

    def sampled(self: Any, *args: Any, **options: Any) -> Any:
        turns.append(("sample", self.identity.name))
        following = list(models)[list(models).index(self.identity.name) + 1 :][:1]
        assert all(read[name].wait(60) for name in following)  # it runs beside this
        return sample(self, *args, **options)

    def reads(self: Any, stop: threading.Event) -> None:
        read_ahead(self, stop)
        turns.append(("read", self.identity.name))
        read[self.identity.name].set()

    monkeypatch.setattr(HuggingFaceSampler, "sample", sampled)
    monkeypatch.setattr(HuggingFaceSampler, "read_ahead", reads)
    pp.sample(models, GENOME, store=tmp_path / "s", **FAST)
    assert [name for what, name in turns if what == "sample"] == list(models)
    # Reading runs beside the turn before, whichever of the two is quicker to begin.
    assert [name for what, name in turns if what == "read"] == ["gpt2", "mistral"]
    for name in ("gpt2", "mistral"):
        assert turns.index(("read", name)) < turns.index(("sample", name))
    assert turns.index(("sample", "llama")) < turns.index(("read", "mistral"))
    del turns[:]
    for event in read.values():
        event.set()
    pp.sample(models, GENOME, store=tmp_path / "t", read_ahead=False, **FAST)
    assert turns == [("sample", name) for name in models]


def test_what_fails_ahead_is_no_error(checkpoint, own_copy, tmp_path, monkeypatch):
    """A model that is gone by then fails in its turn, with its own reason; others do not."""
    gone = own_copy("llama")
    models = {"a": str(checkpoint("gpt2")), "gone": str(gone), "c": str(checkpoint("mistral"))}
    tried: list[str] = []
    read_ahead = HuggingFaceSampler.read_ahead

    def reads(self: Any, stop: threading.Event) -> None:
        tried.append(self.identity.name)
        read_ahead(self, stop)
        raise RuntimeError("unheard")

    monkeypatch.setattr(HuggingFaceSampler, "read_ahead", reads)
    with pytest.raises(pp.WorkError, match="1 of 3 models could not be sampled: gone: "):
        pp.sample(
            models, GENOME, store=tmp_path / "s", **FAST,
            on_event=lambda event: shutil.rmtree(gone) if event["event"] == "plan" else None,
        )  # fmt: skip
    assert pp.SampleStore.open(tmp_path / "s").models == ("a", "c")
    assert set(tried) == {"gone", "c"}


def test_samplers_that_cannot_read_ahead_need_not():
    with reading_ahead(None):
        threads = {thread.name for thread in threading.enumerate()}
    assert "pyphylo-read-ahead" not in threads
