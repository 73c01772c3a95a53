"""Scores from files: every form that is read, names matched, and what is refused or listed."""

from __future__ import annotations

import itertools
import json
import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pyphylo.errors import FileFormatError, InputError
from pyphylo.io.eval_results import parse_results, read_json
from pyphylo.predict import match_scores, read_scores
from pyphylo.predict.matching import match_names

SUBJECTS = [f"hendrycksTest-subject_{k}" for k in range(56)] + ["hendrycksTest-abstract_algebra"]


def first_version(model="org/Tiny-7B", subjects=57, **more):
    """A result file of the leaderboard's version 1."""
    results = {
        "harness|arc:challenge|25": {"acc": 0.5, "acc_norm": 0.546, "acc_norm_stderr": 0.01},
        "harness|hellaswag|10": {"acc": 0.55, "acc_norm": 0.763},
        "harness|truthfulqa:mc|0": {"mc1": 0.29, "mc2": 0.428},
        "harness|winogrande|5": {"acc": 0.749},
        "harness|gsm8k|5": {"acc": 0.2926},
        "all": {"acc": 0.1, "mc1": 0.2},
    }
    for k, subject in enumerate(SUBJECTS[:subjects]):
        results[f"harness|{subject}|5"] = {"acc": k / 100, "acc_norm": 0.9}
    return {
        "config_general": {"model_name": model, "model_sha": "abc", "lighteval_sha": "?"},
        "results": results,
        "versions": {"harness|hendrycksTest-abstract_algebra|5": 1},
        **more,
    }


# What the leaderboard published of EleutherAI/pythia-1.4b
PYTHIA = {
    "leaderboard": {"acc_norm,none": 0.30821118173563367, "acc,none": 0.11228390957446809},
    "leaderboard_bbh": {"acc_norm,none": 0.31192501301857317, "alias": " - leaderboard_bbh"},
    "leaderboard_bbh_snarks": {"acc_norm,none": 0.5393258426966292},
    "leaderboard_gpqa": {"acc_norm,none": 0.26174496644295303},
    "leaderboard_ifeval": {
        "prompt_level_strict_acc,none": 0.1756007393715342,
        "inst_level_strict_acc,none": 0.29856115107913667,
        "inst_level_strict_acc_stderr,none": "N/A",
        "inst_level_loose_acc,none": 0.3105515587529976,
    },
    "leaderboard_math_hard": {"exact_match,none": 0.0075528700906344415},
    "leaderboard_mmlu_pro": {"acc,none": 0.11228390957446809},
    "leaderboard_musr": {"acc_norm,none": 0.3531746031746032},
}


def harness(results, model="org/m", **more):
    return {
        "results": results,
        "config": {"model": "hf", "model_args": f"pretrained={model},dtype=auto"},
        **more,
    }


def parsed(data, tmp_path, targets=None, name="results.json"):
    return parse_results(data, tmp_path / name, targets)


def dump(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data), encoding="utf-8")
    return path


def test_first_version_of_the_leaderboard(tmp_path):
    found = parsed(first_version(), tmp_path)
    assert (found.model, found.form) == ("org/Tiny-7B", "Open LLM Leaderboard v1")
    mmlu = found.scores.pop("mmlu")
    assert mmlu == pytest.approx(sum(range(57)) / 57 / 100)
    assert found.scores == {
        "arc": 0.546,
        "hellaswag": 0.763,
        "truthfulqa": 0.428,
        "winogrande": 0.749,
        "gsm8k": 0.2926,
    }
    assert found.left_out == []
    assert parsed(first_version(), tmp_path, ["arc", "gsm8k"]).scores == {
        "arc": 0.546,
        "gsm8k": 0.2926,
    }


