"""A family of language models whose tree is known, because it was bred along it."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pyphylo._files import atomic_write_bytes
from pyphylo._version import __version__
from pyphylo.demo.plan import FAMILIES, Budget, Node, breeding_plan, tip_names, true_tree
from pyphylo.demo.text import passages
from pyphylo.errors import FileFormatError, InputError
from pyphylo.genome import Genome
from pyphylo.tree.tree import Tree

__all__ = ["Family", "breed", "recovered_clades"]

_GENES = 128

_HELD_OUT = 8
"""Of every so many passages of a kind, the last is kept from training, for the genome."""

_PROVENANCE = "provenance.json"
"""Written into a model's folder when all else is there: a folder without it is not finished."""


@dataclass(frozen=True)
class Family:
    """What `breed` leaves.

    Parameters
    ----------
    models : mapping of str to Path
        Each tip's folder, which transformers can load.
    families : mapping of str to str
        Each tip's family.
    tree : Tree
        The true tree: its root is the base, its branch lengths are training steps.
    genome : Genome
        128 prompts cut from text of the kinds that the models learnt from, but from
        passages that none of them saw.
    """

    models: Mapping[str, Path]
    families: Mapping[str, str]
    tree: Tree
    genome: Genome


def breed(
    out: str | Path,
    *,
    seed: int = 0,
    budget: Budget | None = None,
    families: Mapping[str, tuple[str, tuple[str, ...]]] = FAMILIES,
    progress: Callable[[int], object] | None = None,
) -> Family:
    """Train a family of small language models on text that Python carries.

    Nothing is downloaded. Tips go to ``out/models`` and their ancestors to
    ``out/ancestors`` (some 2 MB each), the true tree to ``out/true.nwk`` and the tips'
    families to ``out/metadata.csv``. A model that an earlier call finished is not
    trained again, so the same call continues one that was killed.

    Parameters
    ----------
    out : str or Path
        A folder; made if need be.
    seed : int
        Fixes weights, batches and genome, for one machine.
    budget : Budget, optional
    families : mapping
        As `FAMILIES`.
    progress : callable, optional
        Called with the number of steps finished since the last call; steps of
        earlier calls count too. By default there is a bar on stderr if it is a
        terminal.

    Returns
    -------
    Family

    Raises
    ------
    InputError
        When `out` cannot be a folder, or holds models bred in another way (another seed,
        budget, version of Python); nothing has been changed then.
    WorkError
        When this Python lacks text that the models learn from.
    """
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0, not {seed!r}")
    try:
        Path(out).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{str(out)!r} cannot be a folder of models: {error.strerror}") from None
    budget = budget or Budget()
    plan = breeding_plan(budget, families)
    texts = {kind: passages(kind) for kind, _ in plan[0].texts}
    nursery = _Nursery(Path(out), plan, texts, seed, budget.length)
    nursery.raise_all(progress)
    family_of = {node.name: node.family for node in plan}
    tips = {tip: family_of[tip] for tip in tip_names(plan)}
    tree = true_tree(plan)
    tree.write(Path(out) / "true.nwk")
    atomic_write_bytes(Path(out) / "metadata.csv", _metadata(tips))
    models = {tip: nursery.folder(tip) for tip in tips}
    return Family(models, tips, tree, _genome(texts, seed))


def recovered_clades(true: Tree, found: Tree) -> tuple[int, int]:
    """How many clades of the true tree another tree has.

    Parameters
    ----------
    true, found : Tree
        Of the same tips. Roots do not count.

    Returns
    -------
    n_found, n_true : int
        Branches of the true tree that part at least two tips from two others: those
        that the other tree has too, and all.

    Raises
    ------
    InputError
        When the tips differ.
    """
    strange = sorted(set(true.tips) ^ set(found.tips))
    if strange:
        raise InputError(f"the two trees differ in their tips: only one has {strange[0]!r}")
    clades = true.bipartitions()
    return len(clades & found.bipartitions()), len(clades)


