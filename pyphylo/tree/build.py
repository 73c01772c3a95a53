"""Trees by the name of the method that builds them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.distance import DistanceMatrix
    from pyphylo.tree.tree import Tree

__all__ = ["METHODS", "build_tree"]

METHODS = ("nj", "bionj", "upgma", "bme")


def build_tree(
    D: DistanceMatrix, method: str, *, negative: str = "clamp", n_threads: int = 0
) -> tuple[Tree, str, dict[str, Any]]:
    """The tree of a method, what there is to say of it, and the same for programs.

    Raises
    ------
    InputError
        When there is no such method, or the matrix does not suit it.
    """
    if method == "bme":
        from pyphylo.tree.bme import search_balanced

        found = search_balanced(D, negative=negative, n_threads=n_threads)
        saved = 1 - found.length / found.start_length if found.start_length else 0.0
        facts = {
            "balanced_length": found.length,
            "neighbor_joining_length": found.start_length,
            "saved": saved,
        }
        return (
            found.tree,
            f", of balanced length {found.length:.6g}, {saved:.2%} less than neighbor joining's",
            facts,
        )
    from pyphylo.tree import nj
    from pyphylo.tree.upgma import upgma

    if method == "nj":
        return nj.neighbor_joining(D, negative=negative, n_threads=n_threads), "", {}
    if method == "bionj":
        return nj.bionj(D, negative=negative, n_threads=n_threads), "", {}
    if method == "upgma":
        return upgma(D), "", {}
    raise InputError(f"method must be one of {', '.join(METHODS)}, not {method!r}")
