"""The report in a browser: it opens from disk, asks for nothing, and does what it says.

Needs playwright and a Chromium: the one of the system, or the one that playwright installed.
"""

from __future__ import annotations

import os
import re
import shutil
import warnings
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.distance import cdist

import pyphylo as pp

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

STRANGE = (
    "<img src=x onerror=alert(1)>",
    "a 'quoted', \"double\" name",
    "comma, and; (semicolon): [x]",
    "\U0001f98a emoji",
    "\u0639\u0631\u0628\u064a \u05e2\u05d1\u05e8\u05d9\u05ea",
    "</script><script>alert(2)</script>",
    "under_score & ampersand",
)
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        try:
            made = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except sync_api.Error as error:
            pytest.skip(f"no Chromium starts: {str(error).splitlines()[0]}")
        yield made
        made.close()


@pytest.fixture
def opened(browser, tmp_path):
    """Open a report of these distances; afterwards nothing was said or asked for."""
    trouble = []

    def show(D, **parts):
        path = pp.write_report(D, tmp_path / "report.html", **parts)
        page = browser.new_page(viewport={"width": 1300, "height": 900})
        page.on("console", lambda message: trouble.append(message.text))
        page.on("pageerror", lambda error: trouble.append(str(error)))
        page.on("dialog", lambda dialog: (trouble.append(dialog.message), dialog.dismiss()))
        page.on("request", lambda request: trouble.append(request.url)
                if request.url != path.as_uri() else None)  # fmt: skip
        page.goto(path.as_uri())
        page.wait_for_selector("html[data-ready]", state="attached")
        settle(page)
        return page

    yield show
    assert trouble == []


def settle(page):
    """Until what was asked for is drawn."""
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")


def saved(page, button):
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes()


def pixels(page, canvas="tree"):
    return page.evaluate(f"document.getElementById('{canvas}').toDataURL()")


def distances(names, seed=0):
    points = np.random.default_rng(seed).normal(size=(len(names), 6))
    square = cdist(points, points) / 4
    return pp.DistanceMatrix(square, names)


def some(n):
    return [f"model-{i}" for i in range(n)]


def test_strange_names_are_text_everywhere_and_survive_every_export(opened):
    D = distances(STRANGE)
    rows = {name: {"family": name, "note": name} for name in STRANGE}
    page = opened(D, metadata=rows, title=STRANGE[0])
    assert page.title() == STRANGE[0]
    for shape in ("rectangular", "circular", "unrooted"):
        page.select_option("#shape", shape)
        settle(page)
        picture = ElementTree.fromstring(saved(page, "#save-svg"))  # noqa: S314
        texts = {node.text for node in picture.iter(f"{SVG}text")}
        assert set(STRANGE) <= texts, shape
        assert {node.tag for node in picture.iter()} == {
            SVG + tag for tag in ("svg", "title", "rect", "path", "text")
        }
    tree = pp.Tree.from_newick(saved(page, "#save-newick").decode().strip())
    assert set(tree.tips) == set(STRANGE)
    assert saved(page, "#save-png").startswith(b"\x89PNG\r\n")
    for name in STRANGE:
        page.fill("#find", name)
        page.press("#find", "Enter")
        settle(page)
        assert page.inner_text("#card-heading") == name
        assert page.inner_text("#card-body dd >> nth=0") == name
    assert page.query_selector("img") is None
    assert page.locator("script").count() == 2


def test_the_newick_that_is_saved_is_the_tree(opened):
    D = distances(some(40), seed=2)
    tree = pp.neighbor_joining(D).root_at("midpoint").ladderize()
    found = pp.Tree.from_newick(saved(opened(D), "#save-newick").decode().strip())
    assert found.robinson_foulds(tree) == 0
    assert found.tips == tree.tips
    paths = np.abs(found.patristic() - tree.patristic())
    assert paths.max() < 1e-6


def test_supports_are_shown_saved_and_said(opened):
    D = distances(some(12), seed=3)
    tree = pp.neighbor_joining(D).root_at("midpoint").ladderize()
    support = np.where(np.arange(tree.n_nodes) < tree.n_tips, np.nan, 87.0)
    tree = pp.Tree(tree.tips, tree.parent, tree.length, support)
    page = opened(D, tree=tree)
    plain = saved(page, "#save-svg").decode()
    page.check("#show-support")
    settle(page)
    assert saved(page, "#save-svg").decode().count(">87<") > plain.count(">87<") == 0
    found = pp.Tree.from_newick(saved(page, "#save-newick").decode().strip())
    assert set(found.support[found.n_tips :].tolist()) == {87.0}
    page.focus("#tree")
    page.keyboard.press("ArrowRight")
    assert "support 87" in page.text_content("#says")


def test_search_finds_shows_and_lists(opened):
    page = opened(distances(some(300)))
    page.fill("#find", "model-27")
    settle(page)
    assert page.inner_text("#matches") == "11 found"
    assert page.locator("#list tbody tr").count() == 11
    page.press("#find", "Enter")
    settle(page)
    assert page.inner_text("#card-heading") == "model-27"
    assert page.locator("#card tbody tr").count() == 15
    picture = ElementTree.fromstring(saved(page, "#save-svg"))  # noqa: S314
    bold = {node.text for node in picture.iter(f"{SVG}text") if node.get("font-weight")}
    assert "model-27" in bold


