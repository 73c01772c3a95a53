"""Every figure: axes in and out, nothing outside, nothing over anything else, any name."""

from __future__ import annotations

import functools
import itertools
import json

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.text import Annotation, Text
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist, squareform
from test_plot_figures import AWKWARD, random_tree, svg_texts
from test_plot_labels import overlapping

import pyphylo as pp
from pyphylo import plot
from pyphylo.plot._text import fit_text, font, text_width
from pyphylo.stats.planning import error_surface

LAYOUTS = ["rectangular", "circular", "unrooted"]
LONG = "A title that is $much$ too long for any figure " * 12


class Data:
    """What all figures of `n` models are made of, with names of any kind."""

    def __init__(self, n, names=None):
        rng = np.random.default_rng(0)
        tree = random_tree(n, 3, support=True)
        self.names = list(names or tree.tips)
        self.tree = pp.Tree(self.names, tree.parent, tree.length, tree.support)
        self.families = {name: f"family {i * 9 // n}" for i, name in enumerate(self.names)}
        between = squareform(pdist(rng.normal(size=(n, 4))))
        self.distances = pp.DistanceMatrix(between, self.names)
        self.similarity = pp.SimilarityMatrix(np.exp(-between), self.names)
        true = rng.uniform(0.1, 0.9, n)
        self.predictions = pd.DataFrame(
            {
                "model": self.names,
                "target": self.names[0],
                "true": true,
                "predicted": np.clip(true + 0.05 * rng.normal(size=n), 0, 1),
                "lower": true - 0.1,
                "upper": true + 0.1,
            }
        )
        self.run = run_frame(self.names, rng)


def run_frame(names, rng):
    """A run of 12 checkpoints, and their distances to start, end and some other models."""
    rows = []
    others = [("start", "run@step10"), ("end", "run@step12000")]
    others += [("reference", name) for name in names[:12]]
    steps = np.geomspace(10, 12_000, 12).round()
    for k, step in enumerate(steps):
        for to, other in [*others, *([("previous", "run")] if k else [])]:
            d = float(rng.uniform(0.1, 1))
            rows.append(
                (step, to, other, d, d - 0.1, d + 0.1, d / step, d / step / 2, d / step * 2)
            )
    columns = ["step", "to", "other", "distance", "lower", "upper"]
    return pd.DataFrame(rows, columns=[*columns, "speed", "speed_lower", "speed_upper"])


@functools.cache
def data(n):
    return Data(n)


@functools.cache
def mixed():
    """A fitted admixture graph."""
    tree = pp.Tree.from_newick(
        "(o:0.003,((a:0.1,m:0.02):0.2,(b:0.1,c:0.2):0.1,((d:0.2,e:0.1):0.1,f:0.2):0.1):0.003);"
    )
    made = pp.simulate.simulate_on_tree(tree, 64, 32, admixture={"m": ("b", 0.4)}, seed=1)
    return pp.fit_admixture(made.table, tree, base="o", edges=1)


def tree_of(layout):
    return lambda d, ax=None, **more: plot.plot_tree(
        d.tree, layout=layout, families=d.families, ax=ax, **more
    )


# Each draws on axes that it is given or makes, and returns them.
ON_AXES = {
    **{layout: tree_of(layout) for layout in LAYOUTS},
    "heatmap": lambda d, ax=None, **more: plot.plot_heatmap(
        d.similarity, order=d.tree, families=d.families, ax=ax, **more
    ),
    "map": lambda d, ax=None, **more: plot.plot_map(
        d.distances, families=d.families, ax=ax, **more
    ),
    "predictions": lambda d, ax=None, **more: plot.plot_predictions(
        d.predictions, families=d.families, ax=ax, **more
    ),
    "surface": lambda d, ax=None, **more: plot.plot_surface(
        error_surface(), wanted=0.05, ax=ax, **more
    ),
    "trajectory map": lambda d, ax=None, **more: plot.plot_trajectory_map(
        d.distances, d.names[-4:], families=d.families, ax=ax, **more
    ),
    "admixture": lambda d, ax=None, **more: plot.plot_admixture(mixed(), ax=ax, **more),
    "trajectory": lambda d, ax=None: plot.plot_trajectory(d.run, ax),
}


