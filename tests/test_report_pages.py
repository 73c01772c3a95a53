"""The report in a browser: what is chosen anywhere is seen everywhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from report_browser import settle
from scipy.spatial.distance import cdist

import pyphylo as pp

SVG = "{http://www.w3.org/2000/svg}"
STRANGE = '<img src=x onerror=alert(1)> & "q" \''
NAMES = [f"m{i:02d}" for i in range(26)] + [f"{STRANGE}@step{k}" for k in (0, 10, 100, 5000)]
CHOSEN = "#ff5a36"


def picture(page, button):
    """What a button saves; pressed without the pointer, which stays where it is."""
    settle(page)
    with page.expect_download() as download:
        page.evaluate(f"document.getElementById('{button}').click()")
    return ElementTree.fromstring(Path(download.value.path()).read_bytes())  # noqa: S314


def bold(root):
    return {node.text for node in root.iter(f"{SVG}text") if node.get("font-weight")}


def matrix(names=NAMES, seed=0):
    points = np.random.default_rng(seed).normal(size=(len(names), 5))
    return pp.DistanceMatrix(cdist(points, points) / 4, names)


def everything():
    import pandas as pd

    rows = {name: {"family": f"f{i % 3}", "base_model": "m00"} for i, name in enumerate(NAMES)}
    del rows["m00"]["base_model"]
    scores = pd.DataFrame({"model": NAMES, "quiz": np.linspace(0.2, 0.9, len(NAMES))})
    return {"metadata": rows, "scores": scores}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A report with every view."""
    return pp.write_report(matrix(), tmp_path_factory.mktemp("whole") / "r.html", **everything())


def chosen_row(page):
    """The place in the order of the tree of the band that the heat map shows, row and column."""
    root = picture(page, "view-svg")
    frame = next(node for node in root.iter(f"{SVG}svg") if node.find(f"{SVG}image") is not None)
    left, top, side = (float(frame.get(key)) for key in ("x", "y", "width"))
    (path,) = [node for node in root.iter(f"{SVG}path") if node.get("stroke") == CHOSEN]
    number = r"(-?[\d.]+)"
    lines = [
        [float(x) for x in line]
        for line in re.findall(rf"M{number} {number}L{number} {number}", path.get("d"))
    ]
    n = len(NAMES)
    rows = [(b - top) / side * n for a, b, c, d in lines if b == d]
    columns = [(a - left) / side * n for a, b, c, d in lines if a == c]
    assert rows == pytest.approx(columns, abs=0.1)
    return round(min(rows))


def by_key(view, times=3):
    def choose(page):
        page.click(f"#tab-{view}")
        page.focus(f"#{view}")
        for _ in range(times):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")

    return choose


def in_tree(page):
    page.focus("#tree")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")


def by_search(page):
    page.fill("#find", "m17")
    page.press("#find", "Enter")
    page.fill("#find", "")


def in_list(page):
    page.click("#list tbody tr:nth-child(9) button")


def in_card(page):
    by_search(page)
    page.focus("#card tbody tr:nth-child(2) button")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "card"


WAYS = {
    "tree": in_tree,
    "search": by_search,
    "list": in_list,
    "card": in_card,
    "heat": by_key("heat"),
    "map": by_key("map"),
    "scores": by_key("scores"),
    "runs": by_key("runs", 2),
}


@pytest.mark.parametrize("way", list(WAYS))
def test_what_is_chosen_in_one_place_is_seen_in_all(opened, whole, way):
    page = opened(whole)
    WAYS[way](page)
    settle(page)
    page.mouse.move(2, 2)
    name = page.text_content("#card-heading")
    place = page.evaluate(
        "name => JSON.parse(document.getElementById('data').textContent).names.indexOf(name)", name
    )
    assert place >= 0
    short = name if len(name) <= 26 else name[:25] + "…"
    assert {text[:25] for text in bold(picture(page, "save-svg"))} >= {name[:25]}
    for view in ("map", "scores"):
        page.click(f"#tab-{view}")
        assert short in bold(picture(page, "view-svg")), view
    page.click("#tab-heat")
    assert chosen_row(page) == place
    assert page.text_content("#list tr[aria-current] td") == name
    page.click("#tab-runs")
    assert (short in bold(picture(page, "view-svg"))) == name.startswith(STRANGE)


def test_a_chosen_model_comes_into_an_enlarged_view(opened, whole):
    page = opened(whole)
    for view in ("map", "scores", "heat"):
        page.click(f"#tab-{view}")
        box = page.locator(f"#{view}").bounding_box()
        page.mouse.move(box["x"] + 30, box["y"] + 30)
        for _ in range(6):
            page.mouse.wheel(0, -400)
        settle(page)
        for name in ("m03", "m21"):
            page.fill("#find", name)
            page.press("#find", "Enter")
            page.fill("#find", "")
            root = picture(page, "view-svg")
            if view != "heat":
                assert name in bold(root), (view, name)
                continue
            (band,) = [node for node in root.iter(f"{SVG}path") if node.get("stroke") == CHOSEN]
            rows = re.findall(r"M\S+ (\S+)L\S+ \1(?=M|$)", band.get("d"))
            assert 0 <= np.mean([float(y) for y in rows]) <= box["height"]


