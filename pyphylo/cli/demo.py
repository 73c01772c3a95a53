"""``pyphylo demo``: the main job on models made here, against a tree that is known."""

from __future__ import annotations

import argparse
import sys
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import Outcome, add_json, add_threads, file_lines, whole

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="the main job, on a small family of models made here",
        description="Train a family of small language models on text that comes with Python, along "
        "a known tree; sample them, and draw the tree that their answers give beside the true "
        "one. No download; some minutes on two cores. Run again, it goes on where it was stopped.",
        epilog="example: pyphylo demo --out demo",
    )
    parser.add_argument("--out", default="pyphylo-demo", metavar="DIR", help="default pyphylo-demo")
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="default 0")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.demo import breed, recovered_clades
    from pyphylo.run import begin_run, check_run_folder, run

    out = check_run_folder(args.out)
    if not (out / "run.json").exists():
        begin_run(out)
    if not sys.stderr.isatty():
        # Where no bar is shown, minutes pass without a word.
        print("pyphylo: training and sampling small models, some three minutes", file=sys.stderr)
    family = breed(out, seed=args.seed)
    result = run(
        {name: str(folder) for name, folder in family.models.items()},
        out,
        family.genome,
        families=family.families,
        n_threads=args.threads,
        seed=args.seed,
        device="cpu",
    )
    n_found, n_true = recovered_clades(family.tree, result.tree)
    files = [out / "models", out / "true.nwk", out / "metadata.csv", *result.files]
    data = {
        "out": args.out,
        "clades_found": n_found,
        "clades_true": n_true,
        "true_tree": family.tree.newick(),
        "tree": result.tree.newick(),
        "files": [str(path) for path in files],
    }
    text = (
        f"{_side_by_side(family.tree, result.tree)}\n\n"
        f"{n_found} of {n_true} true clades found, from {len(family.genome)} prompts with "
        f"{result.store.config['n_probes']} completions each.\n\n{file_lines(files)}"
    )
    return Outcome(text, data)


def _side_by_side(true: Tree, found: Tree) -> str:
    """Both trees drawn in characters."""
    from pyphylo.tree.ascii import draw_ascii

    left = ["the true tree", "", *draw_ascii(true.ladderize(), 16).split("\n")]
    rooted = found.root_at("midpoint").ladderize()
    right = ["the tree found from what the models say", "", *draw_ascii(rooted, 24).split("\n")]
    width = max(map(len, left)) + 4
    pairs = zip_longest(left, right, fillvalue="")
    return "\n".join(f"{a:{width}}{b}".rstrip() for a, b in pairs)
