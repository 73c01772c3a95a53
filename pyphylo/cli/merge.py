"""``pyphylo merge``: is a model a merge of two others?."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pyphylo._terminal import shown
from pyphylo.cli._common import Outcome, positive, whole
from pyphylo.cli._f_options import add_f_options, candidates_of, f_table, records
from pyphylo.cli._model import finite
from pyphylo.cli._tables import aligned

if TYPE_CHECKING:
    from pyphylo.stats.merge import Merge

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="whether a model lies between two others, as a merge does",
        description="f3 of a model over all pairs of candidates, with errors from leaving out "
        "genes: does it lie between two of them, which, and at what share? Ends in 'merge', "
        "'partial return to the base', 'trained on between' (exact tables), 'none' or 'undecided'. "
        "'none' refutes nothing: a parent may be absent, or drift since may hide it.",
        epilog="example: pyphylo merge my-blend --store store --base base-model",
    )
    parser.add_argument(
        "--base", metavar="NAME", help="the model that the candidates were trained from"
    )
    parser.add_argument(
        "--pairs", type=positive, default=5, metavar="N", help="pairs to list (default 5)"
    )
    parser.add_argument(
        "--seed", type=whole, default=0, metavar="N", help="of the correction for many pairs"
    )
    add_f_options(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.stats.merge import find_merge

    table, name = f_table(args, args.base)
    found = find_merge(
        table,
        name,
        candidates=candidates_of(args),
        base=args.base,
        alpha=args.alpha,
        weighting=args.weighting,
        blocks=args.blocks,
        seed=args.seed,
        n_threads=args.threads,
    )
    return Outcome(_text(found, args.pairs), _data(found, args.pairs))


def _text(found: Merge, n_pairs: int) -> str:
    lines = [f"{found.outcome}: {found.reason}"]
    if found.parents is not None and found.weight is not None:
        weight = found.weight
        lines.append(
            f"share of {found.parents[0]}: {weight.estimate:.3f}, 95% limits {weight.lower:.3f} "
            f"to {weight.upper:.3f}"
        )
    if found.runner_up is not None:
        first, second = found.runner_up
        lines.append(
            f"hardest to tell apart: {first} and {second}, farther by {found.contrast:.4f} +- "
            f"{found.contrast_se:.4f} (p = {found.contrast_p:.2g})"
        )
    if found.geometric is not None:
        fit = found.geometric
        lines.append(
            f"divergence from mixtures, nats a gene: geometric {fit.residual:.4f}, arithmetic "
            f"{fit.arithmetic_residual:.4f}; from the nearer parent {fit.to_parents:.4f}"
        )
        lines.append(f"of its own: {fit.own:.2f} +- {fit.own_se:.2f} ({fit.kind})")
    lines = [shown(line, "") for line in lines]
    top = found.pairs.head(n_pairs)
    rows = [
        [f"{row.a} + {row.b}", f"{row.estimate:.5f}", f"{row.se:.5f}", f"{row.z:.2f}",
         f"{row.p_adjusted:.3g}", f"{row.distance:.5f}"]
        for row in top.itertuples()
    ]  # fmt: skip
    lines.append(f"{len(top)} of {len(found.pairs)} pairs, over {found.genes} genes:")
    lines.append(aligned(["pair", "f3", "se", "z", "p", "distance"], rows))
    return "\n".join(lines)


def _data(found: Merge, n_pairs: int) -> dict[str, Any]:
    weight, fit = found.weight, found.geometric
    return {
        "model": found.model,
        "outcome": found.outcome,
        "reason": found.reason,
        "parents": found.parents,
        "weight": None
        if weight is None
        else {key: finite(value) for key, value in weight._asdict().items()},
        "p": found.p,
        "runner_up": found.runner_up,
        "contrast": finite(found.contrast),
        "contrast_se": finite(found.contrast_se),
        "contrast_p": finite(found.contrast_p),
        "rivals": found.rivals,
        "geometric": None
        if fit is None
        else {
            **{key: finite(value) for key, value in asdict(fit).items()},
            "kind": fit.kind,
        },
        "genes": found.genes,
        "blocks": found.blocks,
        "pairs": records(found.pairs.head(n_pairs)),
    }
