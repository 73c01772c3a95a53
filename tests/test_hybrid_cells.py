"""Hybrid cells: partly decided, partly drawn."""

from __future__ import annotations

import base64
import itertools
import math
import zlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import hybrid_cells, mixed_populations, table_of

import pyphylo as pp
from pyphylo import _reference, _rows
from pyphylo._reference import Exact, Hybrid, Sampled

quick = settings(max_examples=100, deadline=None)


def hybrid_table(rows, models=("a", "b"), genes=("g", "h")):
    """Rows of (model, gene, allele, probability, draws, undecided)."""
    columns = [list(column) for column in zip(*rows, strict=True)] or [[]] * 6
    return pp.AlleleTable.from_hybrid(models, genes, *columns)


@pytest.mark.parametrize("m", [2, 3, 4])
def test_the_unbiased_self_term_is_so_over_all_draws(m):
    decided = {"x": 0.25, "y": 0.125}
    undecided, shares = 0.5, {"x": Fraction(1, 8), "z": Fraction(5, 8), "w": Fraction(1, 4)}
    truth = sum(
        (Fraction(decided.get(a, 0)) + Fraction(undecided) * shares.get(a, Fraction(0))) ** 2
        for a in decided.keys() | shares.keys()
    )
    mean = Fraction(0)
    for drawn in itertools.product(shares, repeat=m):
        cell = Hybrid(decided, {a: drawn.count(a) for a in set(drawn)}, undecided)
        mean += math.prod(shares[a] for a in drawn) * cell.self_term("unbiased")
    assert mean == truth


@quick
@given(mixed_populations())
def test_values_times_scales_are_the_frequencies(populations):
    table = table_of(populations)
    frame = table.to_frame()
    frame["value"] = table._core.entry_values()
    cell = ["model", "gene"]
    n = frame.groupby(cell)["count"].transform("sum")
    frame["frequency"] = frame["value"] / n.where(n > 0, 1)
    expected = {
        (m, g, a): float(p)
        for m, cells in populations.items()
        for g, cell in cells.items()
        for a, p in cell.frequencies().items()
    }
    assert {tuple(row) for row in frame[[*cell, "allele"]].itertuples(index=False)} == set(expected)
    for row in frame.itertuples():
        assert row.frequency == pytest.approx(expected[row.model, row.gene, row.allele], rel=1e-14)


@quick
@given(st.lists(hybrid_cells(), min_size=1, max_size=4), st.randoms(), st.integers(1, 5))
def test_any_order_and_slicing_and_the_frame_give_the_same_table(cells, random, size):
    table = table_of({f"m{i}": {"g": cell} for i, cell in enumerate(cells)})
    rows = [
        (i, 0, a, cell.decided.get(a, 0), cell.counts.get(a, 0), cell.undecided)
        for i, cell in enumerate(cells)
        for a in cell.decided.keys() | cell.counts.keys()
    ]
    random.shuffle(rows)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows, "_SLICE", size)
        assert hybrid_table(rows, table.models, ["g"]) == table
    frame = table.to_frame()
    if "draws" not in frame or (frame["undecided"] == 0).any():
        return  # cells that are all draws have become sampled ones
    index = frame["model"].str[1:].astype(int)
    again = pp.AlleleTable.from_hybrid(
        table.models, ["g"], index, np.zeros(len(frame), int), frame["allele"], frame["decided"],
        frame["draws"], frame["undecided"],
    )  # fmt: skip
    assert again == table


def test_what_is_no_hybrid_is_of_its_own_kind():
    sampled = hybrid_table([(0, 0, "x", 0, 3, 1), (0, 0, "y", 0, 1, 1)])
    assert sampled == table_of({"a": {"g": Sampled({"x": 3, "y": 1})}, "b": {}}, ["g", "h"])
    assert sampled._core.probabilities.size == 0
    exact = hybrid_table([(0, 0, "x", 0.5, 0, 0), (0, 0, "y", 0.25, 0, 0), (0, 1, "z", 0, 0, 0.5)])
    assert exact == table_of({"a": {"g": Exact({"x": 0.5, "y": 0.25})}, "b": {}}, ["g", "h"])
    assert exact.summary()[1] == 3
    nothing_drawn = hybrid_table([(0, 0, "x", 0.5, 0, 0.5)])
    assert nothing_drawn != hybrid_table([(0, 0, "x", 0.5, 0, 0)])
    assert nothing_drawn.to_frame()["probability"].tolist() == [0.5]


