"""Balanced minimum evolution: the search for the tree whose balanced length is shortest."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo._memory import require_memory
from pyphylo._names import whole_number
from pyphylo.errors import InputError, WorkError
from pyphylo.tree._given import Distances, checked_square
from pyphylo.tree.nj import neighbor_joining
from pyphylo.tree.tree import Tree

__all__ = ["BalancedSearch", "balanced_length", "balanced_minimum_evolution", "search_balanced"]

_TOLERANCE = 1e-12
"""What a move must save, as a share of the tree's length: far above rounding."""
_STRENGTH = 12
"""Random interchanges of one perturbation: fewer are mostly undone, more cost what they save."""
_TRIES = 25
"""Perturbations between two fresh computations of the averages."""


class BalancedSearch(NamedTuple):
    """What `search_balanced` found.

    Attributes
    ----------
    tree : Tree
    start : {"neighbor joining", "addition", "given"}
        The tree from which the moves led here.
    start_length : float
        Balanced length of the neighbor-joining tree, or of the tree that was given.
    length : float
        Balanced length of `tree`, never longer; the saving is their difference.
    interchanges, regrafts : int
        Nearest neighbor interchanges made, and then subtrees moved. Each saved.
    perturbations : int
        Perturbations kept because they saved.
    """

    tree: Tree
    start: str
    start_length: float
    length: float
    interchanges: int
    regrafts: int
    perturbations: int


def balanced_minimum_evolution(
    D: Distances,
    *,
    start: Tree | None = None,
    perturbations: int = 100,
    negative: str = "clamp",
    n_threads: int = 0,
) -> Tree:
    """A tree of short balanced length, which no interchange and no regraft shortens.

    Among all trees, balanced minimum evolution prefers the one that is shortest when
    its branches are fitted to the distances with weights that halve at every node
    (`balanced_length`). Neighbor joining is a greedy search for it; this goes on with
    nearest neighbor interchanges, the one that saves most first, then moves subtrees
    wherever they save most until none does, and then tries whether random changes
    followed by such moves lead to a shorter tree.

    Parameters
    ----------
    D : DistanceMatrix
        At least two models; symmetric.
    start : Tree, optional
        Of the same models: only this tree is improved. A node with more than three
        branches is first resolved, in the order shown from the first model. Without
        `start` two trees are improved, neighbor joining's and the one that grows by
        adding each model in the order of ``D.ids`` where it costs least, and the
        shorter result is returned.
    perturbations : int
        How often to exchange twelve branches at random in one part of the tree, move
        subtrees from there to where they save most, and keep the result if it is
        shorter. More save a little more; 0: stop where no single move saves. The
        random numbers are the same in every call.
    negative : {"clamp", "keep"}
        Whether negative branch lengths become zero. Neither changes the topology.
    n_threads : int
        With two or more the two searches run side by side; 0: all cores that this
        process may use. The result does not depend on it.

    Returns
    -------
    Tree
        Unrooted: the root is a trifurcation, beside the first model. Branches have
        their balanced lengths, whose sum, if none is clamped, is the balanced length
        of the tree. Tips are in the order of ``D.ids``.

    Raises
    ------
    InputError
        When D is not a DistanceMatrix, has fewer than two models or holds a value
        that is not finite (the pair is named); when `start` has other tips than D,
        which are named; when an argument is unknown.
    WorkError
        When distances are so large that sums overflow.
    MemoryError
        When the averages do not fit; the number is named, and nothing taken.

    See Also
    --------
    search_balanced : also says how much was saved.

    Notes
    -----
    Memory: 32 n^2 bytes for the averages between all subtrees, twice that where two
    searches run at once, and 8 n^2 for the distances. Time: O(n x diameter) for each
    interchange, with O(n) to find it; O(n^2) for each round of regrafts, of which there
    are few. A move must save more than 1e-12 of the tree's length, so rounding cannot
    lead in circles. The same search starts as that of Desper & Gascuel (addition, then
    interchanges) and goes on, so that it ends no longer unless ties are resolved
    otherwise.

    References
    ----------
    Pauplin (2000), J Mol Evol 51, 41-47.
    Desper & Gascuel (2002), J Comput Biol 9(5), 687-705.
    Bordewich, Gascuel, Huber & Moulton (2009), IEEE/ACM Trans Comput Biol Bioinform
    6(1), 110-117.
    Lefort, Desper & Gascuel (2015), Mol Biol Evol 32(10), 2798-2800.
    """
    return search_balanced(
        D, start=start, perturbations=perturbations, negative=negative, n_threads=n_threads
    ).tree


