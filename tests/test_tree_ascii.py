"""Trees in plain characters, read back from the drawing by a slow reader."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pyphylo.errors import InputError
from pyphylo.tree.ascii import draw_ascii
from pyphylo.tree.tree import Tree


def read_drawing(drawing: str) -> set[frozenset[str]]:
    """The tips below every node of a drawing, found by walking along its lines to the left."""
    rows = drawing.split("\n")
    ends = [len(row.rsplit(" ", 1)[0]) for row in rows]
    rows = [row.ljust(max(map(len, rows))) for row in rows]
    below: dict[tuple[int, int], set[str]] = {}
    for row, line in enumerate(rows):
        name, at, column = line[ends[row] + 1 :].rstrip(), row, ends[row]
        while True:
            column -= 1
            while rows[at][column] == "-":
                column -= 1
            while rows[at][column] != "/" and at > 0 and rows[at - 1][column] in "/|+":
                at -= 1
            below.setdefault((at, column), set()).add(name)
            if column == 0:
                break
            while rows[at][column - 1] != "-":
                at += 1
    return {frozenset(tips) for tips in below.values()}


@st.composite
def trees(draw: st.DrawFn) -> Tree:
    """Random trees: clades of two or more are joined until one is left."""
    n = draw(st.integers(2, 20))
    waiting = [f"t{i}" for i in draw(st.permutations(range(n)))]
    with_lengths = draw(st.booleans())
    length = st.floats(0, 10, allow_nan=False).map(lambda x: f":{x:.3f}" if with_lengths else "")
    while len(waiting) > 1:
        size = draw(st.integers(2, min(4, len(waiting))))
        start = draw(st.integers(0, len(waiting) - size))
        children = ",".join(clade + draw(length) for clade in waiting[start : start + size])
        waiting[start : start + size] = [f"({children})"]
    return Tree.from_newick(waiting[0] + ";")


@given(trees(), st.integers(1, 60))
def test_the_drawing_shows_every_clade(tree: Tree, width: int) -> None:
    drawing = draw_ascii(tree, width)
    assert drawing.isascii()
    assert read_drawing(drawing) == {*tree.clades(), frozenset(tree.tips)}


@given(trees())
def test_one_line_a_tip_in_display_order(tree: Tree) -> None:
    lines = draw_ascii(tree).split("\n")
    shown = [tree.tips[tip] for tip in tree.tips_below(tree.root)]
    assert [line.rsplit(" ", 1)[1] for line in lines] == shown


def test_branches_are_to_scale() -> None:
    tree = Tree.from_newick("((a:1,b:1):2,(c:2,d:1):1);")
    assert draw_ascii(tree, 12).split("\n") == [
        "/-------+---- a",
        "|       \\---- b",
        "\\---+-------- c",
        "    \\---- d",
    ]


def test_tips_end_in_one_column_where_lengths_are_unknown() -> None:
    lines = draw_ascii(Tree.from_newick("((a,b):2,(c,(d,e)),f);")).split("\n")
    assert len({line.index(" ", line.rindex("-")) for line in lines}) == 1


def test_zero_lengths_still_show_the_branching() -> None:
    assert draw_ascii(Tree.from_newick("(a:0,b:0,c:0);")) == "/-- a\n+-- b\n\\-- c"


def test_negative_lengths_do_not_break_the_drawing() -> None:
    tree = Tree.from_newick("((a:1,b:-1):-0.5,c:2,d:1);")
    assert read_drawing(draw_ascii(tree)) == {*tree.clades(), frozenset("abcd")}


def test_one_tip() -> None:
    assert draw_ascii(Tree.from_newick("a;")) == "  a"


def test_names_that_would_steer_a_terminal_are_escaped() -> None:
    drawing = draw_ascii(Tree(["a\x1b[31m", "b\nc", "née"], [3, 3, 3, -1]))
    assert drawing.split("\n") == [
        drawing.split("\n")[0][:-8] + r"a\x1b[31m"[-8:],
        drawing.split("\n")[1][:-4] + r"b\nc",
        drawing.split("\n")[2][:-3] + "née",
    ]
    assert "\x1b" not in drawing


def test_a_ladder_of_a_thousand_tips_is_drawn_without_recursion() -> None:
    n = 1000
    parent = [n, *(n + max(0, i - 1) for i in range(1, n)), *range(n + 1, 2 * n - 1), -1]
    lines = draw_ascii(Tree([f"t{i}" for i in range(n)], parent)).split("\n")
    assert len(lines) == n


def test_too_many_tips_are_refused() -> None:
    n = 1001
    tree = Tree([f"t{i}" for i in range(n)], [n] * n + [-1])
    with pytest.raises(InputError, match=r"1001 tips .*plot"):
        draw_ascii(tree)


def test_width_must_be_positive() -> None:
    with pytest.raises(InputError, match="not 0"):
        draw_ascii(Tree.from_newick("(a,b);"), width=0)
