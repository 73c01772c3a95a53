"""The engine "ray" on a cluster of this machine: whatever is lost, a single process's store."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from letters_backend import attempts
from local_ray import PATHS, local_cluster

import pyphylo as pp
from pyphylo.sampling.registry import register_backend
from pyphylo.sampling.scheduler import SamplingError

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'pyphylo[ray]'")

pytestmark = pytest.mark.slow
GENOME = pp.Genome.default().head(10)
HERE = Path(__file__).parent
BACKEND: dict[str, Any] = {"backend": "letters", "n_probes": 4}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    register_backend("letters", "letters_backend:LettersSampler")
    with local_cluster():
        yield


def model(folder: Path, name: str, **plan: Any) -> Path:
    path = folder / f"{name}.json"
    path.write_text(json.dumps({"name": name, **plan}))
    return path


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def sample(models: dict[str, Path], store: Path | str, **options: Any) -> pp.SampleStore:
    return pp.sample(
        {name: str(path) for name, path in models.items()},
        GENOME, store=store, **{**BACKEND, **options},
    )  # fmt: skip


def test_a_killed_worker_leaves_no_trace(tmp_path):
    """Two workers, one killed in the middle of a model: that one and the others are done."""
    models = {f"m{i}": model(tmp_path, f"m{i}", pause=0.1) for i in range(6)}
    killed: list[int] = []
    events: list[dict[str, Any]] = []

    def kill_once(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "genes" and event["done"] < len(GENOME) and not killed:
            killed.append(attempts(models[event["model"]])[0])
            os.kill(killed[0], signal.SIGKILL)

    with pytest.warns(pp.PyphyloWarning, match="its worker was lost"):
        found = sample(models, tmp_path / "s", engine="ray", on_event=kill_once)
    assert found.models == tuple(sorted(models))
    tried = {name: attempts(path) for name, path in models.items()}
    assert len(killed) == 1
    (lost,) = [name for name, pids in tried.items() if killed[0] in pids and len(pids) == 2]
    assert tried[lost][1] != killed[0]
    assert len({pid for pids in tried.values() for pid in pids}) >= 3
    assert os.getpid() not in {pid for pids in tried.values() for pid in pids}
    begun = [event["model"] for event in events if event["event"] == "model_started"]
    assert sorted(begun) == sorted([*models, lost])
    assert sorted(e["model"] for e in events if e["event"] == "model_done") == sorted(models)
    assert (events[0]["event"], events[-1]["event"], events[-1]["ok"]) == ("plan", "summary", True)
    sample(models, tmp_path / "single")
    assert contents(tmp_path / "s") == contents(tmp_path / "single")
    assert not list(tmp_path.glob("*.lock"))


def test_a_store_at_an_address_is_the_same(tmp_path, monkeypatch):
    """No file of it is on the driver's side: workers put shards there, and one is killed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    models = {f"m{i}": model(tmp_path, f"m{i}", pause=0.05) for i in range(4)}
    killed: list[int] = []

    def kill_once(event: dict[str, Any]) -> None:
        if event["event"] == "genes" and event["done"] < len(GENOME) and not killed:
            killed.append(attempts(models[event["model"]])[0])
            os.kill(killed[0], signal.SIGKILL)

    address = (tmp_path / "s").as_uri()
    with pytest.warns(pp.PyphyloWarning, match="its worker was lost"):
        found = sample(models, address, engine="ray", on_event=kill_once)
    assert found.path == address
    assert found.models == tuple(sorted(models))
    sample(models, tmp_path / "single")
    assert contents(tmp_path / "s") == contents(tmp_path / "single")


