"""A store at an address: the same store as in a folder, byte for byte, on real file systems."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
from fsspec.implementations.local import LocalFileSystem
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from letters_backend import attempts
from remote_places import KINDS, ObjectFileSystem, Place, UnrulyFileSystem

import pyphylo as pp
from pyphylo._storage import StorageError, is_address, storage_at
from pyphylo.io.completions import import_completions
from pyphylo.sampling.base import ModelIdentity, Population, SamplingConfig
from pyphylo.sampling.registry import register_backend
from pyphylo.store import SampleStore, check_store_folder

GENOME = pp.Genome(["g", "h"], ["one", "two"])
CONFIG = SamplingConfig(n_probes=2).to_dict()
POPULATION = Population([["ab", " \ufffdc"], ["", "\n\nabcd"]], {"first_token_ids": [1, 2]})
ODD_NAMES = ["a/b", "a_b", "a b", "a" * 300, "..", "/", "é", "A/B", "org/name@rev,'\""]


def identity(name="m", **changes):
    return ModelIdentity(**{"name": name, "revision": "r", "engine": "e", "dtype": "d", **changes})


def population(text):
    return Population([[text] * 2, [text] * 2])


def make_store(address):
    return SampleStore.open_or_create(address, GENOME, CONFIG)


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(params=KINDS)
def place(request, tmp_path):
    return Place(request.param, tmp_path)


@pytest.fixture
def objects(tmp_path):
    """An object store that counts requests from now on."""
    ObjectFileSystem.requests.clear()
    return Place("objects", tmp_path)


@pytest.fixture
def models(tmp_path):
    register_backend("letters", "letters_backend:LettersSampler")
    paths = [tmp_path / f"model-{name}" for name in "abcd"]
    for path in paths:
        path.write_text("{}")
    return {path.name: str(path) for path in paths}


# -- the same on every storage ---------------------------------------------------------


def test_write_and_read(place):
    store = make_store(place.address)
    for i, name in enumerate(ODD_NAMES):
        store.write(identity(name), population(str(i)))
    store = SampleStore.open(place.address)
    assert store.models == tuple(sorted(ODD_NAMES))
    for i, name in enumerate(ODD_NAMES):
        assert store.read(name).identity == identity(name)
        assert set(store.read(name).table.column("completion").to_pylist()) == {str(i)}
    assert [shard.identity.name for shard in store.shards()] == sorted(ODD_NAMES)
    assert not store.has(identity("absent"))
    with pytest.raises(pp.InputError, match="has no model 'absent'"):
        store.read("absent")
    with pytest.raises(pp.InputError, match="'a/b' with revision 'r', now it has 'new'"):
        store.has(identity("a/b", revision="new"))


def test_the_bytes_are_those_of_a_folder(place, tmp_path):
    for address in (place.address, tmp_path / "folder"):
        store = make_store(address)
        for name in ODD_NAMES:
            store.write(identity(name), POPULATION)
    expected = Place("local", tmp_path, tmp_path / "folder").files()
    assert place.files() == expected
    assert len(expected) == 2 + len(ODD_NAMES)


def test_another_genome_or_configuration_is_refused(place):
    make_store(place.address)
    with pytest.raises(pp.InputError, match=r"temperature=1\.0, not 0\.7"):
        SampleStore.open_or_create(place.address, GENOME, {**CONFIG, "temperature": 0.7})
    with pytest.raises(pp.InputError, match="2 genes, not 1"):
        SampleStore.open_or_create(place.address, GENOME.head(1), CONFIG)


def test_folders_that_are_not_ours(place):
    check_store_folder(place.address)
    with pytest.raises(pp.InputError, match="does not exist"):
        SampleStore.open(place.address)
    place.put("notes.txt", b"mine")
    for make in (make_store, check_store_folder):
        with pytest.raises(pp.InputError, match=r"not empty \(it holds 'notes\.txt'\)"):
            make(place.address)
        with pytest.raises(pp.InputError, match="is a file; a store is a folder"):
            make(f"{place.address}/notes.txt")
    with pytest.raises(pp.InputError, match="is not a pyphylo store"):
        SampleStore.open(place.address)
    assert place.files() == {"notes.txt": b"mine"}
    place.put("manifest.json", b"{}")
    with pytest.raises(pp.FileFormatError, match="is not the manifest"):
        make_store(place.address)


@pytest.mark.parametrize("left", ["genome.jsonl", "genome.jsonl.part", "manifest.json.0af3.part"])
def test_a_store_begun_and_killed_is_ours(place, left):
    place.put(left, b"{")
    make_store(place.address).write(identity(), POPULATION)
    assert SampleStore.open(place.address).models == ("m",)


def test_shards_without_a_manifest_are_not_ours(place):
    make_store(place.address).write(identity(), POPULATION)
    place.remove("manifest.json")
    with pytest.raises(pp.InputError, match="it holds 'shards'"):
        make_store(place.address)


def test_a_changed_genome_is_told(place, tmp_path):
    make_store(place.address)
    GENOME.head(1).save(tmp_path / "other")
    place.put("genome.jsonl", (tmp_path / "other").read_bytes())
    with pytest.raises(pp.FileFormatError, match=r"genome\.jsonl was changed"):
        SampleStore.open(place.address)
    place.remove("genome.jsonl")
    with pytest.raises(pp.InputError, match=r"genome\.jsonl.* does not exist"):
        SampleStore.open(place.address)


def test_a_damaged_shard_is_named(place):
    store = make_store(place.address)
    store.write(identity(), POPULATION)
    (name,) = place.shards()
    whole = place.files()[name]
    for damaged in (b"", b"PAR1", whole[: len(whole) // 2], b"x" * len(whole), whole[:-9]):
        place.put(name, damaged)
        for read in (lambda: store.read("m"), lambda: store.models, lambda: list(store.shards())):
            with pytest.raises(pp.FileFormatError, match=Path(name).name):
                read()
    place.put(name, whole)
    assert store.models == ("m",)


def test_a_footer_longer_than_a_tail_is_read(place):
    """Facts are of any size, and a footer's end says how long it is."""
    store = make_store(place.address)
    facts = {"noise": np.random.default_rng(0).bytes(60_000).hex()}
    for name in ("long", "short"):
        store.write(
            identity(name), Population(POPULATION.completions, facts if name == "long" else {})
        )
    again = SampleStore.open(place.address)
    assert again.models == ("long", "short")
    assert again.read("long").facts == facts


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["m/1", "m/2", "é"]),
        st.one_of(st.none(), st.lists(st.sampled_from(["a", "ab", " b"]), max_size=3)),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
