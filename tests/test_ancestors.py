"""Living ancestors: inner nodes that are models, lines of descent, roots by metadata."""

from __future__ import annotations

import json
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import minimum_spanning_tree

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.simulate import simulate_history
from pyphylo.tree import _latent
from pyphylo.tree._graph import TreeGraph
from pyphylo.tree.ancestors import ancestors_as_tips, branch_error, depth_against_scores


def parents_of(tree):
    frame = pp.parent_edges(tree)
    return dict(zip(frame["model"], frame["parent"], strict=True))


def slow_parents(tree):
    """Nearest named ancestor and the path to it, node by node."""
    found = {}
    for v in range(tree.n_nodes):
        if tree.label(v) is None:
            continue
        up, path = v, 0.0
        while tree.parent[up] >= 0:
            path += float(tree.length[up])
            up = int(tree.parent[up])
            if tree.label(up) is not None:
                break
        else:
            up = -1
        found[tree.label(v)] = (tree.label(up), path) if up >= 0 else (None, math.nan)
    return found


@st.composite
def labelled_trees(draw):
    """Trees of any shape, in which some internal nodes are models; the root may have one child."""
    n = draw(st.integers(2, 25))
    above = [draw(st.integers(0, v - 1)) for v in range(1, n)]
    order = list(range(n - 1, -1, -1))
    has_child = set(above)
    tips = [v for v in order if v not in has_child]
    nodes = tips + [v for v in order if v in has_child]
    number = {v: k for k, v in enumerate(nodes)}
    parent = [number[above[v - 1]] if v else -1 for v in nodes]
    length = [draw(st.sampled_from([0.0, 0.125, 0.5, 1.0, 2.0])) for _ in nodes]
    labels = [f"inner {v}" if draw(st.booleans()) else None for v in nodes[len(tips) :]]
    return pp.Tree([f"tip {v}" for v in tips], parent, length, labels=labels)


@given(labelled_trees())
def test_parent_edges_of_any_tree(tree):
    frame = pp.parent_edges(tree)
    slow = slow_parents(tree)
    assert list(frame["model"]) == [*tree.tips, *filter(None, tree.labels)]
    for model, parent, distance in frame.itertuples(index=False):
        assert (parent, distance) == (slow[model][0], pytest.approx(slow[model][1], nan_ok=True))


@given(labelled_trees())
def test_depths_of_any_tree(tree):
    slow = slow_parents(tree)
    inner = set(tree.labels)
    for row in pp.lineage_depths(tree).itertuples():
        steps, depth, model = 0, 0.0, row.model
        while slow[model][0] is not None:
            model, path = slow[model]
            steps, depth = steps + 1, depth + path
        assert row.steps == steps
        if steps or model in inner:
            assert (row.founder, row.depth) == (model, pytest.approx(depth))
        else:
            assert row.founder is None
            assert math.isnan(row.depth)
    depths = tree.depths()
    root_depth = pp.lineage_depths(tree)["root_depth"].to_numpy()[: tree.n_tips]
    np.testing.assert_allclose(root_depth, depths[: tree.n_tips])


@given(labelled_trees())
def test_newick_keeps_ancestors(tree):
    again = pp.Tree.from_newick(tree.newick())
    assert again == tree
    assert set(again.labels) == set(tree.labels)
    assert parents_of(again) == parents_of(tree)


@given(labelled_trees())
def test_ancestors_as_tips(tree):
    grown = ancestors_as_tips(tree)
    named = [label for label in tree.labels if label is not None]
    assert grown.tips == (*tree.tips, *named)
    assert not any(grown.labels)
    paths = grown.patristic()
    depths = tree.depths()
    place = {tree.label(v): v for v in range(tree.n_nodes)}
    from_root = [depths[place[name]] for name in grown.tips]
    np.testing.assert_allclose(grown.depths()[: grown.n_tips], from_root)
    n = tree.n_tips
    np.testing.assert_allclose(paths[:n, :n], tree.patristic(), atol=1e-12)


@given(labelled_trees(), st.integers(0, 1000))
def test_a_graph_can_be_rooted_anywhere(tree, choice):
    graph = TreeGraph.of(tree)
    named = [v for v, name in enumerate(graph.names) if name is not None]
    names = [name for name in graph.names if name is not None]
    root = choice % len(graph.names)
    moved = graph.rooted(root, names)
    before, after = ancestors_as_tips(tree), ancestors_as_tips(moved)
    assert set(after.tips) == set(before.tips) == {graph.names[v] for v in named}
    order = [after.index(tip) for tip in before.tips]
    paths = after.patristic()[np.ix_(order, order)]
    np.testing.assert_allclose(paths, before.patristic(), atol=1e-12)


