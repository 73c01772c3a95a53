"""``pyphylo sensitivity``: what each choice of the method moves."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import (
    Outcome,
    add_json,
    add_threads,
    check_outputs,
    existing_parent,
    positive,
    whole,
)
from pyphylo.cli._model import finite
from pyphylo.cli._scores import add_groups, add_scores, groups_of, known_models, scores_of, split
from pyphylo.cli._tables import aligned
from pyphylo.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_parser"]

_SHOWN = {
    "robinson_foulds": "RF",
    "quartets": "quartets",
    "distance_correlation": "Spearman",
    "nearest_kept": "nearest",
    "nearest_5_kept": "nearest 5",
    "families_whole": "families",
    "parents_nearest": "parents",
    "prediction_r": "r",
    "prediction_mae": "MAE",
    "predictions_moved": "moved",
}
_PRECISE = ("prediction_mae", "predictions_moved")
"""Measures in units of scores, which are small."""


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="what allele length, index, probes, prompts and temperature move",
        description="Vary one choice at a time and measure what it moves against a baseline: the "
        "tree, the distances, the nearest relatives and, with --scores, what is predicted of "
        "scores from models of other groups. Of the baseline's store allele length, index "
        "and number of probes are varied (sample it with --chars 16 for lengths up to 16); every "
        "other store of the same models, with other prompts or another temperature, is a setting.",
        epilog="example: pyphylo sensitivity store cool-store --metadata models.csv "
        "-o moved.csv --figure moved.svg",
    )
    parser.add_argument(
        "stores", nargs="+", metavar="STORE", help="a folder, an address or a table"
    )
    parser.add_argument(
        "--baseline",
        metavar="K=V,…",
        help="store=NAME,chars=N,index=NAME: any of them; default the first store, 4, nei",
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="a .csv file")
    parser.add_argument("--figure", metavar="FILE", help="a .svg, .png or .pdf file")
    parser.add_argument("--metadata", metavar="FILE", help="a .csv file: family, base_model")
    parser.add_argument(
        "--chars", type=_numbers, metavar="N,…", help="allele lengths, 1-16 by default if there"
    )
    parser.add_argument(
        "--indices",
        type=lambda text: text.split(","),
        metavar="NAME,…",
        help="of nei, unbiased, da, chord, rogers, jsd; default all",
    )
    parser.add_argument(
        "--probes", type=_numbers, metavar="N,…", help="numbers of probes; default halves down to 2"
    )
    parser.add_argument(
        "--draws", type=positive, default=5, metavar="N", help="of probes and genes; default 5"
    )
    parser.add_argument("--level", type=float, default=0.95, metavar="P", help="default 0.95")
    parser.add_argument("--seed", type=whole, default=0, metavar="N", help="default 0")
    parser.add_argument("--preset", choices=("paper", "colab"), default="paper", help="allele rule")
    group = parser.add_argument_group("scores")
    add_scores(group, required=False)
    add_groups(group)
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run, covariates=None)


def _numbers(text: str) -> list[int]:
    """Argument type: numbers and ranges, as in 1,2,4-8."""
    found: list[int] = []
    for part in text.split(","):
        first, dash, last = part.partition("-")
        low, high = positive(first), positive(last if dash else first)
        if high < low or high - low > 10_000:
            raise argparse.ArgumentTypeError(f"{part} is no range of numbers from low to high")
        found += range(low, high + 1)
    return found


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo._files import atomic_write_bytes
    from pyphylo.io._spreadsheet import frame_csv
    from pyphylo.stats._sensitivity import sensitivity
    from pyphylo.stats._settings import sources_of

    target = existing_parent(args.output)
    if target.suffix.lower() != ".csv":
        raise InputError(f"--output {args.output!r}: the table is a .csv file")
    figure = None if args.figure is None else _picture(args.figure)
    files = [path for path in (target, figure) if path is not None]
    inputs = [*args.stores, args.metadata, args.scores]
    inputs += [split(text)[0] for text in (args.groups, args.aliases)]
    check_outputs(files, [path for path in inputs if path])
    named = sources_of([_source(path) for path in args.stores])
    baseline = _baseline(args.baseline)
    found = sensitivity(
        named,
        baseline=baseline,
        chars=args.chars,
        indices=args.indices,
        probes=args.probes,
        draws=args.draws,
        metadata=args.metadata,
        **_scores(args, named, baseline or {}),
        level=args.level,
        preset=args.preset,
        seed=args.seed,
        n_threads=args.threads,
    )
    atomic_write_bytes(target, frame_csv(found))
    if figure is not None:
        from pyphylo.plot import save_figure, sensitivity_figure

        drawn = sensitivity_figure(found, title="what moves against the baseline")
        save_figure(drawn, figure.with_suffix(""), [figure.suffix[1:].lower()])
    rows = [
        {key: finite(v) if isinstance(v, float) else v for key, v in row.items()}
        for row in found.to_dict("records")
    ]
    data = {
        "table": str(target),
        **({} if figure is None else {"figure": str(figure)}),
        "rows": rows,
    }
    return Outcome(_text(found, files), data)


def _scores(
    args: argparse.Namespace, named: Mapping[str, Any], baseline: Mapping[str, Any]
) -> dict[str, Any]:
    """Scores of the baseline's models, and what is left out together to predict them."""
    if args.scores is None:
        for option in ("target", "unit", "aliases", "groups"):
            if getattr(args, option) is not None:
                raise InputError(f"--{option} is of scores: give --scores FILE too")
        return {}
    start = baseline.get("store", next(iter(named)))
    store = named.get(start, next(iter(named.values())))
    known = known_models(args)
    found = scores_of(args, sorted(store.models))
    if args.groups in (None, "auto"):
        groups = None
    else:
        groups, _ = groups_of(args, known, list(found.scores.index))
    return {"scores": found.scores, "groups": groups, "unit": found.unit}


def _source(path: str) -> Any:
    """A path of a store, or the table in a table file."""
    if Path(path).is_file():
        from pyphylo.alleles import AlleleTable

        return AlleleTable.load(path)
    return path


def _picture(path: str) -> Path:
    target = existing_parent(path)
    if target.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise InputError(f"--figure {path!r}: a picture is a .svg, .png or .pdf file")
    return target


def _baseline(text: str | None) -> dict[str, Any] | None:
    """The baseline in words: key=value, commas between."""
    if text is None:
        return None
    found: dict[str, Any] = {}
    for part in text.split(","):
        key, equals, value = part.partition("=")
        if not equals or key in found:
            raise InputError(
                f"--baseline {text!r}: {part!r} is not key=value once; write store=NAME,chars=N,"
                "index=NAME, any of them"
            )
        found[key] = value
    if "chars" in found:
        if not found["chars"].isascii() or not found["chars"].isdigit():
            raise InputError(f"--baseline {text!r}: chars is a whole number")
        found["chars"] = int(found["chars"])
    return found


def _text(found: pd.DataFrame, files: list[Path]) -> str:
    shown = {name: word for name, word in _SHOWN.items() if (found["measure"] == name).any()}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for row in found.itertuples():
        cells = rows.setdefault((str(row.kind), str(row.value)), {})
        cells[str(row.measure)] = f"{row.estimate:.{3 if row.measure in _PRECISE else 2}f}"
    lines = [
        [f"{kind} {value}", *(cells.get(name, "") for name in shown)]
        for (kind, value), cells in rows.items()
    ]
    return "\n".join([aligned(["setting", *shown.values()], lines), *(f"  {p}" for p in files)])
