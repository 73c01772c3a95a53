"""Names that mean something to a browser, a file or a font: text everywhere, whole in exports."""

from __future__ import annotations

import csv
import re
import unicodedata
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from report_browser import chosen, distances, saved, saved_tree, settle

import pyphylo as pp
from pyphylo import plot
from pyphylo.errors import InputError
from pyphylo.io.annotations import viewer_ids, write_itol, write_taxonium
from pyphylo.io.metadata import read_metadata

# One process opens the page, once.
pytestmark = pytest.mark.xdist_group("hostile-names")
SVG = "{http://www.w3.org/2000/svg}"
NAMES = {
    "markup": "<img src=x onerror=alert(1)>",
    "end of script": "</script><script>alert(2)</script>",
    "comment": "--> <!-- ]]> @@data@@ ${x}",
    "entity": "&lt;b&gt; &amp; &#60;",
    "quotes": "a 'quoted', \"double\" `back` name''",
    "punctuation": "comma, semi; (brackets): [x] {y} a|b\\c",
    "address": "javascript:alert(3)//",
    "prototype": "__proto__",
    "formula": '=HYPERLINK("http://x.example","y")',
    "mathematics": "$\\frac{1}{2}$ x_1^2",
    "missing": "NA",
    "number": "1.50",
    "underscore": "under_score",
    "emoji": "\U0001f98a\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f1ee\U0001f1f8",
    "right to left": "\u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea (abc)",
    "turned around": "left\u202eright\u2066again",
    "composed": "e\u0301 and \u00e9",
    "blanks": " edge \u00a0",
    "tab": "tab\there",
    "line break": "line\nbreak",
    "carriage return": "carriage\r\nreturn\r",
    "separators": "a\u2028b\u0085c",
    "controls": "\x01bell\x07escape\x1b[31m\x7f",
    "nothing at all": "nul\x00inside",
    "long": "long-" + "<5000>" * 833 + "!",
}
assert len(NAMES["long"]) >= 5000
names = pytest.mark.parametrize("kind", NAMES)
everyone = tuple(NAMES.values())


@pytest.fixture(scope="module")
def D():  # noqa: N802
    return distances(everyone)


