"""What sampling tells while it goes on: events, a bar for people, lines for programs.

Every event is a dict of JSON types with the key ``event``. ``docs/checkpoints.md`` lists them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, TextIO

from pyphylo._secrets import hide
from pyphylo._terminal import shown

__all__ = [
    "Event",
    "Listener",
    "ModelReporter",
    "ProgressBar",
    "Reporter",
    "Spent",
    "nothing_spent",
    "write_lines",
]

Event = dict[str, Any]
Listener = Callable[[Event], None]
"""Called with each event, in order, never by two threads at once."""


@dataclass(frozen=True)
class Spent:
    """What requests to a server took.

    Parameters
    ----------
    requests : int
        Answered.
    prompt_tokens, completion_tokens : int
        As the server counts them.
    cost : float or None
        At the prices that the caller gave; None without, or where the server does not count.
    """

    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = 0.0

    def __add__(self, other: Spent) -> Spent:
        known = self.cost is not None and other.cost is not None
        return Spent(
            self.requests + other.requests,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.cost + other.cost if known else None,  # type: ignore[operator]
        )

    def facts(self) -> dict[str, Any]:
        """As JSON types, the cost to a millionth."""
        return {**asdict(self), "cost": None if self.cost is None else round(self.cost, 6)}


def nothing_spent() -> None:
    """What a model that asks no server spends."""


class ModelReporter(Protocol):
    """Who is told what happens to each model: the run itself, or a worker's line to it."""

    def started(
        self,
        name: str,
        tokens: Callable[[], int | None],
        spent: Callable[[], Spent | None] = nothing_spent,
    ) -> None:
        """A model is next; `tokens` tells how many went through it so far, `spent` what it cost."""
        ...

    def advance(self, name: str, genes: int) -> None:
        """Some genes of a model that was started are finished."""
        ...

    def done(self, name: str, shard: str, *, here: bool = True) -> None:
        """A model that was started is stored, by this run or meanwhile by another."""
        ...

    def failed(self, name: str, reason: str) -> None:
        """A model is kept out."""
        ...


class Reporter:
    """Makes events of what the scheduler does, and passes them on.

    Parameters
    ----------
    listeners : iterable of callable
    genes : int
        In the genome.
    interval : float
        Seconds that lie between two ``genes`` events of a model at least; the last
        one of a model always comes.
    """

    def __init__(self, listeners: Iterable[Listener], genes: int, interval: float = 0.5) -> None:
        self._listeners = tuple(listeners)
        self._genes = genes
        self._interval = interval
        self._lock = threading.Lock()
        self._begun = time.monotonic()
        self._models = 0
        self._started = 0
        self._sampled_genes = 0
        self._tokens = 0
        self._spent: Spent | None = None
        self._current: dict[str, _Current] = {}

    def plan(self, names: Sequence[str], **facts: Any) -> None:
        """What will be done."""
        self._models = len(names)
        self._begun = time.monotonic()
        self._tell("plan", to_sample=list(names), genes=self._genes, **facts)

    def started(
        self,
        name: str,
        tokens: Callable[[], int | None],
        spent: Callable[[], Spent | None] = nothing_spent,
    ) -> None:
        """A model is next; `tokens` tells how many went through it so far, `spent` what it cost.

        Several may be under way. One that was is begun again: what it had done is lost.
        """
        lost = self._current.pop(name, None)
        if lost is not None:
            self._sampled_genes -= lost.genes
        else:
            self._started += 1
        index = self._started if lost is None else lost.index
        self._current[name] = _Current(tokens, spent, index)
        self._tell("model_started", model=name, index=index, of=self._models)

    def advance(self, name: str, genes: int) -> None:
        """Some genes of a model that was started are finished."""
        model = self._current.get(name)
        if model is None:
            return
        with self._lock:
            model.genes += genes
            self._sampled_genes += genes
            now = time.monotonic()
            if now - model.told < self._interval and model.genes < self._genes:
                return
            model.told = now
            tokens = model.tokens()
            seconds = max(now - model.begun, 1e-9)
            self._pass_on(
                {
                    "event": "genes",
                    "model": name,
                    "done": model.genes,
                    "of": self._genes,
                    "tokens": tokens,
                    "tokens_per_second": None if tokens is None else round(tokens / seconds, 1),
                    "seconds_left": self._seconds_left(now),
                    "spent": _facts(model.spent()),
                }
            )

    def done(self, name: str, shard: str, *, here: bool = True) -> None:
        """A model that was started is stored, by this run or meanwhile by another."""
        model = self._close(name)
        seconds = round(time.monotonic() - model.begun, 3) if here else 0.0
        tokens = model.tokens() if here else 0
        self._tokens += tokens or 0
        self._tell(
            "model_done",
            model=name,
            shard=shard,
            sampled_here=here,
            seconds=seconds,
            tokens=tokens,
            spent=_facts(model.spent()),
        )

    def failed(self, name: str, reason: str) -> None:
        """A model is kept out."""
        started = name in self._current
        spent = self._close(name).spent() if started else None
        self._tell(
            "model_failed",
            model=name,
            started=started,
            reason=_line(reason),
            spent=_facts(spent),
        )

    def summary(self, failures: Mapping[str, str], **facts: Any) -> None:
        """The end, whether all went well or not."""
        self._tell(
            "summary",
            ok=not failures,
            failed={name: _line(reason) for name, reason in failures.items()},
            seconds=round(time.monotonic() - self._begun, 3),
            tokens=self._tokens,
            spent=_facts(self._spent),
            **facts,
        )

    def _close(self, name: str) -> _Current:
        model = self._current.pop(name)
        # What a failed or skipped model did not do counts as done for the time left.
        self._sampled_genes += self._genes - model.genes
        spent = model.spent()
        if spent is not None:
            self._spent = spent if self._spent is None else self._spent + spent
        return model

    def _seconds_left(self, now: float) -> float | None:
        left = self._models * self._genes - self._sampled_genes
        if not self._sampled_genes:
            return None
        return round((now - self._begun) / self._sampled_genes * left, 1)

    def _tell(self, event: str, **facts: Any) -> None:
        with self._lock:
            self._pass_on({"event": event, **facts})

    def _pass_on(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)


