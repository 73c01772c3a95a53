"""Processor seconds and memory of fit, predict, intervals and `measure_next` at scale.

The matrix and the scores are made outside the clock; memory is what a call adds beside them.
A twentieth of the scores is missing, in each benchmark other ones. For `measure_next` nine
tenths of the models have no score.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

import pyphylo as pp
from pyphylo.bench.measure import added_memory, in_fresh_process
from pyphylo.predict import BenchmarkRegressor, measure_next


def world(n: int, benchmarks: int) -> tuple[pp.DistanceMatrix, np.ndarray]:
    """Distances as of language models; scores that follow similarity to eight models."""
    D = pp.simulate.simulate_distances(n, kind="language-models")
    random = np.random.default_rng(0)
    near = np.exp(-D.values[:, random.choice(n, 8)])
    scores = expit(near @ random.normal(size=(8, benchmarks)) * 2 + random.normal(size=benchmarks))
    scores[random.random(scores.shape) < 0.05] = np.nan
    return D, scores


def measured(what: str, n: int, benchmarks: int) -> tuple[float, int]:
    """Processor seconds and bytes of one call, in a fresh process."""
    D, scores = world(n, benchmarks)
    model = BenchmarkRegressor()
    if what == "fit":
        return _once(lambda: model.fit(D.values, scores))
    if what == "measure_next":
        few = np.random.default_rng(1).choice(n, n // 10, replace=False)
        known = pd.DataFrame(scores[few], index=[D.ids[i] for i in few])
        known.columns = [f"b{j}" for j in range(benchmarks)]
        return _once(lambda: measure_next(D, known, 10))
    model.fit(D.values, scores)
    if what == "predict":
        return _once(lambda: model.predict(D.values))
    return _once(lambda: model.predict_interval(D.values))


def _once(call: Callable[[], Any]) -> tuple[float, int]:
    seconds = []

    def timed() -> Any:
        start = time.process_time()
        result = call()
        seconds.append(time.process_time() - start)
        return result

    added = added_memory(timed)
    return seconds[0], added


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, nargs="+", default=[1000, 5000, 10_000])
    parser.add_argument("--benchmarks", type=int, default=6)
    args = parser.parse_args()
    for n in args.models:
        print(f"{n} models x {args.benchmarks} benchmarks")
        for what in ("fit", "predict", "predict_interval", "measure_next"):
            seconds, added = in_fresh_process(measured, what, n, args.benchmarks)
            print(f"  {what:16} {seconds:7.2f} s {added / 2**20:8.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
