"""The parser of every command: close words for one that is unknown, examples kept as written."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from pyphylo._names import did_you_mean
from pyphylo._secrets import hide
from pyphylo._terminal import shown

__all__ = ["Parser"]


class _Help(argparse.HelpFormatter):
    """Examples keep their lines, so that they can be copied."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if text.startswith("example"):
            return "\n".join(indent + line for line in text.splitlines())
        return super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """An `argparse` parser that answers a misspelt word with those that are close.

    Subparsers are of the same class. Each refuses, with its own usage, the words that it
    does not know; argparse would hand them up and show the usage of all commands.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"formatter_class": _Help, **options})

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        """As argparse's, the message fit for a terminal: it repeats what was typed."""
        super().exit(status, None if message is None else shown(hide(message)))

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            known = list(map(str, action.choices))
            raise argparse.ArgumentError(
                action,
                f"invalid choice: {value!r} (choose from {', '.join(known)})"
                f"{did_you_mean(value, known)}",
            )

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse's, but nothing is left over."""
        if not (sys.argv[1:] if args is None else args) and self._subparsers is not None:
            # A command that was not named: what there is says more than that it is missing.
            self.print_help(sys.stderr)
            self.exit(2)
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            self._refuse(rest)
        return found, rest

    def _refuse(self, rest: Sequence[str]) -> NoReturn:
        options = [word.partition("=")[0] for word in rest if word.startswith("-")]
        hint = did_you_mean(options[0], self._option_string_actions) if options else ""
        self.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
