"""Next-token logits of growing branches, from any causal language model.

A model may mishandle left padding (no mask, recurrent state) or keep a cache whose
rows cannot be picked. Neither is guessed from its class: `Forward.calibrate` runs two
prompts of the genome padded and alone, continues them with the cache and without, and
what does not agree is not used. Slower, never wrong. What was seen to be right is not tried out
again on checkpoints of the same architecture: they run the same code.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import torch

from pyphylo.sampling._load import is_out_of_memory

__all__ = ["Branches", "Forward", "Watch", "calibrated_forward"]

Watch: TypeAlias = Callable[[Sequence[Sequence[int]]], contextlib.AbstractContextManager[None]]
"""Makes what is entered around a call of the model, from the tokens of each row from the prompt's
first on; from nothing while a model is tried out. Called from several threads."""


def _unwatched(sequences: Sequence[Sequence[int]]) -> contextlib.AbstractContextManager[None]:
    return contextlib.nullcontext()


_CACHE_NAMES = ("past_key_values", "cache_params")
_KEEP_NAMES = ("logits_to_keep", "num_logits_to_keep")

# Total variation between two next-token distributions that count as the same. Rounding moves
# float32 by about 1e-6 and half precision by about 1e-2; a broken mask or cache by far more.
_TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}
_HALF_TOLERANCE = 0.1


@torch.inference_mode()
def calibrated_forward(
    model: Any, sequences: Sequence[Sequence[int]], watch: Watch | None = None
) -> Forward:
    """A `Forward` that pads and caches only if the model does both rightly on `sequences`."""
    forward = Forward(model, watch)
    key = _alike(model, sequences)
    if key is None or key not in _SOUND:
        pads, caches = forward.pads, forward.caches
        forward.calibrate(sequences)
        if key is not None and (forward.pads, forward.caches) == (pads, caches):
            _SOUND.add(key)
    return forward


_SOUND: set[bytes] = set()
"""Of models that were seen to do right all that they offer."""


def _alike(model: Any, sequences: Sequence[Sequence[int]]) -> bytes | None:
    """Equal for models that run the same code on sequences of the same lengths.

    None for code that is not of transformers itself: it may do anything.
    """
    kinds = [type(module) for module in model.modules()]
    if not kinds[0].__module__.startswith("transformers."):
        return None
    lengths = min(map(len, sequences)), max(map(len, sequences))
    names = [f"{kind.__module__}.{kind.__qualname__}" for kind in kinds]
    config = model.config.to_dict()
    config.pop("_name_or_path", None)
    implementation = getattr(model.config, "_attn_implementation", None)
    devices = sorted({str(p.device) for p in model.parameters()})
    said = repr((names, config, implementation, model.dtype, devices, lengths))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).digest()


class Forward:
    """A model's forward pass over batches of token sequences.

    Parameters
    ----------
    model : transformers causal language model
        In evaluation mode.
    watch : Watch, optional

    Attributes
    ----------
    pads : bool
        Whether sequences of different lengths may share a batch.
    caches : bool
        Whether branches continue from cached keys and values, not from scratch.
    """

    def __init__(self, model: Any, watch: Watch | None = None) -> None:
        parameters = inspect.signature(model.forward).parameters
        self._model = model
        self._device = model.device
        self._takes_mask = "attention_mask" in parameters
        self._takes_positions = "position_ids" in parameters
        self._keep = next((name for name in _KEEP_NAMES if name in parameters), None)
        self._cache_name = next((name for name in _CACHE_NAMES if name in parameters), None)
        self._takes_use_cache = "use_cache" in parameters
        self._watch = watch or _unwatched
        self._calibrating = False
        self.pads = self._takes_mask
        self.caches = self._cache_name is not None and self._takes_use_cache

    def start(self, sequences: Sequence[Sequence[int]]) -> Branches:
        """Run whole sequences, one row each; of one length unless `pads`."""
        return Branches(self, sequences)

    def calibrate(self, sequences: Sequence[Sequence[int]]) -> None:
        """Set `pads` and `caches` by what the model really does with these sequences."""
        self._calibrating = True
        try:
            self._calibrate(min(sequences, key=len), max(sequences, key=len))
        finally:
            self._calibrating = False

    def _calibrate(self, short: Sequence[int], long: Sequence[int]) -> None:
        both = None
        if self.pads and len(short) != len(long):
            both = self.start([short, long])
            self.pads = self._agree(both.logits, [short, long])
        if not self.caches:
            return
        if both is None or not self.pads:
            best = int(self.start([long]).logits[0].argmax())
            short = [*long[:-1], best]
            both = self.start([short, long])
        self.caches = self._cache_works(both, short, long)

    def run(
        self,
        sequences: Sequence[Sequence[int]],
        ids: torch.Tensor,
        mask: torch.Tensor,
        positions: torch.Tensor,
        cache: Any,
    ) -> tuple[torch.Tensor, Any]:
        """One call of the model: logits after each row's last token, and the cache.

        `sequences` are the rows from their first token on; `ids`, what the cache lacks of them.
        """
        options: dict[str, Any] = {}
        if self._takes_mask:
            options["attention_mask"] = mask
        if self._takes_positions:
            options["position_ids"] = positions
        if self._keep is not None:
            options[self._keep] = 1
        if self._takes_use_cache:
            options["use_cache"] = self.caches
        if self.caches and self._cache_name is not None and cache is not None:
            options[self._cache_name] = cache
        with self._watch(() if self._calibrating else sequences):
            output = self._model(input_ids=ids, **options)
        found = getattr(output, self._cache_name, None) if self._cache_name else None
        return output.logits[:, -1, :], found

    def tensor(self, values: Any) -> torch.Tensor:
        """Integers on the model's device."""
        return torch.tensor(values, dtype=torch.long, device=self._device)

    def _cache_works(self, branches: Branches, short: Sequence[int], long: Sequence[int]) -> bool:
        """Whether rows picked from the cache, repeated and reordered, go on as from scratch.

        `branches` are at the end of the two, and are of no use afterwards.
        """
        if not branches.has_cache:
            return False
        best_two = branches.logits.topk(2).indices.tolist()
        parents, tokens = [1, 0, 1], [best_two[1][0], best_two[0][0], best_two[1][1]]
        grown = [[*(short, long)[row], token] for row, token in zip(parents, tokens, strict=True)]
        try:
            branches.advance(parents, tokens)
        except Exception as error:
            # A cache of the model's own kind may fail in any way; running out of memory is
            # not a failure of the cache.
            if is_out_of_memory(error):
                raise
            return False
        return self._agree(branches.logits, grown)

    def _agree(self, logits: torch.Tensor, sequences: Sequence[Sequence[int]]) -> bool:
        """Whether logits are those of the sequences run one by one."""
        alone = torch.cat([self.start([sequence]).logits for sequence in sequences])
        ours, theirs = (torch.softmax(x.float().cpu(), dim=-1) for x in (logits, alone))
        apart = 0.5 * (ours - theirs).abs().sum(dim=-1).max()
        return bool(apart <= _TOLERANCE.get(logits.dtype, _HALF_TOLERANCE))  # NaN is not


