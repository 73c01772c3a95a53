"""Numerators as integers, and the same bits however the work is run."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from drawn_tables import (
    ISAS,
    drawn_table,
    even_table,
    kernels_of,
    names,
    numerators_of,
    plan_of,
    quiet,
    same_bits,
    slow_numerators,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import counts, integer_populations, mixed_populations, table_of

import pyphylo as pp
from pyphylo import _core, _reference
from pyphylo._reference import Sampled

quick = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
with_isa = pytest.mark.parametrize("isa", ISAS)
ESTIMATORS = ["plugin", "unbiased"]


@st.composite
def counted_populations(draw):
    """Any counts, on either side of every border between widths; models without any cell too."""
    genes = [f"g{i}" for i in range(draw(st.integers(1, 3)))]
    most = draw(st.sampled_from([3, 127, 128, 255, 256, 32767, 32768, 65535, 65536, 200_000]))
    cell = counts(most).map(Sampled)
    return {
        f"m{m}": {g: draw(cell) for g in genes if draw(st.integers(0, 3))}
        for m in range(draw(st.integers(1, 5)))
    }


@quick
@given(counted_populations() | integer_populations(), st.sampled_from(ISAS), st.integers(1, 3))
def test_numerators_are_the_oracles_integers(populations, isa, threads):
    cells = list(populations.values())
    expected = [[_reference.numerator(a, b) for b in cells] for a in cells]
    table = table_of(populations)
    with kernels_of(isa):
        assert numerators_of(table, threads).tolist() == expected
        for split in range(1, len(cells)):
            rows = [row[split:] for row in expected[:split]]
            assert numerators_of(table, threads, split).tolist() == rows


def test_no_genes_and_one_model():
    empty = pp.AlleleTable.from_counts(["a", "b"], [], [], [], [], [])
    assert numerators_of(empty).tolist() == [[0, 0], [0, 0]]
    with pytest.warns(pp.PyphyloWarning, match="'a' and 'b'"):
        S = pp.nei_similarity(empty)
    assert np.isnan(S["a", "b"])
    one = pp.AlleleTable.from_counts(["a"], ["g"], [0, 0], [0, 0], ["x", "y"], [2, 5])
    assert numerators_of(one).tolist() == [[29]]
    assert pp.nei_similarity(one).values.tolist() == [[1.0]]
    assert pp.nei_similarity(one, condensed=True).stored.shape == (0,)
    assert pp.nei_distance(one).values.tolist() == [[0.0]]


def blocks_table():
    """So many alleles that genes are taken in blocks."""
    rng = np.random.default_rng(1)
    models, genes, pool, n = 200, 8, 40_000, 400
    kept = [rng.choice(pool, n, replace=False) for _ in range(models * genes)]
    common = np.arange(20)
    allele = np.concatenate([np.union1d(k, common)[:n] for k in kept])
    cell = np.repeat(np.arange(models * genes), n)
    texts = np.array([f"{k:x}" for k in range(pool)])
    return pp.AlleleTable.from_counts(
        *names(models, genes), cell // genes, cell % genes, texts[allele], np.ones_like(allele)
    )


def many_alleles_table():
    """70,000 alleles of one gene, each in two or three of fifty models."""
    rng = np.random.default_rng(2)
    texts = np.array([f"{k:x}" for k in range(70_000)])
    allele = np.repeat(np.arange(70_000), 3)
    model = rng.integers(0, 50, len(allele))
    return pp.AlleleTable.from_counts(
        *names(50, 1), model, np.zeros_like(model), texts[allele], np.ones_like(model)
    )


BOTH, DENSE, RARE = (True, True), (True, False), (False, True)
CASES = {
    # name: table, arithmetic, bits of sums, (dense, rare) columns
    "bytes": (lambda: drawn_table(1, 210, 5, 300, 32), "u8", 32, BOTH),
    "ragged bytes": (lambda: drawn_table(2, 145, 6, 200, 20, missing=0.3), "u8", 32, BOTH),
    "shorts": (lambda: drawn_table(3, 150, 3, 3000, 900, power=1.5), "i16", 32, BOTH),
    "large shorts": (lambda: drawn_table(4, 200, 1, 3000, 40_000, power=2), "i16", 32, BOTH),
    "wide": (lambda: drawn_table(5, 60, 1, 3, 46_000, power=3), "wide", 32, RARE),
    "long bytes": (lambda: even_table(6, 60, 150, 64, 62), "u8", 64, DENSE),
    "long shorts": (lambda: drawn_table(7, 200, 3, 3000, 40_000, power=2), "i16", 64, BOTH),
    "genes too long for sums": (lambda: drawn_table(8, 60, 2, 300, 60_000), "i16", 64, RARE),
    "long and wide": (lambda: drawn_table(9, 60, 3, 5, 90_000), "wide", 64, RARE),
    "n that varies": (
        lambda: drawn_table(10, 199, 4, 2000, 300, varying=True),
        "float64",
        64,
        BOTH,
    ),
    "blocks of genes": (blocks_table, "u8", 32, BOTH),
    "many alleles": (many_alleles_table, "u8", 32, None),
}
_tables: dict[str, pp.AlleleTable] = {}


@pytest.fixture(params=CASES)
def case(request):
    """A table and what its plan must be, so that every path of the kernels is walked."""
    make, *expected = CASES[request.param]
    if request.param not in _tables:
        _tables[request.param] = make()
    return _tables[request.param], *expected


def test_plans_are_what_the_cases_are_for(case):
    table, arithmetic, bits, kinds = case
    with kernels_of(ISAS[-1]):
        plan = plan_of(table)
    assert (plan["arithmetic"], plan["sum_bits"]) == (arithmetic, bits)
    if kinds is not None:
        assert (plan["dense_columns"] > 0, plan["rare_columns"] > 0) == kinds
    known = ("dense", "rare", "private")
    assert sum(plan[f"{kind}_columns"] for kind in known) == table._core.n_columns


@with_isa
def test_numerators_of_every_path(case, isa):
    table = case[0]
    expected = slow_numerators(table)
    with kernels_of(isa):
        for threads in (1, 3):
            assert np.array_equal(numerators_of(table, threads), expected)
        split = len(table.models) // 3
        assert np.array_equal(numerators_of(table, 2, split), expected[:split, split:])


def test_bits_depend_on_nothing_but_the_models(case):
    table = case[0]
    n = len(table.models)
    order = np.random.default_rng(0).permutation(n)
    shuffled = table.select(models=[table.models[i] for i in order])
    for estimator in ESTIMATORS:
        if table is _tables.get("blocks of genes") and estimator == "unbiased":
            continue  # no allele is there twice: all are NaN
        options = {"estimator": estimator}
        one = quiet(pp.nei_similarity, table, n_threads=1, **options).values
        assert same_bits(one, one.T)
        assert (np.diagonal(one) == 1).all()
        for isa in ISAS:
            with kernels_of(isa):
                for threads in (1, 2, 3, 8):
                    S = quiet(pp.nei_similarity, table, n_threads=threads, **options)
                    assert same_bits(S, one)
                shuffled_S = quiet(pp.nei_similarity, shuffled, **options)
                assert same_bits(shuffled_S, one[np.ix_(order, order)])
                D = quiet(pp.nei_distance, table, n_threads=2, **options)
                assert same_bits(D, pp.nei_distance(S))


def oracle(rows, columns, estimator):
    return np.array(
        [[_reference.nei_similarity(a, b, estimator) for b in columns] for a in rows]
    ).reshape(len(rows), len(columns))


@quick
@given(mixed_populations() | integer_populations(), st.sampled_from(ESTIMATORS))
def test_every_kind_of_cell_in_every_instruction_set(populations, estimator):
    if estimator == "unbiased" and any(
        cells and all(cell.n < 2 for cell in cells.values()) for cells in populations.values()
    ):
        return
    table = table_of(populations)
    cells = list(populations.values())
    expected = oracle(cells, cells, estimator)
    np.fill_diagonal(expected, 1.0)
    one = None
    for isa in ISAS:
        with kernels_of(isa):
            for threads in (1, 3):
                S = quiet(pp.nei_similarity, table, estimator=estimator, n_threads=threads).values
                one = S if one is None else one
                assert same_bits(S, one)
    np.testing.assert_allclose(one, expected, rtol=1e-11, atol=0)


def mixed_table(seed, models, genes, alleles):
    """Sampled, exact and hybrid cells of many models."""
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, alleles + 1)
    populations = {}
    for m in range(models):
        cells = {}
        for g in range(genes):
            counts_ = rng.multinomial(60, weights / weights.sum())
            drawn = {f"a{k}": int(c) for k, c in enumerate(counts_) if c}
            kind = rng.integers(0, 4)
            if kind == 0:
                cells[f"g{g}"] = Sampled(drawn)
            elif kind == 1:
                cells[f"g{g}"] = _reference.Exact({a: c / 61 for a, c in drawn.items()})
            elif kind == 2:
                decided = {a: c / 120 for a, c in drawn.items()}
                cells[f"g{g}"] = _reference.Hybrid(decided, drawn, 0.5)
        populations[f"m{m}"] = cells
    return table_of(populations, [f"g{g}" for g in range(genes)]), populations


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_many_models_of_every_kind_of_cell(estimator):
    table, populations = mixed_table(3, 130, 4, 80)
    plan = plan_of(table)
    assert plan["arithmetic"] == "float64"
    assert plan["dense_columns"] > 0 < plan["rare_columns"]
    one = quiet(pp.nei_similarity, table, estimator=estimator, n_threads=1).values
    cells = list(populations.values())
    expected = oracle(cells[:4], cells, estimator)
    np.fill_diagonal(expected, 1.0)
    np.testing.assert_allclose(one[:4], expected, rtol=1e-12, atol=0)
    order = np.random.default_rng(0).permutation(130)
    shuffled = table.select(models=[table.models[i] for i in order])
    for isa in ISAS:
        with kernels_of(isa):
            for threads in (1, 2, 3, 8):
                S = quiet(pp.nei_similarity, table, estimator=estimator, n_threads=threads)
                assert same_bits(S, one)
            S = quiet(pp.nei_similarity, shuffled, estimator=estimator)
            assert same_bits(S, one[np.ix_(order, order)])


@quick
@given(integer_populations(), st.sampled_from(ESTIMATORS), st.sampled_from(ISAS))
def test_identical_models_have_no_distance(populations, estimator, isa):
    table = table_of(populations)
    with kernels_of(isa), warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        twins = pp.nei_distance(table, other=table).values
        S = pp.nei_similarity(table, other=table).values
    own = np.diagonal(twins)
    assert (np.isnan(own) | (own == 0)).all()
    assert not np.signbit(own[~np.isnan(own)]).any()
    assert same_bits(np.diagonal(S), np.where(np.isnan(own), np.nan, 1.0))


def test_identical_models_of_any_size():
    for seed, n in enumerate((7, 90, 3_000, 90_000)):
        table = drawn_table(seed, 3, 4, 50, n)
        copies = table.join(table.select(models=table.models))._core
        for quantity, same in (("similarity", 1.0), ("distance", 0.0)):
            out = np.empty((6, 6))
            wanted = getattr(_core.Quantity, quantity)
            _core.compare(copies, _core.Estimator.plugin, -1, 1, wanted, 1e-10, out, lambda _: None)
            assert (np.diagonal(out, 3) == same).all()


def test_an_unusable_instruction_set_is_refused(monkeypatch):
    table = drawn_table(1, 3, 1, 5, 9)
    monkeypatch.setenv("PYPHYLO_ISA", "sse9")
    with pytest.raises(pp.InputError, match=r"PYPHYLO_ISA.*'sse9'; usable here: .*portable"):
        pp.nei_similarity(table)
    monkeypatch.setenv("PYPHYLO_ISA", "")
    assert len(pp.nei_similarity(table)) == 3


@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
def test_every_model_may_lack_genes_of_its_own(estimator):
    """Beyond some hundred patterns of missing genes self terms are found in another way."""
    rng = np.random.default_rng(11)
    n, genes = 400, 12
    cells = np.argwhere(rng.random((n, genes)) < 0.6)
    rows = np.repeat(cells, 8, axis=0)
    alleles = [f"a{k}" for k in rng.zipf(1.6, len(rows)) % 30]
    names = [f"m{i}" for i in range(n)], [f"g{i}" for i in range(genes)]
    ones = np.ones(len(rows), int)
    table = pp.AlleleTable.from_counts(*names, rows[:, 0], rows[:, 1], alleles, ones)
    assert len(np.unique(cells_of(table), axis=0)) > 256
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        whole = pp.nei_similarity(table, estimator=estimator).values
        few = pp.nei_similarity(table.select(models=table.models[:150]), estimator=estimator)
    assert np.array_equal(whole[:150, :150], few.values, equal_nan=True)


def cells_of(table):
    """Which genes each model has."""
    core = table._core
    model = np.repeat(np.arange(core.n_models), np.diff(core.indptr))
    gene = np.searchsorted(core.gene_offsets, core.columns, side="right") - 1
    present = np.zeros((core.n_models, core.n_genes), bool)
    present[model, gene] = True
    return present
