"""``pyphylo place``: one model into a tree that stays as it is."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyphylo._terminal import shown
from pyphylo.cli._common import Outcome, existing_parent, whole
from pyphylo.cli._model import (
    add_model_options,
    finite,
    model_name,
    rule_of,
    table_with_model,
)
from pyphylo.cli._tables import aligned
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.tree.placement import Candidate, Placement
    from pyphylo.tree.tree import Tree

__all__ = ["add_parser"]

_SHOWN = 5
"""Candidates that people are shown."""
_NAMED = 4
"""Names by which a branch is told."""


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="put one model into a tree that stays as it is",
        description="Put one model on the branch of a tree that fits its distances best, by "
        "weighted least squares. support is the share of bootstrap replicates over genes in which "
        "that branch is the best. The tree's tips must be models of the store.",
        epilog="example: pyphylo place checkpoints/final --store store --tree tree.nwk -o new.nwk",
    )
    parser.add_argument("--tree", required=True, metavar="FILE", help="Newick, with all lengths")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the tree with the model: .nwk .nex .xml"
    )
    parser.add_argument(
        "--weighting",
        choices=("fitch-margoliash", "ordinary"),
        default="fitch-margoliash",
        help="squares divided by squared distances (default), or plain",
    )
    parser.add_argument(
        "--replicates", type=whole, default=100, metavar="N", help="of the bootstrap; default 100"
    )
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="default 0")
    parser.add_argument(
        "--again",
        action="store_true",
        help="a MODEL that is a tip is taken out first, and its two places are compared",
    )
    add_model_options(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo._table_cache import cached_table
    from pyphylo.io.trees import check_tree_path
    from pyphylo.store import SampleStore
    from pyphylo.tree.placement import place, rows_of_tips
    from pyphylo.tree.tree import Tree

    target = None if args.output is None else existing_parent(args.output)
    store = SampleStore.open(args.store)
    given = Tree.read(args.tree)
    table = cached_table(store, rule_of(args))
    tree = _without(args, given, model_name(args.model, table))
    if target is not None:
        check_tree_path(target, [*tree.tips, model_name(args.model, table)])
    rows_of_tips(tree, table)
    table, name, sampled = table_with_model(args, store, table)
    placed = place(
        name,
        table,
        tree,
        weighting=args.weighting,
        estimator=args.estimator,
        n=args.replicates,
        seed=args.seed,
        n_threads=args.threads,
    )
    data: dict[str, Any] = {
        "model": name,
        "store": str(store.path),
        "sampled": sampled,
        "tree": None if target is None else str(target),
        "tips": placed.tree.n_tips,
        "clade": list(placed.clade),
        "clade_support": finite(placed.clade_support),
        "replicates": placed.n_replicates,
        "weighting": placed.weighting,
        "estimator": args.estimator,
        **_row(placed.best, placed.original),
        "candidates": [_row(candidate, placed.original) for candidate in placed.candidates],
    }
    if target is None:
        data["newick"] = placed.tree.newick()
    else:
        placed.tree.write(target)
    if tree is not given:
        data["as_before"] = placed.tree.robinson_foulds(given) == 0
    return Outcome(_text(placed, data), data)


def _without(args: argparse.Namespace, tree: Tree, name: str) -> Tree:
    """The tree that the model is placed in: without it, where it is to be placed again."""
    if name not in tree.tips:
        if args.again:
            raise InputError(f"--again: {name!r} is no tip of {args.tree!r}; leave it out")
        return tree
    if not args.again:
        raise InputError(
            f"{name!r} is a tip of {args.tree!r} already; --again takes it out, places it anew "
            "and compares"
        )
    others = [tip for tip in tree.tips if tip != name]
    if len(others) < 2:
        raise InputError(f"without {name!r} no branch is left in {args.tree!r} to place on")
    return tree.shear(others)


def _row(candidate: Candidate, tree: Tree) -> dict[str, Any]:
    return {
        "node": candidate.node,
        "tips_below": len(tree.tips_below(candidate.node)),
        "above": candidate.above,
        "pendant": candidate.pendant,
        "residual": candidate.residual,
        "ratio": candidate.ratio,
        "support": finite(candidate.support),
    }


def _text(placed: Placement, data: dict[str, Any]) -> str:
    best = placed.best
    lines = [
        f"{placed.model} hangs on the branch of {_side(placed.original, best.node)},",
        f"{best.above:.4g} up a branch of {placed.original.length[best.node]:.4g}, on a branch of "
        f"its own of {best.pendant:.4g}",
    ]
    if placed.n_replicates:
        lines.append(
            f"support {best.support:.2f} for this branch, {placed.clade_support:.2f} for it or one "
            f"inside the clade ({placed.n_replicates} replicates)"
        )
    if "as_before" in data:
        lines.append("where it was" if data["as_before"] else "not where it was")
    lines = [shown(line, "") for line in lines]
    rows = [
        [
            _side(placed.original, candidate.node),
            *(f"{getattr(candidate, key):.4g}" for key in _NUMBERS),
        ]
        for candidate in placed.candidates[:_SHOWN]
    ]
    lines += ["", aligned(["branch of", *_NUMBERS], rows)]
    if data["tree"] is not None:
        lines += ["", f"a tree of {placed.tree.n_tips} models in {data['tree']}"]
    return "\n".join(lines)


_NUMBERS = ("residual", "ratio", "support", "above", "pendant")


def _side(tree: Tree, node: int) -> str:
    """A branch, told by the side of it with fewer tips."""
    below = tree.tips_below(node)
    names = [tree.tips[tip] for tip in below]
    if 2 * len(names) > tree.n_tips:
        inside = set(names)
        names = [tip for tip in tree.tips if tip not in inside]
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
    return ", ".join(names)
