"""Which model a name in a file of scores means."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from pyphylo.errors import InputError
from pyphylo.io.scores import Scores
from pyphylo.predict.groups import some

__all__ = ["Matched", "match_names", "match_scores"]

_REPEATED = ("error", "last", "mean")


@dataclass(frozen=True)
class Matched:
    """Scores by model, and what became of every name.

    Attributes
    ----------
    scores : DataFrame
        Indexed by model, one column a benchmark, NaN where there is no score.
    unit : {"fraction", "percent"}
    names : DataFrame
        A row for each name in the file: name, model (None: not matched), how it was
        matched, or why not.
    repeated : list of str
        What had different values, and was settled.
    """

    scores: pd.DataFrame
    unit: str
    names: pd.DataFrame
    repeated: list[str] = field(default_factory=list)

    @property
    def unmatched(self) -> list[str]:
        """Names of the file that are no model's."""
        return [str(name) for name in self.names.loc[self.names["model"].isna(), "name"]]


def match_scores(
    scores: Scores,
    models: Sequence[str],
    *,
    aliases: Mapping[str, Iterable[str]] | None = None,
    repeated: str = "error",
) -> Matched:
    """Scores as a table of models.

    Parameters
    ----------
    scores : Scores
        As `pyphylo.predict.read_scores` reads them.
    models : sequence of str
    aliases : mapping of str to iterable of str, optional
        Other names of models, such as hub ids.
    repeated : {"error", "last", "mean"}
        What to do where a model has different values for a benchmark: a leaderboard has one for
        each precision, a folder one for each run. The last is the latest of runs.

    Returns
    -------
    Matched

    Raises
    ------
    InputError
        No name is a model's, or values differ and `repeated` is "error".
    """
    if repeated not in _REPEATED:
        raise InputError(f"repeated must be 'error', 'last' or 'mean', not {repeated!r}")
    frame = scores.frame
    names = match_names(list(dict.fromkeys(frame["name"])), models, aliases)
    if names["model"].isna().all():
        raise InputError(
            f"no name with scores is a model's: {some(list(names['name']))}, where models are "
            f"{some(list(models))}"
        )
    model_of = dict(zip(names["name"], names["model"], strict=True))
    used = frame.assign(model=frame["name"].map(model_of)).dropna(subset=["model"])
    cells = used.groupby(["model", "benchmark"], sort=False)["score"]
    differ = cells.nunique()
    differ = differ[differ > 1]
    settled = [f"{benchmark} of {model}" for model, benchmark in differ.index]
    if settled and repeated == "error":
        model, benchmark = differ.index[0]
        first = used[(used["model"] == model) & (used["benchmark"] == benchmark)]
        places = zip(first["score"], first["source"], strict=True)
        raise InputError(
            f"different scores of the same model: {some(settled)}; {settled[0]} is "
            + some([f"{score:g} in {source}" for score, source in places], 3)
            + "; keep one each, or say which counts (--repeated last, or mean)"
        )
    values = cells.mean() if repeated == "mean" else cells.last()
    order = list(dict.fromkeys(frame["benchmark"]))
    kept = [benchmark for benchmark in order if benchmark in set(used["benchmark"])]
    table: pd.DataFrame = values.unstack("benchmark")
    table = table.reindex(index=[m for m in models if m in table.index], columns=kept)
    table.columns.name = table.index.name = None
    return Matched(table, scores.unit, names, settled)


def match_names(
    names: Sequence[str],
    models: Sequence[str],
    aliases: Mapping[str, Iterable[str]] | None = None,
) -> pd.DataFrame:
    """The model that each name means, if any.

    In turn: the same text; another name of the model; the same but for case and for ``__``
    in place of ``/``; the same without revision; the same where one of the two has no
    organisation (what is a path on a disk has none; two organisations are two models). A
    model keeps the first name that it gets; a step by which a name could mean several models,
    or a model have several names, decides nothing.

    Returns
    -------
    DataFrame
        A row a name: name, model (None: not matched), how.

    Notes
    -----
    O(names + models) time.
    """
    others = aliases or {}
    called = {model: (model, *others.get(model, ())) for model in models}
    found: dict[str, str] = {}
    why: dict[str, str] = {}
    for step in _STEPS:
        taken = set(found.values())
        meant: dict[str, set[str]] = {}
        for model in models:
            if step.placeless and not all(map(_unorganised, called[model])):
                continue
            for name in called[model][: 1 if step.how == "exact" else None]:
                meant.setdefault(step.form(name), set()).add(model)
        may_be: dict[str, set[str]] = {}
        asking: dict[str, list[str]] = {}
        for name in names:
            if name in found or not step.of_name(name) or step.form(name) not in meant:
                continue
            every = meant[step.form(name)]
            may_be[name] = every - taken
            if not may_be[name]:
                why[name] = f"{some(sorted(every), 2)} has a nearer name"
            for model in may_be[name]:
                asking.setdefault(model, []).append(name)
        # Only where a name and a model have no one but each other is it decided
        for name, candidates in may_be.items():
            if len(candidates) > 1:
                why[name] = f"may be {some(sorted(candidates), 4)}"
            for model in candidates if len(candidates) == 1 else ():
                if len(asking[model]) == 1:
                    found[name], why[name] = model, step.how
                else:
                    why[name] = f"one of {some(asking[model], 4)} may be {model!r}"
    table: pd.DataFrame = pd.DataFrame(
        {
            "name": list(names),
            "model": pd.Series([found.get(name) for name in names], dtype=object),
            "how": [why.get(name, "no such model") for name in names],
        }
    )
    return table


def _spelled(name: str) -> str:
    return name.strip().replace("__", "/").casefold()


def _unrevised(name: str) -> str:
    return re.sub(r"@[^/@]*$", "", _spelled(name))


def _bare(name: str) -> str:
    return _unrevised(name).rstrip("/").rpartition("/")[2]


def _any(name: str) -> bool:
    return True


def _unorganised(name: str) -> bool:
    """Whether a name does not say whose the model is, as org/name does; a path does not."""
    return _spelled(name).count("/") != 1 or name.startswith(("/", ".", "~"))


@dataclass(frozen=True)
class _Step:
    """A way to compare, and which names of the file it is for.

    `placeless`: only for models none of whose names has an organisation.
    """

    how: str
    form: Callable[[str], str]
    of_name: Callable[[str], bool] = _any
    placeless: bool = False


_STEPS = (
    _Step("exact", str),
    _Step("another name", str),
    _Step("spelling", _spelled),
    _Step("without revision", _unrevised),
    _Step("without organisation", _bare, _unorganised),
    _Step("without organisation", _bare, _any, placeless=True),
)
