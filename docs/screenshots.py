"""Make the pictures of the report that the documentation shows.

python docs/screenshots.py                   # needs the extra "test" and a Chromium
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image
from playwright.sync_api import sync_playwright

import pyphylo as pp
from pyphylo.simulate import family_of, simulate_distances, simulate_history

IMAGES = Path(__file__).parent / "images"
WIDTH, TREE, HEIGHT = 1300, 812, 960


def some_families(path: Path) -> str:
    """A report of 120 simulated models with alleles, parents and scores; a model to choose."""
    history = simulate_history(120, 64, 32, family_size=15, declared=0.7, seed=11)
    tree = pp.neighbor_joining(pp.genetic_distance(history.table)).root_at("midpoint").ladderize()
    depth = np.asarray(tree.patristic()[0])
    noise = np.random.default_rng(1).normal(0, 0.05, len(tree.tips))
    scores = pd.DataFrame({"model": tree.tips, "quiz": np.clip(0.8 - depth / 4 + noise, 0, 1)})
    pp.write_report(history.table, path, tree=tree, metadata=history.metadata, scores=scores)
    return tree.tips[40]


def many_models(path: Path) -> None:
    """A report of 5,000 simulated models."""
    D = simulate_distances(5000, kind="language-models", seed=8)
    pp.write_report(D, path, metadata={name: {"family": family_of(name)} for name in D.ids})


def main() -> None:
    """Open both reports and take the pictures."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        small, large = Path(folder) / "small.html", Path(folder) / "large.html"
        chosen = some_families(small)
        many_models(large)
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )

        def visit(path: Path, scheme: str = "light"):
            page = browser.new_page(viewport={"width": WIDTH, "height": 900}, color_scheme=scheme)
            page.goto(path.as_uri())
            page.wait_for_selector("html[data-ready]", state="attached")
            return page

        def choose(page) -> None:
            page.fill("#find", chosen)
            page.press("#find", "Enter")
            page.fill("#find", "")
            page.evaluate("document.activeElement.blur()")

        def take(page, name: str, width: int = WIDTH) -> None:
            page.wait_for_timeout(300)
            clip = {"x": 0, "y": 0, "width": width, "height": HEIGHT}
            page.screenshot(path=IMAGES / name, full_page=True, clip=clip)
            Image.open(IMAGES / name).convert("RGB").save(IMAGES / name, optimize=True)
            page.close()

        page = visit(small)
        choose(page)
        take(page, "report.png")

        page = visit(small, "dark")
        choose(page)
        page.select_option("#shape", "circular")
        take(page, "report_dark.png", TREE)

        take(visit(large), "report_5000.png", TREE)
        browser.close()


if __name__ == "__main__":
    main()