@given(labelled_trees())
def test_the_middle_of_a_graph(tree):
    graph = TreeGraph.of(tree)
    named = [v for v, name in enumerate(graph.names) if name is not None]
    names = [name for name in graph.names if name is not None]
    middle = graph.middle(named)
    rooted = graph.rooted(middle, names)
    grown = ancestors_as_tips(rooted)
    longest = ancestors_as_tips(tree).patristic().max()
    assert grown.depths()[: grown.n_tips].max() == pytest.approx(longest / 2)


# Trees of exact distances


def history_of(seed, n_models=24, **options):
    options = {"family_size": 10_000, "n_alleles": 12, **options}
    return simulate_history(n_models, 4, 4, seed=seed, **options)


@given(st.integers(0, 10_000), st.sampled_from([0.4, 0.7, 1.0]), st.booleans())
@settings(max_examples=60, deadline=None)
def test_exact_distances_give_every_parent_and_the_tree(seed, living, dated):
    history = history_of(seed, living=living, drift=(0.02, 0.3))
    true = history.tree
    D = pp.DistanceMatrix(true.patristic(), true.tips)
    first = history.nodes[~history.nodes["hidden"]]["node"].iloc[0]
    if dated:
        tree = pp.living_ancestor_tree(D, metadata=history.metadata.drop(columns="base_model"))
    else:
        tree = pp.living_ancestor_tree(D, root=first)
    grown = ancestors_as_tips(tree)
    assert set(grown.tips) == set(true.tips)
    order = [grown.index(tip) for tip in true.tips]
    np.testing.assert_allclose(grown.patristic()[np.ix_(order, order)], true.patristic(), atol=1e-7)
    if first in history.parents.values() and not history.nodes["hidden"].iloc[0]:
        assert tree.label(tree.root) == first
        assert parents_of(tree) == history.parents


def recovered(edges, history):
    true = {frozenset(pair) for pair in history.parents.items() if pair[1] is not None}
    return len(true & edges) / len(true)


def edges_of(tree):
    return {frozenset(pair) for pair in parents_of(tree).items() if pair[1] is not None}


def spanning_edges(values, ids):
    links = minimum_spanning_tree(values + 1e-9).tocoo()
    return {frozenset((ids[i], ids[j])) for i, j in zip(links.row, links.col, strict=True)}


def nearest_edges(values, ids):
    far = values + np.diag(np.full(len(ids), np.inf))
    return {frozenset((ids[i], ids[int(j)])) for i, j in enumerate(far.argmin(axis=1))}


def test_more_parents_than_neighbours_and_the_spanning_tree_find():
    """Where half of the ancestors or more are hidden, with drift and merges."""
    found = {"tree": [], "dated": [], "spanning": [], "nearest": []}
    for case, (living, drift, admixed) in enumerate(
        (living, drift, admixed)
        for living in (0.3, 0.5)
        for drift in ((0.02, 0.3), (0.05, 0.15))
        for admixed in (0.0, 0.1)
        for _ in range(3)
    ):
        history = simulate_history(100, living=living, drift=drift, admixed=admixed, seed=case)
        D = pp.nei_distance(history.table, estimator="unbiased")
        metadata = history.metadata.drop(columns="base_model")
        first = metadata.sort_values("date", kind="stable")["model"].iloc[0]
        values = np.asarray(D.values, dtype=float)
        for name, edges in (
            ("tree", edges_of(pp.living_ancestor_tree(D, root=first))),
            ("dated", edges_of(pp.living_ancestor_tree(D, metadata=metadata))),
            ("spanning", spanning_edges(values, D.ids)),
            ("nearest", nearest_edges(values, D.ids)),
        ):
            found[name].append(recovered(edges, history))
    mean = {name: float(np.mean(shares)) for name, shares in found.items()}
    assert mean["tree"] > mean["spanning"] + 0.1, mean
    assert mean["tree"] > mean["nearest"] + 0.1, mean
    assert mean["dated"] > mean["spanning"] + 0.1, mean


# The parts of the search


@given(st.integers(2, 30), st.integers(0, 10_000))
def test_the_spanning_tree(n, seed):
    values = np.random.default_rng(seed).random((n, n))
    values = values + values.T
    np.fill_diagonal(values, 0)
    root = seed % n
    start = _latent.spanning_tree(values, root)
    assert start[0] == (root, -1)
    placed = set()
    for v, above in start:
        assert above == -1 or above in placed
        placed.add(v)
    assert placed == set(range(n))
    total = sum(values[v, above] for v, above in start[1:])
    assert total == pytest.approx(minimum_spanning_tree(values).sum())


