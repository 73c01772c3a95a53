"""Random tables larger than hypothesis draws, and their numerators by another route."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

import pyphylo as pp
from pyphylo import _core
from pyphylo.bench.measure import added_memory

ISAS = _core.detected_instruction_sets()


@contextmanager
def kernels_of(isa: str) -> Iterator[None]:
    """Calls inside use the kernels of one instruction set."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYPHYLO_ISA", isa)
        assert _core.kernel_instruction_set() == isa
        yield


def names(models: int, genes: int) -> tuple[list[str], list[str]]:
    return [f"m{i}" for i in range(models)], [f"g{i}" for i in range(genes)]


def drawn_table(
    seed: int,
    models: int,
    genes: int,
    alleles: int,
    n: int,
    *,
    missing: float = 0.0,
    varying: bool = False,
    power: float = 1.2,
) -> pp.AlleleTable:
    """Counts of n probes over alleles of Zipf's frequencies, k^-power: some common, most rare.

    `varying`: a cell's n is anything from 2 to n.
    """
    rng = np.random.default_rng(seed)
    weights = 1 / np.arange(1, alleles + 1) ** power
    cells = [(m, g) for m in range(models) for g in range(genes) if rng.random() >= missing]
    n_of_cell = rng.integers(2, n + 1, len(cells)) if varying else np.full(len(cells), n)
    counts = rng.multinomial(n_of_cell, weights / weights.sum())
    cell, allele = np.nonzero(counts)
    place = np.array(cells).reshape(-1, 2)[cell]
    texts = np.array([f"a{k}" for k in range(alleles)])
    return pp.AlleleTable.from_counts(
        *names(models, genes), place[:, 0], place[:, 1], texts[allele], counts[cell, allele]
    )


def even_table(seed: int, models: int, genes: int, alleles: int, each: int) -> pp.AlleleTable:
    """Every allele about `each` times in every cell; one n a model."""
    rng = np.random.default_rng(seed)
    counts = np.full((models * genes, alleles), each, np.int64)
    shift = rng.integers(0, each, (models * genes, alleles // 2))
    counts[:, : alleles // 2] -= shift
    counts[:, alleles // 2 : 2 * (alleles // 2)] += shift
    counts = np.minimum(counts, 2 * each)
    cell, allele = np.nonzero(counts)
    texts = np.array([f"a{k}" for k in range(alleles)])
    return pp.AlleleTable.from_counts(
        *names(models, genes), cell // genes, cell % genes, texts[allele], counts[cell, allele]
    )


def plan_of(table: pp.AlleleTable, split: int = -1, threads: int = 1) -> dict:
    return _core.plan_similarity(table._core, split, threads, False)


def numerators_of(table: pp.AlleleTable, threads: int = 1, split: int = -1) -> np.ndarray:
    """By the kernels."""
    n = len(table.models)
    out = np.full((n, n) if split < 0 else (split, n - split), -1, np.int64)
    plugin, numerator = _core.Estimator.plugin, _core.Quantity.numerator
    _core.compare(table._core, plugin, split, threads, numerator, 0.0, out, lambda _: None)
    return out


def slow_numerators(table: pp.AlleleTable) -> np.ndarray:
    """By scipy's sparse product of 64-bit integers."""
    counts = table.to_csr().astype(np.int64)
    return (counts @ counts.T).toarray()


def quiet(call, *arguments, **options):
    """The result, without the package's own warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        return call(*arguments, **options)


def same_bits(a, b) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=True)


def added_and_stated(kind):
    """What a call adds to the memory of a process, and what it says that it will."""
    models = 1000
    table = drawn_table(1, models, 40, 1000, 32, missing=0.0 if kind == "whole" else 0.05,
                        varying=kind == "float")  # fmt: skip
    quiet(pp.nei_similarity, table.select(models=table.models[:2]))
    added = added_memory(lambda: quiet(pp.nei_similarity, table, n_threads=2))
    return added, plan_of(table, threads=2)["bytes"] + 8 * models**2
