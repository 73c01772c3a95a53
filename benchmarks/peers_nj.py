"""Neighbor joining beside scikit-bio, one thread each."""

from __future__ import annotations

import argparse

import skbio
from side_by_side import Tool, compare

import pyphylo as pp


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tips", type=int, nargs="+", default=[200, 1000])
    parser.add_argument("--kind", default="near-additive", help="or language-models")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    for n in args.tips:
        D = pp.simulate.simulate_distances(n, kind=args.kind)
        peer = D.to_skbio()

        def ours(D: pp.DistanceMatrix = D) -> pp.Tree:
            return pp.neighbor_joining(D, negative="keep", n_threads=1)

        def theirs(peer: skbio.DistanceMatrix = peer) -> skbio.TreeNode:
            return skbio.tree.nj(peer, neg_as_zero=False)

        found = pp.Tree.from_newick(str(theirs()))
        assert ours().robinson_foulds(found) == 0
        tools = {"pyphylo": Tool(ours), "scikit-bio nj": Tool(theirs)}
        compare(f"{n} tips, {args.kind}", tools, args.repeats)


if __name__ == "__main__":
    main()
