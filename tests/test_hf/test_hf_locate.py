"""Finding models: what a revision depends on, and what is refused before any work."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pyphylo.errors import InputError, WorkError
from pyphylo.sampling._locate import locate_model, resolve_dtype
from pyphylo.sampling.hf import HuggingFaceSampler

COMMIT = "0123456789abcdef0123456789abcdef01234567"


def revision(folder: Path) -> str:
    return HuggingFaceSampler("x", str(folder)).identity.revision


def test_a_copy_is_the_same_model(own_copy: Any, checkpoint: Any, tmp_path: Path) -> None:
    """Neither place nor times nor files that do not matter make another."""
    folder = own_copy("llama")
    os.utime(folder / "model.safetensors", (0, 0))
    (folder / "README.md").write_text("about")
    (folder / "optimizer.pt").write_bytes(b"state")
    (folder / "pytorch_model.bin").write_bytes(b"not read where safetensors are there")
    assert revision(folder) == revision(checkpoint("llama"))
    assert revision(folder).startswith("sha256:")


@pytest.mark.parametrize(
    "name", ["model.safetensors", "config.json", "tokenizer.json", "generation_config.json"]
)
def test_other_content_is_another_model(name: str, own_copy: Any, checkpoint: Any) -> None:
    folder = own_copy("llama")
    path = folder / name
    data = path.read_bytes()
    path.write_bytes(data.replace(b"}", b" }", 1) if name.endswith(".json") else data[:-1] + b"!")
    assert revision(folder) != revision(checkpoint("llama"))


def test_added_code_is_another_model(own_copy: Any, checkpoint: Any) -> None:
    folder = own_copy("llama")
    (folder / "modeling_own.py").write_text("")
    assert revision(folder) != revision(checkpoint("llama"))


def test_content_moved_between_files_is_another_model(tmp_path: Path) -> None:
    """Names and contents are hashed apart from each other."""
    for name, config, tokenizer in (("a", "{}", "{} "), ("b", "{} ", "{}")):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "config.json").write_text(config)
        (folder / "tokenizer.json").write_text(tokenizer)
        (folder / "model.safetensors").write_bytes(b"w")
    assert revision(tmp_path / "a") != revision(tmp_path / "b")


def test_shards_are_found_by_the_index(tmp_path: Path) -> None:
    index = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / "one.safetensors").write_bytes(b"1")
    with pytest.raises(InputError, match=r"names 'two\.safetensors', which is absent"):
        locate_model(str(tmp_path))
    (tmp_path / "two.safetensors").write_bytes(b"2")
    first = locate_model(str(tmp_path)).revision
    (tmp_path / "two.safetensors").write_bytes(b"3")
    assert locate_model(str(tmp_path)).revision != first


def test_gguf_is_its_content(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + bytes(100))
    (tmp_path / "renamed").write_bytes(b"GGUF" + bytes(100))
    digest = hashlib.sha256(b"GGUF" + bytes(100)).hexdigest()
    sampler = HuggingFaceSampler("x", str(tmp_path / "model.gguf"))
    assert sampler.identity.revision == f"sha256:{digest}"
    assert sampler.identity.dtype == "float32"
    assert revision(tmp_path / "renamed") == sampler.identity.revision


@pytest.mark.parametrize(
    "spec", ["/no/such/folder", "./nothing", "~/nothing-here", "a/b/c", "no.gguf", "a\\b", "x y/z"]
)
def test_absent_paths_are_refused(spec: str) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        HuggingFaceSampler("x", spec)


def test_folders_and_files_that_are_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no config\.json$"):
        HuggingFaceSampler("x", str(tmp_path))
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(InputError, match=r"adapter .* has no weights: neither of adapter_model"):
        HuggingFaceSampler("x", str(tmp_path))
    (tmp_path / "adapter_config.json").unlink()
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(InputError, match=r"pass the file, 'm\.gguf'"):
        HuggingFaceSampler("x", str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match=r"has no weights: none of 'model\.safetensors'"):
        HuggingFaceSampler("x", str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json cannot be read"):
        HuggingFaceSampler("x", str(tmp_path))
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(InputError, match=r"config\.json holds no object"):
        HuggingFaceSampler("x", str(tmp_path))
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(InputError, match=r"is not GGUF \(it starts with b'not '\)"):
        HuggingFaceSampler("x", str(tmp_path / "text.gguf"))


def test_models_that_do_not_continue_text_are_refused(own_copy: Any) -> None:
    folder = own_copy("llama")
    config = json.loads((folder / "config.json").read_text())
    config["architectures"] = ["BertForMaskedLM"]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="does not continue text: its architecture is BertFor"):
        HuggingFaceSampler("x", str(folder))


@pytest.mark.parametrize(
    ("config", "dtype", "expected"),
    [
        ({"dtype": "bfloat16"}, "auto", "bfloat16"),
        ({"torch_dtype": "float16"}, "auto", "float16"),
        ({"torch_dtype": "torch.float16"}, "auto", "float16"),
        ({"text_config": {"dtype": "bfloat16"}}, "auto", "bfloat16"),
        ({"dtype": None, "text_config": {}}, "auto", "float32"),
        ({}, "auto", "float32"),
        ({"dtype": "bfloat16"}, "float32", "float32"),
    ],
)
def test_dtypes(config: dict[str, Any], dtype: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "model.safetensors").write_bytes(b"w")
    assert resolve_dtype(dtype, locate_model(str(tmp_path))) == expected


def test_dtypes_that_are_unknown(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"dtype": "int3"}')
    (tmp_path / "model.safetensors").write_bytes(b"w")
    with pytest.raises(InputError, match="unknown dtype 'double'; known: 'auto', 'float32'"):
        HuggingFaceSampler("x", str(tmp_path), dtype="double")
    with pytest.raises(InputError, match="its config states the dtype 'int3'; pass one of"):
        HuggingFaceSampler("x", str(tmp_path))
    assert HuggingFaceSampler("x", str(tmp_path), dtype="float16").identity.dtype == "float16"


def test_batch_tokens_must_be_positive(checkpoint: Any) -> None:
    with pytest.raises(InputError, match="batch_tokens must be at least 1, not 0"):
        HuggingFaceSampler("x", str(checkpoint("llama")), batch_tokens=0)


def in_fresh_process(code: str, hub: Path) -> subprocess.CompletedProcess[str]:
    """Run Python with an empty or prepared hub cache and no network."""
    env = os.environ | {
        "HF_HOME": str(hub),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    env.pop("HF_HUB_CACHE", None)
    return subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=120
    )


def test_constructing_imports_no_torch(checkpoint: Any, tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pyphylo.sampling.hf import HuggingFaceSampler\n"
        f"HuggingFaceSampler('x', {str(checkpoint('llama'))!r}).close()\n"
        "print(sorted({'torch', 'transformers', 'huggingface_hub'} & set(sys.modules)))\n"
    )
    done = in_fresh_process(code, tmp_path)
    assert done.stdout.strip() == "[]", done.stderr


def test_hub_models_from_the_cache(checkpoint: Any, tmp_path: Path) -> None:
    """Offline: main is the commit that the cache has; a model it lacks is one clear line."""
    repo = tmp_path / "hub" / "models--some--model"
    shutil.copytree(checkpoint("llama"), repo / "snapshots" / COMMIT)
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    code = (
        "import sys\n"
        "from pyphylo.errors import PyphyloError\n"
        "from pyphylo.genome import Genome\n"
        "from pyphylo.sampling.base import SamplingConfig\n"
        "from pyphylo.sampling.hf import HuggingFaceSampler\n"
        f"for spec in ('some/model', 'some/model@{COMMIT}'):\n"
        "    sampler = HuggingFaceSampler('x', spec, device='cpu')\n"
        "    print(sampler.identity.revision)\n"
        "assert 'torch' not in sys.modules\n"
        "genome = Genome(['g'], ['The quick'])\n"
        "print(len(sampler.sample(genome, SamplingConfig(n_probes=3)).completions[0]))\n"
        "for spec in ('some/other', 'some/model@v2', 'gpt-none'):\n"
        "    try:\n"
        "        HuggingFaceSampler('x', spec)\n"
        "    except PyphyloError as error:\n"
        "        print(type(error).__name__, error)\n"
    )
    done = in_fresh_process(code, tmp_path)
    lines = done.stdout.splitlines()
    assert lines[:3] == [f"some/model@{COMMIT}"] * 2 + ["3"], done.stderr
    assert done.stderr == ""
    assert len(lines) == 6
    for line, spec in zip(lines[3:], ("some/other", "some/model@v2", "gpt-none"), strict=True):
        assert line.startswith(f"{WorkError.__name__} model {spec!r}: no file or folder of that")
        assert f"fetch it before (hf download {spec.partition('@')[0]})" in line
