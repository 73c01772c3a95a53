"""Unrooted trees with their names: names near their tips, leaders out of the way."""

from __future__ import annotations

import numpy as np
import pytest

from pyphylo.plot._drawing import Drawing, font_size
from pyphylo.plot._labels import box_corners
from pyphylo.plot._ring import ring
from pyphylo.plot._spread import Spread, first_scale, lay_out, spread
from pyphylo.plot._text import text_width
from pyphylo.tree.tree import Tree


def random_tree(n: int, seed: int, long: tuple[int, ...] = ()) -> Tree:
    rng = np.random.default_rng(seed)
    alive, parent = list(range(n)), [-1] * (2 * n - 1)
    for node in range(n, 2 * n - 1):
        for _ in range(2):
            parent[alive.pop(rng.integers(len(alive)))] = node
        alive.append(node)
    length = rng.exponential(1, 2 * n - 1)
    length[list(long)] *= 12
    return Tree([f"model-{i}-7b" for i in range(n)], parent, length)


def comb(clades: list[str], rung: float) -> str:
    """Clades that leave a backbone one after the other."""
    newick = clades[0]
    for clade in clades[1:]:
        newick = f"({newick},{clade}):{rung}"
    return newick


def lopsided() -> Tree:
    """A short backbone with many short clades, and one far away on a long branch.

    Equal daylight rolls it up, with tips turned back to the middle.
    """
    pairs = [f"(model-{i}-a:0.3,model-{i}-b:0.25):0.05" for i in range(36)]
    far = comb([f"far-{i}:0.3" for i in range(9)], 0.3)
    clades = [*pairs[:10], f"({far},near:0.2):0.8", *pairs[10:]]
    return Tree.from_newick(comb(clades, 0.03) + ";")


TREES = {
    "16 tips": (lambda: random_tree(16, 1), 0.1),
    "40 tips": (lambda: random_tree(40, 2), 0.35),
    "127 tips": (lambda: random_tree(127, 4), 0.5),
    "300 tips": (lambda: random_tree(300, 3), 0.5),
    "caterpillar": (lambda: Tree.from_newick(comb([f"t{i}:1" for i in range(60)], 1) + ";"), 0.1),
    "star": (lambda: Tree([f"tip-{i}" for i in range(50)], [50] * 50 + [-1], np.ones(51)), 0.1),
    "long branches": (lambda: random_tree(50, 5, long=(3, 20, 60, 70)), 0.5),
    "lopsided": (lopsided, 0.4),
}


def set_tree(tree: Tree) -> tuple[Drawing, Spread]:
    drawing = Drawing.of(tree, None, ladder=True, show_support=True, unit="")
    plane = lay_out(drawing, 1.35)
    size = font_size(tree.n_tips)
    return drawing, spread(drawing, plane, first_scale(drawing, plane), size)


def cut(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Which line segments of one set, shape (n, 4), cross which of another, inside both."""

    def side(p: np.ndarray, q: np.ndarray, r: np.ndarray) -> np.ndarray:
        u, v = q - p, r - p
        return u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]

    p, q, r, s = a[:, None, :2], a[:, None, 2:], b[None, :, :2], b[None, :, 2:]
    parted = side(p, q, r) * side(p, q, s) < -1e-9
    return np.asarray(parted & (side(r, s, p) * side(r, s, q) < -1e-9))


@pytest.mark.parametrize("name", TREES)
def test_leaders_are_short_and_cross_next_to_nothing(name: str) -> None:
    make, longest = TREES[name]
    drawing, found = set_tree(make())
    n, xy, labels = drawing.n_tips, found.xy, found.labels
    assert labels.placed.all()
    leaders = np.concatenate([xy[:n], labels.start], axis=1)
    branches = np.concatenate([xy[drawing.parent[:-1]], xy[:-1]], axis=1)
    assert cut(branches, branches).sum() == 0
    assert cut(leaders, branches).sum() <= 0.02 * n
    assert np.triu(cut(leaders, leaders)).sum() <= 0.03 * n

    radius = ring(xy, 2 * found.size)[2][-1] / (2 * np.pi)
    length = np.hypot(*(labels.start - xy[:n]).T)
    assert length.mean() <= longest * radius
    assert length.max() <= 1.3 * radius


@pytest.mark.parametrize("name", TREES)
def test_names_cover_no_branch_and_no_leader_of_others(name: str) -> None:
    drawing, found = set_tree(TREES[name][0]())
    n, xy, labels = drawing.n_tips, found.xy, found.labels
    widths = np.array([text_width(text, found.size) for text in found.names])
    box = box_corners(labels.start, labels.angle, widths, found.size)
    sides = np.concatenate([box, np.roll(box, -1, axis=1)], axis=2).reshape(-1, 4)
    leaders = np.concatenate([xy[:n], labels.start], axis=1)
    branches = np.concatenate([xy[drawing.parent[:-1]], xy[:-1]], axis=1)
    assert not cut(sides, branches).any()
    own = np.arange(4 * n) // 4
    others = own[:, None] != np.arange(n)
    assert not (cut(sides, leaders) & others).any()
    assert not (cut(sides, sides) & (own[:, None] != own)).any()


def test_the_same_tree_is_laid_out_the_same_way() -> None:
    first, second = (set_tree(lopsided())[1] for _ in range(2))
    assert first.xy.tolist() == second.xy.tolist()
    assert first.labels.start.tolist() == second.labels.start.tolist()
