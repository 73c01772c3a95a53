"""Tables and distances shaped like those of language models, at sizes nobody has sampled.

Draws are worked on by operations that IEEE 754 rounds exactly (sums, products, square
roots): the same arguments give the same table on every machine.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pyphylo._memory import require_memory
from pyphylo._names import whole_number
from pyphylo._version import __version__
from pyphylo.alleles import AlleleTable
from pyphylo.distance import DistanceMatrix
from pyphylo.errors import InputError
from pyphylo.simulate._draws import Draws, allele_texts, numbered, zipf

__all__ = ["family_of", "simulate_distances", "simulate_table"]

_COMMON = 3_000
"""Alleles that any model may say, of frequencies that follow Zipf's law."""
_URN = 48
"""Alleles that a super-family, a family or a model chooses from, at a gene."""
_SUPER_OWN = (_COMMON, 20_000)
_FAMILY_OWN = (sum(_SUPER_OWN), 200_000)
_MODEL_OWN = (sum(_FAMILY_OWN), 1_200_000)
"""Alleles of their own that super-families, families and models choose from: first, how many."""
_FAMILY_SIZE = 25
_CELL_BYTES = 1_000
"""Memory that a cell of up to 32 probes takes while its table is made, with room."""
_BLOCK = 512
"""Rows and columns of a matrix that are mirrored at once."""


