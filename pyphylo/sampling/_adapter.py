"""Where an adapter is and which revision of it, on which revision of its base.

An adapter (LoRA and its kin, in PEFT's format) is a small set of weights that is put on a
base model's. What it says depends on both, so its revision names both.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from pyphylo.errors import InputError, WorkError
from pyphylo.sampling._locate import (
    WEIGHT_FILES,
    AdapterLocation,
    ModelLocation,
    digest_file,
    hub_file,
    locate_model,
    read_config,
)

__all__ = ["adapter_folder", "has_tokenizer", "locate_adapter_folder", "locate_hub_adapter"]

_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")  # in peft's order
_TOKENIZER = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    *("vocab.json", "vocab.txt", "merges.txt", "tokenizer.model", "tekken.json"),
)
_VOCABULARIES = {"tokenizer.json", "tokenizer.model", "tekken.json", "vocab.json", "vocab.txt"}
# These put trained vectors in front of a prompt, or swap whole modules while they run:
# no change of weights that could be taken back.
_NOT_WEIGHTS = {
    *("PROMPT_TUNING", "MULTITASK_PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "CPT"),
    "ADAPTION_PROMPT",
}
_PLACE_OF_BASE = ("base_model_name_or_path", "revision")


def locate_adapter_folder(spec: str, folder: Path) -> ModelLocation:
    """A local adapter and its base.

    Raises
    ------
    InputError
        When the folder also holds a whole model, lacks the adapter's weights, or
        the adapter is of a kind that is no change of a causal language model's
        weights; when its base cannot be found, or peft is not installed.
    """
    own = next((name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if own is not None:
        raise InputError(
            f"model folder {spec!r} holds both a model ({own}) and an adapter "
            "(adapter_config.json): move one of them to a folder of its own"
        )
    config = read_config(spec, folder / "adapter_config.json")
    weights = next((name for name in _WEIGHTS if (folder / name).is_file()), None)
    if weights is None:
        raise InputError(f"adapter {spec!r} has no weights: neither of {', '.join(_WEIGHTS)}")
    base = _locate_base(spec, config, folder)
    names = [weights, *(name for name in _TOKENIZER if (folder / name).is_file())]
    files = {name: digest_file(spec, folder / name) for name in names}
    adapter = AdapterLocation(str(folder.resolve()), None, True, tuple(names))
    return _on(base, _digest(config, files, base), adapter)


def locate_hub_adapter(
    spec: str,
    repo: str,
    revision: str | None,
    commit: str,
    files: frozenset[str],
    *,
    offline: bool,
) -> ModelLocation:
    """An adapter of the hub and its base; see `locate_adapter_folder` for what is refused."""
    config = read_config(
        spec, hub_file(spec, repo, revision, commit, "adapter_config.json", offline=offline)
    )
    weights = next((name for name in _WEIGHTS if name in files), None)
    if weights is None:
        raise InputError(f"adapter {spec!r} has no weights: neither of {', '.join(_WEIGHTS)}")
    base = _locate_base(spec, config, None)
    names = (weights, "adapter_config.json", *(name for name in _TOKENIZER if name in files))
    adapter = AdapterLocation(repo, commit, offline, names)
    return _on(base, f"{repo}@{commit} on {base.revision}", adapter)


def adapter_folder(spec: str, adapter: AdapterLocation) -> Path:
    """The folder that holds an adapter's files, downloaded if need be."""
    if adapter.commit is None:
        return Path(adapter.source)
    from huggingface_hub import hf_hub_download

    try:
        paths = [
            Path(
                hf_hub_download(
                    adapter.source, name, revision=adapter.commit, local_files_only=adapter.offline
                )
            )
            for name in adapter.files
        ]
    except Exception as error:
        raise WorkError(f"adapter {spec!r} cannot be downloaded ({type(error).__name__})") from None
    return paths[0].parent


def _on(base: ModelLocation, revision: str, adapter: AdapterLocation) -> ModelLocation:
    return replace(base, revision=revision, adapter=adapter, weights_revision=base.revision)


def has_tokenizer(adapter: AdapterLocation) -> bool:
    """Whether it comes with a tokenizer that needs no model's config; it goes before the base's."""
    found = set(adapter.files)
    return "tokenizer_config.json" in found and not found.isdisjoint(_VOCABULARIES)


def _locate_base(spec: str, config: Mapping[str, Any], folder: Path | None) -> ModelLocation:
    _check_kind(spec, config)
    if importlib.util.find_spec("peft") is None:
        raise InputError(
            f"model {spec!r} is an adapter, and adapters need peft: pip install 'pyphylo[peft]'"
        )
    named = config.get("base_model_name_or_path")
    if not isinstance(named, str) or not named.strip():
        raise InputError(f"adapter {spec!r}: its adapter_config.json names no base model")
    base = named
    if not Path(base).expanduser().exists():
        revision = config.get("revision")
        if folder is not None and (folder / base).exists():
            base = str(folder / base)  # a path from where the adapter is
        elif isinstance(revision, str) and revision:
            base = f"{base}@{revision}"
    try:
        found = locate_model(base)
    except InputError as error:
        raise InputError(
            f"adapter {spec!r}: its base {named!r} cannot be used ({error}); "
            "base_model_name_or_path in its adapter_config.json says where it is"
        ) from None
    if found.adapter is not None:
        raise InputError(f"adapter {spec!r}: its base {named!r} is an adapter itself; merge that")
    return found


def _check_kind(spec: str, config: Mapping[str, Any]) -> None:
    kind, task = config.get("peft_type"), config.get("task_type")
    if not isinstance(kind, str) or kind.upper() in _NOT_WEIGHTS:
        raise InputError(f"adapter {spec!r} is of type {kind!r}, which changes no weights")
    if task not in (None, "CAUSAL_LM"):
        raise InputError(
            f"adapter {spec!r} does not continue text: its task is {task}, and CAUSAL_LM is needed"
        )


def _digest(config: Mapping[str, Any], files: Mapping[str, str], base: ModelLocation) -> str:
    """One digest over the adapter and the revision, not the place, of its base."""
    settings = {key: value for key, value in config.items() if key not in _PLACE_OF_BASE}
    entries = [settings, sorted(files.items()), base.revision]
    text = json.dumps(entries, sort_keys=True, ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"
