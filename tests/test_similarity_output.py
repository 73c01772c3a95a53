"""Where results go: layouts, types, arrays and files; what they take and what is refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from drawn_tables import added_and_stated, drawn_table, plan_of, quiet, same_bits

import pyphylo as pp
from pyphylo import _core, _memory
from pyphylo.bench.measure import in_fresh_process

CALLS = {"similarity": (pp.nei_similarity, pp.SimilarityMatrix),
         "distance": (pp.nei_distance, pp.DistanceMatrix)}  # fmt: skip
with_call = pytest.mark.parametrize("quantity", list(CALLS))
with_dtype = pytest.mark.parametrize("dtype", ["float64", "float32"])
with_missing = pytest.mark.parametrize("missing", [0.0, 0.3])


@pytest.fixture(scope="module")
def table():
    """More models than two strips of rows."""
    return drawn_table(1, 205, 6, 200, 24)


@pytest.fixture(scope="module")
def ragged():
    return drawn_table(2, 130, 3, 100, 24, missing=0.4)


@pytest.fixture
def small():
    return drawn_table(3, 6, 2, 8, 9)


def upper(square):
    return square[np.triu_indices(len(square), 1)]


# -- every way to the same numbers ----------------------------------------------------


@with_call
@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
@pytest.mark.parametrize("which", ["table", "ragged"])
def test_every_way_gives_the_same_bits(tmp_path, request, quantity, estimator, which):
    table = request.getfixturevalue(which)
    function, cls = CALLS[quantity]
    n, k = len(table.models), 61
    head, tail = table.select(models=table.models[:k]), table.select(models=table.models[k:])

    def call(*arguments, **options):
        return quiet(function, *arguments, estimator=estimator, **options)

    square = call(table, n_threads=1).values
    path = tmp_path / "r.npy"
    for dtype in (np.float64, np.float32):
        wanted = square.astype(dtype)  # float32 is the rounding of float64
        for threads in (1, 3):
            same = {"dtype": dtype, "n_threads": threads}
            assert same_bits(call(table, **same), wanted)
            condensed = call(table, condensed=True, **same)
            assert same_bits(condensed.stored, upper(wanted))
            assert same_bits(condensed, wanted)
            assert same_bits(call(head, other=tail, **same).values, wanted[:k, k:])
            assert same_bits(call(table, out=path, **same).stored, wanted)
            assert same_bits(call(table, condensed=True, out=path, **same).stored, upper(wanted))
            whole, flat = np.full((n, n), 7, dtype), np.full(n * (n - 1) // 2, 7, dtype)
            rectangle = np.full((k, n - k), 7, dtype)
            assert call(table, out=whole, n_threads=threads).stored.base is not None
            call(table, out=flat, n_threads=threads)
            call(head, other=tail, out=rectangle, n_threads=threads)
            assert same_bits(whole, wanted)
            assert same_bits(flat, upper(wanted))
            assert same_bits(rectangle, wanted[:k, k:])
        call(head, other=tail, out=path, dtype=dtype)
        assert same_bits(np.load(path), wanted[:k, k:])
        known = cls(wanted[20:90, 20:90], table.models[20:90], allow_nan=True)
        for layout in (False, True):
            result = call(table, known=known, dtype=dtype, condensed=layout)
            assert same_bits(result.stored, upper(wanted) if layout else wanted)
            result = call(table, known=known, dtype=dtype, condensed=layout, out=path)
            assert same_bits(result.stored, upper(wanted) if layout else wanted)
            assert cls.load(path, allow_nan=True) == result


@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
@with_missing
def test_distances_of_similarities_are_those_of_the_table(estimator, missing):
    table = drawn_table(4, 60, 4, 50, 12, missing=missing)
    rest = drawn_table(5, 30, 4, 50, 12, missing=missing)
    for options in ({}, {"condensed": True}, {"other": rest}):
        S = quiet(pp.nei_similarity, table, estimator=estimator, **options)
        D = quiet(pp.nei_distance, table, estimator=estimator, **options)
        of_S = pp.nei_distance(S)
        assert type(of_S) is type(D)
        assert same_bits(of_S, D)
    with_floor = pp.nei_distance(quiet(pp.nei_similarity, table), floor=0.5)
    assert np.nanmax(with_floor.values) == pytest.approx(np.log(2))


def test_float_tables_agree_between_layouts():
    table = drawn_table(6, 150, 4, 200, 60, varying=True)
    assert plan_of(table)["arithmetic"] == "float64"
    square = pp.nei_similarity(table).values
    assert same_bits(pp.nei_similarity(table, condensed=True), square)
    head, tail = table.select(models=table.models[:50]), table.select(models=table.models[50:])
    np.testing.assert_allclose(
        pp.nei_similarity(head, other=tail).values, square[:50, 50:], rtol=1e-12, atol=0
    )
    known = pp.nei_similarity(tail)
    np.testing.assert_allclose(
        pp.nei_similarity(table, known=known).values, square, rtol=1e-12, atol=0
    )


# -- refusals, before any work --------------------------------------------------------


def never(*_):
    raise AssertionError("work was begun")


@pytest.fixture
def no_work(monkeypatch):
    for name in ("plan_similarity", "compare", "compare_to_file"):
        monkeypatch.setattr(_core, name, never)


def read_only(array):
    array.setflags(write=False)
    return array


@with_call
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": np.empty((6, 5))}, r"out must be of shape \(6, 6\), not \(6, 5\)"),
        ({"out": np.empty(14)}, r"out must be of shape \(15,\), not \(14,\)"),
        ({"out": np.empty((6, 6)), "condensed": True}, r"of shape \(15,\), not \(6, 6\)"),
        ({"out": np.empty((6, 6), np.float16)}, "float64 or float32, not float16"),
        ({"out": np.empty((6, 6), np.int64)}, "float64 or float32, not int64"),
        ({"out": np.empty((6, 6), ">f8")}, "float64 or float32, not >f8"),
        ({"out": np.empty((6, 6), np.float32), "dtype": "float64"}, "out is float32, but dtype="),
        ({"out": np.empty((6, 6), order="F")}, "C-ordered"),
        ({"out": np.empty((12, 12))[::2, ::2]}, "C-ordered"),
        ({"out": read_only(np.empty((6, 6)))}, "writeable"),
        ({"out": [[0.0]]}, "an array or the path"),
        ({"out": 3}, "not 3"),
        ({"out": "r.npz"}, "mapped from a .npy file"),
        ({"out": "r"}, "'r'.*.npy file"),
        ({"out": "no/such/r.npy"}, "its folder does not exist"),
        ({"dtype": "float16"}, "'float32' or 'float64', not 'float16'"),
        ({"dtype": "text"}, "not 'text'"),
        ({"estimator": ["plugin"]}, "unknown estimator"),
        ({"n_threads": -2}, "n_threads"),
        ({"max_memory": 0}, "max_memory must be a number of bytes"),
        ({"max_memory": True}, "max_memory"),
        ({"max_memory": "12 apples"}, "'12 apples'"),
        ({"max_memory": 1.5}, "1.5"),
    ],
)
def test_outputs_that_cannot_be(no_work, small, quantity, options, message):
    with pytest.raises(pp.InputError, match=message):
        CALLS[quantity][0](small, **options)


@with_call
def test_a_condensed_result_is_of_one_table(no_work, small, quantity):
    function = CALLS[quantity][0]
    with pytest.raises(pp.InputError, match="leave out `other`"):
        function(small, other=small, condensed=True)
    with pytest.raises(pp.InputError, match=r"of shape \(6, 6\), not \(15,\)"):
        function(small, other=small, out=np.empty(15))


def test_similarities_have_their_layout_already(small):
    S = pp.nei_similarity(small)
    for options in ({"condensed": True}, {"dtype": "float32"}, {"out": np.empty((6, 6))},
                    {"other": small}, {"known": S}):  # fmt: skip
        with pytest.raises(pp.InputError, match="same layout and type"):
            pp.nei_distance(S, **options)


# -- memory ---------------------------------------------------------------------------


def test_memory_that_is_not_allowed(tmp_path, table):
    n = len(table.models)
    work = plan_of(table, threads=1)["bytes"]
    limit = {"max_memory": work + 8 * n * n - 1, "n_threads": 1}
    with pytest.raises(MemoryError, match=r"205 x 205 similarities.*out='similarity.npy'"):
        pp.nei_similarity(table, **limit)
    # Half of it, or what is not the call's own, fits.
    assert len(pp.nei_similarity(table, condensed=True, **limit)) == n
    assert len(pp.nei_similarity(table, out=np.empty((n, n)), **limit)) == n
    assert len(pp.nei_similarity(table, max_memory=work + 8 * n * n, n_threads=1)) == n
    with pytest.raises(MemoryError, match=r"distances need .* more than the 2\.9 KiB allowed"):
        pp.nei_distance(table, max_memory="3 kB", out=tmp_path / "d.npy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "count"),
    [(5, 5), (np.int64(7), 7), ("8", 8), ("1.5 kB", 1500), ("1KiB", 1024), ("2 mb", 2 * 10**6),
     ("1 GiB", 2**30), ("10 bytes", 10), ("1TiB", 2**40)],
)  # fmt: skip
def test_spellings_of_memory(given, count):
    assert _memory.byte_count(given, "max_memory") == count


def test_memory_that_is_not_there(monkeypatch, tmp_path, table):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 100_000)
    monkeypatch.setattr("pyphylo._memory.ASKED_FROM", 0)
    for options in ({}, {"condensed": True}, {"out": tmp_path / "s.npy"}):
        with pytest.raises(MemoryError, match=r"only 97.7 KiB of memory are available"):
            pp.nei_similarity(table, **options)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(_memory, "available_bytes", lambda: None)
    assert len(pp.nei_similarity(table)) == 205


@pytest.mark.parametrize("kind", ["whole", "ragged", "float"])
def test_memory_is_what_is_stated(kind):
    added, stated = in_fresh_process(added_and_stated, kind)
    assert 0.7 * stated < added < 1.05 * stated + 2**21


# -- files ----------------------------------------------------------------------------


@with_call
@with_dtype
@pytest.mark.parametrize("condensed", [False, True])
def test_files_hold_ids_and_numbers(tmp_path, table, quantity, dtype, condensed):
    function, cls = CALLS[quantity]
    path = tmp_path / "r.npy"
    result = function(table, dtype=dtype, condensed=condensed, out=str(path))
    assert isinstance(result.stored.base, np.memmap) or isinstance(result.stored, np.memmap)
    assert not result.stored.flags.writeable
    loaded = cls.load(path)
    assert loaded == result == function(table, dtype=dtype)
    assert loaded.ids == table.models
    assert loaded.provenance == result.provenance
    assert loaded.stored.ndim == (1 if condensed else 2)
    assert isinstance(loaded.stored.base, np.memmap) or isinstance(loaded.stored, np.memmap)
    # Saved where its numbers lie already, and elsewhere.
    before = path.stat().st_mtime_ns
    result.save(path)
    assert path.stat().st_mtime_ns == before
    result.save(tmp_path / "copy.npy")
    assert cls.load(tmp_path / "copy.npy") == result
    other = {"similarity": pp.DistanceMatrix, "distance": pp.SimilarityMatrix}[quantity]
    with pytest.raises(pp.FileFormatError, match=quantity):
        other.load(path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "r.npy", "r.npy.json", "copy.npy", "copy.npy.json"
    }  # fmt: skip


def test_one_model_and_two_in_a_file(tmp_path, small):
    for k in (1, 2):
        few = small.select(models=small.models[:k])
        for condensed in (False, True):
            path = tmp_path / f"{k}{condensed}.npy"
            result = pp.nei_distance(few, out=path, condensed=condensed)
            assert pp.DistanceMatrix.load(path) == result == pp.nei_distance(few)


def test_an_old_file_is_replaced_whole(tmp_path, small):
    path = tmp_path / "s.npy"
    first = pp.nei_similarity(small, out=path)
    kept = first.values.copy()
    few = small.select(models=small.models[:3])
    second = pp.nei_similarity(few, out=path)
    assert pp.SimilarityMatrix.load(path) == second
    assert same_bits(first, kept)  # still mapped to what it was


def beside(path, **changes):
    file = path.with_name(path.name + ".json")
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def test_damaged_files_are_refused(tmp_path, small):
    path, names = tmp_path / "s.npy", tmp_path / "s.npy.json"
    load = pp.SimilarityMatrix.load

    def refused(message):
        with pytest.raises(pp.InputError, match=message):
            load(path)
        pp.nei_similarity(small, out=path)
        assert len(load(path)) == 6

    pp.nei_similarity(small, out=path)
    names.unlink()
    refused(r"has no 's.npy.json' beside it")
    names.write_text("{")
    refused("is not JSON")
    for text in ("[]", "{}", '"x"', "3"):
        names.write_text(text)
        refused("does not say what")
    for changes in ({"ids": 3}, {"ids": "abcdef"}, {"ids": [1] * 6},
                    {"ids": None}, {"provenance": [1]}):  # fmt: skip
        beside(path, **changes)
        refused("does not name the models")
    beside(path, version=2)
    refused("has format version 2")
    beside(path, ids=["a", "b"])
    refused("2 ids")
    beside(path, ids=["a"] * 6)
    refused("'a' occurs twice")
    beside(path, shape=[15])
    refused("not the array that")
    data = path.read_bytes()
    for size in (0, 5, 90, len(data) - 1):
        path.write_bytes(data[:size])
        refused("not a whole NumPy array")
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    refused("not a whole NumPy array")
    np.save(path, np.zeros((6, 6), np.int64))
    refused("not the array that")


def test_nan_in_files_is_said(tmp_path):
    table = pp.AlleleTable.from_counts(["a", "b"], ["g", "h"], [0, 1], [0, 1], ["x"] * 2, [2, 2])
    for condensed in (False, True):
        path = tmp_path / "s.npy"
        with pytest.warns(pp.PyphyloWarning, match="'a' and 'b'$"):
            pp.nei_similarity(table, out=path, condensed=condensed)
        with pytest.raises(pp.InputError, match="allow_nan"):
            pp.SimilarityMatrix.load(path)
        assert np.isnan(pp.SimilarityMatrix.load(path, allow_nan=True)["a", "b"])


def test_numbers_never_bear_the_names_of_others(tmp_path, small, monkeypatch):
    """Killed between the numbers and their names."""
    from pyphylo.io import npy

    path = tmp_path / "s.npy"
    pp.nei_similarity(small, out=path)
    monkeypatch.setattr(npy, "atomic_write_bytes", never)
    turned = small.select(models=small.models[::-1])
    with pytest.raises(AssertionError):
        pp.nei_similarity(turned, out=path)
    with pytest.raises(pp.FileFormatError, match=r"has no 's\.npy\.json' beside it"):
        pp.SimilarityMatrix.load(path)


def test_a_full_disk(tmp_path, small):
    resource = pytest.importorskip("resource")
    path = tmp_path / "s.npy"
    pp.nei_similarity(small, out=path)
    before = pp.SimilarityMatrix.load(path)
    fewer = small.select(models=small.models[:4])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (64, hard))  # of any file
        with pytest.raises(OSError, match=r"s\.npy"):
            pp.nei_similarity(fewer, out=path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert {p.name for p in tmp_path.iterdir()} == {"s.npy", "s.npy.json"}
    assert pp.SimilarityMatrix.load(path) == before


# -- warnings -------------------------------------------------------------------------


def test_pairs_without_a_value_are_named_once():
    table = pp.AlleleTable.from_counts(
        ["a", "b", "c"], ["g", "h"], [0, 1, 2, 2], [0, 1, 0, 1], ["x"] * 4, [3] * 4
    )
    for function in (pp.nei_similarity, pp.nei_distance):
        for options in ({}, {"condensed": True}, {"dtype": "float32"}):
            with pytest.warns(pp.PyphyloWarning) as caught:
                function(table, **options)
            (warning,) = caught
            assert str(warning.message).endswith("repeated alleles, of 'a' and 'b'")
            assert warning.filename == __file__
        with pytest.warns(pp.PyphyloWarning, match=r"of 'a' and 'b', 'b' and 'a'$") as caught:
            function(table, other=table)
        assert caught[0].filename == __file__
    with pytest.warns(pp.PyphyloWarning, match="'a' and 'b'$") as caught:
        pp.nei_similarity(table, known=pp.SimilarityMatrix([1.0], ["a", "c"]))
    assert caught[0].filename == __file__


def test_many_pairs_without_a_value_are_counted():
    n = 9
    table = pp.AlleleTable.from_counts(
        [f"m{i}" for i in range(n)], [f"g{i}" for i in range(n)],
        range(n), range(n), ["x"] * n, [2] * n,
    )  # fmt: skip
    for options in ({}, {"condensed": True}):
        with pytest.warns(pp.PyphyloWarning, match=r"'m0' and 'm5' and 31 more$"):
            pp.nei_similarity(table, **options)


def test_dropped_cells_are_told_to_the_caller():
    table = pp.AlleleTable.from_counts(
        ["a", "b"], ["g", "h"], [0, 0, 1, 1], [0, 1, 0, 1], ["x"] * 4, [1, 2, 2, 2]
    )
    with pytest.warns(pp.PyphyloWarning, match="1 cells") as caught:
        pp.nei_similarity(table, estimator="unbiased")
    assert caught[0].filename == __file__


# -- condensed matrices ---------------------------------------------------------------


@with_dtype
def test_condensed_matrices_behave_as_squares(tmp_path, table, dtype):
    square = pp.nei_distance(table, dtype=dtype)
    condensed = pp.nei_distance(table, dtype=dtype, condensed=True)
    assert condensed.stored.ndim == 1
    assert square.stored.ndim == 2
    assert condensed == square == condensed
    assert same_bits(condensed.values, square.values)
    assert same_bits(condensed.condensed, square.condensed)
    assert condensed.dtype == square.dtype == dtype
    assert (len(condensed), condensed.ids) == (len(square), square.ids)
    assert repr(condensed) == repr(square)
    for pair in (("m0", "m1"), ("m204", "m3"), ("m203", "m204"), ("m7", "m7")):
        assert condensed[pair] == square[pair]
    chosen = [table.models[i] for i in (9, 200, 3, 77, 0)]
    assert condensed.filter(chosen) == square.filter(chosen)
    assert condensed.filter(chosen).stored.ndim == 1
    assert condensed.filter(["m5"]).values.tolist() == [[0.0]]
    assert condensed.to_frame().equals(square.to_frame())
    assert same_bits(np.asarray(condensed), square.values)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(condensed, copy=False)
    assert np.shares_memory(np.asarray(square, copy=False), square.stored)
    for suffix in (".npz", ".npy", ".phy", ".csv", ".tsv", ".parquet"):
        for matrix in (condensed, square):
            matrix.save(tmp_path / f"d{suffix}")
            loaded = pp.DistanceMatrix.load(tmp_path / f"d{suffix}")
            assert same_bits(loaded.values.astype(dtype), square.values)
            assert loaded.ids == table.models
    changed = condensed.stored.copy()
    changed[5] += 1
    assert pp.DistanceMatrix(changed, table.models) != condensed
    assert pp.SimilarityMatrix._trusted(condensed.stored, condensed.ids, {}) != condensed


def test_a_tree_of_a_condensed_matrix(tmp_path, small):
    square = pp.nei_distance(small)
    for matrix in (
        pp.nei_distance(small, condensed=True),
        pp.nei_distance(small, condensed=True, out=tmp_path / "d.npy"),
        pp.DistanceMatrix.load(tmp_path / "d.npy"),
    ):
        assert pp.neighbor_joining(matrix).newick() == pp.neighbor_joining(square).newick()


# -- interruption ---------------------------------------------------------------------

INTERRUPTED = """
import sys, time
import pyphylo as pp
table = pp.simulate.simulate_table(4000, 64)
options = {"out": sys.argv[1]} if len(sys.argv) > 1 else {}
print("ready", flush=True)
try:
    while True:
        pp.nei_distance(table, n_threads=2, **options)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize("to_file", [False, True])
def test_ctrl_c_stops_at_once_and_leaves_nothing(tmp_path, to_file):
    argv = [sys.executable, "-c", INTERRUPTED, *([str(tmp_path / "d.npy")] if to_file else [])]
    environment = {**os.environ, "PYPHYLO_ISA": "portable"}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.4)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "stopped\n"
        assert time.monotonic() - start < 1
        assert process.wait(20) == 0
    names = {p.name for p in tmp_path.iterdir()}
    assert names in (set(), {"d.npy", "d.npy.json"})
    if names:
        pp.DistanceMatrix.load(tmp_path / "d.npy")
