"""The command line as its users call it: files in, files out, one line on stderr, exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pyphylo as pp
from pyphylo.cli import main

ROWS = [
    (model, gene, completion)
    for model, words in {"a": "xxxy", "b": "xxyy", "c": "zzzy", "d, é": "zzzz"}.items()
    for gene in ("g", "h")
    for completion in words
]


@pytest.fixture
def completions(tmp_path):
    path = tmp_path / "completions.jsonl"
    keys = ("model", "gene", "completion")
    path.write_text("".join(json.dumps(dict(zip(keys, row, strict=True))) + "\n" for row in ROWS))
    return path


@pytest.fixture
def matrix(tmp_path):
    path = tmp_path / "d.csv"
    values = [[0, 1, 4, 4], [1, 0, 4, 4], [4, 4, 0, 2], [4, 4, 2, 0]]
    pp.DistanceMatrix(values, ["a", "b", "c", "d"]).save(path)
    return path


def call(capsys, *argv):
    """Exit code, stdout, stderr."""
    try:
        code = main([str(word) for word in argv])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def call_json(capsys, *argv):
    code, out, err = call(capsys, *argv, "--json")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    return json.loads(out)


def refused(capsys, message, *argv, code=2):
    got, out, err = call(capsys, *argv)
    assert got == code
    assert out == ""
    assert err.startswith("pyphylo: error: ")
    assert err.count("\n") == 1
    assert message in err


def test_import_distance_tree(capsys, tmp_path, completions):
    store, dist, tree = tmp_path / "store", tmp_path / "dist.npz", tmp_path / "out.nwk"
    data = call_json(capsys, "import", completions, "--store", store)
    assert data["imported"] == ["a", "b", "c", "d, é"]
    data = call_json(capsys, "distance", store, "-o", dist)
    assert (data["models"], data["genes"]) == (4, 2)
    expected = pp.nei_distance(pp.AlleleTable.from_records(ROWS))
    assert pp.DistanceMatrix.load(dist) == expected
    data = call_json(capsys, "tree", dist, "-o", tree)
    assert data["tips"] == 4
    assert sorted(pp.Tree.read(tree).tips) == ["a", "b", "c", "d, é"]
    for name in ("out", "out_unrooted", "out_heatmap"):
        assert (tmp_path / f"{name}.svg").stat().st_size > 1000
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("suffix", [".phy", ".csv", ".tsv", ".parquet", ".npz"])
def test_every_matrix_format_makes_the_same_tree(capsys, tmp_path, matrix, suffix):
    other = tmp_path / f"other{suffix}"
    pp.DistanceMatrix.load(matrix).save(other)
    call_json(capsys, "tree", other, "-o", tmp_path / "t.nwk", "--no-pictures")
    found = pp.Tree.read(tmp_path / "t.nwk")
    call_json(capsys, "tree", matrix, "-o", tmp_path / "u.nwk", "--no-pictures")
    assert found == pp.Tree.read(tmp_path / "u.nwk")
    assert not (tmp_path / "t.svg").exists()


def test_strict_phylip_tells_which_name_is_which(capsys, tmp_path, completions):
    store, path = tmp_path / "store", tmp_path / "d.phy"
    call_json(capsys, "import", completions, "--store", store)
    data = call_json(capsys, "distance", store, "-o", path, "--phylip-strict")
    assert data["names"] == f"{path}.names.json"
    names = json.loads(Path(data["names"]).read_text(encoding="utf-8"))
    assert names == {"a": "a", "b": "b", "c": "c", "d___": "d, é"}
    expected = pp.nei_distance(pp.AlleleTable.from_records(ROWS))
    found = pp.DistanceMatrix.load(path, strict=True)
    assert found.ids == tuple(names)
    np.testing.assert_array_equal(found.values, expected.values)
    refused(capsys, "not of .npz", "distance", store, "-o", tmp_path / "d.npz", "--phylip-strict")
    Path(data["names"]).unlink()
    Path(data["names"]).mkdir()
    path.unlink()
    refused(capsys, "it is a folder", "distance", store, "-o", path, "--phylip-strict")
    assert not path.exists()


def test_similarity_files_and_roots(capsys, tmp_path, matrix):
    path = tmp_path / "s.csv"
    D = pp.DistanceMatrix.load(matrix)
    pp.SimilarityMatrix(np.exp(-D.values), D.ids).save(path)
    call_json(capsys, "tree", path, "--similarity", "-o", tmp_path / "s.nwk", "--no-pictures")
    call_json(capsys, "tree", matrix, "-o", tmp_path / "d.nwk", "--no-pictures")
    one, two = pp.Tree.read(tmp_path / "s.nwk"), pp.Tree.read(tmp_path / "d.nwk")
    assert one.robinson_foulds(two) == 0
    np.testing.assert_allclose(one.length, two.length, atol=1e-12)
    data = call_json(
        capsys, "tree", matrix, "-o", tmp_path / "r.nwk", "--root", "midpoint", "--no-pictures"
    )
    assert data["rooted"]
    refused(capsys, "--similarity", "tree", path, "-o", tmp_path / "x.nwk")
    refused(capsys, "'e'", "tree", matrix, "-o", tmp_path / "x.nwk", "--root", "e")
    assert not (tmp_path / "x.nwk").exists()


def test_families_that_name_nobody_are_told(capsys, tmp_path, matrix):
    metadata = tmp_path / "m.csv"
    metadata.write_text("model,family\nA,one\n")
    code, _, err = call(
        capsys, "tree", matrix, "-o", tmp_path / "t.nwk", "--metadata", metadata, "--no-pictures"
    )
    assert code == 0
    assert err.startswith(f"pyphylo: warning: {str(metadata)!r} gives no family")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no column 'model'"),
        ("family\nx\n", "no column 'model'"),
        ("model,family\na\n", "line 2: 1 cells, not 2"),
        ("model,family,date,family\na,x,2020,y\n", "column 'family' occurs twice"),
        ("model,family\na,x\na,y\n", "line 3: model 'a'"),
        ('model,family\n"a,x\n', "line"),
    ],
)
def test_bad_metadata(capsys, tmp_path, matrix, text, message):
    metadata = tmp_path / "m.csv"
    metadata.write_text(text)
    refused(capsys, message, "tree", matrix, "-o", tmp_path / "t.nwk", "--metadata", metadata)


def test_genes(capsys, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text(
        "\n\n".join(f"paragraph {i} goes on for a while and longer" for i in range(30))
    )
    rows = tmp_path / "texts.jsonl"
    rows.write_text(
        "".join(json.dumps({"body": f"line {i} " + "x" * 90}) + "\n" for i in range(30))
    )
    out = tmp_path / "genome.jsonl"
    data = call_json(capsys, "genes", "build", texts, rows, "--field", "body", "-n", 50, "-o", out)
    genome = pp.Genome.load(out)
    assert data == {
        "genome": str(out),
        "genes": 50,
        "digest": genome.digest,
        "provenance": genome.provenance,
    }
    assert [source["name"] for source in genome.provenance["sources"]] == [texts.name, rows.name]
    shown = call_json(capsys, "genes", "show", out)
    assert [row["prompt"] for row in shown["genes"]] == list(genome.prompts)
    code, text, _ = call(capsys, "genes", "show")
    assert code == 0
    assert "128 genes" in text
    refused(capsys, "key 'text'", "genes", "build", rows, "-o", out)
    many = ("--field", "body", "-n", 61, "-o", out)
    refused(capsys, "61 were asked", "genes", "build", texts, rows, *many)
    refused(capsys, "name files", "genes", "build", "-o", out)
    refused(capsys, "would take the place", "genes", "build", texts, "-n", 5, "-o", texts)
    assert pp.Genome.load(out) == genome, "a refused call leaves the earlier file"
    same = ("--field", "body", "-n", 50, "--balance", "--per-text", 2, "--max-texts", 25)
    other = call_json(capsys, "genes", "build", texts, rows, *same, "-o", out)
    assert [source["genes"] for source in other["provenance"]["sources"]] == [25, 25]


def test_a_refused_build_writes_nothing(capsys, tmp_path):
    source, out = tmp_path / "t.txt", tmp_path / "g.jsonl"
    for data in (b"", b"\xff", b"too few texts here, only one"):
        source.write_bytes(data)
        refused(capsys, "", "genes", "build", source, "-o", out)
        assert {path.name for path in tmp_path.iterdir()} == {"t.txt"}


def test_what_is_known_of_genomes(capsys, tmp_path):
    listed = call_json(capsys, "genes", "list")["genomes"]
    assert [(row["name"], row["genes"]) for row in listed] == [("math", 128), ("code", 128)]
    for name in ("math", "code"):
        info = call_json(capsys, "genes", "info", name)
        assert info["digest"] == pp.Genome.built_in(name).digest
        assert info["diversity"]["models"] == 12
    code, text, _ = call(capsys, "genes", "info", "code")
    assert code == 0
    assert "code-127" in text
    rows = [(m, "g", c) for m in ("a", "b") for c in (m, m, "x", "y")]
    completions = tmp_path / "c.jsonl"
    keys = ("model", "gene", "completion")
    completions.write_text(
        "".join(json.dumps(dict(zip(keys, r, strict=True))) + "\n" for r in rows)
    )
    call_json(capsys, "import", completions, "--store", tmp_path / "store")
    (gene,) = call_json(capsys, "genes", "info", tmp_path / "store")["diversity"]["genes"]
    # Of 12 ordered pairs of a model's probes 2 agree, of 16 between the models 2.
    assert gene == {"gene": "g", "alleles": 3.0, "within": 0.8333, "between": 0.0417}
    completions.write_text(completions.read_text().split('{"model": "b"')[0])
    call_json(capsys, "import", completions, "--store", tmp_path / "one")
    code, text, _ = call(capsys, "genes", "info", tmp_path / "one")
    assert code == 0
    assert "over 1 model, 4 probes a gene:" in text
    assert text.splitlines()[-1].split() == ["mean", "3.000", "0.833", "-"]
    pp.Genome(["g"], ["a prompt"]).save(tmp_path / "g.jsonl")
    code, text, _ = call(capsys, "genes", "info", tmp_path / "g.jsonl")
    assert code == 0
    assert "no diversity recorded" in text
    refused(capsys, "did you mean 'math'?", "genes", "info", "maths")
    refused(capsys, "does not exist", "genes", "info", "nowhere.jsonl")


def test_info(capsys):
    data = call_json(capsys, "info")
    assert data["pyphylo"] == data["core"] == pp.__version__
    assert data["threads"] >= 1
    assert "similarity" not in data
    assert call(capsys, "info")[0] == 0


def test_info_of_a_store_tells_the_plan(capsys, tmp_path, completions):
    store, file = tmp_path / "store", tmp_path / "table.pyphylo"
    call(capsys, "import", completions, "--store", store)
    table = pp.AlleleTable.from_store(pp.SampleStore.open(store))
    table.save(file)
    plan = call_json(capsys, "info", store, "--threads", 2)["similarity"]
    assert plan == call_json(capsys, "info", file, "--threads", 2)["similarity"]
    assert (plan["models"], plan["genes"], plan["nnz"]) == (4, 2, table.nnz)
    assert (plan["arithmetic"], plan["sum_bits"], plan["threads"]) == ("u8", 32, 2)
    # Of each gene x, y and z are in two models or three.
    kinds = [plan[f"{kind}_alleles"] for kind in ("dense", "rare", "private")]
    assert sum(kinds) == plan["alleles"] == 6
    assert plan["private_alleles"] == 0
    assert plan["least_holders"] >= 2
    assert plan["dense_seconds"] + plan["rare_seconds"] > 0
    assert plan["work_bytes"] > 0
    assert (plan["float64_square_bytes"], plan["float32_condensed_bytes"]) == (128, 24)
    code, out, err = call(capsys, "info", store)
    assert (code, err) == (0, "")
    assert "128 bytes as a float64 square" in out
    assert "u8 (counts in 8 bits)" in out


def test_info_of_counts_that_are_too_large_for_panels(capsys, tmp_path):
    file = tmp_path / "table.pyphylo"
    n = 40_000
    pp.AlleleTable.from_counts(
        ["a", "b"], ["g"], [0, 0, 1, 1], [0] * 4, ["x", "y"] * 2, [n, 1, 1, n]
    ).save(file)
    plan = call_json(capsys, "info", file)["similarity"]
    assert (plan["arithmetic"], plan["least_holders"], plan["dense_alleles"]) == ("wide", None, 0)
    assert "no allele multiplied densely" in call(capsys, "info", file)[1]


def test_info_refuses_what_it_cannot_plan(capsys, tmp_path, monkeypatch):
    refused(capsys, "does not exist", "info", tmp_path / "none")
    refused(capsys, "not a pyphylo store", "info", tmp_path)
    one = tmp_path / "one.pyphylo"
    pp.AlleleTable.from_counts(["a"], ["g"], [0], [0], ["x"], [2]).save(one)
    refused(capsys, "1 model has no pair", "info", one)
    monkeypatch.setenv("PYPHYLO_ISA", "portable")
    assert call_json(capsys, "info")["isa"] == "portable"
    monkeypatch.setenv("PYPHYLO_ISA", "mmx")
    refused(capsys, "PYPHYLO_ISA asks for the instruction set 'mmx'; usable here: ", "info")
    refused(capsys, "'mmx'", "bench", "similarity", "--models", 3, "--genes", 1, "--repeats", 1)


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nothing"],
        ["tree"],
        ["tree", "x.csv", "-o", "y.nwk", "--threads", "-1"],
        ["sample", "m", "--store", "s", "--probes", "0"],
        ["distance", "s", "-o", "d.npz", "--estimator", "nei"],
    ],
)
def test_wrong_calls_exit_2(capsys, argv):
    code, out, err = call(capsys, *argv)
    assert (code, out) == (2, "")
    assert "usage: pyphylo" in err


def test_bad_input_is_one_line(capsys, tmp_path, completions, matrix):
    store, tree = tmp_path / "store", tmp_path / "t.nwk"
    refused(capsys, "does not exist", "import", tmp_path / "none", "--store", store)
    refused(capsys, "does not exist", "distance", store, "-o", tmp_path / "d.npz")
    refused(capsys, "not a pyphylo store", "distance", tmp_path, "-o", tmp_path / "d.npz")
    refused(capsys, "not a pyphylo store", "import", completions, "--store", tmp_path)
    refused(capsys, "does not exist", "tree", tmp_path / "none.csv", "-o", tree)
    refused(capsys, "its folder does not exist", "tree", matrix, "-o", tmp_path / "no" / "t.nwk")
    refused(capsys, "it is a folder", "tree", matrix, "-o", tmp_path)
    call(capsys, "import", completions, "--store", store)
    refused(capsys, ".npz", "distance", store, "-o", tmp_path / "d.txt")
    refused(capsys, "white space", "distance", store, "-o", tmp_path / "d.phy")
    completions.write_text('{"model": "a"}\n')
    refused(capsys, "line 1: key 'gene' is missing", "import", completions, "--store", store)
    for text, message in {
        "model,a,b\na,0,1\n": "not square",
        "model,a,b\na,0,1\nb,2,0\n": "'a' and 'b'",
        "model,a,b\na,0,-1\nb,-1,0\n": "'a' and 'b'",
        "model,a,b\na,0,nan\nb,nan,0\n": "'a' and 'b'",
        "model,a\na,0\n": "at least two",
    }.items():
        matrix.write_text(text)
        refused(capsys, message, "tree", matrix, "-o", tree)
    assert {p.name for p in tmp_path.iterdir()} == {"store", "completions.jsonl", "d.csv"}


def test_one_model_has_no_distance(capsys, tmp_path, completions):
    completions.write_text('{"model": "a", "gene": "g", "completion": "x"}\n')
    call(capsys, "import", completions, "--store", tmp_path / "store")
    refused(capsys, "holds 1 models", "distance", tmp_path / "store", "-o", tmp_path / "d.npz")
    assert not (tmp_path / "d.npz").exists()


def test_unknown_models_are_refused_before_work(capsys, tmp_path):
    store = tmp_path / "store"
    refused(capsys, "'./none'", "sample", "./none", "--store", store)
    refused(capsys, "'x' occurs twice", "sample", "x=./a", "x=./b", "--store", store)
    refused(capsys, "did you mean 'hf'", "sample", "x=./a", "--store", store, "--backend", "hff")
    refused(capsys, "at least two", "run", "./none", "--out", tmp_path / "out")
    refused(capsys, "does not exist", "sample", "./a", "--store", store, "--genome", tmp_path / "g")
    assert list(tmp_path.iterdir()) == []


@contextlib.contextmanager
def little_room(size=8):
    """No file may grow beyond so many bytes: a full disk, as far as a process can have one."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_and_nothing_is_half_written(capsys, tmp_path, matrix):
    target = tmp_path / "t.nwk"
    with little_room():
        refused(capsys, "File too large", "tree", matrix, "-o", target, "--no-pictures", code=1)
    assert not target.exists()
    assert not target.with_name("t.nwk.part").exists()
    for suffix in (".npz", ".csv", ".phy", ".parquet"):
        target = tmp_path / f"copy{suffix}"
        with pytest.raises(OSError, match="File too large") as error, little_room():
            pp.DistanceMatrix.load(matrix).save(target)
        assert error.value.filename == str(target)
        assert not target.exists()
        assert not target.with_name(target.name + ".part").exists()


