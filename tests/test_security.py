"""What is promised of files, names and programs of others: no code, no way out, no bombs."""

from __future__ import annotations

import ast
import errno
import gzip
import json
import os
import socket
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import pyphylo as pp
from pyphylo._expansion import FREE, check_expansion
from pyphylo._files import atomic_write_bytes
from pyphylo._table_cache import cache_path, cached_table
from pyphylo._user_folder import private_folder
from pyphylo.cli import main
from pyphylo.errors import FileFormatError, InputError
from pyphylo.io._archive import read_arrays
from pyphylo.io._bounded_parquet import decoded_strings, read_flat
from pyphylo.io._spool import Spool
from pyphylo.io._spreadsheet import frame_csv, guarded, unguarded
from pyphylo.io.completions import read_completions
from pyphylo.io.metadata import read_metadata
from pyphylo.io.scores import read_scores
from pyphylo.io.trees import read_trees
from pyphylo.predict import BenchmarkRegressor
from pyphylo.sampling._each import _log
from pyphylo.sampling._journal import Journal
from pyphylo.sampling._locate import locate_model
from pyphylo.sampling._requests import Usage
from pyphylo.sampling.base import ModelIdentity

PACKAGE = Path(pp.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))

# -- no code from data, no shell -------------------------------------------------------------------

FORBIDDEN_MODULES = {
    "pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "subprocess",
    "pty", "xml.etree", "xml.dom", "xml.sax", "lxml",
}  # fmt: skip
ALLOWED_IMPORTS = {("io/phyloxml.py", "xml.sax.saxutils")}  # `escape`, which parses nothing
FORBIDDEN_CALLS = {"eval", "exec", "__import__"}
FORBIDDEN_ATTRIBUTES = {"os.system", "os.popen", "os.execv", "torch.load", "pd.read_pickle"}


def _imports(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def offences(source, name="x.py"):
    tree = ast.parse(source)
    for module in _imports(tree):
        parts = module.split(".")
        heads = {".".join(parts[: i + 1]) for i in range(len(parts))}
        if heads & FORBIDDEN_MODULES and (name, module) not in ALLOWED_IMPORTS:
            yield f"imports {module}"
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = ast.unparse(call.func)
        options = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
        if called in FORBIDDEN_CALLS or called in FORBIDDEN_ATTRIBUTES:
            yield f"calls {called}"
        if called in ("np.load", "np.save") and options.get("allow_pickle") != "False":
            yield f"{called} without allow_pickle=False"
        if options.get("allow_pickle") == "True" or options.get("weights_only") == "False":
            yield f"{called} reads pickles"
        if called.endswith("CausalLM.from_pretrained") and options.get("weights_only") != "True":
            yield "weights that may be pickles"
        if options.get("shell", "False") not in ("False", "args.shell"):  # shtab's kind of shell
            yield "a shell"
        if options.get("trust_remote_code") == "True":
            yield "trust_remote_code"


def test_no_module_reads_pickles_or_runs_what_it_reads():
    names = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in MODULES}
    found = {name: list(offences(source, name)) for name, source in names.items()}
    assert {name: what for name, what in found.items() if what} == {}
    assert len(names) > 250


@pytest.mark.parametrize(
    "source",
    [
        "import pickle", "from joblib import load", "np.load(p)", "np.load(p, allow_pickle=True)",
        "torch.load(p)", "subprocess.run(c, shell=True)", "eval(x)", "f(trust_remote_code=True)",
        "from xml.etree import ElementTree", "A.AutoModelForCausalLM.from_pretrained(p)",
    ],
)  # fmt: skip
def test_the_search_finds_what_it_looks_for(source):
    assert list(offences(source))


def test_remote_code_and_legacy_weights_are_off_unless_asked_for():
    import inspect

    from pyphylo.sampling.hf import HuggingFaceSampler
    from pyphylo.sampling.vllm import VLLMSampler

    for sampler in (HuggingFaceSampler, VLLMSampler):
        options = inspect.signature(sampler).parameters
        assert options["trust_remote_code"].default is False
        assert options["legacy_weights"].default is False


def _checkpoint(folder, *names):
    folder.mkdir()
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    for name in names:
        (folder / name).write_bytes(b"weights")
    return folder


