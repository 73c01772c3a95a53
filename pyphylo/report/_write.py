"""`write_report`: the parts of a report worked out, and the page written."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pyphylo._files import atomic_write_bytes, check_target
from pyphylo._version import __version__
from pyphylo.errors import InputError, PyphyloWarning
from pyphylo.report._columns import columns_of
from pyphylo.report._inputs import Material, gather
from pyphylo.report._limits import limits
from pyphylo.report._numbers import classical_scaling, heat_map, nearest, packed, rounded
from pyphylo.report._page import assemble
from pyphylo.report._umap import check_umap, neighbourhood_map

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["report_html", "write_report"]

_NEAREST = 15
"""Relatives of each model that the page knows."""

_BESIDE = 3
"""Relatives whose alleles are shown beside a model's."""

_DAYLIGHT = 800
"""Most tips of which the unrooted tree is laid out by equal daylight; above, equal angles."""

_WORDS = 1000
"""Most models of which completions are looked up."""

_PROPOSE = 2000
"""Most models of which parents are proposed."""


def write_report(
    source: Any,
    path: str | os.PathLike[str],
    *,
    tree: Any = None,
    distances: Any = None,
    store: Any = None,
    metadata: Any = None,
    scores: Any = None,
    unit: str | None = None,
    similarity: bool = False,
    title: str | None = None,
    umap: bool = False,
    n_threads: int = 0,
) -> Path:
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
        ``base_model`` declares parents, and proposals are shown beside them.
    scores : path, DataFrame or Scores, optional
        True benchmark scores. Each is predicted from the models of other families, as
        `cross_validate_scores` does, and both are shown.
    unit : {"fraction", "percent"}, optional
        Of the scores.
    similarity : bool
        The matrix file holds similarities.
    title : str, optional
    umap : bool
        Add a map by UMAP, for which the package umap-learn must be installed.
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
        than two models, metadata or scores are not what they should be.

    Warns
    -----
    PyphyloWarning
        Where tree and matrix disagree, or metadata name unknown models: the page shows
        the models that both have, and says so.

    Notes
    -----
    O(n^2) time and memory beside neighbor joining. The page holds a heat map of at most
    1,500 cells a side, so it takes about 1 MB at 127 models and 6 MB at 5,000.
    """
    check_target(Path(path))
    page = report_html(
        source,
        tree=tree,
        distances=distances,
        store=store,
        metadata=metadata,
        scores=scores,
        unit=unit,
        similarity=similarity,
        title=title,
        umap=umap,
        n_threads=n_threads,
        _stacklevel=3,
    )
    atomic_write_bytes(Path(path), page.encode("utf-8"))
    return Path(path)


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
    umap: bool = False,
    n_threads: int = 0,
    _stacklevel: int = 2,
) -> str:
    """The page that `write_report` writes, as text; parameters and errors are the same."""
    if umap:
        check_umap()
    rows = {} if metadata is None else _rows(metadata)
    found = gather(
        source,
        tree=tree,
        distances=distances,
        store=store,
        similarity=similarity,
        n_threads=n_threads,
    )
    _note_metadata(found, rows)
    title = title or f"Family tree of {found.tree.n_tips:,} language models"
    payload = _payload(found, rows, title)
    if umap and (places := neighbourhood_map(found.distances.values)) is not None:
        payload["map"]["umap"] = packed(places.astype(np.float32))
    if scores is not None:
        payload["scores"] = _scores(found, scores, rows, unit)
    for note in found.notes:
        warnings.warn(note, PyphyloWarning, stacklevel=_stacklevel)
    return assemble(payload, title)


def _payload(found: Material, rows: Mapping[str, Mapping[str, Any]], title: str) -> dict[str, Any]:
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
        },
        "columns": columns_of(rows, tree.tips),
    }
    if found.table is not None:
        from pyphylo.report._telling import add_words, telling_alleles

        prompts = [found.prompts.get(gene) for gene in found.table.genes]
        payload["alleles"] = telling_alleles(found.table, index[:, :_BESIDE], prompts)
        if found.store is not None and len(tree.tips) <= _WORDS:
            add_words(payload["alleles"], tree.tips, found.store)
        payload["near"] |= limits(found, index)
    if any("base_model" in row for row in rows.values()):
        payload["parents"] = _parents(found, rows)
    return payload


def _unrooted(found: Material) -> Any:
    from pyphylo.plot._layout import drawn_lengths, equal_angle, equal_daylight, preorder

    walk = preorder(found.tree)
    lengths, _, _ = drawn_lengths(found.tree.length)
    layout = equal_daylight if found.tree.n_tips <= _DAYLIGHT else equal_angle
    return layout(walk, lengths, found.tree.n_tips)


def _parents(found: Material, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Declared parents by name, proposed ones by number of the tip."""
    tips = found.tree.tips
    declared = [rows.get(name, {}).get("base_model") for name in tips]
    number = {name: i for i, name in enumerate(tips)}
    proposed: list[int | None] = [None] * len(tips)
    confidence: list[float | None] = [None] * len(tips)
    if len(tips) <= _PROPOSE:
        from pyphylo.parents import propose_parents

        frame = propose_parents(found.distances, rows, evaluate=False)
        for model, parent, sure in frame[["model", "parent", "confidence"]].to_numpy().tolist():
            if isinstance(parent, str):
                proposed[number[model]] = number[parent]
                confidence[number[model]] = round(float(sure), 3)
    texts = [str(cell) if isinstance(cell, str) and cell else None for cell in declared]
    return {"declared": texts, "proposed": proposed, "confidence": confidence}


