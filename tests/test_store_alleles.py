"""Alleles of any length up to the store's, from one store, by the library and the command line."""

from __future__ import annotations

import warnings

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo import _reference
from pyphylo._shard_seal import sealed
from pyphylo.cli import main
from pyphylo.sampling.base import ModelIdentity, Population, SamplingConfig

CHARS = 6
GENES = ["g", "h"]
COMPLETIONS = st.text(st.sampled_from(" \n\tabé😀\u0301"), max_size=12) | st.sampled_from(
    ["", "   ", "\n\n", " the answer", "the answ"]
)
POPULATIONS = st.lists(
    st.lists(st.lists(COMPLETIONS, max_size=5), min_size=2, max_size=2), min_size=1, max_size=4
)


def make_store(folder, populations, chars=CHARS):
    """A store of completions that are long enough, or ended early."""
    store = pp.SampleStore.open_or_create(
        folder, pp.Genome(GENES, ["one", "two"]), SamplingConfig(chars=chars).to_dict()
    )
    for i, completions in enumerate(populations):
        store.write(ModelIdentity(f"m{i}", "r", "e", "d"), Population(completions))
    return store


def cells_of(completions, preset, chars):
    """One model's cells by the oracle's rule."""
    cells = {}
    for gene, texts in zip(GENES, completions, strict=True):
        alleles = [_reference.allele(text, preset, chars) for text in texts]
        if alleles:
            cells[gene] = _reference.Sampled({a: alleles.count(a) for a in set(alleles)})
    return cells


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(POPULATIONS, st.sampled_from(["paper", "colab"]), st.integers(1, CHARS))
def test_any_shorter_length_equals_the_oracle(tmp_path_factory, populations, preset, chars):
    store = make_store(tmp_path_factory.mktemp("s") / "store", populations)
    table = pp.AlleleTable.from_store(store, rule=pp.AlleleRule(preset, chars=chars))
    expected = [cells_of(completions, preset, chars) for completions in populations]
    assert {tuple(row) for row in table.to_frame().itertuples(index=False)} == {
        (f"m{i}", gene, allele, count)
        for i, cells in enumerate(expected)
        for gene, cell in cells.items()
        for allele, count in cell.counts.items()
    }
    assert table.provenance["rule"]["chars"] == chars
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        S = np.asarray(pp.nei_similarity(table))
    oracle = np.array([[_reference.nei_similarity(a, b) for b in expected] for a in expected])
    np.fill_diagonal(oracle, 1.0)
    np.testing.assert_allclose(S, oracle, rtol=1e-12, atol=0)


def test_one_character_more_is_refused(tmp_path):
    store = make_store(tmp_path / "s", [[["abcdef"], ["x"]]])
    with pytest.raises(pp.InputError, match=r"until 6 characters; alleles of 7 .* chars=7"):
        pp.AlleleTable.from_store(store, pp.AlleleRule(chars=7))


def test_imported_completions_may_be_cut_anywhere(tmp_path):
    genome = pp.Genome(GENES, [None, None])
    store = pp.SampleStore.open_or_create(tmp_path / "s", genome, {"mode": "import"})
    store.write(ModelIdentity("m", "r", "e", "d"), Population([["a" * 50], []]))
    table = pp.AlleleTable.from_store(store, pp.AlleleRule(chars=40))
    assert table.to_frame().values.tolist() == [["m", "g", "a" * 40, 1]]


POOL = [
    [["the answer", "the ant"], ["42", "42"]],
    [["the answer", "then"], ["42", "43"]],
    [["another", "a"], ["", "7"]],
]


@pytest.mark.parametrize("chars", [1, 2, 3, CHARS])
def test_distances_of_a_store_at_several_lengths(tmp_path, capsys, chars):
    make_store(tmp_path / "s", POOL)
    out = tmp_path / "d.npz"
    argv = ["distance", str(tmp_path / "s"), "-o", str(out), "--chars", str(chars), "--json"]
    assert main(argv) == 0
    capsys.readouterr()
    D = pp.DistanceMatrix.load(out)
    cells = [cells_of(completions, "paper", chars) for completions in POOL]
    expected = [
        [_reference.nei_distance(_reference.nei_similarity(a, b)) for b in cells] for a in cells
    ]
    np.testing.assert_allclose(
        np.asarray(D), np.where(np.eye(3, dtype=bool), 0, expected), rtol=1e-12, atol=1e-15
    )
    assert D.provenance["rule"]["chars"] == chars


def test_lengths_beyond_the_store_are_a_wrong_call(tmp_path, capsys):
    make_store(tmp_path / "s", POOL)
    argv = ["distance", str(tmp_path / "s"), "-o", str(tmp_path / "d.npz"), "--chars", "7"]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert "alleles of 7 need a new store" in err
    assert err.count("\n") == 1
    assert not (tmp_path / "d.npz").exists()


def test_a_shard_of_several_row_groups_counts_the_same(tmp_path):
    store = make_store(tmp_path / "s", POOL)
    whole = pp.AlleleTable.from_store(store)
    for path in (tmp_path / "s" / "shards").iterdir():
        pq.write_table(pq.read_table(path), path, row_group_size=1)
        path.write_bytes(sealed(path.read_bytes()))
    assert pp.AlleleTable.from_store(store) == whole
