"""Placing names around unrooted trees."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.optimize import isotonic_regression

from pyphylo.plot._labels import box_corners, place_labels
from pyphylo.plot._ring import isotonic, ring, ring_labels, space_out

finite = st.floats(-100, 100)


def overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two rectangles overlap: no side of either parts them."""
    for box in (a, b):
        for edge in np.diff(box[[0, 1, 2]], axis=0):
            first, second = a @ edge, b @ edge
            if first.max() <= second.min() or second.max() <= first.min():
                return False
    return True


def overlapping(boxes: np.ndarray) -> list[tuple[int, int]]:
    pairs = itertools.combinations(range(len(boxes)), 2)
    return [(i, j) for i, j in pairs if overlap(boxes[i], boxes[j])]


def test_overlap_of_known_rectangles() -> None:
    widths, start = np.array([10.0, 10.0]), np.array([[0.1, 0], [-0.1, 0]])
    apart = box_corners(start, np.array([0.0, np.pi]), widths, 2.0)
    crossing = box_corners(start - [5.0, 0.0], np.array([0.0, 0.3]), widths, 2.0)
    assert overlapping(apart) == []
    assert overlapping(crossing) == [(0, 1)]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10_000), st.integers(1, 25))
def test_placed_labels_cover_neither_each_other_nor_branches(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, n))
    tips = np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(40, 120, n)[:, None]
    branches = np.concatenate([np.zeros((n, 2)), tips], axis=1)
    widths = rng.uniform(10, 70, n)
    found = place_labels(tips, angle, widths, 8.0, 5.0, branches)
    assert found.placed.any()
    boxes = box_corners(found.start, found.angle, widths, 7.0)[found.placed]
    assert overlapping(boxes) == []
    along = np.linspace(0, 1, 400)
    for tip in tips:
        points = along[:, None] * tip
        for box in boxes:
            sides = np.roll(box, -1, axis=0) - box
            to = points[:, None] - box
            inside = (sides[:, 0] * to[..., 1] - sides[:, 1] * to[..., 0] > 0.5).all(axis=1)
            assert not inside.any()


def test_a_lone_label_continues_its_branch() -> None:
    tips, angle = np.array([[10.0, 0.0], [-10.0, 0.0]]), np.array([0.0, np.pi])
    branches = np.array([[-10.0, 0.0, 10.0, 0.0]])
    found = place_labels(tips, angle, np.array([30.0, 30.0]), 8.0, 5.0, branches)
    np.testing.assert_allclose(found.start, [[15, 0], [-15, 0]], atol=1e-9)
    assert found.angle.tolist() == angle.tolist()


@settings(deadline=None)
@given(arrays(np.float64, st.integers(1, 30), elements=finite))
def test_isotonic_equals_scipy(values: np.ndarray) -> None:
    expected = isotonic_regression(values).x
    np.testing.assert_allclose(isotonic(values), expected, rtol=1e-9, atol=1e-9)


@settings(deadline=None)
@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 99.99)))
def test_spaced_out_places_keep_their_distance_and_order(wanted: np.ndarray) -> None:
    wanted, n, perimeter = np.sort(wanted), len(wanted), 100.0
    pitch = 0.9 * perimeter / n
    places = space_out(wanted, perimeter, pitch)
    assert ((places >= 0) & (places < perimeter + 1e-9)).all()
    if n > 1:
        steps = np.mod(np.diff(places, append=places[:1]), perimeter)
        assert steps.min() >= pitch - 1e-6
        assert steps.sum() == pytest.approx(perimeter)


def test_places_that_are_far_apart_stay() -> None:
    wanted = np.array([5.0, 30.0, 60.0, 95.0])
    np.testing.assert_allclose(space_out(wanted, 100.0, 10.0), wanted)


@settings(deadline=None)
@given(arrays(np.float64, st.tuples(st.integers(1, 20), st.just(2)), elements=finite))
def test_ring_is_convex_and_keeps_its_margin(nodes: np.ndarray) -> None:
    points, normal, along = ring(nodes, 10.0)
    out = np.stack([np.cos(normal), np.sin(normal)], axis=1)
    clearance = (points * out).sum(axis=1) - (nodes @ out.T).max(axis=0)
    assert clearance.min() >= 10 - 1e-6
    assert (np.diff(along) >= 0).all()
    steps = np.diff(points, axis=0)
    turn = steps[:, 0] * np.roll(steps[:, 1], -1) - steps[:, 1] * np.roll(steps[:, 0], -1)
    assert turn.min() > -1e-6


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 10_000), st.integers(3, 60), st.floats(20, 200))
def test_ring_labels_do_not_overlap_and_keep_the_order(seed: int, n: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, n))
    tips = np.stack([np.cos(angle), np.sin(angle)], 1) * rng.uniform(0.3, 1, n)[:, None] * radius
    found = ring_labels(tips, tips, angle, np.arange(n), 8.0, 14.0)
    shown = np.flatnonzero(found.placed)
    perimeter = ring(tips, 14.0)[2][-1]
    assert len(shown) == n or n * 8.0 > perimeter
    assert len(shown) >= 1
    boxes = box_corners(found.start, found.angle, rng.uniform(10, 70, n), 6.5)[shown]
    assert overlapping(boxes) == []
    # Once around, in the tips' order: a label out of its place would need a second turn.
    turns = np.mod(np.diff(found.angle[shown], append=found.angle[shown][:1]) + 1e-9, 2 * np.pi)
    assert len(shown) == 1 or turns.sum() == pytest.approx(2 * np.pi, abs=1e-6)
