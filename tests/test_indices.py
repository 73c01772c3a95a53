"""The other genetic distances against the oracle, and against themselves however they are run."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon, squareform
from strategies import integer_populations, mixed_populations, table_of

import pyphylo as pp
from pyphylo import _reference
from pyphylo._reference import Exact, Sampled
from pyphylo.cli import main
from pyphylo.indices import INDICES, RectangularDistance

quick = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TINY = 1e-30
ROUNDED = 1e-16
"""Frequencies that are equal but for their last bit, one from counts, may be told apart or not."""
"""What the oracle's decimals leave of zero."""
every_index = pytest.mark.parametrize("index", list(INDICES))


def distance(table, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        return np.asarray(pp.genetic_distance(table, **options))


def expected(populations, index, others=None):
    rows, columns = list(populations.values()), list((others or populations).values())
    D = np.array([[_reference.genetic_distance(a, b, index) for b in columns] for a in rows])
    if others is None:
        np.fill_diagonal(D, 0.0)
    return D


@quick
@given(
    integer_populations() | mixed_populations(), st.sampled_from(list(INDICES)), st.integers(1, 3)
)
def test_square_equals_the_oracle(populations, index, threads):
    D = distance(table_of(populations), index=index, n_threads=threads)
    np.testing.assert_allclose(D, expected(populations, index), rtol=1e-12, atol=ROUNDED)
    assert (np.diagonal(D) == 0).all()
    assert np.array_equal(D, D.T, equal_nan=True)


@quick
@given(
    integer_populations() | mixed_populations(),
    integer_populations() | mixed_populations(),
    st.sampled_from(list(INDICES)),
)
def test_rectangular_equals_the_oracle(rows, columns, index):
    D = distance(table_of(rows), other=table_of(columns), index=index)
    np.testing.assert_allclose(D, expected(rows, index, columns), rtol=1e-12, atol=ROUNDED)


@quick
@given(mixed_populations(), st.sampled_from(list(INDICES)), st.randoms())
def test_order_and_company_do_not_change_bits(populations, index, random):
    table = table_of(populations)
    D = distance(table, index=index)
    kept = random.sample(table.models, random.randint(1, len(table.models)))
    where = [table.models.index(name) for name in kept]
    alone = distance(table.select(models=kept), index=index)
    assert np.array_equal(alone, D[np.ix_(where, where)], equal_nan=True)


@st.composite
def near_cells(draw):
    """Two cells of frequencies that differ by anything from nothing to much."""
    p = np.array(draw(st.lists(st.floats(1e-3, 1), min_size=1, max_size=6)))
    p *= draw(st.floats(0.5, 1)) / p.sum()
    scale = 10.0 ** -draw(st.integers(0, 15))
    shift = draw(st.lists(st.floats(-0.9, 0.9), min_size=len(p), max_size=len(p)))
    q = p * (1 + scale * np.array(shift))
    q = q if q.sum() < 1 else q / q.sum()
    names = [f"a{i}" for i in range(len(p))]
    return tuple(Exact(dict(zip(names, x.tolist(), strict=True))) for x in (p, q))


@quick
@given(near_cells(), st.sampled_from(list(INDICES)))
def test_close_cells_do_not_cancel(cells, index):
    a, b = ({"g": cell} for cell in cells)
    D = distance(table_of({"a": a, "b": b}), index=index)[0, 1]
    wanted = _reference.genetic_distance(a, b, index)
    np.testing.assert_allclose(D, wanted, rtol=1e-12, atol=TINY)
    assert D >= 0


def random_table(seed, models=70, genes=9, missing=0.0, exact=False):
    """Families of near relatives; n differs between models, or cells are exact."""
    rng = np.random.default_rng(seed)
    model, gene, allele, value = [], [], [], []
    base = rng.zipf(1.7, (5, genes, 32)) % 50
    for m in range(models):
        drawn = base[m % 5].copy()
        drawn[rng.random(drawn.shape) < 0.1] = 50 + m
        for g in range(genes):
            if rng.random() < missing:
                continue
            alleles, counts = np.unique(drawn[g], return_counts=True)
            model += [m] * len(alleles)
            gene += [g] * len(alleles)
            allele += [f"a{k}" for k in alleles]
            value += list(counts * rng.uniform(0.5, 1, len(counts)) / 32 if exact else counts)
    names = [f"m{i}" for i in range(models)], [f"g{i}" for i in range(genes)]
    build = pp.AlleleTable.from_probabilities if exact else pp.AlleleTable.from_counts
    return build(*names, model, gene, allele, np.array(value))


@every_index
@pytest.mark.parametrize(("missing", "exact"), [(0.0, False), (0.3, False), (0.2, True)])
def test_threads_do_not_change_bits(index, missing, exact):
    table = random_table(1, models=300, missing=missing, exact=exact)
    one = distance(table, index=index, n_threads=1)
    for threads in (0, 2, 5):
        many = distance(table, index=index, n_threads=threads)
        assert np.array_equal(one, many, equal_nan=True)


@every_index
def test_tiles_do_not_change_bits(index):
    """More models than are gathered at once: each pair is as in a table of its own."""
    table = random_table(2, models=1100, genes=2)
    D = distance(table, index=index)
    for names in (table.models[1000:], table.models[:40] + table.models[1060:]):
        where = [table.models.index(name) for name in names]
        few = distance(table.select(models=names), index=index)
        assert np.array_equal(few, D[np.ix_(where, where)])
    half = table.select(models=table.models[:30])
    rest = table.select(models=table.models[30:])
    assert np.array_equal(D[:30, 30:], distance(half, other=rest, index=index))


@every_index
def test_many_frequencies_do_not_change_bits(index):
    """Logarithms are looked up where few frequencies differ, and taken where many do."""
    few, many = random_table(3, models=20), random_table(4, models=60, exact=True)
    assert len(np.unique(many._core.probabilities)) > 512
    square = distance(few.join(many), index=index)
    assert np.array_equal(square[:20, :20], distance(few, index=index))
    assert np.array_equal(square[20:, 20:], distance(many, index=index))


@every_index
@pytest.mark.parametrize("missing", [0.0, 0.5])
def test_float32_and_condensed(index, missing):
    table = random_table(5, models=40, genes=3, missing=missing)
    D = distance(table, index=index)
    single = distance(table, index=index, dtype=np.float32)
    assert single.dtype == np.float32
    assert np.array_equal(single, D.astype(np.float32), equal_nan=True)
    for dtype, whole in (("float64", D), ("float32", single)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pp.PyphyloWarning)
            half = pp.genetic_distance(table, index=index, condensed=True, dtype=dtype)
        assert half.stored.ndim == 1
        assert half.dtype == dtype
        assert np.array_equal(squareform(half.condensed), whole, equal_nan=True)


@every_index
@pytest.mark.parametrize("exact", [False, True])
def test_equal_populations_are_at_zero(index, exact):
    """Whatever their numbers of probes, and whatever was pruned."""
    table = random_table(6, models=3, exact=exact)
    frame = table.to_frame()
    values = frame["probability" if exact else "count"].to_numpy()
    build = pp.AlleleTable.from_probabilities if exact else pp.AlleleTable.from_counts
    twin = build(
        [f"twin of {name}" for name in table.models],
        table.genes,
        [table.models.index(name) for name in frame["model"]],
        [table.genes.index(name) for name in frame["gene"]],
        frame["allele"].tolist(),
        values if exact else 7 * values,
    )
    D = distance(table, other=twin, index=index)
    assert (np.diagonal(D) == 0).all()
    assert (D[~np.eye(3, dtype=bool)] > 0).all()


@every_index
def test_nothing_shared_is_as_far_as_it_gets(index):
    table = table_of({"a": {"g": Sampled({"x": 3, "y": 7})}, "b": {"g": Sampled({"z": 5, "w": 5})}})
    furthest = {"da": 1.0, "chord": 2 * math.sqrt(2) / math.pi, "jsd": 1.0}
    furthest["rogers"] = math.sqrt((0.09 + 0.49 + 0.25 + 0.25) / 2)
    assert distance(table, index=index)[0, 1] == pytest.approx(furthest[index], rel=1e-15)


def test_values_by_hand():
    table = table_of({"a": {"g": Sampled({"x": 1, "y": 3})}, "b": {"g": Sampled({"x": 4})}})
    values = {index: distance(table, index=index)[0, 1] for index in INDICES}
    assert values["da"] == 0.5
    assert values["chord"] == pytest.approx(2 / math.pi, rel=1e-15)
    assert values["rogers"] == 0.75
    assert values["jsd"] == pytest.approx(jensenshannon([0.25, 0.75], [1, 0], base=2) ** 2)


def test_pruned_mass_is_not_a_difference():
    populations = {"a": {"g": Exact({"x": 0.5, "y": 0.3})}, "b": {"g": Exact({"x": 0.5})}}
    D = {index: distance(table_of(populations), index=index)[0, 1] for index in INDICES}
    assert D["da"] == pytest.approx(0.15)
    assert D["chord"] == pytest.approx(2 / math.pi * math.sqrt(0.3))
    assert D["rogers"] == pytest.approx(0.3 / math.sqrt(2))
    assert D["jsd"] == pytest.approx(0.15)


def test_huge_counts():
    n = 2**31 - 1
    cells = {
        "a": Sampled({"x": n, "y": n}),
        "b": Sampled({"x": n, "y": n - 1}),
        "c": Sampled({"x": 1}),
    }
    populations = {name: {"g": cell} for name, cell in cells.items()}
    for index in INDICES:
        D = distance(table_of(populations), index=index)
        np.testing.assert_allclose(D, expected(populations, index), rtol=1e-6, atol=1e-16)
        assert D[0, 1] > 0


@every_index
def test_nothing_in_common_is_nan_by_name(index):
    table = pp.AlleleTable.from_counts(
        ["left", "right", "both", "none"],
        ["g", "h"],
        [0, 1, 2, 2],
        [0, 1, 0, 1],
        ["x"] * 4,
        [3] * 4,
    )
    with pytest.warns(pp.PyphyloWarning, match="'left' and 'right', 'left' and 'none'"):
        D = pp.genetic_distance(table, index=index)
    assert math.isnan(D["left", "right"])
    assert D["left", "both"] == D["none", "none"] == 0
    with pytest.warns(pp.PyphyloWarning) as caught:
        flat = pp.genetic_distance(table, index=index, condensed=True)
    assert np.isnan(flat.condensed).tolist() == [True, False, True, False, True, True]
    assert str(caught[0].message).endswith(
        "'left' and 'right', 'left' and 'none', 'right' and 'none', 'both' and 'none'"
    )
    with pytest.warns(pp.PyphyloWarning, match="'both' and 'none' and 4 more$"):
        pp.genetic_distance(table, table, index=index)


def test_results_say_what_they_are():
    table = random_table(7, models=4)
    D = pp.genetic_distance(table, index="rogers")
    assert isinstance(D, pp.DistanceMatrix)
    assert D.ids == table.models
    assert D.provenance["index"] == "rogers"
    half = table.select(models=["m1"])
    R = pp.genetic_distance(half, table, index="rogers")
    assert isinstance(R, RectangularDistance)
    assert (R.ids, R.other_ids) == (("m1",), table.models)
    assert repr(R) == "RectangularDistance(1 x 4 models)"
    assert R.to_frame().loc["m1", "m2"] == D["m1", "m2"]
    assert np.asarray(R, dtype=np.float32).dtype == np.float32
    assert pp.genetic_distance(table) == pp.genetic_distance(table, index="da")


def test_one_model():
    table = random_table(8, models=1)
    assert pp.genetic_distance(table).values.tolist() == [[0]]
    assert pp.genetic_distance(table, condensed=True).stored.shape == (0,)


def test_wrong_calls_are_refused():
    table = random_table(9, models=2)
    with pytest.raises(pp.InputError, match="not ndarray"):
        pp.genetic_distance(np.eye(3))
    with pytest.raises(pp.InputError, match="not ndarray"):
        pp.genetic_distance(table, np.eye(3))
    for index in ("nei", None, ["da"]):
        with pytest.raises(pp.InputError, match="'da', 'chord', 'rogers', 'jsd'"):
            pp.genetic_distance(table, index=index)
    for dtype in ("float16", int, "nothing"):
        with pytest.raises(pp.InputError, match="'float32' or 'float64'"):
            pp.genetic_distance(table, dtype=dtype)
    for threads in (-1, 1.5, True):
        with pytest.raises(pp.InputError, match="n_threads"):
            pp.genetic_distance(table, n_threads=threads)
    with pytest.raises(pp.InputError, match="condensed"):
        pp.genetic_distance(table, table, condensed=True)
    empty = pp.AlleleTable.from_counts([], ["g"], [], [], [], [])
    with pytest.raises(pp.InputError, match="no models"):
        pp.genetic_distance(empty)
    with pytest.raises(pp.InputError, match="no models"):
        pp.genetic_distance(table, empty)


def test_what_does_not_fit_is_refused(monkeypatch):
    table = random_table(10, models=20)
    monkeypatch.setattr("pyphylo._memory.available_bytes", lambda: 1000)
    monkeypatch.setattr("pyphylo._memory.ASKED_FROM", 0)
    with pytest.raises(MemoryError, match=r"distances need .* only 1000 bytes"):
        pp.genetic_distance(table)


@pytest.fixture
def store(tmp_path):
    rows = [
        f'{{"model": "{model}", "gene": "{gene}", "completion": "{letter}"}}\n'
        for model, letters in {"a": "xxxy", "b": "xxyy", "c": "zzzy"}.items()
        for gene in "gh"
        for letter in letters
    ]
    (tmp_path / "completions.jsonl").write_text("".join(rows))
    path = tmp_path / "store"
    assert main(["import", str(tmp_path / "completions.jsonl"), "--store", str(path)]) == 0
    return path


@every_index
def test_command(store, tmp_path, index):
    target = tmp_path / "d.npz"
    assert main(["distance", str(store), "-o", str(target), "--index", index]) == 0
    table = pp.AlleleTable.from_store(pp.SampleStore.open(store))
    D = pp.DistanceMatrix.load(target)
    assert pp.genetic_distance(table, index=index) == D
    assert D.provenance["index"] == index


def test_command_refuses_an_estimator(store, tmp_path, capsys):
    target = tmp_path / "d.npz"
    call = ["distance", str(store), "-o", str(target), "--index", "da", "--estimator", "plugin"]
    assert main(call) == 2
    assert "--estimator plugin is of --index nei" in capsys.readouterr().err
    assert not target.exists()
    assert main([*call[:4], "--estimator", "unbiased"]) == 0
    expected = pp.nei_distance(
        pp.AlleleTable.from_store(pp.SampleStore.open(store)), estimator="unbiased"
    )
    assert pp.DistanceMatrix.load(target) == expected