def test_legacy_weights_are_refused_unless_asked_for(tmp_path):
    from pyphylo.sampling.hf import HuggingFaceSampler

    old = _checkpoint(tmp_path / "old", "pytorch_model.bin")
    with pytest.raises(InputError, match=r"pytorch_model\.bin.*legacy_weights=True"):
        HuggingFaceSampler("m", str(old))
    assert HuggingFaceSampler("m", str(old), legacy_weights=True).identity.name == "m"
    both = _checkpoint(tmp_path / "both", "pytorch_model.bin", "model.safetensors")
    assert HuggingFaceSampler("m", str(both)).identity.name == "m"


# -- the folder of compiled code -------------------------------------------------------------------


def _kernel_cache(tmp_path, **environment):
    """Where a kernel of pyphylo keeps its machine code, in a process of its own."""
    code = (
        "import numba; from pyphylo.tree import _nj_search as k; "
        "print(k.padding.stats.cache_path, numba.config.CACHE_DIR or None)"
    )
    given = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [sys.executable, "-W", "default", "-c", code],
        capture_output=True, text=True, check=True, cwd=PACKAGE.parent,
        env={**given, "HOME": str(tmp_path), **environment},
    )  # fmt: skip
    return *done.stdout.split(), done.stderr


needs_owners = pytest.mark.skipif(not hasattr(os, "getuid"), reason="no owners of files here")


@needs_owners
def test_compiled_code_is_kept_in_a_folder_of_the_users_own(tmp_path):
    own = tmp_path / ".cache" / "pyphylo" / "numba"
    path, left, said = _kernel_cache(tmp_path)
    assert Path(path).parent == own
    assert (own.stat().st_mode & 0o777, own.stat().st_uid) == (0o700, os.getuid())
    assert (left, said) == ("None", "")  # other packages' functions keep their own place


