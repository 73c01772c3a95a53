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
    n = len(D)
    # Nodes by age: tips, then joined nodes.
    d = [[number(value) for value in row] for row in D]
    for i in range(n):
        d[i][i] = number(0)
    v = [list(row) for row in d]
    nodes = list(range(n))
    places = list(range(n))
    live = list(range(n))
    sums = [_total(row) for row in d]
    room = _room(n, n)
    closed = 0
    joins: list[Join] = []
    while len(live) > 3:
        c = number(len(live) - 2)
        i, j = _best_pair(d, sums, c, live, places)
        distance = d[i][j]
        delta = (sums[i] - sums[j]) / c
        above = ((distance + delta) / 2, (distance - delta) / 2)
        joins.append(((nodes[i], nodes[j]), above))
        live = [k for k in live if k not in (i, j)]
        if variances:
            w = _weight(v, i, j, c, live)
            joined = _joined_variances(v, i, j, w, store, live)
            _append(v, joined)
            new = [store(w * (d[i][k] - above[0]) + (1 - w) * (d[j][k] - above[1])) for k in live]
        else:
            new = [store(((d[i][k] + d[j][k]) - distance) / 2) for k in live]
        row = [number(0)] * len(d)
        for k, value in zip(live, new, strict=True):
            row[k] = value
            sums[k] = sums[k] + ((value - d[i][k]) - d[j][k])
        sums.append(_total(row))
        _append(d, row)
        live.append(len(nodes))
        nodes.append(n + len(joins) - 1)
        places.append(places[i])
        room -= 1
        if room == 0:
            # Gaps are closed, and now and then sums taken afresh, so that rounding does not gather.
            closed += 1
            d = [[d[x][y] for y in live] for x in live]
            v = [[v[x][y] for y in live] for x in live] if variances else v
            nodes = [nodes[x] for x in live]
            places = [places[x] for x in live]
            fresh = closed % 2 == 0 or len(live) <= 64
            sums = [_total(row) for row in d] if fresh else [sums[x] for x in live]
            live = list(range(len(live)))
            room = _room(n, len(live))
    x, y, z = sorted(live, key=lambda k: places[k])
    xy, xz, yz = d[x][y], d[x][z], d[y][z]
    ends = (((xy + xz) - yz) / 2, ((xy + yz) - xz) / 2, ((xz + yz) - xy) / 2)
    joins.append(((nodes[x], nodes[y], nodes[z]), ends))
    return joins


def _room(n: int, live: int) -> int:
    """Joins before gaps are closed."""
    few = min(32, live // 2) if live > 8 else 1
    return max(1, min(-(-(n + max(1, n // 5)) // 64) * 64 - live, max(few, live // 4)))


def _append(square: list[list[Any]], row: list[Any]) -> None:
    for each, value in zip(square, row, strict=True):
        each.append(value)
    square.append([*row, row[0] - row[0]])


def _weight(v: list[list[Any]], i: int, j: int, c: Any, live: list[int]) -> Any:
    between = v[i][j]
    if between == 0:
        return type(c)(1) / 2
    total = c - c
    for k in live:
        total = total + (v[j][k] - v[i][k])
    weight = type(c)(1) / 2 + total / (2 * c * between)
    return min(max(weight, type(c)(0)), type(c)(1))


def _joined_variances(
    v: list[list[Any]], i: int, j: int, w: Any, store: Callable[[Any], Any], live: list[int]
) -> list[Any]:
    between = v[i][j]
    row = [between - between] * len(v)
    for k in live:
        row[k] = store((w * v[i][k] + (1 - w) * v[j][k]) - w * (1 - w) * between)
    return row


def _total(row: Sequence[Any]) -> Any:
    """64 sums of every 64th value, those halved by pairs."""
    zero = row[0] - row[0]
    sums = [zero] * 64
    for k, value in enumerate(row):
        sums[k % 64] = sums[k % 64] + value
    while len(sums) > 1:
        half = len(sums) // 2
        sums = [a + b for a, b in zip(sums[:half], sums[half:], strict=True)]
    return sums[0]


def _best_pair(
    d: list[list[Any]], sums: list[Any], c: Any, live: list[int], places: list[int]
) -> tuple[int, int]:
    """The pair of smallest Q; among equals the first by places, which order the two, too."""
    best: Any = math.inf
    ordered = sorted(live, key=lambda k: places[k])
    pair = (ordered[0], ordered[1])
    for first, i in enumerate(ordered):
        for j in ordered[first + 1 :]:
            q = c * d[i][j] - (sums[i] + sums[j])
            if q < best:
                best = q
                pair = (i, j)
    return pair
