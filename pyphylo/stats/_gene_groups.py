"""What a gene's alleles say of a model's group: mutual information, adjusted for chance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyphylo.stats._gene_blocks import GeneBlock, sums

__all__ = ["adjusted_information", "mutual_information"]

_Floats = NDArray[np.float64]


def mutual_information(block: GeneBlock, code: NDArray[np.int64]) -> tuple[_Floats, _Floats]:
    r"""Mutual information of alleles and groups, and the groups' entropy, in bits, by gene.

    Of a gene, draw a model among those that have it and a group, each as likely, then one
    allele of the model: I = H(group) + H(allele) - H(group, allele).

    Parameters
    ----------
    block : GeneBlock
    code : ndarray of int64, shape (models,)
        Groups, -1 for none.

    Returns
    -------
    information, entropy : ndarray of float64, shape (genes,)
        NaN where no model with a group has the gene.

    Notes
    -----
    O(entries log entries) time.
    """
    n_genes, n_groups = block.n_genes, int(code.max()) + 1
    has = block.present() & (code >= 0)[:, None]
    k = has.sum(axis=0).astype(np.float64)
    whole = block.by_cell(block.p)
    used = code[block.model] >= 0
    # Pruned mass is no allele: what is known of a cell counts as the whole of it.
    p = block.p[used] / whole[block.model[used], block.gene[used]] / k[block.gene[used]]
    column, group = block.column[used], code[block.model[used]]
    of_pairs, place = np.unique(column * n_groups + group, return_inverse=True)
    joint = sums(place, p, len(of_pairs))
    gene_of_pair = block.gene_of_column[of_pairs // n_groups]
    alleles = sums(column, p, block.n_columns)
    share = np.zeros((n_groups, n_genes))
    for number in range(n_groups):
        share[number] = has[code == number].sum(axis=0)
    with np.errstate(invalid="ignore"):
        entropy = _surprise(share / k).sum(axis=0)
    information = entropy + block.by_gene(_surprise(alleles))
    information -= sums(gene_of_pair, _surprise(joint), n_genes)
    return information, entropy


def adjusted_information(
    block: GeneBlock, code: NDArray[np.int64], n_permutations: int, seed: int
) -> tuple[_Floats, _Floats]:
    """Information beyond what groups dealt out at random have, and its share of what can be.

    Groups are dealt anew to the models that have one, the same deals for every gene. The
    share is (I - E) / (H(group) - E), 0 where alleles say no more than chance makes them and
    1 where they give the group away; NaN where chance does that already. Vinh, Epps & Bailey
    (2010) J. Mach. Learn. Res. 11:2837.
    """
    found, entropy = mutual_information(block, code)
    rng = np.random.Generator(np.random.Philox(seed))
    rows = np.flatnonzero(code >= 0)
    by_chance = np.zeros(block.n_genes)
    for _ in range(n_permutations):
        dealt = code.copy()
        dealt[rows] = code[rows[np.argsort(rng.random(len(rows)), kind="stable")]]
        by_chance += mutual_information(block, dealt)[0]
    by_chance /= n_permutations
    room = entropy - by_chance
    share: _Floats = np.full(block.n_genes, np.nan)
    np.divide(found - by_chance, room, out=share, where=room > 1e-9)
    return found - by_chance, share


def _surprise(p: _Floats) -> _Floats:
    """-p log2 p, 0 at 0."""
    bits: _Floats = np.zeros(p.shape)
    np.log2(p, out=bits, where=p > 0)
    return -p * bits
