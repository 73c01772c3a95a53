"""``pyphylo predict``: benchmark scores from distance, judged or filled in."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import (
    Outcome,
    add_json,
    add_threads,
    check_outputs,
    existing_parent,
    file_lines,
    positive,
    whole,
)
from pyphylo.cli._model import finite
from pyphylo.cli._scores import (
    Known,
    add_groups,
    add_scores,
    covariates_of,
    distances_of,
    groups_of,
    known_models,
    scores_of,
    split,
)
from pyphylo.cli._tables import aligned
from pyphylo.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.distance import DistanceMatrix
    from pyphylo.predict.matching import Matched

__all__ = ["add_parser"]

_ESTIMATORS = {"best": "BenchmarkRegressor", "reference": "ReferenceRegressor"}
_COLUMNS = ["model", "target", "true", "predicted", "lower", "upper", "fold"]
_PICTURES = (".svg", ".png", ".pdf")
_SHOWN = 10
"""Benchmarks whose metrics are shown; the files hold all."""


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="benchmark scores from distance, with intervals, beside simple baselines",
        description="Predict every score from models of other families, and say how well that "
        "goes; or, with --missing, learn from all scores and predict those that are missing.",
        epilog="examples:\n"
        "  pyphylo predict distances.npz --scores scores.csv --metadata models.csv "
        "-o predictions.csv --plot predictions.svg\n"
        "  pyphylo predict distances.npz --scores scores.csv --missing -o filled.csv",
    )
    parser.add_argument(
        "matrix", nargs="?", metavar="DIST", help=".npz .npy .phy .csv .tsv .parquet"
    )
    parser.add_argument("--store", metavar="STORE", help="instead of DIST: a store or a table file")
    parser.add_argument(
        "--similarity", action="store_true", help="the matrix holds similarities, not distances"
    )
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="predictions, CSV")
    parser.add_argument(
        "--missing",
        action="store_true",
        help="learn from all scores and predict the missing ones; judge nothing",
    )
    add_scores(parser.add_argument_group("scores"), required=True)
    _add_evaluation(parser.add_argument_group("learning"))
    output = parser.add_argument_group("more output")
    output.add_argument("--metrics", metavar="FILE", help="all metrics, by group too (CSV)")
    output.add_argument(
        "--plot", "--figure", metavar="FILE", help="predicted against true, .svg .png or .pdf"
    )
    output.add_argument(
        "--names", metavar="FILE", help="which model each name with scores was taken for (CSV)"
    )
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _add_evaluation(group: Any) -> None:
    group.add_argument(
        "--metadata", metavar="CSV", help="columns model, family, base_model, params_b, date"
    )
    add_groups(group)
    group.add_argument(
        "--join-leaks",
        action="store_true",
        help="leave groups that share copies of a model out together (auto does)",
    )
    group.add_argument(
        "--covariates",
        metavar="[FILE:]COLUMN,…",
        help="numbers (as logarithms where above 0) and date, known beside the distance",
    )
    group.add_argument(
        "--estimator",
        choices=(*_ESTIMATORS, "both"),
        default="best",
        help="best (default), reference (the PhyloLM paper's), or both in the table",
    )
    group.add_argument("--level", type=float, default=0.9, metavar="P", help="default 0.9")
    group.add_argument("--repeats", type=positive, default=1, metavar="N", help="default 1")
    group.add_argument(
        "--bootstrap",
        type=whole,
        default=1000,
        metavar="N",
        help="resamples behind limits of correlations (default 1000)",
    )
    group.add_argument("--seed", type=whole, default=0, metavar="N", help="default 0")


def _run(args: argparse.Namespace) -> Outcome:
    files = _outputs(args)
    known = known_models(args)
    D = distances_of(args)
    scores = scores_of(args, D.ids)
    if "names" in files:
        _write(files["names"], scores.names)
    if args.missing:
        return _fill(args, D, scores, known, files)
    return _judge(args, D, scores, known, files)


def _outputs(args: argparse.Namespace) -> dict[str, Path]:
    """Files to be written, refused now if they could not be later."""
    if not 0 < args.level < 1:
        raise InputError(f"--level must lie between 0 and 1, not {args.level:g}")
    if args.missing:
        for option in ("metrics", "plot"):
            if getattr(args, option) is not None:
                raise InputError(f"--{option} judges predictions, --missing has none to judge")
        if args.estimator == "both":
            raise InputError("--missing takes one --estimator, best or reference")
    named = {"output": args.output, "metrics": args.metrics, "plot": args.plot, "names": args.names}
    files = {key: existing_parent(path) for key, path in named.items() if path is not None}
    for key, path in files.items():
        if key == "plot" and path.suffix.lower() not in _PICTURES:
            raise InputError(f"--plot {str(path)!r}: a picture is a .svg, .png or .pdf file")
        if key != "plot" and path.suffix.lower() != ".csv":
            raise InputError(f"--{key} {str(path)!r}: it is a .csv file")
    inputs = [args.matrix, args.scores, args.metadata, args.store]
    inputs += [split(text)[0] for text in (args.groups, args.covariates, args.aliases)]
    check_outputs(files.values(), [path for path in inputs if path])
    return files


def _judge(
    args: argparse.Namespace,
    D: DistanceMatrix,
    scores: Matched,
    known: Known,
    files: dict[str, Path],
) -> Outcome:
    """Predict each score from models of other groups."""
    from pyphylo.predict.evaluate import cross_validate_scores
    from pyphylo.predict.metrics import score_metrics
    from pyphylo.predict.quantised import quantised_pairs

    D = D.filter(list(scores.scores.index))
    groups, words = groups_of(args, known, D.ids)
    automatic = args.join_leaks or args.groups in (None, "auto")
    frame = cross_validate_scores(
        D,
        scores.scores,
        groups=groups,
        estimators=_estimators(args),
        covariates=covariates_of(args, known, D.ids),
        params_b=known.sizes or None,
        base_models=known.parents or None,
        same=quantised_pairs(D.ids, known.parents),
        join_leaks=automatic,
        unit=scores.unit,
        level=args.level,
        repeats=args.repeats,
        n_bootstrap=0,
        seed=args.seed,
    )
    metrics = score_metrics(frame, level=args.level, n_bootstrap=args.bootstrap, seed=args.seed)
    first = next(iter(_estimators(args)))
    own = frame[(frame["estimator"] == first) & (frame["repeat"] == 0)]
    _write(files["output"], own[_COLUMNS])
    if "metrics" in files:
        _write(files["metrics"], metrics)
    if "plot" in files:
        _draw(files["plot"], own, known)
    pooled = own.assign(target="all")
    overall = score_metrics(pooled, level=args.level, n_bootstrap=args.bootstrap, seed=args.seed)
    overall = overall[overall["fold"] == "all"]
    everything = metrics[metrics["fold"] == "all"]
    data = {
        "predictions": str(files["output"]),
        "estimator": first,
        "groups": words,
        "left_out": int(own["fold"].nunique()),
        "level": args.level,
        **_records(overall.drop(columns=["target", "estimator", "repeat", "fold"]))[0],
        "targets": _records(everything.drop(columns="fold")),
        "joined": frame.attrs["joined"],
        "leaks": frame.attrs["leaks"],
        **_matching(scores, D.ids),
        "files": [str(path) for path in files.values()],
    }
    return Outcome(_report(data, everything, files), data)


def _fill(
    args: argparse.Namespace,
    D: DistanceMatrix,
    scores: Matched,
    known: Known,
    files: dict[str, Path],
) -> Outcome:
    """Predict the scores that are missing."""
    from pyphylo.predict.missing import predict_missing_scores

    groups, words = groups_of(args, known, list(scores.scores.index))
    frame = predict_missing_scores(
        D,
        scores.scores,
        estimator=_estimators(args)[_ESTIMATORS[args.estimator]],
        groups=groups,
        covariates=covariates_of(args, known, D.ids),
        unit=scores.unit,
        level=args.level,
        seed=args.seed,
    )
    table = frame.assign(true=math.nan, fold="")[_COLUMNS]
    _write(files["output"], table)
    found = frame["target"].value_counts()
    counts = {name: found[name] for name in scores.scores.columns if name in found}
    data = {
        "predictions": str(files["output"]),
        "estimator": _ESTIMATORS[args.estimator],
        "groups": words,
        "level": args.level,
        "predicted": {str(target): int(count) for target, count in counts.items()},
        **_matching(scores, D.ids),
        "files": [str(path) for path in files.values()],
    }
    said = ", ".join(f"{count} of {target}" for target, count in list(counts.items())[:_SHOWN])
    text = (
        f"{len(frame)} missing scores predicted from {len(scores.scores)} models with some: {said}"
    )
    text += f"\nintervals of {args.level:.0%} are for models unlike those, calibrated on {words}"
    return Outcome(f"{text}{_inexact(data)}:\n{file_lines(files.values())}", data)


def _estimators(args: argparse.Namespace) -> dict[str, Any]:
    from pyphylo.predict.benchmark import BenchmarkRegressor
    from pyphylo.predict.reference import ReferenceRegressor

    made = {"BenchmarkRegressor": BenchmarkRegressor(), "ReferenceRegressor": ReferenceRegressor()}
    names = made if args.estimator == "both" else [_ESTIMATORS[args.estimator]]
    return {name: made[name] for name in names}


def _matching(scores: Matched, models: Any) -> dict[str, Any]:
    """What became of names, for programs."""
    found = scores.names[scores.names["model"].notna()]
    inexact = found[found["how"] != "exact"]
    return {
        "models": len(models),
        "matched": len(found),
        "matched_by": {str(how): int(n) for how, n in found["how"].value_counts().items()},
        "matched_otherwise": dict(zip(inexact["name"], inexact["model"], strict=True)),
        "unmatched": scores.unmatched,
        "repeated": scores.repeated,
    }


def _inexact(data: dict[str, Any]) -> str:
    """How names were matched, where not all are the models' own."""
    if not data["matched_otherwise"]:
        return ""
    ways = ", ".join(f"{n} {how}" for how, n in data["matched_by"].items())
    return f"\nnames with scores were matched otherwise than letter by letter: {ways}"