def test_first_version_leaves_nothing_out_in_silence(tmp_path):
    partial = parsed(first_version(subjects=30), tmp_path)
    assert "mmlu" not in partial.scores
    assert partial.left_out == ["mmlu (30 of its 57 subjects)"]
    old = first_version(versions={"hendrycksTest-abstract_algebra": 0})
    assert "version 0" in parsed(old, tmp_path).left_out[0]
    data = first_version()
    data["results"]["harness|truthfulqa:mc|0"]["mc2"] = math.nan
    data["results"]["harness|triviaqa|5"] = {"em": 0.4}
    found = parsed(json.loads(json.dumps(data)), tmp_path)
    assert "truthfulqa" not in found.scores
    assert found.left_out == [
        "truthfulqa (no number for mc2)",
        "triviaqa (no benchmark of this leaderboard)",
    ]


def test_an_old_harness_has_mmlu_in_parts_and_revisions_apart(tmp_path):
    results = {subject: {"acc": 0.25, "acc_norm": 0.3} for subject in SUBJECTS}
    results["arc_challenge"] = {"acc": 0.4, "acc_norm": 0.45}
    results["truthfulqa_mc"] = {"mc1": 0.2, "mc2": 0.35}
    data = harness(results, "a/b,revision=step143000")
    found = parsed(data, tmp_path)
    assert (found.model, found.form) == ("a/b@step143000", "lm-evaluation-harness")
    assert found.scores == {
        "mmlu": pytest.approx(0.25),
        "arc_challenge": 0.45,
        "truthfulqa_mc": 0.35,
    }
    assert found.left_out == []
    assert parsed(data, tmp_path, ["mmlu", SUBJECTS[0]]).scores == {
        "mmlu": pytest.approx(0.25),
        SUBJECTS[0]: 0.3,
    }
    del results[SUBJECTS[0]]
    assert parsed(data, tmp_path).left_out == ["mmlu (56 of its 57 subjects)"]
    # The leaderboard ran each model at one revision
    second = {"results": PYTHIA, "model_name": "a/b", "config": data["config"]}
    assert parsed(second, tmp_path).model == "a/b"


def test_second_version_of_the_leaderboard(tmp_path):
    data = {"results": PYTHIA, "model_name": "EleutherAI/pythia-1.4b"}
    found = parsed(data, tmp_path)
    assert found.form == "Open LLM Leaderboard v2"
    # 23.71 is what the leaderboard's table shows for IFEval: the mean of both levels
    assert found.scores == pytest.approx(
        {
            "ifeval": (0.1756007393715342 + 0.29856115107913667) / 2,
            "bbh": 0.31192501301857317,
            "math_lvl_5": 0.0075528700906344415,
            "gpqa": 0.26174496644295303,
            "musr": 0.3531746031746032,
            "mmlu_pro": 0.11228390957446809,
        }
    )
    wanted = parsed(data, tmp_path, ["bbh", "leaderboard_bbh_snarks"])
    assert wanted.scores == {
        "bbh": 0.31192501301857317,
        "leaderboard_bbh_snarks": 0.5393258426966292,
    }


def test_subtasks_stand_in_for_a_group_when_all_are_there(tmp_path):
    parts = {f"leaderboard_musr_{k}": {"acc_norm,none": k / 10} for k in range(3)}
    data = {"results": parts, "model_name": "m"}
    assert parsed(data, tmp_path).scores == {"musr": pytest.approx(0.1)}
    del parts["leaderboard_musr_0"]
    found = parsed(data, tmp_path)
    assert (found.scores, found.left_out) == ({}, ["musr (2 of its 3 subtasks)"])


