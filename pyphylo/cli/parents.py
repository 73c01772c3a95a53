"""``pyphylo parents``: the likely parents of models, and declared ones that are contradicted."""

from __future__ import annotations

import argparse
import csv
import io
import math
from typing import TYPE_CHECKING, Any

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
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

    from pyphylo.distance import DistanceMatrix

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="the likely parents of models, and declared parents that are contradicted",
        description="Propose a parent for each model whose metadata name none, or abstain. Writes "
        "columns model, parent (empty: abstains), confidence: the probability that the likeliest "
        "parent is the true one, if the true one is among the candidates.",
        epilog="examples:\n"
        "  pyphylo parents distances.npz --metadata models.csv -o parents.csv\n"
        "  pyphylo parents distances.npz --metadata models.csv -o parents.csv "
        "--candidates bases.txt\n"
        "  pyphylo parents distances.npz --metadata models.csv -o parents.csv --check wrong.csv "
        "--store store",
    )
    parser.add_argument("matrix", metavar="DIST", help=".npz .npy .phy .csv .tsv .parquet")
    parser.add_argument(
        "--metadata",
        required=True,
        metavar="CSV",
        help="columns model, base_model where known, and optionally params_b, date",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="CSV")
    parser.add_argument(
        "--candidates", metavar="TXT", help="models that may be parents, one a line (default: all)"
    )
    parser.add_argument(
        "--similarity", action="store_true", help="the matrix holds similarities, not distances"
    )
    parser.add_argument(
        "--precision",
        type=float,
        metavar="P",
        help="share of answers that shall be right (default 0.9, without candidates 0.75)",
    )
    check = parser.add_argument_group("declared parents")
    check.add_argument(
        "--check", metavar="FILE", help="write declared parents that the distances contradict (CSV)"
    )
    check.add_argument("--store", metavar="STORE", help="whose genes --check resamples")
    check.add_argument("--bootstrap", type=positive, default=1000, metavar="N", help="default 1000")
    check.add_argument("--alpha", type=float, default=0.05, metavar="A", help="default 0.05")
    check.add_argument("--seed", type=whole, default=0, metavar="N", help="default 0")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo._files import atomic_write_bytes
    from pyphylo.parents import propose_parents

    if (args.check is None) != (args.store is None):
        raise InputError("--check FILE and --store STORE go together: the test resamples genes")
    target = existing_parent(args.output)
    check_target = None if args.check is None else existing_parent(args.check)
    if check_target is not None and check_target.resolve() == target.resolve():
        raise InputError(f"-o and --check both name {args.output!r}: give them two files")
    named = (args.matrix, args.metadata, args.candidates, args.store)
    outputs = [target] if check_target is None else [target, check_target]
    check_outputs(outputs, [path for path in named if path is not None])
    candidates = None if args.candidates is None else candidate_names(args.candidates)
    D = _distances(args.matrix, similarity=args.similarity)
    frame = propose_parents(D, args.metadata, candidates, precision=args.precision)
    contradicted = None if args.check is None else _contradicted(args, candidates)
    atomic_write_bytes(target, _csv(frame))
    files = [target]
    data: dict[str, Any] = {
        "parents": str(target),
        "models": len(frame),
        "answered": int(frame["parent"].notna().sum()),
        **{str(key): _finite(value) for key, value in frame.attrs.items() if key != "likeliest"},
        "proposals": _records(frame),
    }
    text = _sentences(data)
    if contradicted is not None and check_target is not None:
        atomic_write_bytes(check_target, _csv(contradicted))
        files.append(check_target)
        data |= {"check": str(check_target), "contradicted": _records(contradicted)}
        text += f"\n{len(contradicted)} declared parents are contradicted (q up to {args.alpha:g})"
    data["files"] = [str(path) for path in files]
    return Outcome(f"{text}:\n{file_lines(files)}", data)


def _sentences(data: dict[str, Any]) -> str:
    """What was found, and how far it can be trusted."""
    text = f"parents of {data['answered']} of {data['models']} models ({data['rule']})"
    found = data["leave_out"]
    if found is None:
        # A model whose parent is absent gets its nearest relative, with as high a confidence.
        return text + (
            "\nnot tested: confidences are rough, and hold only for models whose parent is among "
            "the candidates"
        )
    text += (
        f"\nleft out in turn, {found['answered']} of {found['pairs']} declared pairs "
        f"are answered, {found['right']} of them right"
    )
    if found["answered"]:
        text += (
            f": {100 * found['precision']:.0f} in 100, at least "
            f"{100 * found['precision_lower']:.0f} with 90% confidence"
        )
    return text


def _contradicted(args: argparse.Namespace, candidates: list[str] | None) -> pd.DataFrame:
    from pyphylo.alleles import AlleleRule
    from pyphylo.cli._plan import table_at
    from pyphylo.parents import contradicted_parents

    table = table_at(args.store, AlleleRule())
    if candidates is not None:
        here = set(table.models)
        candidates = [name for name in candidates if name in here]
    return contradicted_parents(
        table,
        args.metadata,
        candidates,
        n=args.bootstrap,
        seed=args.seed,
        alpha=args.alpha,
        n_threads=args.threads,
    )


def _distances(path: str | Path, *, similarity: bool) -> DistanceMatrix:
    from pyphylo.distance import DistanceMatrix, nei_distance
    from pyphylo.similarity import SimilarityMatrix

    if not similarity:
        return DistanceMatrix.load(path)
    distances: DistanceMatrix = nei_distance(SimilarityMatrix.load(path))
    return distances


def _csv(frame: pd.DataFrame) -> bytes:
    from pyphylo.io._spreadsheet import guarded

    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(frame.columns)
    for record in _records(frame):
        values = ("" if value is None else value for value in record.values())
        writer.writerow(guarded(v) if isinstance(v, str) else v for v in values)
    return out.getvalue().encode("utf-8")


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as plain objects; None where a value is missing."""
    return [
        {str(key): _finite(value) for key, value in record.items()}
        for record in frame.to_dict("records")
    ]


def _finite(value: Any) -> Any:
    """The value as JSON has it, inside mappings too: no NaN."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