def test_repeated_rows_add():
    once = hybrid_table([(0, 0, "x", 0.5, 3, 0.25), (0, 0, "y", 0, 1, 0.25)])
    parts = [(0, 0, "x", 0.25, 1, 0.25), (0, 0, "y", 0, 1, 0.25), (0, 0, "x", 0.25, 2, 0.25)]
    assert hybrid_table(parts) == once
    assert once.to_frame().to_dict("list") == {
        "model": ["a", "a"],
        "gene": ["g", "g"],
        "allele": ["x", "y"],
        "count": [0, 0],
        "probability": [0.5 + 0.25 * 3 / 4, 0.25 / 4],
        "decided": [0.5, 0],
        "draws": [3, 1],
        "undecided": [0.25, 0.25],
    }


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(0, 0, "x", 0.6, 2, 0.5)], "'a', gene 'g': decided and undecided mass add up to 1.1"),
        (
            [(1, 1, "x", 0, 2, 0.5), (1, 1, "y", 0.1, 0, 0.25)],
            "gene 'h': .* 0.25.* and as 0.5",
        ),
        ([(0, 0, "x", 0.5, 2, 0)], "'a', gene 'g': 2 draws in a cell without undecided mass"),
        ([(0, 0, "x", 1.5, 2, 0.5)], "row 0: probability 1.5"),
        ([(0, 0, "x", 0.5, -2, 0.5)], "row 0: count -2"),
        ([(0, 0, "x", 0.5, 2, -0.5)], "row 0: undecided mass -0.5 is not in 0..1"),
        ([(0, 0, "x", 0.5, 2, math.nan)], "row 0: undecided mass nan"),
        ([(0, 0, "x", 0, 2**31 - 1, 0.5)] * 2, "'a', gene 'g': an allele's count exceeds"),
        ([(0, 0, "x", 0.5, 0, 0.1)] * 3, "'a', gene 'g': an allele's probabilities add up to 1.5"),
    ],
)
def test_bad_hybrid_rows(rows, message):
    with pytest.raises(pp.InputError, match=message):
        hybrid_table(rows)


def test_rounding_of_masses_is_forgiven():
    table = hybrid_table([(0, 0, "x", 0.7, 2, 0.3 + 1e-9)])
    assert table.to_frame()["probability"].tolist() == [1.0]


def test_too_few_draws_count_as_missing_when_unbiased():
    cells = {
        "a": {"g": Hybrid({"x": 0.5}, {"y": 1}, 0.5), "h": Hybrid({"x": 0.5}, {"y": 2}, 0.5)},
        "b": {"g": Hybrid({"x": 0.5}, {"y": 2}, 0.5), "h": Hybrid({"x": 0.5}, {"y": 2}, 0.25)},
    }
    table = table_of(cells)
    with pytest.warns(pp.PyphyloWarning, match="^1 cells"):
        S = pp.nei_similarity(table, estimator="unbiased")
    assert S["a", "b"] == pytest.approx(
        _reference.nei_similarity(cells["a"], cells["b"], "unbiased"), rel=1e-13
    )
    undrawn = {"g": Hybrid({"x": 0.5}, {}, 0.5)}
    few = table_of({**cells, "c": undrawn})
    with pytest.raises(pp.InputError, match="'c'"):
        pp.nei_similarity(few, estimator="unbiased")
    assert pp.nei_similarity(few)["a", "c"] == pytest.approx(
        _reference.nei_similarity(cells["a"], undrawn), rel=1e-13
    )


def test_draws_that_all_differ_have_no_unbiased_self_term():
    cell = Hybrid({}, {"x": 1, "y": 1, "z": 1}, 0.3)
    assert cell.self_term("unbiased") == 0
    table = table_of({"a": {"g": cell}, "b": {"g": Sampled({"x": 3})}})
    with pytest.warns(pp.PyphyloWarning, match="'a' and 'b'"):
        S = pp.nei_similarity(table, estimator="unbiased")
    assert math.isnan(S["a", "b"])


def test_kinds_mix_in_a_model_and_survive_selection_and_appending():
    cells = {
        "a": {"g": Sampled({"x": 2, "y": 1}), "h": Hybrid({"x": 0.5}, {"y": 3, "": 1}, 0.25)},
        "b": {"g": Hybrid({"q": 0.125}, {"q": 2}, 0.5), "h": Exact({"x": 0.75})},
    }
    table = table_of(cells)
    for names in (["a", "b"], ["b", "a"], ["b"]):
        for genes in (["g", "h"], ["h", "g"], ["h"]):
            kept = {m: {g: cells[m][g] for g in genes} for m in names}
            assert table.select(models=names, genes=genes) == table_of(kept, genes)
    alone = [table.select(models=[name]) for name in "ab"]
    assert alone[0].append(alone[1]) == table
    assert alone[0].select(genes=["g"])._core.draws.size == 0
    assert alone[0].select(genes=["g"])._core.probabilities.size == 0


FORMAT_1 = (
    "c-jl_i1hIfaq?kgU|`5U;lj<t00FpYRsu9111exd)1R1xUp_qpzdVd)Mzgn~vg+_kBz@@ag#i{U;*3!B%t-P~"
    "NOog02NhhfhtLn~VItK^dHE%&N>&O=hgT}qGB5xDU5pRt"
)


def test_files_from_before_hybrid_cells_are_read(tmp_path):
    path = tmp_path / "old.tbl"
    path.write_bytes(zlib.decompress(base64.b85decode(FORMAT_1)))
    table = pp.AlleleTable.load(path)
    cells = {
        "a": {"g": Sampled({"x": 2, "y": 1}), "h": Exact({"": 0.25, "z": 0.5})},
        "b": {"h": Sampled({"é": 5})},
    }
    assert table == table_of(cells)
    assert table.provenance == {"note": "é"}
    table.save(tmp_path / "new.tbl")
    assert pp.AlleleTable.load(tmp_path / "new.tbl") == table


def test_every_truncation_and_flipped_byte_of_a_hybrid_table_is_refused(tmp_path):
    path = tmp_path / "h.tbl"
    hybrid_table([(0, 0, "x", 0.5, 3, 0.25), (0, 0, "y", 0, 1, 0.25)]).save(path)
    data = path.read_bytes()
    for position in range(len(data)):
        for damaged in (
            data[:position],
            data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :],
        ):
            path.write_bytes(damaged)
            with pytest.raises(pp.FileFormatError):
                pp.AlleleTable.load(path)
