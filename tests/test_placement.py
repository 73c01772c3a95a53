"""Placement against small constrained least squares, branch by branch, and against true trees."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_tables import drawn_table, quiet
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import lsq_linear

import pyphylo as pp
from pyphylo import _core
from pyphylo.simulate import simulate_table
from pyphylo.tree._insertion import branches, insert_tip, inside
from pyphylo.tree.placement import place_by_distances

WEIGHTINGS = ("ordinary", "fitch-margoliash")


def random_tree(seed, n_tips, *, unary=0.0, zero=0.0, negative=0.0, root=None, names=None):
    """Tips in groups of two or more, now and then one, until `root` nodes or fewer are left."""
    rng = np.random.default_rng(seed)
    parent = [-1] * n_tips
    live = list(range(n_tips))
    root = int(rng.integers(2, 5)) if root is None else root
    while len(live) > root:
        size = 1 if rng.random() < unary else int(min(rng.geometric(0.8) + 1, len(live) - root + 1))
        group = rng.permutation(len(live))[:size]
        node = len(parent)
        parent.append(-1)
        for k in group:
            parent[live[k]] = node
        live = [v for k, v in enumerate(live) if k not in set(group.tolist())] + [node]
    for v in live:
        parent[v] = len(parent)
    if len(parent) > n_tips or n_tips > 1:
        parent.append(-1)
    length = rng.exponential(1.0, len(parent))
    length[rng.random(len(parent)) < zero] = 0.0
    length[rng.random(len(parent)) < negative] *= -0.2
    return pp.Tree(names or [f"t{i}" for i in range(n_tips)], parent, length)


def node_paths(tree):
    """Path lengths from every node to every tip, by walking."""
    neighbours = [[] for _ in range(tree.n_nodes)]
    for v in range(tree.n_nodes - 1):
        neighbours[v].append((tree.parent[v], tree.length[v]))
        neighbours[tree.parent[v]].append((v, tree.length[v]))
    paths = np.full((tree.n_nodes, tree.n_tips), np.nan)
    for tip in range(tree.n_tips):
        paths[tip, tip] = 0.0
        waiting = [tip]
        while waiting:
            v = waiting.pop()
            for u, length in neighbours[v]:
                if np.isnan(paths[u, tip]):
                    paths[u, tip] = paths[v, tip] + length
                    waiting.append(u)
    return paths


def slow_fit(tree, node, distance, weight, paths):
    """Bounded least squares on the branch above a node: x, y, residual; inf without two sides."""
    below = np.zeros(tree.n_tips, bool)
    below[tree.tips_below(node)] = True
    if not weight[below].any() or not weight[~below].any():
        return 0.0, 0.0, np.inf
    parent, length = tree.parent[node], tree.length[node]
    rest = distance - np.where(below, paths[node], paths[parent] + length)
    root = np.sqrt(weight)
    A = np.column_stack([np.where(below, 1.0, -1.0), np.ones(tree.n_tips)]) * root[:, None]
    longest = max(length, 0.0)
    if longest == 0:
        y = max((weight * rest).sum() / weight.sum(), 0.0)
        return 0.0, y, float((weight * (rest - y) ** 2).sum())
    found = lsq_linear(A, rest * root, ([0, 0], [longest, np.inf]), method="bvls", tol=1e-14)
    return *found.x, 2 * found.cost


def weights_of(distance, weighting):
    known = ~np.isnan(distance)
    if weighting == "ordinary":
        return known.astype(float)
    mean = np.nanmean(distance) if known.any() else 0.0
    scaled = np.maximum(distance / (mean if mean > 0 else 1.0), 1e-3)
    return np.where(known, scaled**-2.0, 0.0)


TREES = st.builds(
    random_tree,
    st.integers(0, 10**6),
    st.integers(2, 9),
    unary=st.sampled_from([0.0, 0.3]),
    zero=st.sampled_from([0.0, 0.3]),
    negative=st.sampled_from([0.0, 0.2]),
)


@settings(max_examples=150, deadline=None)
@given(TREES, st.integers(0, 10**6), st.sampled_from(WEIGHTINGS), st.sampled_from([0.0, 0.2]))
def test_every_branch_equals_bounded_least_squares(tree, seed, weighting, missing):
    rng = np.random.default_rng(seed)
    distance = rng.exponential(2.0, tree.n_tips)
    distance[rng.random(tree.n_tips) < missing] = np.nan
    weight = weights_of(distance, weighting)
    distance = np.where(np.isnan(distance), 0.0, distance)
    best, above, pendant, residual = _core.fit_edges(tree.parent, tree.length, distance, weight)
    paths = node_paths(tree)
    scale = (weight * distance**2).sum()
    slow = [slow_fit(tree, v, distance, weight, paths) for v in range(tree.n_nodes - 1)]
    for v, (_, _, least) in enumerate(slow):
        assert residual[v] == pytest.approx(least, rel=1e-7, abs=1e-10 * scale)
        if np.isfinite(least):
            assert 0 <= above[v] <= max(tree.length[v], 0)
            assert pendant[v] >= 0
            below = np.zeros(tree.n_tips, bool)
            below[tree.tips_below(v)] = True
            path = pendant[v] + np.where(
                below, paths[v] + above[v], paths[tree.parent[v]] + tree.length[v] - above[v]
            )
            mine = (weight * (distance - path) ** 2).sum()
            assert residual[v] == pytest.approx(mine, rel=1e-9, abs=1e-12 * scale)
    least = min(fit[2] for fit in slow)
    if np.isfinite(least):
        assert residual[best] <= least * (1 + 1e-7) + 1e-10 * scale
        assert (residual[:best] > residual[best]).all()
    else:
        assert best == -1


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(3, 30),
    st.sampled_from(WEIGHTINGS),
    st.sampled_from([None, 2, 3]),
)
def test_a_tip_taken_out_of_a_true_tree_goes_back(seed, n, weighting, root):
    tree = random_tree(seed, n, root=root)
    paths = tree.patristic()
    taken = int(np.random.default_rng(seed).integers(n))
    name = tree.tips[taken]
    rest = tree.shear([tip for tip in tree.tips if tip != name])
    distances = dict(zip(tree.tips, paths[taken].tolist(), strict=True))
    placed = place_by_distances(name, distances, rest, weighting=weighting)
    assert placed.residual < 1e-20
    order = [placed.tree.index(tip) for tip in tree.tips]
    np.testing.assert_allclose(
        placed.tree.patristic()[np.ix_(order, order)], paths, rtol=0, atol=1e-9
    )
    if (np.diff(tree._layout.first_child)[n:-1] == 2).all() and len(tree.children(tree.root)) < 4:
        assert placed.tree.robinson_foulds(tree) == 0


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("where", ["midpoint", "t0", "t3"])
def test_both_halves_of_a_root_branch_take_tips(weighting, where):
    """On the rooted tree and the unrooted one a tip goes to the same place."""
    tree = random_tree(5, 12, root=3)
    rooted = tree.root_at(where)
    one, other = rooted.children(rooted.root).tolist()
    halves = branches(rooted)
    assert halves[one] == halves[other]
    assert len(set(halves.tolist())) == rooted.n_nodes - 1
    for node in (one, other):
        for share in (0.25, 0.75):
            true = insert_tip(rooted, "new", node, share * rooted.length[node], 0.4)
            paths = dict(zip(true.tips, true.patristic()[-1].tolist(), strict=True))
            placed = place_by_distances("new", paths, rooted, weighting=weighting)
            assert placed.node == node
            assert placed.above == pytest.approx(share * rooted.length[node])
            assert placed.pendant == pytest.approx(0.4)
            assert placed.tree.is_rooted
            unrooted = place_by_distances("new", paths, tree, weighting=weighting)
            assert unrooted.tree.robinson_foulds(placed.tree) == 0
            nodes = [candidate.node for candidate in placed.candidates]
            assert not {one, other} <= set(nodes)


def test_two_tips_have_one_branch():
    tree = pp.Tree.from_newick("(a:1,b:3);")
    placed = place_by_distances("c", {"a": 2.5, "b": 2.5}, tree)
    assert placed.tree == pp.Tree.from_newick("(a:1,(b:2,c:0.5):1);")
    assert len(placed.candidates) == 1
    assert placed.best.ratio == 1
    # Too close for the tree: no branch of its own.
    near = place_by_distances("c", {"a": 1.0, "b": 1.0}, tree, weighting="ordinary")
    assert (near.pendant, near.node, near.above) == (0.0, 1, 2.0)
    twin = place_by_distances("c", {"a": 0.0, "b": 4.0}, tree)
    assert (twin.node, twin.above, twin.pendant) == (0, 0.0, 0.0)


def test_ties_take_the_lowest_node():
    star = pp.Tree.from_newick("(a:1,b:1,c:1,(d:1,e:1):0);")
    placed = place_by_distances("x", dict.fromkeys("abcde", 3.0), star)
    assert placed.node == 0
    assert (placed.above, placed.pendant) == (1.0, pytest.approx(2.0))
    ratios = [candidate.ratio for candidate in placed.candidates]
    assert ratios == pytest.approx([1 / 6] * 6)
    nothing = pp.Tree.from_newick("(a:0,b:0,c:0);")
    same = place_by_distances("x", dict.fromkeys("abc", 0.0), nothing)
    assert (same.node, same.residual) == (0, 0.0)
    assert [c.ratio for c in same.candidates] == pytest.approx([1 / 3] * 3)


def test_a_tree_as_deep_as_it_has_tips():
    n = 20_000
    parent = np.empty(2 * n - 2, np.int64)
    parent[0], parent[1:n] = n, np.minimum(np.arange(n - 1) + n, 2 * n - 3)
    parent[n:-1] = np.arange(n, 2 * n - 3) + 1
    parent[-1] = -1
    length = np.tile([0.5, 0.25], n - 1)
    tree = pp.Tree([f"t{i}" for i in range(n)], parent, length)
    true = insert_tip(tree, "new", n + 7_000, 0.125, 0.75)
    depth = true.depths()
    # The tips are on one line: paths between two of them meet at the higher one's joint.
    joint = depth[true.parent[: n + 1]]
    paths = np.abs(joint - joint[n]) + true.length[: n + 1] + true.length[n]
    distances = dict(zip(tree.tips, paths[:n].tolist(), strict=True))
    for weighting in WEIGHTINGS:
        placed = place_by_distances("new", distances, tree, weighting=weighting)
        assert placed.node == n + 7_000
        assert placed.above == pytest.approx(0.125, abs=1e-9)
        assert placed.pendant == pytest.approx(0.75, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(TREES, st.integers(0, 10**6))
def test_a_tip_is_inserted_and_all_else_kept(tree, seed):
    rng = np.random.default_rng(seed)
    node = int(rng.integers(tree.n_nodes - 1))
    support = np.where(np.arange(tree.n_nodes) < tree.n_tips, np.nan, rng.random(tree.n_nodes))
    labels = [f"inner {k}" for k in range(tree.n_nodes - tree.n_tips)]
    tree = pp.Tree(tree.tips, tree.parent, tree.length, support, labels)
    above = 0.25 * tree.length[node]
    more = insert_tip(tree, "new", node, above, 1.5)
    assert more.tips == (*tree.tips, "new")
    np.testing.assert_allclose(more.patristic()[:-1, :-1], tree.patristic(), atol=1e-12)
    joint = more.parent[tree.n_tips]
    assert more.length[tree.n_tips] == 1.5
    assert more.label(joint) is None
    assert [label for label in more.labels if label] == labels
    lower = [v for v in more.children(joint) if v != tree.n_tips]
    assert [more.label(v) for v in lower] == [tree.label(node)]
    assert more.length[lower[0]] == above
    assert more.length[joint] == tree.length[node] - above
    np.testing.assert_equal(more.support[joint], tree.support[node])
    for v in range(tree.n_nodes - 1):
        if v != node:
            (same,) = [u for u in range(more.n_nodes) if more.label(u) == tree.label(v)]
            assert more.length[same] == tree.length[v]
            np.testing.assert_equal(more.support[same], tree.support[v])


@settings(max_examples=60, deadline=None)
@given(TREES, st.integers(0, 10**6))
def test_what_lies_inside_a_clade(tree, seed):
    node = int(np.random.default_rng(seed).integers(tree.n_nodes - 1))
    below = {node}
    for v in range(node - 1, -1, -1):
        if int(tree.parent[v]) in below:
            below.add(v)
    if not tree.is_rooted and 2 * len(tree.tips_below(node)) > tree.n_tips:
        below = set(range(tree.n_nodes)) - below
    assert set(np.flatnonzero(inside(tree, node)).tolist()) == below


# Of tables


def placed_one_by_one(name, table, tree, weighting, n, seed, estimator):
    """Best nodes of replicates, from all pairs of the table, resampled."""
    weights = pp.gene_weights(len(table.genes), n=n, seed=seed)
    all_pairs = quiet(
        pp.resample_similarity, table, weights, dtype="float64", estimator=estimator
    ).distances()
    nodes = []
    for replicate in all_pairs:
        D = np.asarray(replicate)
        distance = np.array(
            [D[table.models.index(name), table.models.index(tip)] for tip in tree.tips]
        )
        weight = weights_of(distance, weighting)
        filled = np.where(np.isnan(distance), 0.0, distance)
        nodes.append(_core.fit_edges(tree.parent, tree.length, filled, weight)[0])
    return nodes


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
@pytest.mark.parametrize("kind", [{"n": 32}, {"n": 8, "missing": 0.2}, {"n": 9, "varying": True}])
@pytest.mark.parametrize("rooted", [False, True])
def test_support_counts_replicates(kind, estimator, weighting, rooted):
    table = drawn_table(11, 14, 12, 8, **kind)
    # Models of the table that the tree lacks do not count; its tips come in another order.
    tips = [*table.models[9:2:-1], table.models[12]]
    tree = pp.neighbor_joining(quiet(pp.nei_distance, table, estimator=estimator).filter(tips))
    tree = tree.root_at("midpoint") if rooted else tree
    options = {"weighting": weighting, "estimator": estimator, "seed": 5}
    placed = quiet(pp.place, "m1", table, tree, n=40, **options)
    D = quiet(pp.nei_distance, table, estimator=estimator)
    expected = [D["m1", tip] for tip in tree.tips]
    np.testing.assert_allclose(placed.distances, expected, rtol=1e-12, atol=1e-14)
    same = place_by_distances(
        "m1", dict(zip(tree.tips, expected, strict=True)), tree, weighting=weighting
    )
    assert (placed.node, placed.tree.tips) == (same.node, same.tree.tips)
    np.testing.assert_allclose(placed.tree.length, same.tree.length, atol=1e-9)
    nodes = placed_one_by_one("m1", table, tree, weighting, 40, 5, estimator)
    branch = branches(tree)
    for candidate in placed.candidates:
        wins = sum(branch[v] == branch[candidate.node] for v in nodes)
        assert candidate.support == wins / 40
    assert sum(candidate.support for candidate in placed.candidates) == pytest.approx(1)
    assert placed.clade_support >= placed.support
    within = inside(tree, placed.node)
    wins = sum(within[v] or branch[v] == branch[placed.node] for v in nodes)
    assert placed.clade_support == wins / 40
    assert placed.n_replicates == 40


def test_the_result_depends_on_no_thread_and_on_the_seed():
    table = simulate_table(80, 24, seed=4)
    tips = table.models[1:60]
    tree = pp.neighbor_joining(pp.nei_distance(table).filter(tips))
    one, two, other = (
        pp.place(table.models[0], table, tree, seed=seed, n_threads=threads)
        for seed, threads in ((0, 1), (0, 2), (1, 1))
    )
    assert one.candidates == two.candidates
    assert one.tree == two.tree == other.tree
    assert one.candidates != other.candidates
    none = pp.place(table.models[0], table, tree, n=0)
    assert none.tree == one.tree
    assert np.isnan([none.support, none.clade_support]).all()
    assert (none.n_replicates, len(none.candidates)) == (0, 10)


def test_models_go_back_to_their_families():
    table = simulate_table(60, 64, seed=7)
    D = pp.nei_distance(table)
    full = pp.neighbor_joining(D)
    back = 0
    for name in table.models:
        tree = full.shear([tip for tip in full.tips if tip != name])
        placed = pp.place(name, table, tree, n=0)
        joint = placed.tree.parent[placed.tree.index(name)]
        near = {placed.tree.tips[tip] for tip in placed.tree.tips_below(joint)} - {name}
        if len(near) > 30:
            near = set(tree.tips) - near
        family = pp.simulate.family_of(name)
        alone = sum(pp.simulate.family_of(tip) == family for tip in tree.tips) == 0
        back += alone or any(pp.simulate.family_of(tip) == family for tip in near)
    assert back >= 57


def test_candidates_as_a_frame():
    table = simulate_table(30, 16, seed=3)
    tree = pp.neighbor_joining(pp.nei_distance(table).filter(table.models[1:]))
    placed = pp.place(table.models[0], table, tree)
    frame = placed.to_frame()
    assert frame.columns.tolist() == [
        "node", "tips", "above", "pendant", "residual", "ratio", "support",
    ]  # fmt: skip
    assert frame["tips"].tolist() == [len(tree.tips_below(v)) for v in frame["node"]]
    assert frame["residual"].iloc[:10].is_monotonic_increasing
    assert frame["ratio"].sum() <= 1 + 1e-12
    assert placed.best.node == placed.node == frame["node"][0]
    assert placed.clade == tuple(tree.tips[tip] for tip in tree.tips_below(placed.node))
    assert table.models[0] in repr(placed)


def test_tips_without_a_common_gene_are_named_and_do_not_count():
    records = [(m, "g", a) for m, a in zip("abcx", "1233", strict=True)]
    records += [(m, "g", "1") for m in "abcx"] + [("d", "h", "1"), ("d", "h", "2")]
    table = pp.AlleleTable.from_records(records)
    tree = pp.Tree.from_newick("(a:1,b:1,(c:1,d:1):1);")
    with pytest.warns(pp.PyphyloWarning, match="'x' is placed without the tips .*: 'd'"):
        placed = pp.place("x", table, tree)
    assert np.isnan(placed.distances).tolist() == [False, False, False, True]
    lonely = pp.Tree.from_newick("(c:1,d:1);")
    with pytest.raises(pp.InputError, match="'x' cannot be compared with tips on both sides"):
        pp.place("x", table, lonely)


@pytest.fixture
def family():
    table = simulate_table(12, 8, seed=1)
    return table, pp.neighbor_joining(pp.nei_distance(table).filter(table.models[1:]))


def test_a_model_that_the_table_lacks(family):
    table, tree = family
    one = table.select(models=table.models[:1])
    rest = table.select(models=table.models[1:])
    assert pp.place(one, rest, tree).candidates == pp.place(table.models[0], table, tree).candidates


def test_bad_calls(family):
    table, tree = family
    name = table.models[0]
    for bad, message in (
        ({"weighting": "best"}, "weighting must be"),
        ({"n": -1}, "n must be"),
        ({"seed": "x"}, "seed must be"),
        ({"estimator": "best"}, "unknown estimator"),
        ({"n_threads": -1}, "n_threads"),
    ):
        with pytest.raises(pp.InputError, match=message):
            pp.place(name, table, tree, **bad)
    with pytest.raises(pp.InputError, match=r"is a tip of the tree already; .* tree\.shear"):
        pp.place(tree.tips[3], table, tree)
    with pytest.raises(pp.InputError, match="needs a Tree, not str"):
        pp.place(name, table, tree.newick())
    with pytest.raises(pp.InputError, match="one tip, 'a'"):
        pp.place(name, table, pp.Tree(["a"], [-1]))
    with pytest.raises(pp.InputError, match=r"no model 'nobody'"):
        pp.place("nobody", table, tree)
    unknown = pp.Tree(tree.tips, tree.parent)
    with pytest.raises(pp.InputError, match=r"all branch lengths: .* the first above 'family"):
        pp.place(name, table, unknown)
    misspelt = tree.tips[2][:-1] + "?"
    renamed = pp.Tree(
        [misspelt if i == 2 else tip for i, tip in enumerate(tree.tips)], tree.parent, tree.length
    )
    with pytest.raises(pp.InputError, match=r"no data of the tip 'family.*\?': .*; did you mean"):
        pp.place(name, table, renamed)


def test_a_tip_without_data_is_named():
    table = pp.AlleleTable.from_counts(
        ["a", "b", "c", "x"], ["g"], [0, 1, 3], [0, 0, 0], ["p", "q", "p"], [2, 2, 2]
    )
    tree = pp.Tree.from_newick("(a:1,b:1,c:1);")
    with pytest.raises(pp.InputError, match="no gene has data of the tip 'c'"):
        pp.place("x", table, tree)


def test_distances_that_cannot_be():
    tree = pp.Tree.from_newick("(a:1,b:1,c:1);")
    with pytest.raises(pp.InputError, match="no distance from 'x' to the tip 'c'"):
        place_by_distances("x", {"a": 1, "b": 1}, tree)
    for bad in (-1.0, np.inf):
        with pytest.raises(pp.InputError, match="from 'x' to 'b' is"):
            place_by_distances("x", {"a": 1, "b": bad, "c": 1}, tree)
    with pytest.raises(pp.InputError, match="'a' is a tip"):
        place_by_distances("a", {"a": 1, "b": 1, "c": 1}, tree)


def test_the_core_refuses_what_is_no_tree():
    ones = np.ones(3)
    for parent in ([2, 0, -1], [3, 2, -1], [-1, 2, -1]):
        with pytest.raises(ValueError, match="smaller numbers"):
            _core.fit_edges(np.array(parent, np.int32), ones, ones[:2], ones[:2])
    good = np.array([2, 2, -1], np.int32)
    with pytest.raises(ValueError, match="one a tip"):
        _core.fit_edges(good, ones, ones[:2], ones)
    with pytest.raises(ValueError, match="replicates x tips"):
        _core.best_edges(good, ones, ones[:2], ones[:2], 1)
    with pytest.raises(ValueError, match="a tree needs"):
        _core.fit_edges(good, ones[:2], ones[:2], ones[:2])