@needs_owners
def test_a_shared_folder_for_compiled_code_gets_one_of_the_users_own_in_it(tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    path, left, said = _kernel_cache(tmp_path, NUMBA_CACHE_DIR=str(shared))
    own = shared / f"pyphylo-{os.getuid()}"
    assert Path(path).parent == own
    assert own.stat().st_mode & 0o777 == 0o700
    assert (left, said) == (str(shared), "")


@needs_owners
def test_a_folder_that_others_can_replace_or_own_is_not_used(tmp_path, monkeypatch):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    path, _, said = _kernel_cache(tmp_path, NUMBA_CACHE_DIR=str(open_to_all))
    assert path == "None"
    assert said.count("may be written to by everyone") == 1
    with pytest.raises(PermissionError):
        private_folder(open_to_all / "x")
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(PermissionError):
        private_folder(tmp_path / "link")
    own = private_folder(tmp_path / "own")
    own.chmod(0o755)
    assert private_folder(own).stat().st_mode & 0o777 == 0o700
    monkeypatch.setattr(os, "getuid", lambda: own.stat().st_uid + 1)
    with pytest.raises(PermissionError):
        private_folder(own)


# -- names and members that lead elsewhere ---------------------------------------------------------

NAMES = [
    "../../x", "/etc/passwd", "..", ".", "CON", "nul.txt", "a\0b", "x" * 5000, "é", "e\u0301",
    "A", "a", "a/b", "a\\b", "a b", "~", "$HOME", "`id`", "a\n b", "-rf", "C:\\x", "\u202egnp",
]  # fmt: skip


def _import(tmp_path, names):
    rows = [{"model": n, "gene": "g", "completion": f" {i}"} for i, n in enumerate(names)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    from pyphylo.io.completions import import_completions

    return import_completions(path, tmp_path / "in" / "store")[0]


def _names(folder):
    return [path.name for path in folder.iterdir()]


def test_no_models_name_leads_out_of_a_store(tmp_path):
    (tmp_path / "in").mkdir()
    store = _import(tmp_path, NAMES)
    assert set(store.models) == set(NAMES)
    shards = _names(Path(store.path) / "shards")
    assert len({name.lower() for name in shards}) == len(NAMES)  # also where case does not count
    assert all(name.isascii() and len(name) < 100 for name in shards)
    assert all(store.read(name).table.num_rows == 1 for name in NAMES)
    assert sorted(_names(tmp_path)) == ["in", "rows.jsonl"]
    assert {name.partition(".")[0] for name in _names(tmp_path / "in")} == {"store"}


def test_writing_into_a_foreign_store_follows_no_link(tmp_path):
    (tmp_path / "in").mkdir()
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    store = _import(tmp_path, ["a"])
    (shard,) = (Path(store.path) / "shards").iterdir()
    shard.unlink()
    shard.symlink_to(outside)
    shard.with_name(shard.name + ".part").symlink_to(outside)
    table = pa.table(
        {"gene": pa.array([0], pa.int32()), "probe": pa.array([0], pa.int32()), "completion": ["x"]}
    )
    identity = ModelIdentity("a", "r", "import", "", "")
    shard.rename(shard.with_name(store.shard_name(identity)))
    part = shard.with_name(shard.name + ".part")
    part.rename(part.with_name(store.shard_name(identity) + ".part"))
    store.write_table(identity, table, {})
    assert outside.read_bytes() == b"precious"
    assert store.read("a").table.num_rows == 1
    shards = Path(store.path) / "shards"
    shards.rename(tmp_path / "elsewhere")
    shards.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is a link"):
        store.write_table(identity, table, {})


def test_writing_beside_a_foreign_store_follows_no_link(tmp_path):
    """An archive of a store may hold its kept table, log and unfinished answers, as links."""
    (tmp_path / "in").mkdir()
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    store = _import(tmp_path, ["a", "b"])
    kept = cache_path(store)
    kept.symlink_to(outside)
    with pytest.warns(pp.PyphyloWarning, match="it is made anew"):
        assert cached_table(store).models == ("a", "b")
    assert not kept.is_symlink()
    assert cached_table(store).models == ("a", "b")
    log = store.beside(".log")
    log.symlink_to(outside)
    _log(log, "shard", 0.0)
    journal = store.beside(".unfinished") / "m.jsonl"
    journal.parent.mkdir()
    journal.symlink_to(outside)
    Journal(journal, 2).add("g", ["x", "y"], "chat", (), Usage())
    assert Journal(journal, 2).read().completions == {"g": ["x", "y"]}
    elsewhere = journal.parent.rename(tmp_path / "elsewhere")
    journal.parent.symlink_to(elsewhere)
    with pytest.raises(InputError, match="is a link"):
        Journal(journal, 2).add("h", ["x", "y"], "chat", (), Usage())
    assert outside.read_bytes() == b"precious"


@pytest.mark.parametrize("name", ["run.json", "tree.nwk", "heatmap.svg", "report.html"])
def test_writing_into_a_foreign_run_follows_no_link(name, tmp_path, capsys):
    """Names that the caller did not give."""
    (tmp_path / "in").mkdir()
    outside = tmp_path / "outside"
    outside.write_bytes(b"precious")
    run = tmp_path / "run"
    run.mkdir()
    _import(tmp_path, ["a", "b"]).path.rename(run / "store")
    (run / name).symlink_to(outside)
    call = ["report", str(run)] if name == "report.html" else ["run", "a", "b", "--out", str(run)]
    assert main(call) == 2
    assert f"{name}' is a link, which is not followed" in capsys.readouterr().err
    assert outside.read_bytes() == b"precious"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_log_that_is_a_pipe_stops_nobody(tmp_path):
    os.mkfifo(tmp_path / "store.log")
    _log(tmp_path / "store.log", "shard", 0.0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("kind", ["fifo", "socket", "link", "folder", "of another user"])
def test_nothing_that_lies_at_a_temporary_name_stops_a_writer(kind, tmp_path, monkeypatch):
    path, part = tmp_path / "x", tmp_path / "x.part"
    if kind == "fifo":
        os.mkfifo(part)
    elif kind == "socket":
        monkeypatch.chdir(tmp_path)  # an address is short
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(part.name)
    elif kind == "link":
        part.symlink_to(tmp_path / "outside")
    elif kind == "folder":
        part.mkdir()
    else:
        real = os.open

        def refused(name, *args, **more):
            if Path(name) == part:
                raise PermissionError(errno.EACCES, "no", str(name))
            return real(name, *args, **more)

        monkeypatch.setattr(os, "open", refused)
    atomic_write_bytes(path, b"x" * 200_000)
    assert path.read_bytes() == b"x" * 200_000
    assert not (tmp_path / "outside").exists()
    assert set(_names(tmp_path)) <= {"x", "x.part"}


DAMAGED_GZIP = {
    "crc": lambda data: data[:-8] + bytes([data[-8] ^ 1]) + data[-7:],
    "length": lambda data: data[:-1] + b"\x7f",
    "junk": lambda data: data + b"junk behind",
    "method": lambda data: data[:2] + b"\x07" + data[3:],
    "cut": lambda data: data[:-9],
}


@pytest.mark.parametrize("damage", DAMAGED_GZIP)
def test_damaged_gzip_is_told_with_its_line(damage, tmp_path, capsys):
    path = tmp_path / "c.jsonl.gz"
    rows = [{"model": "m", "gene": f"g{i}", "completion": str(i)} for i in range(300)]
    data = gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode())
    path.write_bytes(DAMAGED_GZIP[damage](data))
    with pytest.raises(FileFormatError, match=r"c\.jsonl\.gz' is damaged after line \d+: "):
        completions(path)
    assert main(["import", str(path), "--store", str(tmp_path / "s")]) == 2
    assert "is damaged after line" in capsys.readouterr().err
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x", "..\\x", "C:x", "", "a\0"])
def test_an_index_of_weights_names_files_of_its_folder_only(name, tmp_path):
    (tmp_path / "x").write_bytes(b"outside")
    folder = _checkpoint(tmp_path / "m")
    index = {"weight_map": {"w": name}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="which is no file in it"):
        locate_model(str(folder))


def test_an_index_of_weights_with_a_path_longer_than_any_is_refused(tmp_path):
    folder = _checkpoint(tmp_path / "m")
    index = {"weight_map": {"w": "/".join(["a" * 100] * 60)}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(InputError, match="…', which is absent") as caught:
        locate_model(str(folder))
    assert len(str(caught.value)) < 1000


# -- limits on what a file may come to -------------------------------------------------------------


def test_what_unpacks_to_far_more_than_it_is_is_refused():
    check_expansion("x", 1, FREE)
    check_expansion("x", FREE, 100 * FREE)
    with pytest.raises(FileFormatError, match=r"'x' unpacks to more than 256 MiB, over 200 times"):
        check_expansion("x", 1000, FREE + 1)


def completions(path):
    with Spool(path.parent) as rows:
        return read_completions(path, rows)


def test_gzip_bombs_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pyphylo._expansion.FREE", 1 << 20)
    path = tmp_path / "c.jsonl.gz"
    path.write_bytes(gzip.compress(b" " * (1 << 24)))  # one line
    with pytest.raises(FileFormatError, match=r"'.*c\.jsonl\.gz' unpacks to more than"):
        completions(path)
    from pyphylo.io.texts import read_plain

    with pytest.raises(FileFormatError, match="unpacks to more than"):
        read_plain(path)


def test_archives_that_declare_more_than_they_hold_are_refused(tmp_path, monkeypatch):
    path = tmp_path / "m.npz"
    head = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,), }"
    head += b" " * (117 - len(head)) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "values.npy", b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head
        )
    for read in (pp.DistanceMatrix.load, BenchmarkRegressor.load):
        with pytest.raises(FileFormatError, match=r"m\.npz' is not a whole NumPy archive"):
            read(path)
    np.savez_compressed(path, values=np.zeros((600, 600)), ids=np.array(["a"]))
    monkeypatch.setattr("pyphylo._expansion.FREE", 1 << 20)
    with pytest.raises(FileFormatError, match="unpacks to more than"):
        pp.DistanceMatrix.load(path)


