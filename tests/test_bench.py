"""`pyphylo bench` and what it measures with."""

from __future__ import annotations

import json
import os
import statistics
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pyphylo as pp
from pyphylo import _core
from pyphylo.bench import sampling, similarity
from pyphylo.bench.measure import added_memory, in_fresh_process, repeated_seconds
from pyphylo.bench.random_model import RandomModel
from pyphylo.cli import main
from pyphylo.cli.bench import SIZES

MIB = 2**20


def call(capsys, *argv):
    """Exit code, stdout, stderr."""
    try:
        code = main(["bench", *map(str, argv)])
    except SystemExit as stop:
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def test_json(capsys):
    code, out, err = call(
        capsys, "similarity", "--models", 5, 30, "--genes", 3, "--threads", 1, 2, "--repeats", 3,
        "--dtype", "float32", "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    data = json.loads(out)
    assert data["command"] == "bench similarity"
    settings = [(r["models"], r["threads"]) for r in data["results"]]
    assert settings == [(5, 1), (5, 2), (30, 1), (30, 2)]
    for r in data["results"]:
        table = pp.simulate.simulate_table(r["models"], 3)
        assert (r["genes"], r["nnz"], r["dtype"]) == (3, table.nnz, "float32")
        assert r["version"] == pp.__version__
        assert r["isa"] == _core.kernel_instruction_set()
        assert len(r["seconds"]) == 3
        assert min(r["seconds"]) > 0
        assert r["construction_seconds"] > 0
        pairs = r["models"] * (r["models"] - 1) // 2
        assert r["pairs_per_s"] == pytest.approx(pairs / statistics.median(r["seconds"]))
        assert r["pair_genes_per_s"] == pytest.approx(3 * r["pairs_per_s"])
        assert 0 <= r["peak_bytes"] < 100 * MIB
        assert 0 < r["share_of_integer_peak"] < 1


def test_alleles_of_one_model_each_are_not_multiplied(tmp_path):
    path = tmp_path / "table.pyphylo"
    models = [f"m{k}" for k in range(60)]
    alleles = [f"a{k}" for k in range(60)]
    pp.AlleleTable.from_counts(models, ["g"], range(60), [0] * 60, alleles, [3] * 60).save(path)
    measured = similarity._measure(str(path), 1, 1, "float64")
    assert measured["share_of_integer_peak"] == 0


def test_memory_holds_the_result(capsys):
    n = 1500
    code, out, _ = call(
        capsys, "similarity", "--models", n, "--genes", 1, "--repeats", 1, "--threads", 0, "--json"
    )
    assert code == 0
    (result,) = json.loads(out)["results"]
    assert result["threads"] == _core.available_threads()
    assert 8 * n * n <= result["peak_bytes"] < 3 * 8 * n * n


def test_text(capsys):
    code, out, err = call(capsys, "similarity", "--models", 4, "--genes", 2, "--repeats", 1)
    assert (code, err) == (0, "")
    title, header, row = out.splitlines()
    assert title == f"pyphylo {pp.__version__}, {_core.kernel_instruction_set()} kernels"
    assert len(header) == len(row)
    nnz = str(pp.simulate.simulate_table(4, 2).nnz)
    assert row.split()[:4] == ["4", "2", nnz, "1"]


def test_sizes_name_what_they_measure(capsys):
    code, out, _ = call(capsys, "similarity", "--help")
    assert code == 0
    words = " ".join(out.split())
    for size, models in SIZES.items():
        assert f"{size}: {', '.join(map(str, models))} models" in words


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["sequencing"],
        ["similarity", "--models", "0"],
        ["similarity", "--models", "many"],
        ["similarity", "--size", "huge"],
        ["similarity", "--size", "fast", "--models", "5"],
        ["similarity", "--threads", "-1"],
        ["similarity", "--repeats", "0"],
    ],
)
def test_wrong_calls_exit_2(capsys, argv):
    code, out, err = call(capsys, *argv)
    assert (code, out) == (2, "")
    assert "usage: pyphylo bench" in err


def test_one_model_has_no_pair(capsys):
    code, out, err = call(capsys, "similarity", "--models", 5, 1)
    assert (code, out) == (2, "")
    assert err == "pyphylo: error: similarity needs two models, not 1\n"


@given(n_models=st.integers(1, 20), n_genes=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=20, deadline=None)
def test_rows_give_the_table_again(n_models, n_genes, seed):
    table = pp.simulate.simulate_table(n_models, n_genes, seed=seed)
    assert pp.AlleleTable.from_counts(*similarity.rows_of(table)) == table


def test_every_repeat_has_a_fresh_subject_outside_the_clock():
    made, used = [], []

    def fresh():
        time.sleep(0.05)
        made.append(object())
        return made[-1]

    seconds = repeated_seconds(lambda subject: used.append(subject), fresh, 3)
    assert used == made
    assert len(set(map(id, made))) == 3
    assert max(seconds) < 0.05
    assert repeated_seconds(time.sleep, lambda: 0.02, 1)[0] >= 0.02


