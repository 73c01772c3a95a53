"""`pyphylo merge` and `pyphylo distilled` say what the functions find."""

from __future__ import annotations

import json

import pytest
from drawn_blends import merged

import pyphylo as pp
from pyphylo.cli import main


@pytest.fixture(scope="module")
def blends(tmp_path_factory):
    """A world with a merge, as a store; and the names of the merge's parents."""
    world = merged(2, n_candidates=8, n_genes=64)
    folder = tmp_path_factory.mktemp("blends")
    frame = world.counted(16).to_frame()
    lines = [
        json.dumps({"model": row.model, "gene": row.gene, "completion": row.allele})
        for row in frame.itertuples()
        for _ in range(row.count)
    ]
    (folder / "completions.jsonl").write_text("\n".join(lines))
    assert main(["import", str(folder / "completions.jsonl"), "--store", str(folder / "s")]) == 0
    return world, folder


def told(capsys, *words):
    capsys.readouterr()
    code = main([*map(str, words), "--json"])
    captured = capsys.readouterr()
    return (code, json.loads(captured.out)) if code == 0 else (code, captured.err)


def test_merge(blends, capsys):
    world, folder = blends
    store = folder / "s"
    code, found = told(capsys, "merge", "M", "--store", store, "--base", world.base, "--pairs", 3)
    assert code == 0
    direct = pp.find_merge(
        pp.AlleleTable.from_store(pp.SampleStore.open(store)), "M", base=world.base
    )
    assert found["outcome"] == direct.outcome
    assert tuple(found["parents"]) == direct.parents
    assert found["weight"]["estimate"] == direct.weight.estimate
    assert found["geometric"] is None
    assert [row["estimate"] for row in found["pairs"]] == direct.pairs.estimate[:3].tolist()
    assert main(["merge", "M", "--store", str(store), "--base", world.base]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"{direct.outcome}: {direct.reason}")
    assert f"share of {direct.parents[0]}: {direct.weight.estimate:.3f}" in text


def test_merge_of_nothing(blends, capsys):
    world, folder = blends
    code, found = told(capsys, "merge", world.base, "--store", folder / "s", "--alpha", 0.001)
    assert code == 0
    assert found["outcome"] == "none"
    assert found["weight"] is None


def test_distilled(blends, capsys):
    world, folder = blends
    names = [name for name in world.p if name not in ("M", world.base)]
    (folder / "names.txt").write_text("\n".join(names))
    words = ["distilled", "M", "--store", folder / "s", "--base", world.base]
    code, found = told(capsys, *words, "--candidates", folder / "names.txt", "--control", "bh")
    assert code == 0
    table = pp.AlleleTable.from_store(pp.SampleStore.open(folder / "s"))
    direct = pp.find_teacher(table, "M", world.base, candidates=names, control="bh")
    assert found["outcome"] == direct.outcome
    assert found["leader"] == direct.leader
    assert [row["model"] for row in found["candidates"]] == direct.candidates.model.tolist()
    contrasts = direct.contrasts.cosine_p_adjusted.tolist()
    assert [row["cosine_p_adjusted"] for row in found["contrasts"]] == pytest.approx(contrasts)
    assert found["drift_p"] == direct.drift_p
    assert found["cosines"]["models"] == ["M", *names]
    assert main([*map(str, words)]) == 0
    assert direct.leader in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["merge", "N"], "is none of the"),
        (["merge", "M", "--base", "nobody"], "no model 'nobody'"),
        (["merge", "M", "--alpha", "2"], "alpha must be between 0 and 1"),
        (["merge", "M", "--blocks", "2"], "blocks must be from 4"),
        (["merge", "M", "--weighting", "root"], "needs probabilities"),
        (["distilled", "M", "--base", "M"], "its own base"),
    ],
)
def test_what_cannot_be_used_ends_with_2(blends, capsys, words, match):
    _, folder = blends
    code, error = told(capsys, *words, "--store", folder / "s")
    assert code == 2
    assert match in error
    assert error.count("\n") == 1


def test_unknown_candidates_are_named(blends, capsys):
    world, folder = blends
    (folder / "wrong.txt").write_text(f"{world.a}\n{world.a}x\n")
    words = ["merge", "M", "--store", folder / "s", "--candidates", folder / "wrong.txt"]
    code, error = told(capsys, *words)
    assert code == 2
    assert f"did you mean '{world.a}'" in error
