"""Variances of genes and probes, and the plans they lead to."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.plot import surface_figure
from pyphylo.simulate import simulate_history
from pyphylo.stats import plan_sampling, variance_components
from pyphylo.stats._gene_terms import model_terms, pair_terms
from pyphylo.stats.planning import error_surface, typical_components
from pyphylo.stats.variance import _parts


def samples_of(n, k):
    """All ways in which n probes fall on k alleles."""
    for bars in itertools.combinations(range(n + k - 1), k - 1):
        edges = [-1, *bars, n + k - 1]
        yield tuple(b - a - 1 for a, b in itertools.pairwise(edges))


def chance(counts, p):
    value = math.factorial(sum(counts))
    for c, x in zip(counts, p, strict=True):
        value *= x**c / math.factorial(c)
    return value


def every_sample(p, q, n, m):
    """A table with one gene for each pair of samples, and how likely each is."""
    pairs = list(itertools.product(samples_of(n, len(p)), samples_of(m, len(q))))
    rows = [
        (side, g, f"allele {k}", c)
        for g, pair in enumerate(pairs)
        for side, counts in enumerate(pair)
        for k, c in enumerate(counts)
    ]
    genes = [f"gene {g}" for g in range(len(pairs))]
    table = pp.AlleleTable.from_counts(["A", "B"], genes, *zip(*rows, strict=True))
    return table, np.array([chance(x, p) * chance(y, q) for x, y in pairs])


def frequencies(k):
    parts = st.lists(st.integers(0, 5), min_size=k, max_size=k).filter(any)
    return parts.map(lambda x: np.array(x) / sum(x))


@settings(max_examples=25, deadline=None)
@given(frequencies(3), frequencies(3), st.integers(4, 5), st.integers(4, 6), st.data())
def test_terms_are_unbiased_over_every_sample(p, q, n, m, data):
    """The expectation over all samples, summed up, is the polynomial of the frequencies."""
    table, chances = every_sample(p, q, n, m)
    a, b = model_terms(table._core)
    terms = pair_terms(a, b)
    product, own, others = (p * q).sum(), (p * p).sum(), (q * q).sum()
    for values, truth in (
        (terms.product, product),
        (terms.left, (p * p * q).sum()),
        (terms.right, (p * q * q).sum()),
        (terms.squared, product**2),
        (terms.with_left, product * own),
        (terms.with_right, product * others),
        (a.square, own),
        (a.cube, (p**3).sum()),
        (a.fourth, (p**4).sum()),
        (a.squared, own**2),
        (b.squared, others**2),
    ):
        assert (values * chances).sum() == pytest.approx(truth, abs=1e-12)
    weights = np.array([data.draw(st.floats(-2, 2)) for _ in range(3)])
    z = weights @ np.stack([terms.product, a.square, b.square])
    variance = (z * z * chances).sum() - (z * chances).sum() ** 2
    sizes = (n, m, n * m, n * (n - 1), m * (m - 1))
    parts = _parts(terms, a, b, weights)
    stated = sum((part * chances).sum() / k for part, k in zip(parts, sizes, strict=True))
    assert stated == pytest.approx(variance, abs=1e-12)


def pooled_error(history, genes, probes, repeats, seed=0):
    """Root mean square error of the unbiased S of one pair, over samples of genes and probes."""
    rng = np.random.default_rng(seed)
    p = [history.frequencies(m) for m in history.models[:2]]
    p = [x / x.sum(1, keepdims=True) for x in p]
    own = [(x * x).sum(1).mean() for x in p]
    truth = (p[0] * p[1]).sum(1).mean() / math.sqrt(own[0] * own[1])
    errors = []
    for _ in range(repeats):
        chosen = rng.integers(0, len(p[0]), genes)
        x, y = (rng.multinomial(probes, one[chosen]) for one in p)
        top = (x * y).sum() / probes**2
        squares = [((c * c).sum() - c.sum()) / (probes * (probes - 1)) for c in (x, y)]
        errors.append(top / math.sqrt(squares[0] * squares[1]) - truth)
    return math.sqrt(np.mean(np.square(errors)))


def test_the_error_stated_is_the_error_made():
    """From one store of 8 probes, at other numbers of genes and of probes."""
    history = simulate_history(2, 4000, 8, seed=3)
    parts = variance_components(history.table)
    for genes, probes in ((64, 4), (64, 32), (256, 8)):
        made = pooled_error(history, genes, probes, 400)
        assert float(parts.error(genes, probes)) == pytest.approx(made, rel=0.12)
    exact = variance_components(history.exact_table())
    assert exact.observed[0] == 0
    assert exact.between[0] == pytest.approx(parts.between[0], rel=0.15)
    np.testing.assert_allclose(exact.within, parts.within, rtol=0.1)


def test_within_these_genes_probes_alone_count():
    history = simulate_history(2, 100, 16, seed=5)
    parts = variance_components(history.exact_table())
    rng = np.random.default_rng(0)
    p = [history.frequencies(m) for m in history.models]
    found = []
    for _ in range(600):
        x, y = (rng.multinomial(16, one / one.sum(1, keepdims=True)) for one in p)
        squares = [((c * c).sum() - c.sum()) / (16 * 15) for c in (x, y)]
        found.append((x * y).sum() / 16**2 / math.sqrt(squares[0] * squares[1]))
    stated = float(parts.error(100, 16, fixed_genes=True))
    assert stated == pytest.approx(np.std(found), rel=0.12)
    assert stated < float(parts.error(100, 16))


def test_the_plug_in_costs_more_probes():
    parts = variance_components(simulate_history(5, 128, 32, seed=1).table)
    assert parts.error(128, 8) < parts.plugin_error(128, 32)
    assert parts.plugin_error(128, 10**6) == pytest.approx(parts.error(128, 10**6), rel=1e-3)


def test_distances_weigh_far_pairs_more():
    parts = variance_components(simulate_history(5, 128, 32, seed=1).table)
    one = variance_components(simulate_history(5, 128, 32, seed=1).table, [parts.pairs[0]])
    assert one.error(128, 32, quantity="distance") == pytest.approx(
        one.error(128, 32) / one.similarity[0]
    )
    frame = parts.to_frame()
    assert len(frame) == len(parts) == 10
    assert (frame["probe_se"] > 0).all()


@settings(max_examples=60, deadline=None)
@given(st.floats(0.005, 0.2), st.booleans(), st.sampled_from(["similarity", "distance"]))
def test_plans_keep_the_error_and_no_cheaper_one_does(error, fixed_genes, quantity):
    parts = typical_components()
    options = {"quantity": quantity, "fixed_genes": fixed_genes}
    plan = plan_sampling(error, **options)
    assert plan.expected <= error * (1 + 1e-9)
    assert plan.expected == pytest.approx(float(parts.error(plan.genes, plan.probes, **options)))
    for row in plan.choices.itertuples():
        assert row.error <= error * (1 + 1e-9)
        assert row.genes == 8 or parts.error(row.genes - 1, row.probes, **options) > error
        assert row.cost >= plan.genes * (5 + plan.probes)


def test_one_of_the_two_may_be_fixed():
    parts = typical_components()
    plan = plan_sampling(0.06, genes=128)
    assert plan.genes == 128
    assert parts.error(128, plan.probes) <= 0.06 < parts.error(128, plan.probes - 1)
    assert plan_sampling(0.06, probes=8).probes == 8
    assert plan_sampling(0.06, prompt_cost=500).probes > plan_sampling(0.06).probes
    with pytest.raises(pp.InputError, match=r"128 genes leave .* takes 590 genes"):
        plan_sampling(0.02, genes=128)
    with pytest.raises(pp.InputError, match="takes 676 genes"):
        plan_sampling(0.02, genes=128, probes=32)


def test_the_surface_is_the_formula_and_is_drawn(tmp_path):
    parts = typical_components()
    frame = error_surface(parts, [16, 64, 256], [2, 8, 32])
    assert len(frame) == 9
    for row in frame.itertuples():
        assert row.error == pytest.approx(float(parts.error(row.genes, row.probes)))
    figure = surface_figure(frame, wanted=0.1, title="error")
    assert isinstance(figure, Figure)
    (path,) = pp.plot.save_figure(figure, tmp_path / "map", ["svg"])
    text = path.read_text(encoding="utf-8")
    assert "probes of each gene" in text
    assert "256" in text
    with pytest.raises(pp.InputError, match="full grid"):
        surface_figure(frame[frame["genes"] == 16])
    with pytest.raises(pp.InputError, match="'error' is missing"):
        surface_figure(frame.drop(columns="error"))


def test_what_cannot_be_is_refused():
    table = simulate_history(3, 32, 3, seed=0).table
    with pytest.raises(pp.InputError, match=r"needs 4 probes .*model"):
        variance_components(table)
    table = simulate_history(3, 32, 4, seed=0).table
    with pytest.raises(pp.InputError, match=r"needs 8 genes .* share 7"):
        variance_components(table.select(genes=table.genes[:7]))
    with pytest.raises(pp.InputError, match="1 model has no pair"):
        variance_components(table.select(models=table.models[:1]))
    hybrid = pp.AlleleTable.from_hybrid(
        ["a", "b"], ["g"], [0, 1], [0, 0], ["x", "y"], [0.5, 0.5], [4, 4], [0.5, 0.5]
    )
    with pytest.raises(pp.InputError, match=r"partly decided .*'a', 'b'"):
        variance_components(hybrid)
    alleles = [f"{k}" for k in range(64)]
    rows = np.repeat([0, 1], 32), np.tile(np.repeat(np.arange(8), 4), 2)
    never = pp.AlleleTable.from_counts(["a", "b"], list("ghijklmn"), *rows, alleles, [1] * 64)
    with pytest.raises(pp.InputError, match="no pair of models has an identity"):
        variance_components(never)
    with pytest.raises(pp.InputError, match="prompt_cost"):
        error_surface(prompt_cost=-1)
    for options, word in (
        ({"error": 0}, "error"),
        ({"error": math.nan}, "error"),
        ({"error": 0.1, "probes": 1}, "probes"),
        ({"error": 0.1, "genes": 0}, "genes"),
        ({"error": 0.1, "quantity": "speed"}, "speed"),
        ({"error": 0.1, "prompt_cost": -1}, "prompt_cost"),
    ):
        with pytest.raises(pp.InputError, match=word):
            plan_sampling(**options)


def test_the_command(tmp_path, capsys):
    path = tmp_path / "table"
    simulate_history(4, 128, 16, seed=1).table.save(path)
    csv, svg = tmp_path / "surface.csv", tmp_path / "surface.svg"
    files = ["--surface", str(csv), "--figure", str(svg)]
    assert main(["plan", str(path), "--error", "0.05", "--json", *files]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["expected"] <= 0.05
    assert data["pairs"] == 6
    assert csv.read_text().startswith("genes,probes,cost,error,plugin_error\n")
    assert "<svg" in svg.read_text()
    assert main(["plan"]) == 0
    assert "typical small models" in capsys.readouterr().out
    assert main(["plan", "--genes", "16"]) == 2
    assert main(["plan", "--figure", str(tmp_path / "x.gif")]) == 2
    assert ".svg" in capsys.readouterr().err
