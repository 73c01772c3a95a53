"""Scores of models: plain tables, tables of the Open LLM Leaderboard, result files, folders.

Which of them a file is, its content says. Names are as the files have them:
`pyphylo.predict.match_scores` finds the models that they mean.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pyphylo._files import read_bytes
from pyphylo._names import clean_text, did_you_mean
from pyphylo.errors import FileFormatError, InputError
from pyphylo.io._spreadsheet import unguarded
from pyphylo.io.eval_results import is_results, parse_results, read_json

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Scores", "read_scores"]

_UNITS = ("fraction", "percent")
_MISSING = frozenset({"", "na", "nan", "n/a", "null", "none"})

_LEADERBOARDS = {
    "Open LLM Leaderboard v1": {
        "ARC": "arc",
        "HellaSwag": "hellaswag",
        "MMLU": "mmlu",
        "TruthfulQA": "truthfulqa",
        "Winogrande": "winogrande",
        "GSM8K": "gsm8k",
        "DROP": "drop",
    },
    "Open LLM Leaderboard v2": {
        "IFEval": "ifeval",
        "BBH": "bbh",
        "MATH Lvl 5": "math_lvl_5",
        "GPQA": "gpqa",
        "MUSR": "musr",
        "MMLU-PRO": "mmlu_pro",
    },
}
"""Columns of the leaderboards' tables, and what result files call the same."""

_UNGUESSED = frozenset({"IFEval", "MATH Lvl 5"})
"""Benchmarks of version 2 that guessing scores 0 on."""

_LEAST = 4
"""So many of a leaderboard's columns, beside an average, make a table its own."""

_SHOTS = re.compile(r"\(\d+-shot\)$")
_LONGEST_SHOTS = 20
_ARROW = "⬆\ufe0f \t\r\n"
_LINK = re.compile(r"huggingface\.co/([^/\"'?#\s]+/[^/\"'?#\s]+)")


@dataclass(frozen=True)
class Scores:
    """Scores as they were read.

    Attributes
    ----------
    frame : DataFrame
        A row a score, in the order of the file or of the runs' times: name, benchmark,
        score, source (file, and line of a table).
    unit : {"fraction", "percent"}
        Of the scores: a leaderboard's are fractions, whatever its table shows.
    form : str
        What the file was taken for.
    left_out : tuple of str
        What was not used, and why.
    """

    frame: pd.DataFrame
    unit: str
    form: str
    left_out: tuple[str, ...]


def read_scores(
    path: str | Path, *, unit: str | None = None, targets: Sequence[str] | None = None
) -> Scores:
    """Read scores of any known form.

    Parameters
    ----------
    path : str or Path
        A ``.csv`` or ``.tsv`` table with a column ``model`` and one a benchmark; the table of
        the Open LLM Leaderboard, version 1 or 2, as ``.csv``, ``.tsv`` or ``.parquet``; a
        ``.json`` result file of either version or of lm-evaluation-harness; a folder of such.
    unit : {"fraction", "percent"}, optional
        Of a plain table; fractions by default. The other forms say it themselves.
    targets : sequence of str, optional
        Benchmarks to read, all by default. Of result files also ``TASK:METRIC``.

    Returns
    -------
    Scores

    Raises
    ------
    InputError
        No such file, a unit or target that is none.
    FileFormatError
        A file that is none of these; the line is named.

    Notes
    -----
    Time and memory O(bytes of the files). Result files are JSON, which executes nothing.
    """
    if unit is not None and unit not in _UNITS:
        raise InputError(f"unit must be 'fraction' or 'percent', not {unit!r}")
    place = Path(path)
    suffix = place.suffix.lower()
    if place.is_dir() or suffix == ".json":
        if unit is not None:
            raise InputError(f"unit={unit!r}: result files hold fractions, so leave it out")
        scores = _from_results(place, targets)
    elif suffix in (".csv", ".tsv", ".parquet"):
        header, rows = _parquet(place) if suffix == ".parquet" else _delimited(place, suffix)
        scores = _from_table(place, header, rows, unit, targets)
    else:
        raise InputError(
            f"scores file {str(place)!r}: scores are a .csv, .tsv or .parquet table, a .json "
            "result file or a folder of such"
        )
    _check_targets(scores, targets, place)
    return scores


Row = tuple[str, list[str]]
"""Where a row is, and its cells."""


