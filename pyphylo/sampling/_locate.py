"""Where a model is and which revision of it: a folder, a GGUF file or the hub.

Nothing here reads weights into memory or imports torch. A local model's revision
is a digest of the content that determines what it says, so a moved or copied
folder is the same model and a retrained one is not. A hub model's revision is
``org/name@commit``: what `main` points to may change, a commit may not.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyphylo._files import close_paths
from pyphylo.errors import InputError, WorkError
from pyphylo.sampling.base import NoSuchModelError

__all__ = [
    "WEIGHT_FILES",
    "AdapterLocation",
    "ModelLocation",
    "check_legacy",
    "digest_file",
    "digest_files",
    "hub_file",
    "locate_model",
    "read_config",
    "resolve_dtype",
]

_DTYPES = ("float32", "float16", "bfloat16", "float64")
_GGUF_MAGIC = b"GGUF"
_CHUNK = 1 << 22
_TICK = 2_000_000_000
_digests: dict[tuple[str, int, int], str] = {}

# In the order in which transformers looks for them; an index names its shards.
WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# Everything else of a checkpoint that changes what comes out: how text becomes tokens and
# tokens text, which tokens end it, code. Chat templates and readmes do not.
_OTHER_PATTERNS = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.*",
    "merges.txt",
    "tekken.json",
    "*.model",
    "*.tiktoken",
    "*.py",
)
_HUB_ID = re.compile(r"(?P<repo>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)(?:@(?P<revision>\S+))?")
# Architectures whose head reads a whole text: no left-to-right continuation comes from them.
_NOT_CAUSAL = re.compile(
    r"For(MaskedLM|PreTraining|NextSentencePrediction|(Sequence|Token|Image|Audio)Classification"
    r"|QuestionAnswering|MultipleChoice|TextEncoding)$"
)


@dataclass(frozen=True)
class AdapterLocation:
    """Where the adapter of a model is; the rest of its location is that of the base.

    Parameters
    ----------
    source : str
        A folder or a hub id.
    commit : str or None
        The hub commit to load.
    offline : bool
        Whether only the hub's cache can be read.
    files : tuple of str
        The names of those of its files that are read.
    """

    source: str
    commit: str | None
    offline: bool
    files: tuple[str, ...]


@dataclass(frozen=True)
class ModelLocation:
    """A model that was found, and what its config says.

    Parameters
    ----------
    revision : str
        ``"sha256:..."`` of local content, or ``"org/name@commit"``.
    source : str
        What transformers loads from: a folder or a hub id.
    commit : str or None
        The hub commit to load.
    gguf_file : str or None
        The file's name inside `source`, for a GGUF model.
    offline : bool
        Whether the hub could not be asked and the local cache answered.
    config : mapping
        config.json; empty for GGUF.
    adapter : AdapterLocation or None
        What is put on the weights; `revision` covers both.
    weights_revision : str or None
        The revision of the base without the adapter.
    files : frozenset of str
        Of a hub model: the names of its files.
    """

    revision: str
    source: str
    commit: str | None = None
    gguf_file: str | None = None
    offline: bool = False
    config: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    adapter: AdapterLocation | None = None
    weights_revision: str | None = None
    files: frozenset[str] = field(default=frozenset(), repr=False, compare=False)

    @property
    def hub_snapshots(self) -> tuple[tuple[str, str], ...]:
        """Every hub repository and commit that is read."""
        parts = [(self.source, self.commit)]
        if self.adapter is not None:
            parts.append((self.adapter.source, self.adapter.commit))
        return tuple((repo, commit) for repo, commit in parts if commit is not None)

    def load_options(self) -> dict[str, Any]:
        """What `from_pretrained` needs beside `source`."""
        options: dict[str, Any] = {}
        if self.commit is not None:
            options["revision"] = self.commit
        if self.gguf_file is not None:
            options["gguf_file"] = self.gguf_file
        if self.offline or self.commit is None:
            options["local_files_only"] = True
        return options


def locate_model(spec: str) -> ModelLocation:
    """Find a model and fix its revision.

    Parameters
    ----------
    spec : str
        A folder with config.json and weights, a GGUF file, a hub id
        ``org/name[@revision]``, or an adapter (folder or hub id) whose base is one of
        these. What exists on this machine goes first.

    Raises
    ------
    InputError
        When there is no such file, folder or hub model, or it holds no
        causal language model.
    WorkError
        When the hub cannot be reached and the cache does not have the model.

    Notes
    -----
    Reads every byte of a local model once (streaming, about 1 GB/s).
    """
    if not spec.strip():
        raise InputError(f"a model is a folder, a GGUF file or a hub id, not {spec!r}")
    path = Path(spec).expanduser()
    if path.is_dir():
        location = _locate_folder(spec, path)
    elif path.is_file():
        location = _locate_gguf(spec, path)
    elif _looks_like_path(spec):
        raise NoSuchModelError(f"model {spec!r}: no such file or folder{close_paths(spec)}")
    else:
        location = _locate_hub(spec)
    _check_causal(spec, location.config)
    return location


def resolve_dtype(dtype: str, location: ModelLocation) -> str:
    """The dtype that weights are computed in, by name.

    ``"auto"`` is the checkpoint's own, as its config states it, and float32 where
    it states none or the weights are dequantised (GGUF).
    """
    if dtype != "auto":
        if dtype not in _DTYPES:
            raise InputError(f"unknown dtype {dtype!r}; known: 'auto', {_quoted(_DTYPES)}")
        return dtype
    text_config = location.config.get("text_config")
    nested = text_config if isinstance(text_config, Mapping) else {}
    for config in (location.config, nested):
        for key in ("dtype", "torch_dtype"):
            stated = config.get(key)
            if stated in (None, "auto"):
                continue
            name = str(stated).removeprefix("torch.")
            if name not in _DTYPES:
                raise InputError(
                    f"model {location.revision!r}: its config states the dtype {stated!r}; "
                    f"pass one of {_quoted(_DTYPES)}"
                )
            return name
    return "float32"


def _quoted(names: tuple[str, ...]) -> str:
    return ", ".join(map(repr, names))


def _looks_like_path(spec: str) -> bool:
    """Whether a name that does not exist here cannot be a hub id either."""
    return _HUB_ID.fullmatch(spec) is None or spec.endswith((".gguf", ".safetensors", ".bin"))


def _locate_folder(spec: str, folder: Path) -> ModelLocation:
    if (folder / "adapter_config.json").is_file():
        from pyphylo.sampling._adapter import locate_adapter_folder

        return locate_adapter_folder(spec, folder)
    config_path = folder / "config.json"
    if not config_path.is_file():
        hint = _folder_hint(folder)
        raise InputError(f"model folder {spec!r} has no config.json{hint}")
    config = read_config(spec, config_path)
    files = _weight_paths(spec, folder)
    for pattern in _OTHER_PATTERNS:
        files.update((path.name, path) for path in folder.glob(pattern) if path.is_file())
    return ModelLocation(
        revision=digest_files(spec, files), source=str(folder.resolve()), config=config
    )


def _folder_hint(folder: Path) -> str:
    """What else a folder without config.json may be."""
    from pyphylo.sampling.specs import checkpoint_folders

    checkpoints = checkpoint_folders(folder)
    if checkpoints:
        return f" but checkpoints: pass one of them, such as {str(checkpoints[-1])!r}"
    gguf = sorted(folder.glob("*.gguf"))
    if gguf:
        return f": for the GGUF model in it pass the file, {gguf[0].name!r}"
    return ""


def read_config(spec: str, path: Path) -> Mapping[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"model {spec!r}: its {path.name} cannot be read ({error})") from None
    if not isinstance(config, dict):
        raise InputError(f"model {spec!r}: its {path.name} holds no object")
    return config


def _weight_paths(spec: str, folder: Path) -> dict[str, Path]:
    """The weight files that transformers would load, by name relative to the folder."""
    first = next((name for name in WEIGHT_FILES if (folder / name).is_file()), None)
    if first is None:
        raise InputError(
            f"model folder {spec!r} has no weights: none of {_quoted(WEIGHT_FILES)} is there"
        )
    paths = {first: folder / first}
    if first.endswith(".index.json"):
        index = read_config(spec, folder / first).get("weight_map")
        if not isinstance(index, dict) or not all(isinstance(v, str) for v in index.values()):
            raise InputError(f"model folder {spec!r}: {first} has no weight_map")
        for shard in sorted(set(index.values())):
            shown = repr(shard if len(shard) < 200 else shard[:200] + "…")
            if not _is_plain(shard):
                raise InputError(
                    f"model folder {spec!r}: {first} names {shown}, which is no file in it"
                )
            # Path.is_file raises where a name is longer than any file's.
            if not os.path.isfile(folder / shard):  # noqa: PTH113
                raise InputError(f"model folder {spec!r}: {first} names {shown}, which is absent")
            paths[shard] = folder / shard
    return paths


def check_legacy(spec: str, location: ModelLocation, *, legacy_weights: bool) -> None:
    """Refuse weights in torch's older format, which are pickles, unless they are asked for.

    They are then read with torch's weights-only reader, which builds tensors and runs nothing.

    Raises
    ------
    InputError
    """
    name = None if legacy_weights else _pickled(location)
    if name is not None:
        raise InputError(
            f"model {spec!r} has its weights in {name}, torch's older format, which is a pickle: "
            "save it as safetensors (save_pretrained does), or have it read by torch's "
            "weights-only reader, which runs no code in it: legacy_weights=True (--legacy-weights)"
        )


def _pickled(location: ModelLocation) -> str | None:
    """The file of weights that is a pickle, where one would be read."""
    adapter = location.adapter
    if adapter is not None and "adapter_model.bin" in adapter.files:
        return "adapter_model.bin"
    if location.gguf_file is not None:
        return None
    if location.commit is None:
        here = {name for name in WEIGHT_FILES if (Path(location.source) / name).is_file()}
    else:
        here = set(location.files.intersection(WEIGHT_FILES))
    first = next((name for name in WEIGHT_FILES if name in here), "")
    return first if first.startswith("pytorch_model") else None


def _is_plain(name: str) -> bool:
    """Whether it names something inside a folder on any system, whatever is there."""
    parts = re.split(r"[/\\]", name)
    bad = any(part in ("", ".", "..") or ":" in part for part in parts)
    return not bad and name.isprintable() and max(map(len, parts)) < 256


def _locate_gguf(spec: str, path: Path) -> ModelLocation:
    with path.open("rb") as handle:
        magic = handle.read(len(_GGUF_MAGIC))
    if magic != _GGUF_MAGIC:
        raise InputError(
            f"model file {spec!r} is not GGUF (it starts with {magic!r}); "
            f"pass a GGUF file or the folder of a checkpoint"
        )
    # One file is its content: a renamed copy is the same model.
    resolved = path.resolve()
    return ModelLocation(
        revision=f"sha256:{digest_file(spec, path)}",
        source=str(resolved.parent),
        gguf_file=resolved.name,
    )


def digest_file(spec: str, path: Path) -> str:
    """SHA-256 (hex) of a file, read once in a process while it stays as it is."""
    try:
        state = path.stat()
        key = (str(path.resolve()), state.st_size, state.st_mtime_ns)
        # Two writes within a tick of the file system's clock look like one.
        settled = time.time_ns() - state.st_mtime_ns > _TICK
        if settled and key in _digests:
            return _digests[key]
        digest = hashlib.sha256()
        with path.open("rb") as handle:
            while chunk := handle.read(_CHUNK):
                digest.update(chunk)
    except OSError as error:
        raise InputError(f"model {spec!r}: {path.name!r} cannot be read ({error})") from None
    if settled:
        _digests[key] = digest.hexdigest()
    return digest.hexdigest()


def digest_files(spec: str, files: Mapping[str, Path]) -> str:
    """One digest over files by relative name and content; order and place do not count."""
    entries = [[name, digest_file(spec, files[name])] for name in sorted(files)]
    text = json.dumps(entries, ensure_ascii=True)
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def _check_causal(spec: str, config: Mapping[str, Any]) -> None:
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or not architectures:
        return
    if all(_NOT_CAUSAL.search(str(name)) for name in architectures):
        raise InputError(
            f"model {spec!r} does not continue text: its architecture is {architectures[0]}, "
            f"and a causal language model is needed"
        )


def _locate_hub(spec: str) -> ModelLocation:
    match = _HUB_ID.fullmatch(spec)
    assert match is not None  # noqa: S101 -- `_looks_like_path` refused everything else
    repo, revision = match["repo"], match["revision"]
    commit, offline, files = _hub_commit(spec, repo, revision)
    if "adapter_config.json" in files and not files.intersection(WEIGHT_FILES):
        from pyphylo.sampling._adapter import locate_hub_adapter

        return locate_hub_adapter(spec, repo, revision, commit, files, offline=offline)
    config_path = hub_file(spec, repo, revision, commit, "config.json", offline=offline)
    return ModelLocation(
        revision=f"{repo}@{commit}",
        source=repo,
        commit=commit,
        offline=offline,
        config=read_config(spec, config_path),
        files=files,
    )


def _hub_commit(spec: str, repo: str, revision: str | None) -> tuple[str, bool, frozenset[str]]:
    """The commit that a revision means, whether only the cache could tell, the files there."""
    from huggingface_hub import model_info
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        info = model_info(repo, revision=revision, timeout=30)
    except GatedRepoError:
        raise InputError(
            f"model {spec!r} is gated: ask for access on its page and log in with 'hf auth login'"
        ) from None
    except RevisionNotFoundError:
        raise InputError(f"model {spec!r}: {repo!r} has no revision {revision!r}") from None
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(
            f"model {spec!r}: no file or folder of that name here and no such model on the hub "
            f"(a private one needs 'hf auth login')"
        ) from None
    except Exception as error:
        # Which classes say "no network" depends on the HTTP library underneath.
        snapshot = _cached_snapshot(spec, repo, revision, type(error).__name__)
        return snapshot.name, True, frozenset(path.name for path in snapshot.iterdir())
    if not info.sha:
        raise WorkError(f"model {spec!r}: the hub named no commit for it")
    return info.sha, False, frozenset(file.rfilename for file in info.siblings or ())


def _cached_snapshot(spec: str, repo: str, revision: str | None, reason: str) -> Path:
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "adapter_config.json"):
        found = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(found, str):
            return Path(found).parent  # .../snapshots/<commit>
    raise WorkError(
        f"model {spec!r}: no file or folder of that name here, the hub cannot be reached "
        f"({reason}) and this machine's cache does not have it: connect, or fetch it before "
        f"(hf download {repo})"
    )


def hub_file(
    spec: str, repo: str, revision: str | None, commit: str, name: str, *, offline: bool
) -> Path:
    """A small file of a hub model, downloaded where the cache lacks it.

    It is asked for by the revision's name, which the cache then knows when there is no
    network; where that moved since the commit was told, by the commit.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    try:
        path = Path(hf_hub_download(repo, name, revision=revision, local_files_only=offline))
        if path.parent.name != commit:
            path = Path(hf_hub_download(repo, name, revision=commit, local_files_only=offline))
    except EntryNotFoundError:
        raise InputError(f"model {spec!r} has no {name} on the hub") from None
    except Exception as error:
        raise WorkError(
            f"model {spec!r}: its {name} cannot be downloaded ({type(error).__name__})"
        ) from None
    return path
