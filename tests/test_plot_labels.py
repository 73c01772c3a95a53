"""Placing names around unrooted trees."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pyphylo.plot._labels import Labels, Tips, box_corners, place_labels, pull_labels
from pyphylo.plot._ring import ring, ring_labels
from pyphylo.plot._slots import branches_crossed, choose_slots, slots_around

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
    found = place_labels(Tips(tips, angle, widths, 8.0, 5.0, branches))
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
    found = place_labels(Tips(tips, angle, np.array([30.0, 30.0]), 8.0, 5.0, branches))
    np.testing.assert_allclose(found.start, [[15, 0], [-15, 0]], atol=1e-9)
    assert found.angle.tolist() == angle.tolist()


def test_pulled_labels_keep_off_those_that_stay() -> None:
    # Three tips in a row look up; the middle one's leader goes up between the outer ones' names.
    tips = np.array([[-20.0, 0.0], [0.0, 0.0], [20.0, 0.0]])
    up = np.full(3, np.pi / 2)
    around = Labels(tips + np.array([0.0, 100.0]), up, np.ones(3, dtype=np.bool_))
    where = Tips(tips, up, np.full(3, 30.0), 8.0, 5.0, np.empty((0, 4)))
    labels, at_tip = pull_labels(around, np.array([True, False, True]), where)
    assert at_tip.tolist() == [True, False, True]
    np.testing.assert_allclose(labels.start, [[-20, 5], [0, 100], [20, 5]], atol=1e-9)
    # A leader that goes across keeps the right one from its tip.
    across = Labels(np.array([[-20.0, 100.0], [40.0, 20.0], [20.0, 100.0]]), up, around.placed)
    labels, at_tip = pull_labels(across, np.array([True, False, True]), where)
    assert at_tip.tolist() == [True, False, False]
    assert labels.start[1:].tolist() == across.start[1:].tolist()


def around_circle(slots: np.ndarray, n_slots: int, apart: int) -> bool:
    """Whether slots go once around, each far enough from the one before."""
    steps = np.mod(np.diff(slots, append=slots[:1]), n_slots)
    return len(slots) == 1 or bool(steps.sum() == n_slots and steps.min() >= apart)


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 3), st.integers(0, 4))
def test_slots_around_one_are_the_best_of_all(seed: int, n: int, apart: int, spare: int) -> None:
    rng = np.random.default_rng(seed)
    cost, rows = rng.exponential(1, (n, n * apart + spare)), np.arange(n)
    held, slot = int(rng.integers(n)), int(rng.integers(cost.shape[1]))
    total, found = slots_around(cost, apart, held, slot)
    assert found[held] == slot
    assert around_circle(found, cost.shape[1], apart)
    best = min(
        cost[rows, slots].sum()
        for slots in itertools.product(range(cost.shape[1]), repeat=n)
        if slots[held] == slot and around_circle(np.array(slots), cost.shape[1], apart)
    )
    assert total == pytest.approx(best)
    assert cost[rows, found].sum() == pytest.approx(best)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("n_slots", [240, 130, 120])
def test_slots_for_tips_on_a_disc_are_the_best(seed: int, n_slots: int) -> None:
    rng, n, apart = np.random.default_rng(seed), 24, 5
    angle = np.sort(rng.uniform(0, 2 * np.pi, n))
    tips = rng.uniform(0.2, 0.9, n) * np.exp(1j * angle)
    around = np.exp(2j * np.pi * np.arange(n_slots) / n_slots)
    cost = np.abs(tips[:, None] - around) ** 2
    found = choose_slots(cost, apart)
    best = min(slots_around(cost, apart, 0, slot)[0] for slot in range(n_slots))
    assert cost[np.arange(n), found].sum() == pytest.approx(best, rel=1e-6)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12), st.integers(1, 4), st.integers(0, 20))
def test_slots_keep_their_distance_whatever_they_cost(
    seed: int, n: int, apart: int, spare: int
) -> None:
    cost = np.random.default_rng(seed).exponential(1, (n, n * apart + spare))
    assert around_circle(choose_slots(cost, apart), cost.shape[1], apart)


def cut(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two line segments ``x0, y0, x1, y1`` cross."""

    def side(line: np.ndarray, x: float, y: float) -> float:
        return float((line[2] - line[0]) * (y - line[1]) - (line[3] - line[1]) * (x - line[0]))

    return side(a, *b[:2]) * side(a, *b[2:]) < 0 and side(b, *a[:2]) * side(b, *a[2:]) < 0


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 12))
def test_branches_crossed_equals_its_definition(seed: int, m: int) -> None:
    rng = np.random.default_rng(seed)
    origin, branches = rng.uniform(-1, 1, 2), rng.uniform(-1, 1, (m, 4))
    branches[: m // 3, :2] = origin  # those that start there do not count
    angle = rng.uniform(0, 2 * np.pi, 30)
    targets = 3 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    ways = [np.concatenate([origin, target]) for target in targets]
    slow = [sum(cut(way, branch) for branch in branches[m // 3 :]) for way in ways]
    assert branches_crossed(origin, branches, targets).tolist() == slow


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
    branches = np.concatenate([np.zeros((n, 2)), tips], axis=1)
    found, strain = ring_labels(tips, tips, angle, np.arange(n), branches, 8.0, 14.0)
    assert strain > 0
    shown = np.flatnonzero(found.placed)
    perimeter = ring(tips, 14.0)[2][-1]
    assert len(shown) == n or n * 8.0 > perimeter
    assert len(shown) >= 1
    boxes = box_corners(found.start, found.angle, rng.uniform(10, 70, n), 6.5)[shown]
    assert overlapping(boxes) == []
    # Once around, in the tips' order: a label out of its place would need a second turn.
    turns = np.mod(np.diff(found.angle[shown], append=found.angle[shown][:1]) + 1e-9, 2 * np.pi)
    assert len(shown) == 1 or turns.sum() == pytest.approx(2 * np.pi, abs=1e-6)
