"""Supports of branches: the compiled comparison against sets, resampling against its parts."""

from __future__ import annotations

import math
import subprocess
import sys
import time

import numpy as np
import pytest
from drawn_tables import drawn_table
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.errors import InputError
from pyphylo.tree import _reorder
from pyphylo.tree.support import (
    bootstrap_support,
    bootstrap_trees,
    support_from_trees,
    support_values,
    transfer_distances,
)

FEW = settings(max_examples=80, deadline=None)


# Slow and obvious: a branch is its two sets of tips.


def below(tree, node):
    return frozenset(tree.tips[tip] for tip in tree.tips_below(node).tolist())


def slow_transfer(tree, other):
    """Tips that must change sides, by trying every branch of the other tree from either side."""
    everything = frozenset(tree.tips)
    found = np.full(tree.n_nodes, np.nan)
    for node in range(tree.n_nodes - 1):
        side = below(tree, node)
        if not 2 <= len(side) <= len(everything) - 2:
            continue
        found[node] = min(
            min(len(side ^ theirs), len(side ^ (everything - theirs)))
            for theirs in (below(other, v) for v in range(other.n_nodes - 1))
        )
    return found


def slow_supports(tree, trees):
    n = tree.n_tips
    moved = np.array([slow_transfer(tree, other) for other in trees])
    present = np.full(tree.n_nodes, np.nan)
    closeness = np.full(tree.n_nodes, np.nan)
    for node in np.flatnonzero(~np.isnan(moved[0])):
        side = below(tree, int(node))
        whole = frozenset((side, frozenset(tree.tips) - side))
        branches = [
            {frozenset((s, frozenset(tree.tips) - s)) for s in other.bipartitions()}
            for other in trees
        ]
        present[node] = np.mean([whole in found for found in branches])
        p = min(len(side), n - len(side))
        closeness[node] = 1 - moved[:, node].mean() / (p - 1)
    return present, closeness


@st.composite
def trees_of(draw, names):
    """Any tree of these tips: nodes grouped at random, with polytomies and single children."""
    n = len(names)
    tips = draw(st.permutations(names))
    parent = [-1] * n
    nodes = list(range(n))
    while len(nodes) > 1:
        k = draw(st.integers(1 if draw(st.integers(0, 9)) == 9 else 2, min(4, len(nodes))))
        for _ in range(k):
            parent[nodes.pop(draw(st.integers(0, len(nodes) - 1)))] = len(parent)
        nodes.append(len(parent))
        parent.append(-1)
    return pp.Tree(tips, parent)


@st.composite
def tree_and_others(draw, largest=12, most=4):
    names = [f"t{i}" for i in range(draw(st.integers(2, largest)))]
    return draw(trees_of(names)), draw(st.lists(trees_of(names), min_size=1, max_size=most))


@FEW
@given(tree_and_others(most=1))
def test_transfer_distances_equal_sets(drawn):
    tree, (other,) = drawn
    found = transfer_distances(tree, other)
    np.testing.assert_array_equal(found, slow_transfer(tree, other))
    np.testing.assert_array_equal(
        transfer_distances(tree, tree), np.where(np.isnan(found), found, 0)
    )


@FEW
@given(tree_and_others())
def test_supports_equal_sets(drawn):
    tree, others = drawn
    found = support_from_trees(tree, others)
    present, closeness = slow_supports(tree, others)
    np.testing.assert_array_equal(found.felsenstein, present)
    np.testing.assert_allclose(found.transfer, closeness, rtol=0, atol=1e-15)
    assert found.n == len(others)
    assert not (found.transfer < found.felsenstein).any()


def random_tree(n, seed):
    rng = np.random.default_rng(seed)
    parent = np.full(2 * n - 2, -1)
    nodes = list(range(n))
    for new in range(n, 2 * n - 2):
        for _ in range(3 if new == 2 * n - 3 else 2):
            parent[nodes.pop(rng.integers(len(nodes)))] = new
        nodes.append(new)
    return pp.Tree([f"m{i}" for i in rng.permutation(n)], parent)


