"""Models that are others with fewer bits, told by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

__all__ = ["quantised_pairs"]

_MARK = re.compile(
    r"[-_.@/](?:gptq|awq|gguf|ggml|exl2|hqq|aqlm|bnb|nf4|fp4|fp8|int[2348]|w\d+a\d+|"
    r"[2-8](?:\.\d+)?-?bits?|i?q[2-8](?:_[0-9a-z]+)*|g(?:32|64|128)|quantized|quantised)$",
    re.IGNORECASE,
)
"""The last part of a name, when it says how weights are stored."""


def quantised_pairs(
    models: Sequence[str], base_models: Mapping[str, str] | None = None
) -> list[tuple[str, str]]:
    """Pairs of models of which one is the other, or both are a third, quantised.

    A name that ends in GPTQ, AWQ, GGUF, Int8, 4bit, Q4_K_M and the like is that of the model
    whose name is what stands before; organisations are not compared, since others publish
    the quantised weights. Where no such model is there, the base model that `base_models` names
    counts, and quantisations of the same model count as the same.

    Parameters
    ----------
    models : sequence of str
    base_models : mapping of str to str, optional
        The declared base of models.

    Returns
    -------
    list of (str, str)
        Pairs as `cross_validate_scores` takes them (`same`).

    Notes
    -----
    O(models) time.
    """
    here = set(models)
    by_stem: dict[str, str] = {}
    for name in models:
        if _stem(name) == _plain(name):
            by_stem.setdefault(_stem(name), name)
    pairs = []
    for name in models:
        stem = _stem(name)
        if stem == _plain(name):
            continue
        base = (base_models or {}).get(name)
        if stem not in by_stem and base in here:
            by_stem[stem] = str(base)
        first = by_stem.setdefault(stem, name)
        if first != name:
            pairs.append((first, name))
    return pairs


def _plain(name: str) -> str:
    return name.replace("__", "/").rpartition("/")[2].casefold()


def _stem(name: str) -> str:
    """The name without organisation and without marks of quantisation."""
    stem = _plain(name)
    while True:
        shorter = _MARK.sub("", stem)
        if shorter == stem or not shorter:
            return stem
        stem = shorter
