"""Pictures: files, names, colours, what is refused."""

from __future__ import annotations

import itertools
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from pyphylo.errors import InputError
from pyphylo.plot import (
    heatmap_figure,
    plot_heatmap,
    plot_tree,
    save_figure,
    tree_figure,
)
from pyphylo.plot._style import family_style, readable
from pyphylo.plot._text import MAX_NAME, fit_text, printable, text_width
from pyphylo.tree.tree import Tree

LAYOUTS = ["rectangular", "circular", "unrooted"]
AWKWARD = [
    "$x_1$",
    "$unbalanced",
    "<script>alert('1')</script>",
    'it\'s "quoted" & more',
    "emoji \N{LLAMA}",
    "\\frac{a}{b}^2_{x}",
    "_leading",
    "org/name@main",
    "书生·浦语",
    "tab\tnew\nline\x07",
    "\u202eright to left",
    "x" * 300,
]


@dataclass
class Similarity:
    ids: tuple[str, ...]
    values: np.ndarray


def random_tree(n: int, seed: int = 0, support: bool = False) -> Tree:
    rng = np.random.default_rng(seed)
    alive, parent = list(range(n)), [-1] * (2 * n - 1)
    for node in range(n, 2 * n - 1):
        for _ in range(2):
            parent[alive.pop(rng.integers(len(alive)))] = node
        alive.append(node)
    held = np.full(2 * n - 1, np.nan)
    if support:
        held[n:-1] = rng.uniform(0.3, 1, n - 2)
    return Tree([f"model-{i}-7b" for i in range(n)], parent, rng.exponential(1, 2 * n - 1), held)


def some_families(tips: tuple[str, ...], n: int = 3) -> dict[str, str]:
    return {tip: f"family {i % n}" for i, tip in enumerate(tips)}


def svg_texts(path: Path) -> list[str]:
    root = ET.parse(path).getroot()  # noqa: S314  (our own file)
    return ["".join(e.itertext()) for e in root.iter("{http://www.w3.org/2000/svg}text")]


def png_size(path: Path) -> tuple[int, int, int]:
    image = imread(path)
    ink = int((np.abs(image[..., :3] - 1).sum(axis=-1) > 0.1).sum())
    return image.shape[1], image.shape[0], ink


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [2, 3, 16, 127])
def test_every_name_is_in_the_svg(tmp_path: Path, layout: str, n: int) -> None:
    tree = random_tree(n)
    fig = tree_figure(tree, layout=layout, families=some_families(tree.tips), title="A title")
    svg, png = save_figure(fig, tmp_path / "tree.v1")
    assert (svg.name, png.name) == ("tree.v1.svg", "tree.v1.png")
    texts = svg_texts(svg)
    assert sorted(t for t in texts if t.startswith("model")) == sorted(tree.tips)
    assert "A title" in texts
    assert {f"family {i}" for i in range(min(n, 3))} <= set(texts)
    assert any("Nei distance" in text for text in texts)
    width, height, ink = png_size(png)
    assert width > 300
    assert height > 100
    assert ink > 500


