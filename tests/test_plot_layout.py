"""Tree layouts, against slow obvious versions."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyphylo.plot import _layout as layout
from pyphylo.plot._drawing import Drawing
from pyphylo.plot._spread import lay_out
from pyphylo.tree.tree import Tree


@st.composite
def trees(draw: st.DrawFn, most: int = 14, least_length: float = 0.0) -> Tree:
    """Trees of any shape, with nodes of two to four children."""
    n = draw(st.integers(2, most))
    alive, parent, node = list(range(n)), [-1] * n, n
    while len(alive) > 1:
        take = min(len(alive), draw(st.integers(2, 4)))
        for _ in range(take):
            parent[alive.pop(draw(st.integers(0, len(alive) - 1)))] = node
        parent.append(-1)
        alive.append(node)
        node += 1
    lengths = st.floats(least_length, 3.0)
    return Tree([f"t{i}" for i in range(n)], parent, [draw(lengths) for _ in parent])


def random_tree(n: int, seed: int) -> Tree:
    rng = np.random.default_rng(seed)
    alive, parent = list(range(n)), [-1] * (2 * n - 1)
    for node in range(n, 2 * n - 1):
        for _ in range(2):
            parent[alive.pop(rng.integers(len(alive)))] = node
        alive.append(node)
    return Tree([f"t{i}" for i in range(n)], parent, rng.exponential(1, 2 * n - 1))


def caterpillar(n: int) -> Tree:
    """Each internal node has one tip and the next internal node below it."""
    parent = [n, *range(n, 2 * n - 1), *range(n + 1, 2 * n - 1), -1]
    return Tree([f"t{i}" for i in range(n)], parent, np.ones(2 * n - 1))


def lengths_of(tree: Tree) -> np.ndarray:
    return layout.drawn_lengths(tree.length)[0]


def tips_below(tree: Tree, node: int) -> list[int]:
    if node < tree.n_tips:
        return [node]
    return [tip for child in tree.children(node) for tip in tips_below(tree, int(child))]


@settings(deadline=None)
@given(trees())
def test_preorder_walks_the_tree_in_display_order(tree: Tree) -> None:
    def walk(node: int) -> list[int]:
        return [node] + [v for child in tree.children(node) for v in walk(int(child))]

    found = layout.preorder(tree)
    assert found.node.tolist() == walk(tree.root)
    for place, node in enumerate(found.node.tolist()):
        assert found.size[place] == len(walk(node))
        assert [found.node[p] for p in found.children(place)] == tree.children(node).tolist()
        if place:
            assert found.node[found.parent[place]] == tree.parent[node]
    assert layout.tip_order(found, tree.n_tips).tolist() == tips_below(tree, tree.root)


@settings(deadline=None)
@given(trees())
def test_ladder_puts_smaller_subtrees_first(tree: Tree) -> None:
    walk = layout.preorder(tree, ladder=True)
    for place, node in enumerate(walk.node.tolist()):
        children = [int(walk.node[p]) for p in walk.children(place)]
        assert sorted(children) == sorted(tree.children(node).tolist())
        counts = [len(tips_below(tree, child)) for child in children]
        assert counts == sorted(counts)


@settings(deadline=None)
@given(trees())
def test_rectangular_equals_its_definition(tree: Tree) -> None:
    lengths = lengths_of(tree)
    walk = layout.preorder(tree)
    x, y = layout.rectangular(walk, lengths, tree.n_tips)
    order = tips_below(tree, tree.root)

    def depth(node: int) -> float:
        up = int(tree.parent[node])
        return 0.0 if up < 0 else depth(up) + float(lengths[node])

    def height(node: int) -> float:
        if node < tree.n_tips:
            return float(order.index(node))
        children = tree.children(node)
        return (height(int(children[0])) + height(int(children[-1]))) / 2

    np.testing.assert_allclose(x, [depth(v) for v in range(tree.n_nodes)], rtol=1e-12, atol=1e-12)
    assert y.tolist() == [height(v) for v in range(tree.n_nodes)]


def crossings(xy: np.ndarray, parent: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of branches without a common end that cut each other."""

    def side(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))

    found = []
    branches = [(v, int(parent[v])) for v in range(len(parent) - 1)]
    for (a, b), (c, d) in itertools.combinations(branches, 2):
        if {a, b} & {c, d}:
            continue
        p, q, r, s = xy[a], xy[b], xy[c], xy[d]
        if side(p, q, r) * side(p, q, s) < 0 and side(r, s, p) * side(r, s, q) < 0:
            found.append((a, c))
    return found


