"""A model, column, score, index, key or file that is misspelt, in every command that takes one."""

from __future__ import annotations

import json

import pytest

import pyphylo as pp
from pyphylo.cli import main

MODELS = ["gpt2", "opt-125m", "bloom", "llama", "run@step1", "run@step2", "run@step3"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("close")
    tree = pp.Tree.from_newick(f"({','.join(f'{name}:0.5' for name in MODELS)});")
    made = pp.simulate.simulate_on_tree(tree, 24, 4, seed=1)
    rows = made.table.to_frame().itertuples(index=False)
    said = [
        json.dumps({"model": model, "gene": gene, "completion": allele})
        for model, gene, allele, count in rows
        for _ in range(count)
    ]
    (folder / "completions.jsonl").write_text("\n".join(said))
    (folder / "keys.jsonl").write_text("\n".join(said).replace('"model"', '"modle"'))
    (folder / "texts.jsonl").write_text(json.dumps({"txt": "Some words, and others."}))
    assert (
        main(["import", str(folder / "completions.jsonl"), "--store", str(folder / "store")]) == 0
    )
    D = pp.nei_distance(made.table)
    D.save(folder / "d.npz")
    pp.neighbor_joining(D).write(folder / "t.nwk")
    header = "model,family,params_b,hub_id"
    rows = [f"{name},{name[0]},{i + 1},org/{name}" for i, name in enumerate(MODELS)]
    for name, head in [
        ("m.csv", header),
        ("columns.csv", "model,Family,param_b,hub_id"),
        ("bases.csv", "model,family,basemodel,hub_id"),
    ]:
        (folder / name).write_text("\n".join([head, *rows]) + "\n")
    (folder / "models.csv").write_text("\n".join([header, *rows]).replace("gpt2", "GPT-2") + "\n")
    scores = [f"{name},{0.3 + 0.05 * i}" for i, name in enumerate(MODELS)]
    (folder / "s.csv").write_text("\n".join(["model,arc", *scores]) + "\n")
    (folder / "c.txt").write_text("bloom\nllama\ngtp2\n")
    return folder


PREDICT = "predict d.npz --scores s.csv --metadata m.csv -o p.csv"
VARY = "sensitivity store -o v.csv"


@pytest.mark.parametrize(
    ("argv", "close"),
    [
        # models
        ("tree d.npz -o x.nwk --root gtp2", "gpt2"),
        ("tree d.npz -o x.nwk --outgroup bloom gtp2", "gpt2"),
        ("parents d.npz --metadata m.csv -o p.csv --candidates c.txt", "gpt2"),
        ("nearest gtp2 --store store", "gpt2"),
        ("place gtp2 --store store --tree t.nwk", "gpt2"),
        ("same store store --model bloom --model gtp2", "gpt2"),
        ("merge gtp2 --store store", "gpt2"),
        ("merge gpt2 --store store --base blom", "bloom"),
        ("merge llama --store store --candidates c.txt", "gpt2"),
        ("distilled gtp2 --store store --base bloom", "gpt2"),
        ("distilled gpt2 --store store --base blom", "bloom"),
        ("distilled llama --store store --base bloom --candidates c.txt", "gpt2"),
        ("admixture --store store --base blom", "bloom"),
        ("admixture --store store --models c.txt", "gpt2"),
        ("trajectory run@step1 run@stp2 --store store", "run@step2"),
        ("trajectory runs@step* --store store", "run@step3"),
        ("trajectory run@step* --store store --references blom", "bloom"),
        # columns, scores and groups
        (f"{PREDICT} --target acr", "arc"),
        (f"{PREDICT} --groups familly", "family"),
        (f"{PREDICT} --groups modle", "model"),
        (f"{PREDICT} --covariates parms_b", "params_b"),
        (f"{PREDICT} --aliases hubid", "hub_id"),
        (f"{VARY} --scores s.csv --target acr", "arc"),
        (f"{VARY} --scores s.csv --metadata m.csv --groups familly", "family"),
        (f"{VARY} --scores s.csv --metadata m.csv --aliases hubid", "hub_id"),
        ("genes build texts.jsonl --field text -o g.jsonl", "txt"),
        ("import keys.jsonl --store other", "modle"),
        # other words
        (f"{VARY} --baseline stor=store", "store"),
        (f"{VARY} --baseline store=stroe", "store"),
        (f"{VARY} --indices roger", "rogers"),
        ("genes show maths", "math"),
        ("genes info cod", "code"),
        ("sample x --store s2 --genome maths", "math"),
        ("run x --out o --backend opena", "openai"),
        # files and folders
        ("info stor", "store"),
        ("distance stor -o x.npz", "store"),
        ("genes select stor --budget 4", "store"),
        ("plan stor", "store"),
        ("tree e.npz -o x.nwk", "d.npz"),
        ("tree d.npz -o x.nwk --metadata n.csv", "m.csv"),
        ("import completion.jsonl --store s2", "completions.jsonl"),
        ("place gpt2 --store store --tree tt.nwk", "t.nwk"),
    ],
)
def test_what_is_not_there(folder, monkeypatch, capsys, argv, close):
    monkeypatch.chdir(folder)
    assert main(argv.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.endswith("?\n")
    assert repr(close) in err.partition("did you mean")[2]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            "tree d.npz -o x.nwk --no-pictures --metadata models.csv",
            "'models.csv' names a model 'GPT-2' that is not here; did you mean 'gpt2'?",
        ),
        (
            "parents d.npz -o x.csv --metadata models.csv",
            "'models.csv' names a model 'GPT-2' that is not here; did you mean 'gpt2'?",
        ),
        (
            "parents d.npz -o x.csv --metadata columns.csv",
            "'columns.csv' has no column 'params_b'; did you mean 'param_b'?",
        ),
        (
            "parents d.npz -o x.csv --metadata bases.csv",
            "'bases.csv' has no column 'base_model'; did you mean 'basemodel'?",
        ),
        (
            "tree d.npz -o x.nwk --no-pictures --metadata columns.csv",
            "'columns.csv' has no column 'family'; did you mean 'Family'?",
        ),
    ],
)
def test_what_would_be_passed_over_is_told(folder, monkeypatch, capsys, argv, said):
    monkeypatch.chdir(folder)
    assert main(argv.split()) == 0
    assert f"pyphylo: warning: {said}\n" in capsys.readouterr().err


def test_metadata_of_more_models_are_no_slip(folder, monkeypatch, capsys):
    """A table of all models there are, of which the matrix has some: nothing is said."""
    monkeypatch.chdir(folder)
    more = (folder / "m.csv").read_text() + "gpt3,g,9,org/gpt3\nopt-350m,o,9,org/opt\n"
    (folder / "more.csv").write_text(more)
    assert main(["tree", "d.npz", "-o", "x.nwk", "--no-pictures", "--metadata", "more.csv"]) == 0
    assert capsys.readouterr().err == ""