def test_harness_takes_groups_filters_and_metrics(tmp_path):
    results = {
        "mmlu": {"acc,none": 0.43, "acc_stderr,none": 0.004, "alias": "mmlu"},
        "mmlu_stem": {"acc,none": 0.4},
        "mmlu_anatomy": {"acc,none": 0.3},
        "hellaswag": {"acc,none": 0.40, "acc_norm,none": 0.55},
        "gsm8k": {"exact_match,flexible-extract": 0.12, "exact_match,strict-match": 0.11},
        "wikitext": {"word_perplexity,none": 11.2, "bits_per_byte,none": 0.61},
        "toxic": {"score,none": 0.2, "sample_len": 30},
        "humaneval": {"pass@1,create_test": 0.33, "pass@1_stderr,create_test": 0.03},
    }
    groups = {"mmlu": ["mmlu_stem"], "mmlu_stem": ["mmlu_anatomy"], "hellaswag": []}
    data = harness(
        results,
        group_subtasks=groups,
        higher_is_better={"wikitext": {"word_perplexity": False, "bits_per_byte": False}},
    )
    found = parsed(data, tmp_path)
    assert found.scores == {
        "mmlu": 0.43,
        "hellaswag": 0.55,
        "gsm8k": 0.11,
        "toxic": 0.2,
        "humaneval": 0.33,
    }
    assert found.left_out == ["wikitext (no score among bits_per_byte,none, word_perplexity,none)"]
    both = harness({"t": {"one,none": 0.5, "two,none": 0.25}})
    assert parsed(both, tmp_path).left_out == [
        "t (which of one,none, two,none? name it: t:one,none)"
    ]
    wanted = ["gsm8k:exact_match,flexible-extract", "hellaswag:acc", "mmlu_anatomy"]
    assert parsed(data, tmp_path, wanted).scores == {
        "gsm8k:exact_match,flexible-extract": 0.12,
        "hellaswag:acc": 0.4,
        "mmlu_anatomy": 0.3,
    }
    found = parsed(data, tmp_path, ["hellaswag:f1", "wikitext:word_perplexity"])
    assert found.scores == {}
    assert found.left_out == [
        "hellaswag:f1 (hellaswag has no such metric, but acc,none, acc_norm,none)",
        "wikitext:word_perplexity (11.2 is no fraction of 1)",
    ]


@pytest.mark.parametrize(
    ("more", "name", "model"),
    [
        ({"model_name": "org/a"}, "r.json", "org/a"),
        ({"config": {"model_args": "pretrained=x/y,dtype=auto,revision=main"}}, "r.json", "x/y"),
        ({"config": {"model_args": "pretrained=x/y,peft=me/adapter"}}, "r.json", "me/adapter"),
        ({"config": {"model_args": {"model": "gpt-x"}}}, "r.json", "gpt-x"),
        ({}, "org__name/results_2024-05-03T11-20-23.854387.json", "org__name"),
    ],
)
def test_where_a_models_name_stands(tmp_path, more, name, model):
    found = parsed({"results": {"t": {"acc": 0.5}}, **more}, tmp_path, name=name)
    assert found.model == model
    if "2024" in name:
        assert found.when == "2024-05-03T11-20-23.854387"


def test_a_folder_of_runs(tmp_path):
    folder = tmp_path / "out"
    early = harness({"piqa": {"acc,none": 0.5}, "arc": {"acc,none": 0.2}}, "org/m", date=1.7e9)
    dump(folder / "a" / "late.json", harness({"piqa": {"acc,none": 0.75}}, "org/m", date=1.8e9))
    dump(folder / "b" / "results_2023-01-01T00:00:00.json", early)
    dump(folder / "c" / "results.json", harness({"piqa": {"acc,none": 0.1}}, "x/other"))
    dump(folder / "c" / "config.json", {"hidden_size": 12})
    scores = read_scores(folder)
    assert (scores.unit, scores.form) == ("fraction", "lm-evaluation-harness")
    assert len(scores.left_out) == 1
    assert "config.json" in scores.left_out[0]
    with pytest.raises(InputError, match=r"'piqa of m'; piqa of m is .*0\.5 in .*0\.75 in .*late"):
        match_scores(scores, ["m"])
    last = match_scores(scores, ["m"], repeated="last")
    assert last.scores.to_dict("index") == {"m": {"piqa": 0.75, "arc": 0.2}}
    assert (last.repeated, last.unmatched) == (["piqa of m"], ["x/other"])
    assert match_scores(scores, ["m"], repeated="mean").scores.loc["m", "piqa"] == 0.625
    only = read_scores(folder, targets=["arc"])
    assert only.frame["score"].tolist() == [0.2]
    with pytest.raises(InputError, match=r"has any of 'mmlu'; there are 'arc', 'piqa'"):
        read_scores(folder, targets=["mmlu"])
    with pytest.raises(InputError, match="result files hold fractions"):
        read_scores(folder, unit="percent")