@pytest.mark.parametrize("name", ["equal_angle", "equal_daylight"])
@settings(deadline=None, max_examples=60)
@given(tree=trees(least_length=0.05))
def test_unrooted_keeps_lengths_and_crosses_nothing(name: str, tree: Tree) -> None:
    lengths = lengths_of(tree)
    walk = layout.preorder(tree)
    xy = getattr(layout, name)(walk, lengths, tree.n_tips)
    assert xy[tree.root].tolist() == [0.0, 0.0]
    drawn = np.hypot(*(xy[:-1] - xy[tree.parent[:-1]]).T)
    np.testing.assert_allclose(drawn, lengths[:-1], rtol=1e-9)
    assert crossings(xy, tree.parent) == []


@settings(deadline=None, max_examples=40)
@given(trees(least_length=0.05), st.lists(st.floats(0.05, 1), max_size=4))
def test_nothing_crosses_on_the_way_to_daylight(tree: Tree, parts: list[float]) -> None:
    walk, lengths = layout.preorder(tree), lengths_of(tree)
    way = list(layout.towards_daylight(walk, lengths, tree.n_tips, parts))
    assert way[0].tolist() == layout.equal_angle(walk, lengths, tree.n_tips).tolist()
    assert len(way) <= 1 + len(parts)
    for xy in way:
        drawn = np.hypot(*(xy[:-1] - xy[tree.parent[:-1]]).T)
        np.testing.assert_allclose(drawn, lengths[:-1], rtol=1e-9)
        assert crossings(xy, tree.parent) == []


@pytest.mark.parametrize("seed", [2, 10])
def test_nothing_crosses_where_some_nodes_see_no_daylight(seed: int) -> None:
    rng, n = np.random.default_rng(seed), 60
    alive, parent = list(range(n)), [-1] * (2 * n - 1)
    for node in range(n, 2 * n - 1):
        for _ in range(2):
            parent[alive.pop(rng.integers(len(alive)))] = node
        alive.append(node)
    tree = Tree([f"t{i}" for i in range(n)], parent, rng.lognormal(0, 1.5, 2 * n - 1))
    xy = layout.equal_daylight(layout.preorder(tree), lengths_of(tree), n)
    assert crossings(xy, tree.parent) == []


@settings(deadline=None, max_examples=40)
@given(trees(most=10))
def test_unrooted_with_empty_branches_keeps_lengths(tree: Tree) -> None:
    lengths = lengths_of(tree)
    xy = layout.equal_daylight(layout.preorder(tree), lengths, tree.n_tips)
    drawn = np.hypot(*(xy[:-1] - xy[tree.parent[:-1]]).T)
    if lengths.any():
        np.testing.assert_allclose(drawn, lengths[:-1], atol=1e-6 * lengths.max())
    else:  # nothing is to scale: every branch gets the same length, so that names find room
        np.testing.assert_allclose(drawn, 1.0)


def test_equal_angle_gives_each_tip_of_a_star_its_share() -> None:
    tree = Tree.from_newick("(a:1,b:1,c:1,d:1,e:1);")
    xy = layout.equal_angle(layout.preorder(tree), lengths_of(tree), 5)[:5]
    angles = np.sort(np.mod(np.arctan2(xy[:, 1], xy[:, 0]), 2 * np.pi))
    np.testing.assert_allclose(np.diff(angles), 2 * np.pi / 5)


def daylight(xy: np.ndarray, tree: Tree, node: int) -> np.ndarray:
    """Gaps between the subtrees around a node, by following every path away from it."""
    around: dict[int, list[int]] = {v: [] for v in range(tree.n_nodes)}
    for v in range(tree.n_nodes - 1):
        around[v].append(int(tree.parent[v]))
        around[int(tree.parent[v])].append(v)

    def sight(v: int) -> float:
        return math.atan2(*(xy[v] - xy[node])[::-1])

    arcs = []
    for first in around[node]:
        seen, todo = {first: sight(first)}, [first]
        while todo:
            v = todo.pop()
            for w in around[v]:
                if w != node and w not in seen:
                    seen[w] = seen[v] + math.remainder(sight(w) - seen[v], 2 * math.pi)
                    todo.append(w)
        arcs.append((min(seen.values()), max(seen.values())))
    arcs = sorted((low % (2 * math.pi), high - low) for low, high in arcs)
    ends = [low + width for low, width in arcs]
    starts = [low for low, _ in arcs[1:]] + [arcs[0][0] + 2 * math.pi]
    return np.array(starts) - np.array(ends)


