"""An OpenAI-compatible server on loopback that misbehaves in the ways that real ones do.

What it says is known: completions of a prompt come round a list of their own, so that
whatever was asked in however many requests, the texts that must come out can be told.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KNOWN_KEYS = {
    "model", "prompt", "messages", "max_tokens", "temperature", "top_p", "n", "seed", "stream",
}  # fmt: skip


def says(prompt: str, draw: int) -> str:
    """The text of the `draw`-th completion of a prompt: one of three, one of them every other."""
    return f" {'abac'[draw % 4]}{len(prompt)}{prompt[-3:]} and so on"


@dataclass
class Request:
    path: str
    body: dict[str, Any]
    key: str | None
    at: float

    @property
    def prompt(self) -> str:
        if "messages" in self.body:
            return self.body["messages"][0]["content"].partition("\n\n")[2]
        return self.body["prompt"]


Answer = tuple[int, dict[str, str], Any]
Fault = Callable[["Stub", Request], "Answer | None"]


@dataclass
class Stub:
    """What the server does; a fault returns an answer of its own, or None to let it pass."""

    faults: list[Fault] = field(default_factory=list)
    most_choices: int | None = None
    greedy: bool = False
    withhold: Callable[[int], bool] = lambda draw: False
    delay: float = 0.0
    url: str = ""
    requests: list[Request] = field(default_factory=list)
    given: Counter[str] = field(default_factory=Counter)
    busy: int = 0
    busiest: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: Request) -> Answer:
        with self.lock:
            self.requests.append(request)
            for fault in self.faults:
                if (own := fault(self, request)) is not None:
                    return own
            return 200, {}, self.completion(request)

    def completion(self, request: Request) -> Any:
        n = request.body.get("n", 1)
        if self.most_choices is not None:
            n = min(n, self.most_choices)
        chat = "messages" in request.body
        choices = []
        for _ in range(n):
            draw = self.given[request.prompt]
            self.given[request.prompt] += 1
            text = says(request.prompt, 0 if self.greedy else draw)
            content = None if self.withhold(draw) else text
            choice = {"message": {"role": "assistant", "content": content}}
            choices.append(choice if chat else {"text": content})
        usage = {"prompt_tokens": 10, "completion_tokens": 5 * n, "total_tokens": 10 + 5 * n}
        return {"model": request.body["model"] + "-0613", "choices": choices, "usage": usage}


@contextmanager
def serving(stub: Stub) -> Iterator[Stub]:
    """The stub's server, for as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            with stub.lock:
                stub.busy += 1
                stub.busiest = max(stub.busiest, stub.busy)
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            key = (self.headers["authorization"] or "").removeprefix("Bearer ")
            status, headers, reply = stub.answer(Request(self.path, body, key, time.monotonic()))
            time.sleep(stub.delay)
            with stub.lock:
                stub.busy -= 1
            data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
            kind = "text/html" if isinstance(reply, bytes) else "application/json"
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                if "content-type" not in headers:
                    self.send_header("content-type", kind)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
            except ConnectionError:
                self.close_connection = True  # the client was interrupted

        def log_message(self, *args: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    stub.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield stub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# -- faults ------------------------------------------------------------------------------


def error(status: int, message: str, **headers: str) -> Answer:
    return status, headers, {"error": {"message": message, "type": "invalid_request_error"}}


def first(times: int, answer: Answer) -> Fault:
    """The answer to the first so many requests."""
    left = [times]

    def fault(stub: Stub, request: Request) -> Answer | None:
        left[0] -= 1
        return answer if left[0] >= 0 else None

    return fault


def unknown(request: Request) -> list[str]:
    return sorted(request.body.keys() - KNOWN_KEYS)


def strict_set(stub: Stub, request: Request) -> Answer | None:
    """As `transformers serve` puts it: all at once, in one text."""
    extra = set(unknown(request))
    return (422, {}, {"detail": f"Unexpected fields in the request: {extra}"}) if extra else None


def strict_fastapi(stub: Stub, request: Request) -> Answer | None:
    """As pydantic puts it, sending the whole request back with every complaint."""
    detail = [
        {"loc": ["body", key], "msg": "Extra inputs are not permitted", "input": request.body}
        for key in unknown(request)
    ]
    return (422, {}, {"detail": detail}) if detail else None


def strict_one_by_one(stub: Stub, request: Request) -> Answer | None:
    """As OpenAI puts it: the first."""
    extra = unknown(request)
    return error(400, f"Unrecognized request argument supplied: {extra[0]}") if extra else None


def strict_silent(stub: Stub, request: Request) -> Answer | None:
    """Without a word on what is wrong."""
    return (422, {}, {"detail": "Unprocessable"}) if unknown(request) else None


def no_n(stub: Stub, request: Request) -> Answer | None:
    if "n" in request.body:
        return error(400, "only one completion choice is allowed: 'n' is not supported")
    return None


def old_top_k(stub: Stub, request: Request) -> Answer | None:
    if request.body.get("top_k") == 0:
        return error(400, "top_k must be -1 (disable), or at least 1, got 0.")
    return None


def new_length(stub: Stub, request: Request) -> Answer | None:
    if "max_tokens" in request.body:
        return error(400, "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'.")
    return None


def chat_only_404(stub: Stub, request: Request) -> Answer | None:
    if "prompt" in request.body:
        return error(404, "This is a chat model and not supported in the v1/completions endpoint.")
    return None


def chat_only_400(stub: Stub, request: Request) -> Answer | None:
    if "prompt" in request.body:
        return error(400, f"{request.body['model']} is not a completion model")
    return None


def no_such_path(stub: Stub, request: Request) -> Answer | None:
    return (404, {}, b"<html>Not Found</html>") if "prompt" in request.body else None


def every_other_empty(stub: Stub, request: Request) -> Answer | None:
    if sum(earlier.prompt == request.prompt for earlier in stub.requests) % 2:
        return 200, {}, {"model": "m", "choices": []}
    return None