def test_arrays_of_objects_are_refused(tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("run",)

    path = tmp_path / "m.npz"
    np.savez(path, values=np.array([Evil()], object), ids=np.array(["a"]))
    for read in (pp.DistanceMatrix.load, BenchmarkRegressor.load):
        with pytest.raises(FileFormatError, match="no plain numbers or text"):
            read(path)


def test_parquet_that_repeats_a_value_for_ever_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("pyphylo._expansion.FREE", 1 << 20)
    path = tmp_path / "s.parquet"
    repeated = pa.DictionaryArray.from_arrays(np.zeros(20_000, np.int32), ["x" * 10_000])
    pq.write_table(pa.table({"model": repeated.cast(pa.string())}), path, compression="zstd")
    with pytest.raises(FileFormatError, match="unpacks to more than"):
        read_flat(path, str(path))
    with pytest.raises(FileFormatError, match="unpacks to more than"):
        decoded_strings(path, pa.chunked_array([repeated]), 100)
    pq.write_table(pa.table({"mmlu": np.zeros(1_000_000)}), path, compression="zstd")
    with pytest.raises(FileFormatError, match="unpacks to more than"):
        read_scores(path)
    with pytest.raises(FileFormatError, match="1000000 rows, but 0 columns"):
        pp.DistanceMatrix.load(path)


KINDS = [
    "string", "binary", "large_string", "large_binary", "string_view", "binary_view",
    "fixed_size_binary", "dictionary",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_long_texts_of_any_kind_are_refused_before_they_are_laid_out(kind, tmp_path):
    text = "x" * (1 << 20)
    if kind == "dictionary":
        array = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), [text])
    elif kind == "fixed_size_binary":
        array = pa.array([text.encode()] * 300, pa.binary(1 << 20))
    elif hasattr(pa, kind):
        array = pa.array([text.encode() if "binary" in kind else text] * 300, getattr(pa, kind)())
    else:
        pytest.skip("a pyarrow that has no such kind")
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"model": array}), path, compression="zstd")
    del array
    assert path.stat().st_size < 2000
    before = pa.total_allocated_bytes()
    with pytest.raises(FileFormatError, match="unpacks to more than"):
        read_flat(path, str(path))
    assert pa.total_allocated_bytes() <= before + (1 << 20)
    # Few of them are read as what they are.
    if kind != "dictionary":
        few = pa.array([b"y" * 4, b"z" * 4], pa.binary(4) if "fixed" in kind else pa.binary())
        few = few if "fixed" in kind else few.cast(getattr(pa, kind)())
        pq.write_table(pa.table({"model": few}), path)
        found = read_flat(path, str(path)).column("model").to_pylist()
        assert [each if isinstance(each, str) else each.decode() for each in found] == [
            "yyyy", "zzzz",
        ]  # fmt: skip


