"""Genes of several kinds over one history, as in real genomes: some tell nothing."""

from __future__ import annotations

import numpy as np

import pyphylo as pp

KINDS = {
    "clear": (0.25, {"drift": (0.02, 0.5), "founder_drift": (0.1, 0.6)}),
    "slow": (0.2, {"drift": (0.002, 0.05), "founder_drift": (0.02, 0.1)}),
    "noise": (0.15, {"drift": 0, "founder_drift": 0}),
    "constant": (0.2, {"drift": 0, "founder_drift": 0, "n_alleles": 1}),
    "private": (0.2, {"drift": (0.02, 0.3), "founder_drift": (0.1, 0.4), "mutation": 1.0}),
}
"""Share of the genes, and how they are simulated."""


def genes_of_many_kinds(n_models, n_genes, n_probes, *, seed, **history):
    """A table, the history that it is of, and the kind of each gene.

    Who descends from whom follows from the seed and `history` alone: simulations that differ in
    drift alone are genes of one history.
    """
    ends = np.round(np.cumsum([share for share, _ in KINDS.values()]) * n_genes).astype(int)
    model, gene, allele, count, kinds = [], [], [], [], []
    for (kind, (_, settings)), end in zip(KINDS.items(), ends, strict=True):
        told = pp.simulate.simulate_history(
            n_models, int(end), n_probes, seed=seed, **history, **settings
        )
        part = told.table.select(genes=told.table.genes[len(kinds) : end]).to_frame()
        if kind == "clear":
            truth = told
            row = {name: i for i, name in enumerate(told.models)}
        number = {name: g for g, name in enumerate(told.table.genes)}
        model += part["model"].map(row).tolist()
        gene += part["gene"].map(number).tolist()
        allele += part["allele"].tolist()
        count += part["count"].tolist()
        kinds += [kind] * (end - len(kinds))
    names = [f"gene-{g}" for g in range(n_genes)]
    table = pp.AlleleTable.from_counts(truth.models, names, model, gene, allele, count)
    return table, truth, np.array(kinds)


def splits(tree, tips):
    """Two-sided splits of some tips, as the side without the first of them."""
    below = [set() for _ in tree.parent]
    for tip, name in enumerate(tree.tips):
        if name in tips:
            below[tip].add(name)
    for node in _up(tree.parent):
        below[tree.parent[node]] |= below[node]
    first = min(tips)
    sides = (frozenset(s if first not in s else tips - s) for s in below if s)
    return {side for side in sides if 1 < len(side) < len(tips) - 1}


def _up(parent):
    """Nodes but the root, children before parents."""
    waiting = np.bincount(parent[parent >= 0], minlength=len(parent))
    ready = [node for node in range(len(parent)) if not waiting[node]]
    for node in ready:
        if parent[node] < 0:
            continue
        yield node
        waiting[parent[node]] -= 1
        if not waiting[parent[node]]:
            ready.append(parent[node])


def true_splits(truth, models):
    """Splits between the models that any branch of the history makes."""
    parent = dict(zip(truth.nodes["node"], truth.nodes["parent"], strict=True))
    below: dict[str, set[str]] = {}
    for model in models:
        node = model
        while node is not None:
            below.setdefault(node, set()).add(model)
            node = parent[node]
    models, first = set(models), min(models)
    sides = (frozenset(s if first not in s else models - s) for s in below.values())
    return {side for side in sides if 1 < len(side) < len(models) - 1}


def recovered(table, truth, models, genes):
    """Clades found and in all, parents found and in all: the nearest of those with children."""
    D = pp.nei_distance(table.select(models=models, genes=genes), estimator="unbiased", n_threads=1)
    real = true_splits(truth, models)
    found = splits(pp.neighbor_joining(D, n_threads=1), set(models))
    row = {name: i for i, name in enumerate(models)}

    def ancestor(name):
        name = truth.parents[name]
        while name is not None and name not in row:
            name = truth.parents[name]
        return name

    parents = {name: ancestor(name) for name in models}
    bases = sorted({name for name in parents.values() if name is not None})
    children = [name for name, parent in parents.items() if parent is not None]
    right = sum(
        min((b for b in bases if b != name), key=lambda b: D.values[row[name], row[b]])
        == parents[name]
        for name in children
    )
    return np.array([len(real & found), len(real), right, len(children)])
