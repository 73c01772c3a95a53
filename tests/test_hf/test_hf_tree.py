"""Exact and hybrid reading against every path of a tiny vocabulary."""

from __future__ import annotations

import collections
import heapq
import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
import transformers
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from pyphylo import _reference
from pyphylo.sampling._decode import Job, run_jobs
from pyphylo.sampling._expand import TreeJob, TreeRule, run_hybrid, run_trees
from pyphylo.sampling._forward import Forward, calibrated_forward
from pyphylo.sampling._stop import GeneLogitsError, StopRule, finished_text
from pyphylo.sampling._token_text import TableText
from pyphylo.sampling._vocabulary import Vocabulary, kept_text
from pyphylo.sampling.base import Decided
from pyphylo.sampling.streams import uniforms

END = 9
BYTES = [b"a", b" ", b"\n", b"bcd", b"\xc3", b"\xa9", b"  d", b"then", b"", b"", b"\n\n e", b"\xff"]
TABLE = TableText("byte-level", dict(enumerate(BYTES)))
PROMPTS = [[0, 3, 1], [7, 7], [6, 10, 2, 1, 0]]
RULE = StopRule(chars=3, max_new_tokens=4, end_tokens=frozenset({END}), temperature=0.9)
ALL = 1e-13


class NoTable:
    """The same text, for which only single tokens can be looked at."""

    kind = "suffix"

    def added(self, prompt: Any, new: Any, *, final: bool) -> str:
        return TABLE.added(prompt, new, final=final)


def tiny(seed: int) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        config = transformers.LlamaConfig(
            vocab_size=len(BYTES),
            hidden_size=16,
            intermediate_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            initializer_range=0.4,
        )
        return transformers.LlamaForCausalLM(config).eval()


class Paths:
    """All paths of a model after a prompt, one forward pass a path."""

    def __init__(self, model: Any, prompt: list[int], rule: StopRule) -> None:
        self.model, self.prompt, self.rule = model, prompt, rule
        self.next: dict[tuple[int, ...], np.ndarray] = {}

    def shares(self, new: tuple[int, ...]) -> np.ndarray:
        if new not in self.next:
            with torch.inference_mode():
                logits = self.model(torch.tensor([[*self.prompt, *new]]), use_cache=False).logits
            x = logits[0, -1].double().numpy() / self.rule.temperature
            weights = np.exp(x - x.max())
            self.next[new] = weights / weights.sum()
        return self.next[new]

    def said(self, new: tuple[int, ...]) -> str | None:
        if new[-1] == END:
            return b"".join(BYTES[t] for t in new[:-1]).decode("utf-8", "replace")
        data = b"".join(BYTES[t] for t in new)
        whole = data.decode("utf-8", "replace")
        sure = whole[:-1] if data[-1:] == b"\xc3" else whole
        done = len(sure.lstrip(" ").lstrip("\n")) >= self.rule.chars
        return whole if done or len(new) == self.rule.max_new_tokens else None

    def children(self, new: tuple[int, ...], mass: float) -> Iterator[tuple[Any, Any, float]]:
        for token, share in enumerate(self.shares(new)):
            path = (*new, token)
            yield path, self.said(path), mass * float(share)

    def leaves(self, first_token_only: bool = False) -> dict[str, float]:
        found: collections.Counter[str] = collections.Counter()
        stack: list[tuple[tuple[int, ...], float]] = [((), 1.0)]
        while stack:
            for path, said, mass in self.children(*stack.pop()):
                if said is not None:
                    found[kept_text(said, self.rule.chars)] += mass
                elif not first_token_only:
                    stack.append((path, mass))
        return dict(found)

    def best_first(self, budget: int) -> dict[str, float]:
        found: collections.Counter[str] = collections.Counter()
        queue: list[tuple[float, tuple[int, ...]]] = [(-1.0, ())]
        for _ in range(budget + 1):
            if not queue:
                break
            mass, new = heapq.heappop(queue)
            for path, said, child in self.children(new, -mass):
                if said is None:
                    heapq.heappush(queue, (-child, path))
                else:
                    found[kept_text(said, self.rule.chars)] += child
        return dict(found)


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny(0)


@pytest.fixture(scope="module")
def paths(model: Any) -> list[Paths]:
    return [Paths(model, prompt, RULE) for prompt in PROMPTS]


def trees(
    model: Any, min_mass: float, max_nodes: int = 10**6, batch_tokens: int = 10**6, **options: Any
) -> list[Decided]:
    forward = options.pop("forward", None) or calibrated_forward(model, PROMPTS)
    rule = TreeRule(RULE, min_mass, max_nodes)
    jobs = [TreeJob(i, p, len(p) + RULE.max_new_tokens) for i, p in enumerate(PROMPTS)]
    found: dict[int, Decided] = {}
    run_trees(
        forward, jobs, options.pop("text", TABLE), rule, batch_tokens,
        lambda job, cell: found.__setitem__(job.gene, cell), **options,
    )  # fmt: skip
    return [found[i] for i in range(len(PROMPTS))]


