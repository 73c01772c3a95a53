"""Reports opened in a Chromium, and what a reader does with them.

The fixtures `browser` and `opened` of conftest.py stand on this. Playwright and axe come with the
extra ``test``, a Chromium from the system (Debian: ``apt-get install chromium``) or from
``playwright install chromium``; where one of them is missing, the tests that need it are skipped.
"""

from __future__ import annotations

import shutil
import warnings
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urldefrag

import numpy as np
import pandas as pd
import pytest
from scipy.spatial.distance import cdist

import pyphylo as pp
from pyphylo.simulate import simulate_history


@contextmanager
def chromium():
    """A browser; without one the test is skipped, with what to do about it."""
    sync_api = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed: pip install '.[test]'"
    )
    with sync_api.sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        try:
            browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        except sync_api.Error as error:
            why = str(error).strip().splitlines()[0]
            pytest.skip(f"no Chromium starts: apt-get install chromium ({path}: {why})")
        yield browser
        browser.close()


class Visits:
    """Reports opened from disk, and what they said or asked for that they should not have."""

    def __init__(self, browser, folder):
        self.browser, self.folder = browser, folder
        self.trouble = []
        self.pages = []

    def __call__(self, source, **parts):
        """Write the report of a source and open it; or open one that is written."""
        if isinstance(source, Path) and source.suffix == ".html":
            return self.open(source)
        return self.open(pp.write_report(source, self.folder / "report.html", **parts))

    def open(self, path, **options):
        page = self.browser.new_page(
            **{"viewport": {"width": 1300, "height": 900}, "reduced_motion": "reduce", **options}
        )
        self.pages.append(page)
        own = path.as_uri()

        def asked(request):
            if urldefrag(request.url)[0] != own:
                self.trouble.append(request.url)

        def asks(dialog):
            self.trouble.append(dialog.message)
            dialog.dismiss()

        page.on("console", lambda message: self.trouble.append(message.text))
        page.on("pageerror", lambda error: self.trouble.append(str(error)))
        page.on("dialog", asks)
        page.on("request", asked)
        page.goto(own)
        page.wait_for_selector("html[data-ready]", state="attached")
        settle(page)
        return page

    def close(self):
        for page in self.pages:
            page.close()


def settle(page):
    """Until what was asked for is drawn."""
    page.evaluate("() => new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))")


def saved(page, button):
    """The file that a button saves."""
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_bytes()


def saved_tree(page, folder):
    """The tree that the page saves as Newick, read as any tree file is."""
    path = folder / "saved.nwk"
    path.write_bytes(saved(page, "#save-newick"))
    return pp.Tree.read(path)


def pixels(page, canvas="tree"):
    return page.evaluate(f"document.getElementById('{canvas}').toDataURL()")


def chosen(page):
    """Heading of the card."""
    return page.text_content("#card-heading")


def seek(page, name):
    """Search for a model and choose it."""
    page.fill("#find", name)
    page.press("#find", "Enter")
    settle(page)


def views(page):
    """Names of the views that the page has beside the tree."""
    return [
        tab.get_attribute("id").removeprefix("tab-")
        for tab in page.query_selector_all("[role=tab]")
    ]


def distances(names, seed=0):
    """Distances of points in space."""
    points = np.random.default_rng(seed).normal(size=(len(names), 6))
    square = cdist(points, points) / 4
    return pp.DistanceMatrix(square, names)


def some(n):
    return [f"model-{i}" for i in range(n)]


def full_report(path):
    """Write a report with everything that one can have, of 48 simulated models; gives its tree."""
    history = simulate_history(48, 40, 24, admixed=0.2, family_size=12, declared=0.8, seed=3)
    tree = pp.neighbor_joining(pp.genetic_distance(history.table)).root_at("midpoint").ladderize()
    support = np.where(np.arange(tree.n_nodes) < tree.n_tips, np.nan, 87.0)
    tree = pp.Tree(tree.tips, tree.parent, tree.length, support)
    metadata = history.metadata.assign(many=[f"kind {i % 17}" for i in range(48)])
    training = metadata["family"] == metadata["family"][0]
    metadata["run"] = np.where(training, "a run", None)
    metadata["step"] = np.where(training, np.arange(48), None)
    metadata.loc[0, "params_b"] = None
    quiz = np.random.default_rng(5).uniform(0.2, 0.9, 48)
    with warnings.catch_warnings():
        # Unknown models: the page has a note to show.
        warnings.simplefilter("ignore", pp.PyphyloWarning)
        pp.write_report(
            history.table,
            path,
            tree=tree,
            metadata=pd.concat([metadata, metadata.head(1).assign(model="unknown")]),
            scores=pd.DataFrame({"model": history.models, "quiz": quiz}),
        )
    return tree
