"""Trees with names that formats find hard to hold."""

import math

from hypothesis import strategies as st

from pyphylo.tree import Tree

HOSTILE = [
    "org/name@rev",
    "two words",
    "under_score",
    "it's",
    "'quoted'",
    "x,y",
    "(brackets)",
    "a:b",
    "[comment]",
    '"double"',
    "line\nbreak",
    "carriage\r\nreturn",
    "tab\t",
    " edge ",
    "ünïcödé ☃ 模型",
    "back\\slash",
    "semi;colon",
    "1.5",
    "-",
    "{0}",
    "#NEXUS",
    "''",
    "\u00a0",
    "<a>&amp;]]>",
    "a=b",
]

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1) | st.sampled_from(HOSTILE)
numbers = st.floats(allow_infinity=False)


@st.composite
def labelled_trees(draw, names=names):
    """Trees of one to eight tips, nodes with one child among them, all fields drawn."""
    tips = draw(st.lists(names, min_size=1, max_size=8, unique=True))
    parent, nodes = [-1] * len(tips), list(range(len(tips)))
    while len(nodes) > 1:
        for _ in range(draw(st.integers(1, min(3, len(nodes))))):
            parent[nodes.pop(draw(st.integers(0, len(nodes) - 1)))] = len(parent)
        nodes.append(len(parent))
        parent.append(-1)
    n, n_internal = len(parent), len(parent) - len(tips)
    length = draw(st.lists(numbers, min_size=n, max_size=n))
    support = draw(st.lists(numbers, min_size=n_internal, max_size=n_internal))
    labels = draw(st.lists(names | st.none(), min_size=n_internal, max_size=n_internal))
    return Tree(tips, parent, length, [math.nan] * len(tips) + support, labels)


def by_clade(tree):
    """Length, support and label of every node under its tips, in order from tip to root."""
    found = {}
    for node in range(tree.n_nodes):
        clade = frozenset(tree.tips[tip] for tip in tree.tips_below(node))
        found.setdefault(clade, []).append(
            (repr(float(tree.length[node])), repr(float(tree.support[node])), tree.label(node))
        )
    return found


def caterpillar(n):
    """A tree as deep as it has tips."""
    parent = [n + max(0, i - 1) for i in range(n)]
    parent += [*range(n + 1, 2 * n - 1), -1]
    return Tree([f"t{i}" for i in range(n)], parent, [0.1 * (i % 7) for i in range(2 * n - 1)])
