"""What each setting moves: tables under other settings, measures and their errors, refusals."""

from __future__ import annotations

import json
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.errors import InputError
from pyphylo.plot import save_figure, sensitivity_figure
from pyphylo.sampling.base import ModelIdentity, Population, SamplingConfig
from pyphylo.simulate import simulate_history
from pyphylo.stats._moved import MEASURES, Kinship, View, groups_of, jackknifed, moved
from pyphylo.stats._settings import cut_alleles, fewer_genes, fewer_probes, fewest_probes

TEXTS = st.text("ab é\n", max_size=6)


def counts(table):
    """Count of every (model, gene, allele)."""
    frame = table.to_frame()
    return dict(
        zip(zip(frame["model"], frame["gene"], frame["allele"], strict=True), frame["count"],
            strict=True)
    )  # fmt: skip


def write_store(path, prompts, populations, chars):
    """A store of the given completions, as if sampled until `chars` characters."""
    n_probes = len(next(iter(populations.values()))[0])
    genome = pp.Genome([f"g{k}" for k in range(len(prompts))], prompts)
    config = SamplingConfig(n_probes=n_probes, chars=chars).to_dict()
    store = pp.SampleStore.open_or_create(path, genome, config)
    for name, completions in populations.items():
        identity = ModelIdentity(name=name, revision="r", engine="e", dtype="d")
        store.write(identity, Population(completions, {}))
    return store


