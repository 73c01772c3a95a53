"""Tree: tips, branches and supports in flat arrays."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pyphylo._names import check_names, did_you_mean
from pyphylo.errors import InputError
from pyphylo.tree import _arrays, _changes, _checks, _compare, _distances, _fit, _rooting
from pyphylo.tree.newick import format_tree, parse

if TYPE_CHECKING:
    import networkx
    from Bio.Phylo.Newick import Tree as BiopythonTree
    from skbio import TreeNode

    from pyphylo.distance import DistanceMatrix

__all__ = ["Tree"]


@dataclass(frozen=True, init=False, eq=False, repr=False)
class Tree:
    """A tree whose tips are models.

    Immutable. Nodes are numbers: 0 to n_tips - 1 are the tips, in the order of
    `tips`; every internal node has a larger number than all its children; the root
    is the last. Whether it has three children (unrooted) or two (rooted) is all that
    tells the two kinds apart. Children are shown in the order of the smallest tip
    number below them. No method recurses: trees may be as deep as they have tips.

    Parameters
    ----------
    tips : sequence of str
        Names, unique and not empty; otherwise any text that UTF-8 can hold.
    parent : sequence of int, one a node
        The parent's number, larger than the node's own; -1 for the root.
    length : sequence of float, one a node, optional
        Length of the branch above the node, in the units of the distances; NaN
        where unknown. The root's does not count and is set to 0.
    support : sequence of float, one a node, optional
        Support of the branch above the node; NaN where unknown, and at all tips.
    labels : sequence of (str or None), one an internal node, optional
        Names of internal nodes.

    Attributes
    ----------
    tips : tuple of str
    parent : ndarray of int32, shape (n_nodes,)
    length, support : ndarray of float64, shape (n_nodes,)
    labels : tuple of (str or None), n_nodes - n_tips of them

    Raises
    ------
    InputError
        When a name repeats or is empty, a shape does not fit, or the numbering is
        not as above (so a cycle or a second root cannot occur).
    """

    tips: tuple[str, ...]
    parent: NDArray[np.int32]
    length: NDArray[np.float64]
    support: NDArray[np.float64]
    labels: tuple[str | None, ...]

    def __init__(
        self,
        tips: Iterable[str],
        parent: ArrayLike,
        length: ArrayLike | None = None,
        support: ArrayLike | None = None,
        labels: Iterable[str | None] | None = None,
    ) -> None:
        names = check_names(tips, "tip")
        if not names:
            raise InputError("a tree needs at least one tip")
        up = _checks.checked_parent(parent, len(names))
        above = _checks.per_node("length", length, len(up))
        above[-1] = 0.0
        held = _checks.per_node("support", support, len(up))
        if not np.isnan(held[: len(names)]).all():
            tip = int(np.flatnonzero(~np.isnan(held[: len(names)]))[0])
            raise InputError(f"tip {names[tip]!r} has a support: only internal branches have one")
        n_internal = len(up) - len(names)
        named = (None,) * n_internal if labels is None else tuple(labels)
        if len(named) != n_internal:
            raise InputError(f"{len(named)} labels for {n_internal} internal nodes")
        for array in (up, above, held):
            array.flags.writeable = False
        for field, value in (
            ("tips", names),
            ("parent", up),
            ("length", above),
            ("support", held),
            ("labels", named),
        ):
            object.__setattr__(self, field, value)

    def __repr__(self) -> str:
        return f"Tree({self.n_tips} tips, {'rooted' if self.is_rooted else 'unrooted'})"

    def _repr_html_(self) -> str:
        """The tree as a notebook shows it."""
        from pyphylo._html import tree_html

        return tree_html(self)

    def __eq__(self, other: object) -> bool:
        """Same tips, shape, lengths, supports and labels, as displayed; numbering aside."""
        if not isinstance(other, Tree):
            return NotImplemented
        return self.n_nodes == other.n_nodes and self.newick() == other.newick()

    def __hash__(self) -> int:
        return hash(frozenset(self.tips))

    @property
    def n_tips(self) -> int:
        """Number of tips."""
        return len(self.tips)

    @property
    def n_nodes(self) -> int:
        """Number of nodes, tips included."""
        return len(self.parent)

    @property
    def root(self) -> int:
        """The root's number."""
        return self.n_nodes - 1

    @property
    def is_rooted(self) -> bool:
        """Whether the root has two children."""
        return len(self.children(self.root)) == 2

    @cached_property
    def _layout(self) -> _arrays.Layout:
        return _arrays.layout(self.n_tips, self.parent)

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.tips)}

    @cached_property
    def _splits(self) -> _compare.Splits:
        return _compare.Splits(self.tips, self.parent, self._layout)

    @property
    def _flat(self) -> _arrays.TreeArrays:
        return _arrays.TreeArrays(
            self.tips,
            self.parent.tolist(),
            self.length.tolist(),
            self.support.tolist(),
            self.labels,
        )

    # Walking

    def index(self, tip: str) -> int:
        """The number of a tip. Raises InputError where there is none of that name."""
        if tip not in self._number:
            raise InputError(f"the tree has no tip {tip!r}{did_you_mean(tip, self.tips)}")
        return self._number[tip]

    def label(self, node: int) -> str | None:
        """The name of a node, tip or internal; None where it has none."""
        return self.tips[node] if node < self.n_tips else self.labels[node - self.n_tips]

    def children(self, node: int) -> NDArray[np.int32]:
        """The children of a node, in display order; empty for a tip."""
        first = self._layout.first_child
        return self._layout.children[first[node] : first[node + 1]]

    def preorder(self) -> NDArray[np.int32]:
        """All nodes, parents before children, in display order."""
        return self._layout.preorder

    def postorder(self) -> NDArray[np.int32]:
        """All nodes, children before parents, in display order."""
        return _arrays.postorder(self._layout)

    def tips_below(self, node: int) -> NDArray[np.int64]:
        """The tips below a node, in display order; a tip is below itself."""
        start, size = self._layout.start[node], self._layout.size[node]
        return self._layout.order[start : start + size]

    def depths(self) -> NDArray[np.float64]:
        """Distance of every node from the root; NaN below a branch of unknown length."""
        return np.array(_arrays.depths(self.parent.tolist(), self.length.tolist()))

    def patristic(self) -> NDArray[np.float64]:
        """Path lengths between all tips, shape (n_tips, n_tips), in the order of `tips`.

        NaN where a branch between has no length. O(n_tips^2) in time and memory.
        """
        from pyphylo.tree._tree_kernels import path_lengths

        return path_lengths(self.parent, self.length, self.n_tips)

    def distance_matrix(self) -> DistanceMatrix:
        """Path lengths between all tips as a DistanceMatrix; see `patristic`.

        Raises
        ------
        InputError
            When a branch has no length, or a path is negative.
        """
        from pyphylo.distance import DistanceMatrix

        _checks.require_lengths(self, "a distance matrix", "fit them: tree.fit(D)")
        paths = self.patristic()
        if (self.length < 0).any():
            return DistanceMatrix(paths, self.tips)
        return DistanceMatrix._trusted(paths, self.tips, {})

    # Clades

    def clades(self) -> Iterator[frozenset[str]]:
        """The tips below each internal node except the root, children before parents.

        O(n_tips^2) on deep trees; `robinson_foulds` does not go through it.
        """
        for node in range(self.n_tips, self.n_nodes - 1):
            yield frozenset(self.tips[tip] for tip in self.tips_below(node))

    def bipartitions(self) -> set[frozenset[str]]:
        """The branches of the unrooted tree that part at least two tips from two others.

        Each is given by the side that does not hold the first tip by name.
        """
        names = frozenset(self.tips)
        first = min(names)
        sides = (names - clade if first in clade else clade for clade in self.clades())
        return {side for side in sides if 2 <= len(side) <= self.n_tips - 2}

    def is_monophyletic(self, tips: Iterable[str], rooted: bool = False) -> bool:
        """Whether these tips form one clade.

        Parameters
        ----------
        tips : iterable of str
        rooted : bool
            False: they are one side of a branch of the unrooted tree. True: they are
            all tips below a node.
        """
        members = self._members(tips)
        return _compare.is_clade(members, self._layout, rooted)

    def largest_clade(self, tips: Iterable[str]) -> int:
        """Size of the largest side of a branch of the unrooted tree with only these tips."""
        return _compare.largest_clade(self._members(tips), self._layout)

    def _members(self, tips: Iterable[str]) -> NDArray[np.bool_]:
        members = np.zeros(self.n_tips, np.bool_)
        members[[self.index(tip) for tip in tips]] = True
        if not members.any():
            raise InputError("no tips were given")
        return members

    def robinson_foulds(self, other: Tree, normalized: bool = True) -> float:
        """The Robinson-Foulds distance: bipartitions that only one of two trees has.

        Roots do not count, nor do lengths. O(n log n), exact (Day 1985, J Classif 2,
        7-28).

        Parameters
        ----------
        other : Tree
            Of the same tips, in any order.
        normalized : bool
            Divide by the number of bipartitions in both trees; 0 where neither has any.

        Raises
        ------
        InputError
            When the tips differ; some are named.
        """
        mine, theirs = self._splits, other._splits
        shared = mine.shared_with(theirs)
        distance = mine.count + theirs.count - 2 * shared
        if not normalized:
            return float(distance)
        return distance / max(1, mine.count + theirs.count)

    weighted_robinson_foulds = _distances.weighted_robinson_foulds
    branch_score = _distances.branch_score
    quartet_distance = _distances.quartet_distance

    def branches_in(self, other: Tree) -> NDArray[np.bool_]:
        """Of each node, whether the branch above it parts the tips as some branch of `other` does.

        Shape (n_nodes,). Roots do not count; branches that part off no tip or one
        are in every tree. This is what support counts over replicates. O(n log n).
        """
        return self._splits.found_in(other._splits)

    # Changing

    def root_at(
        self,
        where: str | None = None,
        *,
        tip: str | None = None,
        outgroup: Iterable[str] | None = None,
    ) -> Tree:
        """The same tree with its root elsewhere.

        Parameters
        ----------
        where : str
            "midpoint": the middle of the longest path between two tips (of several,
            the one whose ends come first by name). "mad": where ancestors deviate least
            from a clock, see `ancestor_deviations`. Otherwise a tip: the root goes to
            the middle of that tip's branch.
        tip : str
            A tip by name, even if it is called "midpoint"; instead of `where`.
        outgroup : iterable of str
            The root goes to the middle of the branch that parts these tips from the
            others; instead of `where`.

        Returns
        -------
        Tree
            With a root of two children. Lengths and supports stay with their
            branches; the two halves of the root's branch both carry its support.
            Nodes with one child vanish. A tree of one tip is returned as it is.

        Raises
        ------
        InputError
            When there is no such tip, no branch parts off the outgroup (tips in the way
            are named), or "midpoint" or "mad" is asked of a tree in which a branch has
            no length.
        """
        return _rooting.rooted(self, where, tip, outgroup)

    ancestor_deviations = _rooting.ancestor_deviations

    def ladderize(self) -> Tree:
        """The same tree with smaller clades shown first, and tips numbered as shown.

        Clades of equal size keep their order.
        """
        return Tree(*_changes.ladderize(self._flat, self._layout))

    def shear(self, tips: Iterable[str]) -> Tree:
        """The tree of some of the tips, which keep their order and path lengths.

        Branches that become one add their lengths and keep the larger support. An
        unrooted tree stays unrooted.
        """
        return Tree(*_changes.restrict(self._flat, self._members(tips).tolist()))

    def prune(self, tips: Iterable[str]) -> Tree:
        """The tree without some of the tips; the others are kept as by `shear`.

        Raises
        ------
        InputError
            When there is no such tip, or none would be left.
        """
        gone = np.zeros(self.n_tips, np.bool_)
        gone[[self.index(tip) for tip in tips]] = True
        if gone.all():
            raise InputError("all tips would go; a tree needs at least one")
        return Tree(*_changes.restrict(self._flat, (~gone).tolist()))

    collapse = _changes.collapse

    # Fitting

    fit = _fit.fit
    residuals = _fit.residuals

    # Reading, writing, converting

    @classmethod
    def from_newick(cls, text: str) -> Tree:
        """Read one tree from Newick text.

        Names are read literally: an underscore stays one. Numbers as labels of
        internal nodes are supports, other labels and all quoted ones are names.
        Comments in square brackets are passed over.

        Raises
        ------
        FileFormatError
            Naming line and column.
        """
        return cls(*parse(text))

    def newick(self) -> str:
        """The tree as Newick text, without a line end.

        Lengths and supports survive to the last bit. Names that other readers would
        change are quoted. A node with both a label and a support gets the support
        as a comment, ``[&support=…]``, which `from_newick` reads.
        """
        return format_tree(self._flat, self._layout)

    @classmethod
    def read(cls, path: str | Path) -> Tree:
        """Read a file of one tree, its format by suffix.

        ``.nex`` and ``.nexus`` are NEXUS, ``.xml`` and ``.phyloxml`` phyloXML, all
        others Newick, unless they begin as NEXUS or XML do.
        `pyphylo.io.trees.read_trees` reads files of several trees.

        Raises
        ------
        FileFormatError
            When the file is not one tree in its format; line and column are named.
        """
        from pyphylo.io.trees import read_tree

        return read_tree(path)

    def write(self, path: str | Path) -> None:
        """Write a file in the format of its suffix; it is replaced atomically.

        Newick is .nwk .newick .tree .tre .treefile .nh or .txt, NEXUS .nex or .nexus,
        phyloXML .xml or .phyloxml. Lengths, supports, names and labels survive.

        Raises
        ------
        InputError
            When the format cannot hold a name (phyloXML: control characters, white
            space that it would collapse), or the suffix is not a tree's.
        """
        from pyphylo.io.trees import write_tree

        write_tree(self, path)

    @classmethod
    def from_skbio(cls, tree: TreeNode) -> Tree:
        """The tree of a scikit-bio TreeNode, with its names, lengths and supports.

        Numbers in the names of internal nodes stay names: `assign_supports` of
        scikit-bio makes them supports.

        Raises
        ------
        InputError
            When a tip has no name or another's, or a node occurs twice.
        """
        from pyphylo.tree import convert

        return cls(*convert.from_skbio(tree))

    @classmethod
    def from_biopython(cls, tree: BiopythonTree) -> Tree:
        """The tree of a Biopython tree, with its names, branch lengths and (first) confidences.

        Raises
        ------
        InputError
            When a tip has no name or another's, or a node occurs twice.
        """
        from pyphylo.tree import convert

        return cls(*convert.from_biopython(tree))

    @classmethod
    def from_networkx(cls, graph: networkx.Graph[Any], root: Any = None) -> Tree:
        """The tree of a networkx graph.

        Parameters
        ----------
        graph : networkx.Graph or DiGraph
            Directed: edges go from parents to children. Nodes are called by their
            `name`, tips and nodes that are text otherwise by what they are; `support`
            is of the branch above. Lengths are the edges' `length`, otherwise `weight`.
        root : node, optional
            Of an undirected graph; by default its first node with the most neighbours.

        Raises
        ------
        InputError
            When the graph has a cycle or several components, or a tip's name occurs twice.
        """
        from pyphylo.tree import convert

        return cls(*convert.from_networkx(graph, root))

    def to_skbio(self) -> TreeNode:
        """The tree as a scikit-bio TreeNode."""
        from pyphylo.tree import convert

        return convert.to_skbio(self)

    def to_biopython(self) -> BiopythonTree:
        """The tree as a Biopython tree."""
        from pyphylo.tree import convert

        return convert.to_biopython(self)

    def to_networkx(self) -> networkx.DiGraph[Any]:
        """The tree as a networkx DiGraph from parents to children.

        Nodes are numbers as in the tree, with `name` and, where known, `support`;
        edges have `length`, where known.
        """
        from pyphylo.tree import convert

        return convert.to_networkx(self)
