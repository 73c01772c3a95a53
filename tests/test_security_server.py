"""Answers of a server that are too long, packed, or nonsense."""

from __future__ import annotations

import contextlib
import gzip
import json
import socket
import threading
import time

import pytest

import pyphylo as pp
from pyphylo.sampling.base import SamplingConfig
from pyphylo.sampling.registry import create_sampler

pytest.importorskip("openai", reason="needs the package openai (pip install 'pyphylo[openai]')")

from stub_server import Stub, serving

from pyphylo.sampling import _ask

GENOME = pp.Genome(["g"], ["One two"])


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(_ask, "_FIRST_PAUSE", 0.01)


def sampled(answer, times=10**9, **options):
    """What a model says whose server gives an answer so often, and is as it should be then."""
    left = [times]

    def fault(server, request):
        left[0] -= 1
        return answer if left[0] >= 0 else None

    with serving(Stub([fault])) as server:
        settings = {"endpoint": "completions", "retries": 2} | options
        sampler = create_sampler("openai", "m", "m", base_url=server.url, **settings)
        population = sampler.sample(GENOME, SamplingConfig(n_probes=2))
        return population.completions, len(server.requests)


NAMED = r"^model 'm': the server http://127\.0\.0\.1:\d+/v1 "
NONSENSE = [b'{"choices": [{"te', b"\xff\xfe{", b"[" * 100_000, b"9" * 5000, b""]


@pytest.mark.parametrize("body", NONSENSE, ids=["half", "no UTF-8", "deep", "long", "empty"])
def test_an_answer_that_is_no_json_is_asked_for_again(body):
    as_json = {"content-type": "application/json"}
    completions, asked = sampled((200, as_json, body), times=2)
    assert (len(completions[0]), asked) == (2, 3)
    with pytest.raises(pp.WorkError, match=r"'m'.*answered with something that is no"):
        sampled((200, as_json, body))


def test_an_answer_cut_off_on_its_way_is_asked_for_again_and_counted():
    whole = json.dumps({"choices": [{"text": " x"}, {"text": " y"}]}).encode()
    as_json = {"content-type": "application/json"}
    with pytest.raises(pp.WorkError, match=NAMED + "answered with something that is no JSON, 2"):
        sampled((200, as_json, whole[:-9]), retries=1)
    with pytest.raises(pp.WorkError, match="max_requests=2 are used up"):
        sampled((200, as_json, whole[:-9]), retries=5, max_requests=2)


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "x"])
def test_an_answer_that_is_packed_is_not_unpacked(encoding):
    bomb = gzip.compress(b" " * 10_000_000)
    with pytest.raises(pp.WorkError, match=NAMED + "answered in the encoding"):
        sampled((200, {"content-encoding": encoding}, bomb), retries=0)


def test_an_answer_without_end_is_given_up(monkeypatch):
    monkeypatch.setattr(_ask, "LARGEST", 1 << 20)
    text = json.dumps({"choices": [{"text": "x" * (1 << 20)}]}).encode()
    with pytest.raises(pp.WorkError, match=NAMED + "gave an answer longer than 1 MiB"):
        sampled((200, {}, text), retries=0)
    with pytest.raises(pp.WorkError, match=NAMED + "gave an answer longer than 1 MiB"):
        sampled((500, {}, text), retries=0)


def test_an_answer_that_drips_is_given_up():
    """Each byte is in time; the whole is not."""

    def drip(listener):
        connection, _ = listener.accept()
        with connection, contextlib.suppress(ConnectionError):  # given up
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(40):
                connection.sendall(b"1\r\n \r\n")
                time.sleep(0.1)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=(listener,))
        dripping.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        sampler = create_sampler("openai", "m", "m", base_url=url, timeout=0.5, retries=0)
        with pytest.raises(pp.WorkError, match=NAMED + r"did not answer within 0\.5 s, 1 times"):
            sampler.sample(GENOME, SamplingConfig(n_probes=2))
        dripping.join()
