"""AlleleTable's constructors: every form of rows gives one table; what cannot be is named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo import _memory, _rows

quick = settings(max_examples=100, deadline=None)

TEXTS = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("ab\0"), max_size=20
) | st.sampled_from(["", "the", "the\0", "a" * 15, "a" * 16, "😀" * 4])
ROWS = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), TEXTS, st.integers(0, 3)))
MODELS = [f"m{i}" for i in range(5)]
GENES = ["g", "h", "i"]


def expected_entries(rows):
    """What the rows add up to, in the table's order."""
    sums: dict[tuple[int, int, bytes], int] = {}
    for model, gene, allele, count in rows:
        if count:
            key = (model, gene, allele.encode())
            sums[key] = sums.get(key, 0) + count
    return [(MODELS[m], GENES[g], a.decode(), n) for (m, g, a), n in sorted(sums.items())]


def chunked(array):
    half = len(array) // 2
    return pa.chunked_array([array[:half], array[half:]], array.type)


def twice_encoded(array):
    """Chunks with a dictionary each."""
    return pa.chunked_array([part.dictionary_encode() for part in chunked(array).chunks])


def without_nul(convert):
    """NumPy's str arrays end at a NUL: other texts do not survive the conversion itself."""

    def convert_if_kept(alleles):
        array = convert(alleles)
        return array if array.tolist() == alleles else alleles

    return convert_if_kept


FORMS = {
    "list": list,
    "tuple": tuple,
    "string": lambda a: pa.array(a, pa.string()),
    "large_string": lambda a: pa.array(a, pa.large_string()),
    "view": lambda a: pa.array(a, pa.string()).cast(pa.string_view()),
    "sliced": lambda a: pa.array(["x", *a, "y"], pa.string())[1:-1],
    "dictionary": lambda a: pa.array(a, pa.string()).dictionary_encode(),
    "large dictionary": lambda a: pa.array(a, pa.large_string()).dictionary_encode()[0:],
    "repeated dictionary": lambda a: pa.DictionaryArray.from_arrays(
        pa.array(range(len(a)), pa.int8() if len(a) < 128 else pa.int64()), pa.array(a, pa.string())
    ),
    "chunks": lambda a: chunked(pa.array(a, pa.string())),
    "dictionary chunks": lambda a: twice_encoded(pa.array(a, pa.string())),
    "str": without_nul(lambda a: np.array(a, dtype=str)),
    "other endian": without_nul(lambda a: np.array(a, dtype=str).astype(">U20")),
    "strided": without_nul(lambda a: np.array([t for t in a for _ in "ab"], dtype=str)[::2]),
    "object": lambda a: np.array([*a, None], dtype=object)[:-1],
    "Series": lambda a: pd.Series(a, dtype=object),
    "Categorical": lambda a: pd.Series(pd.Categorical(a, categories=sorted(set(a)))),
}
if hasattr(np.dtypes, "StringDType"):
    FORMS["StringDType"] = lambda a: np.array(a, dtype=np.dtypes.StringDType())


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=40, deadline=None)
@given(rows=ROWS, size=st.integers(1, 9))
def test_every_form_of_text_gives_the_same_table(form, rows, size):
    models, genes, alleles, counts = ([row[i] for row in rows] for i in range(4))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows, "_SLICE", size)
        table = pp.AlleleTable.from_counts(
            MODELS, GENES, models, genes, FORMS[form](alleles), counts
        )
    frame = table.to_frame()
    assert [tuple(row) for row in frame.itertuples(index=False)] == expected_entries(rows)
    table._core.write("", "/dev/null")


@pytest.mark.parametrize(
    "dtype", ["i1", "u1", ">i2", "u2", "i4", ">u4", "i8", "u8", pa.int16(), pa.uint64()]
)
def test_every_integer_type_indexes_and_counts(dtype):
    def integers(values):
        if isinstance(dtype, str):
            return np.array(values, dtype)
        return pa.chunked_array([pa.array(values[:1], dtype), pa.array(values[1:], dtype)])

    table = pp.AlleleTable.from_counts(
        ["a", "b"], ["g", "h"], integers([1, 0, 1]), integers([0, 1, 0]), list("xyx"),
        integers([1, 2, 3]),
    )  # fmt: skip
    assert table.to_frame().values.tolist() == [["a", "h", "y", 2], ["b", "g", "x", 4]]


@pytest.mark.parametrize(
    "names",
    [
        pa.array(["a", "b"]),
        pa.chunked_array([["a"], ["b"]]),
        pa.array(["a", "b"]).dictionary_encode(),
        np.array(["a", "b"]),
        [np.str_("a"), np.str_("b")],
        pd.Index(["a", "b"]),
        iter(["a", "b"]),
    ],
)
def test_names_of_any_kind_become_plain_strings(names):
    table = pp.AlleleTable.from_counts(names, pa.array(["g"]), [0, 1], [0, 0], ["x", "y"], [1, 1])
    assert table.models == ("a", "b")
    assert {type(name) for name in table.models} == {str}
    assert table.select(models=np.array(["b"])).models == ("b",)


def test_names_with_nulls_are_refused():
    with pytest.raises(pp.InputError, match="model name must be a non-empty string, not None"):
        pp.AlleleTable.from_counts(pa.array(["a", None]), ["g"], [], [], [], [])


