"""Neighbor joining beside its peers, one thread each, alternating in one run.

scikit-bio (``nj``), anjl (``dynamic_nj``, which takes float32) and, where they were built, ccphylo
(``dnj`` on float32, by the driver ``ccphylo_dnj.c``, whose comment says how) and rapidNJ, which
reads a PHYLIP file and so is timed with its reading. Only what pyphylo builds from a matrix that
is already in memory is timed, names and tree included.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import pyphylo as pp


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    result = call()
    seconds = time.perf_counter() - start
    del result
    return seconds


def _output(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def _tools(
    D: pp.DistanceMatrix, folder: Path, args: argparse.Namespace
) -> dict[str, Callable[[], float]]:
    """What gives each tool's seconds."""
    n = len(D.ids)
    small = pp.DistanceMatrix(D.condensed.astype(np.float32), D.ids)
    tools: dict[str, Callable[[], float]] = {
        "pyphylo float64": lambda: _seconds(
            lambda: pp.neighbor_joining(D, negative="keep", n_threads=1)
        ),
        "pyphylo float32": lambda: _seconds(
            lambda: pp.neighbor_joining(small, negative="keep", dtype="float32", n_threads=1)
        ),
    }
    if "anjl" in args.peers:
        import anjl

        condensed = small.condensed
        tools["anjl dynamic_nj"] = lambda: _seconds(
            lambda: anjl.dynamic_nj(condensed, parallel=False)
        )
    if "scikit-bio" in args.peers:
        import skbio

        theirs = D.to_skbio()
        tools["scikit-bio nj"] = lambda: _seconds(lambda: skbio.tree.nj(theirs, neg_as_zero=False))
    if args.ccphylo:
        lower = folder / "lower"
        small.values[np.tril_indices(n, -1)].tofile(lower)
        command = [args.ccphylo, str(lower), str(n), "4", "1"]
        tools["ccphylo dnj float32"] = lambda: float(_output(command).split()[0])
    if args.rapidnj:
        phylip = folder / "matrix.phy"
        D.save(phylip)
        reading = [args.rapidnj, str(phylip), "-i", "pd", "-c", "1", "-x", str(folder / "tree")]
        tools["rapidNJ, with reading"] = lambda: _seconds(lambda: _output(reading))
    return tools


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tips", type=int, nargs="+", default=[1000, 2000])
    parser.add_argument("--kinds", nargs="+", default=["near-additive", "language-models"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--peers", nargs="*", default=["anjl", "scikit-bio"])
    parser.add_argument("--ccphylo", help="the program built from ccphylo_dnj.c")
    parser.add_argument("--rapidnj", help="the program rapidnj")
    args = parser.parse_args()
    for kind in args.kinds:
        for n in args.tips:
            D = pp.simulate.simulate_distances(n, kind=kind)
            with tempfile.TemporaryDirectory() as folder:
                tools = _tools(D, Path(folder), args)
                seconds: dict[str, list[float]] = {name: [] for name in tools}
                for repeat in range(args.repeats + 1):
                    for name, tool in tools.items():
                        taken = tool()
                        if repeat:  # the first compiles and fills caches
                            seconds[name].append(taken)
            print(f"{n} tips, {kind}: median seconds, times float64, times float32")
            medians = {name: statistics.median(taken) for name, taken in seconds.items()}
            double, single = medians["pyphylo float64"], medians["pyphylo float32"]
            for name, median in medians.items():
                print(f"  {name:24} {median:9.4f} {median / double:7.2f} {median / single:7.2f}")


if __name__ == "__main__":
    main()
