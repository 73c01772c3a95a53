"""``pyphylo genes select``: a store in, a smaller genome out."""

from __future__ import annotations

import json

import numpy as np
import pytest

import pyphylo as pp
from pyphylo.cli import main


@pytest.fixture
def store(tmp_path):
    """Twelve models of three families; genes that tell, one constant, one private."""
    rng = np.random.default_rng(0)
    rows = []
    for m in range(12):
        for g in range(6):
            likely = f"{(m % 3) * (g % 2 + 1)}"
            said = [likely if rng.random() < 0.8 else f"x{rng.integers(4)}" for _ in range(8)]
            rows += [(f"m{m}", f"g{g}", text) for text in said]
        rows += [(f"m{m}", "same", "yes")] * 8 + [(f"m{m}", "own", f"#{m}")] * 8
    lines = (
        json.dumps(dict(zip(("model", "gene", "completion"), row, strict=True))) for row in rows
    )
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    folder = tmp_path / "store"
    assert main(["import", str(tmp_path / "rows.jsonl"), "--store", str(folder)]) == 0
    return folder


def call(capsys, *words):
    capsys.readouterr()
    code = main([str(word) for word in words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_chosen_genes_make_a_genome(capsys, tmp_path, store):
    out = tmp_path / "half.jsonl"
    code, text, err = call(
        capsys, "genes", "select", store, "--budget", 4, "--folds", 3, "-o", out, "--json"
    )
    assert (code, err) == (0, "")
    data = json.loads(text)
    assert len(data["genes"]) == 4
    assert not {"same", "own"} & set(data["genes"])
    chosen = pp.Genome.load(out)
    assert list(chosen.genes) == data["genes"]
    assert chosen.digest == data["digest"]
    assert chosen.provenance["selected"]["of"] == 8
    faults = {row["gene"]: row["fault"] for row in data["scores"]}
    assert (faults["same"], faults["own"]) == ("constant", "private")
    assert faults["g0"] is None
    assert [fold["models"] for fold in data["folds"]] == [4, 4, 4]
    assert data["similarity"] != data["similarity_all"]


def test_in_words(capsys, tmp_path, store):
    metadata = tmp_path / "m.csv"
    metadata.write_text("model,family\n" + "".join(f"m{m},f{m % 3}\n" for m in range(12)))
    code, text, err = call(
        capsys, "genes", "select", store, "--budget", 8, "--metadata", metadata, "--folds", 3
    )
    assert code == 0
    assert "only 6 of 8 genes are chosen" in err
    assert text.startswith("6 of 8 genes, the most telling first:")
    assert "agreement on models that were not asked" in text
    code, text, _ = call(capsys, "genes", "select", store, "--budget", 3, "--folds", 0)
    assert code == 0
    assert "agreement" not in text


def test_a_store_keeps_its_genome(capsys, store):
    before = (store / "genome.jsonl").read_bytes()
    words = ("--budget", 2, "--folds", 0, "-o", store / "genome.jsonl")
    code, _, err = call(capsys, "genes", "select", store, *words)
    assert code == 2
    assert "it would take the place of" in err
    assert (store / "genome.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "9"], "a budget of 9 genes is more than the table's 8"),
        (["--budget", "2", "-o", "nowhere/g.jsonl"], "its folder does not exist"),
        (["--budget", "2", "--metadata", "no.csv"], "does not exist"),
    ],
)
def test_bad_calls(capsys, store, words, message):
    code, out, err = call(capsys, "genes", "select", store, *words)
    assert (code, out) == (2, "")
    assert message in err