def hybrids(
    model: Any, n: int, min_mass: float = 1e-3, batch_tokens: int = 10**7, **options: Any
) -> list[tuple[list[str], Decided]]:
    stop, key = options.pop("stop", RULE), options.pop("key", "model")
    jobs = [
        Job(i, 0, p, uniforms(0, key, f"g{i}", n, stop.max_new_tokens))
        for i, p in enumerate(PROMPTS)
    ]
    texts = [[""] * n for _ in jobs]
    cells: dict[int, Decided] = {}

    def done(job: Job, result: tuple[list[str], Decided]) -> None:
        texts[job.gene][job.first : job.first + len(job.uniforms)] = result[0]
        cells[job.gene] = result[1]

    run_hybrid(
        calibrated_forward(model, PROMPTS), jobs, options.pop("text", TABLE),
        TreeRule(stop, min_mass, options.pop("max_nodes", 0)), batch_tokens, done, **options,
    )  # fmt: skip
    return [(texts[i], cells[i]) for i in range(len(jobs))]


def close(ours: dict[str, float], theirs: dict[str, float], atol: float = 1e-6) -> bool:
    return all(
        abs(ours.get(text, 0) - theirs.get(text, 0)) <= atol for text in ours.keys() | theirs.keys()
    )


@pytest.mark.parametrize("text", [TABLE, NoTable()], ids=["table", "suffix"])
def test_the_whole_tree_is_every_path(model: Any, paths: list[Paths], text: Any) -> None:
    for cell, every in zip(trees(model, ALL, text=text), paths, strict=True):
        expected = every.leaves()
        assert sum(expected.values()) == pytest.approx(1, abs=1e-9)
        assert len(expected) > 100
        assert close(dict(cell.probabilities), expected)
        assert cell.pruned < 1e-9


@pytest.mark.parametrize("text", [TABLE, NoTable()], ids=["table", "suffix"])
@pytest.mark.parametrize(("min_mass", "max_nodes"), [(1e-2, 1000), (0.1, 1000), (1e-4, 3)])
def test_what_is_pruned_bounds_what_is_missing(
    model: Any, paths: list[Paths], text: Any, min_mass: float, max_nodes: int
) -> None:
    for cell, every in zip(trees(model, min_mass, max_nodes, text=text), paths, strict=True):
        missing = {text: p - cell.probabilities.get(text, 0) for text, p in every.leaves().items()}
        assert min(missing.values()) > -1e-6
        assert sum(missing.values()) == pytest.approx(cell.pruned, abs=1e-6)
        assert 0.001 < cell.pruned < 0.9


@pytest.mark.parametrize("budget", [1, 5, 20, 60])
def test_a_budget_buys_what_a_search_from_the_heaviest_on_buys(
    model: Any, paths: list[Paths], budget: int
) -> None:
    """Levels hold a little more than the search, never less."""
    for cell, every in zip(trees(model, ALL, budget), paths, strict=True):
        least = every.best_first(budget)
        assert all(cell.probabilities.get(text, 0) >= p - 1e-6 for text, p in least.items())
        assert budget < cell.nodes <= 1 + budget * (RULE.max_new_tokens - 1)
        assert cell.pruned <= 1 - sum(least.values()) + 1e-6


def test_a_budget_is_for_the_heaviest_of_equal_nodes_too() -> None:
    """A uniform model: all nodes of a level weigh the same, and still the budget holds."""
    flat = tiny(1)
    torch.nn.init.zeros_(flat.lm_head.weight)
    for cell in trees(flat, ALL, 5):
        assert cell.nodes <= 1 + 5 * (RULE.max_new_tokens - 1)
        assert 0 < cell.pruned < 1


@pytest.mark.parametrize("batch_tokens", [1, 40, 200, 1000])
def test_batches_change_nothing(model: Any, batch_tokens: int) -> None:
    """Passes of a row, of some, of all: from the prompts again, or from the level before."""
    for few, all_ in zip(
        trees(model, 1e-3, batch_tokens=batch_tokens), trees(model, 1e-3), strict=True
    ):
        assert few.nodes == all_.nodes
        assert close(dict(few.probabilities), dict(all_.probabilities))
    assert trees(model, 1e-3, batch_tokens=batch_tokens, workers=3) == trees(
        model, 1e-3, batch_tokens=batch_tokens
    )