class _Nursery:
    """A plan's models in a folder.

    Invariant: a model whose folder holds its provenance is complete, and was made
    as its recipe says, from a parent of which the same was true.
    """

    def __init__(
        self,
        out: Path,
        plan: Sequence[Node],
        texts: Mapping[str, list[str]],
        seed: int,
        length: int,
    ) -> None:
        self._out = out
        self._plan = plan
        self._texts = texts
        self._seed = seed
        self._length = length
        self._tips = frozenset(tip_names(plan))
        self._recipes = self._write_recipes()

    def folder(self, name: str) -> Path:
        """Where a model is kept."""
        return self._out / ("models" if name in self._tips else "ancestors") / name

    def raise_all(self, progress: Callable[[int], object] | None) -> None:
        """Train what is not finished, parents first."""
        waiting = [node for node in self._plan if not self._is_finished(node)]
        total = sum(node.steps for node in self._plan)
        hidden = True if progress else None
        with tqdm(total=total, desc="training", unit="step", disable=hidden) as bar:
            step = progress or bar.update
            step(total - sum(node.steps for node in waiting))
            if waiting:
                self._train(waiting, step)

    def _train(self, waiting: Sequence[Node], progress: Callable[[int], object]) -> None:
        from pyphylo.demo import train

        learnt = {
            kind: [piece for i, piece in enumerate(pieces) if not _is_held_out(i)]
            for kind, pieces in self._texts.items()
        }
        tokenizer = train.train_tokenizer(piece for pieces in learnt.values() for piece in pieces)
        tokens = {kind: train.encode(tokenizer, pieces) for kind, pieces in learnt.items()}

        for generation in _generations(waiting):
            self._train_generation(generation, tokenizer, tokens, progress)

    def _train_generation(
        self,
        nodes: Sequence[Node],
        tokenizer: Any,
        tokens: Mapping[str, Any],
        progress: Callable[[int], object],
    ) -> None:
        """Train models that do not wait for each other."""
        from pyphylo.demo import train

        # transformers loads through state of the whole process: one after the other.
        models = {node: self._newborn(node, len(tokenizer)) for node in nodes}

        def raise_one(node: Node, step: Callable[[int], object]) -> None:
            mix = [(tokens[kind], count) for kind, count in node.texts]
            seed = _derived_seed(self._seed, node.name)
            train.train(models[node], mix, node.steps, node.rate, self._length, seed, step)

        for node in train.side_by_side(nodes, raise_one, progress):
            self._keep(node, models.pop(node), tokenizer)

    def _newborn(self, node: Node, vocabulary: int) -> Any:
        """A model as its training begins: its parent, or random weights."""
        from pyphylo.demo import train

        if node.parent is None:
            return train.new_model(vocabulary, _derived_seed(self._seed, node.name))
        return train.load_model(self.folder(node.parent))

    def _keep(self, node: Node, model: Any, tokenizer: Any) -> None:
        """Save a finished model, its provenance last."""
        from pyphylo.demo import train

        folder = self.folder(node.name)
        folder.mkdir(parents=True, exist_ok=True)
        train.save_model(folder, model, tokenizer)
        note = {"pyphylo": __version__, "recipe": self._recipes[node.name]}
        atomic_write_bytes(folder / _PROVENANCE, _json(note))

    def _write_recipes(self) -> dict[str, dict[str, Any]]:
        """How each model is made; its parent's recipe is part of it, by digest."""
        text = _digest(self._texts)
        recipes: dict[str, dict[str, Any]] = {}
        for node in self._plan:
            recipes[node.name] = {
                "seed": self._seed,
                "length": self._length,
                "text": text,
                "node": asdict(node),
                "ancestry": None if node.parent is None else _digest(recipes[node.parent]),
            }
        return recipes

    def _is_finished(self, node: Node) -> bool:
        """Whether a model is there already; one that was made otherwise is refused."""
        path = self.folder(node.name) / _PROVENANCE
        if not path.is_file():
            return False
        try:
            found = dict(json.loads(path.read_bytes())["recipe"])
        except (ValueError, KeyError, TypeError):
            raise FileFormatError(
                f"{path} does not say how a model was made: remove the folder it is in"
            ) from None
        recipe = json.loads(_json(self._recipes[node.name]))
        if found == recipe:
            return True
        differing = [key for key in recipe if found.get(key) != recipe[key]]
        raise InputError(
            f"{str(path.parent)!r} holds a model that was made otherwise "
            f"(not the same {' and '.join(differing)}): give another folder, or remove this one"
        )


def _generations(nodes: Sequence[Node]) -> list[list[Node]]:
    """Nodes in groups, each after the group that holds its parent."""
    depth: dict[str | None, int] = {}
    groups: dict[int, list[Node]] = {}
    for node in nodes:  # parents come first
        depth[node.name] = depth.get(node.parent, -1) + 1
        groups.setdefault(depth[node.name], []).append(node)
    return [groups[level] for level in sorted(groups)]


def _is_held_out(passage: int) -> bool:
    return passage % _HELD_OUT == _HELD_OUT - 1


def _genome(texts: Mapping[str, list[str]], seed: int) -> Genome:
    """The starts of passages that were held out, of each kind about as many."""
    share = 5 * _GENES // (4 * len(texts)) + 1
    held_out = (
        [piece for i, piece in enumerate(pieces) if _is_held_out(i)][:share]
        for pieces in texts.values()
    )
    return Genome.from_texts((piece for pieces in held_out for piece in pieces), _GENES, seed=seed)


def _metadata(families: Mapping[str, str]) -> bytes:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("model", "family"))
    rows.writerows(families.items())
    return text.getvalue().encode()


def _derived_seed(seed: int, name: str) -> int:
    """A model's own seed, so that no two models draw the same batches."""
    return int.from_bytes(hashlib.blake2b(_json([seed, name]), digest_size=7).digest(), "big")


def _digest(value: object) -> str:
    return hashlib.sha256(_json(value)).hexdigest()


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True).encode("ascii")
