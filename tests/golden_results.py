"""What pyphylo computes of a few fixed tables, as exact bits.

``python tests/golden_results.py`` computes it and shows
what differs from tests/golden.json; with ``--write`` the file is made anew.

The tables come from integers alone, so no version of NumPy changes them. Results marked exact
have the same bits on every processor; the others pass through a mathematical library (logarithms
of JSD, quantiles of t, sums of BLAS) and are the same within `TOLERANCE`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import pyphylo as pp
from pyphylo import _core
from pyphylo.tree.placement import place_by_distances

GOLDEN = Path(__file__).with_name("golden.json")
#: Relative; of results that are not exact.
TOLERANCE = 1e-12

_MODELS = [f"m{i:02}" for i in range(13)]
_GENES = [f"g{i}" for i in range(17)]


def _integers(seed: int) -> Iterator[int]:
    """SplitMix64 (Steele, Lea & Flood 2014), in Python's integers."""
    state, mask = seed, (1 << 64) - 1
    while True:
        state = (state + 0x9E3779B97F4A7C15) & mask
        z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        yield z ^ (z >> 31)


def _rows(seed: int, probes: Callable[[Iterator[int]], int], missing: int) -> list[Any]:
    """(model, gene, allele) of each probe; one cell in `missing` is missing, if any.

    A model says what the one before it says, three times of four.
    """
    random = _integers(seed)
    rows = []
    before: dict[int, list[int]] = {}
    for m in range(len(_MODELS)):
        for g in range(len(_GENES)):
            said = [next(random) % (1 + next(random) % 30) for _ in range(probes(random))]
            if g in before and m % 5:
                old = before[g]
                said = [
                    old[k] if k < len(old) and next(random) % 4 else allele
                    for k, allele in enumerate(said)
                ]
            before[g] = said
            if not missing or next(random) % missing:
                rows += [(m, g, allele) for allele in said]
    return rows


def _counted(rows: list[Any]) -> pp.AlleleTable:
    model, gene, allele = (list(part) for part in zip(*rows, strict=True))
    texts = [f"a{k}" for k in allele]
    return pp.AlleleTable.from_counts(_MODELS, _GENES, model, gene, texts, [1] * len(rows))


