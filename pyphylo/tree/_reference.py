"""Neighbor joining and BIONJ in plain lists: the oracle of the compiled kernel.

O(n^3). With ``number=fractions.Fraction`` the arithmetic is exact, ties included; with
``number=float`` it rounds exactly where the kernel rounds, so choices and lengths agree bit for
bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["Join", "join_all"]

Join = tuple[tuple[int, ...], tuple[Any, ...]]
"""The children of one internal node, and the lengths of the branches above them."""


def join_all(
    D: Sequence[Sequence[float]],
    number: Callable[[float], Any] = float,
    store: Callable[[Any], Any] = lambda value: value,
    variances: bool = False,
) -> list[Join]:
    """Join the two nodes with the smallest Q until three are left, then those three.

    Parameters
    ----------
    D : square nested sequence, at least 3 x 3
        Symmetric distances.
    number : callable
        float or fractions.Fraction: what distances are computed in.
    store : callable
        What becomes of a new distance before it is used again, such as rounding to
        float32.
    variances : bool
        Weight the two by BIONJ's variances, which start as the distances
        (Gascuel 1997, Mol Biol Evol 14, 685-695, equations 3, 9, 10).

    Returns
    -------
    list of (children, lengths)
        Entry t is node n + t.
    """
    d = [[number(value) for value in row] for row in D]
    v = [list(row) for row in d]
    n = len(d)
    nodes = list(range(n))
    sums = [_total(row) for row in d]
    summed_at = n
    joins: list[Join] = []
    while len(nodes) > 3:
        c = number(len(nodes) - 2)
        i, j = _best_pair(d, sums, c)
        distance = d[i][j]
        delta = (sums[i] - sums[j]) / c
        above = ((distance + delta) / 2, (distance - delta) / 2)
        joins.append(((nodes[i], nodes[j]), above))
        if variances:
            w = _weight(v, i, j, c)
            new = [
                store(w * (x - above[0]) + (1 - w) * (y - above[1]))
                for x, y in zip(d[i], d[j], strict=True)
            ]
            _join_variances(v, i, j, w, store)
        else:
            new = [store(((x + y) - distance) / 2) for x, y in zip(d[i], d[j], strict=True)]
        new[i] = number(0)
        for k, (x, y) in enumerate(zip(d[i], d[j], strict=True)):
            sums[k] = sums[k] + ((new[k] - x) - y)
            d[k][i] = new[k]
        d[i] = new
        for row in d:
            del row[j]
        del d[j], nodes[j], sums[j]
        sums[i] = _total(d[i])
        nodes[i] = n + len(joins) - 1
        # Afresh when a fifth is gone, so that rounding does not gather.
        if 5 * len(nodes) <= 4 * summed_at:
            sums = [_total(row) for row in d]
            summed_at = len(nodes)
    (_, xy, xz), (_, _, yz), _ = d
    joins.append((tuple(nodes), (((xy + xz) - yz) / 2, ((xy + yz) - xz) / 2, ((xz + yz) - xy) / 2)))
    return joins


def _weight(v: list[list[Any]], i: int, j: int, c: Any) -> Any:
    between = v[i][j]
    if between == 0:
        return type(c)(1) / 2
    total = c - c
    for k in range(len(v)):
        if k not in (i, j):
            total = total + (v[j][k] - v[i][k])
    weight = type(c)(1) / 2 + total / (2 * c * between)
    return min(max(weight, type(c)(0)), type(c)(1))


def _join_variances(
    v: list[list[Any]], i: int, j: int, w: Any, store: Callable[[Any], Any]
) -> None:
    between = v[i][j]
    for k in range(len(v)):
        if k not in (i, j):
            v[i][k] = v[k][i] = store((w * v[i][k] + (1 - w) * v[j][k]) - w * (1 - w) * between)
    for row in v:
        del row[j]
    del v[j]


def _total(row: Sequence[Any]) -> Any:
    # A plain loop: sum() of floats is compensated from Python 3.12 on.
    total = row[0] - row[0]
    for value in row:
        total = total + value
    return total


def _best_pair(d: list[list[Any]], sums: list[Any], c: Any) -> tuple[int, int]:
    best: Any = math.inf
    pair = (0, 1)
    for i in range(len(d)):
        for j in range(i + 1, len(d)):
            q = c * d[i][j] - (sums[i] + sums[j])
            if q < best:
                best = q
                pair = (i, j)
    return pair
