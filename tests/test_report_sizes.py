"""The report of 127 real and of 5,000 simulated models: opens at once, and all of it works."""

from __future__ import annotations

import struct
import warnings
import xml.etree.ElementTree as ElementTree

import pytest
from report_browser import chosen, pixels, saved, saved_tree, seek, settle, views

import pyphylo as pp
from pyphylo.simulate import family_of, simulate_distances

# One process makes both reports, once.
pytestmark = pytest.mark.xdist_group("report-sizes")
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def real(shared_data, tmp_path_factory):
    """The report of the published similarities of 127 models."""
    folder = shared_data / "phylolm"
    path = tmp_path_factory.mktemp("real") / "report.html"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        pp.write_report(
            folder / "math_similarity.csv",
            path,
            similarity=True,
            metadata=folder / "models.csv",
            scores=folder / "scores.csv",
        )
    return path


@pytest.fixture(scope="module")
def simulated(tmp_path_factory):
    """The report of 5,000 models of a hundred families."""
    D = simulate_distances(5000, kind="language-models", seed=8)
    rows = {name: {"family": family_of(name), "size": str(1 + i % 70)}
            for i, name in enumerate(D.ids)}  # fmt: skip
    return pp.write_report(D, tmp_path_factory.mktemp("large") / "report.html", metadata=rows)


SIZES = pytest.mark.parametrize(
    ("size", "n", "seconds", "megabytes"), [("real", 127, 2, 6), ("simulated", 5000, 5, 25)]
)


@SIZES
def test_it_opens_at_once(opened, request, size, n, seconds, megabytes):
    path = request.getfixturevalue(size)
    assert path.stat().st_size < megabytes * 1e6
    # The quickest of three: the other two may have had to wait for the machine.
    quickest = float("inf")
    for _ in range(3):
        page = opened.open(path)
        paints = dict(
            page.evaluate("performance.getEntriesByType('paint').map(e => [e.name, e.startTime])")
        )
        assert set(paints) == {"first-paint", "first-contentful-paint"}
        drawn = page.evaluate("performance.now()")
        quickest = min(quickest, max(drawn, *paints.values()) / 1000)
        if quickest < seconds:
            break
    assert quickest < seconds, f"{n} models"
    assert f"{n:,} models" in page.text_content("#about")


@SIZES
def test_all_of_it_works(opened, request, tmp_path, size, n, seconds, megabytes):
    page = opened.open(request.getfixturevalue(size))
    whole = saved_tree(page, tmp_path)
    assert whole.n_tips == len(set(whole.tips)) == n

    name = whole.tips[n // 3]
    seek(page, name)
    assert chosen(page) == name
    assert int(page.text_content("#matches").split()[0].replace(",", "")) >= 1
    picture = ElementTree.fromstring(saved(page, "#save-svg"))  # noqa: S314
    bold = {text.text for text in picture.iter(f"{SVG}text") if text.get("font-weight")}
    assert name in bold
    page.fill("#find", "")
    page.click("#fit")
    settle(page)

    coloured = pixels(page)
    page.select_option("#colour", label="nothing")
    settle(page)
    assert pixels(page) != coloured
    assert page.locator("#legend li").count() == 0
    page.select_option("#colour", label="family")
    settle(page)
    assert pixels(page) == coloured

    shapes = {pixels(page)}
    for shape in ("circular", "unrooted"):
        page.select_option("#shape", shape)
        settle(page)
        shapes.add(pixels(page))
        lines = ElementTree.fromstring(saved(page, "#save-svg")).iter(f"{SVG}path")  # noqa: S314
        drawn = sum(line.get("d").count("L") for line in lines if line.get("fill") == "none")
        assert drawn > n, shape
    assert len(shapes) == 3
    page.select_option("#shape", "rectangular")

    page.focus("#tree")
    page.keyboard.press("Home")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    page.click("#fold")
    settle(page)
    folded = saved_tree(page, tmp_path)
    standing = [tip for tip in folded.tips if tip not in set(whole.tips)]
    assert len(standing) == 1
    assert folded.n_tips == n + 1 - int(standing[0].split()[0])
    page.click("#expand")
    assert saved_tree(page, tmp_path).tips == whole.tips

    box = page.locator("#tree").bounding_box()
    for button in ("#save-png", "#view-png"):
        png = saved(page, button)
        assert png[:8] == b"\x89PNG\r\n\x1a\n"
        width, height = struct.unpack(">II", png[16:24])
        assert min(width, height) > 900
        if button == "#save-png":
            assert abs(width - 3 * (box["width"])) <= 6

    for view in views(page):
        page.click(f"#tab-{view}")
        settle(page)
        if page.locator(f"#{view}").count():
            ElementTree.fromstring(saved(page, "#view-svg"))  # noqa: S314


def test_the_real_models_have_scores_and_relatives(opened, real):
    page = opened.open(real)
    assert page.locator("#target option").count() == 3
    seek(page, "zephyr-7b-beta")
    assert page.locator("#card table").count() == 2
