"""``pyphylo plan``: how many genes and probes an error asks for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import Outcome, add_json, existing_parent, positive
from pyphylo.cli._tables import aligned
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from pyphylo.stats.planning import SamplingPlan
    from pyphylo.stats.variance import VarianceComponents

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help="how many genes and probes an error asks for",
        description="How many genes and probes leave an error no larger than wanted: the root mean "
        "square error of the unbiased similarity over pairs of models. Variances are those of "
        "STORE, or typical ones of small models.",
        epilog="examples:\n  pyphylo plan --error 0.03\n"
        "  pyphylo plan store --error 0.03 --figure surface.svg",
    )
    parser.add_argument("store", nargs="?", metavar="STORE", help="a store like the one to come")
    parser.add_argument("--error", type=float, default=0.02, metavar="E", help="default 0.02")
    parser.add_argument("--genes", type=positive, metavar="G", help="fixed: asks for probes only")
    parser.add_argument("--probes", type=positive, metavar="N", help="fixed: asks for genes only")
    parser.add_argument(
        "--distance", action="store_true", help="the error of the distance, not of the similarity"
    )
    parser.add_argument(
        "--fixed-genes",
        action="store_true",
        help="the error over the same genes, which probes alone make; default: over all prompts "
        "that genes are drawn from",
    )
    parser.add_argument(
        "--prompt-cost",
        type=float,
        default=5.0,
        metavar="C",
        help="what reading a prompt costs, in probes (default 5)",
    )
    parser.add_argument(
        "--surface", metavar="FILE", help="a .csv file of errors over genes and probes"
    )
    parser.add_argument("--figure", metavar="FILE", help="a picture of them: .svg .png .pdf")
    parser.add_argument("--preset", choices=("paper", "colab"), default="paper", help="allele rule")
    parser.add_argument("--chars", type=positive, default=4, metavar="N", help="allele length")
    add_json(parser)
    parser.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo.stats.planning import plan_sampling, typical_components

    surface = None if args.surface is None else _csv(args.surface)
    figure = None if args.figure is None else _picture(args.figure)
    components = typical_components() if args.store is None else _components(args)
    options = {
        "quantity": "distance" if args.distance else "similarity",
        "fixed_genes": args.fixed_genes,
        "prompt_cost": args.prompt_cost,
    }
    plan = plan_sampling(args.error, components, genes=args.genes, probes=args.probes, **options)
    if surface is not None or figure is not None:
        _draw(components, args, surface, figure, options)
    files = {"surface": surface, "figure": figure}
    data = {
        "store": args.store,
        "pairs": len(components),
        **options,
        "error": plan.error,
        "genes": plan.genes,
        "probes": plan.probes,
        "expected": plan.expected,
        "choices": plan.choices.to_dict("records"),
        **{name: str(path) for name, path in files.items() if path is not None},
    }
    return Outcome(_text(plan, args.store, [p for p in files.values() if p is not None]), data)


def _csv(path: str) -> Path:
    target = existing_parent(path)
    if target.suffix.lower() != ".csv":
        raise InputError(f"--surface {path!r}: a surface is a .csv file")
    return target


def _picture(path: str) -> Path:
    target = existing_parent(path)
    if target.suffix.lower() not in (".svg", ".png", ".pdf"):
        raise InputError(f"--figure {path!r}: a picture is a .svg, .png or .pdf file")
    return target


def _components(args: argparse.Namespace) -> VarianceComponents:
    from pyphylo.alleles import AlleleRule
    from pyphylo.cli._plan import table_at
    from pyphylo.stats.variance import variance_components

    table = table_at(args.store, AlleleRule(args.preset, chars=args.chars))
    return variance_components(table)


def _draw(
    components: VarianceComponents,
    args: argparse.Namespace,
    surface: Path | None,
    figure: Path | None,
    options: dict[str, Any],
) -> None:
    """Write the errors over genes and probes, as numbers and as a picture."""
    from pyphylo._files import atomic_write_bytes
    from pyphylo.io._spreadsheet import frame_csv
    from pyphylo.stats.planning import error_surface

    frame = error_surface(components, **options)
    if surface is not None:
        atomic_write_bytes(surface, frame_csv(frame))
    if figure is not None:
        from pyphylo.plot import save_figure, surface_figure

        title = f"error of the {options['quantity']}"
        drawn = surface_figure(frame, wanted=args.error, title=title)
        save_figure(drawn, figure.with_suffix(""), [figure.suffix[1:].lower()])


def _text(plan: SamplingPlan, store: str | None, files: list[Path]) -> str:
    of = "typical small models" if store is None else f"the models of {store}"
    over = "these very genes" if plan.fixed_genes else "all prompts like these"
    lines = [
        f"{plan.genes} genes, {plan.probes} probes: an error of {plan.expected:.3g} of the "
        f"{plan.quantity}, over {over}, for {of}",
        "",
    ]
    header = ["probes", "genes", "cost", "error", "plug-in's"]
    rows = [
        [
            f"{row.probes:.0f}",
            f"{row.genes:.0f}",
            f"{row.cost:.0f}",
            f"{row.error:.4f}",
            f"{row.plugin_error:.4f}",
        ]
        for row in plan.choices.itertuples()
    ]
    lines.append(aligned(header, rows))
    lines += [f"  {path}" for path in files]
    return "\n".join(lines)
