"""The manifest of a store: what genome and configuration it is of, with a digest of itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pyphylo._formats import check_format_version
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
    check_format_version(f"manifest {str(where)!r}", manifest.get("version"), VERSIONS)
    # Manifests of before there were digests have four keys.
    digest = manifest.pop("digest", None)
    if set(manifest) != _KEYS or digest not in (None, _digest(manifest)):
        raise FileFormatError(
            f"{str(where)!r} is damaged ({BROKEN}): the command that made the store makes the same "
            "manifest.json in another folder; copy it here"
        )
    return manifest["genome"], _checked_config(manifest["sampling"], str(where))


def _checked_config(config: Any, where: str) -> dict[str, Any]:
    """The configuration in a manifest, which may be anyone's."""
    if not isinstance(config, dict) or not isinstance(config.get("mode"), str):
        raise FileFormatError(f"{where!r} says nothing of how the store was sampled")
    chars = config.get("chars")
    if chars is not None and (type(chars) is not int or chars < 1):
        raise FileFormatError(f"{where!r}: chars is {chars!r}, no number of characters")
    return config


def _digest(manifest: Mapping[str, Any]) -> str:
    return hashlib.sha256(json_bytes(manifest)).hexdigest()
