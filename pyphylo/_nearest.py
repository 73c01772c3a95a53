"""The closest relatives of one model, with error bars."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pyphylo import _core
from pyphylo._compare import some_names
from pyphylo._names import did_you_mean, whole_number
from pyphylo._one_against_all import OneAgainstAll, distance_errors
from pyphylo.alleles import AlleleTable
from pyphylo.errors import InputError, PyphyloWarning

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.store import SampleStore

__all__ = ["Relatives", "nearest", "nearest_relatives", "table_and_row"]

_FLOOR = 1e-10


@dataclass(frozen=True, eq=False)
class Relatives:
    """Models by their closeness to one model.

    Attributes
    ----------
    model : str
        The one model.
    names : tuple of str
        The closest first; of equals, the first by name.
    similarity, distance, error, lower, upper : ndarray of float64
        One a name; see `nearest`.
    """

    model: str
    names: tuple[str, ...]
    similarity: NDArray[np.float64]
    distance: NDArray[np.float64]
    error: NDArray[np.float64]
    lower: NDArray[np.float64]
    upper: NDArray[np.float64]

    def to_frame(self) -> pd.DataFrame:
        """One row a relative: model, similarity, distance, error, lower, upper."""
        import pandas as pd

        columns = ("similarity", "distance", "error", "lower", "upper")
        frame: pd.DataFrame = pd.DataFrame(
            {"model": list(self.names), **{name: getattr(self, name) for name in columns}}
        )
        return frame


def nearest(
    model: str | AlleleTable,
    among: AlleleTable | SampleStore | str | os.PathLike[str],
    k: int = 10,
    *,
    estimator: str = "plugin",
    confidence: float = 0.95,
    n_threads: int = 0,
) -> pd.DataFrame:
    r"""The closest relatives of one model, with error bars.

    Parameters
    ----------
    model : str or AlleleTable
        A model of `among` by name, or a table of one model that `among` does
        not have.
    among : AlleleTable, SampleStore or path of a store
        Of a store, the table that `cached_table` keeps beside it, by the
        paper's allele rule.
    k : int
        How many; 0: all.
    estimator : {"plugin", "unbiased"}
        As in `nei_similarity`.
    confidence : float
        Of the limits, between 0 and 1.
    n_threads : int
        0: all that this process may use. The result does not depend on it.

    Returns
    -------
    pandas.DataFrame
        Columns ``model``; ``similarity``, Nei's identity; ``distance``, Nei's
        distance :math:`-\log S`; ``error``, the distance's standard error over
        genes (jackknife; that of S divided by S), and ``lower`` and ``upper``, its
        limits at the given confidence (normal; never below 0). The most similar model
        comes first, of equals the first by name. Errors are NaN where models share a
        single gene, or no allele.

    Raises
    ------
    InputError
        When the model is unknown (a close name is suggested), there is no other
        model, or an argument is out of range.

    Notes
    -----
    O(nnz + models x genes) time: one pass over the table, not all pairs. A
    model without a common gene is no relative and left out, with a warning.
    Nei (1972) Am. Nat. 106:283; Tukey (1958) Ann. Math. Stat. 29:614.
    """
    relatives = nearest_relatives(
        model, among, k, estimator=estimator, confidence=confidence, n_threads=n_threads
    )
    return relatives.to_frame()


def nearest_relatives(
    model: str | AlleleTable,
    among: AlleleTable | SampleStore | str | os.PathLike[str],
    k: int = 10,
    *,
    estimator: str = "plugin",
    confidence: float = 0.95,
    n_threads: int = 0,
    stacklevel: int = 3,
) -> Relatives:
    """What `nearest` returns, without pandas."""
    k = whole_number(k, "k", 0)
    n_threads = whole_number(n_threads, "n_threads", 0)
    if not isinstance(confidence, (int, float)) or not 0 < confidence < 1:
        raise InputError(f"confidence must be between 0 and 1, not {confidence!r}")
    table, row = table_and_row(model, among)
    if len(table.models) < 2:
        raise InputError(f"there is no other model than {table.models[row]!r}")
    pairs = OneAgainstAll(table, row, estimator, n_threads, stacklevel + 1)
    similarity = pairs.similarities()
    names = np.array(table.models, dtype=object)
    known = ~np.isnan(similarity)
    known[row] = True
    if not known.all():
        strange = [repr(name) for name in names[~known][:6]]
        warnings.warn(
            f"{some_names(strange, int((~known).sum()))} cannot be compared with "
            f"{table.models[row]!r}, for want of common genes or of repeated alleles",
            PyphyloWarning,
            stacklevel=stacklevel,
        )
    known[row] = False
    candidates = np.flatnonzero(known)
    by_name = candidates[np.argsort(names[candidates], kind="stable")]
    order = by_name[np.argsort(-similarity[by_name], kind="stable")]
    order = order[:k] if k else order
    pairs.select(order)
    distance = similarity[order].copy()
    error = distance_errors(distance, pairs.without_each_gene(), pairs.shared, _FLOOR)
    _core.take_distances(distance, _FLOOR)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * error
    return Relatives(
        table.models[row],
        tuple(names[order].tolist()),
        similarity[order],
        distance,
        error,
        np.maximum(distance - reach, 0.0),
        distance + reach,
    )


def table_and_row(
    model: str | AlleleTable, among: AlleleTable | SampleStore | str | os.PathLike[str]
) -> tuple[AlleleTable, int]:
    """One table with the model in it, and the model's row."""
    table = _table_of(among)
    if isinstance(model, AlleleTable):
        if len(model.models) != 1:
            raise InputError(
                f"a table of one model is wanted, not of {len(model.models)}: select(models=[name])"
            )
        return table.append(model), len(table.models)
    if not isinstance(model, str):
        raise InputError(
            f"model must be a name or an AlleleTable of one model, not {type(model).__name__}"
        )
    if model not in table.models:
        hint = did_you_mean(model, table.models)
        raise InputError(f"there is no model {model!r} among {len(table.models)}{hint}")
    return table, table.models.index(model)


def _table_of(among: AlleleTable | SampleStore | str | os.PathLike[str]) -> AlleleTable:
    if isinstance(among, AlleleTable):
        return among
    from pyphylo._table_cache import cached_table
    from pyphylo.store import SampleStore

    if isinstance(among, (str, os.PathLike)):
        return cached_table(SampleStore.open(os.fspath(among)))
    if isinstance(among, SampleStore):
        return cached_table(among)
    raise InputError(f"an AlleleTable or a SampleStore is wanted, not {type(among).__name__}")