class Branches:
    """Rows of tokens that grow by one token a step, each from any row of the step before.

    Invariant: row `r` has `lengths[r]` real tokens, right-aligned under `mask`, and
    `logits[r]` are those after its last.

    Attributes
    ----------
    logits : tensor, shape (rows, vocabulary)
    """

    def __init__(self, forward: Forward, sequences: Sequence[Sequence[int]]) -> None:
        self._forward = forward
        self._restart([list(sequence) for sequence in sequences])

    @property
    def has_cache(self) -> bool:
        """Whether the next step goes on from the cache."""
        return hasattr(self._cache, "reorder_cache")

    def fork(self) -> Branches:
        """The same rows again, to be advanced another way; the cache is copied."""
        twin = copy.copy(self)
        try:
            twin._cache = copy.deepcopy(self._cache)
        except Exception as error:
            # As in calibration: a cache of the model's own kind may fail in any way.
            if is_out_of_memory(error):
                raise
            twin._cache = None
        return twin

    def advance(self, parents: Sequence[int], tokens: Sequence[int]) -> None:
        """Replace the rows: row `i` becomes row ``parents[i]`` followed by ``tokens[i]``."""
        sequences = [
            [*self._sequences[row], token] for row, token in zip(parents, tokens, strict=True)
        ]
        if self.has_cache:
            self._continue(parents, tokens, sequences)
        else:
            self._restart(sequences)

    def _restart(self, sequences: list[list[int]]) -> None:
        longest = max(map(len, sequences))
        pads = [longest - len(sequence) for sequence in sequences]
        if any(pads) and not self._forward.pads:
            raise ValueError("sequences of different lengths in a batch without padding")
        # What a pad is does not matter, it is masked; one unlike the row's first token lets
        # calibration see a mask that is ignored.
        ids = [[int(row[0] == 0)] * pad + row for row, pad in zip(sequences, pads, strict=True)]
        mask = [[0] * pad + [1] * (longest - pad) for pad in pads]
        self._sequences = sequences
        self._mask = self._forward.tensor(mask)
        positions = (self._mask.cumsum(dim=-1) - 1).clamp_(min=0)
        self.logits, cache = self._forward.run(
            sequences, self._forward.tensor(ids), self._mask, positions, None
        )
        self._cache: Any = cache if self._forward.caches else None

    def _continue(
        self, parents: Sequence[int], tokens: Sequence[int], sequences: list[list[int]]
    ) -> None:
        rows = self._forward.tensor(parents)
        # `reorder_cache` takes any rows, and unlike `batch_select_indices` every kind of
        # layer has it: full, sliding-window and linear attention.
        self._cache.reorder_cache(rows)
        kept = self._mask.index_select(0, rows)
        self._mask = torch.cat([kept, kept.new_ones(len(rows), 1)], dim=1)
        self._sequences = sequences
        positions = self._forward.tensor([[len(sequence) - 1] for sequence in sequences])
        ids = self._forward.tensor([[token] for token in tokens])
        self.logits, self._cache = self._forward.run(
            sequences, ids, self._mask, positions, self._cache
        )
