"""Populations down a given tree: what each force does, as its equation says."""

from __future__ import annotations

import hashlib
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.errors import InputError
from pyphylo.simulate import simulate_on_tree

NEWICK = "((a:0.1,b:0.2)ab:0.3,(c:0.05,d:0.4)cd:0.15,e:0.6)r;"


def tree(text=NEWICK):
    return pp.Tree.from_newick(text)


def identity(p, q):
    """A number a gene."""
    return (p * q).sum(axis=1)


def assert_mean(values, expected, errors=4.0):
    """The mean of independent values is within so many standard errors of what is expected."""
    standard_error = np.std(values, ddof=1) / math.sqrt(len(values))
    assert abs(np.mean(values) - expected) < errors * standard_error + 1e-12


def test_drift_adds_up_along_the_tree():
    """Heterozygosity falls by e^-t along a path; relatives share what they parted with."""
    made = simulate_on_tree(tree(), 6000, 1, n_alleles=12, seed=2)
    root = made.frequencies()
    lost = 1 - identity(root, root).mean()
    expected = made.expected_identity()
    depth = dict(zip(tree().tips, tree().depths()[:5], strict=True))
    parted = {"ab": 0.3, "cd": 0.15}
    for i, a in enumerate(made.models):
        for j, b in enumerate(made.models):
            t = depth[a] if a == b else parted.get("".join(sorted(a + b)), 0.0)
            at = 1 - lost * math.exp(-t)
            assert expected[i, j] == pytest.approx(at, rel=1e-12)
            found = identity(made.frequencies(a), made.frequencies(b))
            assert_mean(found - at, 0, 5)
    # F_ST against the root is the drift of the path.
    fst = 1 - (1 - identity(made.frequencies("e"), made.frequencies("e")).mean()) / lost
    assert fst == pytest.approx(1 - math.exp(-0.6), abs=0.02)
    assert made.drift("e") == pytest.approx(1 - math.exp(-0.6))
    D = pp.nei_distance(made.exact_table())
    np.testing.assert_allclose(D.values, made.expected_distances().values, atol=0.04)


@pytest.mark.parametrize("strength", [0.2, 0.7, 1.0])
@pytest.mark.parametrize("f", [0.0, 0.3])
def test_selection_moves_the_mean_by_its_strength(strength, f):
    tau = np.tile([0.05, 0.05, 0.1, 0.8], (5000, 1))
    made = simulate_on_tree(
        tree("(a,b)r;"), 5000, 1, drift={"a": f, "b": 0.1}, selection={"a": (tau, strength)},
        n_alleles=4, seed=3,
    )  # fmt: skip
    moved = made.frequencies("a") - ((1 - strength) * made.frequencies() + strength * tau)
    if f == 0:
        np.testing.assert_allclose(moved, 0, atol=1e-12)
    for allele in range(4):
        assert_mean(moved[:, allele], 0)
    own = identity(made.frequencies("a"), made.frequencies("a"))
    assert_mean(own - made.expected_identity()[0, 0], 0, 5)


def test_selection_is_no_pulse_of_admixture():
    """Same mean; less drift is left, for what drifted early was drawn back since."""
    pulled = simulate_on_tree(tree("(a,b)r;"), 8, drift=0.5, selection={"a": ("b", 0.8)})
    mixed = simulate_on_tree(tree("(a,b)r;"), 8, drift=0.5, admixture={"a": ("b", 0.8)})
    one, other = pulled.expected_identity(), mixed.expected_identity()
    assert one[0, 1] == pytest.approx(other[0, 1], rel=1e-12)
    assert one[0, 0] < other[0, 0] - 0.02


def test_admixture_without_drift_is_a_mixture():
    made = simulate_on_tree(
        tree(), 6, drift={"d": 0.0}, admixture={"d": ("ab", 0.3)}, n_alleles=9, seed=1
    )
    expected = 0.7 * made.frequencies("cd") + 0.3 * made.frequencies("ab")
    np.testing.assert_allclose(made.frequencies("d"), expected, atol=1e-15)


