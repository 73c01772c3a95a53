"""The examples of every command's help, typed in a folder that has what they speak of."""

from __future__ import annotations

import argparse
import gzip
import json
import shlex
import shutil

import pytest

import pyphylo as pp
from pyphylo.cli import build_parser, main

TREE = (
    "((gpt2:0.2,distilgpt2:0.2)gpts:0.5,gpt2-server:0.3,"
    "((student:0.3,my-blend:0.2,checkpoints/final:0.2)tuned:0.2,"
    "(org/name@step1000:0.1,(org/name@step2000:0.1,org/name@step3000:0.1)later:0.1)run:0.1,"
    "base-model:0.01)base:0.3,(opt-1:0.2,opt-2:0.2,opt-3:0.2)opts:0.3)root;"
)
ELSEWHERE = {
    "demo": "trains for minutes; CI runs it",
    "run": "its models come from a hub",
    "sample": "its models come from a hub",
    "bench": "takes minutes, or its model comes from a hub",
    "completion": "is read by shells: test_cli_manners.py",
}


def leaves(parser):
    inner = [a for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    if not inner:
        return [parser]
    return [leaf for child in inner[0].choices.values() for leaf in leaves(child)]


def examples():
    """Each command line that a help page shows, in the order of the commands."""
    for parser in leaves(build_parser()):
        shown = parser.epilog.partition(":")[2]
        for line in filter(None, map(str.strip, shown.splitlines())):
            words = shlex.split(line)
            if words[0] == "pyphylo" and words[1] not in ELSEWHERE:
                yield line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Completions, texts, metadata and scores, under the names that the examples use."""
    folder = tmp_path_factory.mktemp("examples")
    made = pp.simulate.simulate_on_tree(pp.Tree.from_newick(TREE), 80, 6, seed=1)
    with gzip.open(folder / "completions.jsonl.gz", "wt", encoding="utf-8") as file:
        for model, gene, allele, count in made.table.to_frame().itertuples(index=False):
            row = {"model": model, "gene": gene, "completion": allele}
            file.write((json.dumps(row) + "\n") * count)
    models = made.table.models
    families = {name: name.partition("-")[0].partition("@")[0] for name in models}
    parents = {"student": "base-model", "my-blend": "base-model", "distilgpt2": "gpt2"}
    rows = [
        f"{name},{families[name]},{parents.get(name, '')},{i % 7 + 1},{'mit' if i % 2 else 'gpl'}"
        for i, name in enumerate(models)
    ]
    for name in ("families.csv", "models.csv"):
        (folder / name).write_text(
            "\n".join(["model,family,base_model,params_b,license", *rows]) + "\n"
        )
    scores = [f"{name},{0.3 + 0.02 * i}" for i, name in enumerate(models[2:])]
    (folder / "bases.txt").write_text("gpt2\nbase-model\nopt-1\n")
    (folder / "scores.csv").write_text("\n".join(["model,quiz", *scores]) + "\n")
    paragraph = "{} genes are cut from paragraphs such as this one, which are all different.\n\n"
    (folder / "notes.txt").write_text("".join(paragraph.format(i) for i in range(100)))
    lines = [json.dumps({"body": paragraph.format(i)}) for i in range(100, 200)]
    (folder / "more.jsonl").write_text("\n".join(lines))
    return folder


def prepare(line, folder):
    """What an example takes for granted: made by the examples of other commands."""
    words = shlex.split(line)
    copies = {"weights": "store", "served": "store", "cool-store": "store"}
    for name in copies.keys() & set(words):
        if not (folder / name).exists():
            shutil.copytree(folder / copies[name], folder / name)
    if words[1] == "place":
        tips = pp.DistanceMatrix.load(folder / "distances.npz").ids
        kept = [name for name in tips if name != "checkpoints/final"]
        pp.Tree.read(folder / "tree.nwk").shear(kept).write(folder / "tree.nwk")
    if words[1:] == ["report", "family"]:
        shutil.copytree(folder / "store", folder / "family" / "store", dirs_exist_ok=True)
        for name in ("distances.npz", "tree.nwk"):
            shutil.copy(folder / name, folder / "family")


def test_examples_work(folder, monkeypatch, capsys):
    """In one go: one command reads what another wrote."""
    monkeypatch.chdir(folder)
    typed = list(examples())
    typed.sort(key=lambda line: not line.startswith("pyphylo import"))  # the store first
    for line in typed:
        prepare(line, folder)
        code = main(shlex.split(line)[1:])
        captured = capsys.readouterr()
        assert code == 0, f"$ {line}\n{captured.err}"
        assert captured.out
        for written in ("-o", "--output", "--intervals", "--figure", "--plot", "--check"):
            words = shlex.split(line)
            if written in words:
                assert (folder / words[words.index(written) + 1]).stat().st_size > 0
