"""The openai backend: models behind an OpenAI-compatible server, local or a provider's."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import json
import os
import warnings
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar
from urllib.parse import urlsplit, urlunsplit

from pyphylo._names import clean_text, whole_number
from pyphylo.errors import InputError, PyphyloWarning, WorkError
from pyphylo.genome import Genome
from pyphylo.sampling._dialect import ENDPOINTS, NEUTRAL, Dialect
from pyphylo.sampling._journal import Journal, Kept
from pyphylo.sampling._requests import BudgetSpentError, Estimate, Prices, RequestBudget, Usage
from pyphylo.sampling.base import ModelIdentity, Population, Progress, SamplingConfig
from pyphylo.sampling.events import Spent

if TYPE_CHECKING:
    from pyphylo.sampling._ask import Asker, Server

__all__ = ["DEFAULT_INSTRUCTION", "OpenAISampler"]

DEFAULT_INSTRUCTION = (
    "Continue the text below from exactly where it ends, as its author would. Answer with the "
    "continuation alone: do not repeat the text, introduce it, comment on it or quote it."
)
"""What a chat model is told. Part of what a key means: a changed text is another model."""

_OWN_SERVICE = "https://api.openai.com/v1"
_BARREN = 5
"""Answers without any text, one after the other, after which a gene is given up."""

_T = TypeVar("_T")


class OpenAISampler:
    """One model behind an OpenAI-compatible server.

    Parameters
    ----------
    name : str
        The tip's name.
    spec : str
        The model, as the server calls it.
    base_url : str, optional
        Of the server, such as ``http://localhost:8000/v1``; by default the
        environment variable ``OPENAI_BASE_URL``, else OpenAI's own.
    endpoint : {"auto", "completions", "chat"}
        ``"auto"`` asks for completions, and chats where the server says that the
        model or the server knows no completions.
    instruction : str
        What a chat begins with; the prompt follows in the same message, after an
        empty line. Part of the identity.
    api_key_env : str
        The environment variable that holds the key. Nothing else is a key's place.
    server_name : str, optional
        Recorded in place of the URL: for a server of your own whose host or port
        changes while the model stays.
    choices : int, optional
        The most completions to ask for at once; by default all probes of a gene.
    concurrency : int
        Requests under way at once.
    max_requests : int, optional
        The most that may be made, all models of a run together.
    price_prompt, price_completion : float, optional
        For a million tokens: for the estimate, and for what is told of the cost.
    timeout : float
        Seconds that a request may take.
    retries : int
        Times that a request is made again while the server is busy.
    device : {"auto"}
        The server's own; anything else is refused.
    chat : {"none"}
        Chat templates are the server's; anything else is refused.

    Raises
    ------
    InputError
        When an option is out of range, or the package openai is missing.

    Notes
    -----
    Constructing asks the server nothing. With ``endpoint="auto"`` the identity says
    so until the first answer, then names the endpoint that was used.
    """

    verbatim_names: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        spec: str,
        *,
        base_url: str | None = None,
        endpoint: str = "auto",
        instruction: str = DEFAULT_INSTRUCTION,
        api_key_env: str = "OPENAI_API_KEY",
        server_name: str | None = None,
        choices: int | None = None,
        concurrency: int = 8,
        max_requests: int | None = None,
        price_prompt: float | None = None,
        price_completion: float | None = None,
        timeout: float = 120.0,
        retries: int = 6,
        device: str = "auto",
        chat: str = "none",
    ) -> None:
        if importlib.util.find_spec("openai") is None:
            raise InputError("backend 'openai' needs its client: pip install 'pyphylo[openai]'")
        if not spec.strip():
            raise InputError(f"a model is what the server calls it, not {spec!r}")
        if device != "auto":
            raise InputError(f"device {device!r}: a model behind a server runs where that runs")
        if chat != "none":
            raise InputError(
                f"chat {chat!r}: a server wraps prompts itself; ask with endpoint='chat' "
                "(--endpoint chat)"
            )
        if endpoint not in ENDPOINTS:
            raise InputError(f"unknown endpoint {endpoint!r}; known: {', '.join(ENDPOINTS)}")
        if not instruction.strip():
            raise InputError("the instruction of a chat must say something")
        if not timeout > 0:
            raise InputError(f"timeout must be above 0 seconds, not {timeout!r}")
        self.max_requests = _optional(max_requests, "max_requests", 0)
        self.prices = _prices(price_prompt, price_completion)
        self._choices = _optional(choices, "choices", 1)
        self._concurrency = whole_number(concurrency, "concurrency", 1)
        self._retries = whole_number(retries, "retries", 0)
        self._timeout = float(timeout)
        self._url = _checked_url(base_url or os.environ.get("OPENAI_BASE_URL") or _OWN_SERVICE)
        self._spec = spec
        self._endpoint = endpoint
        self._instruction = clean_text(instruction)
        self._api_key_env = api_key_env
        self._budget = RequestBudget(self.max_requests)
        self._identity = ModelIdentity(
            name=name,
            revision=f"{spec}@{server_name or self._url}",
            engine="openai",
            dtype="unknown",
            tokenization=self._tokenization(endpoint),
        )
        # Not the identity's key at the time of a request: the endpoint is settled by the first.
        self._stream = self._identity.key
        self._folder: Path | None = None
        self._usage, self._usage_before = Usage(), Usage()

    def __repr__(self) -> str:
        return f"OpenAISampler({self._identity.name!r}, {self._spec!r}, base_url={self._url!r})"

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        return self._identity

    @property
    def spent(self) -> Spent:
        """What was asked in this run so far; what an earlier one asked is not in it."""
        return self._usage.since(self._usage_before, self.prices)

    @property
    def tokens(self) -> int | None:
        """Tokens of prompts and completions in this run; None where the server does not count."""
        if self._usage.uncounted > self._usage_before.uncounted:
            return None
        spent = self.spent
        return spent.prompt_tokens + spent.completion_tokens

    def recognise(self, stored: ModelIdentity) -> None:
        """Take a stored identity for this model's, where it differs in a settled endpoint alone."""
        if self._endpoint == "auto" and stored in map(self._with_endpoint, ENDPOINTS[1:]):
            self._identity = stored

    def estimate(self, genome: Genome, config: SamplingConfig) -> Estimate:
        """Requests and tokens that sampling will take; asks the server nothing.

        Raises
        ------
        InputError
            When the mode is none that a server can do, or the key is absent.
        """
        if config.mode != "sample":
            raise InputError(
                f"mode {config.mode!r} needs a model's logits, which no server gives whole: "
                "pass mode='sample'"
            )
        self._server()
        kept = self._kept(genome, config).completions
        prompts = [_prompt_of(gene, prompt) for gene, prompt in genome if gene not in kept]
        added = 0 if self._endpoint == "completions" else len(self._instruction.encode()) + 2
        return Estimate.of(prompts, config, added, self._choices)

    def keep_in(self, folder: Path) -> None:
        """Keep finished genes in a folder until the model is finished."""
        self._folder = folder

    def share(self, budget: RequestBudget) -> None:
        """Count requests with those of other samplers."""
        self._budget = budget

    def sample(
        self, genome: Genome, config: SamplingConfig, progress: Progress | None = None
    ) -> Population:
        """Draw ``config.n_probes`` completions of every gene.

        Parameters
        ----------
        genome : Genome
            With prompts.
        config : SamplingConfig
        progress : callable, optional
            Called with the number of genes finished since the last call.

        Returns
        -------
        Population
            Facts: the endpoint and the instruction used, the keys that the server
            does not take, what model it says it is, and what was used.

        Raises
        ------
        InputError
            When a prompt or the key is absent.
        WorkError
            When the server refuses, cannot be reached, or gives no text.

        Warns
        -----
        PyphyloWarning
            When the server does not take a key that keeps the whole distribution, and
            when all probes of every gene agree.

        Notes
        -----
        The first gene is asked alone: what it teaches about the server holds for the
        others, which are asked concurrently. Every request has a seed of its own,
        keyed by (seed, model, gene, request); whether it fixes anything is the
        server's affair.
        """
        self.estimate(genome, config)
        server = self._server()
        journal = self._journal(genome, config)
        kept = self._kept(genome, config)
        dialect = Dialect(kept.endpoint or self._endpoint, self._instruction)
        self._usage, self._usage_before = kept.usage, replace(kept.usage)

        async def talk() -> None:
            import openai

            from pyphylo.sampling._ask import Asker, limit_answer

            async with openai.AsyncOpenAI(
                api_key=server.secret.value or "none",
                base_url=server.url,
                timeout=server.timeout,
                max_retries=0,
                default_headers={"Accept-Encoding": "identity"},
                http_client=openai.DefaultAsyncHttpxClient(
                    event_hooks={"response": [limit_answer]}
                ),
            ) as client:
                asker = Asker(client, server, dialect, self._budget, kept.usage)
                await self._genes(asker, todo, config, keep)

        def keep(gene: str, texts: list[str]) -> None:
            kept.completions[gene] = texts
            if journal is not None:
                journal.add(gene, texts, dialect.endpoint, dialect.dropped, kept.usage)
            if progress is not None:
                progress(1)

        todo = {
            gene: _prompt_of(gene, prompt)
            for gene, prompt in genome
            if gene not in kept.completions
        }
        if progress is not None and kept.completions:
            progress(len(kept.completions))
        if todo:
            _run(talk)
            kept.keys_refused = dialect.dropped
        completions = [kept.completions[gene] for gene in genome.genes]
        self._identity = self._with_endpoint(dialect.endpoint)
        self._warn(kept.keys_refused, completions, config)
        if journal is not None:
            journal.remove()
        return Population(completions, self._facts(dialect.endpoint, kept))

    def close(self) -> None:
        """Nothing is held between calls."""

    # -- asking ------------------------------------------------------------------------

    async def _genes(
        self,
        asker: Asker,
        prompts: Mapping[str, str],
        config: SamplingConfig,
        keep: Callable[[str, list[str]], None],
    ) -> None:
        """The completions of every gene: of the first alone, of the others concurrently."""
        free = asyncio.Semaphore(self._concurrency)
        is_over = False

        async def one(gene: str) -> None:
            nonlocal is_over
            async with free:
                if is_over:  # the slot of a gene that failed: nothing new is begun
                    return
                try:
                    keep(gene, await self._gene(asker, gene, prompts[gene], config))
                except BaseException:
                    is_over = True
                    raise

        first, *others = prompts
        await one(first)
        tasks = [asyncio.ensure_future(one(gene)) for gene in others]
        try:
            await asyncio.gather(*tasks)
        except BudgetSpentError:
            # The others' requests under way are paid for, and may finish their genes.
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        finally:
            # After a failure or an interrupt the others are of no use, and cost money.
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _gene(
        self, asker: Asker, gene: str, prompt: str, config: SamplingConfig
    ) -> list[str]:
        """All probes of a gene, however many a request gives."""
        texts: list[str] = []
        requests = barren = 0
        while len(texts) < config.n_probes:
            wanted = min(config.n_probes - len(texts), self._choices or config.n_probes)
            seed = _request_seed(config.seed, self._stream, gene, requests)
            got = await asker.ask(prompt, wanted, seed, config.temperature, config.max_new_tokens)
            requests += 1
            barren = 0 if got else barren + 1
            if barren == _BARREN:
                raise WorkError(
                    f"model {self._spec!r}, gene {gene!r}: the server answered {_BARREN} times "
                    "without any text (refused, filtered, or spent on hidden reasoning)"
                )
            texts += map(clean_text, got)
        return texts

    def _journal(self, genome: Genome, config: SamplingConfig) -> Journal | None:
        """Where this very work is kept while it is unfinished."""
        if self._folder is None:
            return None
        key = [self._stream, config.to_dict(), genome.digest]
        digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        return Journal(self._folder / f"{digest[:32]}.jsonl", config.n_probes)

    def _kept(self, genome: Genome, config: SamplingConfig) -> Kept:
        journal = self._journal(genome, config)
        return Kept() if journal is None else journal.read()

    def _server(self) -> Server:
        """Where to ask, with the key as the environment has it now."""
        from pyphylo.sampling._ask import Secret, Server

        key = os.environ.get(self._api_key_env, "").strip()
        if not key and (self._url == _OWN_SERVICE or self._api_key_env != "OPENAI_API_KEY"):
            raise InputError(
                f"model {self._spec!r}: the environment variable {self._api_key_env} holds no key"
            )
        if not (key.isascii() and key.isprintable()):
            # A header that cannot be sent would be shown in the error.
            raise InputError(
                f"the environment variable {self._api_key_env} holds something that is no key"
            )
        secret = Secret(key, self._api_key_env)
        return Server(self._url, self._spec, secret, self._timeout, self._retries)

    # -- what is said about it ---------------------------------------------------------

    def _tokenization(self, endpoint: str) -> str:
        """How a prompt becomes tokens, as far as it is known here: by which endpoint, in what."""
        if endpoint == "completions":
            return endpoint
        digest = hashlib.sha256(self._instruction.encode()).hexdigest()[:16]
        return f"{endpoint} sha256:{digest}"

    def _with_endpoint(self, endpoint: str) -> ModelIdentity:
        return replace(self._identity, tokenization=self._tokenization(endpoint))

    def _facts(self, endpoint: str, kept: Kept) -> dict[str, Any]:
        usage = kept.usage
        return {
            "endpoint": endpoint,
            "instruction": self._instruction if endpoint == "chat" else None,
            "keys_refused": list(kept.keys_refused),
            "served_models": sorted(usage.served),
            "requests": usage.requests,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "choices_without_text": usage.unanswered,
        }

    def _warn(
        self, refused: Sequence[str], completions: list[list[str]], config: SamplingConfig
    ) -> None:
        lost = [key for key in refused if key in NEUTRAL]
        if len({"repeat_penalty", "repetition_penalty"}.intersection(lost)) == 1:
            # Two names of one thing: a strict server knows at most one.
            lost = [key for key in lost if not key.startswith("repe")]
        if lost:
            warnings.warn(
                f"model {self._spec!r}: the server does not take {', '.join(lost)}; where its own "
                "settings are not neutral, its alleles are not those of the model's distribution",
                PyphyloWarning,
                stacklevel=3,
            )
        if config.n_probes > 1 and _all_agree(completions, config.chars):
            warnings.warn(
                f"model {self._spec!r}: all {config.n_probes} probes of every gene agree: the "
                "server is greedy whatever the temperature, or repeats one draw (then pass "
                "choices=1); its distances are not to be compared with those of sampled models",
                PyphyloWarning,
                stacklevel=3,
            )


