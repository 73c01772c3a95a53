"""How one server wants to be asked: endpoint, and which keys of a request it takes.

OpenAI-compatible servers differ: some refuse keys that others need to sample from the
model's whole distribution. A `Dialect` starts with all that is wanted and gives way, one
refusal at a time, to what the server accepts; what it gave up is known afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["ENDPOINTS", "NEUTRAL", "Dialect"]

ENDPOINTS = ("auto", "completions", "chat")

NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "top_p": (1,),
    "top_k": (0, -1),
    "min_p": (0,),
    "repeat_penalty": (1,),
    "repetition_penalty": (1,),
}
"""What keeps a server from bending the distribution: the values to try in turn, before a key is
left out. vLLM once took only -1 for "no top-k". llama.cpp's Python server divides the logits of
repeated tokens by 1.1 unless told otherwise; vLLM has the other name for that, and a default from
the model's generation_config.json."""

# What goes, in this order, where the server does not say what it minds.
_UNNAMED = (("top_k", "min_p", "repeat_penalty", "repetition_penalty"), ("seed",), ("top_p",))
_DROPPABLE = (*NEUTRAL, "seed", "n")
_NO_SUCH_ENDPOINT = frozenset({404, 405, 501})
_IS_CHAT_ONLY = re.compile(r"not a completions? model|chat.?model|chat/completions", re.I)


class Dialect:
    """What a request to one model looks like.

    Parameters
    ----------
    endpoint : {"auto", "completions", "chat"}
        "auto" asks for completions until the server says that it is not for this model.
    instruction : str
        What goes in front of a prompt in a chat, in the same message.
    """

    def __init__(self, endpoint: str, instruction: str) -> None:
        self._asked = endpoint
        self.endpoint = "completions" if endpoint == "auto" else endpoint
        self._settled = endpoint != "auto"
        self._instruction = instruction
        self._values = {key: list(values) for key, values in NEUTRAL.items()}
        self._dropped: set[str] = set()
        self._length = "max_tokens"

    @property
    def dropped(self) -> tuple[str, ...]:
        """The keys that the server does not take, sorted."""
        return tuple(sorted(self._dropped))

    def body(
        self, prompt: str, n: int, seed: int, temperature: float, max_tokens: int
    ) -> dict[str, Any]:
        """The request but for the model."""
        body: dict[str, Any] = {"temperature": temperature, self._length: max_tokens}
        if self.endpoint == "chat":
            message = f"{self._instruction}\n\n{prompt}"
            body["messages"] = [{"role": "user", "content": message}]
        else:
            body["prompt"] = prompt
        optional = {key: values[0] for key, values in self._values.items() if values}
        optional |= {"n": n, "seed": seed}
        return body | {key: v for key, v in optional.items() if key not in self._dropped}

    def settle(self) -> None:
        """The endpoint has answered: it is the one."""
        self._settled = True

    def gives_way(self, body: Mapping[str, Any], status: int, reason: object) -> bool:
        """Learn from a refusal.

        Parameters
        ----------
        body : mapping
            The request that was refused.
        status : int
            Of HTTP.
        reason : object
            The JSON that came with it, or a text.

        Returns
        -------
        bool
            Whether there is something else to try.

        Notes
        -----
        Requests that were under way together are refused together: what another
        has learnt since counts as something else to try.
        """
        texts = list(_texts(reason))
        if "prompt" in body and self._means_chat(status, texts):
            if self.endpoint == "completions" and self._settled:
                return False
            self.endpoint, self._settled = "chat", True
            return True
        if status not in (400, 422):
            return False
        return self._drop(body, texts)

    def _means_chat(self, status: int, texts: list[str]) -> bool:
        if self._asked != "auto":
            return False
        return status in _NO_SUCH_ENDPOINT or (
            status in (400, 422) and any(map(_IS_CHAT_ONLY.search, texts))
        )

    def _drop(self, body: Mapping[str, Any], texts: list[str]) -> bool:
        if any("max_completion_tokens" in text for text in texts) and "max_tokens" in body:
            self._length = "max_completion_tokens"
            return True
        named = [key for key in _DROPPABLE if key in body and _names(texts, key)]
        for key in named:
            self._leave(key, body[key])
        if named:
            return True
        unnamed = ([key for key in group if key in body] for group in _UNNAMED)
        group = next((group for group in unnamed if group), [])
        self._dropped.update(group)
        return bool(group)

    def _leave(self, key: str, value: object) -> None:
        """Give up a value of a key; the key, where it has no other."""
        values = self._values.get(key, [])
        if value in values:
            values.remove(value)
        if not values:
            self._dropped.add(key)


def _names(texts: list[str], key: str) -> bool:
    """Whether a refusal is about a key."""
    if len(key) > 1:
        return any(re.search(rf"\b{key}\b", text) for text in texts)
    # A single letter may be anything: quoted, alone, or the subject of the sentence.
    pattern = re.compile(
        rf"['\"`]{key}['\"`]|^{key}$|(?:argument|field|key|parameter)[^\w]+{key}\b"
        rf"|^{key} (?:must|should|is|has|>|=)",
        re.I,
    )
    return any(map(pattern.search, texts))


def _texts(reason: object) -> Iterator[str]:
    """Every text of a refusal that says something; not the request that some send back."""
    waiting = [reason]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            waiting += [item for key, item in value.items() if key not in ("input", "ctx", "url")]
        elif isinstance(value, (list, tuple)):
            waiting += value
