"""Merges with known parents are found, and what is no merge is not taken for one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from drawn_blends import World, merged
from drawn_tables import drawn_table, quiet
from scipy.optimize import minimize_scalar

import pyphylo as pp
from pyphylo.simulate._draws import Draws
from pyphylo.simulate._populations import drift_step
from pyphylo.stats._blends import geometric_fit
from pyphylo.stats._f_panel import F2Source
from pyphylo.stats._many_tests import adjusted_below_zero, benjamini_hochberg, holm
from pyphylo.stats._segments import distance_contrasts, mixture_weight, segment_distances
from pyphylo.stats.merge import MERGE_OUTCOMES

GOOD = 20
"""Worlds a kind: enough to tell 0.9 from 0.5."""


def test_no_mixture_is_zero_and_z_says_how_far_from_it():
    """f3 of a model whose copy is one of the pair, f4 of drifts that are independent."""
    z = []
    for seed in range(150):
        world = World(seed, n_candidates=6)
        if world.a is None:
            continue
        world.p["M"] = world.p[world.a]
        world.p["a2"] = world.blend({world.a: 1.0}, 0.1)
        world.p["b2"] = world.blend({world.b: 1.0}, 0.12)
        table = world.counted()
        f3 = pp.f3(table, "M", [(world.a, world.b)], n_threads=1).z[0]
        f4 = pp.f4(table, [(world.a, "a2", world.b, "b2")], n_threads=1).z[0]
        z.append((f3, f4))
    z = np.array(z)
    assert len(z) > 100
    assert (abs(z.mean(axis=0)) < 0.35).all()
    assert ((z.std(axis=0) > 0.8) & (z.std(axis=0) < 1.2)).all()
    assert ((abs(z) > 1.98).mean(axis=0) < 0.12).all()


@pytest.mark.parametrize("share", [0.5, 0.3])
def test_parents_among_twenty_candidates_are_named(share):
    right, apart, covered = 0, [], 0
    for seed in range(GOOD):
        world = merged(seed, share)
        found = pp.find_merge(world.counted(), "M", base=world.base)
        if found.parents is None or set(found.parents) != {world.a, world.b}:
            continue
        right += found.outcome == "merge"
        truth = share if found.parents[0] == world.a else 1 - share
        apart.append(found.weight.estimate - truth)
        covered += found.weight.lower <= truth <= found.weight.upper
    assert right >= (0.9 if share == 0.5 else 0.75) * GOOD
    assert max(map(abs, apart)) < 0.1
    assert covered >= 0.8 * len(apart)


@pytest.mark.parametrize("drift", [0.0, 0.1, 0.3])
def test_a_model_that_drifted_is_no_merge(drift):
    outcomes = []
    for seed in range(GOOD):
        world = World(seed)
        world.p["M"] = world.blend({world.a: 1.0}, drift)
        outcomes.append(pp.find_merge(world.counted(), "M", base=world.base).outcome)
    # At no drift f3 = 0 for many pairs: the edge of the hypothesis, wrong in alpha of cases.
    assert outcomes.count("none") >= GOOD - (3 if drift == 0 else 1)
    assert "merge" not in outcomes


def test_half_way_back_to_the_base_is_told_from_a_merge():
    outcomes = []
    for seed in range(GOOD):
        world = World(seed)
        world.p["M"] = world.blend({world.a: 0.5, world.base: 0.5})
        found = pp.find_merge(world.counted(), "M", base=world.base)
        outcomes.append(found.outcome)
        if found.outcome == "partial return to the base":
            assert found.parents[1] == world.base
    assert outcomes.count("partial return to the base") >= 0.7 * GOOD
    assert "merge" not in outcomes


def test_copies_of_a_parent_leave_it_undecided():
    world = merged(3)
    world.p["copy"] = world.p[world.a]
    found = pp.find_merge(world.counted(), "M", base=world.base)
    assert found.outcome == "undecided"
    named = {frozenset(pair) for pair in (found.parents, *found.rivals)}
    assert {frozenset((world.a, world.b)), frozenset(("copy", world.b))} <= named
    assert found.runner_up in found.rivals
    assert found.contrast_p > 0.05
    assert "or as well" in found.reason


def test_a_lone_pair_has_no_rival():
    world = merged(4)
    found = pp.find_merge(world.counted(), "M", candidates=[world.a, world.b])
    assert found.outcome == "merge"
    assert found.runner_up is None
    assert found.rivals == ()
    assert np.isnan(found.contrast)
    assert len(found.pairs) == 1


def test_exact_tables_tell_how_the_blend_was_made():
    world = World(5)
    a, b = world.p[world.a], world.p[world.b]
    world.p["arithmetic"] = 0.4 * a + 0.6 * b
    blend = np.maximum(a, 1e-5) ** 0.4 * np.maximum(b, 1e-5) ** 0.6
    world.p["geometric"] = blend / blend.sum(axis=1, keepdims=True)
    table = world.exact()
    straight = geometric_fit(table, "arithmetic", world.a, world.b)
    bent = geometric_fit(table, "geometric", world.a, world.b)
    assert straight.arithmetic_weight == pytest.approx(0.4, abs=1e-2)
    assert straight.arithmetic_residual < 1e-3 < straight.residual
    assert straight.advantage < -3 * straight.se
    assert bent.weight == pytest.approx(0.4, abs=2e-2)
    assert bent.residual < 1e-2 * bent.to_parents
    assert bent.advantage > 3 * bent.se
    trained = geometric_fit(table, world.a, world.b, world.base)
    assert trained.residual > 20 * bent.residual
    found = pp.find_merge(table, "arithmetic", candidates=[world.a, world.b], weighting="root")
    assert found.outcome == "merge"
    assert found.geometric == geometric_fit(table, "arithmetic", *found.parents)


def test_what_was_trained_on_is_told_from_a_blend():
    """A drifts all the way as it is drawn to B; a blend does not, whatever its share."""
    outcomes, blends = [], []
    for seed in range(6):
        world = World(seed, n_candidates=8, drift=(0.1, 0.3))
        a, b = world.p[world.a], world.p[world.b]
        x = a
        for step in range(8):
            x = drift_step(0.94 * x + 0.06 * b, 0.15, Draws(seed, "trained", step, 0))
        world.p["trained"] = x
        for share in (0.5, 0.3):
            blend = np.maximum(a, 1e-5) ** share * np.maximum(b, 1e-5) ** (1 - share)
            world.p[f"blend{share}"] = blend / blend.sum(axis=1, keepdims=True)
        table = world.exact()
        outcomes.append(geometric_fit(table, "trained", world.a, world.b).kind)
        for share in (0.5, 0.3):
            fit = geometric_fit(table, f"blend{share}", world.a, world.b)
            blends.append(fit.kind)
            # Exactly a geometric mixture, but for what the table leaves out.
            assert fit.own < 0.1
    assert set(blends) == {"blend"}
    assert outcomes.count("trained on") >= 4
    assert "blend" not in outcomes


def test_the_verdict_heeds_the_residual(monkeypatch):
    world = merged(5)
    table = world.exact()
    found = pp.find_merge(table, "M", base=world.base, weighting="root")
    assert (found.outcome, found.geometric.kind) == ("merge", "blend")
    own = found.geometric.own
    # The same model, judged as if averages had less of their own than it has.
    monkeypatch.setattr("pyphylo.stats._blends.OWN", own / 2)
    monkeypatch.setattr("pyphylo.stats._blends.BLEND", own / 4)
    stricter = pp.find_merge(table, "M", base=world.base, weighting="root")
    assert stricter.outcome == "trained on between"
    assert "of its own" in stricter.reason
    assert set(stricter.parents) == set(found.parents)
    monkeypatch.setattr("pyphylo.stats._blends.OWN", own * 2)
    open_still = pp.find_merge(table, "M", base=world.base, weighting="root")
    assert open_still.outcome == "merge"
    assert open_still.geometric.kind == "unclear"
    assert "leaves open" in open_still.reason


def test_a_share_near_0_tells_nothing_of_a_blend():
    world = World(6)
    world.p["M"] = world.blend({world.a: 0.99, world.b: 0.01})
    fit = geometric_fit(world.exact(), "M", world.a, world.b)
    assert np.isnan(fit.own)
    assert fit.kind == "unclear"


def test_the_distance_is_that_of_the_nearest_mixture():
    table = World(6, n_candidates=6, n_genes=12).exact()
    panel = F2Source(table, "plain").panel(table.models, None, 1)
    p = np.zeros((len(table.models), table._core.n_columns))
    p[np.repeat(np.arange(len(p)), np.diff(table._core.indptr)), table._core.columns] = (
        table._core.probabilities
    )
    pairs = list(itertools.combinations(range(1, len(p)), 2))
    a, b = np.array(pairs).T
    found = segment_distances(panel, 0, a, b)
    for k, (i, j) in enumerate(pairs):

        def gap(x, i=i, j=j):
            return ((p[0] - x * p[i] - (1 - x) * p[j]) ** 2).sum() / 12

        best = min(
            gap(0.0), gap(1.0), minimize_scalar(gap, bounds=(0, 1), options={"xatol": 1e-9}).fun
        )
        assert found[k] == pytest.approx(best, rel=1e-6)
    contrast, error = distance_contrasts(panel, 0, pairs[0], a[1:], b[1:])
    np.testing.assert_allclose(contrast, found[1:] - found[0], atol=1e-14)
    # The jackknife, written out: genes left out one by one.
    for k in range(3):
        without = []
        for g in range(12):
            fewer = table.select(genes=[name for i, name in enumerate(table.genes) if i != g])
            part = F2Source(fewer, "plain").panel(fewer.models, None, 1)
            values = segment_distances(part, 0, a[[k + 1, 0]], b[[k + 1, 0]])
            without.append(values[0] - values[1])
        spread = np.sqrt(11 / 12 * ((np.array(without) - np.mean(without)) ** 2).sum())
        assert error[k] == pytest.approx(spread, rel=1e-9)


def test_the_weight_is_that_of_least_squares():
    world = World(7, n_candidates=4, n_genes=16)
    world.p["M"] = world.blend({world.a: 0.7, world.b: 0.3}, 0.05)
    table = world.exact().select(models=["M", world.a, world.b])
    panel = F2Source(table, "plain").panel(table.models, None, 1)
    p = np.zeros((3, table._core.n_columns))
    p[np.repeat(np.arange(3), np.diff(table._core.indptr)), table._core.columns] = (
        table._core.probabilities
    )
    expected = np.linalg.lstsq((p[1] - p[2])[:, None], p[0] - p[2], rcond=None)[0][0]
    assert mixture_weight(panel, 0, 1, 2, 0.95).estimate == pytest.approx(expected)
    same = pp.AlleleTable.from_counts(
        ["x", "y", "z"], [f"g{g}" for g in range(8)], np.repeat([0, 1, 2], 8),
        np.tile(np.arange(8), 3), ["a"] * 24, [4] * 24,
    )  # fmt: skip
    flat = F2Source(same, "plain").panel(same.models, None, 1)
    assert np.isnan(mixture_weight(flat, 0, 1, 2, 0.95).estimate)


def test_many_statistics_keep_their_level_together():
    rng = np.random.default_rng(0)
    sizes = np.ones(64, np.int64)
    least = []
    for _ in range(200):
        shared = rng.normal(size=64)
        least.append(adjusted_below_zero(0.7 * shared + rng.normal(size=(40, 64)), sizes).min())
    assert 0.01 <= np.mean(np.array(least) < 0.05) <= 0.09
    # What is clearly positive costs nothing: as if it were not there.
    noise = rng.normal(size=(1, 64)) - 0.25
    alone = adjusted_below_zero(noise, sizes)
    among = adjusted_below_zero(np.vstack([noise, rng.normal(size=(500, 64)) + 5]), sizes)
    assert among[0] == pytest.approx(alone[0], abs=0.01)
    assert (among[1:] > 0.9).all()
    # Nothing is left to compare with where all are.
    assert (adjusted_below_zero(rng.normal(size=(3, 64)) + 5, sizes) == 1).all()


def test_corrections_are_those_of_the_books():
    p = np.array([0.01, 0.04, 0.03, np.nan, 0.005])
    np.testing.assert_allclose(holm(p), [0.03, 0.06, 0.06, np.nan, 0.02])
    np.testing.assert_allclose(benjamini_hochberg(p), [0.02, 0.04, 0.04, np.nan, 0.02])


def test_the_frame_holds_f3_of_all_pairs():
    world = merged(8, n_candidates=6, n_genes=40)
    table = world.counted()
    found = pp.find_merge(table, "M")
    assert found.outcome in MERGE_OUTCOMES
    direct = pp.f3(table, "M")
    joined = found.pairs.merge(direct, on=["a", "b"], suffixes=("", "_direct"))
    assert len(joined) == 15
    np.testing.assert_allclose(joined.estimate, joined.estimate_direct, rtol=1e-12)
    np.testing.assert_allclose(joined.z, joined.z_direct, rtol=1e-9)
    assert found.pairs.estimate.is_monotonic_increasing


def test_what_cannot_be_used_is_refused():
    table = drawn_table(1, 5, 8, 5, 6)
    for match, options in (
        ("no model 'm00'.*did you mean 'm0'", {"model": "m00"}),
        ("no model 'm11'", {"candidates": ["m1", "m11"]}),
        ("two candidates", {"candidates": ["m1", "m0"]}),
        ("its own base", {"base": "m0"}),
        ("no model 'base'", {"base": "base"}),
        ("alpha must be between", {"alpha": 0.0}),
        ("confidence must be between", {"confidence": True}),
    ):
        with pytest.raises(pp.InputError, match=match):
            quiet(pp.find_merge, table, **{"model": "m0", **options})
