"""Admixture graphs: fitted as well as by brute force, found where there are some, else not."""

from __future__ import annotations

import itertools
import json
import re

import networkx as nx
import numpy as np
import pytest
from drawn_graphs import Slow, every_graph, world
from drawn_tables import drawn_table, quiet
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.plot import admixture_figure, plot_admixture, save_figure
from pyphylo.stats._f_panel import F2Source
from pyphylo.stats._graph_fit import Metric, fit_lengths, tangent
from pyphylo.stats._graph_model import Descent
from pyphylo.stats._graph_search import Search, least_on_simplex
from pyphylo.stats._graph_support import contrast


def metric_of(table, names):
    panel = F2Source(table, "plain").panel(names, None, 1)
    return Metric.of_blocks(panel.sums, panel.sizes, len(names)), panel


@pytest.fixture(scope="module")
def merged():
    """A world of nine models and one mixture, and the graph fitted to it."""
    made, truth = world(8, 1, 4)
    return made, truth["M0"], pp.fit_admixture(made.table, base="base", edges=2)


@pytest.mark.parametrize("seed", [0, 2])
def test_the_search_finds_the_best_of_all_graphs(seed):
    made, _ = world(4, 1, seed, n_genes=96)
    names = made.tree.tips
    metric, _ = metric_of(made.table, names)
    tree = made.tree.root_at(tip="base")
    inverse = metric.inverse(np.eye(len(metric.f2)))
    slow = {key: graph.least(metric.f2, inverse, (0.25, 0.75)) for key, graph in every_graph(tree)}
    best = min(slow, key=slow.get)
    found = Search(metric, names, tree, "base").extended(())[0]
    assert [names[row] for row in found.new] == [best[0]]
    assert found.fit.score == pytest.approx(slow[best], rel=1e-6)


@given(st.integers(0, 10**6))
def test_f2_of_a_graph_is_that_of_walks_to_the_root(seed):
    rng = np.random.default_rng(seed)
    made, _ = world(5, 0, seed % 50, n_genes=4, n_probes=2)
    tree = made.tree
    graph = Descent.of_tree(tree, {name: k for k, name in enumerate(tree.tips)})
    name = {v: tree.tips[t] if t >= 0 else f"n{v}" for v, t in enumerate(graph.tip)}
    up = {name[v]: tuple(name[p] for p in above) for v, above in enumerate(graph.parents)}
    first, second = rng.choice(graph.branches, 2, replace=False).tolist()
    share = float(rng.uniform(0, 1))
    one = Descent(((),), (6,))
    mixed, weights = graph.attached(one, (first, second), np.zeros(0), share)
    up["p"], up["q"] = up[name[first]], up[name[second]]
    up[name[first]], up[name[second]] = ("p",), ("q",)
    up["mixture"], up["new"] = ("p", "q"), ("mixture",)
    slow = Slow(up, [*tree.tips, "new"])
    lengths = dict.fromkeys(slow.branches, 0.0)
    lengths |= {branch: float(rng.uniform(0, 1)) for branch in lengths}
    slow_f2 = slow.design(share) @ np.array([lengths[branch] for branch in slow.branches])
    # The same lengths: a branch is told by who passes it, and by how much.
    fast, x = mixed.design(weights), slow.design(share)
    order = [int(np.abs(x.T - column).sum(axis=1).argmin()) for column in fast.T]
    np.testing.assert_allclose(fast, x[:, order], atol=1e-12)
    ends = mixed.node_distances(weights, np.ones(fast.shape[1]))[mixed.tip_nodes]
    i, j = np.triu_indices(7, 1)
    np.testing.assert_allclose(ends[i, j], fast.sum(axis=1), atol=1e-9)
    assert (slow_f2 >= 0).all()


