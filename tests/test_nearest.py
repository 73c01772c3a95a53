"""The closest relatives of one model against all pairs, which know the same and more."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from drawn_tables import drawn_table, quiet
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo._one_against_all import OneAgainstAll
from pyphylo.simulate import simulate_table

KINDS = [
    {"n": 32},
    {"n": 8, "missing": 0.3},
    {"n": 16, "varying": True},
    {"n": 16, "varying": True, "missing": 0.3},
]


def row_of(table, model, matrix):
    """A model's row of a square matrix, without itself, by name."""
    i = table.models.index(model)
    return {name: matrix[i, j] for j, name in enumerate(table.models) if j != i}


def errors_by_similarity(errors):
    """The distances' errors from those of the similarities; none where nothing is shared."""
    S = errors.square("similarity")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(S > 0, errors.square("similarity_error") / S, np.nan)


@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
@pytest.mark.parametrize("kind", KINDS)
def test_all_columns_equal_those_of_all_pairs(kind, estimator):
    table = drawn_table(3, 12, 20, 9, **kind)
    S = quiet(pp.nei_similarity, table, estimator=estimator).values
    errors = quiet(pp.similarity_errors, table, estimator=estimator)
    for model in table.models:
        found = quiet(pp.nearest, model, table, 0, estimator=estimator).set_index("model")
        for column, matrix in (
            ("similarity", S),
            ("distance", errors.square("distance")),
            ("error", errors_by_similarity(errors)),
        ):
            expected = row_of(table, model, matrix)
            assert set(found.index) == set(expected)
            values = [expected[name] for name in found.index]
            np.testing.assert_allclose(found[column], values, rtol=1e-11, atol=1e-13)
            if column == "similarity" and not kind.get("varying"):
                assert found[column].tolist() == values  # whole numbers: the same bits
        np.testing.assert_allclose(
            found["upper"] - found["distance"], 1.959963984540054 * found["error"]
        )
        assert (found["lower"] >= 0).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(1, 6), st.sampled_from(KINDS))
def test_odd_shapes(seed, models, genes, kind):
    table = drawn_table(seed, models, genes, 3, **kind)
    S = quiet(pp.nei_similarity, table)
    errors = errors_by_similarity(quiet(pp.similarity_errors, table))
    found = quiet(pp.nearest, "m0", table, 0)
    expected = row_of(table, "m0", errors)
    assert set(found["model"]) == {m for m in table.models[1:] if not np.isnan(S["m0", m])}
    np.testing.assert_allclose(
        found["error"], [expected[m] for m in found["model"]], rtol=1e-9, atol=1e-12
    )


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(KINDS), st.sampled_from(["plugin", "unbiased"]))
def test_replicates_equal_those_of_all_pairs(seed, kind, estimator):
    table = drawn_table(seed, 5, 7, 4, **kind)
    weights = pp.gene_weights(7, n=40, seed=seed)
    slow = quiet(pp.resample_similarity, table, weights, estimator=estimator, dtype="float64")
    try:
        pairs = quiet(OneAgainstAll, table, 0, estimator, 1, 2)
    except pp.InputError:
        return
    fast = np.concatenate(list(pairs.replicates(weights)))
    assert fast.shape == (40, 5)
    np.testing.assert_allclose(fast[:, 1:], slow.array()[:, :4], rtol=1e-12, atol=1e-14)


def test_the_closest_come_first_and_ties_by_name():
    records = [("x", "g", "a"), ("x", "g", "b")]
    records += [(name, "g", "a") for name in ("q", "é", "b", "p")]
    records += [("far", "g", "c"), ("near", "g", "a"), ("near", "g", "b")]
    table = pp.AlleleTable.from_records(records)
    found = pp.nearest("x", table, 0)
    assert found["model"].tolist() == ["near", "b", "p", "q", "é", "far"]
    assert pp.nearest("x", table, 3)["model"].tolist() == ["near", "b", "p"]
    assert pp.nearest("x", table)["model"].tolist() == found["model"].tolist()
    assert np.isnan(found["error"]).all()  # a single gene
    assert found.columns.tolist() == [
        "model", "similarity", "distance", "error", "lower", "upper",
    ]  # fmt: skip


def test_a_model_that_the_table_lacks():
    table = simulate_table(30, 16, seed=1)
    name = table.models[4]
    rest = table.select(models=[m for m in table.models if m != name])
    joined = pp.nearest(table.select(models=[name]), rest)
    assert joined.equals(pp.nearest(name, table))
    with pytest.raises(pp.InputError, match="occurs twice"):
        pp.nearest(table.select(models=[name]), table)
    with pytest.raises(pp.InputError, match="one model is wanted, not of 2"):
        pp.nearest(table.select(models=table.models[:2]), rest)


def test_threads_change_nothing():
    table = simulate_table(600, 12, seed=2)
    one, two = (pp.nearest(table.models[7], table, 0, n_threads=n) for n in (1, 2))
    assert one.equals(two)


