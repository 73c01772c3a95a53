"""``pyphylo predict`` as its users call it."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from test_predict_estimators import family_world

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.predict import (
    BenchmarkRegressor,
    ReferenceRegressor,
    predict_missing_scores,
    quantised_pairs,
    score_metrics,
)

COLUMNS = ["model", "target", "true", "predicted", "lower", "upper", "fold"]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Matrix, scores with gaps, metadata; the folder of their files."""
    folder = tmp_path_factory.mktemp("predict")
    distances, scores, family = family_world(n=48)
    ids = [f"org/m{i}" for i in range(48)]
    D = pp.DistanceMatrix(distances, ids)
    D.save(folder / "d.npz")
    pp.SimilarityMatrix(np.exp(-distances), ids).save(folder / "s.csv")
    frame = pd.DataFrame(scores, index=ids, columns=["x", "y"])
    frame.loc["org/m7", "y"] = np.nan
    frame = frame.drop(index=["org/m46", "org/m47"])
    frame.to_csv(folder / "scores.csv", index_label="model")
    meta = pd.DataFrame(
        {
            "model": ids,
            "family": [f"family {k}" for k in family],
            "base_model": ["" if i < 30 else ids[i - 30] for i in range(48)],
            "params_b": 1 + np.arange(48) % 7,
            "date": "2024-05",
        }
    )
    meta.to_csv(folder / "meta.csv", index=False)
    return folder, D, frame, dict(zip(ids, meta["family"], strict=True))


def call(capsys, *argv):
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, message, *argv):
    try:
        code, out, err = call(capsys, *argv)
    except SystemExit as stop:
        code, (out, err) = stop.code, capsys.readouterr()
    assert (code, out) == (2, ""), err
    assert message in err
    assert "Traceback" not in err


def base(folder, out, *more):
    return ["predict", folder / "d.npz", "--scores", folder / "scores.csv", "-o", out, *more]


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_predictions_are_those_of_python(capsys, world, tmp_path):
    folder, D, scores, families = world
    out = tmp_path / "out.csv"
    meta = folder / "meta.csv"
    code, text, err = call(
        capsys, *base(folder, out, "--groups", f"{meta}:family", "--bootstrap", 50, "--json")
    )
    assert (code, err) == (0, "")
    assert text.count("\n") == 1
    data = json.loads(text)
    expected = pp.cross_validate_scores(
        D.filter(list(scores.index)),
        scores,
        groups=families,
        estimators={"BenchmarkRegressor": BenchmarkRegressor()},
        baselines=False,
        n_bootstrap=0,
    )
    rows = rows_of(out)
    assert list(rows[0]) == COLUMNS
    assert len(rows) == 91 == data["n"]
    for name in ("model", "target", "fold"):
        assert [row[name] for row in rows] == expected[name].tolist()
    for name in ("true", "predicted", "lower", "upper"):
        found = [float(row[name]) for row in rows]
        np.testing.assert_allclose(found, expected[name].to_numpy(), rtol=1e-12)
    pooled = score_metrics(expected.assign(target="all"), n_bootstrap=0).iloc[0]
    for name in ("r", "spearman", "mae", "rmse", "coverage", "width"):
        assert data[name] == pytest.approx(pooled[name])
    assert data["r_lower"] < data["r"] < data["r_upper"]
    assert {row["estimator"] for row in data["targets"]} == {
        "BenchmarkRegressor",
        "fold mean",
        "parameters only",
        "nearest relative",
        "same base model",
    }
    assert (data["groups"], data["left_out"], data["leaks"]) == ("families", 6, [])