@settings(deadline=None, max_examples=30)
@given(trees(most=12, least_length=0.1))
def test_one_sweep_leaves_the_last_node_in_equal_daylight(tree: Tree) -> None:
    walk = layout.preorder(tree)
    xy = layout.equal_daylight(walk, lengths_of(tree), tree.n_tips, sweeps=1)
    inner = [v for v in walk.node.tolist() if v >= tree.n_tips]
    balanced = [v for v in inner if len(tree.children(v)) + (v != tree.root) > 2]
    if balanced:
        gaps = daylight(xy, tree, balanced[-1])
        if gaps.sum() > 1e-6 and (gaps > 0).all():
            np.testing.assert_allclose(gaps, gaps.mean(), atol=1e-7)


def slow_sweep(xy: np.ndarray, tree: Tree) -> np.ndarray:
    """One sweep of equal daylight as Felsenstein tells it, following every path, turn by turn."""
    xy = xy.copy()

    def beyond(node: int, first: int) -> list[int]:
        """All nodes that are reached from `node` through its neighbour `first`."""
        found, todo = {node, first}, [first]
        while todo:
            v = todo.pop()
            near = [int(c) for c in tree.children(v)] + [int(tree.parent[v])]
            todo += [w for w in near if w >= 0 and w not in found]
            found.update(near)
        return [v for v in found if v not in (node, -1)]

    def arc(node: int, first: int) -> tuple[float, float]:
        """Where the subtree behind `first` begins and ends, seen from `node`."""
        sight = {first: math.atan2(*(xy[first] - xy[node])[::-1])}
        members, todo = set(beyond(node, first)), [first]
        while todo:
            v = todo.pop()
            for w in [int(c) for c in tree.children(v)] + [int(tree.parent[v])]:
                if w in members and w not in sight:
                    way = math.atan2(*(xy[w] - xy[node])[::-1])
                    sight[w] = sight[v] + math.remainder(way - sight[v], 2 * math.pi)
                    todo.append(w)
        return min(sight.values()), max(sight.values())

    for node in layout.preorder(tree).node.tolist():
        kids = [int(c) for c in tree.children(node)]
        around = kids if node == tree.root else [int(tree.parent[node]), *kids]
        arcs = [arc(node, first) for first in around]
        light = 2 * math.pi - sum(high - low for low, high in arcs)
        if len(around) < 3 or light < 0:
            continue
        end = arcs[0][1]
        for first, (low, high) in zip(around[1:], arcs[1:], strict=True):
            by = end + light / len(around) - low
            turn = np.array([[math.cos(by), math.sin(by)], [-math.sin(by), math.cos(by)]])
            mine = beyond(node, first)
            xy[mine] = xy[node] + (xy[mine] - xy[node]) @ turn
            end = high + by
    return xy - xy[tree.root]


@settings(deadline=None, max_examples=25)
@given(trees(most=11, least_length=0.1), st.integers(1, 3))
def test_daylight_equals_the_slow_obvious_sweeps(tree: Tree, sweeps: int) -> None:
    walk, lengths = layout.preorder(tree), lengths_of(tree)
    way = list(layout.towards_daylight(walk, lengths, tree.n_tips, [1.0] * sweeps))
    expected = way[0]
    for found in way[1:]:
        expected = slow_sweep(expected, tree)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("n", [5, 12, 24, 40])
@pytest.mark.parametrize("seed", range(3))
def test_daylight_becomes_equal_around_every_node(n: int, seed: int) -> None:
    tree = random_tree(n, seed)
    walk, lengths = layout.preorder(tree), lengths_of(tree)
    xy = layout.equal_daylight(walk, lengths, n, sweeps=400)
    inner = [v for v in range(n, tree.n_nodes) if len(tree.children(v)) + (v != tree.root) > 2]
    uneven = [float(np.ptp(daylight(xy, tree, v))) for v in inner]
    before = layout.equal_angle(walk, lengths, n)
    assert max(uneven) < 0.05
    assert max(float(np.ptp(daylight(before, tree, v))) for v in inner) > 0.3
    assert crossings(xy, tree.parent) == []


