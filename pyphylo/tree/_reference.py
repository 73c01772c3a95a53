"""Neighbor joining in plain lists: the oracle of the compiled kernel.

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

    Returns
    -------
    list of (children, lengths)
        Entry t is node n + t.
    """
    d = [[number(value) for value in row] for row in D]
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
        joins.append(
            ((nodes[i], nodes[j]), ((distance + delta) / 2, (distance - delta) / 2)),
        )
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
