"""`write_report`: the parts of a report worked out, and the page written."""

from __future__ import annotations

import inspect
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import numpy as np

from pyphylo._files import atomic_write_bytes, check_target
from pyphylo._version import __version__
from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.report._columns import columns_of
from pyphylo.report._inputs import Material, gather
from pyphylo.report._limits import counts_chance, limits
from pyphylo.report._merges import UNASKED, merge_tests
from pyphylo.report._metadata import (
    Rows,
    column_number,
    headings_of,
    metadata_notes,
    metadata_rows,
    tip_number,
)
from pyphylo.report._numbers import classical_scaling, heat_map, nearest, packed, rounded
from pyphylo.report._page import assemble
from pyphylo.report._parents import parents
from pyphylo.report._runs import runs_shown
from pyphylo.report._scores import scores_shown
from pyphylo.report._umap import check_umap, map_if_wanted

__all__ = ["report_html", "write_report"]

_NEAREST = 15
"""Relatives of each model that the page knows."""

_BESIDE = 3
"""Relatives whose alleles are shown beside a model's."""

_DAYLIGHT = 800
"""Most tips of which the unrooted tree is laid out by equal daylight; above, equal angles."""

_WORDS = 1000
"""Most models of which completions are looked up."""

_Options = ParamSpec("_Options")


def report_html(
    source: Any,
    *,
    tree: Any = None,
    distances: Any = None,
    store: Any = None,
    metadata: Any = None,
    scores: Any = None,
    unit: str | None = None,
    similarity: bool = False,
    title: str | None = None,
    umap: bool | None = None,
    merges: bool | None = None,
    color_by: str | None = None,
    model: str | None = None,
    n_threads: int = 0,
) -> str:
    """The page that `write_report` writes, as text; what it takes and raises is described there."""
    if umap:
        check_umap()
    if scores is not None:
        _check_scores(scores)
    rows = {} if metadata is None else metadata_rows(metadata)
    if color_by is not None:
        column_number(color_by, headings_of(rows))
    found = gather(
        source,
        tree=tree,
        distances=distances,
        store=store,
        similarity=similarity,
        model=model,
        alleles=bool(merges),
        n_threads=n_threads,
    )
    tips = found.tree.tips
    found.notes.extend(metadata_notes(rows, tips))
    columns = columns_of(rows, tips)
    start = {
        "column": None
        if color_by is None
        else column_number(color_by, [column["name"] for column in columns]),
        "tip": None if model is None else tip_number(model, tips),
    }
    title = title or f"Family tree of {found.tree.n_tips:,} language models"
    payload = _payload(found, title) | {"columns": columns, "start": start}
    if found.table is not None:
        _add_alleles(payload, found, rows, merges)
    if any("base_model" in row for row in rows.values()):
        payload["parents"] = parents(found, rows)
    if runs := runs_shown(found, rows):
        payload["runs"] = runs
    if (places := map_if_wanted(found, umap)) is not None:
        payload["map"]["umap"] = packed(places.astype(np.float32))
    if scores is not None and (shown := scores_shown(found, scores, rows, unit)) is not None:
        payload["scores"] = shown | {"level": _score_level()}
    for note in found.notes:
        warnings.warn(note, PyphyloWarning, stacklevel=_callers_level())
    return assemble(payload, title)


def _to_file(
    make: Callable[Concatenate[Any, _Options], str],
) -> Callable[
    [Callable[..., Path]], Callable[Concatenate[Any, str | os.PathLike[str], _Options], Path]
]:
    """A function of source, path and the options of `make`, which are listed there alone."""
    source, *options = inspect.signature(make).parameters.values()
    path = inspect.Parameter("path", source.kind, annotation="str | os.PathLike[str]")

    def like(
        write: Callable[..., Path],
    ) -> Callable[Concatenate[Any, str | os.PathLike[str], _Options], Path]:
        write.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
            [source, path, *options], return_annotation="Path"
        )
        return write

    return like