def _delimited(path: Path, suffix: str) -> tuple[list[str], list[Row]]:
    try:
        text = read_bytes(path, "scores").decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{str(path)!r} is not UTF-8 text: {error}") from None
    delimiter = "\t" if suffix == ".tsv" else ","
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    rows: list[Row] = []
    try:
        header = list(map(unguarded, next(reader, [])))
        for cells in reader:
            where = f"{str(path)!r}, line {reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(header):
                raise FileFormatError(f"{where}: {len(cells)} cells, not {len(header)}")
            rows.append((where, list(map(unguarded, cells))))
    except csv.Error as error:
        raise FileFormatError(f"{str(path)!r}, line {reader.line_num}: {error}") from None
    return header, rows


def _parquet(path: Path) -> tuple[list[str], list[Row]]:
    import pyarrow as pa

    from pyphylo.io._bounded_parquet import read_flat

    data = read_bytes(path, "scores")
    try:
        table = read_flat(path, pa.BufferReader(data))
        columns = [
            ["" if value is None else str(value) for value in column.to_pylist()]
            for column in table.columns
        ]
    except (FileFormatError, MemoryError):
        raise
    except Exception as error:
        raise FileFormatError(f"{str(path)!r} is no Parquet file: {error}") from None
    rows = [
        (f"{str(path)!r}, row {number}", list(cells))
        for number, cells in enumerate(zip(*columns, strict=True), 1)
    ]
    return list(table.column_names), rows


def _from_table(
    path: Path,
    header: list[str],
    rows: list[Row],
    unit: str | None,
    targets: Sequence[str] | None,
) -> Scores:
    repeated = {name for name, times in Counter(header).items() if times > 1}
    if repeated:
        raise FileFormatError(f"{str(path)!r}: column {sorted(repeated)[0]!r} occurs twice")
    form = _table_form(header)
    if form is None:
        return _plain_table(path, header, rows, unit or "fraction", targets)
    if unit is not None:
        raise InputError(f"unit={unit!r}: {str(path)!r} is a table of the {form}, which is known")
    return _leaderboard(path, form, header, rows, targets)


def _table_form(header: Sequence[str]) -> str | None:
    """The leaderboard whose table has these columns."""
    short = {_short(name) for name in header}
    if not ({"Model", "fullname"} & short and "Average" in short):
        return None
    for form, columns in _LEADERBOARDS.items():
        if len(short & set(columns)) >= _LEAST:
            return form
    return None


def _short(name: str) -> str:
    """A column's name without shots and arrow: ``ARC (25-shot) ⬆️`` is ARC."""
    name = name.rstrip(_ARROW)
    shots = _SHOTS.search(name[-_LONGEST_SHOTS:])
    return name[: shots.start() - min(len(name), _LONGEST_SHOTS)].rstrip() if shots else name


def _plain_table(
    path: Path,
    header: list[str],
    rows: list[Row],
    unit: str,
    targets: Sequence[str] | None,
) -> Scores:
    if "model" not in header:
        hint = did_you_mean("model", header)
        raise FileFormatError(f"{str(path)!r}: the first line names no column 'model'{hint}")
    at = header.index("model")
    _check_columns(path, targets, [name for name in header if name != "model"])
    wanted = [
        (i, name)
        for i, name in enumerate(header)
        if i != at and (targets is None or name in targets)
    ]
    found = []
    for where, cells in rows:
        if not cells[at]:
            raise FileFormatError(f"{where}: the model's name is empty")
        for i, benchmark in wanted:
            value = _number(cells[i])
            if value is None:
                raise FileFormatError(
                    f"{where}: {benchmark!r} of {cells[at]!r} is {cells[i]!r}, no number; name "
                    "the columns that are benchmarks (--target)"
                )
            if not math.isnan(value):
                found.append((cells[at], benchmark, value, where))
    # A column without any score is a benchmark still: what is made of the scores says so
    return Scores(_frame(found), unit, "table", tuple(_empty(wanted, found)))


