"""Tables of one population under other settings: shorter alleles, fewer probes, fewer genes."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pyphylo._compare import some_names
from pyphylo.alleles import AlleleRule, AlleleTable
from pyphylo.distance import nei_distance
from pyphylo.errors import InputError
from pyphylo.indices import INDICES, genetic_distance
from pyphylo.simulate._draws import Draws

if TYPE_CHECKING:
    from pyphylo.store import SampleStore

__all__ = [
    "INDEX_NAMES",
    "LONGEST",
    "Source",
    "cut_alleles",
    "fewer_genes",
    "fewer_probes",
    "fewest_probes",
    "index_distances",
    "sources_of",
]

INDEX_NAMES = ("nei", "unbiased", *INDICES)
"""Similarity indices: Nei's by its plug-in and its unbiased estimator, then the others."""
LONGEST = 16
"""Characters up to which alleles are varied by default."""


@dataclass(frozen=True, eq=False)
class Source:
    """A store (or a table) by name, and its alleles at the greatest length that is asked for.

    Attributes
    ----------
    name : str
    full : AlleleTable
        Of alleles of up to `chars` characters.
    chars : int
    preset : str
        Of the allele rule.
    store : SampleStore or None
        Where it was read from.
    """

    name: str
    full: AlleleTable
    chars: int
    preset: str
    store: SampleStore | None

    @classmethod
    def read(cls, name: str, given: Any, chars: int | None, preset: str) -> Source:
        """Read a store at a length, by default at the greatest up to `LONGEST` that it has.

        Raises
        ------
        InputError
            When its completions are shorter than the length.
        """
        store = None if isinstance(given, AlleleTable) else given
        known = given.provenance.get("rule", {}) if store is None else given.config
        limit = known.get("chars")
        wanted = chars or min(LONGEST, limit or LONGEST)
        if store is not None:
            store.check_rule(AlleleRule(preset, chars=wanted))
            table = AlleleTable.from_store(store, AlleleRule(preset, chars=wanted))
        else:
            table = given
        longest = max(1, _longest(table))
        if chars is not None and chars > longest:
            what = "completion of store" if store is not None else "allele of table"
            raise InputError(
                f"the longest {what} {name!r} has {longest} characters: alleles of {chars} would "
                f"be the same; ask for at most {longest}, or sample with chars={chars}"
            )
        chars = min(wanted, longest)
        return cls(name, table, chars, preset, store)

    @property
    def can_be_cut(self) -> bool:
        """Whether shorter alleles can be had."""
        return self.store is not None or _is_counted(self.full)

    def table(self, chars: int) -> AlleleTable:
        """The table with alleles of a length up to `self.chars`."""
        if self.store is not None and not _is_counted(self.full):
            return AlleleTable.from_store(self.store, AlleleRule(self.preset, chars=chars))
        return cut_alleles(self.full, chars)


def sources_of(stores: Any) -> dict[str, Any]:
    """Stores and tables by name; paths are opened.

    Raises
    ------
    InputError
        Something that is neither, none at all, or two of one name.
    """
    from pyphylo.store import SampleStore

    if isinstance(stores, Mapping):
        named = dict(stores)
    else:
        one = isinstance(stores, (str, os.PathLike, SampleStore, AlleleTable))
        given = [stores] if one else list(stores)
        paths = [os.fspath(s) if isinstance(s, (str, os.PathLike)) else "" for s in given]
        paths = [str(s.path) if isinstance(s, SampleStore) else path
                 for s, path in zip(given, paths, strict=True)]  # fmt: skip
        short = [Path(path).name or f"table-{k}" for k, path in enumerate(paths)]
        names = (
            short
            if len(set(short)) == len(short)
            else [p or s for p, s in zip(paths, short, strict=True)]
        )
        if len(set(names)) < len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise InputError(f"store {twice!r} is given twice: a setting differs from the baseline")
        named = dict(zip(names, given, strict=True))
    if not named:
        raise InputError("no store is given: name one, or several of the same models")
    for name, each in named.items():
        if isinstance(each, (str, os.PathLike)):
            named[name] = SampleStore.open(os.fspath(each))
        elif not isinstance(each, (SampleStore, AlleleTable)):
            raise InputError(f"{name!r} must be a store or an AlleleTable, not {each!r}")
    return named


def cut_alleles(table: AlleleTable, chars: int) -> AlleleTable:
    """Alleles cut to their first `chars` characters; those that become equal are added up.

    The table that `AlleleTable.from_store` makes with the shorter rule, because a rule strips
    before it cuts. O(entries) time. Raises InputError for tables that are not of counts.
    """
    if not _is_counted(table):
        raise InputError(
            "alleles of exact and hybrid cells are cut when they are read from their store: give "
            "the store, not the table"
        )
    core = table._core
    alleles = pc.utf8_slice_codeunits(table.alleles(), start=0, stop=chars)
    return _counted(
        table,
        np.repeat(np.arange(core.n_models, dtype=np.int32), np.diff(core.indptr)),
        core.columns,
        core.counts,
        alleles.cast(pa.large_string()),
        {"rule": {**table.provenance.get("rule", {}), "chars": chars}},
    )


