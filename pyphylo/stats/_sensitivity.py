"""What moves when alleles are longer, the index is another, or probes are fewer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyphylo._memory import require_memory
from pyphylo._names import did_you_mean, whole_number
from pyphylo.alleles import AlleleTable
from pyphylo.errors import InputError
from pyphylo.stats._moved import MEASURES, Kinship, View, groups_of, jackknifed, moved
from pyphylo.stats._predicted import Scored
from pyphylo.stats._settings import (
    INDEX_NAMES,
    Source,
    fewer_genes,
    fewer_probes,
    fewest_probes,
    index_distances,
    require_shared,
    sources_of,
)

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sensitivity"]

_PAPER = 4
"""Characters of the paper's alleles."""


def sensitivity(
    stores: Any,
    *,
    baseline: Mapping[str, Any] | None = None,
    chars: Iterable[int] | None = None,
    indices: Iterable[str] | None = None,
    probes: Iterable[int] | None = None,
    draws: int = 5,
    metadata: Any = None,
    scores: Any = None,
    groups: Any = None,
    unit: str = "fraction",
    level: float = 0.95,
    preset: str = "paper",
    seed: int = 0,
    n_threads: int = 0,
    progress: bool | None = None,
) -> pd.DataFrame:
    """What each choice of the method moves: the tree, distances, nearest relatives, predictions.

    One setting at a time differs from a baseline: the length of alleles, the index, the
    number of probes, half of the genes, the store.

    Parameters
    ----------
    stores : path, SampleStore or AlleleTable, several of them, or a mapping from name to one
        Of the first (or of the baseline's) everything is varied; sample it with ``chars=16``.
        Every other is a setting by itself: the same models with other prompts, another
        temperature.
    baseline : mapping, optional
        Any of ``store`` (its name, by default the first), ``chars`` (4) and ``index`` ("nei").
    chars : iterable of int, optional
        Lengths of alleles; by default 1 to 16, or as far as the completions go.
    indices : iterable of str, optional
        Of "nei" (Nei's identity, plug-in), "unbiased" (Nei 1978), "da", "chord", "rogers",
        "jsd"; by default all, "unbiased" only where every cell has two probes.
    probes : iterable of int, optional
        Numbers of probes, drawn from those there are without replacement; by default halves,
        quarters and so on of the least number that a cell has, down to 2.
    draws : int
        How often probes and genes are drawn; estimates are means over draws.
    metadata : path, DataFrame or mapping, optional
        Columns ``family`` and ``base_model``, as `propose_parents` reads them.
    scores : DataFrame, Series or mapping, optional
        Of benchmarks, as `cross_validate_scores` takes them.
    groups : str or mapping, optional
        What is left out together when scores are predicted, under every setting alike:
        ``"model"``, ``"clade:0.5"`` (of the baseline's distances), or the group of each
        model with scores. By default families where metadata name all, else
        ``"clade:0.5"``, and copies of a model with it.
    unit : {"fraction", "percent"}
        Of the scores. Predictions are fractions.
    level : float
        Of the limits.
    preset : {"paper", "colab"}
        Of the allele rule.
    seed : int
        Of probes and genes drawn, and of groups of models.
    n_threads : int
        0: all that this process may use. The result does not depend on it.
    progress : bool, optional
        Whether a bar on stderr tells how far the work is; by default only on a terminal.

    Returns
    -------
    pandas.DataFrame
        One row a setting and measure. ``kind`` (baseline, chars, index, probes, genes, store) and
        ``value`` name the setting; ``store``, ``chars``, ``index``, ``probes`` (of the cell
        that has fewest; 0 for exact cells), ``genes``, ``draws`` and ``models`` describe it;
        ``measure``, ``estimate``, ``se``, ``low``, ``high``. Measures against the baseline:

        - robinson_foulds, quartets: normalised distances of the neighbor-joining trees, of
          4 models or more, quartets of at most 300;
        - distance_correlation: Spearman's, over all pairs;
        - nearest_kept: share of the models whose nearest relative stays;
        - nearest_5_kept: mean share of the five nearest that stay, of 7 models or more;
        - families_whole: share of the families (two models inside or more, two outside)
          that are a clade of their own in the setting's tree;
        - parents_nearest: share of the declared parents among the models that are their
          child's nearest relative in the setting;
        - families_whole_change, parents_nearest_change: those less the baseline's;
        - predictions_moved: mean absolute difference of the predictions of `BenchmarkRegressor`,
          each from models of other groups, to the baseline's;
        - prediction_r, prediction_mae: Pearson's correlation of predictions with the scores,
          and their mean absolute error; prediction_r_change, prediction_mae_change: those less
          the baseline's. All five are means over benchmarks.

        What says nothing (too few models, no family, no scores) has no row.

    Raises
    ------
    InputError
        An argument that is none; a length that completions do not reach; more probes than
        there are; stores that share fewer than three models; a pair without a distance; scores
        that cannot be used, or whose models are all of one group.

    Notes
    -----
    Errors are of the models: each is left out in turn (over 30 models, 30 random groups) and
    pruned from the trees, and limits are Student's (see `pyphylo.stats._moved.jackknifed`).
    Predictions are made once, from all models, and those left out are not counted.
    They say how far the numbers would differ over other models like these; models of one
    family being alike, limits are too narrow where families are few. Half of the genes is
    the yardstick: what chance alone moves.

    O(settings * draws * groups * tree) time; with scores as many fits as settings * draws *
    groups of models.

    Examples
    --------
    >>> history = pp.simulate.simulate_history(12, 32, 16, seed=1)
    >>> found = pp.sensitivity(history.table, indices=["da"], probes=[4], progress=False)
    >>> found[found.measure == "nearest_kept"].kind.unique().tolist()
    ['baseline', 'chars', 'index', 'probes', 'genes']
    """
    draws = whole_number(draws, "draws", 1)
    seed = whole_number(seed, "seed", 0)
    n_threads = whole_number(n_threads, "n_threads", 0)
    if scores is None and groups is not None:
        raise InputError("groups say what is left out when scores are predicted: give scores too")
    if isinstance(level, bool) or not isinstance(level, (int, float)) or not 0 < level < 1:
        raise InputError(f"level must be between 0 and 1, not {level!r}")
    wanted = None if indices is None else _indices(indices)
    lengths = None if chars is None else _numbers(chars, "chars", 1)
    named = sources_of(stores)
    start = _Baseline.of(baseline, named)
    kinship = _kinship(metadata)
    source = start.read(named[start.store], lengths, preset)
    others = [
        Source.read(name, given, min(start.chars or _PAPER, source.chars), preset)
        for name, given in named.items()
        if name != start.store
    ]
    plan = _Plan.of(source, start, lengths, wanted, probes, draws, seed, others)
    scored = None if scores is None else plan.scored(scores, groups, unit, kinship, n_threads)
    return _measured(plan, kinship, scored, float(level), seed, n_threads, progress)


