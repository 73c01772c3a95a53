"""The hub's cache kept within bounds: what this run fetched goes, oldest first.

Invariant: a file that was in the cache when the run began, and the blob behind it, is never
removed, and neither is anything of a model that is still to be sampled.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pyphylo.errors import InputError

__all__ = ["HubCacheBound"]

_Snapshot = tuple[str, str]


class HubCacheBound:
    """A limit on the size of the hub's cache, for one run.

    Parameters
    ----------
    limit_gb : float
        Gigabytes (10^9 bytes) that the whole cache may hold between two models. What was
        there before counts, and stays; while a model is sampled its files are there too.
    cache_dir : path, optional
        huggingface_hub's own, by default.

    Notes
    -----
    To be made before the first file is fetched: what is there then is kept.
    """

    def __init__(self, limit_gb: float, cache_dir: Path | None = None) -> None:
        try:
            limit = float(limit_gb)
        except (TypeError, ValueError):
            limit = -1.0
        if not 0 <= limit < float("inf"):
            raise InputError(f"max_cache_gb must be a number of at least 0, not {limit_gb!r}")
        self._limit = int(limit * 1e9)
        self._cache_dir = cache_dir
        self._fetched: set[_Snapshot] = set()
        self._kept_files: set[Path] = set()
        self._kept_blobs: set[Path] = set()
        self._kept_refs: dict[Path, str] = {}
        for repo in self._scan()[1]:
            for revision in repo.revisions:
                self._kept_files.update(file.file_path for file in revision.files)
                self._kept_blobs.update(file.blob_path for file in revision.files)
                for ref in revision.refs:
                    self._kept_refs[repo.repo_path / "refs" / ref] = revision.commit_hash

    def trim(self, finished: Iterable[_Snapshot], needed: Iterable[_Snapshot]) -> int:
        """Remove finished models until the cache is within its limit.

        Parameters
        ----------
        finished : iterable of (repository, commit)
            What this run has used since the last call.
        needed : iterable of (repository, commit)
            What it will still use.

        Returns
        -------
        int
            Bytes freed.
        """
        self._fetched.update(finished)
        freed = 0
        # Scanned anew for each: what two revisions shared may be one's alone by then.
        while removable := self._fetched.difference(needed):
            size, repos = self._scan()
            found = [
                (revision.last_modified, repo.repo_id, revision.commit_hash, repo, revision)
                for repo in repos
                for revision in repo.revisions
                if (repo.repo_id, revision.commit_hash) in removable
            ]
            if size <= self._limit or not found:
                break
            _, repo_id, commit, repo, revision = min(found, key=lambda entry: entry[:3])
            freed += self._remove(repo, revision)
            self._fetched.discard((repo_id, commit))
        return freed

    def _scan(self) -> tuple[int, list[Any]]:
        """Size of the cache and its model repositories."""
        from huggingface_hub import scan_cache_dir
        from huggingface_hub.errors import CacheNotFound

        try:
            info = scan_cache_dir(self._cache_dir)
        except CacheNotFound:
            return 0, []
        return info.size_on_disk, [repo for repo in info.repos if repo.repo_type == "model"]

    def _remove(self, repo: Any, revision: Any) -> int:
        """Remove the new files of a revision, and blobs that no other file needs."""
        if self._kept_files.isdisjoint(file.file_path for file in revision.files):
            return self._remove_whole(revision.commit_hash)
        new = [file for file in revision.files if file.file_path not in self._kept_files]
        others = {
            file.blob_path
            for other in repo.revisions
            for file in other.files
            if other is not revision or file.file_path in self._kept_files
        }
        freed = 0
        for file in new:
            file.file_path.unlink(missing_ok=True)
            if file.blob_path not in others | self._kept_blobs:
                file.blob_path.unlink(missing_ok=True)
                freed += file.size_on_disk
        return freed

    def _remove_whole(self, commit: str) -> int:
        from huggingface_hub import scan_cache_dir

        strategy = scan_cache_dir(self._cache_dir).delete_revisions(commit)
        strategy.execute()
        for ref, was in self._kept_refs.items():
            if not ref.exists():  # it had moved to what is gone now: back to what is there
                ref.parent.mkdir(parents=True, exist_ok=True)
                ref.write_text(was)
        return int(strategy.expected_freed_size)
