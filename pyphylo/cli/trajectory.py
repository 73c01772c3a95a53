"""``pyphylo trajectory``: where a training run went, and how fast."""

from __future__ import annotations

import argparse
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
)
from pyphylo.cli._model import finite, rule_of
from pyphylo.cli._tables import aligned
from pyphylo.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="checkpoints of one run: distances to start, end and references, and speed",
        description="Checkpoints of one training run, in order: each one's distance to the first, "
        "to the last and to references, with 95% limits (jackknife over genes), and the "
        "speed of change since the one before. Steps are read from names such as step1000 or "
        "checkpoint-500, where all have one. Beside the CSV it writes pictures, .svg and .png.",
        epilog="example: pyphylo trajectory 'org/name@step*' --store store --references gpt2 "
        "-o run.csv",
    )
    parser.add_argument(
        "checkpoints",
        nargs="+",
        metavar="CHECKPOINT",
        help="models of the store in the order of training, or one quoted pattern (*, ?, [...])",
    )
    parser.add_argument("--store", required=True, metavar="STORE", help="or an allele table's file")
    parser.add_argument(
        "--references", nargs="+", default=[], metavar="MODEL", help="other models of the store"
    )
    parser.add_argument("-o", "--output", metavar="CSV", help="all numbers; pictures beside it")
    parser.add_argument("--no-pictures", action="store_true", help="write the numbers alone")
    parser.add_argument(
        "--map",
        action="store_true",
        help="with -o: the run's path over a map of all models of the store, too (run-map.svg)",
    )
    parser.add_argument(
        "--estimator", choices=("unbiased", "plugin"), default="unbiased", help="default unbiased"
    )
    parser.add_argument("--preset", choices=("paper", "colab"), default="paper", help="allele rule")
    parser.add_argument("--chars", type=positive, default=4, metavar="N", help="allele length")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.cli._plan import table_at
    from pyphylo.stats.trajectories import trajectory

    target = None if args.output is None else existing_parent(args.output)
    if args.map and (target is None or args.no_pictures):
        raise InputError("--map draws a picture: give -o, without --no-pictures")
    pictures = [] if target is None or args.no_pictures else _pictures(target, args.map)
    check_outputs([*([] if target is None else [target]), *pictures], [args.store])
    given = args.checkpoints
    table = table_at(args.store, rule_of(args))
    pattern = len(given) == 1 and given[0] not in table.models
    frame = trajectory(
        table,
        given[0] if pattern else given,
        args.references,
        estimator=args.estimator,
        n_threads=args.threads,
    )
    data: dict[str, Any] = {
        "unit": frame.attrs["unit"],
        "estimator": args.estimator,
        "rows": [
            {key: finite(v) if isinstance(v, float) else v for key, v in row.items()}
            for row in frame.to_dict("records")
        ],
    }
    text = _text(frame)
    if target is not None:
        files = _written(frame, target, pictures)
        if args.map:
            _draw_map(table, frame, target, args.estimator, args.threads)
        data["files"] = [str(path) for path in files]
        text += f"\n{file_lines(files)}"
    return Outcome(text, data)


def _pictures(target: Path, with_map: bool) -> list[Path]:
    stems = [target.with_suffix(""), *([_map_stem(target)] if with_map else [])]
    return [stem.with_name(f"{stem.name}.{name}") for stem in stems for name in ("svg", "png")]


def _map_stem(target: Path) -> Path:
    return target.with_name(f"{target.stem}-map")


def _draw_map(
    table: AlleleTable, frame: pd.DataFrame, target: Path, estimator: str, threads: int
) -> None:
    """The run's path among all models of the table."""
    from pyphylo.distance import nei_distance
    from pyphylo.plot import save_figure, trajectory_map_figure

    once = frame.drop_duplicates("checkpoint")
    fig = trajectory_map_figure(
        nei_distance(table, estimator=estimator, n_threads=threads),
        once["checkpoint"].tolist(),
        steps=once["step"].tolist(),
    )
    save_figure(fig, _map_stem(target))


def _written(frame: pd.DataFrame, target: Path, pictures: list[Path]) -> list[Path]:
    """The files, written."""
    from pyphylo._files import atomic_write_bytes
    from pyphylo.io._spreadsheet import frame_csv

    atomic_write_bytes(target, frame_csv(frame))
    if pictures:
        from pyphylo.plot import save_figure, trajectory_figure

        save_figure(trajectory_figure(frame), target.with_suffix(""))
    return [target, *pictures]


def _text(frame: pd.DataFrame) -> str:
    """A line a checkpoint: distances with half their interval, and speed."""
    wanted = list(dict.fromkeys(zip(frame["to"], frame["other"], strict=True)))
    columns = [(to, other) for to, other in wanted if to != "previous"]
    header = [
        "checkpoint",
        frame.attrs["unit"],
        *(o if t == "reference" else t for t, o in columns),
    ]
    rows = []
    for name, part in frame.groupby("checkpoint", sort=False):
        of = {(row["to"], row["other"]): row for row in part.to_dict("records")}
        cells = [_interval(of[key]) for key in columns]
        before = part[part["to"] == "previous"]
        speed = f"{before['speed'].iloc[0]:.3g}" if len(before) else "-"
        rows.append([name, f"{part['step'].iloc[0]:g}", *cells, speed])
    return aligned([*header, "speed"], rows)


def _interval(row: dict[Any, Any]) -> str:
    return f"{row['distance']:.3f} [{row['lower']:.3f}, {row['upper']:.3f}]"