@dataclass(frozen=True)
class _Baseline:
    """What every setting is compared with; `chars` None: the paper's, as far as they go."""

    store: str
    chars: int | None
    index: str

    @classmethod
    def of(cls, given: Mapping[str, Any] | None, named: Mapping[str, Any]) -> _Baseline:
        asked = {} if given is None else dict(given)
        keys = ("store", "chars", "index")
        for key in asked.keys() - set(keys):
            known = ", ".join(map(repr, keys))
            hint = did_you_mean(key, keys)
            raise InputError(f"the baseline has no {key!r}; known: {known}{hint}")
        store = asked.get("store", next(iter(named)))
        if store not in named:
            raise InputError(
                f"the baseline's store {store!r} is none of {', '.join(map(repr, named))}"
                f"{did_you_mean(store, named)}"
            )
        (index,) = _indices([asked.get("index", "nei")])
        chars = asked.get("chars")
        return cls(store, None if chars is None else whole_number(chars, "chars", 1), index)

    def read(self, given: Any, lengths: list[int] | None, preset: str) -> Source:
        """The baseline's store, at the greatest length that is asked for, or at 16 if more."""
        source = Source.read(self.store, given, None, preset)
        longest = max([*(lengths or []), self.chars or 1])
        return (
            source if longest <= source.chars else Source.read(self.store, given, longest, preset)
        )


