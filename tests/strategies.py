"""Hypothesis strategies of populations, and their tables."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo import _core
from pyphylo._reference import Exact, Hybrid, Populations, Sampled
from pyphylo._texts import allele_column

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
def hybrid_cells(draw) -> Hybrid:
    """Some alleles decided, some drawn, some both; neither need be there."""
    weights = draw(st.dictionaries(ALLELES, st.integers(1, 50), max_size=4))
    counts = draw(st.dictionaries(ALLELES, st.integers(1, 20), min_size=not weights, max_size=4))
    undecided, pruned = draw(st.integers(1, 60)), draw(st.sampled_from([0, 0, 7]))
    total = sum(weights.values()) + undecided + pruned
    return Hybrid({a: weight / total for a, weight in weights.items()}, counts, undecided / total)


@st.composite
def mixed_populations(draw) -> Populations:
    """n varies inside a model, and cells may be exact or hybrid."""
    genes = [f"g{i}" for i in range(draw(st.integers(1, 4)))]
    cell = counts(50).map(Sampled) | exact_cells() | hybrid_cells()
    return {
        f"m{m}": {g: draw(cell) for g in genes if draw(st.integers(0, 3))}
        for m in range(draw(st.integers(1, 5)))
    }


def rows_of_cell(cell: Sampled | Exact | Hybrid) -> list[tuple]:
    """(allele, values...) as the constructor of the cell's kind takes them."""
    if isinstance(cell, Sampled):
        return list(cell.counts.items())
    if isinstance(cell, Exact):
        return list(cell.probabilities.items())
    return [
        (allele, cell.decided.get(allele, 0.0), cell.counts.get(allele, 0), cell.undecided)
        for allele in cell.decided.keys() | cell.counts.keys()
    ]


BUILD = {
    Sampled: ("from_counts", "add_counts", (np.int64,)),
    Exact: ("from_probabilities", "add_probabilities", (np.float64,)),
    Hybrid: ("from_hybrid", "add_hybrid", (np.float64, np.int64, np.float64)),
}


def table_of(populations: Populations, genes: list[str] | None = None) -> pp.AlleleTable:
    """The table of populations; of one kind of cells through the constructor for them."""
    models = list(populations)
    genes = genes or sorted({g for cells in populations.values() for g in cells}) or ["g0"]
    rows: dict[type, list[tuple]] = {}
    for m, cells in populations.items():
        for g, cell in cells.items():
            place = models.index(m), genes.index(g)
            rows.setdefault(type(cell), []).extend((*place, *row) for row in rows_of_cell(cell))
    if len(rows) <= 1:
        kind, own = next(iter(rows.items()), (Sampled, []))
        columns = [list(c) for c in zip(*own, strict=True)] or [[], [], [], []]
        return getattr(pp.AlleleTable, BUILD[kind][0])(models, genes, *columns)
    builder = _core.TableBuilder()
    builder.add_models(models)
    builder.add_genes(genes)
    for kind, own in rows.items():
        _, add, dtypes = BUILD[kind]
        model, gene, alleles, *values = zip(*own, strict=True)
        getattr(builder, add)(
            np.array(model, np.int32),
            np.array(gene, np.int32),
            allele_column(pa.array(alleles, pa.string())),
            *(np.array(value, dtype) for value, dtype in zip(values, dtypes, strict=True)),
        )
    return pp.AlleleTable(builder.finish())
