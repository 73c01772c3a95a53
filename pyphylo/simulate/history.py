"""Histories of models: populations that drift, merge and outlive their children's birth."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pyphylo._memory import require_memory
from pyphylo._names import whole_number
from pyphylo.alleles import AlleleTable
from pyphylo.errors import InputError
from pyphylo.simulate._descent import Descent
from pyphylo.simulate._draws import Draws
from pyphylo.simulate._populations import Population, drifted, root_population
from pyphylo.simulate._tabled import counts_of, tabled, tabled_exactly

if TYPE_CHECKING:
    import pandas as pd

    from pyphylo.tree.tree import Tree

__all__ = ["LEAST_DRIFT", "Admixture", "History", "checked_share", "simulate_history"]

_FIRST_DAY = datetime.date(2023, 1, 1)
_DAYS = 1000
"""Releases are spread evenly over so many days."""
LEAST_DRIFT = 0.001
"""Below it a step would take more than a thousand draws a gene."""

Range = tuple[float, float]


class Admixture(NamedTuple):
    """Where a merge comes from: `share` of `first`, the rest of `second`."""

    first: str
    second: str
    share: float


def simulate_history(
    n_models: int,
    n_genes: int = 128,
    n_probes: int = 32,
    *,
    family_size: int = 25,
    living: float = 0.5,
    admixed: float = 0.0,
    drift: float | Range = (0.02, 0.3),
    founder_drift: float | Range = (0.1, 0.4),
    mutation: float = 0.0,
    n_alleles: int = 48,
    declared: float = 0.5,
    seed: int = 0,
) -> History:
    r"""A random history of models, their true tree, and samples of them.

    Models are released one after the other. A founder drifts from a root that is
    common to all families. Every other model descends from one that was released
    before, which lives on unchanged; the more children a model has, the more it gets.
    A merge mixes two models of a family, neither of which descends from the other,
    and drifts from the mixture.

    Parameters
    ----------
    n_models : int
        Models in the table.
    n_genes, n_probes : int
    family_size : int
        One new model in so many is a founder.
    living : float
        Share of the ancestors that are in the table; others are hidden.
    admixed : float
        Share of the models with a parent that are merges, where a second parent is found.
    drift, founder_drift : float or (low, high)
        Amount f of a branch, drawn evenly from the range: 0, or from 0.001 to
        below 1. It is an :math:`F_{ST}`: from frequency p an allele moves to p' with
        :math:`E[p'] = p` and variance :math:`f p (1 - p)`, each gene by itself.
    mutation : float
        Share of each gene that turns into an allele nobody else has, on each branch
        before it drifts.
    n_alleles : int
        Alleles of the root at a gene; their frequencies follow Zipf's law.
    declared : float
        Share of the models with a living ancestor whose metadata name it.
    seed : int
        Another seed, another history. Gene g is the same whatever `n_genes` is.

    Returns
    -------
    History

    Raises
    ------
    InputError
        A number that is not whole, too small or outside its range.
    MemoryError
        When the frequencies would not fit.

    Notes
    -----
    p' is Dirichlet(p (1 - f) / f) (Balding & Nichols 1995, Genetica 96:3), by
    sticks broken off one after the other (Sethuraman 1994, Stat. Sinica 4:639); the
    last few are of fixed size, such that mean and variance are exact. So expected
    identities are, too: :math:`\sum p'^2` is on average :math:`f + (1 - f) \sum p^2`,
    and what two models share is on average what their last common ancestor had.

    Sticks take exp and log, whose last digits differ between machines. The history
    is the same on all; frequencies are to 1e-12, and so are counts, save where a
    draw falls that close to the border of two alleles.

    O(nodes * genes * (alleles + probes + 1 / drift)) time; 8 bytes for each node,
    gene and allele, nodes being the models, hidden ones included.

    Examples
    --------
    >>> history = simulate_history(50, 8, seed=1)
    >>> history
    History(50 models of 2 families, 11 hidden ancestors, 0 merges)
    """
    n_models = whole_number(n_models, "n_models", 1)
    n_genes = whole_number(n_genes, "n_genes", 1)
    n_probes = whole_number(n_probes, "n_probes", 1)
    family_size = whole_number(family_size, "family_size", 1)
    n_alleles = whole_number(n_alleles, "n_alleles", 1)
    seed = whole_number(seed, "seed", 0)
    amounts = _drift_range(drift, "drift"), _drift_range(founder_drift, "founder_drift")
    settings = {
        "n_probes": n_probes,
        "family_size": family_size,
        "living": checked_share(living, "living"),
        "admixed": checked_share(admixed, "admixed"),
        "drift": list(amounts[0]),
        "founder_drift": list(amounts[1]),
        "mutation": checked_share(mutation, "mutation"),
        "n_alleles": n_alleles,
        "declared": checked_share(declared, "declared"),
        "seed": seed,
    }
    descent = Descent.draw(n_models, family_size, living, admixed, seed)
    f = [
        low + u * (high - low)
        for parent, u in zip(
            descent.parent, Draws(seed, "amounts").uniform(len(descent)).tolist(), strict=True
        )
        for low, high in [amounts[parent < 0]]
    ]
    needed = 8 * len(descent) * n_genes * n_alleles
    require_memory(needed, f"frequencies of {len(descent)} populations over {n_genes} genes")
    populations = drifted(descent, f, root_population(seed, n_genes, n_alleles), mutation, seed)
    return History(descent, tuple(f), populations, settings)


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """What happened, and what was sampled of it. Made by `simulate_history`.

    Attributes
    ----------
    table : AlleleTable
        Counts of the models, in random order, named ``family/model``.
    models : tuple of str
        As in the table.
    parents : dict of str to (str or None)
        Of each model the nearest ancestor in the table, None where there is none. Of
        a merge, upwards through the larger share.
    admixed : dict of str to Admixture
        The merges among the models. Their parents may be hidden.
    drift : dict of str to float
        Amount of the branch above each node, hidden ones included.
    nodes : pandas.DataFrame
        Every node, hidden ones included, as released: node, family, parent (empty for
        a founder), second_parent and share (of merges), drift, date, hidden.
    metadata : pandas.DataFrame
        A row a model: model, family, base_model (None where it is not declared),
        date, params_b.
    tree : Tree
        The true tree of the models.
    settings : dict
    """

    _descent: Descent
    _f: tuple[float, ...]
    _populations: tuple[Population, ...]
    """Of every node, and last the root."""
    settings: dict[str, Any]

    def __repr__(self) -> str:
        founders = sum(parent < 0 for parent in self._descent.parent)
        return (
            f"History({len(self.models)} models of {founders} families, "
            f"{sum(self._descent.hidden)} hidden ancestors, {len(self.admixed)} merges)"
        )

    @cached_property
    def _names(self) -> list[str]:
        return self._descent.names()

    @cached_property
    def _sampled(self) -> list[int]:
        """Nodes of the table, in its order."""
        return [v for v in self._descent.order if not self._descent.hidden[v]]

    @cached_property
    def models(self) -> tuple[str, ...]:
        """Names in the table's order."""
        return tuple(self._names[v] for v in self._sampled)

    @cached_property
    def parents(self) -> dict[str, str | None]:
        """Of each model the nearest ancestor in the table."""
        nearest = self._descent.living_ancestor()
        return {self._names[v]: self._name(nearest[v]) for v in self._sampled}

    @cached_property
    def admixed(self) -> dict[str, Admixture]:
        """The merges among the models."""
        of = self._descent
        return {
            self._names[v]: Admixture(
                self._names[of.parent[v]], self._names[of.other[v]], of.share[v]
            )
            for v in self._sampled
            if of.other[v] >= 0
        }

    @cached_property
    def drift(self) -> dict[str, float]:
        """Amount of the branch above each node."""
        return dict(zip(self._names, self._f, strict=True))

    @cached_property
    def nodes(self) -> pd.DataFrame:
        """Every node, hidden ones included, as released."""
        import pandas as pd

        of = self._descent
        frame: pd.DataFrame = pd.DataFrame(
            {
                "node": self._names,
                "family": [name.partition("/")[0] for name in self._names],
                "parent": pd.Series([self._name(v) for v in of.parent], dtype=object),
                "second_parent": pd.Series([self._name(v) for v in of.other], dtype=object),
                "share": of.share,
                "drift": self._f,
                "date": self._dates,
                "hidden": of.hidden,
            }
        )
        return frame

    @cached_property
    def metadata(self) -> pd.DataFrame:
        """What a table of metadata would say of the models."""
        import pandas as pd

        seed, declared = self.settings["seed"], self.settings["declared"]
        says = Draws(seed, "declared").uniform(len(self._descent)) < declared
        base = [self.parents[self._names[v]] if says[v] else None for v in self._sampled]
        sizes = self._descent.sizes(seed)
        frame: pd.DataFrame = pd.DataFrame(
            {
                "model": self.models,
                "family": [name.partition("/")[0] for name in self.models],
                "base_model": pd.Series(base, dtype=object),
                "date": [self._dates[v] for v in self._sampled],
                "params_b": [sizes[v] for v in self._sampled],
            }
        )
        return frame

    @cached_property
    def table(self) -> AlleleTable:
        """Counts of the models."""
        n_probes, seed = self.settings["n_probes"], self.settings["seed"]
        counts = (
            counts_of(self._populations[v].frequencies, n_probes, Draws(seed, "probes", v))
            for v in self._sampled
        )
        table = tabled(AlleleTable.from_counts, self.models, self._of_models, counts)
        table.provenance["simulation"] = dict(self.settings)
        return table

    def exact_table(self) -> AlleleTable:
        """The models' true frequencies, as exact cells."""
        return tabled_exactly(self.models, self._of_models, self.settings)

    def frequencies(self, node: str | None = None) -> NDArray[np.float64]:
        """True allele frequencies of a node, hidden or not; of the root by default.

        Shape (n_genes, alleles): the root's alleles, and where there are mutations one
        more for each node. Raises InputError where there is no such node.
        """
        if node is not None and node not in self._names:
            raise InputError(f"the history has no node {node!r}; nodes['node'] lists them")
        number = len(self._names) if node is None else self._names.index(node)
        alleles, frequencies = self._populations[number]
        width = self.settings["n_alleles"]
        if self.settings["mutation"]:
            width += len(self._names)
        full = np.zeros((len(frequencies), width))
        full[:, alleles] = frequencies
        return full

    @cached_property
    def tree(self) -> Tree:
        """The true tree, rooted at the common root; lengths are expected Nei distances.

        A model that has descendants is a tip on a branch of length 0, at its node.
        Expected -log identities of two models add up along it: with J the
        homozygosity that is expected of a node, the branch from u down to v is
        ``log(J_v / J_u) / 2``, and -log(1 - mutation) more. Raises InputError
        where there are merges, hidden ones included: such a history is no tree.
        """
        from pyphylo.tree.tree import Tree

        of = self._descent
        if any(other >= 0 for other in of.other):
            raise InputError("a history with merges is no tree; simulate with admixed=0")
        n, n_models = len(of), len(self.models)
        is_ancestor = np.isin(np.arange(n), of.parent)
        # Internal nodes are numbered from the last released to the first; the root is the last.
        internal = [v for v in range(n - 1, -1, -1) if is_ancestor[v]] + [-1]
        number = {v: n_models + k for k, v in enumerate(internal)}
        tips = [number[v] if is_ancestor[v] else number[of.parent[v]] for v in self._sampled]
        above = [number[of.parent[v]] for v in internal[:-1]]
        length = self._expected_lengths()
        lengths = [0.0 if is_ancestor[v] else length[v] for v in self._sampled]
        lengths += [length[v] for v in internal[:-1]]
        return Tree(self.models, [*tips, *above, -1], [*lengths, 0.0]).shear(self.models)

    def _expected_lengths(self) -> list[float]:
        """Expected Nei distance between the ends of the branch above every node."""
        m = self.settings["mutation"]
        p = self._populations[-1].frequencies
        expected: list[float] = []
        lengths: list[float] = []
        for parent, f in zip(self._descent.parent, self._f, strict=True):
            upper = float((p * p).sum(1).mean()) if parent < 0 else expected[parent]
            expected.append(f + (1 - f) * ((1 - m) ** 2 * upper + m * m))
            lengths.append(math.log(expected[-1] / upper) / 2 - math.log1p(-m))
        return lengths

    @cached_property
    def _dates(self) -> list[str]:
        n = len(self._descent)
        days = (datetime.timedelta(v * _DAYS // n) for v in range(n))
        return [(_FIRST_DAY + day).isoformat() for day in days]

    def _name(self, node: int) -> str | None:
        return None if node < 0 else self._names[node]

    @property
    def _of_models(self) -> list[Population]:
        return [self._populations[v] for v in self._sampled]


def checked_share(value: float, name: str) -> float:
    """A share from 0 to 1."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(f"{name} must be a share from 0 to 1, not {value!r}")
    return float(value)


def _drift_range(value: float | Range, name: str) -> Range:
    """Lowest and highest drift."""
    given = value if isinstance(value, (tuple, list)) else (value, value)
    fine = len(given) == 2 and all(
        isinstance(f, (int, float)) and not isinstance(f, bool) and (f == 0 or LEAST_DRIFT <= f < 1)
        for f in given
    )
    if not fine or given[0] > given[1] or (given[0] == 0 < given[1]):
        raise InputError(
            f"{name} must be 0, a number from {LEAST_DRIFT} to below 1, or a range (low, high) of "
            f"these, not {value!r}"
        )
    return float(given[0]), float(given[1])