def test_a_duplicate_is_its_original_sampled_again():
    made = simulate_on_tree(tree(), 60, 16, duplicates={"copy": "a", "old": "ab"}, seed=4)
    assert made.models == ("a", "b", "c", "d", "e", "copy", "old")
    assert (made.frequencies("copy") == made.frequencies("a")).all()
    assert (made.frequencies("old") == made.frequencies("ab")).all()
    exact = made.exact_table()
    a, copy = (exact.select(models=[m]).to_frame().drop(columns="model") for m in ("a", "copy"))
    assert a.equals(copy)
    table = made.table
    counted = [table.select(models=[m]).to_frame().drop(columns="model") for m in ("a", "copy")]
    assert not counted[0].equals(counted[1])
    expected = made.expected_identity()
    assert expected[0, 5] == expected[0, 0] == expected[5, 5]
    assert made.expected_distances().values[0, 5] == 0
    # Other models' probes and populations are as they were.
    plain = simulate_on_tree(tree(), 60, 16, seed=4)
    assert plain.table == table.select(models=plain.models)


def test_expected_identities_of_everything_at_once():
    """All forces, sources and targets that come later in the tree, against 5,000 genes."""
    rng = np.random.default_rng(1)
    tau = rng.dirichlet(np.ones(6), 5000)
    made = simulate_on_tree(
        tree(), 5000, 1, n_alleles=6, mutation=0.04, seed=6,
        selection={"ab": ("e", 0.4), "d": (tau, 0.6)},
        admixture={"a": ("d", 0.3), "d": ("e", 0.2)}, duplicates={"twin": "d"},
    )  # fmt: skip
    expected = made.expected_identity()
    np.testing.assert_array_equal(expected, expected.T)
    assert (np.linalg.eigvalsh(expected) > -1e-12).all()
    p = {name: made.frequencies(name) for name in made.models}
    for i, a in enumerate(made.models):
        np.testing.assert_allclose(p[a].sum(axis=1), 1, rtol=1e-12)
        for j, b in enumerate(made.models):
            assert_mean(identity(p[a], p[b]) - expected[i, j], 0, 4.5)


def slow_expected(made, events):
    """Expected identities of drift and selection, by name, in plain loops."""
    root = made.frequencies()
    J = identity(root, root).mean()
    E = {("r", "r"): J}
    for node, (parent, f, s, target) in events.items():
        names = {name for pair in E for name in pair}
        row = {u: E[parent, u] for u in names}
        own = E[parent, parent]
        for _ in range(8 if target else 1):
            part_s = 1 - (1 - s) ** (1 / 8) if target else 0
            part_f = 1 - (1 - f) ** (1 / 8) if target else f
            if target:
                own = (
                    (1 - part_s) ** 2 * own
                    + 2 * part_s * (1 - part_s) * row[target]
                    + part_s**2 * E[target, target]
                )
                row = {u: (1 - part_s) * row[u] + part_s * E[target, u] for u in names}
            own = part_f + (1 - part_f) * own
        for u in names:
            E[node, u] = E[u, node] = row[u]
        E[node, node] = own
    return E


def test_the_recursion_in_plain_loops():
    made = simulate_on_tree(
        tree("((a,b)ab,c)r;"), 5, drift={"a": 0.1, "b": 0.2, "ab": 0.3, "c": 0.4},
        selection={"b": ("c", 0.6)}, seed=8,
    )  # fmt: skip
    events = {
        "ab": ("r", 0.3, 0, None),
        "c": ("r", 0.4, 0, None),
        "a": ("ab", 0.1, 0, None),
        "b": ("ab", 0.2, 0.6, "c"),
    }
    slow = slow_expected(made, events)
    fast = made.expected_identity()
    for i, a in enumerate(made.models):
        for j, b in enumerate(made.models):
            assert fast[i, j] == pytest.approx(slow[a, b], rel=1e-12)


@given(
    n=st.integers(1, 12),
    n_genes=st.integers(1, 3),
    mutation=st.sampled_from([0, 0.1]),
    seed=st.integers(0, 10_000),
    data=st.data(),
)
@settings(max_examples=40)
def test_any_tree(n, n_genes, mutation, seed, data):
    history = pp.simulate.simulate_history(max(n, 2), 1, 1, seed=seed, living=1.0)
    given_tree = history.tree
    sources = data.draw(st.permutations(range(given_tree.n_nodes)))
    admixture = {sources[0]: (sources[1], 0.5)} if sources[0] != given_tree.root else {}
    try:
        made = simulate_on_tree(
            given_tree, n_genes, 3, drift=0.1, mutation=mutation, admixture=admixture, seed=seed,
            n_alleles=5,
        )  # fmt: skip
    except InputError as error:
        assert "wait for each other" in str(error)
        return
    assert made.table.models == given_tree.tips
    assert (made.table.summary()[0] == 3).all()
    for v in range(given_tree.n_nodes):
        np.testing.assert_allclose(made.frequencies(v).sum(axis=1), 1, rtol=1e-12)
    more = simulate_on_tree(
        given_tree, n_genes + 2, 3, drift=0.1, mutation=mutation, admixture=admixture, seed=seed,
        n_alleles=5,
    )  # fmt: skip
    assert more.table.select(genes=made.table.genes) == made.table


