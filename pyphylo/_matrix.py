"""A square matrix whose ids travel with the numbers: what distances and similarities share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from pyphylo._memory import require_memory
from pyphylo._names import check_names, did_you_mean
from pyphylo.errors import FileFormatError, InputError

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.io.raw import RawMatrix

__all__ = ["LabelledMatrix", "square_of", "triangle_of"]

_M = TypeVar("_M", bound="LabelledMatrix")

_ROUNDING = {np.dtype(np.float32): 1e-4, np.dtype(np.float64): 1e-5}
"""Relative difference that two halves of a matrix may have through rounding to text."""
_ABSOLUTE = 2e-6
"""Absolute difference likewise: six decimals, rounded either way, with room."""
_ROWS = 1024
"""Rows checked at once, so that a check takes little memory beside the matrix."""


class LabelledMatrix:
    """Symmetric, with a constant diagonal; see `DistanceMatrix` and `SimilarityMatrix`."""

    kind: ClassVar[str]
    diagonal: ClassVar[float]

    def __init__(
        self,
        values: ArrayLike,
        ids: Iterable[str],
        *,
        allow_nan: bool = False,
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        self.ids: tuple[str, ...] = check_names(ids, "model")
        given = _square_or_triangle(values, self.ids)
        check = self._checked if given.ndim == 2 else self._checked_triangle
        self._values = check(given, allow_nan)
        self._values.setflags(write=False)
        self.provenance: dict[str, Any] = dict(provenance or {})

    @classmethod
    def _trusted(
        cls: type[_M],
        values: NDArray[Any],
        ids: tuple[str, ...],
        provenance: Mapping[str, Any],
    ) -> _M:
        """A matrix of values that pyphylo computed itself: taken as they are, not copied.

        They may be square or condensed.
        """
        matrix = cls.__new__(cls)
        matrix.ids = ids
        matrix._values = values.view()
        matrix._values.setflags(write=False)
        matrix.provenance = dict(provenance)
        return matrix

    def _checked(self, values: NDArray[Any], allow_nan: bool) -> NDArray[Any]:
        """The values, exactly symmetric with an exact diagonal; refused where they are not so."""
        self._check_diagonal(values)
        symmetric = True
        for start in range(0, len(values), _ROWS):
            stop = min(start + _ROWS, len(values))
            lower, mirror = values[start:stop, :stop], values[:stop, start:stop].T
            self._check_values(lower, start, allow_nan)
            self._check_values(values[start:stop, stop:], start, allow_nan, stop)
            symmetric &= self._check_symmetry(lower, mirror, start)
        if symmetric and (np.diagonal(values) == self.diagonal).all() and not (values < 0).any():
            return values
        values = values.copy()
        if not symmetric:
            values += values.T.copy()
            values *= values.dtype.type(0.5)
        np.maximum(values, 0, out=values)
        np.fill_diagonal(values, self.diagonal)
        return values

    def _checked_triangle(self, values: NDArray[Any], allow_nan: bool) -> NDArray[Any]:
        """The upper triangle by rows, not negative; refused where it is no number."""
        n = len(self.ids)
        start = 0
        for i in range(n - 1):
            self._check_values(values[None, start : start + n - 1 - i], i, allow_nan, i + 1)
            start += n - 1 - i
        kept: NDArray[Any] = np.maximum(values, 0)
        return kept

    def _check_diagonal(self, values: NDArray[Any]) -> None:
        off = ~(np.abs(np.diagonal(values) - self.diagonal) <= _ABSOLUTE)
        if off.any():
            i = int(off.argmax())
            raise InputError(
                f"the {self.kind} of model {self.ids[i]!r} to itself must be "
                f"{self.diagonal:g}, not {values[i, i]:g}{self._diagonal_hint(values)}"
            )

    def _diagonal_hint(self, values: NDArray[Any]) -> str:
        return ""

    def _check_values(
        self, rows: NDArray[Any], first_row: int, allow_nan: bool, first_column: int = 0
    ) -> None:
        with np.errstate(invalid="ignore"):
            nan = np.isnan(rows)
            bad = (rows < -_ABSOLUTE) | np.isinf(rows)
        if not allow_nan:
            bad |= nan
        if bad.any():
            i, j = (int(k) for k in np.argwhere(bad)[0])
            pair = self._pair(first_row + i, first_column + j)
            raise InputError(
                f"the {self.kind} of {pair} is {rows[i, j]:g}; it must be a number of at least 0"
            )

    def _check_symmetry(self, lower: NDArray[Any], mirror: NDArray[Any], first_row: int) -> bool:
        """Whether the two halves are equal; refused where they differ by more than rounding."""
        if np.array_equal(lower, mirror, equal_nan=True):
            return True
        tolerance = _ROUNDING[lower.dtype]
        close = np.isclose(lower, mirror, rtol=tolerance, atol=_ABSOLUTE, equal_nan=True)
        if not close.all():
            i, j = (int(k) for k in np.argwhere(~close)[0])
            raise InputError(
                f"the matrix is not symmetric: the {self.kind} of {self._pair(first_row + i, j)} "
                f"is {lower[i, j]:g}, the other way round {mirror[i, j]:g}"
            )
        return False

    def _pair(self, i: int, j: int) -> str:
        return f"models {self.ids[i]!r} and {self.ids[j]!r}"

    @property
    def stored(self) -> NDArray[Any]:
        """The numbers as they are kept, square or condensed, read-only; perhaps a mapped file."""
        return self._values

    @property
    def values(self) -> NDArray[Any]:
        """The square matrix, read-only, float32 or float64. A condensed one is made anew."""
        if self._values.ndim == 2:
            return self._values
        square = square_of(self._values, len(self.ids), self.diagonal)
        square.setflags(write=False)
        return square

    @property
    def condensed(self) -> NDArray[Any]:
        """The upper triangle by rows, shape (n (n - 1) / 2,), read-only.

        Of a square matrix it is made anew.
        """
        if self._values.ndim == 1:
            return self._values
        triangle = triangle_of(self._values)
        triangle.setflags(write=False)
        return triangle

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._values.dtype

    def __len__(self) -> int:
        return len(self.ids)

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """The square matrix, for `numpy.asarray`."""
        if dtype is not None and np.dtype(dtype) != self.dtype:
            if copy is False:
                raise ValueError(f"a copy is needed to turn {self.dtype} into {np.dtype(dtype)}")
            return self.values.astype(dtype)
        if self._values.ndim == 1 and copy is False:
            raise ValueError("a copy is needed to make a condensed matrix square")
        return self.values.copy() if copy and self._values.ndim == 2 else self.values

    def __eq__(self, other: object) -> bool:
        """Same ids and bits; the provenance may differ."""
        if type(other) is not type(self) or not isinstance(other, LabelledMatrix):
            return NotImplemented
        if self.ids != other.ids or self.dtype != other.dtype:
            return False
        if self._values.ndim == other._values.ndim:
            return np.array_equal(self._values, other._values, equal_nan=True)
        return np.array_equal(self.condensed, other.condensed, equal_nan=True)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self)} models, {self.dtype})"

    def _repr_html_(self) -> str:
        """The first models, as a notebook shows them."""
        from pyphylo._html import matrix_html

        return matrix_html(self)

    def __getitem__(self, pair: tuple[str, str]) -> float:
        """The value of a pair of models, by name."""
        # The letters of one name are names of nothing.
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise InputError(f"a value is of two models, such as D['a', 'b'], not of {pair!r}")
        i, j = sorted(self._positions(pair).tolist())
        if self._values.ndim == 2:
            return float(self._values[i, j])
        if i == j:
            return self.diagonal
        return float(self._values[i * (2 * len(self.ids) - i - 1) // 2 + j - i - 1])

    def _positions(self, ids: Iterable[str]) -> NDArray[np.intp]:
        index = {name: i for i, name in enumerate(self.ids)}
        wanted = tuple(ids)
        for name in wanted:
            if name not in index:
                hint = did_you_mean(name, self.ids)
                raise InputError(f"the matrix has no model {name!r}{hint}")
        return np.array([index[name] for name in wanted], dtype=np.intp)

    def filter(self: _M, ids: Iterable[str]) -> _M:
        """A new matrix of the given models, in the given order."""
        wanted = check_names(ids, "model")
        rows = self._positions(wanted)
        if self._values.ndim == 2:
            kept = self._values[np.ix_(rows, rows)]
        else:
            kept = _filtered(self._values, len(self.ids), rows)
        return self._trusted(kept, wanted, self.provenance)

    @classmethod
    def _mapped(cls: type[_M], raw: RawMatrix, path: str | Path, *, allow_nan: bool) -> _M:
        """A matrix on a file that only pyphylo writes."""
        try:
            ids = check_names(raw.ids, "model")
        except InputError as error:
            raise FileFormatError(f"{str(path)!r}: {error}") from None
        n = len(ids)
        if raw.values.shape not in ((n, n), (n * (n - 1) // 2,)):
            raise FileFormatError(f"{str(path)!r} has {n} ids, but shape {raw.values.shape}")
        matrix = cls._trusted(raw.values, ids, raw.provenance)
        if not allow_nan:
            for start in range(0, len(raw.values), _ROWS):
                if np.isnan(raw.values[start : start + _ROWS]).any():
                    raise InputError(
                        f"{str(path)!r}: the {cls.kind} of some pairs is NaN; drop these models, "
                        "or say that NaN is welcome (allow_nan)"
                    )
        return matrix

    def to_frame(self) -> pd.DataFrame:
        """The matrix as a pandas DataFrame, ids as index and columns."""
        import pandas as pd

        ids = list(self.ids)
        frame: pd.DataFrame = pd.DataFrame(self.values, index=ids, columns=ids)
        return frame

    def save(self, path: str | Path, *, strict: bool = False) -> None:
        """Write a matrix file, its format by suffix: .npz .npy .phy .csv .tsv .parquet.

        `strict` is of .phy: names in ten columns, longer ones refused.
        """
        from pyphylo.io.matrices import write_matrix

        write_matrix(self, path, strict=strict)

    @classmethod
    def load(
        cls: type[_M], path: str | Path, *, allow_nan: bool = False, strict: bool = False
    ) -> _M:
        """Read a matrix file, its format by suffix: .npz .npy .phy .csv .tsv .parquet.

        A ``.npy`` file that pyphylo wrote is mapped, not read, and its numbers
        are taken as they are, NaN included only where `allow_nan` is given. `strict` is
        of .phy: the first ten columns of a row are its name, blanks included.
        """
        from pyphylo.io.matrices import read_matrix

        raw = read_matrix(path, cls.kind, strict=strict)
        if raw.mapped:
            return cls._mapped(raw, path, allow_nan=allow_nan)
        try:
            return cls(raw.values, raw.ids, allow_nan=allow_nan, provenance=raw.provenance)
        except InputError as error:
            raise InputError(f"{str(path)!r}: {error}") from None


def triangle_of(square: NDArray[Any]) -> NDArray[Any]:
    """The upper triangle by rows, shape (n (n - 1) / 2,), of a square of shape (n, n)."""
    from scipy.spatial.distance import squareform

    if len(square) < 2:
        return np.empty(0, square.dtype)
    triangle: NDArray[Any] = squareform(square, checks=False)
    return triangle


def square_of(triangle: NDArray[Any], n: int, diagonal: float) -> NDArray[Any]:
    """The square, shape (n, n), of an upper triangle by rows; MemoryError where it does not fit."""
    from scipy.spatial.distance import squareform

    require_memory(triangle.itemsize * n * n, f"a square of {n} x {n} numbers")
    square: NDArray[Any] = np.zeros((n, n), triangle.dtype)
    if n > 1:
        square = squareform(triangle, checks=False)
    np.fill_diagonal(square, diagonal)
    return square


def _filtered(triangle: NDArray[Any], n: int, rows: NDArray[np.intp]) -> NDArray[Any]:
    """The upper triangle of some models of another, in their order."""
    kept = np.empty(len(rows) * (len(rows) - 1) // 2, triangle.dtype)
    start = 0
    for k in range(len(rows) - 1):
        low = np.minimum(rows[k], rows[k + 1 :])
        high = np.maximum(rows[k], rows[k + 1 :])
        part = triangle[low * (2 * n - low - 1) // 2 + high - low - 1]
        kept[start : start + len(part)] = part
        start += len(part)
    return kept


def _square_or_triangle(values: ArrayLike, ids: tuple[str, ...]) -> NDArray[Any]:
    """A C-ordered float array, square or condensed, that fits the ids."""
    try:
        array = np.asarray(values)
    except ValueError as error:
        raise InputError(f"the matrix is not square: {error}") from None
    if array.dtype.kind not in "fiu":
        raise InputError(f"a matrix holds numbers, not {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    n = len(ids)
    if array.ndim == 1:
        if len(array) != n * (n - 1) // 2:
            raise InputError(
                f"a condensed matrix of {n} models has {n * (n - 1) // 2} values, not {len(array)}"
            )
        return array
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        shape = " x ".join(map(str, array.shape))
        raise InputError(f"the matrix is not square: {shape}")
    if len(array) != n:
        raise InputError(f"the matrix has {len(array)} rows, but {n} ids were given")
    return np.array(array, order="C")
