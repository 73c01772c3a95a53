"""Neighbor joining beside scikit-bio, one thread each."""

from __future__ import annotations

import argparse

import simulated
import skbio
from side_by_side import compare

import pyphylo as pp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tips", type=int, nargs="+", default=[200, 1000])
    for n in parser.parse_args().tips:
        D = pp.DistanceMatrix(simulated.distances(n), [f"m{i}" for i in range(n)])
        peer = D.to_skbio()

        def ours(D: pp.DistanceMatrix = D) -> object:
            return pp.neighbor_joining(D, negative="keep", n_threads=1)

        def theirs(peer: skbio.DistanceMatrix = peer) -> object:
            return skbio.tree.nj(peer, neg_as_zero=False)

        found = pp.Tree.from_newick(str(theirs()))
        assert ours().robinson_foulds(found) == 0
        compare(f"{n} tips", {"pyphylo": ours, "scikit-bio nj": theirs})


if __name__ == "__main__":
    main()
