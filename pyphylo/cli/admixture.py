"""``pyphylo admixture``: a tree with mixtures, fitted to f2."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo._terminal import shown
from pyphylo.cli._common import (
    Outcome,
    add_json,
    add_threads,
    candidate_names,
    check_outputs,
    existing_parent,
    file_lines,
    positive,
    whole,
)
from pyphylo.cli._f_options import records
from pyphylo.cli._model import finite, rule_of
from pyphylo.cli._tables import aligned

if TYPE_CHECKING:
    from pyphylo.stats._admixture_graph import AdmixtureEdge, AdmixtureGraph

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="the tree of some models, and which of them descend from two places in it",
        description="An admixture graph of 5 to 60 models: a tree, and up to three edges that make "
        "a model, or a clade, a mixture of two places. Each edge is tested on genes that did "
        "not choose it; where none passes, the outcome is 'no edge supported'. The graph is "
        "written as extended Newick, and beside it as .dot, .svg and .png.",
        epilog="example: pyphylo admixture --store store --base base-model -o graph.nwk",
    )
    parser.add_argument("--store", required=True, metavar="STORE", help="or an allele table's file")
    parser.add_argument(
        "--models", metavar="TXT", help="models, one a line (default: the tree's, or all)"
    )
    parser.add_argument("--tree", metavar="FILE", help="default: neighbor joining of f2")
    parser.add_argument("--base", metavar="NAME", help="the model that the others were made from")
    parser.add_argument("--edges", type=whole, default=3, metavar="N", help="0 to 3 (default)")
    parser.add_argument("--alpha", type=float, default=0.05, metavar="A", help="default 0.05")
    parser.add_argument(
        "--weighting",
        choices=("base", "plain", "pooled", "root"),
        help="of alleles: by 1 / (p + 0.01) in the base (default where there is one), or plain; "
        "the others' f2 do not add up along a tree, which finds edges where there are none",
    )
    parser.add_argument(
        "--blocks", type=positive, metavar="N", help="of genes (default: one a gene, at most 128)"
    )
    parser.add_argument(
        "--residuals", type=whole, default=3, metavar="N", help="worst f2 to list (default 3)"
    )
    parser.add_argument("-o", "--output", metavar="NWK", help="the graph; pictures beside it")
    parser.add_argument("--no-pictures", action="store_true", help="write the graph alone")
    parser.add_argument("--preset", choices=("paper", "colab"), default="paper", help="allele rule")
    parser.add_argument("--chars", type=positive, default=4, metavar="N", help="allele length")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.cli._plan import table_at
    from pyphylo.stats.admixture import fit_admixture
    from pyphylo.tree.tree import Tree

    targets = _targets(args)
    inputs = [path for path in (args.store, args.tree, args.models) if path is not None]
    check_outputs(targets, inputs)
    tree = None if args.tree is None else Tree.read(args.tree)
    models = None if args.models is None else candidate_names(args.models)
    found = fit_admixture(
        table_at(args.store, rule_of(args)),
        tree,
        models=models,
        base=args.base,
        edges=args.edges,
        alpha=args.alpha,
        weighting=args.weighting,
        blocks=args.blocks,
        n_threads=args.threads,
    )
    text, data = _text(found, args.residuals), _data(found, args.residuals)
    if targets:
        _write(found, targets)
        data["files"] = [str(path) for path in targets]
        text += f"\n{file_lines(targets)}"
    return Outcome(text, data)


def _targets(args: argparse.Namespace) -> list[Path]:
    """The files to be written: the graph, then Graphviz's text and pictures."""
    if args.output is None:
        return []
    target = existing_parent(args.output)
    pictures = [] if args.no_pictures else ["svg", "png"]
    return [target, *(target.with_suffix(f".{name}") for name in ("dot", *pictures))]


def _write(found: AdmixtureGraph, targets: list[Path]) -> None:
    from pyphylo._files import atomic_write_bytes

    atomic_write_bytes(targets[0], f"{found.newick()}\n".encode())
    atomic_write_bytes(targets[1], f"{found.to_dot()}\n".encode())
    if len(targets) > 2:
        from pyphylo.plot import admixture_figure, save_figure

        save_figure(admixture_figure(found), targets[0].with_suffix(""))


def _text(found: AdmixtureGraph, n_residuals: int) -> str:
    steps = found.steps
    lines = [f"{found.outcome}: {found.reason}"]
    for edge in found.edges:
        share = edge.weight
        lines.append(
            f"{', '.join(edge.target)}: share of the place near {edge.sources[0]} "
            f"{share.estimate:.3f}, 95% limits {share.lower:.3f} to {share.upper:.3f}; the rest is "
            f"from near {edge.sources[1]}; f2 of the two places {edge.apart:.4f}, drift since "
            f"{edge.since:.4f}"
        )
        lines.extend(
            f"  or as well {', '.join(rival.target)}, from near {rival.sources[0]} and "
            f"{rival.sources[1]} (p = {rival.p:.2g})"
            for rival in edge.rivals
        )
    rows = [
        [str(row[0]), f"{row[1]:.1f}", "" if row[0] == 0 else f"{row[3]:.2g}",
         "yes" if row[2] else "no", row[4]]
        for row in zip(*(steps[name].tolist() for name in
                         ("edges", "score", "kept", "p", "target")), strict=True)
    ]  # fmt: skip
    lines = [shown(line, "") for line in lines]
    lines.append(aligned(["edges", "score", "p", "kept", "mixture"], rows))
    worst = found.worst
    models = shown(", ".join(worst.models), "")
    lines.append(
        f"worst of {found.n_residuals} f3 and f4: {worst.statistic}({models}) "
        f"{worst.observed:.4f}, fitted {worst.fitted:.4f}, z = {worst.z:.1f}"
    )
    largest = found.residuals.head(n_residuals)
    if len(largest):
        rows = [
            [f"{row.a} + {row.b}", f"{row.observed:.4f}", f"{row.fitted:.4f}", f"{row.z:.1f}"]
            for row in largest.itertuples()
        ]
        lines.append(aligned(["pair", "f2", "fitted", "z"], rows))
    return "\n".join(lines)


def _data(found: AdmixtureGraph, n_residuals: int) -> dict[str, Any]:
    return {
        "outcome": found.outcome,
        "reason": found.reason,
        "models": list(found.models),
        "base": found.base,
        "edges": [_edge(edge) for edge in found.edges],
        "steps": records(found.steps),
        "branches": records(found.branches),
        "nodes": records(found.nodes),
        "worst": found.worst._asdict(),
        "worst_of_tree": found.worst_of_tree._asdict(),
        "residuals": records(found.residuals.head(n_residuals)),
        "score": found.score,
        "newick": found.newick(),
        "genes": found.genes,
        "blocks": found.blocks,
    }


def _edge(edge: AdmixtureEdge) -> dict[str, Any]:
    return {
        "node": edge.node,
        "parents": edge.parents,
        "target": edge.target,
        "sources": edge.sources,
        "clades": edge.clades,
        "weight": {key: finite(value) for key, value in edge.weight._asdict().items()},
        "apart": edge.apart,
        "since": edge.since,
        "p": edge.p,
        "z": edge.z,
        "rivals": [rival._asdict() for rival in edge.rivals],
    }
