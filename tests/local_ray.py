"""A Ray cluster of this machine, for the length of a test file."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import pyphylo as pp

PATHS = os.pathsep.join([str(Path(__file__).parent), str(Path(pp.__file__).parents[1])])
"""What its workers import from: the helpers beside the tests, and the package under test."""


@contextlib.contextmanager
def local_cluster() -> Iterator[None]:
    """Two workers' worth of cores."""
    import ray

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PATHS)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray.init(
            address="local",
            num_cpus=2,
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            object_store_memory=100_000_000,
        )
        yield
        ray.shutdown()
