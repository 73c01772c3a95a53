"""The report as axe-core sees it: whatever is open, light or dark, nothing serious is amiss."""

from __future__ import annotations

import pytest
from report_browser import full_report, seek, settle, views

# One process makes the report, once.
pytestmark = pytest.mark.xdist_group("report-axe")
RULES = {"resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def axe():
    module = pytest.importorskip(
        "axe_playwright_python.sync_playwright",
        reason="axe is not installed: pip install '.[test]'",
    )
    return module.Axe()


@pytest.fixture
def found(axe):
    """What axe finds wrong with a page, each with what it is about."""

    def look(page, part=None):
        results = axe.run(page, context=part, options=RULES).response
        return [
            f"{wrong['id']} ({wrong['impact']}): {node['html'][:200]}"
            for wrong in results["violations"]
            for node in wrong["nodes"]
        ]

    return look


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    path = tmp_path_factory.mktemp("full") / "report.html"
    return path, full_report(path)


@pytest.mark.parametrize(("scheme", "width"), [("light", 1300), ("dark", 400)])
def test_nothing_is_amiss_whatever_is_open(opened, found, full, scheme, width):
    path, tree = full
    page = opened.open(path, color_scheme=scheme, viewport={"width": width, "height": 900})
    assert page.locator("#notes li").count() >= 1
    assert views(page) == ["heat", "map", "scores", "runs"]
    for view in views(page):
        page.click(f"#tab-{view}")
        settle(page)
        assert found(page, "#side") == [], view
    # A tip's card with relatives, parents, scores and alleles; then a clade's, collapsed.
    seek(page, tree.tips[1])
    assert page.locator("#card table").count() >= 3
    assert page.locator("#merge").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.hover("#tree", position={"x": 40, "y": 200})
    page.check("#show-support")
    page.select_option("#colour", label="many")
    settle(page)
    assert found(page) == []
    page.select_option("#shape", "circular")
    page.focus("#tree")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.click("#fold")
    page.click("#sort-0")
    page.fill("#find", "no such model")
    settle(page)
    assert found(page) == []


def test_axe_sees_what_is_amiss(opened, found, full):
    page = opened.open(full[0])
    page.evaluate(
        "document.querySelector('#find').closest('label').replaceWith(document.querySelector('#find'));"
        "document.querySelector('#find').placeholder = ''"
    )
    assert [line.split()[0] for line in found(page, "#tree-part")] == ["label"]
