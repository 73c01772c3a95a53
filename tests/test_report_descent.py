"""What a report says of descent: merges, training runs, proposed parents."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.report import report_html
from pyphylo.report._inputs import gather
from pyphylo.report._merges import merge_tests
from pyphylo.report._runs import runs_among, runs_shown


def payload_of(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def softmax(z):
    raised = np.exp(z - z.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def family(genes=64, probes=32, *, seed=4):
    """A base, fine-tunes, a merge of two, one that went half way back, a run elsewhere."""
    rng = np.random.default_rng(seed)
    base = rng.normal(0, 1.5, (genes, 10))
    start, far = rng.normal(0, 0.2, (genes, 10)), rng.normal(0, 1.5, (genes, 10))
    models = {"base": softmax(base)}
    for k in range(6):
        models[f"tune-{k}"] = softmax(base + rng.normal(0, 0.9, base.shape))
    models["blend"] = 0.7 * models["tune-0"] + 0.3 * models["tune-1"]
    models["back"] = (models["tune-2"] + models["base"]) / 2
    for step in (0, 10, 100, 1000):
        part = np.log1p(step) / np.log1p(1000)
        models[f"other@step{step}"] = softmax(start * (1 - part) + far * part)
    rows = [
        (name, f"g{gene}", f"w{word:03d}")
        for name, p in models.items()
        for gene in range(genes)
        for word in rng.choice(10, probes, p=p[gene])
    ]
    return pp.AlleleTable.from_records(rows, rule=pp.AlleleRule())


METADATA = {f"tune-{k}": {"base_model": "base"} for k in range(6)} | {
    "back": {"base_model": "base"}
}


@pytest.fixture(scope="module")
def bred():
    return family()


@pytest.fixture(scope="module")
def shown(bred):
    return payload_of(report_html(bred, metadata=METADATA))


# -- merges


def test_a_merge_and_a_return_to_the_base_are_told(shown):
    names = shown["names"]
    told = dict(zip(names, shown["merges"]["tests"], strict=True))
    blend, back = told["blend"], told["back"]
    assert blend["outcome"] == "merge"
    assert [names[i] for i in blend["parents"]] in (["tune-0", "tune-1"], ["tune-1", "tune-0"])
    share, low, high = blend["share"]
    if names[blend["parents"][0]] == "tune-1":
        share, low, high = 1 - share, 1 - high, 1 - low
    assert share == pytest.approx(0.7, abs=0.1)
    assert low < 0.7 < high
    assert blend["p"] < 0.01
    assert names[blend["base"]] == "base"
    assert back["outcome"] == "partial return to the base"
    assert {names[i] for i in back["parents"]} == {"tune-2", "base"}
    assert all(told[f"tune-{k}"]["outcome"] == "none" for k in (3, 4, 5))
    assert shown["merges"]["tested"] == len(names)


def test_tests_are_those_of_find_merge(bred, shown):
    told = shown["merges"]["tests"][shown["names"].index("blend")]
    known = pp.find_merge(bred, "blend", base="base")
    assert told["candidates"] == len(bred.models) - 1
    assert told["p"] == pytest.approx(known.p, rel=1e-2)
    assert told["share"] == pytest.approx(
        [known.weight.estimate, known.weight.lower, known.weight.upper], rel=1e-2
    )
    assert told["genes"] == known.genes


def test_neither_children_nor_the_same_run_are_tried_as_parents(shown):
    told = dict(zip(shown["names"], shown["merges"]["tests"], strict=True))
    # Of 12 others: without its 7 children; without the 3 other checkpoints.
    assert told["base"]["candidates"] == 12 - 7
    assert told["other@step100"]["candidates"] == 12 - 3


def test_a_run_and_the_model_that_it_is_named_after_are_one(bred):
    frame = bred.to_frame()
    frame["model"] = frame["model"].astype(str).replace("other@step1000", "other")
    rows = frame.loc[frame.index.repeat(frame["count"].astype(int)), ["model", "gene", "allele"]]
    renamed = pp.AlleleTable.from_records(
        list(rows.itertuples(index=False, name=None)), rule=pp.AlleleRule()
    )
    rows = METADATA | {f"other@step{step}": {"base_model": "other"} for step in (0, 10, 100)}
    for metadata in (METADATA, rows):
        found = gather(renamed)
        tests = merge_tests(found, metadata)["tests"]
        told = dict(zip(found.tree.tips, tests, strict=True))
        other = found.tree.tips.index("other")
        for step in (0, 10, 100):
            test = told[f"other@step{step}"]
            assert test["candidates"] == 12 - 3
            assert other not in test.get("parents", [])


def test_tests_can_be_left_out_and_asked_for(bred, shown, monkeypatch):
    assert "merges" not in payload_of(report_html(bred, merges=False))
    monkeypatch.setattr("pyphylo.report._write.UNASKED", 5)
    assert "merges" not in payload_of(report_html(bred))
    asked = payload_of(report_html(bred, metadata=METADATA, merges=True))
    assert asked["merges"] == shown["merges"]


def test_models_of_one_probe_are_not_tested_and_stand_in_nobodys_way(bred):
    single = [("lone", f"g{gene}", "w000") for gene in range(64)]
    table = bred.append(pp.AlleleTable.from_records(single, rule=pp.AlleleRule()))
    with pytest.warns(pp.PyphyloWarning, match="1 model was not tested for being a merge"):
        data = payload_of(report_html(table, metadata=METADATA))
    told = dict(zip(data["names"], data["merges"]["tests"], strict=True))
    assert told["lone"] is None
    assert told["blend"]["outcome"] == "merge"
    assert told["blend"]["candidates"] == 12


def test_where_no_model_can_be_tested_the_page_says_why():
    rows = [(f"m{i}", f"g{gene}", f"w{i % 3}") for i in range(5) for gene in range(12)]
    found = gather(pp.AlleleTable.from_records(rows, rule=pp.AlleleRule()))
    assert merge_tests(found, {}) is None
    assert found.notes[-1].startswith("No model was tested for being a merge: they have no gene")


# -- training runs


def test_runs_are_read_from_names():
    names = ["org/a@step10", "org/a@step2", "b/checkpoint-5", "b/checkpoint-50", "c-step7", "d"]
    runs = {run.name: (run.tips, run.steps) for run in runs_among(names, {})}
    assert runs == {"org/a": ((1, 0), (2.0, 10.0)), "b": ((2, 3), (5.0, 50.0))}


def test_what_is_behind_a_step_parts_runs_only_where_it_must():
    one = ["o@step1-tokens2B", "o@step2-tokens4B"]
    assert [run.tips for run in runs_among(one, {})] == [(0, 1)]
    two = ["o-step1-seed1", "o-step2-seed1", "o-step3-seed1", "o-step2-seed2", "o-step1-seed2"]
    assert [run.tips for run in runs_among(two, {})] == [(0, 1, 2), (4, 3)]


def test_metadata_name_runs_and_their_word_counts():
    rows = {
        "x": {"run": 7, "step": "30"},
        "y": {"run": "7", "step": "4"},
        "o@step1": {"run": "7", "step": 5.5},
        "z": {"run": "alone", "step": "1"},
        "w": {"run": "7", "step": "late"},
        "o@step2": {"run": float("nan"), "step": "3"},
    }
    (run,) = runs_among(["w", "x", "o@step1", "y", "z", "o@step2"], rows)
    assert (run.name, run.tips, run.steps) == ("7", (3, 2, 1), (4.0, 5.5, 30.0))


def test_a_run_has_the_distances_and_limits_of_trajectory(bred, shown):
    (run,) = shown["runs"]
    names = [shown["names"][tip] for tip in run["tips"]]
    assert names == [f"other@step{step}" for step in (0, 10, 100, 1000)]
    assert run["steps"] == [0, 10, 100, 1000]
    frame = pp.trajectory(bred, names)
    assert run["estimator"] == "unbiased"
    for to in ("start", "end", "previous"):
        part = frame[frame["to"] == to]
        skipped = 4 - len(part)
        for key, column in (("", "distance"), ("_lower", "lower"), ("_upper", "upper")):
            assert run[f"{to}{key}"][skipped:] == pytest.approx(part[column].tolist(), rel=1e-6)
    assert run["previous"][0] is None
    assert run["speed"][1:] == pytest.approx([run["previous"][1] / 10,
                                              run["previous"][2] / 90,
                                              run["previous"][3] / 900], rel=1e-5)  # fmt: skip


def test_without_alleles_a_run_has_the_matrix_distances():
    points = np.random.default_rng(0).normal(size=(6, 3))
    names = ["m@step0", "other", "m@step5", "m@step20", "another", "third"]
    D = pp.DistanceMatrix(cdist(points, points), names)
    (run,) = runs_shown(gather(D), {})
    own = D.filter(["m@step0", "m@step5", "m@step20"]).values
    assert run["start"] == pytest.approx(own[0], rel=1e-6)
    assert run["end"] == pytest.approx(own[2], rel=1e-6)
    assert run["previous"][1:] == pytest.approx([own[0, 1], own[1, 2]], rel=1e-6)
    assert run["speed"][1:] == pytest.approx([own[0, 1] / 5, own[1, 2] / 15], rel=1e-6)
    assert "start_lower" not in run


def test_plugin_distances_have_no_speed(bred):
    # Of neighbouring checkpoints they tell the chance of sampling, and little else.
    D = pp.nei_distance(bred)
    (run,) = runs_shown(gather(D), {})
    assert run["estimator"] == "plugin"
    assert "speed" not in run
    assert payload_of(report_html(D))["near"]["chance"] is True
    unbiased = pp.nei_distance(bred, estimator="unbiased")
    (run,) = runs_shown(gather(unbiased), {})
    assert run["estimator"] == "unbiased"
    assert len(run["speed"]) == 4
    assert payload_of(report_html(unbiased))["near"]["chance"] is False
    single = [
        (f"m@step{i}", f"g{gene}", f"w{(gene * i) % 3}") for i in range(4) for gene in range(12)
    ]
    (run,) = runs_shown(gather(pp.AlleleTable.from_records(single, rule=pp.AlleleRule())), {})
    assert run["estimator"] == "plugin"
    assert "speed" not in run


def test_checkpoints_that_do_not_differ_are_not_told_apart():
    rng = np.random.default_rng(1)
    p = softmax(rng.normal(0, 1.5, (64, 10)))
    rows = [
        (f"m@step{step}", f"g{gene}", f"w{word}")
        for step in range(5)
        for gene in range(64)
        for word in rng.choice(10, 16, p=p[gene])
    ]
    table = pp.AlleleTable.from_records(rows, rule=pp.AlleleRule())
    plugin = pp.nei_distance(table)
    data = payload_of(report_html(table, merges=False))
    (run,) = data["runs"]
    assert data["near"]["chance"] is True
    assert min(plugin.values[0, 1:]) > 0.05
    assert all(0 <= d < 0.03 for d in run["previous"][1:])


# -- parents


def test_parents_are_proposed_beside_declared_ones_too(shown):
    parents = shown["parents"]
    declared = [i for i, text in enumerate(parents["declared"]) if text is not None]
    assert len(declared) == 7
    assert all(parents["confidence"][i] is not None for i in declared)
    for likeliest, proposed, sure in zip(
        parents["likeliest"], parents["proposed"], parents["confidence"], strict=True
    ):
        assert (likeliest is None) == (not sure)
        assert proposed in (None, likeliest)
    assert any(parents["confidence"][i] is not None for i in range(len(shown["names"]))
               if i not in declared)  # fmt: skip


def test_a_declared_parent_is_not_seen_by_its_proposal(bred):
    D = pp.nei_distance(bred)
    moved = METADATA | {"tune-3": {"base_model": "other@step0"}}
    i = None
    found = []
    for rows in (METADATA, moved):
        data = payload_of(report_html(D, metadata=rows))
        i = data["names"].index("tune-3")
        found.append((data["parents"]["proposed"][i], data["parents"]["confidence"][i]))
    assert found[0] == found[1]


# -- names that were misspelt


def test_misspelt_columns_and_models_are_guessed(tmp_path, capsys):
    points = np.random.default_rng(0).normal(size=(5, 3))
    D = pp.DistanceMatrix(cdist(points, points), [f"llama-{i}b" for i in range(5)])
    D.save(tmp_path / "d.npz")
    (tmp_path / "m.csv").write_text(
        "model,licence,basemodel\nllama-1b,mit,llama-0b\nlama-2b,mit,\n", encoding="utf-8"
    )
    call = ["report", str(tmp_path / "d.npz"), "--metadata", str(tmp_path / "m.csv")]
    assert main([*call, "--color-by", "license"]) == 2
    assert "no column 'license'; did you mean 'licence'?" in capsys.readouterr().err
    assert main([*call, "--color-by", "zzz"]) == 2
    assert "known: licence, basemodel" in capsys.readouterr().err
    assert main([*call, "--model", "llama-1"]) == 2
    assert "did you mean 'llama-" in capsys.readouterr().err
    assert not (tmp_path / "d.report.html").exists()
    assert main([*call, "--color-by", "licence", "--model", "llama-1b"]) == 0
    data = payload_of((tmp_path / "d.report.html").read_text(encoding="utf-8"))
    assert data["columns"][data["start"]["column"]]["name"] == "licence"
    assert data["names"][data["start"]["tip"]] == "llama-1b"
    first, second = data["notes"]
    assert first.startswith("1 model of the metadata is not in the tree ('lama-2b', did you mean")
    assert "'basemodel'" in second
    assert "did you mean 'base_model'?" in second


def test_colouring_without_metadata_says_so():
    D = pp.DistanceMatrix([0.1, 0.2, 0.3], ["a", "b", "c"])
    with pytest.raises(pp.InputError, match="give metadata"):
        report_html(D, color_by="family")


def test_options_are_those_of_both_and_others_are_refused(tmp_path):
    import inspect

    of_page = inspect.signature(report_html).parameters
    of_file = inspect.signature(pp.write_report).parameters
    assert list(of_file) == ["source", "path", *list(of_page)[1:]]
    D = pp.DistanceMatrix([0.1, 0.2, 0.3], ["a", "b", "c"])
    with pytest.raises(TypeError, match="tre"):
        pp.write_report(D, tmp_path / "r.html", tre=None)


@pytest.mark.parametrize("as_file", [True, False])
def test_warnings_point_to_the_caller(tmp_path, as_file):
    D = pp.DistanceMatrix([0.1, 0.2, 0.3], ["a", "b", "c"])
    target = (tmp_path / "r.html",) if as_file else ()
    write = pp.write_report if as_file else report_html
    with pytest.warns(pp.PyphyloWarning, match="none of these models") as caught:
        write(D, *target, metadata={"x": {"family": "f"}})
    assert caught[0].filename == __file__
