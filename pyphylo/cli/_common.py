"""What subcommands share: outcome, and the options that several have."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

__all__ = [
    "Outcome",
    "add_backend_options",
    "add_json",
    "add_sampling_options",
    "add_threads",
    "backend_options",
    "existing_parent",
    "file_lines",
    "positive",
    "sampling_options",
    "whole",
]


@dataclass(frozen=True)
class Outcome:
    """What a command has to say: text for people, an object for programs."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)

    def print(self, *, as_json: bool) -> None:
        """Write one of the two to stdout."""
        if as_json:
            print(json.dumps(self.data, ensure_ascii=False))
        elif self.text:
            # A name may hold what this terminal's encoding cannot: show an escape for it.
            import sys

            encoding = sys.stdout.encoding or "utf-8"
            print(self.text.encode(encoding, "backslashreplace").decode(encoding))


def whole(text: str) -> int:
    """Argument type: a whole number of at least 0."""
    return _number(text, 0)


def positive(text: str) -> int:
    """Argument type: a whole number of at least 1."""
    return _number(text, 1)


def _number(text: str, least: int) -> int:
    value = int(text)
    if not least <= value < 2**31:
        raise argparse.ArgumentTypeError(f"{text} is not in {least}..{2**31 - 1}")
    return value


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option every command has."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def add_threads(parser: argparse.ArgumentParser) -> None:
    """The option of every command that computes in parallel."""
    parser.add_argument(
        "--threads", type=whole, default=0, metavar="N", help="0 (default): all there are"
    )


def add_sampling_options(parser: argparse.ArgumentParser) -> None:
    """How populations are sampled."""
    group = parser.add_argument_group("sampling")
    group.add_argument("--genome", metavar="G", help="prompts, JSON lines (default: mathematics)")
    group.add_argument("--genes", type=positive, metavar="N", help="only the first N genes")
    group.add_argument("--probes", type=positive, default=32, metavar="N", help="default 32")
    group.add_argument(
        "--mode",
        choices=("sample", "exact", "hybrid"),
        default="sample",
        help="draw completions (default); work out the alleles' probabilities from logits; or "
        "work out what a few tokens decide, and draw the rest",
    )
    group.add_argument(
        "--min-mass",
        type=float,
        metavar="P",
        help="exact and hybrid: least probability that is looked into (default 1e-4, 1e-3)",
    )
    group.add_argument(
        "--max-nodes",
        type=whole,
        metavar="N",
        help="exact and hybrid: the heaviest starts of a gene that are looked into "
        "(default 256, 16)",
    )
    group.add_argument("--seed", type=whole, default=0, metavar="N", help="default 0")
    group.add_argument("--temperature", type=float, default=1.0, metavar="T", help="default 1.0")
    group.add_argument("--chars", type=positive, default=4, metavar="N", help="default 4")
    group.add_argument("--max-new-tokens", type=positive, default=5, metavar="N", help="default 5")
    add_backend_options(group)


def add_backend_options(group: Any) -> None:
    """What loads a model, and how; no part of a store's configuration."""
    group.add_argument("--backend", default="hf", metavar="NAME", help="default hf")
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu, cuda, cuda:1, mps")
    group.add_argument("--dtype", default="auto", metavar="T", help="auto, float32, bfloat16 …")
    bos = group.add_mutually_exclusive_group()
    bos.add_argument(
        "--bos", dest="add_bos", action="store_true", default=None, help="put BOS first"
    )
    bos.add_argument("--no-bos", dest="add_bos", action="store_false", help="never put BOS first")
    group.add_argument(
        "--trust-remote-code", action="store_true", help="run code that comes with a model"
    )


def backend_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `pyphylo.sample` takes, from the options of `add_backend_options`."""
    return {
        "backend": args.backend,
        "device": args.device,
        "dtype": args.dtype,
        "add_bos": args.add_bos,
        "trust_remote_code": args.trust_remote_code,
    }


def sampling_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `pyphylo.sample` takes, from the parsed options."""
    from pyphylo.genome import Genome

    genome = Genome.default() if args.genome is None else Genome.load(args.genome)
    return {
        "genome": genome if args.genes is None else genome.head(args.genes),
        "n_probes": args.probes,
        "mode": args.mode,
        "min_mass": args.min_mass,
        "max_nodes": args.max_nodes,
        "seed": args.seed,
        "temperature": args.temperature,
        "chars": args.chars,
        "max_new_tokens": args.max_new_tokens,
        **backend_options(args),
    }


def existing_parent(path: str) -> Path:
    """A path to be written, refused now if it could not be later."""
    from pyphylo._files import check_target

    check_target(path)
    return Path(path)


def file_lines(paths: Iterable[Path]) -> str:
    """Written files, one a line."""
    return "\n".join(f"  {path}" for path in paths)
