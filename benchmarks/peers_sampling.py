"""Alleles of one model by `generate`, one gene at a time and batched, beside pyphylo's modes.

``--device cuda`` makes a model of about 1.1 billion parameters with random weights in
bfloat16 unless `--model` names one; on a CPU the default is a small one.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

import pyphylo as pp
from pyphylo.bench.random_model import BILLION, SMALL
from pyphylo.bench.sampling import Ledger
from pyphylo.sampling._load import load_model, resolve_device
from pyphylo.sampling.base import MODES, SamplingConfig
from pyphylo.sampling.hf import HuggingFaceSampler


class Generate:
    """`generate` as well as it goes: prompts by length, padded on the left where they differ."""

    def __init__(self, sampler: HuggingFaceSampler, config: SamplingConfig) -> None:
        # A model of its own: pyphylo lays out weights of the one it reads in a way of its own.
        self._model = load_model(
            sampler._spec,
            sampler._location,
            sampler.identity.dtype,
            resolve_device(sampler._device),
            trust_remote_code=False,
        )
        self._tokenizer = sampler._load().tokenizer
        self._config = config

    @torch.inference_mode()
    def __call__(self, genome: pp.Genome, genes: int) -> list[list[str]]:
        """Completions of every gene, so many genes a call at most."""
        prompts = [self._tokenizer(prompt)["input_ids"] for prompt in genome.prompts]
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        said: list[list[str]] = [[] for _ in prompts]
        n = self._config.n_probes
        for start in range(0, len(order), genes):
            batch = order[start : start + genes]
            new = self._continued([prompts[i] for i in batch])
            texts = self._tokenizer.batch_decode(new, skip_special_tokens=True)
            for row, gene in enumerate(batch):
                said[gene] = texts[row * n : (row + 1) * n]
        return said

    def _continued(self, prompts: Sequence[Sequence[int]]) -> torch.Tensor:
        longest = max(map(len, prompts))
        ids = [[0] * (longest - len(row)) + list(row) for row in prompts]
        mask = [[0] * (longest - len(row)) + [1] * len(row) for row in prompts]
        device = self._model.device
        out = self._model.generate(
            torch.tensor(ids, device=device),
            attention_mask=torch.tensor(mask, device=device),
            do_sample=True,
            num_return_sequences=self._config.n_probes,
            max_new_tokens=self._config.max_new_tokens,
            temperature=self._config.temperature,
            top_k=0,
            top_p=1.0,
            pad_token_id=0,
        )
        return out[:, longest:]


def halving(call: Callable[[pp.Genome, int], Any], genome: pp.Genome, genes: int) -> int:
    """The most genes a call, from `genes` down by halves, that fit in the device's memory."""
    while True:
        try:
            call(genome, genes)
            return genes
        except torch.cuda.OutOfMemoryError:
            if genes == 1:
                raise
        torch.cuda.empty_cache()
        genes //= 2


@contextlib.contextmanager
def checkpoint(args: argparse.Namespace) -> Iterator[str]:
    """The model's folder, made where none is named."""
    if args.model is not None:
        yield args.model
        return
    on_gpu = args.device.startswith("cuda")
    with tempfile.TemporaryDirectory() as folder:
        made = BILLION if on_gpu else SMALL
        yield str(
            made.save(Path(folder), dtype="bfloat16" if on_gpu else "float32", device=args.device)
        )


def spread_out(genome: pp.Genome, n: int) -> pp.Genome:
    """So many genes, of all lengths."""
    order = sorted(range(len(genome)), key=lambda i: len(genome.prompts[i] or ""))
    chosen = [order[(2 * i + 1) * len(order) // (2 * n)] for i in range(n)]
    return pp.Genome([genome.genes[i] for i in chosen], [genome.prompts[i] for i in chosen])


def seconds_of(call: Callable[[], Any], device: str) -> float:
    """On one CPU thread the time it really ran, which other programs disturb less."""
    clock = time.process_time if device == "cpu" else time.perf_counter
    start = clock()
    call()
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    return clock() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help="folder, GGUF file or hub id; default: random weights")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--genes", type=int, default=32)
    parser.add_argument("--probes", type=int, default=32)
    parser.add_argument("--modes", nargs="+", default=list(MODES), choices=MODES)
    parser.add_argument(
        "--batches",
        type=int,
        nargs="+",
        default=[1, 8],
        help="genes a call of generate, halved where memory ends; default 1 8",
    )
    parser.add_argument(
        "--generate-genes",
        type=int,
        metavar="N",
        help="let generate read N genes, spread over all lengths, and multiply its time",
    )
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)
    genome = pp.Genome.default().head(args.genes)
    configs = {mode: SamplingConfig(args.probes, mode=mode) for mode in args.modes}
    with checkpoint(args) as spec:
        sampler = HuggingFaceSampler("model", spec, device=args.device)
        sampler.load()
        generate = Generate(sampler, SamplingConfig(args.probes))
        few = genome.head(min(2, args.genes))
        part = spread_out(genome, args.generate_genes or args.genes)
        scale = len(genome) / len(part)
        for mode in args.modes:  # the first calls load code and fill caches
            sampler.sample(few, configs[mode])
        sizes = dict.fromkeys(
            halving(generate, part if args.device != "cpu" else few, n) for n in args.batches
        )
        seconds: dict[str, list[float]] = {}
        ledgers: dict[str, Ledger] = {}
        for _ in range(args.repeats):
            for mode in args.modes:
                ledgers[mode] = Ledger(sampler.load())
                taken = seconds_of(
                    lambda mode=mode: ledgers[mode].sample(sampler, genome, configs[mode]),
                    args.device,
                )
                seconds.setdefault(f"pyphylo {mode}", []).append(taken)
            for n in sizes:
                taken = seconds_of(lambda n=n: generate(part, n), args.device)
                seconds.setdefault(f"generate, {n} genes a call", []).append(scale * taken)
        sampler.close()
    medians = {name: statistics.median(taken) for name, taken in seconds.items()}
    print(f"{args.genes} genes, {args.probes} probes on {args.device}.")
    if scale != 1:
        print(f"generate read {len(part)} genes, its times are multiplied by {scale:g}.")
    print(
        "Median seconds, times the first line, least and most; share in passes; tokens run, needed"
    )
    base = next(iter(medians.values()))
    for name, median in medians.items():
        line = f"  {name:26} {median:9.3f} {median / base:8.2f}"
        line += f"   {min(seconds[name]):.3f} to {max(seconds[name]):.3f}"
        ledger = ledgers.get(name.removeprefix("pyphylo "))
        if ledger is not None:
            share = ledger.forward_seconds / ledger.seconds
            line += f"   {share:.0%}, {ledger.passes} passes"
            line += f", {ledger.tokens_run} / {ledger.tokens_needed}"
        print(line, flush=True)


if __name__ == "__main__":
    main()
