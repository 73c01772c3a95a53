"""f2, f3 and f4 against fractions, gene by gene and allele by allele."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from drawn_tables import drawn_table, quiet, same_bits
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import exact_cells, hybrid_cells, integer_populations, table_of

import pyphylo as pp
from pyphylo._reference import Exact, Hybrid, Sampled
from pyphylo.stats import f2, f3, f4
from pyphylo.stats._f_panel import block_ends, block_moments


def noise(cell, allele) -> Fraction:
    """What drawing adds to the square of an allele's frequency, on average."""
    if isinstance(cell, Exact):
        return Fraction(0)
    f = Fraction(cell.counts.get(allele, 0), max(cell.n, 1))
    mass = Fraction(cell.undecided) if isinstance(cell, Hybrid) else Fraction(1)
    return mass**2 * f * (1 - f) / (cell.n - 1)


class Oracle:
    """Sums over alleles with fractions; `populations` as in `pyphylo._reference`."""

    def __init__(self, populations, weighting):
        self.cells = {
            model: {g: c for g, c in cells.items() if c.n >= 2}
            for model, cells in populations.items()
        }
        self.weighting = weighting

    def genes(self, *models):
        return sorted(set.intersection(*(set(self.cells[m]) for m in models)))

    def weight(self, gene, allele):
        if self.weighting == "plain":
            return Fraction(1)
        holders = [cells[gene] for cells in self.cells.values() if gene in cells]
        pooled = sum((c.frequencies().get(allele, Fraction(0)) for c in holders), Fraction(0))
        return 1 / (pooled / len(holders) + Fraction(0.01))

    def product(self, gene, a, b, c, d):
        """Unbiased sum of w (p_a - p_b)(p_c - p_d)."""
        cells = [self.cells[m][gene] for m in (a, b, c, d)]
        p = [cell.frequencies() for cell in cells]
        total = Fraction(0)
        for x in set().union(*p):
            q = [row.get(x, Fraction(0)) for row in p]
            value = (q[0] - q[1]) * (q[2] - q[3])
            for left, right, sign in ((0, 2, 1), (0, 3, -1), (1, 2, -1), (1, 3, 1)):
                if (a, b, c, d)[left] == (a, b, c, d)[right]:
                    value -= sign * noise(cells[left], x)
            total += self.weight(gene, x) * value
        return total

    def jackknife(self, terms, ends):
        """Mean and error by leaving blocks out, as Busing et al. (1999) write it."""
        n = len(terms)
        blocks = [terms[b:e] for b, e in zip([0, *ends[:-1]], ends, strict=True)]
        blocks = [block for block in blocks if block]
        whole = sum(terms, Fraction(0)) / n
        g = len(blocks)
        if g < 2:
            return float(whole), math.nan
        without = [
            (sum(terms, Fraction(0)) - sum(block, Fraction(0))) / (n - len(block))
            for block in blocks
        ]
        h = [Fraction(n, len(block)) for block in blocks]
        centre = g * whole - sum(
            ((1 - 1 / k) * w for k, w in zip(h, without, strict=True)), Fraction(0)
        )
        variance = sum(
            (
                (k * whole - (k - 1) * w - centre) ** 2 / (k - 1)
                for k, w in zip(h, without, strict=True)
            ),
            Fraction(0),
        )
        return float(whole), math.sqrt(variance / g)


def close(found, expected):
    assert found == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True)


def drawn_cells():
    sampled = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1).map(Sampled)
    return sampled | exact_cells() | hybrid_cells()


@st.composite
def populations(draw, *, missing=True):
    """At least four genes, so that there is a jackknife."""
    genes = [f"g{i}" for i in range(draw(st.integers(4, 6)))]
    return {
        f"m{m}": {g: draw(drawn_cells()) for g in genes if not missing or draw(st.integers(0, 4))}
        for m in range(draw(st.integers(2, 4)))
    }


