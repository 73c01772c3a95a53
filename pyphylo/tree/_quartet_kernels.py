"""Quartets that two trees share, counted node by node, compiled.

Cutting a tree at an inner node u leaves parts F_1, F_2, ...: one for each child, and one for what
lies above. A quartet ab|cd has two nodes where three paths meet: from one, a and b lie together
in one part F_i, and c and d in two others. So every resolved quartet is seen twice, once from
either pair: as a directed quartet ab -> cd with (u, i), and as cd -> ab.

For a node u of one tree and v of the other, I[i, j] counts the tips that F_i of u and G_j of v
have in common. All sums are over these tables, whose cells are together as many as pairs of
branches (the counts of Christiansen, Mailund, Pedersen, Randers & Stissing 2006).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled
from pyphylo.tree._tree_kernels import children_of

__all__ = ["compare_quartets", "resolved_quartets"]


@compiled
def _pairs(k: int) -> int:
    return k * (k - 1) // 2


@compiled
def resolved_quartets(parent: NDArray[np.int32], size: NDArray[np.int64], n_tips: int) -> int:
    """How many sets of four tips a tree resolves; `size` counts the tips below nodes. O(n)."""
    n = len(parent)
    first, below = children_of(parent)
    twice = 0
    for u in range(n_tips, n):
        up = n_tips - size[u]
        within = _pairs(up)
        for at in range(first[u], first[u + 1]):
            within += _pairs(size[below[at]])
        # Pairs in one part, times pairs of different other parts.
        twice += _pairs(up) * (_pairs(n_tips - up) - (within - _pairs(up)))
        for at in range(first[u], first[u + 1]):
            part = size[below[at]]
            twice += _pairs(part) * (_pairs(n_tips - part) - (within - _pairs(part)))
    return twice // 2


@compiled
def compare_quartets(
    parent: NDArray[np.int32],
    start: NDArray[np.int64],
    size: NDArray[np.int64],
    order: NDArray[np.int64],
    other: NDArray[np.int32],
    place: NDArray[np.int64],
) -> tuple[int, int]:
    """Quartets that two trees resolve alike, and those that both resolve, but differently.

    The tips below node v of the first tree are ``order[start[v]:start[v] + size[v]]``, and
    its tip k is tip ``place[k]`` of the other. A quartet resolved alike is seen at two pairs
    of nodes, from either of its pairs. One that is ab|cd here and ac|bd there is seen at
    four: from either pair here and either pair there.
    """
    n_tips, n, n_other = len(order), len(parent), len(other)
    first, below = children_of(parent)
    other_first, other_below = children_of(other)
    most = np.max(first[1:] - first[:n])
    most_other = np.max(other_first[1:] - other_first[:n_other])
    # common[i, v]: how many tips are below both the i-th child of u and v.
    common = np.zeros((most, n_other), np.int32)
    everywhere = np.zeros(n_other, np.int64)
    everywhere[:n_tips] = 1
    for v in range(n_other - 1):
        everywhere[other[v]] += everywhere[v]
    cells = np.zeros((most + 1, most_other + 1), np.int64)
    twice, four_times = 0, 0
    for u in range(n_tips, n):
        a = first[u + 1] - first[u]
        for i in range(a):
            child = below[first[u] + i]
            row = common[i]
            row[:] = 0
            for at in range(start[child], start[child] + size[child]):
                row[place[order[at]]] = 1
            for v in range(n_other - 1):
                row[other[v]] += row[v]
        for v in range(n_tips, n_other):
            b = other_first[v + 1] - other_first[v]
            table = cells[: a + 1, : b + 1]
            table[a, :] = 0
            for j in range(b):
                w = other_below[other_first[v] + j]
                table[a, j] = everywhere[w]
                for i in range(a):
                    table[i, j] = common[i, w]
                    table[a, j] -= table[i, j]
            table[a, b] = n_tips - everywhere[v]
            for i in range(a):
                table[i, b] = common[i, n_other - 1] - common[i, v]
                table[a, b] -= table[i, b]
            alike, unlike = _count(table if a <= b else table.T, n_tips)
            twice += alike
            four_times += unlike
    return twice // 2, four_times // 4


@compiled
def _count(I: NDArray[np.int64], n_tips: int) -> tuple[int, int]:  # noqa: E741
    """Directed quartets seen from both nodes of a table: alike, and unlike.

    Alike: two tips of cell (i, j), and two others that share neither a row nor a column
    with it or with each other. Of the r x c rest of the table, these are all pairs, less
    those in a row, less those in a column, plus those in a cell, counted twice.

    Unlike: x in cell (i, j), y in (i, n), z in (k, j) and w in (l, m), where k and l are
    two rows other than i, and n and m two columns other than j. The choices of w are the
    rest of the table less row k, less column n, plus cell (k, n); the sum over k and n of
    I[k, j] I[i, n] I[k, n] uses the products of rows. The smaller side should be the rows.
    """
    rows, columns = I.shape
    row, column = np.zeros(rows, np.int64), np.zeros(columns, np.int64)
    cell_row, cell_column = np.zeros(rows, np.int64), np.zeros(columns, np.int64)
    squares = np.zeros(columns, np.int64)
    for i in range(rows):
        for j in range(columns):
            value = I[i, j]
            row[i] += value
            column[j] += value
            cell_row[i] += _pairs(value)
            cell_column[j] += _pairs(value)
            squares[j] += value * value
    in_cells = cell_row.sum()
    # Of row i, without its cell in column j: pairs, and tips times the tips in the cell.
    rows_less, row_shares = np.zeros(columns, np.int64), np.zeros(columns, np.int64)
    columns_less, column_shares = np.zeros(rows, np.int64), np.zeros(rows, np.int64)
    products = np.zeros((rows, rows), np.int64)
    for i in range(rows):
        for j in range(columns):
            value = I[i, j]
            rows_less[j] += _pairs(row[i] - value)
            columns_less[i] += _pairs(column[j] - value)
            if value > 0:
                row_shares[j] += value * (row[i] - value)
                column_shares[i] += value * (column[j] - value)
                for k in range(rows):
                    products[i, k] += value * I[k, j]
    alike, unlike = 0, 0
    for i in range(rows):
        for j in range(columns):
            x = I[i, j]
            if x == 0:
                continue
            y, z = row[i] - x, column[j] - x
            rest = n_tips - row[i] - column[j] + x
            apart = (
                _pairs(rest)
                - (rows_less[j] - _pairs(y))
                - (columns_less[i] - _pairs(z))
                + (in_cells - cell_row[i] - cell_column[j] + _pairs(x))
            )
            alike += _pairs(x) * apart
            if y > 0 and z > 0 and rest > 0:
                corners = 0
                for k in range(rows):
                    corners += I[k, j] * products[i, k]
                corners -= x * products[i, i] + x * (squares[j] - x * x)
                in_rows = row_shares[j] - x * y
                in_columns = column_shares[i] - x * z
                unlike += x * (rest * y * z - y * in_rows - z * in_columns + corners)
    return alike, unlike
