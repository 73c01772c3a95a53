"""What `fit_admixture` gives: the graph, its numbers, and other programs' formats."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo.stats._graph_fit import Fit
from pyphylo.stats._graph_model import Descent
from pyphylo.stats._graph_residuals import Residual
from pyphylo.stats._segments import Interval

if TYPE_CHECKING:
    import networkx
    import pandas as pd

    from pyphylo.tree.tree import Tree

__all__ = ["AdmixtureEdge", "AdmixtureGraph", "Rival", "branch_frame", "node_frame"]


class Rival(NamedTuple):
    """Another mixture that fits about as well.

    Attributes
    ----------
    target : tuple of str
    sources : tuple of str
        The model nearest to each source.
    score : float
    p : float
        Of fitting as well as the edge that was taken.
    """

    target: tuple[str, ...]
    sources: tuple[str, str]
    score: float
    p: float


@dataclass(frozen=True)
class AdmixtureEdge:
    """A mixture of two places in the graph; the first has the larger share.

    Attributes
    ----------
    node : int
        The mixture.
    parents : tuple of int
        The two nodes that it is a mixture of.
    target : tuple of str
        The models that descend from it.
    sources : tuple of str
        The model nearest to each parent.
    clades : tuple of tuple of str
        The models that descend from each parent, without the target.
    weight : Interval
        The first parent's share, its error and limits.
    apart : float
        f2 between the two parents.
    since : float
        Drift since the mixture, all in all. A merge has little of it beside `apart`; where
        there is more, the edge says no more than that some drift is shared.
    p : float
        Of the edge, tested on genes that did not choose it.
    z : tuple of float
        Against the graph without the edge, with the first source alone, with the second
        alone (as they were found, not by share); p belongs to the least.
    rivals : tuple of Rival
        Mixtures of other models, or of other sources, that fit as well.
    """

    node: int
    parents: tuple[int, int]
    target: tuple[str, ...]
    sources: tuple[str, str]
    clades: tuple[tuple[str, ...], tuple[str, ...]]
    weight: Interval
    apart: float
    since: float
    p: float
    z: tuple[float, float, float]
    rivals: tuple[Rival, ...]

    def __str__(self) -> str:
        target = " and ".join(map(repr, self.target)) if len(self.target) < 3 else (
            f"{len(self.target)} models from {self.target[0]!r} to {self.target[-1]!r}"
        )  # fmt: skip
        share = self.weight
        return (
            f"{target}: {share.estimate:.0%} from near {self.sources[0]!r}, "
            f"{1 - share.estimate:.0%} from near {self.sources[1]!r}"
        )


@dataclass(frozen=True, eq=False)
class AdmixtureGraph:
    """A tree with admixture edges, fitted to f2. Made by `fit_admixture`.

    Attributes
    ----------
    models : tuple of str
    base : str or None
    outcome : {"admixture", "no edge supported"}
    reason : str
        The outcome in words.
    edges : tuple of AdmixtureEdge
        In the order in which they were found.
    nodes : pandas.DataFrame
        node, model (None of inner nodes), kind: "model", "inner" or "mixture". Node 0 is the
        root; parents have smaller numbers.
    branches : pandas.DataFrame
        parent, child, length (drift, as f2) and se (NaN where the length is 0). A mixture has none.
    steps : pandas.DataFrame
        The tree, and every edge that was tried: score, target, sources, z, p, kept.
    residuals : pandas.DataFrame
        f2 of all pairs, the worst first: a, b, observed, fitted, se, z.
    worst, worst_of_tree : Residual
        The f3 or f4 farthest from what the graph, and the tree alone, say.
    n_residuals : int
        How many f3 and f4 it is the worst of.
    score : float
        Squared residual in units of the covariance.
    genes, blocks : int
    """

    models: tuple[str, ...]
    base: str | None
    outcome: str
    reason: str
    edges: tuple[AdmixtureEdge, ...]
    nodes: pd.DataFrame
    branches: pd.DataFrame
    steps: pd.DataFrame
    residuals: pd.DataFrame
    worst: Residual
    worst_of_tree: Residual
    n_residuals: int
    score: float
    genes: int
    blocks: int

    def __repr__(self) -> str:
        return f"AdmixtureGraph({len(self.models)} models, {len(self.edges)} admixture edges)"

    def parents(self) -> list[list[tuple[int, float, float]]]:
        """Of each node its parents: node, length of the branch, share; the larger share first.

        Empty at the root.
        """
        found: list[list[tuple[int, float, float]]] = [[] for _ in range(len(self.nodes))]
        for parent, child, length in self._lines():
            found[child].append((parent, length, 1.0))
        for edge in self.edges:
            shares = edge.weight.estimate, 1 - edge.weight.estimate
            found[edge.node] = [
                (p, 0.0, share) for p, share in zip(edge.parents, shares, strict=True)
            ]
        return found

    def _lines(self) -> Iterator[tuple[int, int, float]]:
        """Parent, child and length of every branch."""
        columns = (self.branches[name].tolist() for name in ("parent", "child", "length"))
        yield from zip(*columns, strict=True)

    def tree(self) -> Tree:
        """The tree in which every mixture descends from its larger share alone.

        Nodes with one child stay, so its inner nodes are the graph's.
        """
        return self._tree()[0]

    def _tree(self) -> tuple[Tree, NDArray[np.int64]]:
        """The tree, and the graph's node of each of its nodes."""
        from pyphylo.tree.tree import Tree

        tips = [int(v) for v in self.nodes["node"][self.nodes["model"].notna()]]
        inner = [v for v in range(len(self.nodes) - 1, -1, -1) if v not in set(tips)]
        order = tips + inner
        place = {v: k for k, v in enumerate(order)}
        above = [found[0] if found else (-1, 0.0, 1.0) for found in self.parents()]
        made = Tree(
            [str(self.nodes["model"].iloc[v]) for v in tips],
            [place.get(above[v][0], -1) for v in order],
            [above[v][1] for v in order],
        )
        return made, np.array(order, dtype=np.int64)

    def to_networkx(self) -> networkx.DiGraph[Any]:
        """A networkx DiGraph from parents to children.

        Nodes have `kind` and, where they are models, `name`. Edges have `length`, or
        `weight` where they lead to a mixture.
        """
        from pyphylo.errors import InputError

        try:
            import networkx
        except ImportError:
            raise InputError("to_networkx needs networkx: pip install 'pyphylo[bio]'") from None
        graph: networkx.DiGraph[Any] = networkx.DiGraph()
        columns = (self.nodes[name].tolist() for name in ("node", "model", "kind"))
        for node, model, kind in zip(*columns, strict=True):
            graph.add_node(node, kind=kind, **({} if model is None else {"name": model}))
        for parent, child, length in self._lines():
            graph.add_edge(parent, child, length=length)
        for edge in self.edges:
            shares = edge.weight.estimate, 1 - edge.weight.estimate
            for parent, share in zip(edge.parents, shares, strict=True):
                graph.add_edge(parent, edge.node, weight=share)
        return graph

    def to_dot(self) -> str:
        """The graph in Graphviz's language: branches with lengths, dashed edges with shares."""
        lines = ["digraph admixture {", "  node [shape=point];"]
        for row in self.nodes.itertuples(index=False):
            if row.model is not None:
                text = str(row.model).replace("\\", "\\\\").replace('"', '\\"')
                lines.append(f'  {row.node} [shape=box, label="{text}"];')
        for v, found in enumerate(self.parents()):
            for parent, length, share in found:
                mixed = len(found) == 2
                label = f"{share:.0%}" if mixed else f"{length:.4g}"
                style = ", style=dashed" if mixed else ""
                lines.append(f'  {parent} -> {v} [label="{label}"{style}];')
        return "\n".join([*lines, "}"])

    def newick(self) -> str:
        """The graph as extended Newick (Cardona, Rossello & Valiente 2008), without a line end.

        A mixture is named #H1, #H2 ... and stands twice: below its larger share with what
        descends from it, and below the smaller one alone. Behind its length and an empty
        support stands the share (``#H1:0::0.4``).
        """
        from pyphylo.tree.newick import _PLAIN_NAME, quoted

        above = self.parents()
        children: list[list[tuple[int, float, float, bool]]] = [[] for _ in above]
        for v, found in enumerate(above):
            for number, (parent, length, share) in enumerate(found):
                children[parent].append((v, length, share, number == 0))
        hybrid = {edge.node: f"#H{k}" for k, edge in enumerate(self.edges, 1)}
        names = self.nodes["model"].tolist()
        texts = [""] * len(above)
        # Children have larger numbers than their parents, so theirs are ready.
        for v in range(len(above) - 1, -1, -1):
            parts = []
            for child, length, share, whole in children[v]:
                text = texts[child] if whole else hybrid[child]
                tail = f":{length!r}" if child not in hybrid else f":0::{share!r}"
                parts.append(text + tail)
            inside = f"({','.join(parts)})" if parts else ""
            own = hybrid.get(v, "" if names[v] is None else quoted(names[v], _PLAIN_NAME))
            texts[v] = inside + own
        return texts[0] + ";"


