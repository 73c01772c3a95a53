"""The next model's files, fetched and read while this one runs.

Weights are not built here: loading them changes process-wide settings of torch under the
model that runs. What takes the time is the network and the disk, and a file that was just
read is in the system's memory when the weights are built from it. Nothing depends on it: what
fails here fails again, with its reason, when the model is loaded.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path

from pyphylo._memory import available_bytes
from pyphylo.sampling._adapter import adapter_folder
from pyphylo.sampling._locate import WEIGHT_FILES, ModelLocation
from pyphylo.sampling.base import Sampler

__all__ = ["read_model_files", "reading_ahead"]

_CHUNK = 1 << 24
_MEMORY_SHARE = 0.5  # of what is free: the model that runs may want more


@contextlib.contextmanager
def reading_ahead(sampler: Sampler | None) -> Iterator[None]:
    """Let a sampler that has `read_ahead` do so while the body runs."""
    read = getattr(sampler, "read_ahead", None)
    if read is None:
        yield
        return
    stop = threading.Event()

    def work() -> None:
        with contextlib.suppress(Exception):
            read(stop)

    # Not waited for: a download under way goes on, and whoever loads the model waits for it.
    threading.Thread(target=work, name="pyphylo-read-ahead", daemon=True).start()
    try:
        yield
    finally:
        stop.set()


def read_model_files(location: ModelLocation, stop: threading.Event) -> int:
    """Download what is missing, then read the weights once, as far as memory allows.

    Parameters
    ----------
    location : ModelLocation
    stop : threading.Event
        Set when it is of no more use: looked at between files and pieces of them.

    Returns
    -------
    int
        Bytes read; 0 where they would fill more than half of the free memory.
    """
    if location.adapter is not None and location.adapter.commit is not None:
        adapter_folder(location.revision, location.adapter)
    paths = []
    for path in _weight_paths(location):
        if stop.is_set():
            return 0
        paths.append(path)
    free = available_bytes()
    if free is None or sum(path.stat().st_size for path in paths) > _MEMORY_SHARE * free:
        return 0
    return sum(_read(path, stop) for path in paths)


def _weight_paths(location: ModelLocation) -> Iterator[Path]:
    """The files that the weights are loaded from, each downloaded when it is asked for."""
    if location.gguf_file is not None:
        yield Path(location.source) / location.gguf_file
        return
    names = location.files if location.commit else [p.name for p in Path(location.source).iterdir()]
    first = next((name for name in WEIGHT_FILES if name in names), None)
    if first is None:
        return
    path = _local(location, first)
    if not first.endswith(".index.json"):
        yield path
        return
    for shard in sorted(set(json.loads(path.read_bytes())["weight_map"].values())):
        yield _local(location, shard)


def _local(location: ModelLocation, name: str) -> Path:
    if location.commit is None:
        return Path(location.source) / name
    from huggingface_hub import hf_hub_download

    return Path(
        hf_hub_download(
            location.source, name, revision=location.commit, local_files_only=location.offline
        )
    )


def _read(path: Path, stop: threading.Event) -> int:
    done = 0
    with path.open("rb", buffering=0) as handle:
        while not stop.is_set() and (piece := handle.read(_CHUNK)):
            done += len(piece)
    return done