def test_all_files_are_written_and_the_table_shown(capsys, world, tmp_path):
    folder = world[0]
    names = {"-o": "o.csv", "--metrics": "m.csv", "--plot": "p.svg", "--names": "n.csv"}
    files = {key: tmp_path / name for key, name in names.items()}
    words = [word for pair in files.items() for word in pair][2:]
    code, text, err = call(
        capsys, *base(folder, files["-o"], *words, "--metadata", folder / "meta.csv"),
        "--estimator", "both", "--bootstrap", 20, "--target", "x",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "6 groups left out, each in turn (families)" in text
    for word in ("BenchmarkRegressor", "ReferenceRegressor", "nearest relative", "coverage"):
        assert word in text
    for path in files.values():
        assert str(path) in text
        assert path.stat().st_size
    metrics = pd.read_csv(files["--metrics"])
    assert set(metrics["fold"]) == {"all", *(f"family {k}" for k in range(6))}
    assert (metrics["target"] == "x").all()
    assert {row["how"] for row in rows_of(files["--names"])} == {"exact"}
    svg = files["--plot"].read_text(encoding="utf-8")
    assert "family 5" in svg
    assert "predicted" in svg


def test_missing_scores_are_filled(capsys, world, tmp_path):
    folder, D, scores, _ = world
    out = tmp_path / "out.csv"
    code, text, err = call(capsys, *base(folder, out, "--missing"))
    assert (code, err) == (0, "")
    assert "5 missing scores predicted from 46 models" in text
    rows = rows_of(out)
    assert [(row["model"], row["target"]) for row in rows] == [
        ("org/m7", "y"),
        ("org/m46", "x"),
        ("org/m46", "y"),
        ("org/m47", "x"),
        ("org/m47", "y"),
    ]
    assert {row["true"] for row in rows} == {row["fold"] for row in rows} == {""}
    train = list(scores.index)
    model = BenchmarkRegressor().fit(
        D.filter(train).values,
        scores,
        groups=pp.predict.clade_groups(D.filter(train).values, 0.5),
    )
    i, columns = D.ids.index("org/m46"), [D.ids.index(name) for name in train]
    by_hand = model.predict(D.values[i, columns][None])[0]
    assert [float(row["predicted"]) for row in rows[1:3]] == pytest.approx(by_hand.tolist())
    low, high = model.predict_interval(D.values[i, columns][None])
    assert [float(row["lower"]) for row in rows[1:3]] == pytest.approx(low[0].tolist())
    assert [float(row["upper"]) for row in rows[1:3]] == pytest.approx(high[0].tolist())
    data = json.loads(call(capsys, *base(folder, out, "--missing", "--json"))[1])
    assert data["predicted"] == {"x": 2, "y": 3}


def test_the_reference_fills_too_one_benchmark_at_a_time(world):
    _, D, scores, families = world
    frame = predict_missing_scores(
        D, scores, estimator=ReferenceRegressor(), groups=families, models=["org/m46", "org/m7"]
    )
    assert frame["model"].tolist() == ["org/m7", "org/m46", "org/m46"]
    assert (frame["lower"] < frame["predicted"]).all()
    assert (frame["predicted"] < frame["upper"]).all()
    train = [name for name in scores.index if name != "org/m7"]
    one = ReferenceRegressor().fit(D.filter(train).values, scores.loc[train, "y"])
    columns = [D.ids.index(name) for name in train]
    expected = one.predict(D.values[D.ids.index("org/m7"), columns][None])[0]
    assert frame["predicted"][0] == pytest.approx(expected)
    with pytest.raises(pp.InputError, match="'who' is no model"):
        predict_missing_scores(D, scores, models=["who"])
    with pytest.raises(pp.InputError, match="no score is missing"):
        predict_missing_scores(D, scores, models=["org/m0"])
    with pytest.raises(pp.InputError, match="level must lie"):
        predict_missing_scores(D, scores, level=1.0)


def test_a_store_and_similarities_will_do(capsys, world, tmp_path):
    folder = world[0]
    out = tmp_path / "out.csv"
    call(capsys, *base(folder, out, "--bootstrap", 0))
    first = pd.read_csv(out)
    similar = ["predict", folder / "s.csv", "--similarity", *base(folder, out)[2:]]
    assert call(capsys, *similar, "--bootstrap", 0)[0] == 0
    pd.testing.assert_frame_equal(pd.read_csv(out), first, atol=1e-6)
    made = pp.simulate.simulate_history(24, 32, seed=1, living=0.0)
    made.table.save(tmp_path / "table.pyphylo")
    lines = [f"{name},{0.1 + 0.03 * k}" for k, name in enumerate(made.table.models)]
    (tmp_path / "scores.csv").write_text("\n".join(["model,z", *lines]))
    words = ["predict", "--store", tmp_path / "table.pyphylo", "--groups", "model", "-o", out]
    code, text, _ = call(capsys, *words, "--scores", tmp_path / "scores.csv")
    assert code == 0
    assert "24 groups left out" in text


def test_auto_joins_copies_and_other_groupings_name_them(capsys, tmp_path):
    distances, scores, family = family_world(n=40)
    ids = [f"m{i}" for i in range(40)]
    ids[1] = "m0-GPTQ-Int8"
    pp.DistanceMatrix(distances, ids).save(tmp_path / "d.npz")
    frame = pd.DataFrame(scores, index=ids, columns=["x", "y"])
    frame.to_csv(tmp_path / "scores.csv", index_label="model")
    meta = pd.DataFrame({"model": ids, "family": [f"f{k}" for k in family]})
    meta.to_csv(tmp_path / "meta.csv", index=False)
    words = base(
        tmp_path, tmp_path / "o.csv", "--bootstrap", 0, "--metadata", tmp_path / "meta.csv"
    )
    code, text, err = call(capsys, *words)
    assert (code, err) == (0, "")
    assert "1 pairs of copies" in text
    folds = pd.read_csv(tmp_path / "o.csv").set_index("model")["fold"]
    assert set(folds["m0"]) == set(folds["m0-GPTQ-Int8"]) == {"f0"}
    code, _, err = call(capsys, *words, "--groups", "family")
    assert code == 0
    assert "m0 = m0-GPTQ-Int8" in err
    assert "--join-leaks" in err
    code, text, err = call(capsys, *words, "--groups", "family", "--join-leaks", "--json")
    assert (code, err) == (0, "")
    assert json.loads(text)["joined"] == 1


def test_result_files_and_aliases(capsys, world, tmp_path):
    folder, D, scores, _ = world
    results = tmp_path / "runs"
    for k, (name, row) in enumerate(scores.iterrows()):
        place = results / str(name).replace("/", "__")
        place.mkdir(parents=True)
        tasks = {"arc": {"acc,none": row["x"]}, "ppl": {"word_perplexity,none": 9.0}}
        data = {"results": tasks, "model_name": name if k else "hub/zero"}
        (place / "results_2024-01-01T00-00-00.json").write_text(json.dumps(data))
    lines = ["model,hf_id"] + [
        f"{name},{'hub/zero' if i == 0 else ''}" for i, name in enumerate(D.ids)
    ]
    (tmp_path / "hub.csv").write_text("\n".join(lines))
    out = tmp_path / "o.csv"
    words = [
        "predict",
        folder / "d.npz",
        "--scores",
        results,
        "-o",
        out,
        "--json",
        "--bootstrap",
        0,
    ]
    code, text, err = call(capsys, *words, "--aliases", f"{tmp_path / 'hub.csv'}:hf_id")
    assert code == 0
    assert "not used: ppl (no score among word_perplexity,none) of 'hub/zero'" in err
    assert "and 42 more" in err
    data = json.loads(text)
    assert data["matched_by"] == {"exact": 45, "another name": 1}
    assert data["matched_otherwise"] == {"hub/zero": "org/m0"}
    assert data["unmatched"] == []
    found = pd.read_csv(out).set_index("model")["true"]
    np.testing.assert_allclose(found[scores.index], scores["x"])
    code, text, err = call(capsys, *words)
    assert code == 0
    assert "1 of 46 names with scores are no model's of the matrix: 'hub/zero'" in err
    assert json.loads(text)["unmatched"] == ["hub/zero"]


def test_covariates_are_logarithms_and_years(capsys, world, tmp_path):
    folder, D, scores, families = world
    out = tmp_path / "o.csv"
    words = base(folder, out, "--metadata", folder / "meta.csv", "--bootstrap", 0, "--target", "x")
    assert call(capsys, *words, "--covariates", "params_b")[0] == 0
    sizes = np.log(1 + np.arange(48) % 7)[: len(scores)]
    expected = pp.cross_validate_scores(
        D.filter(list(scores.index)), scores[["x"]], groups=families, covariates=sizes[:, None],
        estimators={"ours": BenchmarkRegressor()}, baselines=False, n_bootstrap=0,
    )  # fmt: skip
    np.testing.assert_allclose(pd.read_csv(out)["predicted"], expected["predicted"])
    refused(capsys, "date of model 'org/m0' is 'May'", *_changed_date(tmp_path, folder, out))
    text = (folder / "meta.csv").read_text().replace(",3,", ",three,")
    (tmp_path / "bad.csv").write_text(text.replace("params_b", "tokens"))
    refused(
        capsys, "tokens of 'org/m2' is 'three', no number",
        *base(folder, out, "--covariates", f"{tmp_path / 'bad.csv'}:tokens"),
    )  # fmt: skip
    refused(capsys, "no model has a value of 'colour'", *words, "--covariates", "colour")


def _changed_date(tmp_path, folder, out):
    path = tmp_path / "dates.csv"
    path.write_text((folder / "meta.csv").read_text().replace("2024-05", "May", 1))
    return base(folder, out, "--covariates", f"{path}:date")


def scores_file(tmp_path, scores, **changes):
    frame = scores.copy()
    for name, change in changes.items():
        frame[name] = change(frame[name])
    frame.to_csv(tmp_path / "changed.csv", index_label="model")
    return tmp_path / "changed.csv"


def put(value, *rows):
    def change(column):
        column = column.copy()
        column.iloc[list(rows)] = value
        return column

    return change


def test_bad_scores_are_refused_by_name(capsys, world, tmp_path):
    folder, _, scores, _ = world
    out = tmp_path / "o.csv"

    def words(*more, **changes):
        path = scores_file(tmp_path, scores, **changes)
        return ["predict", folder / "d.npz", "--scores", path, "-o", out, *more]

    refused(capsys, "'x' of 'org/m3', 'org/m5' lies outside [0, 1]", *words(x=put(1.5, 3, 5)))
    refused(capsys, "'x' of 'org/m3' lies outside", *words(x=put(-0.1, 3)))
    # Percent among fractions, fractions among percent, one column of each
    refused(capsys, "'y' of 'org/m4' lies outside [0, 1]", *words(y=put(64.1, 4)))
    code, _, err = call(
        capsys, *words("--unit", "percent", x=lambda c: put(0.5, 9)(c * 100), y=lambda c: c * 100)
    )
    assert code == 0
    assert "'x' of 'org/m9' is at most 1 in percent" in err
    refused(capsys, "no score of 'y' exceeds 1", *words("--unit", "percent", x=lambda c: c * 100))
    double = scores_file(tmp_path, scores)
    double.write_text(double.read_text() + "org/m1,0.25,0.25\n")
    refused(
        capsys, "different scores of the same model: 'x of org/m1', 'y of org/m1'",
        "predict", folder / "d.npz", "--scores", double, "-o", out,
    )  # fmt: skip
    code, _, err = call(
        capsys, "predict", folder / "d.npz", "--scores", double, "-o", out, "--repeated", "last",
        "--target", "x", "--bootstrap", 0,
    )  # fmt: skip
    assert code == 0
    assert "the last of them counts: 'x of org/m1'" in err
    assert pd.read_csv(out).set_index("model")["true"]["org/m1"] == 0.25
    code, _, err = call(capsys, *words(y=put(np.nan, *range(8, 46))))
    assert code == 0
    assert "'y' has only 7 scores" in err
    refused(
        capsys, "'y' has 2 scores of models outside the group",
        *words("--metadata", folder / "meta.csv", "--groups", "family",
               y=put(np.nan, *(i for i in range(46) if i not in (0, 6, 12, 18, 1, 2)))),
    )  # fmt: skip
    strangers = tmp_path / "strangers.csv"
    strangers.write_text("model,x\nwho,0.5\n")
    refused(
        capsys, "no name with scores is a model's: 'who'",
        "predict", folder / "d.npz", "--scores", strangers, "-o", out,
    )  # fmt: skip
    alone = tmp_path / "alone.csv"
    alone.write_text("model,x,z\norg/m1,0.5,\norg/m2,0.6,\nwho,,0.5\n")
    refused(
        capsys, "no model of the matrix has a score of 'z'",
        "predict", folder / "d.npz", "--scores", alone, "-o", out, "--target", "x", "z",
    )  # fmt: skip
    beside = scores_file(tmp_path, scores.assign(z=np.nan))
    beside.write_text(beside.read_text() + "who,,,0.5\n")
    code, text, err = call(
        capsys, "predict", folder / "d.npz", "--scores", beside, "-o", out, "--bootstrap", 0
    )
    assert code == 0
    assert "no model of the matrix has a score of 'z', which is not used" in err
    assert "'who'" in err
    assert "\nz " not in text


def test_one_family_only_is_refused(capsys, world, tmp_path):
    folder = world[0]
    (tmp_path / "meta.csv").write_text(
        "model,family\n" + "".join(f"org/m{i},llama\n" for i in range(48))
    )
    refused(
        capsys, "all models with scores are of one group ('llama')",
        *base(folder, tmp_path / "o.csv", "--metadata", tmp_path / "meta.csv"),
    )  # fmt: skip


def test_bad_calls_are_refused(capsys, world, tmp_path):
    folder = world[0]
    out = tmp_path / "o.csv"
    words = base(folder, out)
    refused(capsys, "required: -o", *words[:4])
    refused(capsys, "one of the two", "predict", *words[2:])
    refused(capsys, "one of the two", *words, "--store", folder / "d.npz")
    refused(capsys, "does not exist", "predict", folder / "no.npz", *words[2:])
    refused(capsys, "--similarity", "predict", folder / "s.csv", *words[2:])
    refused(capsys, "'d.xlsx'", "predict", "d.xlsx", *words[2:])
    refused(capsys, "it is a .csv file", *base(folder, tmp_path / "o.txt"))
    refused(capsys, "a picture is", *words, "--plot", tmp_path / "p.gif")
    refused(capsys, "its folder does not exist", *words, "--metrics", tmp_path / "no" / "m.csv")
    refused(capsys, "would take the place", *words, "--metrics", out)
    refused(capsys, "would take the place", *base(folder, folder / "scores.csv"))
    refused(
        capsys, "would take the place",
        *base(folder, folder / "meta.csv", "--groups", f"{folder / 'meta.csv'}:family"),
    )  # fmt: skip
    refused(capsys, "--level must lie between 0 and 1, not 90", *words, "--level", "90")
    refused(capsys, "clade:HEIGHT", *words, "--groups", "clade:high")
    refused(capsys, "write FILE:COLUMN, or give --metadata", *words, "--groups", "family")
    refused(
        capsys, "no model has a value in a column 'genus'",
        *words, "--metadata", folder / "meta.csv", "--groups", "genus",
    )  # fmt: skip
    (tmp_path / "some.csv").write_text("model,family\norg/m1,a\norg/m2,b\n")
    refused(
        capsys, "no family for 'org/m0', 'org/m3'",
        *words, "--groups", f"{tmp_path / 'some.csv'}:family",
    )  # fmt: skip
    refused(capsys, "has no scores of 'z'; it has 'x', 'y'", *words, "--target", "z")
    refused(capsys, "write FILE:COLUMN", *words, "--aliases", "hf_id")
    refused(
        capsys, "no model has a value in such a column",
        *words, "--metadata", folder / "meta.csv", "--aliases", "hf_id",
    )  # fmt: skip
    refused(capsys, "has none to judge", *words, "--missing", "--plot", tmp_path / "p.png")
    refused(capsys, "takes one --estimator", *words, "--missing", "--estimator", "both")
    assert not out.exists()


def test_families_known_of_some_only_give_way_to_clades(capsys, world, tmp_path):
    folder = world[0]
    (tmp_path / "some.csv").write_text("model,family\norg/m1,a\norg/m2,b\n")
    code, text, err = call(
        capsys, *base(folder, tmp_path / "o.csv", "--metadata", tmp_path / "some.csv"),
        "--bootstrap", 0, "--target", "x",
    )  # fmt: skip
    assert code == 0
    assert "names no family of 'org/m0', 'org/m3'" in err
    assert "(clades within 0.5)" in text


def test_seeds_and_repeats(capsys, world, tmp_path):
    folder = world[0]
    predicted = []
    for seed in (1, 1, 2):
        out = tmp_path / "o.csv"
        code, text, _ = call(
            capsys, *base(folder, out, "--estimator", "reference", "--seed", seed, "--target", "x"),
            "--repeats", 2, "--bootstrap", 0, "--groups", "clade:0.6",
        )  # fmt: skip
        assert code == 0
        assert "ReferenceRegressor (seed + 1)" in text
        predicted.append(pd.read_csv(out)["predicted"].tolist())
    assert predicted[0] == predicted[1] != predicted[2]


INTERRUPTED = """
import os, signal, sys, threading
import pyphylo.predict.benchmark, pyphylo.predict.evaluate
from pyphylo.cli import build_parser, main
build_parser()
threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGINT)).start()
sys.exit(main(sys.argv[1:]))
"""


def test_interrupted_work_says_so(world, tmp_path):
    out = tmp_path / "o.csv"
    words = base(world[0], out, "--groups", "model", "--estimator", "both", "--repeats", 2000)
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, *map(str, words)],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (130, "")
    assert "interrupted" in done.stderr
    assert "Traceback" not in done.stderr
    assert not out.exists()


