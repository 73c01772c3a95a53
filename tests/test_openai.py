"""The openai backend against a server that misbehaves: right counts, right alleles."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pyphylo as pp
from pyphylo.cli import main
from pyphylo.errors import InputError, PyphyloWarning, WorkError
from pyphylo.sampling.base import SamplingConfig
from pyphylo.sampling.registry import create_sampler

pytest.importorskip("openai", reason="needs the package openai (pip install 'pyphylo[openai]')")

import stub_server as stub
from stub_server import Stub, says, serving

from pyphylo.sampling import _ask
from pyphylo.sampling.openai import DEFAULT_INSTRUCTION

GENOME = pp.Genome.default().head(6)
PROBES = 10
KEY = "sk-test-0123456789abcdefXYZ"


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(_ask, "_FIRST_PAUSE", 0.01)


def sampled(server: Stub, folder: Path, models=("m",), **options):
    settings = {"n_probes": PROBES, "backend": "openai", "base_url": server.url} | options
    return pp.sample(models, GENOME, store=folder / "store", **settings)


def texts_of(store, model="m") -> list[list[str]]:
    rows = store.read(model).table.to_pylist()
    return [[r["completion"] for r in rows if r["gene"] == g] for g in range(len(GENOME))]


def expected(n_probes: int = PROBES) -> list[list[str]]:
    return [[says(prompt, draw) for draw in range(n_probes)] for _, prompt in GENOME]


def unfinished(folder: Path) -> Path:
    (path,) = (folder / "store.unfinished").iterdir()
    return path


def prompts_of(genes) -> set[str]:
    return {prompt for gene, prompt in GENOME if gene in set(genes)}


def facts(store, model="m"):
    return store.read(model).facts


# -- faults: the same alleles, whatever the server does --------------------------------------

FAULTS = {
    "none": Stub(),
    "ignores n": Stub(most_choices=1),
    "caps n": Stub(most_choices=3),
    "refuses n": Stub([stub.no_n]),
    "429": Stub([stub.first(2, stub.error(429, "slow down", **{"retry-after": "0.05"}))]),
    "429, no header": Stub([stub.first(3, stub.error(429, "slow down"))]),
    "500 once": Stub([stub.first(1, stub.error(500, "oops"))]),
    "503 as a page": Stub([stub.first(1, (503, {}, b"<html>busy</html>"))]),
    "empty choices": Stub([stub.every_other_empty], most_choices=4),
    "choices null": Stub([stub.first(2, (200, {}, {"model": "m", "choices": None}))]),
    "other length key": Stub([stub.new_length]),
    "-1 for no top-k": Stub([stub.old_top_k]),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("endpoint", ["auto", "chat"])
def test_counts_and_alleles_are_right(fault, endpoint, tmp_path):
    template = FAULTS[fault]
    server = Stub(list(template.faults), most_choices=template.most_choices)
    if "429" in fault or "once" in fault or "503" in fault or "null" in fault:
        # Faults that count their requests belong to one test.
        answer = template.faults[0](template, None) or stub.error(500, "oops")
        server.faults = [stub.first(2, answer)]
    with serving(server):
        store = sampled(server, tmp_path, endpoint=endpoint)
    got = texts_of(store)
    assert [sorted(texts) for texts in got] == [sorted(texts) for texts in expected()]
    assert facts(store)["endpoint"] == ("chat" if endpoint == "chat" else "completions")
    table = pp.AlleleTable.from_store(store)
    rows = [
        ("m", gene, text)
        for (gene, _), texts in zip(GENOME, expected(), strict=True)
        for text in texts
    ]
    assert table == pp.AlleleTable.from_records(rows)
    assert set(table.to_frame()["count"]) == {5, 3, 2}


def test_the_whole_distribution_is_asked_for_in_one_request_a_gene(tmp_path):
    with serving(Stub()) as server:
        store = sampled(server, tmp_path, temperature=0.7, max_new_tokens=3)
    assert len(server.requests) == len(GENOME)
    for request in server.requests:
        seed = request.body.pop("seed")
        assert 0 <= seed < 2**31
        assert request.body == {
            "model": "m", "prompt": request.prompt, "n": PROBES, "temperature": 0.7,
            "max_tokens": 3, "top_p": 1, "top_k": 0, "min_p": 0,
            "repeat_penalty": 1, "repetition_penalty": 1,
        }  # fmt: skip
    assert {r.prompt for r in server.requests} == {prompt for _, prompt in GENOME}
    assert facts(store) == {
        "endpoint": "completions", "instruction": None, "keys_refused": [],
        "served_models": ["m-0613"], "requests": 6, "prompt_tokens": 60,
        "completion_tokens": 300, "choices_without_text": 0,
    }  # fmt: skip


NOT_OPENAI = ["min_p", "repeat_penalty", "repetition_penalty", "top_k"]


@pytest.mark.parametrize(
    ("fault", "dropped"),
    [
        (stub.strict_set, NOT_OPENAI),
        (stub.strict_fastapi, NOT_OPENAI),
        (stub.strict_one_by_one, NOT_OPENAI),
        (stub.strict_silent, NOT_OPENAI),
    ],
)
def test_refused_keys_are_dropped_and_named(fault, dropped, tmp_path):
    with (
        serving(Stub([fault])) as server,
        pytest.warns(PyphyloWarning, match="not take min_p, repeat"),
    ):
        store = sampled(server, tmp_path)
    assert texts_of(store) == expected()
    assert facts(store)["keys_refused"] == dropped
    answered = [r for r in server.requests if not stub.unknown(r)]
    assert len(answered) == len(GENOME)
    # What the first gene learnt, the others knew.
    assert all(r.prompt == GENOME.prompts[0] for r in server.requests if r not in answered)


@pytest.mark.parametrize("known", ["repeat_penalty", "repetition_penalty"])
def test_one_name_of_a_penalty_is_enough(known, tmp_path):
    """A warning would be an error here."""
    other = ({"repeat_penalty", "repetition_penalty"} - {known}).pop()

    def strict(server, request):
        return stub.error(400, f"unknown: {other}") if other in request.body else None

    with serving(Stub([strict])) as server:
        store = sampled(server, tmp_path)
    assert facts(store)["keys_refused"] == [other]
    assert all(request.body[known] == 1 for request in server.requests)


def test_a_greedy_server_is_told_from_a_model(tmp_path):
    with (
        serving(Stub(greedy=True)) as server,
        pytest.warns(PyphyloWarning, match="all 10 probes of every gene agree"),
    ):
        store = sampled(server, tmp_path)
    assert texts_of(store) == [[says(prompt, 0)] * PROBES for _, prompt in GENOME]


@pytest.mark.parametrize("fault", [stub.chat_only_404, stub.chat_only_400, stub.no_such_path])
def test_a_chat_only_model_is_chatted_with(fault, tmp_path):
    with serving(Stub([fault])) as server:
        store = sampled(server, tmp_path)
        again = sampled(server, tmp_path)
    assert texts_of(again) == expected()
    assert [r.path for r in server.requests] == ["/v1/completions"] + ["/v1/chat/completions"] * 6
    (message,) = server.requests[1].body["messages"]
    assert message == {"role": "user", "content": f"{DEFAULT_INSTRUCTION}\n\n{GENOME.prompts[0]}"}
    assert facts(store)["instruction"] == DEFAULT_INSTRUCTION
    assert store.identity("m").tokenization.startswith("chat sha256:")
    with serving(Stub()) as other, pytest.raises(InputError, match="chat sha256"):
        sampled(other, tmp_path, base_url=server.url, instruction="Go on.")
    assert other.requests == []


def test_withheld_text_is_no_allele(tmp_path):
    with serving(Stub(withhold=lambda draw: draw % 5 == 0)) as server:
        store = sampled(server, tmp_path)
    wanted = [[says(prompt, d) for d in range(13) if d % 5] for _, prompt in GENOME]
    assert texts_of(store) == wanted
    assert facts(store)["choices_without_text"] == 3 * len(GENOME)


# -- refusals ---------------------------------------------------------------------------------


def refuses_key(server, request):
    if request.body["model"] == "closed":
        return stub.error(401, f"Incorrect API key provided: {request.key}")
    return None


def test_a_refused_key_keeps_one_model_out(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with (
        serving(Stub([refuses_key])) as server,
        pytest.raises(WorkError, match=r"1 of 2 .* refuses the key in OPENAI_API_KEY \(401\)"),
    ):
        sampled(server, tmp_path, ["closed", "open"])
    assert [r.body["model"] for r in server.requests] == ["closed"] + ["open"] * len(GENOME)
    assert pp.SampleStore.open(tmp_path / "store").models == ("open",)


def test_a_missing_key_is_asked_for(tmp_path):
    with (
        serving(Stub([refuses_key])) as server,
        pytest.raises(WorkError, match="put it into the environment as OPENAI_API_KEY"),
    ):
        sampled(server, tmp_path, ["closed"])
    with pytest.raises(InputError, match="environment variable MY_KEY holds no key"):
        sampled(server, tmp_path, api_key_env="MY_KEY")
    with pytest.raises(InputError, match="environment variable OPENAI_API_KEY holds no key"):
        sampled(server, tmp_path, base_url="https://api.openai.com/v1/")


@pytest.mark.parametrize(
    ("answer", "says_so", "requests"),
    [
        (stub.error(404, "model 'm' not found"), "404: .*'m' not found", 2),
        (stub.error(400, "maximum context length is 8 tokens"), "maximum context length", 4),
        (stub.error(500, "CUDA error"), "500: .*CUDA error.*, 3 times", 3),
        ((429, {}, {"error": {"code": "insufficient_quota", "message": "pay"}}), "429: .*pay", 1),
        (stub.error(429, "later", **{"retry-after": "7200"}), "left for 7200 s", 1),
        (
            stub.error(429, "later", **{"retry-after": "Wed, 21 Oct 2065 07:28:00 GMT"}),
            "left fo",
            1,
        ),
        (stub.error(429, "later", **{"retry-after": "soon"}), "429: .*later, 3 times", 3),
        ((200, {}, b"<html>Welcome</html>"), "no completion", 1),
        ((200, {}, {"choices": []}), "5 times without any text", 5),
    ],
)
def test_what_does_not_pass_is_reported_by_model(answer, says_so, requests, tmp_path):
    with (
        serving(Stub([stub.first(99, answer)])) as server,
        pytest.raises(WorkError, match=f"1 of 1 models .*m: model 'm'.*{says_so}"),
    ):
        sampled(server, tmp_path, retries=2)
    assert len(server.requests) == requests


def test_a_server_that_is_not_there(tmp_path):
    with serving(Stub()) as server:
        pass
    with pytest.raises(WorkError, match=r"cannot be reached .*is base_url .* right"):
        sampled(server, tmp_path, retries=1)


def test_a_server_that_never_answered_is_tried_out_by_one_model_only(tmp_path, capsys):
    with serving(Stub()) as server:
        pass
    begun = time.monotonic()
    with pytest.raises(WorkError, match="3 of 3 models"):
        sampled(server, tmp_path, ["a", "b", "c"], retries=2)
    assert time.monotonic() - begun < 2 * (0.5 + 1.0)
    assert capsys.readouterr().err.count("trying again") == 1


def test_a_host_without_an_address_is_given_up_soon(tmp_path, capsys):
    begun = time.monotonic()
    with pytest.raises(WorkError, match=r"no-such-host\.invalid.* cannot be reached"):
        pp.sample(
            ["m"],
            GENOME,
            store=tmp_path / "s",
            backend="openai",
            base_url="http://no-such-host.invalid/v1",
        )
    assert time.monotonic() - begun < 15  # of more than 20 for a server that may be starting
    assert "trying again" in capsys.readouterr().err


def test_a_server_that_does_not_answer(tmp_path):
    with (
        serving(Stub(delay=0.4)) as server,
        pytest.raises(WorkError, match=r"did not answer within 0.1 s, 2 times"),
    ):
        sampled(server, tmp_path, retries=1, timeout=0.1)


def test_retry_after_holds_for_all_requests(tmp_path):
    busy = stub.error(429, "slow down", **{"retry-after": "0.5"})
    refused: list[float] = []

    def fault(server, request):
        if len(server.requests) == 3:
            refused.append(request.at)
            return busy
        return None

    with serving(Stub([fault], most_choices=2)) as server:
        store = sampled(server, tmp_path, concurrency=2)
    later = sorted(r.at - refused[0] for r in server.requests if r.at > refused[0])
    # One other request may have been under way.
    assert later[1] >= 0.45
    assert texts_of(store) == expected()


@pytest.mark.parametrize(
    "error", [{"message": "upstream\n is overloaded", "code": 502}, "upstream is overloaded"]
)
def test_an_error_under_the_status_200_is_told(error, tmp_path):
    """As gateways put it that have begun to answer before they ask."""
    answer = 200, {}, {"error": error}
    with serving(Stub([stub.first(2, answer)])) as server:
        assert texts_of(sampled(server, tmp_path / "1")) == expected()
        server.faults = [stub.first(99, answer)]
        with pytest.raises(WorkError, match="with an error: upstream is overloaded, 2 times"):
            sampled(server, tmp_path / "2", retries=1)


@pytest.mark.parametrize("year", [1994, 10**20])
def test_a_date_to_come_back_that_is_none_is_passed_over(year, tmp_path):
    date = f"Sun, 06 Nov {year} 08:49:37 GMT"
    with serving(Stub([stub.first(2, stub.error(429, "busy", **{"retry-after": date}))])) as server:
        store = sampled(server, tmp_path)
    assert texts_of(store) == expected()


# -- how often is asked ------------------------------------------------------------------------


def test_concurrency_is_bounded_and_used(tmp_path):
    with serving(Stub(delay=0.03, most_choices=2)) as server:
        sampled(server, tmp_path, concurrency=3)
    assert server.busiest == 3


def test_too_small_a_limit_is_refused_before_the_first_request(tmp_path):
    with (
        serving(Stub()) as server,
        pytest.raises(InputError, match=r"12 requests.*more than max_requests=11"),
    ):
        sampled(server, tmp_path, ["a", "b"], max_requests=11)
    assert server.requests == []


def test_the_limit_holds_for_all_models_of_a_run(tmp_path):
    with serving(Stub(most_choices=1)) as server:
        with pytest.raises(WorkError, match=r"1 of 2 models .*b: max_requests=85 are used up"):
            sampled(server, tmp_path, ["a", "b"], max_requests=85)
        assert len(server.requests) == 85
        store = pp.SampleStore.open(tmp_path / "store")
        assert texts_of(store, "a") == expected()
        # A gene that was finished is not asked again; others were under way with it.
        rows = map(json.loads, unfinished(tmp_path).read_text().splitlines())
        kept = [row["gene"] for row in rows]
        assert 1 <= len(kept) <= 2
        store = sampled(server, tmp_path, ["a", "b"], max_requests=60)
    assert {r.prompt for r in server.requests[85:]} == prompts_of(set(GENOME.genes) - set(kept))
    assert len(server.requests) == 85 + 10 * (6 - len(kept))
    assert facts(store, "b")["requests"] >= 60
    assert not (tmp_path / "store.unfinished").exists()


def test_answers_under_way_when_the_limit_is_reached_are_kept(tmp_path):
    with serving(Stub(most_choices=5, delay=0.2)) as server:
        # Two requests a gene: the first gene, the first half of five others, the second of two.
        with pytest.raises(WorkError, match="max_requests=9 are used up"):
            sampled(server, tmp_path, max_requests=9)
        assert len(server.requests) == 9
        assert len(unfinished(tmp_path).read_text().splitlines()) == 3
        sampled(server, tmp_path, max_requests=6)
    assert len(server.requests) == 15


def test_requests_that_came_to_nothing_do_not_count(tmp_path):
    busy = stub.first(3, stub.error(429, "slow down"))
    with serving(Stub([busy])) as server:
        store = sampled(server, tmp_path, max_requests=len(GENOME))
    assert texts_of(store) == expected()
    assert len(server.requests) == len(GENOME) + 3


def test_the_estimate_comes_first(tmp_path, capsys):
    with serving(Stub(most_choices=1)) as server:
        sampled(server, tmp_path, price_prompt=3.0, price_completion=1000.0, endpoint="completions")
    tokens = sum(-(-len(prompt.encode()) // 3) for _, prompt in GENOME)
    assert capsys.readouterr().err == (
        f"pyphylo: 1 model: 6 requests, about {tokens:,} prompt tokens, at most 300 completion "
        f"tokens, 0.30 at the given prices (up to 60, {10 * tokens:,} prompt tokens, 0.30 where "
        "the server ignores n)\n"
    )
    assert len(server.requests) == 60


def test_seeds_are_of_one_request_each_and_come_again(tmp_path):
    with serving(Stub(most_choices=1)) as server:
        for run, seed in enumerate([0, 0, 1]):
            sampled(server, tmp_path / str(run), ["a", "b"], n_probes=3, seed=seed)
    seeds = [r.body["seed"] for r in server.requests]
    each = 2 * 3 * len(GENOME)
    assert len(seeds) == 3 * each
    assert sorted(seeds[:each]) == sorted(seeds[each : 2 * each])
    assert len(set(seeds)) == 2 * each


def test_choices_limits_what_is_asked_for_at_once(tmp_path):
    with serving(Stub()) as server:
        store = sampled(server, tmp_path, choices=4)
    assert sorted(r.body["n"] for r in server.requests) == [2] * 6 + [4] * 12
    assert texts_of(store) == expected()


# -- resuming, interrupting ----------------------------------------------------------------------


def test_a_stored_model_costs_no_request(tmp_path):
    with serving(Stub()) as server:
        store = sampled(server, tmp_path)
        assert store.identity("m").tokenization == "completions"
        assert store.identity("m").revision == f"m@{server.url}"
        sampled(server, tmp_path)
        sampled(server, tmp_path, endpoint="completions")
    assert len(server.requests) == len(GENOME)
    with pytest.raises(InputError, match="holds model 'm' with revision"):
        sampled(server, tmp_path, base_url="http://127.0.0.1:9/v1")


@pytest.mark.parametrize("endpoint", ["auto", "completions"])
@pytest.mark.parametrize("place", ["footer", "rows", "end"])
def test_a_damaged_shard_is_asked_for_again_and_no_other(endpoint, place, tmp_path):
    with serving(Stub()) as server:
        store = sampled(server, tmp_path, ("m", "n"), endpoint=endpoint)
        shard = Path(store.path) / "shards" / store.shard_name(store.identity("m"))
        whole = shard.read_bytes()
        at = {"footer": -200, "rows": 40, "end": -6}[place]
        damaged = bytearray(whole)
        damaged[at] ^= 1
        shard.write_bytes(damaged)
        with pytest.warns(PyphyloWarning, match="is damaged") as told:
            store = sampled(server, tmp_path, ("m", "n"), endpoint=endpoint)
        assert len(told) == 1
        assert len(server.requests) == 3 * len(GENOME)
    assert store.models == ("m", "n")
    assert shard.read_bytes() == whole
    assert len(list(shard.parent.iterdir())) == 2


def fails_after(genes: int):
    """The server is gone once it has answered for so many genes."""

    def fault(server, request):
        return stub.error(403, "gone") if len(server.given) == genes else None

    return fault


@pytest.mark.parametrize("cut", [0, 10, 10_000])
@pytest.mark.parametrize("faults", [[], [stub.chat_only_404]])
def test_an_unfinished_model_goes_on_where_it_was(faults, cut, tmp_path):
    with serving(Stub([fails_after(4), *faults])) as server:
        with pytest.raises(WorkError, match="403"):
            sampled(server, tmp_path, concurrency=1)
        # A killed process may have left half a line.
        journal = unfinished(tmp_path)
        whole = journal.read_bytes()
        journal.write_bytes(whole[: len(whole) - cut] if cut < len(whole) else b"")
        kept = 4 if cut == 0 else 3 if cut == 10 else 0
        server.faults = list(faults)
        server.requests.clear()
        store = sampled(server, tmp_path, concurrency=1, max_requests=6 - kept)
    # What was cut off was said before and is asked again, so those genes are further on.
    again = [[says(prompt, 10 + draw) for draw in range(PROBES)] for _, prompt in GENOME]
    assert texts_of(store) == expected()[:kept] + again[kept:4] + expected()[4:]
    known_endpoint = kept > 0 or not faults
    assert len(server.requests) == 6 - kept + (not known_endpoint)
    assert facts(store)["requests"] == 6
    assert facts(store)["endpoint"] == ("chat" if faults else "completions")
    assert not journal.parent.exists()


@pytest.mark.parametrize("counted", [-1, 10**30])
def test_whatever_the_server_counts_a_finished_gene_is_kept(counted, tmp_path):
    def miscounts(server, request):
        reply = server.completion(request)
        reply["usage"] = {"prompt_tokens": counted, "completion_tokens": counted}
        return 200, {}, reply

    with serving(Stub([fails_after(4), miscounts])) as server:
        with pytest.raises(WorkError, match="403"):
            sampled(server, tmp_path, concurrency=1)
        del server.faults[0]
        server.requests.clear()
        store = sampled(server, tmp_path, concurrency=1)
    assert len(server.requests) == 2
    assert texts_of(store) == expected()
    assert facts(store)["prompt_tokens"] == 0


def test_a_model_that_another_process_finishes_meanwhile_is_no_failure(tmp_path):
    def finished_elsewhere(server, request):
        if len(server.given) == 4:
            journal = unfinished(tmp_path)
            journal.unlink()
            journal.parent.rmdir()

    with serving(Stub([finished_elsewhere])) as server:
        store = sampled(server, tmp_path, ["m", "after"], concurrency=1)
    assert sorted(store.models) == ["after", "m"]
    assert not (tmp_path / "store.unfinished").exists()


def test_after_a_failure_nothing_new_is_asked(tmp_path):
    def fails_once(server, request):
        return stub.error(403, "gone") if len(server.requests) == 3 else None

    with serving(Stub([fails_once])) as server:
        with pytest.raises(WorkError, match="403"):
            sampled(server, tmp_path, concurrency=1)
        time.sleep(0.2)
        assert len(server.requests) == 3


def test_what_is_unfinished_of_a_store_at_an_address_is_kept_here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    address = f"memory://{tmp_path.name}/store"
    with serving(Stub([fails_after(4)])) as server:
        settings = {"n_probes": PROBES, "backend": "openai", "base_url": server.url}
        with pytest.raises(WorkError, match="403"):
            pp.sample(["m"], GENOME, store=address, concurrency=1, **settings)
        assert len(list((tmp_path / "cache").glob("pyphylo/stores/*/store.unfinished/*"))) == 1
        server.faults = []
        server.requests.clear()
        store = pp.sample(["m"], GENOME, store=address, concurrency=1, **settings)
    assert len(server.requests) == 2
    assert texts_of(store) == expected()
    assert not store.beside(".unfinished").exists()


def test_nothing_is_left_of_a_model_that_never_answered(tmp_path):
    with serving(Stub([fails_after(0)])) as server, pytest.raises(WorkError, match=r"403: .*gone"):
        sampled(server, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["store"]


def test_unfinished_work_of_other_settings_is_not_taken(tmp_path):
    with serving(Stub([fails_after(4)])) as server:
        with pytest.raises(WorkError, match="403"):
            sampled(server, tmp_path / "1")
        server.faults = []
        (tmp_path / "2").mkdir()
        (tmp_path / "1" / "store.unfinished").rename(tmp_path / "2" / "store.unfinished")
        server.given.clear()
        store = sampled(server, tmp_path / "2", seed=1)
    assert texts_of(store) == expected()
    assert facts(store)["requests"] == 6


def test_a_named_server_may_move(tmp_path):
    for _ in range(2):
        with serving(Stub()) as server:
            store = sampled(server, tmp_path, server_name="ours")
    assert server.requests == []
    assert store.identity("m").revision == "m@ours"


def test_an_interrupt_is_clean_and_keeps_what_is_done(tmp_path):
    slow = lambda server, request: time.sleep(0.5) if request.body["model"] == "b" else None  # noqa: E731
    with serving(Stub([slow])) as server:
        argv = [sys.executable, "-m", "pyphylo", "sample", "a", "b", "--store", "store"]
        argv += ["--backend", "openai", "--base-url", server.url, "--probes", "4"]
        process = subprocess.Popen(
            argv,
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None:
            if any(r.body["model"] == "b" for r in server.requests):
                break
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        started = time.monotonic()
        _, err = process.communicate(timeout=30)
        assert time.monotonic() - started < 10
    assert process.returncode == 130
    assert "Traceback" not in err
    assert err.splitlines()[-1].startswith("pyphylo: error: interrupted; what was finished is kept")
    assert pp.SampleStore.open(tmp_path / "store").models == ("a",)


def test_inside_a_running_loop(tmp_path):
    """A notebook has one."""

    async def cell(server):
        return sampled(server, tmp_path)

    with serving(Stub()) as server:
        assert texts_of(asyncio.run(cell(server))) == expected()


def test_modes_that_need_logits_are_refused():
    config = SamplingConfig()
    object.__setattr__(config, "mode", "exact")
    sampler = create_sampler("openai", "m", "m", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(InputError, match="mode 'exact' needs a model's logits"):
        sampler.sample(GENOME, config)


# -- secrets --------------------------------------------------------------------------------------


def test_the_key_is_written_nowhere(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("MY_KEY", KEY)
    heard: list[str] = []

    def talks(server, request):
        heard.append(request.key)
        if request.body["model"] == "closed":
            return stub.error(400, f"bad request with key {request.key}")
        return None

    with serving(Stub([talks])) as server:
        argv = ["sample", "closed", "open", "--store", str(tmp_path / "s"), "--backend", "openai"]
        argv += ["--base-url", server.url, "--api-key-env", "MY_KEY", "--genes", "3"]
        assert main([*argv, "--json"]) == 1
        sampler = create_sampler("openai", "x", "closed", base_url=server.url, api_key_env="MY_KEY")
        with pytest.raises(WorkError, match=r"with key \[key\]") as caught:
            sampler.sample(GENOME, SamplingConfig())
    assert set(heard) == {KEY}
    output = capfd.readouterr()
    seen = [output.out, output.err, str(caught.value), repr(caught.value), repr(sampler)]
    seen += [repr(vars(sampler)), repr(sampler.identity), str(caught.value.__context__)]
    assert "with key [key]" in output.err
    assert all(KEY not in text for text in seen)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 4
    assert all(KEY.encode() not in path.read_bytes() for path in written)
    assert KEY.encode() not in pickle.dumps(sampler)


@pytest.mark.parametrize(
    "url", [f"https://me:{KEY}@host/v1", f"https://host/v1?key={KEY}", f"https://host/v1#{KEY}"]
)
def test_a_base_url_with_a_secret_is_refused_unseen(url, tmp_path):
    with pytest.raises(InputError, match="holds a user, password or query") as caught:
        pp.sample(["m"], GENOME, store=tmp_path / "s", backend="openai", base_url=url)
    assert KEY not in str(caught.value)


def test_a_key_that_no_header_can_hold_is_refused_unseen(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY + "\n\tx")
    with pytest.raises(InputError, match="OPENAI_API_KEY holds something that is no key") as caught:
        pp.sample(["m"], GENOME, store=tmp_path / "s", backend="openai")
    assert KEY not in str(caught.value)


# -- the command line -----------------------------------------------------------------------------


def test_from_the_command_line(tmp_path, monkeypatch, capsys):
    with serving(Stub()) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url + "/")
        argv = ["sample", "first=a", "second=b", "c", "--backend", "openai", "--genes", "4"]
        assert main([*argv, "--store", str(tmp_path / "s"), "--max-requests", "12", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["models"] == [
        "c",
        "first",
        "second",
    ]
    table = pp.AlleleTable.from_store(pp.SampleStore.open(tmp_path / "s"))
    assert table.provenance["models"]["first"] == {
        "name": "first", "revision": f"a@{server.url}", "engine": "openai", "dtype": "unknown",
        "tokenization": "completions",
    }  # fmt: skip


@pytest.mark.parametrize("command", [["sample", "--store"], ["run", "--out"]])
def test_the_estimate_alone(command, tmp_path, monkeypatch, capsys):
    with serving(Stub()) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        argv = [*command, str(tmp_path / "s"), "a", "b", "--backend", "openai", "--genes", "4"]
        assert main([*argv, "--max-requests", "0"]) == 0
        printed = capsys.readouterr()
        assert re.fullmatch(r"2 models: 8 requests, .*; nothing was asked\n", printed.out)
        assert main([*argv, "--max-requests", "0", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["estimate"]["requests"][0] == 8
        assert main([*argv, "--max-requests", "7"]) == 2
        assert "more than max_requests=7" in capsys.readouterr().err
    assert not server.requests
    assert not (tmp_path / "s").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--base-url", "http://x/v1"], "--base-url goes with --backend openai, not hf"),
        (["--backend", "openai", "--dtype", "float16"], "--dtype is the server's affair"),
        (["--backend", "openai", "--no-bos"], "--no-bos is the server's affair"),
        (["--backend", "openai", "--endpoint", "talk"], "unknown endpoint 'talk'"),
        (["--backend", "openai", "--chat", "template"], "a server wraps prompts itself"),
        (["--backend", "openai", "--base-url", "host/v1"], "a base URL is like http://"),
        (["--backend", "openai", "--instruction", " "], "must say something"),
        (["--backend", "openai", "--price-prompt", "-1"], "prices a million tokens"),
        (["--backend", "openai", "--concurrency", "0"], "concurrency must be"),
        (["--backend", "openai", "--max-requests", "-1"], "max_requests must be"),
        (
            ["--backend", "openai", "--base-url", "http://127.0.0.1:9", "--max-requests", "9"],
            "128 requests, about",
        ),
    ],
)
def test_wrong_options_are_refused(options, message, tmp_path, capsys):
    assert main(["sample", "m", "--store", str(tmp_path / "s"), *options]) == 2
    assert message in capsys.readouterr().err
