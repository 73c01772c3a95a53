"""Which models this process samples, and in what order.

A shard is fixed by the list of models alone, before any model is looked for, so shards
need not talk to each other; the order puts models of the same weights one after the other.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pyphylo.errors import InputError
from pyphylo.sampling._revisions import natural_key
from pyphylo.sampling.base import Sampler
from pyphylo.sampling.specs import NamedModel

__all__ = ["ModelShard", "in_order", "parse_shard", "split_models"]


@dataclass(frozen=True)
class ModelShard:
    """One of `count` parts of a list of models, counted from 1."""

    index: int
    count: int

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: str) -> ModelShard:
    """``"3/16"`` as the third of sixteen.

    Raises
    ------
    InputError
        Unless it is I/N with 1 <= I <= N.
    """
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise InputError(f"a shard is I/N, from 1/N to N/N (such as 3/16), not {text!r}")
    return ModelShard(int(match[1]), int(match[2]))


def split_models(models: Sequence[NamedModel], shard: ModelShard) -> list[NamedModel]:
    """The models of one shard, in the order given.

    Parameters
    ----------
    models : sequence of NamedModel
        The same in every shard, in any order.
    shard : ModelShard

    Notes
    -----
    Every model is in exactly one shard, and shards differ by one model where none
    shares weights. Local adapters of one base stay together (it is loaded once), in
    pieces of at most a shard's share; whether a hub id is an adapter would have to be
    asked for in every shard, so those are spread like any other model.
    Pieces are dealt out, the largest first, to the shard that has the fewest models.
    """
    together: defaultdict[str, list[str]] = defaultdict(list)
    for model in sorted(models, key=lambda model: (natural_key(model.name), model.name)):
        together[_base_of(model.spec) or f"\0{model.name}"].append(model.name)
    share = -(-len(models) // shard.count)
    pieces = [
        names[start : start + share]
        for names in together.values()
        for start in range(0, len(names), share)
    ]
    loads: Counter[int] = Counter(dict.fromkeys(range(1, shard.count + 1), 0))
    chosen: set[str] = set()
    for piece in sorted(pieces, key=len, reverse=True):  # stable: equal ones by name
        index = min(loads, key=lambda index: (loads[index], index))
        loads[index] += len(piece)
        if index == shard.index:
            chosen.update(piece)
    return [model for model in models if model.name in chosen]


def in_order(samplers: Sequence[Sampler]) -> list[Sampler]:
    """The samplers with those of the same weights side by side, else as given.

    A sampler tells by an attribute ``weights_key`` which weights it needs in memory.
    """
    first: dict[object, int] = {}
    places = [
        first.setdefault(getattr(sampler, "weights_key", place), place)
        for place, sampler in enumerate(samplers)
    ]
    return [samplers[i] for i in sorted(range(len(samplers)), key=lambda i: (places[i], i))]


def _base_of(spec: str) -> str | None:
    """The base of a local adapter, as its config names it; None for what is no adapter."""
    path = Path(spec).expanduser() / "adapter_config.json"
    try:
        config = json.loads(path.read_bytes())
        return str(config["base_model_name_or_path"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
