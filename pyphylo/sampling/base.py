"""What every sampling backend speaks: configuration, identity, population, Sampler."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pyphylo._names import whole_number
from pyphylo.errors import InputError
from pyphylo.genome import Genome

__all__ = [
    "ModelIdentity",
    "NoSuchModelError",
    "Population",
    "Progress",
    "Sampler",
    "SamplingConfig",
]

Progress = Callable[[int], None]
"""Called with the number of genes finished since the last call."""


class NoSuchModelError(InputError):
    """The call names a model that is not there: a slip, so nothing is sampled before it is fixed.

    A model that is there and cannot be used is an `InputError` or `WorkError`: it is kept
    out, and the others go on.
    """


@dataclass(frozen=True)
class SamplingConfig:
    """How populations are sampled; part of every shard's key.

    Parameters
    ----------
    n_probes : int
        Completions a gene.
    temperature : float
        Divides the logits; 0 is refused (every probe would be the same).
    chars : int
        Characters (code points), after leading spaces and then newlines are
        stripped, at which a completion is long enough.
    max_new_tokens : int
        Tokens at which a completion ends, long enough or not.
    seed : int
        Fixes every random stream.
    mode : {"sample"}
        How alleles are read.
    chat : {"none", "template"}
        ``"none"``: the model goes on from the prompt itself, as in the paper.
        ``"template"``: the prompt is a user's message in the chat template that
        comes with the model's tokenizer, and the allele starts the answer.
    """

    n_probes: int = 32
    temperature: float = 1.0
    chars: int = 4
    max_new_tokens: int = 5
    seed: int = 0
    mode: str = "sample"
    chat: str = "none"

    def __post_init__(self) -> None:
        for name, least in (("n_probes", 1), ("chars", 1), ("max_new_tokens", 1), ("seed", 0)):
            object.__setattr__(self, name, whole_number(getattr(self, name), name, least))
        try:
            temperature = float(self.temperature)
        except (TypeError, ValueError):
            temperature = math.nan
        if not (math.isfinite(temperature) and temperature > 0):
            raise InputError(f"temperature must be a number above 0, not {self.temperature!r}")
        object.__setattr__(self, "temperature", temperature)
        if self.mode != "sample":
            raise InputError(f"unknown mode {self.mode!r}; known: 'sample'")

        if self.chat not in ("none", "template"):
            raise InputError(f"unknown chat {self.chat!r}; known: 'none', 'template'")

    def to_dict(self) -> dict[str, Any]:
        """The configuration as JSON types, in a fixed order.

        Without `chat` where prompts are taken as they are: a store of such
        populations says the same as before there was a choice.
        """
        settings = asdict(self)
        if self.chat == "none":
            del settings["chat"]
        return settings


@dataclass(frozen=True)
class ModelIdentity:
    """Which model this is, so exactly that two different ones never share a shard or a stream.

    Parameters
    ----------
    name : str
        The tip's name, as the caller typed it.
    revision : str
        Commit sha of a hub model, or a content digest of local files.
    engine : str
        The backend's name.
    dtype : str
        The dtype that the weights are computed in, resolved ("float32", not "auto").
    tokenization : str
        How a prompt becomes tokens, as asked for: "auto" (as the tokenizer
        wants it), "bos", "no-bos" or "chat:" and the start of the SHA-256 of the
        chat template that wraps it. What was really put in front is a fact
        recorded with the population.
    """

    name: str
    revision: str
    engine: str
    dtype: str
    tokenization: str = "auto"

    def to_dict(self) -> dict[str, str]:
        """The identity as JSON types, in a fixed order."""
        return asdict(self)

    @property
    def key(self) -> str:
        """SHA-256 (hex) over all fields: keys shards and random streams."""
        text = json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(text.encode("ascii")).hexdigest()


@dataclass(frozen=True)
class Population:
    """What one model said.

    Parameters
    ----------
    completions : list of list of str
        ``completions[g][p]``: all text decoded for gene `g`, probe `p`.
    facts : mapping
        JSON types worth keeping beside it: the first token ids of a prompt,
        whether BOS was added. No times, hosts or paths.
    """

    completions: list[list[str]]
    facts: Mapping[str, Any] = field(default_factory=dict)


class Sampler(Protocol):
    """One model, ready to be sampled.

    Constructing a sampler is cheap: it finds the model and fixes its identity
    but loads no weights, so that a finished shard costs nothing. A model that
    does not exist is refused here, with `NoSuchModelError`.

    A sampler may have, beside what is listed: ``weights_key`` (equal for samplers that
    need the same weights) with ``hand_over(successor)`` (called before `close` on the one
    in front of another); ``read_ahead(stop)`` (called in a thread while the one in front
    is sampled, until the event `stop` is set); ``hub_snapshots`` (repositories and commits
    of the hub that it reads); ``tokens`` (how many went through the model so far).
    """

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        ...

    def sample(
        self, genome: Genome, config: SamplingConfig, progress: Progress | None = None
    ) -> Population:
        """Draw ``config.n_probes`` completions of every gene, loading weights if need be."""
        ...

    def close(self) -> None:
        """Free the weights."""
        ...