def caterpillar(n, step=1):
    """One model splits off after the other."""
    joined_at = np.maximum(np.arange(n) + n - 1, n)
    parent = np.r_[joined_at, np.arange(n + 1, 2 * n - 1), -1]
    return pp.Tree([f"m{i * step % n}" for i in range(n)], parent)


def members(tree):
    """Rows of nodes, columns of models by name."""
    inside = np.zeros((tree.n_nodes, tree.n_tips), np.int64)
    number = {name: i for i, name in enumerate(sorted(tree.tips))}
    inside[range(tree.n_tips), [number[tip] for tip in tree.tips]] = 1
    for node in range(tree.n_nodes - 1):
        inside[tree.parent[node]] += inside[node]
    return inside


def multiplied_transfer(tree, other):
    """By a product of matrices: fast enough for trees of more columns than are taken at once."""
    mine, theirs = members(tree), members(other)[:-1]
    apart = mine.sum(1)[:, None] + theirs.sum(1) - 2 * mine @ theirs.T
    nearest = np.minimum(apart, tree.n_tips - apart).min(1).astype(float)
    size = mine.sum(1)
    nearest[(size < 2) | (size > tree.n_tips - 2)] = np.nan
    return nearest


@pytest.mark.parametrize(
    ("tree", "other"),
    [
        (random_tree(700, 1), random_tree(700, 2)),
        (caterpillar(600), random_tree(600, 3)),
        (random_tree(600, 4), caterpillar(600)),
        (caterpillar(601), caterpillar(601, step=5)),
    ],
    ids=["random", "deep", "deep other", "both deep"],
)
def test_larger_trees_equal_a_product_of_matrices(tree, other):
    np.testing.assert_array_equal(transfer_distances(tree, other), multiplied_transfer(tree, other))