def test_the_covariance_is_applied_as_it_is_written():
    made, _ = world(5, 0, 1, n_genes=40)
    metric, panel = metric_of(made.table, made.tree.tips)
    n, total = len(metric.f2), panel.sizes.sum()
    apart = panel.sums / panel.sizes - metric.f2[:, None]
    u = apart * np.sqrt(panel.sizes / (total - panel.sizes) / len(panel.sizes))
    np.testing.assert_allclose(metric.se, np.sqrt((u**2).sum(axis=1)))
    u /= metric.se[:, None]
    shrunk = metric.rho * np.eye(n) + (1 - metric.rho) * u @ u.T
    sigma = metric.se[:, None] * shrunk * metric.se
    y = np.random.default_rng(0).normal(size=n)
    np.testing.assert_allclose(metric.inverse(y), np.linalg.solve(sigma, y), rtol=1e-7)
    assert metric.product(y, y) == pytest.approx(y @ np.linalg.solve(sigma, y))
    assert 0 < metric.rho < 1


@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(1, 6))
def test_the_nearest_mixture_of_four_nodes(seed, m, rank):
    half = np.random.default_rng(seed).normal(size=(3, m, rank))
    gram = half @ half.transpose(0, 2, 1)
    best, shares = least_on_simplex(gram)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert (shares >= 0).all()
    for k in range(3):
        found = min(
            minimize(
                lambda x, k=k: x @ gram[k] @ x, start, method="SLSQP", bounds=[(0, 1)] * m,
                constraints={"type": "eq", "fun": lambda x: x.sum() - 1},
            ).fun
            for start in (np.full(m, 1 / m), *np.eye(m))
        )  # fmt: skip
        assert best[k] <= found + 1e-6 * max(1.0, found)
        assert best[k] == pytest.approx(shares[k] @ gram[k] @ shares[k])


def test_contrasts_do_not_see_what_the_null_can_fit():
    made, _ = world(6, 1, 3)
    metric, _ = metric_of(made.table, made.tree.tips)
    search = Search(metric, made.tree.tips, None, "base")
    start, better = search.start(), search.extended(())[0].fit
    direction = contrast(metric, better, start)
    np.testing.assert_allclose(tangent(start).T @ direction, 0, atol=1e-6)
    assert direction @ metric.f2 > 0
    assert not contrast(metric, start, start).any()


def test_mixtures_are_found_with_their_parents_and_shares():
    right, covered, total = 0, 0, 0
    for seed in range(8):
        made, truth = world(8, 1, 100 + seed)
        found = pp.fit_admixture(made.table, base="base", edges=1)
        a, b, share = truth["M0"]
        for edge in found.edges:
            if edge.target == ("M0",) and set(edge.sources) == {a, b}:
                known = share if edge.sources[0] == a else 1 - share
                right += abs(edge.weight.estimate - known) < 0.1
                covered += edge.weight.lower <= known <= edge.weight.upper
                total += 1
    assert right >= 7
    assert covered >= total - 2


def test_two_mixtures():
    made, truth = world(9, 2, 3)
    found = pp.fit_admixture(made.table, base="base", edges=2)
    assert {edge.target for edge in found.edges} == {("M0",), ("M1",)}
    for edge in found.edges:
        assert set(edge.sources) == set(truth[edge.target[0]][:2])
    assert abs(found.worst.z) < abs(found.worst_of_tree.z)
    assert found.steps.score.is_monotonic_decreasing


def test_a_tree_is_left_a_tree():
    claimed = 0
    for seed in range(16):
        made, _ = world(7, 0, 200 + seed)
        found = pp.fit_admixture(made.table, base="base", edges=1)
        claimed += len(found.edges)
        assert (found.outcome == "no edge supported") == (not found.edges)
    # 5% of 16 is 0.8; four or more has a chance below 0.01.
    assert claimed < 4


