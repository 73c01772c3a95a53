"""Trees to and from scikit-bio, Biopython and networkx, which come with ``pyphylo[bio]``."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

from pyphylo.errors import InputError
from pyphylo.tree._arrays import TreeArrays, numbered

if TYPE_CHECKING:
    from pyphylo.tree.tree import Tree

__all__ = [
    "from_biopython",
    "from_networkx",
    "from_skbio",
    "to_biopython",
    "to_networkx",
    "to_skbio",
]


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
    # In display order, so that neighbours come in it, too.
    for v in tree.preorder().tolist()[1:]:
        length = _known(float(tree.length[v]))
        graph.add_edge(int(tree.parent[v]), v, **({} if length is None else {"length": length}))
    return graph


class _Nodes:
    """Nodes of another library's tree, added in preorder."""

    def __init__(self) -> None:
        self.parent: list[int] = []
        self.name: list[str | None] = []
        self.length: list[float] = []
        self.support: list[float] = []

    def add(self, above: int, name: object, length: object, support: object) -> int:
        """Add a node and return its number; a tip's support does not count."""
        node = len(self.parent)
        if name is not None and not isinstance(name, str):
            raise InputError(f"a node's name must be a string, not {name!r}")
        what = f"node {node if name is None else name!r}"
        self.parent.append(above)
        self.name.append(name)
        self.length.append(_number(length, f"the length of the branch above {what}"))
        self.support.append(_number(support, f"the support of {what}"))
        return node

    def arrays(self) -> TreeArrays:
        inner = set(self.parent)
        for node, name in enumerate(self.name):
            if node not in inner:
                self.support[node] = math.nan
                if not name:
                    above = self.name[self.parent[node]] if node else None
                    place = "a node without a name" if above is None else repr(above)
                    raise InputError(
                        f"node {node} in preorder, below {place}, is a tip without a name; "
                        "name it first"
                    )
        return numbered(self.parent, self.name, self.length, self.support)


def _number(value: Any, what: str) -> float:
    if value is None:
        return math.nan
    try:
        number = math.inf if isinstance(value, (str, bool)) else float(value)
    except (TypeError, ValueError):
        number = math.inf
    if math.isinf(number):
        raise InputError(f"{what} must be a finite number, not {value!r}")
    return number


def _walked(
    root: Any,
    children: Callable[[Any], Iterable[Any]],
    described: Callable[[Any], tuple[object, object, object]],
) -> TreeArrays:
    """The tree of linked nodes; `described` gives name, length and support of one."""
    nodes = _Nodes()
    seen: set[int] = set()
    stack: list[tuple[Any, int]] = [(root, -1)]
    while stack:
        node, above = stack.pop()
        name, length, support = described(node)
        if id(node) in seen:
            raise InputError(
                f"node {name!r} is below two nodes, or below itself; in a tree it has one parent"
            )
        seen.add(id(node))
        number = nodes.add(above, name, length, support)
        stack.extend((child, number) for child in reversed(list(children(node))))
    return nodes.arrays()


def from_skbio(root: Any) -> TreeArrays:
    """See `Tree.from_skbio`."""
    if not hasattr(root, "children") or not hasattr(root, "name"):
        raise InputError(f"expected a scikit-bio TreeNode, not {type(root).__name__}")
    return _walked(
        root,
        lambda node: node.children,
        lambda node: (node.name, node.length, getattr(node, "support", None)),
    )


def from_biopython(tree: Any) -> TreeArrays:
    """See `Tree.from_biopython`."""
    root = getattr(tree, "root", None)
    if not hasattr(root, "clades"):
        raise InputError(f"expected a Biopython tree, not {type(tree).__name__}")
    return _walked(
        root,
        lambda clade: clade.clades,
        lambda clade: (clade.name, clade.branch_length, _confidence(clade)),
    )


def _confidence(clade: Any) -> object:
    """A number, or the first of phyloXML's confidences."""
    several = getattr(clade, "confidences", None)
    if several is None:
        several = [clade.confidence]
    first = several[0] if several else None
    return getattr(first, "value", first)


def from_networkx(graph: Any, root: Any = None) -> TreeArrays:
    """See `Tree.from_networkx`."""
    if not hasattr(graph, "adj") or not hasattr(graph, "is_directed"):
        raise InputError(f"expected a networkx graph, not {type(graph).__name__}")
    if len(graph) == 0:
        raise InputError("the graph has no node; a tree has at least one")
    top = _directed_root(graph, root) if graph.is_directed() else _chosen_root(graph, root)
    nodes = _Nodes()
    seen = {top}
    stack: list[tuple[Any, Any, int, object]] = [(top, None, -1, None)]
    while stack:
        node, above, number_above, length = stack.pop()
        below = [other for other in graph.adj[node] if other != above or node == above]
        if graph.is_multigraph() and above is not None and len(graph[above][node]) > 1:
            raise InputError(f"nodes {above!r} and {node!r} are joined twice: that is a cycle")
        data = graph.nodes[node]
        name = data.get("name")
        if name is None and (not below or isinstance(node, str)):
            name = str(node)
        number = nodes.add(number_above, name, length, data.get("support"))
        for other in reversed(below):
            if other in seen:
                raise InputError(f"the graph has a cycle through {node!r} and {other!r}")
            seen.add(other)
            stack.append((other, node, number, _edge_length(graph, node, other)))
    if len(seen) != len(graph):
        apart = next(node for node in graph if node not in seen)
        raise InputError(
            f"the graph is not connected: {len(graph) - len(seen)} nodes, {apart!r} among them, "
            f"cannot be reached from {top!r}"
        )
    return nodes.arrays()


def _edge_length(graph: Any, node: Any, other: Any) -> object:
    data = graph[node][other]
    if graph.is_multigraph():
        data = next(iter(data.values()))
    length: object = data.get("length", data.get("weight"))
    return length


def _directed_root(graph: Any, root: Any) -> Any:
    """The node without a parent; refused where nodes have several, or there is not one root."""
    for node, parents in graph.in_degree():
        if parents > 1:
            raise InputError(f"node {node!r} has {parents} parents; in a tree it has one")
    roots = [node for node, parents in graph.in_degree() if parents == 0]
    if len(roots) != 1:
        problem = f"{len(roots)} nodes without a parent, {roots[:3]}" if roots else "a cycle"
        raise InputError(f"the graph has {problem}; a tree has one root and no cycle")
    if root is not None and root != roots[0]:
        raise InputError(f"the directed graph's root is {roots[0]!r}, not {root!r}")
    return roots[0]


def _chosen_root(graph: Any, root: Any) -> Any:
    if root is None:
        return max(graph, key=lambda node: len(graph.adj[node]))
    if root not in graph:
        raise InputError(f"the graph has no node {root!r} to be the root")
    return root