def _prompt_of(gene: str, prompt: str | None) -> str:
    if prompt is None:
        raise InputError(f"gene {gene!r} has no prompt: the genome cannot be sampled")
    return prompt


def _all_agree(completions: list[list[str]], chars: int) -> bool:
    from pyphylo.alleles import AlleleRule

    rule = AlleleRule(chars=chars)
    return all(len({rule(text) for text in texts}) == 1 for texts in completions)


def _request_seed(seed: int, stream: str, gene: str, request: int) -> int:
    """A seed that no other request has; what servers take is a 31-bit number."""
    text = json.dumps([seed, stream, gene, request], ensure_ascii=True)
    digest = hashlib.blake2b(text.encode("ascii"), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def _optional(value: int | None, name: str, least: int) -> int | None:
    return None if value is None else whole_number(value, name, least)


def _prices(prompt: float | None, completion: float | None) -> Prices | None:
    if prompt is None and completion is None:
        return None
    given = (prompt or 0.0, completion or 0.0)
    if not all(0 <= price < float("inf") for price in given):
        raise InputError(f"prices a million tokens are numbers of at least 0, not {given}")
    return Prices(*given)


def _checked_url(url: str) -> str:
    """A base URL as it is recorded; refused, unseen, where it may hold a secret."""
    parts = urlsplit(url.strip())
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise InputError(
            "the base URL holds a user, password or query; it is recorded, so put what is secret "
            "into the environment (--api-key-env)"
        )
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"a base URL is like http://localhost:8000/v1, not {url!r}")
    return urlunsplit(parts).rstrip("/")


def _run(main: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Run a coroutine to its end, also where a loop is running already (a notebook)."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(main())
    loop = asyncio.new_event_loop()
    task = loop.create_task(main())
    try:
        with ThreadPoolExecutor(1) as pool:
            running = pool.submit(loop.run_until_complete, task)
            try:
                return running.result()
            except BaseException:
                loop.call_soon_threadsafe(task.cancel)
                raise
    finally:
        loop.close()