def found_settings():
    """What `sensitivity` finds, in short."""
    kinds = ["baseline", "chars", "store"]
    rows = [
        (kind, value, measure, 0.5, 0.4, 0.6)
        for kind, value in zip(kinds, ["", "4", "$x_1$ store"], strict=True)
        for measure in ("robinson_foulds", "nearest_kept")
    ]
    return pd.DataFrame(rows, columns=["kind", "value", "measure", "estimate", "low", "high"])


FIGURES = {
    **{
        layout: lambda d, layout=layout, **more: plot.tree_figure(
            d.tree, layout=layout, families=d.families, **more
        )
        for layout in LAYOUTS
    },
    "heatmap": lambda d, **more: plot.heatmap_figure(
        d.similarity, order=d.tree, families=d.families, **more
    ),
    "map": lambda d, **more: plot.map_figure(d.distances, families=d.families, **more),
    "predictions": lambda d, **more: plot.prediction_figure(
        d.predictions, families=d.families, **more
    ),
    "surface": lambda d, **more: plot.surface_figure(error_surface(), wanted=0.05, **more),
    "trajectory": lambda d, **more: plot.trajectory_figure(d.run, **more),
    "trajectory map": lambda d, **more: plot.trajectory_map_figure(
        d.distances, d.names[-4:], families=d.families, **more
    ),
    "admixture": lambda d, **more: plot.admixture_figure(mixed(), **more),
    "sensitivity": lambda d, **more: plot.sensitivity_figure(found_settings(), **more),
}


def test_every_public_function_is_in_this_suite():
    drawn = {name for name in plot.__all__ if name != "save_figure"}
    axes = {f"plot_{key.replace(' ', '_')}" for key in ON_AXES if key not in LAYOUTS}
    figures = {f"{key.replace(' ', '_')}_figure" for key in FIGURES if key not in LAYOUTS}
    known = axes | figures | {"plot_tree", "tree_figure"}
    assert drawn == (known - {"predictions_figure"}) | {"prediction_figure"}


@pytest.mark.parametrize("name", ON_AXES)
def test_axes_are_taken_and_given_back(name):
    fig = Figure(figsize=(12, 7), layout="constrained")
    left, right = fig.subplots(1, 2)
    assert ON_AXES[name](data(16), right) is right
    fig.draw_without_rendering()
    assert not left.has_data()
    own = ON_AXES[name](data(16))
    assert isinstance(own.figure, Figure)
    assert own.figure is not fig


@pytest.mark.parametrize("layout", ["constrained", "tight", None])
def test_names_stay_beside_their_rows_when_a_layout_engine_moves_axes(layout):
    fig = Figure(figsize=(12, 7), layout=layout)
    _, ax = fig.subplots(1, 2)
    d = data(16)
    plot.plot_heatmap(d.similarity, order=d.tree, families=d.families, ax=ax, title="A title")
    fig.draw_without_rendering()
    names = [text for text in ax.texts if text.get_text() in d.names]
    assert len(names) == 32
    rows = [text for text in names if text.get_rotation() == 0]
    for row, text in enumerate(rows):
        _, y = text.get_transform().transform(text.get_position())
        _, middle = ax.transData.transform((0, row))
        _, next_row = ax.transData.transform((0, row + 1))
        assert abs(y - middle) < 0.4 * abs(next_row - middle)


def test_nothing_is_left_in_pyplot_or_changed_in_the_settings():
    before = json.dumps(dict(mpl.rcParams), default=str)
    for name, draw in itertools.chain(FIGURES.items(), FIGURES.items()):
        fig = draw(data(16))
        assert isinstance(fig, Figure), name
    assert pyplot.get_fignums() == []  # nor is there a warning of more than 20 figures
    assert json.dumps(dict(mpl.rcParams), default=str) == before


@pytest.mark.parametrize("name", FIGURES)
@pytest.mark.parametrize("n", [5, 40])
def test_nothing_is_outside_the_figure(name, n):
    fig = FIGURES[name](data(n), title=LONG)
    check_inside(fig)
    titles = [text.get_text() for text in fig.findobj(Text) if "title" in text.get_text()]
    assert len(titles) == 1
    assert "…" in titles[0]