@settings(max_examples=100, deadline=None)
@given(populations(), st.sampled_from(["plain", "pooled"]), st.integers(4, 6))
def test_f2_of_ragged_tables_of_all_kinds(drawn, weighting, blocks):
    genes = sorted({g for cells in drawn.values() for g in cells})
    oracle = Oracle(drawn, weighting)
    if len(genes) < 4 or not all(oracle.cells.values()):
        return
    blocks = min(blocks, len(genes))
    found = quiet(f2, table_of(drawn, genes), weighting=weighting, blocks=blocks)
    ends = block_ends(len(genes), blocks).tolist()
    for row in found.itertuples():
        shared = oracle.genes(row.a, row.b)
        assert row.genes == len(shared)
        if not shared:
            assert math.isnan(row.estimate)
            continue
        terms = [oracle.product(g, row.a, row.b, row.a, row.b) for g in shared]
        limits = [sum(genes.index(g) < end for g in shared) for end in ends]
        estimate, error = oracle.jackknife(terms, limits)
        close(row.estimate, estimate)
        assert row.se == pytest.approx(error, rel=1e-6, abs=1e-7, nan_ok=True)


@settings(max_examples=60, deadline=None)
@given(populations(missing=False), st.sampled_from(["plain", "pooled"]), st.integers(4, 6))
def test_f3_and_f4_of_whole_tables(drawn, weighting, blocks):
    oracle = Oracle(drawn, weighting)
    models = list(drawn)
    shared = oracle.genes(*models)
    if len(shared) < 4:
        return
    blocks = min(blocks, len(shared))
    ends = block_ends(len(shared), blocks).tolist()
    quadruples = list(itertools.product(models, repeat=4))[:: max(1, len(models) ** 4 // 40)]
    # The panel's genes are those of the models asked for: ask for all of them.
    quadruples.extend((m, models[0], m, models[-1]) for m in models)
    found = quiet(f4, table_of(drawn), quadruples, weighting=weighting, blocks=blocks)
    assert found.attrs == {"genes": len(shared), "blocks": blocks, "weighting": weighting}
    for names, row in zip(quadruples, found.itertuples(), strict=True):
        assert (row.a, row.b, row.c, row.d) == names
        terms = [
            Fraction(0)
            if names[0] == names[1] or names[2] == names[3]
            else oracle.product(g, *names)
            for g in shared
        ]
        estimate, error = oracle.jackknife(terms, ends)
        close(row.estimate, estimate)
        assert row.se == pytest.approx(error, rel=1e-6, abs=1e-7)


@settings(max_examples=30, deadline=None)
@given(integer_populations(missing=False))
def test_f3_is_a_product_of_two_differences(drawn):
    if len(drawn) < 3 or len(next(iter(drawn.values()))) < 4:
        return
    oracle, models = Oracle(drawn, "pooled"), list(drawn)
    found = f3(table_of(drawn), models[0])
    shared = oracle.genes(*models)
    assert len(found) == math.comb(len(models) - 1, 2)
    for row in found.itertuples():
        assert row.target == models[0]
        terms = [oracle.product(g, models[0], row.a, models[0], row.b) for g in shared]
        close(row.estimate, float(sum(terms) / len(shared)))


def test_roots_of_probabilities():
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(5), (4, 6))
    model, gene, allele = (part.ravel() for part in np.indices(p.shape))
    table = pp.AlleleTable.from_probabilities(
        [f"m{i}" for i in range(4)], [f"g{i}" for i in range(6)], model, gene,
        np.array(list("abcde"))[allele], p.ravel(),
    )  # fmt: skip
    root = np.sqrt(p)
    found = f4(table, [("m0", "m1", "m2", "m3")], weighting="root")
    terms = ((root[0] - root[1]) * (root[2] - root[3])).sum(axis=1)
    close(found.estimate[0], terms.mean())
    close(found.se[0], terms.std(ddof=1) / np.sqrt(6))
    pairs = f2(table, weighting="root")
    close(pairs.estimate[0], ((root[0] - root[1]) ** 2).sum(axis=1).mean())


def test_errors_are_those_of_a_mean_where_blocks_are_equal():
    sums = np.random.default_rng(1).normal(size=(3, 10))
    mean, error = block_moments(sums, np.ones(10, np.int64))
    np.testing.assert_allclose(mean, sums.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(error, sums.std(axis=1, ddof=1) / np.sqrt(10), rtol=1e-12)


def test_missing_genes_are_left_out_for_all_and_told():
    table = drawn_table(3, 6, 20, 6, 8, missing=0.1)
    with pytest.warns(pp.PyphyloWarning, match="genes are left out.*lacking: 'm"):
        found = f3(table, "m0")
    present = np.zeros((6, 20), bool)
    frame = table.to_frame()
    present[frame.model.str[1:].astype(int), frame.gene.str[1:].astype(int)] = True
    whole = [f"g{g}" for g in np.flatnonzero(present.all(axis=0))]
    assert found.attrs["genes"] == len(whole) < 20
    kept = f3(table.select(genes=whole), "m0", weighting="plain")
    plain = quiet(f3, table, "m0", weighting="plain")
    np.testing.assert_allclose(plain.estimate, kept.estimate, rtol=1e-12)


def test_the_same_bits_for_any_number_of_threads():
    table = drawn_table(5, 60, 16, 30, 16, missing=0.05)
    one, three = (quiet(f2, table, n_threads=k) for k in (1, 3))
    assert same_bits(one.estimate, three.estimate)
    assert same_bits(one.se, three.se)
    some = [("m7", "m3"), ("m3", "m7"), ("m50", "m50")]
    found = quiet(f2, table, some)
    whole = one[(one.a == "m3") & (one.b == "m7")]
    assert found.estimate.tolist() == [whole.estimate.item()] * 2 + [0.0]
    assert found.a.tolist() == ["m7", "m3", "m50"]


def test_noise_is_taken_out():
    """Over many draws of one population f2 is 0 on average, and z has the spread that it says."""
    z = []
    for seed in range(200):
        table = drawn_table(seed, 2, 64, 12, 8)
        z.append(f2(table, weighting="plain").z[0])
    assert abs(np.mean(z)) < 0.25
    assert 0.8 < np.std(z) < 1.2


def refused(match, call, *arguments, **options):
    with pytest.raises(pp.InputError, match=match):
        quiet(call, *arguments, **options)


def test_what_cannot_be_used_is_refused():
    table = drawn_table(1, 5, 8, 5, 6)
    refused("needs an AlleleTable|need an AlleleTable", f2, "table")
    refused("unknown weighting 'log'", f2, table, weighting="log")
    refused("'root' needs probabilities.*'m0'", f2, table, weighting="root")
    refused("no model 'm00' among 5; did you mean 'm0'", f3, table, "m00")
    refused("no model 'mo'", f4, table, [("m0", "m1", "m2", "mo")])
    refused("must name 4 models", f4, table, [("m0", "m1", "m2")])
    refused("there are no quadruples", f4, table, [])
    refused("rows of the table", f4, table, np.array([[0, 1, 2, 5]]))
    refused("shape", f4, table, np.array([[0, 1, 2]]))
    refused("not both", f3, table, "m0", [("m1", "m2")], candidates=["m1", "m2"])
    refused("two candidates", f3, table, "m0", candidates=["m0", "m1"])
    refused("two models", f2, table.select(models=["m0"]))
    refused("blocks must be", f2, table, blocks=3)
    refused("blocks must be", f2, table, blocks=9)
    refused("jackknife over 3 genes", f2, table.select(genes=["g0", "g1", "g2"]))
    single = drawn_table(1, 5, 8, 5, 1).select(models=["m2"])
    mixed = table.select(models=["m0", "m1"]).append(single)
    refused("two probes.*'m2'", f2, mixed)
    refused("two probes.*'m2'", f3, mixed, "m0")


def test_cells_of_one_probe_count_as_missing():
    records = [("a", f"g{g}", x) for g in range(8) for x in "xyx"]
    records += [("b", f"g{g}", x) for g in range(8) for x in ("xyz" if g else "x")]
    table = pp.AlleleTable.from_records(records)
    with pytest.warns(pp.PyphyloWarning, match="1 cells have fewer than two probes"):
        found = f2(table)
    assert found.genes.tolist() == [7]
