"""What `nei_similarity` would do with a table, and what that would take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo._names import check_two_models

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleRule, AlleleTable

__all__ = ["plan_lines", "plan_of", "table_at"]

_ARITHMETIC = {
    "u8": "counts in 8 bits",
    "i16": "counts in 16 bits",
    "wide": "counts in 32 bits, as lists only",
    "float64": "frequencies",
}


def table_at(path: str, rule: AlleleRule) -> AlleleTable:
    """The table of a store, or that of a table file."""
    from pyphylo.alleles import AlleleTable

    if Path(path).is_file():
        return AlleleTable.load(path)
    from pyphylo.store import SampleStore

    return AlleleTable.from_store(SampleStore.open(path), rule)


def plan_of(table: AlleleTable, threads: int) -> dict[str, Any]:
    """How all pairs of a table's models would be compared; seconds are of one thread."""
    from pyphylo import _core

    models = len(table.models)
    check_two_models(models)
    plan = _core.plan_similarity(table._core, -1, threads, False)
    return {
        "models": models,
        "genes": len(table.genes),
        "alleles": table._core.n_columns,
        "nnz": table.nnz,
        "isa": plan["isa"],
        "threads": threads or _core.available_threads(),
        "arithmetic": plan["arithmetic"],
        "sum_bits": plan["sum_bits"],
        "dense_alleles": plan["dense_columns"],
        "rare_alleles": plan["rare_columns"],
        "private_alleles": plan["private_columns"],
        "least_holders": plan["least_holders"],
        "dense_seconds": plan["dense_seconds"],
        "rare_seconds": plan["rare_seconds"],
        "work_bytes": plan["bytes"],
        "float64_square_bytes": 8 * models * models,
        "float32_condensed_bytes": 4 * (models * (models - 1) // 2),
    }


def plan_lines(plan: dict[str, Any]) -> dict[str, str]:
    """The plan in words, by heading."""
    from pyphylo._memory import human_bytes

    border = plan["least_holders"]
    lists = f"{plan['rare_alleles']} alleles as lists, about {_seconds(plan['rare_seconds'])}"
    if border is None:
        dense = "no allele multiplied densely: counts are too large"
    else:
        dense = (
            f"{plan['dense_alleles']} alleles multiplied densely, those of {border} models or "
            f"more, about {_seconds(plan['dense_seconds'])}"
        )
    return {
        "table": f"{plan['models']} models, {plan['genes']} genes, {plan['alleles']} alleles, "
        f"{plan['nnz']} entries",
        "arithmetic": f"{plan['arithmetic']} ({_ARITHMETIC[plan['arithmetic']]}), sums of "
        f"{plan['sum_bits']} bits, {plan['isa']} kernels",
        "common": dense,
        "rare": lists,
        "private": f"{plan['private_alleles']} alleles of one model only, in no product",
        "work": f"{human_bytes(plan['work_bytes'])} beside the result, "
        f"{plan['threads']} {'thread' if plan['threads'] == 1 else 'threads'}",
        "result": f"{human_bytes(plan['float64_square_bytes'])} as a float64 square, "
        f"{human_bytes(plan['float32_condensed_bytes'])} as float32 condensed",
    }


def _seconds(value: float) -> str:
    """A time of one thread, as people write it."""
    return f"{value:.2g} s" if value >= 1 else f"{1000 * value:.2g} ms"