FIRST = "T,Model,Average ⬆️,ARC,HellaSwag,MMLU,TruthfulQA,Winogrande,GSM8K,Precision\n"
SECOND = (
    "T,Model,fullname,Average ⬆️,IFEval,IFEval Raw,BBH,BBH Raw,MATH Lvl 5,MATH Lvl 5 Raw,GPQA,"
    "GPQA Raw,MUSR,MUSR Raw,MMLU-PRO,MMLU-PRO Raw\n"
)


def test_tables_of_the_leaderboard(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text(FIRST + "🤝,a/b,81,78.5,90.3,77.81,75.84,85.56,0.61,bfloat16\n", "utf-8")
    scores = read_scores(path)
    assert (scores.form, scores.unit) == ("Open LLM Leaderboard v1", "fraction")
    values = dict(zip(scores.frame["benchmark"], scores.frame["score"], strict=True))
    assert values == pytest.approx(
        {
            "arc": 0.785,
            "hellaswag": 0.903,
            "mmlu": 0.7781,
            "truthfulqa": 0.7584,
            "winogrande": 0.8556,
            "gsm8k": 0.0061,
        }
    )
    early = "Model,Average,ARC(25-shot),HellaSwag (10-shot),MMLU (5-shot) ⬆️,TruthfulQA(0-shot)\n"
    path.write_text(early + "a/b,74.17,73.0,87.9,71.0,NaN\na/c,70,70,80,101,x\n", "utf-8")
    scores = read_scores(path)
    assert scores.frame["score"].tolist() == pytest.approx([0.73, 0.879, 0.71, 0.70, 0.80])
    assert scores.left_out == (
        "mmlu of a/c ('101' is not in [0, 100])",
        "truthfulqa of a/c ('x' is not in [0, 100])",
        "truthfulqa (no score)",
    )
    with pytest.raises(InputError, match="which is known"):
        read_scores(path, unit="percent")


def test_fractions_in_a_leaderboards_columns_are_refused(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("Model,Average,ARC,HellaSwag,MMLU,GSM8K\na/b,0.7,0.7,0.8,0.7,0.01\n")
    with pytest.raises(FileFormatError, match="none of its numbers exceeds 1"):
        read_scores(path)
    path.write_text(path.read_text().replace("Model", "model"))
    assert read_scores(path, targets=["ARC"]).frame["score"].tolist() == [0.7]


def test_second_tables_give_raw_scores_and_full_names(tmp_path):
    link = '"<a target=""_blank"" href=""https://huggingface.co/a/b"">b</a>"'
    row = f"🔶,{link},a/b,20,80.46,0.8,51,0.67,27.11,0.27,18,0.39,20,0.48,49,0.54\n"
    path = tmp_path / "table.csv"
    path.write_text(SECOND + row, "utf-8")
    found = read_scores(path).frame
    assert found["name"].unique().tolist() == ["a/b"]
    assert found["score"].tolist() == pytest.approx([0.8046, 0.67, 0.2711, 0.39, 0.48, 0.54])
    path.write_text((SECOND + row.replace(",a/b,", ",", 1)).replace(",fullname", ""), "utf-8")
    assert read_scores(path).frame.equals(found)
    frame = pd.read_csv(path)
    frame["IFEval"] = [None]
    frame.to_parquet(tmp_path / "table.parquet")
    table = read_scores(tmp_path / "table.parquet", targets=["bbh", "gpqa"])
    assert table.frame["score"].tolist() == [0.67, 0.39]
    assert read_scores(tmp_path / "table.parquet").left_out == ("ifeval (no score)",)


NAMES = st.text(min_size=1, max_size=12).filter(lambda name: "\0" not in name and "\r" not in name)


@settings(max_examples=60)
@given(
    rows=st.dictionaries(NAMES, st.one_of(st.none(), st.floats(0, 1)), min_size=1, max_size=9),
    benchmark=NAMES.filter(lambda name: name != "model"),
)
def test_plain_tables_read_back(tmp_path_factory, rows, benchmark):
    if all(value is None for value in rows.values()):
        rows = {**rows, "one": 0.5}
    path = tmp_path_factory.mktemp("plain") / "scores.csv"
    frame = pd.DataFrame({"model": list(rows), benchmark: list(rows.values())})
    path.write_bytes(
        frame.to_csv(index=False, lineterminator="\n").encode("utf-8", "surrogatepass")
    )
    scores = read_scores(path)
    found = dict(zip(scores.frame["name"], scores.frame["score"], strict=True))
    assert found == {name: value for name, value in rows.items() if value is not None}
    assert set(scores.frame["benchmark"]) == {benchmark}
    matched = match_scores(scores, list(rows))
    assert matched.unmatched == []
    assert matched.scores[benchmark].to_dict() == found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,arc\na,0.5\n", "the first line names no column 'model'"),
        ("model,arc\na,0.5\nb\n", "line 3: 1 cells, not 2"),
        (
            "model,arc,family\na,0.5,llama\n",
            "line 2: 'family' of 'a' is 'llama', no number",
        ),
        ("model,arc\na,inf\n", "'arc' of 'a' is 'inf', no number"),
        ("model,arc\na,0_1\n", "'arc' of 'a' is '0_1', no number"),
        ("model,arc\n,0.5\n", "line 2: the model's name is empty"),
        ("model,arc,arc\na,1,1\n", "column 'arc' occurs twice"),
        ("model,arc\n", "holds no score"),
        ("model,arc\na,\n", "holds no score"),
        ('model,arc\n"a,0.5\n', "line 2"),
        ("", "no column 'model'"),
    ],
)
def test_tables_that_cannot_be_read_are_named(tmp_path, text, message):
    path = tmp_path / "scores.csv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message):
        read_scores(path)


