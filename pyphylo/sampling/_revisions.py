"""Branches and tags of a hub model that match a pattern."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from pathlib import Path

from pyphylo.errors import InputError, WorkError

__all__ = ["matching_revisions", "natural_key"]

_SHOWN = 8


def natural_key(text: str) -> tuple[tuple[int, str], ...]:
    """Sorts numbers inside names by value: ``step9`` before ``step10``."""
    return tuple(
        (int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", text)
    )


def matching_revisions(spec: str, repo: str, pattern: str) -> list[str]:
    """Names of the branches and tags of `repo` that match, each once.

    Parameters
    ----------
    spec : str
        What was typed, for errors.
    repo : str
        ``org/name``.
    pattern : str
        With ``*``, ``?`` and ``[...]``, none of which a revision's name may
        hold. Letter case counts.

    Raises
    ------
    InputError
        When nothing matches (some that exist are listed), or there is no such
        model, or it is gated.
    WorkError
        When the hub cannot be reached and no revision is in its cache.
    """
    existing, where = _existing(spec, repo)
    found = sorted(name for name in existing if fnmatchcase(name, pattern))
    if found:
        return found
    if not existing:
        raise InputError(f"model pattern {spec!r}: {repo!r} has no branch or tag")
    names = sorted(existing, key=natural_key)
    some = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
    raise InputError(
        f"model pattern {spec!r} matches no revision of {repo!r} {where}: it has {some} "
        f"({len(names)} in all)"
    )


def _existing(spec: str, repo: str) -> tuple[set[str], str]:
    """All revisions, and who said so."""
    from huggingface_hub import list_repo_refs
    from huggingface_hub.errors import GatedRepoError, HFValidationError, RepositoryNotFoundError

    try:
        refs = list_repo_refs(repo)
    except GatedRepoError:
        raise InputError(
            f"model {spec!r} is gated: ask for access on its page and log in with 'hf auth login'"
        ) from None
    except (RepositoryNotFoundError, HFValidationError):
        raise InputError(
            f"model {spec!r}: no such model on the hub (a private one needs 'hf auth login')"
        ) from None
    except Exception as error:
        # Which classes say "no network" depends on the HTTP library underneath.
        cached = _cached(repo)
        if not cached:
            raise WorkError(
                f"model {spec!r}: the hub cannot be reached ({type(error).__name__}) and its "
                f"cache has no revision of {repo!r}: connect, or download the model first"
            ) from None
        return cached, "in the cache (the hub cannot be reached)"
    return {ref.name for ref in (*refs.branches, *refs.tags)}, "on the hub"


def _cached(repo: str) -> set[str]:
    """Revisions of which the cache holds a snapshot."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    refs = folder / "refs"
    return {
        path.relative_to(refs).as_posix()
        for path in refs.rglob("*")
        if path.is_file() and (folder / "snapshots" / path.read_text().strip()).is_dir()
    }