@_to_file(report_html)
def write_report(source: Any, path: str | os.PathLike[str], **options: Any) -> Path:
    """Write one HTML file that shows a tree, its distances and its models.

    The file needs nothing beside it and asks nothing of a network: open it from disk, or
    pass it on.

    Parameters
    ----------
    source : path, DistanceMatrix, SimilarityMatrix, AlleleTable or SampleStore
        A folder that `pyphylo run` wrote, a store, or a matrix file.
    path : path
        The HTML file; replaced if it exists.
    tree : Tree or path, optional
        By default that of the run's folder, else neighbor joining's of the distances.
        Without a root it is shown from the middle of its longest path.
    distances : DistanceMatrix or path, optional
        Instead of those of `source`.
    store : SampleStore, AlleleTable or path, optional
        Where alleles are, if `source` is none.
    metadata : path, DataFrame or mapping, optional
        Columns to colour by: a CSV with a column ``model``, or rows by model. A column
        ``base_model`` declares parents, and proposals are shown beside them; ``run`` and
        ``step`` name training runs, which are else read from names (``org/name@step1000``).
    scores : path, DataFrame or Scores, optional
        True benchmark scores. Each is predicted from the models of other families, as
        `cross_validate_scores` does, and both are shown.
    unit : {"fraction", "percent"}, optional
        Of the scores.
    similarity : bool
        The matrix file holds similarities.
    title : str, optional
    umap : bool, optional
        A second map, by UMAP, for which the package umap-learn must be installed. By
        default it is there wherever that is and models are at most 5,000: it takes
        some ten seconds, nearly all of them to load the package.
    merges : bool, optional
        Ask of each model whether it is a merge of two of its 30 nearest relatives
        (`find_merge`), where there are alleles: some 0.02 s a model at 128 genes. By
        default of up to 1,000 models.
    color_by : str, optional
        The column of the metadata whose colours are shown first; by default ``family``.
    model : str, optional
        The model whose card is open at first.
    n_threads : int
        0: all that this process may use.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        When there are fewer than two models, the store is empty, tree and matrix share fewer
        than two models, metadata or scores are not what they should be, or there is no such
        column or model (near names are proposed).

    Warns
    -----
    PyphyloWarning
        Where tree and matrix disagree, or metadata or scores name unknown models: the page
        shows the models that both have, and says so. Where too few scores lie outside of
        one family to predict from: the page is without them.

    Notes
    -----
    O(n^2) time and memory beside neighbor joining. The page holds a heat map of at most
    1,500 cells a side, so it takes 0.2 MB at 127 models and 4 MB at 5,000.
    """
    check_target(Path(path))
    page = report_html(source, **options)
    atomic_write_bytes(Path(path), page.encode("utf-8"))
    return Path(path)


def _check_scores(scores: Any) -> None:
    import pandas as pd

    from pyphylo.io.scores import Scores

    if not isinstance(scores, (str, os.PathLike, pd.DataFrame, Scores)):
        raise InputError(
            f"scores must be a path, a DataFrame with a column 'model', or what "
            f"pyphylo.predict.read_scores returns, not {type(scores).__name__}"
        )


def _score_level() -> float:
    """Of the intervals of predicted scores, which are left at their default."""
    from pyphylo.predict.evaluate import cross_validate_scores

    return float(inspect.signature(cross_validate_scores).parameters["level"].default)


def _callers_level() -> int:
    """How far up the stack, from the caller's view, the first frame outside of the report is."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__") == __name__:
        level, frame = level + 1, frame.f_back
    return level


def _payload(found: Material, title: str) -> dict[str, Any]:
    values, tree = found.distances.values, found.tree
    index, distance = nearest(values, _NEAREST)
    xy, share = classical_scaling(values)
    payload: dict[str, Any] = {
        "title": title,
        "version": __version__,
        "notes": found.notes,
        "names": list(tree.tips),
        "tree": {
            "parent": tree.parent.tolist(),
            "length": rounded(tree.length, 9),
            "support": rounded(tree.support, 6),
            "labels": list(tree.labels) if any(tree.labels) else None,
            "middle": found.rooted_here,
            "unrooted": packed(_unrooted(found).astype(np.float32)),
        },
        "heat": heat_map(values),
        "map": {"xy": packed(xy.astype(np.float32)), "share": share},
        "near": {
            "k": index.shape[1],
            "index": packed(index.astype(np.uint32)),
            "distance": packed(distance.astype(np.float32)),
            "chance": counts_chance(found),
        },
    }
    return payload


def _add_alleles(payload: dict[str, Any], found: Material, rows: Rows, merges: bool | None) -> None:
    """What alleles tell of models: their own words, limits of distances, tests for merges."""
    from pyphylo.report._telling import add_words, telling_alleles

    table, tips = found.table, found.tree.tips
    if table is None:
        return
    index, _ = nearest(found.distances.values, _NEAREST)
    prompts = [found.prompts.get(gene) for gene in table.genes]
    payload["alleles"] = telling_alleles(table, index[:, :_BESIDE], prompts)
    if found.store is not None and len(tips) <= _WORDS:
        add_words(payload["alleles"], tips, found.store)
    payload["near"] |= limits(found, index)
    if merges or (merges is None and len(tips) <= UNASKED):
        payload["merges"] = merge_tests(found, rows)


def _unrooted(found: Material) -> Any:
    from pyphylo.plot._layout import drawn_lengths, equal_angle, equal_daylight, preorder

    walk = preorder(found.tree)
    lengths, _, _ = drawn_lengths(found.tree.length)
    layout = equal_daylight if found.tree.n_tips <= _DAYLIGHT else equal_angle
    return layout(walk, lengths, found.tree.n_tips)