def test_colours_follow_the_column_and_rare_categories_are_other(opened):
    names = some(60)
    rows = {name: {"few": "ab"[i % 2], "many": f"c{int(i ** 0.9)}", "size": str(i),
                   "date": f"2023-{1 + i % 12:02d}"}
            for i, name in enumerate(names)}  # fmt: skip
    page = opened(distances(names), metadata=rows)
    seen = set()
    for label, entries in (("few", 2), ("many", 12), ("size", 3), ("date", 3), ("nothing", 0)):
        page.select_option("#colour", label=label)
        settle(page)
        assert page.locator("#legend li").count() == entries
        seen.add(pixels(page))
    assert len(seen) == 5
    page.select_option("#colour", label="many")
    assert page.locator("#legend li").last.inner_text().startswith("other (")


def test_clades_collapse_by_keyboard_and_expand_again(opened):
    page = opened(distances(some(30), seed=4))
    whole = saved(page, "#save-newick")
    page.focus("#tree")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    settle(page)
    clade = page.inner_text("#card-heading")
    below = int(re.findall(r"\d+", clade)[0])
    page.keyboard.press("Space")
    settle(page)
    folded = pp.Tree.from_newick(saved(page, "#save-newick").decode().strip())
    assert folded.n_tips == 30 - below + 1
    assert sum(f"{below} models" in name for name in folded.tips) == 1
    page.click("#expand")
    settle(page)
    assert saved(page, "#save-newick") == whole
    assert page.is_disabled("#expand")


def test_zoom_drag_and_fit(opened):
    page = opened(distances(some(80)))
    first = pixels(page)
    page.mouse.move(300, 500)
    page.mouse.wheel(0, -600)
    settle(page)
    zoomed = pixels(page)
    assert zoomed != first
    page.mouse.down()
    page.mouse.move(340, 560)
    page.mouse.up()
    page.mouse.move(5, 5)
    settle(page)
    assert pixels(page) not in (first, zoomed)
    page.click("#fit")
    settle(page)
    assert pixels(page) == first


def test_views_are_linked_and_reached_by_keyboard(opened):
    names = some(50)
    import pandas as pd

    scores = pd.DataFrame({"model": names, "quiz": np.linspace(0.2, 0.9, 50)})
    page = opened(distances(names), scores=scores)
    for steps, canvas in enumerate(("heat", "map", "scores"), 1):
        page.click(f"#tab-{canvas}")
        settle(page)
        before = pixels(page, canvas)
        page.focus(f"#{canvas}")
        for _ in range(steps):
            page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        settle(page)
        chosen = page.inner_text("#card-heading")
        assert chosen in names
        assert pixels(page, canvas) != before
        saves = ElementTree.fromstring(saved(page, "#view-svg"))  # noqa: S314
        assert saves.find(f".//{SVG}image" if canvas == "heat" else f".//{SVG}text") is not None
        assert saved(page, "#view-png").startswith(b"\x89PNG\r\n")
        page.click("#fit")
    page.focus("#tab-scores")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#tab-heat", "aria-selected") == "true"
    assert "correlation" in page.text_content("#scores-note")


def test_dark_pages_are_dark(browser, tmp_path):
    path = pp.write_report(distances(some(20)), tmp_path / "r.html")
    grounds = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(path.as_uri())
        settle(page)
        grounds.append(page.evaluate(
            "Array.from(document.getElementById('tree').getContext('2d').getImageData(3,3,1,1).data)"
        ))  # fmt: skip
    assert min(grounds[0][:3]) > 240
    assert max(grounds[1][:3]) < 50


@pytest.mark.parametrize(("n", "seconds"), [(127, 2), (5000, 5)])
def test_first_paint_is_quick(browser, tmp_path, n, seconds):
    parent = np.concatenate([np.repeat(np.arange(n, 2 * n - 1), 2), [-1]])
    tree = pp.Tree(some(n), parent, np.full(len(parent), 0.1))
    path = pp.write_report(distances(some(n)), tmp_path / "r.html", tree=tree)
    page = browser.new_page()
    page.goto(path.as_uri())
    page.wait_for_selector("html[data-ready]", state="attached")
    settle(page)
    paints = page.evaluate("performance.getEntriesByType('paint').map(e => e.startTime)")
    assert max(paints) < 1000 * seconds
    assert page.evaluate("performance.now()") < 1000 * seconds * 2


def test_the_real_models(opened, shared_data):
    folder = shared_data / "phylolm"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        page = opened(folder / "math_similarity.csv", similarity=True,
                      metadata=folder / "models.csv", scores=folder / "scores.csv")  # fmt: skip
    assert page.locator("#target option").count() == 3
    page.fill("#find", "zephyr")
    settle(page)
    assert int(page.inner_text("#matches").split()[0]) >= 1
    axe = os.environ.get("PYPHYLO_AXE")
    if axe:
        page.evaluate(Path(axe).read_text(encoding="utf-8"))
        assert page.evaluate("axe.run().then(found => found.violations.map(v => v.id))") == []
