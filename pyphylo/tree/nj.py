"""Neighbor joining (Saitou & Nei 1987) and BIONJ (Gascuel 1997), exact."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo._memory import require_memory
from pyphylo._names import whole_number
from pyphylo.errors import InputError, WorkError
from pyphylo.tree._given import Distances, check_finite, checked_stored
from pyphylo.tree.tree import Tree

if TYPE_CHECKING:
    from pyphylo.tree._nj_search import Nodes

__all__ = ["bionj", "neighbor_joining"]

_ROWS_A_TASK = 256
"""Rows that one thread bounds before it takes more."""


def neighbor_joining(
    D: Distances, *, negative: str = "clamp", dtype: str = "float64", n_threads: int = 0
) -> Tree:
    """The neighbor-joining tree of a distance matrix.

    The pair with the smallest ``(m - 2) d_ij - r_i - r_j`` is joined until three
    nodes are left, m being the nodes left and r their row sums. Among equals the
    lexicographically first pair i < j is taken, by position in the matrix; the new
    node takes i's position. The search is exact, not heuristic, and its result is
    the same for every number of threads.

    Parameters
    ----------
    D : DistanceMatrix
        At least two models; symmetric.
    negative : {"clamp", "keep"}
        What becomes of a negative branch length. "clamp" makes it zero and moves it
        to the sibling, so that the path between the two keeps its length (at the
        trifurcation: to both siblings); what is negative even then becomes zero.
        "keep" leaves it. Neither changes the topology.
    dtype : {"float64", "float32"}
        What distances are stored in while joining. Row sums are float64 in either
        case. "float32" halves the memory and is exact for the values as stored.
    n_threads : int
        Threads for the first pass over the matrix; 0: all cores that this process may
        use. The joins depend on each other and run on one.

    Returns
    -------
    Tree
        Unrooted: the root is a trifurcation. Tips are in the order of ``D.ids``, and
        node n + t is the t-th join. Two models give one branch, with the root in its
        middle.

    Raises
    ------
    InputError
        When D is not a DistanceMatrix, has fewer than two models or holds a value
        that is not finite (the pair is named), or an argument is unknown.
    WorkError
        When distances are so large that sums overflow.
    MemoryError
        When the working copy does not fit; the number is named, and nothing taken.

    Notes
    -----
    Needs a working copy of the matrix with room for new nodes: 10 n^2 bytes, or
    5 n^2 as float32. Time is
    O(n^2) on distances that resemble a tree, O(n^3) at worst.

    References
    ----------
    Saitou & Nei (1987), Mol Biol Evol 4(4), 406-425.
    Studier & Keppler (1988), Mol Biol Evol 5(6), 729-731.
    """
    return _tree("neighbor_joining", D, negative, dtype, n_threads)


def bionj(
    D: Distances, *, negative: str = "clamp", dtype: str = "float64", n_threads: int = 0
) -> Tree:
    """The BIONJ tree of a distance matrix: neighbor joining that heeds how sure distances are.

    Pairs are chosen as in `neighbor_joining`, ties included. The distances of the
    new node weight those of the two joined so that their variance is least, the
    variance of a distance being proportional to it and covariances to the branches
    shared (Gascuel 1997, equations 3, 9 and 10); weights keep to 0..1, and are 1/2
    where the two joined have no variance between them.

    Parameters, returns and raises as `neighbor_joining`.

    Notes
    -----
    Needs two working copies of the matrix: 20 n^2 bytes, or 10 n^2 as float32.

    References
    ----------
    Gascuel (1997), Mol Biol Evol 14(7), 685-695.
    """
    return _tree("bionj", D, negative, dtype, n_threads)


def _tree(method: str, D: Distances, negative: str, dtype: str, n_threads: int) -> Tree:
    _check_options(negative, dtype)
    n_threads = whole_number(n_threads, "n_threads", 0) or _core.available_threads()
    ids, values = checked_stored(D, method, finite=False)
    n = len(ids)
    if n == 2 or values.ndim == 2:
        check_finite(ids, values)  # of a condensed matrix, the sums of the search tell
    if n == 2:
        half = float(values[0, 1] if values.ndim == 2 else values[0]) / 2
        if negative == "clamp":
            half = max(half, 0.0)
        return Tree(ids, [2, 2, -1], [half, half, 0.0])
    children, lengths = _search(ids, values, dtype, n_threads, variances=method == "bionj")
    if negative == "clamp":
        _clamp(lengths)
    parent = np.full(2 * n - 2, -1, np.int32)
    length = np.zeros(2 * n - 2)
    joined = children >= 0
    parent[children[joined]] = n + np.nonzero(joined)[0]
    length[children[joined]] = lengths[joined]
    return Tree(ids, parent, length)


def _check_options(negative: str, dtype: str) -> None:
    if negative not in ("clamp", "keep"):
        raise InputError(f'negative must be "clamp" or "keep", not {negative!r}')
    if dtype not in ("float64", "float32"):
        raise InputError(f'dtype must be "float64" or "float32", not {dtype!r}')


def _search(
    ids: tuple[str, ...],
    values: NDArray[np.floating[Any]],
    dtype: str,
    n_threads: int,
    *,
    variances: bool,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The joins, in order: children of node n + t, and their branch lengths."""
    from pyphylo.tree import _nj_rows, _nj_search

    n = len(ids)
    copies = 2 if variances else 1
    N = _nj_rows.columns(n)
    pitch = _nj_rows.pitch(n, np.dtype(dtype).itemsize)
    require_memory(
        copies * n * pitch * np.dtype(dtype).itemsize,
        f"{n} x {n} distances to be joined as {dtype}",
    )
    matrix = _core.matrix_float32 if dtype == "float32" else _core.matrix_float64
    work = matrix(n, pitch)
    spans = [(s, min(n, s + _ROWS_A_TASK)) for s in range(0, n, _ROWS_A_TASK)]
    with _Tasks(min(n_threads, len(spans))) as tasks, np.errstate(over="ignore"):
        sizes = tasks.run(_core.fill_distances, [(values, work, n, *span) for span in spans])
        largest = max(sizes)
        spread = np.empty((0, 0), work.dtype)
        if variances:
            spread = matrix(n, pitch)
            np.copyto(spread[:, :n], work[:, :n])
        nodes = _nj_search.Nodes(
            R=np.full(N, _nj_rows.DEAD),
            u=np.full(N, -np.inf),
            place=np.arange(N),
            at=np.arange(N),
            ident=np.arange(N),
            low=np.full(N, np.inf),
            bounds=np.empty((N, -(-N // _nj_rows.BLOCK))),
            near=np.full(N, np.inf),
            partner=np.zeros(N, np.int64),
        )
        tasks.run(_nj_rows.sum_rows, [(work, nodes.at, nodes.R[:n], *span) for span in spans])
        if not np.isfinite(nodes.R[:n]).all():
            check_finite(ids, values)  # any distance that is not shows in a sum
            raise _overflow(values, n, dtype)
        if n > 3:
            np.divide(nodes.R[:n], n - 2, out=nodes.u[:n])
            pad = _nj_search.padding(largest, np.zeros(1))
            tasks.run(_nj_search.scan_rows, [(work, nodes, n, pad, *span) for span in spans])
    return _join(values, work, spread, nodes, largest)


def _join(
    values: NDArray[np.floating[Any]],
    work: NDArray[Any],
    spread: NDArray[Any],
    nodes: Nodes,
    largest: float,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Join what is filled; between the joins gaps are closed where they pay."""
    from pyphylo.tree import _nj_kernels, _nj_rows

    n = len(work)
    children = np.empty((n - 2, 3), np.int64)
    lengths = np.empty((n - 2, 3))
    kept = np.empty(_nj_rows.columns(n), np.int64)
    live = n
    for times in itertools.count():
        closed = live
        fresh = times > 0 and _nj_rows.sums_afresh(times, closed)
        live, largest = _nj_kernels.join_all(
            n, work, spread, nodes, largest, closed, fresh, kept, children, lengths
        )
        if live <= 0:
            break
        for square in (work, spread):
            if square.size:
                _core.close_gaps(square, nodes.at[:live], kept[:live], closed)
    if live == _nj_kernels.OVERFLOW or not np.isfinite(lengths).all():
        raise _overflow(values, n, str(work.dtype))
    return children, lengths


class _Tasks:
    """Runs kernels on spans of rows, in threads where there are more than one."""

    def __init__(self, n_threads: int) -> None:
        self._pool = ThreadPoolExecutor(n_threads) if n_threads > 1 else None

    def __enter__(self) -> _Tasks:
        return self

    def __exit__(self, *error: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def run(self, kernel: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
        """The kernel's results, in order."""
        if self._pool is None:
            return [kernel(*each) for each in arguments]
        return [done.result() for done in [self._pool.submit(kernel, *a) for a in arguments]]


def _overflow(values: NDArray[np.floating[Any]], n: int, dtype: str) -> WorkError:
    return WorkError(
        f"distances up to {np.abs(values).max():g} overflow {dtype} sums of {n} models; "
        "scale them down"
    )


def _clamp(lengths: NDArray[np.float64]) -> None:
    """Move negative lengths to the siblings, in place; what stays negative becomes zero."""
    pairs = lengths[:-1, :2]
    moved = pairs + np.minimum(pairs, 0.0)[:, ::-1]
    np.maximum(moved, 0.0, out=pairs)
    star = lengths[-1]
    deficit = np.minimum(star, 0.0)
    np.maximum(star + (deficit.sum() - deficit), 0.0, out=star)
