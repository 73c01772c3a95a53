"""Diversity of genes against sums over pairs of probes and of models, written out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo._gene_diversity import gene_diversity


def _oracle(cells):
    """`cells[model][gene]` is a list of alleles, empty where it is missing."""
    n_genes = len(cells[0])
    rows = []
    for g in range(n_genes):
        column = [cell[g] for cell in cells]
        present = [c for c in column if c]
        usable = [c for c in column if len(c) > 1]
        alleles = np.mean([len(set(c)) for c in present]) if present else np.nan
        # Two probes of one model differ; two probes of two models differ.
        own = [np.mean([a != b for a, b in itertools.permutations(c, 2)]) for c in usable]
        cross = [
            np.mean([a != b for a in c for b in d]) for c, d in itertools.combinations(usable, 2)
        ]
        within = np.mean(own) if own else np.nan
        rows.append((alleles, within, np.mean(cross) - within if cross else np.nan))
    return np.array(rows).T


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 4), st.integers(1, 4))
def test_equals_pairs_of_probes(data, n_models, n_genes):
    cell = st.lists(st.sampled_from("abc"), max_size=5)
    cells = [[data.draw(cell) for _ in range(n_genes)] for _ in range(n_models)]
    records = [
        (f"m{i}", f"g{g}", allele)
        for i, row in enumerate(cells)
        for g, alleles in enumerate(row)
        for allele in alleles
    ]
    if not records:
        return
    table = pp.AlleleTable.from_records(records)
    models = [int(name[1:]) for name in table.models]
    genes = [int(name[1:]) for name in table.genes]
    expected = _oracle([[cells[i][g] for g in genes] for i in models])
    found = gene_diversity(table)
    np.testing.assert_allclose(found.alleles, expected[0], rtol=1e-12)
    np.testing.assert_allclose(found.within, expected[1], atol=1e-12)
    np.testing.assert_allclose(found.between, expected[2], atol=1e-12)
    sizes = [len(cells[i][g]) for i in models for g in genes if cells[i][g]]
    assert found.probes == (min(sizes), max(sizes))


def test_exact_cells_have_no_noise():
    table = pp.AlleleTable.from_probabilities(
        ["a", "b"], ["g"], [0, 0, 1, 1], [0, 0, 0, 0], ["x", "y", "x", "z"], [0.5, 0.4, 0.2, 0.8]
    )
    found = gene_diversity(table)
    own = ((0.25 + 0.16) + (0.04 + 0.64)) / 2
    assert found.within == pytest.approx(1 - own)
    assert found.between == pytest.approx(own - 0.5 * 0.2)
    assert found.probes == (0, 0)


def test_hybrid_cells_are_corrected_inside_the_undecided_mass():
    table = pp.AlleleTable.from_hybrid(
        ["a"], ["g"], [0, 0, 0], [0, 0, 0], ["x", "y", "z"],
        [0.5, 0.1, 0.0], [0, 3, 1], [0.4, 0.4, 0.4],
    )  # fmt: skip
    p = np.array([0.5, 0.1 + 0.4 * 0.75, 0.4 * 0.25])
    own = (p**2).sum() - 0.16 * (1 - 0.75**2 - 0.25**2) / 3
    found = gene_diversity(table)
    assert found.within == pytest.approx(1 - own)
    assert np.isnan(found.between).all()
    assert found.to_dict()["mean"]["between"] is None


def test_unbiased_over_many_draws():
    rng = np.random.default_rng(0)
    p = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
    within, between = [], []
    for _ in range(400):
        counts = np.array([rng.multinomial(4, row) for row in p])
        table = pp.AlleleTable.from_counts(
            ["a", "b"], ["g"], [0, 0, 0, 1, 1, 1], [0] * 6, list("xyzxyz"), counts.ravel()
        )
        found = gene_diversity(table)
        within.append(found.within[0])
        between.append(found.between[0])
    own = (p**2).sum(axis=1).mean()
    for values, truth in ((within, 1 - own), (between, own - p[0] @ p[1])):
        assert abs(np.mean(values) - truth) < 4 * np.std(values) / 20
    assert own - p[0] @ p[1] == pytest.approx(((p[0] - p[1]) ** 2).sum() / 2)


def test_an_empty_table_is_refused():
    table = pp.AlleleTable.from_counts(["a"], ["g"], [], [], [], [])
    with pytest.raises(pp.InputError, match="empty"):
        gene_diversity(table)