@pytest.mark.parametrize("kind", ["file", "memory"])
def test_the_kept_table_is_the_stores(kind, tmp_path_factory, steps):
    """Models come, change and go, past what any object of ours remembers."""
    place = Place(kind, tmp_path_factory.mktemp("store"))
    store = make_store(place.address)
    for name, texts in steps:
        if texts is not None:
            store.write(identity(name), Population([texts, texts[::-1]]))
        elif (found := store._find(name)) is not None:
            place.remove(f"shards/{found[0]}")
        for seen in (store, SampleStore.open(place.address)):
            table = pp.cached_table(seen)
            assert table == pp.AlleleTable.from_store(seen)
            assert table.models == seen.models


# -- sampling --------------------------------------------------------------------------


def run(models, store, **options):
    genome = pp.Genome.default().head(3)
    return pp.sample(models, genome, store=store, backend="letters", n_probes=4, **options)


def test_a_resumed_run_is_that_of_a_folder(place, models, tmp_path):
    first = dict(list(models.items())[:2])
    run(first, place.address)
    before = place.files()
    assert run(models, place.address).models == tuple(sorted(models))
    assert all(len(attempts(Path(path))) == 1 for path in models.values())
    run(models, tmp_path / "folder")
    after = place.files()
    assert after == Place("local", tmp_path, tmp_path / "folder").files()
    assert before.items() <= after.items()
    with pytest.raises(pp.InputError, match="resume=False"):
        run(models, place.address, resume=False)


def test_a_put_that_fails_leaves_no_half_shard(models, tmp_path, monkeypatch):
    place = Place("unruly", tmp_path)
    monkeypatch.setattr(UnrulyFileSystem, "breaks_at", "shards/model-c")
    with pytest.raises(StorageError, match=r"cannot be written: OSError: connection reset"):
        run(models, place.address)
    assert SampleStore.open(place.address).models == ("model-a", "model-b")
    assert not [name for name in place.files() if "model-c" in name]
    monkeypatch.setattr(UnrulyFileSystem, "breaks_at", None)
    run(models, place.address)
    run(models, tmp_path / "folder")
    assert place.files() == Place("local", tmp_path, tmp_path / "folder").files()


