"""The allele table beside a store: always that of the store, whatever happened to either."""

from __future__ import annotations

import json
import os
import warnings

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo._table_cache import cache_path
from pyphylo.sampling.base import ModelIdentity, Population, SamplingConfig
from pyphylo.store import SampleStore

GENES = ["g", "h"]
GENOME = pp.Genome(GENES, ["one", "two"])


def new_store(folder, chars=6):
    return SampleStore.open_or_create(folder, GENOME, SamplingConfig(chars=chars).to_dict())


def say(store, name, *texts):
    """Store a model that answers these texts, to the first gene and to the second."""
    return store.write(
        ModelIdentity(name, "r", "e", "d"), Population([list(texts), list(texts[::-1])])
    )


@pytest.fixture
def store(tmp_path):
    made = new_store(tmp_path / "store")
    say(made, "b/1", "aaaa", "bbbb")
    say(made, "a", "aaaa", "cccc")
    return made


@pytest.fixture
def opened(monkeypatch):
    """Shard files as they are opened."""
    names = []
    read = SampleStore._read_shard

    def noted(self, path, source, **options):
        names.append(path.name.rpartition("-")[0].rpartition("-")[0])
        return read(self, path, source, **options)

    monkeypatch.setattr(SampleStore, "_read_shard", noted)
    return names


def same(store, rule=None):
    """The cached table, checked against the one that is made from all shards."""
    found, expected = pp.cached_table(store, rule), pp.AlleleTable.from_store(store, rule)
    assert found == expected
    assert found.models == expected.models
    kept = {key: value for key, value in found.provenance.items() if key != "manifest"}
    assert kept == expected.provenance
    return found


def test_a_second_call_opens_no_shard(store, opened):
    first = pp.cached_table(store)
    assert sorted(opened) == ["a", "b_1"]
    opened.clear()
    assert pp.cached_table(SampleStore.open(store.path)) == first
    assert opened == []
    same(store)


def test_only_new_shards_are_read(store, opened):
    pp.cached_table(store)
    say(store, "aa", "aaaa", "dddd")
    opened.clear()
    table = pp.cached_table(store)
    assert opened == ["aa"]
    assert table.models == ("a", "aa", "b/1")
    opened.clear()
    assert pp.cached_table(store) == table
    assert opened == []
    same(store)


def test_a_replaced_shard_is_read_again_and_a_removed_one_forgotten(store, opened):
    before = pp.cached_table(store)
    path = say(store, "a", "aaaa", "eeee")
    opened.clear()
    after = pp.cached_table(store)
    assert opened == ["a"]
    assert after != before
    assert "cccc" not in after.to_frame()["allele"].tolist()
    path.unlink()
    assert same(store).models == ("b/1",)
    path = next((store.path / "shards").iterdir())
    path.unlink()
    assert same(store).models == ()
    say(store, "z", "zzzz")
    assert same(store).models == ("z",)


def test_a_shard_of_the_same_size_and_time_is_not_taken_for_the_old(store):
    path = say(store, "a", "aaaa", "cccc")
    state = path.stat()
    pp.cached_table(store)
    say(store, "a", "aaaa", "cccd")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert path.stat().st_size == state.st_size
    same(store)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["m/1", "m/2", "m 3", "é"]),
        st.one_of(st.none(), st.lists(st.sampled_from(["a", "ab", " b", "c"]), max_size=3)),
    ),
    min_size=1,
    max_size=6,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(STEPS)
def test_any_history_of_a_store(tmp_path_factory, steps):
    """Models come, change and go; None removes one."""
    store = new_store(tmp_path_factory.mktemp("s") / "store")
    for name, texts in steps:
        if texts is not None:
            say(store, name, *texts)
        elif (found := store._find(name)) is not None:
            (store.path / "shards" / found[0]).unlink()
        same(store)


