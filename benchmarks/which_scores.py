"""Does picking by `measure_next` pay? Errors beside those of random, spread-out and central picks.

Half of the models, drawn anew each time, are wanted and never measured; picks come from
the other half. A round begins with no score at all ("nothing"), with twelve models drawn at
random ("some") or with all candidates of three families ("families"); ten more are picked,
`BenchmarkRegressor` learns from all that is measured and predicts the half that is wanted.
Printed: mean absolute error, and paired differences with 95% intervals over rounds.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

import pyphylo as pp
from pyphylo.predict import BenchmarkRegressor, measure_next

STARTS = ("nothing", "some", "families")


def real(folder: Path) -> Iterator[tuple[pp.DistanceMatrix, pd.DataFrame, pd.Series]]:
    """The published models that have all three scores, over and over."""
    D = pp.nei_distance(pp.SimilarityMatrix.load(folder / "math_similarity.csv"))
    scores = pd.read_csv(folder / "scores.csv").set_index("model").dropna()
    families = pd.read_csv(folder / "models.csv").set_index("model").family
    kept = [name for name in D.ids if name in scores.index]
    while True:
        yield D.filter(kept), scores.loc[kept], families.loc[kept]


def simulated(n: int) -> Iterator[tuple[pp.DistanceMatrix, pd.DataFrame, pd.Series]]:
    """Another history each time; scores add up effects of alleles of genes that D does not see."""
    seed = 0
    while True:
        seed += 1
        history = pp.simulate.simulate_history(n, 256, family_size=15, seed=seed)
        genes = history.table.genes
        D = pp.nei_distance(history.table.select(genes=genes[:128]))
        p = np.array([history.frequencies(name)[128:].ravel() for name in D.ids])
        random = np.random.default_rng(seed)
        trait = (p - p.mean(axis=0)) @ random.normal(size=(p.shape[1], 3))
        trait = trait / trait.std(axis=0) + 0.3 * random.normal(size=(n, 3))
        scores = pd.DataFrame(expit(trait), index=list(D.ids), columns=["x", "y", "z"])
        yield D, scores, history.metadata.set_index("model").family.loc[list(D.ids)]


def farthest(D: np.ndarray, measured: list[int], open_to: list[int], n: int) -> list[int]:
    """Each pick is as far as can be from what is measured; the first is the most central."""
    picks = [] if measured else [min(open_to, key=lambda c: D[c].sum())]
    while len(picks) < n:
        near = D[np.ix_(open_to, measured + picks)].min(axis=1)
        picks.append(open_to[int(near.argmax())])
    return picks


def medoids(
    D: np.ndarray, measured: list[int], open_to: list[int], wanted: np.ndarray, n: int
) -> list[int]:
    """Picks whose distances to the wanted models, each to its nearest, add up to least (PAM)."""
    rows = D[np.ix_(wanted, open_to)]
    base = D[np.ix_(wanted, measured)].min(axis=1) if measured else np.full(len(wanted), np.inf)
    picks: list[int] = []
    for _ in range(n):
        near = np.minimum(base, rows[:, picks].min(axis=1)) if picks else base
        picks.append(_best(near, rows, picks))
    changed = True
    while changed:
        changed = False
        for k in range(n):
            rest = picks[:k] + picks[k + 1 :]
            near = np.minimum(base, rows[:, rest].min(axis=1)) if rest else base
            other = _best(near, rows, rest)
            now, then = (np.minimum(near, rows[:, x]).sum() for x in (picks[k], other))
            if now - then > 1e-9:
                picks[k], changed = other, True
    return [open_to[k] for k in picks]


def _best(near: np.ndarray, rows: np.ndarray, taken: list[int]) -> int:
    cost = np.minimum(near[:, None], rows).sum(axis=0)
    cost[taken] = np.inf
    return int(cost.argmin())


def one_round(world: Any, start: str, n: int, seed: int) -> dict[str, float]:
    """Mean absolute error of each way to pick; what ours expected and came to, as roots."""
    D, scores, families = world
    random = np.random.default_rng(seed)
    order = random.permutation(len(D.ids))
    wanted, rest = order[: len(order) // 2], order[len(order) // 2 :]
    kin = random.permutation(families.unique())[:3]
    measured = {
        "nothing": [],
        "some": rest[:12].tolist(),
        "families": [i for i in rest.tolist() if families.iloc[i] in kin],
    }[start]
    open_to = [i for i in rest.tolist() if i not in measured]
    n = min(n, len(open_to))
    names = np.array(D.ids)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        frame = measure_next(
            D, scores.iloc[measured] if measured else None, n,
            interest=names[wanted], candidates=names[open_to],
        )  # fmt: skip
    ways = {
        "measure_next": [D.ids.index(name) for name in frame.model],
        "random": open_to[:n],
        "farthest first": farthest(D.values, measured, open_to, n),
        "medoids": medoids(D.values, measured, open_to, wanted, n),
    }
    if len(measured) > 2:
        ways["no picks"] = []
    found = {}
    for way, picks in ways.items():
        train = np.array(measured + picks)
        model = BenchmarkRegressor().fit(D.values[np.ix_(train, train)], scores.iloc[train])
        error = model.predict(D.values[np.ix_(wanted, train)]) - scores.iloc[wanted]
        found[way] = float(np.abs(error.to_numpy()).mean())
        if way == "measure_next":
            found["came to"] = float(np.sqrt((error.to_numpy() ** 2).mean()))
    return {**found, "expected": float(frame.error_after.iloc[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, help="folder with math_similarity.csv and scores.csv")
    parser.add_argument("--models", type=int, default=150, help="of each simulated history")
    parser.add_argument("--picks", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--starts", nargs="+", choices=STARTS, default=STARTS)
    args = parser.parse_args()
    for start in args.starts:
        worlds = real(args.data) if args.data else simulated(args.models)
        rounds = [one_round(next(worlds), start, args.picks, k) for k in range(args.rounds)]
        table = pd.DataFrame(rounds)
        print(f"start: {start}, {args.rounds} rounds, {args.picks} picks")
        for way in table.columns.drop(["expected", "came to"]):
            gain = table[way] - table["measure_next"]
            half = 1.96 * gain.std() / np.sqrt(len(gain))
            print(f"  {way:16} {table[way].mean():.4f}   worse by {gain.mean():+.4f} +- {half:.4f}")
        print(
            f"  root of the mean squared error expected {table.expected.mean():.4f}, "
            f"found {table['came to'].mean():.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
