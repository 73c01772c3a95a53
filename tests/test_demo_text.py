"""The text that the demo's models learn from."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys

import pytest

from pyphylo.demo import text
from pyphylo.demo.plan import FAMILIES
from pyphylo.errors import WorkError

DIGEST = """
import hashlib, json, sys
from pyphylo.demo.text import KINDS, passages
print(hashlib.sha256(json.dumps([passages(kind) for kind in sorted(KINDS)]).encode()).hexdigest())
"""


@pytest.fixture(scope="module")
def kinds() -> dict[str, list[str]]:
    return {kind: text.passages(kind) for kind in text.KINDS}


def test_every_branch_of_the_tree_has_a_kind_of_its_own() -> None:
    used = [kind for stem, branches in FAMILIES.values() for kind in (stem, *branches)]
    assert len(used) == len(set(used))
    assert set(used) <= set(text.KINDS)


def test_no_kind_has_a_passage_twice(kinds: dict[str, list[str]]) -> None:
    for kind, passages in kinds.items():
        assert len(set(passages)) == len(passages), kind


def test_no_two_kinds_share_text(kinds: dict[str, list[str]]) -> None:
    """Of one kind's long lines, next to none occurs in another."""
    lines = {
        kind: {line.strip() for passage in passages for line in passage.split("\n")}
        for kind, passages in kinds.items()
    }
    long = {kind: {line for line in found if len(line) >= 24} for kind, found in lines.items()}
    assert sum(map(len, long.values())) > 10_000
    for one, other in itertools.combinations(long, 2):
        shared = long[one] & long[other]
        assert len(shared) <= 5, (one, other, sorted(shared))


def test_no_module_is_read_for_two_kinds() -> None:
    modules = [module for names in text._MODULES.values() for module in names]
    assert len(modules) == len(set(modules))


def test_passages_end_with_lines(kinds: dict[str, list[str]]) -> None:
    for kind, passages in kinds.items():
        assert all(passage.endswith("\n") for passage in passages), kind
        assert min(map(len, passages)) >= text.PASSAGE_CHARACTERS


def test_text_is_the_same_in_every_process() -> None:
    """Neither hash seeds nor modules that happen to be imported change it."""
    digests = {
        subprocess.run(
            [sys.executable, "-c", prelude + DIGEST],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, prelude in (("1", ""), ("2", "import asyncio, ctypes, decimal, unittest\n"))
    }
    assert len(digests) == 1


def test_a_python_without_sources_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    with pytest.raises(WorkError, match=r"0 characters of the text 'source'.*standard library"):
        text.passages("source")
