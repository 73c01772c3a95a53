"""Real checkpoints over two Ray workers, one of them killed: the store of a single process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pyphylo as pp

pytest.importorskip("ray", reason="needs Ray: pip install 'pyphylo[ray]'")
pytestmark = pytest.mark.slow


def working_workers(driver: int) -> list[int]:
    """Ray's workers of a process that are at a task: Ray gives them its name."""
    found = []
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and (entry / "cmdline").read_bytes().startswith(b"ray::run_er"):
                raylet = parent(int(entry.name))
                if parent(raylet) == driver:
                    found.append(int(entry.name))
    return found


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def contents(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="workers are found in /proc")
def test_two_workers_one_killed(checkpoint, tmp_path):
    kinds = ("llama", "gpt2", "mistral")
    models = {f"m/{kind}-{i}": str(checkpoint(kind)) for kind in kinds for i in range(4)}
    command = [
        *(sys.executable, "-m", "pyphylo", "sample"),
        *(f"{name}={path}" for name, path in models.items()),
        *("--store", str(tmp_path / "s"), "--probes", "16", "--device", "cpu"),
        *("--engine", "ray", "--json"),
    ]
    root = str(Path(pp.__file__).parents[1])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    environment |= {"PYTHONPATH": root}
    with subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        deadline = time.monotonic() + 100
        # Two at work, and one model done: whoever is killed then is in the middle.
        while time.monotonic() < deadline and not (
            len(victims := working_workers(process.pid)) == 2
            and list((tmp_path / "s" / "shards").glob("*.parquet"))
        ):
            time.sleep(0.01)
        os.kill(victims[0], signal.SIGKILL)
        out, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "its worker was lost" in err
    events = [json.loads(line) for line in out.splitlines()]
    assert events[-1]["event"] == "summary"
    assert events[-1]["models"] == sorted(models)
    genome = pp.Genome.default()
    pp.sample(models, genome, store=tmp_path / "single", n_probes=16, device="cpu")
    assert contents(tmp_path / "s") == contents(tmp_path / "single")