@dataclass(frozen=True, eq=False)
class _Setting:
    """One setting: how to make its tables, and what it is called."""

    kind: str
    value: str
    store: str
    chars: int
    index: str
    models: tuple[str, ...]
    tables: Callable[[int], AlleleTable]
    """The table of a draw."""
    draws: int = 1


@dataclass(frozen=True, eq=False)
class _Plan:
    """The baseline, and all settings; made before work starts, so what cannot be is refused."""

    baseline: _Setting
    settings: list[_Setting]

    @classmethod
    def of(
        cls,
        source: Source,
        start: _Baseline,
        lengths: list[int] | None,
        indices: list[str] | None,
        probes: Iterable[int] | None,
        draws: int,
        seed: int,
        others: list[Source],
    ) -> _Plan:
        if start.chars is None:
            at = min(_PAPER, source.chars) if source.can_be_cut else source.chars
        else:
            at = start.chars
        if lengths is not None and not source.can_be_cut:
            raise InputError(
                f"alleles of {source.name!r} are not counts, and cannot be cut without their "
                "texts: give the store, not its table"
            )
        if lengths is None:
            lengths = list(range(1, source.chars + 1)) if source.can_be_cut else []
        table = source.table(at) if source.can_be_cut else source.full
        models = tuple(sorted(table.models))
        if len(models) < 3:
            raise InputError(
                f"store {source.name!r} holds {len(models)} models; what moves shows in three or "
                "more"
            )
        most = fewest_probes(table)
        wanted = _halves(most) if probes is None else _numbers(probes, "probes", 1)
        for n in wanted:
            if n > most:
                has = f"has a cell of {most} probes" if most else "has exact cells, which no probes"
                raise InputError(f"store {source.name!r} {has}: {n} cannot be drawn from it")
        unbiased_asked = start.index == "unbiased" or "unbiased" in (indices or [])
        if unbiased_asked and most == 1:
            raise InputError(
                f"store {source.name!r} has a cell of one probe; the unbiased index needs two"
            )
        if start.index == "unbiased" and 1 in wanted:
            raise InputError("the unbiased index of the baseline needs two probes, not 1")
        if indices is None:
            indices = [name for name in INDEX_NAMES if name != "unbiased" or most != 1]

        def setting(kind: str, value: Any, **changes: Any) -> _Setting:
            same: dict[str, Any] = {
                "store": source.name,
                "chars": at,
                "index": start.index,
                "models": models,
                "tables": lambda draw: table,
            }
            return _Setting(kind, str(value), **{**same, **changes})

        settings = [
            setting("chars", n, chars=n, tables=lambda draw, n=n: source.table(n))
            for n in lengths
            if n != at
        ]
        settings += [setting("index", name, index=name) for name in indices if name != start.index]
        settings += [
            setting(
                "probes",
                n,
                draws=draws,
                tables=lambda draw, n=n: fewer_probes(table, n, seed, draw),
            )
            for n in wanted
            if n != most
        ]
        half = len(table.genes) // 2
        if half:
            settings.append(
                setting(
                    "genes", half, draws=draws,
                    tables=lambda draw: fewer_genes(table, half, seed, draw),
                )
            )  # fmt: skip
        for other in others:
            there = other.table(at) if other.can_be_cut else other.full
            shared = tuple(name for name in models if name in set(there.models))
            require_shared(source.name, shared, other.name)
            settings.append(
                setting(
                    "store", other.name, store=other.name, models=shared,
                    tables=lambda draw, there=there: there,
                )
            )  # fmt: skip
        return cls(setting("baseline", source.name), settings)

    def scored(
        self, scores: Any, groups: Any, unit: str, kinship: Kinship, n_threads: int
    ) -> Scored:
        """Scores of the baseline's models, which every setting's models must do with."""
        from pyphylo.distance import DistanceMatrix
        from pyphylo.predict._inputs import matched_scores

        base = self.baseline
        table = matched_scores(scores, base.models, unit)
        D = index_distances(base.tables(0), base.index, base.models, n_threads)
        scored = Scored.of(table, groups, DistanceMatrix._trusted(D, base.models, {}), kinship)
        for setting in self.settings:
            if setting.models != base.models:
                scored.require(setting.models, setting.store)
        return scored


