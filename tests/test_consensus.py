"""Consensus trees against counting sets of tips."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest
from drawn_trees import below, caterpillar, random_tree, rehung, slow_branches, trees
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.errors import InputError
from pyphylo.tree import Tree, greedy_consensus, majority_consensus

FEW = settings(max_examples=60, deadline=None)


@st.composite
def forests(draw):
    """Some trees of the same tips, some of them alike."""
    different = [draw(trees(largest=9)) for _ in range(draw(st.integers(1, 3)))]
    common = set.intersection(*(set(tree.tips) for tree in different))
    different = [tree.shear(common) for tree in different]
    return draw(st.lists(st.sampled_from(different), min_size=1, max_size=7))


def slow_clades(tree):
    """Of each clade but that of all tips, the length above it."""
    lengths = {}
    for node in range(tree.n_nodes - 1):
        side = below(tree, node)
        if len(side) < tree.n_tips:
            lengths[side] = lengths.get(side, 0.0) + float(tree.length[node])
    return lengths


def slow_counts(forest, rooted):
    """How many trees have each set, the mean of its lengths, and the first tree that has it."""
    count, total, first = Counter(), Counter(), {}
    for number, tree in enumerate(forest):
        for key, length in (slow_clades if rooted else slow_branches)(tree).items():
            count[key] += 1
            total[key] += length
            first.setdefault(key, number)
    return count, {key: total[key] / count[key] for key in count}, first


def is_trivial(key, n, rooted):
    return len(key) == 1 if rooted else min(map(len, key)) == 1


def fits(one, other, rooted):
    if rooted:
        return not one & other or one <= other or other <= one
    return any(not a & b for a in one for b in other)


def content(tree, rooted):
    """Of each branch, its length and support."""
    lengths = (slow_clades if rooted else slow_branches)(tree)
    held = {}
    everything = frozenset(tree.tips)
    for node in range(tree.n_tips, tree.n_nodes - 1):
        side = below(tree, node)
        held[side if rooted else frozenset((side, everything - side))] = tree.support[node]
    return {key: (lengths[key], held.get(key)) for key in lengths}


def expected(forest, chosen, rooted):
    count, mean, _ = slow_counts(forest, rooted)
    n = forest[0].n_tips
    return {
        key: (
            pytest.approx(mean[key]),
            None if is_trivial(key, n, rooted) else pytest.approx(count[key] / len(forest)),
        )
        for key in count
        if key in chosen or is_trivial(key, n, rooted)
    }


@FEW
@given(forests(), st.sampled_from([0.5, 0.6, 2 / 3, 1]), st.booleans())
def test_majority(forest, threshold, rooted):
    tree = majority_consensus(iter(forest), threshold, rooted=rooted)
    count, _, _ = slow_counts(forest, rooted)
    needed = threshold * len(forest)
    chosen = {key for key in count if count[key] > needed or count[key] == len(forest)}
    assert content(tree, rooted) == expected(forest, chosen, rooted)
    assert tree.tips == forest[0].tips
    assert tree.is_rooted == (len(tree.children(tree.root)) == 2)


@FEW
@given(forests(), st.booleans())
def test_greedy(forest, rooted):
    check_greedy(forest, rooted)


def check_greedy(forest, rooted):
    tree = greedy_consensus(iter(forest), rooted=rooted)
    count, _, first = slow_counts(forest, rooted)
    chosen = []
    for key in sorted(count, key=lambda key: (-count[key], first[key])):
        if all(fits(key, other, rooted) for other in chosen):
            chosen.append(key)
    assert content(tree, rooted) == expected(forest, chosen, rooted)


@FEW
@given(forests(), st.randoms(use_true_random=False))
def test_numbering_and_roots_do_not_matter(forest, random):
    rng = np.random.default_rng(random.randrange(99))
    again = [rehung(tree, rng) for tree in forest]
    for consensus in (majority_consensus, greedy_consensus):
        assert slow_branches(consensus(again)) == pytest.approx(slow_branches(consensus(forest)))


def test_majority_equals_that_of_biopython():
    consensus = pytest.importorskip("Bio.Phylo.Consensus")
    rng = np.random.default_rng(1)
    base = random_tree(14, rng)
    forest = [base.prune([tip]).root_at("t0") for tip in ("t3", "t7", "t9", "t3")]
    common = set.intersection(*(set(tree.tips) for tree in forest))
    forest = [tree.shear(common) for tree in forest]
    forest += [random_tree(14, rng).shear(common).root_at("t0") for _ in range(3)]
    theirs = consensus.majority_consensus([tree.to_biopython() for tree in forest], cutoff=0.5)
    clades = {
        frozenset(tip.name for tip in clade.get_terminals()) for clade in theirs.get_nonterminals()
    }
    mine = majority_consensus(forest, rooted=True)
    assert {*mine.clades(), frozenset(mine.tips)} == clades
    assert len(clades) > 4


def test_resolved_and_unresolved():
    first = Tree.from_newick("(a:1,b:1,(c:1,(d:1,e:1):1):1);")
    second = Tree.from_newick("(a:1,c:3,(b:1,(d:1,e:1):3):1);")
    assert majority_consensus([first, second]) == Tree.from_newick("(a:1,b:1,c:2,(d:1,e:1)1:2);")
    # Of equally frequent branches, those of the first tree win.
    assert greedy_consensus([second, first]).robinson_foulds(second) == 0
    assert greedy_consensus([first, second]).robinson_foulds(first) == 0
    assert pp.majority_consensus([first]).robinson_foulds(first) == 0


def test_unknown_lengths_do_not_count():
    forest = [Tree.from_newick(text) for text in ("(a:1,b,(c:1,d:1):4);", "(a:3,b,(c,d));")]
    assert majority_consensus(forest) == Tree.from_newick("(a:2,b,(c:1,d:1)1:4);")


def test_smallest_trees():
    for text in ("a;", "(a:1,b:1);", "(a:1,b:2,c:3);"):
        tree = Tree.from_newick(text)
        for consensus in (majority_consensus, greedy_consensus):
            assert consensus([tree, tree]) == tree
            assert set(consensus([tree, tree], rooted=True).tips) == set(tree.tips)
    swapped = [Tree.from_newick("(a:1,b:3);"), Tree.from_newick("(b:1,a:1);")]
    assert majority_consensus(swapped) == Tree.from_newick("(a:1.5,b:1.5);")
    assert majority_consensus(swapped, rooted=True) == Tree.from_newick("(a:1,b:2);")


def test_many_different_branches():
    """The table of branches grows; each is counted once a tree."""
    rng = np.random.default_rng(2)
    forest = [random_tree(200, rng) for _ in range(30)]
    same = random_tree(200, rng)
    tree = majority_consensus(itertools.chain(forest, (rehung(same, rng) for _ in range(31))))
    assert tree.robinson_foulds(same) == 0
    inner = tree.support[~np.isnan(tree.support)]
    assert len(inner) == 197
    assert inner.min() == 31 / 61
    # Of many contradictory trees, what fits leaves polytomies, and nothing more would fit.
    check_greedy([random_tree(30, rng) for _ in range(9)], rooted=False)


def test_deep_trees():
    rng = np.random.default_rng(3)
    deep = caterpillar(20_000, rng)
    forest = [rehung(deep, rng) for _ in range(2)]
    tree = majority_consensus([*forest, deep])
    assert tree.n_nodes == 2 * 20_000 - 2
    assert tree.weighted_robinson_foulds(deep) < 1e-6


def test_refusals():
    tree = Tree.from_newick("(a,b,(c,d));")
    for threshold in (0.4, 1.1, math.nan):
        with pytest.raises(InputError, match="threshold must lie between"):
            majority_consensus([tree], threshold)
    for consensus in (majority_consensus, greedy_consensus):
        with pytest.raises(InputError, match="at least one tree"):
            consensus([])
        with pytest.raises(InputError, match=r"tree 1: .*1 only in the first: 'd'"):
            consensus([tree, Tree.from_newick("(a,b,(c,e));")])
