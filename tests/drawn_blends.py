"""Models whose past is known, and one more that was blended, trained on or sent half back."""

from __future__ import annotations

import itertools

import numpy as np

import pyphylo as pp
from pyphylo.simulate._draws import Draws
from pyphylo.simulate._populations import drift_step


class World:
    """Candidates that drifted from one base down a random tree, all of it in the table.

    `base` is the first model; `a` and `b` are two others, neither an ancestor of the other, or None
    where there are none such.
    """

    def __init__(self, seed, n_candidates=20, n_genes=128, drift=(0.05, 0.3)):
        history = pp.simulate.simulate_history(
            n_candidates, n_genes, 2, living=1.0, family_size=10**6, drift=drift, seed=seed
        )
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.base = history.nodes.node[0]
        self.p = {name: history.frequencies(name) for name in history.models}
        above = {name: {name} for name in history.models}
        for name in history.nodes.node:  # as released: parents first
            if history.parents[name] is not None:
                above[name] |= above[history.parents[name]]
        unrelated = [
            (a, b)
            for a, b in itertools.permutations([m for m in self.p if m != self.base], 2)
            if a not in above[b] and b not in above[a]
        ]
        chosen = self.rng.integers(len(unrelated)) if unrelated else None
        self.a, self.b = (None, None) if chosen is None else unrelated[chosen]

    def blend(self, shares, drift=0.01):
        """A mixture of populations, drifted."""
        p = sum(share * self.p[name] for name, share in shares.items())
        return drift_step(p, drift, Draws(self.seed, "blend", drift, len(self.p)))

    def counted(self, n_probes=32):
        """A table of draws from all populations."""
        names = list(self.p)
        counts = np.stack(
            [self.rng.multinomial(n_probes, p / p.sum(1, keepdims=True)) for p in self.p.values()]
        )
        return self._table(pp.AlleleTable.from_counts, names, counts)

    def exact(self):
        """A table of the populations themselves."""
        p = np.stack(list(self.p.values()))
        return self._table(
            pp.AlleleTable.from_probabilities, list(self.p), np.where(p > 1e-6, p, 0)
        )

    @staticmethod
    def _table(make, names, values):
        model, gene, allele = np.nonzero(values)
        texts = np.array([f"{k:03d}" for k in range(values.shape[2])])
        genes = [f"g{i:03d}" for i in range(values.shape[1])]
        return make(names, genes, model, gene, texts[allele], values[model, gene, allele])


def merged(seed, share=0.5, **kind):
    """A world with `M`, a merge of a and b."""
    world = World(seed, **kind)
    world.p["M"] = world.blend({world.a: share, world.b: 1 - share})
    return world
