"""`import pyphylo` and `pyphylo --help` load numpy and the core, nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {
    "torch", "transformers", "numba", "scipy", "sklearn", "pandas", "pyarrow", "matplotlib",
    "gguf", "tqdm", "skbio", "Bio", "networkx", "tokenizers", "huggingface_hub",
}  # fmt: skip
HELP = """
import contextlib, io
from pyphylo.cli import main
with contextlib.redirect_stdout(io.StringIO()), contextlib.suppress(SystemExit):
    main(["--help"])
"""


def loaded(code: str) -> set[str]:
    program = f"import sys\n{code}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/"
    )
    return {name.partition(".")[0] for name in json.loads(done.stdout.splitlines()[-1])}


@pytest.mark.parametrize("code", ["import pyphylo", HELP])
def test_nothing_heavy_is_loaded(code):
    modules = loaded(code)
    assert {"numpy", "pyphylo"} <= modules
    assert not modules & HEAVY
    third_party = modules - loaded("import numpy") - set(sys.stdlib_module_names)
    assert {name for name in third_party if not name.startswith(("_", "pyphylo"))} == set()


def seconds(code: str) -> float:
    """Processor time, the best of several fresh processes: others on the machine do not count."""
    program = f"import time; t = time.process_time()\n{code}\nprint(time.process_time() - t)"
    runs = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/"
        )
        for _ in range(5)
    ]
    return min(float(run.stdout.splitlines()[-1]) for run in runs)


def test_import_takes_little_longer_than_numpy():
    assert seconds("import pyphylo") < seconds("import numpy") + 0.2


def test_every_public_name_resolves():
    code = "import pyphylo\nfor n in pyphylo.__all__: assert getattr(pyphylo, n) is not None, n"
    assert "pyphylo" in loaded(code)


def test_a_source_tree_uses_the_installed_core():
    """Python started in a checkout imports the package from there."""
    source = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", "import pyphylo as pp; print(pp.AlleleRule()(' abcde'))"],
        capture_output=True,
        text=True,
        cwd=source,
    )
    assert (done.stdout, done.stderr) == ("abcd\n", "")


def test_versions_agree():
    from importlib.metadata import version

    import pyphylo
    from pyphylo import _core

    assert pyphylo.__version__ == _core.__version__ == version("pyphylo")
