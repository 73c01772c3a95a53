"""Commands that sample, asked for the estimate alone."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from pyphylo.cli._common import Outcome

__all__ = ["or_estimate"]


def or_estimate(
    run: Callable[[argparse.Namespace], Outcome],
) -> Callable[[argparse.Namespace], Outcome]:
    """A command that ends well with the estimate where ``--max-requests 0`` asks for no more."""

    def run_or_estimate(args: argparse.Namespace) -> Outcome:
        from pyphylo.sampling._requests import EstimateOnlyError

        try:
            return run(args)
        except EstimateOnlyError as estimate:
            return Outcome(f"{estimate}; nothing was asked", {"estimate": estimate.facts})

    return run_or_estimate
