"""Two samples of one model, or not."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.genome import Genome
from pyphylo.sampling.base import ModelIdentity, Population, SamplingConfig
from pyphylo.simulate import simulate_history
from pyphylo.stats import same_model, same_model_power
from pyphylo.stats._two_samples import TwoSamples, exchange_p_value


def samples_of(left, right):
    """Two samples from counts, shape (genes, alleles) each."""
    left, right = np.asarray(left), np.asarray(right)
    said = (left + right) > 0
    probes = np.stack([left.sum(1), right.sum(1)])
    return TwoSamples(np.nonzero(said)[0], left[said], right[said], probes)


def table_of(left, right, names=("a", "b")):
    """The same as a table of two models."""
    counts = np.stack([left, right])
    model, gene, allele = np.nonzero(counts)
    genes = [f"gene {g}" for g in range(counts.shape[1])]
    texts = [f"{k}" for k in allele]
    return pp.AlleleTable.from_counts(
        list(names), genes, model, gene, texts, counts[model, gene, allele]
    )


def exchanges(left, right):
    """The statistic of one gene under every choice of the first store's probes."""
    said = [k for k, c in enumerate(np.add(left, right)) for _ in range(c)]
    n, m = sum(left), sum(right)
    values = []
    for chosen in itertools.combinations(range(n + m), n):
        x, y = [0] * len(left), [0] * len(left)
        for at, k in enumerate(said):
            (x if at in chosen else y)[k] += 1
        own = sum(c * (c - 1) for c in x) / (n * (n - 1))
        others = sum(c * (c - 1) for c in y) / (m * (m - 1))
        values.append(own + others - 2 * sum(a * b for a, b in zip(x, y, strict=True)) / (n * m))
    return np.array(values)


def gene_counts(k=3):
    return st.lists(st.integers(0, 3), min_size=k, max_size=k).filter(lambda c: 2 <= sum(c) <= 5)


@settings(max_examples=60, deadline=None)
@given(gene_counts(), gene_counts())
def test_moments_are_those_of_every_exchange(left, right):
    values = exchanges(left, right)
    one = samples_of([left], [right])
    assert values.mean() == pytest.approx(0, abs=1e-12)
    assert one.variances()[0] == pytest.approx((values**2).mean(), abs=1e-12)
    x, y = np.array(left), np.array(right)
    n, m = x.sum(), y.sum()
    own, others = (x * (x - 1)).sum() / (n * (n - 1)), (y * (y - 1)).sum() / (m * (m - 1))
    assert one.squared_distances()[0] == pytest.approx(own + others - 2 * (x @ y) / (n * m))
    ways = [math.comb(a + b, a) for a, b in zip(left, right, strict=True)]
    assert one.log_chance() == pytest.approx(
        math.log(math.prod(ways) / math.comb(n + m, n)), abs=1e-9
    )


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(gene_counts(), gene_counts()), min_size=1, max_size=2))
def test_p_values_are_those_of_every_exchange(genes):
    left, right = ([pair[side] for pair in genes] for side in (0, 1))
    values = [exchanges(x, y) for x, y in genes]
    sums = values[0] if len(values) == 1 else (values[0][:, None] + values[1]).ravel()
    one = samples_of(left, right)
    exact = (sums >= one.squared_distances().sum() - 1e-9).mean()
    p, made = exchange_p_value(one, 4000, 10**6, 0, ("a", "b"))
    assert made in (0, 4000)
    assert p == pytest.approx(exact, abs=4.5 * math.sqrt(exact * (1 - exact) / 4000) + 3e-4)


def test_drawing_stops_when_enough_is_known():
    rng = np.random.default_rng(0)
    left, right = (rng.multinomial(16, np.full(8, 1 / 8), size=50) for _ in range(2))
    one = samples_of(left, right)
    p, made = exchange_p_value(one, 9999, 100, 0, ("a", "b"))
    assert made < 9999
    assert p == 100 / made
    longer, all_made = exchange_p_value(one, 9999, 10**6, 0, ("a", "b"))
    assert all_made == 9999
    assert p == pytest.approx(longer, rel=0.5)
    assert exchange_p_value(one, 9999, 100, 0, ("a", "b")) == (p, made)
    assert exchange_p_value(one, 9999, 100, 1, ("a", "b"))[1] != made


