"""``pyphylo tree --bootstrap``: from a store or a table's file to supports in Newick."""

from __future__ import annotations

import json

import numpy as np
import pytest
from drawn_tables import drawn_table

import pyphylo as pp
from pyphylo.cli import main


@pytest.fixture
def table():
    return pp.simulate.simulate_table(12, 16, family_size=4, seed=1)


@pytest.fixture
def files(tmp_path, table):
    """A table's file and its distances."""
    table.save(tmp_path / "table.ppt")
    pp.nei_distance(table).save(tmp_path / "d.npz")
    return tmp_path / "table.ppt", tmp_path / "d.npz"


@pytest.fixture
def store(tmp_path):
    """A store of completions, and the distances of a part of its models."""
    rng = np.random.default_rng(0)
    words = ["aaaa", "bbbb", "cccc", "dddd"]
    lines = [
        {"model": f"m{m}", "gene": f"g{g}", "completion": words[rng.choice(4, p=weights)]}
        for m in range(6)
        for g in range(8)
        for weights in [rng.dirichlet([1, 1, 1, 1])]
        for _ in range(16)
    ]
    path = tmp_path / "lines.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["import", str(path), "--store", str(tmp_path / "store")]) == 0
    assert main(["distance", str(tmp_path / "store"), "-o", str(tmp_path / "all.npz")]) == 0
    D = pp.DistanceMatrix.load(tmp_path / "all.npz")
    D.filter(D.ids[:5]).save(tmp_path / "five.npz")
    return tmp_path / "store", tmp_path / "five.npz"


def call(capsys, *argv):
    capsys.readouterr()
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return code, out, err


def bootstrap(capsys, tmp_path, matrix, *options):
    """The tree written, and the JSON object."""
    target = tmp_path / "t.nwk"
    code, out, err = call(capsys, "tree", matrix, "-o", target, "--no-pictures", "--json", *options)
    assert (code, err) == (0, "")
    return pp.Tree.read(target), json.loads(out)


def refused(capsys, message, *argv):
    code, out, err = call(capsys, "tree", *argv)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("kind", ["felsenstein", "transfer"])
def test_supports_are_those_of_the_library(capsys, tmp_path, table, files, kind):
    found, data = bootstrap(
        capsys, tmp_path, files[1], "--bootstrap", 30, "--store", files[0], "--support", kind,
        "--seed", 3,
    )  # fmt: skip
    expected = pp.bootstrap_support(
        table, pp.neighbor_joining(pp.nei_distance(table)), n=30, seed=3, kind=kind
    )
    assert found == expected
    support = expected.support[~np.isnan(expected.support)]
    assert data["bootstrap"] == {
        "replicates": 30,
        "support": kind,
        "seed": 3,
        "branches": 9,
        "strong": {"0.95": (support >= 0.95).sum(), "0.7": (support >= 0.7).sum()},
    }


def test_a_store_with_more_models_and_a_root(capsys, tmp_path, store):
    folder, matrix = store
    found, data = bootstrap(
        capsys, tmp_path, matrix, "--bootstrap", 20, "--store", folder, "--root", "midpoint"
    )
    table = pp.AlleleTable.from_store(pp.SampleStore.open(folder)).select(
        models=[f"m{i}" for i in range(5)]
    )
    expected = pp.bootstrap_support(table, pp.neighbor_joining(pp.nei_distance(table)), n=20)
    assert found == expected.root_at("midpoint")
    assert data["rooted"]
    assert data["bootstrap"]["support"] == "felsenstein"
    assert data["bootstrap"]["branches"] == 2


def test_the_estimator_is_that_of_the_distances(capsys, tmp_path):
    # Of one population, so that unbiased similarities exceed 1 and count as 1. Otherwise the two
    # estimators differ by a term a model, which neighbor joining does not see.
    table = drawn_table(1, 10, 12, 8, 8)
    table.save(tmp_path / "table.ppt")
    for suffix in ("npz", "csv"):
        pp.nei_distance(table, estimator="unbiased").save(tmp_path / f"u.{suffix}")
    options = ("--bootstrap", 40, "--store", tmp_path / "table.ppt")
    known, _ = bootstrap(capsys, tmp_path, tmp_path / "u.npz", *options)
    told, _ = bootstrap(capsys, tmp_path, tmp_path / "u.csv", *options, "--estimator", "unbiased")
    plugin, _ = bootstrap(capsys, tmp_path, tmp_path / "u.csv", *options)
    np.testing.assert_array_equal(known.support, told.support)
    assert not np.array_equal(known.support, plugin.support, equal_nan=True)


def test_pictures_and_words(capsys, tmp_path, files):
    code, out, err = call(
        capsys, "tree", files[1], "-o", tmp_path / "p.nwk", "--bootstrap", 10, "--store", files[0]
    )
    assert (code, err) == (0, "")
    assert "a tree of 12 models, support of 9 inner branches: " in out
    call(capsys, "tree", files[1], "-o", tmp_path / "q.nwk")
    for picture in ("", "_unrooted"):
        marks = [(tmp_path / f"{stem}{picture}.svg").read_text().count("<use") for stem in "pq"]
        assert marks[0] >= marks[1] + 9


def test_bad_calls_are_refused(capsys, tmp_path, table, files, store):
    data, matrix = files
    call_of = (matrix, "-o", tmp_path / "t.nwk")
    refused(capsys, "needs --store", *call_of, "--bootstrap", 5)
    refused(capsys, "--store is of use with --bootstrap", *call_of, "--store", data)
    refused(capsys, "--seed is of use with --bootstrap", *call_of, "--seed", 1)
    few = tmp_path / "few.ppt"
    table.select(models=table.models[:10]).save(few)
    missing = repr(table.models[10])
    refused(
        capsys, f"lacks 2 of the 12 models of {str(matrix)!r}, such as {missing}",
        *call_of, "--bootstrap", 5, "--store", few,
    )  # fmt: skip
    other = tmp_path / "da.npz"
    pp.genetic_distance(table, index="da").save(other)
    refused(
        capsys, "--index nei", other, "-o", tmp_path / "t.nwk", "--bootstrap", 5, "--store", data
    )
    other = pp.AlleleTable.from_store(pp.SampleStore.open(store[0]), pp.AlleleRule(chars=2))
    other.save(tmp_path / "other.ppt")
    refused(
        capsys, "was made with rule", store[1], "-o", tmp_path / "t.nwk", "--bootstrap", 5,
        "--store", tmp_path / "other.ppt",
    )  # fmt: skip
    refused(capsys, "none", *call_of, "--bootstrap", 5, "--store", tmp_path / "none")
    assert not (tmp_path / "t.nwk").exists()
