"""The genes that tell most about a set of models, within a budget."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._compare import ESTIMATORS
from pyphylo._names import whole_number
from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.similarity import nei_similarity
from pyphylo.stats._gene_agreement import Agreement, Cells, likeness, view_products
from pyphylo.stats._model_labels import group_codes

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable

__all__ = ["GeneSelection", "select_genes"]

_Rows = NDArray[np.intp]

_FEWEST = 4
"""Models to choose on: each needs partners that can be nearer or further."""
_FEWEST_JUDGES = 3
_RANDOM = 20
"""Random sets of as many genes that the chosen ones are compared with."""


@dataclass(frozen=True, eq=False)
class GeneSelection:
    """Chosen genes, and how well the choice carries over to other models.

    Attributes
    ----------
    genes : tuple of str
        The chosen ones, the first chosen first: any start of it is a choice too.
    scores : pandas.DataFrame
        A row a gene of the table, chosen ones first: gene; rank (from 1; missing where it
        is not chosen); signal (slope of the gene's distances on those of the other genes) and
        noise (what the slope leaves), in units of their means; in_folds (share of the folds
        that choose it); fault ("constant", "private" or empty).
    evaluation : pandas.DataFrame or None
        A row a fold: fold, models (judged on), agreement_chosen, agreement_all,
        agreement_random (of as many genes, mean of 20 sets); see `select_genes`. None where
        nothing was judged.
    similarity, similarity_all : float
        Mean over pairs of models over the chosen genes, and over all.
    """

    genes: tuple[str, ...]
    scores: pd.DataFrame
    evaluation: pd.DataFrame | None
    similarity: float
    similarity_all: float

    def __repr__(self) -> str:
        return f"GeneSelection({len(self.genes)} of {len(self.scores)} genes)"


def select_genes(
    table: AlleleTable,
    n: int,
    groups: Any = None,
    *,
    folds: int = 5,
    estimator: str = "unbiased",
    seed: int = 0,
    n_threads: int = 0,
) -> GeneSelection:
    r"""Choose the genes that tell most about who is related to whom.

    Parameters
    ----------
    table : AlleleTable
        Models like those that the genes are meant for.
    n : int
        The budget.
    groups : mapping or pandas.Series of str, optional
        The family of each model, by name: families are judged on whole, models without
        one by themselves.
    folds : int
        Parts of the models; of each is told how well genes do that were chosen on the
        others. Fewer where a part would have less than three models; 0: choose only.
    estimator : {"unbiased", "plugin"}
        Of self terms. Models of one probe a gene need ``"plugin"``.
    seed : int
        Of the folds and of the random sets.
    n_threads : int
        Of the similarity over all genes.

    Returns
    -------
    GeneSelection
        Fewer genes than `n`, with a warning, where the others are constant or private to
        each model: they carry no relation.

    Raises
    ------
    InputError
        A budget above the number of genes; fewer than four models, or too few to be judged
        on; models of which no gene has two probes, under ``"unbiased"`` (named).
    MemoryError
        When the work would not fit, with the number of bytes.

    Notes
    -----
    For each gene and model its minimum distances (Nei 1972, Am. Nat. 106:283) to the other
    models are centred, near models weighing most; that is the gene's view. Signal is the
    slope of a view on the sum of the others, in which genes that repeat each other count
    once; noise is what the slope leaves. Genes are added one by one, always that which
    makes the chosen sum's squared signal over its noise largest, shared noise included: a
    gene that repeats a chosen one brings its noise again. The noise has a floor, so that a
    quiet gene without signal is worth nothing. A constant gene, and one whose alleles are
    all private, has no view at all.

    Judging: the genes are parted in two halves, and for each fold as large a share of one
    half is chosen on the other folds' models as `n` is of all. Agreement is the correlation,
    over the fold's own models, of the chosen genes' summed views with those of the half that
    could not be chosen; then the halves change places. So neither the judging models nor the
    judging genes took part in the choice. Where ``agreement_chosen`` is no higher than
    ``agreement_random``, all genes tell about as much, and any will do.

    Similarities over chosen genes are not those over all: leaving out constant genes
    lowers them, leaving out private ones raises them. Compare models over one set of genes.

    O(48 models (entries a model + genes^2)) time for each fold and once more.

    Examples
    --------
    >>> import pyphylo as pp
    >>> history = pp.simulate.simulate_history(40, 24, seed=3)
    >>> chosen = pp.select_genes(history.table, 8)
    >>> chosen
    GeneSelection(8 of 24 genes)
    >>> smaller = history.table.select(genes=chosen.genes)
    """
    from pyphylo.alleles import AlleleTable

    if not isinstance(table, AlleleTable):
        raise InputError(f"select_genes needs an AlleleTable, not {type(table).__name__}")
    n = whole_number(n, "n", 1)
    folds = whole_number(folds, "folds", 0)
    seed = whole_number(seed, "seed", 0)
    n_threads = whole_number(n_threads, "n_threads", 0)
    if not isinstance(estimator, str) or estimator not in ESTIMATORS:
        raise InputError(f"unknown estimator {estimator!r}; known: 'plugin', 'unbiased'")
    if n > len(table.genes):
        raise InputError(
            f"a budget of {n} genes is more than the table's {len(table.genes)}: sample more "
            "genes, or ask for fewer"
        )
    if folds and len(table.genes) < 2:
        raise InputError("one gene is judged by another: give more genes, or folds=0")
    if len(table.models) < _FEWEST:
        raise InputError(
            f"genes are chosen on {_FEWEST} models at least; the table has {len(table.models)}"
        )
    code = np.arange(len(table.models))
    if groups is not None:
        given, _ = group_codes(groups, table.models)
        code = np.where(given < 0, len(given) + code, given)
    parts = _folds(code, folds, seed) if folds else []
    cells = Cells.of(table, estimator, n_threads, 3)
    everyone = np.arange(len(table.models))
    fault = _faults(cells, everyone)
    agreement = Agreement.of(view_products(cells, everyone))
    order = agreement.greedy(n, fault == "")
    if len(order) < n:
        warnings.warn(
            f"only {len(order)} of {n} genes are chosen: the other "
            f"{len(table.genes) - len(order)} are constant or private to each model",
            PyphyloWarning,
            stacklevel=2,
        )
    chosen_in = np.zeros(len(table.genes))
    rows = []
    for number, part in enumerate(parts):
        rng = np.random.Generator(np.random.Philox([seed, number]))
        judged, chosen = _judged(cells, np.setdiff1d(everyone, part), part, n, rng)
        chosen_in[chosen] += 1 / len(parts)
        rows.append({"fold": number, "models": len(part), **judged})
    genes = tuple(table.genes[g] for g in order)
    in_folds = chosen_in if parts else np.full(len(fault), np.nan)
    return GeneSelection(
        genes,
        _scores(table, agreement, order, in_folds, fault),
        _frame(rows) if rows else None,
        _mean_similarity(table.select(genes=genes), estimator, n_threads),
        _mean_similarity(table, estimator, n_threads),
    )


def _mean_similarity(table: AlleleTable, estimator: str, n_threads: int) -> float:
    """Over the pairs of models that have one."""
    with warnings.catch_warnings():
        # What is missing was said of the whole table.
        warnings.simplefilter("ignore", PyphyloWarning)
        S = nei_similarity(table, estimator=estimator, n_threads=n_threads).values
    pairs = S[np.triu_indices(len(table.models), 1)]
    return float(np.nanmean(pairs)) if np.isfinite(pairs).any() else float("nan")


def _folds(code: NDArray[Any], folds: int, seed: int) -> list[_Rows]:
    """Models in parts of about one size; groups stay whole, the largest are dealt first.

    With fewer parts where one would be too small to be judged on, or what is left to choose on.
    """
    names, place, sizes = np.unique(code, return_inverse=True, return_counts=True)
    chance = np.random.Generator(np.random.Philox(seed)).random(len(names))
    order = np.lexsort((chance, -sizes))
    for k in range(min(folds, len(names)), 1, -1):
        load = np.zeros(k, np.int64)
        part = np.zeros(len(names), np.int64)
        for group in order:
            part[group] = int(np.argmin(load))
            load[part[group]] += sizes[group]
        if load.min() >= _FEWEST_JUDGES and len(code) - load.max() >= _FEWEST:
            of_model = part[place]
            return [np.flatnonzero(of_model == p) for p in range(k)]
    raise InputError(
        f"{len(code)} models in {len(names)} groups make no two parts, one of {_FEWEST} models to "
        f"choose on and one of {_FEWEST_JUDGES} to judge on: give more models or smaller groups, "
        "or folds=0 to choose without judging"
    )


def _faults(cells: Cells, rows: _Rows) -> NDArray[np.str_]:
    """Of each gene what is against it in some models: "constant", "private" or nothing."""
    n_genes = cells.self_terms.shape[1]
    of_rows = [cells.columns[cells.indptr[i] : cells.indptr[i + 1]] for i in rows]
    per_column = np.bincount(np.concatenate(of_rows), minlength=len(cells.gene_of_column))
    models = np.isfinite(cells.self_terms[rows]).sum(axis=0)
    most = np.zeros(n_genes)
    np.maximum.at(most, cells.gene_of_column, per_column)
    alleles = np.bincount(cells.gene_of_column[per_column > 0], minlength=n_genes)
    fault = np.where(most <= 1, "private", "").astype("U8")  # room for the longer word
    fault[(alleles == 1) & (models > 1)] = "constant"
    return fault


def _judged(
    cells: Cells, asked: _Rows, judges: _Rows, n: int, rng: np.random.Generator
) -> tuple[dict[str, float], _Rows]:
    """How genes chosen on some models do on others, and which they are."""
    train, test = view_products(cells, asked), view_products(cells, judges)
    allowed = _faults(cells, asked) == ""
    shuffled = rng.permutation(len(allowed))
    halves = [np.sort(shuffled[half::2]) for half in (0, 1)]
    chosen: list[_Rows] = []
    found: list[tuple[float, float, float]] = []
    for candidates, others in (halves, halves[::-1]):
        budget = max(1, round(n * len(candidates) / len(allowed)))
        agreement = Agreement.of(train[np.ix_(candidates, candidates)])
        mine = candidates[agreement.greedy(budget, allowed[candidates])]
        random = [
            likeness(test, rng.permutation(candidates)[:budget], others) for _ in range(_RANDOM)
        ]
        chosen.append(mine)
        found.append(
            (
                likeness(test, mine, others),
                likeness(test, candidates, others),
                float(np.mean(random)),
            )
        )
    means = np.mean(found, axis=0).tolist()
    names = ("agreement_chosen", "agreement_all", "agreement_random")
    return dict(zip(names, means, strict=True)), np.concatenate(chosen)


def _scores(
    table: AlleleTable,
    agreement: Agreement,
    order: _Rows,
    in_folds: NDArray[np.float64],
    fault: NDArray[np.str_],
) -> pd.DataFrame:
    import pandas as pd

    rank = np.full(len(table.genes), np.nan)
    rank[order] = np.arange(1, len(order) + 1)
    scale = float(np.abs(agreement.signal).mean()) or 1.0
    frame = pd.DataFrame(
        {
            "gene": list(table.genes),
            "rank": pd.array(rank, dtype="Int64"),
            "signal": agreement.signal / scale,
            "noise": agreement.noise / max(float(agreement.noise.mean()), 1e-300),
            "in_folds": in_folds,
            "fault": fault.tolist(),
        }
    )
    rest = np.setdiff1d(np.argsort(-agreement.signal, kind="stable"), order, assume_unique=True)
    ordered: pd.DataFrame = frame.iloc[np.concatenate([order, rest])].reset_index(drop=True)
    return ordered


def _frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = pd.DataFrame(rows)
    return frame
