"""Hypothesis strategies of populations, and their tables."""

from __future__ import annotations

from hypothesis import strategies as st

import pyphylo as pp
from pyphylo._reference import Exact, Populations, Sampled

ALLELES = st.text(alphabet=st.sampled_from("ab \né😀\u0301"), max_size=3) | st.sampled_from(
    ["", "the", "The ", "\ufffd"]
)


def counts(max_count: int) -> st.SearchStrategy[dict[str, int]]:
    return st.dictionaries(ALLELES, st.integers(1, max_count), min_size=1, max_size=5)


@st.composite
def one_n_cells(draw, n: int) -> Sampled:
    """A cell of exactly n probes."""
    drawn = draw(st.lists(ALLELES, min_size=n, max_size=n))
    return Sampled({allele: drawn.count(allele) for allele in set(drawn)})


@st.composite
def integer_populations(draw, *, missing: bool = True) -> Populations:
    """Each model has one n over the genes that it has."""
    genes = [f"g{i}" for i in range(draw(st.integers(1, 4)))]
    populations = {}
    for m in range(draw(st.integers(1, 6))):
        n = draw(st.integers(2, 6))
        kept = [g for g in genes if not missing or draw(st.integers(0, 3))]
        populations[f"m{m}"] = {g: draw(one_n_cells(n)) for g in kept}
    return populations


@st.composite
def exact_cells(draw) -> Exact:
    weights = draw(st.dictionaries(ALLELES, st.integers(1, 50), min_size=1, max_size=5))
    total = sum(weights.values()) + draw(st.integers(0, 20))
    return Exact({allele: weight / total for allele, weight in weights.items()})


@st.composite
def mixed_populations(draw) -> Populations:
    """n varies inside a model, and cells may be exact."""
    genes = [f"g{i}" for i in range(draw(st.integers(1, 4)))]
    cell = counts(50).map(Sampled) | exact_cells()
    return {
        f"m{m}": {g: draw(cell) for g in genes if draw(st.integers(0, 3))}
        for m in range(draw(st.integers(1, 5)))
    }


def table_of(populations: Populations, genes: list[str] | None = None) -> pp.AlleleTable:
    """The table of populations, counted and exact cells each through their own constructor."""
    models = list(populations)
    genes = genes or sorted({g for cells in populations.values() for g in cells}) or ["g0"]
    parts = []
    for kind, build in ((Sampled, "from_counts"), (Exact, "from_probabilities")):
        rows = [
            (models.index(m), genes.index(g), a, v)
            for m, cells in populations.items()
            for g, cell in cells.items()
            if isinstance(cell, kind)
            for a, v in (cell.counts if kind is Sampled else cell.probabilities).items()
        ]
        columns = [list(c) for c in zip(*rows, strict=True)] or [[], [], [], []]
        parts.append(getattr(pp.AlleleTable, build)(models, genes, *columns))
    counted, exact = parts
    if exact.nnz == 0:
        return counted
    return merge_cells(counted, exact)


def merge_cells(counted: pp.AlleleTable, exact: pp.AlleleTable) -> pp.AlleleTable:
    """One table of two whose cells are disjoint: the builder takes both kinds."""
    import numpy as np

    from pyphylo import _core
    from pyphylo._texts import allele_column

    builder = _core.TableBuilder()
    builder.add_models(counted.models)
    builder.add_genes(counted.genes)
    for table, add in ((counted, builder.add_counts), (exact, builder.add_probabilities)):
        core = table._core
        model = np.repeat(np.arange(core.n_models, dtype=np.int32), np.diff(core.indptr))
        gene = np.searchsorted(core.gene_offsets, core.columns, side="right").astype(np.int32) - 1
        alleles = allele_column(table.alleles().take(core.columns))
        values = core.counts.astype(np.int64) if table is counted else core.probabilities
        if len(core.columns):
            add(model, gene, alleles, values)
    return pp.AlleleTable(builder.finish())
