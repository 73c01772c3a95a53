"""Neighbor joining: the compiled search against slow ones, other programs and published trees."""

import csv
import math
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyphylo.distance import DistanceMatrix
from pyphylo.errors import InputError, WorkError
from pyphylo.tree import Tree, _nj_search, neighbor_joining
from pyphylo.tree._reference import join_all

FEW = settings(max_examples=60, deadline=None)


def matrix(values, **options):
    values = np.asarray(values, dtype=float)
    return DistanceMatrix(values, [f"m{i}" for i in range(len(values))], **options)


def symmetric(entries, n):
    values = np.zeros((n, n))
    values[np.triu_indices(n, 1)] = entries
    return values + values.T


def joins_of(tree):
    """Children of the internal nodes in order, with their lengths: what the oracle returns."""
    found = []
    for node in range(tree.n_tips, tree.n_nodes):
        children = np.flatnonzero(tree.parent == node)
        found.append({int(child): float(tree.length[child]) for child in children})
    return found


def as_mappings(joins):
    return [dict(zip(children, lengths, strict=True)) for children, lengths in joins]


def random_distances(n, seed, dimensions=6):
    points = np.random.default_rng(seed).normal(size=(n, dimensions))
    values = np.sqrt(((points[:, None] - points) ** 2).sum(-1))
    return (values + values.T) / 2


def random_binary_tree(n, seed, shortest=0.05):
    """An unrooted tree of n tips with random lengths."""
    rng = np.random.default_rng(seed)
    parent = np.full(2 * n - 2, -1)
    nodes = list(range(n))
    for new in range(n, 2 * n - 2):
        for _ in range(3 if new == 2 * n - 3 else 2):
            parent[nodes.pop(rng.integers(len(nodes)))] = new
        nodes.append(new)
    return Tree([f"m{i}" for i in range(n)], parent, rng.uniform(shortest, 1, 2 * n - 2))


@st.composite
def matrices(draw, values, largest=24):
    n = draw(st.integers(3, largest))
    n_pairs = n * (n - 1) // 2
    return symmetric(draw(st.lists(values, min_size=n_pairs, max_size=n_pairs)), n)


TIED = matrices(st.integers(0, 3), 30)
WHOLE = matrices(st.integers(0, 1000))
DECIMAL = matrices(st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.7]), 30)
REAL = matrices(st.floats(0, 1e6))
WILD = matrices(st.floats(0, 1e100) | st.floats(0, 1e-300))


@FEW
@given(st.one_of(TIED, WHOLE))
def test_choices_equal_exact_arithmetic(values):
    # Halves of small whole numbers are exact in float64 too, so ties are true ties.
    tree = neighbor_joining(matrix(values), negative="keep")
    oracle = as_mappings(join_all(values.tolist(), Fraction))
    found = joins_of(tree)
    assert [set(join) for join in found] == [set(join) for join in oracle]
    for join, exact in zip(found, oracle, strict=True):
        for child, length in join.items():
            assert length == pytest.approx(float(exact[child]), rel=1e-12, abs=1e-12)


@FEW
@given(st.one_of(TIED, DECIMAL, REAL, WILD))
def test_bits_equal_the_oracle(values):
    tree = neighbor_joining(matrix(values), negative="keep")
    assert joins_of(tree) == as_mappings(join_all(values.tolist()))


@FEW
@given(st.one_of(TIED, DECIMAL, REAL))
def test_float32_bits_equal_the_oracle(values):
    stored = values.astype(np.float32).astype(float)
    tree = neighbor_joining(matrix(values), negative="keep", dtype="float32")
    oracle = join_all(stored.tolist(), store=lambda value: float(np.float32(value)))
    assert joins_of(tree) == as_mappings(oracle)


def join_all_numpy(values):
    """The oracle again, with one pass of numpy over the whole matrix a join."""
    D = values.copy()
    n = m = summed_at = len(D)
    nodes = list(range(n))
    R = np.cumsum(D, axis=0)[-1]
    joins = []
    while m > 3:
        Q = (m - 2.0) * D - (R[:, None] + R)
        np.fill_diagonal(Q, np.inf)
        i, j = divmod(int(Q.argmin()), m)
        joins.append({nodes[i], nodes[j]})
        new = 0.5 * ((D[i] + D[j]) - D[i, j])
        new[i] = 0.0
        R += (new - D[i]) - D[j]
        D[i] = D[:, i] = new
        D = np.delete(np.delete(D, j, 0), j, 1)
        R = np.delete(R, j)
        R[i] = np.cumsum(D[i])[-1]
        nodes[i] = n + len(joins) - 1
        del nodes[j]
        m -= 1
        if 5 * m <= 4 * summed_at:
            R = np.cumsum(D, axis=0)[-1]
            summed_at = m
    return [*joins, set(nodes)]


