"""Stores that hold probabilities, and tables of stores of several modes."""

from __future__ import annotations

import collections
import hashlib
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo import _reference
from pyphylo._table_cache import cached_table
from pyphylo.sampling.base import Decided, ModelIdentity, Population, SamplingConfig

GENOME = pp.Genome(["g", "h"], ["one", "two"])
CONFIGS = {
    "sample": SamplingConfig(n_probes=4),
    "exact": SamplingConfig(mode="exact"),
    "hybrid": SamplingConfig(n_probes=3, mode="hybrid"),
}
POPULATIONS = {
    "sample": Population([["abcd", " abcde", "x", ""], ["y", "y", "\n\nz", "y"]]),
    "exact": Population(
        [[], []],
        {"note": 1},
        [
            Decided({" abcd": 0.5, "abcd": 0.25, "": 0.125}, 0.0, 0.125),
            Decided({"y": 0.5, "\ny": 0.25}, 0.0, 0.25),
        ],
    ),
    "hybrid": Population(
        [["abcdef", " x", "abcd"], ["q", "q", "\n r"]],
        {"note": 2},
        [Decided({" abcd": 0.25, "x": 0.25}, 0.5, 0.0), Decided({"y": 0.75}, 0.25, 0.0)],
    ),
}
CELLS = {
    "sample": {
        "g": _reference.Sampled({"abcd": 2, "x": 1, "": 1}),
        "h": _reference.Sampled({"y": 3, "z": 1}),
    },
    "exact": {
        "g": _reference.Exact({"abcd": 0.75, "": 0.125}),
        "h": _reference.Exact({"y": 0.75}),
    },
    "hybrid": {
        "g": _reference.Hybrid({"abcd": 0.25, "x": 0.25}, {"abcd": 2, "x": 1}, 0.5),
        "h": _reference.Hybrid({"y": 0.75}, {"q": 2, " r": 1}, 0.25),
    },
}


def identity(name):
    return ModelIdentity(name, "r", "toy", "float32")


def make(path, mode):
    store = pp.SampleStore.open_or_create(path / mode, GENOME, CONFIGS[mode].to_dict())
    store.write(identity(mode), POPULATIONS[mode])
    return pp.SampleStore.open(path / mode)


def test_probabilities_survive(tmp_path):
    shard = make(tmp_path, "hybrid").read("hybrid")
    assert shard.facts == {"note": 2}
    assert shard.table.to_pydict() == {
        "gene": [0, 0, 0, 0, 0, 1, 1, 1],
        "completion": [" abcd", " x", "abcd", "abcdef", "x", "\n r", "q", "y"],
        "probability": [0.25, 0, 0, 0, 0.25, 0, 0, 0.75],
        "draws": [0, 1, 1, 1, 0, 1, 2, 0],
        "undecided": [0.5] * 5 + [0.25] * 3,
        "pruned": [0.0] * 8,
    }
    table = make(tmp_path, "exact").read("exact").table
    assert table.column("pruned").to_pylist() == [0.125] * 3 + [0.25] * 2
    assert set(table.column("draws").to_pylist()) == {0}


@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.text("ab é\n", max_size=3), st.floats(1e-9, 0.2), max_size=5),
            st.lists(st.text("ab é\n", max_size=3), max_size=4),
            st.floats(0, 1),
        ),
        min_size=2,
        max_size=2,
    )
)
def test_any_cells_round_trip(tmp_path_factory, cells):
    store = pp.SampleStore.open_or_create(
        tmp_path_factory.mktemp("s"), GENOME, CONFIGS["hybrid"].to_dict()
    )
    decided = [Decided(q, r, max(0.0, 1 - r - sum(q.values()))) for q, _, r in cells]
    store.write(identity("m"), Population([draws for _, draws, _ in cells], {}, decided))
    rows = store.read("m").table.to_pylist()
    for gene, (q, draws, r) in enumerate(cells):
        mine = [row for row in rows if row["gene"] == gene]
        assert {row["completion"]: row["probability"] for row in mine if row["probability"]} == q
        counts = {row["completion"]: row["draws"] for row in mine if row["draws"]}
        assert counts == collections.Counter(draws)
        assert {(row["undecided"], row["pruned"]) for row in mine} == {(r, decided[gene].pruned)}


def test_a_cell_of_which_nothing_is_known_is_kept_and_missing(tmp_path):
    store = pp.SampleStore.open_or_create(tmp_path, GENOME, CONFIGS["exact"].to_dict())
    cells = [Decided({}, 0.0, 1.0), Decided({"y": 1.0}, 0.0, 0.0)]
    store.write(identity("m"), Population([[], []], {}, cells))
    assert store.read("m").table.column("pruned").to_pylist() == [1.0, 0.0]
    assert pp.AlleleTable.from_store(store).summary()[1] == 1


@pytest.mark.parametrize("mode", ["sample", "exact", "hybrid"])
@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
def test_tables_of_all_modes_go_together(tmp_path, mode, estimator):
    """Similarities of a mixture are those of the reference, cell by cell."""
    tables = [pp.AlleleTable.from_store(make(tmp_path, m)) for m in CONFIGS]
    whole = tables[0].append(tables[1]).append(tables[2])
    assert whole.models == tuple(CONFIGS)
    assert "sampling" not in whole.provenance
    S = pp.nei_similarity(whole, estimator=estimator)
    for other in CONFIGS:
        if other != mode:
            expected = _reference.nei_similarity(CELLS[mode], CELLS[other], estimator)
            assert S[mode, other] == pytest.approx(float(expected), rel=1e-13)