@pytest.mark.parametrize("pads", [True, False])
@pytest.mark.parametrize("caches", [True, False])
@pytest.mark.parametrize("batch_tokens", [40, 10**6])
def test_models_without_padding_or_cache(
    model: Any, pads: bool, caches: bool, batch_tokens: int
) -> None:
    forward = Forward(model)
    forward.pads, forward.caches = pads, caches
    ours = trees(model, 1e-2, batch_tokens=batch_tokens, forward=forward)
    for one, other in zip(ours, trees(model, 1e-2), strict=True):
        assert close(dict(one.probabilities), dict(other.probabilities))


def test_a_cache_that_cannot_be_copied(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise TypeError("cannot be copied")

    expected = trees(model, 1e-2)
    monkeypatch.setattr(transformers.DynamicCache, "__deepcopy__", refuse, raising=False)
    for one, other in zip(trees(model, 1e-2), expected, strict=True):
        assert close(dict(one.probabilities), dict(other.probabilities))


class _Greedy(Forward):
    """Runs out of memory above some rows x tokens."""

    room = 0

    def run(self, sequences: Any, ids: Any, mask: Any, positions: Any, cache: Any) -> Any:
        if mask.numel() > self.room:
            raise torch.OutOfMemoryError("out of memory")
        return super().run(sequences, ids, mask, positions, cache)


def test_out_of_memory_halves_the_rows(model: Any) -> None:
    forward = _Greedy(model)
    forward.room = 60
    for one, other in zip(trees(model, 1e-2, forward=forward), trees(model, 1e-2), strict=True):
        assert close(dict(one.probabilities), dict(other.probabilities))
    forward.room = 3
    with pytest.raises(torch.OutOfMemoryError):
        trees(model, 1e-2, forward=forward)


def test_drawn_completions_are_of_the_exact_distribution(model: Any) -> None:
    n = 4000
    jobs = [
        Job(i, 0, p, uniforms(5, "model", f"g{i}", n, RULE.max_new_tokens))
        for i, p in enumerate(PROMPTS)
    ]
    said: dict[int, list[str]] = {}
    run_jobs(
        calibrated_forward(model, PROMPTS), jobs, TABLE, RULE, 10**7,
        lambda job, texts: said.__setitem__(job.gene, texts),
    )  # fmt: skip
    for gene, cell in enumerate(trees(model, ALL)):
        kept = collections.Counter(kept_text(text, RULE.chars) for text in said[gene])
        assert chi_square(kept, dict(cell.probabilities)) > 1e-3


def chi_square(counts: collections.Counter[str], probabilities: dict[str, float]) -> float:
    """p-value; alleles expected fewer than 5 times are one."""
    n = counts.total()
    common = {text: p for text, p in probabilities.items() if n * p >= 5}
    rest = 1 - sum(common.values())
    expected = [n * p for p in common.values()]
    seen = [counts[text] for text in common]
    if n * rest >= 5:
        expected.append(n * rest)
        seen.append(n - sum(seen))
    scaled = np.array(expected) * sum(seen) / sum(expected)
    assert len(seen) > 3
    return float(scipy.stats.chisquare(seen, scaled).pvalue)


@pytest.mark.parametrize("text", [TABLE, NoTable()], ids=["table", "suffix"])
@pytest.mark.parametrize("max_nodes", [0, 1, 6, 30])
def test_hybrid_cells_add_up(model: Any, paths: list[Paths], text: Any, max_nodes: int) -> None:
    """What a small tree decides is exact, the rest is drawn from what is left of it."""
    n = 4000
    small = trees(model, 1e-3, max_nodes, text=text)
    for (said, cell), every, tree in zip(
        hybrids(model, n, text=text, max_nodes=max_nodes), paths, small, strict=True
    ):
        assert close(dict(cell.probabilities), dict(tree.probabilities))
        assert cell.nodes == tree.nodes
        if not max_nodes:
            first = {t: p for t, p in every.leaves(first_token_only=True).items() if p >= 1e-4}
            assert close(dict(cell.probabilities), first)
        assert cell.undecided + sum(cell.probabilities.values()) == pytest.approx(1, abs=1e-12)
        assert cell.pruned == 0
        inside = {
            t: (p - cell.probabilities.get(t, 0)) / cell.undecided
            for t, p in every.leaves().items()
        }
        kept = collections.Counter(kept_text(t, RULE.chars) for t in said)
        assert chi_square(kept, inside) > 1e-3


def test_hybrid_draws_are_those_of_the_seed_in_any_batch(model: Any) -> None:
    whole = hybrids(model, 20, max_nodes=5)
    assert whole == hybrids(model, 20, max_nodes=5)
    assert whole != hybrids(model, 20)
    for batch_tokens in (1, 60, 500):
        for (texts, cell), (expected, other) in zip(
            hybrids(model, 20, max_nodes=5, batch_tokens=batch_tokens), whole, strict=True
        ):
            assert texts == expected
            assert close(dict(cell.probabilities), dict(other.probabilities))
            assert cell.undecided == pytest.approx(other.undecided, abs=1e-6)
    assert [texts[:7] for texts, _ in whole] == [
        texts for texts, _ in hybrids(model, 7, max_nodes=5)
    ]


def test_nothing_is_drawn_where_everything_is_decided(model: Any) -> None:
    one = StopRule(3, 1, frozenset({END}), 1.0)
    for said, cell in hybrids(model, 5, min_mass=ALL, stop=one):
        assert said == []
        assert cell.undecided == 0
        assert sum(cell.probabilities.values()) == pytest.approx(1)


@pytest.mark.parametrize("read", [lambda m: trees(m, 1e-3), lambda m: hybrids(m, 3)])
def test_logits_that_are_no_distribution(read: Any) -> None:
    broken = tiny(2)
    torch.nn.init.constant_(broken.lm_head.weight, math.nan)
    with pytest.raises(GeneLogitsError):
        read(broken)


@pytest.mark.parametrize("max_nodes", [0, 3])
def test_numerators_and_self_terms_are_unbiased(max_nodes: int) -> None:
    """Over many hybrid readings of two models, their mean is what all paths give."""
    m, repeats = 3, 700
    truth, cells = [], []
    for seed in (3, 4):
        one = tiny(seed)
        truth.append([_reference.Exact(dict(c.probabilities)) for c in trees(one, ALL)])
        cells.append([])
        for said, cell in hybrids(
            one, m * repeats, min_mass=0.05, key=f"m{seed}", max_nodes=max_nodes
        ):
            assert 0.05 < cell.undecided < 1
            texts = [kept_text(text, RULE.chars) for text in said]
            groups = [collections.Counter(texts[i : i + m]) for i in range(0, len(texts), m)]
            cells[-1].append(
                [_reference.Hybrid(cell.probabilities, g, cell.undecided) for g in groups]
            )
    for gene in range(len(PROMPTS)):
        a, b = cells[0][gene], cells[1][gene]
        exact_a, exact_b = truth[0][gene], truth[1][gene]
        unbiased(
            [float(product(x, y)) for x, y in zip(a, b, strict=True)],
            float(product(exact_a, exact_b)),
        )
        for kind, exact in ((a, exact_a), (b, exact_b)):
            unbiased(
                [float(x.self_term("unbiased")) for x in kind], float(exact.self_term("unbiased"))
            )
            plugin = np.mean([float(x.self_term("plugin")) for x in kind])
            assert plugin > float(exact.self_term("unbiased"))


def product(a: Any, b: Any) -> Any:
    p, q = a.frequencies(), b.frequencies()
    return sum(p[x] * q[x] for x in p.keys() & q.keys())


def unbiased(values: list[float], expected: float) -> None:
    error = np.std(values, ddof=1) / math.sqrt(len(values))
    assert error > 0
    assert abs(np.mean(values) - expected) < 4 * error


@settings(max_examples=60)
@given(
    prefix=st.lists(st.sampled_from(range(len(BYTES))), max_size=3).map(tuple),
    chars=st.integers(1, 5),
    seed=st.integers(0, 10**6),
)
def test_summing_by_text_is_looking_at_each_token(
    prefix: tuple[int, ...], chars: int, seed: int
) -> None:
    stop = StopRule(chars, 4, frozenset({END}), 1.0)
    assume(
        all(finished_text([0], prefix[: i + 1], TABLE, stop) is None for i in range(len(prefix)))
    )
    masses = torch.tensor(np.random.default_rng(seed).dirichlet(np.full(len(BYTES), 0.3))[None])
    results = []
    for text in (TABLE, NoTable()):
        taken = torch.zeros_like(masses, dtype=torch.bool)
        split = Vocabulary(text, stop).split([[0]], [prefix], masses, 0.0, 0.0, taken)
        leaves: collections.Counter[str] = collections.Counter()
        for row, said, mass in split.leaves:
            assert row == 0
            leaves[said] += mass
        results.append((leaves, sorted(split.nodes), taken.tolist()))
    assert results[0][1:] == results[1][1:]
    assert close(dict(results[0][0]), dict(results[1][0]), 1e-12)


@given(st.text(alphabet=" \nabé", max_size=8), st.integers(1, 5))
def test_kept_text_is_all_that_rules_read(said: str, chars: int) -> None:
    kept = kept_text(said, chars)
    assert said.startswith(kept)
    for strip, n in itertools.product([(), (" ",), (" ", "\n")], range(1, chars + 1)):
        long, short = said, kept
        for characters in strip:
            long, short = long.lstrip(characters), short.lstrip(characters)
        assert long[:n] == short[:n]
