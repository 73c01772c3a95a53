"""``pyphylo genes``: build and show genomes."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from pyphylo.cli._common import Outcome, add_json, existing_parent, positive, whole
from pyphylo.errors import FileFormatError

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help="build and show genomes")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)

    build = actions.add_parser(
        "build",
        help="cut prompts out of texts",
        description="Cut prompts out of texts: a .jsonl file (or .jsonl.gz) holds one text a line, "
        "any other file one text a paragraph.",
        epilog="example: pyphylo genes build notes.txt more.jsonl --field text -o genome.jsonl",
    )
    build.add_argument("texts", nargs="+", metavar="FILE")
    build.add_argument("-o", "--output", required=True, metavar="GENOME", help="JSON lines")
    build.add_argument("-n", type=positive, default=128, metavar="N", help="genes, default 128")
    build.add_argument(
        "--length",
        nargs=2,
        type=positive,
        default=(20, 100),
        metavar=("LOW", "HIGH"),
        help="characters: at least LOW, less than HIGH; default 20 100",
    )
    build.add_argument("--field", default="text", metavar="KEY", help="of JSON lines, default text")
    build.add_argument("--seed", type=whole, default=0, metavar="N", help="default 0")
    add_json(build)
    build.set_defaults(run=_build)

    show = actions.add_parser("show", help="print a genome")
    show.add_argument("genome", nargs="?", metavar="GENOME", help="default: mathematics")
    add_json(show)
    show.set_defaults(run=_show)


def _build(args: argparse.Namespace) -> Outcome:
    from pyphylo.genome import Genome

    target = existing_parent(args.output)
    texts = (text for path in args.texts for text in _texts(path, args.field))
    genome = Genome.from_texts(texts, n=args.n, length=tuple(args.length), seed=args.seed)
    genome.save(target)
    data = {"genome": str(target), "genes": len(genome), "digest": genome.digest}
    return Outcome(f"{len(genome)} genes, digest {genome.digest[:12]}, in {target}", data)


def _show(args: argparse.Namespace) -> Outcome:
    from pyphylo.genome import Genome

    genome = Genome.default() if args.genome is None else Genome.load(args.genome)
    width = max(map(len, genome.genes))
    lines = [f"{gene:{width}}  {prompt!r}" for gene, prompt in genome]
    data = {
        "digest": genome.digest,
        "genes": [{"gene": gene, "prompt": prompt} for gene, prompt in genome],
    }
    return Outcome("\n".join([*lines, f"{len(genome)} genes, digest {genome.digest}"]), data)


def _texts(path: str, field: str) -> Iterator[str]:
    from pyphylo._files import read_bytes
    from pyphylo.io.completions import json_lines

    if path.endswith((".jsonl", ".jsonl.gz")):
        for number, row in json_lines(path):
            if not isinstance(row.get(field), str):
                raise FileFormatError(
                    f"{path!r}, line {number}: no text under key {field!r} (choose with --field)"
                )
            yield row[field]
        return
    try:
        text = read_bytes(path, "text").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{path!r} is not UTF-8 text: {error}") from None
    for paragraph in text.replace("\r\n", "\n").split("\n\n"):
        if paragraph.strip():
            yield paragraph.strip()