@pytest.fixture(scope="module")
def rows():
    """Families and notes that are as hostile as the names."""
    return {
        name: {"family": everyone[i // 3], "note": everyone[-1 - i]}
        for i, name in enumerate(everyone)
    }


@pytest.fixture(scope="module")
def tree(D):
    return pp.neighbor_joining(D).root_at("midpoint").ladderize()


# The page
@pytest.fixture(scope="module")
def visits(browser, tmp_path_factory):
    from report_browser import Visits

    visits = Visits(browser, tmp_path_factory.mktemp("hostile"))
    yield visits
    visits.close()


@pytest.fixture(scope="module")
def page(visits, D, tree, rows):
    return visits(D, tree=tree, metadata=rows, title=NAMES["markup"])


@pytest.fixture
def quiet(visits):
    """Nothing ran, was asked for or complained."""
    visits.trouble.clear()
    yield
    assert visits.trouble == []


def text_nodes(svg):
    """Texts of a picture that has no other elements than those that the page draws."""
    picture = ElementTree.fromstring(svg)  # noqa: S314
    allowed = {SVG + tag for tag in ("svg", "title", "rect", "path", "text", "image")}
    assert {node.tag for node in picture.iter()} <= allowed
    assert {key for node in picture.iter() for key in node.keys() if key.startswith("on")} == set()  # noqa: SIM118
    return {node.text for node in picture.iter(f"{SVG}text")}


def in_xml(text):
    """As XML gives it back: no controls, one character for a line end."""
    text = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "\ufffd", text)
    return text.replace("\r\n", "\n").replace("\r", "\n")


def cut(text, most):
    return text if len(text) <= most else text[: most - 1] + "…"


@pytest.fixture(scope="module")
def pictures(page):
    """Texts of the tree in each shape, and of the map."""
    found = {}
    for shape in ("circular", "unrooted", "rectangular"):
        page.select_option("#shape", shape)
        settle(page)
        found[shape] = text_nodes(saved(page, "#save-svg"))
    page.click("#tab-map")
    settle(page)
    found["map"] = text_nodes(saved(page, "#view-svg"))
    return found


@names
def test_the_card_the_list_and_what_is_said_have_it_as_text(page, tree, rows, quiet, kind):
    name = NAMES[kind]
    button = page.locator("#list .name").nth(tree.tips.index(name))
    assert button.text_content() == name
    button.click()
    settle(page)
    assert chosen(page) == name
    facts = [fact.text_content() for fact in page.locator("#card dd").all()]
    assert rows[name]["note"] in facts
    assert name in page.text_content("#says")
    relatives = [cell.text_content() for cell in page.locator("#card td .name").all()]
    assert len(relatives) == 15
    assert set(relatives) < set(everyone) - {name}


def as_drawn(name):
    """What a picture may show of a name, which ends where the picture does."""
    return {in_xml(cut(name, letters)) for letters in range(5, 31)}


@names
def test_pictures_of_the_page_have_it_as_text(pictures, kind):
    for shape in ("rectangular", "circular"):
        assert as_drawn(NAMES[kind]) & pictures[shape], shape
    drawn = set().union(*map(as_drawn, everyone))
    families = {in_xml(cut(name, 40)) for name in everyone}
    scale = {text for text in pictures["unrooted"] if re.fullmatch(r"[\d.]+", text or "")}
    assert pictures["unrooted"] - scale <= drawn | families
    assert len(pictures["unrooted"] & drawn) > len(everyone) / 2
    assert pictures["map"] <= {in_xml(cut(name, 26)) for name in everyone}


@names
def test_legend_and_choices_have_it_as_text(page, rows, quiet, kind):
    wanted = {row["family"] for row in rows.values()}
    legend = {entry.text_content() for entry in page.locator("#legend span").all()}
    assert wanted <= legend
    page.fill("#find", NAMES[kind])
    settle(page)
    found = page.locator("#list .name").all_text_contents()
    # A field of one line drops line ends, and what is typed is trimmed.
    if not re.search(r"[\r\n]", NAMES[kind]):
        assert NAMES[kind] in found
        assert NAMES[kind] in [
            o.get_attribute("value") for o in page.locator("#found option").all()
        ]
    page.fill("#find", "")


def test_the_page_has_no_more_elements_than_it_wrote(page, quiet):
    assert page.title() == NAMES["markup"]
    assert page.text_content("h1") == NAMES["markup"]
    assert page.query_selector("img, iframe, a[href^=javascript]") is None
    assert page.locator("script").count() == 2


def test_newick_of_the_page_reads_back(page, tree, tmp_path, quiet):
    found = saved_tree(page, tmp_path)
    assert found.tips == tree.tips
    assert found.robinson_foulds(tree) == 0
    # Collapsed, a clade is named by its first and last model.
    page.focus("#tree")
    for key in ("Home", "ArrowLeft", "Enter", "Space"):
        page.keyboard.press(key)
    settle(page)
    folded = saved_tree(page, tmp_path)
    (standing,) = set(folded.tips) - set(tree.tips)
    hidden = len(everyone) + 1 - folded.n_tips
    first, last = tree.tips[0], tree.tips[hidden - 1]
    assert standing == f"{hidden} models, {first} to {last}"
    page.click("#expand")
    assert saved(page, "#save-png").startswith(b"\x89PNG\r\n\x1a\n")
    assert saved(page, "#view-png").startswith(b"\x89PNG\r\n\x1a\n")


# Files

BREAKING = {"carriage return", "nothing at all"}
BLANK = {
    kind
    for kind, name in NAMES.items()
    if re.search(r"\s", name) or any(c in "\x1c\x1d\x1e\x1f\x85" for c in name)
}
REFUSED = {
    ".csv": BREAKING,
    ".tsv": BREAKING,
    ".phy": BLANK | {"nothing at all"},
    ".nwk": set(),
    ".nex": set(),
    ".xml": {"controls", "nothing at all", "blanks", "tab", "line break", "carriage return"},
}


@names
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".phy", ".npz", ".npy", ".parquet"])
def test_matrix_files_keep_it_or_refuse_it(tmp_path, kind, suffix):
    D = pp.DistanceMatrix([0.1, 0.2, 0.3], ["plain", NAMES[kind], "other"])
    path = tmp_path / f"matrix{suffix}"
    if kind in REFUSED.get(suffix, set()):
        with pytest.raises(InputError, match=re.escape(repr(NAMES[kind])[:40])):
            D.save(path)
        assert not path.exists()
    else:
        D.save(path)
        assert pp.DistanceMatrix.load(path).ids == D.ids


@names
@pytest.mark.parametrize("suffix", [".nwk", ".nex", ".xml"])
def test_tree_files_keep_it_or_refuse_it(tmp_path, kind, suffix):
    tree = pp.Tree(["plain", NAMES[kind], "other"], [3, 3, 4, 4, -1], [1, 2, 3, 4, 0])
    path = tmp_path / f"tree{suffix}"
    if kind in REFUSED[suffix]:
        with pytest.raises(InputError, match=re.escape(repr(NAMES[kind])[:40])):
            tree.write(path)
        assert not path.exists()
    else:
        tree.write(path)
        assert pp.Tree.read(path).tips == tree.tips