def test_closed_pipe_is_quiet():
    program = f"{sys.executable} -m pyphylo genes show | head -1"
    done = subprocess.run(
        ["bash", "-c", program], capture_output=True, text=True, cwd="/", timeout=60
    )
    assert done.stdout.startswith("math-000")
    assert done.stderr == ""


def test_ctrl_c_is_one_line(tmp_path):
    fifo = tmp_path / "completions.jsonl"
    os.mkfifo(fifo)
    argv = [sys.executable, "-m", "pyphylo", "import", str(fifo), "--store", str(tmp_path / "s")]
    process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True, cwd="/")
    with fifo.open("w"):  # returns once the command reads
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err.startswith("pyphylo: error: interrupted")
    assert err.count("\n") == 1
    assert not (tmp_path / "s").exists()


def test_devices_and_pipes_are_not_replaced_and_links_are_followed(capsys, tmp_path, matrix):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    refused(capsys, "not a regular file", "tree", matrix, "-o", pipe, "--no-pictures")
    assert pipe.is_fifo()
    link, real = tmp_path / "link.nwk", tmp_path / "real.nwk"
    link.symlink_to(real)
    call_json(capsys, "tree", matrix, "-o", link, "--no-pictures")
    assert link.is_symlink()
    assert pp.Tree.read(real).n_tips == 4