def test_what_a_killed_put_leaves_is_passed_over(models, tmp_path):
    place = Place("unruly", tmp_path)
    store = run(models, place.address)
    (shard, *_) = place.shards()
    place.put(f"{shard}.0af3.part", place.files()[shard][:99])
    assert SampleStore.open(place.address).models == store.models
    assert pp.cached_table(store).models == store.models


def test_the_log_is_in_the_users_cache(models, tmp_path, cache):
    place = Place("memory", tmp_path)
    store = run(models, place.address)
    log = store.beside(".log")
    assert log.is_relative_to(cache / "pyphylo" / "stores")
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert {f"shards/{row['shard']}" for row in rows} == set(place.shards())
    pp.cached_table(store)
    assert [path.suffix for path in sorted(log.parent.iterdir())] == [".alleles", ".log"]
    other = Place("memory", tmp_path)
    assert storage_at(other.address).beside(".log") != log


# -- two at once, and no lock ----------------------------------------------------------


def test_of_one_shard_the_first_stays(place):
    one, two = make_store(place.address), make_store(place.address)
    assert one.keep(identity(), population("one"))
    kept = place.files()
    assert not two.keep(identity(), population("two"))
    assert place.files() == kept
    assert set(two.read("m").table.column("completion").to_pylist()) == {"one"}


def test_who_is_overtaken_between_look_and_put_leaves_the_first(objects):
    one, two = make_store(objects.address), make_store(objects.address)
    ObjectFileSystem.before_put = lambda path: one.keep(identity(), population("one"))
    assert not two.keep(identity(), population("two"))
    assert set(two.read("m").table.column("completion").to_pylist()) == {"one"}
    assert len(objects.shards()) == 1


def test_a_store_without_conditional_writes_will_do(objects, models, tmp_path, monkeypatch):
    monkeypatch.setattr(ObjectFileSystem, "conditions", False)
    run(models, objects.address)
    run(models, tmp_path / "single")
    assert objects.files() == Place("local", tmp_path, tmp_path / "single").files()
    one, two = SampleStore.open(objects.address), SampleStore.open(objects.address)
    answers = Population([["x"] * 4] * 3)
    ObjectFileSystem.before_put = lambda path: one.keep(identity(), answers)
    assert not two.keep(identity(), answers)


@pytest.mark.parametrize("swapped", [False, True])
def test_of_two_that_bear_one_name_all_keep_the_same(objects, swapped):
    """Whoever comes last: its file name decides, and the other is told."""
    store = make_store(objects.address)
    both = sorted([identity(revision="x"), identity(revision="y")], key=store.shard_name)
    first, second = both[::-1] if swapped else both
    ObjectFileSystem.before_put = lambda path: store.keep(first, population("one"))
    if second is both[0]:
        assert store.keep(second, population("two"))
    else:
        with pytest.raises(pp.InputError, match=r"'m' with revision '.', now it has '.'"):
            store.keep(second, population("two"))
    assert SampleStore.open(objects.address).identity("m") == both[0]
    assert objects.shards() == [f"shards/{store.shard_name(both[0])}"]


def test_of_two_that_make_one_store_the_second_is_told(objects):
    other = pp.Genome(["g"], ["another"])

    def make_another(path):
        SampleStore.open_or_create(objects.address, other, CONFIG)

    ObjectFileSystem.before_put = make_another
    with pytest.raises(pp.InputError, match="holds another genome"):
        make_store(objects.address)
    assert SampleStore.open(objects.address).genome.digest == other.digest


@pytest.mark.parametrize("kind", ["local", "file"])
def test_two_processes_at_one_store(kind, models, tmp_path):
    """Both sample all models at the same time: each shard is whole, and a single run's."""
    place = Place(kind, tmp_path)
    for path in models.values():
        Path(path).write_text('{"pause": 0.02}')
    program = (
        "import sys, pyphylo as pp; from pyphylo.sampling.registry import register_backend; "
        "register_backend('letters', 'letters_backend:LettersSampler'); "
        "pp.sample(sys.argv[2:], pp.Genome.default().head(3), store=sys.argv[1], n_probes=4, "
        "backend='letters')"
    )
    argv = [sys.executable, "-c", program, str(place.address)]
    argv += [f"{name}={path}" for name, path in models.items()]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [subprocess.Popen(argv, env=environment) for _ in range(2)]
    assert [each.wait(timeout=120) for each in both] == [0, 0]
    run(models, tmp_path / "single")
    assert place.files() == Place("local", tmp_path, tmp_path / "single").files()


