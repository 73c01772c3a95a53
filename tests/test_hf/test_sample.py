"""`sample` and `run`: resuming, killing, failing, and streams that no two models share."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pyphylo as pp
from pyphylo.sampling.scheduler import name_models
from pyphylo.sampling.streams import uniforms

GENOME = pp.Genome.default().head(12)
FAST = {"n_probes": 4, "device": "cpu"}


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def models(checkpoint) -> dict[str, str]:
    return {f"m/{kind}": str(checkpoint(kind)) for kind in ("llama", "gpt2", "mistral")}


def test_a_second_run_samples_only_what_is_missing(models, tmp_path):
    two = dict(list(models.items())[:2])
    pp.sample(two, GENOME, store=tmp_path / "s", **FAST)
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "s" / "shards").iterdir()}
    store = pp.sample(models, GENOME, store=tmp_path / "s", **FAST)
    assert store.models == tuple(sorted(models))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())
    pp.sample(dict(reversed(models.items())), GENOME, store=tmp_path / "t", **FAST)
    assert contents(tmp_path / "s") == contents(tmp_path / "t")
    assert (tmp_path / "s.log").read_text().count("\n") == 3


def test_kill_nine_then_again_is_byte_for_byte(models, tmp_path):
    """Killed while the second model is sampled: the first is kept, the rest made the same."""
    program = (
        "import json, sys, pyphylo as pp\n"
        "models, store = json.loads(sys.argv[1]), sys.argv[2]\n"
        "genome = pp.Genome.default().head(12)\n"
        "pp.sample(models, genome, store=store, n_probes=4, device='cpu')\n"
    )
    argv = [sys.executable, "-c", program, json.dumps(models), str(tmp_path / "s")]
    process = subprocess.Popen(argv, cwd="/", env={**os.environ, "OMP_NUM_THREADS": "1"})
    shards = tmp_path / "s" / "shards"
    deadline = time.monotonic() + 120
    while not list(shards.glob("*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in shards.glob("*.parquet")}
    assert 1 <= len(done) < 3
    subprocess.run(argv, cwd="/", check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert all((p.stat().st_mtime_ns, p.read_bytes()) == was for p, was in done.items())
    argv[-1] = str(tmp_path / "undisturbed")
    subprocess.run(argv, cwd="/", check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert contents(tmp_path / "s") == contents(tmp_path / "undisturbed")


def test_what_a_killed_write_leaves_is_replaced(models, tmp_path):
    name, spec = next(iter(models.items()))
    store = pp.sample({name: spec}, GENOME, store=tmp_path / "s", **FAST)
    (shard,) = (store.path / "shards").iterdir()
    whole = contents(store.path)
    shard.with_name(shard.name + ".part").write_bytes(shard.read_bytes()[:100])
    shard.unlink()
    pp.sample({name: spec}, GENOME, store=tmp_path / "s", **FAST)
    assert contents(store.path) == whole


def test_one_model_that_fails_does_not_stop_the_others(models, own_copy, tmp_path):
    broken = own_copy("llama")
    (broken / "tokenizer.json").unlink()
    with pytest.raises(pp.WorkError, match="1 of 4 models could not be sampled: broken: "):
        pp.sample({"broken": str(broken), **models}, GENOME, store=tmp_path / "s", **FAST)
    assert pp.SampleStore.open(tmp_path / "s").models == tuple(sorted(models))


def test_refused_before_any_work(models, tmp_path):
    store = tmp_path / "s"
    unknown = {**models, "none": "./none"}
    with pytest.raises(pp.InputError, match=r"'\./none'"):
        pp.sample(unknown, GENOME, store=store, **FAST)
    with pytest.raises(pp.InputError, match="without a prompt"):
        pp.sample(models, pp.Genome(["g"], [None]), store=store)
    for temperature in (0, -1, float("nan"), "hot"):
        with pytest.raises(pp.InputError, match="temperature"):
            pp.sample(models, GENOME, store=store, temperature=temperature)
    for probes in (0, 1.5, True, "8"):
        with pytest.raises(pp.InputError, match="n_probes"):
            pp.sample(models, GENOME, store=store, n_probes=probes)
    with pytest.raises(pp.InputError, match="no models"):
        pp.sample([], GENOME, store=store)
    assert not store.exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(pp.InputError, match=r"notes\.txt"):
        pp.sample(models, GENOME, store=tmp_path / "other", **FAST)
    pp.sample(dict(list(models.items())[:1]), GENOME, store=store, **FAST)
    with pytest.raises(pp.InputError, match="resume=False"):
        pp.sample(models, GENOME, store=store, resume=False, **FAST)
    with pytest.raises(pp.InputError, match="seed=0, not 1"):
        pp.sample(models, GENOME, store=store, seed=1, **FAST)


def test_changed_weights_are_another_model(own_copy, tmp_path):
    folder = own_copy("llama")
    pp.sample({"m": str(folder)}, GENOME, store=tmp_path / "s", **FAST)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    with pytest.raises(pp.InputError, match="'m' with revision"):
        pp.sample({"m": str(folder)}, GENOME, store=tmp_path / "s", **FAST)


def test_numbers_of_any_type_make_the_same_store(checkpoint, tmp_path):
    models = {"m": str(checkpoint("gpt2"))}
    a = pp.sample(models, GENOME, store=tmp_path / "a", n_probes=np.int64(4), temperature=1)
    b = pp.sample(models, GENOME, store=tmp_path / "b", n_probes=4, temperature=1.0)
    assert contents(a.path) == contents(b.path)


def test_models_as_one_text_or_paths(checkpoint, tmp_path):
    folder = checkpoint("gpt2")
    store = pp.sample(str(folder), GENOME, store=tmp_path / "a", **FAST)
    assert store.models == pp.sample([folder], GENOME, store=tmp_path / "b", **FAST).models
    with pytest.raises(pp.InputError, match="must be a Genome"):
        pp.sample([folder], "genome.jsonl", store=tmp_path / "c")


def test_names(tmp_path):
    (tmp_path / "a=b").mkdir()
    named = name_models(["org/x@rev", "label=org/y", str(tmp_path / "a=b")])
    assert named == {
        "org/x@rev": "org/x@rev",
        "label": "org/y",
        str(tmp_path / "a=b"): str(tmp_path / "a=b"),
    }
    for bad in (["=x"], ["x="], ["x", "x"]):
        with pytest.raises(pp.InputError):
            name_models(bad)


# -- streams -------------------------------------------------------------------------


def test_streams_depend_on_their_key_alone():
    whole = uniforms(0, "key", "gene", 40, 130)
    assert whole.shape == (40, 130)
    assert np.array_equal(uniforms(0, "key", "gene", 3, 5), whole[:3, :5])
    assert np.array_equal(uniforms(0, "key", "gene", 40, 64), whole[:, :64])
    for other in ((1, "key", "gene"), (0, "kez", "gene"), (0, "key", "gen")):
        assert not np.isin(uniforms(*other, 40, 130), whole).any()
    assert len(np.unique(whole)) == whole.size
    assert ((whole >= 0) & (whole < 1)).all()
    assert abs(whole.mean() - 0.5) < 0.02


def test_streams_stay_what_they_are():
    """A seed means these numbers: a change would make stored samples unrepeatable."""
    assert uniforms(7, "model", "math-000", 2, 2).tolist() == [
        [0.600083491656099, 0.5458729453556234],
        [0.27088516110331007, 0.5715349584395345],
    ]


def similarity_of(models: dict[str, str], seed: int, tmp_path: Path, genes: int, probes: int):
    store = pp.sample(
        models,
        pp.Genome.default().head(genes),
        store=tmp_path / f"seed{seed}",
        n_probes=probes,
        seed=seed,
        device="cpu",
    )
    return pp.AlleleTable.from_store(store)


def test_a_replica_with_another_seed_is_independent(checkpoint, tmp_path):
    models = {"m": str(checkpoint("llama"))}
    a, b = (similarity_of(models, seed, tmp_path, 128, 24) for seed in (0, 1))
    S = pp.nei_similarity(a, other=b, estimator="unbiased").values[0, 0]
    assert abs(S - 1) < 4 * jackknife_error(a, b) < 1


def jackknife_error(a: pp.AlleleTable, b: pp.AlleleTable) -> float:
    """Standard error over genes, the slow and obvious way."""
    parts = []
    for gene in a.genes:
        kept = [g for g in a.genes if g != gene]
        one, two = a.select(genes=kept), b.select(genes=kept)
        parts.append(pp.nei_similarity(one, other=two, estimator="unbiased").values[0, 0])
    n = len(parts)
    return float(np.sqrt((n - 1) / n * np.sum((np.array(parts) - np.mean(parts)) ** 2)))


def test_the_same_weights_under_two_names_are_independent(checkpoint, tmp_path):
    """Sharing a stream would make the plug-in similarity 1 and the unbiased one far more."""
    folder = str(checkpoint("llama"))
    table = similarity_of({"a": folder, "b": folder}, 0, tmp_path, 128, 16)
    a, b = table.select(models=["a"]), table.select(models=["b"])
    assert pp.nei_similarity(table)["a", "b"] < 0.2
    S = pp.nei_similarity(a, other=b, estimator="unbiased").values[0, 0]
    assert abs(S - 1) < 4 * jackknife_error(a, b) < 1


def test_run_makes_every_file_and_resumes(models, tmp_path):
    from pyphylo.run import run

    out = tmp_path / "out"
    result = run(models, out, GENOME, families={"m/llama": "x"}, **FAST)
    names = {path.name for path in result.files}
    assert names == {
        *("genome.jsonl", "store", "distances.npz", "tree.nwk", "run.json"),
        *(f"{s}.{x}" for s in ("tree", "tree_unrooted", "heatmap") for x in ("svg", "png")),
    }
    assert all(path.exists() for path in result.files)
    assert pp.DistanceMatrix.load(out / "distances.npz") == result.distances
    assert result.distances.ids == tuple(models)
    assert set(pp.Tree.read(out / "tree.nwk").tips) == set(models)
    told = json.loads((out / "run.json").read_text())
    assert told["finished"]
    assert set(told["models"]) == set(models)
    before = contents(out)
    assert run(models, out, GENOME, families={"m/llama": "x"}, **FAST).tree == result.tree
    assert contents(out) == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x").touch()
    with pytest.raises(pp.InputError, match="'x'"):
        run(models, tmp_path / "other", GENOME, **FAST)
