"""``pyphylo report``: one HTML file to open, understand and pass on."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from pyphylo.cli._common import Outcome, add_json, add_threads, check_outputs, existing_parent
from pyphylo.errors import InputError

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="one HTML file with tree, heat map, map and every model's relatives",
        description="Write one HTML file that needs nothing beside it and no network: the tree, "
        "the heat map, a map of the models, and a card of each model with its nearest relatives.",
        epilog="examples:\n"
        "  pyphylo report family\n"
        "  pyphylo report distances.npz --metadata models.csv --scores scores.csv -o report.html\n"
        "  pyphylo report store --metadata models.csv --color-by license --model gpt2 --merges",
    )
    parser.add_argument(
        "source",
        metavar="DIR|DIST",
        help="the folder of a run, a store, or a matrix: .npz .npy .phy .csv .tsv .parquet",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="default: report.html in the folder of a run, NAME.report.html beside others",
    )
    parser.add_argument("--dist", metavar="FILE", help="distances, instead of DIR's own")
    parser.add_argument(
        "--similarity", action="store_true", help="the matrix holds similarities, not distances"
    )
    parser.add_argument("--tree", metavar="FILE", help="default: DIR's, or neighbor joining's")
    parser.add_argument("--store", metavar="STORE", help="whose alleles are shown, beside a DIST")
    parser.add_argument(
        "--metadata",
        metavar="CSV",
        help="columns model and any to colour by; base_model declares parents, run and step "
        "training runs (default: DIR's metadata.csv, if there is one)",
    )
    parser.add_argument(
        "--scores", metavar="FILE", help="benchmark scores, to show beside what distances predict"
    )
    parser.add_argument(
        "--unit", choices=("fraction", "percent"), help="of a CSV's scores (default fraction)"
    )
    parser.add_argument(
        "--umap",
        action=argparse.BooleanOptionalAction,
        help="a second map, by UMAP (default: where umap-learn is installed, pip install "
        "'pyphylo[umap]'; some ten seconds)",
    )
    parser.add_argument(
        "--merges",
        action=argparse.BooleanOptionalAction,
        help="ask of each model whether it is a merge of two of its relatives, where there is a "
        "store (default: of up to 1,000 models; some 0.02 s a model at 128 genes)",
    )
    parser.add_argument(
        "--color-by",
        "--colour-by",
        metavar="COLUMN",
        help="column of the metadata to colour by at first (default family)",
    )
    parser.add_argument("--model", metavar="NAME", help="the model whose card is open at first")
    parser.add_argument("--title", metavar="TEXT", help="what stands at the top")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.report import write_report
    from pyphylo.report._inputs import default_target

    if not Path(args.source).exists():
        raise InputError(f"{args.source!r} does not exist: name a folder or a matrix file")
    place = args.output or default_target(args.source)
    if not args.output and place.is_symlink():
        raise InputError(f"{str(place)!r} is a link, which is not followed: remove it, or give -o")
    target = existing_parent(str(place))
    if target.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"-o {str(target)!r}: a report is an .html file")
    metadata = args.metadata or _own_metadata(Path(args.source))
    named = (args.source, args.dist, args.tree, args.store, metadata, args.scores)
    check_outputs([target], [str(path) for path in named if path])
    write_report(
        args.source,
        target,
        tree=args.tree,
        distances=args.dist,
        store=args.store,
        metadata=metadata,
        scores=args.scores,
        unit=args.unit,
        similarity=args.similarity,
        title=args.title,
        umap=args.umap,
        merges=args.merges,
        color_by=args.color_by,
        model=args.model,
        n_threads=args.threads,
    )
    size = target.stat().st_size
    data = {"report": str(target), "bytes": size, "files": [str(target)]}
    return Outcome(f"report of {size / 1e6:.1f} MB: open it in a browser\n  {target}", data)


def _own_metadata(folder: Path) -> Path | None:
    own = folder / "metadata.csv"
    return own if own.is_file() else None