@pytest.mark.parametrize("error", [MemoryError, pa.ArrowMemoryError])
def test_a_lack_of_memory_is_no_damage(error, tmp_path, monkeypatch):
    import pyphylo.io._bounded_parquet as bounded
    import pyphylo.io.parquet as parquet
    from pyphylo.io import _archive

    def fails(*_, **__):
        raise error("no memory")

    matrix = pp.DistanceMatrix(np.array([[0.0, 1.0], [1.0, 0.0]]), ["a", "b"])
    for name in ("m.npz", "m.parquet"):
        matrix.save(tmp_path / name)
    monkeypatch.setattr(_archive, "_array", fails)
    monkeypatch.setattr(parquet, "read_flat", fails)
    monkeypatch.setattr(bounded, "read_flat", fails)
    for name in ("m.npz", "m.parquet"):
        with pytest.raises(MemoryError):
            pp.DistanceMatrix.load(tmp_path / name)
    with pytest.raises(MemoryError):
        read_scores(tmp_path / "m.parquet")


@pytest.mark.parametrize(
    "ids",
    [
        {"ids": np.frombuffer(b"\0\0\x11\0a\0\0\0", "<U1")},  # beyond Unicode's last
        {"ids": np.array([("a", 1), ("b", 2)], [("name", "U1"), ("at", "i4")])},
        {"id_bytes": np.frombuffer(b"ab", np.uint8)},  # without where each begins
    ],
    ids=["no character", "records", "half"],
)
def test_archives_without_names_that_are_texts_are_refused(ids, tmp_path):
    np.savez(tmp_path / "m.npz", values=np.zeros((2, 2)), **ids)
    with pytest.raises(FileFormatError, match=r"m\.npz"):
        pp.DistanceMatrix.load(tmp_path / "m.npz")


def test_a_member_of_an_archive_is_held_once_and_its_sum_is_checked(tmp_path):
    values = np.arange(1 << 20, dtype=np.float64)
    path = tmp_path / "x.npz"
    np.savez(path, values=values)
    with path.open("rb") as handle:
        tracemalloc.start()
        found = read_arrays(path, handle)["values"]
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert (found == values).all()
    assert found.flags.writeable
    assert most < 1.6 * values.nbytes
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with path.open("rb") as handle, pytest.raises(FileFormatError, match="Bad CRC"):
        read_arrays(path, handle)


