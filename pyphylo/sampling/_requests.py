"""Requests to servers, counted and priced before the first and limited while they are made."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tqdm import tqdm

from pyphylo.errors import InputError, WorkError
from pyphylo.genome import Genome
from pyphylo.sampling.base import ModelIdentity, SamplingConfig
from pyphylo.sampling.events import Spent

__all__ = [
    "BudgetSpentError",
    "Estimate",
    "Prices",
    "RequestBudget",
    "RequestSampler",
    "Usage",
    "announce_requests",
    "check_requests",
]

_BYTES_PER_TOKEN = 3
"""Of UTF-8 in a prompt; English has more, so prompts come out rather too dear."""


@dataclass(frozen=True)
class Prices:
    """What a provider asks for a million tokens, in any currency.

    Parameters
    ----------
    prompt, completion : float
    """

    prompt: float
    completion: float

    def of(self, prompt_tokens: int, completion_tokens: int) -> float:
        """The price of so many tokens."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


@dataclass(frozen=True)
class Estimate:
    """What sampling will take: ``least`` where the server honours `n`, ``most`` where it does not.

    Parameters
    ----------
    requests, prompt_tokens : tuple of int
        (least, most).
    completion_tokens : int
        At most; the same in both cases.
    """

    requests: tuple[int, int] = (0, 0)
    prompt_tokens: tuple[int, int] = (0, 0)
    completion_tokens: int = 0

    @classmethod
    def of(
        cls, prompts: Sequence[str], config: SamplingConfig, added_bytes: int, choices: int | None
    ) -> Estimate:
        """The estimate for one model.

        Parameters
        ----------
        prompts : sequence of str
        config : SamplingConfig
        added_bytes : int
            What goes with every prompt (the instruction of a chat).
        choices : int, optional
            The most completions that one request asks for.
        """
        sizes = [len(prompt.encode("utf-8", "replace")) for prompt in prompts]
        tokens = sum(-(-(size + added_bytes) // _BYTES_PER_TOKEN) for size in sizes)
        at_once = min(config.n_probes, choices or config.n_probes)
        rounds = -(-config.n_probes // at_once)
        return cls(
            requests=(len(prompts) * rounds, len(prompts) * config.n_probes),
            prompt_tokens=(tokens * rounds, tokens * config.n_probes),
            completion_tokens=len(prompts) * config.n_probes * config.max_new_tokens,
        )

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            (self.requests[0] + other.requests[0], self.requests[1] + other.requests[1]),
            (
                self.prompt_tokens[0] + other.prompt_tokens[0],
                self.prompt_tokens[1] + other.prompt_tokens[1],
            ),
            self.completion_tokens + other.completion_tokens,
        )

    def facts(self, prices: Prices | None) -> dict[str, Any]:
        """The estimate as JSON types: pairs are (least, most)."""
        costs = None
        if prices is not None:
            costs = [prices.of(tokens, self.completion_tokens) for tokens in self.prompt_tokens]
        return {
            "requests": list(self.requests),
            "prompt_tokens": list(self.prompt_tokens),
            "completion_tokens": self.completion_tokens,
            "cost": costs,
        }

    def text(self, prices: Prices | None) -> str:
        """The estimate in one line."""
        parts = [
            f"{self.requests[0]:,} requests",
            f"about {self.prompt_tokens[0]:,} prompt tokens",
            f"at most {self.completion_tokens:,} completion tokens",
        ]
        worst = [f"{self.requests[1]:,}", f"{self.prompt_tokens[1]:,} prompt tokens"]
        if prices is not None:
            least, most = (
                prices.of(tokens, self.completion_tokens) for tokens in self.prompt_tokens
            )
            parts.append(f"{least:,.2f} at the given prices")
            worst.append(f"{most:,.2f}")
        line = ", ".join(parts)
        if self.requests[0] < self.requests[1]:
            line += f" (up to {', '.join(worst)} where the server ignores n)"
        return line


@dataclass
class Usage:
    """What a model's requests came to.

    Attributes
    ----------
    requests : int
        Answered.
    prompt_tokens, completion_tokens : int
        As the server counts them; 0 where it does not.
    served : dict of str to int
        Requests by the model that the server says it was.
    unanswered : int
        Choices that held no text (filtered, refused).
    uncounted : int
        Answered requests whose tokens the server did not tell.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    served: dict[str, int] = field(default_factory=dict)
    unanswered: int = 0
    uncounted: int = 0

    def since(self, earlier: Usage, prices: Prices | None) -> Spent:
        """What came to it after an earlier state."""
        prompt = self.prompt_tokens - earlier.prompt_tokens
        completion = self.completion_tokens - earlier.completion_tokens
        told = self.uncounted == earlier.uncounted
        return Spent(
            self.requests - earlier.requests,
            prompt,
            completion,
            prices.of(prompt, completion) if told and prices is not None else None,
        )


class BudgetSpentError(WorkError):
    """No request may be made any more; those under way are paid for."""


class RequestBudget:
    """The requests that may still be made; shared by the models of a run.

    Parameters
    ----------
    limit : int, optional
        None: as many as it takes.
    """

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.used = 0
        self.unreachable: set[str] = set()
        """Servers that no model of the run has reached, however often it tried."""

    def take(self) -> None:
        """Count one request.

        Raises
        ------
        BudgetSpentError
            When there is none left; the limit and the option that raises it are named.
        """
        if self.limit is not None and self.used >= self.limit:
            raise BudgetSpentError(
                f"max_requests={self.limit} are used up: raise it and run the same command again; "
                "finished models are kept"
            )
        self.used += 1

    def give_back(self) -> None:
        """The last request came to nothing and is not billed."""
        self.used -= 1


@runtime_checkable
class RequestSampler(Protocol):
    """A sampler that asks a server, so that what it asks can be counted, priced and limited."""

    @property
    def max_requests(self) -> int | None:
        """The most requests that the run may make, all its models together."""
        ...

    @property
    def prices(self) -> Prices | None:
        """What tokens cost, where the caller said so."""
        ...

    @property
    def spent(self) -> Spent:
        """What was asked in this run so far."""
        ...

    def estimate(self, genome: Genome, config: SamplingConfig) -> Estimate:
        """What sampling will take."""
        ...

    def recognise(self, stored: ModelIdentity) -> None:
        """Take the identity of a stored model where it is this one's, settled by an answer."""
        ...

    def keep_in(self, folder: Path) -> None:
        """Keep finished genes of unfinished models there."""
        ...

    def share(self, budget: RequestBudget) -> None:
        """Count requests with those of other samplers."""
        ...


class EstimateOnlyError(InputError):
    """Nothing may be asked: the text is the estimate, as are the facts."""

    def __init__(self, text: str, facts: dict[str, Any]) -> None:
        super().__init__(text)
        self.facts = facts


def check_requests(
    samplers: Iterable[object], genome: Genome, config: SamplingConfig
) -> tuple[Estimate, str]:
    """What the models behind servers will cost, and that in words.

    Raises
    ------
    InputError
        When even servers that honour `n` would be asked more often than allowed,
        or the configuration is nothing that a server can do.
    EstimateOnlyError
        When nothing may be asked.
    """
    asking = [sampler for sampler in samplers if isinstance(sampler, RequestSampler)]
    total = sum((sampler.estimate(genome, config) for sampler in asking), Estimate())
    if not asking:
        return total, ""
    models = "1 model" if len(asking) == 1 else f"{len(asking)} models"
    line = f"{models}: {total.text(asking[0].prices)}"
    limit = asking[0].max_requests
    if limit is not None and total.requests[0] > limit:
        if limit == 0:
            raise EstimateOnlyError(line, total.facts(asking[0].prices))
        raise InputError(f"{line}; more than max_requests={limit}")
    return total, line


def announce_requests(
    samplers: Iterable[object], genome: Genome, config: SamplingConfig, unfinished: Path
) -> dict[str, Any] | None:
    """Say on stderr what the models behind servers will cost, and put them on one budget.

    Models that need no server are passed over. What they have when they are cut short is
    kept in the folder `unfinished`.

    Returns
    -------
    dict or None
        The estimate as `Estimate.facts` has it; None where no model needs a server.

    Raises
    ------
    InputError
        As `check_requests` does, which see.
    """
    asking = [sampler for sampler in samplers if isinstance(sampler, RequestSampler)]
    if not asking:
        return None
    for sampler in asking:
        sampler.keep_in(unfinished)
    total, line = check_requests(asking, genome, config)
    tqdm.write(f"pyphylo: {line}", file=sys.stderr)
    budget = RequestBudget(asking[0].max_requests)
    for sampler in asking:
        sampler.share(budget)
    return total.facts(asking[0].prices)