def test_many_benchmarks_are_all_in_the_files(capsys, world, tmp_path):
    folder, _, scores, _ = world
    many = pd.DataFrame({f"b{k}": scores["x"] * (1 - k / 30) for k in range(12)})
    many.to_csv(tmp_path / "many.csv", index_label="model")
    files = [tmp_path / "o.csv", tmp_path / "m.csv", tmp_path / "p.svg"]
    words = ["predict", folder / "d.npz", "--scores", tmp_path / "many.csv", "-o", files[0]]
    code, text, err = call(
        capsys, *words, "--metrics", files[1], "--plot", files[2], "--bootstrap", 0,
        "--groups", f"{folder / 'meta.csv'}:family",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert "and 2 benchmarks more" in text
    assert "b9 " in text
    assert "b10" not in text
    assert pd.read_csv(files[0])["target"].nunique() == 12
    assert pd.read_csv(files[1])["target"].nunique() == 12
    assert "b11" in files[2].read_text(encoding="utf-8")


def test_quantised_models_are_told_by_name():
    pairs = quantised_pairs(
        [
            "Qwen/Qwen1.5-7B-Chat",
            "Qwen/Qwen1.5-7B-Chat-GPTQ-Int4",
            "other__qwen1.5-7b-chat-AWQ",
            "a/Llama-2-7b.Q4_K_M",
            "b/Llama-2-7b-GGUF",
            "c-4bit",
            "d",
            "e-13b",
            "e-7b",
        ],
        {"c-4bit": "d"},
    )
    assert pairs == [
        ("Qwen/Qwen1.5-7B-Chat", "Qwen/Qwen1.5-7B-Chat-GPTQ-Int4"),
        ("Qwen/Qwen1.5-7B-Chat", "other__qwen1.5-7b-chat-AWQ"),
        ("a/Llama-2-7b.Q4_K_M", "b/Llama-2-7b-GGUF"),
        ("d", "c-4bit"),
    ]


def test_real_models(capsys, shared_data, tmp_path):
    folder, out = shared_data / "phylolm", tmp_path / "o.csv"
    words = ["predict", folder / "math_similarity.csv", "--similarity", "--scores"]
    words += [folder / "scores.csv", "--groups", f"{folder / 'models.csv'}:family", "-o", out]
    start = time.process_time()
    code, text, err = call(capsys, *words, "--json", "--plot", tmp_path / "p.png")
    assert (code, err) == (0, "")
    assert time.process_time() - start < 120
    data = json.loads(text)
    ours = {
        row["target"]: row for row in data["targets"] if row["estimator"] == "BenchmarkRegressor"
    }
    assert data["n"] == len(rows_of(out)) == 298
    assert ours["arc"]["r"] > 0.86
    assert ours["mmlu"]["mae"] < 0.06
    assert 0.85 <= data["coverage"] <= 0.95