def test_weights_are_those_of_the_base():
    made, _ = world(5, 0, 3, n_genes=20)
    table, names = made.table, made.tree.tips
    weighted = F2Source(table, "pooled", base="base").panel(names, None, 1)
    frame = table.to_frame()
    frame["p"] = frame["count"] / 32
    wide = frame.pivot_table(
        index=["gene", "allele"], columns="model", values="p", fill_value=0.0, observed=True
    )
    w = 1 / (wide["base"] + 0.01)
    a, b = names[0], names[1]
    noise = (wide[[a, b]] * (1 - wide[[a, b]]) / 31).sum(axis=1)
    terms = w * ((wide[a] - wide[b]) ** 2 - noise)
    expected = terms.groupby(level="gene", observed=True).sum()[list(table.genes)]
    np.testing.assert_allclose(weighted.blocks_of(0, 1), expected, rtol=1e-9)
    # Where there is a base its weights are the default.
    default = pp.fit_admixture(table, base="base", edges=0)
    named = pp.fit_admixture(table, base="base", edges=0, weighting="base")
    assert default.score == named.score
    assert default.score != pp.fit_admixture(table, base="base", edges=0, weighting="plain").score


def test_what_descends_from_a_mixture_is_a_clade_below_it():
    text = (
        "(base:0.003,(((a:0.05,(x:0.08,y:0.1)m:0.05):0.2,e:0.2):0.1,"
        "((b:0.1,c:0.1):0.2,(d:0.2,f:0.2):0.1):0.1):0.003);"
    )
    tree = pp.Tree.from_newick(text)
    made = pp.simulate.simulate_on_tree(tree, 128, 32, admixture={"m": ("b", 0.45)}, seed=3)
    found = pp.fit_admixture(made.table, base="base", edges=1)
    assert found.edges[0].target == ("x", "y")
    assert set(found.edges[0].sources) == {"a", "b"}
    assert "'x' and 'y'" in str(found.edges[0])


def test_a_tree_that_is_given_is_kept(merged):
    made, (a, b, _), free = merged
    given = pp.fit_admixture(made.table, made.tree, base="base", edges=1)
    assert set(given.edges[0].sources) == {a, b}
    rest = given.tree().prune(["M0"])
    assert rest.robinson_foulds(made.tree.prune(["M0"])) == 0
    assert given.score == pytest.approx(free.steps.score[1], rel=0.2)
    without = pp.fit_admixture(made.table, made.tree, base="base", edges=0)
    assert without.edges == ()
    paths = without.tree().distance_matrix()
    for row in without.residuals.itertuples():
        i, j = paths.ids.index(row.a), paths.ids.index(row.b)
        assert paths.values[i, j] == pytest.approx(row.fitted, abs=1e-9)


def test_lengths_are_those_of_least_squares(merged):
    made, _, _ = merged
    names = made.tree.tips
    metric, _ = metric_of(made.table, names)
    graph = Descent.of_tree(made.tree, {name: k for k, name in enumerate(names)})
    fit = fit_lengths(metric, graph, np.zeros(0))
    design = graph.design(np.zeros(0))
    gradient = design.T @ metric.inverse(fit.fitted - metric.f2)
    scale = np.abs(design.T @ metric.inverse(metric.f2)).max()
    assert (np.abs(gradient[fit.lengths > 0]) < 1e-6 * scale).all()
    assert (gradient[fit.lengths == 0] > -1e-6 * scale).all()


def test_the_graph_in_other_formats(merged):
    _, (a, b, _), found = merged
    graph = found.to_networkx()
    assert nx.is_directed_acyclic_graph(graph)
    tips = {v for v in graph if not graph.succ[v]}
    assert {graph.nodes[v]["name"] for v in tips} == set(found.models)
    (mixture,) = [v for v in graph if graph.in_degree(v) == 2]
    assert graph.nodes[mixture]["kind"] == "mixture"
    assert sum(d["weight"] for _, _, d in graph.in_edges(mixture, data=True)) == pytest.approx(1)
    assert mixture == found.edges[0].node
    text = found.newick()
    assert text.count("#H1") == 2
    assert set(re.findall(r"[(,](\w+):", text)) == set(found.models)
    dot = found.to_dot()
    assert dot.count("style=dashed") == 2
    assert dot.count("->") == graph.number_of_edges()
    assert found.tree().n_tips == len(found.models)
    edge = found.edges[0]
    assert 0 < edge.since < edge.apart
    weights = {(u, v): d.get("length") for u, v, d in graph.edges(data=True)}
    (child,) = graph.successors(edge.node)
    assert edge.since == weights[edge.node, child]
    path = nx.Graph(graph)
    path.remove_node(edge.node)
    ways = nx.shortest_path(path, *edge.parents)
    expected = sum(path.edges[u, v]["length"] for u, v in itertools.pairwise(ways))
    assert edge.apart == pytest.approx(expected)
    clades = dict(zip(found.edges[0].sources, found.edges[0].clades, strict=True))
    assert a in clades[a]
    assert b in clades[b]
    assert repr(found) == "AdmixtureGraph(10 models, 1 admixture edges)"