def _scores(
    found: Material, scores: Any, rows: Mapping[str, Mapping[str, Any]], unit: str | None
) -> dict[str, Any]:
    """True and predicted scores of each benchmark, in fractions of 1."""
    from pyphylo.predict.benchmark import BenchmarkRegressor
    from pyphylo.predict.evaluate import cross_validate_scores

    table, unit = _score_table(found, scores, unit)
    families = {name: row["family"] for name, row in rows.items() if row.get("family")}
    scored = list(table.index)
    known = all(name in families for name in scored)
    groups: Any = {name: families[name] for name in scored} if known else "clade:0.5"
    frame = cross_validate_scores(
        found.distances.filter(scored),
        table,
        groups=groups,
        estimators={"BenchmarkRegressor": BenchmarkRegressor()},
        baselines=False,
        unit=unit,
        n_bootstrap=0,
    )
    number = {name: i for i, name in enumerate(found.tree.tips)}
    targets = []
    for target, part in frame.groupby("target", sort=False):
        part = part[part["estimator"] == "BenchmarkRegressor"].dropna(subset=["true", "predicted"])
        targets.append(
            {
                "name": str(target),
                "tip": [number[name] for name in part["model"]],
                **{key: rounded(part[key], 5) for key in ("true", "predicted", "lower", "upper")},
            }
        )
    return {"targets": targets, "groups": "families" if known else "clades within 0.5"}


def _score_table(found: Material, scores: Any, unit: str | None) -> tuple[pd.DataFrame, str]:
    import pandas as pd

    from pyphylo.io.scores import read_scores
    from pyphylo.predict.matching import match_scores

    if isinstance(scores, pd.DataFrame):
        frame = scores.set_index("model") if "model" in scores.columns else scores
        here = [name for name in found.tree.tips if name in frame.index]
        if not here:
            raise InputError("the scores name none of the models of the tree")
        return frame.loc[here], unit or "fraction"
    if isinstance(scores, (str, os.PathLike)):
        scores = read_scores(Path(scores), unit=unit)
    matched = match_scores(scores, found.distances.ids)
    if matched.unmatched:
        found.notes.append(
            f"Scores of {len(matched.unmatched)} names are not shown, which are no model's here "
            f"({_some(matched.unmatched)})."
        )
    return matched.scores, matched.unit


def _rows(metadata: Any) -> Mapping[str, Mapping[str, Any]]:
    """Metadata as rows by model; what it says of descent is checked on the way."""
    from pyphylo.io.metadata import read_lineage, read_metadata

    if isinstance(metadata, (str, os.PathLike)):
        metadata = read_metadata(Path(metadata))
    read_lineage(metadata)
    if isinstance(metadata, Mapping):
        return metadata
    return {row.pop("model"): row for row in metadata.to_dict("records")}


def _note_metadata(found: Material, rows: Mapping[str, Any]) -> None:
    if not rows:
        return
    tips = set(found.tree.tips)
    strange = [name for name in rows if name not in tips]
    if len(strange) == len(rows):
        found.notes.append(
            f"The metadata name none of these models (but {_some(strange)}): check the column "
            "'model'."
        )
    elif strange:
        found.notes.append(
            f"{len(strange)} models of the metadata are not in the tree ({_some(strange)})."
        )


def _some(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names[:3])) + (", ..." if len(names) > 3 else "")
