"""The report in a browser: it opens from disk, asks for nothing, and does what it says."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
from report_browser import chosen, distances, pixels, saved, saved_tree, seek, settle, some

import pyphylo as pp

SVG = "{http://www.w3.org/2000/svg}"
# The colour of the tree's canvas in a corner.
GROUND = """(() => {
  const pen = new OffscreenCanvas(9, 9).getContext('2d', { willReadFrequently: true });
  pen.drawImage(document.getElementById('tree'), 0, 0);
  return [...pen.getImageData(3, 3, 1, 1).data];
})()"""


def test_the_newick_that_is_saved_is_the_tree(opened, tmp_path):
    D = distances(some(40), seed=2)
    tree = pp.neighbor_joining(D).root_at("midpoint").ladderize()
    found = saved_tree(opened(D), tmp_path)
    assert found.robinson_foulds(tree) == 0
    assert found.tips == tree.tips
    paths = np.abs(found.patristic() - tree.patristic())
    assert paths.max() < 1e-6


def test_supports_are_shown_saved_and_said(opened, tmp_path):
    D = distances(some(12), seed=3)
    tree = pp.neighbor_joining(D).root_at("midpoint").ladderize()
    support = np.where(np.arange(tree.n_nodes) < tree.n_tips, np.nan, 87.0)
    tree = pp.Tree(tree.tips, tree.parent, tree.length, support)
    page = opened(D, tree=tree)
    plain = saved(page, "#save-svg").decode()
    page.check("#show-support")
    settle(page)
    assert saved(page, "#save-svg").decode().count(">87<") > plain.count(">87<") == 0
    found = saved_tree(page, tmp_path)
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
    seek(page, "model-27")
    assert chosen(page) == "model-27"
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


def test_clades_collapse_by_keyboard_and_expand_again(opened, tmp_path):
    page = opened(distances(some(30), seed=4))
    whole = saved(page, "#save-newick")
    page.focus("#tree")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    settle(page)
    clade = chosen(page)
    below = int(re.findall(r"\d+", clade)[0])
    page.keyboard.press("Space")
    settle(page)
    folded = saved_tree(page, tmp_path)
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
        assert chosen(page) in names
        assert pixels(page, canvas) != before
        saves = ElementTree.fromstring(saved(page, "#view-svg"))  # noqa: S314
        assert saves.find(f".//{SVG}image" if canvas == "heat" else f".//{SVG}text") is not None
        assert saved(page, "#view-png").startswith(b"\x89PNG\r\n")
        page.click("#fit")
    page.focus("#tab-scores")
    page.keyboard.press("ArrowRight")
    assert page.get_attribute("#tab-heat", "aria-selected") == "true"
    assert "correlation" in page.text_content("#scores-note")


def test_dark_pages_are_dark(opened, tmp_path):
    path = pp.write_report(distances(some(20)), tmp_path / "r.html")
    grounds = []
    for scheme in ("light", "dark"):
        page = opened.open(path, color_scheme=scheme)
        grounds.append(page.evaluate(GROUND))
    assert min(grounds[0][:3]) > 240
    assert max(grounds[1][:3]) < 50


def test_the_tree_stays_beside_the_card_and_never_covers_the_list(opened):
    names = some(30)
    page = opened(distances(names), metadata={name: {"note": "word " * 900} for name in names})
    seek(page, names[0])
    page.fill("#find", "")
    page.evaluate("scrollTo(0, 200)")
    settle(page)
    assert page.locator("#tree-part").bounding_box()["y"] == 8
    page.locator("#list-part").scroll_into_view_if_needed()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    settle(page)
    tree, listed = (page.locator(part).bounding_box() for part in ("#tree-part", "#list-part"))
    assert tree["y"] + tree["height"] <= listed["y"]


def test_a_dark_page_prints_light(opened, tmp_path):
    path = pp.write_report(distances(some(20)), tmp_path / "r.html")
    page = opened.open(path, color_scheme="dark")
    # No frame passes between these: a browser gives none before it prints.
    before, during, after = page.evaluate(
        f"""() => {{
          const seen = [{GROUND}];
          for (const event of ['beforeprint', 'afterprint']) {{
            dispatchEvent(new Event(event));
            seen.push({GROUND});
          }}
          return seen;
        }}"""
    )
    assert max(before[:3]) < 50
    assert during == [255, 255, 255, 255]
    assert after == before


def test_a_model_at_the_edge_is_shown_without_a_void(opened):
    names = some(900)
    page = opened(distances(names))
    first = page.locator("#list .name").first.text_content()
    seek(page, first)
    picture = ElementTree.fromstring(saved(page, "#save-svg"))  # noqa: S314
    (own,) = [text for text in picture.iter(f"{SVG}text") if text.text == first]
    y = float(re.search(r"translate\(\S+ ([\d.]+)\)", own.get("transform"))[1])
    assert 5 < y < 40
