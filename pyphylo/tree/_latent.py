"""Who descends from whom, by distances alone; and the hidden ancestors between.

On a tree in which ancestors live, the nearest relative that is closer to the root is an
ancestor or hangs on the way to it. So every model starts there and climbs from ancestor to
ancestor until it stands below one. Hidden ancestors are then a matter of each living one and
its children, as in the local steps of Choi, Tan, Anandkumar & Willsky (2011), J Mach Learn
Res 12, 1771-1812.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pyphylo._memory import require_memory
from pyphylo.distance import DistanceMatrix
from pyphylo.tree._graph import Branch, Contraction, TreeGraph
from pyphylo.tree.nj import neighbor_joining

__all__ = ["branch_noise", "climb", "latent_tree", "nearest_earlier", "spanning_tree"]

Distances = NDArray[np.float64]
Start = list[tuple[int, int]]
"""Pairs (model, the relative it starts from, or -1); relatives come before."""

_WITNESSES = 8
_AGREEING = 2
"""Of so many witnesses so many are believed, those that speak most for an ancestor."""
_CLEAR = 2.5
"""Standard errors from which an own branch is clear."""
_HALF_NORMAL_MEDIAN = 0.6745


def spanning_tree(values: Distances, root: int) -> Start:
    """The minimum spanning tree, from its root outwards (Prim 1957); O(n^2)."""
    nearest = np.full(len(values), -1)
    reached = np.zeros(len(values), bool)
    distance = np.where(np.arange(len(values)) == root, -1.0, np.inf)
    start = []
    for _ in range(len(values)):
        v = int(np.where(reached, np.inf, distance).argmin())
        start.append((v, int(nearest[v])))
        reached[v] = True
        closer = values[v] < distance
        distance[closer] = values[v][closer]
        nearest[closer] = v
    return start


def nearest_earlier(values: Distances, root: int, dates: Sequence[str]) -> Start:
    """Of every model the nearest that was released before it; none for the first, and the root.

    Of models of one date the first in the matrix counts as earlier. O(n^2).
    """
    order = sorted(range(len(values)), key=lambda v: (dates[v], v))
    start = [(order[0], -1)]
    for place in range(1, len(order)):
        v, earlier = order[place], order[:place]
        start.append((v, -1 if v == root else earlier[int(values[v, earlier].argmin())]))
    return start


def branch_noise(values: Distances) -> float:
    """The standard error of a branch whose length is 0.

    For two neighbours i, k of node j in the minimum spanning tree, (d_ij + d_jk - d_ik)/2 is the
    length of j's own branch, were the three a tree. A negative one is noise around 0, as
    often negative as not: the median of the negative ones, as that of a normal error.
    """
    beside: list[list[int]] = [[] for _ in values]
    for v, above in spanning_tree(values, 0)[1:]:
        beside[v].append(above)
        beside[above].append(v)
    below: list[float] = []
    for j, near in enumerate(beside):
        to = values[j, near]
        own = (to[:, None] + to - values[np.ix_(near, near)])[np.triu_indices(len(near), 1)] / 2
        below.extend((-own[own < 0]).tolist())
    noise = float(np.median(below)) / _HALF_NORMAL_MEDIAN if below else 0.0
    return max(noise, 1e-9 * float(values.max()))


def climb(values: Distances, start: Start, error: float) -> list[int]:
    """The parent of every model, -1 for the first of a line.

    Is p an ancestor of x, then p lies on the way from x to any k that does not descend from p:
    (d_xp + d_pk - d_xk)/2, how long p's own branch is as k sees it, is 0. Eight witnesses k, those
    nearest to p, are heard, and the two least are believed (where x is a merge, or some k
    are, others see it otherwise). x climbs to p's parent where they say more than one
    standard error; up to 2.5, only if witnesses that may yet turn out to descend from p, and
    would then say 0, say so as well.

    Invariants: `placed[p]` are p and the models placed so far that descend from it; in
    `below[p]` are those not placed yet, too, that start below it. With `error` 0, path lengths
    of a tree give its true parents. O(n) for each step up and each ancestor of it; 2 n^2 bytes.
    """
    n = len(values)
    require_memory(2 * n * n, f"descendants of {n} models")
    placed, below = np.eye(n, dtype=bool), np.eye(n, dtype=bool)
    parent = [-1] * n
    for x, p in reversed(start):
        parent[x] = p
        if p >= 0:
            below[p] |= below[x]
    for x, p in start:
        while p >= 0 and parent[p] >= 0:
            seen = _own_branch(values, x, p, below[p])
            if seen <= error:
                break
            if seen <= _CLEAR * error and _own_branch(values, x, p, placed[p]) <= error:
                break
            below[p] &= ~below[x]
            p = parent[p]
        parent[x] = p
        while p >= 0:
            placed[p, x] = True
            p = parent[p]
    return parent


def _own_branch(values: Distances, x: int, p: int, below: NDArray[np.bool_]) -> float:
    """Length of p's own branch, off the way from x to models that are not below p."""
    distance = np.where(below, np.inf, values[p])
    distance[x] = np.inf
    count = min(_WITNESSES, int(np.isfinite(distance).sum()))
    k = np.argpartition(distance, count - 1)[:count]
    seen = np.sort(values[x, p] + values[p, k] - values[x, k])[:_AGREEING] / 2
    return float(seen.mean())


def latent_tree(
    values: Distances, ids: Sequence[str], parent: Sequence[int], error: float
) -> TreeGraph:
    """The tree of models and of the hidden ancestors between each and its children.

    A model and its children are joined by neighbor joining. Branches up to `error` between
    hidden ancestors, or from these to their living one, are contracted.
    Models without parents are joined likewise. O(k^2) to O(k^3) for k children.
    """
    children: list[list[int]] = [[] for _ in ids]
    first: list[int] = []
    for v, above in enumerate(parent):
        (children[above] if above >= 0 else first).append(v)
    names: list[str | None] = list(ids)
    branches: list[Branch] = []
    for above, group in [(-1, first), *enumerate(children)]:
        members = group if above < 0 else [above, *group]
        if len(members) < 3:
            branches += [Branch(v, members[0], float(values[v, members[0]])) for v in members[1:]]
            continue
        local = _joined(values[np.ix_(members, members)], above >= 0, error)
        node = []
        for name in local.names:
            node.append(len(names) if name is None else members[int(name)])
            if name is None:
                names.append(None)
        branches += [
            branch._replace(a=node[branch.a], b=node[branch.b]) for branch in local.branches
        ]
    return TreeGraph(names, branches)


def _joined(values: Distances, has_parent: bool, error: float) -> TreeGraph:
    """The neighbor-joining tree; nodes are named by their places, of which 0 may be the parent."""
    ids = tuple(str(place) for place in range(len(values)))
    graph = TreeGraph.of(neighbor_joining(DistanceMatrix._trusted(values, ids, {}), n_threads=1))
    together = Contraction(graph.names)
    inner = {None, "0"} if has_parent else {None}
    for branch in sorted(graph.branches, key=lambda branch: branch.length):
        if branch.length <= error and {graph.names[branch.a], graph.names[branch.b]} <= inner:
            together.join(branch.a, branch.b)
    return together.applied(graph.branches)
