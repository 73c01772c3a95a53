"""``pyphylo info``: build, instruction set, threads, versions; a table's similarity plan."""

from __future__ import annotations

import argparse
import platform
from importlib import metadata
from typing import Any

from pyphylo.cli._common import Outcome, add_json, add_threads, positive
from pyphylo.cli._plan import plan_lines, plan_of, table_at

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
    "fsspec",
    "scikit-bio",
    "biopython",
    "networkx",
]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="build, instruction set, threads, versions",
        description="Build, instruction set, threads, versions. With STORE also how its models "
        "would be compared, what that costs and the memory it takes.",
        epilog="examples:\n  pyphylo info\n  pyphylo info store",
    )
    parser.add_argument(
        "store", nargs="?", metavar="STORE", help="a store, or the file of an allele table"
    )
    parser.add_argument("--preset", choices=("paper", "colab"), default="paper", help="allele rule")
    parser.add_argument("--chars", type=positive, default=4, metavar="N", help="allele length")
    add_threads(parser)
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
    text = _aligned(shown)
    if args.store is not None:
        from pyphylo.alleles import AlleleRule

        table = table_at(args.store, AlleleRule(args.preset, chars=args.chars))
        data["similarity"] = plan_of(table, args.threads)
        text += f"\n\nsimilarity of {args.store}\n" + _aligned(plan_lines(data["similarity"]))
    return Outcome(text, data)


def _aligned(lines: dict[str, Any]) -> str:
    width = max(map(len, lines))
    return "\n".join(f"{key:{width}}  {value}" for key, value in lines.items())


def _version(library: str) -> str | None:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:
        return None