def drawn_populations(seed, n_models, n_genes, n_probes, noise=0.3):
    """Completions of models in families of three, 16 characters each."""
    rng = np.random.default_rng(seed)
    word = ["".join(rng.choice(list("abc"), 16)) for _ in range(40)]
    shared = rng.integers(0, 8, (n_models // 3 + 1, n_genes))
    populations = {}
    for m in range(n_models):
        own = rng.integers(0, 40, n_genes)
        said = np.where(
            rng.random((n_genes, n_probes)) < noise, own[:, None], shared[m // 3][:, None]
        )
        populations[f"m{m}"] = [[word[k] for k in row] for row in said]
    return populations


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """A store of nine models, the same models on other prompts, and their metadata."""
    folder = tmp_path_factory.mktemp("sensitivity")
    prompts = [f"prompt {k}" for k in range(12)]
    write_store(folder / "a", prompts, drawn_populations(1, 9, 12, 8), 16)
    others = [f"other {k}" for k in range(12)]
    write_store(folder / "b", others, drawn_populations(2, 9, 12, 8), 16)
    frame = pd.DataFrame({"model": [f"m{m}" for m in range(9)]})
    frame["family"] = [f"f{m // 3}" for m in range(9)]
    frame["base_model"] = [None if m % 3 == 0 else f"m{m // 3 * 3}" for m in range(9)]
    frame.to_csv(folder / "models.csv", index=False)
    return folder


# -- tables under other settings ---------------------------------------------------------


@given(
    rows=st.lists(st.tuples(st.sampled_from("xy"), st.sampled_from("gh"), TEXTS), min_size=1),
    chars=st.integers(1, 6),
)
def test_cut_alleles_are_those_of_the_shorter_rule(rows, chars):
    whole = pp.AlleleTable.from_records(rows, pp.AlleleRule(chars=6))
    direct = pp.AlleleTable.from_records(rows, pp.AlleleRule(chars=chars))
    assert cut_alleles(whole, chars) == direct
    assert cut_alleles(whole, chars).provenance["rule"] == direct.provenance["rule"]


@given(
    rows=st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from("gh"), TEXTS), min_size=1),
    n=st.integers(1, 5),
    draw=st.integers(0, 3),
)
def test_fewer_probes_are_some_of_the_probes(rows, n, draw):
    table = pp.AlleleTable.from_records(rows, pp.AlleleRule(chars=6))
    fewer = fewer_probes(table, n, 7, draw)
    before, after = counts(table), counts(fewer)
    assert all(count <= before[key] for key, count in after.items())
    cells, kept = Counter(), Counter()
    for key, count in before.items():
        cells[key[:2]] += count
    for key, count in after.items():
        kept[key[:2]] += count
    assert kept == {cell: min(n, total) for cell, total in cells.items()}
    assert fewest_probes(table) == min(cells.values())
    more = counts(fewer_probes(table, n + 1, 7, draw))
    assert all(count <= more[key] for key, count in after.items())  # nested
    assert fewer == fewer_probes(table, n, 7, draw)


def test_probes_are_drawn_evenly():
    """Mean and variance over draws are those of the hypergeometric distribution."""
    table = pp.AlleleTable.from_counts(["x"], ["g"], [0, 0], [0, 0], ["a", "b"], [6, 14])
    drawn = [counts(fewer_probes(table, 5, 0, k)).get(("x", "g", "a"), 0) for k in range(3000)]
    mean, variance = 5 * 0.3, 5 * 0.3 * 0.7 * 15 / 19
    assert abs(np.mean(drawn) - mean) < 4 * math.sqrt(variance / 3000)
    assert abs(np.var(drawn) - variance) < 0.12 * variance
    # A model's draw depends on no other model.
    two = table.append(pp.AlleleTable.from_counts(["y"], ["g"], [0], [0], ["a"], [9]))
    assert fewer_probes(two, 5, 0, 1).select(models=["x"]) == fewer_probes(table, 5, 0, 1)


def test_fewer_genes():
    table = simulate_history(4, 9, 4, seed=1).table
    some = fewer_genes(table, 4, 0, 0)
    assert len(some.genes) == 4
    assert some == table.select(genes=[g for g in table.genes if g in some.genes])
    assert len({fewer_genes(table, 4, 0, k).genes for k in range(20)}) > 10


# -- measures ----------------------------------------------------------------------------


def view(values, ids=None, kinship=None):
    ids = tuple(f"m{i:02}" for i in range(len(values))) if ids is None else ids
    return View(values, ids, kinship or Kinship({}, {}))


def random_distances(n, seed):
    x = np.random.default_rng(seed).random((n, 3))
    return np.linalg.norm(x[:, None] - x[None], axis=2)


@given(st.integers(3, 12), st.integers(0, 1000))
@settings(max_examples=25)
def test_measures_are_what_they_say(n, seed):
    D, E = random_distances(n, seed), random_distances(n, seed + 1)
    a, b = view(D), view(E)
    found = dict(zip(MEASURES, moved(a, b), strict=True))
    rows, columns = np.triu_indices(n, 1)
    expected = spearmanr(D[rows, columns], E[rows, columns]).statistic
    assert found["distance_correlation"] == pytest.approx(expected, abs=1e-12)
    same, overlap = 0, 0.0
    for i in range(n):
        of_d = sorted((D[i, j], j) for j in range(n) if j != i)
        of_e = sorted((E[i, j], j) for j in range(n) if j != i)
        same += of_d[0][1] == of_e[0][1]
        overlap += len({j for _, j in of_d[:5]} & {j for _, j in of_e[:5]}) / 5
    assert found["nearest_kept"] == pytest.approx(same / n)
    if n > 6:
        assert found["nearest_5_kept"] == pytest.approx(overlap / n)
    else:
        assert np.isnan(found["nearest_5_kept"])
    if n > 3:
        trees = [pp.neighbor_joining(pp.DistanceMatrix(x, a.ids)) for x in (D, E)]
        assert found["robinson_foulds"] == trees[0].robinson_foulds(trees[1])
        assert found["quartets"] == trees[0].quartet_distance(trees[1])
    else:
        assert np.isnan(found["robinson_foulds"])
    unmoved = dict(zip(MEASURES, moved(a, view(D)), strict=True))
    assert unmoved["nearest_kept"] == 1
    assert unmoved["distance_correlation"] == pytest.approx(1)
    assert n <= 3 or unmoved["robinson_foulds"] == 0


def test_families_and_parents():
    D = np.full((6, 6), 1.0)
    for pair in ((0, 1), (2, 3), (4, 5)):
        D[pair], D[pair[::-1]] = 0.1, 0.1
    np.fill_diagonal(D, 0)
    ids = tuple("abcdef")
    kin = Kinship(
        {"a": "x", "b": "x", "c": "y", "e": "y", "d": "z"}, {"b": "a", "c": "f", "d": "?"}
    )
    found = dict(zip(MEASURES, moved(view(D, ids, kin), view(D, ids, kin)), strict=True))
    assert found["families_whole"] == 0.5  # x is, y is not, z is one model
    assert found["parents_nearest"] == 0.5  # b's is, c's is not, d's is not here
    assert found["families_whole_change"] == 0
    # A family that leaves one model outside, or none, is whole in any tree.
    assert Kinship(dict.fromkeys("abcde", "x"), {}).families_of(ids) == []
    assert Kinship(dict.fromkeys("abcd", "x"), {}).families_of(ids) == [list("abcd")]


def test_jackknife_of_a_mean_is_its_standard_error():
    """One model a group, and unequal groups, whose expected error is the same."""
    rng = np.random.default_rng(3)
    x = rng.random((20, len(MEASURES)))
    one = [np.array([i]) for i in range(20)]
    found = jackknifed(
        lambda k: x.mean(0) if k is None else np.delete(x, one[k], 0).mean(0), one, 0.9
    )
    np.testing.assert_allclose(found.se, x.std(axis=0, ddof=1) / math.sqrt(20))
    assert (found.low <= found.estimate).all()
    assert (found.estimate <= found.high).all()
    groups = groups_of(100, 0)
    assert sorted(np.concatenate(groups).tolist()) == list(range(100))
    assert {len(g) for g in groups} == {3, 4}
    many = rng.random((100, 400, len(MEASURES)))
    errors = [
        jackknifed(
            lambda k, y=many[:, s]: (y if k is None else np.delete(y, groups[k], 0)).mean(0),
            groups, 0.9,
        ).se[0]
        for s in range(400)
    ]  # fmt: skip
    assert np.mean(np.square(errors)) == pytest.approx(1 / 12 / 100, rel=0.06)


# -- the whole ---------------------------------------------------------------------------


def test_settings_of_stores(stores):
    found = pp.sensitivity(
        [stores / "a", stores / "b"], metadata=stores / "models.csv", draws=2, progress=False
    )
    kinds = found.drop_duplicates(["kind", "value"]).groupby("kind", sort=False)["value"].agg(list)
    assert kinds.to_dict() == {
        "baseline": ["a"],
        "chars": [str(n) for n in range(1, 17) if n != 4],
        "index": ["unbiased", "da", "chord", "rogers", "jsd"],
        "probes": ["2", "4"],
        "genes": ["6"],
        "store": ["b"],
    }
    assert set(found["measure"]) == {m for m in MEASURES if not m.startswith("prediction")}
    assert np.isfinite(found[["estimate", "se", "low", "high"]]).all(axis=None)
    assert ((found["low"] <= found["estimate"]) & (found["estimate"] <= found["high"])).all()
    at = found.set_index(["kind", "value", "measure"])["estimate"]
    assert at["baseline", "a", "robinson_foulds"] == 0
    assert at["baseline", "a", "nearest_kept"] == 1
    # Each number by the public functions.
    tables = {
        n: pp.AlleleTable.from_store(pp.SampleStore.open(stores / "a"), pp.AlleleRule(chars=n))
        for n in (1, 4)
    }
    base = pp.neighbor_joining(pp.nei_distance(tables[4]))
    short = pp.neighbor_joining(pp.nei_distance(tables[1]))
    assert at["chars", "1", "robinson_foulds"] == base.robinson_foulds(short)
    jsd = pp.neighbor_joining(pp.genetic_distance(tables[4], index="jsd"))
    assert at["index", "jsd", "quartets"] == base.quartet_distance(jsd)
    other = pp.AlleleTable.from_store(pp.SampleStore.open(stores / "b"))
    D, E = pp.nei_distance(tables[4]).values, pp.nei_distance(other).values
    rows, columns = np.triu_indices(9, 1)
    expected = spearmanr(D[rows, columns], E[rows, columns]).statistic
    assert at["store", "b", "distance_correlation"] == pytest.approx(expected, abs=1e-12)
    # Half of two probes tell less than four.
    assert at["probes", "2", "distance_correlation"] < at["probes", "4", "distance_correlation"]
    again = pp.sensitivity(
        {"a": stores / "a", "b": stores / "b"}, metadata=stores / "models.csv", draws=2,
        n_threads=2, progress=False,
    )  # fmt: skip
    pd.testing.assert_frame_equal(found, again)


def test_another_baseline(stores):
    found = pp.sensitivity(
        [stores / "a", stores / "b"],
        baseline={"store": "b", "chars": 8, "index": "jsd"},
        chars=[8, 2], indices=["nei"], probes=[8, 3], draws=1, progress=False,
    )  # fmt: skip
    settings = found.drop_duplicates(["kind", "value"])
    assert list(zip(settings["kind"], settings["value"], strict=True)) == [
        ("baseline", "b"), ("chars", "2"), ("index", "nei"), ("probes", "3"), ("genes", "6"),
        ("store", "a"),
    ]  # fmt: skip
    assert set(settings[settings["kind"] != "index"]["index"]) == {"jsd"}
    assert set(settings[settings["kind"] != "chars"]["chars"]) == {8}
    assert "families_whole" not in set(found["measure"])


def test_stores_are_compared_on_the_models_they_share(stores, tmp_path):
    populations = drawn_populations(5, 5, 12, 8)
    populations["elsewhere"] = populations.pop("m4")
    write_store(tmp_path / "some", [f"p {k}" for k in range(12)], populations, 4)
    found = pp.sensitivity(
        [stores / "a", tmp_path / "some"], chars=[4], indices=[], probes=[], progress=False
    )
    assert dict(zip(found["kind"], found["models"], strict=True)) == {
        "baseline": 9, "genes": 9, "store": 4,
    }  # fmt: skip
    base = pp.AlleleTable.from_store(pp.SampleStore.open(stores / "a"))
    other = pp.AlleleTable.from_store(pp.SampleStore.open(tmp_path / "some"))
    shared = ["m0", "m1", "m2", "m3"]
    trees = [
        pp.neighbor_joining(pp.nei_distance(table.select(models=shared))) for table in (base, other)
    ]
    at = found.set_index(["kind", "measure"])["estimate"]
    assert at["store", "robinson_foulds"] == trees[0].robinson_foulds(trees[1])
    assert ("store", "nearest_5_kept") not in at.index


def test_exact_tables_have_no_probes_to_draw():
    history = simulate_history(8, 10, 4, seed=2)
    found = pp.sensitivity(history.exact_table(), indices=["da"], progress=False)
    assert set(found["kind"]) == {"baseline", "index", "genes"}
    with pytest.raises(InputError, match="exact cells"):
        pp.sensitivity(history.exact_table(), probes=[2])
    with pytest.raises(InputError, match="give the store"):
        pp.sensitivity(history.exact_table(), chars=[1])


def test_refusals(stores, tmp_path):
    few = drawn_populations(1, 2, 12, 8)
    write_store(tmp_path / "few", [f"prompt {k}" for k in range(12)], few, 16)
    with pytest.raises(InputError, match=r"'a' and 'few' share 2 models: 'm0'.*'m1'"):
        pp.sensitivity([stores / "a", tmp_path / "few"])
    with pytest.raises(InputError, match="holds 2 models"):
        pp.sensitivity(tmp_path / "few")
    write_store(tmp_path / "short", ["one"], {m: [["abcd"] * 4] for m in "xyz"}, 4)
    with pytest.raises(InputError, match="sampled until 4 characters; alleles of 9"):
        pp.sensitivity(tmp_path / "short", chars=[9])
    ended = write_store(tmp_path / "ended", ["one"], {m: [["abc"] * 4] for m in "xyz"}, 16)
    with pytest.raises(InputError, match="longest completion of store 'ended' has 3 characters"):
        pp.sensitivity(ended, chars=[2, 5])
    with pytest.raises(InputError, match="longest completion of store 'ended' has 3 characters"):
        pp.sensitivity([stores / "a", ended])
    once = write_store(tmp_path / "once", ["1", "2"], {m: [[m], ["ab"]] for m in "xyz"}, 4)
    found = pp.sensitivity(once, progress=False)
    assert "unbiased" not in set(found["index"])
    with pytest.raises(InputError, match="unbiased index needs two"):
        pp.sensitivity(once, indices=["unbiased"])
    a = stores / "a"
    for options, message in [
        ({"probes": [9]}, "cell of 8 probes: 9 cannot"),
        ({"probes": [0]}, "probes"),
        ({"chars": "4"}, "whole numbers"),
        ({"indices": ["nie"]}, "unknown index 'nie'"),
        ({"indices": "nei"}, "list of names"),
        ({"baseline": {"store": "c"}}, "'c' is none of 'a'"),
        ({"baseline": {"probes": 3}}, "no 'probes'"),
        ({"baseline": {"chars": 20}}, "20"),
        ({"baseline": {"index": "unbiased"}, "probes": [1]}, "two probes"),
        ({"level": 1.0}, "level"),
    ]:
        with pytest.raises(InputError, match=message):
            pp.sensitivity(a, progress=False, **options)
    with pytest.raises(InputError, match="given twice"):
        pp.sensitivity([a, a])
    with pytest.raises(InputError, match="no store"):
        pp.sensitivity([])
    with pytest.raises(InputError, match="a store or an AlleleTable"):
        pp.sensitivity([3])


def test_the_figure(stores, tmp_path):
    found = pp.sensitivity(stores / "a", chars=[1, 2], probes=[2], draws=1, progress=False)
    figure = sensitivity_figure(found, title="what moves")
    assert len(figure.axes) == found["measure"].nunique()
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels[:3] == ["baseline", "1 character", "2 characters"]
    (path,) = save_figure(figure, tmp_path / "f", ["svg"])
    assert "Robinson-Foulds" in path.read_text(encoding="utf-8")
    with pytest.raises(InputError, match="'low'"):
        sensitivity_figure(found.drop(columns="low"))
    with pytest.raises(InputError, match="no measure"):
        sensitivity_figure(found.iloc[:0])


def test_command(stores, tmp_path, capsys):
    out, picture = tmp_path / "moved.csv", tmp_path / "moved.png"
    words = [
        "sensitivity", str(stores / "a"), str(stores / "b"), "--chars", "1,3-4", "--probes", "4",
        "--draws", "1", "--indices", "nei,da", "--baseline", "store=b,chars=3",
        "--metadata", str(stores / "models.csv"), "-o", str(out), "--figure", str(picture),
    ]  # fmt: skip
    assert main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    frame = pd.read_csv(out)
    assert len(told["rows"]) == len(frame)
    assert picture.stat().st_size > 1000
    assert set(frame["kind"]) == {"baseline", "chars", "index", "probes", "genes", "store"}
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "store a" in shown
    assert "chars 4" in shown
    for option, value in [("--baseline", "chars"), ("-o", "x.txt"), ("--figure", "x.bmp"),
                          ("--baseline", "chars=x"), ("-o", str(picture))]:  # fmt: skip
        assert main([*words, option, value]) == 2
