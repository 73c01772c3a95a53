"""Trees with known mixtures, and a slow fit of admixture graphs: every candidate, one by one."""

from __future__ import annotations

import itertools
import re

import numpy as np
from scipy.optimize import minimize

import pyphylo as pp


def world(n, n_mixtures, seed, n_genes=128, n_probes=32):
    """`n` models down a random tree from `base`, some with a sibling that is half another's.

    Returns the populations, and of each mixture (M0, M1 ...) its parents and the first's share.
    """
    rng = np.random.default_rng(seed)

    def length():
        return f"{rng.uniform(0.05, 0.3):.4f}"

    alive = [f"t{i}" for i in range(n)]
    while len(alive) > 2:
        i, j = sorted(rng.choice(len(alive), 2, replace=False))
        b, a = alive.pop(j), alive.pop(i)
        alive.append(f"({a}:{length()},{b}:{length()})")
    text = f"(base:0.003,({alive[0]}:{length()},{alive[1]}:{length()}):0.003);"
    chosen = rng.choice(n, 2 * n_mixtures, replace=False) if n_mixtures else []
    admixture, truth = {}, {}
    for k in range(n_mixtures):
        a, b = f"t{chosen[2 * k]}", f"t{chosen[2 * k + 1]}"
        share = float(rng.uniform(0.3, 0.5))
        found = re.search(rf"(?<![A-Za-z0-9]){a}:([0-9.]+)", text)
        both = f"({a}:0.005,M{k}:0.02):{found.group(1)}"
        text = text[: found.start()] + both + text[found.end() :]
        admixture[f"M{k}"] = (b, share)
        truth[f"M{k}"] = (a, b, 1 - share)
    made = pp.simulate.simulate_on_tree(
        pp.Tree.from_newick(text), n_genes, n_probes, admixture=admixture, seed=seed
    )
    return made, truth


class Slow:
    """f2 of a graph by walking from each model to the root, and least squares by L-BFGS.

    A graph is a mapping of each node to its parents, (parent, share) each.
    """

    def __init__(self, parents, models):
        self.parents, self.models = parents, models
        self.branches = [v for v, up in parents.items() if len(up) == 1]

    def passed(self, model, share):
        """Share of a model's descent through each branch."""
        found = dict.fromkeys(self.branches, 0.0)
        ways = [(model, 1.0)]
        while ways:
            v, part = ways.pop()
            up = self.parents[v]
            if len(up) == 1:
                found[v] += part
                ways.append((up[0], part))
            elif len(up) == 2:
                ways += [(up[0], part * share), (up[1], part * (1 - share))]
        return np.array([found[v] for v in self.branches])

    def design(self, share):
        """f2 of all pairs, by branches."""
        x = [self.passed(model, share) for model in self.models]
        return np.array([(a - b) ** 2 for a, b in itertools.combinations(x, 2)])

    def least(self, f2, inverse, shares):
        """The least squared residual over lengths that are not negative, and over the shares."""
        best = np.inf
        for start in shares:

            def loss(theta):
                apart = f2 - self.design(theta[0]) @ theta[1:]
                return float(apart @ inverse @ apart)

            def slope(theta, loss=loss):
                design = self.design(theta[0])
                apart = f2 - design @ theta[1:]
                up, down = theta.copy(), theta.copy()
                up[0], down[0] = theta[0] + 1e-5, theta[0] - 1e-5
                of_share = (loss(up) - loss(down)) / 2e-5
                return np.concatenate([[of_share], -2 * design.T @ inverse @ apart])

            first = np.concatenate([[start], np.full(len(self.branches), f2.mean() / 4)])
            bounds = [(start, start) if len(shares) == 1 else (0, 1)]
            bounds += [(0, None)] * len(self.branches)
            found = minimize(
                loss, first, jac=slope, bounds=bounds, method="L-BFGS-B",
                options={"maxiter": 3000, "ftol": 1e-14, "gtol": 1e-10, "maxfun": 20000},
            )  # fmt: skip
            best = min(best, float(found.fun))
        return best


def every_graph(tree):
    """All graphs in which one tip of a rooted tree is a mixture of points on two other branches."""
    for tip in tree.tips:
        if tip == "base":
            continue
        rest = tree.prune([tip])
        name = {v: rest.tips[v] if v < rest.n_tips else f"n{v}" for v in range(rest.n_nodes)}
        up = {name[v]: (name[int(rest.parent[v])],) for v in range(rest.n_nodes - 1)}
        up[name[rest.root]] = ()
        for a, b in itertools.combinations([v for v in up if up[v]], 2):
            graph = dict(up)
            graph["p"], graph["q"] = graph[a], graph[b]
            graph[a], graph[b] = ("p",), ("q",)
            graph["mixture"], graph[tip] = ("p", "q"), ("mixture",)
            yield (tip, a, b), Slow(graph, tree.tips)