def test_the_nearest_earlier_model():
    rng = np.random.default_rng(0)
    values = rng.random((12, 12))
    values = values + values.T
    dates = ["2024-02-01", "2024-01-01", *sorted(f"2024-03-{d:02}" for d in range(1, 11))]
    for v, above in _latent.nearest_earlier(values, 1, dates):
        earlier = [w for w in range(12) if dates[w] < dates[v]]
        assert above == (min(earlier, key=lambda w: values[v, w]) if earlier else -1)
    assert dict(_latent.nearest_earlier(values, 5, dates))[5] == -1


def test_noise_is_what_was_added():
    rng = np.random.default_rng(2)
    history = history_of(3, n_models=400, living=1.0, drift=(0.1, 0.3))
    true = history.tree.patristic()
    ids = history.tree.tips
    assert branch_error(pp.DistanceMatrix(true, ids)) == pytest.approx(1e-9 * true.max(), rel=1e-3)
    error = np.triu(rng.normal(0, 0.002, true.shape), 1)
    noisy = np.abs(true + error + error.T)
    # (d_ij + d_jk - d_ik) / 2 has the error of one distance times sqrt(3) / 2.
    expected = 0.002 * math.sqrt(3) / 2
    assert branch_error(pp.DistanceMatrix(noisy, ids)) == pytest.approx(expected, rel=0.25)


# Known parents


def test_known_parents_are_contracted():
    tree = pp.Tree.from_newick("((((a:1,p:0.01):0.02,b:1):0.5,(q:0.3,c:1):0.2):1,r:1);")
    base = {"a": {"base_model": "p"}, "b": {"base_model": "p"}, "c": {"base_model": "q"}}
    whole = pp.contract_ancestors(tree, base, rooted=True)
    assert whole.newick() == "(((a:1,b:1)p:0.5,(c:1)q:0.2):1,r:1);"
    edges = pp.parent_edges(whole).set_index("model")
    assert edges["parent"].to_dict() == {
        "a": "p",
        "b": "p",
        "c": "q",
        "r": None,
        "p": None,
        "q": None,
    }
    assert edges["distance"]["b"] == 1
    some = pp.contract_ancestors(tree, base, rooted=True, tolerance=0.05)
    assert some.newick() == "(((a:1,b:1)p:0.5,(q:0.3,c:1):0.2):1,r:1);"
    few = pp.contract_ancestors(tree, base, rooted=True, tolerance=0.02)
    assert few.newick() == "((((a:1)p:0.02,b:1):0.5,(q:0.3,c:1):0.2):1,r:1);"
    none = pp.contract_ancestors(tree, base, rooted=True, tolerance=0)
    assert none == tree


def test_a_parent_is_no_farther_than_its_child():
    tree = pp.Tree.from_newick("(((a:1,p:0.9):0.2,b:1):1,(c:1,q:1.5):1);")
    base = {"a": {"base_model": "p"}, "b": {"base_model": "p"}, "c": {"base_model": "q"}}
    contracted = pp.contract_ancestors(tree, base, rooted=True)
    assert contracted.newick() == "(((a:1)p:0.2,b:1):1,(c:1,q:1.5):1);"


def test_two_known_parents_never_meet():
    tree = pp.Tree.from_newick("(((a:1,p:0.1):0,q:0.2):0,b:1);")
    base = {"a": {"base_model": "p"}, "b": {"base_model": "q"}, "p": {"base_model": "q"}}
    contracted = pp.contract_ancestors(tree, base, rooted=True)
    assert parents_of(contracted) == {"a": "p", "p": "q", "b": "q", "q": None}
    # Both found the root: the nearer one takes it.
    tree = pp.Tree.from_newick("(p:0.1,q:0.2,(a:1,b:1):1);")
    base = {"a": {"base_model": "p"}, "b": {"base_model": "q"}}
    contracted = pp.contract_ancestors(tree, base, rooted=True)
    assert contracted.label(contracted.root) == "p"
    assert contracted.tips == ("q", "a", "b")


def test_a_lone_founder_becomes_the_root():
    tree = pp.Tree.from_newick("(p:0.1,(a:1,b:1):0.5,(c:1,d:1):0.5);")
    rows = {m: {"base_model": "p"} for m in "abcd"}
    contracted = pp.contract_ancestors(tree, rows)
    assert contracted.label(contracted.root) == "p"
    assert parents_of(contracted) == {"a": "p", "b": "p", "c": "p", "d": "p", "p": None}
    depths = pp.lineage_depths(contracted).set_index("model")
    assert depths["depth"].to_dict() == pytest.approx({"p": 0, **dict.fromkeys("abcd", 1.6)})


