"""What a report is made of: distances, a tree, an allele table, each from where it can be had."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo._compare import some_names
from pyphylo.errors import InputError
from pyphylo.report._metadata import tip_number

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable
    from pyphylo.distance import DistanceMatrix
    from pyphylo.store import SampleStore
    from pyphylo.tree.tree import Tree

__all__ = ["Material", "default_target", "gather"]

_LEAST = 2


@dataclass
class Material:
    """The parts, of the same models.

    Attributes
    ----------
    distances : DistanceMatrix
        In the order of the tree's tips.
    tree : Tree
        Rooted, its tips numbered as they are shown.
    rooted_here : bool
        Whether the root was put in the middle for the sake of the picture.
    table : AlleleTable or None
        Its models as the tips.
    prompts : dict of str to str
        Of the genes that have one.
    store : SampleStore or None
        Where completions are, by which the table was made.
    notes : list of str
        What the reader should know of what was left out.
    """

    distances: DistanceMatrix
    tree: Tree
    rooted_here: bool
    table: AlleleTable | None
    prompts: dict[str, str] = field(default_factory=dict)
    store: SampleStore | None = None
    notes: list[str] = field(default_factory=list)


@dataclass
class _Found:
    """What a folder or a file holds."""

    distances: DistanceMatrix | None = None
    tree: Tree | None = None
    table: AlleleTable | None = None
    prompts: dict[str, str] = field(default_factory=dict)
    store: SampleStore | None = None

    def names(self) -> tuple[str, ...]:
        """Models that may be shown."""
        if self.tree is not None:
            return self.tree.tips
        if self.distances is not None:
            return self.distances.ids
        return () if self.table is None else self.table.models


def gather(
    source: Any,
    *,
    tree: Any = None,
    distances: Any = None,
    store: Any = None,
    similarity: bool = False,
    model: str | None = None,
    alleles: bool = False,
    n_threads: int = 0,
) -> Material:
    """The material of a report; what it must have, a model or alleles, is asked for first.

    Raises
    ------
    InputError
        When a part is not what it should be, fewer than two models are in all of them, or
        `model` is in none, or there are no `alleles` where they are needed.
    """
    found = _look(source, similarity)
    if store is not None:
        _add_store(found, store)
    if distances is not None:
        found.distances = _matrix(distances, similarity)
    if tree is not None:
        found.tree = _read_tree(tree)
    if alleles and found.table is None:
        raise InputError("merges are found by alleles: give a store (or an allele table)")
    if model is not None:
        tip_number(model, found.names())
    if found.distances is None:
        found.distances = _computed(found, n_threads)
    if len(found.distances.ids) < _LEAST:
        raise InputError(
            f"a report needs at least {_LEAST} models, and the distances are of "
            f"{len(found.distances.ids)}: sample or import more"
        )
    return _joined(found, n_threads)


def default_target(source: str | Path) -> Path:
    """Where a report goes by default: into the folder of a run, beside anything else."""
    place = Path(source)
    if place.is_dir() and not _is_store(place):
        return place / "report.html"
    stem = place.stem if place.is_file() else place.resolve().name
    return place.resolve().with_name(f"{stem}.report.html")


def _look(source: Any, similarity: bool) -> _Found:
    from pyphylo.alleles import AlleleTable
    from pyphylo.store import SampleStore

    if isinstance(source, (str, os.PathLike)):
        place = Path(source)
        if place.is_dir() and not _is_store(place):
            return _run_folder(place, similarity)
        if place.is_dir():
            source = SampleStore.open(place)
        elif not place.exists():
            raise InputError(f"{str(source)!r} does not exist: name a folder or a matrix file")
    found = _Found()
    if isinstance(source, SampleStore):
        _add_store(found, source)
    elif isinstance(source, AlleleTable):
        found.table = source
    else:
        found.distances = _matrix(source, similarity)
    return found


def _run_folder(place: Path, similarity: bool) -> _Found:
    """What `pyphylo run` wrote."""
    found = _Found()
    matrix, newick, store = (place / name for name in ("distances.npz", "tree.nwk", "store"))
    if matrix.is_file():
        found.distances = _matrix(matrix, similarity)
    if newick.is_file():
        found.tree = _read_tree(newick)
    if _is_store(store):
        _add_store(found, store)
    if found.distances is None and found.table is None:
        raise InputError(
            f"folder {str(place)!r} holds no store (manifest.json) and no distances.npz: name a "
            "store, the folder of a run, or a matrix file"
        )
    return found


def _is_store(place: Path) -> bool:
    return (place / "manifest.json").is_file()


def _add_store(found: _Found, store: Any) -> None:
    from pyphylo._table_cache import cached_table
    from pyphylo.alleles import AlleleTable
    from pyphylo.store import SampleStore

    if isinstance(store, AlleleTable):
        found.table = store
        return
    if not isinstance(store, SampleStore):
        store = SampleStore.open(store)
    if not store.models:
        raise InputError(
            f"store {str(store.path)!r} holds no model yet: sample some into it first (pyphylo "
            "sample), or import completions (pyphylo import)"
        )
    found.table = cached_table(store)
    found.store = store
    found.prompts = {gene: prompt for gene, prompt in store.genome if prompt}


def _matrix(source: Any, similarity: bool) -> DistanceMatrix:
    from pyphylo.distance import DistanceMatrix, nei_distance
    from pyphylo.similarity import SimilarityMatrix

    if isinstance(source, DistanceMatrix):
        return source
    if not isinstance(source, SimilarityMatrix):
        if not isinstance(source, (str, os.PathLike)):
            raise InputError(
                "a report is made of a folder, a store, a table or a distance matrix, not of "
                f"{type(source).__name__}"
            )
        if not similarity:
            return DistanceMatrix.load(Path(source))
        source = SimilarityMatrix.load(Path(source))
    distances: DistanceMatrix = nei_distance(source)
    return distances


def _read_tree(tree: Any) -> Tree:
    from pyphylo.tree.tree import Tree

    return tree if isinstance(tree, Tree) else Tree.read(tree)


def _computed(found: _Found, n_threads: int) -> DistanceMatrix:
    from pyphylo.distance import nei_distance

    if found.table is None:
        raise InputError("there are no distances and no alleles to compute them from")
    if len(found.table.models) < _LEAST:
        raise InputError(
            f"a report needs at least {_LEAST} models, and there is only "
            f"{found.table.models[0]!r}: sample or import more"
        )
    distances: DistanceMatrix = nei_distance(found.table, n_threads=n_threads)
    return distances


def _joined(found: _Found, n_threads: int) -> Material:
    """Everything brought to the tips of one tree, in its order."""
    from pyphylo.tree.nj import neighbor_joining

    notes: list[str] = []
    distances, tree, table = found.distances, found.tree, found.table
    if distances is None:
        raise InputError("there are no distances")
    if tree is None:
        tree = neighbor_joining(distances, n_threads=n_threads)
    else:
        tree, distances = _agreed(tree, distances, notes)
    rooted_here = not tree.is_rooted and not bool((~(tree.length[:-1] >= 0)).any())
    if rooted_here and tree.n_tips > _LEAST:
        tree = tree.root_at("midpoint")
    tree = tree.ladderize()
    if table is not None:
        here = set(table.models)
        lost = [name for name in tree.tips if name not in here]
        if lost:
            notes.append(
                f"No alleles are shown: {some_names([repr(n) for n in lost[:3]], len(lost))} "
                "of the tree are not in the store."
            )
        table = None if lost else table.select(models=tree.tips)
    store = None if table is None else found.store
    return Material(
        distances.filter(tree.tips), tree, rooted_here, table, found.prompts, store, notes
    )


def _agreed(tree: Tree, distances: DistanceMatrix, notes: list[str]) -> tuple[Tree, DistanceMatrix]:
    """Tree and matrix of the models that both have."""
    tips, ids = set(tree.tips), set(distances.ids)
    common = [name for name in tree.tips if name in ids]
    only_tree = [name for name in tree.tips if name not in ids]
    only_matrix = [name for name in distances.ids if name not in tips]
    if len(common) < _LEAST:
        raise InputError(
            f"tree and matrix share {len(common)} models: the tree has {_some(tree.tips)}, the "
            f"matrix {_some(distances.ids)}; give the tree that was made from this matrix"
        )
    for names, has, lacks in ((only_tree, "tree", "matrix"), (only_matrix, "matrix", "tree")):
        if names:
            notes.append(
                f"Left out: {len(names)} models that the {has} has and the {lacks} lacks "
                f"({_some(names)})."
            )
    return (tree.shear(common) if only_tree else tree), distances


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