@pytest.mark.parametrize("kind", ["scattered", "families", "few values", "all equal"])
def test_large_matrices_equal_the_oracle(kind):
    n = 1100  # more slots than one block of the scan
    rng = np.random.default_rng(3)
    if kind == "scattered":
        values = random_distances(n, 1)
    elif kind == "families":
        values = random_binary_tree(n, 2).patristic() + symmetric(
            rng.uniform(0, 0.2, n * (n - 1) // 2), n
        )
    elif kind == "few values":
        values = symmetric(rng.integers(1, 5, n * (n - 1) // 2), n)
    else:
        values = 1 - np.eye(n)
    tree = neighbor_joining(matrix(values))
    assert [set(join) for join in joins_of(tree)] == join_all_numpy(values)


@pytest.mark.parametrize("values", [np.zeros((40, 40)), 1 - np.eye(40)], ids=["zero", "one"])
def test_all_tied_joins_the_first_pairs(values):
    joins = joins_of(neighbor_joining(matrix(values)))
    assert set(joins[0]) == {0, 1}
    assert set(joins[1]) in ({2, 3}, {2, 40})
    assert [set(join) for join in joins] == [
        set(children) for children, _ in join_all(values.tolist(), Fraction)
    ]


@pytest.mark.parametrize(("n", "seed"), [(4, 0), (5, 1), (17, 2), (80, 3), (300, 4)])
def test_additive_distances_give_their_tree_back(n, seed):
    truth = random_binary_tree(n, seed)
    tree = neighbor_joining(matrix(truth.patristic()))
    assert tree.tips == truth.tips
    assert tree.robinson_foulds(truth) == 0
    np.testing.assert_allclose(tree.patristic(), truth.patristic(), atol=1e-10)
    assert len(tree.children(tree.root)) == 3
    assert not tree.is_rooted


def test_published_example():
    # Wikipedia, "Neighbor joining", five taxa.
    values = [
        [0, 5, 9, 9, 8],
        [5, 0, 10, 10, 9],
        [9, 10, 0, 8, 7],
        [9, 10, 8, 0, 3],
        [8, 9, 7, 3, 0],
    ]
    tree = neighbor_joining(DistanceMatrix(values, list("abcde")))
    assert tree == Tree.from_newick("(((a:2,b:3):3,c:4):2,d:2,e:1);")


@pytest.mark.parametrize("seed", range(4))
def test_equals_scikit_bio(seed):
    skbio_tree = pytest.importorskip("skbio.tree")
    D = matrix(random_distances(90, seed))
    tree = neighbor_joining(D, negative="keep")
    theirs = Tree.from_newick(str(skbio_tree.nj(D.to_skbio(), neg_as_zero=False)))
    assert_same_unrooted(tree, theirs)


def assert_same_unrooted(tree, other):
    assert tree.robinson_foulds(other, normalized=False) == 0
    order = [other.index(tip) for tip in tree.tips]
    np.testing.assert_allclose(tree.patristic(), other.patristic()[np.ix_(order, order)], atol=1e-9)


@FEW
@given(st.one_of(TIED, REAL))
def test_clamping_moves_negative_lengths_to_siblings(values):
    kept = neighbor_joining(matrix(values), negative="keep")
    clamped = neighbor_joining(matrix(values))
    np.testing.assert_array_equal(clamped.parent, kept.parent)
    assert (clamped.length >= 0).all()
    for before, after in zip(joins_of(kept), joins_of(clamped), strict=True):
        if min(before.values()) >= 0:
            assert after == before
        elif len(before) == 2:
            total = sum(before.values())
            assert sum(after.values()) == pytest.approx(max(total, 0), rel=1e-12, abs=1e-9)
            assert min(after.values()) == 0


def test_clamping_a_trifurcation_keeps_the_paths_from_the_clamped_tip():
    values = symmetric([1, 1, 5], 3)
    kept = neighbor_joining(matrix(values), negative="keep")
    assert kept.length[:3].tolist() == [-1.5, 2.5, 2.5]
    clamped = neighbor_joining(matrix(values))
    assert clamped.length[:3].tolist() == [0, 1, 1]


def test_two_and_three_models():
    pair = neighbor_joining(DistanceMatrix([[0, 3], [3, 0]], ["a", "b"]))
    assert pair.patristic()[0, 1] == 3
    assert pair.n_nodes == 3
    star = neighbor_joining(matrix(symmetric([3, 4, 5], 3)))
    assert star.length[:3].tolist() == [1, 2, 3]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_threads_and_matrix_dtype_change_nothing(dtype):
    values = random_distances(600, 9).astype(np.float32)
    narrow, wide = matrix(values), matrix(values.astype(float))
    narrow = DistanceMatrix(values, narrow.ids)
    first = neighbor_joining(wide, dtype=dtype, n_threads=1)
    for D, n_threads in ((wide, 3), (wide, 0), (narrow, 2)):
        again = neighbor_joining(D, dtype=dtype, n_threads=n_threads)
        np.testing.assert_array_equal(again.parent, first.parent)
        np.testing.assert_array_equal(again.length, first.length)


def test_the_matrix_is_left_alone():
    D = matrix(random_distances(30, 1))
    before = D.values.copy()
    neighbor_joining(D)
    np.testing.assert_array_equal(D.values, before)


def test_refusals_say_what_to_do():
    D = matrix(random_distances(5, 0))
    with pytest.raises(InputError, match=r"wrap it: pp\.DistanceMatrix\(values, ids\)"):
        neighbor_joining(D.values)
    with pytest.raises(InputError, match="at least two models"):
        neighbor_joining(matrix([[0.0]]))
    unknown = D.values.copy()
    unknown[1, 3] = unknown[3, 1] = math.nan
    with pytest.raises(InputError, match=r"'m1' and 'm3' is nan.*filter"):
        neighbor_joining(matrix(unknown, allow_nan=True))
    for dtype in ("float64", "float32"):
        condensed = DistanceMatrix(unknown[np.triu_indices(5, 1)], D.ids, allow_nan=True)
        with pytest.raises(InputError, match=r"'m1' and 'm3' is nan.*filter"):
            neighbor_joining(condensed, dtype=dtype)
    with pytest.raises(InputError, match="negative must be"):
        neighbor_joining(D, negative="zero")
    with pytest.raises(InputError, match="dtype must be"):
        neighbor_joining(D, dtype="float16")
    for n_threads in (-1, 1.5, True):
        with pytest.raises(InputError, match="n_threads"):
            neighbor_joining(D, n_threads=n_threads)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_overflow_is_an_error(dtype):
    huge = symmetric([1.7e308] * 10, 5)
    with pytest.raises(WorkError, match="overflow"):
        neighbor_joining(matrix(huge), dtype=dtype)


def run_python(code, *, cwd, warnings="error", **environment):
    return subprocess.run(
        [sys.executable, "-W", warnings, "-c", code],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_importing_the_package_leaves_numba_out():
    code = "import pyphylo.tree, sys; print({'numba', 'skbio', 'networkx'} & set(sys.modules))"
    done = run_python(code, cwd=Path(_nj_search.__file__).parents[2])
    assert (done.stdout, done.stderr) == ("set()\n", "")


def test_kernels_compile_without_a_cache_folder(tmp_path):
    shutil.copy(_nj_search.__file__, tmp_path / "kernels.py")
    (tmp_path / "__pycache__").write_text("a file where the cache folder would be")
    nowhere = str(tmp_path / "__pycache__")
    done = run_python(
        "import numpy as np; from kernels import padding as pad; "
        "print(pad(1.0, np.zeros(1)) > 0, pad.stats.cache_path)",
        cwd=tmp_path,
        warnings="default",
        NUMBA_CACHE_DIR=nowhere,
        HOME=nowhere,
        XDG_CACHE_HOME=nowhere,
    )
    assert done.stdout == "True None\n"
    assert done.stderr.count("PyphyloWarning: no folder for compiled code can be used") == 1


# Real distances: the similarity of 127 language models on mathematics prompts.

FAMILIES = {
    "bloom": (10, 10),
    "gemma": (9, 9),
    "llama": (31, 31),
    "mistral": (17, 17),
    "opt": (6, 8),
    "pythia": (9, 11),
    "qwen": (15, 20),
}


@pytest.fixture(scope="module")
def phylolm():
    folder = os.environ.get("PYPHYLO_SHARED_DATA")
    if not folder:
        pytest.skip("PYPHYLO_SHARED_DATA is not set")
    folder = Path(folder) / "phylolm"
    with (folder / "math_similarity.csv").open(newline="", encoding="utf-8") as f:
        header, *rows = csv.reader(f)
    S = np.array([row[1:] for row in rows], dtype=float)
    families = defaultdict(list)
    with (folder / "models.csv").open(newline="", encoding="utf-8") as f:
        for row in csv.DictReader(f):
            families[row["family"]].append(row["model"])
    D = -np.log(np.maximum(S, 1e-10))
    return DistanceMatrix(D, header[1:]), families


def test_families_of_real_models_are_clades(phylolm):
    D, families = phylolm
    tree = neighbor_joining(D)
    for family, (at_least, members) in FAMILIES.items():
        assert len(families[family]) == members
        size = tree.largest_clade(families[family])
        assert size >= at_least, family
        assert tree.is_monophyletic(families[family]) == (size == members)
    assert tree.largest_clade(families["opt"]) == 6


def test_real_tree_equals_scikit_bio(phylolm):
    skbio_tree = pytest.importorskip("skbio.tree")
    D, _ = phylolm
    theirs = skbio_tree.nj(D.to_skbio(), neg_as_zero=False)
    assert_same_unrooted(neighbor_joining(D, negative="keep"), Tree.from_newick(str(theirs)))


def test_real_tree_equals_the_oracle(phylolm):
    D, _ = phylolm
    tree = neighbor_joining(D, negative="keep")
    assert joins_of(tree) == as_mappings(join_all(D.values.tolist()))