def test_daylight_spreads_a_crowded_clade() -> None:
    tree = Tree.from_newick("((((a:1,b:1):1,c:1):1,d:1):1,e:1,(f:1,g:1):1);")
    walk, lengths = layout.preorder(tree), lengths_of(tree)

    def least(xy: np.ndarray) -> float:
        return min(float(daylight(xy, tree, v).min()) for v in range(tree.n_tips, tree.n_nodes))

    before = least(layout.equal_angle(walk, lengths, tree.n_tips))
    assert least(layout.equal_daylight(walk, lengths, tree.n_tips)) > 1.2 * before


@settings(deadline=None)
@given(trees(), st.data())
def test_branch_family_equals_its_definition(tree: Tree, data: st.DataObject) -> None:
    codes = np.array([data.draw(st.integers(-1, 2)) for _ in tree.tips])
    below = layout.branch_family(tree.parent, codes)
    either = layout.branch_family(tree.parent, codes, both_sides=True)
    for node in range(tree.n_nodes):
        tips = tips_below(tree, node)
        inside = {int(codes[t]) for t in tips}
        outside = {int(codes[t]) for t in range(tree.n_tips) if t not in tips}
        assert below[node] == (min(inside) if len(inside) == 1 else -2)
        rest = min(outside) if len(outside) == 1 else -2
        assert either[node] == (min(inside) if len(inside) == 1 else rest)


def test_drawn_lengths() -> None:
    lengths, to_scale, negative = layout.drawn_lengths([1.0, -0.5, np.nan, 2.0, np.nan])
    assert (lengths.tolist(), to_scale, negative) == ([1.0, 0.0, 0.0, 2.0, 0.0], True, 1)
    lengths, to_scale, negative = layout.drawn_lengths([np.nan, np.nan, 0.0])
    assert (lengths.tolist(), to_scale, negative) == ([1.0, 1.0, 0.0], False, 0)


@settings(deadline=None)
@given(st.floats(1e-9, 1e9))
def test_scale_bar_is_round_and_fits(span: float) -> None:
    bar = layout.scale_bar(span)
    assert span / 10.001 <= bar <= span / 4
    digits = f"{bar:.6e}".split("e")[0]
    assert float(digits) in (1.0, 2.0, 5.0)


@pytest.mark.parametrize("span", [0.0, math.nan, math.inf])
def test_no_scale_bar_without_a_span(span: float) -> None:
    assert layout.scale_bar(span) == 0.0


def test_deep_trees_are_laid_out() -> None:
    tree = caterpillar(20_000)
    walk, lengths = layout.preorder(tree, ladder=True), lengths_of(tree)
    x, _ = layout.rectangular(walk, lengths, tree.n_tips)
    assert x.max() == 19_999
    assert np.isfinite(layout.equal_angle(walk, lengths, tree.n_tips)).all()


def test_daylight_is_not_sought_where_it_would_take_minutes() -> None:
    for n, sought in ((420, True), (20_000, False)):
        drawing = Drawing.of(caterpillar(n), None, ladder=True, show_support=True, unit="")
        plane = lay_out(drawing, 1.0)
        angles = layout.equal_angle(drawing.walk, drawing.lengths, n)
        # Lay out turns the whole: distances from the root stay.
        same = np.allclose(np.hypot(*(plane - plane[-1]).T), np.hypot(*angles.T))
        assert same != sought


@settings(deadline=None, max_examples=40)
@given(trees())
def test_elbows_are_the_lines_of_a_phylogram(tree: Tree) -> None:
    x, y = layout.rectangular(layout.preorder(tree), lengths_of(tree), tree.n_tips)
    lines = layout.elbows(tree.parent, tree.n_tips, x, y).tolist()
    for node in range(tree.n_nodes - 1):
        up = int(tree.parent[node])
        assert lines[node] == [x[up], y[node], x[node], y[node]]
    for node in range(tree.n_tips, tree.n_nodes):
        rows = [y[int(child)] for child in tree.children(node)]
        assert lines[tree.n_nodes - 1 + node - tree.n_tips] == [
            x[node],
            min(rows),
            x[node],
            max(rows),
        ]
