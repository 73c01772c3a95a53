"""``pyphylo genes``: build genomes, choose from them and show what is known of them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pyphylo._terminal import shown
from pyphylo.cli._common import (
    Outcome,
    add_json,
    check_outputs,
    existing_parent,
    genome_at,
    positive,
    whole,
)
from pyphylo.cli._gene_selection import add_select
from pyphylo.errors import InputError

if TYPE_CHECKING:
    from pyphylo._gene_cutting import TextSource

__all__ = ["add_parser"]


def add_parser(commands: Any, name: str) -> None:
    """Register the command."""
    parser: argparse.ArgumentParser = commands.add_parser(name, help="build, choose, show genomes")
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    _add_build(actions)
    add_select(actions)

    show = actions.add_parser(
        "show", help="print a genome's prompts", epilog="example: pyphylo genes show code"
    )
    show.add_argument("genome", nargs="?", default="math", metavar="GENOME", help=_GENOME_HELP)
    add_json(show)
    show.set_defaults(run=_show)

    listed = actions.add_parser(
        "list", help="the genomes that ship with pyphylo", epilog="example: pyphylo genes list"
    )
    add_json(listed)
    listed.set_defaults(run=_list)

    info = actions.add_parser(
        "info",
        help="where a genome is from, and how diverse its genes are",
        description="Where a genome is from, and how diverse each gene's alleles are: over the "
        "models of a store, or as recorded over pilot models for a genome that ships with pyphylo. "
        "alleles: distinct ones in a model's probes, averaged over models; within: expected "
        "heterozygosity in a model; between: variance of allele frequencies between models.",
        epilog="example: pyphylo genes info code",
    )
    info.add_argument("genome", metavar="GENOME", help=f"{_GENOME_HELP}; or a store's folder")
    add_json(info)
    info.set_defaults(run=_info)


_GENOME_HELP = "JSON lines, or a genome that ships with pyphylo: math (default) or code"


def _add_build(actions: Any) -> None:
    build = actions.add_parser(
        "build",
        help="cut prompts out of texts",
        description="Cut prompts out of texts, at random lengths, never inside a character or "
        "behind white space. A file that ends in .jsonl holds one text a line, .csv and .tsv one "
        "a row, any other one a paragraph; each may end in .gz.",
        epilog="example: pyphylo genes build notes.txt more.jsonl --field body -o genome.jsonl",
    )
    build.add_argument("texts", nargs="*", metavar="FILE", help="texts, as said above")
    build.add_argument("-o", "--output", required=True, metavar="GENOME", help="JSON lines")
    build.add_argument("-n", type=positive, default=128, metavar="N", help="genes, default 128")
    build.add_argument(
        "--length",
        nargs=2,
        type=positive,
        default=(20, 100),
        metavar=("LOW", "HIGH"),
        help="characters: at least LOW, less than HIGH; default 20 100",
    )
    build.add_argument("--seed", type=whole, default=0, metavar="N", help="default 0")
    build.add_argument(
        "--per-text", type=positive, default=1, metavar="N", help="genes from one text, default 1"
    )
    build.add_argument(
        "--balance", action="store_true", help="as many texts of each file, whatever their sizes"
    )
    build.add_argument(
        "--field",
        "--column",
        action="append",
        metavar="NAME",
        help="key of JSON lines, column of a table or data set; default text; given several "
        "times, each source's first that it has",
    )
    build.add_argument(
        "--unit",
        choices=("paragraph", "line", "file"),
        default="paragraph",
        help="what one text of a plain file is, default paragraph",
    )
    build.add_argument(
        "--max-texts",
        type=positive,
        metavar="N",
        help="only the first of each source; default all of a file, 10000 of a data set",
    )
    group = build.add_argument_group("data sets (need the datasets library)")
    group.add_argument(
        "--dataset", action="append", default=[], metavar="ID", help="org/name or folder; repeats"
    )
    group.add_argument("--config", metavar="NAME", help="configuration of the data sets")
    group.add_argument("--split", default="train", metavar="NAME", help="default train")
    group.add_argument("--revision", metavar="R", help="branch, tag or commit")
    add_json(build)
    build.set_defaults(run=_build)


def _build(args: argparse.Namespace) -> Outcome:
    from pyphylo.genome import Genome

    target = existing_parent(args.output)
    check_outputs([target], args.texts)
    if not args.texts and not args.dataset:
        raise InputError("no texts: name files, or data sets with --dataset")
    genome = Genome.from_sources(
        _sources(args),
        n=args.n,
        length=tuple(args.length),
        seed=args.seed,
        per_text=args.per_text,
        balance=args.balance,
    )
    genome.save(target)
    data = {
        "genome": str(target),
        "genes": len(genome),
        "digest": genome.digest,
        "provenance": genome.provenance,
    }
    lines = [f"{len(genome)} genes, digest {genome.digest[:12]}, in {target}"]
    lines += _source_lines(genome.provenance)
    return Outcome("\n".join(lines), data)


def _sources(args: argparse.Namespace) -> list[TextSource]:
    from pyphylo.io.texts import read_dataset, read_texts

    fields = args.field or ["text"]
    files = [
        read_texts(path, field=fields, unit=args.unit, max_texts=args.max_texts)
        for path in args.texts
    ]
    sets = [
        read_dataset(
            name,
            fields,
            config=args.config,
            split=args.split,
            revision=args.revision,
            max_texts=args.max_texts or 10_000,
        )
        for name in args.dataset
    ]
    return files + sets


def _show(args: argparse.Namespace) -> Outcome:
    genome = genome_at(args.genome)
    width = max(len(shown(gene, "")) for gene in genome.genes)
    lines = [f"{shown(gene, ''):{width}}  {prompt!r}" for gene, prompt in genome]
    data = {
        "digest": genome.digest,
        "genes": [{"gene": gene, "prompt": prompt} for gene, prompt in genome],
    }
    return Outcome("\n".join([*lines, f"{len(genome)} genes, digest {genome.digest}"]), data)


def _list(args: argparse.Namespace) -> Outcome:
    from pyphylo.genome import Genome, built_in_genomes

    rows = [
        {"name": name, "genes": len(genome), "digest": genome.digest, "about": about}
        for name, about in built_in_genomes().items()
        for genome in [Genome.built_in(name)]
    ]
    text = "\n".join(f"{row['name']:6}{row['genes']} genes  {row['about']}" for row in rows)
    return Outcome(text, {"genomes": rows})


def _info(args: argparse.Namespace) -> Outcome:
    from pathlib import Path

    from pyphylo._gene_diversity import gene_diversity, recorded_diversity
    from pyphylo._storage import is_address

    if is_address(args.genome) or Path(args.genome).is_dir():
        from pyphylo._table_cache import cached_table
        from pyphylo.alleles import AlleleRule
        from pyphylo.store import SampleStore

        store = SampleStore.open(args.genome)
        genome = store.genome
        measured = gene_diversity(cached_table(store, AlleleRule("paper")))
        diversity: dict[str, Any] | None = measured.to_dict()
    else:
        genome = genome_at(args.genome)
        diversity = recorded_diversity(genome)
    data = {
        "genes": len(genome),
        "digest": genome.digest,
        "provenance": genome.provenance,
        "diversity": diversity,
    }
    lines = [f"{len(genome)} genes, digest {genome.digest}", *_source_lines(genome.provenance)]
    return Outcome("\n".join([*lines, *_diversity_lines(diversity)]), data)


def _source_lines(provenance: Any) -> list[str]:
    """A line a source; the file may be anyone's, so none for what is not of that form."""
    sources = provenance.get("sources", [])
    if not isinstance(sources, list):
        return []
    keys = ("genes", "name", "texts", "usable", "sha256")
    told = [
        [shown(str(source[key]), "") for key in keys] for source in sources if _has(source, keys)
    ]
    return [
        f"  {genes} from {name} ({texts} texts, {usable} usable, sha256 {digest[:12]})"
        for genes, name, texts, usable, digest in told
    ]


def _has(source: Any, keys: Sequence[str]) -> bool:
    return isinstance(source, dict) and all(key in source for key in keys)


def _diversity_lines(diversity: dict[str, Any] | None) -> list[str]:
    from pyphylo.cli._tables import aligned

    if diversity is None:
        return ["no diversity recorded: sample models, then ask for their store's"]
    columns = ("alleles", "within", "between")
    rows = [
        [row["gene"], *("-" if row[key] is None else f"{row[key]:.3f}" for key in columns)]
        for row in [*diversity["genes"], {"gene": "mean", **diversity["mean"]}]
    ]
    # Models read as probabilities have none.
    counts = [f"{n} probes a gene" if n else "probabilities" for n in diversity["probes"]]
    probes = ", ".join(sorted(set(counts)))
    count = diversity["models"]
    title = f"diversity over {count} model{'s' * (count != 1)}, {probes}:"
    models = [[model["name"], model["what"]] for model in diversity.get("pilots", [])]
    width = max((len(name) for name, _ in models), default=0)
    notes = [f"  {name:{width}}  {what}" for name, what in models]
    notes += [f"  {diversity['note']}"] if "note" in diversity else []
    return [title, *notes, aligned(["gene", *columns], rows)]
