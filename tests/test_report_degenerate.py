"""Reports of what is degenerate: nothing apart, one family, scores of nobody."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_array_equal
from report_browser import distances, some

import pyphylo as pp
from pyphylo.report import report_html
from pyphylo.report._columns import columns_of
from pyphylo.report._numbers import classical_scaling


def payload_of(page):
    _, _, rest = page.partition('<script type="application/json" id="data">')
    return json.loads(rest[: rest.index("</script>")])


@pytest.mark.parametrize("n", [24, 150])
def test_the_map_of_distances_of_any_size(n):
    apart = np.abs(np.subtract.outer(np.arange(n), np.arange(n))).astype(float)
    xy, share = classical_scaling(apart)
    for power in (-990, 990):
        other, same = classical_scaling(np.ldexp(apart, power))
        assert_array_equal(other, np.ldexp(xy, power))
        assert same == share
    for nothing in (np.zeros((n, n)), np.where(np.eye(n) > 0, 0.0, np.nan)):
        xy, share = classical_scaling(nothing)
        assert_array_equal(xy, np.zeros((n, 2)))
        assert share == [0.0, 0.0]


def test_a_report_of_models_that_are_all_alike():
    names = some(120)
    data = payload_of(report_html(pp.DistanceMatrix(np.zeros((120, 120)), names)))
    assert sorted(data["names"]) == sorted(names)


def test_what_python_alone_takes_for_a_number_is_a_name():
    rows = {
        name: {"version": text} for name, text in zip("abc", ("1_0", "1_1", "2_0"), strict=True)
    }
    (version,) = columns_of(rows, "abc")
    assert version["kind"] == "text"
    assert version["levels"] == ["1_0", "1_1", "2_0"]


def test_scores_that_nothing_can_be_learnt_from_leave_the_page():
    """One family, as the checkpoints of one's own run are: the tree is no worse for that."""
    D = distances(some(12), seed=5)
    families = {name: {"family": f"f{i % 3}"} for i, name in enumerate(D.ids)}
    quiz = np.linspace(0.2, 0.8, 12)
    few = np.where(np.arange(12) < 2, quiz, np.nan)
    scores = pd.DataFrame({"model": D.ids, "few": few, "none": np.nan, "quiz": quiz})
    with pytest.warns(pp.PyphyloWarning) as caught:
        data = payload_of(report_html(D, metadata=families, scores=scores))
    assert [target["name"] for target in data["scores"]["targets"]] == ["quiz"]
    assert any("'none'" in note and "no model here has one" in note for note in data["notes"])
    assert any("'few' has 1 scores of models outside" in note for note in data["notes"])
    said = [str(warning.message) for warning in caught]
    assert len(said) == len(set(said))
    one = {name: {"family": "ours"} for name in D.ids}
    with pytest.warns(pp.PyphyloWarning, match="all models with scores are of one group"):
        data = payload_of(report_html(D, metadata=one, scores=scores[["model", "quiz"]]))
    assert "scores" not in data
    assert len(data["notes"]) == 1


def test_scores_of_unknown_models_are_named():
    D = distances(some(12), seed=5)
    scores = pd.DataFrame({"model": [*D.ids, "stranger"], "quiz": np.linspace(0.2, 0.8, 13)})
    with pytest.warns(pp.PyphyloWarning, match="Scores of 1 names are not shown.*'stranger'"):
        report_html(D, scores=scores)
    scores.loc[0, "quiz"] = np.inf
    with pytest.raises(pp.InputError, match=r"\(the first is inf\)"):
        report_html(D, scores=scores.head(12))