@names
def test_tables_keep_it(tmp_path, kind):
    said = {"a": 3, "b": 1}
    records = [
        (model, "g", text)
        for model in (NAMES[kind], "plain")
        for text, n in said.items()
        for _ in range(n)
    ]
    table = pp.AlleleTable.from_records(records)
    assert set(table.models) == {NAMES[kind], "plain"}
    table.save(tmp_path / "table")
    assert pp.AlleleTable.load(tmp_path / "table").models == table.models


@names
def test_tables_of_parents_keep_it(tmp_path, kind):
    """Metadata in, proposals out, both CSV."""
    from pyphylo.cli import main

    if kind == "nothing at all":
        pytest.skip("CSV cannot hold a zero byte in every Python")
    ids = [NAMES[kind], "base", "far", "farther"]
    D = pp.DistanceMatrix([0.05, 0.5, 0.7, 0.52, 0.71, 0.6], ids)
    D.save(tmp_path / "D.npz")
    with (tmp_path / "models.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["model", "family"], *([name, "f"] for name in ids)])
    assert set(read_metadata(tmp_path / "models.csv")) == set(ids)
    out = tmp_path / "parents.csv"
    options = ["--metadata", str(tmp_path / "models.csv"), "-o", str(out)]
    assert main(["parents", str(tmp_path / "D.npz"), *options]) == 0
    assert set(read_metadata(out)) == set(ids)


@names
def test_viewers_get_one_line_each(tmp_path, kind):
    tree = pp.Tree(["plain", NAMES[kind], "other"], [3, 3, 4, 4, -1])
    rows = {name: {"family": name} for name in tree.tips}
    ids = viewer_ids(tree.tips)
    for write in (write_itol, write_taxonium):
        files = {
            path.name: path.read_text(encoding="utf-8") for path in write(tree, rows, tmp_path)
        }
        for text in files.values():
            assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028]", text)
        if "taxonium.tsv" in files:
            lines = files["taxonium.tsv"].split("\n")
            assert len(lines) == 5
            assert {line.split("\t")[0] for line in lines[1:4]} == set(ids.values())
        else:
            assert "<" not in files["labels.txt"]
            assert files["labels.txt"].count("\n") == 6
    assert re.fullmatch(r"[A-Za-z0-9.@/+-]+", ids[NAMES[kind]])


# Figures

LAYOUTS = ("rectangular", "circular", "unrooted")


def is_drawn(name, texts):
    """Whether a name is among a figure's texts: whole, or without its middle."""
    from pyphylo.plot._text import printable

    whole = printable(name, 10**6)
    assert not {unicodedata.category(c) for c in whole} & {"Cc", "Cf", "Cs", "Zl", "Zp"}
    if len(whole) <= 44 and whole in texts:
        return True
    halves = [text.split("…") for text in texts if text.count("…") == 1 and len(text) <= 44]
    return any(whole.startswith(a) and whole.endswith(b) and len(a) > 3 for a, b in halves)


@pytest.fixture(scope="module")
def figures(D, tree, rows, tmp_path_factory):
    """Texts of every figure's SVG."""
    families = {name: row["family"] for name, row in rows.items()}
    folder = tmp_path_factory.mktemp("figures")
    made = {
        layout: plot.tree_figure(tree, layout=layout, families=families, title=NAMES["mathematics"])
        for layout in LAYOUTS
    }
    similarity = pp.SimilarityMatrix(np.exp(-D.values), D.ids)
    made["heat map"] = plot.heatmap_figure(similarity, order=tree, families=families)
    texts = {}
    for kind, figure in made.items():
        (path,) = plot.save_figure(figure, folder / kind, formats=["svg"])
        picture = ElementTree.parse(path)  # noqa: S314
        assert not {node.tag for node in picture.iter()} & {SVG + "script", SVG + "foreignObject"}
        texts[kind] = [node.text for node in picture.iter(f"{SVG}text")]
    return texts


@names
@pytest.mark.parametrize("figure", [*LAYOUTS, "heat map"])
def test_figures_have_it_as_text(figures, kind, figure):
    assert is_drawn(NAMES[kind], figures[figure])


@names
def test_notebooks_have_it_as_text(kind):
    D = pp.DistanceMatrix([0.1, 0.2, 0.3], ["plain", NAMES[kind], "other"])
    for thing in (D, pp.neighbor_joining(D), pp.Genome([NAMES[kind]], [NAMES[kind]])):
        shown = thing._repr_html_()
        tags = set(re.findall(r"<\s*([^\s/>]+)", shown))
        assert tags <= {"div", "p", "table", "thead", "tbody", "tr", "th", "td"} | {
            "svg", "title", "path", "text", "circle"
        }  # fmt: skip
