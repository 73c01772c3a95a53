"""A run's path over a map of all models."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.patches import FancyArrowPatch
from scipy.spatial.distance import pdist, squareform

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.plot import plot_trajectory_map, save_figure, trajectory_map_figure
from pyphylo.plot._map import map_of


def distances(n, run, seed=0):
    """A run of so many checkpoints along a line, and other models about it."""
    rng = np.random.default_rng(seed)
    path = np.stack([np.linspace(0, 1, run), np.zeros(run)], axis=1)
    points = np.concatenate([path, rng.uniform(-1, 2, (n - run, 2))])
    names = [f"lab/run@step{1000 * k}" for k in range(run)] + [f"model-{k}" for k in range(n - run)]
    return pp.DistanceMatrix(squareform(pdist(points)), names), points


@given(st.integers(0, 10**6), st.integers(3, 20))
@settings(max_examples=25, deadline=None)
def test_points_of_a_plane_are_found_again(seed, n):
    rng = np.random.default_rng(seed)
    between = squareform(pdist(rng.normal(size=(n, 2))))
    flat, stress = map_of(between)
    np.testing.assert_allclose(squareform(pdist(flat)), between, atol=1e-3 * between.max())
    assert stress < 1e-3
    again, _ = map_of(between)
    np.testing.assert_array_equal(flat, again)


def test_the_stress_is_that_of_the_picture():
    rng = np.random.default_rng(1)
    between = squareform(pdist(rng.normal(size=(12, 8))))
    flat, stress = map_of(between)
    apart = squareform(pdist(flat)) - between
    assert stress == pytest.approx(np.sqrt((apart**2).sum() / (between**2).sum()))
    assert 0.05 < stress < 0.5
    assert map_of(np.zeros((4, 4)))[1] == 0


@pytest.mark.parametrize("n", [4, 8, 20, 50])
def test_the_path_goes_from_checkpoint_to_checkpoint(n, tmp_path):
    D, _ = distances(n, 4)
    fig = trajectory_map_figure(D, "lab/run@*", title="a run", families={"model-0": "one"})
    (ax,) = fig.axes
    arrows = [p for p in ax.patches if isinstance(p, FancyArrowPatch)]
    assert len(arrows) == 3
    texts = [text.get_text() for text in ax.texts]
    assert {"0", "1000", "2000", "3000"} <= set(texts)
    shown = [name for name in D.ids if name in texts]
    left_out = n - 4 - len(shown)
    assert any(f"{left_out} name" in text for text in texts) == (left_out > 0)
    first = save_figure(fig, tmp_path / "a", ("svg",))[0].read_bytes()
    again = trajectory_map_figure(D, "lab/run@*", title="a run", families={"model-0": "one"})
    assert save_figure(again, tmp_path / "b", ("svg",))[0].read_bytes() == first


def test_names_do_not_cover_each_other():
    D, _ = distances(40, 5, 3)
    fig = trajectory_map_figure(D, "lab/run@*")
    (ax,) = fig.axes
    fig.canvas.draw()
    names = [text for text in ax.texts if text.get_text() in D.ids]
    boxes = [text.get_window_extent() for text in names]
    assert len(boxes) > 10
    for k, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:k])
        assert box.x0 >= 0
        assert box.x1 <= fig.bbox.x1


def test_given_axes_and_steps():
    D, _ = distances(9, 3)
    ax = trajectory_map_figure(D, "lab/run@*").axes[0]
    run = D.ids[:3]
    assert plot_trajectory_map(D, run, steps=[0, 10_000, 143_000], ax=ax) is ax
    assert {"0", "10k", "143k"} <= {text.get_text() for text in ax.texts}


def test_what_has_no_map_is_refused():
    D, _ = distances(6, 3)
    with pytest.raises(pp.InputError, match="DistanceMatrix"):
        plot_trajectory_map(D.values, D.ids[:2])
    with pytest.raises(pp.InputError, match="nobody"):
        plot_trajectory_map(D, ["nobody", D.ids[0]])
    with pytest.raises(pp.InputError, match="steps must increase"):
        plot_trajectory_map(D, D.ids[:2], steps=[2, 1])
    values = np.array(D.values)
    values[0, 4] = values[4, 0] = np.nan
    unknown = pp.DistanceMatrix(values, D.ids, allow_nan=True)
    with pytest.raises(pp.InputError, match="'model-1' is not known"):
        plot_trajectory_map(unknown, D.ids[:2])


def test_command(tmp_path, capsys):
    history = pp.simulate.simulate_history(7, 32, seed=2)
    history.table.save(tmp_path / "t.npz")
    run = list(history.models[:3])
    words = ["trajectory", *run, "--store", str(tmp_path / "t.npz"), "--map"]
    assert main([*words, "-o", str(tmp_path / "run.csv")]) == 0
    made = {path.name for path in tmp_path.iterdir()} - {"t.npz"}
    pictures = {f"{stem}.{kind}" for stem in ("run", "run-map") for kind in ("svg", "png")}
    assert made == {"run.csv", *pictures}
    assert "run-map.svg" in capsys.readouterr().out
    assert main(words) == 2
    assert "--map draws a picture" in capsys.readouterr().err
