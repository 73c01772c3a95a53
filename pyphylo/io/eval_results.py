"""Result files of evaluations: lm-evaluation-harness and the Open LLM Leaderboard, v1 and v2.

All are JSON with an object ``results`` that holds, by task, numbers by metric. Version 1 of
the leaderboard names tasks ``harness|arc:challenge|25``, version 2 ``leaderboard_bbh``; the
harness has its own names, and since 0.4 writes metrics as ``acc,none``: metric, filter.
Sources: the harness's ``loggers/evaluation_tracker.py``, the leaderboard's pages "About"
(tasks and metrics of version 2) and "Archive" (of version 1).
"""

from __future__ import annotations

import datetime
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pyphylo._files import read_bytes
from pyphylo.errors import FileFormatError

__all__ = ["Results", "is_results", "parse_results", "read_json"]

_LEADERBOARDS = ("Open LLM Leaderboard v1", "Open LLM Leaderboard v2")
_SUBJECT = "hendrycksTest-"
"""What names of MMLU's subjects begin with."""

_FIRST = {
    "arc": ("arc_challenge", "acc_norm"),
    "hellaswag": ("hellaswag", "acc_norm"),
    "mmlu": (_SUBJECT, "acc"),
    "truthfulqa": ("truthfulqa_mc", "mc2"),
    "winogrande": ("winogrande", "acc"),
    "gsm8k": ("gsm8k", "acc"),
    "drop": ("drop", "f1"),
}
"""Version 1: task (with _ for :) and metric of each benchmark. MMLU is the mean of 57 subjects."""

_SUBJECTS = 57

_SECOND = {
    "ifeval": ("leaderboard_ifeval", ("inst_level_strict_acc", "prompt_level_strict_acc"), 1),
    "bbh": ("leaderboard_bbh", ("acc_norm",), 24),
    "math_lvl_5": ("leaderboard_math_hard", ("exact_match",), 7),
    "gpqa": ("leaderboard_gpqa", ("acc_norm",), 3),
    "musr": ("leaderboard_musr", ("acc_norm",), 3),
    "mmlu_pro": ("leaderboard_mmlu_pro", ("acc",), 1),
}
"""Version 2: task, metrics whose mean counts, and number of subtasks of each benchmark."""

_MATH = "leaderboard_math_"
"""Subtasks of ``leaderboard_math_hard`` are ``leaderboard_math_algebra_hard`` and so on."""

_METRICS = (
    "acc_norm",
    "acc",
    "exact_match",
    "pass@1",
    "pass_at_1",
    "prompt_level_strict_acc",
    "mc2",
    "em",
    "f1",
)
"""The harness: of a task's metrics, the first of these that it has."""

_FILTERS = ("none", "", "strict-match", "flexible-extract")
"""And of its filters; others follow by name."""

_MODEL_KEYS = ("peft", "delta", "pretrained", "model", "path", "engine")
"""Arguments that name the model, in the order in which the harness itself looks."""

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d[-:]\d\d[-:]\d\d(?:\.\d+)?")
_VERSION_1 = re.compile(r"(?:\w+\|)?([^|]+)(?:\|\d+)*")


@dataclass
class Results:
    """What one file says of one model.

    Attributes
    ----------
    model : str
        As the file has it.
    when : str
        Of the run, so that later ones sort last; empty where the file does not say.
    form : str
    scores : dict of str to float
        Fractions of 1, by benchmark.
    left_out : list of str
        What was not used, and why.
    tasks : tuple of str
        Of the file.
    """

    model: str
    when: str
    form: str
    scores: dict[str, float] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)
    tasks: tuple[str, ...] = ()


