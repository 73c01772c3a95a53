"""What notebooks are shown: every name as text, small, and no page of the tree's own making."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import pyphylo as pp

EVIL = "<img src=x onerror=alert(1)>"
ODD = "a \"quoted\", 'single' & <b>, 🌳, שלום"
KNOWN = {
    "div",
    "p",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "svg",
    "title",
    "path",
    "text",
    "circle",
}


class Page(HTMLParser):
    """Tags, attributes and texts; a tag that is not closed is an error."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.texts, self.attributes = [], set(), [], set()
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


def shown(thing):
    page = Page(thing._repr_html_())
    assert page.tags <= KNOWN
    assert not {name for name in page.attributes if name.startswith("on") or name == "href"}
    assert repr(thing) in " ".join(page.texts)
    return page


@pytest.fixture
def table():
    return pp.AlleleTable.from_records(
        [
            (model, gene, word)
            for model, words in ((EVIL, ["<i>", "<i>", "b"]), (ODD, ["b"] * 3), ("c", ["", "c"]))
            for gene in (f"{EVIL} {i}" for i in range(7))
            for word in words
        ]
    )  # fmt: skip


def test_a_genome():
    prompts = [EVIL, ODD, None, *(f"prompt {i}" for i in range(20))]
    page = shown(pp.Genome([f"{EVIL}{i}" for i in range(23)], prompts))
    for text in (EVIL, ODD, "(unknown)", f"{EVIL}0", "prompt 2", "…"):
        assert text in page.texts
    assert "prompt 10" not in page.texts
    assert "…" not in shown(pp.Genome(["g"], ["a prompt"])).texts
    long = shown(pp.Genome(["g"], ["x" * 10_000]))
    assert "x" * 59 + "…" in long.texts


def test_an_allele_table(table):
    page = shown(table)
    assert {EVIL, ODD, "c", f"{EVIL} 0", "'<i>' 67%", "'b' 100%"} <= set(page.texts)
    assert f"{EVIL} 6" not in page.texts
    assert "…" in page.texts


def test_missing_cells_are_empty():
    table = pp.AlleleTable.from_records([("a", "g", "x"), ("b", "h", "z")])
    assert {"'x' 100%", "'z' 100%"} <= set(shown(table).texts)


def test_exact_cells_show_probabilities():
    rows = {"model_idx": [0, 0, 1], "gene_idx": [0, 0, 0], "alleles": ["x", "y", "z"]}
    table = pp.AlleleTable.from_probabilities(
        ["a", "b"], ["g"], **rows, probabilities=[0.75, 0.25, 0.5]
    )
    assert {"'x' 75%", "'z' 50%"} <= set(shown(table).texts)


@pytest.mark.parametrize("n", [1, 3, 8, 9, 300])
@pytest.mark.parametrize("kind", [pp.DistanceMatrix, pp.SimilarityMatrix])
def test_a_matrix(kind, n):
    ids = [EVIL, ODD, *map(str, range(n))][:n]
    values = np.full((n, n), 0.25)
    np.fill_diagonal(values, kind.diagonal)
    page = shown(kind(values, ids))
    assert page.texts.count(EVIL) == 2
    assert ("…" in page.texts) == (n > 8)
    assert page.texts.count("0.25") == min(n, 8) * (min(n, 8) - 1)
    assert len(kind(values, ids)._repr_html_()) < 10_000


@pytest.mark.parametrize("n", [1, 2, 3, 16, 150])
def test_a_tree_with_names(n):
    names = [EVIL, ODD, *map(str, range(n))][:n]
    tree = pp.Tree(names, [*[n] * n, -1], [1.0] * n + [0.0]) if n > 1 else pp.Tree(names, [-1])
    page = shown(tree)
    assert set(names) <= set(page.texts)
    assert ("0.2" in page.texts) == (n > 1)


def test_support_is_told():
    tree = pp.Tree.from_newick("(a:1,b:1,((c:1,d:1)0.97:1,e:1)0.5:1);")
    assert {"support 0.97", "support 0.5", "0.97", "0.5"} <= set(shown(tree).texts)
    assert tree._repr_html_().count("<circle") == 2


def test_ancestors_are_named():
    tree = pp.Tree(["a", "b", "c"], [3, 3, 4, 4, -1], [1.0] * 4 + [0.0], labels=[EVIL, None])
    assert EVIL in shown(tree).texts


def test_names_do_not_lie_on_each_other():
    """Checkpoints that lead to one model: each has a row, however short the branches."""
    names = [f"run@step{i}" for i in range(9)]
    up = [*range(1, 9), -1]
    tree = pp.Tree(names[:1], up, [1e-9] * 9, labels=names[1:])
    page = tree._repr_html_()
    assert shown(tree).texts.count(repr(tree)) == 2  # not of the rows that were added
    rows = [float(y) for y in re.findall(r'<text x="[\d.]+" y="([\d.]+)">run@', page)]
    assert len(rows) == 9
    assert np.diff(sorted(rows)).min() > 12


def test_large_trees_are_small_or_left_out():
    for n, drawn in ((151, True), (2000, True), (2001, False)):
        tree = pp.Tree(map(str, range(n)), [n] * n + [-1], [1.0] * n + [0.0])
        page = tree._repr_html_()
        assert ("<svg" in page) == drawn
        assert "see pyphylo.write_report" in page
        assert "<text" not in page or page.count("<text") == 1
        assert len(page) < 200_000
