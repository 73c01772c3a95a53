"""What every sampling backend speaks: configuration, identity, population, Sampler."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from pyphylo._names import whole_number
from pyphylo.errors import InputError
from pyphylo.genome import Genome

__all__ = [
    "Decided",
    "ModelIdentity",
    "NoSuchModelError",
    "Population",
    "Progress",
    "Sampler",
    "SamplingConfig",
]

MODES = ("sample", "exact", "hybrid")
MIN_MASS = {"exact": 1e-4, "hybrid": 1e-3}
MAX_NODES = {"exact": 256, "hybrid": 16}

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
    mode : {"sample", "exact", "hybrid"}
        How alleles are read: from drawn completions; as probabilities, from the
        tree of tokens; or as the probabilities of what the first tokens and a
        small tree decide, with `n_probes` completions drawn inside the rest. ``"exact"``
        draws nothing: neither `n_probes` nor `seed` is part of its key.
    min_mass : float, optional
        In modes ``"exact"`` and ``"hybrid"``. The least probability of tokens that
        are followed by more; of what they make of the completion, a tenth of it is
        the least that is worked out. What is less likely is pruned, or left to the
        draws. 1e-4 by default, 1e-3 in ``"hybrid"``.
    max_nodes : int, optional
        In modes ``"exact"`` and ``"hybrid"``. A node of a gene's tree, a start of
        completions, is expanded if it is among so many heaviest of those seen up to
        its level; with 0 the first token alone may decide. 256 by default, 16 in
        ``"hybrid"``.
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
    min_mass: float | None = None
    max_nodes: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("n_probes", 1), ("chars", 1), ("max_new_tokens", 1), ("seed", 0)):
            object.__setattr__(self, name, whole_number(getattr(self, name), name, least))
        object.__setattr__(self, "temperature", _positive(self.temperature, "temperature"))
        if self.mode not in MODES:
            known = ", ".join(map(repr, MODES))
            raise InputError(f"unknown mode {self.mode!r}; known: {known}")
        self._settle("min_mass", MIN_MASS)
        self._settle("max_nodes", MAX_NODES)
        if self.min_mass is not None:
            object.__setattr__(self, "min_mass", _positive(self.min_mass, "min_mass"))
            if self.min_mass >= 1:
                raise InputError(f"min_mass must be below 1, not {self.min_mass!r}")
        if self.max_nodes is not None:
            object.__setattr__(self, "max_nodes", whole_number(self.max_nodes, "max_nodes", 0))

    def _settle(self, name: str, defaults: Mapping[str, float]) -> None:
        """Fill in an option that only some modes have; refuse it in the others."""
        given = getattr(self, name)
        if self.mode in defaults:
            object.__setattr__(self, name, defaults[self.mode] if given is None else given)
        elif given is not None:
            modes = " or ".join(defaults)
            raise InputError(f"{name} is an option of mode {modes}, not {self.mode}")

        if self.chat not in ("none", "template"):
            raise InputError(f"unknown chat {self.chat!r}; known: 'none', 'template'")

    def to_dict(self) -> dict[str, Any]:
        """What the result depends on, as JSON types, in a fixed order.

        Without `chat` where prompts are taken as they are: a store of such
        populations says the same as before there was a choice.
        """
        unused = {"n_probes", "seed"} if self.mode == "exact" else set()
        if self.chat == "none":
            unused.add("chat")
        return {
            name: value
            for name, value in asdict(self).items()
            if name not in unused and value is not None
        }


def _positive(value: Any, name: str) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"{name} must be a number above 0, not {value!r}")
    return number


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
class Decided:
    """What logits alone tell of one gene.

    Parameters
    ----------
    probabilities : mapping of str to float
        Of texts, as far as a store's allele rules read them.
    undecided : float
        The mass that the gene's completions were drawn inside; 0 where none were.
    pruned : float
        The mass that was neither worked out nor drawn: how far the probabilities
        of all alleles together may be too small.
    nodes : int
        Sequences of tokens whose logits were computed.
    """

    probabilities: Mapping[str, float]
    undecided: float
    pruned: float
    nodes: int = 1


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
    decided : sequence of Decided, optional
        Of each gene, in modes other than ``"sample"``; the completions of a
        gene are then drawn inside its undecided mass.
    """

    completions: list[list[str]]
    facts: Mapping[str, Any] = field(default_factory=dict)
    decided: Sequence[Decided] | None = None


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
        """Read the alleles of every gene as ``config.mode`` says, loading weights if need be.

        A backend without logits refuses the modes other than ``"sample"``.
        """
        ...

    def close(self) -> None:
        """Free the weights."""
        ...