def test_more_tips_than_16_bits_count():
    n = 33_000
    star = np.r_[np.full(n, n), -1]
    clade = np.r_[np.full(n // 2, n), np.full(n - n // 2, n + 1), n + 1, -1]
    names = [f"m{i}" for i in range(n)]
    tree = pp.Tree(names, clade)
    assert transfer_distances(tree, tree)[n] == 0
    assert transfer_distances(tree, pp.Tree(names, star))[n] == n // 2 - 1


def test_published_definition_by_hand():
    """A clade of four: in one replicate a model left it, in one a stranger is inside it as well."""
    tree = pp.Tree.from_newick("(((a,b),(c,d)),e,((f,g),h));")
    replicates = [
        pp.Tree.from_newick("((a,(b,c)),((d,e),((f,g),h)));"),  # d left {a, b, c, d}: one transfer
        pp.Tree.from_newick("((((a,b),(c,e)),d),(f,g),h);"),  # with e: {a, b, c, d, e}, one too
        pp.Tree.from_newick("(((a,b),(c,d)),e,((f,g),h));"),
        pp.Tree.from_newick("(((a,f),(b,g)),((c,e),(d,h)));"),
    ]
    found = support_from_trees(tree, replicates)
    support = {below(tree, v): v for v in range(tree.n_nodes)}
    clade = support[frozenset("abcd")]
    # p = 4, so at most 3: the last replicate has no branch nearer than that of a tip or of a pair.
    last = min(
        len(frozenset("abcd") ^ s) for s in map(frozenset, ("a", "af", "bg", "ce", "dh", "afbg"))
    )
    assert last == 3
    assert found.felsenstein[clade] == 1 / 4
    assert found.transfer[clade] == pytest.approx(1 - (1 + 1 + 0 + 3) / 4 / 3)
    pair = support[frozenset("fg")]
    assert found.felsenstein[pair] == found.transfer[pair] == 3 / 4
    assert math.isnan(found.felsenstein[tree.root])
    assert np.isnan(found.transfer[: tree.n_tips]).all()


# Over genes


@pytest.mark.parametrize("n", [2, 3, 15, 16, 17, 50])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_reordered_squares(n, dtype):
    rng = np.random.default_rng(n)
    D = pp.DistanceMatrix(rng.random(n * (n - 1) // 2).astype(dtype), [f"m{i}" for i in range(n)])
    order = rng.permutation(n)
    square = np.full((n, n), np.nan, dtype)
    _reorder.reorder(D.condensed, np.argsort(order), square)
    np.testing.assert_array_equal(square, D.values[np.ix_(order, order)])


def table_of(n_models, genes=12, missing=0.0, seed=0):
    return drawn_table(seed, n_models, genes, 12, 8, missing=missing)


def replicates_by_hand(table, n, seed, estimator="plugin"):
    """Trees of explicitly weighted genes, in the table's order of models."""
    weights = pp.gene_weights(len(table.genes), n=n, seed=seed)
    drawn = pp.resample_similarity(table, weights, estimator=estimator, dtype="float64")
    for replicate in drawn.distances():
        yield pp.neighbor_joining(replicate.matrix())


@pytest.mark.parametrize("models", [4, 5, 9, 17])
@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
def test_supports_equal_those_of_replicates_by_hand(models, estimator):
    # Of families, so that no distances tie and the order of models does not matter.
    table = pp.simulate.simulate_table(models, 12, family_size=3, seed=models)
    tree = pp.neighbor_joining(pp.nei_distance(table))
    expected = slow_supports(tree, list(replicates_by_hand(table, 30, 5, estimator)))
    found = support_values(table, tree, n=30, seed=5, estimator=estimator)
    np.testing.assert_array_equal(found.felsenstein, expected[0])
    np.testing.assert_allclose(found.transfer, expected[1], rtol=0, atol=1e-15)
    for kind, values in zip(("felsenstein", "transfer"), expected, strict=True):
        shown = bootstrap_support(table, tree, n=30, seed=5, kind=kind, estimator=estimator)
        np.testing.assert_allclose(shown.support, values, rtol=0, atol=1e-15)
        np.testing.assert_array_equal(shown.length, tree.length)
        assert shown.tips == tree.tips
        assert shown.robinson_foulds(tree) == 0


def by_branch(tree, values):
    everything = frozenset(tree.tips)
    return {
        frozenset((below(tree, v), everything - below(tree, v))): values[v]
        for v in range(tree.n_nodes - 1)
        if not math.isnan(values[v])
    }


def test_roots_numbering_and_other_models_do_not_matter():
    table = table_of(14, seed=3)
    kept = table.models[2:12]
    tree = pp.neighbor_joining(pp.nei_distance(table.select(models=kept)))
    plain = bootstrap_support(table, tree, n=25)
    for other in (tree.ladderize(), tree.root_at("midpoint"), tree.root_at(tip=kept[4])):
        shown = bootstrap_support(table, other, n=25)
        assert by_branch(shown, shown.support) == by_branch(plain, plain.support)
        assert shown.is_rooted == other.is_rooted


def test_polytomies_labels_and_old_supports():
    table = table_of(6, seed=4)
    a, b, c, d, e, f = table.models
    text = f"((({a},{b},{c})one:2,{d})7:1,{e},{f});"
    tree = pp.Tree.from_newick(text)
    found = bootstrap_support(table, tree, n=10, kind="transfer")
    trees = list(replicates_by_hand(table, 10, 0))
    np.testing.assert_allclose(found.support, slow_supports(tree, trees)[1], rtol=0, atol=1e-15)
    assert found.labels == tree.labels
    star = pp.Tree(table.models, [6] * 6 + [-1])
    assert np.isnan(bootstrap_support(table, star, n=3).support).all()


@pytest.mark.parametrize("models", [2, 3])
def test_trees_without_inner_branches_have_no_supports(models):
    table = table_of(models)
    tree = pp.neighbor_joining(pp.nei_distance(table))
    found = support_values(table, tree, n=4)
    assert found.n == 4
    assert np.isnan(found.felsenstein).all()
    assert np.isnan(found.transfer).all()


def test_the_same_bits_however_it_runs():
    table = table_of(30, seed=6)
    tree = pp.neighbor_joining(pp.nei_distance(table))
    one = support_values(table, tree, n=21, n_threads=1)
    one_replicate = 8 * 30 * 29 // 2
    for options in (
        {"n_threads": 3},
        {"n_threads": 2, "max_memory": 8 * one_replicate},
        {"n_threads": 2, "max_memory": one_replicate},
        {"method": lambda D: pp.neighbor_joining(D, n_threads=1)},
        {"progress": False},
    ):
        other = support_values(table, tree, n=21, **options)
        np.testing.assert_array_equal(one.felsenstein, other.felsenstein)
        np.testing.assert_array_equal(one.transfer, other.transfer)
    trees = list(bootstrap_trees(table, n=21))
    again = support_from_trees(tree, trees)
    np.testing.assert_array_equal(one.felsenstein, again.felsenstein)
    np.testing.assert_array_equal(one.transfer, again.transfer)
    first = list(bootstrap_trees(table, n=3))
    assert first == trees[:3]


def test_seeds_and_methods_differ():
    table = table_of(20, genes=6, seed=7)
    tree = pp.neighbor_joining(pp.nei_distance(table))
    one = support_values(table, tree, n=20)
    assert (support_values(table, tree, n=20, seed=1).felsenstein != one.felsenstein)[20:-1].any()

    def by_average(D):
        from scipy.cluster.hierarchy import linkage

        joins = linkage(D.condensed, "average")
        parent = np.full(2 * len(D) - 1, -1)
        for t, (i, j, *_) in enumerate(joins):
            parent[[int(i), int(j)]] = len(D) + t
        return pp.Tree(D.ids, parent)

    replicates = [
        by_average(r.matrix())
        for r in pp.resample_similarity(table, n=20, dtype="float64").distances()
    ]
    found = support_values(table, tree, n=20, method=by_average)
    np.testing.assert_array_equal(found.felsenstein, slow_supports(tree, replicates)[0])


def test_identical_models_give_arbitrary_branches_no_support():
    """Three copies of a model: how a tree resolves them is chance, and is shown to be."""
    base = table_of(6, genes=20, seed=8).to_frame()
    first = base[base.model == "m0"]
    copies = [first.assign(model=f"copy{i}") for i in range(2)]
    import pandas as pd

    rows = pd.concat([base, *copies])
    models = list(dict.fromkeys(rows.model))
    table = pp.AlleleTable.from_counts(
        models,
        sorted(set(rows.gene)),
        [models.index(m) for m in rows.model],
        [sorted(set(rows.gene)).index(g) for g in rows.gene],
        list(rows.allele),
        list(rows["count"]),
    )
    tree = pp.Tree.from_newick("(((m0,copy0),copy1),m1,(m2,(m3,(m4,m5))));")
    found = support_values(table, tree, n=300)
    support = {below(tree, v): found.felsenstein[v] for v in range(tree.n_nodes)}
    assert support[frozenset(("m0", "copy0", "copy1"))] == 1
    assert 0.2 < support[frozenset(("m0", "copy0"))] < 0.47


def test_float32_keeps_what_is_clear():
    table = pp.simulate.simulate_table(40, 64, seed=2)
    tree = pp.neighbor_joining(pp.nei_distance(table))
    double, single = (support_values(table, tree, n=30, dtype=t) for t in ("float64", "float32"))
    np.testing.assert_allclose(double.felsenstein, single.felsenstein, atol=0.1)


def test_true_families_are_supported():
    table = pp.simulate.simulate_table(30, 64, seed=1)
    tree = pp.neighbor_joining(pp.nei_distance(table))
    families = {pp.simulate.family_of(model) for model in table.models}
    shown = bootstrap_support(table, tree, n=50, kind="transfer")
    support = by_branch(shown, shown.support)
    seen = 0
    for family in families:
        clade = frozenset(m for m in table.models if pp.simulate.family_of(m) == family)
        key = frozenset((clade, frozenset(table.models) - clade))
        if key in support:
            seen += 1
            assert support[key] > 0.9
    assert seen >= 2


# Bad input


def test_bad_calls_are_refused():
    table = table_of(6)
    tree = pp.neighbor_joining(pp.nei_distance(table))
    for options, message in (
        ({"kind": "tbe"}, "kind must be"),
        ({"method": "parsimony"}, "method must be"),
        ({"n": 0}, "n must be"),
        ({"seed": -1}, "seed must be"),
        ({"n_threads": 1.5}, "n_threads"),
        ({"estimator": "best"}, "unknown estimator"),
        ({"dtype": "float16"}, "dtype must be"),
        ({"floor": 0}, "floor must be"),
        ({"max_memory": "much"}, "max_memory must be"),
        ({"max_memory": 8}, "one replicate of 6 models"),
        ({"method": lambda D: D}, "not DistanceMatrix"),
        ({"method": lambda D: pp.neighbor_joining(D.filter(D.ids[:5]))}, "different tips"),
    ):
        with pytest.raises(InputError, match=message):
            bootstrap_support(table, tree, **options)
    with pytest.raises(InputError, match="of a Tree, not str"):
        bootstrap_support(table, "tree")
    with pytest.raises(InputError, match="needs an AlleleTable, not str"):
        bootstrap_support("table", tree)
    with pytest.raises(InputError, match="kind must be"):
        support_values(table, tree, n=2).on_tree("both")
    with pytest.raises(InputError, match="no trees"):
        support_from_trees(tree, [])
    with pytest.raises(InputError, match="1 only in the first: 'm5'"):
        support_from_trees(tree, [tree.shear(table.models[:5])])


def test_tips_that_the_table_lacks_are_named():
    table = table_of(6)
    tree = pp.neighbor_joining(pp.nei_distance(table))
    with pytest.raises(InputError, match=r"2 of 6 tips are no models of the table: 'm3', 'm5';"):
        bootstrap_support(table.select(models=["m0", "m1", "m2", "m4"]), tree)


def test_a_pair_without_a_drawn_gene_is_named():
    rows = [
        (m, g, w)
        for m, genes in {"a": "gh", "b": "gh", "c": "gh", "d": "hi", "e": "hi"}.items()
        for g in genes
        for w in "xyy"
    ]
    table = pp.AlleleTable.from_records(rows)
    tree = pp.Tree.from_newick("((a,b),c,(d,e));")
    with pytest.raises(InputError, match=r"'[abc]' and '[de]' have no distance in replicate \d+"):
        bootstrap_support(table, tree, n=50)


def test_memory_is_stated_before_it_is_taken(monkeypatch):
    table = table_of(6)
    tree = pp.neighbor_joining(pp.nei_distance(table))
    monkeypatch.setattr("pyphylo._memory.ASKED_FROM", 0)
    monkeypatch.setattr("pyphylo._memory.available_bytes", lambda: 500)
    for module in ("resampling", "_gene_weights"):
        monkeypatch.setattr(f"pyphylo.{module}.require_memory", lambda *_: None)
    with pytest.raises(MemoryError, match="replicates of 6 models, and the tree of one"):
        bootstrap_support(table, tree, n=3)


_INTERRUPTED = """
import itertools, signal, threading, time
import pyphylo as pp
from pyphylo.tree.support import bootstrap_support

table = pp.simulate.simulate_table(8, 6, seed=1)
tree = pp.neighbor_joining(pp.nei_distance(table))
calls = itertools.count()

def interrupted(D):
    if next(calls) == 3:
        signal.raise_signal(signal.SIGINT)
    time.sleep(0.01)
    return pp.neighbor_joining(D, n_threads=1)

try:
    bootstrap_support(table, tree, n=2000, method=interrupted, n_threads=2)
except KeyboardInterrupt:
    print(next(calls), sum(not each.daemon for each in threading.enumerate()) - 1)
"""


def test_interrupting_ends_at_once():
    # In a process of its own: callbacks of the garbage collector that a test runner
    # adds would swallow an interrupt that reaches the main thread inside them.
    run = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED], capture_output=True, text=True, timeout=120
    )
    calls, threads_left = map(int, run.stdout.split())
    assert calls < 1000
    assert threads_left == 0


def test_a_bar_on_request_only(capsys):
    table = table_of(5)
    tree = pp.neighbor_joining(pp.nei_distance(table))

    def slow(D):
        time.sleep(0.005)
        return pp.neighbor_joining(D)

    bootstrap_support(table, tree, n=120, method=slow, n_threads=1)
    assert capsys.readouterr() == ("", "")
    bootstrap_support(table, tree, n=40, method=slow, n_threads=1, progress=True)
    out, err = capsys.readouterr()
    assert out == ""
    assert "40/40" in err
