"""Balanced minimum evolution beside scikit-bio's bme and nni, one thread each.

Ratios of balanced lengths (pyphylo / scikit-bio; at most 1 is asked) and of times, of matrices
near a tree, like language models', and with noise of half the distance.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import defaultdict

import numpy as np
import skbio

import pyphylo as pp

KINDS = (
    "near-additive",
    "language-models",
    "noisy near-additive",
    "noisy language-models",
    "random",
)


def distances(n: int, kind: str, seed: int) -> pp.DistanceMatrix:
    if kind in ("near-additive", "language-models"):
        return pp.simulate.simulate_distances(n, kind=kind, seed=seed)
    rng = np.random.default_rng([n, seed])
    ids = [f"m{i}" for i in range(n)]
    values = rng.random((n, n))
    if kind != "random":
        base = pp.simulate.simulate_distances(n, kind=kind.removeprefix("noisy "), seed=seed)
        values, ids = base.values * (0.5 + values), base.ids
    values = np.triu(values, 1)
    return pp.DistanceMatrix(values + values.T, ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tips", type=int, nargs="+", default=[100, 200, 300, 400, 500])
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--perturbations", type=int, default=100)
    args = parser.parse_args()
    warm = distances(20, "random", 0)  # compiles
    pp.search_balanced(warm)
    skbio.tree.bme(warm.to_skbio())

    ratios: dict[str, list[float]] = defaultdict(list)
    savings: dict[str, list[float]] = defaultdict(list)
    regrafted: dict[str, int] = defaultdict(int)
    print("tips  kind                    length ratio - 1   below nj   time ratio  seconds")
    for n in args.tips:
        times = []
        for kind in KINDS:
            for seed in range(args.seeds):
                D = distances(n, kind, seed)
                peer = D.to_skbio()
                start = time.perf_counter()
                theirs = skbio.tree.nni(skbio.tree.bme(peer, parallel=False), peer, balanced=True)
                middle = time.perf_counter()
                found = pp.search_balanced(D, perturbations=args.perturbations, n_threads=1)
                seconds = time.perf_counter() - middle
                times.append(seconds / (middle - start))
                length = pp.balanced_length(pp.Tree.from_newick(str(theirs)), D)
                ratios[kind].append(found.length / length - 1)
                savings[kind].append(1 - found.length / found.start_length)
                regrafted[kind] += found.regrafts > 0
                print(
                    f"{n:4}  {kind:22} {ratios[kind][-1]:+18.2e} {savings[kind][-1]:10.3%} "
                    f"{times[-1]:10.1f}x {seconds:8.3f}",
                    flush=True,
                )
        print(f"{n} tips: {statistics.median(times):.1f} times scikit-bio's time")
    for kind, values in ratios.items():
        print(
            f"{kind}: {len(values)} matrices, worst {max(values):+.2e}, median "
            f"{statistics.median(values):+.2e}; below neighbor joining by a median "
            f"{statistics.median(savings[kind]):.3%}; regrafts saved after interchanges in "
            f"{regrafted[kind]}"
        )
    worst = max(value for values in ratios.values() for value in values)
    print(f"worst of all: {worst:+.2e}")
    assert worst <= 1e-9, "longer than scikit-bio's"


if __name__ == "__main__":
    main()