def last_of_each_kind(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Of each model, for how often progress is told depends on time."""
    return list({(event["event"], event.get("model")): event for event in events}.values())


def without_times(event: dict[str, Any]) -> dict[str, Any]:
    """And without what depends on which model is begun first: its keys are kept."""
    varies = {"seconds", "seconds_left", "tokens_per_second", "store", "index"}
    return {key: None if key in varies else value for key, value in event.items()}


def test_a_failed_model_is_told_like_in_one_process(tmp_path):
    models = {"good": model(tmp_path, "good"), "bad": model(tmp_path, "bad", fails="no such luck")}
    told: dict[str, list[Any]] = {}
    for engine in ("local", "ray"):
        events: list[dict[str, Any]] = []
        with pytest.raises(SamplingError) as caught:
            sample(models, tmp_path / engine, engine=engine, on_event=events.append)
        assert caught.value.failures == {"bad": "no such luck"}
        told[engine] = sorted(map(without_times, last_of_each_kind(events)), key=str)
    assert told["local"] == told["ray"]
    assert contents(tmp_path / "local") == contents(tmp_path / "ray")
    with pytest.raises(SamplingError, match="1 of 2"):  # the good one is not sampled again
        sample(models, tmp_path / "ray", engine="ray")
    assert len(attempts(models["good"])) == 2


def processes(title: bytes, raylet_of: int) -> list[int]:
    """Ray's processes of a title, whose raylet a process started."""

    def parent(pid: int) -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(title):
                pid = int(entry.name)
                if parent(parent(pid)) == raylet_of:
                    found.append(pid)
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
def test_the_work_goes_on_when_who_keeps_the_messages_is_lost(tmp_path):
    models = {f"m{i}": model(tmp_path, f"m{i}", pause=0.1) for i in range(4)}
    events: list[dict[str, Any]] = []
    killed: list[int] = []

    def kill(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "model_started" and not killed:
            killed.extend(processes(b"ray::_QueueActor", os.getpid()))
            for pid in killed:
                os.kill(pid, signal.SIGKILL)

    sample(models, tmp_path / "s", engine="ray", on_event=kill)
    assert len(killed) == 1
    for kind in ("model_started", "model_done"):
        assert sorted(e["model"] for e in events if e["event"] == kind) == sorted(models)
    assert [len(attempts(path)) for path in models.values()] == [1] * 4
    sample(models, tmp_path / "single")
    assert contents(tmp_path / "s") == contents(tmp_path / "single")


def test_strict_stops_the_others(tmp_path):
    models = {"bad": model(tmp_path, "bad", fails="no such luck")}
    models |= {f"m{i}": model(tmp_path, f"m{i}", pause=0.5) for i in range(4)}
    begin = time.monotonic()
    with pytest.raises(SamplingError, match="no such luck") as caught:
        sample(models, tmp_path / "s", engine="ray", strict=True)
    assert list(caught.value.failures) == ["bad"]
    assert time.monotonic() - begin < 9  # the others take ten, by two
    assert caught.value.store.models == ()


def test_a_model_that_kills_its_worker_is_kept_out(tmp_path):
    """And takes none of those with it that share its weights."""
    models = {
        name: model(tmp_path, name, weights="w", **({"dies": True} if name == "b" else {}))
        for name in "abcd"
    }
    with (
        pytest.raises(SamplingError) as caught,
        pytest.warns(pp.PyphyloWarning, match="model 'b': its worker was lost"),
    ):
        sample(models, tmp_path / "s", engine="ray", max_retries=1)
    assert list(caught.value.failures) == ["b"]
    assert "lost 2 times" in caught.value.failures["b"]
    assert caught.value.store.models == ("a", "c", "d")
    assert len(attempts(models["b"])) == 2
    assert [len(attempts(models[name])) for name in "acd"] == [1, 1, 1]


def test_models_of_the_same_weights_share_a_worker(tmp_path):
    models = {
        f"{key}{i}": model(tmp_path, f"{key}{i}", weights=key, pause=0.05)
        for i in range(3)
        for key in "uv"
    }
    sample(models, tmp_path / "s", engine="ray")
    pids = {key: {attempts(models[f"{key}{i}"])[0] for i in range(3)} for key in "uv"}
    assert len(pids["u"]) == len(pids["v"]) == 1


def test_a_worker_that_sees_another_model_says_so(tmp_path):
    models = {"m": model(tmp_path, "m", differs_by_process=True)}
    with pytest.raises(SamplingError, match=r"has revision .* let all machines see the same files"):
        sample(models, tmp_path / "s", engine="ray")


def test_what_is_asked_of_the_cluster_is_checked(tmp_path):
    models = {"m": model(tmp_path, "m")}
    for options, text in [
        ({"ray_address": "auto"}, "connected to a Ray cluster already"),
        ({"num_gpus": 1.5}, "whole number"),
        ({"num_gpus": "all"}, "num_gpus must be 0 to 1, or a whole number, not 'all'"),
        ({"num_cpus": 0}, "num_cpus must be above 0"),
        ({"device": "cuda:1"}, "Ray says which GPU"),
        ({"max_cache_gb": 1.0}, "leave it out"),
        ({"max_retries": -1}, "max_retries"),
    ]:
        with pytest.raises(pp.InputError, match=text):
            sample(models, tmp_path / "s", engine="ray", **options)
    assert attempts(models["m"]) == []


def test_an_interrupted_run_goes_on(tmp_path):
    """A cluster of its own, stopped by Ctrl-C: nothing is left running, what is done is kept."""
    models = {f"m{i}": model(tmp_path, f"m{i}", pause=0.02 if i < 2 else 30) for i in range(4)}
    program = (
        "import json, sys, pyphylo as pp\n"
        "from pyphylo.sampling.registry import register_backend\n"
        "register_backend('letters', 'letters_backend:LettersSampler')\n"
        "pp.sample(json.loads(sys.argv[1]), pp.Genome.default().head(10), store=sys.argv[2],\n"
        "          backend='letters', n_probes=4, engine='ray', num_cpus=0.5)\n"
    )
    listed = json.dumps({name: str(path) for name, path in models.items()})
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-c", program, listed, str(tmp_path / "s")],
        env={**environment, "PYTHONPATH": PATHS},
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not (
        len(list(tmp_path.glob("m[23].json.pids"))) == 2
        and len(list((tmp_path / "s" / "shards").glob("*.parquet"))) == 2
    ):
        time.sleep(0.05)
    workers = [attempts(models[name])[0] for name in ("m2", "m3")]
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err, err
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    assert pp.SampleStore.open(tmp_path / "s").models == ("m0", "m1")
    assert not list((tmp_path / "s").rglob("*.part"))
