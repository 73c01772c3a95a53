"""The whole way in one call: sample, count, measure, join, draw."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo._files import atomic_write_bytes
from pyphylo._formats import check_format_version
from pyphylo._version import __version__
from pyphylo.errors import InputError, PyphyloWarning, WorkError

if TYPE_CHECKING:
    from pyphylo.distance import DistanceMatrix
    from pyphylo.genome import Genome
    from pyphylo.similarity import SimilarityMatrix
    from pyphylo.store import SampleStore
    from pyphylo.tree.tree import Tree

__all__ = [
    "RunResult",
    "begin_run",
    "check_run_folder",
    "draw_pictures",
    "finish_run",
    "picture_paths",
    "run",
    "warn_of_unused",
]

_FORMAT = "pyphylo-run"
_VERSION = 1


@dataclass(frozen=True)
class RunResult:
    """What a run made.

    Attributes
    ----------
    store : SampleStore
    similarity : SimilarityMatrix
    distances : DistanceMatrix
    tree : Tree
        Unrooted.
    files : list of Path
        Every file and folder written, in the order of the work.
    """

    store: SampleStore
    similarity: SimilarityMatrix
    distances: DistanceMatrix
    tree: Tree
    files: list[Path]


def run(
    models: Iterable[str] | Mapping[str, str],
    out: str | Path,
    genome: Genome | None = None,
    *,
    families: Mapping[str, str] | None = None,
    estimator: str = "plugin",
    n_threads: int = 0,
    **sampling: Any,
) -> RunResult:
    """Sample models and draw their tree.

    Parameters
    ----------
    models, genome
        As `pyphylo.sample` takes them.
    out : path
        A folder: absent, empty, or of an earlier run, which is resumed.
    families : mapping of name to family, optional
        Colours the pictures.
    estimator, n_threads
        As `pyphylo.nei_similarity` takes them.
    **sampling
        Passed to `pyphylo.sample`.

    Returns
    -------
    RunResult

    Raises
    ------
    WorkError
        When models could not be sampled: at once with ``strict=True``, else after the
        tree of the others is made.
    """
    from pyphylo.genome import Genome
    from pyphylo.sampling.registry import takes_names_verbatim
    from pyphylo.sampling.scheduler import SamplingError, sample
    from pyphylo.sampling.specs import expand_models

    folder = check_run_folder(out)
    genome = Genome.default() if genome is None else genome
    verbatim = takes_names_verbatim(sampling.get("backend", "hf"))
    named = expand_models(models, verbatim=verbatim)
    if len(named) < 2:
        raise InputError(f"a tree needs at least two models, not {len(named)}")
    failed = None
    try:
        store = sample(named, genome, store=folder / "store", **sampling)
    except SamplingError as error:
        failed, store = error, error.store
    left = tuple(m.name for m in named if failed is None or m.name not in failed.failures)
    if failed is not None and (sampling.get("strict") or len(left) < 2):
        raise failed
    result = finish_run(
        store, left, folder, families=families, estimator=estimator, n_threads=n_threads
    )
    if failed is not None:
        raise WorkError(f"{failed}; the tree in {str(out)!r} is of the other {len(left)}")
    return result


def check_run_folder(out: str | Path) -> Path:
    """The folder, refused where it holds something that is not a run of ours."""
    from pyphylo._storage import is_address

    if is_address(out):
        raise InputError(
            f"--out names a folder, not the address {str(out)!r}: only a store may be at one"
        )
    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{str(out)!r} is a file; --out names a folder")
    if not folder.is_dir():
        return folder
    # Files of these names are not the caller's choice: what is linked there may be anyone's.
    ours = [folder / name for name in ("genome.jsonl", "distances.npz", "tree.nwk", "run.json")]
    for path in ours + picture_paths(folder / "tree", folder / "heatmap"):
        if path.is_symlink():
            raise InputError(f"{str(path)!r} is a link, which is not followed: remove it")
    names = {entry.name for entry in folder.iterdir()}
    # A killed run may have got no further than its store, with its log and its tables beside it.
    foreign_names = {name for name in names if name != "store" and not name.startswith("store.")}
    if "run.json" in names:
        _check_summary(folder / "run.json")
        return folder
    if not foreign_names:
        return folder
    foreign = min(foreign_names)
    raise InputError(
        f"folder {str(out)!r} is not empty and not of an earlier run (it holds {foreign!r}); "
        "name another folder"
    )


def _check_summary(path: Path) -> None:
    """Refuse to work on in the folder of another program's run, or of a newer pyphylo's."""
    try:
        summary = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        summary = None
    if not isinstance(summary, dict) or summary.get("format") != _FORMAT:
        raise InputError(
            f"folder {str(path.parent)!r} is not of an earlier run: its run.json is not "
            "pyphylo's; name another folder"
        )
    check_format_version(f"run {str(path)!r}", summary.get("version"), (_VERSION,))


def begin_run(folder: Path) -> dict[str, Any]:
    """Mark a folder as ours, so that the run can be resumed; what ``run.json`` says so far."""
    summary = {"format": _FORMAT, "version": _VERSION, "pyphylo": __version__, "finished": False}
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write_bytes(folder / "run.json", _json_bytes(summary))
    return summary


def finish_run(
    store: SampleStore,
    names: tuple[str, ...],
    folder: Path,
    *,
    families: Mapping[str, str] | None = None,
    estimator: str = "plugin",
    n_threads: int = 0,
) -> RunResult:
    """From a store to distances, tree and pictures of the given models."""
    from pyphylo.alleles import AlleleTable
    from pyphylo.distance import nei_distance
    from pyphylo.similarity import nei_similarity
    from pyphylo.tree.nj import neighbor_joining

    summary = begin_run(folder)
    store.genome.save(folder / "genome.jsonl")
    table = AlleleTable.from_store(store).select(models=names)
    similarity = nei_similarity(table, estimator=estimator, n_threads=n_threads)
    distances = nei_distance(similarity)
    distances.save(folder / "distances.npz")
    tree = neighbor_joining(distances, n_threads=n_threads)
    tree.write(folder / "tree.nwk")
    pictures = draw_pictures(tree, similarity, families, folder / "tree", folder / "heatmap")
    summary |= {
        "finished": True,
        "models": {name: table.provenance["models"][name] for name in names},
        "genome": store.genome.digest,
        "sampling": store.config,
        "estimator": estimator,
        "tree": tree.newick(),
        "mean_similarity": _mean_off_diagonal(similarity.values),
    }
    atomic_write_bytes(folder / "run.json", _json_bytes(summary))
    made = ["genome.jsonl", "store", "distances.npz", "tree.nwk"]
    files = [folder / name for name in made] + pictures + [folder / "run.json"]
    return RunResult(store, similarity, distances, tree, files)


def draw_pictures(
    tree: Tree,
    similarity: SimilarityMatrix,
    families: Mapping[str, str] | None,
    tree_stem: Path,
    heatmap_stem: Path,
) -> list[Path]:
    """The tree, rectangular (midpoint-rooted) and unrooted, and the heat map, as SVG and PNG.

    Files are ``STEM.svg``, ``STEM.png``, ``STEM_unrooted.svg`` … and
    ``HEATMAP.svg`` …. A tree with named ancestors keeps its root, which may be one of them;
    in the heat map they are models like others.
    """
    from pyphylo.plot import heatmap_figure, save_figure, tree_figure
    from pyphylo.tree.ancestors import ancestors_as_tips

    rooted = tree if tree.is_rooted or any(tree.labels) else tree.root_at("midpoint")
    rooted = rooted.ladderize()
    unrooted_stem = tree_stem.with_name(tree_stem.name + "_unrooted")
    figures = [
        (tree_figure(rooted, layout="rectangular", families=families), tree_stem),
        (tree_figure(tree, layout="unrooted", families=families), unrooted_stem),
        (
            heatmap_figure(similarity, order=ancestors_as_tips(rooted), families=families),
            heatmap_stem,
        ),
    ]
    return [path for figure, stem in figures for path in save_figure(figure, stem)]


def picture_paths(tree_stem: Path, heatmap_stem: Path) -> list[Path]:
    """The files that `draw_pictures` writes."""
    stems = [tree_stem, tree_stem.with_name(tree_stem.name + "_unrooted"), heatmap_stem]
    return [stem.with_name(f"{stem.name}.{suffix}") for stem in stems for suffix in ("svg", "png")]


def warn_of_unused(families: Iterable[str], names: Iterable[str], path: str) -> None:
    """Say so when metadata name none of the models, or one by a name that is close to it."""
    import warnings

    from pyphylo.io.metadata import warn_of_misnamed

    if set(families) & set(names):
        warn_of_misnamed(families, names, repr(path))
    else:
        warnings.warn(
            f"{path!r} gives no family of any of these models: check the column 'model'",
            PyphyloWarning,
            stacklevel=2,
        )


def _mean_off_diagonal(values: Any) -> float:
    n = len(values)
    return float((np.nansum(values) - n) / max(1, n * (n - 1)))


def _json_bytes(value: object) -> bytes:
    text = json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1)
    return (text + "\n").encode("utf-8", "backslashreplace")