def _measured(
    plan: _Plan,
    kinship: Kinship,
    scored: Scored | None,
    level: float,
    seed: int,
    n_threads: int,
    progress: bool | None,
) -> pd.DataFrame:
    """Every setting against the baseline."""
    import pandas as pd

    base = plan.baseline
    base_table = base.tables(0)
    n, draws = len(base.models), max(setting.draws for setting in plan.settings)
    require_memory(8 * n * n * (2 * draws + 6), f"{n} x {n} distances of {draws} draws")
    reference: dict[tuple[str, ...], View] = {}
    rows: list[dict[str, Any]] = []
    hidden, delay = (None, 0.5) if progress is None else (not progress, 0.0)
    everything = [base, *plan.settings]
    with tqdm(
        total=len(everything), desc="sensitivity", unit="setting", disable=hidden, delay=delay
    ) as bar:
        for setting in everything:
            groups = groups_of(len(setting.models), seed)
            if setting.models not in reference:
                D = index_distances(base_table, base.index, setting.models, n_threads)
                reference[setting.models] = View(D, setting.models, kinship, scored)
            views, table = [], base_table
            if setting is base:  # what it is compared with, which is not predicted twice
                views.append(reference[setting.models])
            for draw in range(0 if setting is base else setting.draws):
                table = setting.tables(draw)
                D = index_distances(table, setting.index, setting.models, n_threads)
                views.append(View(D, setting.models, kinship, scored))
            against = _Against(reference[setting.models], views, groups)
            rows += _rows(setting, table, jackknifed(against.measure, groups, level))
            bar.update()
    frame: pd.DataFrame = pd.DataFrame(rows)
    return frame


@dataclass(frozen=True, eq=False)
class _Against:
    """The views of a setting's draws against the baseline's.

    Views without a group are made when they are asked for: all at once they would take as
    many matrices as there are groups.
    """

    base: View
    views: list[View]
    groups: list[NDArray[np.int64]]

    def measure(self, k: int | None) -> NDArray[np.float64]:
        """Measures, means over draws, without the k-th group (None: of all models)."""
        if k is None:
            base, views = self.base, self.views
        else:
            base = self.base.without(self.groups[k])
            views = [view.without(self.groups[k]) for view in self.views]
        means: NDArray[np.float64] = np.mean([moved(base, view) for view in views], axis=0)
        return means


def _rows(setting: _Setting, table: AlleleTable, found: Any) -> list[dict[str, Any]]:
    """One row a measure that says something."""
    described = {
        "kind": setting.kind,
        "value": setting.value,
        "store": setting.store,
        "chars": setting.chars,
        "index": setting.index,
        "probes": fewest_probes(table),
        "genes": len(table.genes),
        "draws": setting.draws,
        "models": len(setting.models),
    }
    return [
        {
            **described,
            "measure": name,
            "estimate": float(found.estimate[k]),
            "se": float(found.se[k]),
            "low": float(found.low[k]),
            "high": float(found.high[k]),
        }
        for k, name in enumerate(MEASURES)
        if not np.isnan(found.estimate[k])
    ]


def _kinship(metadata: Any) -> Kinship:
    """Families and declared parents; none without metadata."""
    from pyphylo.io.metadata import _cell, _rows, read_lineage

    if metadata is None:
        return Kinship({}, {})
    rows, _ = _rows(metadata)
    families = {name: _cell(row, "family") for name, row in rows.items()}
    known = {name: family for name, family in families.items() if family is not None}
    return Kinship(known, read_lineage(metadata).parents)


def _halves(n: int) -> list[int]:
    """N / 2, n / 4 and so on, down to 2."""
    found = []
    while (n := n // 2) >= 2:
        found.append(n)
    return found[::-1]


def _numbers(values: Iterable[int], name: str, least: int) -> list[int]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise InputError(f"{name} are whole numbers, not {values!r}")
    return sorted({whole_number(value, name, least) for value in values})


def _indices(names: Iterable[str]) -> list[str]:
    if isinstance(names, str):
        raise InputError(f"indices are a list of names, not {names!r}")
    found = list(dict.fromkeys(names))
    for name in found:
        if not isinstance(name, str) or name not in INDEX_NAMES:
            known = ", ".join(map(repr, INDEX_NAMES))
            raise InputError(
                f"unknown index {name!r}; known: {known}{did_you_mean(name, INDEX_NAMES)}"
            )
    return found
