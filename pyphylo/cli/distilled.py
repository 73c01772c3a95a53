"""``pyphylo distilled``: which candidate a student shares most drift with."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyphylo._terminal import shown
from pyphylo.cli._common import Outcome
from pyphylo.cli._f_options import add_f_options, candidates_of, f_table, records
from pyphylo.cli._model import finite
from pyphylo.cli._tables import aligned

if TYPE_CHECKING:
    from pyphylo.stats.distilled import SharedDrift

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="which candidate a model shares most drift with",
        description="Drift is a direction away from the base. For every candidate: the drift that "
        "the student shares with it, the cosine of the two directions, and how much less it "
        "shares with it than with the leading one (f4), and how much less like its direction the "
        "student's is, corrected for the number of candidates; a leader is named where both are "
        "clear. "
        "Shared drift is no proof of distillation: like texts give it too.",
        epilog="example: pyphylo distilled student --store store --base base-model",
    )
    parser.add_argument(
        "--base", required=True, metavar="NAME", help="the model that the student was trained from"
    )
    parser.add_argument(
        "--control",
        choices=("holm", "bh"),
        default="holm",
        help="correct for many candidates: any error at all (default), or the share of errors",
    )
    add_f_options(parser, metavar="STUDENT")
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.stats.distilled import find_teacher

    table, name = f_table(args, args.base)
    found = find_teacher(
        table,
        name,
        args.base,
        candidates=candidates_of(args),
        alpha=args.alpha,
        control=args.control,
        weighting=args.weighting,
        blocks=args.blocks,
        n_threads=args.threads,
    )
    return Outcome(_text(found), _data(found))


def _text(found: SharedDrift) -> str:
    less = {row.model: row for row in found.contrasts.itertuples()}
    rows = []
    for row in found.candidates.itertuples():
        contrast = less.get(row.model)
        told = ["", "", "", ""]
        if contrast is not None:
            told = [
                f"{contrast.z:.2f}",
                f"{contrast.p_adjusted:.2g}",
                f"{contrast.cosine_z:.2f}",
                f"{contrast.cosine_p_adjusted:.2g}",
            ]
        rows.append(
            [row.model, f"{row.shared:.5f}", f"{row.se:.5f}", f"{row.p_adjusted:.2g}",
             f"{row.cosine:.3f}", f"{row.cosine_se:.3f}", *told]
        )  # fmt: skip
    header = ["model", "shared", "se", "p", "cosine", "se", "less: z", "p", "by cosine: z", "p"]
    table = aligned(header, rows)
    return f"{found.outcome}: {shown(found.reason, '')}\nover {found.genes} genes:\n{table}"


def _data(found: SharedDrift) -> dict[str, Any]:
    cosines = found.cosines.to_numpy().tolist()
    return {
        "student": found.student,
        "base": found.base,
        "outcome": found.outcome,
        "reason": found.reason,
        "leader": found.leader,
        "rivals": found.rivals,
        "drift": finite(found.drift),
        "drift_se": finite(found.drift_se),
        "drift_p": finite(found.drift_p),
        "candidates": records(found.candidates),
        "contrasts": records(found.contrasts),
        "cosines": {
            "models": list(found.cosines.columns),
            "values": [[finite(value) for value in row] for row in cosines],
        },
        "genes": found.genes,
        "blocks": found.blocks,
    }
