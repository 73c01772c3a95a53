"""Asking a server: patience with a busy one, plain words about one that refuses."""

from __future__ import annotations

import asyncio
import functools
import random
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import openai
from tqdm import tqdm

from pyphylo._secrets import hide_key, hide_key_in_data
from pyphylo.errors import WorkError
from pyphylo.sampling._dialect import Dialect
from pyphylo.sampling._requests import RequestBudget, Usage

__all__ = ["LARGEST", "Asker", "Secret", "Server", "limit_answer"]

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 60.0
_LONGEST_RETRY_AFTER = 900.0
_BUSY = frozenset({408, 409, 425, 429})
LARGEST = 64 << 20
"""Bytes of an answer."""
_QUOTED = 300
"""Characters of a server's own words in an error."""
_MOST_TOKENS = 1 << 32
"""Of one request, to be believed: no journal holds what only grows beyond 63 bits."""


@dataclass(frozen=True)
class Secret:
    """A key from the environment; shows itself to the client only.

    Parameters
    ----------
    value : str
        Empty: there is none.
    variable : str
        Where it came from.
    """

    value: str = field(repr=False)
    variable: str

    def hide(self, text: str) -> str:
        """A message without the key."""
        return hide_key(text, self.value)

    def hide_in_data(self, text: str) -> str:
        """A text that is kept, without the key; left alone by a key that may occur by chance."""
        return hide_key_in_data(text, self.value)


@dataclass(frozen=True)
class Server:
    """Where to ask, for whom, and how patiently.

    Parameters
    ----------
    url : str
        The base URL, without credentials.
    model : str
        As the server calls it.
    secret : Secret
    timeout : float
        Seconds that one request may take.
    retries : int
        Times that a request is made again while the server is busy or cannot be reached.
    """

    url: str
    model: str
    secret: Secret
    timeout: float
    retries: int


class _RefusedAnswerError(WorkError):
    """An answer that is not read; what the server did, to be said of which server."""


async def limit_answer(response: Any) -> None:
    """Hold an answer to `LARGEST` bytes before it is read; a hook of the client.

    Nothing compressed was asked for, and a compressed answer could unpack to anything.
    """
    encoding = response.headers.get("content-encoding", "identity")
    if encoding != "identity":
        raise _RefusedAnswerError(
            f"answered in the encoding {encoding[:40]!r}, which was not asked for"
        )
    # Of httpx or its successor, whichever the client is built on: it takes its own streams only.
    base = next(c for c in type(response.stream).__mro__ if c.__name__ == "AsyncByteStream")
    response.stream = _limited(base)(response.stream)


@functools.cache
def _limited(base: type) -> Any:
    """A kind of stream that ends in an error where it goes on for too long."""

    class Limited(base):  # type: ignore[misc]
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncIterator[bytes]:
            left = LARGEST
            async for part in self._stream:
                left -= len(part)
                if left < 0:
                    raise _RefusedAnswerError(f"gave an answer longer than {LARGEST >> 20} MiB")
                yield part

        async def aclose(self) -> None:
            await self._stream.aclose()

    return Limited