def test_a_header_of_csv_cannot_ask_for_memory(tmp_path):
    path = tmp_path / "m.csv"
    path.write_text("model," + ",".join(f"m{i}" for i in range(200_000)) + "\nm0,0\n")
    with pytest.raises(FileFormatError, match="too few bytes for as many rows"):
        pp.DistanceMatrix.load(path)
    path = tmp_path / "m.phy"
    path.write_text("999999999\na 0\n")
    with pytest.raises(FileFormatError, match="holds 1 rows, not the 999999999 of line 1"):
        pp.DistanceMatrix.load(path)


# -- inputs that take quadratic time, or end where they should not ---------------------------------


def test_deep_and_long_trees_are_read_in_linear_time(tmp_path):
    path = tmp_path / "t.nwk"
    path.write_text("(" * 300_000 + "a")
    with pytest.raises(FileFormatError, match="300000 \\( without"):
        read_trees(path)
    path.write_text(f"(a:{'9' * 300_000}x,b);")  # once a minute for every 10,000 digits
    with pytest.raises(FileFormatError, match="is not a number"):
        read_trees(path)
    taxa = " ".join(f"t{i}" for i in range(5000))
    trees = "".join(f"TREE t{i}=(1,2);\n" for i in range(5000))
    path.write_text(f"#NEXUS\nBEGIN TAXA; TAXLABELS {taxa}; END; BEGIN TREES;\n{trees}END;")
    assert len(read_trees(path)) == 5000


@pytest.mark.parametrize(
    "head",
    [
        '<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>',
        '<!DOCTYPE x SYSTEM "file:///etc/passwd">',
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
        '<!DOCTYPE x [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]>',
    ],
)
def test_phyloxml_expands_no_entity(head, tmp_path):
    path = tmp_path / "t.xml"
    path.write_text(
        f"{head}<phyloxml><phylogeny><clade><name>&a;</name></clade></phylogeny></phyloxml>"
    )
    with pytest.raises(FileFormatError, match="document type definition is not read"):
        read_trees(path)


def test_long_headers_of_scores_are_read_in_linear_time(tmp_path):
    path = tmp_path / "s.csv"
    names = ["model", "Average" + " " * 50_000 + "x", *(f"c{i}" for i in range(60_000))]
    path.write_text(",".join(names) + "\na" + ",0.5" * (len(names) - 1) + "\n")
    assert len(read_scores(path).frame) == len(names) - 1


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, "1e999", "NaN"])
def test_json_of_any_depth_and_size_of_number_is_refused_in_words(text, tmp_path):
    for suffix, read in (
        (".jsonl", completions),
        (".json", read_scores),
        ("", pp.Genome.load),
    ):
        path = tmp_path / f"x{suffix}"
        path.write_text(text)
        with pytest.raises(FileFormatError, match=path.name):
            read(path)


@pytest.mark.parametrize("sampling", [None, 3, [1], {}, {"mode": 1}, {"mode": "x", "chars": "4"}])
def test_a_manifest_of_the_wrong_types_is_refused(sampling, tmp_path):
    (tmp_path / "in").mkdir()
    path = Path(_import(tmp_path, ["a"]).path) / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"sampling": sampling}))
    with pytest.raises(FileFormatError, match=r"manifest\.json"):
        pp.SampleStore.open(path.parent)


@pytest.mark.parametrize(
    "changes",
    [
        {"identity": {"name": 3, "revision": "", "engine": "", "dtype": ""}},
        {"identity": {"name": "\ud800", "revision": "", "engine": "", "dtype": ""}},
        {"identity": {"name": "", "revision": "", "engine": "", "dtype": ""}},
        {"facts": 3},
        {"identity": 7},
    ],
)
def test_a_shard_of_the_wrong_types_is_refused(changes, tmp_path):
    (tmp_path / "in").mkdir()
    store = _import(tmp_path, ["a"])
    (shard,) = (Path(store.path) / "shards").iterdir()
    table = pq.read_table(shard)
    meta = json.loads(table.schema.metadata[b"pyphylo"]) | changes
    pq.write_table(table.replace_schema_metadata({"pyphylo": json.dumps(meta)}), shard)
    with pytest.raises(FileFormatError, match="is damaged"):
        _ = store.models


