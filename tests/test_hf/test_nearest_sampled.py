"""A checkpoint that a store lacks is sampled as the store was, then compared and placed."""

from __future__ import annotations

import json

import pyphylo as pp
from pyphylo.cli import main


def test_a_checkpoint_is_sampled_then_compared_and_placed(checkpoint, tmp_path, capsys):
    genome = pp.Genome.default().head(6)
    named = {f"m/{kind}": str(checkpoint(kind)) for kind in ("llama", "gpt2", "mistral")}
    store = pp.sample(named, genome, store=tmp_path / "s", n_probes=4, seed=5, device="cpu")
    tree = tmp_path / "t.nwk"
    pp.neighbor_joining(pp.nei_distance(pp.cached_table(store))).write(tree)
    shards = {path: path.stat().st_mtime_ns for path in (store.path / "shards").iterdir()}
    new = f"new={checkpoint('gpt2')}"
    options = ["--store", str(store.path), "--device", "cpu", "--json"]
    assert main(["place", new, "--tree", str(tree), *options]) == 0
    placed = json.loads(capsys.readouterr().out)
    assert (placed["model"], placed["sampled"], placed["tips"]) == ("new", True, 4)
    assert main(["nearest", new, *options]) == 0
    near = json.loads(capsys.readouterr().out)
    assert (near["sampled"], near["models"]) == (False, 4)
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in shards.items())
    assert pp.SampleStore.open(store.path).models == ("m/gpt2", "m/llama", "m/mistral", "new")
    assert pp.cached_table(store) == pp.AlleleTable.from_store(store)
    empty = tmp_path / "empty"
    empty.mkdir()
    assert main(["nearest", str(empty), *options]) == 2
    err = capsys.readouterr().err
    assert "none of the 4 models" in err
    assert "has no config.json" in err