def _leaderboard(
    path: Path,
    form: str,
    header: list[str],
    rows: list[Row],
    targets: Sequence[str] | None,
) -> Scores:
    names = [_short(name) for name in header]
    at = names.index("fullname" if "fullname" in names else "Model")
    here = [
        benchmark
        for column, benchmark in _LEADERBOARDS[form].items()
        if column in names or f"{column} Raw" in names
    ]
    _check_columns(path, targets, here)
    wanted = []
    for column, benchmark in _LEADERBOARDS[form].items():
        if targets is not None and benchmark not in targets:
            continue
        # What is shown of version 2 counts from the score of guessing; the raw score is beside it,
        # often rounded to two places, so where guessing scores 0 the one that is shown is read
        raw = f"{column} Raw"
        if raw in names and not (column in _UNGUESSED and column in names):
            wanted.append((names.index(raw), benchmark, 1.0))
        elif column in names:
            wanted.append((names.index(column), benchmark, 100.0))
    found, wrong = [], []
    for where, cells in rows:
        link = _LINK.search(cells[at])
        name = link[1] if link and "<" in cells[at] else cells[at]
        if not name.strip():
            raise FileFormatError(f"{where}: the model's name is empty")
        for i, benchmark, top in wanted:
            value = _number(cells[i])
            if value is None or not (math.isnan(value) or 0 <= value <= top):
                wrong.append(f"{benchmark} of {name} ({cells[i]!r} is not in [0, {top:g}])")
            elif not math.isnan(value):
                found.append((name, benchmark, value / top, where))
    percent = {benchmark for _, benchmark, top in wanted if top > 1}
    shown = [value for _, benchmark, value, _ in found if benchmark in percent]
    if shown and max(shown) <= 0.01:
        raise FileFormatError(
            f"{str(path)!r} has the columns of the {form}, which shows percent, but none of its "
            "numbers exceeds 1: rename the column of names to 'model' if they are fractions"
        )
    columns = [(i, benchmark) for i, benchmark, _ in wanted]
    return Scores(_frame(found), "fraction", form, (*wrong, *_empty(columns, found)))


def _from_results(path: Path, targets: Sequence[str] | None) -> Scores:
    """Result files, the earlier ones first."""
    folder = path.is_dir()
    files = sorted(path.rglob("*.json")) if folder else [path]
    left_out, parsed, tasks = [], [], set()
    why: dict[str, list[str]] = {}
    for file in files:
        data = read_json(file)
        if folder and not is_results(data):
            left_out.append(f"{file} (no object 'results' of scores by task)")
            continue
        results = parse_results(data, file, targets)
        tasks |= set(results.tasks)
        for what in results.left_out:
            why.setdefault(what, []).append(results.model)
        parsed.append((results, file))
    if not parsed:
        raise FileFormatError(f"folder {str(path)!r} holds no .json result file")
    left_out += [f"{what} of {_some(models, 4)}" for what, models in why.items()]
    parsed.sort(key=lambda pair: pair[0].when)
    found = [
        (results.model, benchmark, value, str(file))
        for results, file in parsed
        for benchmark, value in results.scores.items()
    ]
    forms = sorted({results.form for results, _ in parsed})
    if not found and targets is not None:
        raise InputError(
            f"no file in {str(path)!r} has any of {', '.join(map(repr, targets))}; there are "
            f"{_some(sorted(tasks))}"
        )
    return Scores(_frame(found), "fraction", " and ".join(forms), tuple(left_out))


def _check_columns(path: Path, targets: Sequence[str] | None, here: list[str]) -> None:
    """Refuse a target that no column is."""
    unknown = [name for name in targets or () if name not in here]
    if unknown:
        raise InputError(
            f"{str(path)!r} has no scores of {', '.join(map(repr, unknown))}; it has "
            f"{_some(here) or 'none at all'}{did_you_mean(unknown[0], here)}"
        )


def _check_targets(scores: Scores, targets: Sequence[str] | None, path: Path) -> None:
    """Refuse a target that nothing in the file is."""
    here = list(dict.fromkeys(scores.frame["benchmark"]))
    unknown = [name for name in targets or () if name not in here]
    if unknown:
        raise InputError(
            f"{str(path)!r} ({scores.form}) has no score of {', '.join(map(repr, unknown))}; "
            f"it has {_some(here) or 'none at all'}{did_you_mean(unknown[0], here)}"
        )
    if not here:
        raise FileFormatError(f"{str(path)!r} ({scores.form}) holds no score")


def _empty(
    wanted: Iterable[tuple[int, str]], found: list[tuple[str, str, float, str]]
) -> list[str]:
    """Columns without any score."""
    here = {benchmark for _, benchmark, _, _ in found}
    return [f"{benchmark} (no score)" for _, benchmark in wanted if benchmark not in here]


def _frame(found: list[tuple[str, str, float, str]]) -> pd.DataFrame:
    import pandas as pd

    # JSON can hold half a surrogate pair, Parquet and pandas' strings cannot.
    rows = [(clean_text(name), clean_text(what), score, at) for name, what, score, at in found]
    frame: pd.DataFrame = pd.DataFrame(rows, columns=["name", "benchmark", "score", "source"])
    frame["score"] = frame["score"].astype(float)
    return frame


def _number(text: str) -> float | None:
    """The number in a cell; NaN where it is empty, None where it is text or infinite."""
    text = text.strip()
    if text.lower() in _MISSING:
        return math.nan
    try:
        value = float(text.replace("_", "?"))  # Python alone reads 0_1 as one
    except ValueError:
        return None
    return None if math.isinf(value) else value


def _some(names: Sequence[str], most: int = 12) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more