@pytest.mark.parametrize(("n", "m"), [(16, 16), (8, 32), (32, 5)])
def test_the_level_is_kept(n, m):
    """Replicas of one model: p-values below 0.05 come five times in a hundred."""
    history = simulate_history(1, 4000, 2, founder_drift=0.3, seed=6)
    p = history.frequencies(history.models[0])
    p /= p.sum(1, keepdims=True)
    rng = np.random.default_rng(n + m)
    below = 0
    repeats = 500
    for repeat in range(repeats):
        chosen = rng.integers(0, len(p), 64)
        one = samples_of(rng.multinomial(n, p[chosen]), rng.multinomial(m, p[chosen]))
        below += exchange_p_value(one, 199, 100, repeat, ("a", "b"))[0] <= 0.05
    # 3 standard errors of a share of 0.05
    assert abs(below / repeats - 0.05) < 3 * math.sqrt(0.05 * 0.95 / repeats)


def noisy(p, size, rng):
    q = p * np.exp(rng.normal(0, size, p.shape))
    return q / q.sum(1, keepdims=True)


def test_the_power_stated_is_the_power():
    rng = np.random.default_rng(3)
    history = simulate_history(1, 4000, 2, founder_drift=0.3, seed=8)
    p = history.frequencies(history.models[0])
    p /= p.sum(1, keepdims=True)
    q = noisy(p, 0.2, rng)
    s = (p * q).sum() / math.sqrt((p * p).sum() * (q * q).sum())
    found, detectable = 0, []
    for repeat in range(300):
        chosen = rng.integers(0, len(p), 96)
        x, y = rng.multinomial(32, p[chosen]), rng.multinomial(24, q[chosen])
        found += exchange_p_value(samples_of(x, y), 199, 100, repeat, ("a", "b"))[0] <= 0.05
        if repeat < 5:
            detectable.append(float(same_model(table_of(x, y), pairs=[("a", "b")]).detectable[0]))
    stated = same_model_power(history.exact_table(), float(s), genes=96, probes=32, other_probes=24)
    assert 0.3 < found / 300 < 0.95
    assert stated == pytest.approx(found / 300, abs=0.12)
    for limit in detectable:
        assert limit == pytest.approx(np.mean(detectable), abs=0.004)
        power = same_model_power(history.exact_table(), limit, genes=96, probes=32, other_probes=24)
        assert power == pytest.approx(0.8, abs=0.15)


def test_power_grows_with_all_that_should_help():
    table = simulate_history(3, 64, 32, seed=1).table

    def power(s=0.98, **options):
        return same_model_power(table, s, **options)

    assert power(0.99999) == pytest.approx(0.05, abs=0.01)
    assert power() < power(0.96)
    assert power() < power(genes=128)
    assert power(probes=8) < power(probes=32)
    assert power(probes=8, other_probes=8) < power(probes=8, other_probes=64) < power(probes=64)
    assert power(level=0.01) < power()


def test_false_discoveries_are_controlled():
    rng = np.random.default_rng(1)
    history = simulate_history(1, 96, 2, seed=3)
    p = history.frequencies(history.models[0])
    p /= p.sum(1, keepdims=True)
    models = [f"m{k:02}" for k in range(30)]
    far = noisy(p, 1.0, rng)

    def table(shift):
        counts = np.stack([rng.multinomial(16, q / q.sum(1, keepdims=True)) for q in shift])
        model, gene, allele = np.nonzero(counts)
        return pp.AlleleTable.from_counts(
            models,
            [f"g{g}" for g in range(96)],
            model,
            gene,
            [str(k) for k in allele],
            counts[model, gene, allele],
        )

    first, second = table([p] * 30), table([far] * 10 + [p] * 20)
    found = same_model(first, second)
    assert found.pairs == tuple((m, m) for m in models)
    assert found.different[:10].all()
    assert found.different[10:].sum() <= 1
    assert (found.q_value >= found.p_value).all()
    order = np.argsort(found.p_value)
    k = np.arange(1, 31)
    by_hand = np.minimum.accumulate((found.p_value[order] * 30 / k)[::-1])[::-1]
    np.testing.assert_allclose(found.q_value[order], np.minimum(by_hand, 1))
    again = same_model(first, second, n_threads=1)
    np.testing.assert_array_equal(again.p_value, found.p_value)
    frame = found.to_frame()
    assert list(frame["model"]) == models
    assert (frame["low"] < frame["similarity"]).all()
    many = same_model(first, second, level=0.002)
    assert many.draws.max() == 30 / 0.002
    # A pair's p-value is its own, whatever else is tested.
    alone = same_model(first, second, [("m03", "m03")])
    assert alone.p_value[0] == found.p_value[3]