def fewer_probes(table: AlleleTable, n: int, seed: int, draw: int) -> AlleleTable:
    """`n` probes of every cell, drawn without replacement.

    Probes are put into a random order, which depends on the seed, the draw and the model
    only, and the first `n` of each cell kept: a draw's smaller samples are part of its
    larger ones. O(probes log probes) time, one model at a time.
    """
    core = table._core
    gene_of = np.repeat(np.arange(core.n_genes), np.diff(core.gene_offsets))
    models, columns, counts = [], [], []
    for m, model in enumerate(table.models):
        entries = slice(core.indptr[m], core.indptr[m + 1])
        said = np.repeat(core.columns[entries], core.counts[entries])
        genes = gene_of[said]
        order = np.lexsort((Draws(seed, "some probes", draw, model).uniform(len(said)), genes))
        genes = genes[order]  # cells one after the other, each in random order
        start = np.searchsorted(genes, np.arange(core.n_genes))
        kept = said[order[np.arange(len(said)) - start[genes] < n]]
        column, count = np.unique(kept, return_counts=True)
        models.append(np.full(len(column), m, np.int32))
        columns.append(column)
        counts.append(count)
    return _counted(
        table,
        np.concatenate(models),
        np.concatenate(columns),
        np.concatenate(counts),
        table.alleles(),
        {"probes": {"n": n, "seed": seed, "draw": draw}},
    )


def fewer_genes(table: AlleleTable, n: int, seed: int, draw: int) -> AlleleTable:
    """`n` of the genes, drawn without replacement, in the table's order."""
    drawn = np.argsort(Draws(seed, "some genes", draw).uniform(len(table.genes)), kind="stable")[:n]
    return table.select(genes=[table.genes[g] for g in np.sort(drawn)])


def fewest_probes(table: AlleleTable) -> int:
    """Probes of the cell that has fewest; 0 where cells are not of counts."""
    if not _is_counted(table):
        return 0
    core = table._core
    model = np.repeat(np.arange(core.n_models), np.diff(core.indptr))
    gene = np.searchsorted(core.gene_offsets, core.columns, side="right") - 1
    probes = np.bincount(model * core.n_genes + gene, core.counts)
    return int(probes[probes > 0].min(initial=np.inf)) if len(probes) else 0


def index_distances(
    table: AlleleTable, index: str, models: Sequence[str], n_threads: int
) -> NDArray[np.float64]:
    """Distances of some models by an index, shape (models, models).

    Raises InputError where a pair has none.
    """
    chosen = table.select(models=models)
    if index in INDICES:
        D = genetic_distance(chosen, index=index, n_threads=n_threads)
    else:
        estimator = "plugin" if index == "nei" else index
        D = nei_distance(chosen, estimator=estimator, n_threads=n_threads)
    values: NDArray[np.float64] = D.values
    unknown = np.argwhere(np.isnan(values))
    if len(unknown):
        i, j = unknown[0]
        raise InputError(
            f"{models[i]!r} and {models[j]!r} cannot be compared by {index!r} ({len(table.genes)} "
            "genes): leave one of them out, or sample more"
        )
    return values


def require_shared(name: str, found: Sequence[str], other: str) -> None:
    """Refuse stores with too few models in common."""
    if len(found) < 3:
        those = f": {some_names([repr(model) for model in found])}" if found else ""
        raise InputError(
            f"stores {name!r} and {other!r} share {len(found)} models{those}; what moves between "
            "them shows in three or more: sample the same models into both"
        )


def _is_counted(table: AlleleTable) -> bool:
    return not table._core.probabilities.size and not table._core.draws.size


def _longest(table: AlleleTable) -> int:
    """Characters of the longest allele."""
    return int(pc.max(pc.utf8_length(table.alleles())).as_py() or 0)


def _counted(
    like: AlleleTable,
    model: NDArray[Any],
    column: NDArray[Any],
    count: NDArray[Any],
    alleles: Any,
    origin: dict[str, Any],
) -> AlleleTable:
    """A table of counts with the models and genes of another, whose columns are given."""
    gene = np.searchsorted(like._core.gene_offsets, column, side="right") - 1
    text = pa.DictionaryArray.from_arrays(pa.array(column.astype(np.int32)), alleles)
    made = AlleleTable.from_counts(like.models, like.genes, model, gene, text, count)
    return AlleleTable(made._core, {**like.provenance, **origin})
