"""The peers of `peers_similarity.py`, each made for one table."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from side_by_side import Tool, compare
from suite import simulated

import pyphylo as pp
from pyphylo import _core
from pyphylo._memory import human_bytes
from pyphylo.bench.similarity import rows_of

EXACT_FLOAT32 = 2**24
"""float32 sums of whole numbers are exact below it."""


class Skipped(Exception):  # noqa: N818
    """Why a peer does not take part."""


@dataclass
class Problem:
    """A table and what peers are given of it; CSR in float32, which is their fastest."""

    table: pp.AlleleTable
    threads: int
    memory: int

    @cached_property
    def counts(self) -> scipy.sparse.csr_array:
        return self.table.to_csr().astype(np.float32)

    @cached_property
    def occurrence(self) -> NDArray[np.int64]:
        """Models that have each allele."""
        return np.bincount(self.counts.indices, minlength=self.counts.shape[1])

    @cached_property
    def numerators(self) -> NDArray[np.int64]:
        n = len(self.table.models)
        sums = np.empty((n, n), np.int64)
        _core.compare(
            self.table._core,
            _core.Estimator.plugin,
            -1,
            self.threads,
            _core.Quantity.numerator,
            0.0,
            sums,
            lambda _: None,
        )
        return sums

    def dense(self, columns: NDArray[np.bool_], dtype: type) -> NDArray[Any]:
        """Some columns, dense, unless they would take too much memory."""
        needed = len(self.table.models) * int(columns.sum()) * np.dtype(dtype).itemsize
        if needed > self.memory:
            raise Skipped(
                f"its dense input takes {human_bytes(needed)}, --memory allows "
                f"{human_bytes(self.memory)}"
            )
        return self.counts[:, columns].astype(dtype).toarray()


def scipy_product(problem: Problem) -> Callable[[], Any]:
    counts = problem.counts
    return lambda: counts @ counts.T


def sklearn_cosine(problem: Problem) -> Callable[[], Any]:
    try:
        from sklearn.metrics.pairwise import cosine_similarity
    except ImportError:
        raise Skipped("scikit-learn is not installed") from None
    return partial(cosine_similarity, problem.counts)


def mkl_gram(problem: Problem) -> Callable[[], Any]:
    try:
        import sparse_dot_mkl as mkl
    except ImportError as error:
        raise Skipped(f"sparse_dot_mkl and mkl are not installed: {error}") from None
    mkl.mkl_set_num_threads(problem.threads)
    return partial(mkl.gram_matrix_mkl, problem.counts, transpose=True, dense=True)


def sgemm_and_tail(problem: Problem) -> Callable[[], Any]:
    """Alleles that one model in twenty has go through BLAS, the others through SciPy."""
    is_common = problem.occurrence >= 0.05 * len(problem.table.models)
    dense = problem.dense(is_common, np.float32)
    tail = problem.counts[:, ~is_common]

    def product() -> NDArray[np.float32]:
        numerators = dense @ dense.T
        numerators += (tail @ tail.T).toarray()
        return numerators

    return product


def torch_int_mm(problem: Problem) -> Callable[[], Any]:
    """Dense int8. Alleles of one model are left out: they add to the diagonal alone."""
    try:
        import torch
    except ImportError:
        raise Skipped("torch is not installed") from None
    if problem.counts.data.max() > 127:
        raise Skipped("counts above 127 are no int8")
    torch.set_num_threads(problem.threads)
    dense = torch.from_numpy(problem.dense(problem.occurrence > 1, np.int8))
    return lambda: torch._int_mm(dense, dense.T)


MAKERS = {
    "scipy": ("SciPy CSR @ CSR.T", scipy_product),
    "sklearn": ("sklearn cosine_similarity", sklearn_cosine),
    "mkl": ("MKL gram_matrix_mkl", mkl_gram),
    "sgemm": ("NumPy sgemm + SciPy tail", sgemm_and_tail),
    "torch": ("torch _int_mm, dense int8", torch_int_mm),
}


def check(name: str, result: Any, problem: Problem) -> None:
    """Compare with pyphylo's numerators (cosines: similarities), above the diagonal."""
    found = np.asarray(result.toarray() if scipy.sparse.issparse(result) else result)
    is_cosine = name == "sklearn"
    if is_cosine:
        expected = pp.nei_similarity(problem.table, n_threads=problem.threads).values
    else:
        expected = problem.numerators
    exact = not is_cosine and expected.max() < EXACT_FLOAT32
    for i in range(len(expected)):
        np.testing.assert_allclose(
            found[i, i + 1 :], expected[i, i + 1 :], rtol=0 if exact else 1e-5, err_msg=name
        )


def construction(table: pp.AlleleTable, repeats: int) -> float:
    """Seconds that the table takes from its rows, the least of several."""
    rows = rows_of(table)
    best = float("inf")
    for _ in range(repeats):
        start = time.perf_counter()
        pp.AlleleTable.from_counts(*rows)
        best = min(best, time.perf_counter() - start)
    return best


def run(
    n_models: int, n_genes: int, peers: list[str], repeats: int, threads: int, memory: int
) -> None:
    problem = Problem(simulated.table(n_models, n_genes), threads, memory)
    table = problem.table
    tools = {
        # As the peers: float32, and of each pair once as MKL's triangle; then the default.
        "pyphylo, float32 condensed": Tool(
            partial(pp.nei_similarity, n_threads=threads, dtype="float32", condensed=True),
            partial(simulated.fresh, table),
        ),
        "pyphylo, float64 square": Tool(
            partial(pp.nei_similarity, n_threads=threads), partial(simulated.fresh, table)
        ),
    }
    skipped = {}
    for name in peers:
        label, make = MAKERS[name]
        try:
            call = make(problem)
        except Skipped as reason:
            skipped[label] = reason
            continue
        check(name, call(), problem)
        tools[label] = Tool(call)
    compare(
        f"{n_models} models x {n_genes} genes, {table.nnz} entries, threads: {threads}, "
        f"kernels: {_core.kernel_instruction_set()}, repeats: {repeats}",
        tools,
        repeats,
    )
    for label, reason in skipped.items():
        print(f"  {label:28} skipped: {reason}")
    label, seconds = "pyphylo's table, built before", construction(table, 2)
    print(f"  {label:28} {seconds:10.4f} s")
