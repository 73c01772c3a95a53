"""What each gene tells: diversity, differentiation, family, scores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._compare import usable_cells
from pyphylo._names import whole_number
from pyphylo.errors import InputError
from pyphylo.stats._gene_blocks import GeneBlock, gene_blocks
from pyphylo.stats._gene_groups import adjusted_information
from pyphylo.stats._gene_scores import score_r2
from pyphylo.stats._model_labels import group_codes, score_values

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.alleles import AlleleTable

__all__ = ["gene_information"]

_Floats = NDArray[np.float64]


def gene_information(
    table: AlleleTable,
    groups: Any = None,
    scores: Any = None,
    *,
    n_permutations: int = 20,
    seed: int = 0,
) -> pd.DataFrame:
    r"""What each gene tells about the models of a table.

    Parameters
    ----------
    table : AlleleTable
        Sampled, exact and hybrid cells. Cells of a single probe count as missing.
    groups : mapping or pandas.Series of str, optional
        The family of each model, by name. Models without one are left out of what is
        said of groups.
    scores : mapping or pandas.Series of float, optional
        A score of each model, by name. Models without one are left out of what is said
        of scores.
    n_permutations : int
        Deals of the groups, by which information is adjusted for chance.
    seed : int
        Of the deals.

    Returns
    -------
    pandas.DataFrame
        One row a gene, in the table's order:

        - gene
        - models: how many have it
        - alleles: distinct ones in a model's cell, mean over models
        - private: probability of alleles that no other model gave, mean over models
        - within: expected heterozygosity of a model, unbiased, mean over models
        - total: probability that probes of two models differ, mean over pairs
        - between: ``total - within``, Nei's minimum distance, mean over pairs; unbiased,
          so it may come out below 0
        - fst: ``between / total``; NaN where all models always agree
        - with `groups` group_information, in bits, beyond chance, and group_share, the
          share of what could be known of groups (see Notes)
        - with `scores` score_r2, the share of their variance that the gene predicts out of
          sample, a model and its group being left out

        ``attrs["fst"]`` is the ratio of the sums over genes.

    Raises
    ------
    InputError
        An empty table; models of which no gene has two probes (named); groups or scores
        that name no models, or are none.

    Notes
    -----
    With p the allele frequencies of a model and J its unbiased self term (Nei 1978,
    Genetics 89:583), over the k models that have the gene,

    .. math:: H_w = 1 - \frac1k \sum_i J_i, \quad
              H_t = 1 - \frac1{k(k-1)} \sum_{i \ne j} \sum_a p_{ia} p_{ja}, \quad
              F_{ST} = 1 - H_w / H_t

    (Hudson, Slatkin & Maddison 1992, Genetics 132:583; ratios of sums over genes after
    Bhatia, Patterson, Sankararaman & Price 2013, Genome Res. 23:1514). Nei's
    :math:`G_{ST}` has pairs of a model with itself in :math:`H_t`, and is
    :math:`(k-1)F_{ST}/(k - F_{ST})`.

    Information: see `pyphylo.stats._gene_groups` (mutual information of a drawn allele and
    the drawn model's group, less its mean over deals). Scores: kernel regression, see
    `pyphylo.stats._gene_scores`.

    O(entries log entries) time, times `n_permutations` with groups; memory of a block of
    genes at a time.

    Examples
    --------
    >>> import pyphylo as pp
    >>> history = pp.simulate.simulate_history(30, 3, family_size=6, seed=1)
    >>> families = dict(zip(history.metadata["model"], history.metadata["family"]))
    >>> frame = pp.gene_information(history.table, families)
    >>> frame[["gene", "within", "between", "fst", "group_share"]].round(2)
         gene  within  between   fst  group_share
    0  gene-0    0.47     0.35  0.43         0.46
    1  gene-1    0.56     0.23  0.30         0.44
    2  gene-2    0.56     0.23  0.29         0.41
    """
    import pandas as pd

    from pyphylo.alleles import AlleleTable

    if not isinstance(table, AlleleTable):
        raise InputError(f"gene_information needs an AlleleTable, not {type(table).__name__}")
    if not table.nnz:
        raise InputError("the table is empty: there is no information to measure")
    n_permutations = whole_number(n_permutations, "n_permutations", 1)
    seed = whole_number(seed, "seed", 0)
    code = np.full(len(table.models), -1, np.int64)
    if groups is not None:
        code, names = group_codes(groups, table.models)
        if len(names) < 2:
            raise InputError(f"groups have the one name {names[0]!r}: two are needed")
    score = None if scores is None else score_values(scores, table.models)
    usable = AlleleTable(usable_cells(table, 3), table.provenance)
    parts: list[dict[str, NDArray[Any]]] = []
    for block in gene_blocks(usable):
        part = _diversity(block)
        if groups is not None:
            found = adjusted_information(block, code, n_permutations, seed)
            part |= dict(zip(("group_information", "group_share"), found, strict=True))
        if score is not None:
            part["score_r2"] = score_r2(block, score, code)
        parts.append(part)
    columns = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    frame: pd.DataFrame = pd.DataFrame({"gene": list(table.genes), **columns})
    known = np.isfinite(columns["total"])
    total = float(columns["total"][known].sum())
    frame.attrs["fst"] = float(columns["between"][known].sum()) / total if total > 0 else np.nan
    return frame


def _diversity(block: GeneBlock) -> dict[str, NDArray[Any]]:
    """The columns that need neither groups nor scores."""
    has = block.present()
    k = has.sum(axis=0)
    own = np.where(has, block.entries.self_terms.reshape(has.shape), 0.0).sum(axis=0)
    sums, squares = block.by_column(block.p), block.by_column(block.p**2)
    # Over ordered pairs i != j: (sum_i p_i)^2 less the squares that are pairs with oneself.
    products = block.by_gene(sums**2 - squares)
    lone = block.by_column(np.ones(len(block.p))) == 1
    with np.errstate(invalid="ignore", divide="ignore"):
        within = 1.0 - own / k
        total = np.where(k > 1, 1.0 - products / (k * (k - 1.0)), np.nan)
        between = total - within
        # Below rounding, models always agree.
        fst = np.where(total > 1e-12, between / total, np.nan)
        return {
            "models": k,
            "alleles": np.bincount(block.gene, minlength=block.n_genes) / k,
            "private": np.where(k > 1, block.by_gene(np.where(lone, sums, 0.0)) / k, np.nan),
            "within": within,
            "total": total,
            "between": between,
            "fst": fst,
        }
