"""The manifest of a store: what genome and configuration it is of, with a digest of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyphylo._populations import format_version
from pyphylo._shard_files import FORMAT, VERSIONS, json_bytes
from pyphylo._shard_seal import BROKEN
from pyphylo.errors import FileFormatError

__all__ = ["manifest_bytes", "read_manifest"]

_KEYS = {"format", "version", "genome", "sampling"}


def manifest_bytes(genome: str, config: Mapping[str, Any]) -> bytes:
    """The manifest of a genome's digest and a configuration."""
    manifest = {
        "format": FORMAT,
        "version": format_version(config),
        "genome": genome,
        "sampling": dict(config),
    }
    return json_bytes(manifest | {"digest": _digest(manifest)})


def read_manifest(data: bytes, where: Path | str) -> tuple[str, dict[str, Any]]:
    """The genome's digest and the configuration.

    Raises
    ------
    FileFormatError
        When it is no manifest, of a version to come, or damaged.
    """
    try:
        manifest = json.loads(data)
    except (ValueError, RecursionError):
        manifest = None
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise FileFormatError(f"{str(where)!r} is not the manifest of a pyphylo store")
    if manifest.get("version") not in VERSIONS:
        raise FileFormatError(
            f"{str(where)!r}: the store has version {manifest.get('version')!r}; this pyphylo "
            f"reads versions {' and '.join(map(str, VERSIONS))}"
        )
    # Manifests of before there were digests have four keys.
    digest = manifest.pop("digest", None)
    if set(manifest) != _KEYS or digest not in (None, _digest(manifest)):
        raise FileFormatError(
            f"{str(where)!r} is damaged ({BROKEN}): the command that made the store makes the same "
            "manifest.json in another folder; copy it here"
        )
    return manifest["genome"], manifest["sampling"]


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json_bytes(manifest)).hexdigest()