def check_inside(fig):
    box = fig.get_tightbbox(FigureCanvasAgg(fig).get_renderer())
    width, height = fig.get_size_inches()
    assert box.x0 > -0.01
    assert box.y0 > -0.01
    assert box.x1 < width + 0.01
    assert box.y1 < height + 0.01


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_figure_has_the_same_bytes(tmp_path, name):
    written = []
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        made = FIGURES[name](data(16), title="Twice")
        paths = plot.save_figure(made, tmp_path / folder / "figure", ("svg", "pdf"))
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert b"dc:date" not in written[0][0]
    assert b"CreationDate" not in written[0][1]


HOSTILE = [
    *AWKWARD,
    "^",
    "{",
    "%s",
    "\\",
    "مرحبا بالعالم",
    "\N{THUMBS UP SIGN}\N{VARIATION SELECTOR-16}",
]


@pytest.mark.parametrize("name", [key for key in FIGURES if key not in ("admixture", "surface")])
def test_any_name_is_drawn_as_it_is(tmp_path, name):
    made = FIGURES[name](Data(len(HOSTILE), HOSTILE), title="_ $^$ \\ title")
    texts = svg_texts(plot.save_figure(made, tmp_path / "hostile", ("svg",))[0])
    assert "_ $^$ \\ title" in texts
    if name == "sensitivity":
        assert any("$x_1$" in text for text in texts)
        return
    assert "$x_1$" in texts
    if name == "predictions":
        return
    if name not in ("trajectory", "trajectory map"):  # they lack the last ones
        assert {"^", "{", "%s", "\\"} <= set(texts)
    if "map" not in name or name == "heatmap":
        assert {"_leading", "org/name@main"} <= set(texts)
        assert any(text.startswith("xxx") and "…" in text and text.endswith("x") for text in texts)


def corners(text, pixels):
    """Corners of a line of text in points: where glyphs may be."""
    size = text.get_fontsize()
    width = text_width(text.get_text(), size)
    angle = np.deg2rad(text.get_rotation())
    along, up = np.array([np.cos(angle), np.sin(angle)]), np.array([-np.sin(angle), np.cos(angle)])
    at = text.get_transform().transform(text.get_position()) / pixels
    left = at - width * {"left": 0, "center": 0.5, "right": 1}[text.get_ha()] * along
    low, high = left - 0.13 * size * up, left + 0.75 * size * up
    return np.array([low, low + width * along, high + width * along, high])


@pytest.mark.parametrize("n", [16, 127, 2000])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_trees_of_any_size_are_legible(layout, n):
    """No two texts overlap, none is small or outside, and the legend is off the tree."""
    ax = plot.plot_tree(data(n).tree, layout=layout, families=data(n).families, title=f"{n} models")
    check_inside(ax.figure)
    pixels = ax.figure.dpi / 72
    texts = [text for text in ax.texts if not isinstance(text, Annotation)]
    assert min(text.get_fontsize() for text in ax.texts) >= 5
    boxes = np.array([corners(text, pixels) for text in texts])
    assert len(boxes) > (n if n < 400 else 12)
    middle = boxes.mean(axis=1)
    reach = 2 * np.linalg.norm(boxes - middle[:, None], axis=2).max()
    for i, j in cKDTree(middle).query_pairs(reach):
        assert not overlapping(boxes[[i, j]]), (texts[i].get_text(), texts[j].get_text())

    entries = [box for text, box in zip(texts, boxes, strict=True) if "family" in text.get_text()]
    assert len(entries) == 9
    patches = [patch for patch in ax.patches if isinstance(patch, PathPatch)]
    drawn = [p.get_transform().transform(p.get_path().vertices) / pixels for p in patches]
    branches = np.concatenate(drawn)
    assert min(box[:, 1].min() for box in entries) > branches[:, 1].max()
    assert branches[:, 1].min() > max(
        corners(text, pixels)[:, 1].max() for text in texts if "distance" in text.get_text()
    )


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_legend_of_hundreds_of_families_says_what_it_leaves_out(layout):
    tree = data(127).tree
    families = {name: f"the family of {name}" for name in tree.tips}
    ax = plot.plot_tree(tree, layout=layout, families=families)
    check_inside(ax.figure)
    texts = [text.get_text() for text in ax.texts]
    shown = sum(text.startswith("the family") for text in texts)
    assert 7 <= shown < 127
    assert f"and {127 - shown} more" in texts