def test_shared_probes_are_seen():
    rng = np.random.default_rng(5)
    history = simulate_history(1, 128, 2, seed=3)
    p = history.frequencies(history.models[0])
    p /= p.sum(1, keepdims=True)
    x, more = rng.multinomial(32, p), rng.multinomial(32, p)
    for left, right in ((x, x), (x, x + more), (x[:16], x[:16])):
        with pytest.raises(pp.InputError, match=r"more alike .*another seed"):
            same_model(table_of(left, right), pairs=[("a", "b")])
    sure = np.zeros((20, 3), int)
    sure[:, 0] = 16  # all that deterministic genes can say
    found = same_model(table_of(sure, sure), pairs=[("a", "b")])
    assert (found.p_value[0], found.statistic[0], found.draws[0]) == (1.0, 0.0, 0)
    assert math.isnan(found.detectable[0])


def completions(genome, n, rng):
    return [[str(k) * 4 for k in rng.integers(0, 5, n)] for _ in genome.genes]


def store_of(path, genome, models, *, n=8, seed=0, **settings):
    config = SamplingConfig(n_probes=n, seed=seed, **settings)
    store = pp.SampleStore.open_or_create(path, genome, config.to_dict())
    for k, name in enumerate(models):
        rng = np.random.default_rng([seed, n, k])
        identity = ModelIdentity(name, "1", "letters", "float32")
        store.write(identity, Population(completions(genome, n, rng)))
    return str(path)


@pytest.fixture
def genome():
    return Genome([f"gene-{k}" for k in range(40)], [f"prompt {k}" for k in range(40)])


def refused(capsys, *words):
    code = main(["same", *words])
    assert code == 2
    return capsys.readouterr().err


def test_the_command(tmp_path, genome, capsys):
    a = store_of(tmp_path / "a", genome, ["x", "y"])
    b = store_of(tmp_path / "b", genome, ["x", "z"], seed=1, n=12)
    assert main(["same", a, b, "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    (row,) = data["pairs"]
    assert (row["model"], row["other"], row["genes"]) == ("x", "x", 40)
    assert (row["probes"], row["other_probes"]) == (8, 12)
    assert row["different"] == (row["q_value"] <= 0.05)
    assert main(["same", a, b, "--model", "y", "--model", "z"]) == 0
    shown = capsys.readouterr().out
    assert "y, z" in shown
    assert main(["same", a, a, "--model", "x", "--model", "y"]) == 0
    capsys.readouterr()
    assert "no model 'q'" in refused(capsys, a, b, "--model", "q")
    assert "3 times" in refused(capsys, a, b, *["--model", "x"] * 3)


def test_stores_that_do_not_go_together_are_refused(tmp_path, genome, capsys):
    a = store_of(tmp_path / "a", genome, ["x"])
    longer = store_of(tmp_path / "c", genome, ["x"], n=16)
    message = refused(capsys, a, longer)
    assert "one random stream (seed 0)" in message
    assert "another seed" in message
    assert "one random stream" in refused(capsys, a, a)
    warm = store_of(tmp_path / "d", genome, ["x"], seed=1, temperature=0.7)
    assert "temperature=1.0 and 0.7" in refused(capsys, a, warm)
    prompts = [f"{text}!" if k == 7 else text for k, text in enumerate(genome.prompts)]
    changed = Genome(genome.genes, prompts)
    other = store_of(tmp_path / "e", changed, ["x"], seed=1)
    assert "gene 'gene-7' has another prompt" in refused(capsys, a, other)
    fewer = store_of(tmp_path / "f", genome.head(20), ["x"], seed=1)
    assert "gene 'gene-20' is in only one" in refused(capsys, a, fewer)
    single = store_of(tmp_path / "g", genome, ["x"], seed=1, n=1)
    assert "two probes" in refused(capsys, a, single)


def test_what_cannot_be_is_refused():
    table = simulate_history(3, 32, 8, seed=0).table
    a, b, _ = table.models

    def wrong(message, *arguments, **options):
        with pytest.raises(pp.InputError, match=message):
            same_model(*arguments, **options)

    wrong("pairs=", table)
    wrong("own sample", table, pairs=[(a, a)])
    wrong("level", table, pairs=[(a, b)], level=5)
    wrong("n must be", table, pairs=[(a, b)], n=3)
    wrong("empty", table, pairs=[])
    wrong("two names", table, pairs=[a])
    wrong("AlleleTable", "store")
    wrong("did you mean", table, pairs=[(a, b[:-1] + "9")])
    exact = simulate_history(3, 32, 8, seed=0).exact_table()
    wrong("read from logits", exact, pairs=[(a, b)])
    wrong(
        r"no model of one name.*\(--model MODEL --model OTHER\)",
        table.select(models=[a, b]),
        table.select(models=table.models[2:]),
    )
    wrong("gene 'gene-31' is in only one", table, table.select(genes=table.genes[:-1]))
    for similarity in (0, 1, "x"):
        with pytest.raises(pp.InputError, match="similarity"):
            same_model_power(table, similarity)
