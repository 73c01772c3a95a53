"""The bound on the hub's cache, on folders laid out as the hub's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pyphylo.errors import InputError
from pyphylo.sampling._hub_cache import HubCacheBound

MB = 10**6


class Cache:
    """A cache in which files are put as huggingface_hub puts them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.clock = 1_700_000_000

    def fetch(self, repo: str, commit: str, blobs: dict[str, str], ref: str = "") -> None:
        """Files of a revision by name: each a megabyte of its letter, linked to its blob."""
        folder = self.root / f"models--{repo.replace('/', '--')}"
        snapshot = folder / "snapshots" / full(commit)
        for part in (folder / "blobs", folder / "refs", snapshot):
            part.mkdir(parents=True, exist_ok=True)
        for name, letter in blobs.items():
            blob = folder / "blobs" / (letter * 40)
            if not blob.exists():
                self.clock += 10
                blob.write_bytes(letter.encode() * MB)
                os.utime(blob, (self.clock, self.clock))
            if not (snapshot / name).exists():
                (snapshot / name).symlink_to(Path("../../blobs") / blob.name)
        if ref:
            (folder / "refs" / ref).write_text(full(commit))

    def files(self) -> set[str]:
        """What can be read: repository, first letter of the commit, name."""
        return {
            f"{path.parts[-4][8:]}@{path.parts[-2][0]}/{path.name}"
            for path in self.root.glob("models--*/snapshots/*/*")
            if path.exists()
        }

    def blobs(self) -> set[str]:
        return {path.name[0] for path in self.root.glob("models--*/blobs/*")}


def full(commit: str) -> str:
    return commit * 40


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    (tmp_path / "hub").mkdir()
    return Cache(tmp_path / "hub")


def used(*commits: str, repo: str = "o/m") -> list[tuple[str, str]]:
    return [(repo, full(commit)) for commit in commits]


def test_the_oldest_goes_first_and_no_more_than_needed(cache):
    bound = HubCacheBound(0.0025, cache.root)
    for commit, letter in (("1", "a"), ("2", "b"), ("3", "c")):
        cache.fetch("o/m", commit, {"model.safetensors": letter})
        freed = bound.trim(used(commit), [])
        assert freed == (MB if commit == "3" else 0)
    assert cache.files() == {"o--m@2/model.safetensors", "o--m@3/model.safetensors"}
    assert cache.blobs() == {"b", "c"}


def test_what_was_there_before_stays(cache):
    """Even alone above the limit, and where the run used it."""
    cache.fetch("o/m", "1", {"model.safetensors": "a"}, ref="main")
    bound = HubCacheBound(0, cache.root)
    assert bound.trim(used("1"), []) == 0
    cache.fetch("o/m", "2", {"model.safetensors": "b", "config.json": "a"}, ref="main")
    assert bound.trim(used("2"), []) == MB
    assert cache.files() == {"o--m@1/model.safetensors"}
    assert cache.blobs() == {"a"}
    assert (cache.root / "models--o--m" / "refs" / "main").read_text() == full("1")


def test_a_revision_of_which_a_part_was_there_loses_the_new_part(cache):
    """A run that was killed, or only looked, left configs: weights fetched now are ours."""
    cache.fetch("o/m", "1", {"config.json": "a"})
    cache.fetch("o/m", "2", {"config.json": "a", "shared": "s"})
    bound = HubCacheBound(0, cache.root)
    cache.fetch("o/m", "1", {"model.safetensors": "b", "again": "a", "shared": "s"})
    assert bound.trim(used("1"), []) == MB
    assert cache.files() == {"o--m@1/config.json", "o--m@2/config.json", "o--m@2/shared"}
    assert cache.blobs() == {"a", "s"}


def test_what_is_still_needed_stays_until_it_is_not(cache):
    bound = HubCacheBound(0, cache.root)
    cache.fetch("o/base", "1", {"model.safetensors": "a"})
    cache.fetch("o/m", "2", {"adapter_model.safetensors": "b"})
    base = used("1", repo="o/base")
    assert bound.trim([*base, *used("2")], base) == MB
    assert cache.files() == {"o--base@1/model.safetensors"}
    assert bound.trim([], []) == MB
    assert cache.files() == set()


def test_what_another_process_fetched_stays(cache):
    bound = HubCacheBound(0, cache.root)
    cache.fetch("o/m", "1", {"model.safetensors": "a"})
    cache.fetch("o/other", "2", {"model.safetensors": "b"})
    assert bound.trim(used("1"), []) == MB
    assert cache.files() == {"o--other@2/model.safetensors"}


def test_blobs_that_revisions_share_go_with_the_last(cache):
    bound = HubCacheBound(0, cache.root)
    cache.fetch("o/m", "1", {"model.safetensors": "a", "tokenizer.json": "t"})
    cache.fetch("o/m", "2", {"model.safetensors": "b", "tokenizer.json": "t"})
    assert bound.trim(used("1"), used("2")) == MB
    assert cache.blobs() == {"b", "t"}
    assert bound.trim(used("2"), []) == 2 * MB
    assert cache.blobs() == set()


def test_a_cache_that_is_not_there_yet(tmp_path):
    bound = HubCacheBound(1, tmp_path / "none")
    assert bound.trim(used("1"), []) == 0


@pytest.mark.parametrize("limit", [-1, float("nan"), float("inf"), "much", None])
def test_limits_that_are_none(limit, tmp_path):
    with pytest.raises(InputError, match="max_cache_gb must be a number of at least 0, not"):
        HubCacheBound(limit, tmp_path)