def test_models_without_a_common_gene_are_named_and_left_out():
    table = pp.AlleleTable.from_records([("a", "g", "x"), ("b", "g", "x"), ("c", "h", "x")])
    with pytest.warns(pp.PyphyloWarning, match="'c' cannot be compared with 'a'"):
        assert pp.nearest("a", table)["model"].tolist() == ["b"]


def test_a_cell_of_one_probe_is_missing_under_unbiased():
    rows = [("a", "g", "x"), ("a", "g", "x"), ("b", "g", "x"), ("b", "g", "x")]
    rows += [("a", "h", "x"), ("b", "h", "y"), ("b", "h", "y")]
    table = pp.AlleleTable.from_records(rows)
    with pytest.warns(pp.PyphyloWarning, match="1 cells have fewer") as caught:
        found = pp.nearest("a", table, estimator="unbiased")
    assert caught[0].filename == __file__
    assert found["similarity"].tolist() == [1.0]


def test_bad_calls():
    table = simulate_table(5, 4)
    with pytest.raises(pp.InputError, match=r"no model .* did you mean 'family-"):
        pp.nearest(table.models[0][:-1], table)
    for bad, message in (
        ({"k": -1}, "k must be"),
        ({"confidence": 1}, "confidence must be between"),
        ({"confidence": "x"}, "confidence must be between"),
        ({"estimator": "best"}, "unknown estimator 'best'"),
        ({"n_threads": -1}, "n_threads"),
    ):
        with pytest.raises(pp.InputError, match=message):
            pp.nearest(table.models[0], table, **bad)
    with pytest.raises(pp.InputError, match="no other model"):
        pp.nearest(table.models[0], table.select(models=table.models[:1]))
    with pytest.raises(pp.InputError, match="must be a name or an AlleleTable"):
        pp.nearest(3, table)
    with pytest.raises(pp.InputError, match="AlleleTable or a SampleStore is wanted, not int"):
        pp.nearest("a", 3)
    with pytest.raises(pp.InputError, match="does not exist"):
        pp.nearest("a", "no/such/folder")


def test_numbers_that_could_not_be_exact_are_refused():
    table = pp.AlleleTable.from_counts(["a", "b"], ["g"], [0, 1], [0, 0], ["x", "x"], [10**8] * 2)
    with pytest.raises(pp.InputError, match=r"exceed 2\^53"):
        pp.nearest("a", table)


def test_exact_and_hybrid_cells():
    table = pp.AlleleTable.from_hybrid(
        ["a", "b", "c"],
        ["g", "h"],
        [0, 0, 1, 1, 2, 2, 0, 1, 2],
        [0, 0, 0, 0, 0, 0, 1, 1, 1],
        ["x", "y", "x", "y", "x", "y", "x", "x", "z"],
        probabilities=[0.5, 0.2, 0.3, 0.0, 0.9, 0.1, 1.0, 0.5, 0.5],
        counts=[1, 3, 2, 2, 0, 0, 0, 0, 0],
        undecided=[0.3, 0.3, 0.7, 0.7, 0.0, 0.0, 0.0, 0.0, 0.0],
    )
    for estimator in ("plugin", "unbiased"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = pp.nearest("a", table, estimator=estimator)
        S = pp.nei_similarity(table, estimator=estimator)
        np.testing.assert_allclose(
            found["similarity"], [S["a", m] for m in found["model"]], rtol=1e-13
        )


def far_relatives():
    """x and models that share an allele with it in 0, 1, 2 and 20 of 20 genes."""
    records = []
    for model, common in (("x", 20), ("none", 0), ("one", 1), ("two", 2), ("all", 20)):
        for gene in range(20):
            alleles = ("a", "b") if gene < common else (f"{model} a", f"{model} b")
            records += [(model, f"g{gene:02}", allele) for allele in alleles]
    return pp.AlleleTable.from_records(records)


def test_the_floor_of_the_distance_is_no_part_of_its_error():
    """Without the one common gene S is 0: the floor, 23, must not pass for 18 errors."""
    found = pp.nearest("x", far_relatives(), 0).set_index("model")
    assert found["error"]["all"] == 0
    assert 0.5 < found["error"]["two"] < found["error"]["one"] < 1.1
    assert found["lower"]["one"] > 0
    assert found["upper"]["one"] < 6
    # Nothing in common: no gene shows how S spreads, so no error, rather than none at all.
    assert found["distance"]["none"] == pytest.approx(23.02585)
    assert found.loc["none", ["error", "lower", "upper"]].isna().all()


def test_an_unbiased_similarity_above_1_keeps_its_error():
    table = drawn_table(5, 6, 30, 4, 6)
    found = pd.concat([pp.nearest(m, table, 0, estimator="unbiased") for m in table.models])
    above = found[found["similarity"] > 1]
    assert len(above) > 1
    assert (above["distance"] == 0).all()
    assert (above["error"] > 0.01).all()
    np.testing.assert_allclose(above["upper"], 1.959963984540054 * above["error"])