def test_columns_that_are_no_benchmarks_are_passed_over_when_targets_are_named(tmp_path):
    path = tmp_path / "scores.tsv"
    path.write_text("family\tmodel\tarc\tmmlu\nllama\ta\t50\t 60 \nopt\tb\tN/A\t\n")
    scores = read_scores(path, unit="percent", targets=["arc", "mmlu"])
    assert (scores.unit, scores.frame["score"].tolist()) == ("percent", [50, 60])
    with pytest.raises(InputError, match=r"has no scores of 'arcc'; it has 'family', 'arc'"):
        read_scores(path, targets=["arc", "arcc"])
    with pytest.raises(InputError, match="must be 'fraction' or 'percent', not 'points'"):
        read_scores(path, unit="points")


def test_files_that_are_none_are_named(tmp_path):
    for name, data, message in (
        ("a.json", b"{", "is no JSON: .*line 1"),
        ("b.json", b"[" * 100_000 + b"]" * 100_000, "nested too deeply"),
        ("c.json", b"\xff", "is not UTF-8"),
        ("d.json", b'{"results": {"t": 0.5}}', "no object 'results' of scores by task"),
        ("e.json", b'{"results": {"t": {"acc": 0.5}}}', "names no model"),
        ("f.csv", b"\xff\xfe", "is not UTF-8"),
        ("g.parquet", b"PAR1", "is no Parquet file"),
        ("h.json", b'{"results": {"t": {"ppl": 9}}, "model_name": "m"}', "holds no score"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(FileFormatError, match=message):
            read_scores(tmp_path / name)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileFormatError, match=r"holds no \.json result file"):
        read_scores(tmp_path / "empty")
    with pytest.raises(InputError, match="does not exist"):
        read_json(tmp_path / "none.json")
    with pytest.raises(InputError, match=r"a \.csv, \.tsv or \.parquet table"):
        read_scores(tmp_path / "x.pkl")


def test_names_are_matched_step_by_step():
    models = ["org/a", "B", "org/c@abc", "lab/d", "e", "f", "g-hub"]
    names = ["org/a", "ORG/A", "b", "org__c", "d", "me/e", "x/f", "y/f", "G/g", "/ckpt/z", "h/d"]
    found = match_names(names, models, {"g-hub": ["G/g"]}).set_index("name")
    assert found["model"].dropna().to_dict() == {
        "org/a": "org/a",
        "b": "B",
        "org__c": "org/c@abc",
        "d": "lab/d",
        "me/e": "e",
        "G/g": "g-hub",
    }
    how = found["how"]
    assert how["org/a"] == "exact"
    assert how["b"] == "spelling"
    assert how["org__c"] == "without revision"
    assert how["d"] == how["me/e"] == "without organisation"
    assert how["G/g"] == "another name"
    assert how["ORG/A"] == "'org/a' has a nearer name"
    assert how["x/f"] == how["y/f"] == "one of 'x/f', 'y/f' may be 'f'"
    assert how["/ckpt/z"] == how["h/d"] == "no such model"


def test_two_organisations_are_two_models():
    found = match_names(["mirror/a"], ["org/a"])
    assert found["model"].isna().all()
    # Neither is a model whose organisation only an alias tells
    assert match_names(["mirror/a"], ["a"], {"a": ["org/a"]})["model"].isna().all()
    assert match_names(["/disk/a"], ["org/a"])["model"].tolist() == ["org/a"]


def slow_match(names, models):
    """The rule, pair by pair."""

    def spelled(name):
        return name.strip().replace("__", "/").casefold()

    def plain(name):
        base, at, revision = spelled(name).rpartition("@")
        return base if at and "/" not in revision else spelled(name)

    def last(name):
        return plain(name).rstrip("/").split("/")[-1]

    def organised(name):
        return spelled(name).count("/") == 1 and name[0] not in "/.~"

    steps = [
        lambda n, m: n == m,
        lambda n, m: spelled(n) == spelled(m),
        lambda n, m: plain(n) == plain(m),
        lambda n, m: last(n) == last(m) and not organised(n),
        lambda n, m: last(n) == last(m) and not organised(m),
    ]
    found = {}
    for step in steps:
        free = [m for m in models if m not in found.values()]
        left = [n for n in names if n not in found]
        pairs = [(n, m) for n, m in itertools.product(left, free) if step(n, m)]
        for n, m in pairs:
            if sum(n == a for a, _ in pairs) == 1 and sum(m == b for _, b in pairs) == 1:
                found[n] = m
    return found


PIECES = st.sampled_from(
    ["a", "A", "b", "o/a", "O/a", "o__a", "p/a", "o/b", "a@1", "o/a@1", "/x/a"]
)


@given(
    names=st.lists(PIECES, min_size=1, max_size=6, unique=True),
    models=st.lists(PIECES, min_size=1, max_size=6, unique=True),
)
def test_names_are_matched_as_pair_by_pair(names, models):
    found = match_names(names, models)
    assert found["name"].tolist() == names
    assert found.dropna().set_index("name")["model"].to_dict() == slow_match(names, models)
    assert found["model"].dropna().is_unique
    assert (found["how"] != "").all()


def test_scores_of_no_model_are_refused(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("model,arc\nx,0.5\n")
    scores = read_scores(path)
    with pytest.raises(
        InputError, match=r"no name with scores is a model's: 'x', where .*'a', 'b'"
    ):
        match_scores(scores, ["a", "b"])
    with pytest.raises(InputError, match="repeated must be"):
        match_scores(scores, ["x"], repeated="first")


def test_rows_that_repeat_the_same_value_are_one(tmp_path):
    path = tmp_path / "scores.csv"
    path.write_text("model,arc,mmlu\na,0.5,\na,0.5,0.25\n")
    matched = match_scores(read_scores(path), ["a"])
    assert matched.scores.to_dict("index") == {"a": {"arc": 0.5, "mmlu": 0.25}}
    assert matched.repeated == []
