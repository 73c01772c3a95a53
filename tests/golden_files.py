"""What the files under tests/data/formats hold, and how they are written.

    python tests/golden_files.py tests/data/formats/v2

writes one of every kind of file that pyphylo writes. What is there stays as it is: a format that
gets a new version gets a new folder, and the files of all older ones must go on to open.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import pyphylo as pp
from pyphylo import _reference
from pyphylo.predict import BenchmarkRegressor, ReferenceRegressor
from pyphylo.run import begin_run
from pyphylo.sampling.base import Decided, ModelIdentity, Population, SamplingConfig
from pyphylo.store import SampleStore

GENOME = pp.Genome(
    ("g1", "g2", "gené 3"),
    ("Once upon", "The sum of", "In Zürich,"),
    {"sources": [{"name": "made for this test"}]},
)
SAID = {
    "org/alpha@v1": [
        ["a time", "a time", " a tim", "then"],
        ["two is", "squares", "two is", "all"],
        ["a", "", "the", "the"],
    ],
    "beta, 7b": [
        ["a time", "many", "then", "then"],
        ["two is", "two is", "cubes", "all"],
        ["the", "the", "the", "雪が"],
    ],
    "gamma": [
        ["x", "y", "z", "x"],
        ["two is", "one", "one", "one"],
        ["a", "b", "c", "the"],
    ],
}
DECIDED = Population(
    [["abcdef", " x", "abcd"], ["q", "q", "\n r"], ["y", "z", "y"]],
    {"note": 2},
    [
        Decided({" abcd": 0.25, "x": 0.25}, 0.5, 0.0),
        Decided({"y": 0.75}, 0.25, 0.0),
        Decided({"雪が": 0.5, "y": 0.125}, 0.25, 0.125),
    ],
)
TREE = "((org/alpha@v1:1,'beta, 7b':2)0.9:0.5,'d_1':3,gamma:0.1);"
SAMPLED = SamplingConfig(n_probes=4, seed=7)
HYBRID = SamplingConfig(n_probes=3, mode="hybrid")


def identity(name: str) -> ModelIdentity:
    """As the golden stores name a model."""
    return ModelIdentity(name, "rev-1", "letters", "float32")


def sampled_cells(name: str) -> dict[str, _reference.Sampled]:
    """A model's alleles, counted the slow way."""
    cells = {}
    for gene, texts in zip(GENOME.genes, SAID[name], strict=True):
        counts: dict[str, int] = {}
        for text in texts:
            allele = _reference.allele(text)
            counts[allele] = counts.get(allele, 0) + 1
        cells[gene] = _reference.Sampled(counts)
    return cells


def similarities() -> np.ndarray:
    """Of the models of `SAID`, sorted, by the oracle."""
    cells = [sampled_cells(name) for name in sorted(SAID)]
    found = [[_reference.nei_similarity(a, b, "plugin") for b in cells] for a in cells]
    values = np.array(found, float)
    np.fill_diagonal(values, 1.0)
    return values


def benchmark() -> tuple[np.ndarray, np.ndarray]:
    """Distances and scores of sixteen models on a line, to fit estimators to."""
    place = (np.arange(16) * 7 % 16) / 16
    return np.abs(place[:, None] - place), 0.2 + 0.6 * place


def write_files(folder: Path) -> None:
    """One of every kind of file."""
    folder.mkdir(parents=True)
    GENOME.save(folder / "genome.jsonl")
    store = SampleStore.open_or_create(folder / "store", GENOME, SAMPLED.to_dict())
    for name, completions in SAID.items():
        store.write(identity(name), Population(completions, {"bos": False}))
    hybrid = SampleStore.open_or_create(folder / "hybrid", GENOME, HYBRID.to_dict())
    hybrid.write(identity("delta"), DECIDED)
    table = pp.AlleleTable.from_store(store)
    table.save(folder / "table.alleles")
    pp.AlleleTable.from_store(hybrid).save(folder / "hybrid.alleles")
    similarity = pp.nei_similarity(table)
    for suffix in ("npz", "npy", "parquet", "csv", "tsv"):
        similarity.save(folder / f"similarity.{suffix}")
        pp.nei_distance(similarity).save(folder / f"distances.{suffix}")
    for suffix in ("nwk", "nex", "xml"):
        pp.Tree.from_newick(TREE).write(folder / f"tree.{suffix}")
    distances, scores = benchmark()
    BenchmarkRegressor(random_state=0).fit(distances, scores).save(folder / "best.npz")
    reference = ReferenceRegressor(n_steps=50, random_state=0).fit(distances, scores)
    reference.save(folder / "reference.npz")
    begin_run(folder)
    predictions = {
        "best": BenchmarkRegressor.load(folder / "best.npz").predict(distances).tolist(),
        "reference": reference.predict(distances).tolist(),
    }
    text = json.dumps(predictions, indent=1) + "\n"
    (folder / "predictions.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write_files(Path(sys.argv[1]))
