"""The vllm backend: local folders and hub models through vLLM, in a process that pyphylo starts."""

from __future__ import annotations

import gc
import hashlib
import importlib.util
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pyphylo._names import whole_number
from pyphylo.errors import InputError, WorkError
from pyphylo.genome import Genome
from pyphylo.sampling._locate import ModelLocation, check_legacy, locate_model, resolve_dtype
from pyphylo.sampling._prompts import (
    chat_name,
    chat_template,
    check_chat,
    check_prompts,
    encode_genome,
    prompt_facts,
    tokenization_name,
)
from pyphylo.sampling.base import ModelIdentity, Population, Progress, SamplingConfig

if TYPE_CHECKING:
    import threading

    from pyphylo.sampling._stop import StopRule
    from pyphylo.sampling._token_text import TokenText

__all__ = ["VLLMSampler", "request_options", "request_seed"]

_COLDEST = 0.01
"""vLLM takes lower temperatures for this one."""
_STEP_TOKENS = 8192
_MOST_SEQUENCES = 256
"""Under way at once; fewer where prompts are long."""
_CALL_PROBES = 8192
"""Completions asked for in one call: many batches, so that the last, smaller one costs little."""


@dataclass(frozen=True)
class _Read:
    """What is known of a model without its weights."""

    tokenizer: Any
    text: TokenText
    end_tokens: frozenset[int]
    n_logits: int
    context: int | None


