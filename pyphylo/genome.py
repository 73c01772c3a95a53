"""Genome: the prompts, in order, with their identifiers and a digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from pyphylo._files import atomic_write_bytes, read_bytes
from pyphylo._formats import check_format_version
from pyphylo._gene_cutting import CutOptions, TextSource, cut_prompts, digest_of_texts
from pyphylo._names import clean_text, did_you_mean
from pyphylo.errors import FileFormatError, InputError

__all__ = ["Genome", "built_in_genomes"]

_BUILT_IN = {
    "math": "mathematics: lectures, exercises, proofs, forum questions",
    "code": "source code in some thirty languages",
}

_MARK = "pyphylo-genome"
"""A key of the first line that states the format's version; what has none is of version 1."""
_VERSION = 1


def built_in_genomes() -> dict[str, str]:
    """The genomes that ship with pyphylo: name and what they are about."""
    return dict(_BUILT_IN)


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
    provenance : mapping, optional
        What the prompts were cut from and how, as JSON types. Saved with the
        genome; takes no part in comparing or in the digest.

    Raises
    ------
    InputError
        When the genome is empty, an identifier repeats or is empty, or a
        prompt is empty.
    """

    genes: tuple[str, ...]
    prompts: tuple[str | None, ...]
    provenance: Mapping[str, Any] = field(compare=False)

    def __init__(
        self,
        genes: Iterable[str],
        prompts: Iterable[str | None],
        provenance: Mapping[str, Any] | None = None,
    ) -> None:
        object.__setattr__(self, "genes", tuple(genes))
        object.__setattr__(self, "prompts", tuple(prompts))
        object.__setattr__(self, "provenance", dict(provenance or {}))
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

    def _repr_html_(self) -> str:
        """The first prompts, as a notebook shows them."""
        from pyphylo._html import genome_html

        return genome_html(self)

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
        per_text: int = 1,
    ) -> Genome:
        """Cut `n` prompts out of texts; see `from_sources`.

        Parameters
        ----------
        texts : iterable of str
        n, length, seed, per_text
            As `from_sources` takes them.

        Raises
        ------
        InputError
            When fewer than `n` different prompts can be made.
        """
        if isinstance(texts, str):
            raise InputError("texts must be several texts, not one string: pass a list")
        given = list(texts)
        for row, text in enumerate(given):
            if not isinstance(text, str):
                raise InputError(f"text {row} is {text!r}, not a string")
        clean = list(map(clean_text, given))
        source = TextSource("texts", clean, digest_of_texts(clean))
        return cls.from_sources([source], n, length, seed, per_text)

    @classmethod
    def from_sources(
        cls,
        sources: Sequence[TextSource],
        n: int = 128,
        length: tuple[int, int] = (20, 100),
        seed: int = 0,
        per_text: int = 1,
        balance: bool = False,
    ) -> Genome:
        """Cut `n` prompts out of the texts of sources.

        Each prompt is the start of a text, cut to a random length of at least
        ``length[0]`` and less than ``length[1]`` code points (the paper's 20 to
        99), moved back to the nearest place that is allowed, or else forward.

        White space around a text is dropped and a prompt never ends in white
        space. The allele is the start of what comes next, mostly one token, and
        most tokenizers write a space into the token behind it: after a prompt
        that ends in a space, a model would have to begin with a token that it
        hardly ever saw there, each tokenizer with another, and the gene would
        tell tokenizers apart and not models. Inside a word a prompt may end: how
        the word goes on is a question that every tokenizer can answer. Inside a
        character as people see it (a letter and its accents, a flag, a joined
        emoji) it may not: half of one is in no training text.

        Parameters
        ----------
        sources : sequence of TextSource
            As the readers in `pyphylo.io.texts` make them.
        n : int
            Number of genes.
        length : (int, int)
            Shortest length, and the first that is too long, in code points.
        seed : int
            Fixes the choice of texts and the lengths.
        per_text : int
            Genes from one text at most; the further ones begin at lines of the
            text, at random, and do not overlap.
        balance : bool
            Take texts from the sources in turn (languages, say), whatever their
            sizes; by default every text is as likely.

        Returns
        -------
        Genome
            No prompt equals or starts another. `provenance` tells the options,
            and each source's digest and counts.

        Raises
        ------
        InputError
            When a source is empty, or fewer than `n` prompts can be cut.

        Notes
        -----
        O(T log T) for T texts, held in memory. The order of texts within a
        source does not matter.
        """
        options = CutOptions(n, length, seed, per_text, balance)
        prompts, provenance = cut_prompts(sources, options)
        width = max(3, len(str(options.n - 1)))
        return cls((f"g{i:0{width}d}" for i in range(options.n)), prompts, provenance)

    @classmethod
    def default(cls) -> Genome:
        """The mathematics genome that ships with pyphylo: 128 prompts."""
        return cls.built_in("math")

    @classmethod
    def built_in(cls, name: str) -> Genome:
        """A genome that ships with pyphylo, of 128 prompts: ``"math"`` or ``"code"``."""
        if name not in _BUILT_IN:
            known = ", ".join(map(repr, _BUILT_IN))
            hint = did_you_mean(name, _BUILT_IN)
            raise InputError(f"no genome {name!r} ships with pyphylo; known: {known}{hint}")
        source = resources.files("pyphylo") / "data" / f"{name}.jsonl"
        return cls._from_jsonl(source.read_bytes(), f"the {name} genome")

    @classmethod
    def load(cls, path: str | Path) -> Genome:
        """Read a genome: JSON lines, ``{"gene": id, "prompt": text}``, other keys allowed."""
        return cls._from_jsonl(read_bytes(path, "genome"), str(path))

    def save(self, path: str | Path) -> None:
        """Write the genome as JSON lines; the file is replaced atomically."""
        atomic_write_bytes(path, self._to_jsonl(self.provenance))

    def head(self, n: int) -> Genome:
        """The first `n` genes."""
        if not 1 <= n <= len(self):
            raise InputError(f"n must be between 1 and {len(self)}, not {n}")
        provenance = {**self.provenance, "first": n} if self.provenance else {}
        return Genome(self.genes[:n], self.prompts[:n], provenance)

    def _to_jsonl(self, provenance: Mapping[str, Any] | None = None) -> bytes:
        """One line a gene; what is known of all of them stands in the first."""
        rows: list[dict[str, Any]] = [{"gene": gene, "prompt": prompt} for gene, prompt in self]
        if provenance:
            rows[0]["provenance"] = dict(provenance)
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()

    @classmethod
    def _from_jsonl(cls, data: bytes, where: str) -> Genome:
        genes: list[str] = []
        prompts: list[str | None] = []
        provenance: dict[str, Any] = {}
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
            if not genes and isinstance(row, dict):
                version = row.get(_MARK, _VERSION)
                check_format_version(f"genome {where!r}", version, (_VERSION,))
            if not isinstance(row, dict) or not isinstance(row.get("gene"), str):
                raise FileFormatError(
                    f'{where}, line {number}: expected {{"gene": id, "prompt": text}}, '
                    f"with a string as gene"
                )
            if not isinstance(row.get("prompt", 0), str | None):
                raise FileFormatError(
                    f'{where}, line {number}: gene {row["gene"]!r} has no "prompt" text'
                )
            if not genes and isinstance(row.get("provenance"), dict):
                provenance = row["provenance"]
            genes.append(row["gene"])
            prompts.append(row["prompt"])
        try:
            return cls(genes, prompts, provenance)
        except InputError as error:
            raise FileFormatError(f"{where}: {error}") from None