def test_the_pointer_lights_up_a_model_in_every_view(opened, whole):
    page = opened(whole)
    page.click("#tab-heat")
    settle(page)
    box = page.locator("#heat").bounding_box()
    height = box["height"] - 18  # under which the colours are explained
    side = min(box["width"], height) - 16
    cell = side / len(NAMES)
    left, top = box["x"] + (box["width"] - side) / 2, box["y"] + (height - side) / 2
    page.mouse.move(left + 4.5 * cell, top + 20.5 * cell)
    settle(page)
    names = page.evaluate("JSON.parse(document.getElementById('data').textContent).names")
    expected = {names[4][:25], names[20][:25]}
    assert {text[:25] for text in bold(picture(page, "save-svg"))} == expected
    page.mouse.move(2, 2)
    settle(page)
    assert bold(picture(page, "save-svg")) == set()
    page.click("#tab-map")
    page.hover("#list tbody tr:nth-child(3) button")
    settle(page)
    assert {text[:25] for text in bold(picture(page, "save-svg"))} == {names[2][:25]}
    assert {text[:25] for text in bold(picture(page, "view-svg"))} == {names[2][:25]}


def test_a_run_is_drawn_on_the_map_and_marked_everywhere(opened, whole):
    page = opened(whole)
    page.click("#tab-map")
    lines = [len(list(picture(page, "view-svg").iter(f"{SVG}path")))]
    page.uncheck("#show-runs")
    lines.append(len(list(picture(page, "view-svg").iter(f"{SVG}path"))))
    assert lines[0] == lines[1] + 1
    page.check("#show-runs")
    page.click("#tab-runs")
    page.focus("#run")
    page.keyboard.press("ArrowDown")
    settle(page)
    assert page.text_content("#says").startswith("4 checkpoints of <img")
    assert "changes fastest from step" in page.text_content("#runs-note")
    texts = {node.text for node in picture(page, "view-svg").iter(f"{SVG}text")}
    assert {"0", "10", "100", "5,000"} <= texts
    steps = {name for name in NAMES if "@step" in name}
    shown = {text[:25] for text in bold(picture(page, "save-svg"))}
    assert shown == {name[:25] for name in steps}
    pictures = set()
    for measure in ("start", "end", "previous"):
        page.select_option("#measure", measure)
        pictures.add(ElementTree.tostring(picture(page, "view-svg")))
    assert len(pictures) == 3
    page.fill("#find", sorted(steps)[2])
    page.press("#find", "Enter")
    settle(page)
    card = page.inner_text("#card-body")
    assert "Training run" in card
    assert re.search(r"Checkpoint [1-4] of 4 of", card)
    assert page.query_selector("img") is None


def drawn(probes=24, genes=48):
    """Two parents, their mixture, and some others of one base."""
    rng = np.random.default_rng(2)
    base = rng.normal(0, 1.5, (genes, 8))
    models = {}
    for name in ("base", STRANGE, "second", "third", "fourth"):
        raised = np.exp(base + (name != "base") * rng.normal(0, 0.9, base.shape))
        models[name] = raised / raised.sum(axis=1, keepdims=True)
    models["blend"] = (models[STRANGE] + models["second"]) / 2
    return pp.AlleleTable.from_records(
        [
            (name, f"g{gene}", f"w{word:03d}")
            for name, p in models.items()
            for gene in range(genes)
            for word in rng.choice(8, probes, p=p[gene])
        ],
        rule=pp.AlleleRule(),
    )


def test_the_card_of_a_merge_says_so_in_words(opened):
    rows = {name: {"base_model": "base"} for name in (STRANGE, "second", "third", "fourth")}
    page = opened(drawn(), metadata=rows, model="blend")
    assert page.text_content("#card-heading") == "blend"
    said = page.text_content("#merge")
    assert said.endswith("nearer than to any other pair: what a merge of the two looks like.")
    assert STRANGE in said
    assert "second" in said
    facts = page.inner_text("#card-body")
    assert re.search(r"\d\d%, 95% limits \d\d% to \d\d%", facts)
    assert "by chance alone" in facts
    page.click("#merge button >> nth=0")
    settle(page)
    assert page.text_content("#card-heading") in (STRANGE, "second")
    assert "No sign of it" in page.text_content("#merge")
    declared = page.text_content("#card-body dl >> nth=1")
    assert declared.startswith("declaredbase")
    assert page.query_selector("img") is None


def test_umap_is_a_switch_where_it_is_installed(opened):
    pytest.importorskip("umap", reason="umap-learn is not installed")
    page = opened(matrix())
    page.click("#tab-map")
    first = ElementTree.tostring(picture(page, "view-svg"))
    page.select_option("#method", "umap")
    assert "UMAP" in page.text_content("#map-note")
    assert ElementTree.tostring(picture(page, "view-svg")) != first
    assert not opened(matrix(), umap=False).is_visible("#method")


def test_of_many_categories_the_page_says_which_have_colours(opened):
    names = [f"m{i}" for i in range(330)]
    rows = {
        name: {"licence": f"licence {i if i < 300 else i % 11}"} for i, name in enumerate(names)
    }
    page = opened(matrix(names), metadata=rows, color_by="licence")
    assert page.locator("#legend li").count() == 12
    assert page.locator("#legend li").last.inner_text() == "other (289)"
    assert page.text_content("#legend-note").startswith(
        "300 categories: the 11 most frequent have colours of their own, the other 289 share one"
    )
    page.select_option("#colour", label="nothing")
    assert page.is_hidden("#legend-note")


@pytest.mark.parametrize("far", [0.0, 0.3])
def test_two_models_make_a_page(opened, far):
    page = opened(pp.DistanceMatrix([far], ["one", "two"]))
    for view in ("heat", "map"):
        page.click(f"#tab-{view}")
        picture(page, "view-svg")
    for shape in ("rectangular", "circular", "unrooted"):
        page.select_option("#shape", shape)
        texts = {node.text for node in picture(page, "save-svg").iter(f"{SVG}text")}
        assert {"one", "two"} <= texts
    page.click("#list tbody button >> nth=1")
    assert page.text_content("#card tbody td").startswith("one")