@given(st.integers(0, 5000))
@settings(max_examples=30, deadline=None)
def test_all_declared_parents_of_a_true_tree(seed):
    history = history_of(seed, living=1.0, declared=1.0)
    tree = pp.contract_ancestors(history.tree, history.metadata, tolerance=1e-9)
    assert parents_of(tree) == history.parents


# Roots


def test_roots_by_metadata():
    tree = pp.Tree.from_newick("((a:1,b:2):1,(c:3,d:4):1,e:2);")
    one = pp.root_by(tree, {"b": {"base_model": "a"}, "c": {"base_model": "b"}})
    assert one.tips == tree.tips
    assert one.length[0] == 0
    assert one.parent[0] == one.root
    np.testing.assert_allclose(one.patristic(), tree.patristic())
    # Founders b and d: their path is 2 + 1 + 1 + 4 long, and its middle 4 above d.
    two = pp.root_by(tree, {"a": {"base_model": "b"}, "c": {"base_model": "d"}})
    depths = dict(zip(two.tips, two.depths(), strict=False))
    assert (depths["b"], depths["d"]) == (4, 4)
    np.testing.assert_allclose(two.patristic(), tree.patristic())
    dates = {"c": {"date": "2024-01-02"}, "e": {"date": "2023-12-31"}, "x": {"date": "1999-01-01"}}
    dated = pp.root_by(tree, dates)
    assert dated.length[4] == 0
    frame = pd.DataFrame({"model": ["c", "e", "a"], "date": ["2024-01-02", "2023-12-31", None]})
    assert pp.root_by(tree, frame) == dated
    outside = pp.root_by(tree, {"a": {"base_model": "elsewhere", "date": "2024-01-01"}})
    assert outside.length[0] == 0


def test_roots_keep_supports_with_their_branches():
    tree = pp.Tree.from_newick("((a:1,b:2)0.9:1,(c:3,d:4)0.7:1,e:2);")
    moved = pp.root_by(tree, {"b": {"base_model": "a"}})
    support = {
        frozenset(moved.tips[t] for t in moved.tips_below(v)): float(moved.support[v])
        for v in range(moved.n_tips, moved.n_nodes - 1)
    }
    assert support[frozenset("cde")] == 0.9
    assert support[frozenset("cd")] == 0.7


def test_deep_trees_need_no_recursion():
    n = 20_000
    inner = np.arange(n, 2 * n - 1)
    parent = np.concatenate([inner, [2 * n - 2], inner[1:], [-1]])
    parent[n - 1] = n
    tree = pp.Tree([f"m{k}" for k in range(n)], parent, np.ones(2 * n - 1))
    rows = {f"m{k}": {"base_model": "m0"} for k in range(1, 4)}
    contracted = pp.contract_ancestors(tree, rows, rooted=True, tolerance=math.inf)
    assert pp.parent_edges(contracted)["parent"].notna().sum() >= 3
    assert pp.root_by(tree, rows).n_tips == n


# Scores


def test_depth_against_scores():
    tree = pp.Tree.from_newick("((((d:1)c:1)b:1)a:1,e:1);")
    depths = pp.lineage_depths(tree)
    scores = {"a": 0.1, "b": 0.2, "c": 0.15, "d": 0.4, "e": 0.9, "x": 1.0}
    result = depth_against_scores(depths, scores)
    assert result.n == 4  # e has no founder
    assert result.spearman == pytest.approx(0.8)
    assert list(result.frame["score"]) == [scores[m] for m in result.frame["model"]]
    assert 0.1 < result.p_value < 0.3
    assert depth_against_scores(depths, scores, depth="root_depth").n == 5
    with pytest.raises(InputError, match="0 have both: check the names"):
        depth_against_scores(depths, {"nobody": 1.0})
    with pytest.raises(InputError, match="not 'width'"):
        depth_against_scores(depths, scores, depth="width")


# Bad input