def test_each_rule_has_a_file_of_its_own(store):
    paper, colab = pp.AlleleRule(), pp.AlleleRule("colab", chars=2)
    say(store, "c", " xyz", "xyz")
    assert same(store, paper) != same(store, colab)
    assert cache_path(store, paper) == cache_path(store)
    assert cache_path(store, colab) != cache_path(store)
    assert all(p.parent == store.path.parent for p in map(cache_path, [store, store]))
    with pytest.raises(pp.InputError, match="alleles of 7 need a new store"):
        pp.cached_table(store, pp.AlleleRule(chars=7))


def test_the_provenance_names_what_it_was_made_from(store):
    first = pp.cached_table(store)
    again = pp.cached_table(store)
    assert len(first.provenance["manifest"]) == 64
    assert first.provenance == again.provenance
    say(store, "c", "aaaa")
    assert pp.cached_table(store).provenance["manifest"] != first.provenance["manifest"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: data[:200] + bytes([data[200] ^ 1]) + data[201:],
        lambda data: b"not a table at all",
    ],
)
def test_a_damaged_file_is_made_anew(store, damage):
    expected = pp.cached_table(store)
    path = cache_path(store)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.warns(pp.PyphyloWarning, match=r"cannot be used .* made anew") as caught:
        assert pp.cached_table(store) == expected
    assert len(caught) == 1
    assert same(store) == expected


@pytest.mark.parametrize(
    "note", [{}, {"manifest": "x"}, {"manifest": "x", "cache": 3}, {"cache": {"a": []}}, []]
)
def test_a_table_that_is_no_cache_is_made_anew(store, note):
    expected = pp.cached_table(store)
    expected._core.write(json.dumps(note), str(cache_path(store)))
    with pytest.warns(pp.PyphyloWarning, match="does not say which shards"):
        assert pp.cached_table(store) == expected
    assert same(store) == expected


@pytest.mark.parametrize("key", ["pyphylo", "genome", "sampling", "rule"])
def test_rows_made_in_another_way_are_not_kept(store, opened, key):
    """Whatever else its note says, such a table is not added to."""
    pp.cached_table(store)
    path = cache_path(store)
    table = pp.AlleleTable.load(path)
    table.provenance |= {key: "other", "manifest": "other"}
    table.save(path)
    opened.clear()
    same(store)
    assert sorted(opened) == ["a", "a", "b_1", "b_1"]  # both ways


def test_a_place_that_cannot_be_written_costs_a_warning(store):
    cache_path(store).mkdir()
    with pytest.warns(pp.PyphyloWarning, match="cannot be kept beside the store") as caught:
        table = pp.cached_table(store)
    assert len(caught) == 1
    assert table == pp.AlleleTable.from_store(store)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder(store):
    folder = store.path.parent
    folder.chmod(0o500)
    try:
        with pytest.warns(pp.PyphyloWarning, match="cannot be kept beside the store"):
            table = pp.cached_table(store)
    finally:
        folder.chmod(0o700)
    assert table == pp.AlleleTable.from_store(store)


def test_two_shards_of_one_model_are_refused(store):
    path = say(store, "a", "aaaa")
    path.with_name("other-0.parquet").write_bytes(path.read_bytes())
    with pytest.raises(pp.FileFormatError, match="two shards are of model 'a'"):
        pp.cached_table(store)


def test_a_damaged_shard_is_named(store):
    pp.cached_table(store)
    path = say(store, "c", "aaaa")
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(pp.FileFormatError, match=r"shard .*c-.* is damaged"):
        pp.cached_table(store)


def test_no_table_file_hinders_a_later_run(store, tmp_path):
    from pyphylo.run import check_run_folder

    pp.cached_table(store)
    assert check_run_folder(tmp_path) == tmp_path
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(pp.InputError, match=r"notes\.txt"):
        check_run_folder(tmp_path)


def test_nothing_is_written_into_the_store(store):
    before = sorted(p.name for p in store.path.rglob("*"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pp.cached_table(store)
    assert sorted(p.name for p in store.path.rglob("*")) == before