def test_genes_of_a_mixture_are_resampled(tmp_path):
    tables = [pp.AlleleTable.from_store(make(tmp_path, m)) for m in CONFIGS]
    whole = tables[0].append(tables[1]).append(tables[2])
    weights = np.array([[2, 0], [1, 1]])
    doubled, plain = pp.resample_similarity(
        whole, weights=weights, estimator="unbiased", dtype="float64"
    ).array()
    only_g = pp.nei_similarity(whole.select(genes=["g"]), estimator="unbiased").values
    np.testing.assert_allclose(doubled, only_g[np.triu_indices(3, 1)], rtol=1e-12)
    both = pp.nei_similarity(whole, estimator="unbiased").values
    np.testing.assert_allclose(plain, both[np.triu_indices(3, 1)], rtol=1e-12)


def test_shorter_alleles_and_other_presets(tmp_path):
    store = make(tmp_path, "exact")
    short = pp.AlleleTable.from_store(store, pp.AlleleRule(chars=2)).to_frame()
    assert dict(zip(short["allele"], short["probability"], strict=True)) == {
        "": 0.125, "ab": 0.75, "y": 0.75
    }  # fmt: skip
    colab = pp.AlleleTable.from_store(store, pp.AlleleRule("colab")).to_frame()
    assert set(colab["allele"]) == {" abc", "abcd", "", "y", "\ny"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (pp.AlleleRule(chars=5), "sampled until 4 characters"),
        (pp.AlleleRule(normalize="NFC"), "normalises to NFC, but .* keeps 4 characters"),
        (pp.AlleleRule(strip=["\t"]), "strips"),
    ],
)
@pytest.mark.parametrize("mode", ["exact", "hybrid"])
def test_rules_that_read_more_than_was_kept(tmp_path, mode, rule, message):
    with pytest.raises(pp.InputError, match=message):
        pp.AlleleTable.from_store(make(tmp_path, mode), rule)
    if rule.normalize:
        pp.AlleleTable.from_store(make(tmp_path, "sample"), rule)


@pytest.mark.parametrize("mode", ["sample", "exact", "hybrid"])
def test_a_population_of_another_mode_is_refused(tmp_path, mode):
    store = pp.SampleStore.open_or_create(tmp_path / mode, GENOME, CONFIGS[mode].to_dict())
    wrong = POPULATIONS["sample" if mode != "sample" else "exact"]
    with pytest.raises(pp.InputError, match=f"backend 'toy' gives .* mode '{mode}'"):
        store.write(identity("m"), wrong)
    assert store.models == ()


def test_the_table_beside_a_store(tmp_path):
    store = make(tmp_path, "hybrid")
    assert cached_table(store) == pp.AlleleTable.from_store(store)
    store.write(identity("other"), POPULATIONS["hybrid"])
    table = cached_table(store)
    assert table.models == ("hybrid", "other")
    assert table == pp.AlleleTable.from_store(store)


def test_sampled_stores_keep_their_keys(tmp_path):
    """What a store of completions is called and says has not changed since it was the only kind."""
    assert CONFIGS["sample"].to_dict() == {
        "n_probes": 4, "temperature": 1.0, "chars": 4, "max_new_tokens": 5, "seed": 0,
        "mode": "sample",
    }  # fmt: skip
    store = make(tmp_path, "sample")
    (shard,) = (store.path / "shards").iterdir()
    key = {
        "identity": identity("sample").to_dict(),
        "sampling": CONFIGS["sample"].to_dict(),
        "genome": GENOME.digest,
    }
    text = json.dumps(key, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
    assert shard.stem.endswith(hashlib.sha256(text.encode()).hexdigest()[:16])
    assert json.loads((store.path / "manifest.json").read_text())["version"] == 1
    assert pq.read_schema(shard).names == ["gene", "probe", "completion"]


def test_stores_of_probabilities_are_of_version_2(tmp_path):
    """So that a program that knows only completions says so."""
    store = make(tmp_path, "exact")
    manifest = store.path / "manifest.json"
    assert json.loads(manifest.read_text())["version"] == 2
    manifest.write_text(manifest.read_text().replace('"version": 2', '"version": 3'))
    with pytest.raises(pp.FileFormatError, match=r"version 3; pyphylo [0-9.]+ reads 1 and 2"):
        pp.SampleStore.open(store.path)


def test_what_a_key_is_made_of():
    assert CONFIGS["exact"].to_dict() == SamplingConfig(9, seed=3, mode="exact").to_dict()
    assert CONFIGS["exact"].to_dict() == {
        "temperature": 1.0, "chars": 4, "max_new_tokens": 5, "mode": "exact", "min_mass": 1e-4,
        "max_nodes": 256,
    }  # fmt: skip
    assert CONFIGS["hybrid"].to_dict()["n_probes"] == 3
    assert SamplingConfig(**CONFIGS["hybrid"].to_dict()) == CONFIGS["hybrid"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"mode": "guess"}, "unknown mode 'guess'; known: 'sample', 'exact', 'hybrid'"),
        ({"max_nodes": 3}, "max_nodes is an option of mode exact or hybrid, not sample"),
        ({"min_mass": 0.1}, "min_mass is an option of mode exact or hybrid, not sample"),
        ({"mode": "exact", "min_mass": 0}, "min_mass must be a number above 0, not 0"),
        ({"mode": "exact", "min_mass": "x"}, "min_mass must be a number above 0, not 'x'"),
        ({"mode": "exact", "min_mass": 1}, "min_mass must be below 1, not 1"),
        ({"mode": "exact", "max_nodes": -1}, "max_nodes"),
    ],
)
def test_bad_settings(options, message):
    with pytest.raises(pp.InputError, match=message):
        SamplingConfig(**options)
