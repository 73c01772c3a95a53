"""From prompts to token ids: as the tokenizer wants it, or in its chat template if asked for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from pyphylo.errors import InputError
from pyphylo.genome import Genome

__all__ = [
    "chat_name",
    "chat_template",
    "check_chat",
    "check_prompts",
    "encode_chats",
    "encode_genome",
    "encode_prompts",
    "prompt_facts",
    "tokenization_name",
]

_MONDAY = {
    "%Y": "2024",
    "%y": "24",
    "%m": "01",
    "%-m": "1",
    "%B": "January",
    "%b": "Jan",
    "%d": "01",
    "%-d": "1",
    "%e": " 1",
    "%j": "001",
    "%A": "Monday",
    "%a": "Mon",
    "%H": "00",
    "%I": "12",
    "%M": "00",
    "%S": "00",
    "%p": "AM",
    "%F": "2024-01-01",
    "%T": "00:00:00",
}
_SAME_DAY = (
    "{% macro strftime_now(format) %}{{ format"
    + "".join(f" | replace({code!r}, {text!r})" for code, text in _MONDAY.items())
    + " }}{% endmacro %}\n"
)
"""Tells templates that ask for the date that it is 1 January 2024, so that a seed means the same
tomorrow: never change it. transformers passes templates no functions, and drops the newline."""


def tokenization_name(add_bos: bool | None) -> str:
    """What `ModelIdentity.tokenization` says for a setting of `add_bos`."""
    return {None: "auto", True: "bos", False: "no-bos"}[add_bos]


def chat_name(template: str) -> str:
    """What `ModelIdentity.tokenization` says of prompts in this chat template."""
    return f"chat:{hashlib.sha256(template.encode()).hexdigest()[:32]}"


def chat_template(spec: str, tokenizer: Any) -> str:
    """The source of the tokenizer's chat template.

    Raises
    ------
    InputError
        When it has none.
    """
    try:
        template: str = tokenizer.get_chat_template()
    except ValueError:
        raise InputError(
            f"model {spec!r}: its tokenizer has no chat template; sample it with chat='none'"
        ) from None
    return template


def check_chat(spec: str, made: str, configured: str) -> None:
    """Refuse a configuration that says otherwise than the sampler whether prompts are wrapped."""
    if configured != made:
        raise InputError(
            f"model {spec!r} was made with chat={made!r}, the configuration has "
            f"{configured!r}: pass the same to both"
        )


def encode_genome(
    spec: str, tokenizer: Any, genome: Genome, chat: str, add_bos: bool | None
) -> list[list[int]]:
    """The token ids of every gene's prompt, as `encode_prompts` or `encode_chats` makes them."""
    if chat == "none":
        return encode_prompts(spec, tokenizer, genome, add_bos)
    return encode_chats(spec, tokenizer, genome)


def prompt_facts(tokenizer: Any, chat: str, first: Sequence[int]) -> dict[str, Any]:
    """What is recorded of how prompts became tokens; `first` is the first gene's."""
    bos = tokenizer.bos_token_id
    wrapped = {} if chat == "none" else {"chat_template": tokenizer.get_chat_template()}
    return {
        **wrapped,
        "bos_added": bos is not None and first[0] == bos,
        "bos_token": tokenizer.bos_token,
        "first_token_ids": [int(token) for token in first],
    }


def encode_chats(spec: str, tokenizer: Any, genome: Genome) -> list[list[int]]:
    """The token ids of every gene's prompt as a user's message, up to where the answer starts.

    What the template writes is all there is: nothing else is put in front. A
    template that asks for the date always gets the same.

    Raises
    ------
    InputError
        When a prompt is unknown, or the template refuses it.
    """
    template = chat_template(spec, tokenizer)
    if "strftime_now" in template:
        template = _SAME_DAY + template
    encoded = []
    for gene, prompt in genome:
        if prompt is None:
            raise InputError(f"gene {gene!r} has no prompt: the genome cannot be sampled")
        try:
            text = tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}],
                chat_template=template,
                add_generation_prompt=True,
                tokenize=False,
            )
            ids = list(tokenizer(text, add_special_tokens=False)["input_ids"])
        except Exception as error:
            # Templates are programs, and raise what they like.
            raise InputError(
                f"gene {gene!r}: the chat template of {spec!r} cannot take its prompt ({error})"
            ) from None
        if not ids:
            raise InputError(f"gene {gene!r}: the chat template of {spec!r} makes no token of it")
        encoded.append(ids)
    return encoded


