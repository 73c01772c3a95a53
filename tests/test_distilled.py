"""Shared drift against inner products written out, and against known teachers."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_blends import World
from drawn_tables import drawn_table, quiet
from scipy.stats import t as student_t

import pyphylo as pp
from pyphylo.stats.distilled import TEACHER_OUTCOMES

WORLDS = 20


def star(seed, n_candidates=8):
    """Candidates that all drifted from one base by themselves: a world without a tree."""
    world = World(seed, n_candidates=4, drift=0.1)
    base = world.p[world.base]
    world.p = {"base": base}
    for k in range(n_candidates):
        world.p[f"c{k}"] = world.blend({"base": 1.0}, 0.1 + 0.01 * k)
    return world


def test_the_teacher_is_named():
    outcomes = []
    for seed in range(WORLDS):
        world = star(seed)
        world.p["S"] = world.blend({"base": 0.6, "c3": 0.4}, 0.02)
        found = pp.find_teacher(world.counted(), "S", "base")
        outcomes.append(found.outcome)
        if found.outcome == "shares most drift":
            assert found.leader == "c3"
            assert found.rivals == ()
            assert found.candidates.model[0] == "c3"
            assert found.cosines.loc["S", "c3"] > 0.4
            assert (found.contrasts.p_adjusted < 0.05).all()
            assert (found.contrasts.cosine_p_adjusted < 0.05).all()
            assert "by inner product and by direction" in found.reason
    assert outcomes.count("shares most drift") >= 0.9 * WORLDS


def test_a_student_of_nobody_is_given_to_nobody():
    outcomes = []
    for seed in range(WORLDS):
        world = star(seed)
        world.p["S"] = world.blend({"base": 1.0}, 0.2)
        found = pp.find_teacher(world.counted(), "S", "base")
        outcomes.append(found.outcome)
        if found.outcome == "none":
            assert found.leader is None
            assert len(found.contrasts) == 0
    assert outcomes.count("none") >= WORLDS - 3
    assert "shares most drift" not in outcomes


@pytest.mark.parametrize("control", ["holm", "bh"])
def test_two_alike_candidates_stay_undecided(control):
    named = 0
    for seed in range(WORLDS):
        world = star(seed)
        world.p["twin"] = world.p["c3"]
        world.p["S"] = world.blend({"base": 0.5, "c3": 0.5}, 0.02)
        found = pp.find_teacher(world.counted(), "S", "base", control=control)
        named += found.outcome == "shares most drift"
        if found.outcome == "undecided":
            assert {found.leader, *found.rivals} >= {"twin", "c3"}
            assert "no less with" in found.reason
    assert named <= 3


def test_inner_products_are_those_of_the_populations():
    world = star(1)
    world.p["S"] = world.blend({"base": 0.5, "c1": 0.5}, 0.05)
    world.p["still"] = world.p["base"]
    table = world.exact()
    found = pp.find_teacher(table, "S", "base", weighting="plain")
    assert found.leader == "c1"
    p = {name: np.where(q > 1e-6, q, 0) - np.where(world.p["base"] > 1e-6, world.p["base"], 0)
         for name, q in world.p.items()}  # fmt: skip
    inner = {name: (p["S"] * q).sum(axis=1) for name, q in p.items()}
    for row in found.candidates.itertuples():
        assert row.shared == pytest.approx(inner[row.model].mean(), abs=1e-12)
        cosine = (p["S"] * p[row.model]).sum() / np.sqrt(
            (p["S"] ** 2).sum() * (p[row.model] ** 2).sum() or np.nan
        )
        assert row.cosine == pytest.approx(cosine, nan_ok=True)
    assert np.isnan(found.cosines.loc["still"]).all()
    assert found.cosines.loc["c2", "c2"] == 1.0
    assert found.cosines.loc["c2", "c5"] == found.cosines.loc["c5", "c2"]
    for row in found.contrasts.itertuples():
        apart = inner[found.leader] - inner[row.model]
        assert row.estimate == pytest.approx(apart.mean(), abs=1e-12)
        assert row.se == pytest.approx(apart.std(ddof=1) / np.sqrt(128))
    assert found.outcome in TEACHER_OUTCOMES


def test_the_error_of_a_cosine_is_the_jackknife():
    world = star(2, 3)
    world.p["S"] = world.blend({"base": 0.5, "c1": 0.5}, 0.05)
    table = world.counted().select(genes=[f"g{i:03d}" for i in range(16)])
    whole = pp.find_teacher(table, "S", "base", weighting="plain").candidates.set_index("model")
    contrast = pp.find_teacher(table, "S", "base", weighting="plain").contrasts
    contrast = contrast.set_index("model")
    without, apart = [], []
    for gene in table.genes:
        fewer = table.select(genes=[name for name in table.genes if name != gene])
        part = pp.find_teacher(fewer, "S", "base", weighting="plain").candidates
        part = part.set_index("model").cosine
        without.append(part.loc["c1"])
        apart.append(part.loc["c1"] - part.loc["c2"])

    def spread(x):
        return np.sqrt(15 / 16 * ((np.array(x) - np.mean(x)) ** 2).sum())

    assert whole.cosine_se.loc["c1"] == pytest.approx(spread(without), rel=1e-9)
    row = contrast.loc["c2"]
    assert row.cosine == pytest.approx(whole.cosine["c1"] - whole.cosine["c2"])
    assert row.cosine_se == pytest.approx(spread(apart), rel=1e-9)
    assert row.cosine_p == pytest.approx(2 * student_t.sf(abs(row.cosine_z), 15))


def test_a_base_that_did_not_move_shares_nothing():
    still = 0
    for seed in range(WORLDS):
        world = star(seed)
        world.p["S"] = world.p["base"]
        table = world.counted()
        found = pp.find_teacher(table, "S", "base")
        moments = pp.f2(table, [("base", "S")])
        assert found.drift == pytest.approx(moments["estimate"][0])
        assert found.drift_se == pytest.approx(moments["se"][0])
        assert found.drift_p == pytest.approx(moments["p"][0])
        assert found.outcome != "shares most drift"
        if found.drift_p >= 0.05:
            still += 1
            assert (found.outcome, found.leader) == ("none", None)
            assert "not clearly moved away from 'base'" in found.reason
    assert still >= WORLDS - 4


@pytest.mark.parametrize("control", ["holm", "bh"])
def test_two_equal_teachers_stay_undecided(control):
    """Neither by length nor by direction is one ahead."""
    named = 0
    for seed in range(WORLDS):
        world = star(seed)
        world.p["S"] = world.blend({"base": 0.4, "c2": 0.3, "c3": 0.3}, 0.02)
        found = pp.find_teacher(world.counted(), "S", "base", control=control)
        named += found.outcome == "shares most drift"
    assert named <= 2


def test_what_went_far_is_not_the_teacher():
    """A teacher that went a short way, and one that went on from there."""
    named, by_length = [], 0
    for seed in range(WORLDS):
        world = star(seed, 5)
        world.p["far"] = world.blend({"c3": 1.0}, 0.1)
        world.p["c3"] = world.blend({"base": 0.7, "c3": 0.3}, 0.01)
        world.p["S"] = world.blend({"c3": 1.0}, 0.02)
        found = pp.find_teacher(world.counted(128), "S", "base")
        by_length += found.leader == "far" and bool((found.contrasts.p_adjusted < 0.05).all())
        if found.outcome == "shares most drift":
            named.append(found.leader)
    assert by_length > WORLDS // 2  # the inner product alone would have named it
    assert "far" not in named


def test_direction_and_length_may_name_different_ones():
    world = star(3)
    world.p["short"] = world.blend({"base": 0.7, "c3": 0.3}, 0.0)
    world.p["far"] = world.blend({"c3": 1.0}, 0.3)
    world.p["S"] = world.blend({"base": 0.6, "c3": 0.4}, 0.0)
    found = pp.find_teacher(world.counted(512), "S", "base", candidates=["short", "far", "c0"])
    assert found.leader == "far"
    contrasts = found.contrasts.set_index("model")
    assert contrasts.p_adjusted["short"] < 0.05
    assert contrasts.cosine["short"] < 0
    assert found.outcome == "undecided"
    assert found.rivals == ("short",)
    assert "largest with 'far', but by direction (cosine) 'short' is nearer" in found.reason


def test_a_candidate_that_did_not_move_is_no_rival():
    world = star(4)
    world.p["still"] = world.p["base"]
    world.p["S"] = world.blend({"base": 0.5, "c3": 0.5}, 0.02)
    found = pp.find_teacher(world.counted(), "S", "base")
    still = found.contrasts.set_index("model").loc["still"]
    assert np.isnan(still.cosine)
    assert np.isnan(still.cosine_p_adjusted)
    assert (found.outcome, found.leader) == ("shares most drift", "c3")


def test_what_cannot_be_used_is_refused():
    table = drawn_table(1, 5, 8, 5, 6)
    for match, options in (
        ("no model 'm00'.*did you mean 'm0'", {"student": "m00"}),
        ("no model 'm11'", {"candidates": ["m2", "m11"]}),
        ("one candidate proves nothing", {"candidates": ["m2"]}),
        ("its own base", {"base": "m0"}),
        ("unknown control 'none'; known: 'holm', 'bh'", {"control": "none"}),
        ("alpha must be between", {"alpha": 1.5}),
    ):
        with pytest.raises(pp.InputError, match=match):
            quiet(pp.find_teacher, table, **{"student": "m0", "base": "m1", **options})
