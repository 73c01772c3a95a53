"""DistanceMatrix and SimilarityMatrix: checks, and every file format."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import pyphylo as pp
from pyphylo.io.phylip import short_names

quick = settings(max_examples=60, deadline=None)
FORMATS = [".npz", ".phy", ".csv", ".tsv", ".parquet"]
AWKWARD = [
    "org/name@rev",
    "with space",
    'quo"te',
    "com,ma",
    "tab\tid",
    "new\nline",
    "ünï😀",
    "'",
    "model",
]
NAMES = st.text(min_size=1, max_size=12).filter(lambda s: s.isprintable() or "\n" in s)


@st.composite
def matrices(draw, cls=pp.DistanceMatrix, names=NAMES):
    ids = draw(st.lists(names, min_size=1, max_size=6, unique=True))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    n = len(ids)
    flat = draw(
        hnp.arrays(
            dtype, n * (n - 1) // 2, elements=st.floats(0, 2.0**60, width=32, allow_nan=False)
        )
    )
    return cls(flat, ids)


@pytest.mark.parametrize("suffix", FORMATS)
@quick
@given(matrix=matrices())
def test_files_keep_every_bit_or_refuse_the_name(tmp_path_factory, suffix, matrix):
    path = tmp_path_factory.mktemp("m") / f"d{suffix}"
    try:
        matrix.save(path)
    except pp.InputError as error:
        assert suffix in (".phy", ".csv", ".tsv")
        assert any(repr(name) in str(error) for name in matrix.ids)
        assert not path.exists()
        return
    loaded = pp.DistanceMatrix.load(path)
    assert loaded.ids == matrix.ids
    assert np.array_equal(loaded.values.astype(matrix.dtype), matrix.values)
    if suffix in (".npz", ".parquet"):
        assert loaded == matrix


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".tsv", ".parquet"])
def test_awkward_names_survive(tmp_path, suffix):
    n = len(AWKWARD)
    matrix = pp.DistanceMatrix(np.arange(n * (n - 1) // 2) / 7, AWKWARD)
    matrix.save(tmp_path / f"d{suffix}")
    assert pp.DistanceMatrix.load(tmp_path / f"d{suffix}") == matrix


def test_phylip_refuses_white_space(tmp_path):
    with pytest.raises(pp.InputError, match=r"'a b'.*white space"):
        pp.DistanceMatrix([1.0], ["a b", "c"]).save(tmp_path / "d.phy")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        "3\na 0 1 2\nb 1 0 3\nc 2 3 0\n",
        "3\na\nb 1\nc 2 3\n",
        "   3\na 0 1\n 2\nb 1\n0 3\nc 2 3 0",
        "3\n1 0 1 2\n2 1 0 3\n3 2 3 0\n",
    ],
)
def test_phylip_forms(tmp_path, text):
    path = tmp_path / "d.phy"
    path.write_text(text)
    assert pp.DistanceMatrix.load(path).values.tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("d.csv", "", "first line"),
        ("d.csv", "model,a,b\na,0,1\n", "not square: 1 x 2"),
        ("d.csv", "model,a,b\na,0,1\nb,1,0\nc,1,1\n", "line 4: a row more"),
        ("d.csv", "model,a,b\na,0,1\nb,1\n", "line 3: 1 numbers, not 2"),
        ("d.csv", "model,a,b\na,0,x\nb,1,0\n", "line 2, column 'b': 'x'"),
        ("d.csv", "model,a,b\nb,0,1\na,1,0\n", "line 2: the row is of 'b'"),
        ("d.csv", "model,a,a\na,0,1\na,1,0\n", "'a' occurs twice"),
        ("d.csv", "model,a,b\na,0,1\nb,2,0\n", "not symmetric.*'a' and 'b'"),
        ("d.csv", "model,a,b\na,0,-1\nb,-1,0\n", "'a' and 'b' is -1"),
        ("d.csv", "model,a,b\na,0,nan\nb,nan,0\n", "'a' and 'b' is nan"),
        ("d.csv", "model,a,b\na,0,inf\nb,inf,0\n", "'a' and 'b' is inf"),
        ("d.csv", "model,a,b\na,1,1\nb,1,1\n", "--similarity"),
        ("d.csv", "model,a,b\na,0,1\nb,1,0.5\n", "'b' to itself"),
        ("d.csv", 'model,a,b\na,"0,1\n', "malformed"),
        ("d.phy", "x\n", "line 1"),
        ("d.phy", "2\na 0 1\n", "1 rows, not the 2"),
        ("d.phy", "2\na 0 1\nb 1 z\n", "line 3: 'z'"),
        ("d.phy", "2\na 0 1\nb 1\n", "'b' has 1 numbers"),
        ("d.npz", "not a zip", "NumPy archive"),
        ("d.parquet", "not parquet", "Parquet"),
        ("d.txt", "", ".npz"),
    ],
)
def test_bad_files(tmp_path, name, text, message):
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(pp.InputError, match=message):
        pp.DistanceMatrix.load(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_truncated_files_are_refused(tmp_path, suffix):
    path = tmp_path / f"d{suffix}"
    pp.DistanceMatrix([1.5, 2.5, 3.5], ["a", "b", "c"]).save(path)
    data = path.read_bytes()
    for size in range(0, len(data) - 9, 3):
        path.write_bytes(data[:size])
        with pytest.raises(pp.InputError):
            pp.DistanceMatrix.load(path)


def test_absent_file(tmp_path):
    with pytest.raises(pp.InputError, match="does not exist"):
        pp.DistanceMatrix.load(tmp_path / "d.npz")


def test_archives_know_their_kind(tmp_path):
    S = pp.SimilarityMatrix([0.5], ["a", "b"])
    for suffix in (".npz", ".parquet"):
        S.save(tmp_path / f"s{suffix}")
        assert pp.SimilarityMatrix.load(tmp_path / f"s{suffix}") == S
        with pytest.raises(pp.FileFormatError, match="similarity matrix"):
            pp.DistanceMatrix.load(tmp_path / f"s{suffix}")


def test_rounded_halves_are_averaged():
    D = pp.DistanceMatrix([[0, 0.1234565], [0.123457, 0]], ["a", "b"])
    assert D["a", "b"] == D["b", "a"] == pytest.approx(0.12345675)


def test_a_value_is_of_two_models():
    D = pp.DistanceMatrix([1.0], ["a", "b"])
    for wrong in ("ab", "a", ("a",), ("a", "b", "c"), 0):
        with pytest.raises(pp.InputError, match=r"is of two models, such as D\['a', 'b'\]"):
            D[wrong]


def test_rounding_below_zero_is_zero():
    D = pp.DistanceMatrix([[1e-17, -1e-12], [-1e-12, 0]], ["a", "b"])
    assert D.values.tolist() == [[0, 0], [0, 0]]


def test_nan_only_where_allowed():
    values = [[0, np.nan], [np.nan, 0]]
    with pytest.raises(pp.InputError, match="'a' and 'b'"):
        pp.DistanceMatrix(values, ["a", "b"])
    assert np.isnan(pp.DistanceMatrix(values, ["a", "b"], allow_nan=True)["a", "b"])


@pytest.mark.parametrize(
    ("values", "ids", "message"),
    [
        (np.zeros((2, 3)), ["a", "b"], "not square: 2 x 3"),
        (np.zeros((2, 2)), ["a"], "2 rows, but 1 ids"),
        (np.zeros(2), ["a", "b"], "1 values, not 2"),
        ([["x"]], ["a"], "numbers"),
    ],
)
def test_bad_shapes(values, ids, message):
    with pytest.raises(pp.InputError, match=message):
        pp.DistanceMatrix(values, ids)


def test_matrix_behaves():
    D = pp.DistanceMatrix([1.0, 2.0, 3.0], ["a", "b", "c"])
    assert np.asarray(D).tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
    assert np.asarray(D, dtype=np.float32).dtype == np.float32
    assert D.filter(["c", "a"]).values.tolist() == [[0, 2], [2, 0]]
    assert D.to_frame().loc["b", "c"] == 3
    assert not D.values.flags.writeable
    with pytest.raises(pp.InputError, match="'z'"):
        D.filter(["z"])
    assert len(D) == 3
    assert pp.DistanceMatrix([1.0, 2.0, 4.0], ["a", "b", "c"]) != D


def test_to_skbio():
    skbio = pytest.importorskip("skbio")
    D = pp.DistanceMatrix([1.0, 2.0, 3.0], ["a", "b", "c"]).to_skbio()
    assert isinstance(D, skbio.DistanceMatrix)
    assert D["a", "c"] == 2.0


def test_a_condensed_matrix_stays_condensed():
    given = np.array([0.5, -1e-12, 0.25], np.float32)
    matrix = pp.DistanceMatrix(given, ["a", "b", "c"])
    assert matrix.stored.shape == (3,)
    assert matrix.stored.tolist() == [0.5, 0.0, 0.25]
    assert given[1] < 0
    assert matrix.values[2, 1] == 0.25


@pytest.mark.parametrize("value", [np.nan, np.inf, -0.5])
def test_a_condensed_matrix_names_the_pair_of_a_bad_number(value):
    with pytest.raises(pp.InputError, match="models 'b' and 'd'"):
        pp.DistanceMatrix([0.1, 0.2, 0.3, 0.4, value, 0.6], list("abcd"))


def test_condensed_similarity_has_a_unit_diagonal():
    assert pp.SimilarityMatrix([0.5], ["a", "b"]).values.tolist() == [[1, 0.5], [0.5, 1]]
    with pytest.raises(pp.InputError, match="to itself"):
        pp.SimilarityMatrix([[0, 0.5], [0.5, 0]], ["a", "b"])


@pytest.mark.parametrize("suffix", [".csv", ".tsv"])
def test_a_carriage_return_is_refused(tmp_path, suffix):
    with pytest.raises(pp.InputError, match="carriage return"):
        pp.DistanceMatrix([1.0], ["a\rb", "c"]).save(tmp_path / f"d{suffix}")


@pytest.mark.parametrize("suffix", FORMATS)
def test_single_precision_reads_back_equal(tmp_path, suffix):
    matrix = pp.DistanceMatrix(np.array([0.1, 0.2, 0.3], np.float32), ["a", "b", "c"])
    matrix.save(tmp_path / f"d{suffix}")
    assert np.array_equal(pp.DistanceMatrix.load(tmp_path / f"d{suffix}").values, matrix.values)


def test_strict_phylip(tmp_path):
    names = ["ten chars!", "a b", "1", "x"]
    matrix = pp.DistanceMatrix(np.arange(6) / 7, names)
    path = tmp_path / "d.phy"
    matrix.save(path, strict=True)
    lines = path.read_text().splitlines()
    assert [line[:11] for line in lines[1:]] == [f"{name:10} " for name in names]
    assert pp.DistanceMatrix.load(path, strict=True) == matrix


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("eleven char", "1 names are longer than the 10 .*'eleven char'"),
        ("\u00fc", "printable ASCII"),
        ("a\tb", "printable ASCII"),
        (" a", "blanks at its ends"),
        ("a:b", r"without \(\)\[\]:;,"),
    ],
)
def test_strict_phylip_refuses_names(tmp_path, name, message):
    with pytest.raises(pp.InputError, match=message):
        pp.DistanceMatrix([1.0], [name, "c"]).save(tmp_path / "d.phy", strict=True)
    assert list(tmp_path.iterdir()) == []


def test_short_names():
    names = ["org/Mistral-7B-v0.1", "x/Mistral-7B-v0.2", "Mistral-72", "a/b:c", "a/b(c", "é", "s/"]
    names += [" a b ", "_a_b_"]
    short = short_names(names)
    assert list(short.values()) == names
    assert list(short) == [
        "Mistral-7B", "Mistral-73", "Mistral-72", "b_c", "b_c2", "_", "s/", "_a_b_2", "_a_b_"
    ]  # fmt: skip
    many = short_names(f"org/a-long-name-{i}" for i in range(1200))
    assert list(many)[-1] == "a-long1200"


@quick
@given(names=st.lists(st.text(min_size=1, max_size=14), min_size=2, max_size=6, unique=True))
def test_short_names_are_strict_ones(tmp_path_factory, names):
    short = short_names(names)
    assert list(short.values()) == names
    for name in names:
        alone = pp.DistanceMatrix([1.0], [name, "x" if name != "x" else "y"])
        try:
            alone.save(tmp_path_factory.getbasetemp() / "alone.phy", strict=True)
        except pp.InputError:
            continue
        assert short[name] == name
    path = tmp_path_factory.mktemp("m") / "d.phy"
    pp.DistanceMatrix(np.ones(len(names) * (len(names) - 1) // 2), list(short)).save(
        path, strict=True
    )
    assert pp.DistanceMatrix.load(path, strict=True).ids == tuple(short)


def test_phylip_and_csv_errors_name_the_line(tmp_path):
    path = tmp_path / "d.phy"
    path.write_text("2\na 0 1_0\nb 1_0 0\n")
    with pytest.raises(pp.FileFormatError, match="line 2: '1_0' is not a number"):
        pp.DistanceMatrix.load(path)
    table = tmp_path / "d.csv"
    table.write_text("model,a,b\na,0,1_0\nb,1_0,0\n")
    with pytest.raises(pp.FileFormatError, match="line 2, column 'b': '1_0' is not a number"):
        pp.DistanceMatrix.load(table)
    path.write_text("3\na 0 1 2\n\nb 1 0\nc 2 3 0\n")
    with pytest.raises(pp.FileFormatError, match="line 4: row 'b' has 2 numbers"):
        pp.DistanceMatrix.load(path)


def test_strict_is_of_phylip(tmp_path):
    with pytest.raises(pp.InputError, match="strict is of PHYLIP files"):
        pp.DistanceMatrix([1.0], ["a", "c"]).save(tmp_path / "d.csv", strict=True)


@pytest.mark.parametrize(
    "text",
    [
        "3\nab cdefghi0 1 2\nb         1 0 3\nc         2 3 0\n",
        "3\nab cdefghi0 1\n 2\nb         1\n0 3\nc         2 3 0\n",
        "3\nab cdefghi\nb         1\nc         2 3\n",
        "3\nab cdefghi0\nb         1 0\nc         2 3 0\n",
    ],
)
def test_strict_phylip_forms(tmp_path, text):
    path = tmp_path / "d.phy"
    path.write_text(text)
    matrix = pp.DistanceMatrix.load(path, strict=True)
    assert matrix.ids == ("ab cdefghi", "b", "c")
    assert matrix.values.tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]


def test_strict_phylip_errors_name_the_line(tmp_path):
    path = tmp_path / "d.phy"
    path.write_text("2\na         0 1\n          1 0\n")
    with pytest.raises(pp.FileFormatError, match="line 3: no name in the first 10 columns"):
        pp.DistanceMatrix.load(path, strict=True)
    path.write_text("2\na         0 1\nb         1 x\n")
    with pytest.raises(pp.FileFormatError, match="line 3: 'x' is not a number"):
        pp.DistanceMatrix.load(path, strict=True)
