"""``pyphylo info``: build, instruction set, threads, versions."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata
from typing import Any

from pyphylo.cli._common import Outcome, add_json

__all__ = ["add_parser"]

_LIBRARIES = [
    "numpy",
    "scipy",
    "numba",
    "pyarrow",
    "pandas",
    "matplotlib",
    "scikit-learn",
    "torch",
    "transformers",
    "gguf",
    "scikit-bio",
    "biopython",
    "networkx",
]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help="build, instruction set, threads, versions"
    )
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo import _core
    from pyphylo._memory import available_bytes, human_bytes
    from pyphylo._version import __version__

    memory = available_bytes()
    detected = _core.detected_instruction_sets()
    versions = {library: _version(library) for library in _LIBRARIES}
    data: dict[str, Any] = {
        "pyphylo": __version__,
        "core": _core.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "isa": _core.kernel_instruction_set(),
        "isa_detected": detected,
        "threads": _core.available_threads(),
        "memory_available": memory,
        "libraries": versions,
    }
    shown = {
        "pyphylo": f"{data['pyphylo']} (core {data['core']})",
        "python": f"{data['python']}, {data['system']}",
        "kernels": data["isa"],
        "processor": ", ".join(detected) or "unknown",
        "threads": data["threads"],
        "memory": "unknown" if memory is None else f"{human_bytes(memory)} available",
        **{library: version or "not installed" for library, version in versions.items()},
    }
    width = max(map(len, shown))
    return Outcome("\n".join(f"{key:{width}}  {value}" for key, value in shown.items()), data)


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