def _draw(path: Path, frame: pd.DataFrame, known: Known) -> None:
    from pyphylo.plot import prediction_figure, save_figure

    figure = prediction_figure(frame, families=known.families or None)
    save_figure(figure, path.with_suffix(""), [path.suffix[1:].lower()])


def _report(data: dict[str, Any], metrics: pd.DataFrame, files: dict[str, Path]) -> str:
    """Metrics of every predictor, benchmark by benchmark."""
    header = ["benchmark", "predictor", "n", "r", "95%", "Spearman", "MAE", "RMSE"]
    header += ["coverage", "width"]
    lines: list[list[Any]] = []
    targets = list(dict.fromkeys(metrics["target"]))
    shown = metrics[metrics["target"].isin(targets[:_SHOWN])]
    rank = {target: k for k, target in enumerate(targets)}
    shown = shown.sort_values("target", key=lambda column: column.map(rank), kind="stable")
    for row in shown.to_dict("records"):
        name = row["estimator"] + (f" (seed + {row['repeat']})" if row["repeat"] else "")
        limits = f"{row['r_lower']:.2f} to {row['r_upper']:.2f}" if row["r_upper"] < 2 else ""
        numbers = [row["spearman"], row["mae"], row["rmse"], row["coverage"], row["width"]]
        cells = ["" if math.isnan(value) else f"{value:.3f}" for value in numbers]
        r = ["", ""] if math.isnan(row["r"]) else [f"{row['r']:.3f}", limits]
        lines.append([row["target"], name, row["n"], *r, *cells])
    before = None
    for line in lines:
        before, line[0] = line[0], "" if line[0] == before else line[0]
    text = f"{data['left_out']} groups left out, each in turn ({data['groups']})"
    if data["joined"]:
        text += f"; {data['joined']} pairs of copies in different groups, which are joined"
    text += _inexact(data)
    text += f"\n{aligned(header, lines)}"
    if len(targets) > _SHOWN:
        text += f"\nand {len(targets) - _SHOWN} benchmarks more: --metrics FILE has all"
    return f"{text}\n{file_lines(files.values())}"


def _write(path: Path, frame: pd.DataFrame) -> None:
    from pyphylo._files import atomic_write_bytes
    from pyphylo.io._spreadsheet import frame_csv

    atomic_write_bytes(path, frame_csv(frame))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as JSON has them: no NaN."""
    return [
        {str(key): finite(v) if isinstance(v, float) else v for key, v in row.items()}
        for row in frame.to_dict("records")
    ]
