"""Trees of replicates: a block of resampled distances at a time, their trees side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from pyphylo import _core
from pyphylo._memory import available_bytes, byte_count, require_memory
from pyphylo._names import whole_number
from pyphylo.distance import DistanceMatrix
from pyphylo.errors import InputError
from pyphylo.resampling import Replicates, resample_similarity
from pyphylo.tree.build import METHODS, build_tree
from pyphylo.tree.nj import neighbor_joining
from pyphylo.tree.tree import Tree

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleTable

__all__ = ["Bootstrap", "Method", "checked_tree"]

_T = TypeVar("_T")
Method = str | Callable[[DistanceMatrix], Tree]
_MATRICES_A_TREE = 2.25
"""Squares of distances that a tree takes while it is built: in its own order, and to be joined."""


class Bootstrap:
    """Replicates of a table, and their trees: a block of replicates, then trees in parallel."""

    def __init__(
        self,
        table: AlleleTable,
        n: int,
        seed: int,
        method: Method,
        estimator: str,
        floor: float,
        dtype: str,
        n_threads: int,
        max_memory: int | str | None,
    ) -> None:
        if dtype not in ("float64", "float32"):
            raise InputError(f'dtype must be "float64" or "float32", not {dtype!r}')
        self._threads = whole_number(n_threads, "n_threads", 0) or _core.available_threads()
        self._seed = whole_number(seed, "seed", 0)
        self._method = _checked_method(method)
        self._dtype = dtype
        self._replicates: Replicates = resample_similarity(
            table,
            n=n,
            seed=seed,
            estimator=estimator,
            dtype=dtype,
            n_threads=n_threads,
            max_memory=None if max_memory is None else byte_count(max_memory, "max_memory"),
        ).distances(floor)
        models = len(self._replicates.ids)
        if models < 2:
            raise InputError(f"a tree needs at least two models, not {models}")
        # One byte more for the check that every number is finite.
        self._tree_bytes = models * models * int(_MATRICES_A_TREE * np.dtype(dtype).itemsize + 1)

    def __len__(self) -> int:
        return len(self._replicates)

    def each(self, task: Callable[[Tree], _T], progress: bool | None) -> Iterator[_T]:
        """What `task` makes of each replicate's tree, in order."""
        self._require_memory()
        # By default on a terminal only, and only where the work takes long enough to look.
        hidden, delay = (None, 0.5) if progress is None else (not progress, 0.0)
        with tqdm(
            total=len(self), desc="bootstrap", unit="tree", disable=hidden, delay=delay
        ) as bar:
            for first, block in self._replicates.blocks():
                for made in self._each_of(first, block, task):
                    bar.update()
                    yield made

    def _require_memory(self) -> None:
        """Refuse what would not fit: a block of replicates, and one tree."""
        of = self._replicates
        block = min(len(self), of._replicates_at_once()) * of.n_pairs * of.dtype.itemsize
        require_memory(
            block + self._tree_bytes,
            f"replicates of {len(of.ids)} models, and the tree of one, as {self._dtype}",
        )

    def _each_of(self, first: int, block: NDArray[Any], task: Callable[[Tree], _T]) -> Iterator[_T]:
        """What `task` makes of the trees of one block."""
        workers = max(1, min(self._threads, len(block), self._trees_that_fit()))
        threads_a_tree = max(1, self._threads // workers)

        def work(row: int) -> _T:
            return task(self._tree(first + row, block[row], threads_a_tree))

        with ThreadPoolExecutor(workers) as pool:
            waiting = [pool.submit(work, row) for row in range(len(block))]
            try:
                for done in waiting:
                    yield done.result()
            finally:
                # After an error or Ctrl-C only the trees being built are waited for.
                pool.shutdown(wait=False, cancel_futures=True)

    def _trees_that_fit(self) -> int:
        """Trees that memory leaves room to build at once."""
        available = available_bytes()
        return self._threads if available is None else available // self._tree_bytes

    def _tree(self, index: int, condensed: NDArray[Any], n_threads: int) -> Tree:
        """The tree of one replicate, its models in a random order."""
        from pyphylo.tree import _reorder

        ids = self._replicates.ids
        n = len(ids)
        self._check_finite(index, condensed)
        words = np.random.Philox(key=np.array([self._seed, index], np.uint64))
        order = np.argsort(words.random_raw(n), kind="stable")
        place = np.empty(n, np.int64)
        place[order] = np.arange(n)
        shuffled = np.empty((n, n), condensed.dtype)
        _reorder.reorder(condensed, place, shuffled)
        D = DistanceMatrix._trusted(
            shuffled, tuple(ids[i] for i in order), self._replicates.provenance
        )
        if self._method == "nj":
            return neighbor_joining(D, dtype=self._dtype, n_threads=n_threads)
        if isinstance(self._method, str):
            return build_tree(D, self._method, n_threads=n_threads)[0]
        return checked_tree(self._method(D))

    def _check_finite(self, index: int, condensed: NDArray[Any]) -> None:
        # A sum is NaN where a term is, and distances are neither negative nor infinite.
        if not np.isnan(condensed.sum()):
            return
        ids = self._replicates.ids
        pair = int(np.isnan(condensed).argmax())
        rows, columns = np.triu_indices(len(ids), 1)
        raise InputError(
            f"models {ids[rows[pair]]!r} and {ids[columns[pair]]!r} have no distance in replicate "
            f"{index}: they share few genes, and none of those was drawn (or, estimator "
            '"unbiased", their self terms were zero); sample the genes that they lack, or leave '
            "one of the two out: table.select(models=...) and tree.shear(...)"
        )


def _checked_method(method: Method) -> Method:
    if method not in METHODS and not callable(method):
        raise InputError(
            f"method must be one of {', '.join(METHODS)}, or a function of a DistanceMatrix that "
            f"returns a Tree, not {method!r}"
        )
    return method


def checked_tree(tree: Tree) -> Tree:
    if not isinstance(tree, Tree):
        raise InputError(f"supports are of a Tree, not {type(tree).__name__}")
    return tree
