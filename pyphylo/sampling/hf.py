"""The Hugging Face backend: local folders, GGUF files and hub models through transformers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyphylo.errors import InputError, WorkError
from pyphylo.genome import Genome
from pyphylo.sampling._locate import check_legacy, locate_model, resolve_dtype
from pyphylo.sampling._prompts import (
    chat_name,
    chat_template,
    check_chat,
    check_prompts,
    encode_genome,
    prompt_facts,
    tokenization_name,
)
from pyphylo.sampling.base import (
    Decided,
    ModelIdentity,
    Population,
    Progress,
    Sampler,
    SamplingConfig,
)
from pyphylo.sampling.streams import uniforms

if TYPE_CHECKING:
    import threading

    from pyphylo.sampling._decode import Job
    from pyphylo.sampling._expand import TreeJob
    from pyphylo.sampling._forward import Forward, Watch
    from pyphylo.sampling._token_text import TokenText
    from pyphylo.sampling._weights import Weights

__all__ = ["HuggingFaceSampler"]


class _Heard:
    """What the genes of one model said so far, whatever the mode.

    Attributes
    ----------
    completions : list of list of str
    decided : list of Decided, or None in mode "sample"
    """

    def __init__(self, config: SamplingConfig, genes: int, progress: Progress | None) -> None:
        self._config = config
        self._progress = progress
        drawn = 0 if config.mode == "exact" else config.n_probes
        self._left = [max(1, drawn)] * genes
        self.completions = [[""] * drawn for _ in range(genes)]
        self.decided: list[Decided] | None = None
        if config.mode != "sample":
            self.decided = [Decided({}, 0.0, 1.0)] * genes

    def listen(
        self, forward: Forward, jobs: Sequence[Job], loaded: _Loaded, budget: int, workers: int
    ) -> None:
        """Do all jobs."""
        from pyphylo.sampling._decode import run_jobs
        from pyphylo.sampling._expand import TreeJob, TreeRule, run_hybrid, run_trees
        from pyphylo.sampling._stop import StopRule

        config, text = self._config, loaded.text
        stop = StopRule(config.chars, config.max_new_tokens, loaded.end_tokens, config.temperature)
        if config.min_mass is None:
            run_jobs(forward, jobs, text, stop, budget, self._drawn, workers)
            return
        rule = TreeRule(stop, config.min_mass, config.max_nodes or 0)
        if config.mode == "hybrid":
            run_hybrid(forward, jobs, text, rule, budget, self._drawn_inside, workers)
            return
        trees = [TreeJob(job.gene, job.prompt, job.row_cells) for job in jobs]
        run_trees(forward, trees, text, rule, budget, self._expanded, workers)

    def _drawn(self, job: Job, texts: list[str]) -> None:
        self.completions[job.gene][job.first : job.first + len(texts)] = texts
        self._finished(job.gene, job.rows)

    def _drawn_inside(self, job: Job, result: tuple[list[str], Decided]) -> None:
        texts, decided = result
        if self.decided is not None and job.first == 0:
            self.decided[job.gene] = decided
        if not texts:
            # Everything is decided: there is nothing to draw inside.
            self.completions[job.gene] = []
            self._finished(job.gene, job.rows)
            return
        self._drawn(job, texts)

    def _expanded(self, job: TreeJob, decided: Decided) -> None:
        if self.decided is not None:
            self.decided[job.gene] = decided
        self._finished(job.gene, 1)

    def _finished(self, gene: int, rows: int) -> None:
        self._left[gene] -= rows
        if self._progress is not None and self._left[gene] == 0:
            self._progress(1)


@dataclass(frozen=True)
class _Loaded:
    """What sampling needs in memory."""

    tokenizer: Any
    model: Any
    text: TokenText
    end_tokens: frozenset[int]


class HuggingFaceSampler:
    """One model that transformers can load.

    Parameters
    ----------
    name : str
        The tip's name.
    spec : str
        A folder with config.json and weights, a GGUF file, a hub id
        ``org/name[@revision]``, or an adapter in PEFT's format. Weights in the old
        ``.bin`` format need `legacy_weights`.
    device : str
        ``"auto"`` (cuda, then mps, then cpu), a torch device, or ``"spread"``: layers on
        all GPUs, then in the CPU's memory, for models larger than one GPU.
    dtype : str
        ``"auto"`` (the checkpoint's own; float32 where it states none and for
        GGUF), ``"float32"``, ``"float16"``, ``"bfloat16"`` or ``"float64"``.
    trust_remote_code : bool
        Whether Python code that comes with the model may be run.
    legacy_weights : bool
        Whether weights may be in torch's older format, a pickle. They are read with torch's
        weights-only reader, which builds tensors and runs nothing.
    add_bos : bool, optional
        Put a BOS token in front of every prompt, or none; by default the
        tokenizer does as its own settings say.
    chat : {"none", "template"}
        Whether prompts are wrapped in the tokenizer's chat template, whose digest
        is then part of the identity; see `SamplingConfig`. The template puts in
        front what it wants: `add_bos` must be unset.
    batch_tokens : int, optional
        Tokens (rows times length) whose keys and values are held at once at
        most, for each thread on a CPU; by default what half of the free memory
        takes, on a CPU at most 8,192. A batch that does not fit on an accelerator
        is halved. It changes speed and memory; a
        completion only where a draw is within rounding of the boundary between
        two tokens.

    Attributes
    ----------
    watch : callable, optional
        Makes the context that each call of the model runs in, from the token ids of the
        batch's rows, each from the prompt's first on; for measuring.

    Raises
    ------
    InputError
        When the model does not exist or is of no use, an option is unknown.
    WorkError
        When the hub is needed and cannot be reached.

    Notes
    -----
    Constructing finds the model and its revision, and loads nothing (for its chat
    template, the tokenizer); the first `sample` loads tokenizer and weights, `close` frees them.
    """

    def __init__(
        self,
        name: str,
        spec: str,
        *,
        device: str = "auto",
        dtype: str = "auto",
        trust_remote_code: bool = False,
        legacy_weights: bool = False,
        add_bos: bool | None = None,
        chat: str = "none",
        batch_tokens: int | None = None,
    ) -> None:
        if chat != "none" and add_bos is not None:
            raise InputError("a chat template says itself what goes in front: leave add_bos unset")
        if batch_tokens is not None and batch_tokens < 1:
            raise InputError(f"batch_tokens must be at least 1, not {batch_tokens!r}")
        self._spec = spec
        self._device = device
        self._trust_remote_code = trust_remote_code
        self._add_bos = add_bos
        self._chat = chat
        self._batch_tokens = batch_tokens
        self._location = locate_model(spec)
        check_legacy(spec, self._location, legacy_weights=legacy_weights)
        self._identity = ModelIdentity(
            name=name,
            revision=self._location.revision,
            engine="hf",
            dtype=resolve_dtype(dtype, self._location),
            tokenization=tokenization_name(add_bos) if chat == "none" else self._chat_name(),
        )
        self._loaded: _Loaded | None = None
        self._weights: Weights | None = None
        self.watch: Watch | None = None

    def __repr__(self) -> str:
        return f"HuggingFaceSampler({self._identity.name!r}, {self._spec!r})"

    @property
    def identity(self) -> ModelIdentity:
        """Which model this is."""
        return self._identity

    def sample(
        self, genome: Genome, config: SamplingConfig, progress: Progress | None = None
    ) -> Population:
        """Read the alleles of every gene as ``config.mode`` says: drawn, worked out, or both.

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
            Facts: whether BOS was put in front and which token it is, the token
            ids of the first gene's prompt, the number of logits and of tokens
            that the tokenizer knows, how token text is read, the tokens that
            end a completion; the chat template, where one is used.

        Raises
        ------
        InputError
            When a prompt is absent, becomes no token or does not fit.
        WorkError
            When the model cannot be loaded or its logits are no distribution.

        Notes
        -----
        No top-k, no top-p: the model's own distribution, softmaxed in float64.
        Logits beyond the tokenizer's vocabulary (padding) take part as the model
        gives them and add no text when drawn.
        """
        from pyphylo.sampling._load import quiet

        check_chat(self._spec, self._chat, config.chat)
        with quiet():
            loaded = self._load()
            prompts = encode_genome(self._spec, loaded.tokenizer, genome, self._chat, self._add_bos)
            self._check(loaded, genome, prompts, config)
            jobs = self._jobs(genome, prompts, config)
            heard = _Heard(config, len(jobs), progress)
            self._run(loaded, genome, jobs, config, heard)
        facts = self._facts(loaded, prompts[0])
        if heard.decided is None:
            return Population(heard.completions, facts)
        return Population(heard.completions, facts, heard.decided)

    @property
    def weights_key(self) -> tuple[str, ...]:
        """Samplers with equal keys need the same weights in memory (an adapter, its base's)."""
        revision = self._location.weights_revision or self._location.revision
        return (revision, self._identity.dtype, self._device, str(self._trust_remote_code))

    @property
    def hub_snapshots(self) -> tuple[tuple[str, str], ...]:
        """Repositories and commits of the hub whose files this model needs."""
        return self._location.hub_snapshots

    @property
    def tokens(self) -> int:
        """Tokens that went through the model since its weights were loaded, padding included."""
        return 0 if self._weights is None else self._weights.tokens

    def read_ahead(self, stop: threading.Event) -> None:
        """Fetch and read the weights' files until `stop` is set; builds nothing."""
        from pyphylo.sampling._read_ahead import read_model_files

        read_model_files(self._location, stop)

    def hand_over(self, successor: Sampler) -> None:
        """Leave the weights to a sampler that needs the same, before `close`."""
        if (
            self._weights is None
            or not isinstance(successor, HuggingFaceSampler)
            or successor.weights_key != self.weights_key
        ):
            return
        self._loaded = None
        self._weights.hand_over(successor._own_weights())

    def load(self) -> str:
        """Load tokenizer and weights, as the first `sample` would; the kind of device they are on.

        Raises
        ------
        InputError, WorkError
            As `sample` raises them.
        """
        from pyphylo.sampling._load import quiet

        with quiet():
            return str(self._load().model.device.type)

    def close(self) -> None:
        """Free the weights; the next `sample` loads them again."""
        self._loaded = None
        if self._weights is not None:
            self._weights.free()
            self._weights = None

    def _own_weights(self) -> Weights:
        if self._weights is None:
            from pyphylo.sampling._load import resolve_device
            from pyphylo.sampling._weights import Weights

            self._weights = Weights(
                self._spec,
                self._location,
                self._identity.dtype,
                resolve_device(self._device),
                trust_remote_code=self._trust_remote_code,
            )
        return self._weights

    def _chat_name(self) -> str:
        from pyphylo.sampling._load import load_tokenizer

        trust = self._trust_remote_code
        tokenizer = load_tokenizer(self._spec, self._location, trust_remote_code=trust)
        return chat_name(chat_template(self._spec, tokenizer))

    def _load(self) -> _Loaded:
        if self._loaded is None:
            from pyphylo.sampling._load import end_token_ids, load_tokenizer
            from pyphylo.sampling._token_text import token_text

            weights = self._own_weights()
            tokenizer = load_tokenizer(
                self._spec, self._location, trust_remote_code=self._trust_remote_code
            )
            model = weights.model()
            generation = getattr(model, "generation_config", None)
            ends = end_token_ids(model.config, generation, tokenizer)
            self._loaded = _Loaded(tokenizer, model, token_text(tokenizer), ends)
        return self._loaded

    def _check(
        self,
        loaded: _Loaded,
        genome: Genome,
        prompts: Sequence[Sequence[int]],
        config: SamplingConfig,
    ) -> None:
        from pyphylo.sampling._load import context_length

        check_prompts(
            self._spec,
            genome.genes,
            prompts,
            loaded.model.get_input_embeddings().weight.shape[0],
            context_length(loaded.model.config),
            config.max_new_tokens,
        )

    def _jobs(
        self, genome: Genome, prompts: Sequence[Sequence[int]], config: SamplingConfig
    ) -> list[Job]:
        from pyphylo.sampling._decode import Job

        key = self._identity.key
        return [
            Job(
                i,
                0,
                prompt,
                uniforms(config.seed, key, gene, config.n_probes, config.max_new_tokens),
            )
            for i, (gene, prompt) in enumerate(zip(genome.genes, prompts, strict=True))
        ]

    def _run(
        self,
        loaded: _Loaded,
        genome: Genome,
        jobs: Sequence[Job],
        config: SamplingConfig,
        heard: _Heard,
    ) -> None:
        """Read every gene as the mode says, with failures named."""
        from pyphylo.sampling._budget import tokens_that_fit
        from pyphylo.sampling._forward import calibrated_forward
        from pyphylo.sampling._load import is_out_of_memory, one_thread_each
        from pyphylo.sampling._stop import GeneLogitsError

        device = loaded.model.device.type
        shortest = min(job.row_cells for job in jobs)
        try:
            with one_thread_each(device) as workers:
                forward = calibrated_forward(loaded.model, [job.prompt for job in jobs], self.watch)
                # Code that came with a model may keep state between calls.
                workers = 1 if self._trust_remote_code else workers
                budget = self._batch_tokens or tokens_that_fit(loaded.model, shortest, workers)
                heard.listen(forward, jobs, loaded, budget, workers)
        except GeneLogitsError as error:
            raise WorkError(
                f"model {self._spec!r}, gene {genome.genes[error.gene]!r}: the logits are no "
                f"distribution (NaN or infinite) in {self._identity.dtype}; try another dtype"
            ) from None
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise WorkError(
                f"model {self._spec!r}: one prompt does not fit in the memory that the weights "
                f"leave on {device!r}: pass device='cpu' or a smaller dtype"
            ) from None

    def _facts(self, loaded: _Loaded, first: Sequence[int]) -> dict[str, Any]:
        return {
            **prompt_facts(loaded.tokenizer, self._chat, first),
            "n_logits": int(loaded.model.config.get_text_config().vocab_size),
            "tokenizer_size": len(loaded.tokenizer),
            "token_text": loaded.text.kind,
            "end_token_ids": sorted(loaded.end_tokens),
        }