def test_picture(merged, tmp_path):
    _, _, found = merged
    fig = admixture_figure(found, title="one mixture")
    (ax,) = fig.axes
    texts = [text.get_text() for text in ax.texts]
    assert f"{1 - found.edges[0].weight.estimate:.0%}" in texts
    assert set(found.models) <= set(texts)
    dashed = [line for line in ax.lines if line.get_linestyle() not in ("-", "None")]
    assert len(dashed) == 1
    paths = save_figure(fig, tmp_path / "graph", formats=("svg",))
    again = save_figure(admixture_figure(found, title="one mixture"), tmp_path / "b", ("svg",))
    assert paths[0].read_bytes() == again[0].read_bytes()
    assert plot_admixture(found, ax=ax) is ax
    with pytest.raises(pp.InputError, match="what fit_admixture gives"):
        plot_admixture("graph")


def test_command(merged, tmp_path, capsys):
    made, _, _ = merged
    table = tmp_path / "t.npz"
    made.table.save(table)
    out = tmp_path / "g.nwk"
    words = ["admixture", "--store", str(table), "--base", "base", "--edges", "1"]
    assert main([*words, "-o", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    direct = pp.fit_admixture(made.table, base="base", edges=1)
    assert told["outcome"] == "admixture"
    assert told["edges"][0]["sources"] == list(direct.edges[0].sources)
    assert told["edges"][0]["weight"]["estimate"] == direct.edges[0].weight.estimate
    assert out.read_text() == direct.newick() + "\n"
    assert {p.suffix for p in tmp_path.iterdir()} == {".npz", ".nwk", ".dot", ".svg", ".png"}
    assert main([*words, "--no-pictures"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"admixture: {direct.reason}")
    assert main([*words, "--models", str(table)]) == 1 or capsys.readouterr().err
    names = tmp_path / "names.txt"
    names.write_text("t0\nt1\nbase\n")
    assert main([*words, "--models", str(names)]) == 2
    assert "5 to 60 models" in capsys.readouterr().err


def test_what_cannot_be_fitted_is_refused():
    table = drawn_table(1, 8, 40, 5, 6)
    names = table.models
    for match, options in (
        ("from 0 to 3", {"edges": 4}),
        ("5 to 60 models, not 4", {"models": names[:4]}),
        ("take fewer edges", {"models": names[:5], "edges": 3}),
        ("no model 'nobody'", {"models": [*names[:5], "nobody"]}),
        ("must be one of the 6", {"models": names[:6], "base": names[7]}),
        ("no model 'who'", {"base": "who"}),
        ("alpha must be between", {"alpha": 1.5}),
        ("confidence must be between", {"confidence": 0}),
        ("16 blocks", {"blocks": 8}),
        ("must be a Tree", {"tree": "(a,b);"}),
        ("the tree has no 'm7'", {"tree": pp.Tree(names[:7], [7] * 7 + [-1]), "models": names}),
        ("needs probabilities", {"weighting": "root"}),
        ("unknown weighting", {"weighting": "none"}),
        ("name it", {"weighting": "base"}),
    ):
        with pytest.raises(pp.InputError, match=match):
            quiet(pp.fit_admixture, table, **options)
    with pytest.raises(pp.InputError, match="needs an AlleleTable"):
        pp.fit_admixture(names)