def simulate_table(
    n_models: int,
    n_genes: int = 128,
    n_probes: int = 32,
    *,
    family_size: int = _FAMILY_SIZE,
    seed: int = 0,
) -> AlleleTable:
    """A table of counts shaped like those of language models.

    Models belong to families of skewed sizes, families to super-families. At a
    gene a super-family has an urn of alleles, most of them common to all, some
    its own; a family's urn takes most of its alleles from its super-family's,
    a model's from its family's. At every gene some share of the models, from
    none to all, is near-deterministic: it says one allele almost always,
    mostly that of its family.

    Parameters
    ----------
    n_models, n_genes, n_probes : int
    family_size : int
        Mean number of models in a family; there are at least four families.
    seed : int
        Another seed, another table. Gene g is the same whatever `n_genes` is.

    Returns
    -------
    AlleleTable
        Models are named ``family/model`` and come in random order; `family_of`
        gives the family back. The provenance has ``"simulation"``: the
        arguments, and the super-family of every family.

    Raises
    ------
    InputError
        A number that is not whole or too small.
    MemoryError
        When the table would not fit.

    Notes
    -----
    O(n_models * n_genes * n_probes log n_probes) time; about 1 kB a cell while it is
    made. At 32 probes a cell holds some 7 alleles, seven in ten alleles are seen in
    one model only, and a dozen or two a gene are seen in one model in twenty or more.

    Examples
    --------
    >>> table = simulate_table(100, 8)
    >>> table
    AlleleTable(100 models, 8 genes, 1456 alleles, nnz=5607)
    """
    n_models = whole_number(n_models, "n_models", 1)
    n_genes = whole_number(n_genes, "n_genes", 1)
    n_probes = whole_number(n_probes, "n_probes", 1)
    family_size = whole_number(family_size, "family_size", 1)
    seed = whole_number(seed, "seed", 0)
    # Cells of more probes hold more alleles, up to an urn and one.
    needed = _CELL_BYTES * n_models * n_genes * min(-(-n_probes // 32), 8)
    require_memory(needed, f"simulated cells of {n_models} models x {n_genes} genes")

    kinship = _Kinship.draw(n_models, family_size, seed)
    cells = [_count(_gene(Draws(seed, "gene", g), kinship, n_probes)) for g in range(n_genes)]
    model, allele, count = (np.concatenate(parts) for parts in zip(*cells, strict=True))
    gene = np.repeat(np.arange(n_genes, dtype=np.int32), [len(part[0]) for part in cells])
    del cells
    table = AlleleTable.from_counts(
        kinship.names(), numbered("gene", n_genes), model, gene, allele_texts(allele), count
    )
    table.provenance["simulation"] = {
        "n_probes": n_probes,
        "family_size": family_size,
        "seed": seed,
        "super_families": kinship.super_families(),
    }
    return table


def simulate_distances(n: int, *, kind: str = "near-additive", seed: int = 0) -> DistanceMatrix:
    """A distance matrix of a known shape, as neighbor joining meets it.

    Parameters
    ----------
    n : int
        Models.
    kind : {"near-additive", "language-models"}
        ``"near-additive"``: path lengths of a random tree (a random tip splits
        until there are `n`), each off by up to 2.5%. ``"language-models"``:
        -log of similarities that are high inside a family, middling inside a
        super-family and all alike beyond, so that most of the matrix is
        saturated; each similarity is off by up to 5%.
    seed : int

    Returns
    -------
    DistanceMatrix
        float64. Models of ``"language-models"`` are named ``family/model`` and
        come in random order.

    Raises
    ------
    InputError
        An unknown kind; a number that is not whole or too small.
    MemoryError
        When the matrix would not fit.

    Notes
    -----
    O(n^2) time, 8 bytes a pair. ``"language-models"`` takes logarithms, whose last
    digit may differ between machines.
    """
    n = whole_number(n, "n", 1)
    seed = whole_number(seed, "seed", 0)
    if kind not in ("near-additive", "language-models"):
        raise InputError(f"unknown kind {kind!r}; known: 'near-additive', 'language-models'")
    require_memory(8 * n * n, f"{n} x {n} simulated distances")
    draws = Draws(seed, "distances", kind)
    if kind == "near-additive":
        ids = numbered("model", n)
        values = _path_lengths(n, draws)
        for i in range(1, n):
            values[i, :i] *= 0.975 + 0.05 * draws.uniform(i)
    else:
        kinship = _Kinship.draw(n, _FAMILY_SIZE, seed)
        ids = kinship.names()
        values = _family_distances(kinship, draws)
    _mirror(values)
    provenance = {"pyphylo": __version__, "simulation": {"kind": kind, "seed": seed}}
    return DistanceMatrix._trusted(values, tuple(ids), provenance)


def family_of(model: str) -> str:
    """The family of a simulated model, which its name begins with.

    Examples
    --------
    >>> family_of("family-03/model-17")
    'family-03'
    """
    family, slash, _ = model.partition("/")
    if not slash:
        raise InputError(f"model {model!r} is not named family/model, as simulated ones are")
    return family


@dataclass(frozen=True)
class _Kinship:
    """Who is whose: the family of every model, the super-family of every family."""

    family: NDArray[np.int64]
    super_family: NDArray[np.int32]
    n_super_families: int

    @classmethod
    def draw(cls, n_models: int, family_size: int, seed: int) -> _Kinship:
        """Families of skewed sizes, models in random order."""
        draws = Draws(seed, "kinship")
        n_families = max(4, n_models // family_size)
        size = draws.uniform(n_families)
        edges = np.cumsum(size * size * size)
        family = np.searchsorted(edges[:-1], draws.uniform(n_models) * edges[-1], side="right")
        n_super_families = max(3, n_families // 6)
        return cls(family, draws.below(n_super_families, n_families), n_super_families)

    def names(self) -> list[str]:
        """family/model, models numbered within their family."""
        families = numbered("family", len(self.super_family))
        models = numbered("model", int(np.bincount(self.family).max()))
        seen = [0] * len(families)
        names = []
        for f in self.family.tolist():
            names.append(f"{families[f]}/{models[seen[f]]}")
            seen[f] += 1
        return names

    def super_families(self) -> dict[str, str]:
        """The super-family of every family that has models, by name."""
        families = numbered("family", len(self.super_family))
        supers = numbered("super-family", self.n_super_families)
        return {families[f]: supers[self.super_family[f]] for f in np.unique(self.family)}


def _gene(draws: Draws, kinship: _Kinship, n_probes: int) -> NDArray[np.int32]:
    """The alleles that every model says at one gene, as numbers, shape (models, probes)."""
    u = draws.uniform(1)
    peaked_share = u * np.sqrt(u)  # Beta(2/3, 1), whose mean is 0.4
    common_alleles = zipf(int(draws.below(6, 1)[0]), _COMMON)

    root = np.zeros((kinship.n_super_families, _URN), np.int32)
    supers = _urns(draws, root, common_alleles, inherited=0.0, common=0.8, own=_SUPER_OWN)
    parents = supers[kinship.super_family]
    families = _urns(draws, parents, common_alleles, inherited=0.7, common=0.15, own=_FAMILY_OWN)
    u = draws.uniform(len(families))
    peaks = np.where(u < 0.6, 0, np.where(u < 0.8, parents[:, 0], families[:, 0]))

    codes = np.empty((len(kinship.family), n_probes), np.int32)
    is_peaked = draws.uniform(len(codes)) < peaked_share
    family = kinship.family[is_peaked]
    codes[is_peaked] = _peaked_cells(draws, peaks[family], families[family], n_probes)
    parents = families[kinship.family[~is_peaked]]
    models = _urns(draws, parents, common_alleles, inherited=0.78, common=0.15, own=_MODEL_OWN)
    codes[~is_peaked] = _varied_cells(draws, models, n_probes)
    return codes


def _urns(
    draws: Draws,
    parents: NDArray[np.int32],
    common_alleles: NDArray[np.float64],
    *,
    inherited: float,
    common: float,
    own: tuple[int, int],
) -> NDArray[np.int32]:
    """An urn for each row of `parents`, which is the urn that it inherits from.

    Each allele is inherited, or common to all, or one of its own range (first, how many).
    """
    origin, value = draws.uniform(*parents.shape), draws.uniform(*parents.shape)
    urns = np.take_along_axis(parents, (value * _URN).astype(np.int32), axis=1)
    is_common = (origin >= inherited) & (origin < inherited + common)
    urns[is_common] = np.searchsorted(common_alleles, value[is_common], side="right")
    is_own = origin >= inherited + common
    urns[is_own] = own[0] + (value[is_own] * own[1]).astype(np.int32)
    return urns


def _peaked_cells(
    draws: Draws, peaks: NDArray[np.int32], families: NDArray[np.int32], n_probes: int
) -> NDArray[np.int32]:
    """Cells of models that say one allele 90 to 100% of the time, else any of their family's.

    The allele is the family's own peak, or for one model in ten another of the family's.
    """
    n = len(peaks)
    strays = draws.uniform(n) < 0.1
    other = np.take_along_axis(families, draws.below(_URN, n, 1), axis=1)[:, 0]
    peak = np.where(strays, other, peaks)
    share = 0.9 + 0.1 * draws.uniform(n, 1)
    rest = np.take_along_axis(families, draws.below(_URN, n, n_probes), axis=1)
    return np.where(draws.uniform(n, n_probes) < share, peak[:, None], rest)


def _varied_cells(draws: Draws, models: NDArray[np.int32], n_probes: int) -> NDArray[np.int32]:
    """Cells of models that draw from the first alleles of their urn, the first ones most."""
    n = len(models)
    u = draws.uniform(n, 1)
    used = 2 + np.floor(u * np.sqrt(u) * (_URN - 2))
    u = draws.uniform(n, n_probes)
    place = u * np.sqrt(u) * used
    return np.take_along_axis(models, place.astype(np.int32), axis=1)


def _count(
    codes: NDArray[np.int32],
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]:
    """Model, allele and count of every allele that a model said; alleles ascend in a model."""
    n_models, n_probes = codes.shape
    ordered = np.sort(codes, axis=1)
    fresh = np.ones(codes.shape, bool)
    np.not_equal(ordered[:, 1:], ordered[:, :-1], out=fresh[:, 1:])
    first = np.flatnonzero(fresh)
    count = np.diff(first, append=n_models * n_probes).astype(np.int32)
    return (first // n_probes).astype(np.int32), ordered.ravel()[first], count


def _path_lengths(n: int, draws: Draws) -> NDArray[np.float64]:
    """Path lengths between the tips of a random tree, lower triangle.

    Invariant: after step k the first k + 1 tips have the path lengths of a tree. A step
    makes a random tip p an inner node with two tips below it: p again and k.
    """
    values = np.zeros((n, n))
    split = (draws.uniform(n) * np.arange(n)).astype(np.int64)
    branch = 0.01 + 0.2 * draws.uniform(n, 2)
    for k in range(1, n):
        p = split[k]
        values[k, :p] = values[p, :p]
        values[k, p + 1 : k] = values[p + 1 : k, p]
        values[k, :k] += branch[k, 1]
        values[p, :p] += branch[k, 0]
        values[p + 1 : k, p] += branch[k, 0]
        values[k, p] = branch[k, 0] + branch[k, 1]
    return values


def _family_distances(kinship: _Kinship, draws: Draws) -> NDArray[np.float64]:
    """-log of similarities that a family, a super-family or nothing sets, lower triangle."""
    n = len(kinship.family)
    super_family = kinship.super_family[kinship.family]
    in_family = 0.75 + 0.2 * draws.uniform(len(kinship.super_family))
    in_super_family = 0.35 + 0.2 * draws.uniform(kinship.n_super_families)
    u = draws.uniform(n)
    kept = 1 - 0.3 * u * u  # what a model kept of its family's alleles
    values = np.zeros((n, n))
    for i in range(1, n):
        family, clan = kinship.family[i], super_family[i]
        shared = np.where(super_family[:i] == clan, in_super_family[clan], 0.25)
        shared = np.where(kinship.family[:i] == family, in_family[family], shared)
        similarity = shared * kept[i] * kept[:i] * (0.95 + 0.1 * draws.uniform(i))
        values[i, :i] = -np.log(np.minimum(similarity, 1))
    return values


def _mirror(values: NDArray[np.float64]) -> None:
    """Copy the lower triangle to the upper one."""
    n = len(values)
    for start in range(0, n, _BLOCK):
        stop = min(start + _BLOCK, n)
        values[start:stop, stop:] = values[stop:, start:stop].T
        corner = values[start:stop, start:stop]
        corner += np.tril(corner, -1).T
