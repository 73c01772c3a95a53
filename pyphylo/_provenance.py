"""What two tables' origins say together."""

from __future__ import annotations

from typing import Any

from pyphylo.errors import InputError

__all__ = ["merged_provenance"]


def merged_provenance(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    """What holds for both; tables of different genomes or rules do not go together."""
    if "genome" in a and "genome" in b and a["genome"] != b["genome"]:
        raise InputError(
            f"the two tables are of different genomes: {_genome_difference(a, b)}; sample one "
            "genome for both"
        )
    if "rule" in a and "rule" in b and a["rule"] != b["rule"]:
        raise InputError("the two tables differ in their rule: use one allele rule for both")
    merged = {key: a.get(key, b.get(key)) for key in sorted(a.keys() | b.keys())}
    if "models" in merged:
        merged["models"] = {**b.get("models", {}), **a.get("models", {})}
    if a.get("sampling") != b.get("sampling"):
        merged.pop("sampling", None)
    return merged


def _genome_difference(a: dict[str, Any], b: dict[str, Any]) -> str:
    """Which gene tells two genomes apart, as far as the tables know their prompts."""
    ours, theirs = a.get("prompts", {}), b.get("prompts", {})
    for gene in (*ours, *theirs):
        if gene not in ours or gene not in theirs:
            return f"gene {gene!r} is in only one of them"
        if ours[gene] != theirs[gene]:
            return f"gene {gene!r} has another prompt in each"
    return f"their digests are {a['genome'][:12]} and {b['genome'][:12]}"