def search_balanced(
    D: Distances,
    *,
    start: Tree | None = None,
    perturbations: int = 100,
    negative: str = "clamp",
    n_threads: int = 0,
) -> BalancedSearch:
    """The tree of `balanced_minimum_evolution`, with what the search saved.

    Parameters, errors and costs are the same.

    Returns
    -------
    BalancedSearch
        The tree, its balanced length and that of the tree before the search.
    """
    if negative not in ("clamp", "keep"):
        raise InputError(f'negative must be "clamp" or "keep", not {negative!r}')
    perturbations = whole_number(perturbations, "perturbations", 0)
    n_threads = whole_number(n_threads, "n_threads", 0) or _core.available_threads()
    ids, values = checked_square(D, "search_balanced")
    if start is not None:
        _check_start(start, ids)
    n = len(ids)
    origin = "neighbor joining" if start is None else "given"
    if n == 2:
        only = neighbor_joining(D, negative=negative)
        length = float(values[0, 1])
        return BalancedSearch(only, origin, length, length, 0, 0, 0)
    n_searches = 1 if start is not None else 2
    at_once = min(n_threads, n_searches)
    require_memory(
        8 * (n * n + at_once * (2 * n - 2) ** 2),
        f"averages between all subtrees of {n} models, {at_once} searches at once,",
    )
    first = neighbor_joining(D, n_threads=n_threads) if start is None else start
    distances = np.array(values, dtype=np.float64, order="C", copy=True)
    with ThreadPoolExecutor(at_once) as pool:
        running = pool.submit(_from_tree, first, ids, distances, perturbations)
        if start is None:
            added = pool.submit(_from_addition, distances, perturbations).result()
        best = running.result()
    start_length = best.start_length
    if start is None and added.length < best.length - _TOLERANCE * best.length:
        origin, best = "addition", added
    return BalancedSearch(
        _to_tree(ids, best, negative),
        origin,
        start_length,
        best.length,
        best.interchanges,
        best.regrafts,
        best.perturbations,
    )


def balanced_length(tree: Tree, D: Distances) -> float:
    """The balanced length of a tree's shape, given distances between its tips.

    The sum over all pairs of tips of ``2 d_ij / 2^p_ij``, p_ij being the number of
    branches between them: Pauplin's formula. At a node of k branches instead of three
    the share is 1 / (k - 1) instead of 1/2 (Semple & Steel 2004). Neither branch
    lengths nor the place of the root count.

    Parameters
    ----------
    tree : Tree
    D : DistanceMatrix
        Of the tree's tips at least, in any order.

    Returns
    -------
    float
        In the units of the distances; 0 for a tree of one tip.

    Raises
    ------
    InputError
        When a tip has no distances (it is named), or as `neighbor_joining` does.

    Notes
    -----
    O(n^2) time; 8 n^2 bytes for the distances, O(n) beside them.

    References
    ----------
    Pauplin (2000), J Mol Evol 51, 41-47.
    Semple & Steel (2004), Adv Appl Math 32(4), 669-680.
    """
    from pyphylo.tree import _bme_averages

    ids, values = checked_square(D, "balanced_length")
    place = {name: number for number, name in enumerate(ids)}
    missing = [name for name in tree.tips if name not in place]
    if missing:
        raise InputError(f"{_some(missing)} of the tree have no distances; tree.shear drops tips")
    if 1 in np.bincount(tree.parent[:-1], minlength=tree.n_nodes)[tree.n_tips :]:
        # A root with one child would be a tip without a name.
        tree = tree.shear(tree.tips)
    below = np.arange(tree.n_nodes - 1)
    ends = np.concatenate((below, tree.parent[:-1].astype(np.int64)))
    others = np.concatenate((tree.parent[:-1].astype(np.int64), below))
    degree = np.bincount(ends, minlength=tree.n_nodes)
    return float(
        _bme_averages.path_sums(
            np.array(values, dtype=np.float64, order="C", copy=True),
            others[np.argsort(ends, kind="stable")],
            np.concatenate(([0], np.cumsum(degree))),
            np.array([place[name] for name in tree.tips], np.int64),
            1.0 / np.maximum(degree - 1.0, 1.0),
        )
    )


