"""``pyphylo bench``: how fast this machine is at it."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping
from typing import Any

from pyphylo.cli._common import Outcome, add_json, positive, whole
from pyphylo.cli._tables import aligned

__all__ = ["SIZES", "add_parser"]

SIZES = {"fast": [200], "regular": [200, 1_000], "large": [200, 1_000, 5_000, 10_000]}
"""Models of the tables that a size measures."""
NJ_SIZES = {"fast": [1_000], "regular": [1_000, 2_000], "large": [1_000, 2_000, 5_000, 10_000]}
"""Tips of the trees that a size measures."""
_MODES = ("sample", "exact", "hybrid")
_KINDS = ("near-additive", "language-models")


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help="how fast this machine is at it"
    )
    kernels = parser.add_subparsers(title="kernels", metavar="KERNEL", required=True)
    _add_similarity(kernels)
    _add_nj(kernels)
    _add_sampling(kernels)


def _add_sizes(parser: argparse.ArgumentParser, sizes: Mapping[str, list[int]], what: str) -> None:
    which = parser.add_mutually_exclusive_group()
    which.add_argument(
        "--size",
        choices=list(sizes),
        help="; ".join(f"{size}: {', '.join(map(str, n))} {what}" for size, n in sizes.items())
        + "; default fast",
    )
    which.add_argument("--models", type=positive, nargs="+", metavar="N", help="these sizes")


def _add_common(parser: argparse.ArgumentParser) -> None:
    _add_threads(parser)
    parser.add_argument("--repeats", type=positive, default=5, metavar="N", help="default 5")
    parser.add_argument(
        "--dtype", choices=("float64", "float32"), default="float64", help="default float64"
    )


def _add_threads(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--threads",
        type=whole,
        nargs="+",
        default=[1],
        metavar="N",
        help="one or more numbers of threads, 0: all there are; default 1",
    )


def _add_similarity(kernels: Any) -> None:
    parser = kernels.add_parser(
        "similarity",
        help="all pairs of simulated tables",
        description="Time and memory of all pairs of simulated tables. Every call starts from a "
        "table of sparse rows alone; each setting is measured in a process of its own.",
        epilog="example: pyphylo bench similarity --models 1000 5000",
    )
    _add_sizes(parser, SIZES, "models")
    parser.add_argument("--genes", type=positive, default=128, metavar="N", help="default 128")
    _add_common(parser)
    add_json(parser)
    parser.set_defaults(run=_similarity)


def _add_nj(kernels: Any) -> None:
    parser = kernels.add_parser(
        "nj",
        help="trees of simulated distances",
        description="Time and memory of trees of simulated distances; each setting is measured in "
        "a process of its own.",
        epilog="example: pyphylo bench nj --models 1000 --method bionj",
    )
    _add_sizes(parser, NJ_SIZES, "tips")
    parser.add_argument(
        "--kind", choices=_KINDS, nargs="+", default=list(_KINDS), help="of distances; default both"
    )
    parser.add_argument("--method", choices=("nj", "bionj"), default="nj", help="default nj")
    parser.add_argument("--condensed", action="store_true", help="give a triangle of distances")
    _add_common(parser)
    add_json(parser)
    parser.set_defaults(run=_nj)


def _add_sampling(kernels: Any) -> None:
    parser = kernels.add_parser(
        "sampling",
        help="alleles of one language model",
        description="How fast a model's alleles are read, and where the time goes. Tokens run are "
        "all that went through the model, tokens needed are each prompt and each start of a "
        "completion that was looked at, once. The modes take turns in one process.",
        epilog="example: pyphylo bench sampling gpt2 --mode sample hybrid",
    )
    parser.add_argument(
        "model",
        nargs="?",
        metavar="MODEL",
        help="as `sample` takes it; default: a small random one",
    )
    parser.add_argument("--genes", type=positive, default=32, metavar="N", help="default 32")
    parser.add_argument("--probes", type=positive, default=32, metavar="N", help="default 32")
    parser.add_argument(
        "--mode", choices=_MODES, nargs="+", default=["sample"], help="default sample"
    )
    parser.add_argument("--device", default="auto", help="default auto")
    parser.add_argument("--dtype", default="auto", help="default auto")
    parser.add_argument("--batch-tokens", type=positive, metavar="N", help="held at once at most")
    _add_threads(parser)
    parser.add_argument("--repeats", type=positive, default=3, metavar="N", help="default 3")
    add_json(parser)
    parser.set_defaults(run=_sampling)


def _similarity(args: argparse.Namespace) -> Outcome:
    from pyphylo._memory import human_bytes
    from pyphylo.bench.similarity import bench_similarity

    models = args.models or SIZES[args.size or "fast"]
    results = bench_similarity(
        models,
        n_genes=args.genes,
        threads=args.threads,
        repeats=args.repeats,
        dtype=args.dtype,
    )
    header = [
        "models",
        "genes",
        "entries",
        "threads",
        "building",
        "median",
        "pairs/s",
        "memory",
        "of peak",
    ]
    rows = [
        [
            str(r["models"]),
            str(r["genes"]),
            str(r["nnz"]),
            str(r["threads"]),
            f"{r['construction_seconds']:.3f} s",
            f"{statistics.median(r['seconds']):.4f} s",
            f"{r['pairs_per_s']:.3g}",
            human_bytes(r["peak_bytes"]),
            f"{r['share_of_integer_peak']:.0%}",
        ]
        for r in results
    ]
    title = f"pyphylo {results[0]['version']}, {results[0]['isa']} kernels"
    data = {"command": "bench similarity", "results": results}
    return Outcome(f"{title}\n{aligned(header, rows)}", data)


def _nj(args: argparse.Namespace) -> Outcome:
    from pyphylo._memory import human_bytes
    from pyphylo.bench.nj import bench_nj

    results = bench_nj(
        args.models or NJ_SIZES[args.size or "fast"],
        kinds=args.kind,
        method=args.method,
        threads=args.threads,
        repeats=args.repeats,
        dtype=args.dtype,
        condensed=args.condensed,
    )
    header = ["tips", "distances", "threads", "start", "median", "pairs/s", "memory"]
    rows = [
        [
            str(r["models"]),
            r["kind"],
            str(r["threads"]),
            f"{r['start_seconds']:.2f} s",
            f"{statistics.median(r['seconds']):.4f} s",
            f"{r['pairs_per_s']:.3g}",
            human_bytes(r["peak_bytes"]),
        ]
        for r in results
    ]
    title = f"pyphylo {results[0]['version']}, {args.method} in {args.dtype}"
    data = {"command": "bench nj", "results": results}
    return Outcome(f"{title}\n{aligned(header, rows)}", data)


def _sampling(args: argparse.Namespace) -> Outcome:
    from pyphylo.bench.sampling import bench_sampling

    results = bench_sampling(
        args.model,
        modes=args.mode,
        n_genes=args.genes,
        n_probes=args.probes,
        threads=args.threads,
        repeats=args.repeats,
        device=args.device,
        dtype=args.dtype,
        batch_tokens=args.batch_tokens,
    )
    header = ["mode", "threads", "median", "genes/s", "tokens/s", "run", "needed", "in passes"]
    rows = [
        [
            r["mode"],
            str(r["threads"]),
            f"{statistics.median(r['seconds']):.3f} s",
            f"{r['genes_per_s']:.3g}",
            f"{r['tokens_per_s']:.3g}",
            str(r["tokens_run"]),
            str(r["tokens_needed"]),
            f"{r['forward_share']:.0%}",
        ]
        for r in results
    ]
    r = results[0]
    title = (
        f"pyphylo {r['version']}, {r['model']} in {r['dtype']} on {r['device']}, "
        f"{r['genes']} genes, {r['probes']} probes"
    )
    data = {"command": "bench sampling", "results": results}
    return Outcome(f"{title}\n{aligned(header, rows)}", data)