def test_a_deep_tree_and_one_tip():
    n = 3000
    parent = [n, *range(n, 2 * n - 1), *range(n + 1, 2 * n - 1), -1]
    caterpillar = pp.Tree([f"t{i}" for i in range(n)], parent)
    made = simulate_on_tree(caterpillar, 1, 2, drift=0.01, n_alleles=3)
    assert len(made.table.models) == n
    single = pp.Tree(["only"], [-1])
    assert (simulate_on_tree(single, 3).frequencies("only") > 0).any()


def test_a_seed_means_the_same_for_ever():
    """Recorded once: another machine, NumPy or Python gives the same counts."""
    made = simulate_on_tree(
        tree(), 5, 16, selection={"a": ("c", 0.4)}, admixture={"e": ("b", 0.3)}, mutation=0.05,
        duplicates={"x": "cd"}, seed=7,
    )  # fmt: skip
    text = made.table.to_frame().to_csv(index=False, lineterminator="\n")
    assert hashlib.sha256(text.encode()).hexdigest()[:16] == "b5ebc0f0318e651d"
    assert simulate_on_tree(tree(), 5, seed=1).table != simulate_on_tree(tree(), 5, seed=2).table


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"drift": 1.0}, "drift of 'a'"),
        ({"drift": {"a": 0.0001}}, "from 0.001"),
        ({"drift": {"z": 0.1}}, "no tip or label 'z'"),
        ({"drift": {99: 0.1}}, "no node 99"),
        ({"selection": {"r": ("a", 0.1)}}, "root has no branch"),
        ({"selection": {"a": ("b", 1.5)}}, "share from 0 to 1"),
        ({"selection": {"a": "b"}}, "must be \\(population, amount\\)"),
        ({"selection": {"a": (np.ones((3, 4)), 0.5)}}, "shape \\(4, 48\\)"),
        ({"selection": {"a": (np.ones((4, 48)), 0.5)}}, "add up to 1"),
        ({"selection": ["a"]}, "maps nodes"),
        ({"selection": {"a": ("b", 0.1), 0: ("c", 0.1)}}, "given twice"),
        ({"admixture": {"ab": ("a", 0.5)}}, "wait for each other"),
        ({"admixture": {"a": ("b", 0.5), "b": ("a", 0.5)}}, "'a', 'b'"),
        ({"duplicates": {"a": "b"}}, "'a'"),
        ({"duplicates": {"x": "z"}}, "no tip or label 'z'"),
        ({"mutation": 2}, "mutation"),
        ({"n_alleles": 0}, "n_alleles"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(InputError, match=message):
        simulate_on_tree(tree(), 4, **options)


def test_refused_trees():
    with pytest.raises(InputError, match="must be a Tree"):
        simulate_on_tree("(a,b);")
    with pytest.raises(InputError, match="'a' has no length"):
        simulate_on_tree(tree("(a,b:1);"))
    with pytest.raises(InputError, match="length 50"):
        simulate_on_tree(tree("(a:50,b:1);"))
    with pytest.raises(InputError, match="length -1"):
        simulate_on_tree(tree("(a:-1,b:1);"))
    made = simulate_on_tree(tree(), 2)
    with pytest.raises(InputError, match="no tip or label 'q'"):
        made.frequencies("q")


def test_without_drift_what_is_expected_is_what_is():
    """Mutation, admixture and selection alone are no matter of chance: equal to rounding."""
    rng = np.random.default_rng(2)
    made = simulate_on_tree(
        tree(), 30, 1, drift=0.0, mutation=0.3, n_alleles=5, duplicates={"x": "ab"},
        selection={"b": ("c", 0.4), "ab": (rng.dirichlet(np.ones(5), 30), 0.5)},
        admixture={"c": ("e", 0.3)},
    )  # fmt: skip
    p = [made.frequencies(name) for name in made.models]
    means = [[identity(a, b).mean() for b in p] for a in p]
    np.testing.assert_allclose(made.expected_identity(), means, rtol=1e-12)