@pytest.mark.parametrize("vanished", [1, 3])
def test_what_is_moved_while_a_folder_is_listed_hides_nothing(vanished, tmp_path, monkeypatch):
    store = make_store(Place("file", tmp_path).address)
    store.write(identity(), POPULATION)
    listing, left = LocalFileSystem.ls, [None] * vanished

    def overtaken(self, path, detail=False, **kwargs):
        if left:
            left.pop()
            raise FileNotFoundError(f"{path}/x.part")
        return listing(self, path, detail, **kwargs)

    monkeypatch.setattr(LocalFileSystem, "ls", overtaken)
    assert store.models == ("m",)
    assert not left


# -- round trips -----------------------------------------------------------------------


def test_requests_do_not_grow_with_models_but_for_their_bytes(objects, models):
    """Two hundred models: footers in one batch, shards in batches of 64, each listed once."""
    store = make_store(objects.address)
    for i in range(200):
        store.write(identity(f"m{i}"), POPULATION)
    counted = ObjectFileSystem.requests
    counted.clear()
    store = SampleStore.open(objects.address)
    assert sum(counted.values()) <= 2
    assert len(store.models) == 200
    assert (counted["ls"], counted["batch"], counted["ranges"]) == (1, 1, 200)
    counted.clear()
    table = pp.AlleleTable.from_store(store)
    assert len(table.models) == 200
    # Footers that were read are known.
    assert (counted["ls"], counted["batch"], counted["ranges"]) == (1, 4, 200)
    counted.clear()
    store = SampleStore.open(objects.address)
    counted.clear()
    with store.looked_through():
        assert all(store.has(identity(f"m{i}")) for i in range(200))
        assert not store.has(identity("absent"))
    assert (counted["ls"], counted["batch"], counted["info"]) == (1, 1, 0)
    pp.cached_table(store)
    counted.clear()
    assert pp.cached_table(store) == table
    assert dict(counted) == {"ls": 1}


# -- addresses -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["C:\\x", "C:/x", "c://x", "./s3:/x", "a:b", "ab:c", "x/s3://y", "store"]
)
def test_a_drive_letter_is_no_scheme(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not is_address(path)
    make_store(path).write(identity(), POPULATION)
    assert SampleStore.open(path).models == ("m",)
    assert SampleStore.open(path).path == Path(path)
    assert Path(path, "manifest.json").is_file()


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("nonsense://bucket/store", "Protocol not known: nonsense"),
        ("lacking://bucket/store", "Install the-package-that-reads-it"),
        ("memory://", "names no folder"),
        ("s3://key:SECRET@bucket/store", r"'s3://…@bucket/store' may hold a password"),
        ("ftp://me:SEC/RET@host/store", r"'ftp://…@host/store' may hold a password"),
        ("https://host/store?sig=SECRET", r"'https://host/store…' has a query"),
        ("memory://a::s3://SECRET", "has a query or a second address"),
        ("simplecache::s3://bucket/store", "chains addresses"),
        ("s3:/bucket/store", "lost a slash"),
    ],
)
def test_addresses_that_cannot_be(address, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fsspec.register_implementation(
        "lacking", "no_such_package.FS", errtxt="Install the-package-that-reads-it", clobber=True
    )
    for make in (SampleStore.open, make_store, check_store_folder):
        with pytest.raises(pp.InputError, match=message) as caught:
            make(address)
        assert "SECRET" not in str(caught.value)
        assert "RET" not in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_without_fsspec_the_command_that_installs_it_is_told(monkeypatch):
    for name in ("fsspec", "fsspec.core"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(pp.InputError, match=r"pip install 'pyphylo\[remote\]'"):
        SampleStore.open("memory://store")


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("proxy http://me:SECRET@host:80/ is gone", "proxy http://…@host:80/ is gone"),
        ("GET 'https://host/a?sig=SECRET' failed", "GET 'https://host/a?…' failed"),
    ],
)
def test_no_error_repeats_a_secret(said, shown, tmp_path, monkeypatch):
    def refused(self, path, **kwargs):
        raise OSError(said)

    monkeypatch.setattr(UnrulyFileSystem, "info", refused)
    with pytest.raises(StorageError, match=re.escape(shown)) as caught:
        SampleStore.open("unruly://store")
    assert "SECRET" not in str(caught.value)


