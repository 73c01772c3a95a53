"""Trees for scikit-bio, Biopython and networkx, which come with ``pyphylo[bio]``."""

from __future__ import annotations

import math
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = ["to_biopython", "to_networkx", "to_skbio"]


def _library(module: str, name: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise InputError(f"{name} is missing ({error}): pip install 'pyphylo[bio]'") from None


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def to_skbio(tree: Tree) -> Any:
    """See `Tree.to_skbio`."""
    node_class = _library("skbio", "scikit-bio").TreeNode
    nodes: list[Any] = []
    for v in range(tree.n_nodes):
        node = node_class(
            name=tree.label(v),
            length=None if v == tree.root else _known(float(tree.length[v])),
            support=_known(float(tree.support[v])),
        )
        node.extend([nodes[child] for child in tree.children(v)])
        nodes.append(node)
    return nodes[-1]


def to_biopython(tree: Tree) -> Any:
    """See `Tree.to_biopython`."""
    newick = _library("Bio.Phylo.Newick", "Biopython")
    nodes: list[Any] = []
    for v in range(tree.n_nodes):
        nodes.append(
            newick.Clade(
                branch_length=None if v == tree.root else _known(float(tree.length[v])),
                name=tree.label(v),
                clades=[nodes[child] for child in tree.children(v)],
                confidence=_known(float(tree.support[v])),
            )
        )
    return newick.Tree(root=nodes[-1], rooted=tree.is_rooted)


def to_networkx(tree: Tree) -> Any:
    """See `Tree.to_networkx`."""
    graph = _library("networkx", "networkx").DiGraph()
    for v in range(tree.n_nodes):
        known = {"name": tree.label(v), "support": _known(float(tree.support[v]))}
        graph.add_node(v, **{key: value for key, value in known.items() if value is not None})
    for v in range(tree.n_nodes - 1):
        length = _known(float(tree.length[v]))
        graph.add_edge(int(tree.parent[v]), v, **({} if length is None else {"length": length}))
    return graph
