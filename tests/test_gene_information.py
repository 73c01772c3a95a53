"""What genes tell, against sums over pairs and probabilities written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from drawn_tables import drawn_table
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import table_of

import pyphylo as pp
from pyphylo._reference import Exact, Sampled
from pyphylo.stats import _gene_blocks

CELL = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 5), min_size=1, max_size=4).filter(
    lambda counts: sum(counts.values()) > 1
)
EXACT = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 9), min_size=1).map(
    lambda weights: Exact({a: w / (sum(weights.values()) + 1) for a, w in weights.items()})
)


@st.composite
def populations(draw):
    genes = ["g0", "g1"]
    cell = CELL.map(Sampled) | EXACT
    return {
        f"m{m}": {g: draw(cell) for g in genes if g == "g0" or draw(st.integers(0, 3))}
        for m in range(draw(st.integers(2, 7)))
    }


def of_gene(models, gene):
    return {m: cells[gene] for m, cells in models.items() if gene in cells}


def product(a, b):
    p, q = a.frequencies(), b.frequencies()
    return float(sum(p[allele] * q.get(allele, 0) for allele in p))


def slow_diversity(cells):
    k = len(cells)
    within = 1 - np.mean([float(c.self_term("unbiased")) for c in cells.values()])
    pairs = [product(a, b) for a, b in itertools.permutations(cells.values(), 2)]
    total = 1 - np.mean(pairs) if pairs else np.nan
    private = [
        sum(
            float(p)
            for allele, p in c.frequencies().items()
            if not any(allele in d.frequencies() for other, d in cells.items() if other != m)
        )
        for m, c in cells.items()
    ]
    return k, within, total, np.mean(private) if k > 1 else np.nan


def slow_information(cells, groups):
    """I(A; F) from the joint distribution as a dict."""
    told = {m: c for m, c in cells.items() if groups.get(m)}
    joint: dict[tuple[str, str], float] = {}
    for m, c in told.items():
        p = {a: float(v) for a, v in c.frequencies().items()}
        for allele, value in p.items():
            key = groups[m], allele
            joint[key] = joint.get(key, 0.0) + value / sum(p.values()) / len(told)
    alleles, shares = {}, {}
    for (group, allele), value in joint.items():
        alleles[allele] = alleles.get(allele, 0.0) + value
        shares[group] = shares.get(group, 0.0) + value
    return sum(v * math.log2(v / alleles[a] / shares[g]) for (g, a), v in joint.items())


def slow_r2(cells, scores, groups):
    """A prediction a model, from the others outside its group."""
    told = [m for m in cells if m in scores]
    miss = spread = used = 0
    for m in told:
        others = [
            o for o in told if o != m and (groups.get(o) is None or groups.get(o) != groups.get(m))
        ]
        if not others:
            continue
        weights = [product(cells[m], cells[o]) for o in others]
        mean = np.mean([scores[o] for o in others])
        found = (mean + sum(w * scores[o] for w, o in zip(weights, others, strict=True))) / (
            1 + sum(weights)
        )
        miss += (scores[m] - found) ** 2
        spread += (scores[m] - mean) ** 2
        used += 1
    return 1 - miss / spread if used > 2 and spread > 1e-9 else None


@settings(max_examples=60)
@given(populations())
def test_diversity_equals_sums_over_pairs(models):
    table = table_of(models)
    found = pp.gene_information(table).set_index("gene")
    for gene in table.genes:
        k, within, total, private = slow_diversity(of_gene(models, gene))
        row = found.loc[gene]
        assert row["models"] == k
        np.testing.assert_allclose(
            [row["within"], row["total"], row["between"], row["private"]],
            [within, total, total - within, private],
            atol=1e-12,
        )
        if total > 1e-9:
            assert row["fst"] == pytest.approx(1 - within / total, abs=1e-9)


@settings(max_examples=60)
@given(populations(), st.data())
def test_information_and_scores_equal_their_definitions(models, data):
    from pyphylo.stats._gene_groups import mutual_information
    from pyphylo.stats._gene_scores import score_r2
    from pyphylo.stats._model_labels import group_codes

    groups = {m: data.draw(st.sampled_from(["x", "y", "z", None])) for m in models}
    scores = {m: data.draw(st.sampled_from([0.0, 0.5, 1.0, 7.0])) for m in models}
    table = table_of(models)
    (block,) = _gene_blocks.gene_blocks(table)
    code = np.full(len(models), -1)
    if any(groups.values()):
        code, _ = group_codes(groups, table.models)
        found, _ = mutual_information(block, code)
        for g, gene in enumerate(table.genes):
            cells = of_gene(models, gene)
            if any(groups[m] for m in cells):
                assert found[g] == pytest.approx(slow_information(cells, groups), abs=1e-12)
            else:
                assert np.isnan(found[g])
    y = np.array([scores[m] for m in table.models])
    r2 = score_r2(block, y, code)
    for g, gene in enumerate(table.genes):
        expected = slow_r2(of_gene(models, gene), scores, groups)
        if expected is None:
            assert np.isnan(r2[g])
        else:
            assert r2[g] == pytest.approx(expected, abs=1e-9)


def test_blocks_of_genes_make_no_difference(monkeypatch):
    table = drawn_table(0, 12, 9, 20, 8, missing=0.1)
    groups = {f"m{i}": "xyz"[i % 3] for i in range(12)}
    scores = {f"m{i}": i / 12 for i in range(11)}
    whole = pp.gene_information(table, groups, scores)
    monkeypatch.setattr(_gene_blocks, "_ENTRIES", 200)
    assert len(list(_gene_blocks.gene_blocks(table))) > 2
    pd.testing.assert_frame_equal(pp.gene_information(table, groups, scores), whole, rtol=1e-12)


def test_genes_of_known_kinds():
    """One tells the family, one is constant, one private, one noise; scores go by family."""
    rng = np.random.default_rng(1)
    n, rows = 24, []
    for m in range(n):
        family = m % 4
        said = {
            "family": ["ab"[family % 2] + str(family)] * 14 + ["c"] * 2,
            "constant": ["yes"] * 16,
            "private": [f"#{m}"] * 16,
            "noise": rng.choice(list("uvwxyz"), 16).tolist(),
        }
        rows += [(f"m{m:02}", gene, text) for gene, texts in said.items() for text in texts]
    table = pp.AlleleTable.from_records(rows)
    groups = {f"m{m:02}": f"f{m % 4}" for m in range(n)}
    # Leaving one out, its family is still there: scores need no groups here.
    scores = {f"m{m:02}": (m % 4) + 0.01 * m for m in range(n)}
    told = pp.gene_information(table, groups).set_index("gene")
    assert told.loc["family", "group_share"] > 0.75
    assert told.loc["family", "fst"] > 0.6
    assert told.loc["noise", "group_share"] < 0.1
    assert abs(told.loc["noise", "fst"]) < 0.05
    assert told.loc["constant", "group_information"] == pytest.approx(0, abs=1e-12)
    assert np.isnan(told.loc["constant", "fst"])
    # Private alleles give every model away, whatever group it is dealt: no more than chance.
    assert np.isnan(told.loc["private", "group_share"])
    assert told.loc["private", "fst"] == pytest.approx(1)
    assert told["private"].round(9).to_dict() == {
        "family": 0, "constant": 0, "private": 1, "noise": 0,
    }  # fmt: skip
    r2 = pp.gene_information(table, scores=scores).set_index("gene")["score_r2"]
    assert r2["family"] > 0.8
    assert r2["constant"] == pytest.approx(0, abs=1e-12)
    assert r2["private"] == pytest.approx(0, abs=1e-12)
    assert r2["noise"] < 0.2


def test_series_are_taken_and_names_that_are_no_models_passed_over():
    table = drawn_table(3, 6, 3, 5, 6)
    groups = {f"m{i}": "ab"[i % 2] for i in range(6)}
    one = pp.gene_information(table, {**groups, "nobody": "c"})
    other = pp.gene_information(table, pd.Series(groups))
    pd.testing.assert_frame_equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": {"x": "a"}}, "none of the table's models"),
        ({"groups": dict.fromkeys(["m0", "m1"], "a")}, "one name 'a'"),
        ({"groups": {"m0": 3}}, "'m0' must be a string, not 3"),
        ({"groups": ["a", "b"]}, "a mapping from model to value"),
        ({"scores": {"m0": 1.0}}, "known of 1 of the table's 4 models"),
        ({"scores": {"m0": "high", "m1": 1, "m2": 2}}, "'m0' must be a number, not 'high'"),
        ({"scores": pd.Series([1.0, 2.0], index=["m0", "m0"])}, "'m0' occurs twice"),
        ({"n_permutations": 0}, "n_permutations"),
    ],
)
def test_bad_input(options, message):
    with pytest.raises(pp.InputError, match=message):
        pp.gene_information(drawn_table(0, 4, 2, 4, 4), **options)


def test_models_of_one_probe_are_named():
    table = pp.AlleleTable.from_records([("a", "g", "x"), ("a", "g", "x"), ("b", "g", "y")])
    with pytest.raises(pp.InputError, match="two probes of a gene; no gene has them in 'b'"):
        pp.gene_information(table)


def test_an_empty_table_is_refused():
    with pytest.raises(pp.InputError, match="empty"):
        pp.gene_information(pp.AlleleTable.from_counts(["a"], ["g"], [], [], [], []))