class VLLMSampler:
    """One model that vLLM can load.

    Parameters
    ----------
    name : str
        The tip's name.
    spec : str
        A folder with config.json and weights, or a hub id ``org/name[@revision]``.
    dtype : str
        ``"auto"`` (the checkpoint's own; float32 where it states none),
        ``"float32"``, ``"float16"`` or ``"bfloat16"``.
    tensor_parallel : int
        GPUs that every layer is split over. It changes rounding, so it is no part of the
        identity.
    gpu_memory : float
        The share of each GPU's memory (of the machine's, where vLLM runs on a CPU) that vLLM
        may take for weights, keys and values.
    trust_remote_code : bool
        Whether Python code that comes with the model may be run.
    legacy_weights : bool
        Whether weights may be in torch's older format, a pickle. They are read with torch's
        weights-only reader, which builds tensors and runs nothing.
    add_bos : bool, optional
        As `pyphylo.sampling.hf.HuggingFaceSampler` takes it.
    chat : {"none", "template"}
        Likewise.
    device : {"auto"}
        What vLLM was built for; anything else is refused.

    Raises
    ------
    InputError
        When vLLM is not installed, the model does not exist or is of no use, or an option
        is out of range.
    WorkError
        When the hub is needed and cannot be reached.

    Notes
    -----
    Constructing finds the model and its revision, and loads nothing (for its chat
    template, the tokenizer). vLLM runs in a process of its own, which ends with `close`: so
    all its memory is free again.
    """

    modes: ClassVar[tuple[str, ...]] = ("sample",)

    def __init__(
        self,
        name: str,
        spec: str,
        *,
        dtype: str = "auto",
        tensor_parallel: int = 1,
        gpu_memory: float = 0.9,
        trust_remote_code: bool = False,
        legacy_weights: bool = False,
        add_bos: bool | None = None,
        chat: str = "none",
        device: str = "auto",
    ) -> None:
        if importlib.util.find_spec("vllm") is None:
            raise InputError(
                "backend 'vllm' needs vLLM: pip install 'pyphylo[vllm]' (Linux with a GPU; for "
                "others see docs.vllm.ai), or use backend 'hf'"
            )
        if device != "auto":
            raise InputError(
                f"device {device!r}: vLLM runs on what it was built for; choose among GPUs with "
                "the environment variable CUDA_VISIBLE_DEVICES"
            )
        if chat != "none" and add_bos is not None:
            raise InputError("a chat template says itself what goes in front: leave add_bos unset")
        if not 0 < gpu_memory <= 1:
            raise InputError(f"gpu_memory must be a share above 0, at most 1, not {gpu_memory!r}")
        self._tensor_parallel = whole_number(tensor_parallel, "tensor_parallel", 1)
        self._gpu_memory = float(gpu_memory)
        self._spec = spec
        self._trust_remote_code = trust_remote_code
        self._add_bos = add_bos
        self._chat = chat
        self._location = _usable(spec, locate_model(spec))
        check_legacy(spec, self._location, legacy_weights=legacy_weights)
        self._identity = ModelIdentity(
            name=name,
            revision=self._location.revision,
            engine="vllm",
            dtype=_usable_dtype(spec, resolve_dtype(dtype, self._location)),
            tokenization=tokenization_name(add_bos) if chat == "none" else self._chat_name(),
        )
        self._engine: Any = None
        self._room = 0
        self._tokens = 0

    def __repr__(self) -> str:
        return f"VLLMSampler({self._identity.name!r}, {self._spec!r})"

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        return self._identity

    @property
    def hub_snapshots(self) -> tuple[tuple[str, str], ...]:
        """Repositories and commits of the hub whose files this model needs."""
        return self._location.hub_snapshots

    @property
    def tokens(self) -> int:
        """Tokens of prompts, once a gene, and of completions so far."""
        return self._tokens

    def read_ahead(self, stop: threading.Event) -> None:
        """Fetch and read the weights' files until `stop` is set; builds nothing."""
        from pyphylo.sampling._read_ahead import read_model_files

        read_model_files(self._location, stop)

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
            Facts: as the backend ``"hf"`` gives them, and vLLM's version.

        Raises
        ------
        InputError
            When the mode is none that vLLM can do, the temperature is lower than it takes, a
            prompt is absent, becomes no token or does not fit.
        WorkError
            When vLLM cannot load the model or fails, or logits are no distribution.

        Notes
        -----
        Prompts go to vLLM as the token ids that the backend ``"hf"`` makes, and token ids come
        back: text, and where it ends, are pyphylo's own. No top-k, no top-p, no penalty,
        nothing of the model's generation config but its end tokens.

        Every gene has a seed of its own, keyed by (seed, model, gene), to which vLLM adds
        the probe's number. Which requests share a batch changes rounding alone.
        """
        from pyphylo.sampling._load import quiet
        from pyphylo.sampling._stop import StopRule

        if config.mode not in self.modes:
            raise InputError(
                f"mode {config.mode!r} needs a model's logits: pass mode='sample' or backend='hf'"
            )
        if config.temperature < _COLDEST:
            raise InputError(
                f"temperature {config.temperature} is below {_COLDEST}, the least that vLLM "
                "takes: pass a higher one or backend='hf'"
            )
        check_chat(self._spec, self._chat, config.chat)
        with quiet():
            read = self._read()
            prompts = encode_genome(self._spec, read.tokenizer, genome, self._chat, self._add_bos)
        # vLLM has room for a completion's last token too, though it is never fed back.
        room = None if read.context is None else read.context - 1
        check_prompts(self._spec, genome.genes, prompts, read.n_logits, room, config.max_new_tokens)
        rule = StopRule(config.chars, config.max_new_tokens, read.end_tokens, config.temperature)
        self._load(max(map(len, prompts)) + config.max_new_tokens)
        completions: list[list[str]] = []
        share = max(1, _CALL_PROBES // config.n_probes)
        for start in range(0, len(prompts), share):
            genes = genome.genes[start : start + share]
            part = prompts[start : start + share]
            drawn = self._draw(genes, part, rule, config)
            completions += [
                [_cut(prompt, tokens, read.text, rule) for tokens in probes]
                for prompt, probes in zip(part, drawn, strict=True)
            ]
            if progress is not None:
                progress(len(genes))
        return Population(completions, self._facts(read, prompts[0]))

    def close(self) -> None:
        """Free the weights: vLLM's process ends. The next `sample` starts another."""
        engine, self._engine = self._engine, None
        if engine is None:
            return
        from pyphylo.sampling._vllm_quiet import quiet_vllm

        with quiet_vllm():
            engine.llm_engine.engine_core.shutdown()
            del engine
            gc.collect()

    def _chat_name(self) -> str:
        from pyphylo.sampling._load import load_tokenizer

        trust = self._trust_remote_code
        tokenizer = load_tokenizer(self._spec, self._location, trust_remote_code=trust)
        return chat_name(chat_template(self._spec, tokenizer))

    def _read(self) -> _Read:
        from pyphylo.sampling._load import (
            context_length,
            end_token_ids,
            load_configs,
            load_tokenizer,
        )
        from pyphylo.sampling._token_text import token_text

        trust = self._trust_remote_code
        config, generation = load_configs(self._spec, self._location, trust_remote_code=trust)
        tokenizer = load_tokenizer(self._spec, self._location, trust_remote_code=trust)
        return _Read(
            tokenizer,
            token_text(tokenizer),
            end_token_ids(config, generation, tokenizer),
            int(config.get_text_config().vocab_size),
            context_length(config),
        )

    def _load(self, room: int) -> None:
        """Have a vLLM whose sequences may be `room` tokens long."""
        if self._engine is not None and self._room >= room:
            return
        self.close()
        from pyphylo.sampling._vllm_quiet import quiet_vllm

        try:
            with quiet_vllm():
                from vllm import LLM

                self._engine = LLM(**self._engine_options(room))
        except Exception as error:
            raise WorkError(
                f"model {self._spec!r}: vLLM cannot load it ({_first_line(error)}); what its "
                "process said of it is on stderr; backend 'hf' may load it"
            ) from error
        self._room = room

    def _engine_options(self, room: int) -> dict[str, Any]:
        """What `vllm.LLM` is given."""
        folder, commit = _source(self._location)
        sequences = max(1, min(_MOST_SEQUENCES, _STEP_TOKENS // room))
        return {
            "model": folder,
            "revision": commit,
            "tokenizer_revision": commit,
            "dtype": self._identity.dtype,
            "tensor_parallel_size": self._tensor_parallel,
            "gpu_memory_utilization": self._gpu_memory,
            "trust_remote_code": self._trust_remote_code,
            # Every request has a seed of its own: this one draws nothing.
            "seed": 0,
            "generation_config": "vllm",
            # Keys and values for the longest prompt, not for a context of 100,000 tokens.
            "max_model_len": room,
            # All that is under way fits in one step, so no prompt is cut over two: vLLM then turns
            # seeded generators back, which those of a CPU refuse.
            "max_num_seqs": sequences,
            "max_num_batched_tokens": sequences * room,
            # Compiling a model takes longer than a population of it.
            "enforce_eager": True,
        }

    def _draw(
        self,
        genes: Sequence[str],
        prompts: Sequence[Sequence[int]],
        rule: StopRule,
        config: SamplingConfig,
    ) -> list[list[list[int]]]:
        """The new tokens of every probe of some genes."""
        from vllm import SamplingParams

        key = self._identity.key
        requests = [
            SamplingParams(**request_options(config, rule, request_seed(config.seed, key, gene)))
            for gene in genes
        ]
        try:
            answers = self._engine.generate(
                [{"prompt_token_ids": list(prompt)} for prompt in prompts],
                requests,
                use_tqdm=False,
            )
        except Exception as error:
            raise WorkError(
                f"model {self._spec!r}: vLLM failed ({_first_line(error)}); what its process "
                "said of it is on stderr"
            ) from error
        return [
            self._checked(gene, prompt, answer.outputs, config.n_probes)
            for gene, prompt, answer in zip(genes, prompts, answers, strict=True)
        ]

    def _checked(
        self, gene: str, prompt: Sequence[int], outputs: Sequence[Any], n_probes: int
    ) -> list[list[int]]:
        """The tokens of a gene's probes in order, each drawn from a distribution."""
        if len(outputs) != n_probes:
            raise WorkError(
                f"model {self._spec!r}, gene {gene!r}: vLLM gave {len(outputs)} completions, "
                f"not {n_probes}"
            )
        drawn = []
        for output in sorted(outputs, key=lambda output: output.index):
            tokens = [int(token) for token in output.token_ids]
            if not _are_drawn(tokens, output.logprobs):
                raise WorkError(
                    f"model {self._spec!r}, gene {gene!r}: the logits are no distribution (NaN "
                    f"or infinite) in {self._identity.dtype}; try another dtype"
                )
            drawn.append(tokens)
        self._tokens += len(prompt) + sum(map(len, drawn))
        return drawn

    def _facts(self, read: _Read, first: Sequence[int]) -> dict[str, Any]:
        import vllm

        return {
            **prompt_facts(read.tokenizer, self._chat, first),
            "n_logits": read.n_logits,
            "tokenizer_size": len(read.tokenizer),
            "token_text": read.text.kind,
            "end_token_ids": sorted(read.end_tokens),
            "vllm_version": str(vllm.__version__),
        }


def request_seed(seed: int, model_key: str, gene: str) -> int:
    """What a gene's first probe is seeded with, below 2**62; the others count up from there.

    Part of what a seed means: never change it.
    """
    text = json.dumps([seed, model_key, gene], ensure_ascii=True)
    digest = hashlib.blake2b(text.encode("ascii"), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 2


def request_options(config: SamplingConfig, rule: StopRule, seed: int) -> dict[str, Any]:
    """What `vllm.SamplingParams` is given for all probes of a gene: the whole distribution."""
    return {
        "n": config.n_probes,
        "temperature": config.temperature,
        "top_p": 1.0,
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "max_tokens": config.max_new_tokens,
        "seed": seed,
        # Those that pyphylo knows end a completion, whatever vLLM would make of the tokenizer.
        "ignore_eos": True,
        "stop_token_ids": sorted(rule.end_tokens),
        "detokenize": False,
        # Of the drawn tokens: the only trace that NaN logits leave.
        "logprobs": 0,
    }


def _cut(prompt: Sequence[int], tokens: Sequence[int], text: TokenText, rule: StopRule) -> str:
    """The completion, which ends where the rule says, though tokens may go on."""
    from pyphylo.sampling._stop import finished_text

    for length in range(1, len(tokens) + 1):
        said = finished_text(prompt, tokens[:length], text, rule)
        if said is not None:
            return said
    return text.added(prompt, tokens, final=True)


def _are_drawn(tokens: Sequence[int], logprobs: Sequence[Any] | None) -> bool:
    """Whether every token was drawn from a distribution, by its own log probability."""
    if logprobs is None or len(logprobs) != len(tokens):
        return False
    return all(
        token in known and math.isfinite(known[token].logprob)
        for token, known in zip(tokens, logprobs, strict=True)
    )


def _usable(spec: str, location: ModelLocation) -> ModelLocation:
    """Refuse what this backend does not read."""
    if location.gguf_file is not None:
        raise InputError(f"model {spec!r} is a GGUF file: sample it with backend 'hf'")
    if location.adapter is not None:
        raise InputError(
            f"model {spec!r} is an adapter: sample it with backend 'hf', or merge it into its base"
        )
    return location


def _usable_dtype(spec: str, dtype: str) -> str:
    if dtype == "float64":
        raise InputError(
            f"model {spec!r}: vLLM does not compute in float64: pass dtype='float32', or "
            "backend='hf'"
        )
    return dtype


def _source(location: ModelLocation) -> tuple[str, str | None]:
    """The folder or hub id to load from, and the hub's commit."""
    if not location.offline:
        return location.source, location.commit
    from huggingface_hub import snapshot_download

    return snapshot_download(location.source, revision=location.commit, local_files_only=True), None


def _first_line(error: BaseException) -> str:
    line = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {line.strip()[:300]}" if line else type(error).__name__
