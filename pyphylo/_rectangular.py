"""Values of some models against others: no diagonal, no halves that mirror each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["RectangularMatrix"]


class RectangularMatrix:
    """Values of some models (rows) against others (columns).

    Attributes
    ----------
    ids : tuple of str
        Row models.
    other_ids : tuple of str
        Column models.
    values : ndarray of float32 or float64, shape (rows, columns)
    """

    def __init__(
        self, values: NDArray[Any], ids: tuple[str, ...], other_ids: tuple[str, ...]
    ) -> None:
        self.values = values
        self.ids = ids
        self.other_ids = other_ids

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """The matrix, for `numpy.asarray`."""
        return np.array(self.values, dtype=dtype, copy=bool(copy) or None)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self.ids)} x {len(self.other_ids)} models)"

    def to_frame(self) -> pd.DataFrame:
        """The matrix as a pandas DataFrame."""
        import pandas as pd

        rows, columns = list(self.ids), list(self.other_ids)
        frame: pd.DataFrame = pd.DataFrame(self.values, index=rows, columns=columns)
        return frame
