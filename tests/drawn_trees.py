"""Trees drawn at random, and trees as sets of tips and lists of nodes: slow and obvious."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import strategies as st

from pyphylo.tree import Tree


@st.composite
def trees(draw, smallest=1, largest=12, unary=True, lengths=None):
    """Any tree: nodes are grouped at random until one is left."""
    n = draw(st.integers(smallest, largest))
    names = draw(st.permutations([f"t{i}" for i in range(n)]))
    parent = [-1] * n
    nodes = list(range(n))
    while len(nodes) > 1 or (unary and draw(st.integers(0, 9)) == 9):
        fewest = 1 if unary and draw(st.integers(0, 5)) == 5 else 2
        k = draw(st.integers(min(fewest, len(nodes)), min(4, len(nodes))))
        for _ in range(k):
            parent[nodes.pop(draw(st.integers(0, len(nodes) - 1)))] = len(parent)
        nodes.append(len(parent))
        parent.append(-1)
    if lengths is None:
        lengths = st.integers(0, 5)
    length = draw(st.lists(lengths, min_size=len(parent), max_size=len(parent)))
    n_internal = len(parent) - n
    support = draw(
        st.lists(st.sampled_from([math.nan, 0.5, 1]), min_size=n_internal, max_size=n_internal)
    )
    return Tree(names, parent, length, [math.nan] * n + support)


def ancestors(tree, node):
    path = [node]
    while path[-1] != tree.root:
        path.append(int(tree.parent[path[-1]]))
    return path


def below(tree, node):
    return frozenset(tree.tips[tip] for tip in range(tree.n_tips) if node in ancestors(tree, tip))


def slow_path(tree, tip, other):
    up, down = ancestors(tree, tip), ancestors(tree, other)
    return sum(float(tree.length[node]) for node in set(up) ^ set(down))


def slow_distances(tree):
    return {
        frozenset(pair): slow_path(tree, *(tree.tips.index(name) for name in pair))
        for pair in itertools.combinations(sorted(tree.tips), 2)
    }


def slow_sides(tree):
    """Both sides of every branch of the unrooted tree."""
    everything = frozenset(tree.tips)
    clades = {below(tree, node) for node in range(tree.n_nodes)}
    return clades | {everything - clade for clade in clades}


def slow_bipartitions(tree):
    everything = frozenset(tree.tips)
    return {
        frozenset((side, everything - side))
        for side in slow_sides(tree)
        if 2 <= len(side) <= len(everything) - 2
    }


def random_tree(n, rng):
    parent = np.full(2 * n - 2, -1)
    nodes = list(range(n))
    for new in range(n, 2 * n - 2):
        for _ in range(3 if new == 2 * n - 3 else 2):
            parent[nodes.pop(rng.integers(len(nodes)))] = new
        nodes.append(new)
    return Tree([f"t{i}" for i in range(n)], parent, rng.uniform(0.1, 1, 2 * n - 2))


def caterpillar(n, rng=None):
    """As deep as a tree can be: tip k hangs from the k-th node on the way down."""
    parent = np.concatenate(([n], np.arange(n, 2 * n - 1), np.arange(n + 1, 2 * n - 1), [-1]))
    length = np.ones(2 * n - 1) if rng is None else rng.uniform(0.1, 1, 2 * n - 1)
    return Tree([f"t{i}" for i in range(n)], parent, length)


def rehung(tree, rng):
    """The same unrooted tree, with its tips in another order and the root elsewhere."""
    tree = tree.root_at(tip=tree.tips[rng.integers(tree.n_tips)])
    order = rng.permutation(tree.n_tips)
    nodes = [*order.tolist(), *range(tree.n_tips, tree.n_nodes)]
    return Tree(
        [tree.tips[tip] for tip in order],
        tree.parent[nodes],
        tree.length[nodes],
        tree.support[nodes],
    )


def slow_branches(tree):
    """Of each branch of the unrooted tree, as a set of two sides: its length."""
    everything = frozenset(tree.tips)
    lengths = {}
    for node in range(tree.n_nodes - 1):
        side = below(tree, node)
        if side != everything:
            split = frozenset((side, everything - side))
            lengths[split] = lengths.get(split, 0.0) + float(tree.length[node])
    return lengths