def _exact(rows: list[Any]) -> pp.AlleleTable:
    """The same rows as probabilities in 1024ths, of which an eighth is pruned."""
    cells: dict[tuple[int, int], dict[int, int]] = {}
    for m, g, allele in rows:
        cell = cells.setdefault((m, g), {})
        cell[allele] = cell.get(allele, 0) + 1
    entries = [
        (m, g, f"a{allele}", (896 * count // sum(cell.values())) / 1024)
        for (m, g), cell in cells.items()
        for allele, count in cell.items()
    ]
    return pp.AlleleTable.from_probabilities(_MODELS, _GENES, *zip(*entries, strict=True))


def tables() -> dict[str, pp.AlleleTable]:
    return {
        "counts": _counted(_rows(1, lambda _: 8, 0)),
        "ragged": _counted(_rows(2, lambda _: 8, 7)),
        "varying": _counted(_rows(3, lambda random: 2 + next(random) % 9, 9)),
        "probabilities": _exact(_rows(4, lambda _: 16, 9)),
    }


def _numerators(table: pp.AlleleTable, threads: int) -> np.ndarray:
    n = len(table.models)
    out = np.empty((n, n), np.int64)
    plugin, numerator = _core.Estimator.plugin, _core.Quantity.numerator
    _core.compare(table._core, plugin, -1, threads, numerator, 0.0, out, lambda _: None)
    return out


def _intervals(table: pp.AlleleTable, threads: int) -> dict[str, np.ndarray]:
    frame = pp.distance_intervals(table, n_threads=threads).to_frame()
    limits = [c for c in frame.columns if frame[c].dtype.kind == "f"]
    return {f"intervals {c}": frame[c].to_numpy() for c in limits}


def _errors(table: pp.AlleleTable, threads: int) -> dict[str, np.ndarray]:
    found = {}
    for method in ("jackknife", "bootstrap"):
        errors = pp.similarity_errors(table, method, n=20, n_threads=threads)
        found[f"{method} error of S"] = errors.similarity_error
        found[f"{method} error of D"] = errors.distance_error
    return found


def tree_bits(tree: pp.Tree) -> np.ndarray:
    """Parents as numbers, then lengths of branches."""
    return np.concatenate([np.asarray(tree.parent, float), np.asarray(tree.length, float)])


def exact_results(table: pp.AlleleTable, threads: int) -> dict[str, np.ndarray]:
    """Integers, and floats of which every bit is promised."""
    found = {"numerators": _numerators(table, threads)}
    for estimator in ("plugin", "unbiased"):
        found[f"S {estimator}"] = pp.nei_similarity(
            table, estimator=estimator, n_threads=threads
        ).values
        D = pp.nei_distance(table, estimator=estimator, n_threads=threads)
        found[f"D {estimator}"] = D.values
    for index in ("da", "chord", "rogers"):
        found[index] = pp.genetic_distance(table, index=index, n_threads=threads).values
    found["replicates"] = pp.resample_similarity(
        table, n=5, dtype="float64", n_threads=threads
    ).array()
    tree = pp.neighbor_joining(D, n_threads=threads)
    found["neighbor joining"] = tree_bits(tree)
    found["bionj"] = tree_bits(pp.bionj(D, n_threads=threads))
    found |= _errors(table, threads)
    return found


def near_results(table: pp.AlleleTable, threads: int) -> dict[str, np.ndarray]:
    """Floats that are promised within `TOLERANCE`."""
    found = {"jsd": pp.genetic_distance(table, index="jsd", n_threads=threads).values}
    found |= _intervals(table, threads)
    D = pp.nei_distance(table, n_threads=threads)
    others = pp.AlleleTable.select(table, models=table.models[1:])
    tree = pp.neighbor_joining(pp.nei_distance(others, n_threads=threads))
    placed = place_by_distances(
        "m00", {name: float(D["m00", name]) for name in others.models}, tree
    )
    found["placement"] = np.array([placed.node, placed.above, placed.pendant, placed.residual])
    pairs = [("m01", "m02"), ("m03", "m11")]
    found["f2"] = _numbers(pp.f2(table, pairs, n_threads=threads))
    found["f3"] = _numbers(pp.f3(table, "m00", pairs, n_threads=threads))
    found["f4"] = _numbers(pp.f4(table, [("m01", "m02", "m05", "m09")], n_threads=threads))
    return found


def _numbers(frame: Any) -> np.ndarray:
    return frame.select_dtypes("number").to_numpy(float)


def hexadecimal(values: np.ndarray, most: int = 1000) -> list[Any]:
    """Integers as they are, floats as C writes their bits; a digest where there are too many."""
    flat = np.asarray(values).ravel()
    if flat.size > most:
        some, whole = flat[:: flat.size // 8], flat.astype(flat.dtype.newbyteorder("<"))
        return [hashlib.sha256(whole.tobytes()).hexdigest(), *hexadecimal(some)]
    return flat.tolist() if flat.dtype.kind == "i" else [float(x).hex() for x in flat]


def results(threads: int = 1, some: list[str] | None = None) -> dict[str, dict[str, Any]]:
    """By table, "exact" and "near", each by the result's name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        return {
            name: {
                "exact": {k: hexadecimal(v, 100) for k, v in exact_results(table, threads).items()},
                "near": {k: hexadecimal(v) for k, v in near_results(table, threads).items()},
            }
            for name, table in tables().items()
            if some is None or name in some
        }


def _far(a: list[Any], b: list[Any]) -> bool:
    x, y = (np.array([float.fromhex(v) for v in values]) for values in (a, b))
    return not np.allclose(x, y, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def differences(found: dict[str, Any], golden: dict[str, Any]) -> list[str]:
    """What is not as promised, a line each."""
    lines = []
    for table, kinds in found.items():
        for kind, by_name in kinds.items():
            known = golden[table][kind]
            for name in known.keys() | by_name.keys():
                a, b = by_name.get(name), known.get(name)
                if a == b:
                    continue
                if a is None or b is None or len(a) != len(b):
                    lines.append(f"{table}, {name}: not the same results")
                    continue
                if kind == "exact" or _far(a, b):
                    off = [k for k in range(len(a)) if a[k] != b[k]]
                    lines.append(
                        f"{table}, {name}: {len(off)} of {len(a)} differ, "
                        f"the first is {a[off[0]]}, was {b[off[0]]}"
                    )
    return lines


def _lines_of(found: dict[str, Any]) -> str:
    """JSON with a line for each result."""
    tables = []
    for table, kinds in found.items():
        parts = [
            f'"{kind}": {{\n'
            + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in by_name.items())
            + "\n}"
            for kind, by_name in kinds.items()
        ]
        tables.append(f'"{table}": {{' + ",\n".join(parts) + "}")
    return "{" + ",\n".join(tables) + "}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="make tests/golden.json anew")
    parser.add_argument("--only", metavar="TABLES", help="names of tables, by commas")
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    if given.write and given.only:
        parser.error("--write makes the whole file: leave out --only")
    found = results(given.threads, given.only and given.only.split(","))
    known = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else found
    lines = differences(found, known)
    print("\n".join(lines) or "all as promised")
    if given.write:
        GOLDEN.write_text(_lines_of(found))
        return 0
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