class _Search:
    """A tree as `_bme_averages` has it, the averages between its subtrees, and what was done.

    After each step `A`, `lengths` and `length` belong to the tree; `run` leaves A empty, so that
    a search that waits for another takes no memory.
    """

    def __init__(self, D: NDArray[np.float64]) -> None:
        n_nodes = 2 * len(D) - 2
        self.D = D
        self.parent = np.full(n_nodes, -1, np.int64)
        self.child = np.full((n_nodes, 2), -1, np.int64)
        self.A = np.empty((n_nodes, n_nodes))
        self.lengths = np.zeros(n_nodes)
        self.interchanges = self.regrafts = self.perturbations = 0

    def run(self, perturbations: int) -> None:
        """Improve the tree until no interchange and no regraft saves."""
        from pyphylo.tree import _bme_kernels as kernels

        self.start_length = self._measure()
        if not np.isfinite(self.start_length):
            raise WorkError(
                f"distances up to {self.D.max():g} overflow float64 sums of {len(self.D)} models; "
                "scale them down"
            )
        saving = _TOLERANCE * max(abs(self.length), float(self.D.max()))
        shape = (len(self.D), self.parent, self.child, self.A, saving)
        self.interchanges = self._repeat(lambda: kernels.interchange(*shape))
        self.regrafts = self._repeat(lambda: kernels.regraft(*shape))
        seed = 1
        # Three tips have one tree.
        for done in range(0, perturbations if len(self.D) > 3 else 0, _TRIES):
            tries = min(_TRIES, perturbations - done)
            kept, seed = kernels.perturb(*shape, tries, _STRENGTH, seed)
            self.perturbations += kept
            self._measure()
        self.regrafts += self._repeat(lambda: kernels.regraft(*shape))
        self.A = np.empty((0, 0))

    def _measure(self) -> float:
        """Averages, lengths and their sum afresh, which ends the rounding that moves gather."""
        from pyphylo.tree import _bme_averages as averages

        averages.fill_averages(self.D, self.parent, self.child, self.A)
        self.length = float(averages.branch_lengths(self.parent, self.child, self.A, self.lengths))
        return self.length

    def _repeat(self, one_round: Callable[[], int]) -> int:
        """How many moves were made. A round that measurably saves nothing is the last."""
        total = 0
        while made := one_round():
            total += made
            before = self.length
            if not self._measure() < before:
                break
        return total


def _check_start(start: Tree, ids: tuple[str, ...]) -> None:
    if not isinstance(start, Tree):
        raise InputError(f"start must be a Tree, not {type(start).__name__}")
    extra = sorted(set(start.tips) - set(ids))
    missing = sorted(set(ids) - set(start.tips))
    if extra:
        raise InputError(f"{_some(extra)} of start have no distances; start.shear(D.ids) drops it")
    if missing:
        raise InputError(f"start lacks {_some(missing)}; D.filter(start.tips) leaves them out")


def _some(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def _from_tree(
    tree: Tree, ids: tuple[str, ...], D: NDArray[np.float64], perturbations: int
) -> _Search:
    search = _Search(D)
    _hang(tree, ids, search.parent, search.child)
    search.run(perturbations)
    return search


def _from_addition(D: NDArray[np.float64], perturbations: int) -> _Search:
    from pyphylo.tree import _bme_addition

    search = _Search(D)
    _bme_addition.add_tips(D, search.parent, search.child, search.A)
    search.run(perturbations)
    return search


def _hang(
    tree: Tree, ids: tuple[str, ...], parent: NDArray[np.int64], child: NDArray[np.int64]
) -> None:
    """Fill in the tree hung from the first tip of `ids`, with all nodes resolved."""
    n = len(ids)
    hung = tree.root_at(tip=ids[0])
    place = {name: number for number, name in enumerate(ids)}
    number = [place[name] for name in hung.tips]
    count = n

    def join(left: int, right: int) -> int:
        nonlocal count
        child[count] = left, right
        parent[[left, right]] = count
        count += 1
        return count - 1

    for node in range(n, hung.root):
        joined, *rest = (number[below] for below in hung.children(node))
        for other in rest:
            joined = join(joined, other)
        number.append(joined)
    top = max(number[below] for below in hung.children(hung.root))
    child[0, 0] = top
    parent[top] = 0


def _to_tree(ids: tuple[str, ...], found: _Search, negative: str) -> Tree:
    """The tree with its root at the node beside the first tip."""
    n = len(ids)
    child = found.child.tolist()
    top = child[0][0]
    number = [*range(n), *([0] * (n - 2))]
    parent = np.full(2 * n - 2, -1, np.int32)
    length = np.zeros(2 * n - 2)
    above = found.lengths if negative == "keep" else np.maximum(found.lengths, 0.0)
    # Downwards, so that numbers fall: every child's is smaller than its parent's.
    parent[0] = 2 * n - 3
    length[0] = above[top]
    unused = 2 * n - 3
    stack = [top]
    while stack:
        node = stack.pop()
        if node >= n:
            number[node] = unused
            unused -= 1
            stack.extend(child[node])
        if node != top:
            parent[number[node]] = number[found.parent[node]]
            length[number[node]] = above[node]
    return Tree(ids, parent, length)
