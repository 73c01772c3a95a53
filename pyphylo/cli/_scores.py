"""What ``pyphylo predict`` reads: a matrix, scores, groups and what else is known of models."""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pyphylo._names import did_you_mean
from pyphylo.errors import InputError, PyphyloWarning

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pyphylo.distance import DistanceMatrix
    from pyphylo.predict.matching import Matched

__all__ = [
    "Known",
    "add_groups",
    "add_scores",
    "covariates_of",
    "distances_of",
    "groups_of",
    "known_models",
    "scores_of",
    "split",
]

Rows = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Known:
    """What metadata say, by model."""

    path: str | None
    rows: Rows = field(default_factory=dict)
    families: dict[str, str] = field(default_factory=dict)
    parents: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, float] = field(default_factory=dict)


def add_scores(group: Any, *, required: bool) -> None:
    """Options that `scores_of` reads, but --metadata."""
    group.add_argument(
        "--scores",
        required=required,
        metavar="FILE",
        help="CSV with columns model and benchmarks; a table or result files (a folder) of the "
        "Open LLM Leaderboard; result files of lm-evaluation-harness",
    )
    group.add_argument(
        "--target",
        nargs="+",
        action="extend",
        metavar="NAME",
        help="benchmarks (default: all); of result files also TASK:METRIC",
    )
    group.add_argument(
        "--unit", choices=("fraction", "percent"), help="of a CSV's scores (default fraction)"
    )
    group.add_argument(
        "--aliases",
        metavar="[FILE:]COLUMN",
        help="other names of models, by which scores may know them",
    )
    group.add_argument(
        "--repeated",
        choices=("error", "last", "mean"),
        default="error",
        help="where a model has different scores of a benchmark (default: error)",
    )


def add_groups(group: Any) -> None:
    """The option that `groups_of` reads."""
    group.add_argument(
        "--groups",
        metavar="G",
        help="what is left out together: family or another column ([FILE:]COLUMN), model, "
        "clade:0.5, or auto (default): families where all are known, else clade:0.5, and copies "
        "of a model with it",
    )


def distances_of(args: argparse.Namespace) -> DistanceMatrix:
    """The matrix that was named, or that of a store's models."""
    from pyphylo.distance import DistanceMatrix, nei_distance
    from pyphylo.similarity import SimilarityMatrix

    if (args.matrix is None) == (args.store is None):
        raise InputError("name a matrix DIST, or a store by --store STORE: one of the two")
    distances: DistanceMatrix
    if args.store is not None:
        from pyphylo.alleles import AlleleRule
        from pyphylo.cli._plan import table_at

        if args.similarity:
            raise InputError("--similarity says what DIST holds; --store STORE needs no such word")
        distances = nei_distance(table_at(args.store, AlleleRule()), n_threads=args.threads)
        return distances
    if args.similarity:
        distances = nei_distance(SimilarityMatrix.load(args.matrix))
        return distances
    return DistanceMatrix.load(args.matrix)


def known_models(args: argparse.Namespace) -> Known:
    """Metadata, from the file of ``--metadata`` or the first that another option names."""
    from pyphylo.io.metadata import lineage_of, read_metadata

    path = args.metadata
    for text in (args.groups, args.covariates):
        path = path or split(text)[0]
    if path is None:
        return Known(None)
    rows = read_metadata(path)
    lineage = lineage_of(rows, repr(path))
    families = {name: row["family"] for name, row in rows.items() if "family" in row}
    return Known(path, rows, families, dict(lineage.parents), dict(lineage.sizes))


def scores_of(args: argparse.Namespace, models: Sequence[str]) -> Matched:
    """Scores of the models; what was not used is said in warnings."""
    from pyphylo.io.scores import read_scores
    from pyphylo.predict.groups import some
    from pyphylo.predict.matching import match_scores

    read = read_scores(args.scores, unit=args.unit, targets=args.target)
    if read.left_out:
        _warn(f"{args.scores!r}: not used: {'; '.join(_first(read.left_out))}")
    found = match_scores(read, models, aliases=_aliases(args), repeated=args.repeated)
    if found.repeated:
        rule = "their mean" if args.repeated == "mean" else "the last of them"
        _warn(f"different scores of the same model, of which {rule} counts: {some(found.repeated)}")
    if found.unmatched:
        _warn(
            f"{len(found.unmatched)} of {len(found.names)} names with scores are no model's of the "
            f"matrix: {some(found.unmatched)}"
        )
    lost = [name for name in dict.fromkeys(read.frame["benchmark"]) if name not in found.scores]
    if lost and args.target is not None:
        raise InputError(f"no model of the matrix has a score of {some(lost)}: leave it out")
    if lost:
        _warn(f"no model of the matrix has a score of {some(lost)}, which is not used")
    return found


