"""What subcommands share: outcome, and the options that several have."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pyphylo.genome import Genome

from pyphylo._names import did_you_mean
from pyphylo._terminal import json_shown, shown
from pyphylo.cli._server import SERVER_BACKEND, add_server_options, server_options
from pyphylo.cli._vllm import add_vllm_options, vllm_options
from pyphylo.errors import FileFormatError, InputError

__all__ = [
    "Outcome",
    "add_backend_options",
    "add_json",
    "add_sampling_options",
    "add_threads",
    "backend_options",
    "candidate_names",
    "check_outputs",
    "existing_parent",
    "file_lines",
    "genome_at",
    "positive",
    "sampling_options",
    "whole",
]


@dataclass(frozen=True)
class Outcome:
    """What a command has to say: text for people, an object for programs."""

    text: str
    data: dict[str, Any] = field(default_factory=dict)
    streamed: bool = False
    """Whether the command has written its objects for programs already."""

    def print(self, *, as_json: bool) -> None:
        """Write one of the two to stdout."""
        if as_json and self.streamed:
            return
        if as_json:
            print(json_shown(json.dumps(self.data, ensure_ascii=False)))
        elif self.text:
            # A name may hold what this terminal's encoding cannot: show an escape for it.
            import sys

            encoding = sys.stdout.encoding or "utf-8"
            text = shown(self.text)
            print(text.encode(encoding, "backslashreplace").decode(encoding))


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
    group.add_argument("--genome", metavar="G", help="JSON lines, math (default) or code")
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
    group.add_argument(
        "--chat",
        choices=("none", "template"),
        default="none",
        help="none (default): prompts as they are; template: as a user's message in the model's "
        "own chat template",
    )
    add_backend_options(group)


def add_backend_options(group: Any) -> None:
    """What loads a model, and how; no part of a store's configuration."""
    group.add_argument("--backend", default="hf", metavar="NAME", help="hf (default), vllm, openai")
    group.add_argument(
        "--device",
        default="auto",
        metavar="D",
        help="auto (default), cpu, cuda, cuda:1, mps; spread: a model too large for one GPU, over "
        "all of them, then the CPU's memory",
    )
    group.add_argument("--dtype", default="auto", metavar="T", help="auto, float32, bfloat16 …")
    bos = group.add_mutually_exclusive_group()
    bos.add_argument(
        "--bos", dest="add_bos", action="store_true", default=None, help="put BOS first"
    )
    bos.add_argument("--no-bos", dest="add_bos", action="store_false", help="never put BOS first")
    group.add_argument(
        "--trust-remote-code", action="store_true", help="run code that comes with a model"
    )
    group.add_argument(
        "--legacy-weights",
        action="store_true",
        help="read pytorch_model.bin, a pickle, with torch's weights-only reader",
    )
    add_vllm_options(group)
    add_server_options(group)


def backend_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `pyphylo.sample` takes, from the options of `add_backend_options`.

    Raises
    ------
    InputError
        When an option is of another backend.
    """
    served, split = server_options(args), vllm_options(args)
    if args.backend == SERVER_BACKEND:
        weights = {
            "--device": args.device != "auto",
            "--dtype": args.dtype != "auto",
            "--bos": args.add_bos is True,
            "--no-bos": args.add_bos is False,
            "--trust-remote-code": args.trust_remote_code,
            "--legacy-weights": args.legacy_weights,
        }
        for flag in (flag for flag, given in weights.items() if given):
            raise InputError(f"{flag} is the server's affair under --backend {args.backend}")
        return {"backend": args.backend, **served}
    return {
        "backend": args.backend,
        "device": args.device,
        "dtype": args.dtype,
        "add_bos": args.add_bos,
        "trust_remote_code": args.trust_remote_code,
        **({"legacy_weights": True} if args.legacy_weights else {}),
        **split,
    }


def sampling_options(args: argparse.Namespace) -> dict[str, Any]:
    """What `pyphylo.sample` takes, from the parsed options."""
    from pyphylo.genome import Genome

    genome = Genome.default() if args.genome is None else genome_at(args.genome)
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
        "chat": args.chat,
        **backend_options(args),
    }


def genome_at(text: str) -> Genome:
    """The genome in a file, or the one of that name that ships with pyphylo."""
    from pyphylo.genome import Genome, built_in_genomes

    known = built_in_genomes()
    if text in known and not Path(text).exists():
        return Genome.built_in(text)
    if (hint := did_you_mean(text, known)) and not Path(text).exists():
        raise InputError(f"there is no genome file {text!r}, nor one of that name in pyphylo{hint}")
    return Genome.load(text)


def existing_parent(path: str) -> Path:
    """A path to be written, refused now if it could not be later."""
    from pyphylo._files import check_target

    check_target(path)
    return Path(path)


def check_outputs(outputs: Iterable[Path], inputs: Iterable[str]) -> None:
    """Refuse files of which one would take the place of another, or of what is read."""
    import os

    from pyphylo.errors import InputError

    named = {os.path.realpath(path): path for path in inputs}
    for output in outputs:
        place = os.path.realpath(output)
        if place in named:
            raise InputError(
                f"cannot write {str(output)!r}: it would take the place of {str(named[place])!r}"
            )
        named[place] = str(output)


def file_lines(paths: Iterable[Path]) -> str:
    """Written files, one a line."""
    return "\n".join(f"  {path}" for path in paths)


def candidate_names(path: str) -> list[str]:
    """The names in a file, one a line; lines that are empty are none."""
    from pyphylo._files import read_bytes

    try:
        text = read_bytes(path, "candidates").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path!r} is not UTF-8 text: {error}") from None
    names = [line for line in text.replace("\r\n", "\n").split("\n") if line.strip()]
    if not names:
        raise FileFormatError(f"{path!r} names no candidate: write one a line")
    return list(dict.fromkeys(names))
