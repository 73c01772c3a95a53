"""How fast `nei_similarity` is, and how much memory it takes, on simulated tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from tqdm import tqdm

from pyphylo import _core
from pyphylo._version import __version__
from pyphylo.alleles import AlleleTable
from pyphylo.bench.measure import added_memory, in_fresh_process, repeated_seconds
from pyphylo.errors import InputError
from pyphylo.similarity import nei_similarity
from pyphylo.simulate import simulate_table

__all__ = ["bench_similarity", "rows_of"]


def bench_similarity(
    models: Sequence[int],
    *,
    n_genes: int = 128,
    threads: Sequence[int] = (1,),
    repeats: int = 5,
    dtype: str = "float64",
) -> list[dict[str, Any]]:
    """Measure all pairs of simulated tables, each setting in a process of its own.

    Every call gets a table that holds sparse rows only: what a kernel keeps for
    later calls is made within the clock, every time.

    Parameters
    ----------
    models : sequence of int
        Table sizes, at least 2 each.
    n_genes, repeats : int
    threads : sequence of int
        Numbers of threads; 0: all that this process may use.
    dtype : {"float64", "float32"}
        Of the result.

    Returns
    -------
    list of dict
        One for each size and number of threads: ``version``, ``isa``,
        ``threads``, ``models``, ``genes``, ``nnz``, ``dtype``,
        ``construction_seconds`` (`AlleleTable.from_counts` of the table's
        rows, once), ``seconds`` (all repeats), ``pairs_per_s`` and
        ``pair_genes_per_s`` (by the median), ``peak_bytes`` (what a call adds
        to the process's memory at its highest, result included),
        ``share_of_integer_peak`` (multiply-adds of dense alleles over the
        median of the whole call, as a share of what the kernels were just
        measured to reach on operands in cache).
    """
    for n_models in models:
        if n_models < 2:
            raise InputError(f"similarity needs two models, not {n_models}")
    results = []
    with tqdm(total=len(models) * len(threads), unit="setting", disable=None) as bar:
        for n_models in models:
            with TemporaryDirectory() as folder:
                path = Path(folder) / "table.pyphylo"
                about = _save_table(path, n_models, n_genes)
                for n_threads in threads:
                    measured = in_fresh_process(_measure, str(path), n_threads, repeats, dtype)
                    results.append(_summary({**about, **measured}, n_threads))
                    bar.update()
    return results


def _save_table(path: Path, n_models: int, n_genes: int) -> dict[str, Any]:
    """Write a simulated table; what is to be known of it, and of the time that it takes."""
    rows = rows_of(simulate_table(n_models, n_genes))
    start = time.perf_counter()
    table = AlleleTable.from_counts(*rows)
    seconds = time.perf_counter() - start
    table.save(path)
    return {
        "models": n_models,
        "genes": n_genes,
        "nnz": table.nnz,
        "construction_seconds": seconds,
    }


def rows_of(table: AlleleTable) -> tuple[Any, ...]:
    """The arguments of `AlleleTable.from_counts` that give the table again."""
    counts = table.to_csr()
    model = np.repeat(np.arange(len(table.models), dtype=np.int32), np.diff(counts.indptr))
    gene = np.searchsorted(table._core.gene_offsets, counts.indices, side="right") - 1
    alleles = table.alleles().dictionary_encode().take(counts.indices)
    return table.models, table.genes, model, gene.astype(np.int32), alleles, counts.data


def _measure(path: str, n_threads: int, repeats: int, dtype: str) -> dict[str, Any]:
    """Memory of one call and seconds of `repeats` more, on the table of a file."""
    table = AlleleTable.load(path)
    call = partial(nei_similarity, n_threads=n_threads, dtype=dtype)
    fresh = partial(table.select, models=table.models)
    # Code is read from disk at its first use; that is no part of the measurement.
    result = call(table.select(models=table.models[:2]))
    subject = fresh()
    peak = added_memory(partial(call, subject))
    del subject
    seconds = repeated_seconds(call, fresh, repeats)
    plan = _core.plan_similarity(table._core, -1, n_threads, False)
    reached = plan["dense_multiply_adds"] / statistics.median(seconds)
    return {
        "dtype": result.dtype.name,
        "seconds": seconds,
        "peak_bytes": peak,
        "share_of_integer_peak": reached / _core.integer_peak(n_threads),
    }


def _summary(measured: dict[str, Any], n_threads: int) -> dict[str, Any]:
    """What was measured, in the documented order, with the speeds that follow from it."""
    n_models, genes = measured["models"], measured["genes"]
    pairs_per_s = n_models * (n_models - 1) / 2 / statistics.median(measured["seconds"])
    return {
        "version": __version__,
        "isa": _core.kernel_instruction_set(),
        "threads": n_threads or _core.available_threads(),
        "models": n_models,
        "genes": genes,
        "nnz": measured["nnz"],
        "dtype": measured["dtype"],
        "construction_seconds": measured["construction_seconds"],
        "seconds": measured["seconds"],
        "pairs_per_s": pairs_per_s,
        "pair_genes_per_s": pairs_per_s * genes,
        "peak_bytes": measured["peak_bytes"],
        "share_of_integer_peak": measured["share_of_integer_peak"],
    }
