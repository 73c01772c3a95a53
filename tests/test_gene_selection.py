"""Which genes are chosen: against loops over pairs, and against what was simulated."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from drawn_tables import drawn_table, quiet
from hypothesis import given, settings
from hypothesis import strategies as st
from many_kinds import genes_of_many_kinds, recovered
from strategies import integer_populations, table_of

import pyphylo as pp
from pyphylo._reference import Sampled
from pyphylo.stats import _gene_agreement
from pyphylo.stats._gene_agreement import Agreement, Cells, likeness, view_products


def slow_products(populations, models, genes, similarity):
    """Inner products of genes' views, from distances of pairs as dictionaries."""
    views = {gene: [] for gene in genes}
    for i, a in enumerate(models):
        order = sorted((j for j in range(len(models)) if j != i), key=lambda j: -similarity[i][j])
        weights = np.array([1 / (rank + 1) for rank in range(len(order))])
        weights /= weights.sum()
        for gene in genes:
            told = []
            for rank, j in enumerate(order):
                mine, others = (populations[m].get(gene) for m in (a, models[j]))
                if mine is None or others is None:
                    continue
                p, q = mine.frequencies(), others.frequencies()
                shared = sum(p[allele] * q.get(allele, 0) for allele in p)
                own = mine.self_term("unbiased") + others.self_term("unbiased")
                told.append((rank, weights[rank], float(own / 2 - shared)))
            view = np.zeros(len(order))
            if told:
                mean = sum(w * d for _, w, d in told) / sum(w for _, w, _ in told)
                for rank, w, d in told:
                    view[rank] = np.sqrt(w) * (d - mean)
            views[gene].append(view)
    Z = np.array([np.concatenate(views[gene]) for gene in genes])
    return Z, Z @ Z.T


@settings(max_examples=40)
@given(integer_populations())
def test_products_of_views_equal_loops(populations):
    populations = {m: cells for m, cells in populations.items() if cells}
    if len(populations) < 3:
        return
    table = table_of(populations)
    cells = quiet(Cells.of, table, "unbiased", 1, 1)
    models = list(populations)
    _, expected = slow_products(populations, models, table.genes, cells.similarity)
    found = view_products(cells, np.arange(len(models)))
    np.testing.assert_allclose(found, expected, atol=1e-12)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(2, 7))