def test_names_on_a_map_are_apart():
    ax = plot.plot_map(data(127).distances, families=data(127).families)
    check_inside(ax.figure)
    pixels = ax.figure.dpi / 72
    boxes = np.array([corners(text, pixels) for text in ax.texts])
    assert len(boxes) > 60
    assert overlapping(boxes) == []
    hidden = next(text.get_text() for text in ax.texts if "stress" in text.get_text())
    named = sum(text.get_text() in data(127).names for text in ax.texts)
    assert (f"{127 - named} names not shown" in hidden) == (named < 127)


def test_a_map_keeps_the_distances_of_a_plane():
    rng = np.random.default_rng(5)
    between = squareform(pdist(rng.normal(size=(12, 2))))
    ax = plot.plot_map(pp.DistanceMatrix(between, [f"m{i}" for i in range(12)]))
    dots = [found.get_offsets() for found in ax.collections]
    places = np.concatenate(dots)
    assert len(places) == 12
    apart = pdist(places)
    np.testing.assert_allclose(apart / apart.max(), squareform(between) / between.max(), atol=2e-3)
    between[2, 3] = between[3, 2] = np.nan
    unknown = pp.DistanceMatrix(between, [f"m{i}" for i in range(12)], allow_nan=True)
    with pytest.raises(pp.InputError, match=r"'m2' and 'm3' is not known"):
        plot.plot_map(unknown)
    with pytest.raises(pp.InputError, match="not Tree"):
        plot.plot_map(data(16).tree)


def test_a_circular_tree_is_to_scale():
    """Tips are as far from the middle as from the root, and follow each other clockwise."""
    tree = random_tree(12, 2)
    ax = plot.plot_tree(tree, layout="circular")
    depth = np.zeros(tree.n_nodes)
    for node in range(tree.n_nodes - 2, -1, -1):
        depth[node] = depth[tree.parent[node]] + tree.length[node]
    dots = np.concatenate([found.get_offsets() for found in ax.collections])
    transform = ax.collections[0].get_offset_transform() - ax.transData
    far = np.hypot(*transform.transform(dots).T)
    np.testing.assert_allclose(np.sort(far), np.sort(depth[:12]), rtol=1e-6)
    names = [text for text in ax.texts if text.get_text() in tree.tips]
    places = [
        (text.get_transform() - ax.transData).transform(text.get_position()) for text in names
    ]
    angles = [np.arctan2(y, x) for x, y in places]
    assert len(names) == 12
    # Names are written in the order of the tips.
    assert [text.get_text() for text in names] == list(tree.ladderize().tips)
    assert (np.diff(np.unwrap(angles)) < 0).all()


@pytest.mark.parametrize("order", [True, False])
def test_the_tree_above_a_heat_map(order):
    d = data(16)
    with_tree = plot.plot_heatmap(d.similarity, order=d.tree, families=d.families, dendrogram=order)
    pixels = with_tree.figure.dpi / 72
    top = with_tree.get_window_extent().y1 / pixels
    lines = [
        p.get_transform().transform(p.get_path().vertices) / pixels
        for p in with_tree.patches + with_tree.artists
        if isinstance(p, PathPatch) and not p.get_fill()
    ]
    assert bool(lines) == order
    if not order:
        return
    points = np.concatenate(lines)
    assert points[:, 1].min() > top
    box = with_tree.get_window_extent()
    cell = (box.width / pixels - 8.0) / 16
    columns = box.x0 / pixels + 8.0 + (np.arange(16) + 0.5) * cell
    # Some line comes down in the middle of every column.
    for column in columns:
        assert np.abs(points[:, 0] - column).min() < 0.01
    legend = [t for t in with_tree.texts if t.get_text().startswith("family")]
    assert min(corners(t, pixels)[:, 1].min() for t in legend) > points[:, 1].max()


def test_bold_text_is_measured_bold():
    text = "Weights of models, Mw"
    plain, bold = text_width(text, 12.0), text_width(text, 12.0, bold=True)
    fig = Figure(figsize=(6, 2), dpi=72)
    drawn = fig.text(0, 0, text, fontproperties=font(12.0, bold=True))
    rendered = drawn.get_window_extent(FigureCanvasAgg(fig).get_renderer()).width
    assert bold == pytest.approx(rendered, rel=0.02)
    assert bold > 1.05 * plain
    cut = fit_text(LONG, 12.0, 200.0, limit=len(LONG), bold=True)
    assert 150 < text_width(cut, 12.0, bold=True) <= 200
