"""`pyphylo nearest` and `pyphylo place` as their users call them."""

from __future__ import annotations

import json
import sys
import types
from typing import ClassVar

import numpy as np
import pytest

import pyphylo as pp
from pyphylo._table_cache import cache_path
from pyphylo.cli import main
from pyphylo.errors import InputError, WorkError
from pyphylo.sampling import registry
from pyphylo.sampling.base import ModelIdentity, Population, SamplingConfig

GENES = [f"g{i}" for i in range(24)]
CONFIG = SamplingConfig(n_probes=6)
KIN = {"a": 1, "b": 1, "c": 2, "d": 2, "e, é": 3}


def answers(name, group):
    """What a model of a family says: mostly what its family does."""
    rng = np.random.default_rng([group, *name.encode()])
    family = np.random.default_rng(group)
    common = family.integers(0, 9, len(GENES))
    return [
        [str(common[g] if rng.random() < 0.7 else rng.integers(0, 9)) for _ in range(6)]
        for g in range(len(GENES))
    ]


class Toy:
    """A model that is a digit: its family."""

    sampled: ClassVar[list[str]] = []

    def __init__(self, name, spec, **options):
        if spec == "unreachable":
            raise WorkError("the hub cannot be reached")
        if not spec.isdigit():
            raise InputError(f"model {spec!r}: no file or folder of that name here")
        self.group = int(spec)
        self.identity = ModelIdentity(name, spec, "toy", "float32")

    def sample(self, genome, config, progress=None):
        Toy.sampled.append(self.identity.name)
        assert config == CONFIG
        return Population(answers(self.identity.name, self.group))

    def close(self):
        """Nothing is held."""


@pytest.fixture(autouse=True)
def toy(monkeypatch):
    module = types.ModuleType("toy_backend")
    module.Toy = Toy
    monkeypatch.setitem(sys.modules, "toy_backend", module)
    monkeypatch.setitem(registry._BACKENDS, "toy", "toy_backend:Toy")
    monkeypatch.setattr(Toy, "sampled", [])


@pytest.fixture
def store(tmp_path):
    genome = pp.Genome(GENES, [f"prompt {g}" for g in GENES])
    made = pp.SampleStore.open_or_create(tmp_path / "store", genome, CONFIG.to_dict())
    for name, group in KIN.items():
        made.write(ModelIdentity(name, "r", "toy", "float32"), Population(answers(name, group)))
    return made


@pytest.fixture
def tree(store, tmp_path):
    path = tmp_path / "tree.nwk"
    D = pp.nei_distance(pp.AlleleTable.from_store(store))
    pp.neighbor_joining(D.filter(["b", "c", "d", "e, é"])).write(path)
    return path


def call(capsys, *argv):
    """Exit code, stdout, stderr."""
    code = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return code, out, err