@pytest.mark.parametrize("layout", LAYOUTS)
def test_same_bytes_when_drawn_and_saved_again(tmp_path: Path, layout: str) -> None:
    tree = random_tree(30, support=True)
    for name in "ab":
        fig = tree_figure(tree, layout=layout, families=some_families(tree.tips))
        save_figure(fig, tmp_path / name, ("svg", "png", "pdf"))
    for suffix in ("svg", "png", "pdf"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert sorted(p.suffix for p in tmp_path.iterdir()) == sorted([".svg", ".png", ".pdf"] * 2)


def test_heat_map_has_the_same_bytes_and_is_small(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    similarity = Similarity(random_tree(127).tips, rng.uniform(0, 1, (127, 127)))
    for name in "ab":
        save_figure(heatmap_figure(similarity), tmp_path / name)
    for suffix in ("svg", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()
    assert (tmp_path / "a.svg").stat().st_size < 400_000


@pytest.mark.parametrize("layout", LAYOUTS)
def test_awkward_names_are_drawn_as_they_are(tmp_path: Path, layout: str) -> None:
    tree = Tree(AWKWARD, [len(AWKWARD)] * len(AWKWARD) + [-1], np.ones(len(AWKWARD) + 1))
    families = {tip: f"$f_{i}$ <&> {tip[:5]}" for i, tip in enumerate(AWKWARD)}
    fig = tree_figure(tree, layout=layout, families=families, title="$\\alpha$ <b>& \N{LLAMA}")
    svg, _ = save_figure(fig, tmp_path / "awkward")
    texts = svg_texts(svg)
    for name in [*AWKWARD[:4], *AWKWARD[5:8]]:
        assert name in texts
    assert "$\\alpha$ <b>& \N{WHITE SQUARE}" in texts
    assert b"<script>" not in svg.read_bytes()


def test_awkward_names_in_a_heat_map(tmp_path: Path) -> None:
    fig = heatmap_figure(Similarity(tuple(AWKWARD), np.eye(len(AWKWARD))), title="$x")
    texts = svg_texts(save_figure(fig, tmp_path / "awkward")[0])
    assert texts.count("$x_1$") == 2


def drawn_names(ax: object) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_tips_stand_in_the_order_of_the_tree() -> None:
    tree = Tree.from_newick("(((a:1,b:1):1,c:1):1,(d:1,e:1):1);")
    for ladderize, order in ((False, list("abcde")), (True, list("decab"))):
        ax = plot_tree(tree, ladderize=ladderize)
        tips = [t for t in ax.texts if t.get_text() in order]
        assert [t.get_text() for t in sorted(tips, key=lambda t: t.get_position()[1])] == order
        xs = {t.get_text(): t.get_position()[0] for t in tips}
        assert xs["a"] - xs["c"] == pytest.approx(1.0)
        rows = heatmap_figure(
            Similarity(tuple("edcba"), np.eye(5)), order=tree, ladderize=ladderize
        )
        found = [t for t in rows.axes[0].texts if t.get_rotation() == 0]
        found.sort(key=lambda t: -t.get_position()[1])
        assert [t.get_text() for t in found] == order


def test_heat_map_cells_follow_the_order(tmp_path: Path) -> None:
    tree = Tree.from_newick("((a:1,b:1):1,c:1);")
    values = np.array([[1, 0.5, 0.0], [0.5, 1, np.nan], [0.0, np.nan, 1]])
    ax = plot_heatmap(Similarity(("c", "a", "b"), values), order=tree, ladderize=False)
    image = ax.images[0].get_array()
    side = len(image) // 3
    cells = np.asarray(image)[side // 2 :: side, side // 2 :: side, :3].astype(int)
    # In the order a, b, c: a-b is unknown and grey, a-c .5, b-c 0; the diagonal is 1.
    assert cells[0, 1].tolist() == cells[1, 0].tolist() == [0xD0] * 3
    assert cells[0, 0].tolist() == cells[1, 1].tolist() == cells[2, 2].tolist()
    assert cells[0, 2].tolist() == cells[2, 0].tolist() != cells[1, 2].tolist()
    assert cells[0, 2].sum() > cells[1, 2].sum()
    texts = svg_texts(save_figure(ax.figure, tmp_path / "h")[0])
    assert {"Nei similarity", "no value"} <= set(texts)


def test_large_heat_map_averages_what_is_known() -> None:
    n = 2049
    values = np.tile([[0.2, np.nan], [np.nan, 0.4]], (n, n))[:n, :n]
    values[:3, :3] = np.nan
    image = np.asarray(
        heatmap_figure(Similarity(tuple(map(str, range(n))), values)).axes[0].images[0].get_array()
    )
    assert image.shape == (683, 683, 4)
    assert image[0, 0, :3].tolist() == [0xD0] * 3
    assert image[5, 5].tolist() != image[0, 0].tolist()


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    ("newick", "note"),
    [
        ("((a:0,b:0):0,(c:0,d:0):0,e:0);", "all branches have length 0"),
        ("((a,b),(c,d),e);", "branches not to scale"),
        ("((a:-1,b:1):1,(c:-2,d:1):1,e:1);", "2 negative branches drawn as 0"),
    ],
)
def test_what_is_not_to_scale_is_said(layout: str, newick: str, note: str) -> None:
    assert note in drawn_names(plot_tree(Tree.from_newick(newick), layout=layout))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_tip(tmp_path: Path, layout: str) -> None:
    svg, _ = save_figure(tree_figure(Tree.from_newick("a;"), layout=layout), tmp_path / "one")
    assert "a" in svg_texts(svg)


def test_large_trees_show_some_names_and_say_so() -> None:
    tree = random_tree(1000)
    names = drawn_names(plot_tree(tree))
    shown = [name for name in names if name.startswith("model")]
    assert 150 < len(shown) < 1000
    assert "1 name in 4 shown" in names
    assert "1,000 of 1,000 names left out" in drawn_names(plot_tree(tree, layout="unrooted"))


def test_support_is_shown_where_there_is_some() -> None:
    tree = Tree(list("abcd"), [4, 4, 5, 5, 6, 6, -1], [1.0] * 7, [np.nan] * 4 + [0.97, 0.5, np.nan])
    percent = Tree(tree.tips, tree.parent, tree.length, tree.support * 100)
    for each in (tree, percent):
        names = drawn_names(plot_tree(each))
        assert {"97", "50", "support %"} <= set(names)
    assert "support %" in drawn_names(plot_tree(tree, layout="unrooted"))
    assert "97" not in drawn_names(plot_tree(tree, show_support=False))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_stay_inside_given_axes_and_apart(layout: str) -> None:
    tree = random_tree(24, seed=3)
    fig = Figure(figsize=(12, 6), dpi=72)
    ax = fig.subplots(1, 2)[1]
    assert plot_tree(tree, layout=layout, families=some_families(tree.tips), ax=ax) is ax
    inside = ax.get_window_extent()
    boxes = {}
    for text in ax.texts:
        if text.get_text() in tree.tips:
            box = text.get_window_extent(_renderer(fig))
            boxes[text.get_text()] = box
            assert inside.x0 - 2 <= box.x0
            assert box.x1 <= inside.x1 + 2
            assert inside.y0 - 2 <= box.y0
            assert box.y1 <= inside.y1 + 2
    assert len(boxes) == 24
    if layout == "rectangular":
        rows = sorted(boxes.values(), key=lambda box: box.y0)
        middles = [(box.y0 + box.y1) / 2 for box in rows]
        assert min(np.diff(middles)) > 5


def _renderer(fig: Figure) -> object:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(*(int(side * 72) for side in fig.get_size_inches()), 72)


def test_families_have_colours_that_can_be_read() -> None:
    tips = [f"t{i}" for i in range(40)]
    families = {tip: f"f{i:02d}" for i, tip in enumerate(tips[:35])}
    style = family_style(
        tips, {**families, "no tip": "no family of ours", "t36": None, "t37": np.nan}
    )
    assert style.names == tuple(sorted(set(families.values())))
    assert style.code.tolist() == [*range(35), *[-1] * 5]
    looks = {(style.colour(code), style.marker(code)) for code in range(-1, 35)}
    assert len(looks) == 36
    assert [label for label, _ in style.legend][-1] == "no family"
    for code in range(-2, 35):
        colour = readable(style.colour(code))
        rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.4


# Machado, Oliveira & Fernandes (2009): how complete protanopia, deuteranopia and tritanopia
# change linear RGB.
BLINDNESS = [
    np.eye(3),
    [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]],
    [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]],
    [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]],
]


