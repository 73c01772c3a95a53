"""Similarity beside other libraries, in one process, by turns; what each is given is made before.

Peers make numerators only (scikit-learn: cosines), pyphylo the whole similarity, from a fresh
table each time. Every peer's result is compared with pyphylo's before it is timed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

PEERS = ["scipy", "sklearn", "mkl", "sgemm", "torch"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--genes", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=PEERS)
    parser.add_argument("--memory", type=float, default=2, help="GiB for a dense input")
    args = parser.parse_args()
    _limit_threads(args.threads)

    from similarity_peers import run  # libraries read their thread number when they are loaded

    for n_models in args.models:
        run(n_models, args.genes, args.peers, args.repeats, args.threads, int(args.memory * 2**30))


def _limit_threads(threads: int) -> None:
    """Tell every library, before it is loaded, how many threads to use and where MKL is."""
    for library in ("OMP", "MKL", "OPENBLAS", "NUMEXPR"):
        os.environ[f"{library}_NUM_THREADS"] = str(threads)
    os.environ["MKL_DYNAMIC"] = "FALSE"
    # pip puts MKL where sparse_dot_mkl does not look.
    found = sorted((Path(sys.prefix) / "lib").glob("libmkl_rt.so*"))
    if found:
        os.environ.setdefault("MKL_RT", str(found[-1]))


if __name__ == "__main__":
    main()
