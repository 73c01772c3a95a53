"""How many genes and probes an error asks for, and what error they leave."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pyphylo._names import whole_number
from pyphylo.errors import InputError
from pyphylo.stats.intervals import LEAST_GENES
from pyphylo.stats.variance import QUANTITIES, VarianceComponents

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PROMPT_COST", "SamplingPlan", "error_surface", "plan_sampling", "typical_components"]

PROMPT_COST = 5.0
"""What reading a prompt costs, in probes: a probe takes some two tokens beside its first."""
_PROBES = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 512, 1024)
_GENES = (8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
_MOST_GENES = 1_000_000


@dataclass(frozen=True, eq=False)
class SamplingPlan:
    """Genes and probes for an error.

    Attributes
    ----------
    error : float
        What was asked for.
    quantity : {"similarity", "distance"}
    fixed_genes : bool
    choices : pandas.DataFrame
        One row a choice, by probes: genes, probes, cost (in probes, prompts included),
        error (that of the choice), plugin_error (that of the plug-in estimator there).
    genes, probes : int
        The cheapest choice.
    expected : float
        Its error.
    """

    error: float
    quantity: str
    fixed_genes: bool
    choices: pd.DataFrame
    genes: int
    probes: int
    expected: float

    def __repr__(self) -> str:
        return (
            f"SamplingPlan({self.genes} genes, {self.probes} probes: error {self.expected:.3g} of "
            f"the {self.quantity})"
        )


def plan_sampling(
    error: float,
    components: VarianceComponents | None = None,
    *,
    genes: int | None = None,
    probes: int | None = None,
    quantity: str = "similarity",
    fixed_genes: bool = False,
    prompt_cost: float = PROMPT_COST,
) -> SamplingPlan:
    """The cheapest numbers of genes and probes that leave an error no larger than wanted.

    Parameters
    ----------
    error : float
        Root mean square error over pairs of models, of the unbiased estimator.
    components : VarianceComponents, optional
        Of a store that is like what will be sampled. By default typical ones,
        measured on twelve small models of two origins.
    genes, probes : int, optional
        Fix one of the two. By default both are free.
    quantity : {"similarity", "distance"}
        What the error is of.
    fixed_genes : bool
        Whether the error is meant against the same genes with endless probes,
        rather than against all prompts that genes are drawn from.
    prompt_cost : float
        What reading a gene's prompt costs, in probes.

    Returns
    -------
    SamplingPlan

    Raises
    ------
    InputError
        When no number of probes reaches the error with the genes given, with
        the genes that it takes.

    Notes
    -----
    With ``v(n)`` the variance of a gene (see `VarianceComponents`), n probes need
    ``v(n) / error^2`` genes, which cost ``genes * (prompt_cost + n)``. Fewer than 8, which no
    interval is made of, are not recommended: the variance is that of many genes.
    """
    components = typical_components() if components is None else components
    error = _positive(error, "error")
    prompt_cost = _positive(prompt_cost, "prompt_cost", least=0.0)
    if quantity not in QUANTITIES:
        raise InputError(f"unknown quantity {quantity!r}; known: 'similarity', 'distance'")
    options: dict[str, Any] = {"quantity": quantity, "fixed_genes": fixed_genes}
    tried = np.array(_PROBES if probes is None else [whole_number(probes, "probes", 2)])
    needed = np.maximum(components.error(1, tried, **options) ** 2 / error**2, LEAST_GENES)
    if genes is None:
        wanted = np.ceil(np.minimum(needed, _MOST_GENES) - 1e-9).astype(np.int64)
        enough = needed <= _MOST_GENES
    else:
        most = whole_number(genes, "genes", 1)
        _check_reachable(components, error, most, probes, options)
        if probes is None:
            tried = np.array([_least_probes(components, error, most, options)])
        wanted, enough = np.full(len(tried), most), np.ones(len(tried), np.bool_)
    if not enough.any():
        raise InputError(f"an error of {error:g} takes more than {_MOST_GENES} genes")
    frame = _rows(components, wanted[enough], tried[enough], prompt_cost, options)
    best = frame.iloc[int(frame["cost"].to_numpy().argmin())]
    return SamplingPlan(
        error,
        quantity,
        fixed_genes,
        frame,
        int(best["genes"]),
        int(best["probes"]),
        float(best["error"]),
    )


def error_surface(
    components: VarianceComponents | None = None,
    genes: Sequence[int] = _GENES,
    probes: Sequence[int] = _PROBES[:13],
    *,
    quantity: str = "similarity",
    fixed_genes: bool = False,
    prompt_cost: float = PROMPT_COST,
) -> pd.DataFrame:
    """The expected error at every number of genes and of probes.

    Parameters are those of `plan_sampling`.

    Returns
    -------
    pandas.DataFrame
        One row a choice: genes, probes, cost, error, plugin_error.
    """
    components = typical_components() if components is None else components
    rows = [whole_number(g, "genes", 1) for g in genes]
    columns = [whole_number(n, "probes", 2) for n in probes]
    if not rows or not columns:
        raise InputError("a surface needs numbers of genes and of probes")
    prompt_cost = _positive(prompt_cost, "prompt_cost", least=0.0)
    grid = np.meshgrid(rows, columns, indexing="ij")
    options: dict[str, Any] = {"quantity": quantity, "fixed_genes": fixed_genes}
    return _rows(components, grid[0].ravel(), grid[1].ravel(), prompt_cost, options)


def typical_components() -> VarianceComponents:
    """Components of twelve models on the mathematics genome, their means over pairs of a kind.

    Eight variants of SmolLM2-135M-Instruct and four models of a million parameters, 128
    genes, 32 probes, temperature 1. Such models say many different things; stronger
    ones agree more with themselves and need fewer genes.
    """
    numbers = np.array(_TYPICAL).T
    pairs = tuple((f"typical {k}", f"typical {k}, other") for k in range(len(_TYPICAL)))
    return VarianceComponents(
        pairs,
        numbers[0],
        numbers[1:3],
        np.full(len(_TYPICAL), 128),
        numbers[3],
        numbers[4:7],
        (numbers[4] / 32 + numbers[5] / 32**2 + numbers[6] / (32 * 31)) / 128,
    )


_TYPICAL = (
    (0.0391, 0.0873, 0.0889, 0.0441, 0.271, 0.280, 0.0123),
    (0.0821, 0.0645, 0.0847, 0.1590, 0.644, 0.613, 0.0787),
    (0.1110, 0.0416, 0.1080, 0.3850, 0.769, 1.040, 0.1690),
    (0.1700, 0.0688, 0.0698, 0.3650, 1.230, 1.360, 0.3340),
    (0.4380, 0.0722, 0.0756, 0.3070, 2.340, 3.790, 2.0700),
    (0.7760, 0.1490, 0.1360, 0.1540, 0.940, 2.780, 2.3800),
)
"""S, the two self terms, and between and within variances: means over sixths of the pairs, by S."""


def _rows(
    components: VarianceComponents,
    genes: NDArray[np.int64],
    probes: NDArray[np.int64],
    prompt_cost: float,
    options: dict[str, Any],
) -> pd.DataFrame:
    import pandas as pd

    frame: pd.DataFrame = pd.DataFrame(
        {
            "genes": genes,
            "probes": probes,
            "cost": genes * (prompt_cost + probes),
            "error": components.error(genes, probes, **options),
            "plugin_error": components.plugin_error(genes, probes, **options),
        }
    )
    return frame


def _check_reachable(
    components: VarianceComponents,
    error: float,
    genes: int,
    probes: int | None,
    options: dict[str, Any],
) -> None:
    """Refuse genes that leave more than the error, whatever the probes."""
    n = math.inf if probes is None else probes
    left = float(components.error(genes, n, **options))
    if left <= error:
        return
    needed = math.ceil(float(components.error(1, n, **options)) ** 2 / error**2)
    how = "endless probes" if probes is None else f"{probes} probes"
    raise InputError(
        f"{genes} genes leave an error of {left:.3g} with {how}; an error of {error:g} takes "
        f"{needed} genes"
    )


def _least_probes(
    components: VarianceComponents, error: float, genes: int, options: dict[str, Any]
) -> int:
    """The fewest probes that leave the error; there are some."""
    low, high = 1, 2
    while float(components.error(genes, high, **options)) > error:
        if high >= 2**30:
            raise InputError(
                f"an error of {error:g} with {genes} genes takes more than {high} probes: use more "
                "genes"
            )
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if float(components.error(genes, middle, **options)) > error:
            low = middle
        else:
            high = middle
    return high


def _positive(value: Any, name: str, least: float | None = None) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise InputError(f"{name} must be a number, not {value!r}")
    if (least is None and value <= 0) or (least is not None and value < least):
        limit = "above 0" if least is None else f"of at least {least:g}"
        raise InputError(f"{name} must be a number {limit}, not {value!r}")
    return float(value)
