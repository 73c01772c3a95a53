"""Rows of completions without end: a program of its own, so that its memory is not the import's.

Lines of 5,000 models come in turn, the worst order for whoever sorts them by model.
"""

from __future__ import annotations

import sys
from pathlib import Path

MODELS = 5000
GENES = 128
_WORDS = ("the", "of", "to", "in", "for", "is", "on", "that", "by", "this", "with", "you", "it")
_TEXTS = [f" {word} and so on" for word in _WORDS]


def text_of(model: int, gene: int, probe: int) -> str:
    """What a model says."""
    return _TEXTS[(model * (gene + 3) + probe * probe) % len(_TEXTS)]


def write_rows(target: str, rows: int) -> None:
    """Write lines: of each probe every gene, and of each gene every model."""
    starts = [f'{{"model": "org/model-{model:04d}", "gene": ' for model in range(MODELS)]
    with Path(target).open("wb") as handle:
        for round_ in range(-(-rows // MODELS)):
            probe, gene = divmod(round_, GENES)
            ends = [f'"gene-{gene:03d}", "completion": "{text}"}}\n' for text in _TEXTS]
            shift = probe * probe
            some = min(MODELS, rows - round_ * MODELS)
            lines = [
                starts[model] + ends[(model * (gene + 3) + shift) % len(_TEXTS)]
                for model in range(some)
            ]
            handle.write("".join(lines).encode())


if __name__ == "__main__":
    write_rows(sys.argv[1], int(sys.argv[2]))
