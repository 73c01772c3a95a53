"""The figure of predicted against true: what is drawn, at any size, and what is refused."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from test_plot_figures import AWKWARD, svg_texts

from pyphylo.errors import InputError
from pyphylo.plot import plot_predictions, prediction_figure, save_figure


def predictions(n=60, targets=("arc", "mmlu"), families=5, seed=0):
    random = np.random.default_rng(seed)
    parts = []
    for target in targets:
        true = random.beta(2, 2, n)
        predicted = np.clip(0.8 * true + 0.1 + 0.08 * random.normal(size=n), 0.01, 0.99)
        parts.append(
            pd.DataFrame(
                {
                    "model": [f"m{i}" for i in range(n)],
                    "target": target,
                    "fold": [f"family {i % families}" for i in range(n)],
                    "true": true,
                    "predicted": predicted,
                    "lower": np.clip(predicted - 0.15, 0, 1),
                    "upper": np.clip(predicted + 0.15, 0, 1),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


def dots(ax):
    """Where markers stand."""
    markers = [found for found in ax.collections if isinstance(found, PathCollection)]
    return np.concatenate([found.get_offsets() for found in markers])


def bars(ax):
    """The ends of intervals, as x, lower, upper."""
    lines = [found for found in ax.collections if isinstance(found, LineCollection)]
    ends = [line for found in lines for line in found.get_segments()]
    return np.array([(line[0][0], line[0][1], line[1][1]) for line in ends])


@pytest.mark.parametrize("n", [10, 60, 2000])
def test_every_model_its_interval_and_the_identity_are_drawn(tmp_path, n):
    frame = predictions(n)
    fig = prediction_figure(frame, title="Families left out")
    for ax, target in zip(fig.axes, ("arc", "mmlu"), strict=False):
        mine = frame[frame["target"] == target]
        drawn = dots(ax)
        assert sorted(map(tuple, drawn)) == sorted(
            zip(mine["true"], mine["predicted"], strict=True)
        )
        expected = sorted(zip(mine["true"], mine["lower"], mine["upper"], strict=True))
        assert sorted(map(tuple, bars(ax))) == expected
        assert ax.get_xlim() == ax.get_ylim()
        identity = ax.lines[0]
        assert list(identity.get_xdata()) == list(identity.get_ydata()) == list(ax.get_xlim())
        low, high = ax.get_xlim()
        assert low <= mine[["true", "lower"]].min().min()
        assert high >= mine[["true", "upper"]].max().max()
    texts = svg_texts(save_figure(fig, tmp_path / "p")[0])
    assert {"Families left out", "arc", "mmlu", "true", "predicted"} <= set(texts)
    assert {f"family {k}" for k in range(5)} <= set(texts)
    arc = frame[frame["target"] == "arc"]
    r = np.corrcoef(arc["true"], arc["predicted"])[0, 1]
    error = (arc["true"] - arc["predicted"]).abs().mean()
    inside = arc["true"].between(arc["lower"], arc["upper"]).mean()
    caption = f"{n:,} models: r {r:.2f}, mean error {error:.3f}, bars hold {100 * inside:.0f}%"
    assert caption in texts


@pytest.mark.parametrize("n", [10, 2000])
@pytest.mark.parametrize("targets", [1, 4])
def test_nothing_written_lies_on_anything_else(n, targets):
    names = [f"benchmark {k}" for k in range(targets)]
    frame = predictions(n, names, families=40 if n > 99 else 3)
    families = dict(zip(frame["model"], frame["fold"] + " of a long name", strict=True))
    fig = prediction_figure(frame, families=families, title="A title of some length, " * 8)
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    renderer = canvas.get_renderer()
    boxes = []
    for ax in fig.axes:
        words = [text for text in ax.texts if text.get_text()]
        if ax.axison:
            low, high = ax.get_xlim()
            shown = [low <= at <= high for at in ax.get_xticks()]
            for axis in (ax.xaxis, ax.yaxis):
                words += [axis.label, *itertools.compress(axis.get_ticklabels(), shown)]
        boxes += [word.get_window_extent(renderer) for word in words if word.get_text()]
    boxes += [text.get_window_extent(renderer) for text in fig.texts]
    panels = [ax.get_window_extent() for ax in fig.axes if ax.axison]
    whole = fig.bbox
    for i, box in enumerate(boxes):
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1 + 1
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1 + 1
        shrunk = box.padded(-1)
        assert not any(shrunk.overlaps(panel) for panel in panels)
        assert not any(shrunk.overlaps(other) for other in boxes[i + 1 :])


def test_many_families_share_a_colour_and_single_models_have_none(tmp_path):
    frame = predictions(200)
    names = {f"m{i}": f"f{i % 50 if i < 100 else i % 10:02}" for i in range(200)}
    texts = svg_texts(save_figure(prediction_figure(frame, families=names), tmp_path / "p")[0])
    assert "21 other families" in texts
    assert sum(text.startswith("f") and len(text) == 3 for text in texts) == 29
    alone = frame.assign(fold=frame["model"])
    assert len(prediction_figure(alone).axes) == 2
    assert len(prediction_figure(frame, families=dict(list(names.items())[:100])).axes) == 3


def test_axes_are_taken_and_given_back():
    frame = predictions(targets=("arc",)).drop(columns=["lower", "upper", "fold"])
    ax = Figure().add_subplot()
    assert plot_predictions(frame, ax=ax, title="mine") is ax
    assert "mine" in [text.get_text() for text in ax.texts]
    assert len(dots(ax)) == 60
    assert not len(bars(ax))
    assert plot_predictions(frame).figure is not ax.figure


def test_one_predictor_and_its_first_run_are_drawn():
    frame = predictions(30, ("arc",))
    both = pd.concat(
        [
            frame.assign(estimator="a", repeat=0),
            frame.assign(estimator="a", repeat=1, predicted=0.1),
            frame.assign(estimator="b", repeat=0, predicted=0.2),
        ]
    )
    assert dots(plot_predictions(both))[:, 1].tolist() != [0.1] * 30
    assert set(dots(plot_predictions(both, estimator="b"))[:, 1]) == {0.2}
    with pytest.raises(InputError, match="no predictions of 'c'"):
        plot_predictions(both, estimator="c")


def test_awkward_names_are_drawn(tmp_path):
    frame = predictions(len(AWKWARD), AWKWARD[:4])
    families = dict(zip(frame["model"], AWKWARD * 4, strict=True))
    fig = prediction_figure(frame, families=families, title="$x_1$ <b>")
    svg, _ = save_figure(fig, tmp_path / "p")
    assert {*AWKWARD[:4], "$x_1$ <b>"} <= set(svg_texts(svg))
    assert b"<script>" not in svg.read_bytes()


def test_the_same_bytes_when_drawn_again(tmp_path):
    for name in "ab":
        save_figure(prediction_figure(predictions()), tmp_path / name, ["png", "svg"])
    for suffix in ("png", "svg"):
        first, second = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
        assert first == second


def test_what_cannot_be_drawn_is_refused():
    frame = predictions()
    with pytest.raises(InputError, match="'predicted' is missing"):
        prediction_figure(frame.drop(columns="predicted"))
    with pytest.raises(InputError, match="nothing to draw"):
        prediction_figure(frame.assign(true=np.nan))
    with pytest.raises(InputError, match="2 benchmarks in one panel"):
        plot_predictions(frame)
    constant = frame.assign(true=0.5, predicted=0.5, lower=0.5, upper=0.5)
    ax = prediction_figure(constant).axes[0]
    assert ax.get_xlim()[0] < 0.5 < ax.get_xlim()[1]
