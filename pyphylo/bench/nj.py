"""How fast trees are built, and how much memory they take, on simulated distances."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from tqdm import tqdm

from pyphylo import _core
from pyphylo._version import __version__
from pyphylo.bench.measure import added_memory, in_fresh_process, repeated_seconds
from pyphylo.distance import DistanceMatrix
from pyphylo.errors import InputError
from pyphylo.simulate import simulate_distances
from pyphylo.tree.nj import bionj, neighbor_joining

__all__ = ["KINDS", "bench_nj"]

KINDS = ("near-additive", "language-models")
"""Distances that `simulate_distances` makes."""

_METHODS = {"nj": neighbor_joining, "bionj": bionj}


def bench_nj(
    models: Sequence[int],
    *,
    kinds: Sequence[str] = KINDS,
    method: str = "nj",
    threads: Sequence[int] = (1,),
    repeats: int = 5,
    dtype: str = "float64",
    condensed: bool = False,
) -> list[dict[str, Any]]:
    """Measure trees of simulated distances, each setting in a process of its own.

    Parameters
    ----------
    models : sequence of int
        Numbers of tips, at least 3 each.
    kinds : sequence of str
        Of distances; see `KINDS`.
    method : {"nj", "bionj"}
    threads : sequence of int
        Numbers of threads; 0: all that this process may use.
    repeats : int
    dtype : {"float64", "float32"}
        Of the distances given, and of the working copy.
    condensed : bool
        Whether the distances given are a triangle.

    Returns
    -------
    list of dict
        One for each size, kind and number of threads: ``version``, ``method``,
        ``kind``, ``threads``, ``models``, ``dtype``, ``condensed``,
        ``start_seconds`` (the first tree of the process, of four tips: loading
        compiled code, or compiling where none is kept), ``seconds`` (all
        repeats), ``pairs_per_s`` (by the median), ``peak_bytes`` (what a call
        adds to the process's memory at its highest, the distances given left
        out).
    """
    for n_models in models:
        if n_models < 3:
            raise InputError(f"neighbor joining needs three models, not {n_models}")
    if method not in _METHODS:
        raise InputError(f"method must be one of {', '.join(_METHODS)}, not {method!r}")
    settings = [(n, kind, t) for n in models for kind in kinds for t in threads]
    results = []
    for n_models, kind, n_threads in tqdm(settings, unit="setting", disable=None):
        measured = in_fresh_process(
            _measure, n_models, kind, method, n_threads, repeats, dtype, condensed
        )
        pairs = n_models * (n_models - 1) / 2
        results.append(
            {
                "version": __version__,
                "method": method,
                "kind": kind,
                "threads": n_threads or _core.available_threads(),
                "models": n_models,
                "dtype": dtype,
                "condensed": condensed,
                "start_seconds": measured["start_seconds"],
                "seconds": measured["seconds"],
                "pairs_per_s": pairs / statistics.median(measured["seconds"]),
                "peak_bytes": measured["peak_bytes"],
            }
        )
    return results


def _measure(
    n_models: int,
    kind: str,
    method: str,
    n_threads: int,
    repeats: int,
    dtype: str,
    condensed: bool,
) -> dict[str, Any]:
    """Memory of one tree and seconds of `repeats` more."""
    made = simulate_distances(n_models, kind=kind)
    values = (made.condensed if condensed else made.values).astype(dtype)
    D = DistanceMatrix._trusted(values, made.ids, {})
    del made, values
    call = partial(_METHODS[method], dtype=dtype, n_threads=n_threads)
    few = D.filter(D.ids[: min(4, n_models)])
    start = time.perf_counter()
    call(few)
    start_seconds = time.perf_counter() - start
    peak = added_memory(partial(call, D))
    return {
        "start_seconds": start_seconds,
        "seconds": repeated_seconds(call, lambda: D, repeats),
        "peak_bytes": peak,
    }
