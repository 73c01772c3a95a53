"""Comparisons on a Ray cluster of this machine: whatever is lost, the bits of a local call."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from drawn_tables import drawn_table, quiet, same_bits
from local_ray import PATHS, local_cluster

import pyphylo as pp
from pyphylo import _core, _ray_strips
from pyphylo.cli import main

ray = pytest.importorskip("ray", reason="needs Ray: pip install 'pyphylo[ray]'")

pytestmark = pytest.mark.slow
HERE = Path(__file__).parent
SHAPE = {"seed": 3, "models": 1000, "genes": 6, "alleles": 300, "n": 24}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    with local_cluster():
        yield


@pytest.fixture(scope="module", params=["integer", "float"])
def table(request):
    return drawn_table(**SHAPE, missing=0.02, varying=request.param == "float")


def workers(root: int) -> list[int]:
    """Processes that compute rows for the cluster that a process started."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and b"ray::run_rows" in (entry / "cmdline").read_bytes():
                above = int(entry.name)
                for _ in range(2):  # the worker's raylet, and who started that
                    above = int(
                        Path(f"/proc/{above}/stat").read_text().rpartition(")")[2].split()[1]
                    )
                if above == root:
                    found.append(int(entry.name))
    return found


class Killer(threading.Thread):
    """Kills the first worker that it sees at work."""

    def __init__(self) -> None:
        super().__init__()
        self.killed: int | None = None
        self._enough = threading.Event()

    def run(self) -> None:
        while self.killed is None and not self._enough.wait(0.002):
            for pid in workers(os.getpid())[:1]:
                os.kill(pid, signal.SIGKILL)
                self.killed = pid

    def __enter__(self) -> Killer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self.join()


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("place", ["array", "file"])
def test_a_killed_worker_leaves_no_trace(table, tmp_path, place):
    options = {"out": tmp_path / "local.npy"} if place == "file" else {}
    local = quiet(pp.nei_distance, table, **options)
    options = {"out": tmp_path / "ray.npy"} if place == "file" else {}
    with (
        Killer() as killer,
        pytest.warns(pp.PyphyloWarning, match=r"rows \d+ to \d+: their worker was lost"),
    ):
        found = pp.nei_distance(table, engine="ray", **options)
    assert killer.killed is not None
    assert same_bits(found.stored, local.stored)
    assert found.ids == local.ids
    assert found.provenance == local.provenance
    if place == "file":
        assert (tmp_path / "ray.npy").read_bytes() == (tmp_path / "local.npy").read_bytes()
        names = [(tmp_path / f"{name}.npy.json").read_bytes() for name in ("ray", "local")]
        assert names[0] == names[1]
        assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
def test_every_layout_has_the_local_bits(table, tmp_path, estimator):
    options = {"estimator": estimator, "dtype": "float32"}
    flat = quiet(pp.nei_similarity, table, condensed=True, **options).stored
    found = quiet(pp.nei_similarity, table, condensed=True, engine="ray", **options)
    assert same_bits(found.stored, flat)
    square = quiet(pp.nei_similarity, table, engine="ray", num_cpus=0.5, **options)
    assert same_bits(square.condensed, flat)
    path = tmp_path / "flat.npy"
    found = quiet(pp.nei_similarity, table, condensed=True, out=path, engine="ray", **options)
    assert same_bits(found.stored, flat)
    rows, columns = (table.select(models=part) for part in (table.models[:70], table.models[70:]))
    local = quiet(pp.nei_similarity, rows, columns, **options).values
    found = quiet(pp.nei_similarity, rows, columns, engine="ray", n_threads=2, **options)
    assert same_bits(found.values, local)


def test_pairs_without_a_value_are_named(tmp_path):
    table = pp.AlleleTable.from_counts(
        list("abc"), list("gh"), [0, 1, 2], [0, 1, 1], ["x"] * 3, [2] * 3
    )
    for options in ({}, {"out": tmp_path / "d.npy"}):
        with pytest.warns(pp.PyphyloWarning, match="distance is NaN.* of 'a' and 'b', 'a' and 'c'"):
            found = pp.nei_distance(table, engine="ray", **options)
        assert same_bits(found.stored, quiet(pp.nei_distance, table).stored)


