"""``pyphylo genes select``: the genes that tell most, within a budget."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from pyphylo.cli._common import (
    Outcome,
    add_json,
    add_threads,
    check_outputs,
    existing_parent,
    positive,
    whole,
)
from pyphylo.cli._model import finite
from pyphylo.cli._tables import aligned

if TYPE_CHECKING:
    from pyphylo.genome import Genome
    from pyphylo.stats.gene_selection import GeneSelection

__all__ = ["add_select"]

_SHOWN = 10


def add_select(actions: Any) -> None:
    """Register the action."""
    select: argparse.ArgumentParser = actions.add_parser(
        "select",
        help="choose the genes that tell most about a store's models",
        description="Choose the genes of a store that agree most on who is related to whom, one "
        "by one, each for what it adds to those before it; never one that is constant, or whose "
        "alleles are private to each model. The choice is judged on models that it was not made "
        "on. signal: slope of a gene's distances on those of the other genes, their mean being 1; "
        "in_folds: share of the parts of the models that choose it.",
        epilog="example: pyphylo genes select store --budget 64 -o half.jsonl",
    )
    select.add_argument("store", metavar="STORE", help="of models like those to be compared")
    select.add_argument("--budget", required=True, type=positive, metavar="N", help="genes")
    select.add_argument("-o", "--output", metavar="GENOME", help="the chosen genes, JSON lines")
    select.add_argument(
        "--metadata", metavar="CSV", help="columns model, family: families are judged on whole"
    )
    select.add_argument(
        "--folds", type=whole, default=5, metavar="N", help="default 5; 0: choose only"
    )
    select.add_argument(
        "--estimator",
        choices=("unbiased", "plugin"),
        default="unbiased",
        help="default unbiased; models of one probe a gene need plugin",
    )
    select.add_argument("--preset", choices=("paper", "colab"), default="paper", help="allele rule")
    select.add_argument("--chars", type=positive, default=4, metavar="N", help="allele length")
    select.add_argument("--seed", type=whole, default=0, metavar="N", help="of the folds")
    add_threads(select)
    add_json(select)
    select.set_defaults(run=_run)


def _run(args: argparse.Namespace) -> Outcome:
    from pyphylo._table_cache import cached_table
    from pyphylo.cli._model import rule_of
    from pyphylo.io.metadata import read_families
    from pyphylo.stats.gene_selection import select_genes
    from pyphylo.store import SampleStore

    target = None if args.output is None else existing_parent(args.output)
    if target is not None:
        # Without its own genome a store tells nothing.
        own = f"{args.store}/genome.jsonl"
        check_outputs([target], [own] if args.metadata is None else [own, args.metadata])
    store = SampleStore.open(args.store)
    groups = None if args.metadata is None else read_families(args.metadata)
    found = select_genes(
        cached_table(store, rule_of(args)),
        args.budget,
        groups,
        folds=args.folds,
        estimator=args.estimator,
        seed=args.seed,
        n_threads=args.threads,
    )
    data = _data(found)
    lines = _lines(found, data)
    if target is not None:
        chosen = _genome(store.genome, found)
        chosen.save(target)
        data |= {"genome": str(target), "digest": chosen.digest}
        lines.append(f"{len(chosen)} genes, digest {chosen.digest[:12]}, in {target}")
    return Outcome("\n".join(lines), data)


def _genome(genome: Genome, found: GeneSelection) -> Genome:
    """The chosen genes, best first, so that a start of the file is a choice too."""
    from pyphylo.genome import Genome

    prompts = dict(genome)
    provenance = {**genome.provenance, "selected": {"from": genome.digest, "of": len(genome)}}
    return Genome(found.genes, [prompts[gene] for gene in found.genes], provenance)


def _data(found: GeneSelection) -> dict[str, Any]:
    rows = []
    for record in found.scores.to_dict("records"):
        rank = record["rank"]
        rows.append(
            {
                "gene": record["gene"],
                "rank": int(rank) if rank == rank and rank is not None else None,
                **{key: finite(float(record[key])) for key in ("signal", "noise", "in_folds")},
                "fault": record["fault"] or None,
            }
        )
    folds = None if found.evaluation is None else found.evaluation.to_dict("records")
    return {
        "genes": list(found.genes),
        "scores": rows,
        "folds": folds,
        "similarity": finite(found.similarity),
        "similarity_all": finite(found.similarity_all),
    }


def _lines(found: GeneSelection, data: dict[str, Any]) -> list[str]:
    chosen = data["scores"][: len(found.genes)]
    rows = [
        [
            row["gene"],
            *("-" if row[key] is None else f"{row[key]:.2f}" for key in ("signal", "in_folds")),
        ]
        for row in chosen[:_SHOWN]
    ]
    lines = [
        f"{len(chosen)} of {len(data['scores'])} genes, the most telling first:",
        aligned(["gene", "signal", "in_folds"], rows),
    ]
    if len(chosen) > _SHOWN:
        lines.append(f"and {len(chosen) - _SHOWN} more")
    if found.evaluation is not None:
        mean = found.evaluation.mean()
        lines.append(
            "agreement on models that were not asked: "
            f"chosen {mean['agreement_chosen']:.3f}, all genes {mean['agreement_all']:.3f}, "
            f"as many random ones {mean['agreement_random']:.3f}"
        )
        if mean["agreement_chosen"] <= mean["agreement_random"]:
            lines.append("no better than random ones: these genes tell about as much, any will do")
    lines.append(
        f"mean similarity of two models: {found.similarity:.3f}, over all genes "
        f"{found.similarity_all:.3f}; compare models over one set of genes only"
    )
    return lines
