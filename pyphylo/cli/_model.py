"""One MODEL and a store: in it by name, or sampled into it first."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyphylo._names import did_you_mean
from pyphylo.cli._common import (
    add_backend_options,
    add_json,
    add_threads,
    backend_options,
    positive,
)
from pyphylo.errors import InputError, WorkError

if TYPE_CHECKING:
    from pyphylo.alleles import AlleleRule, AlleleTable
    from pyphylo.store import SampleStore

__all__ = ["add_model_options", "finite", "model_name", "rule_of", "table_with_model"]


def add_model_options(
    parser: argparse.ArgumentParser, *, metavar: str = "MODEL", estimator: bool = True
) -> None:
    """MODEL, its store, and how the two are compared."""
    parser.add_argument(
        "model",
        metavar=metavar,
        help="a model of the store; or a hub id, folder or GGUF file, which is sampled first "
        "(label=MODEL renames)",
    )
    parser.add_argument(
        "--store",
        required=True,
        metavar="DIR",
        help="a folder, or an address such as s3://bucket/store",
    )
    if estimator:
        parser.add_argument(
            "--estimator", choices=("plugin", "unbiased"), default="plugin", help="default plugin"
        )
    parser.add_argument("--preset", choices=("paper", "colab"), default="paper", help="allele rule")
    parser.add_argument("--chars", type=positive, default=4, metavar="N", help="allele length")
    add_threads(parser)
    add_backend_options(parser.add_argument_group("sampling a model that the store lacks"))
    add_json(parser)


def rule_of(args: argparse.Namespace) -> AlleleRule:
    """The allele rule that was asked for."""
    from pyphylo.alleles import AlleleRule

    return AlleleRule(args.preset, chars=args.chars)


def table_with_model(
    args: argparse.Namespace, store: SampleStore, table: AlleleTable
) -> tuple[AlleleTable, str, bool]:
    """The store's table with the model in it, its name, and whether it was sampled now.

    Raises
    ------
    InputError
        When it is neither in the store nor a model that can be loaded.
    """
    spec: str = args.model
    if spec in table.models:
        return table, spec, False
    from pyphylo._table_cache import cached_table
    from pyphylo.sampling.scheduler import name_models, sample

    absent = f"{spec!r} is none of the {len(table.models)} models of store {str(store.path)!r}"
    hint = did_you_mean(spec, table.models)
    if store.config.get("mode") == "import" or not store.genome.is_sampleable:
        raise InputError(
            f"{absent}, and cannot be sampled: the store was imported; import its completions{hint}"
        )
    try:
        named = name_models([spec])
        ((name, model),) = named.items()
        if not Path(model).exists():
            _require_on_hub(name, model, backend_options(args))
        sample(named, store.genome, store=store.path, **store.config, **backend_options(args))
    except InputError as error:
        raise InputError(f"{absent}, nor can it be sampled: {error}{hint}") from None
    return cached_table(store, rule_of(args)), name, name not in table.models


def model_name(spec: str, table: AlleleTable) -> str:
    """What the model is called in the table, or will be."""
    if spec in table.models:
        return spec
    from pyphylo.sampling.scheduler import name_models

    return next(iter(name_models([spec])))


def _require_on_hub(name: str, model: str, options: dict[str, Any]) -> None:
    """Refuse a name that is no model, or that nobody can be asked about; reads no weights."""
    from pyphylo.sampling.registry import create_sampler

    try:
        create_sampler(options.pop("backend"), name, model, **options).close()
    except WorkError as error:
        raise InputError(str(error)) from None


def finite(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if math.isfinite(value) else None