def test_rows_that_kill_every_worker_are_given_up(table, monkeypatch, tmp_path):
    monkeypatch.setattr(_ray_strips, "run_rows", die)
    path = tmp_path / "d.npy"
    with (
        pytest.raises(pp.WorkError, match=r"rows \d+ to \d+: their worker was lost 2 times"),
        pytest.warns(pp.PyphyloWarning, match="another one takes them up"),
    ):
        pp.nei_distance(table, engine="ray", max_retries=1, out=path)
    assert list(tmp_path.iterdir()) == []


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_a_worker_has_not_is_told(table, tmp_path):
    share = _core.plan_similarity(table._core, -1, 8, False)["bytes"]
    options = {"engine": "ray", "condensed": True, "dtype": "float32", "n_threads": 8}
    with pytest.raises(MemoryError, match=r"comparisons on worker .* more than the"):
        pp.nei_distance(table, out=tmp_path / "d.npy", max_memory=share - 1, **options)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(MemoryError, match="1000 x 1000 distances need"):
        pp.nei_distance(table, engine="ray", max_memory=8 * len(table.models) ** 2)


def test_what_does_not_go_together_is_refused(table):
    known = quiet(pp.nei_distance, table)
    for options, text in [
        ({"device": "cuda"}, "Ray's workers multiply on their CPUs"),
        ({"known": known}, "leave out engine='ray'"),
        ({"ray_address": "auto"}, "connected to a Ray cluster already"),
        ({"num_cpus": 1.5}, "whole number"),
    ]:
        with pytest.raises(pp.InputError, match=text):
            pp.nei_distance(table, engine="ray", **options)
    with pytest.raises(pp.InputError, match="same layout and type"):
        pp.nei_distance(quiet(pp.nei_similarity, table), engine="ray")


def test_the_command_writes_the_local_file(tmp_path, capsys):
    lines = "".join(
        f'{{"model": "m{m}", "gene": "g{g}", "completion": "{(m * k) % 7}{g}ab"}}\n'
        for m in range(120) for g in range(4) for k in range(3 + m % 3)
    )  # fmt: skip
    (tmp_path / "c.jsonl").write_text(lines)
    store = str(tmp_path / "store")
    assert main(["import", str(tmp_path / "c.jsonl"), "--store", store]) == 0
    for suffix in ("npy", "csv"):
        for engine in ("local", "ray"):
            target = str(tmp_path / f"{engine}.{suffix}")
            assert main(["distance", store, "-o", target, "--engine", engine]) == 0
        files = [(tmp_path / f"{engine}.{suffix}").read_bytes() for engine in ("local", "ray")]
        assert files[0] == files[1]
    capsys.readouterr()


def test_an_interrupted_call_leaves_a_cluster_that_stays_as_it_was(table, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    local = quiet(pp.nei_distance, table, condensed=True)
    monkeypatch.setattr(_ray_strips, "_put", interrupt)
    with pytest.raises(KeyboardInterrupt):
        quiet(pp.nei_distance, table, condensed=True, engine="ray")
    deadline = time.monotonic() + 10
    while workers(os.getpid()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers(os.getpid()) == []
    monkeypatch.undo()
    again = quiet(pp.nei_distance, table, condensed=True, engine="ray")
    assert same_bits(again.stored, local.stored)


INTERRUPTED = """
import sys, pyphylo as pp
from drawn_tables import drawn_table
table = drawn_table(3, 3000, 40, 3000, 32, varying=True, power=0.7)
print("ready", flush=True)
pp.nei_distance(table, engine="ray", num_cpus=1, out=sys.argv[1])
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are found in /proc")
def test_ctrl_c_leaves_nothing(tmp_path):
    """A cluster of its own, stopped by Ctrl-C: nothing is left running or half written."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, str(tmp_path / "d.npy")],
        env={**environment, "PYTHONPATH": PATHS},
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    at_work: list[int] = []
    while not at_work and time.monotonic() < deadline:
        time.sleep(0.01)
        at_work = workers(process.pid)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "KeyboardInterrupt" in err, err
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in at_work) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert at_work
    assert not any(Path(f"/proc/{pid}").exists() for pid in at_work)
    assert list(tmp_path.iterdir()) == []
