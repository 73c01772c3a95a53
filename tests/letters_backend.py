"""A backend without weights: what a model says is fixed by its name, and how it fares by a file.

The file is JSON: ``pause`` (seconds a gene takes), ``fails`` (a reason), ``dies`` (whoever samples
it is killed), ``weights`` (a key; models of one key go together). Each attempt at a model adds a
line with its process to ``FILE.pids``.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np

from pyphylo.errors import WorkError
from pyphylo.genome import Genome
from pyphylo.sampling.base import ModelIdentity, Population, Progress, SamplingConfig
from pyphylo.sampling.streams import uniforms

LETTERS = "abcdefghij"


class LettersSampler:
    def __init__(self, name: str, spec: str, **options: Any) -> None:
        self._path = Path(spec)
        text = self._path.read_bytes()
        self._plan = json.loads(text)
        if "weights" in self._plan:
            self.weights_key = (self._plan["weights"],)
        revision = "sha256:" + hashlib.sha256(text).hexdigest()
        if self._plan.get("differs_by_process"):
            revision = str(os.getpid())
        self.identity = ModelIdentity(name, revision, "letters", "float32")
        self.tokens = 0

    def sample(
        self, genome: Genome, config: SamplingConfig, progress: Progress | None = None
    ) -> Population:
        with self._path.with_name(self._path.name + ".pids").open("a") as handle:
            handle.write(f"{os.getpid()}\n")
        completions = []
        for gene in genome.genes:
            time.sleep(self._plan.get("pause", 0))
            if self._plan.get("dies"):
                os.kill(os.getpid(), signal.SIGKILL)
            if "fails" in self._plan:
                raise WorkError(self._plan["fails"])
            draws = uniforms(config.seed, self.identity.key, gene, config.n_probes, 4)
            letters = (np.asarray(draws) * len(LETTERS)).astype(int)
            completions.append(["".join(LETTERS[i] for i in row) for row in letters])
            self.tokens += letters.size
            if progress is not None:
                progress(1)
        return Population(completions, {"letters": len(LETTERS)})

    def close(self) -> None:
        pass


def attempts(path: Path) -> list[int]:
    """The processes that began to sample a model, in order."""
    file = path.with_name(path.name + ".pids")
    return [int(line) for line in file.read_text().split()] if file.exists() else []
