"""Options of ``pyphylo tree`` that say how well its branches hold."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import positive, whole
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable
    from pyphylo.distance import DistanceMatrix
    from pyphylo.tree.tree import Tree

__all__ = ["add_support_options", "strong_branches", "support_table", "supported"]

_STRONG = (0.95, 0.7)
"""Supports from which branches are counted: those that pictures tell apart."""


def add_support_options(parser: argparse.ArgumentParser) -> None:
    """How branches are supported."""
    group = parser.add_argument_group("support of branches")
    group.add_argument("--bootstrap", type=positive, metavar="N", help="replicates; needs --store")
    group.add_argument(
        "--store", metavar="STORE", help="where DIST came from: a store, or an allele table's file"
    )
    group.add_argument(
        "--support",
        choices=("felsenstein", "transfer"),
        help="share of replicates with the branch (default), or how near they come to it",
    )
    group.add_argument("--seed", type=whole, metavar="N", help="default 0")
    group.add_argument(
        "--estimator", choices=("plugin", "unbiased"), help="default: that of DIST, else plugin"
    )


def support_table(args: argparse.Namespace, distances: DistanceMatrix) -> AlleleTable | None:
    """The table whose genes are to be resampled; refused where DIST was made of another."""
    if args.bootstrap is None:
        for option in ("store", "support", "seed", "estimator"):
            if getattr(args, option) is not None:
                raise InputError(f"--{option} is of use with --bootstrap N only")
        return None
    if args.store is None:
        raise InputError(f"--bootstrap {args.bootstrap} resamples genes: it needs --store STORE")
    from pyphylo.alleles import AlleleRule
    from pyphylo.cli._plan import table_at

    origin = distances.provenance
    if origin.get("index", "nei") != "nei":
        raise InputError(
            f"{args.matrix!r} holds distances of index {origin['index']!r}; the bootstrap is of "
            "Nei's distance: make them with --index nei"
        )
    rule = AlleleRule(**origin["rule"]) if "rule" in origin else AlleleRule()
    table = table_at(args.store, rule)
    for what in ("genome", "rule"):
        made, found = origin.get(what), table.provenance.get(what)
        if made is not None and found is not None and made != found:
            raise InputError(
                f"{args.matrix!r} was made with {what} {made!r}, but {args.store!r} has {found!r}"
            )
    known = set(table.models)
    missing = [name for name in distances.ids if name not in known]
    if missing:
        raise InputError(
            f"store {args.store!r} lacks {len(missing)} of the {len(distances)} models of "
            f"{args.matrix!r}, such as {missing[0]!r}"
        )
    return table


def supported(args: argparse.Namespace, tree: Tree, table: AlleleTable, origin: Any) -> Tree:
    """The tree with its supports; `origin` is the provenance of the distances."""
    from pyphylo.tree.support import bootstrap_support

    return bootstrap_support(
        table,
        tree,
        n=args.bootstrap,
        seed=args.seed or 0,
        method=args.method,
        kind=args.support or "felsenstein",
        estimator=args.estimator or origin.get("estimator", "plugin"),
        floor=origin.get("floor", 1e-10),
        n_threads=args.threads,
    )


def strong_branches(args: argparse.Namespace, tree: Tree) -> tuple[str, dict[str, Any]]:
    """How many branches are strong, in words and for programs; nothing without --bootstrap."""
    if args.bootstrap is None:
        return "", {}
    import numpy as np

    support = tree.support[~np.isnan(tree.support)]
    strong = {f"{least:g}": int((support >= least).sum()) for least in _STRONG}
    data = {
        "replicates": args.bootstrap,
        "support": args.support or "felsenstein",
        "seed": args.seed or 0,
        "branches": len(support),
        "strong": strong,
    }
    counts = " and ".join(f"{count} at least {least}" for least, count in strong.items())
    return f", support of {len(support)} inner branches: {counts}", {"bootstrap": data}