def touch(mebibytes):
    np.ones(mebibytes * MIB, np.uint8)


def measure_after(freed, mebibytes):
    """What a call is found to add after `freed` MiB were taken and given back."""
    blocks = [np.ones(16 * 1024, np.uint8) for _ in range(freed * 64)]
    del blocks
    return added_memory(lambda: touch(mebibytes))


@pytest.mark.parametrize("freed", [0, 100])
def test_added_memory(freed):
    added = measure_after(freed, 40)
    assert 39 * MIB <= added < 48 * MIB


def test_nothing_added():
    assert added_memory(lambda: None) < MIB


def test_in_a_fresh_process():
    assert in_fresh_process(os.getppid) == os.getpid()
    with pytest.raises(pp.InputError, match="'gpt2' is not named family/model"):
        in_fresh_process(pp.simulate.family_of, "gpt2")
    with pytest.raises(pp.WorkError, match="killed"):
        in_fresh_process(os._exit, 1)


def test_trees_are_measured(capsys):
    code, out, err = call(
        capsys, "nj", "--models", 10, 40, "--kind", "language-models", "--threads", 1, 2,
        "--repeats", 2, "--dtype", "float32", "--condensed", "--method", "bionj", "--json",
    )  # fmt: skip
    assert (code, err) == (0, "")
    data = json.loads(out)
    assert data["command"] == "bench nj"
    assert [(r["models"], r["threads"]) for r in data["results"]] == [
        (10, 1), (10, 2), (40, 1), (40, 2),
    ]  # fmt: skip
    for r in data["results"]:
        assert (r["kind"], r["method"], r["dtype"]) == ("language-models", "bionj", "float32")
        assert r["condensed"] is True
        assert len(r["seconds"]) == 2
        pairs = r["models"] * (r["models"] - 1) // 2
        assert r["pairs_per_s"] == pytest.approx(pairs / statistics.median(r["seconds"]))
        assert 0 <= r["peak_bytes"] < 100 * MIB
        assert r["start_seconds"] > 0


def test_a_tree_of_two_is_not_measured(capsys):
    code, _, err = call(capsys, "nj", "--models", 2)
    assert code == 2
    assert "neighbor joining needs three models, not 2" in err


def test_sampling_is_measured(capsys):
    code, out, _ = call(
        capsys, "sampling", "--genes", 3, "--probes", 4, "--mode", "sample", "hybrid", "exact",
        "--repeats", 2, "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0
    data = json.loads(out)
    assert data["command"] == "bench sampling"
    assert [r["mode"] for r in data["results"]] == ["sample", "hybrid", "exact"]
    for r in data["results"]:
        assert (r["genes"], r["probes"], r["model"]) == (3, 4, "random")
        assert (r["device"], r["dtype"], r["threads"]) == ("cpu", "float32", 1)
        assert len(r["seconds"]) == 2
        median = statistics.median(r["seconds"])
        assert r["genes_per_s"] == pytest.approx(3 / median)
        assert r["tokens_per_s"] == pytest.approx(r["tokens_run"] / median)
        assert 0 < r["tokens_needed"] < r["tokens_run"]
        assert 0 < r["forward_share"] < 1
    sample, _, exact = data["results"]
    assert sample["tokens_needed"] < exact["tokens_needed"]
    # Each gene's probes end after five tokens, and the prompt is run once.
    assert 0 < sample["passes"] < 5 + 10


def test_a_ledger_counts_each_token_once(tmp_path):
    """Tokens needed are those of a trie of all sequences that went through the model."""
    ledger = sampling.Ledger("cpu")
    for batch in ([[1, 2, 3], [1, 2, 4]], [[1, 2, 3, 5], [1, 2, 3, 5]], [[1, 2, 3, 5, 6]], []):
        with ledger.watch(batch):
            pass
    assert (ledger.tokens_needed, ledger.passes) == (3 + 3 + 1 + 1, 4)


def test_sampling_text_and_errors(capsys, tmp_path):
    folder = RandomModel(300, 32, 48, 1, 2, 1).save(tmp_path / "tiny")
    again = RandomModel(300, 32, 48, 1, 2, 1).save(tmp_path / "again")
    names = ("model.safetensors", "tokenizer.json")
    assert all((folder / n).read_bytes() == (again / n).read_bytes() for n in names)
    options = ["--genes", 2, "--probes", 2, "--repeats", 1, "--device", "cpu"]
    code, out, _ = call(capsys, "sampling", folder, *options)
    title, header, row = out.splitlines()
    assert code == 0
    assert "2 genes, 2 probes" in title
    assert len(header) == len(row)
    assert row.split()[:2] == ["sample", "1"]
    code, _, err = call(capsys, "sampling", folder, "--genes", 1000)
    assert code == 2
    assert "n_genes cannot be 1000" in err
