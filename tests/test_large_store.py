"""Stores of many models: opening costs nothing a model, and the table the same for each."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

import pyphylo as pp
from pyphylo.sampling.base import ModelIdentity, Population, SamplingConfig
from pyphylo.simulate import simulate_table
from pyphylo.store import SampleStore

PROBES = 32


def simulated(folder: Path, models: int, genes: int, seed: int = 0) -> pp.AlleleTable:
    """Write a store whose populations are simulated; the table that it must give."""
    table = simulate_table(models, genes, PROBES, seed=seed)
    genome = pp.Genome(table.genes, [f"prompt {name}" for name in table.genes])
    store = SampleStore.open_or_create(folder, genome, SamplingConfig(n_probes=PROBES).to_dict())
    frame = table.to_frame()
    places = {name: k for k, name in enumerate(table.genes)}
    texts = np.repeat(frame["allele"].to_numpy(object), frame["count"])
    cells = np.repeat(frame["gene"].map(places).to_numpy(), frame["count"])
    owners = np.repeat(frame["model"].to_numpy(object), frame["count"])
    begins = np.flatnonzero(np.r_[True, owners[1:] != owners[:-1]])
    for begin, end in zip(begins, [*begins[1:], len(owners)], strict=True):
        rows = texts[begin:end][np.argsort(cells[begin:end], kind="stable")]
        identity = ModelIdentity(owners[begin], "r", "simulated", "float32")
        store.write(identity, Population(rows.reshape(genes, PROBES).tolist()))
    return table.select(models=sorted(table.models))


class Operations:
    """Calls that the interpreter makes while a block runs, the built-in functions' among them."""

    def __init__(self) -> None:
        self.count = 0

    def _note(self, frame: object, event: str, argument: object) -> None:
        self.count += event in ("call", "c_call")

    def __enter__(self) -> Operations:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)


def counted(folder: Path, expected: pp.AlleleTable) -> tuple[int, int]:
    """Operations of opening a store, and of building its table."""
    with Operations() as opening:
        store = SampleStore.open(folder)
    with Operations() as building:
        table = pp.AlleleTable.from_store(store)
    assert table == expected
    return opening.count, building.count


def test_the_cost_of_a_model_does_not_grow_with_their_number(tmp_path, monkeypatch):
    sizes = (40, 80, 240)
    expected = {size: simulated(tmp_path / str(size), size, 3) for size in sizes}
    counted(tmp_path / "40", expected[40])  # whatever is imported or compiled on first use
    opened: list[str] = []
    read = SampleStore._read_shard

    def noted(self: SampleStore, path: Path | str, source: object, **options: object) -> object:
        opened.append(Path(path).name)
        return read(self, path, source, **options)

    monkeypatch.setattr(SampleStore, "_read_shard", noted)
    costs = {}
    for size in sizes:
        opened.clear()
        costs[size] = counted(tmp_path / str(size), expected[size])
        assert len(opened) == len(set(opened)) == size
    openings = [opening for opening, _ in costs.values()]
    assert len(set(openings)) == 1
    few, many = ((costs[b][1] - costs[a][1]) / (b - a) for a, b in ((40, 80), (80, 240)))
    assert many == pytest.approx(few, rel=0.05)


@pytest.mark.slow
def test_two_thousand_models(tmp_path):
    expected = simulated(tmp_path / "store", 2000, 128)
    begin = time.process_time()  # not the clock's, which other processes take from
    store = SampleStore.open(tmp_path / "store")
    table = pp.AlleleTable.from_store(store)
    seconds = time.process_time() - begin
    assert table == expected
    assert len(table.models) == 2000
    assert seconds < 5
