"""Simulated histories: drift, merges and living ancestors, as promised."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.errors import InputError
from pyphylo.simulate import simulate_history
from pyphylo.simulate._draws import Draws
from pyphylo.simulate._populations import drift_step, picked, tail_weights


def identity(p, q):
    """Expected identity, a number a gene."""
    return (p * q).sum(axis=1)


def assert_mean(values, expected, errors=4.0):
    """The mean of independent values is within so many standard errors of what is expected."""
    standard_error = values.std(ddof=1) / math.sqrt(len(values))
    assert abs(values.mean() - expected) < errors * standard_error


@given(
    n_models=st.integers(1, 40),
    n_genes=st.integers(1, 4),
    n_probes=st.integers(1, 12),
    family_size=st.integers(1, 30),
    living=st.sampled_from([0, 0.3, 0.5, 1]),
    admixed=st.sampled_from([0, 0.3, 1]),
    mutation=st.sampled_from([0, 0.1]),
    n_alleles=st.integers(1, 20),
    seed=st.integers(0, 2**31 - 1),
)
@settings(max_examples=60, deadline=None)
def test_any_history(n_models, n_genes, n_probes, seed, **options):
    history = simulate_history(n_models, n_genes, n_probes, seed=seed, **options)
    table = history.table
    assert table.models == history.models
    assert (len(table.models), len(table.genes)) == (n_models, n_genes)
    assert (table.summary()[0] == n_probes).all()
    nodes = history.nodes.set_index("node")
    hidden = set(nodes.index[nodes["hidden"]])
    assert set(history.models) == set(nodes.index) - hidden
    # Only ancestors are hidden, and as many of them as was asked.
    ancestors = (set(nodes["parent"]) | set(nodes["second_parent"])) - {None}
    assert hidden <= ancestors
    assert len(hidden) == int((1 - options["living"]) * len(ancestors) + 0.5)
    born = {name: place for place, name in enumerate(nodes.index)}
    for name, row in nodes.iterrows():
        for parent in (row["parent"], row["second_parent"]):
            assert parent is None or (
                born[parent] < born[name] and nodes["family"][parent] == row["family"]
            )
        p = history.frequencies(name)
        np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    for model, parent in history.parents.items():
        above = nodes["parent"][model]
        while above in hidden:
            above = nodes["parent"][above]
        assert parent == above
    assert set(history.admixed) == {m for m in history.models if nodes["second_parent"][m]}
    if history.admixed:
        with pytest.raises(InputError, match="no tree"):
            history.tree  # noqa: B018
    again = simulate_history(n_models, n_genes, n_probes, seed=seed, **options)
    assert again.table == table
    assert again.metadata.equals(history.metadata)


def test_genes_do_not_depend_on_how_many_there_are():
    history = simulate_history(30, 9, mutation=0.02, admixed=0.2, seed=4)
    fewer = simulate_history(30, 4, mutation=0.02, admixed=0.2, seed=4)
    assert fewer.table == history.table.select(genes=[f"gene-{g}" for g in range(4)])
    assert fewer.parents == history.parents
    assert simulate_history(30, 4, seed=5).table != simulate_history(30, 4, seed=6).table


def test_a_seed_means_the_same_for_ever():
    """Recorded once: another machine, NumPy or Python gives the same history and counts."""
    history = simulate_history(25, 4, 16, admixed=0.2, mutation=0.05, seed=7)
    text = history.table.to_frame().to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "7188188168ebf5a4"
    assert history.nodes["parent"][3] == "family-0/model-18"
    first, second, share = history.admixed["family-0/model-17"]
    assert (first, second) == ("family-0/model-24", "family-0/model-09")
    assert share == 0.6021560519288863


@pytest.mark.parametrize("f", [0.001, 0.003, 0.05, 0.3, 0.5, 0.77, 0.999])
def test_weights_of_the_tail(f):
    weights = tail_weights(f)
    assert (weights >= 0).all()
    assert weights.sum() == pytest.approx(1, rel=1e-12)
    assert (weights**2).sum() == pytest.approx(f, rel=1e-9)


@pytest.mark.parametrize("f", [0.001, 0.03, 0.2, 0.6, 0.95])
def test_drift_keeps_the_mean_and_adds_variance(f):
    start = np.array([0.5, 0.3, 0.15, 0.05, 0.0])
    p = drift_step(np.tile(start, (20_000, 1)), f, Draws(1, f))
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-12)
    assert (p[:, 4] == 0).all()
    for a in range(4):
        assert_mean(p[:, a], start[a])
        assert_mean((p[:, a] - start[a]) ** 2, f * start[a] * (1 - start[a]))
    homozygosity = (start**2).sum()
    assert_mean(identity(p, p), f + (1 - f) * homozygosity)
    assert_mean(p @ start, homozygosity)


def test_drift_is_dirichlet():
    """Higher moments, too: of Beta(a, b), whose third raw moment is known."""
    f, start = 0.25, np.array([0.3, 0.7])
    p = drift_step(np.tile(start, (40_000, 1)), f, Draws(3))[:, 0]
    theta = (1 - f) / f
    a = 0.3 * theta
    third = a * (a + 1) * (a + 2) / (theta * (theta + 1) * (theta + 2))
    assert_mean(p**3, third)


def test_no_drift_is_a_copy():
    history = simulate_history(12, 5, drift=0, founder_drift=0, seed=3)
    for model in history.models:
        assert (history.frequencies(model) == history.frequencies()).all()


@given(st.integers(1, 300), st.integers(1, 9), st.integers(0, 2**31 - 1))
@settings(max_examples=30, deadline=None)
def test_picking_stays_in_its_row_and_off_zeros(n_genes, n_alleles, seed):
    rng = np.random.default_rng(seed)
    p = rng.random((n_genes, n_alleles)) * (rng.random((n_genes, n_alleles)) < 0.6)
    p[p.sum(axis=1) == 0, 0] = 1.0
    u = rng.random((n_genes, 7))
    u[:, 0], u[:, 1] = 0, 1 - 2.0**-53
    alleles_of = picked(p, u)
    for row, numbers, alleles in zip(p / p.sum(1, keepdims=True), u, alleles_of, strict=True):
        slow = np.searchsorted(np.cumsum(row), numbers * (1 - 2.0**-32), "right")
        assert (row[alleles] > 0).all()
        inside = np.abs(np.cumsum(row)[:, None] - numbers).min(axis=0) > 1e-9
        assert (alleles[inside] == slow[inside]).all()


def test_expected_identities_of_a_history():
    """Over many genes: the drift of each branch, and what relatives share."""
    history = simulate_history(12, 6000, 2, family_size=6, living=0.6, n_alleles=12, seed=5)
    nodes = history.nodes
    p = {name: history.frequencies(name) for name in nodes["node"]}
    for row in nodes.itertuples():
        start = history.frequencies(row.parent)
        same = identity(start, start)
        assert_mean(identity(p[row.node], start) - same, 0)
        gained = identity(p[row.node], p[row.node]) - row.drift - (1 - row.drift) * same
        assert_mean(gained, 0)


@pytest.mark.parametrize("mutation", [0.0, 0.08])
def test_the_true_tree_is_that_of_expected_distances(mutation):
    history = simulate_history(
        15, 8000, 2, family_size=8, n_alleles=10, mutation=mutation, living=0.5, seed=8
    )
    D = pp.nei_distance(history.exact_table())
    tree = history.tree
    assert tree.tips == history.models
    np.testing.assert_allclose(tree.patristic(), D.values, atol=0.03)
    assert np.abs(tree.patristic() - D.values).mean() < 0.005
    assert D.values.max() > 0.5


def test_living_ancestors_are_tips_on_branches_of_no_length():
    history = simulate_history(60, 2, living=1.0, family_size=20, seed=2)
    assert not history.nodes["hidden"].any()
    tree = history.tree
    ancestors = set(history.parents.values()) - {None}
    assert ancestors
    for tip in ancestors:
        assert tree.length[tree.index(tip)] == 0
    paths = tree.patristic()
    for model, parent in history.parents.items():
        if parent is not None:
            # The way from a model to all but its own descendants leads past its parent.
            child, up = tree.index(model), tree.index(parent)
            others = [tree.index(m) for m in tree.tips if model not in _line(history, m)]
            np.testing.assert_allclose(
                paths[child, others], paths[child, up] + paths[up, others], atol=1e-12
            )


def _line(history, model):
    """A model and its ancestors."""
    line = [model]
    while history.parents[line[-1]] is not None:
        line.append(history.parents[line[-1]])
    return line


def test_all_ancestors_may_be_hidden():
    history = simulate_history(40, 2, living=0.0, family_size=40, seed=2)
    assert set(history.parents.values()) == {None}
    assert history.nodes["hidden"].sum() > 5
    assert (history.tree.length[:40] > 0).all()


def test_merges_are_mixtures():
    still = simulate_history(80, 6, admixed=0.4, drift=(0.02, 0.2), mutation=0.1, seed=9)
    assert len(still.admixed) > 10
    for model, (first, second, share) in still.admixed.items():
        assert 0.5 <= share < 0.75
        assert first != second
        start = share * still.frequencies(first) + (1 - share) * still.frequencies(second)
        # A merge has alleles of its parents and one of its own, no other.
        new = still.frequencies(model)[:, (start == 0).all(axis=0)]
        assert (new > 0).any(axis=0).sum() <= 1


def test_expected_identities_of_merges():
    drifting = simulate_history(60, 4000, 2, admixed=0.3, n_alleles=8, seed=1)
    assert len(drifting.admixed) > 5
    for model, (first, second, share) in drifting.admixed.items():
        start = share * drifting.frequencies(first) + (1 - share) * drifting.frequencies(second)
        f = drifting.drift[model]
        p = drifting.frequencies(model)
        assert_mean(identity(p, start) - identity(start, start), 0)
        assert_mean(identity(p, p) - f - (1 - f) * identity(start, start), 0)


def test_samples_are_of_the_frequencies():
    history = simulate_history(6, 40, 4000, n_alleles=6, seed=3)
    exact = history.exact_table()
    truth = exact.to_frame().set_index(["model", "gene", "allele"])["probability"]
    drawn = history.table.to_frame().set_index(["model", "gene", "allele"])["count"] / 4000
    both = truth.to_frame().join(drawn.rename("share"), how="left").fillna(0)
    error = np.sqrt(both["probability"] * (1 - both["probability"]) / 4000)
    assert ((both["share"] - both["probability"]).abs() < 5 * error + 1e-3).all()


def test_metadata():
    history = simulate_history(80, 1, declared=1.0, living=0.8, seed=6)
    metadata = history.metadata
    assert tuple(metadata["model"]) == history.models
    assert list(metadata.columns) == ["model", "family", "base_model", "date", "params_b"]
    assert dict(zip(metadata["model"], metadata["base_model"], strict=True)) == history.parents
    assert (metadata.groupby("family")["params_b"].nunique() == 1).all()
    date = dict(zip(metadata["model"], metadata["date"], strict=True))
    assert all(date[p] <= date[m] for m, p in history.parents.items() if p is not None)
    none = simulate_history(80, 1, declared=0, living=0.8, seed=6)
    assert none.metadata["base_model"].isna().all()
    half = simulate_history(80, 1, declared=0.5, living=0.8, seed=6).metadata
    told = half["base_model"].notna()
    assert 10 < told.sum() < sum(p is not None for p in history.parents.values()) - 10
    assert (half["base_model"][told] == metadata["base_model"][told]).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"n_models": 0}, "n_models must be a whole number of at least 1, not 0"),
        ({"living": 1.1}, "living must be a share from 0 to 1, not 1.1"),
        ({"admixed": -0.1}, "admixed must be a share"),
        ({"declared": True}, "declared must be a share"),
        ({"mutation": float("nan")}, "mutation must be a share from 0 to 1, not nan"),
        ({"drift": 1}, "drift must be 0, a number from 0.001 to below 1"),
        ({"drift": (0.3, 0.1)}, "drift must be 0"),
        ({"drift": (0.0, 0.1)}, "drift must be 0"),
        ({"founder_drift": 1e-5}, "founder_drift must be 0"),
        ({"founder_drift": (0.1, 0.2, 0.3)}, "founder_drift must be 0"),
        ({"n_alleles": 2.5}, "n_alleles must be a whole number"),
    ],
)
def test_bad_arguments(wrong, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")):
        simulate_history(**{"n_models": 5, **wrong})


def test_unknown_nodes_and_too_much_memory():
    history = simulate_history(5, 1)
    with pytest.raises(InputError, match="no node 'gpt'"):
        history.frequencies("gpt")
    with pytest.raises(MemoryError, match="populations over 1000000 genes"):
        simulate_history(5000, 1_000_000)
