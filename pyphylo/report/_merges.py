"""Whether each model is a merge of two of its relatives, where an allele table is at hand."""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.report._numbers import nearest
from pyphylo.report._runs import runs_among

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable
    from pyphylo.report._inputs import Material
    from pyphylo.stats.merge import Merge

__all__ = ["UNASKED", "merge_tests"]

UNASKED = 1000
"""Most models that are tested without being asked for: some twenty seconds at 128 genes."""

_CANDIDATES = 30
"""Nearest relatives of a model that are tried as parents, beside its declared ones."""

_LOOKED = 200
"""Nearest relatives among which these are looked for."""

_LEAST = 2
"""Candidates without which there is no pair."""

_FEW = "fewer than two relatives could be parents"

_SHARED = 0.75
"""Part of a model's genes that a candidate must have too: f3 uses what all of them have."""

_RIVALS = 3
"""Pairs that are named where several fit."""

Rows = Mapping[str, Mapping[str, Any]]


def merge_tests(found: Material, rows: Rows) -> dict[str, Any] | None:
    """`find_merge` of each model among its nearest relatives, but its children and own run.

    Parameters
    ----------
    found : Material
        With a table.
    rows : mapping of str to mapping
        Metadata; ``base_model`` adds candidates, and names the base that they were trained
        from: the topmost declared ancestor of the model, else that of most candidates.

    Returns
    -------
    dict or None
        ``tests``, of each model what was found (None where it could not be tested), by
        numbers of tips; ``tested``, how many could. None where no
        model could be tested: a note says why.

    Notes
    -----
    O(30^2 x genes) of each model and 4,000 draws of its pairs: some 8 ms at 32 genes, 17 ms at
    128. Pooled weights are those of the model and its candidates.
    """
    table = found.table
    if table is None:
        return None
    names = found.tree.tips
    number = {name: i for i, name in enumerate(names)}
    has = _two_probes(table)
    index, distance = nearest(found.distances.values, _LOOKED)
    declared = _declared(rows, number)
    runs = runs_among(names, rows)
    # The model that a run is named after is its end, under another revision.
    run = {number[run.name]: run.name for run in runs if run.name in number}
    run |= {tip: run.name for run in runs for tip in run.tips}
    tests: list[dict[str, Any] | None] = []
    trouble: Counter[str] = Counter()
    for i, name in enumerate(names):
        near = index[i][np.isfinite(distance[i])]
        enough = has[near] & has[i]
        shared = enough.sum(axis=1) >= max(1.0, _SHARED * has[i].sum())
        # A checkpoint lies between earlier and later ones, and its children are no parents.
        chosen = [
            j
            for j in near[shared].tolist()
            if declared.get(j) != i and (i not in run or run.get(j) != run[i])
        ][:_CANDIDATES]
        base = _base(i, chosen, declared)
        for also in (declared.get(i), base):
            own = also is not None and i in run and run.get(also) == run[i]
            if also is not None and not own and also not in chosen and has[also].any():
                chosen.append(also)
        if base is not None and base not in chosen:
            base = None
        if len(chosen) < _LEAST:
            lone = "they have no gene with two probes" if not has[i].any() else _FEW
            trouble[lone] += 1
            tests.append(None)
            continue
        try:
            made = _find(
                table, name, [names[j] for j in chosen], None if base is None else names[base]
            )
        except InputError as error:
            trouble[str(error)] += 1
            tests.append(None)
            continue
        tests.append(_told(made, number, len(chosen), base))
    tested = sum(test is not None for test in tests)
    if tested:
        # The card of a base that has children alone tells so itself.
        del trouble[_FEW]
    if trouble:
        (why, _), left = trouble.most_common(1)[0], trouble.total()
        many = "model was" if left == 1 else "models were"
        found.notes.append(
            f"{f'{left} {many} not' if tested else 'No model was'} tested for being a merge: {why}."
        )
    return {"tests": tests, "tested": tested} if tested else None


def _two_probes(table: AlleleTable) -> NDArray[np.bool_]:
    """Which genes each model has with two probes at least, as f3 needs them, or exactly."""
    core = table._core.drop_single_probe_cells()
    model = np.repeat(np.arange(core.n_models), np.diff(core.indptr))
    column = np.asarray(core.columns, dtype=np.int64)
    has = np.zeros((core.n_models, core.n_genes), dtype=bool)
    has[model, np.searchsorted(core.gene_offsets, column, side="right") - 1] = True
    return has


def _declared(rows: Rows, number: Mapping[str, int]) -> dict[int, int]:
    """Declared parents that are here, by number."""
    return {
        i: number[str(rows[name]["base_model"])]
        for name, i in number.items()
        if str(rows.get(name, {}).get("base_model")) in number
    }


def _base(model: int, candidates: Sequence[int], declared: Mapping[int, int]) -> int | None:
    """What the candidates were trained from, as far as metadata say."""

    def top(i: int) -> int:
        # There is no cycle: the metadata were checked for one.
        while i in declared:
            i = declared[i]
        return i

    if model in declared:
        return top(model)
    tops = Counter(top(i) for i in candidates if i in declared)
    tops.pop(model, None)
    return tops.most_common(1)[0][0] if tops else None


def _find(table: AlleleTable, name: str, candidates: Sequence[str], base: str | None) -> Merge:
    from pyphylo.stats.merge import find_merge

    part = table.select(models=[name, *candidates])
    with _quiet():
        return find_merge(part, name, candidates=candidates, base=base, n_threads=1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without a warning for each model: how many genes a test has, the page says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyphyloWarning)
        yield


def _told(
    made: Merge, number: Mapping[str, int], candidates: int, base: int | None
) -> dict[str, Any]:
    """What the page shows of a test."""
    told: dict[str, Any] = {
        "outcome": made.outcome,
        "p": _short(made.p),
        "candidates": candidates,
        "genes": made.genes,
    }
    if made.parents is not None:
        told["parents"] = [number[name] for name in made.parents]
    if made.weight is not None:
        told["share"] = [_short(part) for part in (made.weight.estimate, *made.weight[2:4])]
    if made.rivals:
        told["rivals"] = [[number[name] for name in pair] for pair in made.rivals[:_RIVALS]]
        told["n_rivals"] = len(made.rivals)
    if made.geometric is not None:
        told["own"] = made.geometric.kind
    if base is not None:
        told["base"] = base
    return told


def _short(value: float) -> float | None:
    return float(f"{value:.3g}") if math.isfinite(value) else None
