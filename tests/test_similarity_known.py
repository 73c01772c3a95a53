"""Values that are known already, and tables that have not all genes in common."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_tables import drawn_table, quiet

import pyphylo as pp

CALLS = {"similarity": pp.nei_similarity, "distance": pp.nei_distance}


@pytest.fixture
def small():
    return drawn_table(3, 6, 2, 8, 9)


@pytest.mark.parametrize("quantity", list(CALLS))
@pytest.mark.parametrize("estimator", ["plugin", "unbiased"])
@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_new_models_are_added_to_known_ones(quantity, estimator, missing):
    function = CALLS[quantity]
    whole = drawn_table(7, 120, 5, 80, 16, missing=missing)
    old = whole.select(models=whole.models[:100])
    new = renamed(drawn_table(8, 7, 5, 90, 16, missing=missing))
    S = quiet(function, old, estimator=estimator)
    both = old.append(new)
    full = quiet(function, both, estimator=estimator)
    for known in (S, quiet(function, old, estimator=estimator, condensed=True)):
        assert quiet(function, both, estimator=estimator, known=known) == full
    assert quiet(function, both, estimator=estimator, known=full) == full
    turned = full.filter(full.ids[::-1])
    assert quiet(function, both, estimator=estimator, known=turned.filter(turned.ids[:50])) == full


def renamed(table):
    """The table with its models under new names."""
    frame = table.to_frame()
    frame["model"] = "new-" + frame["model"].astype(str)
    models = [f"new-{name}" for name in table.models]
    genes = list(table.genes)
    return pp.AlleleTable.from_counts(
        models,
        genes,
        [models.index(name) for name in frame["model"]],
        [genes.index(name) for name in frame["gene"]],
        list(frame["allele"]),
        list(frame["count"]),
    )


def test_known_values_that_do_not_fit(small):
    S, D = pp.nei_similarity(small), pp.nei_distance(small)
    few = small.select(models=small.models[:3])
    with pytest.raises(pp.InputError, match="SimilarityMatrix, not DistanceMatrix"):
        pp.nei_similarity(small, known=D)
    with pytest.raises(pp.InputError, match="DistanceMatrix, not SimilarityMatrix"):
        pp.nei_distance(small, known=S)
    with pytest.raises(pp.InputError, match="estimator 'plugin', not 'unbiased'"):
        pp.nei_similarity(small, known=S, estimator="unbiased")
    with pytest.raises(pp.InputError, match=r"floor 1e-10, not 0\.1"):
        pp.nei_distance(small, known=D, floor=0.1)
    with pytest.raises(pp.InputError, match="the table lacks: m3, m4, m5"):
        pp.nei_similarity(few, known=S)
    with pytest.raises(pp.InputError, match="leave out `other`"):
        pp.nei_similarity(small, other=few, known=S)
    with pytest.raises(pp.InputError, match="ask for dtype='float32'"):
        pp.nei_similarity(small, known=pp.nei_similarity(small, dtype="float32"))
    small.provenance["rule"] = {"preset": "colab"}
    S.provenance["rule"] = {"preset": "paper"}
    with pytest.raises(pp.InputError, match="rule"):
        pp.nei_similarity(small, known=S)


# -- tables of different genes and alleles --------------------------------------------


def test_tables_of_different_genes_and_alleles():
    left = pp.AlleleTable.from_counts(
        ["a"], ["g", "h"], [0, 0, 0], [0, 0, 1], ["x", "y", "z"], [3, 1, 4]
    )
    right = pp.AlleleTable.from_counts(
        ["b", "c"], ["k", "g"], [0, 0, 1, 1], [1, 0, 1, 1], ["y", "x", "x", "w"], [4, 4, 2, 2]
    )
    S = pp.nei_similarity(left, other=right)
    # Gene g alone is in both: (3, 1) against (0, 4), and (3, 1, 0) against (2, 0, 2).
    assert S.values.tolist() == [[4 / np.sqrt(10 * 16), 6 / np.sqrt(10 * 8)]]
    assert (S.ids, S.other_ids) == (("a",), ("b", "c"))
    both = pp.nei_similarity(left.append(right), n_threads=1).values
    assert both[0, 1:].tolist() == S.values[0].tolist()
    assert pp.nei_similarity(left, other=left).values.tolist() == [[1.0]]