def lab(colour: str, blindness: object) -> np.ndarray:
    """CIE Lab (D65) of a colour as somebody sees it."""
    part = np.array(rgb(colour))
    linear = np.where(part <= 0.04045, part / 12.92, ((part + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(blindness) @ linear, 0, 1)
    to_xyz = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    x, y, z = (to_xyz @ seen) / [0.9505, 1, 1.089]
    f = [np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (x, y, z)]
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_keep_apart_for_the_colour_blind(blindness: object) -> None:
    style = family_style([f"t{i}" for i in range(10)], {f"t{i}": f"f{i}" for i in range(10)})
    seen = [lab(style.colour(code), blindness) for code in range(-2, 10)]
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)]
    assert len(apart) == 66
    assert min(apart) > 14


def test_a_branch_has_its_familys_colour() -> None:
    tree = Tree.from_newick("((a:1,b:1):1,(c:1,d:1):1);")
    ax = plot_tree(tree, families={"a": "x", "b": "x", "c": "x", "d": "y"})
    segments = {p.get_edgecolor(): len(p.get_path().codes) // 2 for p in ax.patches}
    style = family_style(tree.tips, {"a": "x", "b": "x", "c": "x", "d": "y"})
    counts = {style.colour(0): 5, style.colour(1): 1, style.colour(-2): 3}
    assert {rgb(c): n for c, n in counts.items()} == {c[:3]: n for c, n in segments.items()}


def test_a_branch_without_a_root_has_the_colour_of_either_side() -> None:
    tree = Tree.from_newick("((((a:1,b:1):1,c:1):1,d:1):1,e:1,f:1);")
    families = dict(zip("abcdef", "xxyyyy", strict=True))
    ax = plot_tree(tree, families=families, layout="unrooted")
    segments = {p.get_edgecolor()[:3]: len(p.get_path().codes) // 2 for p in ax.patches}
    style = family_style(tree.tips, families)
    # The branch from (a, b) has x on one side, y on the other; the side away from the root counts.
    assert segments == {rgb(style.colour(0)): 3, rgb(style.colour(1)): 6}


def rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def test_names_are_cut_in_the_middle() -> None:
    name = "organisation/" + "x" * 100 + "-v0.1"
    assert printable("short") == "short"
    cut = printable(name)
    assert len(cut) == MAX_NAME
    assert cut.startswith("organisation/")
    assert cut.endswith("-v0.1")
    assert text_width(fit_text(name, 8, 60), 8) <= 60
    assert printable("a\nb\u200bc\ud800") == "a bc\N{WHITE SQUARE}"


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda t, s: plot_tree(t, layout="round"),
            "'round'; known: 'rectangular', 'circular', 'unrooted'",
        ),
        (
            lambda t, s: plot_tree(t, families={t.tips[0]: 3}),
            "'model-0-7b' must be a string, not 3",
        ),
        (lambda t, s: plot_heatmap(s, order=t), "3 tips of the tree .*'model-0-7b'"),
        (lambda t, s: plot_heatmap(Similarity(s.ids, s.values[:1])), "2 names and the shape"),
        (lambda t, s: plot_heatmap(Similarity((), np.empty((0, 0)))), "0 names"),
        (lambda t, s: save_figure(Figure(), "x", ("jpg",)), "'jpg'; known: 'svg', 'png', 'pdf'"),
        (lambda t, s: save_figure(Figure(), "no/such/folder/x"), "folder does not exist"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call: object, words: str) -> None:
    similarity = Similarity(("a", "b"), np.eye(2))
    with pytest.raises(InputError, match=words):
        call(random_tree(3), similarity)


def test_plot_loads_matplotlib_only_to_draw() -> None:
    code = "import sys, pyphylo.plot; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd="/"
    )
    assert done.stdout.strip() == "False"


def test_published_similarities(tmp_path: Path, shared_data: Path) -> None:
    folder = shared_data / "phylolm"
    frame = pd.read_csv(folder / "math_similarity.csv", index_col=0)
    families = pd.read_csv(folder / "models.csv").set_index("model")["family"].to_dict()
    similarity = Similarity(tuple(frame.index), frame.to_numpy())
    tree = random_tree(len(frame))
    tree = Tree(frame.index, tree.parent, tree.length)
    heat = heatmap_figure(similarity, order=tree, families=families)
    texts = svg_texts(save_figure(heat, tmp_path / "heat")[0])
    assert all(texts.count(name) == 2 for name in frame.index if name not in families.values())
    assert set(families.values()) <= set(texts)
