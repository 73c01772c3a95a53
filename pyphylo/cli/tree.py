"""``pyphylo tree``: the tree of a distance matrix, and its pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import (
    Outcome,
    add_json,
    add_threads,
    check_outputs,
    existing_parent,
    file_lines,
)
from pyphylo.cli._rooting import add_root_options, check_root, has_root, rooted
from pyphylo.cli._support import add_support_options, strong_branches, support_table, supported
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable
    from pyphylo.distance import DistanceMatrix
    from pyphylo.io.annotations import Rows
    from pyphylo.io.metadata import Lineage
    from pyphylo.similarity import SimilarityMatrix
    from pyphylo.tree.tree import Tree

__all__ = ["add_parser"]

_METHODS = ("nj", "bionj", "upgma", "bme")
"""Those of `pyphylo.tree.build`, which help does not load."""


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="the tree of a distance matrix, and its pictures",
        description="Join neighbours into a tree. Beside tree.nwk it draws tree, tree_unrooted and "
        "tree_heatmap, each as .svg and .png.",
        epilog="examples:\n  pyphylo tree distances.npz -o tree.nwk --metadata families.csv\n"
        "  pyphylo tree distances.npz -o tree.nwk --method bme --bootstrap 200 --store store\n"
        "  pyphylo tree distances.npz -o rooted.nwk --outgroup gpt2 distilgpt2",
    )
    parser.add_argument("matrix", metavar="DIST", help=".npz .phy .csv .tsv .parquet")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="by suffix: .nwk Newick, .nex NEXUS, .xml phyloXML",
    )
    parser.add_argument(
        "--similarity", action="store_true", help="the matrix holds similarities, not distances"
    )
    parser.add_argument(
        "--method",
        choices=_METHODS,
        default="nj",
        help="neighbor joining (default), BIONJ, UPGMA, or balanced minimum evolution",
    )
    add_root_options(parser)
    parser.add_argument(
        "--negative",
        choices=("clamp", "keep"),
        default="clamp",
        help="branches below 0: made 0 (default), or kept",
    )
    parser.add_argument("--metadata", metavar="CSV", help="columns model, family, base_model, date")
    parser.add_argument(
        "--living-ancestors",
        action="store_true",
        help="make models that are ancestors inner nodes: those that --metadata names as "
        "base_model, where the distances allow it; without any, those that the distances tell",
    )
    parser.add_argument(
        "--annotations",
        metavar="DIR",
        help="also write --metadata for iTOL (labels, families, numbers) and Taxonium to DIR",
    )
    add_support_options(parser)
    parser.add_argument("--no-pictures", action="store_true", help="write the tree alone")
    add_threads(parser)
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.io.metadata import read_metadata
    from pyphylo.io.trees import check_tree_path
    from pyphylo.run import draw_pictures, warn_of_unused

    if args.annotations is not None and args.metadata is None:
        raise InputError("--annotations needs --metadata CSV: it says what to write")
    target = existing_parent(args.output)
    check_tree_path(target)
    rows = {} if args.metadata is None else read_metadata(args.metadata)
    families = {name: row["family"] for name, row in rows.items() if "family" in row}
    similarity, distances = _matrices(args.matrix, similarity=args.similarity)
    _check_files(args, target, distances.ids, rows)
    if args.metadata is not None:
        # Families may be missing altogether, where bases or dates are what is known.
        warn_of_unused(families or rows, distances.ids, args.metadata)
    check_root(args, distances.ids)
    table = support_table(args, distances)
    tree, remarks, facts = _built(args, distances, table)
    tree.write(target)
    files = [target]
    if not args.no_pictures:
        files += draw_pictures(tree, similarity, families, *_stems(target))
    if args.annotations is not None:
        files += _annotations(args, tree, rows)
    ancestors = [label for label in tree.labels if label is not None]
    data = {
        "tree": str(target),
        "method": args.method,
        "tips": tree.n_tips,
        "rooted": tree.is_rooted,
        "ancestors": ancestors,
        **facts,
        "files": [str(path) for path in files],
    }
    models = f"a tree of {tree.n_tips + len(ancestors)} models"
    if args.living_ancestors:
        models += f", of which {len(ancestors)} are ancestors of others"
        if not ancestors:
            models += " (plug-in distances hide them: see pyphylo distance --estimator unbiased)"
    return Outcome(f"{models}{remarks}:\n{file_lines(files)}", data)


def _stems(target: Path) -> tuple[Path, Path]:
    """Where pictures go, without their suffixes: the tree and the heat map."""
    stem = target.with_suffix("")
    return stem, stem.with_name(stem.name + "_heatmap")


def _check_files(args: argparse.Namespace, target: Path, names: Sequence[str], rows: Rows) -> None:
    """Refuse, before work, every file that could not be written when it is done."""
    from pyphylo.io.annotations import annotation_paths
    from pyphylo.io.trees import check_tree_path
    from pyphylo.run import picture_paths

    check_tree_path(target, names)
    pictures = [] if args.no_pictures else picture_paths(*_stems(target))
    for path in pictures:
        existing_parent(str(path))
    beside = []
    if args.annotations is not None:
        beside = annotation_paths(names, rows, args.annotations)
    inputs = [path for path in (args.matrix, args.metadata, args.store) if path is not None]
    check_outputs([target, *pictures, *beside], inputs)


def _annotations(args: argparse.Namespace, tree: Tree, rows: Rows) -> list[Path]:
    """Files for tree viewers."""
    from pyphylo.io.annotations import write_itol, write_taxonium

    written = [write(tree, rows, args.annotations) for write in (write_itol, write_taxonium)]
    return list(dict.fromkeys(path for paths in written for path in paths))


def _built(
    args: argparse.Namespace, distances: DistanceMatrix, table: AlleleTable | None
) -> tuple[Tree, str, dict[str, Any]]:
    """The tree that was asked for, what there is to say of it, and the same for programs."""
    from pyphylo.io.metadata import read_lineage
    from pyphylo.tree.build import build_tree
    from pyphylo.tree.by_metadata import knows_parents

    known = args.metadata if args.living_ancestors and args.metadata is not None else {}
    lineage = read_lineage(known)
    if args.living_ancestors and not knows_parents(distances.ids, lineage):
        if table is not None or args.method != "nj":
            raise InputError(
                "--bootstrap and --method are of use with --living-ancestors only where --metadata "
                "names base models: otherwise the distances tell the ancestors, in a way of its own"
            )
        return _by_distances(args, distances, lineage), "", {}
    tree, remarks, facts = build_tree(
        distances, args.method, negative=args.negative, n_threads=args.threads
    )
    if table is not None:
        rooted(args, tree)  # what no branch parts off is refused before the replicates
        tree = supported(args, tree, table, distances.provenance)
    strength, counts = strong_branches(args, tree)
    tree = rooted(args, tree)
    if args.living_ancestors:
        tree = _contracted(args, distances, tree, lineage)
    return tree, remarks + strength, {**facts, **counts}


def _by_distances(args: argparse.Namespace, distances: DistanceMatrix, lineage: Lineage) -> Tree:
    """The tree whose ancestors the distances tell."""
    from pyphylo.tree.ancestors import living_ancestor_tree
    from pyphylo.tree.by_metadata import knows_root

    if args.outgroup is not None or args.root == "mad":
        raise InputError(
            "--living-ancestors without base models in --metadata takes --root midpoint or the "
            "name of the model that all others descend from, no outgroup and no mad"
        )
    midpoint = args.root == "midpoint"
    known = None if midpoint or not knows_root(distances.ids, lineage) else lineage
    return living_ancestor_tree(distances, root=None if midpoint else args.root, metadata=known)


def _contracted(
    args: argparse.Namespace, distances: DistanceMatrix, tree: Tree, lineage: Lineage
) -> Tree:
    """The tree with declared parents as inner nodes."""
    from pyphylo.tree.ancestors import branch_error, contract_ancestors

    # Where they may be plug-in distances, every model has a branch of its own.
    unbiased = distances.provenance.get("estimator") == "unbiased"
    tolerance = 2 * branch_error(distances) if unbiased else None
    known = has_root(args) or args.method == "upgma"
    return contract_ancestors(tree, lineage, tolerance=tolerance, rooted=known)


def _matrices(path: str | Path, *, similarity: bool) -> tuple[SimilarityMatrix, DistanceMatrix]:
    """Similarities and distances from a file of either."""
    import numpy as np

    from pyphylo.distance import DistanceMatrix, nei_distance
    from pyphylo.similarity import SimilarityMatrix

    if similarity:
        S = SimilarityMatrix.load(path)
        return S, nei_distance(S)
    D = DistanceMatrix.load(path)
    return SimilarityMatrix._trusted(np.exp(-D.values), D.ids, D.provenance), D