def groups_of(args: argparse.Namespace, known: Known, scored: Sequence[str]) -> tuple[Any, str]:
    """What `cross_validate_scores` takes as groups, of models with scores, and it in words."""
    text = args.groups or "auto"
    if text == "model" or text.startswith("clade:"):
        return text, "single models" if text == "model" else f"clades within {text[6:]}"
    missing = [name for name in scored if name not in known.families]
    if text == "auto":
        if known.families and not missing:
            return {name: known.families[name] for name in scored}, "families"
        if known.families:
            _warn(
                f"{known.path!r} names no family of {_listed(missing)}: clades within 0.5 are left "
                "out instead"
            )
        return "clade:0.5", "clades within 0.5"
    path, column = split(text)
    if path is None:
        column = text
    rows = _rows(path, known, f"--groups {text}")
    named = {name: row[column] for name, row in rows.items() if column in row}
    if not named:
        hint = did_you_mean(column, ["auto", "model", *_columns(rows)])
        raise InputError(f"--groups {text}: no model has a value in a column {column!r}{hint}")
    missing = [name for name in scored if name not in named]
    if missing:
        raise InputError(
            f"--groups {text}: no {column} for {_listed(missing)}: add it, or choose auto, model "
            "or clade:0.5"
        )
    words = "families" if column == "family" else f"groups of equal {column}"
    return {name: named[name] for name in scored}, words


def covariates_of(
    args: argparse.Namespace, known: Known, models: Sequence[str]
) -> NDArray[np.float64] | None:
    """Columns of numbers, logarithms where all are above 0; dates as years; NaN where empty."""
    import numpy as np

    if args.covariates is None:
        return None
    path, names = split(args.covariates)
    rows = _rows(path, known, f"--covariates {args.covariates}")
    columns = []
    for name in names.split(","):
        cells = [rows.get(model, {}).get(name) for model in models]
        if not any(cells):
            hint = did_you_mean(name, _columns(rows))
            raise InputError(
                f"--covariates {args.covariates}: no model has a value of {name!r}{hint}"
            )
        where = f"--covariates {args.covariates}: {name}"
        pairs = zip(cells, models, strict=True)
        values = np.array([_value(cell, name, where, model) for cell, model in pairs])
        with np.errstate(invalid="ignore"):
            positive = not (values <= 0).any() and name != "date"
        columns.append(np.log(values) if positive else values)
    return np.column_stack(columns)


def split(text: str | None) -> tuple[str | None, str]:
    """FILE:COLUMN in two; no file where there is no colon, or it is a clade's."""
    path, colon, column = (text or "").rpartition(":")
    return (path, column) if colon and path != "clade" else (None, text or "")


def _value(cell: str | None, column: str, where: str, model: str) -> float:
    """A cell as a number."""
    from pyphylo.io.metadata import read_lineage

    if cell is None:
        return math.nan
    if column == "date":
        first, last = read_lineage({model: {"date": cell}}).dates[model]
        return 1970 + (first.toordinal() + last.toordinal() - 2 * 719163) / 2 / 365.25
    try:
        value = float(cell)
    except ValueError:
        value = math.inf
    if not math.isfinite(value):
        raise InputError(f"{where} of {model!r} is {cell!r}, no number")
    return value


def _aliases(args: argparse.Namespace) -> dict[str, list[str]] | None:
    """Other names of models, such as hub ids."""
    if args.aliases is None:
        return None
    path, names = split(args.aliases)
    path = path or args.metadata
    if path is None:
        raise InputError(f"--aliases {args.aliases}: write FILE:COLUMN, or give --metadata too")
    from pyphylo.io.metadata import read_metadata

    rows = read_metadata(path)
    found = {
        model: [row[name] for name in names.split(",") if name in row]
        for model, row in rows.items()
    }
    if not any(found.values()):
        hint = did_you_mean(names.split(",")[0], _columns(rows))
        raise InputError(f"--aliases {args.aliases}: no model has a value in such a column{hint}")
    return found


def _columns(rows: Rows) -> list[str]:
    """The columns in which some model has a value."""
    return list(dict.fromkeys(name for row in rows.values() for name in row))


def _rows(path: str | None, known: Known, what: str) -> Rows:
    from pyphylo.io.metadata import read_metadata

    if path is None and known.path is None:
        raise InputError(f"{what}: write FILE:COLUMN, or give --metadata FILE too")
    return known.rows if path in (None, known.path) else read_metadata(str(path))


def _first(items: Sequence[str], most: int = 8) -> list[str]:
    more = [f"and {len(items) - most} more"] if len(items) > most else []
    return [*items[:most], *more]


def _listed(names: Sequence[str]) -> str:
    from pyphylo.predict.groups import some

    return some(names)


def _warn(text: str) -> None:
    warnings.warn(text, PyphyloWarning, stacklevel=3)
