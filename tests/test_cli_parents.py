"""``pyphylo parents`` as its users call it."""

from __future__ import annotations

import csv
import json

import numpy as np
import pytest

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.simulate import simulate_history


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Matrix, metadata, candidates and a table's file of a simulated history."""
    folder = tmp_path_factory.mktemp("parents")
    made = simulate_history(60, 48, seed=3, living=0.7)
    made.table.save(folder / "table.pyphylo")
    D = pp.nei_distance(made.table)
    D.save(folder / "d.npz")
    pp.nei_similarity(made.table).save(folder / "s.csv")
    made.metadata.to_csv(folder / "meta.csv", index=False)
    parents = sorted({parent for parent in made.parents.values() if parent})
    (folder / "names.txt").write_text("\n".join(parents) + "\n\n" + parents[0] + "\r\n")
    return folder, made, D, parents


def call(capsys, *argv):
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return code, out, err


def refused(capsys, message, *argv):
    try:
        code, out, err = call(capsys, *argv)
    except SystemExit as stop:
        code, (out, err) = stop.code, capsys.readouterr()
    assert (code, out) == (2, "")
    assert message in err


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as handle:
        return list(csv.DictReader(handle))


def test_parents_are_written(capsys, files, tmp_path):
    folder, _, D, parents = files
    out = tmp_path / "parents.csv"
    base = ["parents", folder / "d.npz", "--metadata", folder / "meta.csv", "-o", out]
    code, text, err = call(capsys, *base, "--candidates", folder / "names.txt")
    assert (code, err) == (0, "")
    assert "with 90% confidence" in text
    frame = pp.propose_parents(D, folder / "meta.csv", parents)
    rows = rows_of(out)
    assert list(rows[0]) == ["model", "parent", "confidence"]
    assert [row["model"] for row in rows] == frame["model"].tolist()
    assert [row["parent"] or None for row in rows] == frame["parent"].tolist()
    assert [float(row["confidence"]) for row in rows] == frame["confidence"].tolist()
    code, text, err = call(capsys, *base, "--candidates", folder / "names.txt", "--json")
    data = json.loads(text)
    assert text.count("\n") == 1
    assert data["answered"] == frame["parent"].notna().sum() > 0
    assert data["leave_out"] == frame.attrs["leave_out"]
    assert [p["parent"] for p in data["proposals"]] == frame["parent"].tolist()
    assert [p["confidence"] for p in data["proposals"]] == frame["confidence"].tolist()
    assert data["files"] == [str(out)]


def test_similarities_and_precision(capsys, files, tmp_path):
    folder, _, _, _ = files
    answers = []
    for matrix, extra in (("d.npz", []), ("s.csv", ["--similarity"])):
        out = tmp_path / f"{matrix}.out"
        base = ["parents", folder / matrix, "--metadata", folder / "meta.csv", "-o", out, *extra]
        assert call(capsys, *base, "--precision", "0.5")[0] == 0
        answers.append([(row["model"], row["parent"]) for row in rows_of(out)])
    assert answers[0] == answers[1]


def test_too_few_pairs_say_so(capsys, tmp_path):
    pp.DistanceMatrix([0.1, 0.4, 0.45], ["a", "b", 'c, "d"']).save(tmp_path / "d.csv")
    (tmp_path / "meta.csv").write_text("model,base_model\na,\n")
    out = tmp_path / "p.csv"
    base = ["parents", tmp_path / "d.csv", "--metadata", tmp_path / "meta.csv", "-o", out]
    code, text, err = call(capsys, *base)
    assert (code, err) == (0, "")
    assert "too few declared pairs" in text
    assert "hold only for models whose parent is among the candidates" in text
    assert [row["model"] for row in rows_of(out)] == ["a", "b", 'c, "d"']
    data = json.loads(call(capsys, *base, "--json")[1])
    assert (data["pairs"], data["leave_out"]) == (0, None)


def test_contradicted_parents_are_written(capsys, files, tmp_path):
    folder, made, D, parents = files
    metadata = made.metadata.set_index("model")
    childless = next(m for m in made.models if m not in parents and made.parents[m])
    far = D.ids[int(np.asarray(D)[D.ids.index(childless)].argmax())]
    metadata.loc[childless, "base_model"] = far
    metadata.reset_index().to_csv(tmp_path / "lie.csv", index=False)
    out, check = tmp_path / "p.csv", tmp_path / "check.csv"
    base = ["parents", folder / "d.npz", "--metadata", tmp_path / "lie.csv", "-o", out]
    base += ["--store", folder / "table.pyphylo", "--check", check, "--bootstrap", "1500"]
    code, text, err = call(capsys, *base, "--json")
    assert (code, err) == (0, "")
    data = json.loads(text)
    assert data["files"] == [str(out), str(check)]
    expected = pp.contradicted_parents(made.table, metadata.reset_index(), n=1500)
    rows = rows_of(check)
    assert list(rows[0]) == list(expected.columns)
    assert [row["model"] for row in rows] == expected["model"].tolist()
    assert childless in expected["model"].tolist()
    assert [row["model"] for row in data["contradicted"]] == expected["model"].tolist()
    assert "declared parents are contradicted" in call(capsys, *base)[1]


def test_bad_calls_are_refused(capsys, files, tmp_path):
    folder, _, _, _ = files
    out = tmp_path / "p.csv"
    base = ["parents", folder / "d.npz", "--metadata", folder / "meta.csv"]
    refused(capsys, "required: -o", *base)
    refused(capsys, "go together", *base, "-o", out, "--check", tmp_path / "c.csv")
    refused(capsys, "go together", *base, "-o", out, "--store", folder / "table.pyphylo")
    refused(
        capsys, "both name", *base, "-o", out, "--check", out, "--store", folder / "table.pyphylo"
    )
    refused(capsys, "its folder does not exist", *base, "-o", tmp_path / "no" / "p.csv")
    check = ("--store", folder / "table.pyphylo", "--check")
    refused(capsys, "would take the place", *base, "-o", folder / "meta.csv")
    refused(capsys, "would take the place", *base, "-o", out, *check, folder / "d.npz")
    refused(capsys, "precision must be between 0 and 1", *base, "-o", out, "--precision", "2")
    names = tmp_path / "names.txt"
    refused(capsys, "candidates file", *base, "-o", out, "--candidates", names)
    names.write_text("\n \n")
    refused(capsys, "names no candidate", *base, "-o", out, "--candidates", names)
    names.write_text("nobody\n")
    refused(capsys, "candidate 'nobody' is not in", *base, "-o", out, "--candidates", names)
    names.write_bytes(b"\xff\xfe")
    refused(capsys, "is not UTF-8 text", *base, "-o", out, "--candidates", names)
    refused(
        capsys, "--similarity", "parents", folder / "s.csv", "--metadata", folder / "meta.csv",
        "-o", out,
    )  # fmt: skip
    ring = tmp_path / "ring.csv"
    ring.write_text("model,base_model\na,b\nb,a\n")
    refused(
        capsys, "cannot descend from itself", "parents", folder / "d.npz", "--metadata", ring,
        "-o", out,
    )  # fmt: skip
    assert not out.exists()