def _line(reason: str) -> str:
    return hide(" ".join(reason.split()))


def _facts(spent: Spent | None) -> dict[str, Any] | None:
    return None if spent is None else spent.facts()


class _Current:
    """A model that is sampled now."""

    def __init__(
        self, tokens: Callable[[], int | None], spent: Callable[[], Spent | None], index: int
    ) -> None:
        self.tokens = tokens
        self.spent = spent
        self.index = index
        self.genes = 0
        self.begun = time.monotonic()
        self.told = 0.0


class ProgressBar:
    """A listener that draws a bar on stderr, on a terminal only."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._genes = 0
        self._finished = 0
        self._under_way: dict[str, int] = {}
        self._spent: dict[str, dict[str, Any]] = {}

    def __call__(self, event: Event) -> None:
        """Draw what an event changes."""
        kind = event["event"]
        if event.get("spent") and "model" in event:
            self._spent[event["model"]] = event["spent"]
        if kind == "plan":
            from tqdm import tqdm

            self._genes = event["genes"]
            total = len(event["to_sample"]) * self._genes
            self._bar = tqdm(total=total, unit="gene", disable=None)
        elif self._bar is None:
            return
        elif kind == "model_started":
            name = shown(event["model"][-40:], "")
            self._bar.set_description(f"{event['index']}/{event['of']} {name}")
            self._under_way[event["model"]] = 0
            self._move()
        elif kind == "genes":
            self._bar.set_postfix_str(", ".join(self._rates(event)), False)
            self._under_way[event["model"]] = event["done"]
            self._move()
        elif kind == "model_done" or (kind == "model_failed" and event["started"]):
            self._finished += 1
            self._under_way.pop(event["model"], None)
            self._move()
        elif kind == "summary":
            self._bar.close()

    def close(self) -> None:
        """Leave the terminal in order when sampling was broken off."""
        if self._bar is not None:
            self._bar.close()

    def _rates(self, event: Event) -> Iterator[str]:
        """How fast the model is, and what all models have cost."""
        if event["tokens_per_second"]:
            yield f"{event['tokens_per_second']:.0f} tokens/s"
        if self._spent:
            yield f"{sum(each['requests'] for each in self._spent.values()):,} requests"
            costs = [each["cost"] for each in self._spent.values()]
            if None not in costs:
                yield f"cost {sum(costs):,.2f}"

    def _move(self) -> None:
        genes = self._finished * self._genes + sum(self._under_way.values())
        self._bar.update(genes - self._bar.n)


def write_lines(stream: TextIO) -> Listener:
    """A listener that writes one JSON object a line, at once."""

    def write(event: Event) -> None:
        stream.write(json.dumps(event, ensure_ascii=True) + "\n")
        stream.flush()

    return write
