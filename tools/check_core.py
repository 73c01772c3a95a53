"""See that the installed core loads and counts right, with every instruction set that is here.

    python tools/check_core.py

Needs numpy alone: what a wheel is tried with before it is published.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

PROBES = 7
GENES = 5
MODELS = 40


def similarities() -> bytes:
    """Nei's identities of models whose counts are fixed, checked one by one."""
    import numpy as np

    import pyphylo
    from pyphylo import _core

    assert _core.__version__ == pyphylo.__version__
    places = itertools.product(range(MODELS), range(GENES), range(PROBES))
    rows = [(m, g, (m * m + 3 * g + p * p) % 4) for m, g, p in places]
    models, genes, alleles = (np.array(column, np.int32) for column in zip(*rows, strict=True))
    builder = _core.TableBuilder()
    builder.add_models([f"model {m}" for m in range(MODELS)])
    builder.add_genes([f"gene {g}" for g in range(GENES)])
    text = np.frombuffer(b"abcd", np.uint8)
    column = _core.AlleleColumn.dictionary(alleles, np.arange(5, dtype=np.int64), text)
    builder.add_counts(models, genes, column, np.ones(len(rows), np.int64))
    table = builder.finish()
    out = np.empty((MODELS, MODELS))
    plugin, similarity = _core.Estimator.plugin, _core.Quantity.similarity
    _core.compare(table, plugin, -1, 1, similarity, 0.0, out, lambda _: None)
    counts = np.zeros((MODELS, GENES, 4), np.int64)
    np.add.at(counts, (models, genes, alleles), 1)
    flat = counts.reshape(MODELS, -1)
    products = flat @ flat.T
    squares = np.diagonal(products)
    expected = products / np.sqrt(np.multiply.outer(squares, squares).astype(float))
    assert np.array_equal(out, expected), np.abs(out - expected).max()
    with tempfile.TemporaryDirectory(prefix="pyphylo ü ") as folder:
        path = str(Path(folder, "table ß.alleles"))
        table.write("note", path)
        assert _core.read_table(path) == (table, "note")
    return out.tobytes()


def main() -> None:
    """Every instruction set in a process of its own: the core chooses when it loads."""
    found = similarities()
    from pyphylo import _core

    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_bytes(found)
        return
    sets = _core.detected_instruction_sets()
    for name in sets:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "out")
            command = [sys.executable, __file__, str(path)]
            subprocess.run(command, env=os.environ | {"PYPHYLO_ISA": name}, check=True)
            assert path.read_bytes() == found, name
    print(f"pyphylo {_core.__version__}: the same bits with {', '.join(sets)}")


if __name__ == "__main__":
    main()
