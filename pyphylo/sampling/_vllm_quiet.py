"""Keeps vLLM off stdout, which may be carrying events, and off the network."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Iterator

__all__ = ["quiet_vllm"]

_SETTINGS = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    # vLLM reports its use to its makers unless told otherwise.
    "VLLM_NO_USAGE_STATS": "1",
}


@contextlib.contextmanager
def quiet_vllm() -> Iterator[None]:
    """Let vLLM and the processes that it starts write to stderr alone, and errors only.

    Settings that the environment has already are left as they are.

    Notes
    -----
    The libraries below vLLM write to the file descriptor, so that is what is turned
    over; a process started meanwhile keeps it so for as long as it lives.
    """
    added = {name: value for name, value in _SETTINGS.items() if name not in os.environ}
    os.environ.update(added)
    sys.stdout.flush()
    kept = os.dup(1)
    try:
        os.dup2(2, 1)
        with warnings.catch_warnings(), contextlib.redirect_stdout(sys.stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
        for name in added:
            os.environ.pop(name, None)