class Asker:
    """One model behind a server.

    Parameters
    ----------
    client : openai.AsyncOpenAI
        Without retries of its own.
    server : Server
    dialect : Dialect
    budget : RequestBudget
    usage : Usage
        Added to.
    """

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        server: Server,
        dialect: Dialect,
        budget: RequestBudget,
        usage: Usage,
    ) -> None:
        self._client = client
        self._server = server
        self._dialect = dialect
        self._budget = budget
        self._not_before = 0.0
        self._reached = False
        self._usage = usage

    async def ask(
        self, prompt: str, n: int, seed: int, temperature: float, max_tokens: int
    ) -> list[str]:
        """At most `n` completions of a prompt; fewer, even none, where the server gives fewer.

        Raises
        ------
        WorkError
            When the server refuses, cannot be reached or answers nonsense.
        """
        while True:
            body = self._dialect.body(prompt, n, seed, temperature, max_tokens)
            try:
                reply = await self._patiently(body)
            except openai.APIStatusError as error:
                reason = error.body if error.body is not None else str(error)
                if self._dialect.gives_way(body, error.status_code, reason):
                    continue
                raise WorkError(self._refusal(error)) from None
            self._dialect.settle()
            return self._texts(reply)[:n]

    async def _patiently(self, body: Mapping[str, Any]) -> object:
        """One request, made again while the server is busy."""
        tries = 0
        problem: str
        while True:
            await self._wait()
            self._budget.take()
            try:
                # The client's own limit is for each part of an answer, not for the whole.
                reply = await asyncio.wait_for(self._send(body), self._server.timeout)
                self._has_answered()
                if (words := _error_in(reply)) is None:
                    return reply
                problem = f"answered with an error: {words}"
                pause = None
            except _RefusedAnswerError as error:
                raise WorkError(self._about(str(error))) from None
            except (ValueError, RecursionError):
                # It answered, and may bill it: not UTF-8, no JSON, or nested without end.
                problem = "answered with something that is no JSON"
                pause = None
            except (asyncio.TimeoutError, openai.APITimeoutError):
                # The server may have done the work, and bill it.
                problem = f"did not answer within {self._server.timeout:g} s"
                pause = None
            except openai.APIConnectionError as error:
                self._budget.give_back()
                problem = f"cannot be reached ({_innermost(error)})"
                pause = None
                if not self._reached:
                    self._first_contact(error, tries)
            except openai.APIStatusError as error:
                self._budget.give_back()
                self._has_answered()
                if not _is_passing(error):
                    raise
                problem = self._said(error)
                pause = _retry_after(error)
            if tries == self._server.retries:
                raise WorkError(self._about(f"{problem}, {tries + 1} times"))
            if pause is not None and pause > _LONGEST_RETRY_AFTER:
                raise WorkError(self._about(f"{problem}, and wants to be left for {pause:.0f} s"))
            tries += 1
            await self._rest(tries, pause)

    def _has_answered(self) -> None:
        self._reached = True
        self._budget.unreachable.discard(self._server.url)

    def _first_contact(self, error: openai.APIConnectionError, tries: int) -> None:
        """A server that never answered is hardly busy: say so, and give up where waiting is vain.

        Raises
        ------
        WorkError
            At once where another model of the run has tried in vain; after a second try where its
            name is not known; after all tries.
        """
        server = self._server
        why = f"cannot be reached ({_innermost(error)})"
        unknown = any(isinstance(each, socket.gaierror) for each in _causes(error))
        allowed = min(server.retries, 1) if unknown else server.retries
        if server.url in self._budget.unreachable or tries >= allowed:
            self._budget.unreachable.add(server.url)
            raise WorkError(
                self._about(f"{why}: is base_url (OPENAI_BASE_URL) right, and does it run?")
            )
        if tries == 0:
            text = server.secret.hide(f"the server {server.url} {why}: trying again")
            tqdm.write(f"pyphylo: {text}", file=sys.stderr)

    async def _wait(self) -> None:
        """Until nobody has been told to wait."""
        while (left := self._not_before - time.monotonic()) > 0:
            await asyncio.sleep(left)

    async def _rest(self, tries: int, pause: float | None) -> None:
        """Before another try: as long as the server says, all requests; else twice as long each."""
        if pause is not None:
            self._not_before = max(self._not_before, time.monotonic() + pause)
            return
        longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** (tries - 1))
        await asyncio.sleep(longest * random.uniform(0.5, 1))

    async def _send(self, body: Mapping[str, Any]) -> object:
        rest = {key: value for key, value in body.items() if key not in ("prompt", "messages")}
        if "messages" in body:
            return await self._client.chat.completions.create(
                model=self._server.model, messages=body["messages"], extra_body=rest
            )
        return await self._client.completions.create(
            model=self._server.model, prompt=body["prompt"], extra_body=rest
        )

    def _texts(self, reply: Any) -> list[str]:
        """The completions of a reply that are text."""
        choices = getattr(reply, "choices", ())
        if choices == () or not isinstance(choices, (list, type(None))):
            raise WorkError(self._about("answered with something that is no completion"))
        self._usage.requests += 1
        hide = self._server.secret.hide_in_data
        usage = getattr(reply, "usage", None)
        prompt, completion = (_count(usage, f"{kind}_tokens") for kind in ("prompt", "completion"))
        self._usage.prompt_tokens += prompt or 0
        self._usage.completion_tokens += completion or 0
        self._usage.uncounted += prompt is None or completion is None
        if isinstance(served := getattr(reply, "model", None), str):
            served = hide(served)
            self._usage.served[served] = self._usage.served.get(served, 0) + 1
        texts = [hide(text) for choice in choices or () if (text := _text(choice)) is not None]
        self._usage.unanswered += len(choices or ()) - len(texts)
        return texts

    # -- words -------------------------------------------------------------------------

    def _refusal(self, error: openai.APIStatusError) -> str:
        secret = self._server.secret
        if error.status_code == 401:
            # What a server says of a wrong key may hold part of it.
            if secret.value:
                return self._about(f"refuses the key in {secret.variable} (401)")
            return self._about(
                f"wants a key (401): put it into the environment as {secret.variable}"
            )
        return self._about(self._said(error))

    def _said(self, error: openai.APIStatusError) -> str:
        words = " ".join(str(error.message).split())
        words = re.sub(rf"^Error code: {error.status_code} - ", "", words)
        return f"answered {error.status_code}: {words[:_QUOTED]}"

    def _about(self, what: str) -> str:
        server = self._server
        return server.secret.hide(f"model {server.model!r}: the server {server.url} {what}")


def _is_passing(error: openai.APIStatusError) -> bool:
    """Whether the same request may well be answered later."""
    status = int(error.status_code)
    if status == 429:
        # No waiting makes a used-up account good.
        return bool(error.code != "insufficient_quota")
    return status in _BUSY or (status >= 500 and status != 501)


def _retry_after(error: openai.APIStatusError) -> float | None:
    """The seconds that the server asks us to wait: a number, or until a date."""
    value = error.response.headers.get("retry-after")
    if value is None:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (OverflowError, TypeError, ValueError):
            return None
    return max(0.0, seconds) if seconds < float("inf") else None


def _error_in(reply: Any) -> str | None:
    """What a gateway says that found out after the status: an error in place of choices."""
    error = getattr(reply, "error", None)
    if not error or getattr(reply, "choices", None):
        return None
    words = error.get("message", error) if isinstance(error, Mapping) else error
    return " ".join(str(words).split())[:_QUOTED]


def _text(choice: Any) -> str | None:
    """A choice's text; None where it was withheld. Empty text is a completion, filtered is not."""
    message = getattr(choice, "message", None)
    text = getattr(choice, "text", None) if message is None else getattr(message, "content", None)
    if not isinstance(text, str):
        return None
    return None if getattr(choice, "finish_reason", None) == "content_filter" else text


def _count(usage: object, key: str) -> int | None:
    """The tokens that a server says it took; None where that is no count of one request's."""
    value = getattr(usage, key, None)
    return value if type(value) is int and 0 <= value <= _MOST_TOKENS else None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, what caused it, what caused that."""
    while error is not None:
        yield error
        error = error.__cause__


def _innermost(error: BaseException) -> str:
    *_, error = _causes(error)
    return str(error) or type(error).__name__