def test_a_shard_whose_texts_are_none_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    store = _import(tmp_path, ["a"])
    (shard,) = (Path(store.path) / "shards").iterdir()
    table = pq.read_table(shard)
    bad = pa.StringArray.from_buffers(
        1, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe")
    )
    table = table.set_column(2, table.schema.field(2), bad)
    pq.write_table(table, shard)
    for read in (lambda: store.read("a"), lambda: pp.AlleleTable.from_store(store)):
        with pytest.raises(FileFormatError, match="is damaged"):
            read()


@pytest.mark.parametrize("changes", [{"completions": [1, 2]}, {"usage": {"x": 1}}, {"gene": 3},
                                     {"endpoint": "auto"}, {"keys_refused": "n"}])  # fmt: skip
def test_a_journal_of_the_wrong_types_is_passed_over(changes, tmp_path):
    usage = dict.fromkeys(("requests", "prompt_tokens", "completion_tokens"), 1)
    usage |= {"served": {"m": 1}, "unanswered": 0, "uncounted": 0}
    row = {"gene": "g", "completions": ["a", "b"], "endpoint": "chat", "keys_refused": []}
    path = tmp_path / "j.jsonl"
    path.write_text(json.dumps(row | {"usage": usage}) + "\n")
    assert Journal(path, 2).read().completions == {"g": ["a", "b"]}
    path.write_text(json.dumps(row | {"usage": usage} | changes) + "\n")
    assert Journal(path, 2).read().completions == {}


# -- formulas --------------------------------------------------------------------------------------

WIDE = "\uff1d\uff0b\uff0d\uff20"  # = + - @ in full width
FORMULAS = ["=1+1", "+1", "-2+3", "@SUM(1)", "\t=1", "\n=1", *(f"{c}1" for c in WIDE)]


@pytest.mark.parametrize("text", [*FORMULAS, "a", "'", "'a", "''=1", "'=1", "", "gpt-2", " =1"])
def test_guarding_is_undone_and_leaves_no_formula(text):
    assert unguarded(guarded(text)) == text
    assert guarded(text)[:1] not in set("=+-@\t\n\r" + WIDE)
    assert (guarded(text) == text) == (text.lstrip("'")[:1] not in {f[0] for f in FORMULAS})


@pytest.mark.parametrize("name", ["=1+1", "'=1", "-x", "'a", "a"])
def test_tables_that_were_guarded_are_read_as_they_were(name, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(frame_csv(pd.DataFrame({"model": [name, "b"], name: [0.5, 0.25]})))
    rows = read_scores(path).frame[["name", "benchmark", "score"]]
    assert rows.to_numpy().tolist() == [[name, name, 0.5], ["b", name, 0.25]]
    path.write_bytes(frame_csv(pd.DataFrame({"model": [name, "b"], "family": [name, "f"]})))
    assert read_metadata(path) == {name: {"family": name}, "b": {"family": "f"}}


def test_matrices_keep_formulas_as_names_and_files_hold_none(tmp_path):
    names = ["=1+1", "'=1+1", "@x", "plain", f"{WIDE[0]}x"]
    matrix = pp.DistanceMatrix(np.ones((5, 5)) - np.eye(5), names)
    for suffix in ("csv", "tsv"):
        path = tmp_path / f"m.{suffix}"
        matrix.save(path)
        cells = path.read_text("utf-8").replace("\n", "\t").replace(",", "\t").split("\t")
        assert not any(cell.lstrip('"')[:1] in ("=", "@", WIDE[0]) for cell in cells)
        assert list(pp.DistanceMatrix.load(path).ids) == names


def test_tables_hold_no_formulas():
    import pandas as pd

    frame = pd.DataFrame({"model": ["=1", "b"], "x": [-1.5, 2.0], "@y": ["-a", None]})
    assert frame_csv(frame) == b"model,x,'@y\n'=1,-1.5,'-a\nb,2.0,\n"


# -- the short run of the fuzzer -------------------------------------------------------------------


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="measures memory as Linux does"
)
def test_no_reader_is_upset_by_changed_files():
    pytest.importorskip("openai")
    folder = Path(__file__).parent / "fuzz"
    done = subprocess.run(
        [sys.executable, str(folder), "--together", "--seconds", "0.25"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" 0 findings") >= 24
