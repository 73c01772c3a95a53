"""Simulated tables and matrices: the same everywhere, and of the shape that is promised."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections import Counter
from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.simulate import family_of, simulate_distances, simulate_table, tables
from pyphylo.simulate._draws import Draws, allele_texts, zipf

NAMED = ["near-additive", "language-models"]


def digest(*parts):
    sha = hashlib.sha256()
    for part in parts:
        data = part.tobytes() if isinstance(part, np.ndarray) else repr(part).encode()
        sha.update(data + b"\0")
    return sha.hexdigest()[:16]


def cells_of(table):
    """Entries of every (model, gene) cell, shape (models, genes): alleles and probes."""
    core = table._core
    model = np.repeat(np.arange(core.n_models), np.diff(core.indptr))
    gene = np.searchsorted(core.gene_offsets, core.columns, side="right") - 1
    cell = model * core.n_genes + gene
    shape = (core.n_models, core.n_genes)
    size = core.n_models * core.n_genes
    return (
        np.bincount(cell, minlength=size).reshape(shape),
        np.bincount(cell, core.counts, minlength=size).reshape(shape),
    )


@given(
    n_models=st.integers(1, 40),
    n_genes=st.integers(1, 4),
    n_probes=st.integers(1, 40),
    family_size=st.integers(1, 50),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=40, deadline=None)
def test_any_size(n_models, n_genes, n_probes, family_size, seed):
    sizes = (n_models, n_genes, n_probes)
    table = simulate_table(*sizes, family_size=family_size, seed=seed)
    assert (len(table.models), len(table.genes)) == (n_models, n_genes)
    alleles, probes = cells_of(table)
    assert (probes == n_probes).all()
    assert (alleles >= 1).all()
    assert all(1 <= len(allele) <= 4 for allele in table.alleles().to_pylist())
    super_family = table.provenance["simulation"]["super_families"]
    assert {family_of(model) for model in table.models} == set(super_family)
    assert table == simulate_table(*sizes, family_size=family_size, seed=seed)


def test_a_seed_means_the_same_for_ever():
    """Recorded once: another machine, NumPy or Python gives the same bits."""
    table = simulate_table(60, 5, seed=7)
    csr = table.to_csr()
    entries = (csr.indptr.tolist(), csr.indices.tolist(), csr.data.tolist())
    assert digest(table.models, table.alleles().to_pylist(), *entries) == "58c125c0f3b2e579"
    D = simulate_distances(60, kind="near-additive", seed=7)
    assert digest(D.ids, D.values) == "fc1d0638d2b78709"
    D = simulate_distances(60, kind="language-models", seed=7)
    assert digest(D.ids, D.values.round(9)) == "1006929c678f8915"


def test_genes_and_seeds_have_their_own_streams():
    table = simulate_table(50, 6)
    assert simulate_table(50, 3) == table.select(genes=[f"gene-{g}" for g in range(3)])
    other = simulate_table(50, 6, seed=1)
    assert other != table
    assert other.models != table.models


@pytest.mark.parametrize(("n_models", "alleles"), [(1000, 1130), (3000, 3070)])
def test_shape_of_language_models(n_models, alleles):
    """What the kernels' time depends on; a gene's numbers vary, their mean over 64 little."""
    n_genes = 64
    table = simulate_table(n_models, n_genes, seed=3)
    per_cell, _ = cells_of(table)
    occurrence = np.bincount(table._core.columns)
    assert len(occurrence) / n_genes == pytest.approx(alleles, rel=0.1)
    assert per_cell.mean() == pytest.approx(6.7, rel=0.1)
    assert np.percentile(per_cell, [5, 25]).tolist() == [1, 2]
    assert (occurrence == 1).mean() == pytest.approx(0.7, abs=0.03)
    # Multiply-adds of a pair and gene, if all pairs go through their common alleles.
    assert (occurrence**2.0).sum() / n_models**2 / n_genes == pytest.approx(1.08, rel=0.1)


def test_relatives_resemble_each_other():
    table = simulate_table(120, 64, seed=2)
    S = pp.nei_similarity(table, n_threads=1).values
    family = np.array([family_of(model) for model in table.models])
    relatives = family[:, None] == family
    np.fill_diagonal(relatives, False)
    assert S[relatives].mean() > S[~relatives & (S < 1)].mean() + 0.1


def test_families_are_of_skewed_sizes_and_shuffled():
    names = simulate_table(2000, 1).models
    families = [family_of(name) for name in names]
    sizes = np.array(list(Counter(families).values()))
    assert 60 <= len(sizes) <= 80
    assert sizes.max() > 3 * np.median(sizes)
    runs = 1 + sum(a != b for a, b in pairwise(families))
    assert runs > 1800
    numbers = sorted(int(name.rpartition("-")[2]) for name in names if name.startswith(families[0]))
    assert numbers == list(range(families.count(families[0])))


@given(st.integers(1, 6), st.integers(1, 9), st.integers(0, 9))
def test_counting_cells(n_models, n_probes, seed):
    codes = np.random.default_rng(seed).integers(0, 5, (n_models, n_probes), np.int32)
    expected = [
        (m, allele, count)
        for m, cell in enumerate(codes.tolist())
        for allele, count in sorted(Counter(cell).items())
    ]
    assert list(zip(*(c.tolist() for c in tables._count(codes)), strict=True)) == expected


def test_every_allele_has_its_own_text():
    def digits(code):
        text = ""
        while code or not text:
            code, digit = divmod(code, 36)
            text += "0123456789abcdefghijklmnopqrstuvwxyz"[digit]
        return text

    last = sum(tables._MODEL_OWN) - 1
    codes = np.array([0, 1, 35, 36, 36, 37, 1295, 1296, 46655, 46656, 72, last, 0], np.int32)
    assert allele_texts(codes).to_pylist() == [digits(code) for code in codes.tolist()]
    assert len(digits(last)) == 4
    every = allele_texts(np.arange(0, last + 1, 37, dtype=np.int32))
    assert len(set(every.to_pylist())) == len(every)


@given(st.integers(0, 2**31 - 1), st.tuples(st.integers(1, 3), st.integers(0, 5)))
def test_draws(seed, shape):
    whole = Draws(seed, "x").uniform(*shape)
    assert whole.shape == shape
    assert ((whole >= 0) & (whole < 1)).all()
    pieces = Draws(seed, "x")
    assert [pieces.uniform(shape[1]).tolist() for _ in range(shape[0])] == whole.tolist()
    below = Draws(seed, "x").below(7, *shape)
    assert (below == np.floor(whole * 7)).all()


def test_zipf():
    for eighths in range(6):
        rank = np.arange(1, tables._COMMON + 1)
        weight = rank ** -(1 + eighths / 8)
        np.testing.assert_allclose(
            zipf(eighths, tables._COMMON), np.cumsum(weight) / weight.sum(), rtol=1e-12
        )


@pytest.mark.parametrize("kind", NAMED)
@given(n=st.integers(1, 30), seed=st.integers(0, 2**31 - 1))
@settings(max_examples=25, deadline=None)
def test_distances_of_any_size(kind, n, seed):
    D = simulate_distances(n, kind=kind, seed=seed)
    assert pp.DistanceMatrix(D.values, D.ids) == D  # passes every check of a foreign matrix
    assert (D.values[np.triu_indices(n, 1)] > 0).all()
    assert simulate_distances(n, kind=kind, seed=seed) == D
    assert D.provenance["simulation"] == {"kind": kind, "seed": seed}


@given(st.integers(4, 12), st.integers(0, 2**31 - 1))
@settings(deadline=None)
def test_path_lengths_are_a_trees(n, seed):
    """Four points: of the three sums of opposite distances the two largest are equal."""
    d = tables._path_lengths(n, Draws(seed))
    d = d + d.T
    for i, j, k, m in combinations(range(n), 4):
        sums = sorted([d[i, j] + d[k, m], d[i, k] + d[j, m], d[i, m] + d[j, k]])
        assert sums[1] == pytest.approx(sums[2], rel=1e-12)


def test_near_additive_is_near_its_tree():
    D = simulate_distances(40, seed=5)
    tree = tables._path_lengths(40, Draws(5, "distances", "near-additive"))
    off = D.values[np.tril_indices(40, -1)] / tree[np.tril_indices(40, -1)] - 1
    assert np.abs(off).max() <= 0.025 * (1 + 1e-9)
    assert np.abs(off).mean() > 0.01


def test_families_are_near_and_the_rest_saturated():
    D = simulate_distances(300, kind="language-models")
    family = np.array([family_of(model) for model in D.ids])
    relatives = family[:, None] == family
    np.fill_diagonal(relatives, False)
    assert D.values[relatives].max() < 1.1
    far = D.values[D.values > 1.2]
    assert len(far) > 0.6 * D.values.size
    assert far.std() < 0.2 * far.mean()


def test_the_mirror_over_several_blocks(monkeypatch):
    monkeypatch.setattr(tables, "_BLOCK", 3)
    values = np.tril(np.random.default_rng(0).random((8, 8)), -1)
    expected = values + values.T
    tables._mirror(values)
    assert (values == expected).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_models": 0}, "n_models must be a whole number of at least 1, not 0"),
        ({"n_models": 2.5}, "n_models must be a whole number of at least 1, not 2.5"),
        ({"n_genes": 0}, "n_genes"),
        ({"n_probes": "32"}, "n_probes"),
        ({"family_size": 0}, "family_size"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments_of_tables(arguments, message):
    with pytest.raises(pp.InputError, match=message):
        simulate_table(**{"n_models": 3, "n_genes": 2, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, "n must be a whole number of at least 1, not 0"),
        ({"n": True}, "n must"),
        ({"n": 3, "kind": "additive"}, "unknown kind 'additive'; known: 'near-additive'"),
        ({"n": 3, "seed": None}, "seed"),
    ],
)
def test_bad_arguments_of_distances(arguments, message):
    with pytest.raises(pp.InputError, match=message):
        simulate_distances(**arguments)


def test_what_does_not_fit_is_refused_at_once():
    with pytest.raises(MemoryError, match="2000000000 models x 128 genes need"):
        simulate_table(2_000_000_000)
    with pytest.raises(MemoryError, match="simulated distances need"):
        simulate_distances(2_000_000_000)


def test_a_model_that_was_not_simulated():
    assert family_of("a/b/c") == "a"
    with pytest.raises(pp.InputError, match="'gpt2' is not named family/model"):
        family_of("gpt2")


def test_the_module_is_loaded_on_first_use():
    code = (
        "import sys, pyphylo as pp\n"
        "assert 'pyphylo.simulate' not in sys.modules and 'simulate' in dir(pp)\n"
        "print(pp.simulate.simulate_table(2, 1))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.startswith("AlleleTable(2 models, 1 genes")
