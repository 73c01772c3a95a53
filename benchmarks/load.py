"""Sizes that a pyphylo must stand: seconds and the peak of memory of each step, a process each.

    python benchmarks/load.py import --rows 1000000 10000000 100000000
    python benchmarks/load.py store --models 5000
    python benchmarks/load.py readers --models 5000 --processes 8
    python benchmarks/load.py tree --tips 20000
    python benchmarks/load.py report --models 20000

What is read comes from a simulation or a formula, so what comes out is checked.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from load_rows import GENES, MODELS, text_of

import pyphylo as pp
from pyphylo.sampling.base import ModelIdentity, Population, SamplingConfig
from pyphylo.store import SampleStore

_PROBES = 32
_STEPS = {}


def step(function):
    """What a process of its own does: called by name, with words."""
    _STEPS[function.__name__] = function
    return function


def measured(what: str, *words: object) -> str:
    """Run a step, or a command of pyphylo, in a process; print seconds and memory."""
    own = [str(Path(__file__)), "step", what] if what in _STEPS else ["-m", "pyphylo", what]
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *own, *map(str, words)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - begin
    cpu = usage.ru_utime + usage.ru_stime
    print(
        f"{what:10} {seconds:8.1f} s {cpu:8.1f} s of processor {usage.ru_maxrss / 1024:8.0f} MiB"
        f"   {out.strip().splitlines()[-1] if out.strip() else ''}",
        flush=True,
    )
    if process.returncode:
        sys.exit(f"{what} ended with {process.returncode}")
    return out


# -- import ------------------------------------------------------------------------------


def run_import(args: argparse.Namespace, folder: Path) -> None:
    """Rows out of a pipe, so that no file of them is needed."""
    for rows in args.rows:
        print(f"{rows:,} rows of {min(rows, MODELS):,} models")
        pipe, store = folder / "rows.jsonl", folder / f"store{rows}"
        os.mkfifo(pipe)
        program = str(Path(__file__).with_name("load_rows.py"))
        source = subprocess.Popen([sys.executable, program, str(pipe), str(rows)])
        measured("import", pipe, "--store", store)
        assert source.wait() == 0
        pipe.unlink()
        _check_rows(SampleStore.open(store), rows)


def _check_rows(store: SampleStore, rows: int) -> None:
    """Some models hold the very rows that were written."""
    for model in range(0, min(rows, MODELS), 977):
        rounds = range(-(-(rows - model) // MODELS))
        cells = Counter((k % GENES, text_of(model, k % GENES, k // GENES)) for k in rounds)
        table = store.read(f"org/model-{model:04d}").table
        found = Counter(
            zip(table["gene"].to_pylist(), table["completion"].to_pylist(), strict=True)
        )
        assert found == cells, model


# -- a store of many models --------------------------------------------------------------


@step
def write(folder: str, models: str, first: str = "0") -> None:
    """Write small populations."""
    genome = pp.Genome([f"g{k}" for k in range(16)], [f"prompt {k}" for k in range(16)])
    config = SamplingConfig(n_probes=_PROBES).to_dict()
    store = SampleStore.open_or_create(folder, genome, config)
    for model in range(int(first), int(first) + int(models)):
        draws = np.random.default_rng(model // 2).integers(0, 6, (16, _PROBES))
        texts = [["abcdef"[k] for k in row] for row in draws.tolist()]
        identity = ModelIdentity(f"org/model-{model:05d}", "r", "drawn", "float32")
        with store.locked(identity.name):
            assert store.keep(identity, Population(texts))
    print(f"{models} shards")


@step
def names(folder: str) -> None:
    """Open a store and name its models."""
    print(f"{len(SampleStore.open(folder).models)} models")


@step
def resume(folder: str) -> None:
    """What a run that goes on does first: every shard is looked at, bytes and all."""
    store = SampleStore.open(folder)
    names = store.models
    with store.looked_through():
        assert all(store.has(store.identity(name)) for name in names)
    print("all are whole")


@step
def table(folder: str) -> None:
    """Read every shard."""
    print(repr(pp.AlleleTable.from_store(SampleStore.open(folder))))


def run_store(args: argparse.Namespace, folder: Path) -> None:
    """Write, open, read, compare."""
    store = folder / "store"
    measured("write", store, args.models)
    measured("names", store)
    measured("resume", store)
    measured("table", store)
    measured("distance", store, "-o", folder / "d.npz")
    measured("distance", store, "-o", folder / "again.npz")
    D = pp.DistanceMatrix.load(folder / "d.npz")
    assert len(D.ids) == args.models
    assert (folder / "d.npz").read_bytes() == (folder / "again.npz").read_bytes()


@step
def read_on(folder: str, seconds: str) -> None:
    """Read whatever is there, over and over; each shard is checked as it is read."""
    begin = time.monotonic()
    shards = rounds = 0
    while time.monotonic() < begin + float(seconds):
        store = SampleStore.open(folder)
        for shard in store.shards():
            assert shard.table.num_rows == 16 * _PROBES
            shards += 1
        rounds += 1
    lasted = time.monotonic() - begin
    print(f"{shards} shards in {rounds} rounds, {shards / lasted:.0f} a second")


def run_readers(args: argparse.Namespace, folder: Path) -> None:
    """Many processes read one store while another writes into it."""
    store = folder / "store"
    measured("write", store, args.models)
    command = [sys.executable, str(Path(__file__)), "step"]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    readers = [
        subprocess.Popen(
            [*command, "read_on", str(store), str(args.seconds)],
            stdout=subprocess.PIPE,
            text=True,
            env=env,
        )
        for _ in range(args.processes)
    ]
    measured("write", store, args.models // 5, args.models)
    for reader in readers:
        print(reader.communicate()[0].strip())
        assert reader.returncode == 0
    measured("names", store)


# -- trees and reports -------------------------------------------------------------------


@step
def matrix(path: str, tips: str) -> None:
    """Distances of points that drift along a random walk: float32, as they come at this size."""
    n = int(tips)
    random = np.random.default_rng(0)
    places = np.cumsum(random.normal(size=(n, 8)), axis=0, dtype=np.float64)
    values = np.lib.format.open_memmap(path, "w+", np.float32, (n, n))
    norms = (places**2).sum(axis=1)
    for start in range(0, n, 1000):
        rows = slice(start, start + 1000)
        squares = norms[rows, None] + norms - 2 * places[rows] @ places.T
        values[rows] = np.sqrt(np.maximum(squares, 0)) / 100
    for start in range(0, n, 1000):  # symmetric to the last bit
        rows = slice(start, start + 1000)
        values[rows, : start + 1000] = values[: start + 1000, rows].T
        block = values[rows, rows]
        values[rows, rows] = np.minimum(block, block.T)
    values[np.arange(n), np.arange(n)] = 0
    ids = [f"org/model-{k:05d}" for k in range(n)]
    pp.DistanceMatrix(values, ids).save(path)
    print(f"{n} x {n}")


@step
def newick(path: str) -> None:
    """Read a tree, write it in all three formats, read those."""
    tree = pp.Tree.read(path)
    for suffix in (".nwk", ".nex", ".xml"):
        other = Path(path).with_name(f"copy{suffix}")
        tree.write(other)
        assert pp.Tree.read(other) == tree
    print(f"{len(tree.tips)} tips")


@step
def draw(path: str, target: str, layout: str) -> None:
    """Draw a tree."""
    from pyphylo.plot import plot_tree, save_figure

    axes = plot_tree(pp.Tree.read(path), layout=layout)
    save_figure(axes.figure, Path(target).with_suffix(""), formats="svg")
    print(f"{Path(target).stat().st_size / 2**20:.1f} MiB")


def run_tree(args: argparse.Namespace, folder: Path) -> None:
    """Join, write, read, draw."""
    measured("matrix", folder / "d.npy", args.tips)
    measured("tree", folder / "d.npy", "-o", folder / "t.nwk", "--no-pictures")
    measured("newick", folder / "t.nwk")
    for layout in ("rectangular", "unrooted"):
        measured("draw", folder / "t.nwk", folder / "t.svg", layout)


def run_report(args: argparse.Namespace, folder: Path) -> None:
    """One page of many models."""
    measured("matrix", folder / "d.npy", args.models)
    measured("report", folder / "d.npy", "-o", folder / "r.html")
    print(f"the page: {(folder / 'r.html').stat().st_size / 2**20:.1f} MiB")


def main() -> None:
    """Parse and run."""
    if sys.argv[1:2] == ["step"]:
        _STEPS[sys.argv[2]](*sys.argv[3:])
        return
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, help="where to put what is made, and leave it")
    kinds = parser.add_subparsers(required=True, metavar="WHAT")
    for name, run, options in (
        ("import", run_import, {"rows": [1_000_000, 10_000_000, 100_000_000]}),
        ("store", run_store, {"models": 5000}),
        ("readers", run_readers, {"models": 5000, "processes": 8, "seconds": 60}),
        ("tree", run_tree, {"tips": 20_000}),
        ("report", run_report, {"models": 20_000}),
    ):
        one = kinds.add_parser(name, help=run.__doc__)
        for option, default in options.items():
            many = "+" if isinstance(default, list) else None
            one.add_argument(f"--{option}", type=int, nargs=many, default=default)
        one.set_defaults(run=run)
    args = parser.parse_args()
    if args.folder is not None:
        args.folder.mkdir(parents=True, exist_ok=True)
        args.run(args, args.folder)
        return
    with tempfile.TemporaryDirectory() as folder:
        args.run(args, Path(folder))


if __name__ == "__main__":
    main()