def test_agreement_and_greedy_equal_their_definitions(seed, n):
    """With the views themselves: sums, regressions, and every candidate tried at every step."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=40)
    Z = rng.normal(size=(n, 40)) * rng.choice([0, 0.3, 1], (n, 1)) + truth * rng.choice(
        [0, 0.5, 1], (n, 1)
    )
    found = Agreement.of(Z @ Z.T)
    seen = [g for g in range(n) if (Z[g] ** 2).sum() > 1e-12]
    rho = {(g, h): Z[g] @ Z[h] / np.sqrt((Z[g] @ Z[g]) * (Z[h] @ Z[h])) for g in seen for h in seen}
    weight = {g: 1 / sum(max(0, rho[g, h]) ** 2 for h in seen) for g in seen}
    total = sum((weight[g] * Z[g] for g in seen), np.zeros(40))
    left = np.zeros((n, 40))
    noise = np.zeros(n)
    for g in range(n):
        rest = total - weight.get(g, 0) * Z[g]
        slope = Z[g] @ rest / (rest @ rest) if g in seen and rest @ rest > 1e-9 else 0.0
        assert found.signal[g] == pytest.approx(slope, abs=1e-9)
        noise[g] = ((Z[g] - slope * rest) ** 2).sum()
        left[g] = Z[g] - slope * total
    joint = left @ left.T
    np.fill_diagonal(joint, noise)
    np.testing.assert_allclose(found.joint, joint, atol=1e-8)

    floor = _gene_agreement._CAUTION * noise.sum()
    order = found.greedy(n, np.ones(n, bool)).tolist()
    assert sorted(order) == list(range(n))
    if floor < 1e-9:
        return
    chosen: list[int] = []
    V = floor
    for g in order:

        def gain(h, chosen=tuple(chosen), V=V):
            B = sum(found.signal[k] for k in (*chosen, h))
            noise = max(V + joint[h, h] + 2 * sum(joint[h, k] for k in chosen), floor)
            return B * abs(B) / noise, noise

        best = max(gain(h)[0] for h in range(n) if h not in chosen)
        value, V = gain(g)
        assert value == pytest.approx(best, rel=1e-6, abs=1e-12)
        chosen.append(g)


def test_likeness_is_a_correlation_of_sums():
    Z = np.random.default_rng(0).normal(size=(6, 30))
    one, other = np.array([0, 1]), np.array([3, 4, 5])
    a, b = Z[one].sum(0), Z[other].sum(0)
    expected = a @ b / np.sqrt((a @ a) * (b @ b))
    assert likeness(Z @ Z.T, one, other) == pytest.approx(expected)
    assert likeness(np.zeros((6, 6)), one, other) == 0


def test_ranks_that_stand_for_others_keep_all_weight():
    for n in (1, 2, 47, 48, 49, 50, 200, 999):
        ranks, weights = _gene_agreement._ranks(n)
        assert weights.sum() == pytest.approx(1)
        assert len(ranks) == len(set(ranks.tolist())) == min(n, 48)
        assert (np.diff(ranks) > 0).all()
        assert ranks[-1] < n


def test_a_part_of_the_partners_gives_nearly_the_same(monkeypatch):
    table = pp.simulate.simulate_history(120, 24, seed=4).table
    cells = Cells.of(table, "unbiased", 1, 1)
    some = Agreement.of(view_products(cells, np.arange(120)))
    monkeypatch.setattr(_gene_agreement, "_NEAREST", 119)
    every = Agreement.of(view_products(cells, np.arange(120)))
    assert np.corrcoef(some.signal, every.signal)[0, 1] > 0.99


def test_neither_constant_nor_private_genes_are_chosen():
    table, _, kinds = genes_of_many_kinds(40, 20, 16, seed=1, family_size=6)
    with pytest.warns(pp.PyphyloWarning, match="only 12 of 20 genes are chosen: the other 8"):
        found = pp.select_genes(table, 20)
    assert len(found.genes) == 12
    told = dict(zip(table.genes, kinds, strict=True))
    assert {told[gene] for gene in found.genes} == {"clear", "slow", "noise"}
    assert {told[gene] for gene in found.genes[:5]} <= {"clear", "slow"}
    frame = found.scores.set_index("gene")
    assert set(frame.index) == set(table.genes)
    for gene, kind in told.items():
        assert frame.loc[gene, "fault"] == (kind if kind in ("constant", "private") else "")
        assert (frame.loc[gene, "signal"] == 0) == (kind in ("constant", "private"))
    assert frame["rank"].iloc[:12].tolist() == list(range(1, 13))
    assert frame["rank"].iloc[12:].isna().all()
    assert repr(found) == "GeneSelection(12 of 20 genes)"


def test_any_start_of_a_choice_is_a_choice():
    table = pp.simulate.simulate_history(30, 16, seed=7).table
    longer, shorter = (pp.select_genes(table, n, folds=0) for n in (10, 4))
    assert longer.genes[:4] == shorter.genes
    assert longer.evaluation is None
    assert longer.scores["in_folds"].isna().all()


def test_a_gene_asked_many_times_is_not_the_truth():
    """Copies of one gene, by other probes: at most a part of them is worth a place."""
    rng = np.random.default_rng(0)
    history = pp.simulate.simulate_history(40, 24, 32, seed=11, family_size=8)
    frame = history.table.to_frame()
    one = frame[frame["gene"] == "gene-00"]
    parts = [frame]
    for copy in range(12):
        drawn = [
            rng.multinomial(32, cell["count"] / cell["count"].sum())
            for _, cell in one.groupby("model", sort=False)
        ]
        parts.append(one.assign(gene=f"copy-{copy:02}", count=np.concatenate(drawn)))
    rows = pd.concat(parts)
    genes = list(dict.fromkeys(rows["gene"]))
    models = history.models
    table = pp.AlleleTable.from_counts(
        models,
        genes,
        rows["model"].map({m: i for i, m in enumerate(models)}).tolist(),
        rows["gene"].map({g: i for i, g in enumerate(genes)}).tolist(),
        rows["allele"].tolist(),
        rows["count"].tolist(),
    )
    chosen = pp.select_genes(table, 18, folds=0).genes
    copies = sum(gene.startswith("copy") for gene in chosen)
    # 12 of 36 genes are copies: 18 drawn at random would hold 6.
    assert copies <= 4


def halves_of_families(models, rng):
    """Models in two parts of about one size, families whole."""
    names = rng.permutation(sorted({m.partition("/")[0] for m in models}))
    one: list[str] = []
    for family in names:
        if len(one) < 45:
            one += [m for m in models if m.startswith(f"{family}/")]
    return one, [m for m in models if m not in set(one)]


def shares_recovered(seeds):
    """Shares of true clades and parents found by all, chosen and random genes, over families
    that took no part in the choice; and by how much choosing moved the mean similarity."""
    totals = {name: np.zeros(4) for name in ("all", "chosen", "random")}
    moved = []
    for seed in seeds:
        table, truth, _ = genes_of_many_kinds(100, 128, 32, seed=seed, family_size=6, living=0.7)
        rng = np.random.default_rng(seed)
        parts = halves_of_families(table.models, rng)
        if min(map(len, parts)) < 20:
            continue
        for asked, others in (parts, parts[::-1]):
            found = pp.select_genes(table.select(models=asked), 64, folds=0, n_threads=1)
            moved.append(abs(found.similarity - found.similarity_all))
            totals["all"] += recovered(table, truth, others, table.genes)
            totals["chosen"] += recovered(table, truth, others, found.genes)
            for _ in range(3):
                some = rng.permutation(table.genes)[:64].tolist()
                totals["random"] += recovered(table, truth, others, some)
    clades = {name: t[0] / t[1] for name, t in totals.items()}
    parents = {name: t[2] / t[3] for name, t in totals.items()}
    return clades, parents, moved


def test_half_the_genes_do_better_than_random_halves_on_other_models():
    clades, parents, moved = shares_recovered(range(10))
    assert len(moved) >= 6
    for found in (clades, parents):
        assert found["chosen"] > found["random"] + 0.01
        assert found["chosen"] > found["all"] - 0.05
    # Without constant and private genes similarities are others, to be compared among themselves.
    assert np.mean(moved) > 0.02


@pytest.mark.slow
def test_half_the_genes_do_as_well_as_all_on_other_models():
    """Some 1,300 clades and 2,900 parents: enough to tell two points from none."""
    clades, parents, _ = shares_recovered(range(80))
    for found in (clades, parents):
        assert found["chosen"] >= found["all"] - 0.02
        assert found["chosen"] > found["random"] + 0.03


def test_the_evaluation_tells_whether_choosing_is_worth_it():
    table, _, _ = genes_of_many_kinds(60, 64, 16, seed=2, family_size=6)
    groups = {m: m.partition("/")[0] for m in table.models}
    told = pp.select_genes(table, 32, groups, folds=3)
    frame = told.evaluation
    assert frame["models"].sum() == 60
    mean = frame.mean()
    assert mean["agreement_chosen"] > mean["agreement_random"] + 0.02
    assert mean["agreement_chosen"] > mean["agreement_all"] - 0.02
    assert told.scores["in_folds"].between(0, 1).all()
    assert told.scores["in_folds"].sum() == pytest.approx(32, abs=1)
    again = pp.select_genes(table, 32, groups, folds=3)
    assert again.genes == told.genes
    pd.testing.assert_frame_equal(again.evaluation, frame)


@settings(max_examples=25)
@given(st.data())
def test_odd_shapes(data):
    """Missing cells, few models, few genes: chosen genes are the table's, each once."""
    populations = data.draw(integer_populations())
    populations = {m: cells for m, cells in populations.items() if cells}
    if len(populations) < 4:
        return
    table = table_of(populations)
    assert all(isinstance(c, Sampled) for cells in populations.values() for c in cells.values())
    n = data.draw(st.integers(1, len(table.genes)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        found = pp.select_genes(table, n, folds=0)
    assert len(set(found.genes)) == len(found.genes) <= n
    assert set(found.genes) <= set(table.genes)


def test_one_probe_needs_the_plugin_estimator():
    rows = [(f"m{m}", f"g{g}", "ab"[(m * g) % 2]) for m in range(8) for g in range(6)]
    table = pp.AlleleTable.from_records(rows)
    with pytest.raises(pp.InputError, match="no gene has them in 'm0', 'm1'"):
        pp.select_genes(table, 2)
    assert len(pp.select_genes(table, 2, estimator="plugin", folds=2).genes) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 9}, "a budget of 9 genes is more than the table's 6"),
        ({"n": 0}, "n must be a whole number of at least 1"),
        ({"estimator": "honest"}, "unknown estimator 'honest'"),
        ({"folds": -1}, "folds"),
        ({"groups": dict.fromkeys([f"m{i}" for i in range(8)], "one")}, "in 1 groups make no two"),
        ({"groups": {"x": "y"}}, "none of the table's models"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(pp.InputError, match=message):
        pp.select_genes(drawn_table(0, 8, 6, 5, 6), **{"n": 3, **options})


def test_too_few_models():
    with pytest.raises(pp.InputError, match="on 4 models at least; the table has 3"):
        pp.select_genes(drawn_table(0, 3, 6, 5, 6), 2)
    with pytest.raises(pp.InputError, match="folds=0 to choose without judging"):
        pp.select_genes(drawn_table(0, 5, 6, 5, 6), 2)


def test_real_prompts(shared_data):
    """Prompts that all tell about as much: the evaluation says that choosing gains little."""
    import gzip
    import json

    with gzip.open(shared_data / "completions" / "arena_hard.jsonl.gz", "rt") as lines:
        rows = [json.loads(line) for line in lines]
    table = pp.AlleleTable.from_records((r["model"], r["gene"], r["completion"]) for r in rows)
    found = pp.select_genes(table, 250, estimator="plugin")
    mean = found.evaluation.mean()
    assert len(found.genes) == 250
    assert 0.9 < mean["agreement_chosen"] < 1
    assert abs(mean["agreement_chosen"] - mean["agreement_random"]) < 0.03
