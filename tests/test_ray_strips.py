"""Rows of a comparison computed apart, as a cluster's workers do it, have a local call's bits."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from drawn_tables import drawn_table, quiet, same_bits
from hypothesis import given
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo import _core
from pyphylo._ray_strips import Call, cut_rows, row_items
from pyphylo.cli import main

STRIP = _core.STRIP_ROWS
KINDS = {
    "integer": {},
    "ragged": {"missing": 0.1},
    "float": {"varying": True},
    "ragged float": {"varying": True, "missing": 0.1},
}


@pytest.fixture(scope="module", params=list(KINDS))
def table(request):
    return drawn_table(5, 2 * STRIP + 13, 5, 300, 24, **KINDS[request.param])


def call_of(split: int = -1, *, twice: bool = False, dtype: str = "float64") -> Call:
    return Call("plugin", split, twice, "distance", 1e-10, dtype, 1)


def joined(core, call: Call, rows: int, columns: int) -> np.ndarray:
    """All pieces one after the other, each packed anew."""
    parts = []
    for begin, end in cut_rows(call, rows, columns, 3):
        part = np.full(row_items(call, columns, begin, end), -1.0, call.dtype)
        call.packed(core, lambda _: None).compute(begin, end, 1, part)
        parts.append(part)
    assert len(parts) == -(-rows // STRIP)
    return np.concatenate(parts)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_pieces_are_the_local_triangle(table, dtype):
    n = len(table.models)
    whole = quiet(pp.nei_distance, table, condensed=True, dtype=dtype).stored
    assert same_bits(joined(table._core, call_of(dtype=dtype), n, n), whole)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_pieces_are_the_local_file(table, tmp_path, dtype):
    n = len(table.models)
    whole = quiet(pp.nei_distance, table, out=tmp_path / "d.npy", dtype=dtype).stored
    call = call_of(twice=True, dtype=dtype)
    assert same_bits(joined(table._core, call, n, n).reshape(n, n), whole)


def test_pieces_are_the_local_rectangle(table):
    split = STRIP + 5
    rows = table.select(models=table.models[:split])
    columns = table.select(models=table.models[split:])
    whole = quiet(pp.nei_distance, rows, columns).values
    pieces = joined(rows.join(columns)._core, call_of(split), *whole.shape)
    assert same_bits(pieces.reshape(whole.shape), whole)


def test_rows_cut_in_python_have_not_these_bits():
    """Why a worker packs the whole table: the plan of a part adds in another order."""
    table = drawn_table(5, 2 * STRIP, 5, 300, 24, varying=True)
    whole = pp.nei_distance(table).values
    part = pp.nei_distance(table.select(models=table.models[:STRIP])).values
    assert not same_bits(part, whole[:STRIP, :STRIP])
    assert np.allclose(part, whole[:STRIP, :STRIP], rtol=0, atol=1e-12)


@given(
    st.integers(1, 40 * STRIP), st.integers(1, 40 * STRIP), st.integers(1, 20),
    st.sampled_from(["triangle", "square", "rectangle"]),
)  # fmt: skip
def test_pieces_are_whole_strips_and_all_rows(rows, columns, slots, kind):
    call = call_of(rows if kind == "rectangle" else -1, twice=kind == "square")
    columns = columns if kind == "rectangle" else rows
    pieces = list(cut_rows(call, rows, columns, slots))
    assert [begin for begin, _ in pieces] == [0, *(end for _, end in pieces[:-1])]
    assert pieces[-1][1] == rows
    assert all(begin % STRIP == 0 and end > begin for begin, end in pieces)
    items = [row_items(call, columns, *piece) for piece in pieces]
    assert sum(items) == row_items(call, columns, 0, rows)
    # But for those of one strip, none is more than its share.
    share = sum(items) // (8 * slots)
    assert all(n <= share or e - b <= STRIP for n, (b, e) in zip(items, pieces, strict=True))


def test_what_is_not_of_the_rows_is_refused():
    table = drawn_table(5, 2 * STRIP, 3, 50, 8)
    packed = call_of().packed(table._core, lambda _: None)
    items = row_items(call_of(), 2 * STRIP, 0, STRIP)
    frozen = np.empty(items)
    frozen.flags.writeable = False
    for out in (np.empty(items - 1), np.empty(items, np.float32), np.empty(2 * items)[::2], frozen):
        with pytest.raises(ValueError, match="out must be writeable"):
            packed.compute(0, STRIP, 1, out)
    with pytest.raises(TypeError, match="similarities and distances"):
        replace(call_of(), quantity="numerator").packed(table._core, lambda _: None)
    for rows in [(1, STRIP), (0, STRIP + 1), (STRIP, 0), (0, 3 * STRIP)]:
        with pytest.raises(ValueError, match="whole strips"):
            packed.compute(*rows, 1, np.empty(items))


def test_what_a_worker_takes_is_told_first():
    table = drawn_table(5, 2 * STRIP, 3, 50, 8)
    told: list[int] = []
    call_of().packed(table._core, told.append)
    assert told == [_core.plan_similarity(table._core, -1, 1, False)["bytes"]]

    def refuse(work: int) -> None:
        raise MemoryError(f"{work} bytes")

    with pytest.raises(MemoryError, match=f"{told[0]} bytes"):
        call_of().packed(table._core, refuse)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "rai"}, "unknown engine 'rai'; known: 'local', 'ray'"),
        ({"num_cpus": 2}, "num_cpus=2 is an option of engine 'ray', not 'local'"),
        ({"max_retries": 2}, "max_retries=2 is an option of engine 'ray'"),
    ],
)
@pytest.mark.parametrize("function", [pp.nei_similarity, pp.nei_distance])
def test_what_does_not_go_together_is_refused(function, options, message):
    table = drawn_table(5, 3, 3, 50, 8)
    with pytest.raises(pp.InputError, match=message):
        function(table, **options)


def test_without_ray_the_command_that_installs_it_is_told(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "ray", None)
    table = drawn_table(5, 3, 3, 50, 8)
    with pytest.raises(pp.InputError, match=r"pip install 'pyphylo\[ray\]'"):
        pp.nei_distance(table, engine="ray")
    arguments = ["distance", str(tmp_path), "-o", str(tmp_path / "d.npz"), "--engine", "ray"]
    assert main([*arguments, "--index", "da"]) == 2
    assert "--engine ray is of --index nei" in capsys.readouterr().err