def node_frame(names: tuple[str, ...], graph: Descent) -> pd.DataFrame:
    """A row a node."""
    import pandas as pd

    kinds = []
    for t, up in zip(graph.tip, graph.parents, strict=True):
        kinds.append("model" if t >= 0 else "mixture" if len(up) == 2 else "inner")
    models = [names[t] if t >= 0 else None for t in graph.tip]
    frame: pd.DataFrame = pd.DataFrame(
        {
            "node": np.arange(graph.n_nodes),
            "model": pd.Series(models, dtype=object),
            "kind": kinds,
        }
    )
    return frame


def branch_frame(
    names: tuple[str, ...], fit: Fit, se: NDArray[np.float64], base: str | None
) -> pd.DataFrame:
    """A row a branch; the two at the root, of which only the sum is known, share it.

    A base among them gets none of it: it is the root.
    """
    import pandas as pd

    graph, length, error = fit.graph, fit.lengths.copy(), se.copy()
    if graph.spare >= 0:
        spare = graph.spare
        other = next(
            k for k, v in enumerate(graph.branches) if k != spare and graph.parents[v] == (0,)
        )
        tips = [graph.tip[int(graph.branches[k])] for k in (spare, other)]
        at_base = [t >= 0 and names[t] == base for t in tips]
        parts = [1.0 - at_base[0], 1.0 - at_base[1]] if any(at_base) else [0.5, 0.5]
        total, spread = length[other], error[other]
        for k, part in zip((spare, other), parts, strict=True):
            length[k] = part * total
            error[k] = part * spread if part else np.nan
    frame: pd.DataFrame = pd.DataFrame(
        {
            "parent": [graph.parents[int(v)][0] for v in graph.branches],
            "child": graph.branches,
            "length": length,
            "se": error,
        }
    )
    return frame
