"""SampleStore: shards, resuming, refusals; imported completions."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo._files import atomic_path
from pyphylo._names import clean_text
from pyphylo._shard_seal import SEAL_BYTES, footer_bytes, is_whole
from pyphylo.io import _spool, completions
from pyphylo.io._spool import Spool
from pyphylo.io.completions import import_completions
from pyphylo.sampling.base import ModelIdentity, Population, SamplingConfig

GENOME = pp.Genome(["g", "h"], ["one", "two"])
CONFIG = SamplingConfig(n_probes=2).to_dict()


def identity(name="m", **changes):
    return ModelIdentity(**{"name": name, "revision": "r", "engine": "e", "dtype": "d", **changes})


def make_store(path):
    return pp.SampleStore.open_or_create(path, GENOME, CONFIG)


POPULATION = Population([["ab", " \ufffdc"], ["", "\n\nabcd"]], {"first_token_ids": [1, 2]})


def test_shards_are_read_where_nothing_else_was_imported(tmp_path):
    make_store(tmp_path / "s").write(identity(), POPULATION)
    program = (
        "import sys; from pyphylo.store import SampleStore; "
        "print([shard.identity.name for shard in SampleStore.open(sys.argv[1]).shards()])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "s"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "['m']\n"


def test_write_and_read(tmp_path):
    store = make_store(tmp_path / "s")
    store.write(identity("org/name@rev ö,'\""), POPULATION)
    shard = pp.SampleStore.open(tmp_path / "s").read("org/name@rev ö,'\"")
    assert shard.identity == identity("org/name@rev ö,'\"")
    assert shard.facts == {"first_token_ids": [1, 2]}
    assert shard.table.to_pydict() == {
        "gene": [0, 0, 1, 1],
        "probe": [0, 1, 0, 1],
        "completion": ["ab", " \ufffdc", "", "\n\nabcd"],
    }


def test_names_that_look_alike_do_not_collide(tmp_path):
    store = make_store(tmp_path / "s")
    names = ["a/b", "a_b", "a b", "a" * 300, "a" * 301, "..", "/", "é", "A/B"]
    for i, name in enumerate(names):
        store.write(identity(name), Population([[str(i)] * 2, [str(i)] * 2]))
    assert store.models == tuple(sorted(names))
    for i, name in enumerate(names):
        assert set(store.read(name).table.column("completion").to_pylist()) == {str(i)}
    assert all(
        path.parent == tmp_path / "s" / "shards" for path in (tmp_path / "s").rglob("*.parquet")
    )


def test_the_same_in_any_order_is_the_same_bytes(tmp_path):
    for folder, names in (("one", "abc"), ("two", "cab")):
        store = make_store(tmp_path / folder)
        for name in names:
            store.write(identity(name), POPULATION)
    files = [
        {
            p.relative_to(tmp_path / f): p.read_bytes()
            for p in (tmp_path / f).rglob("*")
            if p.is_file()
        }
        for f in ("one", "two")
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 5


def test_a_name_keeps_its_revision(tmp_path):
    store = make_store(tmp_path / "s")
    store.write(identity("m"), POPULATION)
    assert store.has(identity("m"))
    assert not store.has(identity("n"))
    with pytest.raises(pp.InputError, match="'m' with revision 'r', now it has 'new'"):
        store.has(identity("m", revision="new"))


@pytest.mark.parametrize(
    ("genome", "config", "message"),
    [
        (GENOME, {**CONFIG, "temperature": 0.7}, "temperature=1.0, not 0.7"),
        (pp.Genome(["g"], ["one"]), CONFIG, "2 genes, not 1"),
        (pp.Genome(["g", "h"], ["one", "TWO"]), CONFIG, "'h'"),
    ],
)
def test_one_genome_and_one_configuration(tmp_path, genome, config, message):
    make_store(tmp_path / "s")
    with pytest.raises(pp.InputError, match=message):
        pp.SampleStore.open_or_create(tmp_path / "s", genome, config)


def test_folders_that_are_not_ours(tmp_path):
    with pytest.raises(pp.InputError, match="does not exist"):
        pp.SampleStore.open(tmp_path / "none")
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(pp.InputError, match=r"notes\.txt"):
        make_store(tmp_path)
    with pytest.raises(pp.InputError, match="is not a pyphylo store"):
        pp.SampleStore.open(tmp_path)
    for use in (make_store, pp.SampleStore.open):
        with pytest.raises(pp.InputError, match="is a file; a store is a folder"):
            use(tmp_path / "notes.txt")
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "manifest.json").write_text("{}")
    with pytest.raises(pp.FileFormatError, match="manifest"):
        make_store(tmp_path / "s")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["notes.txt", "s"]


def test_a_store_begun_and_killed_is_ours(tmp_path):
    (tmp_path / "s" / "shards").mkdir(parents=True)
    GENOME.save(tmp_path / "s" / "genome.jsonl")
    (tmp_path / "s" / "manifest.json.part").write_text("{")
    make_store(tmp_path / "s").write(identity(), POPULATION)
    assert pp.SampleStore.open(tmp_path / "s").models == ("m",)


def test_a_changed_genome_is_told(tmp_path):
    make_store(tmp_path / "s")
    pp.Genome(["g"], ["other"]).save(tmp_path / "s" / "genome.jsonl")
    with pytest.raises(pp.FileFormatError, match="changed"):
        pp.SampleStore.open(tmp_path / "s")


def test_a_damaged_shard_is_named(tmp_path):
    store = make_store(tmp_path / "s")
    path = store.write(identity(), POPULATION)
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"x" * len(whole)):
        path.write_bytes(damaged)
        with pytest.raises(pp.FileFormatError, match=path.name):
            store.read("m")
    pa.parquet.write_table(pa.table({"gene": [1]}), path)
    with pytest.raises(pp.FileFormatError, match=path.name):
        store.read("m")


def test_a_shard_of_another_store_is_refused(tmp_path):
    """Files of `shards/` may be copied together; of other genes or settings they are other data."""
    store = make_store(tmp_path / "s")
    store.write(identity(), POPULATION)
    for folder, genome, config, why in (
        ("genome", pp.Genome(["g", "i"], ["one", "two"]), CONFIG, "is of another genome"),
        ("seed", GENOME, CONFIG | {"seed": 7}, "was sampled with seed=7, not 0"),
    ):
        other = pp.SampleStore.open_or_create(tmp_path / folder, genome, config)
        foreign = Path(shutil.copy(other.write(identity("n"), POPULATION), tmp_path / "s/shards"))
        before = foreign.read_bytes()
        for use in (
            lambda: store.models,
            lambda: store.read("n"),
            lambda: list(store.shards()),
            lambda: pp.AlleleTable.from_store(store),
            lambda: store.has(identity("n")),
        ):
            with pytest.raises(pp.FileFormatError, match=f"{foreign.name}.*{why}.*move it"):
                use()
        assert foreign.read_bytes() == before
        foreign.unlink()
    assert store.models == ("m",)


def test_of_several_settings_the_mode_is_named(tmp_path):
    """Others follow from it."""
    make_store(tmp_path / "s")
    exact = CONFIG | {"mode": "exact", "max_nodes": 256}
    with pytest.raises(pp.InputError, match="was sampled with mode='sample', not 'exact'"):
        pp.SampleStore.open_or_create(tmp_path / "s", GENOME, exact)


def test_a_shard_that_was_renamed_is_read(tmp_path):
    store = make_store(tmp_path / "s")
    path = store.write(identity(), POPULATION)
    path.rename(path.with_name("copy of m.parquet"))
    assert store.models == ("m",)
    assert store.read("m").identity == identity()


def test_what_systems_put_beside_shards_is_none(tmp_path):
    """Copies from a Mac come with a small file ``._NAME`` for each."""
    store = make_store(tmp_path / "s")
    path = store.write(identity(), POPULATION)
    path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert store.models == ("m",)
    assert pp.AlleleTable.from_store(store).models == ("m",)
    assert [shard.identity.name for shard in store.shards()] == ["m"]


def test_rules_that_ask_too_much(tmp_path):
    store = make_store(tmp_path / "s")
    store.write(identity(), POPULATION)
    table = pp.AlleleTable.from_store(store)
    assert table.to_frame()["allele"].tolist() == ["ab", "\ufffdc", "", "abcd"]
    assert table.provenance["models"]["m"]["revision"] == "r"
    with pytest.raises(pp.InputError, match="chars=5"):
        pp.AlleleTable.from_store(store, pp.AlleleRule(chars=5))
    with pytest.raises(pp.InputError, match="strips"):
        pp.AlleleTable.from_store(store, pp.AlleleRule(strip=["\t"]))
    colab = pp.AlleleTable.from_store(store, pp.AlleleRule("colab"))
    assert "\n\nab" in colab.to_frame()["allele"].tolist()


def test_a_shard_of_before_seals_is_read(tmp_path):
    """Its metadata do not speak of a seal; those that do must have one."""
    store = make_store(tmp_path / "s")
    path = store.write(identity(), POPULATION)
    expected = store.read("m")
    footer = footer_bytes(path.read_bytes())
    whole = path.read_bytes()
    path.write_bytes(whole[: -footer - SEAL_BYTES] + whole[-footer:])
    with pytest.raises(pp.FileFormatError, match="not those that were written"):
        store.read("m")
    table = pq.read_table(path)
    note = json.loads(table.schema.metadata[b"pyphylo"])
    del note["seal"]
    pq.write_table(table.replace_schema_metadata({"pyphylo": json.dumps(note)}), path)
    assert store.read("m") == expected
    assert store.models == ("m",)
    manifest = tmp_path / "s" / "manifest.json"
    old = json.loads(manifest.read_text())
    del old["digest"]
    manifest.write_text(json.dumps(old))
    assert pp.SampleStore.open(tmp_path / "s").models == ("m",)


def test_any_parquet_reader_reads_a_sealed_shard(tmp_path):
    path = make_store(tmp_path / "s").write(identity(), POPULATION)
    assert is_whole(path.read_bytes())
    assert pq.read_table(path)["completion"].to_pylist() == ["ab", " \ufffdc", "", "\n\nabcd"]
    assert pd.read_parquet(path)["gene"].tolist() == [0, 0, 1, 1]


def test_a_damaged_shard_is_taken_for_absent_and_told_once(tmp_path):
    store = make_store(tmp_path / "s")
    path = store.write(identity(), POPULATION)
    path.write_bytes(path.read_bytes()[:-9] + b"x" + path.read_bytes()[-8:])
    with pytest.warns(pp.PyphyloWarning, match=path.name) as told:
        assert not store.has(identity())
    assert told[0].filename == __file__
    assert not store.has(identity())
    assert store.keep(identity(), POPULATION)
    assert store.has(identity())
    # And told again where it is damaged again.
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.warns(pp.PyphyloWarning, match="is damaged") as told:
        assert store.identity("m") is None
    assert told[0].filename == __file__
    assert str(told[0].message).count("again") == 1
    assert not store.has(identity())


@pytest.mark.parametrize("removes", [True, False])
def test_a_lock_is_gone_whatever_ended_the_work(removes, tmp_path, monkeypatch):
    store = make_store(tmp_path / "s")
    beside = {path.name for path in tmp_path.iterdir()}
    if not removes:  # as Windows does with what is open

        def refuse(self, missing_ok=False):
            raise PermissionError(13, "in use", str(self))

        monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(KeyboardInterrupt), store.locked("m"):
        raise KeyboardInterrupt
    if removes:
        assert {path.name for path in tmp_path.iterdir()} == beside
    with store.locked("m"):  # and nobody is kept out
        store.write(identity(), POPULATION)
    assert store.models == ("m",)


def test_a_damaged_shard_of_another_identity_makes_way(tmp_path):
    store = make_store(tmp_path / "s")
    other = replace(identity(), tokenization="other")
    path = store.write(other, POPULATION)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9] + b"x" + whole[-8:])
    with pytest.warns(pp.PyphyloWarning, match=path.name):
        assert not store.has(identity())
    assert store.keep(identity(), POPULATION)
    assert not path.exists()
    assert store.models == ("m",)
    # One that another process has made again by then is not removed.
    path.write_bytes(whole[:-9] + b"x" + whole[-8:])
    store.path.joinpath("shards", store.shard_name(identity())).unlink()
    with pytest.warns(pp.PyphyloWarning, match=path.name):
        assert not store.has(identity())
    path.write_bytes(whole)
    store.write(identity(), POPULATION)
    assert path.read_bytes() == whole


def test_two_writers_of_one_file_have_a_temporary_file_each(tmp_path):
    target = tmp_path / "f"
    parts = []

    def inner(part):
        parts.append(part)
        part.write_bytes(b"inner")

    def outer(part):
        parts.append(part)
        part.write_bytes(b"outer")
        atomic_path(target, inner)
        assert target.read_bytes() == b"inner"

    (tmp_path / "f.part").write_bytes(b"left by a dead process, and longer than what is written")
    atomic_path(target, outer)
    assert target.read_bytes() == b"outer"
    assert len(set(parts)) == 2
    assert list(tmp_path.iterdir()) == [target]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4), st.integers(0, 3), st.text(st.characters(codec=None), max_size=9)
        ),
        max_size=60,
    ),
    st.integers(1, 20),
)
def test_rows_come_back_by_model_in_their_order(rows, held):
    with pytest.MonkeyPatch.context() as patch, Spool(Path(tempfile.gettempdir())) as spool:
        patch.setattr(_spool, "_ROWS", held)
        for row in rows:
            spool.add(*row)
        for model in range(6):
            mine = [(gene, clean_text(text)) for each, gene, text in rows if each == model]
            genes, texts = spool.rows(model)
            assert list(zip(genes.tolist(), texts.to_pylist(), strict=True)) == mine


@given(st.lists(st.tuples(st.integers(0, 3), st.text(max_size=9)), max_size=40))
def test_a_digest_is_of_genes_then_lengths_and_texts(rows):
    genes, texts = [list(column) for column in zip(*rows, strict=True)] or [[], []]
    state = hashlib.sha256(np.array(genes, np.int32).tobytes())
    for text in texts:
        state.update(len(text.encode()).to_bytes(8, "little") + text.encode())
    table = pa.table(
        {"gene": pa.array(genes, pa.int32()), "completion": pa.array(texts, pa.string())}
    )
    assert completions._digest(table) == f"sha256:{state.hexdigest()}"
    assume(len(rows) > 1)
    assert completions._digest(table.slice(len(rows) // 2)) != f"sha256:{state.hexdigest()}"


# -- completions ---------------------------------------------------------------------


def lines(*rows):
    return "".join(
        json.dumps(dict(zip(("model", "gene", "completion"), row, strict=True))) + "\n"
        for row in rows
    )


RAGGED = lines(("b", "h", "x"), ("a", "g", "y"), ("b", "g", "z"), ("b", "h", "w"))


@pytest.mark.parametrize("packed", [False, True])
def test_import(tmp_path, packed):
    path = tmp_path / "c.jsonl"
    path.write_bytes(gzip.compress(RAGGED.encode()) if packed else RAGGED.encode())
    store, imported = import_completions(path, tmp_path / "s")
    assert imported == ["b", "a"]
    assert store.genome.genes == ("h", "g")
    assert not store.genome.is_sampleable
    assert store.read("b").table.to_pydict() == {
        "gene": [0, 0, 1],
        "probe": [0, 1, 0],
        "completion": ["x", "w", "z"],
    }
    assert pp.AlleleTable.from_store(store) == pp.AlleleTable.from_records(
        [("a", "g", "y"), ("b", "h", "x"), ("b", "g", "z"), ("b", "h", "w")]
    ).select(genes=["h", "g"])


def test_import_again_and_more(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text(RAGGED)
    import_completions(path, tmp_path / "s")
    assert import_completions(path, tmp_path / "s")[1] == []
    path.write_text(lines(("c", "g", "q")))
    assert import_completions(path, tmp_path / "s")[0].models == ("a", "b", "c")
    path.write_text(lines(("a", "g", "other")))
    with pytest.raises(
        pp.InputError, match=r"'a' with other completions.*remove shards/a-.*parquet"
    ):
        import_completions(path, tmp_path / "s")
    path.write_text(lines(("d", "new", "q")))
    with pytest.raises(pp.InputError, match="'new'"):
        import_completions(path, tmp_path / "s")
    assert pp.SampleStore.open(tmp_path / "s").models == ("a", "b", "c")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no completions"),
        (b"{}\n", "line 1: key 'model' is missing"),
        (b'{"model": "a", "gene": "g", "completion": "x"}\n\n{"model"', "line 3: not JSON"),
        (b'{"model": "a", "gene": 7, "completion": "x"}', "line 1: key 'gene' is not a string"),
        (b'{"model": "a", "gene": "g", "completion": null}', "'completion'"),
        (b'{"model": "", "gene": "g", "completion": ""}', "line 1: model and gene"),
        (b"[1]", "line 1: expected a JSON object, not list"),
        (b"\xff\xfe\n", "line 1: not JSON"),
        (gzip.compress(RAGGED.encode() * 99, mtime=0)[:-9], "damaged"),
        (b"[" * 100_000, "line 1: not JSON"),
    ],
)
def test_bad_completions(tmp_path, data, message):
    path = tmp_path / "c.jsonl"
    path.write_bytes(data)
    with pytest.raises(pp.FileFormatError, match=message):
        import_completions(path, tmp_path / "s")
    assert not (tmp_path / "s").exists()


def test_half_a_surrogate_pair_becomes_a_replacement_character(tmp_path):
    path = tmp_path / "c.jsonl"
    path.write_text('{"model": "a", "gene": "g", "completion": "x\\ud83d"}\n')
    store, _ = import_completions(path, tmp_path / "s")
    assert store.read("a").table.column("completion").to_pylist() == ["x\ufffd"]


def test_real_completions(shared_data, tmp_path):
    path = shared_data / "completions" / "misguided_attention.jsonl.gz"
    store, imported = import_completions(path, tmp_path / "s")
    assert len(imported) == 58
    table = pp.AlleleTable.from_store(store)
    probes, missing, _ = table.summary()
    assert missing > 0
    assert (probes == -1).any()
    S = pp.nei_similarity(table, estimator="unbiased")
    off = S.values[~np.eye(58, dtype=bool)]
    assert ((off >= 0) & (off < 1.2)).all()