def test_a_relative_file_address_is_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = make_store("file://here/store/")
    assert store.path == store.address == (tmp_path / "here/store").as_uri()
    assert SampleStore.open(store.path).path == store.path


def test_a_folder_needs_no_fsspec(tmp_path):
    make_store(tmp_path / "s").write(identity(), POPULATION)
    program = (
        "import sys; from pyphylo.store import SampleStore; "
        "print(SampleStore.open(sys.argv[1]).models, 'fsspec' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "s"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "('m',) False\n"


# -- completions and commands ----------------------------------------------------------


def completions(path, models="abc"):
    rows = [
        {"model": model, "gene": gene, "completion": f"{'wxyz'[(i * j) % 4]}{j}"}
        for i, model in enumerate(models)
        for gene in ("g", "h", "i")
        for j in range(4)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_import_and_import_again(place, tmp_path):
    path = completions(tmp_path / "c.jsonl")
    assert import_completions(path, place.address)[1] == ["a", "b", "c"]
    assert import_completions(path, place.address)[1] == []
    completions(path, "cd")
    with pytest.raises(pp.InputError, match="'c' with other completions"):
        import_completions(path, place.address)


def call(capsys, *argv):
    from pyphylo.cli import main

    code = main([str(arg) for arg in argv])
    out, err = capsys.readouterr()
    return code, out, err


def test_every_command_takes_an_address(place, models, tmp_path, capsys):
    """What they say and write is what they do of a folder."""
    said = []
    for address in (place.address, tmp_path / "folder"):
        file = completions(tmp_path / "c.jsonl", "abcd")
        code, out, _ = call(capsys, "import", file, "--store", address, "--json")
        assert code == 0
        assert json.loads(out)["store"] == str(address)
        npz, tree = tmp_path / "d.npz", tmp_path / "t.nwk"
        outputs = [json.loads(out)]
        for argv in (
            ["distance", address, "-o", npz],
            ["tree", npz, "-o", tree, "--no-pictures", "--bootstrap", 5, "--store", address],
            ["nearest", "a", "--store", address],
            ["place", "a", "--store", address, "--tree", tree, "--again", "--replicates", 5],
            ["info", address],
            ["genes", "info", address],
        ):
            code, out, err = call(capsys, *argv, "--json")
            assert code == 0, err
            outputs.append(json.loads(out))
        for output in outputs:
            output.pop("store", None)
            output.pop("memory_available", None)
        said.append((outputs, npz.read_bytes(), tree.read_bytes()))
    assert said[0] == said[1]


def test_sample_and_nearest_by_command(place, models, tmp_path, capsys):
    options = ["--backend", "letters", "--genes", 3, "--probes", 4]
    code, out, err = call(capsys, "sample", *models.values(), "--store", place.address, *options)
    assert (code, out) == (0, f"4 models in {place.address}\n"), err
    new = tmp_path / "model-new"
    new.write_text('{"new": 1}')
    argv = ["nearest", new, "--store", place.address, "--backend", "letters", "--json"]
    code, out, err = call(capsys, *argv)
    assert code == 0, err
    assert json.loads(out)["sampled"]
    assert len(SampleStore.open(place.address).models) == 5


def test_an_address_that_cannot_be_reached_ends_with_one_line(capsys, monkeypatch, tmp_path):
    place = Place("unruly", tmp_path)
    file = completions(tmp_path / "c.jsonl")
    monkeypatch.setattr(UnrulyFileSystem, "breaks_at", "manifest.json")
    code, out, err = call(capsys, "import", file, "--store", place.address)
    assert (code, out) == (1, "")
    assert err == (
        f"pyphylo: error: store {place.address!r} cannot be written: OSError: connection reset by "
        "peer\n"
    )
    code, _, err = call(capsys, "distance", "s3://k:secret@b/s", "-o", tmp_path / "d.npz")
    assert code == 2
    assert "secret" not in err


def test_a_run_is_a_folder(models, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code, _, err = call(
        capsys, "run", *models.values(), "--out", "memory://x", "--backend", "letters"
    )
    assert code == 2
    assert "--out" in err
    assert not (tmp_path / "memory:").exists()