def call_json(capsys, *argv):
    code, out, err = call(capsys, *argv, "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def refused(capsys, *argv):
    code, out, err = call(capsys, *argv)
    assert (code, out) == (2, "")
    assert err.startswith("pyphylo: error: ")
    assert err.count("\n") == 1
    return err


def test_nearest_of_a_stored_model(capsys, store):
    data = call_json(capsys, "nearest", "a", "--store", store.path)
    expected = pp.nearest("a", pp.AlleleTable.from_store(store))
    assert data["nearest"] == expected.to_dict("records")
    assert data["nearest"][0]["model"] == "b"
    assert (data["model"], data["sampled"], data["models"]) == ("a", False, 5)
    assert cache_path(store).is_file()
    code, out, err = call(capsys, "nearest", "a", "--store", store.path, "-k", 2)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "2 of 4 models, by their distance to a:"
    assert lines[1].split() == ["model", "similarity", "distance", "error", "lower", "upper"]
    assert lines[2].startswith("b ")
    assert len(lines) == 4
    assert len({len(line) for line in lines[1:]}) == 1
    unbiased = call_json(
        capsys, "nearest", "a", "--store", store.path, "--estimator", "unbiased", "--chars", 2
    )
    table = pp.AlleleTable.from_store(store, pp.AlleleRule(chars=2))
    records = pp.nearest("a", table, estimator="unbiased").to_dict("records")
    assert unbiased["nearest"] == records


def test_nearest_of_a_model_that_is_sampled_first(capsys, store):
    argv = ["nearest", "new=2", "--store", store.path, "--backend", "toy"]
    data = call_json(capsys, *argv)
    assert (data["model"], data["sampled"], data["models"]) == ("new", True, 6)
    assert {row["model"] for row in data["nearest"][:2]} == {"c", "d"}
    assert Toy.sampled == ["new"]
    assert "new" in store.models
    for again in (argv, ["nearest", "new", "--store", store.path]):
        second = call_json(capsys, *again)
        assert second == {**data, "sampled": False}
    assert Toy.sampled == ["new"]


def test_errors_that_are_unknown_are_null(capsys, tmp_path):
    store = pp.SampleStore.open_or_create(
        tmp_path / "s", pp.Genome(["g"], [None]), {"mode": "import"}
    )
    for name in "ab":
        store.write(ModelIdentity(name, "r", "e", "d"), Population([["x", "y"]]))
    (row,) = call_json(capsys, "nearest", "a", "--store", store.path)["nearest"]
    assert (row["error"], row["lower"], row["similarity"]) == (None, None, 1.0)
    err = refused(capsys, "nearest", "c", "--store", store.path)
    assert "'c' is none of the 2 models" in err
    assert "cannot be sampled: the store was imported" in err


def test_neither_in_the_store_nor_a_model(capsys, store, tree):
    for command in (["nearest"], ["place", "--tree", tree]):
        for bad, why in (("e, è", "no file or folder"), ("unreachable", "cannot be reached")):
            err = refused(capsys, *command, bad, "--store", store.path, "--backend", "toy")
            assert f"{bad!r} is none of the 5 models of store" in err
            assert "nor can it be sampled" in err
            assert why in err
        err = refused(capsys, *command, "e, è", "--store", store.path, "--backend", "toy")
        assert "did you mean 'e, é'" in err
        # The name is taken by another model.
        err = refused(capsys, *command, "a=2", "--store", store.path, "--backend", "toy")
        assert "holds model 'a' with revision 'r'" in err
    assert store.models == tuple(sorted(KIN))


def test_place_writes_the_tree(capsys, store, tree, tmp_path):
    out = tmp_path / "placed.nwk"
    argv = ["place", "a", "--store", store.path, "--tree", tree, "--seed", 3, "--replicates", 50]
    data = call_json(capsys, *argv, "-o", out)
    table = pp.AlleleTable.from_store(store)
    placed = pp.place("a", table, pp.Tree.read(tree), n=50, seed=3)
    assert pp.Tree.read(out) == placed.tree
    assert placed.tree.is_monophyletic(["a", "b"])
    assert (data["tree"], data["tips"], data["replicates"]) == (str(out), 5, 50)
    assert (data["node"], data["support"]) == (placed.node, placed.support)
    assert data["clade"] == list(placed.clade) == ["b"]
    assert len(data["candidates"]) == len(placed.candidates) == 5
    assert {key: data["candidates"][0][key] for key in ("residual", "ratio")} == {
        "residual": placed.residual,
        "ratio": placed.best.ratio,
    }
    shown = call_json(capsys, *argv)
    assert pp.Tree.from_newick(shown["newick"]) == placed.tree
    code, text, err = call(capsys, *argv, "-o", out)
    assert (code, err) == (0, "")
    assert text.startswith("a hangs on the branch of b,\n")
    assert f"support {placed.support:.2f} for this branch" in text
    assert text.endswith(f"a tree of 5 models in {out}\n")
    assert len(text.split("\n\n")[1].splitlines()) == 6


def test_place_a_model_that_is_sampled_first(capsys, store, tree, tmp_path):
    data = call_json(
        capsys, "place", "new=2", "--store", store.path, "--tree", tree, "--backend", "toy"
    )
    assert (data["sampled"], data["model"]) == (True, "new")
    assert set(data["clade"]) <= {"c", "d"}
    assert "newick" in data
    # A tip that the store lacks is refused before anything is sampled.
    strange = tmp_path / "strange.nwk"
    strange.write_text("(a:1,b:1,zz:1);")
    argv = ["--store", store.path, "--tree", strange, "--backend", "toy"]
    assert "no data of the tip 'zz'" in refused(capsys, "place", "newer=2", *argv)
    assert Toy.sampled == ["new"]


def test_a_model_that_is_a_tip(capsys, store, tree):
    argv = ["--store", store.path, "--tree", tree]
    assert "--again takes it out" in refused(capsys, "place", "c", *argv)
    assert "'a' is no tip" in refused(capsys, "place", "a", *argv, "--again")
    data = call_json(capsys, "place", "c", *argv, "--again")
    given = pp.Tree.read(tree)
    again = pp.Tree.from_newick(data["newick"])
    assert data["as_before"] == (again.robinson_foulds(given) == 0)
    assert again.is_monophyletic(["c", "d"])
    _, text, _ = call(capsys, "place", "c", *argv, "--again", "--replicates", 0)
    assert ("\nwhere it was\n" in text) == data["as_before"]
    assert "support 0" not in text.split("\n\n")[0]
    two = tree.with_name("two.nwk")
    two.write_text("(a:1,b:1);")
    err = refused(capsys, "place", "a", "--store", store.path, "--tree", two, "--again")
    assert "no branch is left" in err


def test_wrong_calls(capsys, store, tree, tmp_path):
    assert "does not exist" in refused(capsys, "nearest", "a", "--store", tmp_path / "no")
    argv = ["place", "a", "--store", store.path, "--tree", tree]
    missing = tmp_path / "no" / "x.nwk"
    assert "its folder does not exist" in refused(capsys, *argv, "-o", missing)
    tree.write_text("(b:1,c,d:1);")
    assert "all branch lengths" in refused(capsys, *argv)
    tree.write_text("(b:1,c")
    assert "tree.nwk" in refused(capsys, *argv)
    err = refused(capsys, "nearest", "a", "--store", store.path, "--chars", 9)
    assert "alleles of 9 need a new store" in err
    for argv in (["nearest", "a"], ["place", "a", "--store", store.path]):
        with pytest.raises(SystemExit) as stop:
            main([str(word) for word in argv])
        assert stop.value.code == 2
        assert "required" in capsys.readouterr().err


def test_a_damaged_table_is_told_once(capsys, store):
    call_json(capsys, "nearest", "a", "--store", store.path)
    cache_path(store).write_bytes(b"PHYLOTBL")
    code, _, err = call(capsys, "nearest", "a", "--store", store.path)
    assert code == 0
    assert err.count("\n") == 1
    assert "made anew" in err
    assert call_json(capsys, "nearest", "a", "--store", store.path)["models"] == 5
