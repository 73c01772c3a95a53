"""Random streams keyed by (seed, model key, gene, probe), never by batch.

Counter-based generators (Philox 4x64, Salmon et al. 2011) make a draw a function
of its key and position alone: neither the order of the work, nor the batch
size, nor the number of probes changes it, and two models never share a stream.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
from numpy.typing import NDArray

__all__ = ["uniforms"]

_BLOCK = 64
"""Draws that one probe takes from one counter block. Part of what a seed means: never change it."""


def uniforms(
    seed: int, model_key: str, gene: str, n_probes: int, n_draws: int
) -> NDArray[np.float64]:
    """Uniform draws in [0, 1) of each probe of a gene.

    Parameters
    ----------
    seed : int
    model_key : str
        `ModelIdentity.key`.
    gene : str
        The gene's identifier.
    n_probes, n_draws : int
        Draw `t` of probe `p` does not depend on either.

    Returns
    -------
    ndarray of float64, shape (n_probes, n_draws)
    """
    text = json.dumps([seed, model_key, gene], ensure_ascii=True)
    digest = hashlib.blake2b(text.encode("ascii"), digest_size=16).digest()
    key = np.frombuffer(digest, dtype="<u8").astype(np.uint64)
    blocks = [
        np.random.Generator(np.random.Philox(key=key, counter=[0, block, 0, 0])).random(
            (n_probes, _BLOCK)
        )
        for block in range(-(-n_draws // _BLOCK))
    ]
    return np.concatenate(blocks, axis=1)[:, :n_draws] if blocks else np.empty((n_probes, 0))