def read_json(path: str | Path) -> Any:
    """A JSON file's content.

    Raises
    ------
    FileFormatError
        Not UTF-8, no JSON, or nested too deeply; the line is named.
    """
    try:
        return json.loads(read_bytes(path, "results").decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise FileFormatError(f"{str(path)!r} is not UTF-8 text: {error}") from None
    except ValueError as error:  # also of a number with thousands of digits
        raise FileFormatError(f"{str(path)!r} is no JSON: {error}") from None
    except RecursionError:
        raise FileFormatError(f"{str(path)!r} is nested too deeply for a result file") from None


def is_results(data: Any) -> bool:
    """Whether this is what a result file holds."""
    return (
        isinstance(data, dict)
        and isinstance(data.get("results"), dict)
        and any(isinstance(value, dict) for value in data["results"].values())
    )


def parse_results(data: Any, path: Path, targets: Sequence[str] | None = None) -> Results:
    """The scores in one result file.

    Parameters
    ----------
    data : object
        As JSON gives it.
    path : Path
        Names the model and the time where the file does not.
    targets : sequence of str, optional
        Benchmarks that are wanted: of a leaderboard, a task of the harness, or
        ``TASK:METRIC`` or ``TASK:METRIC,FILTER``. By default a leaderboard's own, or all
        tasks of the harness that are not part of another.

    Raises
    ------
    FileFormatError
        No result file, or one that names no model.
    """
    if not is_results(data):
        raise FileFormatError(f"{str(path)!r} has no object 'results' of scores by task")
    tasks = {str(task): value for task, value in data["results"].items() if isinstance(value, dict)}
    form = _form(data, tasks)
    # A leaderboard has each model once; the harness may have run on each of its revisions
    model = _model(data, path) + ("" if form in _LEADERBOARDS else _revision(data))
    found = Results(model, _when(data, path), form, tasks=tuple(tasks))
    if form == _LEADERBOARDS[0]:
        _first(found, tasks, data.get("versions"), targets)
    elif form == _LEADERBOARDS[1]:
        _second(found, tasks, targets)
    else:
        _harness(found, data, tasks, targets)
    _keep_fractions(found)
    return found


def _form(data: Mapping[str, Any], tasks: Mapping[str, Any]) -> str:
    if "config_general" in data or any("|" in task for task in tasks):
        return _LEADERBOARDS[0]
    if any(task.startswith("leaderboard_") for task in tasks):
        return _LEADERBOARDS[1]
    return "lm-evaluation-harness"


def _model(data: Mapping[str, Any], path: Path) -> str:
    """The model's name, from the first place that has it."""
    for place in (data.get("config_general"), data):
        name = place.get("model_name") if isinstance(place, dict) else None
        if isinstance(name, str) and name:
            return name
    arguments = _arguments(data)
    for key in _MODEL_KEYS:
        if isinstance(arguments.get(key), str) and arguments[key]:
            return str(arguments[key])
    # The harness writes FOLDER/org__name/results_TIME.json
    folder = path.absolute().parent.name
    if path.name.startswith("results") and "__" in folder:
        return folder
    raise FileFormatError(
        f"{str(path)!r} names no model: it has no model_name, no model_args, and lies in no "
        "folder such as org__name"
    )


def _arguments(data: Mapping[str, Any]) -> dict[str, Any]:
    """What the harness was told of the model: text such as ``pretrained=gpt2,revision=main``."""
    config = data.get("config")
    arguments = config.get("model_args") if isinstance(config, dict) else None
    if isinstance(arguments, str):
        pairs = (part.partition("=") for part in arguments.split(","))
        return {key.strip(): value for key, _, value in pairs}
    return arguments if isinstance(arguments, dict) else {}


def _revision(data: Mapping[str, Any]) -> str:
    """The revision as pyphylo writes it after a name, ``@step1000``; nothing for ``main``."""
    revision = _arguments(data).get("revision")
    return f"@{revision}" if isinstance(revision, str) and revision not in ("", "main") else ""


def _when(data: Mapping[str, Any], path: Path) -> str:
    stamp = _STAMP.search(path.name)
    if stamp:
        return stamp[0].replace(":", "-")
    date = data.get("date")
    if isinstance(date, (int, float)) and not isinstance(date, bool) and 0 < date < 2**40:
        moment = datetime.datetime.fromtimestamp(date, datetime.timezone.utc)
        return moment.strftime("%Y-%m-%dT%H-%M-%S.%f")
    return ""


def _first(
    found: Results,
    tasks: Mapping[str, Any],
    versions: Any,
    targets: Sequence[str] | None,
) -> None:
    """Scores of version 1."""
    names = {_plain(task): value for task, value in tasks.items()}
    names.pop("all", None)
    for benchmark, (task, metric) in _FIRST.items():
        parts = [
            name for name in names if name == task or (task.endswith("-") and name.startswith(task))
        ]
        values = [names.pop(name).get(metric) for name in parts]
        if not values or (targets is not None and benchmark not in targets):
            continue
        if benchmark == "mmlu" and _is_old(versions):
            found.left_out.append("mmlu (version 0 of its tasks, which scored otherwise)")
        elif benchmark == "mmlu" and len(values) < _SUBJECTS:
            found.left_out.append(f"mmlu ({len(values)} of its {_SUBJECTS} subjects)")
        else:
            _add_mean(found, benchmark, values, metric)
    if names and targets is None:
        found.left_out.append(f"{', '.join(names)} (no benchmark of this leaderboard)")


def _plain(task: str) -> str:
    """The task in ``harness|arc:challenge|25``: arc_challenge."""
    match = _VERSION_1.fullmatch(task)
    return (match[1] if match else task).replace(":", "_")


def _is_old(versions: Any) -> bool:
    """Whether MMLU is of the version whose scores the leaderboard does not count."""
    return isinstance(versions, dict) and any(
        _plain(str(task)) == "hendrycksTest-abstract_algebra" and version == 0
        for task, version in versions.items()
    )


def _second(found: Results, tasks: Mapping[str, Any], targets: Sequence[str] | None) -> None:
    """Scores of version 2: raw ones, as the files hold them."""
    for benchmark, (task, metrics, parts) in _SECOND.items():
        if targets is not None and benchmark not in targets:
            continue
        stem = _MATH if benchmark == "math_lvl_5" else task + "_"
        places = [tasks[task]] if task in tasks else []
        if not places:
            places = [value for name, value in tasks.items() if name.startswith(stem)]
            if places and len(places) != parts:
                found.left_out.append(f"{benchmark} ({len(places)} of its {parts} subtasks)")
                continue
        values = [_metric(place, metric) for place in places for metric in metrics]
        if values:
            _add_mean(found, benchmark, values, " and ".join(metrics))
    rest = None if targets is None else [name for name in targets if name not in _SECOND]
    if rest:
        _harness(found, {}, tasks, rest)


def _harness(
    found: Results,
    data: Mapping[str, Any],
    tasks: Mapping[str, Any],
    targets: Sequence[str] | None,
) -> None:
    """One score of each task that is no part of another, or of those that are wanted."""
    # Of old, MMLU was 57 tasks that no group held together
    subjects = [value for task, value in tasks.items() if task.startswith(_SUBJECT)]
    if subjects and (targets is None or "mmlu" in targets):
        if len(subjects) == _SUBJECTS:
            _add_mean(found, "mmlu", [_metric(value, "acc") for value in subjects], "acc")
        else:
            found.left_out.append(f"mmlu ({len(subjects)} of its {_SUBJECTS} subjects)")
    if targets is None:
        groups = data.get("group_subtasks")
        groups = groups if isinstance(groups, dict) else {}
        lists = (parts for parts in groups.values() if isinstance(parts, list))
        within = {str(part) for parts in lists for part in parts}
        for task in tasks:
            if task.startswith(_SUBJECT):
                continue
            if task not in within or not any(group in tasks for group in groups):
                _add_task(found, task, tasks[task], data)
        return
    for target in targets:
        task, colon, metric = target.partition(":")
        if target in tasks:
            _add_task(found, target, tasks[target], data)
        elif colon and task in tasks:
            value = _metric(tasks[task], metric)
            if value is None:
                named = ", ".join(sorted(_metrics(tasks[task])))
                found.left_out.append(f"{target} ({task} has no such metric, but {named})")
            else:
                _add_mean(found, target, [value], metric)


def _add_task(found: Results, task: str, values: Any, data: Mapping[str, Any]) -> None:
    here = _metrics(values)
    for metric in _METRICS:
        if any(key.partition(",")[0] == metric for key in here):
            _add_mean(found, task, [_metric(values, metric)], metric)
            return
    direction = data.get("higher_is_better")
    better = direction.get(task) if isinstance(direction, dict) else None
    better = better if isinstance(better, dict) else {}
    likely = [
        key
        for key, value in here.items()
        if better.get(key.partition(",")[0]) is not False and _is_fraction(value)
    ]
    named = ", ".join(sorted(here))
    if len(likely) == 1:
        found.scores[task] = here[likely[0]]
    elif likely:
        found.left_out.append(f"{task} (which of {named}? name it: {task}:{sorted(likely)[0]})")
    else:
        found.left_out.append(f"{task} (no score among {named or 'its metrics'})")


def _metrics(values: Any) -> dict[str, float]:
    """The numbers of a task that are no errors of others."""
    return {
        str(key): _as_float(value)
        for key, value in values.items()
        if isinstance(value, (int, float))
        and not isinstance(value, bool)
        and "_stderr" not in str(key)
        and str(key) not in ("sample_len", "samples")
    }


def _as_float(value: float) -> float:
    """The number; infinite where it is a whole one that no float holds."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _metric(values: Any, metric: str) -> float | None:
    """A metric under its plain name, or by the first of its filters."""
    here = _metrics(values)
    if metric in here:
        return here[metric]
    filters = [key.partition(",")[2] for key in here if key.partition(",")[0] == metric]
    for name in (*_FILTERS, *sorted(filters)):
        if name in filters:
            return here[f"{metric},{name}"]
    return None


def _add_mean(found: Results, benchmark: str, values: Iterable[Any], metric: str) -> None:
    numbers = [
        _as_float(value) if isinstance(value, (int, float)) else math.nan for value in values
    ]
    if all(map(math.isfinite, numbers)):
        found.scores[benchmark] = sum(numbers) / len(numbers)
    else:
        found.left_out.append(f"{benchmark} (no number for {metric})")


def _keep_fractions(found: Results) -> None:
    """Only what lies in [0, 1] is a score: perplexities and the like are not."""
    for benchmark, value in list(found.scores.items()):
        if not _is_fraction(value):
            del found.scores[benchmark]
            found.left_out.append(f"{benchmark} ({value:g} is no fraction of 1)")


def _is_fraction(value: float) -> bool:
    return 0.0 <= value <= 1.0
