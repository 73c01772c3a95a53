"""Splits of many trees counted in one table, and put together to a tree, compiled.

A set of tips is known by the exclusive or of 128 random bits per tip. Two different sets agree in
all bits with a chance of 2^-128, whatever the trees are, since the bits do not depend on them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pyphylo._jit import compiled

__all__ = ["add_splits", "enter", "join_compatible", "splits"]


@compiled
def splits(
    parent: NDArray[np.int32],
    length: NDArray[np.float64],
    stands: NDArray[np.int64],
    size: NDArray[np.int64],
    tip_keys: NDArray[np.uint64],
    largest: int,
    zero: int,
) -> tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.bool_], NDArray[np.float64]]:
    """The branches of a tree that part off 2 to `largest` tips.

    `stands` tells which nodes share a branch, as `branches` has it. Unless `zero` is
    negative, a set is turned into its complement where it holds that tip.

    Returns
    -------
    (node, key, is_turned, length)
        One row a branch, but `length` one a node: of branches, by the node that stands
        for each.
    """
    n_tips, n = len(tip_keys), len(parent)
    key = np.zeros((n, 2), np.uint64)
    key[:n_tips] = tip_keys
    holds = np.zeros(n, np.bool_)
    if zero >= 0:
        holds[zero] = True
    total = np.zeros(n)
    for v in range(n - 1):
        p = parent[v]
        key[p, 0] ^= key[v, 0]
        key[p, 1] ^= key[v, 1]
        holds[p] |= holds[v]
        if stands[v] >= 0:
            total[stands[v]] += length[v]
    nodes = np.empty(n, np.int64)
    k = 0
    for v in range(n_tips, n - 1):
        if stands[v] == v and 2 <= size[v] <= largest:
            nodes[k] = v
            k += 1
    nodes = nodes[:k]
    keys = np.empty((k, 2), np.uint64)
    turned = np.zeros(k, np.bool_)
    for i in range(k):
        v = nodes[i]
        keys[i] = key[v]
        if holds[v]:
            turned[i] = True
            keys[i, 0] ^= key[n - 1, 0]
            keys[i, 1] ^= key[n - 1, 1]
    return nodes, keys, turned, total


@compiled
def enter(rows: NDArray[np.int64], keys: NDArray[np.uint64], first: int, stop: int) -> None:
    """Put the keys of entries `first` to `stop` into a hash table with open addresses.

    `rows` holds entries, -1 where free; its length is a power of two, more than the keys.
    """
    mask = np.uint64(len(rows) - 1)
    for entry in range(first, stop):
        at = keys[entry, 0] & mask
        while rows[at] >= 0:
            at = (at + np.uint64(1)) & mask
        rows[at] = entry


@compiled
def add_splits(
    rows: NDArray[np.int64],
    keys: NDArray[np.uint64],
    n_entries: int,
    count: NDArray[np.int64],
    sums: NDArray[np.float64],
    measured: NDArray[np.int64],
    new_keys: NDArray[np.uint64],
    lengths: NDArray[np.float64],
    born: NDArray[np.int64],
) -> int:
    """Count the splits of one tree, each once; the number of entries after it.

    `count`, `sums` and `measured` are per entry: trees with the split, and the sum and
    number of its known lengths. Of each new entry, `born` gets the row it came from.
    """
    mask = np.uint64(len(rows) - 1)
    n_before = n_entries
    for i in range(len(new_keys)):
        at = new_keys[i, 0] & mask
        while True:
            entry = rows[at]
            if entry < 0:
                entry = n_entries
                rows[at] = entry
                keys[entry, 0] = new_keys[i, 0]
                keys[entry, 1] = new_keys[i, 1]
                born[entry - n_before] = i
                n_entries += 1
                break
            if keys[entry, 0] == new_keys[i, 0] and keys[entry, 1] == new_keys[i, 1]:
                break
            at = (at + np.uint64(1)) & mask
        count[entry] += 1
        if not np.isnan(lengths[i]):
            sums[entry] += lengths[i]
            measured[entry] += 1
    return n_entries


@compiled
def join_compatible(
    order: NDArray[np.int32],
    tree: NDArray[np.int64],
    start: NDArray[np.int64],
    size: NDArray[np.int64],
    turned: NDArray[np.bool_],
    most: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Add sets to a star, one after the other, where they fit to those before.

    Set k is ``order[tree[k], start[k]:start[k] + size[k]]``, or its complement. Nodes fill
    up from the tips of a set: a node is full when all tips below it are in the set. The
    set fits exactly if all full nodes without a full parent hang from one node, and then
    they move below a new one. At most `most` sets are added.

    Returns
    -------
    (parent, chosen)
        Tips first, then the star's centre, then the sets; in no order that a Tree takes.
    """
    n_tips = order.shape[1]
    centre = n_tips
    up = np.full(n_tips + 1 + most, -1)
    up[:n_tips] = centre
    below = np.ones(n_tips + 1 + most, np.int64)
    below[centre] = n_tips
    hit = np.zeros(n_tips + 1 + most, np.int64)
    full = np.empty(2 * n_tips + 1, np.int64)
    seen = np.empty(2 * n_tips + 1, np.int64)
    chosen = np.empty(most, np.int64)
    n_chosen = 0
    for k in range(len(tree)):
        if n_chosen == most:
            break
        tips = order[tree[k]]
        stop = start[k] + size[k]
        if turned[k]:
            n_members = n_tips - size[k]
            full[: start[k]] = tips[: start[k]]
            full[start[k] : n_members] = tips[stop:]
        else:
            n_members = size[k]
            full[:n_members] = tips[start[k] : stop]
        n_full = n_members
        n_seen, n_part = 0, 0
        i = 0
        while i < n_full:
            v = full[i]
            p = up[v]
            if hit[p] == 0:
                seen[n_seen] = p
                n_seen += 1
                n_part += 1
            hit[p] += below[v]
            if hit[p] == below[p]:
                full[n_full] = p
                n_full += 1
                n_part -= 1
            i += 1
        if n_part == 1:
            new = centre + 1 + n_chosen
            chosen[n_chosen] = k
            n_chosen += 1
            for i in range(n_seen):
                if hit[seen[i]] < below[seen[i]]:
                    up[new] = seen[i]
            for i in range(n_full):
                if up[full[i]] == up[new]:
                    up[full[i]] = new
            below[new] = n_members
        for i in range(n_seen):
            hit[seen[i]] = 0
    return up[: centre + 1 + n_chosen], chosen[:n_chosen]