@pytest.mark.parametrize("number", ["3000000000", "1" * 25, "x"])
@pytest.mark.parametrize("option", ["--threads", "--chars"])
def test_numbers_too_large_are_wrong_calls(capsys, option, number):
    code, _, err = call(capsys, "distance", "s", "-o", "d.npz", option, number)
    assert code == 2
    assert "Traceback" not in err


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, '{"gene": ' + "1" * 5000 + "}", '{"gene": "\\ud800", "prompt": "x"}'],
    ids=["deep", "long", "half"],
)
def test_genomes_that_are_almost_json(capsys, tmp_path, text):
    path = tmp_path / "g.jsonl"
    path.write_text(text)
    refused(capsys, "g.jsonl", "genes", "show", path)


def test_matrices_that_are_almost_right(capsys, tmp_path):
    digits = tmp_path / "d.phy"
    digits.write_text("9" * 5000)
    refused(capsys, "line 1", "tree", digits, "-o", tmp_path / "t.nwk")
    folder = tmp_path / "d.csv"
    folder.mkdir()
    refused(capsys, "is a folder", "tree", folder, "-o", tmp_path / "t.nwk")


def test_half_a_character_in_a_text_does_not_reach_the_genome(capsys, tmp_path):
    texts, out = tmp_path / "t.jsonl", tmp_path / "g.jsonl"
    rows = [json.dumps({"text": f"number {i} and so on and on \ud800"}) for i in range(9)]
    texts.write_text("\n".join(rows))
    call_json(capsys, "genes", "build", texts, "-n", 9, "--length", 20, 99, "-o", out)
    assert len(pp.Genome.load(out)) == 9