def encode_prompts(
    spec: str, tokenizer: Any, genome: Genome, add_bos: bool | None
) -> list[list[int]]:
    """The token ids of every gene's prompt.

    Parameters
    ----------
    spec : str
        The model, for errors.
    tokenizer : transformers tokenizer
    genome : Genome
        With prompts.
    add_bos : bool or None
        None leaves the start to the tokenizer's own defaults, True puts exactly
        one BOS in front, False none. An end token that the tokenizer would put
        behind is left off in every case: the model is to go on.

    Raises
    ------
    InputError
        When a prompt is unknown, cannot be encoded or becomes no token at all,
        or a BOS is asked for that the tokenizer does not have.
    """
    if add_bos and tokenizer.bos_token_id is None:
        raise InputError(f"model {spec!r}: its tokenizer has no BOS token; leave add_bos unset")
    encoded = []
    for gene, prompt in genome:
        if prompt is None:
            raise InputError(f"gene {gene!r} has no prompt: the genome cannot be sampled")
        try:
            ids = _encode(tokenizer, prompt, add_bos)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"gene {gene!r}: the tokenizer of {spec!r} cannot encode its prompt ({error})"
            ) from None
        if not ids:
            raise InputError(
                f"gene {gene!r}: its prompt {prompt[:40]!r} becomes no token at all in the "
                f"tokenizer of {spec!r}; leave the gene out"
            )
        encoded.append(ids)
    return encoded


def check_prompts(
    spec: str,
    genes: Sequence[str],
    encoded: Sequence[Sequence[int]],
    n_embeddings: int,
    context: int | None,
    max_new_tokens: int,
) -> None:
    """Refuse prompts that the model has no room or no embeddings for.

    Raises
    ------
    InputError
        Naming the first such gene and the numbers.
    """
    for gene, ids in zip(genes, encoded, strict=True):
        # The last token drawn is never fed back.
        needed = len(ids) + max_new_tokens - 1
        if context is not None and needed > context:
            raise InputError(
                f"gene {gene!r}: its prompt of {len(ids)} tokens and {max_new_tokens} new ones "
                f"are more than the {context} that model {spec!r} has room for"
            )
        if max(ids) >= n_embeddings:
            raise InputError(
                f"gene {gene!r}: its prompt has the token id {max(ids)}, but model {spec!r} "
                f"knows only {n_embeddings}: tokenizer and weights do not belong together"
            )


def _encode(tokenizer: Any, prompt: str, add_bos: bool | None) -> list[int]:
    """The prompt's tokens behind what goes in front; none where the prompt has none itself."""
    plain = list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    if not plain:
        return []
    if add_bos is None:
        return _without_end(list(tokenizer(prompt)["input_ids"]), plain)
    bos = tokenizer.bos_token_id
    has_bos = bos is not None and plain[:1] == [bos]
    if add_bos:
        return plain if has_bos else [bos, *plain]
    # Tokenizers with code of their own may add it whatever they are told.
    written = has_bos and prompt.startswith(tokenizer.bos_token)
    return plain[1:] if has_bos and not written else plain


def _without_end(whole: list[int], plain: list[int]) -> list[int]:
    """`whole` up to where the prompt's own tokens end."""
    for start in range(len(whole) - len(plain) + 1):
        if whole[start : start + len(plain)] == plain:
            return whole[: start + len(plain)]
    return whole
