"""Genome: the prompts, in order, with their identifiers and a digest."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from pyphylo._files import atomic_write_bytes, read_bytes
from pyphylo._names import clean_text, whole_number
from pyphylo.errors import FileFormatError, InputError

__all__ = ["Genome"]


@dataclass(frozen=True)
class Genome:
    """An ordered set of genes (prompts).

    Parameters
    ----------
    genes : sequence of str
        Identifiers, unique, not empty.
    prompts : sequence of (str or None)
        The prompt of each gene; None where completions were imported and
        the prompt is unknown (such a genome cannot be sampled).

    Raises
    ------
    InputError
        When the genome is empty, an identifier repeats or is empty, or a
        prompt is empty.
    """

    genes: tuple[str, ...]
    prompts: tuple[str | None, ...]

    def __init__(self, genes: Iterable[str], prompts: Iterable[str | None]) -> None:
        object.__setattr__(self, "genes", tuple(genes))
        object.__setattr__(self, "prompts", tuple(prompts))
        self._check()

    def _check(self) -> None:
        if len(self.genes) != len(self.prompts):
            raise InputError(
                f"a genome needs one prompt a gene: {len(self.genes)} genes, "
                f"{len(self.prompts)} prompts"
            )
        if not self.genes:
            raise InputError("the genome is empty: it needs at least one gene")
        seen: set[str] = set()
        for gene, prompt in zip(self.genes, self.prompts, strict=True):
            if not isinstance(gene, str) or not gene:
                raise InputError(f"a gene's identifier must be a non-empty string, not {gene!r}")
            if gene in seen:
                raise InputError(
                    f"gene {gene!r} occurs twice in the genome; identifiers are unique"
                )
            if prompt is not None and (not isinstance(prompt, str) or not prompt):
                raise InputError(f"gene {gene!r}: the prompt must be a non-empty string")
            for text in (gene, prompt or ""):
                if clean_text(text) != text:
                    raise InputError(f"gene {gene!r}: {text!r} holds half a surrogate pair")
            seen.add(gene)

    def __len__(self) -> int:
        return len(self.genes)

    def __iter__(self) -> Iterator[tuple[str, str | None]]:
        return iter(zip(self.genes, self.prompts, strict=True))

    def __repr__(self) -> str:
        return f"Genome({len(self)} genes, digest={self.digest[:12]})"

    @property
    def digest(self) -> str:
        """SHA-256 (hex) over the identifiers and prompts, in order."""
        return hashlib.sha256(self._to_jsonl()).hexdigest()

    @property
    def prompt_digests(self) -> dict[str, str]:
        """Start of the SHA-256 (16 hex digits) of each gene's prompt; "" where it is unknown."""
        return {
            gene: "" if prompt is None else hashlib.sha256(prompt.encode()).hexdigest()[:16]
            for gene, prompt in self
        }

    @property
    def is_sampleable(self) -> bool:
        """Whether every gene has its prompt."""
        return all(prompt is not None for prompt in self.prompts)

    @classmethod
    def from_texts(
        cls,
        texts: Iterable[str],
        n: int = 128,
        length: tuple[int, int] = (20, 100),
        seed: int = 0,
    ) -> Genome:
        """Cut `n` prompts out of texts.

        Each prompt is the start of a text, cut to a random length of at least
        ``length[0]`` and less than ``length[1]`` code points. Texts too short
        are passed over, and so are those whose prompt was drawn before.

        Parameters
        ----------
        texts : iterable of str
        n : int
            Number of genes.
        length : (int, int)
            Shortest length, and the first that is too long, in code points.
        seed : int
            Fixes the choice of texts and the lengths.

        Raises
        ------
        InputError
            When fewer than `n` different prompts can be made.
        """
        low, high = length
        n, seed = whole_number(n, "n", 1), whole_number(seed, "seed", 0)
        if not 1 <= low < high:
            raise InputError(f"length must be (low, high) with 1 <= low < high, not {length!r}")
        pool = sorted({text for text in map(clean_text, texts) if len(text) >= low})
        rng = random.Random(seed)
        rng.shuffle(pool)
        prompts: dict[str, None] = {}
        for text in pool:
            prompts.setdefault(text[: rng.randrange(low, min(high, len(text) + 1))], None)
            if len(prompts) == n:
                break
        if len(prompts) < n:
            raise InputError(
                f"only {len(prompts)} different prompts of {low} to {high - 1} characters can be "
                f"cut from these texts; {n} were asked for: give more texts or a smaller n"
            )
        width = max(3, len(str(n - 1)))
        return cls((f"g{i:0{width}d}" for i in range(n)), prompts)

    @classmethod
    def default(cls) -> Genome:
        """The mathematics genome that ships with pyphylo: 128 prompts."""
        source = resources.files("pyphylo") / "data" / "math.jsonl"
        return cls._from_jsonl(source.read_bytes(), "the default genome")

    @classmethod
    def load(cls, path: str | Path) -> Genome:
        """Read a genome: JSON lines, ``{"gene": id, "prompt": text}``."""
        return cls._from_jsonl(read_bytes(path, "genome"), str(path))

    def save(self, path: str | Path) -> None:
        """Write the genome as JSON lines; the file is replaced atomically."""
        atomic_write_bytes(path, self._to_jsonl())

    def head(self, n: int) -> Genome:
        """The first `n` genes."""
        if not 1 <= n <= len(self):
            raise InputError(f"n must be between 1 and {len(self)}, not {n}")
        return Genome(self.genes[:n], self.prompts[:n])

    def _to_jsonl(self) -> bytes:
        lines = (
            json.dumps({"gene": gene, "prompt": prompt}, ensure_ascii=False)
            for gene, prompt in self
        )
        return "".join(line + "\n" for line in lines).encode()

    @classmethod
    def _from_jsonl(cls, data: bytes, where: str) -> Genome:
        genes: list[str] = []
        prompts: list[str | None] = []
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise FileFormatError(f"{where}: not UTF-8 text ({error})") from None
        for number, line in enumerate(text.split("\n"), 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise FileFormatError(f"{where}, line {number}: not JSON ({error})") from None
            if not isinstance(row, dict) or not isinstance(row.get("gene"), str):
                raise FileFormatError(
                    f'{where}, line {number}: expected {{"gene": id, "prompt": text}}, '
                    f"with a string as gene"
                )
            if not isinstance(row.get("prompt", 0), str | None):
                raise FileFormatError(
                    f'{where}, line {number}: gene {row["gene"]!r} has no "prompt" text'
                )
            genes.append(row["gene"])
            prompts.append(row["prompt"])
        try:
            return cls(genes, prompts)
        except InputError as error:
            raise FileFormatError(f"{where}: {error}") from None
