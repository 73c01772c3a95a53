"""Draw every figure at several sizes, to be looked at: PNG, SVG, and the CPU seconds of each.

    python benchmarks/gallery.py FOLDER [--sizes 16 127 2000] [--only tree_circular ...]
    python benchmarks/gallery.py docs/images --pages       # the pictures of docs/figures.md

All models are simulated; where PYPHYLO_SHARED_DATA names a folder with published similarities
(phylolm/math_similarity.csv, models.csv, scores.csv), those stand for size 127.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy.spatial.distance import pdist, squareform

import pyphylo as pp
from pyphylo import plot
from pyphylo.simulate import simulate_on_tree
from pyphylo.stats.planning import error_surface

_MOST_IN_A_GRAPH = 60
"""Models that `fit_admixture` takes."""


def family_tree(n: int, rng: np.random.Generator) -> pp.Tree:
    """A tree of `n` tips in families of different sizes, each a clade of random joins."""
    count = int(np.clip(n / 4, 2, 24))
    shares = rng.dirichlet(np.full(count, 3.0))
    family = np.sort(np.concatenate([np.arange(count), rng.choice(count, n - count, p=shares)]))
    parent, length, next_node = [-1] * n, [0.0] * n, n

    def join(nodes: list[int], mean: float) -> int:
        nonlocal next_node
        while len(nodes) > 1:
            for _ in range(2):
                child = nodes.pop(int(rng.integers(len(nodes))))
                parent[child], length[child] = next_node, 0.002 + float(rng.exponential(mean))
            parent.append(-1)
            length.append(0.0)
            nodes.append(next_node)
            next_node += 1
        return nodes[0]

    roots = [join(np.flatnonzero(family == k).tolist(), 0.05) for k in range(count)]
    join(roots, 0.2)
    return pp.Tree([f"lab-{k:02d}/model-{i:04d}" for i, k in enumerate(family)], parent, length)


class Material:
    """What figures of `n` simulated models are made of."""

    def __init__(self, n: int, seed: int = 1) -> None:
        self.n, self.rng = n, np.random.default_rng(seed)

    @cached_property
    def table(self) -> pp.AlleleTable:
        return simulate_on_tree(family_tree(self.n, self.rng), 96, 32, seed=1).table

    @cached_property
    def similarity(self) -> Any:
        return pp.nei_similarity(self.table)

    @cached_property
    def distances(self) -> Any:
        return pp.nei_distance(self.similarity)

    @cached_property
    def tree(self) -> pp.Tree:
        """Midpoint-rooted, with supports that are drawn at random."""
        tree = pp.neighbor_joining(self.distances).root_at("midpoint")
        support = np.full(tree.n_nodes, np.nan)
        support[tree.n_tips : -1] = self.rng.beta(3, 0.6, tree.n_nodes - tree.n_tips - 1)
        return pp.Tree(tree.tips, tree.parent, tree.length, support)

    @cached_property
    def families(self) -> dict[str, str]:
        return {name: name.partition("/")[0] for name in self.table.models}

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Three benchmarks that follow the families, and predictions that follow them."""
        names = list(self.table.models)
        family = [self.families[name] for name in names]
        levels = {name: self.rng.beta(2, 2) for name in sorted(set(family))}
        parts = []
        for target in ("arc", "mmlu", "gsm8k"):
            level = np.array([levels[name] for name in family])
            true = np.clip(level + 0.08 * self.rng.normal(size=self.n), 0.01, 0.99)
            predicted = np.clip(level + 0.05 * self.rng.normal(size=self.n), 0.01, 0.99)
            columns = {"model": names, "target": target, "fold": family, "true": true}
            limits = {"lower": predicted - 0.15, "upper": predicted + 0.15}
            parts.append(pd.DataFrame({**columns, "predicted": predicted, **limits}))
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def run(self) -> pd.DataFrame:
        """A run of `n` checkpoints, and the distances to some other models."""
        n_genes, n_alleles, others = 24, 6, min(14, 2 + self.n // 16)
        start, goal = self.rng.dirichlet(np.ones(n_alleles), (2, n_genes))
        steps = np.unique(np.round(np.geomspace(1, 143_000, 2 * self.n)))[-self.n :].astype(int)
        shares = 0.9 * (np.log(steps) / np.log(steps[-1])) ** 2
        populations = {
            f"lab/run@step{step}": (1 - w) * start + w * goal
            for step, w in zip(steps.tolist(), shares.tolist(), strict=True)
        }
        for k in range(others):
            w = k / others
            mixed = (1 - w) * goal + w * self.rng.dirichlet(np.ones(n_alleles), n_genes)
            populations[f"organisation/another-model-{k}-7b-chat"] = mixed
        p = np.stack(list(populations.values()))
        counts = self.rng.multinomial(32, p / p.sum(axis=-1, keepdims=True))
        model, gene, allele = np.nonzero(counts)
        table = pp.AlleleTable.from_counts(
            list(populations), [f"g{g}" for g in range(n_genes)], model, gene,
            [f"{a}" for a in allele.tolist()], counts[model, gene, allele],
        )  # fmt: skip
        names = list(populations)
        return pp.trajectory(table, names[: self.n], names[self.n :])

    @cached_property
    def run_on_a_map(self) -> tuple[Any, dict[str, str]]:
        """Distances of `n` models of which up to a quarter are a run, and their families."""
        n_run = min(12, self.n // 4)
        n_others = self.n - n_run
        centres = self.rng.normal(size=(max(3, min(12, self.n // 12)), 6)) * 2
        family = np.sort(self.rng.integers(len(centres), size=n_others))
        points = centres[family] + 0.5 * self.rng.normal(size=(n_others, 6))
        way = np.linspace(0, 1, n_run)[:, None]
        path = (1 - way) * centres[0] + way * centres[1]
        path += 0.1 * self.rng.normal(size=path.shape)
        steps = [0, *np.geomspace(1000, 143_000, n_run - 1).astype(int).tolist()]
        names = [f"lab/run@step{step}" for step in steps]
        names += [f"model-{k}-of-family-{f}" for k, f in enumerate(family.tolist())]
        between = squareform(pdist(np.concatenate([path, points])))
        families = {
            f"model-{k}-of-family-{f}": f"family {f}" for k, f in enumerate(family.tolist())
        }
        return pp.DistanceMatrix(between, names), families

    @cached_property
    def graph(self) -> Any:
        """A fitted graph of a tree with two mixtures."""
        tree = family_tree(min(self.n, _MOST_IN_A_GRAPH), np.random.default_rng(4))
        tips = list(tree.tips)
        mixtures = {tips[1]: (tips[-1], 0.4), tips[-4]: (tips[len(tips) // 3], 0.35)}
        made = simulate_on_tree(tree, 256, 32, admixture=mixtures, seed=2)
        return pp.fit_admixture(made.table, made.tree, edges=2)


class Published(Material):
    """The 127 models of PhyloLM's paper, where figures can be made of them."""

    def __init__(self, folder: Path) -> None:
        frame = pd.read_csv(folder / "math_similarity.csv", index_col=0)
        super().__init__(len(frame))
        self.similarity = pp.SimilarityMatrix(frame.to_numpy(), list(frame.index))
        self.distances = pp.nei_distance(self.similarity)
        models = pd.read_csv(folder / "models.csv").set_index("model")["family"]
        self.families = {name: models[name] for name in frame.index}
        scores = pd.read_csv(folder / "scores.csv")
        found = pp.cross_validate_scores(self.distances, scores)
        self.predictions = getattr(found, "predictions", found)


def figures(m: Material) -> dict[str, Callable[[], Figure]]:
    """What is drawn of them, by name."""

    def tree(layout: str, **options: Any) -> Callable[[], Figure]:
        title = f"{m.n:,} models, {layout}"
        return lambda: plot.tree_figure(
            m.tree, layout=layout, families=m.families, title=title, **options
        )

    return {
        "tree_rectangular": tree("rectangular"),
        "tree_circular": tree("circular"),
        "tree_unrooted": tree("unrooted"),
        "tree_plain": lambda: plot.tree_figure(m.tree, layout="circular", show_support=False),
        "heatmap": lambda: plot.heatmap_figure(
            m.similarity, order=m.tree, families=m.families, title=f"{m.n:,} models"
        ),
        "map": lambda: plot.map_figure(
            m.distances, families=m.families, title=f"Map of {m.n:,} models"
        ),
        "predictions": lambda: plot.prediction_figure(
            m.predictions, families=m.families, title="Predicted and true scores"
        ),
        "trajectory": lambda: plot.trajectory_figure(m.run, title=f"{m.n:,} checkpoints"),
        "trajectory_map": lambda: plot.trajectory_map_figure(
            m.run_on_a_map[0], "lab/run@*", families=m.run_on_a_map[1], title="A run on the map"
        ),
        "admixture": lambda: plot.admixture_figure(m.graph, families=None, title="Mixtures"),
        "surface": lambda: plot.surface_figure(
            error_surface(), wanted=0.02, title="Error of a similarity"
        ),
        "sensitivity": lambda: plot.sensitivity_figure(
            pp.sensitivity(m.table, probes=[4, 8, 16], draws=2, progress=False), title="Settings"
        ),
    }


def _material(n: int) -> Material:
    data = os.environ.get("PYPHYLO_SHARED_DATA")
    if n == 127 and data and Path(data, "phylolm").is_dir():
        return Published(Path(data, "phylolm"))
    return Material(n)


def write_pages(folder: Path, n: int = 32) -> None:
    """Small pictures of `n` models, in 256 colours."""
    import io

    from PIL import Image

    for name, draw in figures(Material(n)).items():
        if name in ("tree_plain", "trajectory_map", "sensitivity"):
            continue
        buffer = io.BytesIO()
        draw().savefig(buffer, format="png", dpi=100)
        small = Image.open(buffer).convert("RGB").quantize(256, dither=Image.Dither.NONE)
        path = folder / f"figure-{name.replace('_', '-')}.png"
        small.save(path, optimize=True)
        print(path, f"{path.stat().st_size / 1000:.0f} kB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--sizes", type=int, nargs="+", default=[16, 127, 2000])
    parser.add_argument("--only", nargs="+", metavar="FIGURE")
    parser.add_argument("--pages", action="store_true", help="small pictures for the pages")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    if chosen.pages:
        write_pages(chosen.folder)
        return
    print("| figure | models | drawn, CPU s | saved, CPU s | PNG, kB | SVG, kB | inches |")
    print("|---|---:|---:|---:|---:|---:|---|")
    for n in chosen.sizes:
        material = _material(n)
        for name, draw in figures(material).items():
            if chosen.only and name not in chosen.only:
                continue
            # Figures that do not depend on the number of models are drawn once.
            if name in ("surface", "sensitivity") and n != min(chosen.sizes):
                continue
            if name == "admixture" and n > 127:
                continue
            draw()  # what it is made of, and fonts, are made outside the clock
            start = time.process_time()
            fig = draw()
            drawn = time.process_time()
            svg, png = plot.save_figure(fig, chosen.folder / f"{name}_{material.n}")
            saved = time.process_time()
            sizes = [path.stat().st_size / 1000 for path in (png, svg)]
            wide, tall = fig.get_size_inches()
            print(
                f"| {name} | {material.n} | {drawn - start:.2f} | {saved - drawn:.2f} "
                f"| {sizes[0]:.0f} | {sizes[1]:.0f} | {wide:.1f} x {tall:.1f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
