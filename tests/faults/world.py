"""What is run under faults: commands on a small world, and what must hold after each."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyphylo as pp
from pyphylo.store import SampleStore

from .zygote import Done, Zygote

__all__ = ["COMMANDS", "Command", "World", "files_below", "make_world"]

GENES = 3
PROBES = 4
_SAMPLED = ("ann", "bob", "cid")


@dataclass(frozen=True)
class Command:
    """A command: its words, given the world's folder, and which paths it writes.

    Attributes
    ----------
    needs : tuple of str
        Commands that must have been run before, undisturbed.
    stores : tuple of str
        Stores that it writes.
    """

    name: str
    words: Callable[[Path], list[str]]
    writes: tuple[str, ...]
    needs: tuple[str, ...] = ()
    stores: tuple[str, ...] = ()


def _sample(root: Path) -> list[str]:
    models = [f"{name}={root.parent / 'models' / name}.json" for name in _SAMPLED]
    return [
        "sample", *models, "--genome", f"{root}/in/genome.jsonl", "--probes", str(PROBES),
        "--backend", "letters", "--store", f"{root}/sampled",
    ]  # fmt: skip


COMMANDS = {
    command.name: command
    for command in (
        Command("sample", _sample, ("sampled",), stores=("sampled",)),
        Command(
            "import",
            lambda root: ["import", f"{root}/in/rows.jsonl", "--store", f"{root}/imported"],
            ("imported",),
            stores=("imported",),
        ),
        Command(
            "distance",
            lambda root: ["distance", f"{root}/sampled", "-o", f"{root}/d.csv"],
            ("d.csv",),
            ("sample",),
        ),
        Command(
            "tree",
            lambda root: ["tree", f"{root}/d.csv", "-o", f"{root}/t.nwk", "--no-pictures"],
            ("t.nwk",),
            ("sample", "distance"),
        ),
        Command(
            "report",
            lambda root: ["report", f"{root}/d.csv", "-o", f"{root}/r.html"],
            ("r.html",),
            ("sample", "distance"),
        ),
    )
}


def make_world(root: Path) -> None:
    """The inputs: models of the backend "letters", a genome, completions."""
    (root / "in").mkdir(parents=True)
    # What the models of the tests read and write for themselves is not what is tested.
    models = root.parent / "models"
    models.mkdir(exist_ok=True)
    for name in _SAMPLED:
        (models / f"{name}.json").write_text(json.dumps({"note": name}))
    genes = [f"g{k}" for k in range(GENES)]
    pp.Genome(genes, [f"prompt {gene}" for gene in genes]).save(root / "in" / "genome.jsonl")
    rows = [
        {"model": model, "gene": gene, "completion": f"{model[(k + probe) % 3]} says"}
        for probe in range(PROBES)
        for model in ("dee", "eve", "fay")
        for k, gene in enumerate(genes)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (root / "in" / "rows.jsonl").write_text(text)


def files_below(path: Path) -> dict[str, bytes]:
    """Every file of a folder by its place in it; of a file itself."""
    if path.is_file():
        return {"": path.read_bytes()}
    return {
        str(each.relative_to(path)): each.read_bytes() for each in path.rglob("*") if each.is_file()
    }


@dataclass
class World:
    """A folder where commands are run, made new for each fault from what was made once."""

    folder: Path
    zygote: Zygote
    _expected: dict[str, dict[str, dict[str, bytes]]] = field(default_factory=dict)

    @property
    def root(self) -> Path:
        return self.folder / "now"

    def fresh(self, command: Command) -> None:
        """The world before a command; made on first use, copied then."""
        kept = self.folder / f"before-{command.name}"
        shutil.rmtree(self.root, ignore_errors=True)
        if not kept.exists():
            make_world(self.root)
            for name in command.needs:
                self.must(COMMANDS[name])
            shutil.copytree(self.root, kept)
            return
        shutil.copytree(kept, self.root)

    def must(self, command: Command) -> Done:
        """Run a command undisturbed; it completes."""
        done = self.zygote.run(command.words(self.root), self.root)
        assert done.code == 0, (command.name, done)
        return done

    def expected(self, command: Command) -> dict[str, dict[str, bytes]]:
        """What an undisturbed run writes."""
        if command.name not in self._expected:
            self.fresh(command)
            self.zygote.warm(command.words(self.root))
            self.fresh(command)
            self.must(command)
            self._expected[command.name] = self.written(command)
        return self._expected[command.name]

    def written(self, command: Command) -> dict[str, dict[str, bytes]]:
        return {name: files_below(self.root / name) for name in command.writes}

    def leftovers(self) -> list[str]:
        """Temporary files and locks that are there."""
        return sorted(
            str(path.relative_to(self.root))
            for path in self.root.rglob("*")
            if path.suffix in (".part", ".lock")
        )

    def check_after_fault(self, command: Command) -> None:
        """Whatever has its name is whole and right; a store that is one opens and reads."""
        expected = self.expected_kept(command)
        for name, files in self.written(command).items():
            for place, data in files.items():
                if place.endswith((".part", ".lock")):
                    continue
                assert data == expected[name][place], f"{name}/{place} is not what it should be"
        for name in command.stores:
            if (self.root / name / "manifest.json").exists():
                store = SampleStore.open(self.root / name)
                assert len(list(store.shards())) == len(store.models)

    def expected_kept(self, command: Command) -> dict[str, dict[str, bytes]]:
        """`expected`, which was asked for before."""
        return self._expected[command.name]

    def check_next_run(self, command: Command) -> list[str]:
        """The same command completes and all is as if nothing had been; what is left over."""
        self.must(command)
        left = self.leftovers()
        expected = self.expected_kept(command)
        for name, files in self.written(command).items():
            whole = {place: data for place, data in files.items() if not place.endswith(".part")}
            assert whole == expected[name], f"{name} is not what an undisturbed run writes"
        return left
