"""What every simulation draws from, and what it calls things."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

__all__ = ["Draws", "allele_texts", "numbered", "zipf"]

_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_LENGTH = 4
"""Digits that suffice: 36^4 is above the last allele."""


class Draws:
    """Numbers drawn from the stream of a key; Philox 4x64 (Salmon et al. 2011).

    Made of raw words, which NumPy keeps the same in all versions, as it does not
    keep its distributions.
    """

    def __init__(self, *key: Any) -> None:
        text = json.dumps(["pyphylo.simulate", *key])
        digest = hashlib.blake2b(text.encode("ascii"), digest_size=16).digest()
        self._words = np.random.Philox(key=np.frombuffer(digest, dtype="<u8").astype(np.uint64))

    def uniform(self, *shape: int) -> NDArray[np.float64]:
        """Multiples of 2^-53 in [0, 1)."""
        words = self._words.random_raw(math.prod(shape))
        numbers: NDArray[np.float64] = (words >> np.uint64(11)).reshape(shape) * 2.0**-53
        return numbers

    def below(self, limit: int, *shape: int) -> NDArray[np.int32]:
        """Whole numbers from 0 to limit - 1."""
        return (self.uniform(*shape) * limit).astype(np.int32)


def zipf(eighths: int, n: int) -> NDArray[np.float64]:
    """Cumulative frequencies of n alleles: rank to the power -(1 + eighths / 8)."""
    rank = np.arange(1.0, n + 1)
    root = np.sqrt(np.sqrt(np.sqrt(rank)))
    power = rank.copy()
    for _ in range(eighths):
        power *= root
    cumulative: NDArray[np.float64] = np.cumsum(1 / power)
    cumulative /= cumulative[-1]
    return cumulative


def allele_texts(codes: NDArray[np.int32]) -> pa.DictionaryArray:
    """Alleles as text: the number's digits to base 36, the least first; at most `_LENGTH`."""
    used = np.flatnonzero(np.bincount(codes))
    place = np.zeros(used[-1] + 1, np.int32)
    place[used] = np.arange(len(used))
    alphabet = np.frombuffer(_DIGITS.encode(), np.uint8)
    base = len(alphabet)
    digits = np.zeros((len(used), _LENGTH), np.uint8)
    for k in range(_LENGTH):
        rest = used // base**k
        digits[:, k] = np.where((rest > 0) | (k == 0), alphabet[rest % base], 0)
    texts = pa.array(digits.view(f"S{_LENGTH}")[:, 0]).cast(pa.large_string())
    return pa.DictionaryArray.from_arrays(pa.array(place[codes]), texts)


def numbered(what: str, n: int) -> list[str]:
    """what-0 to what-(n - 1), padded so that they sort."""
    width = len(str(n - 1))
    return [f"{what}-{i:0{width}}" for i in range(n)]
