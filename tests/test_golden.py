"""Results are the same bits on every instruction set, thread number and machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from drawn_tables import ISAS, kernels_of
from golden_results import GOLDEN, differences, results


@pytest.fixture(scope="module")
def golden():
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("isa", ISAS)
def test_results_are_golden(golden, isa, threads):
    with kernels_of(isa):
        assert differences(results(threads), golden) == []


def test_a_differing_bit_is_shown(golden):
    """The check itself: one last bit of an exact result, 1e-9 of another."""
    found = json.loads(json.dumps(golden))
    last_bit = found["counts"]["exact"]["S plugin"]
    last_bit[2] = (float.fromhex(last_bit[2]) * (1 + 2**-52)).hex()
    found["ragged"]["near"]["f2"][0] = (
        float.fromhex(golden["ragged"]["near"]["f2"][0]) + 1e-9
    ).hex()
    found["counts"]["near"]["jsd"][1] = (
        float.fromhex(golden["counts"]["near"]["jsd"][1]) * (1 + 2**-52)
    ).hex()
    told = differences(found, golden)
    assert [line.split(":")[0] for line in told] == ["counts, S plugin", "ragged, f2"]


JOINED = """
import json
import pyphylo as pp
from golden_results import hexadecimal, tables, tree_bits
D = pp.nei_distance(tables()["counts"], estimator="unbiased", n_threads=1)
print(json.dumps(hexadecimal(tree_bits(pp.neighbor_joining(D, n_threads=1)))))
"""


def test_trees_do_not_depend_on_the_processor_that_numba_compiles_for(golden, tmp_path):
    """Neighbor joining's kernels, compiled for any processor of this kind, not for this one.

    All of Numba's golden results: ``NUMBA_CPU_NAME=generic python tests/golden_results.py``.
    """
    environment = os.environ | {
        "NUMBA_CPU_NAME": "generic",
        "NUMBA_CPU_FEATURES": "",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
    }
    run = subprocess.run(
        [sys.executable, "-c", JOINED], env=environment, capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout) == golden["counts"]["exact"]["neighbor joining"]