def test_bad_distances():
    ids = ["a", "b", "c", "d"]
    values = 1 - np.eye(4)
    with pytest.raises(InputError, match="at least three models, not 2"):
        pp.living_ancestor_tree(pp.DistanceMatrix(values[:2, :2], ids[:2]))
    values[1, 2] = values[2, 1] = np.nan
    with pytest.raises(InputError, match="between 'b' and 'c' is nan"):
        pp.living_ancestor_tree(pp.DistanceMatrix(values, ids, allow_nan=True))
    with pytest.raises(InputError, match="not ndarray"):
        branch_error(values)
    D = pp.DistanceMatrix(1 - np.eye(4), ids)
    with pytest.raises(InputError, match="no model 'z' to root"):
        pp.living_ancestor_tree(D, root="z")
    with pytest.raises(InputError, match="error must be a length of at least 0, not -1"):
        pp.living_ancestor_tree(D, error=-1)
    history = history_of(1)
    with pytest.warns(PyphyloWarning, match="unbiased"):
        pp.living_ancestor_tree(pp.nei_distance(history.table))


def test_bad_metadata():
    tree = pp.Tree.from_newick("(a:1,b:1,(c:1,d:1):1);")
    circle = {"a": {"base_model": "b"}, "b": {"base_model": "x"}, "x": {"base_model": "a"}}
    with pytest.raises(InputError, match="'a' from 'b' from 'x' from 'a'"):
        pp.root_by(tree, circle)
    with pytest.raises(InputError, match="'c' from 'c'"):
        pp.contract_ancestors(tree, {"d": {"base_model": "c"}, "c": {"base_model": "c"}})
    with pytest.raises(InputError, match="know no root"):
        pp.root_by(tree, {"a": {"family": "x"}, "b": {"base_model": "elsewhere"}})
    with pytest.raises(InputError, match="no model of the tree declares"):
        pp.contract_ancestors(tree, {"a": {"date": "2024-01-01"}})
    with pytest.raises(InputError, match="rows by model, not list"):
        pp.root_by(tree, [])
    with pytest.raises(InputError, match="'a' is empty or occurs twice"):
        pp.root_by(tree, pd.DataFrame({"model": ["a", "a"]}))


# Command line, pictures


def test_the_command(capsys, tmp_path):
    history = simulate_history(30, 64, living=0.8, drift=(0.1, 0.3), seed=1)
    D = pp.nei_distance(history.table, estimator="unbiased")
    matrix, out, metadata = tmp_path / "d.npz", tmp_path / "t.nwk", tmp_path / "m.csv"
    D.save(matrix)
    history.metadata.to_csv(metadata, index=False)

    def call(*options):
        assert main(["tree", str(matrix), "-o", str(out), "--json", *map(str, options)]) == 0
        data = json.loads(capsys.readouterr().out)
        tree = pp.Tree.read(out)
        assert {*tree.tips, *data["ancestors"]} == set(D.ids)
        assert set(data["ancestors"]) == set(filter(None, tree.labels))
        return tree, data

    plain = call("--no-pictures")[0]
    assert plain.n_tips == 30
    tree, data = call("--living-ancestors", "--metadata", metadata)
    assert len(data["files"]) == 7
    declared = set(history.metadata["base_model"].dropna())
    assert data["ancestors"]
    assert set(data["ancestors"]) <= declared
    history.metadata[["model", "date"]].to_csv(metadata, index=False)
    tree = call("--living-ancestors", "--metadata", metadata, "--no-pictures")[0]
    assert tree == pp.living_ancestor_tree(D, metadata=history.metadata[["model", "date"]])
    tree = call("--living-ancestors", "--no-pictures", "--root", D.ids[4])[0]
    assert tree == pp.living_ancestor_tree(D, root=D.ids[4])
    pp.nei_distance(history.table).save(matrix)
    history.metadata.to_csv(metadata, index=False)
    tree = call("--living-ancestors", "--metadata", metadata, "--no-pictures")[0]
    plugin = pp.neighbor_joining(pp.DistanceMatrix.load(matrix))
    assert tree == pp.contract_ancestors(plugin, history.metadata)
    D.save(matrix)
    tree = call("--living-ancestors", "--no-pictures", "--root", "midpoint")[0]
    assert tree == pp.living_ancestor_tree(D)


def test_pictures_name_ancestors():
    from pyphylo.plot import plot_tree

    tree = pp.Tree.from_newick("((a:1,b:2)ancestor:1,(c:1)lone:2,d:1);")
    for layout in ("rectangular", "unrooted"):
        ax = plot_tree(tree, layout=layout, families={"ancestor": "x", "a": "x"})
        texts = [text.get_text() for text in ax.texts]
        assert {"a", "b", "c", "d", "ancestor", "lone"} <= set(texts)
        assert any("rings: ancestors" in text for text in texts)
        hollow = [
            len(dots.get_offsets())
            for dots in ax.collections
            if dots.get_facecolor().tolist() == [[1, 1, 1, 1]]
        ]
        assert sum(hollow) == 2
