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
from pyphylo.tree.nj import _check_matrix, _Distances, neighbor_joining
from pyphylo.tree.tree import Tree

__all__ = ["BalancedSearch", "balanced_length", "balanced_minimum_evolution", "search_balanced"]

_TOLERANCE = 1e-12
"""What a move must save, as a share of the tree's length: far above rounding."""


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
        Nearest neighbor interchanges made, and then subtrees moved farther. Each saved.
    """

    tree: Tree
    start: str
    start_length: float
    length: float
    interchanges: int
    regrafts: int


def balanced_minimum_evolution(
    D: _Distances, *, start: Tree | None = None, negative: str = "clamp", n_threads: int = 0
) -> Tree:
    """A tree of short balanced length, which no interchange and no regraft shortens.

    Among all trees, balanced minimum evolution prefers the one that is shortest when
    its branches are fitted to the distances with weights that halve at every node
    (`balanced_length`). Neighbor joining is a greedy search for it; this goes on with
    nearest neighbor interchanges, the one that saves most first, and then moves
    subtrees wherever they save most, until none does.

    Parameters
    ----------
    D : DistanceMatrix
        At least two models; symmetric.
    start : Tree, optional
        Of the same models: only this tree is improved. A node with more than three
        branches is first resolved in the order shown. Without it two trees are,
        neighbor joining's and the one that grows by adding each model in the order
        of ``D.ids`` where it costs least, and the shorter result is returned.
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
    return search_balanced(D, start=start, negative=negative, n_threads=n_threads).tree


def search_balanced(
    D: _Distances, *, start: Tree | None = None, negative: str = "clamp", n_threads: int = 0
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
    n_threads = whole_number(n_threads, "n_threads", 0) or _core.available_threads()
    ids, values = _check_matrix(D)
    if start is not None:
        _check_start(start, ids)
    n = len(ids)
    given = start is not None
    first = neighbor_joining(D, negative=negative, n_threads=n_threads) if start is None else start
    if n == 2:
        tree = neighbor_joining(D, negative=negative)
        length = float(values[0, 1])
        return BalancedSearch(tree, "given" if given else "neighbor joining", length, length, 0, 0)
    n_searches = 1 if given else 2
    at_once = min(n_threads, n_searches)
    require_memory(
        8 * (n * n + at_once * (2 * n - 2) ** 2),
        f"averages between all subtrees of {n} models, {at_once} searches at once,",
    )
    distances = np.array(values, dtype=np.float64, order="C", copy=True)
    searches: list[tuple[str, Callable[[], _Search]]] = [
        ("given" if given else "neighbor joining", lambda: _from_tree(first, ids, distances))
    ]
    if not given:
        searches.append(("addition", lambda: _from_addition(distances)))
    with ThreadPoolExecutor(at_once) as pool:
        running = [(name, pool.submit(search)) for name, search in searches]
        done = [(name, search.result()) for name, search in running]
    name, best = done[0]
    start_length = best.start_length
    for other_name, other in done[1:]:
        if other.length < best.length - _TOLERANCE * best.length:
            name, best = other_name, other
    tree = _to_tree(ids, best, negative)
    return BalancedSearch(tree, name, start_length, best.length, best.interchanges, best.regrafts)


def balanced_length(tree: Tree, D: _Distances) -> float:
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
    from pyphylo.tree import _bme_kernels

    ids, values = _check_matrix(D)
    place = {name: number for number, name in enumerate(ids)}
    missing = [name for name in tree.tips if name not in place]
    if missing:
        raise InputError(f"{_some(missing)} of the tree have no distances; tree.shear drops tips")
    below = np.arange(tree.n_nodes - 1)
    ends = np.concatenate((below, tree.parent[:-1].astype(np.int64)))
    others = np.concatenate((tree.parent[:-1].astype(np.int64), below))
    degree = np.bincount(ends, minlength=tree.n_nodes)
    return float(
        _bme_kernels.path_sums(
            np.array(values, dtype=np.float64, order="C", copy=True),
            others[np.argsort(ends, kind="stable")],
            np.concatenate(([0], np.cumsum(degree))),
            np.array([place[name] for name in tree.tips], np.int64),
            1.0 / np.maximum(degree - 1.0, 1.0),
        )
    )


class _Search(NamedTuple):
    """A finished search: the tree as `_bme_kernels` has it, and how it went."""

    parent: NDArray[np.int64]
    child: NDArray[np.int64]
    lengths: NDArray[np.float64]
    start_length: float
    length: float
    interchanges: int
    regrafts: int


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


def _from_tree(tree: Tree, ids: tuple[str, ...], D: NDArray[np.float64]) -> _Search:
    parent, child = _hang(tree, ids)
    return _shorten(D, parent, child, np.empty((len(parent), len(parent))))


def _from_addition(D: NDArray[np.float64]) -> _Search:
    from pyphylo.tree import _bme_kernels

    n_nodes = 2 * len(D) - 2
    parent = np.empty(n_nodes, np.int64)
    child = np.empty((n_nodes, 2), np.int64)
    A = np.empty((n_nodes, n_nodes))
    _bme_kernels.add_tips(D, parent, child, A)
    return _shorten(D, parent, child, A)


def _shorten(
    D: NDArray[np.float64],
    parent: NDArray[np.int64],
    child: NDArray[np.int64],
    A: NDArray[np.float64],
) -> _Search:
    """Move until nothing saves; the averages are taken afresh after every round of moves."""
    from pyphylo.tree import _bme_kernels

    n = len(D)
    lengths = np.zeros(len(parent))

    def measure() -> float:
        _bme_kernels.fill_averages(D, parent, child, A)
        return float(_bme_kernels.branch_lengths(parent, child, A, lengths))

    start_length = length = measure()
    if not np.isfinite(length):
        raise WorkError(
            f"distances up to {np.abs(D).max():g} overflow float64 sums of {n} models; "
            "scale them down"
        )
    tolerance = _TOLERANCE * max(abs(length), float(D.max()))

    def repeat(one_round: Callable[[], int]) -> int:
        """How many moves were made. Rounds that measurably save nothing end it too."""
        nonlocal length
        total = 0
        while made := one_round():
            total += made
            before, length = length, measure()
            if not length < before:
                break
        return total

    interchanges = repeat(
        lambda: _bme_kernels.interchange(n, parent, child, A, tolerance, len(parent))
    )
    regrafts = repeat(lambda: _bme_kernels.regraft(n, parent, child, A, tolerance))
    return _Search(parent, child, lengths, start_length, length, interchanges, regrafts)


def _hang(tree: Tree, ids: tuple[str, ...]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tree hung from the first tip of `ids`, as `_bme_kernels` has it; all nodes resolved."""
    n = len(ids)
    parent = np.full(2 * n - 2, -1, np.int64)
    child = np.full((2 * n - 2, 2), -1, np.int64)
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
    return parent, child


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
