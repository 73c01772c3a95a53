"""What a server's requests cost is told while they are made: to programs, and to people."""

from __future__ import annotations

import contextlib
import json

import pytest
from tqdm import tqdm

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.sampling.events import ProgressBar, Reporter, Spent
from pyphylo.sampling.scheduler import SamplingError

pytest.importorskip("openai", reason="needs the package openai (pip install 'pyphylo[openai]')")

import stub_server as stub
from stub_server import Stub, serving

from pyphylo.sampling import _ask

GENOME = pp.Genome.default().head(6)
PRICES = {"price_prompt": 3.0, "price_completion": 1000.0}
GENE = {"requests": 1, "prompt_tokens": 10, "completion_tokens": 50}
GENE_COST = (10 * 3 + 50 * 1000) / 1e6


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(_ask, "_FIRST_PAUSE", 0.01)


def sampled(server: Stub, store, models=("m",), **options):
    events: list[dict] = []
    given = {"n_probes": 10, "backend": "openai", "base_url": server.url, "concurrency": 1}
    with contextlib.suppress(SamplingError):
        pp.sample(models, GENOME, store=store, on_event=events.append, **given, **options)
    return events


def spent(genes: int, cost: float | None) -> dict:
    return {**{key: genes * value for key, value in GENE.items()}, "cost": cost}


def of_kind(events: list[dict], kind: str) -> list[dict]:
    return [event for event in events if event["event"] == kind]


def test_every_event_has_the_bill_so_far(tmp_path):
    with serving(Stub(delay=0.1)) as server:
        events = sampled(server, tmp_path / "s", ["a", "b"], **PRICES)
    genes = of_kind(events, "genes")
    assert {event["model"] for event in genes} == {"a", "b"}
    assert any(event["done"] < len(GENOME) for event in genes)
    for event in genes:
        cost = round(event["done"] * GENE_COST, 6)
        assert event["spent"] == spent(event["done"], pytest.approx(cost))
        assert event["tokens"] == 60 * event["done"]
    whole = spent(6, pytest.approx(6 * GENE_COST))
    assert [event["spent"] for event in of_kind(events, "model_done")] == [whole, whole]
    (summary,) = of_kind(events, "summary")
    assert summary["spent"] == spent(12, pytest.approx(12 * GENE_COST))
    assert summary["tokens"] == 12 * 60


def test_the_plan_holds_the_estimate(tmp_path):
    with serving(Stub()) as server:
        priced = sampled(server, tmp_path / "1", **PRICES)[0]["estimate"]
        unpriced = sampled(server, tmp_path / "2")[0]["estimate"]
        stored = sampled(server, tmp_path / "2")[0]["estimate"]
    assert priced["requests"] == [6, 60]
    assert priced["completion_tokens"] == 6 * 10 * 5
    assert priced["prompt_tokens"][1] == 10 * priced["prompt_tokens"][0]
    assert priced["cost"] == pytest.approx(
        [tokens * 3e-6 + 0.3 for tokens in priced["prompt_tokens"]]
    )
    assert unpriced == {**priced, "cost": None}
    assert stored is None


def test_without_prices_the_cost_is_unknown(tmp_path):
    with serving(Stub()) as server:
        events = sampled(server, tmp_path / "s")
    assert events[-1]["spent"] == spent(6, None)


def test_a_server_that_does_not_count_leaves_the_cost_unknown(tmp_path):
    def silent(server, request):
        status, headers, reply = 200, {}, server.completion(request)
        del reply["usage"]
        return status, headers, reply

    with serving(Stub([silent])) as server:
        events = sampled(server, tmp_path / "s", **PRICES)
    expected = {"requests": 6, "prompt_tokens": 0, "completion_tokens": 0, "cost": None}
    assert events[-1]["spent"] == expected
    assert of_kind(events, "model_done")[0]["tokens"] is None


def test_a_model_that_fails_is_billed_and_what_was_paid_before_is_not_billed_again(tmp_path):
    def refuses(server, request):
        return stub.error(403, "no more") if len(server.requests) > 4 else None

    with serving(Stub([refuses])) as server:
        events = sampled(server, tmp_path / "s", **PRICES)
        (failed,) = of_kind(events, "model_failed")
        assert failed["spent"] == events[-1]["spent"] == spent(4, pytest.approx(4 * GENE_COST))
        server.faults.clear()
        events = sampled(server, tmp_path / "s", **PRICES)
    assert events[0]["estimate"]["requests"] == [2, 20]
    assert events[-1]["spent"] == spent(2, pytest.approx(2 * GENE_COST))
    assert pp.SampleStore.open(tmp_path / "s").read("m").facts["requests"] == 6


def test_the_command_streams_it(tmp_path, capsys):
    with serving(Stub()) as server:
        arguments = ["sample", "m", "--store", str(tmp_path / "s"), "--backend", "openai"]
        arguments += ["--base-url", server.url, "--genes", "6", "--probes", "10", "--json"]
        assert main([*arguments, "--price-prompt", "3", "--price-completion", "1000"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[-1]["spent"] == spent(6, pytest.approx(6 * GENE_COST))


def test_the_bar_shows_what_all_models_cost(monkeypatch):
    shown: list[str] = []
    monkeypatch.setattr(tqdm, "set_postfix_str", lambda self, text, refresh: shown.append(text))
    reporter = Reporter([ProgressBar()], genes=2, interval=0)
    reporter.plan(["a", "b", "c"])
    for name, cost in (("a", 1.5), ("b", 2.25), ("c", None)):
        reporter.started(name, lambda: None, lambda cost=cost: Spent(700, 5, 5, cost))
        reporter.advance(name, 2)
        reporter.done(name, "shard")
    assert shown == ["700 requests, cost 1.50", "1,400 requests, cost 3.75", "2,100 requests"]
