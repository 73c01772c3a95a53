"""Three findings of Yax, Oudeyer & Palminteri (2024), tested on the published matrices."""

import numpy as np
import pandas as pd
import pytest

import pyphylo as pp

skbio = pytest.importorskip("skbio")
distance = pytest.importorskip("skbio.stats.distance")

SIZES = ("0.5B", "1.8B", "4B", "7B", "14B", "72B")


@pytest.fixture(scope="module")
def real(shared_data):
    folder = shared_data / "phylolm"
    D = pp.nei_distance(pp.SimilarityMatrix.load(folder / "math_similarity.csv"))
    families = pd.read_csv(folder / "models.csv").set_index("model").family.loc[list(D.ids)]
    scores = pd.read_csv(folder / "scores.csv").set_index("model")
    return D, families, scores


def test_families_cluster(real):
    """PERMANOVA (Anderson 2001): families tell more than in any of 999 permutations."""
    D, families, _ = real
    found = distance.permanova(D.to_skbio(), families.tolist(), permutations=999, seed=0)
    assert found["p-value"] == 0.001
    # A share of the sum of squared distances, of which 8 in 126 are expected by chance
    groups, n, F = found["number of groups"], found["sample size"], found["test statistic"]
    share = F * (groups - 1) / (F * (groups - 1) + n - groups)
    assert share > 0.5
    values = D.values.copy()
    np.fill_diagonal(values, np.inf)
    nearest = families.to_numpy()[values.argmin(axis=1)]
    assert (nearest == families.to_numpy()).mean() > 0.95


@pytest.fixture(scope="module")
def quantised(shared_data):
    """Distance of each quantised model to its own full one, by size; and to the next size."""
    S = pp.SimilarityMatrix.load(shared_data / "phylolm" / "quantisation_similarity.csv")
    D = pp.nei_distance(S).to_frame()
    full = [f"Qwen1.5-{size}-Chat" for size in SIZES]
    moved = pd.DataFrame(
        {
            kind: [D.loc[name, f"{name}-{kind}"] for name in full]
            for kind in ("GPTQ-Int8", "GPTQ-Int4", "AWQ")
        },
        index=SIZES,
    )
    moved["other size"] = [D.loc[name, [x for x in full if x != name]].min() for name in full]
    return moved


def test_eight_bits_move_a_model_less_than_four_and_awq_more(quantised):
    """At every size but the largest, where neither GPTQ moves it at all."""
    eight, four, awq = (quantised[kind] for kind in ("GPTQ-Int8", "GPTQ-Int4", "AWQ"))
    small = quantised.index[:-1]
    assert (eight[small] < four[small]).all()
    assert eight["72B"] == four["72B"] == 0
    assert (four < awq).all()
    assert (four / eight)[small].min() > 2
    assert (awq > 3 * four).all()
    # What small models become under AWQ is further from them than a model of another size
    assert (awq > quantised["other size"])[["0.5B", "1.8B", "4B", "7B", "14B"]].all()
    assert awq["72B"] < quantised["other size"]["72B"]


def mantel(D, scores):
    """Mantel's test (1967), by ranks, of distances against differences of scores."""
    known = [name for name in D.ids if not np.isnan(scores.get(name, np.nan))]
    y = scores[known].to_numpy()
    apart = skbio.DistanceMatrix(np.abs(y[:, None] - y), known)
    return distance.mantel(
        D.filter(known).to_skbio(), apart, method="spearman", permutations=999, seed=0
    )


@pytest.mark.parametrize(("target", "least"), [("arc", 0.3), ("mmlu", 0.3), ("gsm8k", 0.1)])
def test_models_close_by_score_alike(real, target, least):
    D, _, scores = real
    r, p, _ = mantel(D, scores[target])
    assert p == 0.001
    assert r > least


def test_inside_llama_distance_says_nothing_of_gsm8k(real):
    """Where the finding ends: what fine-tunes of one family score on it."""
    D, families, scores = real
    r, p, n = mantel(D.filter(families.index[families == "llama"]), scores.gsm8k)
    assert n == 21
    assert abs(r) < 0.2
    assert p > 0.05