def test_any_order_and_slicing_give_the_same_bytes(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    n = 40_000
    alleles = np.array([f"{k:x}" * (1 + k % 9) for k in range(900)])[rng.zipf(1.3, n) % 900]
    columns = (rng.integers(0, 30, n), rng.integers(0, 20, n), alleles, rng.integers(0, 5, n))
    names = [f"m{i}" for i in range(30)], [f"g{i}" for i in range(20)]

    def saved(order, name):
        table = pp.AlleleTable.from_counts(*names, *(column[order] for column in columns))
        table.save(tmp_path / name)
        return (tmp_path / name).read_bytes()

    whole = saved(np.arange(n), "a")
    for order in (rng.permutation(n), np.argsort(columns[0]), np.argsort(columns[1])[::-1]):
        assert saved(order, "b") == whole
    monkeypatch.setattr(_rows, "_SLICE", 333)
    assert saved(rng.permutation(n), "b") == whole


LATE = [0] * 999


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (([*LATE, 1], [0] * 1000, ["x"] * 1000, [1] * 1000), "row 999: model index 1 is not in"),
        (([0] * 1000, [*LATE, -1], ["x"] * 1000, [1] * 1000), "row 999: gene_idx -1"),
        (([0] * 1000, [0] * 1000, ["x"] * 1000, [*LATE, -7]), "row 999: count -7"),
        (([0] * 1000, [0] * 1000, ["x"] * 1000, [*LATE, 2**31]), "row 999: count 2147483648"),
        (([0] * 1000, [0] * 1000, ["x"] * 999 + [None], [1] * 1000), "row 999: the allele is null"),
        (([0] * 1000, [0] * 1000, ["x"] * 999 + [7], [1] * 1000), "row 999: .* not 7"),
        (([0] * 1000, [0] * 1000, ["x"] * 999 + ["\ud83d"], [1] * 1000), "row 999: .*surrogate"),
        (
            ([0] * 1000, [0] * 1000, np.array(["x"] * 999 + ["\ud83d"]), [1] * 1000),
            "row 999: .*surrogate",
        ),
        (([0], [0], pa.array([b"x"]), [1]), "not Arrow's binary"),
        (([0], [0], pa.array([1]).dictionary_encode(), [1]), "not Arrow's int64"),
        (([0], [0], pa.array([None, "x"])[:1], [1]), "row 0: the allele is null"),
        (
            ([0], [0], pa.DictionaryArray.from_arrays(pa.array([1]), pa.array(["x", None])), [1]),
            "row 0: the allele is null",
        ),
        (([0], [0], "x", [1]), "not one string 'x'"),
        (([0], [0], np.array([["x"]]), [1]), r"shape \(1, 1\)"),
        (([0], [0], ["x"], [2**70]), "counts"),
        (([2**40], [0], ["x"], [1]), "row 0: model index 1099511627776"),
        (([[0]], [0], ["x"], [1]), "model_idx must be a one-dimensional"),
        (([0], [0], ["x"], [True]), "counts must be .* whole numbers"),
    ],
)
def test_bad_rows_are_named_by_their_place_in_the_whole(columns, message, monkeypatch):
    monkeypatch.setattr(_rows, "_SLICE", 100)
    with pytest.raises(pp.InputError, match=message):
        pp.AlleleTable.from_counts(["a"], ["g"], *columns)


def test_bad_bytes_are_refused():
    broken = pa.Array.from_buffers(
        pa.string(),
        2,
        [None, pa.py_buffer(np.array([0, 1, 2], np.int32)), pa.py_buffer(b"a\xff")],
    )
    with pytest.raises(pp.InputError, match="row 1: the allele is not UTF-8"):
        pp.AlleleTable.from_counts(["a"], ["g"], [0, 0], [0, 0], broken, [1, 1])


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_bad_probabilities_are_named(value):
    with pytest.raises(pp.InputError, match=f"row 2: probability {value} is not in 0..1"):
        pp.AlleleTable.from_probabilities(
            ["a"], ["g"], [0] * 3, [0] * 3, list("xyz"), [0.1, 0.2, value]
        )


def test_memory_is_asked_for_before_it_is_taken(monkeypatch):
    monkeypatch.setattr(_memory, "available_bytes", lambda: 1 << 20)
    monkeypatch.setattr("pyphylo._memory.ASKED_FROM", 0)
    n = 100_000
    with pytest.raises(MemoryError, match=r"need .* MiB, but only 1.0 MiB"):
        pp.AlleleTable.from_counts(
            ["a"], ["g"], np.zeros(n, int), np.zeros(n, int), np.full(n, "x"), np.ones(n, int)
        )
    few = pp.AlleleTable.from_counts(["a"], ["g"], [0], [0], ["x"], [1])
    assert few.nnz == 1


@quick
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), TEXTS)), st.integers(1, 5))
def test_probabilities_come_in_any_slices(rows, size):
    share = 1 / max(1, len(rows))
    models, genes, alleles = ([row[i] for row in rows] for i in range(3))
    columns = (models, genes, alleles, [share] * len(rows))
    whole = pp.AlleleTable.from_probabilities(MODELS, GENES, *columns)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_rows, "_SLICE", size)
        assert pp.AlleleTable.from_probabilities(MODELS, GENES, *columns) == whole
    held = {tuple(row[:3]) for row in whole.to_frame().itertuples(index=False)}
    assert held == {(MODELS[m], GENES[g], a) for m, g, a in rows}
