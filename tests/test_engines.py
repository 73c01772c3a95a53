"""Engines as callers name them, and a reporter that is told of several models at once."""

from __future__ import annotations

import io
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from letters_backend import LettersSampler, attempts
from tqdm import tqdm

import pyphylo as pp
from pyphylo._ray_cluster import _check_reachable
from pyphylo.sampling.events import ProgressBar, Reporter
from pyphylo.sampling.ray_engine import _groups
from pyphylo.sampling.registry import register_backend

GENOME = pp.Genome.default().head(3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    register_backend("letters", "letters_backend:LettersSampler")
    path = tmp_path / "m.json"
    path.write_text("{}")
    return path


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "rai"}, "unknown engine 'rai'; known: 'local', 'ray'"),
        ({"num_gpus": 1}, "num_gpus=1 is an option of engine 'ray', not 'local'"),
        ({"ray_address": "auto"}, "ray_address='auto' is an option of engine 'ray'"),
        ({"engine": "ray", "max_cache_gb": 1.0}, "max_cache_gb bounds the cache of one process"),
    ],
)
def test_what_does_not_go_together_is_refused(model, tmp_path, options, message):
    with pytest.raises(pp.InputError, match=message):
        pp.sample([str(model)], GENOME, store=tmp_path / "s", backend="letters", **options)
    assert attempts(model) == []
    assert not (tmp_path / "s").exists()


def test_without_ray_the_command_that_installs_it_is_told(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(pp.InputError, match=r"pip install 'pyphylo\[ray\]'"):
        pp.sample([str(model)], GENOME, store=tmp_path / "s", backend="letters", engine="ray")
    assert not (tmp_path / "s").exists()


def test_models_of_the_same_weights_go_together_but_for_a_share(tmp_path):
    samplers = []
    for i, weights in enumerate(["u"] * 5 + [None, None] + ["v"] * 3):
        path = tmp_path / f"{i}.json"
        path.write_text(json.dumps({} if weights is None else {"weights": weights}))
        samplers.append(LettersSampler(str(i), str(path)))
    names = [[each.identity.name for each in group] for group in _groups(samplers, 3)]
    assert names == [["0", "1", "2", "3"], ["4"], ["5"], ["6"], ["7", "8", "9"]]
    assert [len(group) for group in _groups(samplers, 100)] == [1] * 10
    assert [len(group) for group in _groups(samplers, 1)] == [5, 1, 1, 3]


def test_several_models_at_once_and_one_begun_again():
    """A bar that never overshoots, a place of its own for each model, one sum of tokens."""
    events: list[dict[str, Any]] = []
    bar = ProgressBar()
    reporter = Reporter([bar, events.append], genes=4, interval=0)
    reporter.plan(["a", "b"])
    bar._bar = tqdm(total=8, file=io.StringIO())  # as on a terminal
    reporter.started("a", lambda: 7)
    reporter.started("b", lambda: 5)
    reporter.advance("b", 3)
    reporter.advance("a", 2)
    assert bar._bar.n == 5
    reporter.started("b", lambda: 6)  # its worker was lost
    assert bar._bar.n == 2
    reporter.advance("b", 1)
    reporter.done("a", "a.parquet")
    assert bar._bar.n == 5
    left = [event["seconds_left"] for event in events if event["event"] == "genes"]
    assert all(seconds is not None and seconds >= 0 for seconds in left)
    reporter.advance("b", 3)
    reporter.done("b", "b.parquet")
    reporter.advance("b", 1)  # too late to count
    assert bar._bar.n == 8
    reporter.summary({})
    started = [(e["model"], e["index"]) for e in events if e["event"] == "model_started"]
    assert started == [("a", 1), ("b", 2), ("b", 2)]
    assert [e["done"] for e in events if e["event"] == "genes"] == [3, 2, 1, 4]
    assert events[-1]["tokens"] == 13


def test_an_address_where_nobody_listens_is_told_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and never listens
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(pp.WorkError, match=f"no Ray cluster at '{address}'"):
            _check_reachable(address)
    for passed_on in ("local", "auto", "ray://127.0.0.1:1"):
        _check_reachable(passed_on)
